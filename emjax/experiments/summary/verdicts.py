"""Where the verdict was right and where it was wrong, from `emjax.experiments.summary.judgements`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from emjax.experiments.summary import judgements as judged
from emjax.experiments.summary.sweep import Sweep
from emjax.verdict import Verdict

VERDICTS = tuple(verdict.value for verdict in Verdict)


@dataclasses.dataclass(frozen=True)
class CellVerdicts:
    """The verdicts of one method in one cell.

    Attributes
    ----------
    cell, method
        Whose they are.
    counts
        How often each verdict was given.
    em_good
        Whether EM was good enough there; None where that cannot be told.
    right, wrong, inconclusive
        How many of them were.
    """

    cell: str
    method: str
    counts: Mapping[str, int]
    em_good: bool | None
    right: int
    wrong: int
    inconclusive: int

    @property
    def n(self) -> int:
        """How many verdicts there are."""
        return sum(self.counts.values())


def cell_verdicts(sweep: Sweep) -> list[CellVerdicts]:
    """The verdicts of every cell and method that gave any, in the order of the sweep."""
    order = {cell.key: cell.index for cell in sweep.cells}
    records = [
        CellVerdicts(
            row["cell"],
            row["method"],
            {name: round(row[name] * row["n"]) for name in VERDICTS},
            None if row["em_good_enough"] is None else bool(row["em_good_enough"]),
            int(row["n_right"]),
            int(row["n_wrong"]),
            int(row["n_inconclusive"]),
        )
        for row in judged.verdict_record(sweep.rows, sweep.study).to_dict("records")
    ]
    return sorted(records, key=lambda record: order[record.cell])


def definition() -> str:
    """What right and wrong mean, in words."""
    return (
        "EM was good enough in a cell if the coverage of its intervals, over parameters and replicates, is at most "
        f"{100 * judged.COVERAGE_SLACK:g} points below their level, and the sampler's log score on held-out rows is at "
        f"most {judged.LOG_SCORE_SLACK:g} nats per datum better than EM's, both up to {judged.STANDARD_ERRORS:g} "
        "Monte-Carlo standard errors; what is not known is not asked. There a verdict for EM, with or without "
        "intervals, is right; elsewhere mcmc_needed is. An inconclusive verdict is neither."
    )


def verdict_tables(sweep: Sweep, records: Sequence[CellVerdicts]) -> dict[str, Any]:
    """The confusion table and the table by cell."""
    names = [name for name in VERDICTS if any(record.counts[name] for record in records)]
    cells = {cell.key: cell for cell in sweep.cells}
    matrix = []
    for good in (True, False, None):
        own = [record for record in records if record.em_good is good]
        if own:
            totals = {name: sum(record.counts[name] for record in own) for name in names}
            fields = [(f"{n:,}", _tone(good, name, n)) for name, n in totals.items()]
            matrix.append({"truth": _TRUTHS[good], "fields": fields})
    rows = [
        {
            "cell": record.cell,
            "label": sweep.cell_label(cells[record.cell]),
            "method": record.method,
            "truth": {True: "yes", False: "no", None: "unknown"}[record.em_good],
            "fields": [f"{record.counts[name]:,}" for name in names],
        }
        for record in records
    ]
    return {"definition": definition(), "names": names, "matrix": matrix, "rows": rows}


_TRUTHS = {True: "EM was good enough", False: "EM was not good enough", None: "cannot be told"}


def _tone(good: bool | None, verdict: str, n: int) -> str:
    if good is None or verdict == Verdict.INCONCLUSIVE or not n:
        return ""
    return "good" if good == (verdict != Verdict.MCMC_NEEDED) else "bad"
