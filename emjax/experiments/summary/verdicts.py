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

import math
from typing import NamedTuple

import pandas as pd

from emjax.experiments.summary.estimates import mean_and_error, paired_difference
from emjax.experiments.summary.view import StudyView
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


class CellVerdicts(NamedTuple):
    """The verdicts of one method in one cell: how often each was given, what EM was worth, and what was right.

    What is not known is NaN; ``em_good_enough`` is None where it cannot be told.
    """

    cell: str
    method: str
    n: int
    em_sufficient: int
    em_with_intervals: int
    mcmc_needed: int
    inconclusive: int
    em_coverage: float
    em_coverage_mcse: float
    level: float
    log_score_gain: float
    log_score_gain_mcse: float
    em_good_enough: bool | None
    n_right: int
    n_wrong: int

    @property
    def enough(self) -> int:
        """Verdicts for EM, with or without its intervals."""
        return self.em_sufficient + self.em_with_intervals

    @property
    def share(self) -> float:
        """The share of verdicts for EM."""
        return self.enough / self.n


def cell_verdicts(view: StudyView) -> list[CellVerdicts]:
    """The verdicts of every cell and sampler that gave any, in the order of the sweep.

    EM is the first method of kind ``em`` that fits the sampler's model. A verdict itself is about a fit of its own with
    EM's default settings, so that method should have them too.
    """
    said = view.planned_rows[view.planned_rows["quantity"] == "verdict"]
    models = {method.label: view.study.model_of(method) for method in view.study.methods}
    ems = [method.label for method in view.study.methods if method.kind == "em"]
    found = []
    for cell in view.places:
        for method, model in models.items():
            words = said.loc[(said["cell"] == cell.key) & (said["method"] == method), "parameter"].astype(str)
            if words.empty:
                continue
            n = {verdict: int((words == verdict).sum()) for verdict in VERDICTS}
            em = next((label for label in ems if models[label] == model), None)
            here, level = view.planned_rows[view.planned_rows["cell"] == cell.key], view.level_of(cell)
            worth = *_em_coverage(here, em), level, *_log_score_gain(here, em, method)
            for_em, against = sum(n[verdict] for verdict in EM_IS_ENOUGH), n[Verdict.MCMC_NEEDED]
            good = em_good_enough(*worth)
            right, wrong = {True: (for_em, against), False: (against, for_em), None: (0, 0)}[good]
            found.append(CellVerdicts._make([cell.key, method, len(words), *n.values(), *worth, good, right, wrong]))
    return found


def verdict_frame(records: list[CellVerdicts]) -> pd.DataFrame:
    """One line per cell and method: how often each verdict was given, what EM was worth, and what was right."""
    # As objects, so that True, False and None stay what they are, whichever of them occur.
    return pd.DataFrame(records, columns=CellVerdicts._fields).astype({"em_good_enough": object})


def em_good_enough(
    coverage: float, coverage_mcse: float, level: float, log_score_gain: float, log_score_gain_mcse: float
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
    return paired_difference(theirs, ours)[:2]
