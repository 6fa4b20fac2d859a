"""Small studies of scikit-learn's mixtures: jobs of a few milliseconds that need no JAX."""

import signal
from concurrent.futures import Future
from typing import Any

import pytest

from emjax.experiments.config.schema import Study
from emjax.experiments.execution.worker import ONE_THREAD


def declaration(n_cells: int = 2, replicates: int = 4, batch: int = 2, n_samples: int = 50, **execution: Any) -> dict:
    """The tree of a study with ``n_cells * replicates / batch`` jobs."""
    return {
        "title": "Small",
        "seed": 3,
        "data": {"kind": "simulate", "weights": [0.4, 0.6], "mean": [[-2.0], [2.0]], "scale": [[1.0], [1.0]]},
        "model": {"n_components": 2},
        "methods": [{"kind": "sklearn", "name": "peer"}],
        "sweep": {
            "replicates": replicates,
            "grid": {"data.n_samples": [n_samples + 10 * cell for cell in range(n_cells)]},
        },
        "execution": {"batch": batch, "retries": 0, **execution},
    }


@pytest.fixture(autouse=True)
def _signals():
    """What nohup or a background job ignores, the tests would, and their children: not here."""
    defaults = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGHUP: signal.SIG_DFL,
        signal.SIGTERM: signal.SIG_DFL,
    }
    ignored = [number for number in defaults if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, defaults[number])
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def small_study():
    """Make a study: ``small_study(n_cells=2, replicates=4, batch=2, retries=0, ...)``."""

    def make(**settings: Any) -> Study:
        return Study.model_validate(declaration(**settings))

    return make


@pytest.fixture
def study_tree():
    """As `small_study`, as a tree of plain values."""
    return declaration


@pytest.fixture
def comparable_rows():
    """All rows of a study's folder that have to be the same in every run: those that are no cost."""

    def read(folder: Any) -> Any:
        import pandas

        from emjax.experiments.work.measures import COST

        rows = pandas.read_parquet(folder / "rows.parquet")
        return rows[~rows["quantity"].isin(COST)].reset_index(drop=True)

    return read


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    """No compilation cache; what a job sets in the environment of its process is taken back."""
    monkeypatch.setenv("EMJAX_NO_CACHE", "1")
    for name, value in ONE_THREAD.items():
        monkeypatch.setenv(name, value)


class InlineExecutor:
    """Does jobs at once in the process of the test: a process of their own would need seconds to start."""

    def __init__(self, n_workers, *, cache=True):
        self.n_workers = n_workers

    def submit(self, function, /, *arguments, limit=None, **more):
        future = Future()
        future.set_result(function(*arguments, **more))
        return future

    def close(self):
        pass


@pytest.fixture
def inline_workers(monkeypatch):
    """Runs do their jobs in the process of the test."""
    from emjax.experiments.execution import local

    monkeypatch.setattr(local, "LocalExecutor", InlineExecutor)
