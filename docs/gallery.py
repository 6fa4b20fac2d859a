"""Pictures and tables of the pages on objects and plots, made from the objects themselves whenever the pages are built.

One fit, one posterior and one comparison of Old Faithful serve all of them; the study is a small one that the tests
keep. ``python docs/gallery.py`` draws the pictures of ``models/README.md`` anew, which lie beside it.
"""

import functools
import inspect
import json
import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

import emjax
from emjax import plots
from emjax.experiments import open_study
from emjax.report.svg import svg_text

# Programs run once here: compiling them fast matters more than running them fast.
jax.config.update("jax_disable_most_optimizations", True)

WIDTH = 5.0
ROOT = Path(__file__).parents[1]
EXPERIMENTS, MODELS = ROOT / "experiments", ROOT / "models"
SITE = "_generated/site"
STUDY = ROOT / "tests" / "reference" / "folders" / "study"


@functools.cache
def shown() -> dict[str, Any]:
    """The objects of the pages by the name that they have in the text."""
    x = emjax.datasets.load("faithful")
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), n_components=2), x, key=jax.random.key(0))
    mixture = emjax.Mixture(emjax.Normal(), n_components=2, prior="default")
    posterior = emjax.sample(mixture, x, key=jax.random.key(1))
    comparison = emjax.compare(fit, posterior, x, loo=False)
    return {
        "fit": fit,
        "summary": fit.summary(),
        "intervals": fit.intervals(method="profile"),
        "posterior": posterior,
        "comparison": comparison,
        "study": open_study(STUDY),
    }


@functools.cache
def figures() -> dict[str, dict[str, Callable[..., Any]]]:
    """Which figures which object has."""
    return {name: dict(thing._figures()) for name, thing in shown().items() if hasattr(thing, "plot")}


def first_sentence(thing: Any) -> str:
    """The first sentence of a docstring, as Markdown inside a table."""
    text = " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())
    text = re.sub(r":math:`([^`]*)`", r"$\1$", re.split(r"(?<=\.) (?=[A-Z`])", text)[0])
    return text.replace("``", "`").replace("|", "\\|")


