"""The measures of a sweep's page, each with its Monte-Carlo error, over the outcomes that can be trusted.

A replicate is one observation. Where a measure has several numbers per replicate (errors of three means), they are
averaged within the replicate first, because numbers of one data set are not independent. With ``m_r`` the value of
replicate ``r``, the measure is ``mean(m_r)`` and its Monte-Carlo standard error ``sd(m_r) / sqrt(n)``; the root mean
squared error is ``sqrt(mean(m_r))`` of squared errors, with the delta method's ``se / (2 rmse)``. Bands hold 95%: by
Student's t, for shares by Wilson's interval. (Morris, White and Crowther, Statistics in Medicine 38, 2019.)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from emjax.catalogue import FAMILY_ENTRIES, SITES
from emjax.experiments.summary.estimates import Z, wilson
from emjax.experiments.work.measures import COST

BAND = 0.95
"""Probability of Monte-Carlo bands."""

KINDS = tuple(dict.fromkeys([*(entry.sites[0] for entry in FAMILY_ENTRIES.values()), "weights", *SITES]))
"""Kinds of parameters, in the order in which they are shown: where components are, their weights, and what else there
is; a parameter's kind is its name before the bracket."""


@dataclasses.dataclass(frozen=True)
class Measure:
    """What is shown of a sweep.

    Attributes
    ----------
    name
        Its name in tables.
    quantity
        The quantity of rows that it is taken from.
    title, short, meaning
        Its name in full, in a table's head, and what it says.
    better
        -1 where less is better, 1 where more is, 0 where neither is.
    form
        ``rmse`` (root of the mean square), ``mean`` or ``share``.
    per_kind
        Whether it is taken for each kind of parameter.
    logarithmic
        Whether curves have a logarithmic axis where all values are positive.
    of_all
        Whether untrusted outcomes count too (what they cost was spent).
    """

    name: str
    quantity: str
    title: str
    short: str
    meaning: str
    better: int = -1
    form: str = "mean"
    per_kind: bool = False
    logarithmic: bool = False
    of_all: bool = False


MEASURES = (
    Measure(
        "trusted",
        "trusted",
        "Share of outcomes that can be trusted",
        "trusted",
        "the method itself says that its numbers may be used",
        1,
        "share",
        of_all=True,
    ),
    Measure(
        "rmse",
        "error",
        "Error: root mean square",
        "RMSE",
        "root of the mean squared distance of estimate and truth",
        -1,
        "rmse",
        per_kind=True,
        logarithmic=True,
    ),
    Measure(
        "coverage",
        "covered",
        "Coverage of the intervals",
        "coverage",
        "share of the intervals that hold the truth, over all parameters",
        0,
        "share",
    ),
    Measure(
        "width",
        "width",
        "Width of the intervals",
        "width",
        "mean width of the intervals",
        0,
        per_kind=True,
        logarithmic=True,
    ),
    Measure(
        "log_score_loss",
        "log_score_loss",
        "Loss of log score",
        "log score loss",
        "log score of the truth less the method's, on rows that no method saw, nats per datum",
        logarithmic=True,
    ),
    Measure(
        "log_score",
        "log_score",
        "Log score on held-out rows",
        "log score",
        "mean log density of rows that the method did not see, nats per datum",
        1,
    ),
    Measure(
        "total_variation",
        "total_variation",
        "Distance of the densities",
        "total variation",
        "total variation between the true and the predictive density, 0 to 1",
        logarithmic=True,
    ),
    Measure("hellinger", "hellinger", "Hellinger distance", "Hellinger", "0 to 1"),
    Measure(
        "ari", "ari", "Adjusted Rand index", "ARI", "agreement of the partition with the true one, 1 if the same", 1
    ),
    Measure(
        "co_clustering_error",
        "co_clustering_error",
        "Error of co-clustering",
        "co-clustering error",
        "mean error of the probability that two data share a component",
    ),
    Measure(
        "calibration_error",
        "calibration_error",
        "Calibration error",
        "calibration error",
        "how far assignment probabilities are from the share of right assignments",
    ),
    Measure("brier", "brier", "Brier score", "Brier score", "of assignment probabilities"),
    Measure(
        "alignment_trust",
        "alignment_trust",
        "Trust in the labels",
        "trust in labels",
        "agreement of two relabellings times the depth of the valley between exchanged labels, 0 to 1; untrusted "
        "outcomes count too",
        1,
        of_all=True,
    ),
    Measure("log_evidence", "log_evidence", "Log evidence", "log evidence", "of the model, nats", 0),
    Measure("bic", "bic", "BIC", "BIC", "less is better between models of the same data", 0),
    Measure("max_rhat", "max_rhat", "Largest R-hat", "R-hat", "over all quantities of a posterior; 1 is best"),
    Measure("min_ess", "min_ess", "Least effective sample size", "ESS", "over all quantities of a posterior", 1),
    Measure(
        "n_evaluations",
        "n_evaluations",
        "Evaluations of the likelihood",
        "evaluations",
        "passes over the data that the kept fit or draws took; untrusted outcomes count too",
        logarithmic=True,
        of_all=True,
    ),
    Measure(
        "run_seconds",
        "run_seconds",
        "Seconds per data set",
        "seconds",
        "running, without compilation; untrusted outcomes count too",
        logarithmic=True,
        of_all=True,
    ),
    Measure(
        "compile_seconds",
        "compile_seconds",
        "Compilation per data set",
        "compile seconds",
        "tracing and compiling, shared out over the replicates of a job",
        of_all=True,
    ),
)
"""All measures, in the order of tables."""

