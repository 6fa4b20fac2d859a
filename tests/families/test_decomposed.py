"""Structures by volume, shape and orientation, against mclust, NumPyro and what defines them."""

import csv
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
import scipy.optimize

import emjax
from emjax.bounds import one_of
from emjax.families.coordinates import Coordinates
from emjax.families.covariance import STRUCTURES
from emjax.families.decomposed import STRUCTURES as DECOMPOSED
from emjax.families.parameters import MixtureParams
from emjax.families.rotations import PROPORTIONS, ROTATIONS, continued, draw_rotations, upright

MSTEP = Path(__file__).parents[1] / "reference" / "mclust_mstep.csv"
IRIS = np.asarray(emjax.datasets.load("iris"))
SPECIES = np.repeat(np.arange(3), 50)
RNG = np.random.default_rng(3)
ROOTS = RNG.normal(size=(3, 3, 5)) * np.array([3.0, 1.0, 0.4])[None, :, None]
MATRICES = ROOTS @ ROOTS.swapaxes(-1, -2)
COUNTS = np.array([40.0, 7.0, 90.0])
SCATTER = np.stack([50.0 * np.cov(IRIS[k == SPECIES].T, bias=True) for k in range(3)])

pytestmark = pytest.mark.usefixtures("x64")


def log_likelihood(covariance, scatter, counts):
    """``sum_k log N`` of rows about their means, by NumPy."""
    d = scatter.shape[-1]
    whole = np.linalg.slogdet(covariance)[1] + d * math.log(2 * math.pi)
    return -0.5 * np.sum(counts * whole + np.trace(np.linalg.solve(covariance, scatter), axis1=-2, axis2=-1))


def own(structure, matrices):
    return matrices if structure.has_correlation else np.diagonal(matrices, axis1=-2, axis2=-1)


def matrices_of(structure, values, shape):
    params = {**values, "mean": np.zeros(shape)}
    return np.asarray(structure.covariance(structure.of(params), *shape))


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_best_covariances_for_given_labels_are_those_of_mclust(name):
    with MSTEP.open() as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    theirs = rows[{"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII"}.get(name, name)]
    structure = STRUCTURES[name]
    family = emjax.Normal(name)
    assert emjax.Mixture(family, 3).n_parameters(4) == 2 + 3 * 4 + int(theirs["n_covariance_parameters"])
    if name not in DECOMPOSED:
        return
    estimate, given = jax.jit(structure.estimate), jnp.asarray(own(structure, SCATTER))
    values = structure.values(own(structure, SCATTER / 50.0))
    for _ in range(40):
        values = estimate(given, jnp.full(3, 50.0), values)
    found = matrices_of(structure, values, (3, 4))
    # mclust stops where a round gains little, and its common axes of VVE half a nat below these.
    gain = log_likelihood(found, SCATTER, 50.0) - float(theirs["log_likelihood"])
    assert -1e-6 < gain < (0.5 if name == "VVE" else 2e-4)


# What mclust reaches, above, holds every structure in every run. Here one where volumes and shapes wait for each other,
# and at most one with common axes; the others run by name.
IN_EVERY_RUN = ("EVE", "VEV")
some = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in IN_EVERY_RUN)) for name in DECOMPOSED]
)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name != "VEV")) for name in DECOMPOSED]
)
def test_each_m_step_goes_up_to_where_no_other_goes(name):
    structure, scatter = STRUCTURES[name], MATRICES * COUNTS[:, None, None]
    estimate = jax.jit(structure.estimate)
    given = jnp.asarray(own(structure, scatter))
    values = structure.begun(given)
    reached = []
    for _ in range(60):
        values = estimate(given, jnp.asarray(COUNTS), values)
        reached.append(log_likelihood(matrices_of(structure, values, (3, 3)), scatter, COUNTS))
    assert (np.diff(reached) > -1e-9).all()
    # Rotations stay rotations, however often they are turned.
    assert all(one.domain.holds(np.asarray(values[key])) for key, one in structure.parameters.items())
    family = emjax.Normal(name)
    coordinates = Coordinates(family, 3, 3, weights=None)
    params = MixtureParams(family, {**values, "mean": jnp.zeros((3, 3))})
    at = np.asarray(coordinates.flat(params)).ravel()
    free = np.concatenate([coordinates.places[key].ravel() for key in structure.parameters])

    @jax.jit
    @jax.value_and_grad
    def lost(u):
        moved = coordinates.params(jnp.asarray(at).at[free].set(u)[None])
        covariance = moved.covariance
        logs = jnp.linalg.slogdet(covariance)[1]
        return 0.5 * jnp.sum(COUNTS * logs + jnp.trace(jnp.linalg.solve(covariance, scatter), axis1=-2, axis2=-1))

    start = at[free] + 0.05 * RNG.normal(size=free.size)
    elsewhere = scipy.optimize.minimize(lost, start, jac=True, method="BFGS", options={"gtol": 1e-8})
    assert elsewhere.fun == pytest.approx(float(lost(at[free])[0]), abs=1e-7)


