"""The README's example and the notebooks of the docs run as they stand, and the commands named exist.

They are of one data set mostly, and in one file, so that they share their programs.
"""

import ast
import inspect
import json
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure

import emjax
from emjax.report import svg

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.runs_numpyro
def test_the_python_example_runs_and_is_short(tmp_path, monkeypatch, capsys):
    example = _blocks("python")[0]
    assert len(example.strip().splitlines()) <= 10
    monkeypatch.setattr(svg, "svg_text", lambda figure, **_: "<svg></svg>")  # figures are drawn and not written
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] in {"em_sufficient", "em_with_intervals", "mcmc_needed", "inconclusive"}
    assert len(printed) > 3
    assert "<html" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.runs_numpyro
def test_the_numpyro_program_is_fitted_and_is_eight_lines(monkeypatch, capsys):
    _, example = _blocks("python")
    program = example[example.index("def model") : example.index("\n\nwaiting")]
    assert len(program.splitlines()) <= 8
    # What takes arguments as `sample` and `compare` do, which run by name.
    for name, answer in (("sample", "a posterior"), ("compare", SimpleNamespace(sentence="EM is enough"))):
        signature = inspect.signature(getattr(emjax, name))
        monkeypatch.setattr(emjax, name, lambda *a, _of=signature, _gives=answer, **b: _of.bind(*a, **b) and _gives)
    names: dict = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["fit"].converged
    assert capsys.readouterr().out == "EM is enough\n"


@pytest.mark.slow
@pytest.mark.runs_numpyro
def test_the_numpyro_program_runs(capsys):
    exec(compile(_blocks("python")[1], "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith(("EM is enough", "Use MCMC"))


def test_the_two_commands_are_the_promised_ones():
    commands = [line for block in _blocks("bash") for line in block.splitlines() if line]
    assert commands == ["pip install uv && uv run emjax compare faithful -k 2", "uv run --group test pytest"]


def test_every_command_named_is_one_of_the_command_line(monkeypatch, capsys):
    from emjax.cli.app import main

    named = {shlex.split(text)[1] for text in re.findall(r"`(emjax [^`]+)`", README)}
    assert named >= {"compare", "fit", "sample", "run", "datasets", "doctor", "schema"}
    for command in sorted(named):
        monkeypatch.setattr(sys, "argv", ["emjax", command, "--help"])
        with pytest.raises(SystemExit) as stop:
            sys.exit(main())
        assert not stop.value.code
        assert command in capsys.readouterr().out


def test_every_linked_file_is_there():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    missing = [link for link in links if not (ROOT / link).exists()]
    assert missing == []


NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def shown(value: object) -> str:
    """What a notebook would show of a value."""
    if isinstance(value, Figure):
        return str(value._repr_png_())  # Matplotlib's own figures have none, and would be shown as text
    html = getattr(value, "_repr_html_", None)
    return (html() if html is not None else None) or repr(value)


def _cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def test_notebooks_hold_no_outputs_which_are_made_when_the_pages_are_built():
    cells = [cell for path in NOTEBOOKS for cell in _cells(path)]
    assert any(cell["cell_type"] == "code" for cell in cells)
    assert all(cell.get("outputs", []) == [] for cell in cells)
    conf = (ROOT / "docs" / "conf.py").read_text(encoding="utf-8")
    assert 'nb_execution_mode = "force"\nnb_execution_raise_on_error = True' in conf, "nothing runs the notebooks"


@pytest.mark.slow  # the gate builds the pages, which runs every notebook and fails where a cell does
@pytest.mark.runs_numpyro
@pytest.mark.filterwarnings("default")  # of libraries that a notebook calls itself
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("EMJAX_NO_CACHE", "1")  # a setting of the whole process, which other tests share
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    names: dict[str, object] = {"__name__": "notebook"}
    for cell in _cells(path):
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, path.name, "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), path.name, "eval"), names)
            assert value is None or shown(value)


def test_there_is_one_for_each_way_in():
    assert [path.stem for path in NOTEBOOKS] == [
        "from_mclust_and_stan", "from_numpyro_and_arviz", "from_scikit_learn", "simulation_study", "teaching",
    ]  # fmt: skip
