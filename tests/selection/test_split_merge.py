"""Clusters split and merged: without any other move of labels, exactly the posterior of all partitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from partitions import COUNTS, NUMBERS, RATE, SHAPE, exact, log_counts, log_normals, log_process, log_static

import emjax
from emjax.families.moves import propose_components
from emjax.families.observations import Observations
from emjax.selection import DynamicWeights, StaticWeights, StickBreaking, uniform
from emjax.selection.partition_prior import Given, Plan, State
from emjax.selection.split_merge import split_or_merge
from emjax.selection.sweep import given_labels

PLACES = 6
CONCENTRATION = 0.7
MEAN, LENGTH, KAPPA = 0.3, 1.4, 0.4
KINDS = {
    "counts": (emjax.Poisson(), StickBreaking),
    "diag": (emjax.Normal("diag"), DynamicWeights),
    "full": (emjax.Normal("full"), StaticWeights),
    "tied": (emjax.Normal("tied"), StaticWeights),
    "tied, conjugate": (emjax.Normal("tied"), DynamicWeights),
}


def declared(family, *, conjugate=False):
    """The data, the laws, what all places begin with, and the log marginal of the data of a block."""
    if isinstance(family, emjax.Poisson):
        laws = {"rate": emjax.laws.Gamma(jnp.asarray(SHAPE), jnp.asarray(RATE))}
        return COUNTS, laws, {"rate": jnp.ones((PLACES, 1))}, (log_counts,)
    if family.covariance == "tied":
        return NUMBERS, *tied(conjugate)
    # IG(2, 1) of variances, and the same as a law of matrices.
    if family.covariance == "diag":
        law, unit = emjax.laws.InverseGamma(jnp.asarray(2.0), jnp.asarray(1.0)), jnp.ones((PLACES, 1))
    else:
        law, unit = emjax.laws.InverseWishart(jnp.asarray(4.0), 2.0 * jnp.ones((1, 1))), jnp.ones((PLACES, 1, 1))
    first = {"mean": jnp.zeros((PLACES, 1)), family.structure.site: unit}
    log_marginal = lambda block: log_normals(block, LENGTH, MEAN, np.zeros(1))  # noqa: E731
    of_mean = emjax.laws.Normal(jnp.asarray([MEAN]), jnp.asarray([LENGTH]))
    return NUMBERS, {"mean": of_mean, family.structure.site: law}, first, (log_marginal,)


def tied(conjugate):
    """A variance that all components share, IG(2, 1): the marginals at each point of a grid, with its weights."""
    width = 0.02
    variances = np.exp(np.arange(-4.0, 6.0, width))
    log_grid = -2.0 * np.log(variances) - 1.0 / variances + np.log(width)

    def log_marginal(block):
        x, n = NUMBERS[block], len(block)
        of_mean = variances / KAPPA if conjugate else LENGTH**2
        total = variances + n * of_mean
        away = ((x - MEAN) ** 2).sum() - of_mean / total * (x - MEAN).sum() ** 2
        return -0.5 * (n * np.log(2.0 * np.pi * variances) + np.log(total / variances) + away / variances)

    law = emjax.laws.InverseWishart(jnp.asarray(4.0), 2.0 * jnp.ones((1, 1)))
    if conjugate:
        of_mean = emjax.laws.NormalGiven(jnp.asarray([MEAN]), jnp.asarray(KAPPA))
    else:
        of_mean = emjax.laws.Normal(jnp.asarray([MEAN]), jnp.asarray([LENGTH]))
    first = {"mean": jnp.zeros((PLACES, 1)), "covariance": jnp.ones((1, 1))}
    return {"mean": of_mean, "covariance": law}, first, (log_marginal, log_grid)


def log_prior(weights, number):
    """``log p(K, C)`` of 1, 2, ... components; a process has as many as there are places."""
    if weights is StickBreaking:
        return lambda sizes: np.where(
            np.arange(PLACES) == PLACES - 1,
            log_process(sizes, CONCENTRATION) if len(sizes) <= PLACES else -np.inf,
            -np.inf,
        )
    own = (lambda k: CONCENTRATION / k) if weights is DynamicWeights else (lambda k: CONCENTRATION)
    return lambda sizes: number.log_probabilities + [log_static(sizes, k, own(k)) for k in range(1, PLACES + 1)]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind == "full" else pytest.mark.slow) for kind in KINDS]
)
def test_splits_and_mergers_alone_have_the_posterior_of_all_partitions(kind):
    family, weights = KINDS[kind]
    x, laws, first, (log_marginal, *log_grid) = declared(family, conjugate=kind.endswith("conjugate"))
    number = uniform(PLACES)
    mixture = emjax.Mixture(family, PLACES)
    plan = Plan(mixture, weights, len(x), 1, True)
    assert plan.splits
    features = family.sufficient_statistics(Observations(jnp.asarray(x)[None, :]))
    given = Given(features, laws, (), jnp.asarray(number.log_probabilities), None)
    params = mixture.assembled(jnp.full(PLACES, 1.0 / PLACES), first)
    state = State(params, jnp.ones(PLACES, bool), (), jnp.asarray(CONCENTRATION))
    members = jnp.zeros((PLACES, len(x))).at[0].set(1.0)

    def step(carry, key):
        state, members = carry
        own, rest = jax.random.split(key)
        state, members = split_or_merge(plan, own, state, members, given)
        state, seen = given_labels(plan, rest, state, members, given)
        return (state, members), (seen.share, seen.n_held, members.sum(axis=0))

    run = jax.jit(jax.vmap(lambda key: jax.lax.scan(step, (state, members), jax.random.split(key, 3000))[1]))
    shares, n_held, once = (np.asarray(each) for each in run(jax.random.split(jax.random.key(3), 16)))
    assert (once == 1.0).all()
    of_all, of_clusters = exact(len(x), log_marginal, log_prior(weights, number), *log_grid)
    held = np.eye(PLACES)[n_held[:, 50:] - 1]
    for found, expected in ((shares[:, 50:], of_all), (held, of_clusters)):
        means = found.mean(axis=1)
        errors = means.std(axis=0, ddof=1) / 4.0  # chains do not know of each other
        assert errors.max() < 0.0085
        # Student's law with 15 degrees of freedom lies beyond this once in 5000.
        assert (np.abs(means.mean(axis=0) - expected) < 4.9 * errors + 1e-4).all()


@pytest.mark.usefixtures("x64")
def test_the_ratio_of_proposed_components_averages_to_their_evidence_wherever_they_go_on_from():
    """``E_q[p(x, parameters) / q(parameters)] = p(x)``, of three features that are correlated."""
    family = emjax.Normal("full")
    x = np.random.default_rng(0).normal(size=(7, 3)) @ np.array([[1.0, 0.8, 0.0], [0.0, 0.6, -0.5], [0.0, 0.0, 1.2]])
    law = emjax.laws.InverseWishart(jnp.asarray(6.0), jnp.asarray([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 3.0]]))
    laws = {"mean": emjax.laws.Normal(jnp.asarray([0.2, 0.0, -0.4]), jnp.asarray([1.0, 2.0, 0.7])), "covariance": law}
    narrow = np.array([[0.5, 0.3, 0.1], [0.3, 0.9, -0.2], [0.1, -0.2, 1.5]])
    first = emjax.Mixture(family, 2).assembled(
        jnp.full(2, 0.5),
        {"mean": jnp.array([[0.5, 0.0, 1.0], [-1.0, 0.3, 0.0]]), "covariance": jnp.array([narrow, 4.0 * narrow])},
    )
    features = family.sufficient_statistics(Observations(jnp.asarray(x.T)))
    moments = jnp.stack([features.sum(axis=1)] * 2)
    statistics, none = family.from_moments(first, moments), jnp.zeros(2, bool)

    def ratio(key):
        return propose_components(family, key, statistics, moments[:, 0], first, laws, first, none)[1]

    logs = np.asarray(jax.jit(jax.vmap(ratio))(jax.random.split(jax.random.key(0), 40_000)))
    weights = np.exp(logs - logs.max())
    errors = weights.std(axis=0) / weights.mean(axis=0) / 200.0
    assert errors.max() < 0.02
    assert abs(np.diff(np.log(weights.mean(axis=0)))[0]) < 4.0 * np.hypot(*errors)
