"""Student t and gamma components against SciPy's optimisers, with missing cells too."""

import jax
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

import emjax


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_one_student_t_component_is_scipys_maximum(seed: int):
    x = scipy.stats.t(3.5, loc=2.0, scale=1.7).rvs(400, random_state=seed)
    fit = emjax.fit(emjax.Mixture(emjax.StudentT(), 1), x, key=1, n_init=1, tol=1e-9)

    def negative(u: np.ndarray) -> float:
        return -scipy.stats.t.logpdf(x, np.exp(u[0]), u[1], np.exp(u[2])).sum()

    found = scipy.optimize.minimize(negative, [1.0, 2.0, 0.5], method="BFGS", options={"gtol": 1e-8})
    assert abs(fit.log_likelihood + found.fun) < 1e-8
    np.testing.assert_allclose(fit.params.df, np.exp(found.x[0]), rtol=1e-5)
    np.testing.assert_allclose(fit.params.scale, np.exp(found.x[2]).reshape(1, 1), rtol=1e-5)


def test_fixed_degrees_of_freedom_are_those_of_the_estimate():
    x = scipy.stats.t(3.0).rvs(400, random_state=0)
    free = emjax.fit(emjax.Mixture(emjax.StudentT(), 1), x, key=1, n_init=1, tol=1e-9)
    fixed = emjax.fit(emjax.Mixture(emjax.StudentT(df=float(free.params.df[0])), 1), x, key=1, n_init=1, tol=1e-9)
    assert fixed.log_likelihood == pytest.approx(free.log_likelihood, abs=1e-9)
    assert fixed.n_parameters == free.n_parameters - 1
    np.testing.assert_array_equal(fixed.params.df, free.params.df)
    with pytest.raises(emjax.ConfigError, match="df = 0"):
        emjax.StudentT(df=0)


def test_no_start_ends_beyond_the_bound_of_the_degrees_of_freedom():
    """Normal data want more of them than there may be: an accelerated step past the bound had to fall back."""
    rng = np.random.default_rng(3)
    first = rng.random(200) < 0.4
    x = np.where(first, rng.normal(0.0, 1.0, 200), rng.normal(3.6, 1.0, 200))
    fit = emjax.fit(emjax.Mixture(emjax.StudentT(), 2), x, key=0, n_init=10)
    assert {each.status for each in fit.optima} == {emjax.Status.CONVERGED}
    np.testing.assert_allclose(fit.params.df, 1000.0)


def test_student_t_with_missing_cells_is_the_maximum():
    rng = np.random.default_rng(4)
    x = scipy.stats.multivariate_t([1.0, -1.0], [[1.0, 0.6], [0.6, 2.0]], df=4).rvs(300, random_state=4)
    x[rng.random(x.shape) < 0.25] = np.nan
    fit = emjax.fit(emjax.Mixture(emjax.StudentT(), 1), x, key=1, n_init=1, tol=1e-9)
    assert np.diff(fit.trace).min() >= -1e-9

    def negative(u: np.ndarray) -> float:
        root = np.array([[np.exp(u[2]), 0.0], [u[3], np.exp(u[4])]])
        matrix, total = root @ root.T, 0.0
        for row in x:
            o = np.flatnonzero(~np.isnan(row))
            if o.size:
                total += scipy.stats.multivariate_t(u[:2][o], matrix[np.ix_(o, o)], df=np.exp(u[5])).logpdf(row[o])
        return -total

    root = np.linalg.cholesky(fit.params.covariance[0])
    own = [*fit.params.mean[0], np.log(root[0, 0]), root[1, 0], np.log(root[1, 1]), np.log(fit.params.df[0])]
    assert -negative(np.array(own)) == pytest.approx(fit.log_likelihood, rel=1e-12)
    slope = scipy.optimize.approx_fprime(np.array(own), negative, 1e-6)
    assert np.abs(slope).max() < 2e-3  # of forward differences; elsewhere it is a thousand times as large
    assert np.abs(scipy.optimize.approx_fprime(np.array(own) + 0.1, negative, 1e-6)).max() > 1.0


