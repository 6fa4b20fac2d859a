"""What all tests share: shapes are checked, ranks are not promoted silently, float64 is asked for by name, and programs
are compiled fast."""

import atexit
import contextlib
import ctypes.util
import gc
import importlib.util
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType

# Most of the time of the tests goes into compiling. XLA gives the same without most of its optimisations, and is done
# in half the time; ``JAX_DISABLE_MOST_OPTIMIZATIONS=0 uv run pytest`` tests the programs that users get. Threads that
# compile one program together would wait for each other where every core has a worker of its own.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_parallel_codegen_split_count=1")
# The same holds for the threads of NumPy's BLAS: on small matrices they only wait for each other, which made 300 steps
# of scikit-learn's EM take 5.7 s of processor time in place of 0.2 s.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import jaxtyping
import pytest

# A plugin may have imported JAX before.
jax.config.update("jax_disable_most_optimizations", os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1")

# What one worker has compiled in a file, the other need not compile in another, nor itself where `_mappings` has let it
# go. The first process makes the folder and its workers are told; no run finds the programs of an earlier one.
_PROGRAMS = "EMJAX_TESTS_PROGRAMS"
if _PROGRAMS not in os.environ:
    os.environ[_PROGRAMS] = tempfile.mkdtemp(prefix="emjax-tests-")
    atexit.register(shutil.rmtree, os.environ[_PROGRAMS], ignore_errors=True)
jax.config.update("jax_compilation_cache_dir", os.environ[_PROGRAMS])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)  # most smaller ones are written and never read

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
    "emjax.selection.bridge_sampling",
    "emjax.selection.partition_prior",
    "emjax.selection.split_merge",
    "emjax.selection.sweep",
    "emjax.selection.thames",
    "emjax.probabilistic.family",
    "emjax.probabilistic.finding",
    "emjax.probabilistic.likeness",
    "emjax.probabilistic.prior",
    "emjax.probabilistic.recognised",
    "emjax.probabilistic.starts",
)
"""The modules whose annotations carry shapes. The others (readers, the command line, NumPy on the host) have none, and
refuse strange input by messages of their own, which a type checker in front of them would replace."""

# Every process that imports emjax for tests comes through here first, the workers of pytest-xdist as well.
jaxtyping.install_import_hook(list(HOOKED), "annotations.checked")


def pytest_xdist_setupnodes() -> None:
    """XLA makes and drops millions of small objects for every program. Where jemalloc is installed, the workers take
    their memory from it: a fifth less time of compiling than with glibc's. What they start themselves does not."""
    library = ctypes.util.find_library("jemalloc")
    if library is not None:
        os.environ.setdefault("LD_PRELOAD", library)


if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.pop("LD_PRELOAD", None)

# A collection looks at all the programs that are kept, and most of what a test makes is gone with its last reference.
gc.set_threshold(50_000, 20, 50)

_RUNS_NUMPYRO = {"bayes", "experiments", "e2e"}
_TESTS = Path(__file__).resolve().parent


@pytest.fixture(autouse=True)
def _ranks(request: pytest.FixtureRequest) -> Iterator[None]:
    """An array of the wrong rank is an error, but for code of NumPyro, which relies on the promotion of ranks."""
    folder = request.path.resolve().relative_to(_TESTS).parts[0]
    numpyro = folder in _RUNS_NUMPYRO or request.node.get_closest_marker("runs_numpyro") is not None
    with jax.numpy_rank_promotion("allow" if numpyro else "raise"):
        yield


_MOST_MAPPINGS = 25_000
"""One file has been seen to add 14,500 (`emjax.programs` says of how many), and programs must not go in the middle of a
test that counts what is compiled again."""


@pytest.fixture(autouse=True, scope="module")
def _mappings() -> Iterator[None]:
    """The programs that earlier files compiled go before the process runs out of memory mappings for the next one's."""
    from emjax.programs import mappings

    yield
    if mappings() > _MOST_MAPPINGS:
        jax.clear_caches()
        gc.collect()


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


_CHANGES = (
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "os.rename", "os.rmdir",
    "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "shutil.", "socket.connect", "pickle.find_class",
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_watching: list[list[str]] = []


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if not _watching:
        return
    if event == "open":
        path, mode, flags = arguments
        if isinstance(flags, int) and flags & _WRITING and not str(path).endswith((".pyc", "/dev/null")):
            _watching[-1].append(f"open {path!r} {mode} {flags}")
    elif event == "exec":
        # Python's own modules run when they are first needed; a config may name the files of models.
        path = Path(getattr(arguments[0], "co_filename", "<text>"))
        homes = (sys.prefix, sys.base_prefix, str(_TESTS.parent))
        if not (str(path).startswith(("<", *homes)) or path.name in ("model.py", "broken.py")):
            _watching[-1].append(f"exec {path}")
    elif event.startswith(_CHANGES) and "__pycache__" not in str(arguments):
        _watching[-1].append(f"{event} {arguments!r}")


@pytest.fixture(scope="session")
def only_reading() -> Callable[[], AbstractContextManager[None]]:
    """A context in which nothing may be written, removed, started or unpickled, nor ten seconds of a core be taken."""
    sys.addaudithook(_watch)

    @contextlib.contextmanager
    def context() -> Iterator[None]:
        seen: list[str] = []
        began = time.process_time()
        _watching.append(seen)
        try:
            yield
        finally:
            _watching.remove(seen)
        assert not seen
        assert time.process_time() - began < 10.0, "a hang"

    return context