def table(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def reprs(_: Path) -> str:
    """Every object as a console shows it."""
    rows = [(name, thing) for name, thing in shown().items() if name not in ("summary", "study")]
    lines = [f">>> {name}\n{thing!r}" for name, thing in rows]
    return "```python\n" + "\n".join([*lines, ">>> print(fit.summary())", str(shown()["summary"])]) + "\n```"


def methods(_: Path) -> str:
    """Which object has which public method."""
    found = {name: dict(inspect.getmembers(type(thing), inspect.isfunction)) for name, thing in shown().items()}
    found = {name: {key for key in own if not key.startswith("_")} for name, own in found.items() if name != "summary"}
    names = sorted(set().union(*found.values()), key=lambda key: (-sum(key in own for own in found.values()), key))
    rows = [[f"`{key}`", *("✓" if key in own else "" for own in found.values())] for key in names]
    return table(["", *(f"`{name}`" for name in found)], rows)


def kinds(_: Path) -> str:
    """Which object draws which figure."""
    found = figures()
    names = list(dict.fromkeys(kind for own in found.values() for kind in own))
    default = {name: next(iter(own)) for name, own in found.items()}
    mark = {True: "✓ (default)", False: "✓"}
    rows = [
        [f"`{kind}`", *(mark[default[name] == kind] if kind in own else "" for name, own in found.items())]
        for kind in names
    ]
    return table(["`kind`", *(f"`{name}`" for name in found)], rows)


def pictures(source: Path) -> str:
    """Every figure, drawn of the last object that has it: the comparison's shows both sides."""
    things, drawn = shown(), figures()
    parts = []
    for kind in dict.fromkeys(kind for own in drawn.values() for kind in own):
        owners = [name for name, own in drawn.items() if kind in own]
        told = getattr(plots, kind, None)
        words = "Of a study: one of the figures of its page." if told is None else first_sentence(told)
        calls = ", ".join(f'`{name}.plot("{kind}")`' for name in owners)
        name = written(source, kind, things[owners[-1]].plot(kind, width=WIDTH))
        parts.append(f"### {kind}\n\n{words}\n\n{calls}\n\n![{kind} of a {owners[-1]}]({name})")
    return "\n\n".join(parts)


def features(source: Path) -> str:
    """Classification and uncertainty of one feature, and of four."""
    parts = []
    for data, family, n_components in (("acidity", emjax.Normal(), 2), ("iris", emjax.Normal("tied"), 3)):
        x = emjax.datasets.load(data)
        fit = emjax.fit(emjax.Mixture(family, n_components), x, key=jax.random.key(0), n_init=4)
        count = f"{x.shape[1]} feature" + ("s" if x.shape[1] > 1 else "")
        for kind in ("classification", "uncertainty"):
            name = written(source, f"{kind}-{data}", fit.plot(kind, width=WIDTH))
            parts.append(f"![{kind} of {data}, {count}]({name})")
        parts.insert(-2, f"{data.capitalize()}, {count}:")
    return "\n\n".join(parts)


def notebook(_: Path) -> str:
    """What a notebook shows of a fit, of a comparison and of a study."""
    return "\n\n".join(
        f"```{{raw}} html\n{shown()[name]._repr_html_()}\n```" for name in ("fit", "comparison", "study")
    )


def experiments(source: Path) -> str:
    """Every experiment that ships: its question, its answer, the first sentence of its page, its picture."""
    parts = []
    for folder in sorted(path.parent for path in EXPERIMENTS.glob("*/config.toml")):
        text = (folder / "README.md").read_text(encoding="utf-8")
        question, answer = (re.search(rf"\*\*{word}.*?(?=\n\n)", text, re.DOTALL) for word in ("Question", "Answer"))
        assert question is not None, folder
        assert answer is not None, folder
        headline = json.loads((folder / "expected.json").read_text(encoding="utf-8")).get("headline")
        parts += [f"## {text.partition(chr(10))[0].removeprefix('# ')}", question[0], answer[0]]
        parts += [f"> {headline}"] if headline else []
        for picture in sorted(folder.glob("answer.*")):
            # Not by the folder's name alone: a figure of the other page may have it, as coverage does.
            name = f"_generated/answer-{folder.name}{picture.suffix}"
            shutil.copy(picture, source / name)
            parts.append(f"![The answer of {folder.name}]({name})")
        config = (folder / "config.toml").read_text(encoding="utf-8")
        parts.append(f"```toml\n{config}```")
    return "\n\n".join(parts)


def abstract_trace(model: Any, data: dict[str, Any]) -> dict[str, Any]:
    """The sites of a NumPyro program as far as their shapes go: nothing is computed."""
    from numpyro.handlers import seed, trace

    sites: dict[str, Any] = {}
    jax.eval_shape(lambda: sites.update(trace(seed(model, 0)).get_trace(**data)) or 0)
    return sites


PICTURES = {
    "normal_mixture": "classification",
    "mixture_of_regressions": "classification",
    "rater_agreement": "certainty",
    **dict.fromkeys(("poisson_mixture", "hierarchical_scales", "low_dim_gauss_mix", "normal_2"), "density"),
    "zero_inflated_counts": "density",
    **dict.fromkeys(("latent_class", "covariates_of_weights", "robust_regression"), "intervals"),
    **dict.fromkeys(("capture_recapture_m0", "capture_recapture_mb"), "intervals"),
}
"""What is drawn of EM's fit to each program of `models/`."""


def draw_models() -> None:
    """Draw each program's picture into ``models/images/``."""
    (MODELS / "images").mkdir(exist_ok=True)
    for name, kind in PICTURES.items():
        names = runpy.run_path(str(MODELS / f"{name}.py"))
        fit = emjax.fit(emjax.program(names["model"]), names["data"](), key=0)
        figure = fit.plot(kind, width=4.5)
        figure.savefig(MODELS / "images" / f"{name}.png", dpi=100, metadata={"Software": None})


def models(source: Path) -> str:
    """Every model that ships: its picture, its program, and the sites or the mixture that it makes."""
    import numpyro

    parts = []
    for path in sorted(MODELS.glob("*.py")):
        names = runpy.run_path(str(path))
        if "build" in names:
            made = f">>> build()\n{names['build']()!r}"
        else:
            made = numpyro.util.format_shapes(abstract_trace(names["model"], names["data"]()))
        code = path.read_text(encoding="utf-8")
        picture = MODELS / "images" / f"{path.stem}.png"
        shown_first = ""
        if picture.exists():
            shutil.copy(picture, source / "_generated" / f"model-{picture.name}")
            shown_first = f"![EM's fit to {path.name}](_generated/model-{picture.name})\n\n"
        parts.append(f"## {path.name}\n\n{shown_first}```python\n{code}```\n\n```text\n{made}\n```")
    return "\n\n".join(parts)


def report(source: Path) -> str:
    """The report of the comparison of these pages, as a page beside them."""
    shown()["comparison"].to_html(source / SITE / "report.html")
    return '<p><a href="report.html">The whole report, made when these pages were built.</a></p>'


def written(source: Path, name: str, figure: Any) -> str:
    """The address of a figure from the pages, after writing it."""
    folder = source / "_generated"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.svg").write_text(svg_text(figure, sheet=True), encoding="utf-8")
    return f"_generated/{name}.svg"


SECTIONS = {
    "objects reprs": reprs,
    "objects methods": methods,
    "objects kinds": kinds,
    "objects pictures": pictures,
    "objects features": features,
    "objects notebook": notebook,
    "gallery experiments": experiments,
    "gallery models": models,
    "gallery report": report,
}
"""What the marks of pages stand for."""

if __name__ == "__main__":
    draw_models()
