"""Programs whose components are a family of the catalogue are fitted as mixtures declared with it; others are not."""

from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import emjax
from emjax.mixture import declared
from emjax.probabilistic.recognised import RecognisedFamily

pytestmark = pytest.mark.runs_numpyro

RNG = np.random.default_rng(3)
LEFT = RNG.random(90) < 0.4
Y = np.where(LEFT, RNG.normal(-2.0, 0.6, 90), RNG.normal(1.0, 1.1, 90))
COUNTS = np.where(LEFT, RNG.poisson(2.0, 90), RNG.poisson(9.0, 90))
LEVELS = np.where(LEFT[:, None], RNG.choice(3, (90, 2), p=[0.7, 0.2, 0.1]), RNG.choice(3, (90, 2), p=[0.1, 0.3, 0.6]))
BITS = (LEVELS > 0).astype(int)


def weights():
    return numpyro.sample("w", dist.Dirichlet(jnp.array([2.0, 2.0])))


def of_each(name, law, *shape):
    return numpyro.sample(name, law.expand([2, *shape]).to_event(1 + len(shape)))


def labels(y, w):
    plate = numpyro.plate("datum", len(y))
    with plate:
        return plate, numpyro.sample("z", dist.Categorical(w))


def counts(y):
    rate = of_each("lam", dist.Gamma(2.0, 0.5))
    plate, z = labels(y, weights())
    with plate:
        numpyro.sample("y", dist.Poisson(rate[z]), obs=y)


def levels(y):
    with numpyro.plate("item", 2, dim=-1), numpyro.plate("class", 2, dim=-2):
        shares = numpyro.sample("p", dist.Dirichlet(jnp.array([1.5, 1.5, 2.0])))
    plate, z = labels(y, weights())
    with plate:
        numpyro.sample("y", dist.Categorical(probs=shares[z]).to_event(1), obs=y)


def bits(y):
    p = of_each("p", dist.Beta(2.0, 2.0), 2)
    plate, z = labels(y, weights())
    with plate:
        numpyro.sample("y", dist.Bernoulli(p[z]).to_event(1), obs=y)


def tied(y):
    mu, sigma = of_each("mu", dist.Normal(0.0, 4.0)), numpyro.sample("sigma", dist.HalfNormal(3.0))
    plate, z = labels(y, weights())
    with plate:
        numpyro.sample("y", dist.Normal(mu[z], sigma), obs=y)


def waiting(y):
    rate = of_each("rate", dist.Gamma(2.0, 0.5))
    plate, z = labels(y, weights())
    with plate:
        numpyro.sample("y", dist.Exponential(rate[z]), obs=y)


def heavy(y):
    mu, sigma = of_each("mu", dist.Normal(0.0, 4.0)), of_each("sigma", dist.HalfNormal(3.0))
    df = numpyro.sample("df", dist.Gamma(2.0, 0.1))
    plate, z = labels(y, weights())
    with plate:
        numpyro.sample("y", dist.StudentT(df, mu[z], sigma[z]), obs=y)


def pulled(y):
    """Normals, and a prior that is more than a law of each site."""
    mu, sigma = of_each("mu", dist.Normal(0.0, 4.0)), of_each("sigma", dist.HalfNormal(3.0))
    numpyro.factor("near", -0.5 * (mu[0] - mu[1]) ** 2)
    plate, z = labels(y, weights())
    with plate:
        numpyro.sample("y", dist.Normal(mu[z], sigma[z]), obs=y)


def with_a_factor(y):
    mu, sigma = of_each("mu", dist.Normal(0.0, 4.0)), of_each("sigma", dist.HalfNormal(3.0))
    plate, z = labels(y, weights())
    with plate:
        numpyro.sample("y", dist.Normal(mu[z], sigma[z]), obs=y)
        numpyro.factor("more", -1e-4 * y**2)


def of_logarithms(y):
    mu, log_sigma = of_each("mu", dist.Normal(0.0, 4.0)), of_each("log_sigma", dist.Normal(0.0, 1.0))
    plate, z = labels(y, weights())
    with plate:
        numpyro.sample("y", dist.Normal(mu[z], jnp.exp(log_sigma[z])), obs=y)