def test_gamma_with_a_quarter_of_the_cells_missing_is_the_maximum():
    rng = np.random.default_rng(3)
    n = 2_000
    labels = rng.choice(2, n, p=[0.4, 0.6])
    shape, rate = np.array([[2.0, 6.0, 3.0], [6.0, 2.0, 8.0]]), np.array([[1.0, 2.0, 0.1], [1.0, 2.0, 0.4]])
    x = rng.gamma(shape[labels]) / rate[labels]
    x[rng.random(x.shape) < 0.25] = np.nan
    fit = emjax.fit(emjax.Mixture(emjax.Gamma(), 2), x, key=1)
    assert fit.converged, fit.message
    assert np.isnan(x).mean() == pytest.approx(0.25, abs=0.02)
    seen, filled = ~np.isnan(x), np.nan_to_num(x, nan=1.0)
    logs = np.log(filled)

    def negative(u: np.ndarray) -> float:
        a, b = np.exp(u[1:].reshape(2, 2, 3))
        weights = np.array([u[0], 0.0]) - np.logaddexp(u[0], 0.0)
        cells = a * np.log(b) - scipy.special.gammaln(a) + (a - 1) * logs[:, None] - b * filled[:, None]
        joint = weights + np.where(seen[:, None], cells, 0.0).sum(axis=2)
        return -np.logaddexp.reduce(joint, axis=1).sum()

    ratio = np.log(fit.params.weights[0] / fit.params.weights[1])
    u = np.concatenate([[ratio], np.log(fit.params.shape).ravel(), np.log(fit.params.rate).ravel()])
    assert -negative(u) == pytest.approx(fit.log_likelihood, rel=1e-12)
    found = scipy.optimize.minimize(negative, u, method="BFGS")
    assert -found.fun - fit.log_likelihood < 1e-8


@pytest.mark.slow
def test_units_of_positive_data_change_nothing_under_the_default_prior():
    rng = np.random.default_rng(7)
    x = rng.gamma(np.where(rng.random((200, 1)) < 0.5, 2.0, 9.0))
    mixture = emjax.Mixture(emjax.Gamma(), 2, "default")
    fits = [emjax.fit(mixture, scale * x, key=1) for scale in (1.0, 1e-9)]
    np.testing.assert_allclose(fits[1].params.shape, fits[0].params.shape, rtol=1e-6)
    np.testing.assert_allclose(1e-9 * fits[1].params.rate, fits[0].params.rate, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.runs_numpyro
@pytest.mark.parametrize(
    "family",
    [emjax.Bernoulli(), emjax.Exponential()],
    ids=lambda family: family.name,
)
def test_two_samplers_agree(family: emjax.Family):
    rng = np.random.default_rng(11)
    first = rng.random((300, 1)) < 0.4
    if family.name == "bernoulli":
        x = (rng.random((300, 5)) < np.where(first, 0.8, 0.25)).astype(float)
    else:
        x = rng.exponential(np.where(first, 0.2, 3.0) * np.ones(2))
    mixture = emjax.Mixture(family, 2, "default")
    summaries = []
    for method in ("hmc", "gibbs"):
        posterior = emjax.sample(mixture, x, key=jax.random.key(0), method=method)
        assert posterior.converged, posterior.message
        draws = posterior.sampled["posterior"][next(iter(family.parameters))].values
        ess = min(row.ess_bulk for row in posterior.diagnostics.quantities)
        flat = draws.reshape(-1, *draws.shape[2:])
        summaries.append((flat.mean(axis=0), flat.std(axis=0) / np.sqrt(ess)))
    (mean, error), (other, other_error) = summaries
    assert (np.abs(mean - other) < 4.0 * np.sqrt(error**2 + other_error**2)).all()
