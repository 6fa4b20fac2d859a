"""From rows to the one summary that everything shown is taken from: means over replicates with Monte-Carlo errors.

A replicate is one observation. Where a measure has several numbers per replicate (errors of three means), they are
averaged within the replicate first, because numbers of one data set are not independent. With ``m_r`` the value of
replicate ``r``, a mean is ``mean(m_r)`` with the Monte-Carlo standard error ``sd(m_r) / sqrt(n)``; a root mean square
is ``sqrt(mean(m_r))`` of squares, with the delta method's ``se / (2 rms)``; a spread is ``sd(m_r)`` with
``sd / sqrt(2 (n - 1))``. Bands hold 95%: by Student's t, for shares by Wilson's interval (1927, J. Am. Stat. Assoc. 22,
209-212). (Morris, White and Crowther, Statistics in Medicine 38, 2019, table 6.)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from emjax.experiments.summary.measures import ALL, KIND, KINDS, PARAMETER, WORST, Measure, kind_of, measures_of
from emjax.experiments.work.measures import COST

if TYPE_CHECKING:
    import pandas as pd

BAND = 0.95
"""Probability of Monte-Carlo bands."""

Z = 1.959963984540054
"""Of a normal distribution, for the same probability."""

OUTCOME = ("cell", "method", "replicate")
"""The columns that name an outcome."""

COLUMNS = ("cell", "method", "measure", "group", "value", "mcse", "lower", "upper", "n", "sd", "median", "q05", "q95")
"""Of a summary."""

ENOUGH = 0.95
"""The share of outcomes below which a number of the trusted ones is marked: those left out may be the hard ones."""

FEW = 10
"""Replicates below which their own spread is not relied on."""


def kinds_in(rows: pd.DataFrame) -> list[str]:
    """The kinds of parameters whose errors are known and not all zero (the weight of a single component is)."""
    errors = rows[rows["quantity"] == "error"]
    found = {kind_of(parameter) for parameter in errors.loc[errors["value"] != 0, "parameter"].unique()}
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


def summarize(rows: pd.DataFrame, good: pd.DataFrame | None = None, given: Iterable[Measure] = ()) -> pd.DataFrame:
    """Every measure that a study's rows hold, by cell, method and group of parameters.

    Measures are taken from ``good``, the rows of trusted outcomes (by default they are looked for), but for what
    `Measure.of_all` names; ``given`` are measures besides those of `MEASURES`, or in their place.

    The frame has `COLUMNS`: ``cell, method, measure, group`` (a kind of parameters, a parameter, or empty for all),
    ``value``, its Monte-Carlo error ``mcse`` and band ``lower, upper``, ``n`` (replicates), and the replicates' ``sd,
    median, q05, q95``. An error of one replicate is NaN.
    """
    import pandas as pd

    good = trusted_rows(rows, outcomes(rows)) if good is None else good
    sources = [
        {str(name): own for name, own in source[source["value"].notna()].groupby("quantity", sort=False, observed=True)}
        for source in (good, rows)
    ]
    parts = [
        _worst(sources[measure.of_all][measure.quantity], measure)
        if per == WORST
        else pooled(per_replicate(sources[measure.of_all][measure.quantity], measure, per), measure)
        for measure in measures_of(rows, given).values()
        for per in measure.per
        if measure.quantity in sources[measure.of_all]
    ]
    if not parts:
        return pd.DataFrame(columns=[*COLUMNS]).astype(dict.fromkeys(("value", "mcse", "lower", "upper"), float))
    # A parameter without a bracket is a kind of its own.
    return pd.concat(parts, ignore_index=True).drop_duplicates(["cell", "method", "measure", "group"])


def _worst(rows: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """The line of the parameter whose value is the least, under no group, of every cell and method."""
    found = pooled(per_replicate(rows, measure, PARAMETER), measure).dropna(subset="value")
    least = found.sort_values("value", kind="stable").drop_duplicates(["cell", "method"])
    return least.sort_index().assign(group="")


def per_replicate(rows: pd.DataFrame, measure: Measure, per: str) -> pd.DataFrame:
    """``cell, method, group, replicate, value``: what is pooled over replicates; squares for a root mean square."""
    chosen = rows[(rows["quantity"] == measure.quantity) & rows["value"].notna()]
    values = chosen["value"] ** 2 if measure.pooled == "rms" else chosen["value"]
    names = chosen["parameter"]
    group: pd.Series = {ALL: names.map(lambda _: ""), KIND: names.map(kind_of), PARAMETER: names}[per]
    keys = ["cell", "method", "group", "replicate"]
    return (
        chosen.assign(value=values, group=group).groupby(keys, sort=False, observed=True)["value"].mean().reset_index()
    )


def pooled(values: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """The lines of a summary from the values of `per_replicate`.

    Seconds of a job are shared out over its replicates: equal ones are one observation.
    """
    groups = values.groupby(["cell", "method", "group"], sort=False, observed=True)["value"]
    with np.errstate(invalid="ignore"):  # an infinite mean has no spread
        found = groups.agg(value="mean", sd="std", n="count", distinct="nunique", median="median").reset_index()
        for name, share in (("q05", 0.05), ("q95", 0.95)):
            found[name] = groups.quantile(share).to_numpy()
    mean, sd = found["value"].to_numpy(float), found["sd"].to_numpy(float)
    n = found["distinct" if measure.quantity in COST else "n"].to_numpy(float)
    spread, several = sd, np.maximum(n, 2.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        if measure.pooled == "sd":
            mean, spread = sd, sd * np.sqrt(several / (2 * (several - 1)))
        elif measure.pooled == "rms":
            mean = np.sqrt(mean)
            spread = np.where(mean > 0, sd / (2 * mean), np.nan)
    se = np.where(n > 1, spread / np.sqrt(several), np.nan)
    lower, upper = wilson(mean, answers(mean, se, n)) if measure.pooled == "share" else student(mean, se, n)
    if measure.pooled in ("rms", "sd"):
        lower = np.maximum(lower, 0.0)
        found[["median", "q05", "q95", "sd"]] = np.nan  # of squares they would say nothing
    texts = {name: found[name].astype(str) for name in ("cell", "method", "group")}
    found = found.assign(**texts, measure=measure.name, value=mean, mcse=se, lower=lower, upper=upper)
    return found[[*COLUMNS]]


def student(mean: np.ndarray, se: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Student's interval of a mean over ``n`` replicates; NaN for fewer than two."""
    from scipy.special import stdtrit

    factor = np.where(n > 1, stdtrit(np.maximum(n - 1, 1), 0.5 + BAND / 2), np.nan)
    return mean - factor * se, mean + factor * se


