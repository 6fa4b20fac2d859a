"""The command ``select``: which number of components, structure and family the criteria prefer."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emjax.bounds import one_of
from emjax.catalogue import DEFAULT_FAMILY, FAMILY_ENTRIES
from emjax.cli.console import Console, unbroken
from emjax.cli.exits import EXIT_INTERRUPTED, EXIT_NOT_CONVERGED, EXIT_OK
from emjax.cli.options import Bars, Json, NoCache, Quiet, data_names, flag
from emjax.cli.tables import terminal_table
from emjax.errors import ConfigError
from emjax.wording import printable

if TYPE_CHECKING:
    from emjax.selection.selection import Selection
    from emjax.selection.votes import Choice


_SURE = "How sure"


def _option(*names: str, metavar: str, help: str, panel: str = "Models", least: int | None = None) -> Any:
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=panel, min=least)


def select(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A bundled name, a CSV, Parquet, Arrow or NumPy file, or -.",
            autocompletion=data_names,
            show_default=False,
        ),
    ],
    components: Annotated[
        str, _option("-k", "--components", metavar="LIST", help="Numbers of components: 1:9, 3 or 1,2,5.")
    ] = "1:9",
    covariance: Annotated[
        str, _option("--covariance", metavar="LIST", help="Covariance structures: full, full,VEV or all fourteen.")
    ] = "full,tied,diag,spherical",
    family: Annotated[
        str, _option("--family", metavar="LIST", help="Families: normal, or normal,student_t.")
    ] = DEFAULT_FAMILY,
    criterion: Annotated[
        str, _option("--criterion", metavar="NAME", help="What ranks: bic, aic, aicc, icl, nec.")
    ] = "bic",
    prior: Annotated[str, _option("--prior", metavar="NAME", help="Likelihood (none) or MAP (default).")] = "none",
    columns: Annotated[
        str | None, _option("--columns", metavar="TEXT", help="The columns to use, as in A,B or 0,2.", panel="Data")
    ] = None,
    header: Annotated[
        bool | None, flag("--header/--no-header", help="Whether the first line holds names (found out).", panel="Data")
    ] = None,
    weights: Annotated[
        str | None,
        _option("--weights", metavar="TEXT", help="The column that says how often rows count.", panel="Data"),
    ] = None,
    n_init: Annotated[int | None, _option("--n-init", metavar="N", help="Number of starts (20 and more).")] = None,
    folds: Annotated[
        int | None, _option("--folds", metavar="N", help="Also the log score over so many folds.", panel=_SURE, least=2)
    ] = None,
    bootstrap: Annotated[
        int | None,
        _option("--bootstrap", metavar="N", help="Also what criteria pick in so many samples.", panel=_SURE, least=1),
    ] = None,
    seed: Annotated[int, _option("--seed", metavar="N", help="Random seed.", panel="Run")] = 0,
    bayes: Annotated[bool, flag("--bayes", help="Posteriors, too: evidence, PSIS-LOO, p(K).")] = False,
    csv: Annotated[bool, flag("--csv", help="The whole table as CSV on stdout.")] = False,
    figure: Annotated[
        Path | None,
        _option("--figure", metavar="FILE", help="Draw it: .svg, .pdf, .png; p(K) as NAME-number.", panel="Run"),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    progress: Bars = None,
    no_cache: NoCache = False,
) -> int:
    """Fit every number of components, structure and family, and rank them. Writes no folder."""
    from emjax.datasets.columns import split_columns

    one_of("--prior", prior, ("none", "default"))
    console = Console(quiet=quiet or csv, json=json, progress=progress)
    drawn = None if figure is None else _figure_path(figure)
    options = {
        "n_components": numbers_of(components),
        "covariance": covariance if covariance == "all" else _names(covariance),
        "family": _names(family),
        "prior": None if prior == "none" else prior,
        "criterion": criterion,
        "n_init": n_init,
        "key": seed,
    }
    read = {"columns": split_columns(columns) if columns else None, "header": header, "weights": weights}
    found = _swept(console, data, read, options, cache=not no_cache)
    further = _further(console, found, folds, bootstrap)
    told = _told(console, found, further, csv=csv)
    choice = _asked_of_posteriors(console, found, seed) if bayes else None
    told |= _document_of(choice)
    told |= {} if drawn is None else {"figures": _drawn(console, found, choice, drawn)}
    console.document(told)
    if found.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_OK if found.ranked() else EXIT_NOT_CONVERGED


def _told(console: Console, found: "Selection", further: dict[str, Any], *, csv: bool) -> dict[str, Any]:
    """Show the tables; what JSON has of them."""
    if csv and not console.json:
        typer.echo(found.tabulated().to_csv(), nl=False)
    console.show(*terminal_table(found.tabulated().brief, "all with --csv or --json"))
    for one in further.values():
        console.show(*terminal_table(one.table))
    models = found.to_frame().to_dict("records") if console.json else []
    told = {"criterion": found.criterion, "seed": found.key, "interrupted": found.interrupted, "models": models}
    return told | {name: one.to_frame().to_dict("records") for name, one in further.items()}


def _further(console: Console, found: "Selection", folds: int | None, bootstrap: int | None) -> dict[str, Any]:
    """What was asked for beside the criteria, by its key in the document."""
    from emjax.selection import bootstrap_picks, cross_validate

    wanted: dict[str, tuple[int | None, Any, str]] = {
        "log_scores": (folds, cross_validate, "n_folds"),
        "picks": (bootstrap, bootstrap_picks, "n_replicates"),
    }
    made: dict[str, Any] = {}
    for name, (number, make, called) in wanted.items():
        if number is not None:
            with console.bar(name.replace("_", " ")) as tell:
                made[name] = make(found, on_progress=tell, **{called: number})
    return made


def _swept(console: Console, data: str, read: dict[str, Any], options: dict[str, Any], *, cache: bool) -> "Selection":
    """The sweep, with a bar."""
    from emjax.datasets import load
    from emjax.selection.select import select as sweep

    console.start_jax(cache=cache)
    if any(FAMILY_ENTRIES[name].of_levels for name in options["family"] if name in FAMILY_ENTRIES):
        read = {**read, "texts": "levels"}  # as in a config
    x = load(data, **read)
    with console.bar("models") as tell:
        say = lambda done, total, best: tell(done, total, f"best so far: {best}" if best else "")  # noqa: E731
        return sweep(x, on_progress=say, **options)


def _figure_path(figure: Path) -> Path:
    """Where the figure goes, looked at before anything is fitted."""
    from emjax.report.drawing.picture import figure_path

    return figure_path(figure)


def _drawn(console: Console, found: "Selection", choice: "Choice | None", path: Path) -> list[str]:
    """Draw the criteria, and the number of components from both sides; the paths."""
    from emjax.plots import criteria, number_of_components
    from emjax.report.drawing.picture import save_figure

    if not found.ranked():
        console.warn("no figure: no model can be compared")
        return []
    paths = [save_figure(criteria(found), path)]
    if choice is not None:
        paths.append(save_figure(number_of_components(choice), path.with_stem(f"{path.stem}-number")))
    console.show("", *(unbroken(printable(each)) for each in paths))
    return [str(each) for each in paths]


def _asked_of_posteriors(console: Console, found: "Selection", seed: int) -> "Choice | None":
    """Say which number of components posteriors choose, beside the criteria, with a bar."""
    from emjax.selection.choice import choose

    if found.interrupted or not found.ranked():
        return None
    with console.bar("posteriors") as tell:
        choice = choose(found, key=seed, on_progress=tell)
    for table in (choice.tabulated(), choice.by_number()):
        console.show("", *terminal_table(table, "all with --json"))
    return choice


def _document_of(choice: "Choice | None") -> dict[str, Any]:
    """What JSON has of a choice."""
    if choice is None:
        return {}
    votes = [
        {"who": vote.who, "side": vote.side, "n_components": vote.n_components, "sure": vote.sure, "note": vote.note}
        for vote in choice.votes
    ]
    numbers = [
        {
            "n_components": one.n_components,
            "log_evidence": one.log_evidence,
            "log_evidence_error": one.log_evidence_error,
            "evidence_agrees": None if one.evidence is None else one.evidence.agree,
            "loo": None if one.loo is None else dict(one.loo),
            "reason": one.reason,
        }
        for one in choice.numbers
    ]
    told = {"model": choice.model, "agree": choice.agree, "warnings": list(choice.warnings)}
    return {**told, "votes": votes, "numbers": numbers}


def _names(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def numbers_of(text: str) -> list[int]:
    """The whole numbers of ``3``, ``1,2,5``, ``1:9`` (both ends) or a mixture of these.

    Raises ConfigError if it is none of them, or holds more than a thousand.
    """
    wrong = ConfigError(f"-k {printable(text)[:60]}: write whole numbers, as in 3, 1,2,5 or 1:9")
    found: list[int] = []
    for part in _names(text):
        ends = part.split(":")
        if len(ends) > 2 or not all(end.strip().isdecimal() and len(end.strip()) < 8 for end in ends):
            raise wrong
        first, last = int(ends[0]), int(ends[-1])
        if last < first or len(found) + last - first >= 1000:
            raise wrong
        found += range(first, last + 1)
    if not found:
        raise wrong
    return found
