"""Accelerated EM: the optimum of plain EM, never below it, sooner, and as sure of where it stops."""

import dataclasses
import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import emjax
from emjax.em import accelerate
from emjax.em.accelerate import DEPTH
from emjax.moments import Summary

KEY = jax.random.key(0)
METHODS = ("squarem", "anderson")
PUBLISHED = json.loads((Path(__file__).parents[1] / "reference" / "published.json").read_text(encoding="utf-8"))
POISSON = emjax.Mixture(emjax.Poisson(), 2)
DEATHS_START = POISSON.params(rate=[1.0, 3.0])
NORMAL = emjax.Mixture(emjax.Normal(), 2)


@pytest.fixture(scope="module")
def deaths() -> emjax.datasets.Dataset:
    return emjax.datasets.load("deaths")


@pytest.fixture(scope="module")
def overlapping() -> np.ndarray:
    """Two normals 1.5 standard deviations apart."""
    rng = np.random.default_rng(11)
    return np.concatenate([rng.normal(0.0, 1.0, 300), rng.normal(1.5, 1.0, 300)])


@functools.partial(jax.jit, static_argnums=0)
def newton_step(mixture, params, x, prior):
    """One step of Newton's method on the objective in unconstrained coordinates, and where it leads."""
    coordinates = mixture.coordinates(x.shape[1])
    flat = coordinates.flat(params)

    def objective(u):
        at = coordinates.params(u)
        value = mixture.log_prob(at, x).sum()
        return value if prior is None else value + mixture.log_prior(at, prior)

    step = -jnp.linalg.solve(jax.hessian(objective)(flat), jax.grad(objective)(flat))
    return step, coordinates.params(flat + step)


def distance_to_the_optimum(fit: emjax.Fit, x: np.ndarray) -> float:
    """The largest change that three steps of Newton's method make, in unconstrained parameters of standardised data."""
    frame = fit.mixture.family.frame(Summary(x))
    mixture, prior = fit.mixture.likelihood, fit.mixture.prior
    with jax.enable_x64(True):
        z = frame.apply(x)
        prior = None if prior is None else mixture.prior_to_frame(prior, frame)
        at = mixture.to_frame(fit.params, frame)
        total = 0.0
        for _ in range(3):
            step, at = newton_step(mixture, at, z, prior)
            total = total + np.asarray(step)
    return float(np.abs(total).max())


def is_monotone(fit: emjax.Fit) -> bool:
    return bool(np.diff(fit.trace).min() >= -1e-14 * (np.abs(fit.trace).max() + fit.n_samples))


@pytest.mark.parametrize(("method", "most"), [pytest.param("squarem", 110, marks=pytest.mark.slow), ("anderson", 40)])
def test_the_death_notices(deaths, method: str, most: int):
    published = PUBLISHED["deaths"]
    plain = emjax.fit(POISSON, deaths, key=KEY, init=DEATHS_START, accelerate="none")
    fit = emjax.fit(POISSON, deaths, key=KEY, n_init=1, starts="random", accelerate=method)
    given = emjax.fit(POISSON, deaths, key=KEY, init=DEATHS_START, accelerate=method)
    assert plain.n_iter > 2500
    assert fit.converged
    assert fit.n_evaluations <= most  # the probes at the end, which SQUAREM's paper does not have, are among them
    # A given start is first led near its limit by EM alone.
    assert most < given.n_evaluations < plain.n_evaluations / 4
    assert given.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-9)
    assert fit.log_likelihood >= plain.log_likelihood - 1e-9
    np.testing.assert_allclose(fit.params.weights[0], published["weight"], atol=1e-6)
    assert distance_to_the_optimum(fit, np.asarray(deaths)) < 2e-6
    # Plain EM's own rate, which no accelerated step shows.
    assert fit.rate == pytest.approx(published["rate_of_convergence"], abs=1e-6)
    assert "530 plain iterations for every further digit" in fit.message
    assert is_monotone(fit)


@pytest.mark.parametrize(
    "method", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("none", "squarem")), "anderson"]
)
@pytest.mark.parametrize("prior", [None, pytest.param("default", marks=pytest.mark.slow)])
def test_overlapping_normals(overlapping, method: str, prior):
    mixture = emjax.Mixture(emjax.Normal(), 2, prior)
    # Drawn, since near a given start acceleration waits for EM to lead the way.
    drawn = {"key": KEY, "n_init": 1, "starts": "kmeans++", "max_iter": 100_000}
    fit = emjax.fit(mixture, overlapping, **drawn, accelerate=method)
    assert fit.converged
    assert distance_to_the_optimum(fit, overlapping[:, None]) < 2e-6
    if prior is None:
        assert fit.rate > 0.99
        assert "EM is slow here" in fit.message
    if method != "none":
        assert fit.n_evaluations < 700
        plain = emjax.fit(mixture, overlapping, **drawn, accelerate="none")
        assert plain.n_iter > 2 * fit.n_evaluations
        assert fit.objective >= plain.objective - 1e-9
        assert fit.rate == pytest.approx(plain.rate, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "covariance", "n_components"),
    [
        ("anderson", "full", 3),
        ("squarem", "full", 3),
        ("anderson", "tied", 3),
        ("anderson", "spherical", 2),
    ],
)
def test_every_start_of_the_faithful_data(method: str, covariance: str, n_components: int):
    x = emjax.datasets.load("faithful")
    mixture = emjax.Mixture(emjax.Normal(covariance=covariance), n_components)
    plain = emjax.fit(mixture, x, key=KEY, n_init=4, accelerate="none")
    fit = emjax.fit(mixture, x, key=KEY, n_init=4, accelerate=method)
    assert fit.converged
    assert is_monotone(fit)
    assert fit.log_likelihood >= plain.log_likelihood - 272e-8
    assert distance_to_the_optimum(fit, np.asarray(x)) < 5e-6
    assert sum(optimum.count for optimum in fit.optima) == 4


