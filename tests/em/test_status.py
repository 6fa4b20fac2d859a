"""How a fit ends: every status, none of them an exception from inside, and no NaN that reads as converged."""

import inspect

import jax
import numpy as np
import pytest

import emjax
from emjax.em.state import change, coordinates
from emjax.result import Status

KEY = jax.random.key(0)
NORMAL = emjax.Mixture(emjax.Normal(), 2)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(-3, 1, 60), rng.normal(3, 1, 60)])[:, None]


def start(mean, scale=1.0, weights=(0.5, 0.5)) -> emjax.MixtureParams:
    mean = np.asarray(mean, dtype=float)[:, None]
    return NORMAL.params(weights=weights, mean=mean, scale=np.broadcast_to(scale, mean.shape))


def test_converged(x):
    fit = emjax.fit(NORMAL, x, key=KEY, init=start([-1.0, 1.0]))
    assert fit.status is Status.CONVERGED
    assert fit.converged
    assert fit.n_iter < 10_000
    assert "converged" in fit.message
    # The estimated distance to the optimum is honest: a far smaller tolerance moves no parameter by more than 1e-6 sd.
    tight = emjax.fit(NORMAL, x, key=KEY, init=fit, tol=1e-12)
    for a, b in zip(jax.tree.leaves(tight.params), jax.tree.leaves(fit.params), strict=True):
        np.testing.assert_allclose(a, b, atol=4e-6 * x.std() ** 2)


def test_max_iter(x):
    fit = emjax.fit(NORMAL, x, key=KEY, init=start([-1.0, 1.0]), max_iter=2)
    assert (fit.status, fit.converged, fit.n_iter) == (Status.MAX_ITER, False, 2)
    assert "raise max_iter" in fit.message


def test_exact_iterations_say_that_they_were_asked_for(x):
    fit = emjax.fit(NORMAL, x, key=KEY, init=start([-1.0, 1.0]), max_iter=300, tol=0.0)
    assert (fit.status, fit.n_iter, len(fit.trace)) == (Status.MAX_ITER, 300, 301)
    assert "300 iterations that were asked for" in fit.message
    assert fit.trace[-1] == fit.objective


def test_a_component_on_one_point_is_degenerate(x):
    fit = emjax.fit(NORMAL, x, key=KEY, init=start([0.0, x[0, 0]], scale=[[3.0], [1e-3]], weights=(0.99, 0.01)))
    assert fit.status is Status.DEGENERATE
    assert not fit.converged
    assert "collapsed" in fit.message
    assert np.isfinite(fit.objective)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fit.params))
    assert len(fit.trace) == fit.n_iter + 1
    assert fit.trace[-1] == fit.objective


def test_a_component_without_points_is_degenerate(x):
    fit = emjax.fit(NORMAL, x, key=KEY, init=start([0.0, 500.0], scale=[[3.0], [1.0]]))
    assert fit.status is Status.DEGENERATE
    assert np.isfinite(fit.objective)


@pytest.mark.parametrize(
    ("accelerate", "covariance"),
    [
        pytest.param("none", "full", marks=pytest.mark.slow),
        pytest.param("squarem", "full", marks=pytest.mark.slow),
        ("anderson", "full"),
        pytest.param("anderson", "diag", marks=pytest.mark.slow),
        pytest.param("anderson", "spherical", marks=pytest.mark.slow),
    ],
)
def test_no_method_takes_a_collapse_for_an_optimum(accelerate, covariance):
    # Two features that are ties for a third of the rows, one row far from all others, and rows without spread.
    rng = np.random.default_rng(3)
    x = np.concatenate([np.tile([1.0, 1.0], (20, 1)), rng.normal(6.0, 1.0, (39, 2)), [[40.0, -40.0]]])
    mixture = emjax.Mixture(emjax.Normal(covariance=covariance), 3)
    fit = emjax.fit(mixture, x, key=KEY, n_init=8, accelerate=accelerate)
    assert sum(o.count for o in fit.optima) == 8
    assert Status.DEGENERATE in {o.status for o in fit.optima}
    for optimum in fit.optima:
        assert optimum.status in (Status.CONVERGED, Status.DEGENERATE)
        assert np.isfinite(optimum.objective)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(optimum.params))
        if optimum.status is Status.CONVERGED:
            assert optimum.params.scale.min() > 1e-3


@pytest.mark.parametrize("accelerate", ["none", "anderson"])
def test_an_empty_component_of_counts_is_flagged(accelerate):
    mixture = emjax.Mixture(emjax.Poisson(), 2)
    x = np.random.default_rng(4).poisson(3.0, 200)
    fit = emjax.fit(mixture, x, key=KEY, init=[3.0, 5000.0], accelerate=accelerate)
    assert fit.status is Status.DEGENERATE
    assert np.isfinite(fit.objective)