MEASURE = {measure.name: measure for measure in MEASURES}
OUTCOME = ("cell", "method", "replicate")
"""The columns that name an outcome."""

_COLUMNS = ["cell", "method", "measure", "group", "value", "mcse", "lower", "upper", "n"]


def kind_of(parameter: str) -> str:
    """``mean`` of ``mean[0, x]``."""
    return parameter.partition("[")[0]


def kinds_in(rows: pd.DataFrame) -> list[str]:
    """The kinds of parameters whose errors are known and not all zero (the weight of a single component is)."""
    errors = rows[rows["quantity"] == "error"]
    moving = errors.loc[errors["value"] != 0, "parameter"].unique()
    found = {kind_of(parameter) for parameter in moving}
    return [kind for kind in KINDS if kind in found] + sorted(found - set(KINDS))


def outcomes(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per outcome: ``cell, method, replicate, status, trusted``.

    An outcome without a row of its own for ``trusted`` is not trusted.
    """
    keys = list(OUTCOME)
    found = rows.drop_duplicates(keys)[[*keys, "status"]]
    said = rows.loc[rows["quantity"] == "trusted", [*keys, "value"]].drop_duplicates(keys)
    joined = found.merge(said, on=keys, how="left")
    return joined.assign(trusted=joined["value"].fillna(0.0) > 0)[[*keys, "status", "trusted"]]


def trusted_rows(rows: pd.DataFrame, ended: pd.DataFrame) -> pd.DataFrame:
    """The rows of those outcomes that ``ended`` (see `outcomes`) calls trusted."""
    keys = list(OUTCOME)
    return rows.merge(ended.loc[ended["trusted"], keys], on=keys, how="inner")


def per_replicate(rows: pd.DataFrame, measure: Measure, group: str = "") -> pd.DataFrame:
    """``cell, method, replicate, value`` of one measure: what is averaged over replicates.

    ``rows`` are those of `trusted_rows`, or all of them for a measure of all outcomes; ``group`` is a kind of
    parameters, or empty for all. Values are squared for ``rmse``.
    """
    chosen = rows[(rows["quantity"] == measure.quantity) & rows["value"].notna()]
    if group:
        names = [name for name in chosen["parameter"].unique() if kind_of(name) == group]
        chosen = chosen[chosen["parameter"].isin(names)]
    values = chosen["value"] ** 2 if measure.form == "rmse" else chosen["value"]
    return chosen.assign(value=values).groupby(list(OUTCOME), sort=False, observed=True)["value"].mean().reset_index()


def summarize_measures(rows: pd.DataFrame, good: pd.DataFrame) -> pd.DataFrame:
    """Every measure that the rows hold, by cell and method.

    Parameters
    ----------
    rows, good
        All rows, and those of trusted outcomes.

    Returns
    -------
    DataFrame
        Columns ``cell, method, measure, group`` (a kind of parameters, or empty), ``value, mcse, lower, upper`` (the
        Monte-Carlo band) and ``n`` (replicates). Also the measure ``bias``, with the parameter as its group.
    """
    kinds = kinds_in(good)
    parts = []
    for measure in MEASURES:
        source = rows if measure.of_all else good
        groups = [*(kinds if measure.per_kind or measure.form == "share" else []), *([] if measure.per_kind else [""])]
        if measure.name == "trusted":
            groups = [""]
        for group in groups:
            values = per_replicate(source, measure, group)
            shared = measure.quantity in COST
            found = summary_of(values, measure.form, ["cell", "method"], shared=shared)
            parts.append(found.assign(measure=measure.name, group=group))
    errors = good[(good["quantity"] == "error") & good["value"].notna()]
    bias = summary_of(errors, "mean", ["cell", "method", "parameter"])
    parts.append(bias.rename(columns={"parameter": "group"}).assign(measure="bias"))
    filled = [part for part in parts if len(part)]
    if not filled:
        return pd.DataFrame(columns=_COLUMNS).astype(dict.fromkeys(("value", "mcse", "lower", "upper"), float))
    return pd.concat(filled, ignore_index=True)[_COLUMNS]


def summary_of(values: pd.DataFrame, form: str, by: list[str], *, shared: bool = False) -> pd.DataFrame:
    """The mean over replicates, its standard error and band.

    With ``shared``, equal numbers are one observation: seconds of a job are shared out over its replicates.
    """
    with np.errstate(invalid="ignore"):  # an infinite mean has no spread
        groups = values.groupby(by, sort=False, observed=True)["value"]
        found = groups.agg(["mean", "std", "count", "nunique"]).reset_index()
    mean, n = found["mean"].to_numpy(float), found["nunique" if shared else "count"].to_numpy(float)
    se = np.where(n > 1, found["std"].to_numpy(float) / np.sqrt(np.maximum(n, 1)), np.nan)
    if form == "rmse":
        mean, se = rooted(mean, se)
    lower, upper = wilson(mean, answers(mean, se, n)) if form == "share" else student(mean, se, n)
    if form == "rmse":
        lower = np.maximum(lower, 0.0)
    return found[by].astype(str).assign(value=mean, mcse=se, lower=lower, upper=upper, n=found["count"].astype(int))


def rooted(mean_square: np.ndarray, se: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The root of a mean square and its standard error by the delta method; 0 has none."""
    root = np.sqrt(mean_square)
    with np.errstate(divide="ignore", invalid="ignore"):
        return root, np.where(root > 0, se / (2 * root), np.nan)


def student(mean: np.ndarray, se: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Student's interval of a mean over ``n`` replicates; NaN for fewer than two."""
    from scipy.special import stdtrit

    factor = np.where(n > 1, stdtrit(np.maximum(n - 1, 1), 0.5 + BAND / 2), np.nan)
    return mean - factor * se, mean + factor * se


def answers(share: np.ndarray, se: np.ndarray, n: np.ndarray) -> np.ndarray:
    """How many independent answers a share over several parameters of ``n`` replicates rests on.

    ``share (1 - share) / se**2``: the standard error of the replicates' means knows how far the answers of one data set
    go together. Where they are all alike it knows nothing, and one answer per replicate is counted.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where((share > 0) & (share < 1) & (se > 0), share * (1 - share) / se**2, n)
    return np.maximum(found, 1.0)


ENOUGH = 0.95
"""The share of outcomes below which a number of the trusted ones is marked: those left out may be the hard ones."""

FEW = 10
"""Replicates below which their own spread is not relied on."""


def expected_band(level: float, n: int) -> tuple[float, float]:
    """Where the coverage of a correct method's interval lies in 95% of studies of ``n`` replicates."""
    half = Z * math.sqrt(level * (1 - level) / max(n, 1))
    return max(level - half, 0.0), min(level + half, 1.0)


@dataclasses.dataclass(frozen=True)
class Point:
    """One line of `summarize_measures`."""

    cell: str
    method: str
    measure: str
    group: str
    value: float
    mcse: float
    lower: float
    upper: float
    n: int


def points(summary: pd.DataFrame, measure: str | None = None, group: str | None = None) -> list[Point]:
    """The lines of a summary, of one measure and one group where they are given."""
    chosen = summary if measure is None else summary[summary["measure"] == measure]
    chosen = chosen if group is None else chosen[chosen["group"] == group]
    return [Point(**{str(name): value for name, value in row.items()}) for row in chosen.to_dict("records")]


def falls_short(level: float, point: Point, errors: float) -> bool:
    """Whether a coverage lies more than so many standard errors below its level.

    The standard error is what it would be at the level: that of the replicates' means, scaled; below `FEW` replicates,
    which do not know their own spread, that of one answer per replicate.
    """
    spread = math.sqrt(level * (1 - level))
    at_level = spread / math.sqrt(point.n)
    if point.n >= FEW and 0 < point.value < 1 and point.mcse > 0:
        at_level = point.mcse * spread / math.sqrt(point.value * (1 - point.value))
    return level - point.value > errors * at_level


def paired_difference(values: pd.DataFrame, cell: str, one: str, other: str) -> tuple[float, float, int]:
    """Mean and standard error of ``one - other`` over the replicates that both methods have, and their number.

    ``values`` are those of `per_replicate`: methods see the same data, so their differences vary less than they do.
    """
    in_cell = values[values["cell"] == cell]
    sides: Mapping[str, pd.Series] = {
        name: in_cell[in_cell["method"] == name].set_index("replicate")["value"] for name in (one, other)
    }
    difference = (sides[one] - sides[other]).dropna()
    n = len(difference)
    return (
        float(difference.mean()) if n else math.nan,
        float(difference.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan,
        n,
    )


def table_measures(summary: pd.DataFrame, kinds: Sequence[str], most: int = 9) -> list[tuple[Measure, str]]:
    """The measures that the main table shows, with the kind of parameters where there is one.

    What speaks of the answer comes first; what only describes it (evidence, R-hat) fills the room that is left.
    """
    held = set(zip(summary["measure"], summary["group"], strict=True))
    wished: list[tuple[str, str]] = [("rmse", kind) for kind in kinds[:2]]
    wished += [
        ("coverage", ""),
        *(("width", kind) for kind in kinds[:1]),
        ("log_score_loss", ""),
        ("total_variation", ""),
    ]
    wished += [("ari", ""), ("run_seconds", "")]
    if ("log_score_loss", "") not in held:
        wished += [("log_score", "")]
    wished += [(name, "") for name in ("max_rhat", "log_evidence", "bic", "compile_seconds", "min_ess")]
    order = {measure.name: place for place, measure in enumerate(MEASURES)}
    shown = [pair for pair in wished if pair in held][:most]
    return [(MEASURE[name], group) for name, group in sorted(shown, key=lambda pair: order[pair[0]])]
