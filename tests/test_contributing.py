"""CONTRIBUTING's way to add a family is short, complete, and how Poisson was added."""

import ast
import re
from pathlib import Path
from typing import get_args

from emjax.families import Family, Poisson
from emjax.families.scalar import ScalarFamily

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Add a family")[1]


def _code_lines(path: Path, name: str) -> int:
    """Lines of one class without blank lines, comments and docstrings."""
    source = path.read_text(encoding="utf-8")
    (found,) = [n for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name == name]
    documented: set[int] = set()
    for node in ast.walk(found):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            documented |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = source.splitlines()
    kept = [
        number
        for number in range(found.lineno, found.end_lineno + 1)
        if number not in documented and (text := lines[number - 1].strip()) and not text.startswith("#")
    ]
    return len(kept)


def test_the_guide_and_the_example_have_under_60_lines():
    assert len(GUIDE.strip().splitlines()) < 60
    assert 20 < _code_lines(ROOT / "emjax/families/poisson.py", "Poisson") < 80


def test_the_guide_names_everything_a_family_must_write_and_may_override():
    named = set(re.findall(r"`(\w+)(?:\(\.\.\.\))?`", GUIDE))
    required = set(Family.__abstractmethods__) | set(ScalarFamily.__abstractmethods__)
    assert required, "a family without obligations"
    assert required <= named
    assert required <= set(vars(Poisson))
    own = {**vars(Family), **vars(ScalarFamily)}
    defaults = {name for name, value in own.items() if callable(value) and not name.startswith("_")} - required
    assert defaults - {"log_density"} <= named


def test_poisson_stands_where_the_guide_says():
    import emjax
    from emjax.catalogue import FAMILY_ENTRIES, is_structured
    from emjax.experiments.config.model import Model
    from emjax.families import FAMILIES

    assert set(get_args(Model.model_fields["family"].annotation)) == set(FAMILY_ENTRIES) == set(FAMILIES)
    structured = {name for name, family in FAMILIES.items() if hasattr(family(), "covariance")}
    assert structured == set(filter(is_structured, FAMILIES))
    assert FAMILIES["poisson"] is Poisson is emjax.Poisson
    assert "Poisson" in (ROOT / "tests/contracts/table.py").read_text(encoding="utf-8")
