r"""A posterior from EM alone: the weighted likelihood bootstrap, and the posterior bootstrap.

Each draw maximises :math:`\sum_n w_n \log p(x_n \mid \theta) + \log \pi(\theta)` with weights :math:`w / N` from a
Dirichlet(1, ..., 1), N the number of rows (of a row that counts several times, the sum of as many weights). The random
weights are a posterior of the data's law under no model; their image under EM is one of the parameters of the nearest
mixture, right in first order where the mixture is right, and wider or narrower as a sandwich is where it is not. A
conjugate prior enters EM's M-step as so many further data, with a fixed weight.

That posterior of the data's law is a Dirichlet process without a prior, which knows no value but those that were seen.
With ``pseudo_rows`` c it has one around the mixture's prior predictive law: a draw has T further rows, drawn anew,
each from a mixture of its own that is drawn from the prior, and weights

.. math:: (w, \tilde w) / (N + c) \sim \mathrm{Dirichlet}(1, \dots, 1, c/T, \dots, c/T) .

The fixed weight of the prior stays, since without it the likelihood may have no bound; as c goes to zero the draws are
those without further rows.

Draws are independent, and start from all optima of EM's MAP that are about as high. They are no posterior: nothing
that is said of them converges to it as there are more. Where components are few rows strong the two differ.

References: Newton and Raftery, Journal of the Royal Statistical Society B 56, 1994; Lyddon, Holmes and Walker,
Biometrika 106, 2019; Fong, Lyddon and Holmes, arXiv 1902.03175, 2019, whose posterior bootstrap has the further rows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

import jax
import numpy as np

from emjax.em.refits import Refits, Replicate, refit
from emjax.em.rows import Rows
from emjax.errors import FitError
from emjax.mixture import Mixture, MixtureParams, Prior
from emjax.result import Fit
from emjax.scope import computing

_MOST_TRIED = 2.0
"""No more than so many times as many draws are tried as are asked for."""

_FEWEST_DRAWN, _DRAWN_OF_ROW = 100, 10
"""Rows from the prior of each draw, and for each row that they weigh: variances of means are then those of the
Dirichlet process that they stand for, to a tenth."""

_ROWS_AT_ONCE = 1 << 13
"""About so many rows from the prior are drawn by one call: one program, whatever the number of draws."""


def reweighted_draws(
    fit: Fit,
    n_draws: int,
    rng: np.random.Generator,
    on_progress: Callable[[int], None] | None = None,
    *,
    pseudo_rows: float = 0.0,
) -> tuple[MixtureParams, str]:
    """``n_draws`` draws in the data's units, stacked, and how many others had to be left out, in words.

    With ``pseudo_rows`` above zero each has rows from the fit's prior besides, which together weigh so many rows of
    data on average; the fit must have a prior, and a proper one.

    Raises
    ------
    FitError
        If fewer than half of the draws that were tried end in a regular optimum.
    """
    found = [_tried(fit, n_draws, rng, on_progress, pseudo_rows)]
    missing = n_draws - int(found[0].regular.sum())
    if missing and missing <= n_draws / _MOST_TRIED:
        found.append(_tried(fit, int(missing * _MOST_TRIED * _MOST_TRIED), rng, None, pseudo_rows))
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


def _tried(
    fit: Fit,
    n_draws: int,
    rng: np.random.Generator,
    on_progress: Callable[[int], None] | None,
    pseudo_rows: float,
) -> Refits:
    if pseudo_rows > 0:
        replicates = with_pseudo_rows(fit, n_draws, rng, pseudo_rows)
        return refit(fit, replicates, weights=False, on_progress=on_progress)
    return refit(fit, _weightings(fit, n_draws, rng), weights=True, on_progress=on_progress)


def _weightings(fit: Fit, n_draws: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    own = _own_weights(fit)
    for _ in range(n_draws):
        drawn = rng.gamma(own)
        yield drawn * (own.sum() / drawn.sum())


def _own_weights(fit: Fit) -> np.ndarray:
    samples = fit.samples.counted
    return np.ones(samples.n_samples) if samples.weights is None else samples.weights


def with_pseudo_rows(fit: Fit, n_draws: int, rng: np.random.Generator, pseudo_rows: float) -> Iterator[Replicate]:
    """The data and rows from the prior below them, with random weights that add up to N + c, for each draw."""
    real, own = Rows.of(fit.samples, fit.mixture.family), _own_weights(fit)
    prior = fit.mixture.resolved_prior(fit.samples)
    assert prior is not None
    n_drawn = max(_FEWEST_DRAWN, math.ceil(_DRAWN_OF_ROW * pseudo_rows))
    total = own.sum() + pseudo_rows
    shapes = np.append(own, np.full(n_drawn, pseudo_rows / n_drawn))
    labels = real.labels
    if labels is not None:
        # Nothing is known of the component of a row that was not observed.
        labels = np.concatenate([labels, np.zeros((n_drawn, labels.shape[1]))])
    for pseudo in _from_prior(fit.mixture.likelihood, prior, n_draws, n_drawn, rng):
        drawn = rng.gamma(shapes)
        values = np.concatenate([real.values, pseudo])
        weights = drawn * (total / drawn.sum())
        yield dataclasses.replace(real, values=values, weights=weights, labels=labels)


def _from_prior(
    mixture: Mixture, prior: Prior, n_sets: int, n_rows: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """``n_sets`` times rows ``(n_rows, d)`` of the prior predictive law, each of parameters of its own."""
    at_once = max(_ROWS_AT_ONCE // n_rows, 1)
    for begin in range(0, n_sets, at_once):
        prior_key, rows_key = jax.random.split(jax.random.key(int(rng.integers(1 << 32))))
        with computing():
            params = prior.draws(prior_key, at_once * n_rows)
            rows = np.asarray(_one_of_each(mixture, params, jax.random.split(rows_key, at_once * n_rows)), float)
        yield from rows.reshape(at_once, n_rows, -1)[: n_sets - begin]


@jax.jit(static_argnums=0)
def _one_of_each(mixture: Mixture, params: MixtureParams, keys: jax.Array) -> jax.Array:
    return jax.vmap(lambda one, key: mixture.sample(one, key, 1)[0][0])(params, keys)
