"""A mixture as a NumPyro program: its log density is EM's MAP objective, and NumPyro's own tools run on it."""

import doctest
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.contrib.funsor import config_enumerate, enum
from numpyro.contrib.funsor import log_density as enumerated_log_density
from numpyro.infer import MCMC, NUTS, Predictive
from numpyro.infer.util import log_density

import emjax
from emjax import Mixture, Normal, Poisson
from emjax.bayes import bridge
from emjax.bayes.bridge import MarginalMixture, MixtureProgram
from emjax.em.blocks import make_blocks
from emjax.em.step import expectation, objective
from emjax.families.observations import observed

MODELS = Path(__file__).resolve().parents[2] / "models"
NORMALS = [(Normal(name), d) for name in ("full", "tied", "diag", "spherical") for d in (1, 2, 3)]
CASES = [*NORMALS, (Poisson(), 1), (Poisson(), 2)]
IN_EVERY_RUN = {("full", 2), ("tied", 2), ("diag", 2), ("", 2)}
"""Matrices, one shared, variances, and the family without; `test_densities.py` has the other structures and numbers."""

N_COMPONENTS, N_DRAWS, N_SAMPLES = 3, 40, 30


def case_id(case):
    family, n_features = case
    return f"{family.name}-{getattr(family, 'covariance', '')}-{n_features}"


def make_data(family, n_features, n_samples=N_SAMPLES):
    rng = np.random.default_rng(n_features)
    if isinstance(family, Poisson):
        return rng.poisson(4.0, size=(n_samples, n_features)).astype(float)
    # Far from the origin and in unequal units, as data are.
    mixing = rng.normal(size=(n_features, n_features)) + 2 * np.eye(n_features)
    return 50.0 + rng.normal(size=(n_samples, n_features)) @ mixing * 10.0 ** np.arange(n_features)


def random_params(mixture, x, rng):
    """Parameters near the data, drawn with NumPy: positive definite, nothing of the library's own samplers."""
    k, d = mixture.n_components, x.shape[1]
    weights = rng.dirichlet(np.ones(k))
    if isinstance(mixture.family, Poisson):
        return mixture.params(weights=weights, rate=rng.gamma(2.0, 2.0, size=(k, d)))
    unit = x.std(axis=0)
    mean = x.mean(axis=0) + rng.normal(size=(k, d)) * unit
    name = mixture.family.covariance
    if name in ("full", "tied"):
        roots = rng.normal(size=(k, d, d)) + np.eye(d)
        covariance = (roots @ roots.swapaxes(1, 2) + 0.1 * np.eye(d)) * np.outer(unit, unit)
        covariance = covariance if name == "full" else covariance[0]
    else:
        covariance = rng.gamma(2.0, 0.5, size=(k, d)) * unit**2
        covariance = covariance if name == "diag" else covariance[:, 0]
    return mixture.params(weights=weights, mean=mean, covariance=covariance)


def stacked_params(mixture, x, n_draws=N_DRAWS):
    rng = np.random.default_rng(7)
    return jax.tree.map(lambda *leaves: np.stack(leaves), *(random_params(mixture, x, rng) for _ in range(n_draws)))


def is_by_name(case):
    family, n_features = case
    return (getattr(family, "covariance", ""), n_features) not in IN_EVERY_RUN


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case_id(case), marks=[pytest.mark.slow] * is_by_name(case)) for case in CASES]
)
def test_log_density_of_the_program_is_the_objective_of_map_em(case):
    family, n_features = case
    x = make_data(family, n_features)
    mixture = Mixture(family, N_COMPONENTS, prior="default")
    draws = stacked_params(mixture, x)
    # Made outside x64 on purpose: a prior that was cut to float32 here would show below.
    program, prior = emjax.to_numpyro(mixture, x), mixture.default_prior(x)

    def all_three(params):
        by_numpyro, _ = log_density(program, (x,), {}, prior.at_sites(params))
        blocks = jax.tree.map(jnp.asarray, make_blocks(x, mixture))
        statistics = expectation(mixture.likelihood, params, blocks)
        by_em = objective(mixture.likelihood, params, statistics, prior) + family.log_base_measure(observed(x)).sum()
        by_declaration = mixture.log_prob(params, x).sum() + mixture.log_prior(params, prior)
        return by_numpyro, by_em, by_declaration

    with jax.enable_x64(True):
        by_numpyro, by_em, by_declaration = (np.asarray(v) for v in jax.jit(jax.vmap(all_three))(draws))
    assert by_numpyro.shape == (N_DRAWS,)
    assert np.ptp(by_numpyro) > 1.0
    np.testing.assert_allclose(by_em, by_numpyro, rtol=1e-12, atol=1e-8)
    np.testing.assert_allclose(by_declaration, by_numpyro, rtol=1e-12, atol=1e-8)