def test_a_trace_has_one_entry_an_iteration_and_e_steps_are_counted(deaths):
    fit = emjax.fit(POISSON, deaths, key=KEY, init=DEATHS_START)
    assert len(fit.trace) == fit.n_iter + 1
    assert fit.trace[-1] == fit.objective
    assert fit.n_evaluations >= fit.n_iter + 1 + DEPTH  # the probes that confirm the end are no iterations
    plain = emjax.fit(POISSON, deaths, key=KEY, init=DEATHS_START, accelerate="none")
    assert plain.n_evaluations == plain.n_iter + 1
    np.testing.assert_allclose(fit.trace[:5], plain.trace[:5], rtol=1e-13)  # before it begins, it is plain EM


def test_auto_is_plain_em_where_iterations_are_counted(deaths):
    exact = {"key": KEY, "init": DEATHS_START, "max_iter": 60, "tol": 0.0}
    auto = emjax.fit(POISSON, deaths, **exact)
    plain = emjax.fit(POISSON, deaths, **exact, accelerate="none")
    np.testing.assert_array_equal(auto.trace, plain.trace)
    exact = {"key": KEY, "n_init": 1, "max_iter": 60, "tol": 0.0}
    anderson, plain = (emjax.fit(POISSON, deaths, **exact, accelerate=method) for method in ("anderson", "none"))
    assert (anderson.n_iter, len(anderson.trace)) == (60, 61)
    assert anderson.objective > plain.objective
    assert is_monotone(anderson)


def test_auto_is_plain_em_where_a_ridge_is_added(overlapping):
    options = {"key": KEY, "init": [-0.5, 2.0], "ridge": 0.05, "max_iter": 200}
    auto = emjax.fit(NORMAL, overlapping, **options)
    plain = emjax.fit(NORMAL, overlapping, **options, accelerate="none")
    np.testing.assert_array_equal(auto.trace, plain.trace)
    with pytest.raises(ValueError, match=r"accelerate='anderson' needs an objective that never falls: leave out ridge"):
        emjax.fit(NORMAL, overlapping, **options, accelerate="anderson")


BAD_STEPS = {
    "nothing but NaN": lambda walk: jnp.full_like(walk.at.f, jnp.nan),
    "infinity": lambda walk: jnp.full_like(walk.at.f, jnp.inf),
    "far away": lambda walk: jnp.full_like(walk.at.f, 1e6),
    "noise": lambda walk: jnp.sin(1e3 * jnp.arange(1.0, 5.0)[None, :] * walk.n_evaluations[:, None]),
    "back where EM came from": lambda walk: -5.0 * walk.at.f,
}


@pytest.fixture
def _retraced():
    """Nothing that was compiled with a patch may outlive it."""
    jax.clear_caches()
    yield
    jax.clear_caches()


@pytest.mark.usefixtures("_retraced")
# Each is a program of its own; those that run by name are refused by the rules that the others are refused by.
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in ("infinity", "far away", "noise"))) for name in BAD_STEPS],
)
def test_bad_proposals_do_no_harm(deaths, monkeypatch, name: str):
    monkeypatch.setattr(accelerate, "_anderson", BAD_STEPS[name])
    options = {"key": KEY, "n_init": 1, "max_iter": 300}
    plain, fit = (emjax.fit(POISSON, deaths, **options, accelerate=method) for method in ("none", "anderson"))
    assert fit.status is emjax.Status.MAX_ITER
    assert is_monotone(fit)
    assert np.isfinite(fit.trace).all()
    # Whatever is proposed, an iteration takes EM's step unless something better was found.
    assert fit.objective >= plain.objective - 1e-3
    assert fit.n_evaluations < 1.3 * 300  # and refusals make proposals rare


def test_equal_components_stay_a_saddle_as_in_plain_em():
    x = emjax.datasets.load("faithful")
    equal = NORMAL.params(mean=np.tile([3.0, 70.0], (2, 1)), scale=[[1.0, 10.0]] * 2)
    fit = emjax.fit(NORMAL, x, key=KEY, init=equal)
    assert fit.status is emjax.Status.SADDLE
    np.testing.assert_allclose(fit.params.mean[0], fit.params.mean[1], rtol=1e-12)


