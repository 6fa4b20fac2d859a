"""Proposals of jumps: what is proposed has the density that is claimed, so that jumps are exact."""

import jax
import numpy as np
import pytest
import scipy.stats
from posteriors import (
    GROUPS,
    GROUPS_PRIOR,
    NORMAL_PRIOR,
    NORMAL_ROWS,
    ONE_NORMAL,
    TWO_POISSONS,
    evaluator,
    group_starts,
    modes_from,
    normal_posterior,
    normal_start,
    rows_of,
)

from emjax.bayes.jumps import MOST_LABELLINGS, NormalJumps, labelling_jumps

pytestmark = pytest.mark.usefixtures("x64")
N = 4000


@pytest.fixture(scope="module", params=["one normal", "two Poissons"])
def problem(request):
    """A target, its data, the rows, and its Laplace mixture."""
    with jax.enable_x64(True):
        if request.param == "one normal":
            evaluate = evaluator(ONE_NORMAL, NORMAL_ROWS, NORMAL_PRIOR)
            return evaluate, NORMAL_ROWS, modes_from(evaluate, [normal_start()])
        evaluate = evaluator(TWO_POISSONS, GROUPS, GROUPS_PRIOR)
        return evaluate, GROUPS, modes_from(evaluate, group_starts())


def proposed(jumps, evaluate, n=N):
    """Points that are proposed, and the log densities that are claimed for them."""
    keys = jax.random.split(jax.random.key(8), n)

    @jax.jit
    def both(jumps, data, keys):
        points = jax.vmap(lambda key: jumps.propose(evaluate.target, data, key))(keys)
        return points, jax.vmap(lambda point: jumps.log_density(evaluate.target, data, point))(points)

    return map(np.asarray, both(jumps, evaluate.data, keys))


@pytest.mark.parametrize("kind", [pytest.param("normal", marks=pytest.mark.slow), "labelling"])
def test_what_is_proposed_has_the_density_that_is_claimed(kind, problem):
    evaluate, rows, modes = problem
    if kind == "normal":
        jumps = NormalJumps.make(modes, np.float64)
    else:
        points, _ = modes.sample(np.random.default_rng(0), 300)
        jumps = labelling_jumps(evaluate.target, evaluate.data, rows_of(rows), points, jax.random.key(1))
    points, log_density = proposed(jumps, evaluate)
    assert np.isfinite(points).all()
    assert np.isfinite(log_density).all()
    # The mean of r / q over draws of q is one for any density r inside: here narrow normals around each mode.
    for mode in modes.modes:
        for shift in (0.0, 0.5):
            center = mode.flat + shift * mode.root.sum(axis=1)
            inside = scipy.stats.multivariate_normal(center, 0.5 * mode.root @ mode.root.T)
            ratio = np.exp(inside.logpdf(points) - log_density)
            error = ratio.std() / np.sqrt(N)
            assert error < 0.1
            assert abs(ratio.mean() - 1.0) < 4 * error


def test_a_sweep_of_one_component_is_a_draw_of_its_posterior():
    """With one component no label is left to draw, so that a sweep forgets where it began."""
    evaluate = evaluator(ONE_NORMAL, NORMAL_ROWS, NORMAL_PRIOR)
    modes = modes_from(evaluate, [normal_start()])
    points, _ = modes.sample(np.random.default_rng(0), 10)
    jumps = labelling_jumps(evaluate.target, evaluate.data, rows_of(NORMAL_ROWS), points, jax.random.key(1))

    @jax.jit
    def swept(jumps, center, keys):
        return jax.vmap(lambda key: jumps.sweep(evaluate.target, evaluate.data, key, center))(keys)

    found = swept(jumps, modes.centers[0], jax.random.split(jax.random.key(2), N))
    drawn = jax.tree.map(np.asarray, jax.vmap(evaluate.target.params)(found))
    exact = normal_posterior()
    for j in range(2):
        for values, marginal in (
            (drawn.mean[:, 0, j], exact.mean_of(j)),
            (drawn.covariance[:, 0, j, j], exact.variance_of(j)),
        ):
            # Independent draws: the largest distance of distribution functions at one chance in ten thousand.
            assert scipy.stats.kstest(values, marginal.cdf).pvalue > 1e-4
        # And how wide they are, which says how many data were counted.
        marginal = exact.mean_of(j)
        kurtosis = 3.0 + float(marginal.stats("k"))
        ratio = drawn.mean[:, 0, j].var() / marginal.var()
        assert abs(ratio - 1.0) < 4 * np.sqrt((kurtosis - 1.0) / N)


def test_normal_jumps_are_the_laplace_mixture_in_one_numbering(problem):
    evaluate, _, modes = problem
    points, log_density = proposed(NormalJumps.make(modes, np.float64), evaluate)
    expected = np.logaddexp.reduce(modes.log_terms_of_one_copy(points), axis=1)
    np.testing.assert_allclose(log_density, expected, rtol=1e-10)


def test_labellings_of_one_component_are_the_posterior_some_wider_and_the_prior(problem):
    evaluate, rows, modes = problem
    if evaluate.target.likelihood.n_components > 1:
        points, _ = modes.sample(np.random.default_rng(0), 3 * MOST_LABELLINGS)
        jumps = labelling_jumps(evaluate.target, evaluate.data, rows_of(rows), points, jax.random.key(1))
        assert len(jumps.moments) == 2 * MOST_LABELLINGS + 1
        # Each datum is in one component: the counts and the sums over components are those of all data.
        np.testing.assert_allclose(jumps.moments[:MOST_LABELLINGS].sum(axis=1), [[6.0, 88.0]] * MOST_LABELLINGS)
        np.testing.assert_allclose(jumps.moments[MOST_LABELLINGS:-1], 0.5 * jumps.moments[:MOST_LABELLINGS])
        assert not jumps.moments[-1].any()
        np.testing.assert_allclose(np.exp(jumps.log_choice).sum(), 1.0)
        return
    points, _ = modes.sample(np.random.default_rng(0), 10)
    jumps = labelling_jumps(evaluate.target, evaluate.data, rows_of(rows), points, jax.random.key(1))
    found, log_density = proposed(jumps, evaluate)
    values, _ = evaluate(found)
    # Wherever the posterior is, 0.7 of the density is the posterior itself, and the rest adds to it.
    log_evidence = -float(np.asarray(jumps.log_shares)[0] - np.log(0.7 / MOST_LABELLINGS))
    share = np.exp(values - log_evidence - log_density)
    assert share.max() < 1.0 / 0.7 + 1e-9
    assert share.max() > 1.0
    assert abs(share.mean() - 1.0) < 4 * share.std() / np.sqrt(N)
