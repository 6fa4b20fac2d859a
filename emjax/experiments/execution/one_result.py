"""One result of a study had again: one method on the data set of one replicate, in this process."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas

from emjax.errors import ConfigError
from emjax.experiments.archive.differences import comparable_rows, compare_numbers
from emjax.experiments.execution.rerun import record_of
from emjax.experiments.plan.grid import make_plan
from emjax.experiments.plan.jobs import data_seed, method_seed
from emjax.experiments.work.data import make_replicate
from emjax.experiments.work.measures import measure
from emjax.experiments.work.methods import iterate_method
from emjax.experiments.work.methods.shared import failed, failures_raised
from emjax.shown import Shown
from emjax.wording import printable

if TYPE_CHECKING:
    from emjax.experiments.results import StudyResult


@dataclasses.dataclass(frozen=True, repr=False)
class OneResult(Shown):
    """What a method came to on one data set."""

    cell: str
    method: str
    replicate: int
    data_seed: int  # all that is random follows from the seeds
    method_seed: int  # `jax.random.key` of it is the key of the method
    status: str  # how the method ended
    message: str  # of one that failed the reason
    error: BaseException | None  # of one that failed, with its traceback
    rows: pandas.DataFrame  # ``quantity``, ``parameter`` and ``value`` of all measures
    same: bool | None  # whether the folder has the same numbers, to rounding; None where it has none of this result


def repeat_one(result: StudyResult, *, cell: str | None = None, replicate: int, method: str | None = None) -> OneResult:
    """Have one result of a study again, failed or not; nothing is written.

    The ``cell`` is named by its index, from 0, or the beginning of its key, the ``method`` by its label; either may be
    left out where there is one. Raises ConfigError where the study has no such result, or its data or files are gone or
    have changed.
    """
    replicate = operator.index(replicate)  # one out of a data frame is no int of Python's
    key, label = _cell_key(result, cell), _method_label(result, method)
    job = next(
        (
            job
            for job in result.declaration["jobs"]
            if (job["cell"], job["method"]) == (key, label) and job["first"] <= replicate < job["stop"]
        ),
        None,
    )
    if job is None:
        raise ConfigError(f"{printable(result.folder)}: --replicate {replicate}: {label} has none of this number")
    spec = {**_spec(result, job["key"]), "first": replicate, "stop": replicate + 1}
    data, error = make_replicate(spec, replicate), None
    try:
        with failures_raised():
            (outcome,) = iterate_method(spec, [data])
    except Exception as raised:
        # Of a part of the user's own that is what it raised itself, not the line that it is told by.
        hidden = raised.__context__ if raised.__suppress_context__ else None
        outcome, error = failed(raised), hidden or raised
    found = measure(data, outcome, spec["level"], spec.get("measures", ()))
    rows = pandas.DataFrame(found, columns=["quantity", "parameter", "value"])
    return OneResult(
        cell=key,
        method=label,
        replicate=replicate,
        data_seed=data_seed(spec, replicate),
        method_seed=method_seed(spec, replicate),
        status=outcome.status,
        message=outcome.message,
        error=error,
        rows=rows,
        same=_is_stored(result, rows.assign(cell=key, method=label, replicate=replicate, status=outcome.status)),
    )


def _cell_key(result: StudyResult, wanted: str | None) -> str:
    cells = result.declaration["cells"]
    if wanted is None and len(cells) == 1:
        return str(cells[0]["key"])
    if wanted is not None and wanted.isdecimal() and int(wanted) < len(cells):
        return str(cells[int(wanted)]["key"])
    found = [cell["key"] for cell in cells if wanted and cell["key"].startswith(wanted)]
    if len(found) != 1:
        given = "the study has several cells" if wanted is None else f"--cell {printable(wanted)}: no such cell"
        raise ConfigError(
            f"{printable(result.folder)}: {given}; write --cell with a number from 0 to {len(cells) - 1}, or with the "
            "beginning of a key"
        )
    return str(found[0])


def _method_label(result: StudyResult, wanted: str | None) -> str:
    if wanted is None and len(result.methods) == 1:
        return result.methods[0]
    if wanted not in result.methods:
        given = "the study has several methods" if wanted is None else f"--method {printable(wanted)}: no such method"
        raise ConfigError(f"{printable(result.folder)}: {given}; its methods are {', '.join(result.methods)}")
    return wanted


def _spec(result: StudyResult, key: str) -> Mapping[str, Any]:
    """The spec of a job: as its record has it, done or failed, else planned again."""
    if key in result.finished:
        return dict(record_of(result.archive, key)["spec"])
    if key in result.failures:
        return dict(result.failures[key]["spec"])
    return next(job.spec for job in make_plan(result.study, result.archive.known_jobs()).jobs if job.key == key)


def _is_stored(result: StudyResult, fresh: pandas.DataFrame) -> bool | None:
    places = ["cell", "method", "replicate"]
    stored = result.rows.merge(fresh[places].drop_duplicates(), on=places)
    if stored.empty:
        return None
    found = compare_numbers(comparable_rows(stored), comparable_rows(fresh))
    return found.same and not (found.n_only_first or found.n_only_second)
