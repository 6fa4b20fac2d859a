"""What the source looks like: imports point downwards, heavy packages load late, one place per mechanism."""

import ast
import functools
import graphlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from emjax.catalogue import NAMED_SAMPLERS, STARTS
from emjax.families import FAMILIES, Categorical, Normal

DECLARED = [*(family() for name, family in FAMILIES.items() if name != "categorical"), Normal("diag"), Categorical([2])]

CLASSES = {type(family).__name__ for family in DECLARED}

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "emjax"

# From the bottom to the top. At module level a module imports from its own layer and from those below it.
LAYERS = (
    {"catalogue", "errors", "jsonable", "nearest", "programs", "threads"},
    {
        "atomic",
        "bounds",
        "clock",
        "compilation_cache",
        "criteria",
        "files",
        "floats",
        "keys",
        "labels",
        "levels",
        "matrix",
        "moments",
        "naming",
        "plain",
        "progress",
        "samples",
        "scope",
        "shown",
        "storage",
        "table",
        "weights",
        "wording",
    },
    {"align", "datasets", "families"},
    {"mixture"},
    {"probabilistic", "summary"},
    {"result"},
    {"em"},
    {"metrics", "verdict", "uncertainty", "bayes"},
    {"selection"},
    {"comparison"},
    {"environment", "report", "plots"},
    {"__init__"},
    {"experiments", "sklearn"},
    {"cli"},
    {"__main__"},
)
LAYER_OF = {name: level for level, names in enumerate(LAYERS) for name in names}

# Imports inside a function that point upwards, each a convenience of the public face.
LAZY_UPWARD = {
    ("result.py", "uncertainty"),
    ("comparison.py", "report"),
    ("shown.py", "plots"),
    ("storage.py", "bayes"),
}

HEAVY = {
    "numpyro",
    "arviz",
    "arviz_base",
    "arviz_stats",
    "arviz_plots",
    "matplotlib",
    "pandas",
    "pyarrow",
    "xarray",
    "sklearn",
}
MAY_LOAD_HEAVY = {
    "bayes",
    "cli",
    "experiments",
    "families/numpyro_domains.py",
    "plots",
    "probabilistic",
    "report",
    "sklearn",
}

Import = tuple[str, bool, int]


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a file, which half the tests here ask for."""
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def nodes_of(path: Path) -> list[ast.AST]:
    """All nodes of the tree."""
    return list(ast.walk(tree_of(path)))


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _imported_names(node: ast.Import | ast.ImportFrom, path: Path, package: Path) -> Iterator[str]:
    """Yield the dotted names an import statement asks for, relative ones made absolute."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    parts = (node.module or "").split(".") if node.module else []
    if node.level:
        folder = (package.name, *path.relative_to(package).parts[:-1])
        parts = [*folder[: len(folder) - node.level + 1], *parts]
    # The last part may be a module or a name inside one: `from emjax import errors` or `import DataError`.
    yield from (".".join([*parts, alias.name]) for alias in node.names)


def imports(path: Path, package: Path = PACKAGE) -> list[Import]:
    """Every import of a file as (dotted name, inside a function?, line), less those for type checkers."""
    found: list[Import] = []

    def walk(node: ast.AST, lazy: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                found.extend((name, lazy, child.lineno) for name in _imported_names(child, path, package))
            elif _is_type_checking(child):
                for branch in child.orelse:
                    walk(branch, lazy)
            else:
                walk(child, lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))

    walk(tree_of(path), False)
    return found


def part_of(path: Path, package: Path = PACKAGE) -> str:
    """The name a file has in the table of layers: its first folder below the package, or its own name."""
    return path.relative_to(package).parts[0].removesuffix(".py")


def target_of(name: str) -> str | None:
    """The name an import has in LAYERS: None for other packages, ``__init__`` for the public names."""
    parts = name.split(".")
    if parts[0] != "emjax":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in LAYER_OF else "__init__"


def upward(package: Path, lazy: bool) -> set[tuple[str, str, int]]:
    """The imports of a package that point upwards: (file, part that is imported, line)."""
    found = set()
    for path in sorted(package.rglob("*.py")):
        level = LAYER_OF[part_of(path, package)]
        for name, inside, line in imports(path, package):
            target = target_of(name)
            if target is not None and inside == lazy and LAYER_OF[target] > level:
                found.add((path.relative_to(package).as_posix(), target, line))
    return found


def heavy_at_module_level(package: Path) -> set[tuple[str, str]]:
    """The (file, package) pairs where something heavy loads outside the folders that may load it."""
    return {
        (path.relative_to(package).as_posix(), name.split(".")[0])
        for path in package.rglob("*.py")
        if not {part_of(path, package), path.relative_to(package).as_posix()} & MAY_LOAD_HEAVY
        for name, lazy, _ in imports(path, package)
        if not lazy and name.split(".")[0] in HEAVY
    }