@pytest.mark.slow
def test_objective_of_a_map_fit_is_the_log_density_in_the_units_of_the_data():
    x = make_data(Normal(), 2)
    mixture = Mixture(Normal("full"), 2, prior="default")
    fit = emjax.fit(mixture, x, key=jax.random.key(0), n_init=2, max_iter=3, tol=0.0)
    program = emjax.to_numpyro(mixture, x)
    with jax.enable_x64(True):
        density = jax.jit(lambda sites: log_density(program, (x,), {}, sites)[0])
        expected = float(density(fit.mixture.prior.at_sites(fit.params)))
    assert fit.log_prior != 0.0
    assert fit.objective == pytest.approx(expected, rel=1e-12, abs=1e-8)


@pytest.mark.parametrize("n_features", [1, 2])
def test_plain_numpyro_program_is_the_same_model(n_features):
    model = runpy.run_path(str(MODELS / "normal_mixture.py"))["model"]
    x = make_data(Normal(), n_features)
    mixture = Mixture(Normal("full"), N_COMPONENTS, prior="default")
    draws, program = stacked_params(mixture, x), emjax.to_numpyro(mixture, x)
    data = x[:, 0] if n_features == 1 else x
    prior = mixture.default_prior(x)
    summed_out = enum(config_enumerate(model), first_available_dim=-2)

    def all_three(params):
        sites = prior.at_sites(params)
        plain, _ = enumerated_log_density(summed_out, (data,), {"n_components": N_COMPONENTS}, sites)
        bridged, _ = log_density(program, (x,), {}, sites)
        return plain, bridged, mixture.log_prob(params, x).sum() + mixture.log_prior(params, prior)

    with jax.enable_x64(True):
        plain, bridged, em = (np.asarray(v) for v in jax.jit(jax.vmap(all_three))(draws))
    np.testing.assert_allclose(bridged, plain, rtol=1e-12, atol=1e-8)
    np.testing.assert_allclose(em, plain, rtol=1e-12, atol=1e-8)


def run_mcmc(model, x, **arguments):
    """Five draws by NumPyro's own MCMC, and a posterior predictive data set of each. One program, because NumPyro
    outside of jit compiles hundreds of single operations."""

    @jax.jit
    def run(key, x):
        mcmc = MCMC(NUTS(model), num_warmup=5, num_samples=5, progress_bar=False)
        mcmc.run(key, x, **arguments)
        return mcmc.get_samples(), mcmc.last_state.potential_energy

    with jax.enable_x64(True):
        samples, potential = run(jax.random.key(0), x)
        return {name: np.asarray(value) for name, value in samples.items()}, float(potential)


@pytest.mark.slow
def test_plain_numpyro_program_runs_alone_and_generates_data():
    model = runpy.run_path(str(MODELS / "normal_mixture.py"))["model"]
    x = make_data(Normal(), 1)
    samples, potential = run_mcmc(model, x, n_components=2)
    assert {name: value.shape for name, value in samples.items()} == {
        "weights": (5, 2),
        "covariance": (5, 2, 1, 1),
        "mean": (5, 2, 1),
    }
    assert np.isfinite(potential)
    assert (np.ptp(samples["mean"], axis=0) > 0).all()
    predict = jax.jit(lambda key, x: Predictive(model, samples)(key, x, n_components=2, observed=False)["x"])
    with jax.enable_x64(True):
        new = np.asarray(predict(jax.random.key(1), x))
    assert new.shape == (5, N_SAMPLES, 1)
    assert not np.array_equal(new[0], x)


@pytest.mark.slow
def test_the_example_of_the_docstring_runs_with_bundled_data():
    (example,) = doctest.DocTestFinder(recurse=False).find(bridge.to_numpyro, "to_numpyro", globs={})
    ran = doctest.DocTestRunner(verbose=False).run(example)
    assert (ran.failed, ran.attempted) == (0, 7)


def test_data_are_needed_only_to_scale_the_default_prior():
    x = make_data(Normal(), 2)
    own = Mixture(Normal(), 2).default_prior(x)
    program = emjax.to_numpyro(Mixture(Normal(), 2, prior=own))
    np.testing.assert_array_equal(program.keywords["prior"]["mean"].mean, own["mean"].mean)
    for prior in (None, "default"):
        with pytest.raises(emjax.ConfigError, match="needs data x"):
            emjax.to_numpyro(Mixture(Normal(), 2, prior=prior))