def of_a_covariate(y, t):
    mu, sigma = of_each("mu", dist.Normal(0.0, 4.0)), of_each("sigma", dist.HalfNormal(3.0))
    plate, z = labels(y, weights())
    with plate:
        numpyro.sample("y", dist.Normal(mu[z] + 0.1 * t, sigma[z]), obs=y)


def bounded(y):
    mu, sigma = of_each("mu", dist.Normal(0.0, 4.0)), of_each("sigma", dist.Uniform(0.0, 5.0))
    plate, z = labels(y, weights())
    with plate:
        numpyro.sample("y", dist.Normal(mu[z], sigma[z]), obs=y)


def family_of(model: Callable[..., None], data: object) -> str | None:
    like = declared(emjax.program(model), data).family.structure.likeness
    return None if like is None else like.base.name


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("model", "data", "name", "steps"),
    [
        pytest.param(levels, LEVELS, "categorical", "closed form (categorical)", id="levels"),
        pytest.param(bits, BITS, "bernoulli", "closed form (bernoulli)", id="bits", marks=SLOW),
        pytest.param(tied, Y, "normal", "Newton's method on the moments (normal)", id="tied", marks=SLOW),
        pytest.param(waiting, np.exp(Y), "exponential", "closed form (exponential)", id="waiting", marks=SLOW),
        pytest.param(heavy, Y, "student_t", "Newton's method on the moments (student_t)", id="heavy", marks=SLOW),
        pytest.param(of_logarithms, Y, None, "damped Newton step", id="logarithms", marks=SLOW),
        pytest.param(of_a_covariate, (Y, Y**2), None, "damped Newton step", id="covariate", marks=SLOW),
        pytest.param(bounded, Y, None, "damped Newton step", id="bounded", marks=SLOW),
    ],
)
def test_families_are_told_by_their_densities(model: Callable[..., None], data: object, name: str | None, steps: str):
    mixture = declared(emjax.program(model), data)
    like = mixture.family.structure.likeness
    assert (None if like is None else like.base.name) == name
    assert isinstance(mixture.family, RecognisedFamily) == (name is not None)
    resolved = emjax.Mixture(mixture.family, 2, prior=mixture.resolved_prior(data))
    assert resolved.m_step() == steps
    with pytest.raises(ValueError, match=r"the prior has not met data: .* fit\.mixture\.m_step\(\)"):
        mixture.m_step()


TWIN = emjax.Mixture(
    emjax.Poisson(), 2, prior={"weights": emjax.laws.Dirichlet([2.0, 2.0]), "rate": emjax.laws.Gamma(2.0, 0.5)}
)


@pytest.mark.parametrize("prior", ["program", pytest.param(None, marks=SLOW)])
def test_an_iteration_is_that_of_the_declared_twin(prior: str | None, tmp_path: Path):
    program, twin = emjax.program(counts, prior=prior), TWIN if prior else TWIN.likelihood
    given = declared(program, COUNTS).params(weights=[0.5, 0.5], lam=[3.0, 6.0])
    steps = {"key": 0, "tol": 0.0, "max_iter": 30, "accelerate": "none"}
    ours = emjax.fit(program, COUNTS, init=given, **steps)
    theirs = emjax.fit(twin, COUNTS, init=twin.params(weights=[0.5, 0.5], rate=[[3.0], [6.0]]), **steps)
    np.testing.assert_allclose(ours.trace, theirs.trace, rtol=1e-12)
    np.testing.assert_allclose(ours.params.lam, theirs.params.rate[:, 0], rtol=1e-10)
    np.testing.assert_allclose(ours.params.w, theirs.params.weights, rtol=1e-10)
    assert ours.mixture.m_step() == theirs.mixture.m_step() == "closed form (poisson)"
    assert "program(counts: poisson), n_components=2" in str(ours.summary())
    assert "M-step: closed form (poisson)" in str(ours.summary())
    assert "M-step" not in str(theirs.summary())
    again = emjax.load(ours.save(tmp_path / "fit.npz"), program=program)
    assert again.mixture.family == ours.mixture.family
    np.testing.assert_array_equal(again.score_samples(), ours.score_samples())


