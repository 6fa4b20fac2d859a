"""One job: its data, its method, its rows and files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from emjax.environment import fingerprint_of
from emjax.experiments.archive.records import ROWS as ROWS_FILE
from emjax.experiments.archive.rows import job_schema
from emjax.experiments.work.data import make_replicate
from emjax.experiments.work.measures import measure
from emjax.experiments.work.methods import iterate_method
from emjax.experiments.work.methods.shared import TimeLimitReached, check_deadline
from emjax.experiments.work.outcome import NOT_RUN

__all__ = ["ROWS_FILE", "TimeLimitReached", "posterior_file", "run_job"]


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
    folder, numbers, replicates = Path(folder), range(spec["first"], spec["stop"]), []
    for number in numbers:
        check_deadline(deadline, 0, len(numbers))
        replicates.append(make_replicate(spec, number))
    rows: list[dict[str, Any]] = []
    job = {"cell": spec["cell"], "method": spec["method"]["name"]}
    statuses: Counter[str] = Counter()
    failures: dict[str, str] = {}
    seconds = []
    outcomes = iterate_method(spec, replicates, deadline=deadline)
    for done, (replicate, outcome) in enumerate(zip(replicates, outcomes, strict=True)):
        check_deadline(deadline, done, len(replicates))
        same = {**job, "replicate": replicate.number, "status": outcome.status}
        found = measure(replicate, outcome, spec["level"], spec.get("measures", ()))
        rows += [{**same, "quantity": what, "parameter": of, "value": float(value)} for what, of, value in found]
        statuses[outcome.status] += 1
        if outcome.status in NOT_RUN:
            failures[str(replicate.number)] = outcome.message
        seconds.append((outcome.compile_seconds, outcome.run_seconds))
        if outcome.tree is not None:
            from emjax.bayes.tree import save_tree

            save_tree(outcome.tree, folder / posterior_file(replicate.number))
    _write_rows(rows, folder / ROWS_FILE)
    compile_seconds, run_seconds = np.nansum(seconds, axis=0).tolist()
    return {
        "n_rows": len(rows),
        "statuses": dict(sorted(statuses.items())),
        "failures": failures,
        "data_sha256": [fingerprint_of(replicate.data) for replicate in replicates],
        "compile_seconds": compile_seconds,
        "run_seconds": run_seconds,
    }


def _write_rows(rows: list[dict[str, Any]], path: Path) -> None:
    """Write rows as Parquet, texts as dictionaries; the same rows give the same bytes."""
    import pyarrow
    import pyarrow.parquet as parquet

    table = pyarrow.Table.from_pylist(rows, job_schema())
    texts = [field.name for field in table.schema if field.type == pyarrow.string()]
    parquet.write_table(table, path, compression="zstd", use_dictionary=texts)