def test_given_prior_and_default_prior_are_the_ones_used():
    x = make_data(Normal(), 2)
    mixture = Mixture(Normal(), 2)
    default = mixture.default_prior(x)
    assert emjax.to_numpyro(mixture, x).keywords["prior"]["mean"].precision == 0.01
    own = default.replace(weights=emjax.laws.Dirichlet(np.array([5.0, 2.0])))
    given = emjax.to_numpyro(Mixture(Normal(), 2, prior=own), x)
    np.testing.assert_array_equal(given.keywords["prior"].concentration, [5.0, 2.0])
    sites = own.at_sites(random_params(mixture, x, np.random.default_rng(0)))
    with jax.enable_x64(True):
        density = jax.jit(lambda prior: log_density(given.func, (x,), {"prior": prior}, sites)[0])
        difference = float(density(own) - density(default))
    # Dirichlet(5, 2) against Dirichlet(1, 1): log(6! / (4! 1!)) + 4 log w0 + log w1.
    w = sites["weights"]
    assert difference == pytest.approx(np.log(30.0) + 4 * np.log(w[0]) + np.log(w[1]), abs=1e-9)


class TestMarginalMixture:
    """The observed site's distribution."""

    @pytest.mark.parametrize(
        "case",
        [
            pytest.param(case, id=case_id(case), marks=[pytest.mark.slow] * (case != (Normal("full"), 2)))
            for case in [(Normal("full"), 2), (Normal("tied"), 1), (Poisson(), 2)]
        ],
    )
    @pytest.mark.usefixtures("x64")
    def test_log_prob_of_any_leading_shape(self, case):
        family, n_features = case
        x, mixture = make_data(family, n_features), Mixture(family, N_COMPONENTS)
        params = random_params(mixture, x, np.random.default_rng(1))
        distribution = MarginalMixture(mixture, params)
        assert distribution.event_shape == (n_features,)
        assert distribution.batch_shape == ()
        expected = np.asarray(mixture.log_prob(params, x))
        np.testing.assert_array_equal(distribution.log_prob(x), expected)
        folded = distribution.log_prob(x.reshape(5, 6, n_features))
        np.testing.assert_array_equal(folded, expected.reshape(5, 6))
        assert distribution.log_prob(x[3]) == pytest.approx(expected[3], rel=1e-14)

    @pytest.mark.usefixtures("x64")
    def test_samples_have_the_mixture_s_moments(self):
        mixture = Mixture(Normal("full"), 2)
        weights, mean = np.array([0.3, 0.7]), np.array([[-2.0, 0.0], [3.0, 1.0]])
        covariance = np.array([[[1.0, 0.5], [0.5, 2.0]], [[0.5, -0.2], [-0.2, 0.3]]])
        distribution = MarginalMixture(mixture, mixture.params(weights=weights, mean=mean, covariance=covariance))
        assert distribution.sample(jax.random.key(0)).shape == (2,)
        x = np.asarray(distribution.sample(jax.random.key(0), (200, 100)))
        assert x.shape == (200, 100, 2)
        x = x.reshape(-1, 2)
        expected = weights @ mean
        second = np.einsum("k,kij->ij", weights, covariance + mean[:, :, None] * mean[:, None, :])
        products = x[:, :, None] * x[:, None, :]
        assert np.all(np.abs(x.mean(axis=0) - expected) < 5 * x.std(axis=0) / np.sqrt(len(x)))
        assert np.all(np.abs(products.mean(axis=0) - second) < 5 * products.std(axis=0) / np.sqrt(len(x)))

    @pytest.mark.usefixtures("x64")
    def test_passes_through_jax_transformations_as_a_pytree(self):
        x, mixture = make_data(Normal(), 2), Mixture(Normal("diag"), N_COMPONENTS)
        params = random_params(mixture, x, np.random.default_rng(2))
        distribution = MarginalMixture(mixture, params)
        leaves, treedef = jax.tree.flatten(distribution)
        assert len(leaves) == 3
        again = jax.tree.unflatten(treedef, leaves)
        assert again.event_shape == (2,)
        through = jax.jit(lambda one, value: one.log_prob(value))(distribution, x)
        np.testing.assert_allclose(through, again.log_prob(x), rtol=1e-13)

    @pytest.mark.usefixtures("x64")
    def test_validation_gives_counts_outside_the_support_no_density(self):
        mixture = Mixture(Poisson(), 2)
        params = mixture.params(rate=[1.0, 4.0])
        checked, unchecked = (MarginalMixture(mixture, params, validate_args=flag) for flag in (True, False))
        good, bad = np.array([[0.0], [3.0]]), np.array([[0.5], [3.0]])
        np.testing.assert_array_equal(checked.log_prob(good), unchecked.log_prob(good))
        with pytest.warns(UserWarning, match="Out-of-support"):
            values = np.asarray(checked.log_prob(bad))
        assert values[0] == -np.inf
        assert np.isfinite(values[1])
        np.testing.assert_array_equal(np.isfinite(unchecked.log_prob(bad)), [False, True])
        with pytest.warns(UserWarning, match="Out-of-support"):
            assert np.asarray(checked.log_prob(np.array([[-1.0], [3.0]])))[0] == -np.inf

    @pytest.mark.usefixtures("x64")
    def test_validation_leaves_normal_data_alone(self):
        mixture = Mixture(Normal("diag"), 2)
        checked = MarginalMixture(mixture, mixture.params(mean=[0.0, 1.0], scale=[1.0, 2.0]), validate_args=True)
        assert np.isfinite(checked.log_prob(np.array([[0.3], [-1e3]]))).all()