def test_a_term_in_the_plate_is_seen_in_the_numbers():
    assert family_of(with_a_factor, Y) is None


def test_a_prior_of_another_kind_keeps_its_own_step():
    """The likelihood is recognised; only without the prior the family's closed form is EM's M-step."""
    mixture = declared(emjax.program(pulled), Y)
    assert mixture.family.likeness.base.name == "normal"
    assert mixture.family.likeness.laws is None
    assert emjax.Mixture(mixture.family, 2, prior=mixture.resolved_prior(Y)).m_step() == "damped Newton step"
    assert mixture.likelihood.m_step() == "closed form (normal)"


@pytest.mark.slow
def test_a_prior_of_another_kind_is_fitted_and_drawn_all_the_same():
    program = emjax.program(pulled)
    fit = emjax.fit(program, Y, key=0, tol=1e-9)
    assert fit.converged
    assert np.diff(fit.trace).min() >= -1e-9
    laws = {"weights": emjax.laws.Dirichlet([2.0, 2.0]), "mean": emjax.laws.Normal(0.0, 4.0)}
    twin = emjax.Mixture(emjax.Normal("diag"), 2, prior={**laws, "scale": emjax.laws.HalfNormal(3.0)})
    at = twin.params(weights=fit.params.weights, mean=fit.params.mu, scale=fit.params.sigma[:, None])
    near = -0.5 * (fit.params.mu[0] - fit.params.mu[1]) ** 2
    objective = emjax.fit(twin, Y, key=0, init=at, tol=0.0, max_iter=1).trace[0] + near
    np.testing.assert_allclose(fit.objective, objective, rtol=1e-10)
    alone = emjax.fit(emjax.program(pulled, prior=None), Y, key=0)
    best = emjax.fit(emjax.Mixture(emjax.Normal("diag"), 2), Y, key=0)
    np.testing.assert_allclose(alone.log_likelihood, best.log_likelihood, rtol=0, atol=1e-8)
    assert alone.mixture.m_step() == "closed form (normal)"
    # Sampling takes the program's own prior where maximum likelihood left it out.
    assert emjax.sample(emjax.program(pulled, prior=None), Y, key=1, method="hmc", chains=4, draws=300).converged


@pytest.mark.slow
def test_what_is_not_conjugate_is_refused_by_its_names():
    with pytest.raises(
        emjax.ConfigError, match=r"the law of mean is Normal, .* \(mu is its mean, sigma is its scale\)"
    ):
        emjax.sample(emjax.program(tied), Y, key=1, method="gibbs")


@pytest.mark.slow
def test_conjugate_laws_of_a_program_are_drawn_from():
    drawn = [emjax.sample(each, COUNTS, key=1, method="gibbs") for each in (emjax.program(counts), TWIN)]
    ours, theirs = drawn[0].params.lam, drawn[1].params.rate[..., 0]
    least = min(each.diagnostics.min_ess_bulk for each in drawn)
    error = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / least)
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) <= 4 * error).all()


@pytest.mark.slow
@pytest.mark.parametrize(("model", "data"), [(counts, COUNTS), (levels, LEVELS), (tied, Y), (heavy, Y)])
def test_nuts_and_hmc_agree_on_what_is_recognised(model: Callable[..., None], data: np.ndarray):
    program = emjax.program(model)
    drawn = [emjax.sample(program, data, key=k, method=method) for k, method in enumerate(("hmc", "nuts"))]
    least = min(each.diagnostics.min_ess_bulk for each in drawn)
    assert least > 200
    for name in drawn[0].mixture.family.parameters:
        ours, theirs = (np.asarray(each.params[name]) for each in drawn)
        error = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / least)
        assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) <= 4.5 * error).all(), name
