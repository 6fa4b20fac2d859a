"""One numbering of the components: the same on host and device, one copy of each point, and exact chains inside."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
import scipy.special
from arviz_stats.base import array_stats
from posteriors import evaluator, modes_from, rows_of

import emjax
from emjax.bayes.hmc import HmcChains
from emjax.bayes.jumps import NormalJumps, labelling_jumps
from tests.priors import normal_prior, poisson_prior

pytestmark = pytest.mark.usefixtures("x64")

CHAINS = 8
THREE = emjax.Mixture(emjax.Poisson(), 3)
COUNTS = np.array([0.0, 1.0, 2.0, 3.0, 5.0, 9.0])[:, None]
"""Few counts that overlap, so that much of the posterior is where one numbering meets the next."""

COUNTS_PRIOR = poisson_prior(np.full(3, 1.5), shape=2.0, rate=[0.5])
ORDERS = list(itertools.permutations(range(3)))


@pytest.fixture(scope="module")
def counts():
    """The target and the modes of the counts."""
    with jax.enable_x64(True):
        evaluate = evaluator(THREE, COUNTS, COUNTS_PRIOR, CHAINS)
        starts = [
            THREE.params(weights=[0.4, 0.4, 0.2], rate=[[1.0], [3.0], [8.0]]),
            THREE.params(weights=[0.2, 0.4, 0.4], rate=[[7.0], [1.0], [4.0]]),
        ]
        return evaluate, modes_from(evaluate, starts)


@pytest.fixture(scope="module")
def normals():
    """The target and the mode of three normals in two dimensions, which have parts of several kinds."""
    with jax.enable_x64(True):
        centers = np.array([[-2.0, 0.0], [0.0, 1.5], [2.0, -1.0]])
        x = np.random.default_rng(3).normal(size=(60, 2)) * 0.7 + np.repeat(centers, 20, axis=0)
        prior = normal_prior(np.ones(3), np.zeros(2), precision=0.1, degrees_of_freedom=5.0, scatter=np.eye(2))
        mixture = emjax.Mixture(emjax.Normal("full"), 3)
        start = mixture.params(weights=np.full(3, 1 / 3), mean=centers, covariance=np.tile(0.5 * np.eye(2), (3, 1, 1)))
        evaluate = evaluator(mixture, x, prior)
        return evaluate, modes_from(evaluate, [start])


@pytest.mark.parametrize("name", ["counts", "normals"])
def test_of_all_orders_of_a_point_one_is_held(name, request):
    evaluate, modes = request.getfixturevalue(name)
    target, numbering = evaluate.target, modes.numbering
    points, _ = modes.sample(np.random.default_rng(0), 40)
    points = modes.centers[0] + 12.0 * (points - modes.centers[0])
    copies = np.stack([target.permute(points, order) for order in ORDERS])

    @jax.jit
    def judged(at):
        return numbering.holds(target, at), numbering.relabelled(target, at)

    held, moved = map(np.asarray, jax.jit(jax.vmap(judged))(copies.reshape(-1, points.shape[1])))
    held, moved = held.reshape(copies.shape[:2]), moved.reshape(copies.shape)
    np.testing.assert_array_equal(held.sum(axis=0), 1)
    chosen = held.argmax(axis=0)
    assert len(set(chosen)) > 1
    expected = copies[chosen, np.arange(len(points))]
    for device, copy in zip(moved, copies, strict=True):
        np.testing.assert_allclose(device, expected, atol=1e-11)
        np.testing.assert_allclose(modes.relabelled(copy), expected, atol=1e-11)
    np.testing.assert_array_equal(modes.relabelled(modes.centers), modes.centers)


def test_a_component_that_is_far_out_leaves_the_others_their_places(normals):
    """By squares alone it would get the widest place, and the component of that place another one."""
    evaluate, modes = normals
    own = evaluate.target.component_places
    widths = np.sqrt((modes.roots[0] ** 2).sum(axis=1))[own].sum(axis=1)
    narrowest = int(np.argmin(widths))
    point = modes.centers.copy()
    point[0, own[narrowest]] += 8.0
    for order in ORDERS:
        np.testing.assert_allclose(modes.relabelled(evaluate.target.permute(point, order)), point, atol=1e-11)


def test_modes_in_any_order_get_one_numbering_and_one_metric(normals):
    _, modes = normals
    target, first = modes.target, modes.modes[0]
    # A second mode not far away, stored in any order.
    other = dataclasses.replace(first, flat=first.flat + 0.3 * first.root.sum(axis=1), root=1.2 * first.root)
    alike = dataclasses.replace(modes, modes=(first, other))
    for order in ORDERS:
        flat, root = target.permute(other.flat[None], order)[0], target.permute(other.root.T, order).T
        moved = dataclasses.replace(modes, modes=(first, dataclasses.replace(other, flat=flat, root=root)))
        found = moved.numbered_alike()
        np.testing.assert_allclose(found.centers, alike.centers, atol=1e-10)
        np.testing.assert_allclose(found.covariance, alike.covariance, atol=1e-10)


# --- chains that stay in one numbering, beside the sum over all labellings


def exact_means() -> dict[str, float]:
    """Posterior means of what labels do not touch, by enumeration of all labellings in plain NumPy."""
    x, k, of = COUNTS[:, 0], 3, COUNTS_PRIOR["rate"]
    alpha, shape, rate = COUNTS_PRIOR.concentration, float(of.shape), float(of.rate[0])
    log_shares, rows = [], []
    gammaln = scipy.special.gammaln
    for labels in itertools.product(range(k), repeat=len(x)):
        members = np.arange(k)[:, None] == np.array(labels)
        n, s = members.sum(axis=1), members @ x
        a, b, dirichlet = shape + s, rate + n, alpha + n
        log_shares.append((gammaln(dirichlet) + gammaln(a) - a * np.log(b)).sum())
        total = dirichlet.sum()
        weights, rates, squared_rates = dirichlet / total, a / b, a * (a + 1) / b**2
        rows.append(
            [
                (weights * rates).sum(),
                (weights * squared_rates).sum(),
                (dirichlet * (dirichlet + 1)).sum() / (total * (total + 1)),
                rates.sum(),
                squared_rates.sum(),
                rates.prod(),
            ]
        )
    return dict(zip(NAMES, np.asarray(scipy.special.softmax(log_shares)) @ np.array(rows), strict=True))


NAMES = ("mean", "second moment", "squared weights", "rates", "squared rates", "product of rates")


def quantities(flat):
    """The same of draws ``(chain, draw, p)``."""
    rates = np.exp(flat[..., :3])
    weights = scipy.special.softmax(np.concatenate([flat[..., 3:], np.zeros_like(flat[..., :1])], axis=-1), axis=-1)
    values = (
        (weights * rates).sum(axis=-1),
        (weights * rates**2).sum(axis=-1),
        (weights**2).sum(axis=-1),
        rates.sum(axis=-1),
        (rates**2).sum(axis=-1),
        rates.prod(axis=-1),
    )
    return dict(zip(NAMES, values, strict=True))


@pytest.fixture(scope="module")
def runs(counts):
    """Runs with both kinds of jumps, and the chains as they were."""
    evaluate, modes = counts
    with jax.enable_x64(True):
        points, _ = modes.sample(np.random.default_rng(1), CHAINS)
        jumps = NormalJumps.make(modes, np.float64)
        chains = HmcChains(evaluate.target, evaluate.data, modes, points, key=jax.random.key(5), jumps=jumps)
        chains.warm_up(300)
        found = {"normal": (chains.draw(1000, 4), chains.modes)}
        flat = found["normal"][0].flat
        chains.learn(np.swapaxes(flat, 0, 1))
        points = chains.modes.relabelled(flat.reshape(-1, 5))
        chains.jumps = labelling_jumps(evaluate.target, evaluate.data, rows_of(COUNTS), points, jax.random.key(6))
        chains.warm_up(300)
        found["labelling"] = (chains.draw(1000, 4), chains.modes)
        return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "labelling"])
def test_chains_in_one_numbering_have_the_posterior_of_all(kind, runs):
    run, modes = runs[kind]
    exact = exact_means()
    for name, draws in quantities(run.flat).items():
        assert array_stats.ess(draws, method="bulk") > 1000, name
        assert abs(draws.mean() - exact[name]) < 4 * array_stats.mcse(draws, method="mean"), name
    flat = run.flat.reshape(-1, 5)
    np.testing.assert_allclose(modes.relabelled(flat), flat, atol=1e-12)
    assert run.sample_stats["jumped"].mean() > 0.1


def test_a_prior_that_tells_components_apart_has_no_numbering(counts):
    _, modes = counts
    prior = COUNTS_PRIOR.replace(weights=emjax.laws.Dirichlet(np.array([1.0, 2.0, 3.0])))
    other = evaluator(THREE, COUNTS, prior, CHAINS)
    jumps = NormalJumps.make(modes, np.float64)
    starts = modes.target.permute(np.repeat(modes.centers[:1], CHAINS, axis=0), [2, 0, 1])
    modes = dataclasses.replace(modes, target=other.target)
    chains = HmcChains(other.target, other.data, modes, starts, key=jax.random.key(0), jumps=jumps)
    assert chains.numbering is None
    np.testing.assert_array_equal(chains.state.flat, starts)


@pytest.mark.slow
@pytest.mark.parametrize("key", [0, 9, 17])
def test_chains_on_the_deaths_in_london_do_not_leave_the_metric_that_fits(key):
    """Two Poissons that overlap: every second transition diverged when jumps led to the other numbering."""
    prior = poisson_prior([1.0, 1.0], shape=2.0, rate=[1.0])
    mixture = emjax.Mixture(emjax.Poisson(), 2, prior)
    posterior = emjax.sample(mixture, emjax.datasets.load("deaths"), key=jax.random.key(key))
    assert posterior.status == "converged"
    assert posterior.method == "hmc"
    assert posterior.diagnostics.divergent_share < 0.02