@pytest.mark.parametrize("method", ["none", *METHODS])
def test_the_gain_still_to_come_is_what_was_asked_for(overlapping, method: str):
    init = NORMAL.params(mean=[-0.5, 2.0], scale=[0.8, 0.8])
    best = emjax.fit(NORMAL, overlapping, key=KEY, init=init, tol=1e-9).log_likelihood
    gains = []
    for tol in (1e-3, 1e-5, 1e-7):
        fit = emjax.fit(NORMAL, overlapping, key=KEY, init=init, tol=tol, criterion="log_likelihood", accelerate=method)
        assert fit.converged
        gains.append((best - fit.log_likelihood) / len(overlapping) / tol)
    assert max(gains) < 3.0
    # A bare small change would have stopped far from it.
    plain = emjax.fit(NORMAL, overlapping, key=KEY, init=init, tol=0.0, max_iter=2000)
    changes = np.diff(plain.trace) / len(overlapping)
    first = int(np.argmax(changes < 1e-7))
    assert (best - plain.trace[first]) / len(overlapping) > 10e-7


@pytest.mark.slow
def test_float32(overlapping):
    init = NORMAL.params(mean=[-0.5, 2.0], scale=[0.8, 0.8])
    double = emjax.fit(NORMAL, overlapping, key=KEY, init=init)
    single = emjax.fit(NORMAL, overlapping, key=KEY, init=init, dtype="float32")
    assert single.status in (emjax.Status.CONVERGED, emjax.Status.MAX_ITER)
    assert abs(single.log_likelihood - double.log_likelihood) / len(overlapping) < 1e-5


def linear_walk(n_pairs: int) -> tuple[accelerate.Walk, np.ndarray, np.ndarray]:
    """A walk of the linear map ``u -> J u`` over some points, its last u, and the eigenvalues of J."""
    rng = np.random.default_rng(0)
    rates = np.array([0.99, 0.9, 0.5, 0.1])
    basis = rng.normal(size=(4, 4))
    jacobian = basis @ np.diag(rates) @ np.linalg.inv(basis)
    points = rng.normal(size=(n_pairs + 1, 4))
    residuals = points @ jacobian.T - points
    pairs = np.zeros((1, DEPTH, 2, 4))
    pairs[0, DEPTH - n_pairs :] = np.stack([np.diff(points, axis=0), np.diff(residuals, axis=0)], axis=1)
    params = POISSON.params(rate=[1.0, 3.0])  # looked at by nobody here
    at = accelerate.Point(params, params, points[-1][None], residuals[-1][None], *[None] * 3)
    walk = accelerate.Walk(at, *[None] * (len(dataclasses.fields(accelerate.Walk)) - 1))
    return dataclasses.replace(walk, pairs=pairs, n_pairs=np.array([n_pairs])), points[-1], rates


def move(step, walk: accelerate.Walk) -> np.ndarray:
    """What ``step`` proposes from a walk, in float64."""
    with jax.enable_x64(True):
        return np.asarray(step(jax.tree.map(jnp.asarray, walk)))


@pytest.mark.usefixtures("x64")
def test_anderson_solves_a_linear_map_once_it_has_seen_every_direction():
    walk, u, rates = linear_walk(4)
    np.testing.assert_allclose(move(accelerate._anderson, walk)[0], -u, rtol=1e-6)
    assert accelerate._largest_rate(walk.du[0], walk.df[0], otherwise=np.nan) == pytest.approx(rates[0], abs=1e-6)
    walk, u, _ = linear_walk(2)
    assert np.abs(move(accelerate._anderson, walk)[0] + u).max() > 1e-3  # two directions of four are not enough


@pytest.mark.usefixtures("x64")
def test_without_pairs_the_proposal_is_ems_step():
    walk, _, _ = linear_walk(2)
    walk = dataclasses.replace(walk, n_pairs=np.array([0]))
    np.testing.assert_array_equal(move(accelerate._anderson, walk), walk.at.f)


@pytest.mark.usefixtures("x64")
def test_squarem_is_exact_for_one_direction():
    """``u -> 0.99 u``: steps in one direction, so that the fixed point is one extrapolation away."""
    walk, _, _ = linear_walk(1)
    u0 = np.array([1.0, 2.0, -1.0, 0.5])
    pairs = np.zeros((1, DEPTH, 2, 4))
    pairs[0, -1] = -0.01 * u0, 0.0001 * u0
    at = dataclasses.replace(walk.at, u=0.99 * u0[None], f=-0.0099 * u0[None])
    walk = dataclasses.replace(walk, at=at, pairs=pairs)
    np.testing.assert_allclose(move(accelerate._squarem, walk)[0], -0.99 * u0, rtol=1e-10)
