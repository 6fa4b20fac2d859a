"""Contracts of EM: monotone, stationary, indifferent to labels and units, and equal to independent implementations."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from table import ROWS, Row, has_two_features_elsewhere, is_alike, walk, walk_with_and_without_prior

import emjax
from tests.contracts.oracles.base import concentration

KEY = jax.random.key(0)  # no start is drawn here: every fit is given one
PROBLEMS = 8


def run(mixture: emjax.Mixture, x: np.ndarray, init: object, n_iter: int) -> emjax.Fit:
    """Exactly ``n_iter`` iterations."""
    return emjax.fit(mixture, x, key=KEY, init=init, max_iter=n_iter, tol=0.0)


def test_there_are_200_random_problems():
    assert 2 * len(ROWS) * PROBLEMS >= 200


def is_elsewhere(row: Row) -> bool:
    """Another row is the same model, or the same setting with two features."""
    return is_alike(row) or has_two_features_elsewhere(row)


LIKE_OTHERS = ("normal-spherical-2d", "student_t-tied-tied-1d", "exponential-2d", "bernoulli-4d")
walk_settings = walk_with_and_without_prior(
    by_name=lambda row: is_elsewhere(row) or row.name in LIKE_OTHERS,
    ml_by_name=lambda row: row.name != "normal-full-2d",
)
"""Every kind of M-step has one row here, of two features where there is one; without a prior the normal one. The others
run by name: their M-steps are held to a double loop below."""


@walk_settings
def test_the_objective_never_falls(row: Row, with_prior: bool):
    for seed in range(PROBLEMS):
        x = row.data(seed)
        fit = run(row.mixture(row.prior(seed) if with_prior else None), x, row.start(seed, x), 60)
        # Near the optimum an iteration changes less than the rounding of a sum of n numbers of this size.
        rounding = 1e-14 * (np.abs(fit.trace).max() + row.n_samples)
        assert np.diff(fit.trace).min() >= -rounding
        assert fit.trace[-1] > fit.trace[0] + 1.0
        assert fit.status in (emjax.Status.MAX_ITER, emjax.Status.DEGENERATE)
        assert fit.n_iter >= 10
        assert len(fit.trace) == fit.n_iter + 1
        np.testing.assert_allclose(fit.trace[-1], fit.objective, rtol=1e-14)


@functools.partial(jax.jit, static_argnums=0)
def gradient(mixture, params, x, prior):
    """The gradient of the total objective in the unconstrained space of the data's own units."""

    coordinates = mixture.coordinates(x.shape[1])

    def objective(flat):
        at = coordinates.params(flat)
        value = mixture.log_prob(at, x).sum()
        return value if prior is None else value + mixture.log_prior(at, prior)

    return jax.grad(objective)(coordinates.flat(params))


def largest_gradient(fit: emjax.Fit, x: np.ndarray) -> float:
    with jax.enable_x64(True):
        return float(np.abs(gradient(fit.mixture.likelihood, fit.params, x, fit.mixture.prior)).max())


# That a double loop agrees, below, holds the M-steps of the others.
@walk_with_and_without_prior(
    by_name=lambda row: row.name not in ("normal-full-2d", "gamma-2d", "student_t-full-own-2d"),
    ml_by_name=lambda row: True,
)
def test_the_gradient_vanishes_at_a_converged_fit(row: Row, with_prior: bool):
    x = row.data(7)
    mixture = row.mixture("default" if with_prior else None)
    # The plain loop: its program is the one that `run` above has compiled.
    check_gradient(row, x, mixture, accelerate="none")


# The accelerated loop knows coordinates alone: one row says all.
@walk(by_name=lambda row: row.name != "normal-full-2d")
def test_the_gradient_vanishes_where_the_accelerated_loop_comes_to_rest(row: Row):
    check_gradient(row, row.data(7), row.mixture("default"), accelerate="auto")