def files_where(holds: Callable[[ast.AST], bool]) -> set[str]:
    """The files of the library in whose syntax tree some node fulfils a condition."""
    return {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(holds(node) for node in nodes_of(path))
    }


def modules_loaded_by(statement: str) -> set[str]:
    """The top-level packages a fresh interpreter holds after a statement."""
    program = f"{statement}\nimport sys\nprint('\\n'.join(sorted(name.split('.')[0] for name in sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A package of the same name that breaks the rules of the layers, to see that they are noticed."""
    package = tmp_path / "emjax"
    (package / "em").mkdir(parents=True)
    (package / "em" / "loop.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "from ..errors import FitError\n"
        "from .. import comparison\n"
        "if TYPE_CHECKING:\n    import numpyro\n    from emjax.experiments import cli\n"
        "def later():\n    import pandas\n    from emjax.bayes.nuts import sample\n"
    )
    (package / "mixture.py").write_text("import jax\nimport numpyro.distributions as dist\nimport emjax\n")
    (package / "errors.py").write_text("try:\n    from emjax import Mixture\nfinally:\n    pass\n")
    return package


def test_every_module_has_a_layer():
    parts = {part_of(path) for path in PACKAGE.rglob("*.py")}
    assert parts <= set(LAYER_OF), "a new module needs a place in LAYERS"


def test_imports_point_downwards():
    assert upward(PACKAGE, lazy=False) == set()


def test_lazy_imports_that_point_upwards_are_the_listed_ones():
    assert {(file, target) for file, target, _ in upward(PACKAGE, lazy=True)} == LAZY_UPWARD


def test_heavy_packages_load_late():
    assert heavy_at_module_level(PACKAGE) == set()


def test_planted_violations_are_noticed(planted: Path):
    assert upward(planted, lazy=False) == {
        ("em/loop.py", "comparison", 3),
        ("mixture.py", "__init__", 3),
        ("errors.py", "__init__", 2),
    }
    assert upward(planted, lazy=True) == {("em/loop.py", "bayes", 9)}
    assert heavy_at_module_level(planted) == {("mixture.py", "numpyro")}


FAMILY_WORDS = {*FAMILIES, *(site for family in DECLARED for site in family.sites)} - {
    "mean",
    "scale",
    "shape",
    "gamma",
}
"""Names of families and of their parameters; of the latter not those that are everyday words of arrays and tables."""

_STRUCTURE = "the covariance structure, by its key in configs and in what runs have written down"
_RATE = "a rate of convergence, or of draws: another word for another thing"
_SIMULATION = "what simulated data are drawn from, by the keys of configs"
_SCIKIT_LEARN = "scikit-learn's mixtures, which are normal"
NAMES_A_FAMILY = {
    "catalogue.py": "the catalogue",
    "naming.py": "what is told of pairs of features, wherever a family has it",
    "summary.py": "mclust's word for the number of free parameters",
    "selection/candidates.py": _STRUCTURE,
    "selection/selection.py": "the same word",
    "cli/commands/select.py": _STRUCTURE,
    "cli/options.py": _STRUCTURE,
    "experiments/config/data.py": _SIMULATION,
    "experiments/archive/documents.py": _RATE,
    "experiments/execution/single.py": _STRUCTURE,
    "experiments/config/mixtures.py": _STRUCTURE,
    "experiments/config/model.py": _STRUCTURE,
    "experiments/config/schema.py": _SIMULATION,
    "cli/terminal.py": _STRUCTURE,
    "experiments/work/methods/peers.py": _SCIKIT_LEARN,
    "experiments/work/truth.py": _SIMULATION,
    "metrics/diagnostics.py": _RATE,
    "report/drawing/classification.py": "the height of bars: the word for a probability",
    "sklearn/run.py": _SCIKIT_LEARN,
}
"""Files outside `emjax/families` and the simulators that may name a family or a parameter, each with its reason."""


def names_a_family(node: ast.AST) -> bool:
    """Whether a node is the name of a family or a parameter, or a class of one."""
    if isinstance(node, ast.Constant):
        return node.value in FAMILY_WORDS if isinstance(node.value, str) else False
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").startswith("emjax") and any(alias.name in CLASSES for alias in node.names)
    return isinstance(node, ast.Attribute) and node.attr in CLASSES and ast.unparse(node.value) in ("emjax", "families")


def test_no_file_outside_the_families_names_one():
    found = {
        path for path in files_where(names_a_family) if not path.startswith(("families/", "datasets/", "__init__"))
    }
    assert found == set(NAMES_A_FAMILY)


NAMES_A_SAMPLER = {
    "catalogue.py": "the catalogue",
    "bayes/choice.py": "the rules by which `auto` begins with one sampler rather than another",
    "bayes/methods.py": "the table of their functions",
}
NAMES_A_START = {"catalogue.py": "the catalogue", "em/init.py": "how each is drawn"}
"""Files that may name a sampler, or a kind of starts, each with its reason."""