def test_a_prior_rescues_the_same_starts(x):
    mixture = emjax.Mixture(emjax.Normal(), 2, prior="default")
    fit = emjax.fit(mixture, x, key=KEY, init=start([0.0, x[0, 0]], [[3.0], [1e-3]], (0.99, 0.01)))
    assert fit.converged, fit.message
    assert not fit.optima[0].spurious
    # A component that no point belongs to stays empty under a flat Dirichlet: a mode at the edge, reached in a few
    # iterations and flagged, with a log weight of minus infinity that must not keep the loop from seeing it.
    fit = emjax.fit(mixture, x, key=KEY, init=start([0.0, 500.0], [[3.0], [1.0]]))
    assert fit.converged, fit.message
    assert fit.n_iter < 10
    assert fit.params.weights[1] == 0.0
    assert fit.optima[0].spurious


@pytest.mark.usefixtures("x64")
def test_weights_that_move_are_seen_beside_an_empty_component(x):
    # Ratios of weights to a last one that is zero are infinite before and after, whatever the other weights do.
    mixture = emjax.Mixture(emjax.Normal(), 3)
    before, after = (
        mixture.params(weights=weights, mean=[0.0, 1.0, 2.0], scale=[1.0, 1.0, 1.0])
        for weights in ([0.5, 0.5, 0.0], [0.4, 0.6, 0.0])
    )
    own = coordinates(mixture, before)
    u, v = own.flat(before), own.flat(after)
    assert np.abs(change(u, v)).max() == pytest.approx(np.log(0.5 / 0.4))
    assert not np.any(change(v, v))
    # And back: that ratio made NaN of all weights.
    np.testing.assert_allclose(own.params(v).weights, after.weights, rtol=1e-15)


def test_a_fit_beside_an_empty_component_converges(x):
    mixture = emjax.Mixture(emjax.Normal(), 3, prior="default")
    init = mixture.params(
        weights=[0.49, 0.49, 0.02], mean=[[-1.0], [0.5], [500.0]], covariance=[[[6.0]], [[6.0]], [[1.0]]]
    )
    fit = emjax.fit(mixture, x, key=KEY, init=init)
    assert fit.converged
    assert fit.params.weights[2] == 0.0
    tight = emjax.fit(mixture, x, key=KEY, init=fit, tol=1e-12)
    np.testing.assert_allclose(tight.params.weights, fit.params.weights, atol=2e-6)
    np.testing.assert_allclose(fit.params.weights, [0.5, 0.5, 0.0], atol=0.02)


def test_an_empty_component_under_a_prior_without_bound_is_degenerate(x):
    """A concentration below 1 is infinite where a weight is zero, and EM that drives one there reaches no optimum."""
    declared = emjax.Mixture(emjax.Normal(), 2, prior="default")
    sparse = declared.default_prior(x).replace(weights=emjax.laws.Dirichlet(np.full(2, 0.5)))
    mixture = emjax.Mixture(emjax.Normal(), 2, sparse)
    fit = emjax.fit(mixture, x, key=KEY, init=start([0.0, 500.0], [[3.0], [1.0]]))
    assert fit.status is Status.DEGENERATE
    assert "concentration below 1" in fit.message
    # Beside such points it has modes like any other prior.
    apart = emjax.fit(mixture, x, key=KEY, init=start([-1.0, 1.0]))
    assert apart.converged
    np.testing.assert_allclose(apart.params.weights, [0.5, 0.5], atol=0.02)


def test_one_component_converges_at_once(x):
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 1), x, key=KEY, n_init=4)
    assert fit.converged
    assert fit.n_iter <= 3
    np.testing.assert_allclose(fit.params.mean, [x.mean(axis=0)], rtol=1e-12)
    np.testing.assert_allclose(fit.params.scale, [x.std(axis=0)], rtol=1e-12)
    assert [o.count for o in fit.optima] == [4]


@pytest.mark.slow
def test_fewer_points_than_features_is_degenerate():
    x = np.random.default_rng(1).normal(size=(4, 6))
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 2), x, key=KEY, n_init=4)
    assert fit.status is Status.DEGENERATE
    assert not fit.converged
    assert {o.status for o in fit.optima} == {Status.DEGENERATE}


def test_features_that_determine_each_other_are_degenerate(x):
    x = np.hstack([x, 2 * x + 1])
    fit = emjax.fit(NORMAL, x, key=KEY, n_init=4)
    assert {o.status for o in fit.optima} == {Status.DEGENERATE}
    mapped = emjax.fit(emjax.Mixture(emjax.Normal(), 2, prior="default"), x, key=KEY, init=x[[0, -1]])
    assert mapped.converged


@pytest.mark.slow
def test_duplicated_points_never_converge_to_a_point():
    x = np.concatenate([np.full(30, 1.0), np.random.default_rng(2).normal(8.0, 1.0, 30)])
    fit = emjax.fit(NORMAL, x, key=KEY, n_init=8)
    assert Status.DEGENERATE in {o.status for o in fit.optima}
    for optimum in fit.optima:
        if optimum.status is Status.CONVERGED:
            assert optimum.params.scale.min() > 1e-3
    mapped = emjax.fit(emjax.Mixture(emjax.Normal(), 2, prior="default"), x, key=KEY, n_init=8)
    assert mapped.converged


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("leaf", ["weights", "mean", "covariance"])
@pytest.mark.parametrize("tol", [1e-6, 0.0])
def test_nan_and_infinity_never_read_as_converged(x, bad, leaf, tol):
    init = start([-1.0, 1.0])
    values = init[leaf].copy()
    values.flat[-1 if leaf == "weights" else 0] = bad
    init = init.replace(**{leaf: values})
    fit = emjax.fit(NORMAL, x, key=KEY, init=init, max_iter=50, tol=tol)
    assert fit.status is Status.NONFINITE
    assert not fit.converged
    assert fit.n_iter == 0
    assert "finite" in fit.message


