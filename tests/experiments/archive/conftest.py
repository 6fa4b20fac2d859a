"""A small study whose jobs are written without being computed: an archive does not ask where rows come from."""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow
import pyarrow.parquet as parquet
import pytest

from emjax.experiments.archive.folder import Archive
from emjax.experiments.archive.rows import job_schema
from emjax.experiments.config.schema import Study
from emjax.experiments.plan.grid import make_plan
from emjax.experiments.plan.jobs import Job, Plan

QUANTITIES = (("estimate", "mean[0, x]"), ("covered", "mean[0, x]"), ("covered", "mean[1, x]"), ("log_score_loss", ""))
QUANTITIES += (("run_seconds", ""), ("trusted", ""))

Declare = Callable[..., Study]
Fill = Callable[..., Archive]
WriteJob = Callable[..., None]


@pytest.fixture
def declare() -> Declare:
    """Make a study of two methods; keyword arguments go into its sweep."""

    def make(seed: int = 0, batch: int = 2, methods: tuple[str, ...] = ("km", "bayes"), **sweep) -> Study:
        sweep = {"replicates": 4, "grid": {"data.n_samples": [50, 100]}, **sweep}
        return Study.model_validate(
            {
                "title": "A <b>study</b>",
                "question": "Is 1 < 2?",
                "seed": seed,
                "data": {"kind": "simulate", "weights": [0.5, 0.5], "mean": [[0.0], [4.0]], "scale": [[1.0], [1.0]]},
                "model": {"n_components": 2},
                "methods": [{"kind": "sklearn", "name": name} for name in methods],
                "sweep": sweep,
                "execution": {"batch": batch},
            }
        )

    return make


@pytest.fixture
def study(declare: Declare) -> Study:
    """Two cells, four replicates in batches of two, two methods: eight jobs."""
    return declare()


@pytest.fixture
def plan(study: Study) -> Plan:
    """The plan of `study`."""
    return make_plan(study)


def value_of(job: Job, replicate: int, quantity: str, shift: float = 0.0) -> float:
    """A number that follows from what names it, but for seconds."""
    if quantity in ("covered", "trusted"):
        return float(quantity == "trusted" or replicate % 2)
    seconds = 1e-3 * (1 + random.random()) if quantity == "run_seconds" else 0.0
    return job.spec["data"]["n_samples"] + 0.1 * replicate + seconds + (shift if quantity == "estimate" else 0.0)


def rows_of(job: Job, shift: float = 0.0) -> list[dict]:
    """The rows of a job as they are written."""
    return [
        {
            "cell": job.cell,
            "replicate": replicate,
            "method": job.method,
            "quantity": quantity,
            "parameter": parameter,
            "value": value_of(job, replicate, quantity, shift),
            "status": "converged",
        }
        for replicate in range(job.first, job.stop)
        for quantity, parameter in QUANTITIES
    ]


def _write_job(archive: Archive, job: Job, shift: float = 0.0) -> None:
    """Do a job as a runner does: claim it, write it, publish it."""
    rows = rows_of(job, shift)
    with archive.claim(job.key) as claimed:
        assert claimed
        with archive.writing(job.key, job.spec) as draft:
            parquet.write_table(pyarrow.Table.from_pylist(rows, job_schema()), draft.path / "rows.parquet")
            draft.summary = {"n_rows": len(rows), "statuses": {"converged": job.stop - job.first}}


@pytest.fixture
def write_job() -> WriteJob:
    """Do a job as a runner does, with made-up rows; ``shift`` is added to its estimates."""
    return _write_job


@pytest.fixture
def fill() -> Fill:
    """Begin a study in a folder and write its jobs: all, or those of ``keys``."""

    def write(folder: Path, study: Study, keys: set[str] | None = None, shift: float = 0.0) -> Archive:
        archive, plan = Archive(folder), make_plan(study)
        done = archive.begin(study, plan)
        for job in plan.jobs:
            if job.key not in done and (keys is None or job.key in keys):
                _write_job(archive, job, shift)
        return archive

    return write


@pytest.fixture
def archive(tmp_path: Path, study: Study, plan: Plan) -> Iterator[Archive]:
    """An archive in which `study` was begun and nothing is done."""
    made = Archive(tmp_path / "study")
    made.begin(study, plan)
    yield made
    # Whatever a test did: no lock is left, and nothing half-written.
    assert not list((tmp_path / "study" / "locks").iterdir())
    assert not list((tmp_path / "study" / "jobs").glob(".*"))


@pytest.fixture(scope="session")
def without_drawing() -> Callable[[], AbstractContextManager[Any]]:
    """A context in which the figures of a study are left blank: drawing them takes seconds."""
    from matplotlib.figure import Figure

    from emjax.experiments.pages import curves, frontier, verdict_bars

    @contextmanager
    def blank() -> Iterator[None]:
        with ExitStack() as stack:
            for room, name in ((curves, "curves"), (frontier, "frontier"), (verdict_bars, "verdicts")):
                stack.enter_context(mock.patch.object(room, f"draw_{name}", return_value=Figure()))
            yield

    return blank
