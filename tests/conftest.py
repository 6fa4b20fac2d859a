"""What all tests share: shapes are checked, ranks are not promoted silently, and float64 is asked for by name."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import jax
import jaxtyping
import pytest

HOOKED = (
    "emjax.families",
    "emjax.mixture",
    "emjax.em",
    "emjax.result",
    "emjax.uncertainty",
    "emjax.bayes.adaptive",
    "emjax.bayes.bridge",
    "emjax.bayes.draws",
    "emjax.bayes.empty",
    "emjax.bayes.gibbs",
    "emjax.bayes.hmc",
    "emjax.bayes.jumps",
    "emjax.bayes.modes",
    "emjax.bayes.numbering",
    "emjax.bayes.target",
)
"""The modules whose annotations carry shapes. The others (readers, the command line, NumPy on the host) have none, and
refuse strange input by messages of their own, which a type checker in front of them would replace."""

# Every process that imports emjax for tests comes through here first, the workers of pytest-xdist as well.
jaxtyping.install_import_hook(list(HOOKED), "beartype.beartype")

_RUNS_NUMPYRO = {"bayes", "experiments", "e2e"}
_TESTS = Path(__file__).resolve().parent


@pytest.fixture(autouse=True)
def _ranks(request: pytest.FixtureRequest) -> Iterator[None]:
    """An array of the wrong rank is an error, but for code of NumPyro, which relies on the promotion of ranks."""
    folder = request.path.resolve().relative_to(_TESTS).parts[0]
    numpyro = folder in _RUNS_NUMPYRO or request.node.get_closest_marker("runs_numpyro") is not None
    with jax.numpy_rank_promotion("allow" if numpyro else "raise"):
        yield


@pytest.fixture
def x64() -> Iterator[None]:
    """Float64 for a test that calls traceable functions itself; the library's own entry points need no such thing."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def double_loop_em() -> ModuleType:
    """The plain NumPy EM of ``reference/double_loop_em.py``."""
    path = _TESTS / "reference" / "double_loop_em.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