def test_throw_raises_what_the_status_says(x):
    with pytest.raises(emjax.FitError, match=r"status max_iter: .*raise max_iter"):
        emjax.fit(NORMAL, x, key=KEY, init=start([-1.0, 1.0]), max_iter=2, throw=True)
    with pytest.raises(emjax.FitError, match=r"status degenerate"):
        emjax.fit(NORMAL, x, key=KEY, init=start([0.0, 500.0], [[3.0], [1.0]]), throw=True)
    assert emjax.fit(NORMAL, x, key=KEY, init=start([-1.0, 1.0]), throw=True).converged


def test_failed_starts_are_listed_after_the_good_ones():
    x = np.concatenate([np.full(60, 1.0), np.random.default_rng(2).normal(8.0, 1.0, 60)])
    fit = emjax.fit(NORMAL, x, key=KEY, n_init=20)
    failed = [o.status is not Status.CONVERGED for o in fit.optima]
    assert sum(o.count for o in fit.optima) == 20
    assert any(failed)
    assert failed == sorted(failed)


def test_every_status_has_a_message():
    messages = {status.message for status in Status}
    assert len(messages) == len(Status)
    assert all(20 < len(message) < 200 and "\n" not in message for message in messages)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_init": 0}, "n_init = 0 is not allowed; give a whole number from 1 to 100,000"),
        ({"max_iter": 0}, "max_iter = 0 is not allowed"),
        ({"tol": -1.0}, "tol = -1.0 is not allowed; give a number from 0 to 1e\\+140"),
        ({"tol": float("nan")}, "tol = nan is not allowed"),
        ({"log_every": -1}, "log_every = -1 is not allowed"),
        ({"starts": "kmeans"}, "starts='kmeans' is not one of 'mixed', 'kmeans\\+\\+', 'random'"),
        ({"accelerate": "aitken"}, "accelerate='aitken' is not one of 'auto', 'none', 'squarem', 'anderson'"),
        ({"criterion": "change"}, "criterion='change' is not one of 'parameters', 'log_likelihood'"),
        ({"ridge": -1.0}, "ridge = -1.0 is not allowed"),
        ({"ridge": float("nan")}, "ridge = nan is not allowed"),
        ({"dtype": "float16"}, "dtype='float16' is not one of 'float64', 'float32'"),
    ],
)
def test_wrong_arguments(x, options, message):
    with pytest.raises(ValueError, match=message):
        # The type checker of the tests would refuse some of these before the library sees them.
        inspect.unwrap(emjax.fit)(NORMAL, x, key=KEY, **options)


def test_a_ridge_needs_variances():
    with pytest.raises(ValueError, match=r"ridge=0\.1 needs a family with variances, and poisson has none"):
        emjax.fit(emjax.Mixture(emjax.Poisson(), 2), [1.0, 2.0, 3.0, 7.0], key=KEY, ridge=0.1)


@pytest.mark.parametrize(
    "covariance",
    ["full", *(pytest.param(name, marks=pytest.mark.slow) for name in ("tied", "diag")), "spherical"],
)
def test_a_ridge_is_added_to_every_variance(covariance):
    rng = np.random.default_rng(5)
    x = np.array([10.0, 0.1]) * rng.normal(size=(300, 2)) + 50.0
    fit = emjax.fit(emjax.Mixture(emjax.Normal(covariance=covariance), 1), x, key=KEY, n_init=1, ridge=0.5)
    variances = x.var(axis=0)
    if covariance == "spherical":
        variances = np.full(2, variances.mean())
    np.testing.assert_allclose(fit.params.scale[0] ** 2, variances + 0.5, rtol=1e-10)


def test_wrong_data(x):
    with pytest.raises(emjax.DataError, match="constant"):
        emjax.fit(NORMAL, np.ones(10), key=KEY)
    with pytest.raises(emjax.DataError, match="row 1"):
        emjax.fit(NORMAL, [1.0, np.inf, 3.0], key=KEY)
    with pytest.raises(emjax.DataError, match="component"):
        emjax.fit(NORMAL, [1.0], key=KEY)
    with pytest.raises(emjax.DataError, match="counts"):
        emjax.fit(emjax.Mixture(emjax.Poisson(), 2), [1.0, 2.5, 3.0], key=KEY)
    fit = emjax.fit(NORMAL, x, key=KEY, init=start([-1.0, 1.0]))
    with pytest.raises(ValueError, match=r"x has 2 features \('x0', 'x1'\), the fit has 1"):
        fit.score_samples(np.ones((3, 2)))
