"""R-hat and nested R-hat of one scalar quantity, rank-normalised; effective sample sizes are ArviZ's.

References
----------
Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Bayesian Analysis 16 (rank normalisation, folding);
Margossian, Hoffman, Sountsov, Riou-Durand, Vehtari & Gelman (2024), Nested R-hat: assessing the convergence of
Markov chain Monte Carlo when running many short chains, Bayesian Analysis.
"""

from __future__ import annotations

import math

import numpy as np


def split_rhat(draws: np.ndarray) -> float:
    """Rank-normalised split R-hat of draws ``(chain, draw)``; infinity if no chain moves and they stand apart."""
    from arviz_stats.base import array_stats

    if np.all(draws == draws[:, :1]):
        return math.inf
    if len(draws) > 1:
        return float(array_stats.rhat(draws, method="rank"))
    # ArviZ wants two chains and splits each. One chain is split here, so that its two halves are compared.
    half = draws.shape[1] // 2
    halves = np.stack([draws[0, :half], draws[0, -half:]])
    folded = np.abs(halves - np.median(halves))
    pair = (float(array_stats.rhat(_normal_scores(part), method="identity")) for part in (halves, folded))
    return max(pair, key=_nan_last)


def nested_rhat(draws: np.ndarray, superchains: np.ndarray) -> float:
    r"""Rank-normalised nested R-hat, for many chains that may be too short for R-hat of each.

    Chains that started at one point form a superchain. With :math:`\bar\theta_{k}` its mean, :math:`B` the variance of
    these means, and :math:`W` the mean over superchains of the variance of its chains' means plus the mean variance
    within its chains, it is :math:`\sqrt{1 + B / W}`. Under stationarity it is about :math:`1 + 1/(2 M N)` with
    :math:`M` chains in a superchain of :math:`N` effective draws each.

    Parameters
    ----------
    draws
        ``(chain, draw)``, at least four draws each.
    superchains
        The superchain of each chain, ``(chain,)``; all of equal size, at least two of them, of at least two chains.

    Returns
    -------
    float
        The larger of that of ranks and that of ranks of distances from the median.
    """
    from arviz_stats.base import array_stats

    if np.all(draws == draws[:, :1]):
        return math.inf
    # ArviZ's own rank normalisation splits every chain in two, which chains that may be short had better not be.
    _, numbers = np.unique(superchains, return_inverse=True)
    folded = np.abs(draws - np.median(draws))
    scores = (_normal_scores(part) for part in (draws, folded))
    pair = (float(array_stats.rhat_nested(z, superchain_ids=numbers, method="identity")) for z in scores)
    return max(pair, key=_nan_last)


def _normal_scores(values: np.ndarray) -> np.ndarray:
    """Rank normalisation, Φ⁻¹((rank - 3/8) / (S + 1/4)) (Blom 1958), average ranks for ties."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    ranks = rankdata(values, method="average").reshape(values.shape)
    return ndtri((ranks - 3 / 8) / (values.size + 1 / 4))


def _nan_last(value: float) -> tuple[bool, float]:
    return (math.isnan(value), 0.0 if math.isnan(value) else value)
