"""Whether the verdicts of a study were right: what each comparison said, and whether EM was in truth good enough.

**The definition.** In a cell, EM was good enough where both hold:

1. its intervals cover: their mean coverage over parameters and replicates is at least the level less
   `COVERAGE_SLACK` and less two Monte-Carlo standard errors. An interval that EM could not give covers nothing.
2. its density predicts as well: the sampler's mean log score on rows that were held out exceeds EM's, over the
   replicates that have both and where the sampler is trusted, by no more than `LOG_SCORE_SLACK` nats per datum and two
   standard errors.

A cell without a holdout is judged by the first alone, one without a truth by the second alone, and one with neither, or
with one replicate, not at all. ``em_sufficient`` and ``em_with_intervals`` are right where EM was good enough,
``mcmc_needed`` where it was not; ``inconclusive`` counts as neither.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from emjax.experiments.summary.estimates import mean_and_error
from emjax.experiments.summary.view import CellView, StudyView
from emjax.verdict import EM_IS_ENOUGH, Verdict

COVERAGE_SLACK = 0.05
LOG_SCORE_SLACK = 0.005
STANDARD_ERRORS = 2.0

VERDICTS = tuple(verdict.value for verdict in Verdict)

DEFINITION = (
    "EM was good enough in a cell if the coverage of its intervals, over parameters and replicates, is at most "
    f"{100 * COVERAGE_SLACK:g} points below their level, and the sampler's log score on held-out rows is at "
    f"most {LOG_SCORE_SLACK:g} nats per datum better than EM's, both up to {STANDARD_ERRORS:g} "
    "Monte-Carlo standard errors; what is not known is not asked. There a verdict for EM, with or without "
    "intervals, is right; elsewhere mcmc_needed is. An inconclusive verdict is neither."
)


@dataclasses.dataclass(frozen=True)
class CellVerdicts:
    """The verdicts of one method in one cell.

    Attributes
    ----------
    cell, method
        Whose they are.
    counts
        How often each verdict was given.
    em_coverage, em_coverage_mcse, level
        The coverage of EM's intervals with its Monte-Carlo error, NaN where unknown, and their level.
    log_score_gain, log_score_gain_mcse
        The sampler's log score over EM's, NaN where unknown.
    """

    cell: str
    method: str
    counts: Mapping[str, int]
    em_coverage: float
    em_coverage_mcse: float
    level: float
    log_score_gain: float
    log_score_gain_mcse: float

    @property
    def n(self) -> int:
        """How many verdicts there are."""
        return sum(self.counts.values())

    @property
    def em_good(self) -> bool | None:
        """Whether EM was good enough there; None where that cannot be told."""
        gain, gain_mcse = self.log_score_gain, self.log_score_gain_mcse
        return em_good_enough(self.em_coverage, self.em_coverage_mcse, gain, gain_mcse, self.level)

    @property
    def enough(self) -> int:
        """Verdicts for EM, with or without its intervals."""
        return sum(self.counts[verdict] for verdict in EM_IS_ENOUGH)

    @property
    def right(self) -> int:
        """Verdicts that were right."""
        return {True: self.enough, False: self.counts[Verdict.MCMC_NEEDED], None: 0}[self.em_good]

    @property
    def wrong(self) -> int:
        """Verdicts that were wrong."""
        return {True: self.counts[Verdict.MCMC_NEEDED], False: self.enough, None: 0}[self.em_good]

    @property
    def inconclusive(self) -> int:
        """Verdicts that said neither."""
        return self.counts[Verdict.INCONCLUSIVE]


def cell_verdicts(view: StudyView) -> list[CellVerdicts]:
    """The verdicts of every cell and sampler that gave any, in the order of the sweep.

    EM is the first method of kind ``em`` that fits the sampler's model. A verdict itself is about a fit of its own with
    EM's default settings, so that method should have them too.
    """
    said = view.rows[view.rows["quantity"] == "verdict"]
    found = []
    for cell in view.cells:
        here = view.rows[view.rows["cell"] == cell.key] if (said["cell"] == cell.key).any() else said.head(0)
        for method in view.methods if len(here) else ():
            words = said.loc[(said["cell"] == cell.key) & (said["method"] == method.label), "parameter"].astype(str)
            if len(words):
                models = ((em, view.study.model_of(em)) for em in view.methods if em.kind == "em")
                em = next((em.label for em, model in models if model == view.study.model_of(method)), None)
                found.append(_verdicts(here, cell, method.label, em, words, view.level_of(cell)))
    return found


def _verdicts(
    here: pd.DataFrame, cell: CellView, method: str, em: str | None, said: pd.Series, level: float
) -> CellVerdicts:
    counts = {verdict: int((said == verdict).sum()) for verdict in VERDICTS}
    return CellVerdicts(cell.key, method, counts, *_em_coverage(here, em), level, *_log_score_gain(here, em, method))


def em_good_enough(
    coverage: float, coverage_mcse: float, log_score_gain: float, log_score_gain_mcse: float, level: float
) -> bool | None:
    """The definition above, in numbers; None where neither criterion is known, or coverage too roughly."""
    checks = []
    lowest = level - COVERAGE_SLACK - STANDARD_ERRORS * coverage_mcse
    if math.isfinite(coverage) and math.isfinite(lowest):
        checks.append(coverage >= lowest)
    highest = LOG_SCORE_SLACK + STANDARD_ERRORS * log_score_gain_mcse
    if math.isinf(log_score_gain):  # one of the two gave a row that was held out no density at all
        checks.append(log_score_gain < 0)
    elif math.isfinite(log_score_gain) and math.isfinite(highest):
        checks.append(log_score_gain <= highest)
    if checks and all(checks) and STANDARD_ERRORS * coverage_mcse > 2.0 * COVERAGE_SLACK:
        return None  # nothing speaks against EM because nothing is known well enough
    return bool(all(checks)) if checks else None


def _em_coverage(here: pd.DataFrame, em: str | None) -> tuple[float, float]:
    """Mean share of EM's parameters whose interval covers, with the standard error over replicates."""
    ours = here[here["method"] == em]
    covered = ours[ours["quantity"] == "covered"]
    # `error` says that there is a truth, `intervals_withheld` that intervals were asked for: none at all cover nothing.
    n_parameters = ours.loc[ours["quantity"].isin(["covered", "error"]), "parameter"].nunique()
    asked_for = len(covered) > 0 or bool((ours["quantity"] == "intervals_withheld").any())
    if n_parameters == 0 or not asked_for:
        return math.nan, math.nan
    hits = covered.groupby("replicate")["value"].sum()
    # Every replicate of EM has rows; those without an interval have no hit.
    return mean_and_error(hits.reindex(ours["replicate"].unique(), fill_value=0.0) / n_parameters)[:2]