@pytest.mark.parametrize(
    ("words", "files"),
    [
        # A sampler and two kinds of starts have everyday words for names.
        (set(NAMED_SAMPLERS) - {"bootstrap"}, NAMES_A_SAMPLER),
        (set(STARTS) - {"random", "responsibilities"}, NAMES_A_START),
    ],
)
def test_no_other_file_names_a_sampler_or_a_start(words, files):
    assert files_where(lambda node: isinstance(node, ast.Constant) and node.value in words) == set(files)


def test_importing_emjax_loads_nothing_heavy():
    loaded = modules_loaded_by("import emjax")
    assert "emjax" in loaded
    assert loaded & HEAVY == set()


def test_em_on_arrays_loads_nothing_heavy():
    loaded = modules_loaded_by(
        "import emjax\nemjax.Mixture(emjax.Normal(), n_components=2), emjax.Poisson(), emjax.fit"
    )
    assert "jax" in loaded
    assert loaded & HEAVY == set()


def test_one_file_holds_the_loop_of_em_and_newtons_method_has_its_own():
    def holds(node: ast.AST) -> bool:
        return getattr(node, "attr", getattr(node, "id", getattr(node, "name", None))) == "while_loop"

    assert files_where(holds) == {"em/loop.py", "families/newton.py", "uncertainty/profile.py"}


def test_one_file_writes_sample_sites():
    def holds(node: ast.AST) -> bool:
        if isinstance(node, ast.ImportFrom):
            return node.module == "numpyro" and any(alias.name == "sample" for alias in node.names)
        return isinstance(node, ast.Attribute) and node.attr == "sample" and ast.unparse(node) == "numpyro.sample"

    assert files_where(holds) == {"bayes/bridge.py"}


def test_settings_of_jax_change_where_somebody_asked_for_it():
    def holds(node: ast.AST) -> bool:
        if not (isinstance(node, ast.Attribute) and node.attr == "update"):
            return False
        return ast.unparse(node) in {"jax.config.update", "config.update"}

    assert files_where(holds) == {"compilation_cache.py", "experiments/execution/runtime.py"}


def test_one_file_below_the_command_line_writes_to_the_terminal():
    def holds(node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and ast.unparse(node.func) in {
            "print", "sys.stderr.write", "sys.stdout.write", "display",
        }  # fmt: skip

    above = ("cli/", "sklearn/")
    assert {path for path in files_where(holds) if not path.startswith(above)} == {"progress.py"}


def python_files() -> list[Path]:
    """Every Python file of the project, generated folders left out."""
    folders = ("emjax", "tests", "models", "experiments", "benchmarks", "docs", ".ci")
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def test_files_stay_under_500_lines():
    lengths = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert PACKAGE.joinpath("__init__.py").relative_to(ROOT) in lengths
    assert {path: length for path, length in lengths.items() if length >= 500} == {}


def functions_of(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions, wherever a statement may stand: looking at expressions as well takes seconds."""
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        for inner in getattr(node, block, None) or ():
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                yield inner
            yield from functions_of(inner)


def test_functions_stay_within_80_lines():
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in python_files()
        for node in functions_of(tree_of(path))
        if node.end_lineno - node.lineno + 1 > 80
    }
    assert long == set()


def test_citation_names_the_version_and_licence_of_the_package():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    fields = dict(re.findall(r"^([a-z-]+): (\S.*)$", text, flags=re.MULTILINE))
    assert fields["version"] == version("emjax")
    assert fields["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def import_graph() -> dict[str, set[str]]:
    """Which module imports which, wherever in a file; a face, which only hands names on, counts for nothing."""
    paths = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    trees = {name: tree_of(path) for name, path in paths.items()}
    faces = {
        name
        for name, tree in trees.items()
        if paths[name].name == "__init__.py"
        and not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in tree.body)
    }
    graph: dict[str, set[str]] = {}
    for name in trees.keys() - faces:
        asked = [
            (found, found.rpartition(".")[0])
            for node in nodes_of(paths[name])
            if isinstance(node, ast.Import | ast.ImportFrom)
            for found in _imported_names(node, paths[name], PACKAGE)
        ]
        found = {full if full in paths else package for full, package in asked}
        graph[name] = (found & trees.keys()) - faces - {name}
    return graph


def test_no_imports_go_in_a_circle():
    found = graphlib.TopologicalSorter(import_graph())
    found.prepare()  # raises a CycleError that names the circle
    assert found.is_active()


def test_nothing_below_the_reports_draws():
    def holds(node: ast.AST) -> bool:
        return isinstance(node, ast.Import | ast.ImportFrom) and "matplotlib" in ast.unparse(node)

    below = {
        path for path in files_where(holds) if LAYER_OF[path.split("/")[0].removesuffix(".py")] < LAYER_OF["report"]
    }
    assert below == {"shown.py"}


def test_files_of_the_wing_stay_under_400_lines():
    paths = [path for room in ("cli", "experiments", "report") for path in (PACKAGE / room).rglob("*.py")]
    assert max(len(path.read_text(encoding="utf-8").splitlines()) for path in paths) < 400