class TestPrograms:
    """The program inside NumPyro's own tools."""

    def test_equal_declarations_are_equal_programs(self):
        one, other = (MixtureProgram(Mixture(Normal("full"), 2)) for _ in range(2))
        assert one == other
        assert hash(one) == hash(other)
        assert one != MixtureProgram(Mixture(Normal("diag"), 2))
        assert one != MixtureProgram(Mixture(Normal("full"), 3))
        x = make_data(Normal(), 2)
        bridged = emjax.to_numpyro(Mixture(Normal("full"), 2, prior="default"), x)
        assert bridged.func == one
        assert hash(bridged.func) == hash(one)

    def test_sites_and_params_are_inverses(self):
        for family, n_features in [(Normal("full"), 2), (Normal("tied"), 3), (Normal("spherical"), 2), (Poisson(), 2)]:
            mixture = Mixture(family, 2)
            x = make_data(family, n_features)
            params = random_params(mixture, x, np.random.default_rng(3))
            again = MixtureProgram(mixture).from_sites(mixture.default_prior(x).at_sites(params))
            jax.tree.map(np.testing.assert_array_equal, again, params)

    @pytest.mark.slow
    def test_prior_predictive_of_counts_has_the_mean_of_the_prior(self):
        x = make_data(Poisson(), 2)
        model = emjax.to_numpyro(Mixture(Poisson(), 2), x)
        with jax.enable_x64(True):
            drawn = jax.jit(lambda key: Predictive(model, num_samples=4000)(key, n_samples=3))(jax.random.key(0))
        assert set(drawn) == {"weights", "rate", "x"}
        assert drawn["x"].shape == (4000, 3, 2)
        new = np.asarray(drawn["x"])
        assert np.all(new == np.floor(new))
        means = new.mean(axis=1)  # the rows of one draw share their parameters, the draws do not
        error = means.std(axis=0) / np.sqrt(len(means))
        assert np.all(np.abs(means.mean(axis=0) - x.mean(axis=0)) < 5 * error)

    def test_posterior_predictive_follows_the_draws(self):
        mixture = Mixture(Normal("diag"), 2)
        model = emjax.to_numpyro(mixture, make_data(Normal(), 1))
        # Two draws, a thousand units apart: the predictive of each must lie at its own means.
        samples = {
            "weights": np.array([[1.0, 0.0], [0.25, 0.75]]),
            "mean": np.array([[[0.0], [50.0]], [[1000.0], [1010.0]]]),
            "variance": np.ones((2, 2, 1)),
        }
        with jax.enable_x64(True):
            predict = jax.jit(lambda key: Predictive(model, samples)(key, n_samples=2000)["x"])
            new = np.asarray(predict(jax.random.key(0)))
        assert new.shape == (2, 2000, 1)
        assert abs(new[0].mean()) < 5 / np.sqrt(2000)
        assert abs((new[1] > 1005).mean() - 0.75) < 5 * np.sqrt(0.25 * 0.75 / 2000)

    def test_numpyro_s_own_mcmc_runs_on_it(self):
        x = make_data(Poisson(), 1)
        samples, potential = run_mcmc(emjax.to_numpyro(Mixture(Poisson(), 2), x), x)
        assert samples["weights"].shape == (5, 2)
        assert samples["rate"].shape == (5, 2, 1)
        np.testing.assert_allclose(samples["weights"].sum(axis=1), 1.0, rtol=1e-12)
        assert (samples["rate"] > 0).all()
        assert (np.ptp(samples["rate"], axis=0) > 0).all()
        assert np.isfinite(potential)

    def test_no_data_and_no_number_of_rows_is_an_error(self):
        x = make_data(Poisson(), 1)
        with pytest.raises(ValueError, match="n_samples"):
            # Traced alone: outside of jit NumPyro compiles a hundred operations before it comes to the rows.
            jax.eval_shape(Predictive(emjax.to_numpyro(Mixture(Poisson(), 2), x), num_samples=1), jax.random.key(0))