def check_gradient(row: Row, x: np.ndarray, mixture: emjax.Mixture, accelerate: str) -> None:
    """At an ordinary fit, at one that had to come nearer, and not at its start."""
    # The default tolerance bounds the distance to the optimum by 1e-6 standard deviations of the data; the gradient
    # per datum is that distance times a curvature, which a narrow component makes larger than one.
    fit = emjax.fit(mixture, x, key=KEY, init=row.start(7, x), accelerate=accelerate)
    assert fit.converged, fit.message
    assert largest_gradient(fit, x) / row.n_samples < 1e-6
    tight = emjax.fit(mixture, x, key=KEY, init=fit, tol=1e-10, accelerate=accelerate)
    assert tight.converged, tight.message
    assert largest_gradient(tight, x) < 1e-6
    # The same measure is far from zero anywhere else.
    moved = dataclasses.replace(tight, params=row.start(7, x))
    assert largest_gradient(moved, x) > 1e-2


@walk_settings
def test_the_order_of_components_changes_nothing(row: Row, with_prior: bool):
    x = row.data(2)
    start = row.start(2, x)
    prior = row.prior(2) if with_prior else None
    permutation = np.roll(np.arange(row.n_components), 1)
    permuted_prior = prior and row.permuted(prior, permutation)
    mixture = row.mixture(prior)
    fit = run(mixture, x, start, 40)
    other = run(row.mixture(permuted_prior), x, mixture.permute(start, permutation), 40)
    # Sums over components in another order round differently; 40 iterations carry that along.
    np.testing.assert_allclose(other.trace, fit.trace, rtol=1e-11)
    same_params(other.params, mixture.permute(fit.params, permutation), rtol=1e-9)
    np.testing.assert_allclose(other.score_samples(x), fit.score_samples(x), rtol=1e-9)


def same_params(found: emjax.MixtureParams, expected: emjax.MixtureParams, rtol: float) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max())


# Without a prior, scikit-learn knows the normal ones below and SciPy Student's t in `test_tails.py`.
@walk_with_and_without_prior(
    by_name=is_elsewhere,
    ml_by_name=lambda row: row.name not in ("normal-full-2d", "poisson-2d", "gamma-2d", "categorical-3d"),
)
def test_a_double_loop_in_numpy_agrees(row: Row, with_prior: bool, double_loop_em):
    x = row.data(3)
    start = row.start(3, x)
    prior = row.prior(3) if with_prior else None
    fit = run(row.mixture(prior), x, start, 25)
    weights, values, log_likelihood = double_loop_em.run(
        row.oracle, x, start.weights, row.values(start), prior and (concentration(prior), row.oracle.numbers(prior)), 25
    )
    assert fit.n_iter == 25
    np.testing.assert_allclose(fit.log_likelihood, log_likelihood, rtol=1e-10)
    for name, found in {"weights": fit.params.weights, **row.values(fit.params)}.items():
        value = np.asarray(found)
        expected = weights if name == "weights" else values[name]
        np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-10 * np.abs(value).max(), err_msg=name)
    # 25 iterations from a random start are no fixed point: the test would notice a loop that does not move.
    assert not np.allclose(fit.params.weights, start.weights, rtol=1e-3)


PEERED = tuple(row for row in ROWS if row.oracle.has_scikit_learn and row.n_features <= 2)


