"""What draws are judged by: the same NumPy code for every package, ESS and R-hat by ``arviz_stats``."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.samplers.base import Draws

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_ANCHORS = 5
_ALL_DATA = 1000
"""Up to so many data the log-likelihood is followed too."""

_SLICE = 2_000_000


def ordered(draws: Draws) -> Draws:
    """Components in the order of the first feature's mean, draw by draw."""
    order = np.argsort(draws.mean[..., 0], axis=-1)
    return dataclasses.replace(
        draws,
        weights=np.take_along_axis(draws.weights, order, axis=-1),
        mean=np.take_along_axis(draws.mean, order[..., None], axis=-2),
        covariance=np.take_along_axis(draws.covariance, order[..., None, None], axis=-3),
    )


def log_density(draws: Draws, x: np.ndarray) -> np.ndarray:
    """Log density of data ``(n, d)`` under every draw, labels summed out: ``(chain, draw, n)``."""
    shape, (n, d) = draws.weights.shape[:2], x.shape
    flat = [a.reshape(-1, *a.shape[2:]) for a in (draws.weights, draws.mean, draws.covariance)]
    out = np.empty((len(flat[0]), n))
    step = max(1, _SLICE // (n * d * draws.weights.shape[2]))
    for begin in range(0, len(out), step):
        weights, mean, covariance = (a[begin : begin + step] for a in flat)
        root = np.linalg.cholesky(covariance)
        # Solved by the inverse of a small triangle: thousands of tiny solves against n columns each are slower.
        white = np.linalg.inv(root)[:, :, None] @ (x[None, None] - mean[:, :, None])[..., None]
        half = np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1)
        joint = np.log(weights)[..., None] - half[..., None] - 0.5 * (white[..., 0] ** 2).sum(axis=-1)
        top = joint.max(axis=1)
        out[begin : begin + step] = top + np.log(np.exp(joint - top[:, None]).sum(axis=1))
    return out.reshape(*shape, n) - 0.5 * d * math.log(2 * math.pi)


def invariants(draws: Draws, x: np.ndarray) -> dict[str, np.ndarray]:
    """Quantities ``(chain, draw)`` that labels do not touch."""
    rows = np.argsort(x[:, 0], kind="stable")[np.linspace(0, len(x) - 1, _ANCHORS).astype(int)]
    at_anchors = log_density(draws, x[rows])
    found = {f"log_density[{i}]": at_anchors[..., i] for i in range(_ANCHORS)}
    if len(x) <= _ALL_DATA:
        found["log_likelihood"] = log_density(draws, x).sum(axis=-1)
    weights, mean = draws.weights, draws.mean[..., 0]
    first = (weights * mean).sum(axis=-1)
    found["largest_weight"], found["smallest_weight"] = weights.max(axis=-1), weights.min(axis=-1)
    found["weight_entropy"] = -(weights * np.log(np.maximum(weights, 1e-300))).sum(axis=-1)
    found["total_variance"] = (weights * (draws.covariance[..., 0, 0] + mean**2)).sum(axis=-1) - first**2
    return found


def parameters(draws: Draws) -> dict[str, np.ndarray]:
    """Every weight, mean, standard deviation and correlation ``(chain, draw)``, by the order of means."""
    draws = ordered(draws)
    k, d = draws.mean.shape[2:]
    scale = np.sqrt(np.diagonal(draws.covariance, axis1=-2, axis2=-1))
    found = {}
    for i in range(k):
        found[f"weight[{i}]"] = draws.weights[..., i]
        for j in range(d):
            place = f"{i}" if d == 1 else f"{i}, {j}"
            found[f"mean[{place}]"], found[f"scale[{place}]"] = draws.mean[..., i, j], scale[..., i, j]
            for m in range(j):
                correlation = draws.covariance[..., i, j, m] / (scale[..., i, j] * scale[..., i, m])
                found[f"correlation[{i}, {j}, {m}]"] = correlation
    return found


@dataclasses.dataclass(frozen=True)
class Effective:
    """The worst of all quantities: effective sample size in the bulk and in the tails (5% and 95%), and R-hat."""

    bulk: float
    tail: float
    rhat: float
    worst: str

    @property
    def least(self) -> float:
        """The smaller of bulk and tail; NaN where either is NaN."""
        return float(np.minimum(self.bulk, self.tail))


def effective(quantities: Mapping[str, np.ndarray]) -> Effective:
    """Effective sample sizes and R-hat; a quantity that is not finite or does not vary gives NaN: it never passes."""
    from arviz_stats.base import array_stats

    rows = []
    for values in quantities.values():
        if not np.isfinite(values).all() or np.ptp(values) == 0:
            rows.append((math.nan,) * 3)
            continue
        tail = array_stats.ess(values, method="tail", prob=(0.05, 0.95))
        rhat = array_stats.rhat(values, method="rank") if len(values) > 1 else math.nan
        rows.append((float(array_stats.ess(values, method="bulk")), float(tail), float(rhat)))
    table = np.array(rows)
    worst = int(np.argmin(np.nan_to_num(table[:, :2], nan=-1.0).min(axis=1)))
    return Effective(*table[:, :2].min(axis=0).tolist(), float(table[:, 2].max()), list(quantities)[worst])


def quantiles(quantities: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Quantiles with their Monte-Carlo standard errors, in the format of the frozen references."""
    from arviz_stats.base import array_stats

    return {
        name: {
            "quantiles": {
                f"{p}": [float(np.quantile(values, p)), float(array_stats.mcse(values, method="quantile", prob=p))]
                for p in QUANTILES
            }
        }
        for name, values in quantities.items()
    }


def deviation(found: Mapping[str, Any], reference: Mapping[str, Any]) -> tuple[float, str]:
    """The largest difference of a quantile that both have, in standard errors of both together, and whose it is.

    Raises
    ------
    ValueError
        If there is no quantile that both have.
    """
    largest, where = -1.0, ""
    for name in found.keys() & reference.keys():
        for p, (value, error) in found[name]["quantiles"].items():
            if p not in reference[name]["quantiles"]:
                continue
            other, other_error = reference[name]["quantiles"][p]
            size = abs(value - other) / max(math.hypot(error, other_error), 1e-300)
            if math.isnan(size) or size > largest:  # NaN stays: nothing is larger than it
                largest, where = size, f"{name} at {p}"
    if not where:
        raise ValueError("the reference has none of these quantities")
    return largest, where


def read_reference(path: Path) -> dict[str, Any] | None:
    """The quantities of a frozen reference, or None where there is no such file."""
    return json.loads(path.read_text(encoding="utf-8"))["quantities"] if path.is_file() else None