def wilson(share: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's 95% interval of proportions ``share`` of ``n`` trials each."""
    share, n = np.asarray(share, np.float64), np.asarray(n, np.float64)
    centre = (share + Z**2 / (2.0 * n)) / (1.0 + Z**2 / n)
    half = Z / (1.0 + Z**2 / n) * np.sqrt(share * (1.0 - share) / n + Z**2 / (4.0 * n**2))
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def answers(share: np.ndarray, se: np.ndarray, n: np.ndarray) -> np.ndarray:
    """How many independent answers a share over several parameters of ``n`` replicates rests on.

    ``share (1 - share) / (se**2 (n - 1) / n)``: the standard error of the replicates' means knows how far the answers
    of one data set go together; one answer per replicate gives ``n``. Where they are all alike it knows nothing, and
    one answer per replicate is counted.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        found = share * (1 - share) / (se**2 * (n - 1) / n)
        known = (share > 0) & (share < 1) & (se > 0)
    return np.maximum(np.where(known, found, n), 1.0)


def expected_band(level: float, n: int) -> tuple[float, float]:
    """Where the coverage of a correct method's interval lies in 95% of studies of ``n`` replicates."""
    half = Z * math.sqrt(level * (1 - level) / max(n, 1))
    return max(level - half, 0.0), min(level + half, 1.0)


@dataclasses.dataclass(frozen=True)
class Point:
    """One line of a summary, see `summarize`."""

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
    return [Point(*line) for line in chosen[[*COLUMNS[:9]]].itertuples(index=False)]


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


def paired_difference(one: pd.Series, other: pd.Series) -> tuple[float, float, int]:
    """Mean and standard error of ``one - other`` over the replicates that both have, and their number.

    Methods see the same data, so their differences vary less than they do.
    """
    with np.errstate(invalid="ignore"):
        return mean_and_error((one - other).dropna())


def mean_and_error(values: pd.Series) -> tuple[float, float, int]:
    """Mean, its standard error (NaN for one value) and the number of values."""
    n = len(values)
    with np.errstate(invalid="ignore"):  # an infinite mean has no spread
        error = float(values.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return float(values.mean()) if n else math.nan, error, n
