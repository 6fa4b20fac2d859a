"""Contracts of the declaration: densities, responsibilities, priors and coordinates, against SciPy and NumPy."""

import functools

import jax
import numpy as np
import pytest
import scipy.special
from table import ROWS, Row, walk

import emjax
from emjax.families.coordinates import Coordinates
from emjax.moments import Summary
from tests.contracts.oracles.base import concentration

pytestmark = pytest.mark.usefixtures("x64")


@functools.partial(jax.jit, static_argnums=0)
def evaluate(mixture, params, x):
    """Everything a mixture says of data, in one program per row."""
    return {
        "log_density": mixture.family.log_density(params, x),
        "log_joint": mixture.log_joint(params, x),
        "log_prob": mixture.log_prob(params, x),
        "responsibilities": mixture.responsibilities(params, x),
    }


@walk()
def test_densities_agree_with_scipy(row: Row):
    for seed in range(3):
        check_densities(row, row.params(seed), row.data(seed + 100))


def check_densities(row: Row, params: emjax.MixtureParams, x: np.ndarray) -> None:
    found = evaluate(row.mixture(), params, x)

    density = row.log_densities(params, x)
    joint = np.log(params.weights)[:, None] + density
    marginal = scipy.special.logsumexp(joint, axis=0)
    # Data of another seed may lie 40 sds off: log densities are as large as 1e3 and carry rounding of that size.
    np.testing.assert_allclose(found["log_density"], density, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(found["log_joint"], joint, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(found["log_prob"], marginal, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(found["responsibilities"], np.exp(joint - marginal).T, atol=1e-9)
    np.testing.assert_allclose(found["responsibilities"].sum(axis=1), 1.0, atol=1e-14)
    assert found["responsibilities"].shape == (row.n_samples, row.n_components)


@walk()
def test_permuting_components_permutes_rows_and_nothing_else(row: Row):
    mixture, params, x = row.mixture(), row.params(1), row.data(1)
    permutation = np.roll(np.arange(row.n_components), 1)
    before, after = evaluate(mixture, params, x), evaluate(mixture, mixture.permute(params, permutation), x)
    # A sum over components in another order rounds differently, by one or two units in the last place.
    np.testing.assert_allclose(after["log_prob"], before["log_prob"], rtol=1e-14)
    np.testing.assert_allclose(
        after["responsibilities"], before["responsibilities"][:, permutation], rtol=1e-12, atol=1e-15
    )
    assert not np.allclose(after["responsibilities"], before["responsibilities"])


@functools.partial(jax.jit, static_argnums=0)
def log_prior(mixture, params, prior):
    return mixture.log_prior(params, prior)


@walk()
@pytest.mark.parametrize("which", ["default", "other"])
def test_log_prior_agrees_with_scipy(row: Row, which: str):
    mixture, params = row.mixture(), row.params(4)
    prior = mixture.default_prior(row.data(4)) if which == "default" else row.prior(4)
    found = log_prior(mixture, params, prior)
    np.testing.assert_allclose(found, row.log_prior(params, prior), rtol=1e-12)
    permutation = np.arange(row.n_components)[::-1]
    if which == "default":
        np.testing.assert_allclose(log_prior(mixture, mixture.permute(params, permutation), prior), found, rtol=1e-13)


@walk()
def test_default_prior_follows_its_documented_formulas(row: Row):
    x = row.data(2)
    prior = row.mixture().default_prior(x)
    np.testing.assert_array_equal(concentration(prior), np.ones(row.n_components))
    found, expected = row.oracle.numbers(prior), row.oracle.default_prior(x, row.n_components)
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, err_msg=name)


def charts(mixture: emjax.Mixture, n_features: int) -> tuple[Coordinates, ...]:
    return tuple(mixture.coordinates(n_features, weights) for weights in ("ratios", "logarithms", None))


@functools.partial(jax.jit, static_argnums=0)
def round_trips(mixture, params, prior, frame):
    ratios, logarithms, rows = charts(mixture, mixture.family.n_features(params))
    return {
        "ratios": ratios.params(ratios.flat(params)),
        "logarithms": logarithms.params(logarithms.flat(params)),
        "rows": mixture.assembled(params.weights, dict(rows.params(rows.flat(params)).items())),
        "framed": mixture.from_frame(mixture.to_frame(params, frame), frame),
        "sites": mixture.assembled(params.weights, mixture.family.from_sites(prior.at_sites(params))),
    }, [each.flat(params) for each in (ratios, logarithms, rows)]


def same_params(a: emjax.MixtureParams, b: emjax.MixtureParams, rtol: float) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(left, right, rtol=rtol, atol=1e-13)


@walk()
def test_round_trips_and_free_parameters(row: Row):
    mixture, params = row.mixture(), row.params(6)
    frame = row.family.frame(Summary(37.0 + 5.0 * row.data(6)))
    back, flats = round_trips(mixture, params, row.prior(6), frame)
    for value in back.values():
        same_params(value, params, rtol=1e-12)
    n_free = mixture.n_parameters(row.n_features)
    shared = [name for name, parameter in row.family.parameters.items() if parameter.shared]
    n_rows = 1 if shared else row.n_components
    n_own = n_free + 1 - row.n_components
    assert [flat.shape for flat in flats] == [(n_free,), (n_free + 1,), (n_rows, n_own // n_rows)]

    # Permuted coordinates are those of permuted parameters.
    order = np.roll(np.arange(row.n_components), 1)
    _, moved = round_trips(mixture, mixture.permute(params, order), row.prior(6), frame)
    for coordinates, flat, expected in zip(charts(mixture, row.n_features)[:2], flats, moved, strict=False):
        flat, own = np.asarray(flat), coordinates.component_places
        np.testing.assert_allclose(np.asarray(expected)[own], flat[own][order], rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(coordinates.permute(flat, order), expected, rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(np.diff(coordinates.logits(flat)), np.diff(np.log(params.weights)), rtol=1e-12)
        assert own.size == n_own - sum(coordinates.places[name].size for name in shared)


@walk()
def test_a_frame_moves_densities_by_a_constant(row: Row):
    mixture, params, x = row.mixture(), row.params(7), row.data(7)
    frame = row.family.frame(Summary(x))
    framed = jax.tree.map(np.asarray, mixture.to_frame(params, frame))
    there = evaluate(mixture, framed, np.asarray(frame.apply(x)))["log_prob"]
    np.testing.assert_allclose(
        there - np.log(frame.scale).sum(), evaluate(mixture, params, x)["log_prob"], rtol=1e-11, atol=1e-11
    )
    assert row.oracle.has_units == (not np.allclose(frame.scale, 1.0))


@walk()
def test_named_parameters_are_in_natural_units(row: Row):
    params = row.params(8)
    values = row.values(params)
    named = {name: np.asarray(value) for name, value in row.mixture().named_parameters(params).items()}
    np.testing.assert_array_equal(named.pop("weights"), params.weights)
    expected = row.oracle.named(values)
    assert set(named) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(named[name], value, rtol=1e-13, err_msg=name)
        if name in values:
            np.testing.assert_array_equal(named[name], value, err_msg=name)
    for name, value in row.oracle.derived(values).items():
        np.testing.assert_allclose(getattr(params, name), value, rtol=1e-13, err_msg=name)


def test_one_feature_makes_the_structures_alike():
    by_name = {row.oracle.setting: row for row in ROWS if row.n_features == 1}
    x = by_name["full"].data(9)
    mean, variance = np.array([[-1.0], [0.0], [2.0]]), np.array([0.5, 1.0, 2.0])
    values = []
    for name, shape in (("full", (3, 1, 1)), ("diag", (3, 1)), ("spherical", (3,))):
        mixture = by_name[name].mixture()
        params = mixture.params(mean=mean, covariance=variance.reshape(shape))
        values.append(evaluate(mixture, params, x)["log_prob"])
    np.testing.assert_allclose(values[1], values[0], rtol=1e-14)
    np.testing.assert_allclose(values[2], values[0], rtol=1e-14)


@walk()
def test_draws_have_the_moments_of_the_mixture(row: Row):
    mixture, params, n = row.mixture(), row.params(10), 5_000
    x, labels = map(np.asarray, jax.jit(mixture.sample, static_argnums=2)(params, jax.random.key(3), n))
    assert x.shape == (n, row.n_features)
    assert labels.shape == (n,)
    shares = np.bincount(labels, minlength=row.n_components) / n
    within(shares, params.weights, np.sqrt(params.weights * (1 - params.weights) / n))
    means, covariances = row.oracle.moments(row.values(params))
    for k in range(row.n_components):
        draws = x[labels == k]
        mean, covariance = means[k], covariances[k]
        within(draws.mean(axis=0), mean, np.sqrt(np.diag(covariance) / len(draws)))
        products = (draws - mean)[:, :, None] * (draws - mean)[:, None, :]
        within(products.mean(axis=0), covariance, products.std(axis=0) / np.sqrt(len(draws)))


def within(found: np.ndarray, expected: np.ndarray, standard_error: np.ndarray) -> None:
    """At most 4 standard errors apart: about 300 such comparisons, each off by chance once in 16,000."""
    np.testing.assert_array_less(np.abs(found - expected), 4 * standard_error + 1e-12)
