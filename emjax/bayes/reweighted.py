r"""A posterior from EM alone: the weighted likelihood bootstrap.

Each draw maximises :math:`\sum_n w_n \log p(x_n \mid \theta) + \log \pi(\theta)` with weights :math:`w / N` from a
Dirichlet(1, ..., 1), N the number of rows (of a row that counts several times, the sum of as many weights). The random
weights are a posterior of the data's law under no model; their image under EM is one of the parameters of the nearest
mixture, right in first order where the mixture is right, and wider or narrower as a sandwich is where it is not. A
conjugate prior enters EM's M-step as so many further data, with a fixed weight.

Draws are independent, and start from all optima of EM's MAP that are about as high. They are no posterior: nothing
that is said of them converges to it as there are more. Where components are few rows strong the two differ.

References: Newton and Raftery, Journal of the Royal Statistical Society B 56, 1994; Lyddon, Holmes and Walker,
Biometrika 106, 2019; Fong, Lyddon and Holmes, arXiv 1902.03175, 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import numpy as np

from emjax.em.refits import Refits, refit
from emjax.errors import FitError
from emjax.mixture import MixtureParams
from emjax.result import Fit

_MOST_TRIED = 2.0
"""No more than so many times as many draws are tried as are asked for."""


def reweighted_draws(
    fit: Fit, n_draws: int, rng: np.random.Generator, on_progress: Callable[[int], None] | None = None
) -> tuple[MixtureParams, str]:
    """``n_draws`` draws in the data's units, stacked, and how many others had to be left out, in words.

    Raises
    ------
    FitError
        If fewer than half of the draws that were tried end in a regular optimum.
    """
    found = [_tried(fit, n_draws, rng, on_progress)]
    missing = n_draws - int(found[0].regular.sum())
    if missing and missing <= n_draws / _MOST_TRIED:
        found.append(_tried(fit, int(missing * _MOST_TRIED * _MOST_TRIED), rng, None))
    kept = jax.tree.map(lambda *leaves: np.concatenate(leaves), *[_regular(each) for each in found])
    n_tried, n_kept = sum(len(each.code) for each in found), len(kept.weights)
    if n_kept < n_draws:
        raise FitError(
            f"of {n_tried:,} random weightings of the data only {n_kept:,} end in a regular optimum: use a prior or "
            "fewer components"
        )
    left_out = n_tried - n_kept
    return jax.tree.map(lambda leaf: leaf[:n_draws], kept), f"{left_out:,} of {n_tried:,} weightings left out"


def _regular(found: Refits) -> MixtureParams:
    regular = found.regular
    return jax.tree.map(lambda leaf: leaf[regular], found.params)


def _tried(fit: Fit, n_draws: int, rng: np.random.Generator, on_progress: Callable[[int], None] | None) -> Refits:
    samples = fit.samples.counted
    own = np.ones(samples.n_samples) if samples.weights is None else samples.weights
    total = float(own.sum())

    def weightings() -> Iterator[np.ndarray]:
        for _ in range(n_draws):
            drawn = rng.gamma(own)
            yield drawn * (total / drawn.sum())

    return refit(fit, weightings(), weights=True, on_progress=on_progress)