def _log_score_gain(here: pd.DataFrame, em: str | None, method: str) -> tuple[float, float]:
    scores = here[here["quantity"] == "log_score"]
    ours = scores[scores["method"] == em].set_index("replicate")["value"]
    theirs = scores[scores["method"] == method].set_index("replicate")["value"]
    doubted = (here["method"] == method) & (here["quantity"] == "trusted") & (here["value"] == 0.0)
    theirs = theirs.drop(here.loc[doubted, "replicate"], errors="ignore")  # no yardstick
    with np.errstate(invalid="ignore"):
        return mean_and_error((theirs - ours).dropna())[:2]


def verdict_frame(records: list[CellVerdicts]) -> pd.DataFrame:
    """One line per cell and method: how often each verdict was given, what EM was worth, and what was right."""
    lines = [
        {
            "cell": record.cell,
            "method": record.method,
            "n": record.n,
            **record.counts,
            **{field.name: getattr(record, field.name) for field in dataclasses.fields(record)[3:]},
            "em_good_enough": record.em_good,
            "n_right": record.right,
            "n_wrong": record.wrong,
        }
        for record in records
    ]
    columns = ["cell", "method", "n", *VERDICTS, *(field.name for field in dataclasses.fields(CellVerdicts)[3:])]
    columns += ["em_good_enough", "n_right", "n_wrong"]
    # As objects, so that True, False and None stay what they are, whichever of them occur.
    return pd.DataFrame(lines, columns=columns).astype({"em_good_enough": object})
