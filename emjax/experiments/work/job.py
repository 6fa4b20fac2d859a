"""One job: its data, its method, its rows and files."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emjax.environment import fingerprint_of
from emjax.experiments.work.data import make_replicate
from emjax.experiments.work.measures import measure
from emjax.experiments.work.methods import iterate_method
from emjax.experiments.work.methods.shared import TimeLimitReached, check_deadline, label
from emjax.experiments.work.outcome import NOT_RUN, Outcome, Replicate

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ROWS_FILE", "TimeLimitReached", "posterior_file", "row_schema", "run_job"]

ROWS_FILE = "rows.parquet"


def posterior_file(number: int) -> str:
    """The name of the file with the posterior of a replicate."""
    return f"posterior-{number}.nc"


def run_job(
    spec: Mapping[str, Any], folder: str | os.PathLike[str], *, deadline: float | None = None
) -> dict[str, Any]:
    """Run a job (`spec`) and write its rows, and its posteriors where the method keeps them, into an existing folder.

    Two runs of the same spec write equal rows but for the quantities in `emjax.experiments.work.measures.COST`. The
    deadline, a value of ``time.monotonic``, is looked at between replicates.

    Returns plain JSON values: ``n_rows``; ``statuses``, the number of replicates by status; ``failures``, the messages
    of those that failed by replicate; ``data_sha256``, one fingerprint per replicate; ``compile_seconds`` and
    ``run_seconds`` of the method on all replicates. Raises TimeLimitReached, after which nothing that was written is
    complete, and ConfigError or DataError where the settings or the data are wrong for every replicate.
    """
    folder = Path(folder)
    replicates = list(_replicates(spec, deadline))
    table = _Table(spec)
    statuses: dict[str, int] = {}
    failures: dict[str, str] = {}
    compile_seconds = run_seconds = 0.0
    outcomes = iterate_method(spec, replicates, deadline=deadline)
    for done, (replicate, outcome) in enumerate(zip(replicates, outcomes, strict=True)):
        check_deadline(deadline, done, len(replicates))
        table.add(replicate, outcome)
        statuses[outcome.status] = statuses.get(outcome.status, 0) + 1
        if outcome.status in NOT_RUN:
            failures[str(replicate.number)] = outcome.message
        compile_seconds += _or_zero(outcome.compile_seconds)
        run_seconds += _or_zero(outcome.run_seconds)
        if outcome.tree is not None:
            _save(outcome.tree, folder / posterior_file(replicate.number))
    table.write(folder / ROWS_FILE)
    return {
        "n_rows": table.n_rows,
        "statuses": dict(sorted(statuses.items())),
        "failures": failures,
        "data_sha256": [fingerprint_of(replicate.data) for replicate in replicates],
        "compile_seconds": compile_seconds,
        "run_seconds": run_seconds,
    }


def _replicates(spec: Mapping[str, Any], deadline: float | None) -> Iterator[Replicate]:
    numbers: Sequence[int] = range(spec["first"], spec["stop"])
    for number in numbers:
        check_deadline(deadline, 0, len(numbers))
        yield make_replicate(spec, number)


def _save(tree: Any, path: Path) -> None:
    from emjax.bayes.tree import save_tree

    save_tree(tree, path)


def _or_zero(seconds: float) -> float:
    return 0.0 if math.isnan(seconds) else seconds


def row_schema() -> pa.Schema:
    """The columns of ``rows.parquet``: texts are plain strings for readers, and stored as dictionaries."""
    import pyarrow as pa

    texts = ("cell", "method", "quantity", "parameter", "status")
    types = {"replicate": pa.int32(), "value": pa.float64(), **dict.fromkeys(texts, pa.string())}
    order = ("cell", "replicate", "method", "quantity", "parameter", "value", "status")
    return pa.schema([pa.field(name, types[name], nullable=False) for name in order])


class _Table:
    """The rows of a job, column by column, in the order of replicates and, within one, of its measures."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._spec = spec
        self._columns: dict[str, list[Any]] = {
            name: [] for name in ("replicate", "quantity", "parameter", "value", "status")
        }

    @property
    def n_rows(self) -> int:
        """Rows so far."""
        return len(self._columns["value"])

    def add(self, replicate: Replicate, outcome: Outcome) -> None:
        """Measure an outcome."""
        for quantity, parameter, value in measure(
            replicate, outcome, self._spec["level"], self._spec.get("measures", ())
        ):
            row = (replicate.number, quantity, parameter, float(value), outcome.status)
            for column, entry in zip(self._columns.values(), row, strict=True):
                column.append(entry)

    def write(self, path: Path) -> None:
        """Write all rows as Parquet; the same rows give the same bytes."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        same = {"cell": self._spec["cell"], "method": label(self._spec)}
        columns = {**self._columns, **{name: [text] * self.n_rows for name, text in same.items()}}
        table = pa.table({name: columns[name] for name in row_schema().names}, schema=row_schema())
        texts = [field.name for field in row_schema() if field.type == pa.string()]
        pq.write_table(table, path, compression="zstd", use_dictionary=texts)
