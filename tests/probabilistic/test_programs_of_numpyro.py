"""A NumPyro program is the mixture that it says it is: its rows, its roles, and the fit and posterior of its twin."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
from numpyro.infer.reparam import LocScaleReparam

import emjax
from emjax.em.init import drawn_starts
from emjax.mixture import declared
from emjax.scope import computing

pytestmark = pytest.mark.runs_numpyro

RNG = np.random.default_rng(5)
N = 120
LABELS = RNG.random(N) < 0.35
Y = np.where(LABELS, RNG.normal(-2.0, 0.6, N), RNG.normal(1.0, 1.1, N))
T = RNG.uniform(-1.0, 1.0, N)


def normals(y):
    w = numpyro.sample("w", dist.Dirichlet(jnp.array([2.0, 2.0])))
    mu = numpyro.sample("mu", dist.Normal(0.0, 4.0).expand([2]).to_event(1))
    sigma = numpyro.sample("sigma", dist.HalfNormal(3.0).expand([2]).to_event(1))
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(w), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Normal(mu[z], sigma[z]), obs=y)


TWIN = emjax.Mixture(
    emjax.Normal("diag"),
    2,
    prior={
        "weights": emjax.laws.Dirichlet([2.0, 2.0]),
        "mean": emjax.laws.Normal(0.0, 4.0),
        "scale": emjax.laws.HalfNormal(3.0),
    },
)


def covariates(y, t, *, slope_scale=1.0):
    """Weights that hang on a covariate, a shared scale, and components that are ordered."""
    a = numpyro.sample("a", dist.Normal(0.0, 2.0))
    b = numpyro.sample("b", dist.Normal(0.0, slope_scale))
    mu = numpyro.sample("mu", dist.TransformedDistribution(dist.Normal(0, 1).expand([2]).to_event(1), _ordered()))
    sigma = numpyro.sample("sigma", dist.HalfNormal(2.0))
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Bernoulli(logits=a + b * t))
        numpyro.deterministic("centre", mu[z])
        numpyro.sample("y", dist.Normal(mu[z], sigma), obs=y)
        numpyro.factor("pull", -0.01 * y**2 * z)


def _ordered():
    return dist.transforms.OrderedTransform()


@pytest.fixture(scope="module")
def bound() -> emjax.Mixture:
    return declared(emjax.program(normals), Y)


@pytest.fixture(scope="module")
def regression() -> emjax.Mixture:
    return declared(emjax.program(covariates, slope_scale=0.5), (Y, T))


def test_roles_are_found(bound: emjax.Mixture, regression: emjax.Mixture):
    family = bound.family
    assert (family.structure.latent, family.structure.plate, family.structure.values) == ("z", "datum", (0, 1))
    assert list(family.parameters) == ["mu", "sigma"]
    assert not any(family.own_axes.values())
    assert family.structure.exchangeable
    assert not family.joint
    other = regression.family
    assert other.own_axes == {"a": True, "b": True, "mu": True, "sigma": True}
    assert not other.weighted
    assert not other.structure.exchangeable


def test_rows_are_the_densities_written_out(bound: emjax.Mixture, regression: emjax.Mixture):
    params = bound.params(weights=[0.3, 0.7], mu=[-1.0, 0.5], sigma=[0.5, 2.0])
    with computing():
        found = np.asarray(bound.log_joint(params, Y[:, None]))
    expected = [np.log(w) + scipy.stats.norm.logpdf(Y, m, s) for w, m, s in [(0.3, -1.0, 0.5), (0.7, 0.5, 2.0)]]
    np.testing.assert_allclose(found, expected, rtol=1e-12)

    params = regression.params(a=0.3, b=-0.8, mu=[-1.0, 0.5], sigma=0.7)
    with computing():
        found = np.asarray(regression.log_joint(params, np.stack([Y, T], axis=1)))
    one = scipy.special.expit(0.3 - 0.8 * T)
    expected = [
        np.log1p(-one) + scipy.stats.norm.logpdf(Y, -1.0, 0.7),
        np.log(one) + scipy.stats.norm.logpdf(Y, 0.5, 0.7) - 0.01 * Y**2,
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    # What is reported as weights are the labels' average probabilities.
    np.testing.assert_allclose(params.weights, [1 - one.mean(), one.mean()], rtol=1e-12)


def test_the_prior_is_what_stands_outside_the_plate(bound: emjax.Mixture, regression: emjax.Mixture):
    prior = bound.resolved_prior(Y)
    params = bound.params(weights=[0.3, 0.7], mu=[-1.0, 0.5], sigma=[0.5, 2.0])
    expected = scipy.stats.dirichlet.logpdf([0.3, 0.7], [2, 2]) + scipy.stats.norm.logpdf([-1, 0.5], 0, 4).sum()
    expected += scipy.stats.halfnorm.logpdf([0.5, 2.0], scale=3).sum()
    with computing():
        np.testing.assert_allclose(float(bound.log_prior(params, prior)), expected, rtol=1e-12)
        twin = TWIN.params(weights=[0.3, 0.7], mean=[[-1.0], [0.5]], scale=[[0.5], [2.0]])
        np.testing.assert_allclose(float(TWIN.log_prior(twin, TWIN.resolved_prior(Y))), expected, rtol=1e-12)

    prior = regression.resolved_prior((Y, T))
    params = regression.params(a=0.3, b=-0.8, mu=[-1.0, 0.5], sigma=0.7)
    # Ordered: the first is the first, the second the logarithm of the difference.
    free = np.array([-1.0, np.log(1.5)])
    expected = scipy.stats.norm.logpdf(0.3, 0, 2) + scipy.stats.norm.logpdf(-0.8, 0, 0.5)
    expected += scipy.stats.norm.logpdf(free).sum() - np.log(1.5) + scipy.stats.halfnorm.logpdf(0.7, scale=2)
    with computing():
        np.testing.assert_allclose(float(regression.log_prior(params, prior)), expected, rtol=1e-12)


def test_the_fit_is_that_of_the_declared_twin(bound: emjax.Mixture):
    # One start: of several that end in one optimum, rounding may keep another.
    fit, twin = emjax.fit(emjax.program(normals), Y, key=0, n_init=1), emjax.fit(TWIN, Y, key=0, n_init=1)
    assert fit.converged
    assert twin.converged
    # The same starts, the same path, the same end: the family is recognised.
    np.testing.assert_allclose(fit.trace, twin.trace, rtol=0, atol=1e-8)
    np.testing.assert_allclose(fit.params.weights, twin.params.weights, rtol=0, atol=1e-8)
    np.testing.assert_allclose(fit.params.mu, twin.params.mean[:, 0], rtol=0, atol=1e-8)
    np.testing.assert_allclose(fit.params.sigma, twin.params.scale[:, 0], rtol=0, atol=1e-8)
    np.testing.assert_allclose(fit.params.w, fit.params.weights)
    assert np.diff(fit.trace).min() >= -1e-10
    ours, theirs = fit.intervals(method="information"), twin.intervals(method="information")
    np.testing.assert_allclose([r.se for r in ours.rows], [r.se for r in theirs.rows], rtol=1e-8)
    assert [row.name for row in ours.rows][2:] == ["mu[0]", "mu[1]", "sigma[0]", "sigma[1]"]


@pytest.mark.slow
def test_from_all_starts_the_fit_ends_where_that_of_the_declared_twin_does():
    fit, twin = emjax.fit(emjax.program(normals), Y, key=0), emjax.fit(TWIN, Y, key=0)
    assert fit.objective == pytest.approx(twin.objective, abs=1e-8)
    np.testing.assert_allclose(fit.params.mu, twin.params.mean[:, 0], rtol=0, atol=1e-5)
    assert [each.kind for each in fit.optima] == [each.kind for each in twin.optima]


@pytest.mark.slow
def test_maximum_likelihood_is_that_of_the_declared_twin():
    fit = emjax.fit(emjax.program(normals, prior=None), Y, key=0)
    twin = emjax.fit(emjax.Mixture(emjax.Normal("diag"), 2), Y, key=0)
    np.testing.assert_allclose(fit.log_likelihood, twin.log_likelihood, rtol=0, atol=1e-8)
    assert fit.prior is None if hasattr(fit, "prior") else fit.mixture.prior is None


@pytest.mark.slow
def test_a_reparametrised_program_has_the_same_maximum_likelihood():
    moved = numpyro.handlers.reparam(normals, config={"mu": LocScaleReparam(0.0)})
    fit = emjax.fit(emjax.program(moved, prior=None), Y, key=0)
    assert "mu_decentered" in fit.mixture.family.parameters
    plain = emjax.fit(emjax.program(normals, prior=None), Y, key=0)
    np.testing.assert_allclose(fit.log_likelihood, plain.log_likelihood, rtol=0, atol=1e-8)


def test_data_come_as_a_mapping_a_tuple_or_an_array(bound: emjax.Mixture):
    fit = emjax.fit(bound, Y, key=0, init=bound.params(mu=[-2.0, 1.0], sigma=[1.0, 1.0]), accelerate="none")
    scores = fit.score_samples(Y)
    for form in ({"y": Y}, (Y,), Y.tolist()):
        np.testing.assert_array_equal(fit.score_samples(form), scores)
    assert fit.feature_names == ("y",)


@pytest.mark.slow
def test_covariates_are_compared(regression: emjax.Mixture):
    program = emjax.program(covariates, slope_scale=0.5)
    fit = emjax.fit(program, (Y, T), key=0)
    assert fit.converged
    posterior = emjax.sample(program, {"y": Y, "t": T}, key=1, chains=4, draws=200)
    assert not posterior.alignment.needed
    found = emjax.compare(fit, posterior, (Y, T), key=2)
    names = [row.name for row in found.rows]
    assert names == ["weights[0]", "weights[1]", "a", "b", "mu[0]", "mu[1]", "sigma"]
    tree = posterior.data_tree if hasattr(posterior, "data_tree") else posterior.sampled
    assert tree["posterior"]["mu"].dims == ("chain", "draw", "mu_dim_0")
    assert tree["posterior"]["sigma"].dims == ("chain", "draw")
    assert str(found)
    assert str(fit.summary(parameters=True))


@pytest.mark.slow
def test_the_posterior_is_that_of_the_declared_twin_and_of_numpyro():
    program = emjax.program(normals)
    drawn = {
        "hmc": emjax.sample(program, Y, key=1, method="hmc"),
        "nuts": emjax.sample(program, Y, key=2, method="nuts"),
        "twin": emjax.sample(TWIN, Y, key=3, method="hmc"),
    }
    columns = {
        name: np.concatenate(
            [
                posterior.params.weights[:, :1],
                posterior.params["mu" if name != "twin" else "mean"].reshape(-1, 2),
                (posterior.params.sigma if name != "twin" else posterior.params.scale).reshape(-1, 2),
            ],
            axis=1,
        )
        for name, posterior in drawn.items()
    }
    ess = {name: posterior.diagnostics.min_ess_bulk for name, posterior in drawn.items()}
    assert min(ess.values()) > 400
    for name in ("nuts", "twin"):
        error = np.sqrt(sum(columns[each].var(axis=0) / ess[each] for each in ("hmc", name)))
        apart = np.abs(columns["hmc"].mean(axis=0) - columns[name].mean(axis=0))
        assert (apart <= 4 * error).all(), (name, apart / error)


@pytest.fixture(scope="module")
def drawn(regression: emjax.Mixture) -> Callable[[emjax.MixtureParams], tuple[np.ndarray, np.ndarray]]:
    """500 rows and their labels, by one program."""
    sample = jax.jit(lambda params: regression.sample(params, jax.random.key(0), 500))

    def get(params: emjax.MixtureParams) -> tuple[np.ndarray, np.ndarray]:
        with computing():
            x, labels = sample(params)
        return np.asarray(x), np.asarray(labels)

    return get


def test_keys_of_jax_draw_the_data_of_a_program(regression: emjax.Mixture, drawn: Callable):
    x, labels = drawn(regression.params(a=0.0, b=0.0, mu=[-3.0, 3.0], sigma=0.1))
    assert x.shape == (500, 2)
    # The covariate is one of the data's, the rest is drawn by its label.
    assert np.isin(x[:, 1], T).all()
    assert np.abs(x[:, 0] - np.where(labels == 1, 3.0, -3.0)).max() < 0.6


CAUGHT = np.repeat([0, 1, 2, 3], [60, 20, 14, 6])


def captures(y):
    """Individuals that exist or not; one that does not is never caught, so a probability is zero."""
    exists = numpyro.sample("exists", dist.Uniform(0.0, 1.0))
    p = numpyro.sample("p", dist.Beta(1.0, 1.0))
    with numpyro.plate("individual", len(y)):
        z = numpyro.sample("z", dist.Bernoulli(exists))
        numpyro.sample("y", dist.Binomial(3, z * p), obs=y)


def test_a_probability_of_zero_has_no_second_derivative_and_a_fit_all_the_same():
    fit = emjax.fit(emjax.program(captures), CAUGHT, key=0, n_init=4, accelerate="none")
    family = fit.mixture.family
    assert not family.smooth
    assert (family.structure.weights.site, family.structure.weights.entry) == ("exists", 1)
    assert fit.converged

    def objective(free: np.ndarray) -> float:
        exists, p = scipy.special.expit(free)
        one = exists * scipy.stats.binom.pmf(CAUGHT, 3, p)
        return -np.log(one + (1 - exists) * (CAUGHT == 0)).sum()

    best = scipy.optimize.minimize(objective, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    exists, p = scipy.special.expit(best.x)
    np.testing.assert_allclose([fit.params.exists, fit.params.p], [exists, p], rtol=1e-5)
    np.testing.assert_allclose(fit.params.weights, [1 - exists, exists], rtol=1e-5)
    assert not fit.intervals(method="information").status.withheld


def bounded(y):
    share = numpyro.sample("share", dist.Beta(2.0, 2.0))
    mu = numpyro.sample("mu", dist.Uniform(-9, 9).expand([2]).to_event(1))
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Bernoulli(share))
        numpyro.sample("y", dist.Normal(mu[z], 1.0), obs=y)


def test_bounds_that_are_whole_numbers_have_jax_warn_of_nothing():
    fit = emjax.fit(emjax.program(bounded), Y, key=0, n_init=1, accelerate="none")
    assert fit.n_parameters == 3
    assert fit.bic() == pytest.approx(-2 * fit.log_likelihood + 3 * np.log(len(Y)))


def softmax(y, t):
    slopes = numpyro.sample("slopes", dist.Normal(0, 2).expand([2, 2]).to_event(2))
    mu = numpyro.sample("mu", dist.Normal(0, 3).expand([2]).to_event(1))
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(logits=slopes[:, 0] + t[:, None] * slopes[:, 1]))
        numpyro.sample("y", dist.Normal(mu[z], 1.0), obs=y)


def test_components_that_share_a_softmax_change_their_places_together():
    family = declared(emjax.program(softmax), (Y, T)).family
    assert family.structure.exchangeable
    assert family.joint
    assert {site.name: site.component_axis for site in family.structure.sites} == {"slopes": 0, "mu": 0}
    again = declared(emjax.program(softmax, component_axis={"mu": 0, "slopes": 0}), (Y, T)).family
    assert again.structure.exchangeable


def test_a_label_in_every_shape_gives_the_same_rows():
    """A program that cannot take one label for all rows is given a copy of it for each."""

    def picky(y):
        mu = numpyro.sample("mu", dist.Normal(0, 3).expand([2]).to_event(1))
        with numpyro.plate("datum", len(y)):
            z = numpyro.sample("z", dist.Bernoulli(0.4))
            one = jax.vmap(lambda label, value: mu[label] + 0.0 * value)(z, y)
            numpyro.sample("y", dist.Normal(one, 1.0), obs=y)

    mixture = declared(emjax.program(picky), Y)
    assert not mixture.family.structure.shared_label
    with computing():
        found = np.asarray(mixture.log_joint(mixture.params(mu=[-1.0, 2.0]), Y[:, None]))
    expected = [np.log(w) + scipy.stats.norm.logpdf(Y, m, 1.0) for w, m in [(0.6, -1.0), (0.4, 2.0)]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("looks_for_nan", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_what_is_masked_may_be_no_number(looks_for_nan: bool):
    def masked(y, seen):
        mu = numpyro.sample("mu", dist.Normal(0, 3).expand([2, 2]).to_event(2))
        known = ~jnp.isnan(y) if looks_for_nan else seen
        with numpyro.plate("datum", len(y)):
            z = numpyro.sample("z", dist.Bernoulli(0.4))
            numpyro.sample("y", dist.Normal(mu[z], 1.0).mask(known).to_event(1), obs=jnp.where(known, y, 0.0))

    rows = np.stack([Y, 1.0 - Y], axis=1)
    rows[3, 1] = rows[7, 0] = np.nan
    fit = emjax.fit(emjax.program(masked), {"y": rows, "seen": ~np.isnan(rows)}, key=0, n_init=4, accelerate="none")
    mixture = fit.mixture
    assert mixture.family.structure.layout.holes == looks_for_nan
    assert fit.converged
    expected = [
        np.log(w) + np.nansum(scipy.stats.norm.logpdf(rows, m, 1.0), axis=1)
        for w, m in zip([0.6, 0.4], fit.params.mu, strict=True)
    ]
    np.testing.assert_allclose(fit.score_samples(), scipy.special.logsumexp(expected, axis=0), rtol=1e-6)


def shares(y):
    w = numpyro.sample("w", dist.Dirichlet(jnp.ones(2)))
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(w))
        numpyro.sample("y", dist.Normal(jnp.array([-2.0, 1.0])[z], 1.0), obs=y)


@pytest.mark.slow
def test_the_posterior_of_one_number_is_that_of_a_grid():
    program = emjax.program(shares)
    fit = emjax.fit(program, Y, key=0)
    assert fit.converged
    own = np.stack([scipy.stats.norm.logpdf(Y, m, 1.0) for m in (-2.0, 1.0)])
    grid = np.linspace(0.001, 0.999, 999)
    heights = [scipy.special.logsumexp(own + np.log([[w], [1 - w]]), axis=0).sum() for w in grid]
    assert abs(fit.params.weights[0] - grid[np.argmax(heights)]) <= 0.001
    posterior = emjax.sample(program, Y, key=1, chains=4, draws=200)
    # The posterior of one number, on the same grid.
    density = np.exp(np.asarray(heights) - np.max(heights))
    density /= density.sum()
    error = posterior.params.weights[:, 0].std() / np.sqrt(posterior.diagnostics.min_ess_bulk)
    assert abs(posterior.params.weights[:, 0].mean() - (grid * density).sum()) <= 4 * error
    assert posterior.tree["log_prior"]["w"].shape == (4, 200)
    assert {"prior", "prior_predictive", "posterior_predictive"} <= set(posterior.tree.children)


@pytest.mark.slow
def test_every_kind_of_start_comes_to_the_same_optimum(bound: emjax.Mixture):
    best = emjax.fit(bound, Y, key=0).objective
    for kind in ("responsibilities", "random", "hierarchical", "short_em", "prior_draws"):
        assert abs(emjax.fit(bound, Y, key=1, starts=kind, n_init=4).objective - best) <= 1e-6


def test_starts_are_draws_of_the_programs_own_sites(bound: emjax.Mixture):
    with computing():
        key, prior = jax.random.key(3), bound.resolved_prior(Y)
        starts = drawn_starts(bound.likelihood, Y[:, None], key=key, n_init=2000, starts="prior_draws", prior=prior)
    errors = 4.0 / np.sqrt(2000)
    np.testing.assert_allclose(starts.weights.mean(axis=0), 0.5, atol=errors * 0.25)
    np.testing.assert_allclose(starts["mu"].std(axis=0), 4.0, rtol=errors)
    np.testing.assert_allclose(starts["sigma"].mean(axis=0), 3.0 * np.sqrt(2 / np.pi), atol=errors * 2.0)


def test_an_improper_site_gives_no_starts():
    def flat(y):
        mu = numpyro.sample("mu", dist.ImproperUniform(dist.constraints.real, (2,), ()))
        w = numpyro.sample("w", dist.Dirichlet(jnp.ones(2)))
        with numpyro.plate("datum", len(y)):
            z = numpyro.sample("z", dist.Categorical(w))
            numpyro.sample("y", dist.Normal(mu[z], 1.0), obs=y)

    with pytest.raises(
        emjax.ConfigError, match="starts = 'prior_draws' cannot be drawn: 'mu' of the program has a law"
    ):
        emjax.fit(emjax.program(flat), Y, key=0, starts="prior_draws")


def test_labels_that_hang_on_a_covariate_are_drawn_with_it(regression: emjax.Mixture, drawn: Callable):
    x, labels = drawn(regression.params(a=0.0, b=400.0, mu=[-3.0, 3.0], sigma=0.1))
    sure = np.abs(x[:, 1]) > 0.2
    assert sure.sum() > 200
    np.testing.assert_array_equal(labels[sure] == 1, x[sure, 1] > 0)
    assert np.abs(x[:, 0] - np.where(labels == 1, 3.0, -3.0)).max() < 0.6


def test_a_vector_that_components_share_has_no_axis_of_features(regression: emjax.Mixture):
    params = regression.params(a=0.0, b=1.0, mu=[-3.0, 3.0], sigma=0.5)
    family, values = regression.family.marginal(params, 0)
    assert family is regression.family
    np.testing.assert_array_equal(values["mu"], [-3.0, 3.0])


def test_an_axis_that_is_no_axis_of_components_is_not_passed_over():
    with pytest.raises(emjax.ConfigError, match="component_axis says 0 of 'mu', and entries there belong to more than"):
        declared(emjax.program(covariates, component_axis={"mu": 0}), (Y, T))