# The double loop above knows the other structures.
@walk(PEERED, by_name=lambda row: row.name not in ("normal-full-2d", "normal-diag-2d"))
def test_scikit_learn_agrees(row: Row):
    rng = np.random.default_rng(4)
    centres = 5.0 * np.arange(3.0)[:, None] * np.ones(row.n_features)  # apart, so that EM comes to rest in 400 steps
    x = centres[np.arange(row.n_samples) % 3] + rng.normal(size=(row.n_samples, row.n_features))
    mean, own = centres + rng.normal(size=centres.shape), row.values(row.params(4))
    start = row.mixture().params(**{**own, "mean": mean})
    peer = row.oracle.scikit_learn(start.weights, row.values(start), reg_covar=0.0, tol=0.0, max_iter=400)
    with pytest.warns(ConvergenceWarning):  # a tolerance of zero is never met, so that all iterations are done
        peer.fit(x)
    fit = run(row.mixture(), x, start, 400)
    np.testing.assert_allclose(fit.log_likelihood, peer.score(x) * len(x), rtol=1e-8)
    np.testing.assert_allclose(fit.params.weights, peer.weights_, rtol=1e-8)
    for name, value in {"mean": peer.means_, "covariance": peer.covariances_}.items():
        np.testing.assert_allclose(row.values(fit.params)[name], value, rtol=1e-8, err_msg=name)
    np.testing.assert_allclose(fit.bic(x), peer.bic(x), rtol=1e-8)
    np.testing.assert_allclose(fit.predict_proba(x), peer.predict_proba(x), atol=1e-8)


def exact(x: np.ndarray) -> np.ndarray:
    """The data on a grid of 2^-20, so that the changes of units below are exact in float64."""
    return np.round(x * 2.0**20) / 2.0**20


@walk_with_and_without_prior(
    tuple(row for row in ROWS if row.oracle.has_units),
    by_name=is_elsewhere,
    ml_by_name=lambda row: row.name != "normal-full-2d",
)
def test_units_and_origin_of_the_data_do_not_matter(row: Row, with_prior: bool):
    x = exact(row.data(5))
    start = row.start(5, x)
    mixture = row.mixture("default" if with_prior else None)
    fit = run(mixture, x, start, 30)
    for scale, shift in ((2.0**-10, 0.0), (2.0**10, -(2.0**20)), (1.0, 2.0**20), (2.0**-10, 2.0**20)):
        if shift and row.oracle.has_origin:
            continue
        mapped = mixture.params(weights=start.weights, **row.oracle.moved(row.values(start), scale, shift))
        other = run(mixture, shift + scale * x, mapped, 30)
        # A mean near 2^20 is a multiple of 2^-33, a ten-millionth of a standard deviation where the scale is 2^-10.
        grain = 1e-9 + np.finfo(float).eps * abs(shift) / scale
        jacobian = row.n_samples * row.n_features * np.log(scale)
        np.testing.assert_allclose(other.log_likelihood + jacobian, fit.log_likelihood, rtol=1e-9)
        np.testing.assert_allclose(other.params.weights, fit.params.weights, rtol=1e-8)
        back = row.oracle.moved(row.values(other.params), 1 / scale, -shift / scale)
        for name, value in row.values(fit.params).items():
            rtol, atol = (1e-8, 8 * grain) if name in row.oracle.locations else (1e-7, 1e-8)
            np.testing.assert_allclose(back[name], value, rtol=rtol, atol=atol, err_msg=name)


@walk_settings
def test_the_objective_is_the_log_likelihood_plus_the_log_prior(row: Row, with_prior: bool):
    x = row.data(6)
    mixture = row.mixture("default" if with_prior else None)
    fit = run(mixture, x, row.start(6, x), 20)
    np.testing.assert_allclose(fit.log_likelihood, fit.score_samples(x).sum(), rtol=1e-12)
    if not with_prior:
        assert (fit.log_prior, fit.space, fit.mixture.prior) == (0.0, "maximum likelihood", None)
        return
    with jax.enable_x64(True):
        log_prior = float(jax.jit(mixture.log_prior)(fit.params, mixture.default_prior(x)))
    # The loop keeps both in the standard frame; this is the way back, with the Jacobians of both.
    np.testing.assert_allclose(fit.log_prior, log_prior, rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(fit.objective, fit.log_likelihood + log_prior, rtol=1e-12)
    assert fit.space == mixture.space(row.prior(6))
    assert fit.mixture.prior is not None
