"""From rows to what a simulation study reports: means over replicates with their Monte-Carlo errors.

Formulas are those of Morris, White & Crowther (2019), *Statistics in Medicine* 38, 2074-2102, table 6, for the
performance measures of estimates; proportions also have Wilson's interval (1927, *J. Am. Stat. Assoc.* 22, 209-212),
which does not shrink to a point where every interval covered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emjax.experiments.summary.judgements import verdict_record

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "DERIVED", "Z", "summarize", "verdict_record", "wilson"]

Z = 1.959963984540054
"""Of all Monte-Carlo intervals: 95%."""

COLUMNS = ("n", "mean", "sd", "mcse", "lower", "upper", "median", "q05", "q95")

DERIVED = ("bias", "rmse", "empirical_se", "mean_se", "coverage", "coverage_trusted", "mean_width", "failure_rate")
"""Quantities of a summary that no single replicate has."""


def summarize(rows: pd.DataFrame, by: Sequence[str] = ("cell", "method")) -> pd.DataFrame:
    r"""One line per group, quantity and parameter, each mean with its Monte-Carlo standard error.

    Parameters
    ----------
    rows
        A study's rows: ``cell``, ``replicate``, ``method``, ``quantity``, ``parameter``, ``value``.
    by
        The columns that tell groups apart, such as the swept settings and ``method``. Replicates of all cells in a
        group are taken together, so name enough columns, or ``cell``.

    Returns
    -------
    DataFrame
        Columns ``by``, ``quantity``, ``parameter`` and

        - ``n``: the number of finite or infinite values,
        - ``mean``, ``sd``, ``mcse`` (:math:`sd/\sqrt n`; NaN for one value), and ``lower``, ``upper``: the 95%
          Monte-Carlo interval of the mean,
        - ``median``, ``q05``, ``q95`` of the replicates; NaN for the quantities below.

        Besides the quantities of the rows there are, with their value in ``mean``:

        - ``bias``: the mean ``error``,
        - ``rmse``: :math:`\sqrt{\mathrm{mean}(error^2)}`, its mcse by the delta method,
        - ``empirical_se``: the sd of the estimates, mcse :math:`sd/\sqrt{2(n-1)}`,
        - ``mean_se``: :math:`\sqrt{\mathrm{mean}(se^2)}`, to be compared with the former,
        - ``coverage``: the share of the finite intervals that hold the truth, with Wilson's interval,
        - ``coverage_trusted``: the same over outcomes that were trusted,
        - ``mean_width``: of the finite intervals,
        - ``failure_rate``: the share of outcomes that were not trusted, with Wilson's interval.

        ``verdict`` is left out; `emjax.experiments.summary.judgements.verdict_record` counts it.
    """
    import pandas as pd

    keys = [*by, "quantity", "parameter"]
    plain = _plain(rows[rows["quantity"] != "verdict"], [*dict.fromkeys([*keys, "cell", "method"])])
    parts = [_moments(plain, keys)]
    for name, source, formula in _FORMULAS:
        chosen = plain[plain["quantity"] == source]
        if name == "coverage_trusted":
            chosen = _trusted_only(chosen, plain)
        if len(chosen):
            parts.append(formula(chosen.assign(quantity=name), keys))
    table = pd.concat([part for part in parts if len(part)], ignore_index=True) if len(plain) else parts[0]
    return table.reindex(columns=[*keys, *COLUMNS])


def _plain(rows: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The rows with categories as what they name: groups are those that exist, not all combinations."""
    import pandas as pd

    categories = [name for name in names if isinstance(rows[name].dtype, pd.CategoricalDtype)]
    return rows.astype({"value": float, **{name: rows[name].cat.categories.dtype for name in categories}})


def _grouped(rows: pd.DataFrame, keys: Sequence[str], values: Any = None) -> Any:
    frame = rows if values is None else rows.assign(value=values)
    return frame.groupby(list(keys), sort=False, dropna=False, observed=True)["value"]


def _moments(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    with np.errstate(invalid="ignore"):  # a mean of -inf has no sd
        groups = _grouped(rows, keys)
        table = groups.agg(n="count", mean="mean", sd="std", median="median").reset_index()
        for name, share in (("q05", 0.05), ("q95", 0.95)):
            table[name] = groups.quantile(share).to_numpy()
        table["mcse"] = table["sd"] / np.sqrt(table["n"])
    return _with_interval(table)


def _with_interval(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(lower=table["mean"] - Z * table["mcse"], upper=table["mean"] + Z * table["mcse"])


def _mean(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    return _moments(rows, keys).drop(columns=["median", "q05", "q95"])


def _root_mean_square(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    table = _mean(rows.assign(value=rows["value"] ** 2), keys)
    root = np.sqrt(table["mean"])
    # d sqrt(m) = dm / 2 sqrt(m); errors that are all 0 leave no doubt about their mean
    error = (table["mcse"] / (2.0 * root)).where(root > 0.0, 0.0).where(table["n"] > 1)
    return _with_interval(table.assign(mean=root, mcse=error, sd=np.nan))


def _spread(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    table = _mean(rows, keys)
    error = table["sd"] / np.sqrt(2.0 * (table["n"] - 1.0)).where(table["n"] > 1)
    return _with_interval(table.assign(mean=table["sd"], mcse=error, sd=np.nan))


def _proportion(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    table = _mean(rows, keys)
    share, n = table["mean"], table["n"]
    lower, upper = wilson(share.to_numpy(), n.to_numpy())
    return table.assign(mcse=np.sqrt(share * (1.0 - share) / n), lower=lower, upper=upper)


def _failures(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    return _proportion(rows.assign(value=1.0 - rows["value"]), keys)


_FORMULAS = (
    ("bias", "error", _mean),
    ("rmse", "error", _root_mean_square),
    ("empirical_se", "estimate", _spread),
    ("mean_se", "se", _root_mean_square),
    ("coverage", "covered", _proportion),
    ("coverage_trusted", "covered", _proportion),
    ("mean_width", "width", _mean),
    ("failure_rate", "trusted", _failures),
)


def _trusted_only(chosen: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    outcome = ["cell", "replicate", "method"]
    trusted = rows[(rows["quantity"] == "trusted") & (rows["value"] == 1.0)]
    return chosen.merge(trusted[outcome].drop_duplicates(), on=outcome)


def wilson(share: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's 95% interval of proportions ``share`` of ``n`` trials each."""
    share, n = np.asarray(share, np.float64), np.asarray(n, np.float64)
    centre = (share + Z**2 / (2.0 * n)) / (1.0 + Z**2 / n)
    half = Z / (1.0 + Z**2 / n) * np.sqrt(share * (1.0 - share) / n + Z**2 / (4.0 * n**2))
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)
