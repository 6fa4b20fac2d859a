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

from typing import TYPE_CHECKING, Any

import numpy as np

from emjax.experiments.config.methods import EmMethod, SamplerMethod
from emjax.experiments.config.schema import Study
from emjax.verdict import EM_IS_ENOUGH, Verdict

if TYPE_CHECKING:
    import pandas as pd

COVERAGE_SLACK = 0.05
LOG_SCORE_SLACK = 0.005
STANDARD_ERRORS = 2.0


def verdict_record(rows: pd.DataFrame, study: Study) -> pd.DataFrame:
    """One line per cell and per method that gives verdicts.

    Parameters
    ----------
    rows
        The study's rows; a swept ``level`` is read from their column of that name.
    study
        Its methods and its level. EM is the first method of kind ``em`` that fits the sampler's model. A verdict itself
        is about a fit of its own with EM's default settings, so that method should have them too.

    Returns
    -------
    DataFrame
        ``cell``, ``method``, ``em_method`` (None without one); ``n`` verdicts and the share of each:
        ``em_sufficient``, ``em_with_intervals``, ``mcmc_needed``, ``inconclusive``; ``em_coverage`` and its ``_mcse``,
        ``level``, ``log_score_gain`` (the sampler's over EM's) and its ``_mcse``, NaN where unknown;
        ``em_good_enough``: True, False, or None where that cannot be said; then ``n_right``, ``n_wrong``,
        ``n_inconclusive`` and ``share_right``, of all verdicts. Without ``em_good_enough`` nothing is right or wrong.
        Empty where no method gives verdicts.
    """
    import pandas as pd

    samplers = {
        method.label: next((em.label for em in study.methods if _of_same_model(study, em, method)), None)
        for method in study.methods
        if isinstance(method, SamplerMethod)
    }
    verdicts = rows[(rows["quantity"] == "verdict") & rows["method"].isin(samplers)]
    records = []
    for cell in verdicts["cell"].drop_duplicates():
        here = rows[rows["cell"] == cell]
        level = float(here["level"].iloc[0]) if "level" in here else study.level
        for method, em in samplers.items():
            said = here[(here["quantity"] == "verdict") & (here["method"] == method)]
            if len(said):
                records.append(_record(here, said["parameter"].astype(str), str(method), em, str(cell), level))
    # As objects, so that True, False and None stay what they are, whichever of them occur.
    return pd.DataFrame.from_records(records, columns=_COLUMNS).astype({"em_good_enough": object})


def _of_same_model(study: Study, em: object, sampler: SamplerMethod) -> bool:
    return isinstance(em, EmMethod) and study.model_of(em) == study.model_of(sampler)


_COLUMNS = [
    *("cell", "method", "em_method", "n", *(verdict.value for verdict in Verdict)),
    *("em_coverage", "em_coverage_mcse", "level", "log_score_gain", "log_score_gain_mcse"),
    *("em_good_enough", "n_right", "n_wrong", "n_inconclusive", "share_right"),
]


def _record(here: pd.DataFrame, said: Any, method: str, em: str | None, cell: str, level: float) -> dict[str, Any]:
    coverage, coverage_error = _em_coverage(here, em)
    gain, gain_error = _log_score_gain(here, em, method)
    good = em_good_enough(coverage, coverage_error, gain, gain_error, level)
    counts = {verdict: int((said == verdict.value).sum()) for verdict in Verdict}
    enough = sum(counts[verdict] for verdict in EM_IS_ENOUGH)
    needed = counts[Verdict.MCMC_NEEDED]
    right, wrong = {True: (enough, needed), False: (needed, enough), None: (0, 0)}[good]
    return {
        "cell": cell,
        "method": method,
        "em_method": em,
        "n": len(said),
        **{verdict.value: count / len(said) for verdict, count in counts.items()},
        "em_coverage": coverage,
        "em_coverage_mcse": coverage_error,
        "level": level,
        "log_score_gain": gain,
        "log_score_gain_mcse": gain_error,
        "em_good_enough": good,
        "n_right": right,
        "n_wrong": wrong,
        "n_inconclusive": counts[Verdict.INCONCLUSIVE],
        "share_right": right / len(said) if good is not None else float("nan"),
    }


def em_good_enough(
    coverage: float, coverage_mcse: float, log_score_gain: float, log_score_gain_mcse: float, level: float
) -> bool | None:
    """The definition above, in numbers; None where neither criterion is known, or coverage too roughly."""
    checks = []
    lowest = level - COVERAGE_SLACK - STANDARD_ERRORS * coverage_mcse
    if np.isfinite(coverage) and np.isfinite(lowest):
        checks.append(coverage >= lowest)
    highest = LOG_SCORE_SLACK + STANDARD_ERRORS * log_score_gain_mcse
    if np.isinf(log_score_gain):  # one of the two gave a row that was held out no density at all
        checks.append(log_score_gain < 0)
    elif np.isfinite(log_score_gain) and np.isfinite(highest):
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
        return float("nan"), float("nan")
    hits = covered.groupby("replicate")["value"].sum()
    # Every replicate of EM has rows; those without an interval have no hit.
    shares = hits.reindex(ours["replicate"].unique(), fill_value=0.0) / n_parameters
    return _mean_and_error(shares)


def _log_score_gain(here: pd.DataFrame, em: str | None, method: str) -> tuple[float, float]:
    scores = here[here["quantity"] == "log_score"]
    ours = scores[scores["method"] == em].set_index("replicate")["value"]
    theirs = scores[scores["method"] == method].set_index("replicate")["value"]
    doubted = (here["method"] == method) & (here["quantity"] == "trusted") & (here["value"] == 0.0)
    theirs = theirs.drop(here.loc[doubted, "replicate"], errors="ignore")  # no yardstick
    return _mean_and_error((theirs - ours).dropna())


def _mean_and_error(values: Any) -> tuple[float, float]:
    if len(values) == 0:
        return float("nan"), float("nan")
    with np.errstate(invalid="ignore"):
        return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