@some
def test_a_component_without_data_moves_nothing_of_the_others(name):
    structure = STRUCTURES[name]
    two, given = MATRICES[:2] * COUNTS[:2, None, None], np.zeros((3, 3, 3))
    given[:2] = two
    alone = structure.begun(jnp.asarray(own(structure, two)))
    beside = structure.begun(jnp.asarray(own(structure, given)))
    estimate = jax.jit(structure.estimate)
    for _ in range(5):
        alone = estimate(jnp.asarray(own(structure, two)), jnp.asarray(COUNTS[:2]), alone)
        beside = estimate(jnp.asarray(own(structure, given)), jnp.asarray([*COUNTS[:2], 0.0]), beside)
    for key, one in structure.parameters.items():
        held = beside[key] if one.shared else beside[key][:2]
        np.testing.assert_allclose(np.abs(held), np.abs(alone[key]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "size", [1, pytest.param(2, marks=pytest.mark.slow), 3, pytest.param(4, marks=pytest.mark.slow)]
)
def test_rotations_and_proportions_go_there_and_back(size):
    drawn = upright(draw_rotations(jax.random.key(size), (50,), size))
    turned = np.asarray(drawn)
    assert ROTATIONS.holds(turned)
    free = np.asarray(ROTATIONS.to_free(turned))
    assert free.shape == (50, size * (size - 1) // 2)
    assert np.abs(free).max(initial=0.0) < 10
    np.testing.assert_allclose(ROTATIONS.from_free(free), turned, atol=1e-12)
    # The same axes with other signs.
    np.testing.assert_allclose(np.abs(continued(drawn, jnp.roll(drawn, 1, axis=0))), np.abs(turned))
    ratios = RNG.normal(size=(5, size - 1))
    proportions = np.asarray(PROPORTIONS.from_free(ratios))
    assert PROPORTIONS.holds(proportions)
    np.testing.assert_allclose(PROPORTIONS.to_free(proportions), ratios, atol=1e-12)


@pytest.mark.parametrize("size", [2, 3, pytest.param(4, marks=pytest.mark.slow)])
def test_the_volume_of_rotations(size):
    free = RNG.normal(size=size * (size - 1) // 2)
    jacobian = jax.jacfwd(lambda u: ROTATIONS.from_free(u).ravel())(jnp.asarray(free))
    # A small skew matrix has each of its entries twice.
    expected = 0.5 * np.linalg.slogdet(jacobian.T @ jacobian / 2.0)[1]
    assert float(ROTATIONS.log_volume(ROTATIONS.from_free(free))) == pytest.approx(expected, abs=1e-10)
    if size == 3:  # the volume of the rotations of space is 8 pi^2
        assert float(emjax.laws.UniformRotations().log_prob(np.eye(3))) == pytest.approx(-math.log(8 * math.pi**2))


@pytest.mark.parametrize(
    "name", [pytest.param("EII", marks=pytest.mark.slow), "EVE", pytest.param("VEV", marks=pytest.mark.slow)]
)
def test_the_prior_is_that_of_the_numpyro_program(name):
    x = np.asarray(emjax.datasets.load("faithful"))
    mixture = emjax.Mixture(emjax.Normal(name), 2)
    prior = mixture.default_prior(x)
    drawn = jax.jit(prior.drawn)(jax.random.key(1))
    program = emjax.to_numpyro(mixture, x)

    @jax.jit
    def densities(params):
        theirs, _ = numpyro.infer.util.log_density(program, (x[:20],), {}, prior.at_sites(params))
        return theirs, prior.log_prob(params) + mixture.likelihood.log_prob(params, x[:20]).sum()

    theirs, ours = densities(drawn)
    assert float(theirs) == pytest.approx(float(ours), abs=1e-8)
    sites = {
        site: numpyro.distributions.biject_to(law.numpyro(prior.shape(site), drawn).support)
        for site, law in prior.items()
    }
    for site, way in sites.items():
        value = prior.at_sites(drawn)[site]
        np.testing.assert_allclose(way(way.inv(value)), value, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_draws_of_the_prior_have_its_moments():
    prior = emjax.Mixture(emjax.Normal("VVE"), 2).default_prior(np.asarray(emjax.datasets.load("faithful")))
    draws = prior.draws(jax.random.key(0), 4000)
    ratios = np.log(draws["shape"][..., 0] / draws["shape"][..., 1]) / math.sqrt(2.0)
    assert np.std(ratios) == pytest.approx(1.5, abs=0.05)
    angles = np.arctan2(draws["orientation"][:, 1, 0], draws["orientation"][:, 0, 0])
    assert np.abs(np.exp(1j * angles).mean()) < 4 / math.sqrt(4000)


def test_a_fit_with_missing_cells_and_outliers():
    x = np.asarray(emjax.datasets.load("faithful")).copy()
    whole = emjax.fit(emjax.Mixture(emjax.Normal("VEV"), 2), x, key=0, n_init=2)
    assert whole.log_likelihood == pytest.approx(-1134.679204, abs=1e-4)
    x[::9, 0] = np.nan
    holes = emjax.fit(emjax.Mixture(emjax.Normal("VEV"), 2), x, key=0, n_init=2)
    assert holes.converged
    np.testing.assert_allclose(holes.params.mean, whole.params.mean, rtol=0.05)
    shapes = [np.linalg.eigvalsh(each) for each in holes.params.covariance]
    assert shapes[0][1] / shapes[0][0] == pytest.approx(shapes[1][1] / shapes[1][0], rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "follows"), [("VEE", True), ("EVV", True), ("VEI", True), ("EEV", False)])
def test_units_of_single_features_change_those_models_that_they_are_said_to_change(name, follows):
    x = np.asarray(emjax.datasets.load("faithful"))
    mixture = emjax.Mixture(emjax.Normal(name), 2)
    one, other = (emjax.fit(mixture, x * np.array([scale, 1.0]), key=0, n_init=5) for scale in (1.0, 10.0))
    gap = one.log_likelihood - other.log_likelihood - len(x) * math.log(10.0)
    assert (abs(gap) < 1e-6) == follows


@pytest.mark.slow
def test_students_mixtures_have_the_structures():
    x = np.asarray(emjax.datasets.load("faithful"))
    found = emjax.fit(emjax.Mixture(emjax.StudentT("EEV"), 2), x, key=0, n_init=4)
    normal = emjax.fit(emjax.Mixture(emjax.Normal("EEV"), 2), x, key=0, n_init=4)
    assert found.converged
    assert found.log_likelihood > normal.log_likelihood - 1e-3
    assert np.linalg.det(found.params.covariance[0]) == pytest.approx(np.linalg.det(found.params.covariance[1]))


def test_names_and_what_there_is_not():
    with pytest.raises(emjax.ConfigError, match="did you mean 'full'"):
        one_of("covariance", "VVV", STRUCTURES)
    with pytest.raises(ValueError, match="these covariance matrices are not EVE"):
        emjax.Normal("EVE").params(mean=np.zeros((3, 4)), covariance=SCATTER)
    for name in DECOMPOSED:
        structure = STRUCTURES[name]
        matrices = matrices_of(structure, structure.values(own(structure, SCATTER)), (3, 4))
        kept = MixtureParams(emjax.Normal(name), emjax.Normal(name).params(mean=np.zeros((3, 4)), covariance=matrices))
        np.testing.assert_allclose(kept.covariance, matrices, rtol=1e-8)
    x = np.asarray(emjax.datasets.load("faithful"))
    with pytest.raises(emjax.ConfigError, match="covariances of the structure VEV have no conjugate law"):
        emjax.sample(emjax.Mixture(emjax.Normal("VEV"), 2), x, key=0, method="gibbs")
    with pytest.raises(ValueError, match="no law of what orientation is made of"):
        emjax.Mixture(emjax.Normal("VEV"), 2, {"orientation": emjax.laws.LKJ(1.0)})
