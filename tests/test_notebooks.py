"""The notebooks of the docs run from the first cell to the last, and what each cell ends with can be shown."""

import ast
import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))


def shown(value: object) -> str:
    """What a notebook would show of a value."""
    if isinstance(value, Figure):
        return str(value._repr_png_())  # Matplotlib's own figures have none, and would be shown as text
    html = getattr(value, "_repr_html_", None)
    return (html() if html is not None else None) or repr(value)


@pytest.mark.runs_numpyro
@pytest.mark.filterwarnings("default")  # of libraries that a notebook calls itself
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("EMJAX_NO_CACHE", "1")  # a setting of the whole process, which other tests share
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert all(cell.get("outputs", []) == [] for cell in cells), "outputs are made when the pages are built"
    names: dict[str, object] = {"__name__": "notebook"}
    for cell in cells:
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
