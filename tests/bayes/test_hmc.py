"""Hamiltonian Monte Carlo over many chains: exact posteriors, jumps between modes, tuning, keys, thinning."""

import jax
import numpy as np
import pytest
from arviz_stats.base import array_stats
from posteriors import (
    GROUPS,
    GROUPS_PRIOR,
    HUMP_CENTERS,
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
    two_humps,
    two_poissons_on_a_grid,
)

from emjax.bayes.hmc import TARGET_ACCEPTANCE, HmcChains
from emjax.bayes.jumps import NormalJumps, labelling_jumps
from emjax.bayes.target import make_target

CHAINS, WARMUP, DRAWS = 8, 200, 500
pytestmark = pytest.mark.usefixtures("x64")


def assert_moments(draws, mean, sd):
    """Mean and sd of draws ``(chain, draw)`` within four Monte Carlo standard errors of the exact ones."""
    assert array_stats.ess(draws, method="bulk") > 400
    assert abs(draws.mean() - mean) < 4 * array_stats.mcse(draws, method="mean")
    assert abs(draws.std(ddof=1) - sd) < 4 * array_stats.mcse(draws, method="sd")


def share_in(draws, share):
    """The share of draws ``(chain, draw)`` that are true, within four standard errors of the exact one."""
    assert_moments(draws.astype(float), share, np.sqrt(share * (1 - share)))


def spread_starts(modes, seed=0):
    points, which = modes.sample(np.random.default_rng(seed), CHAINS)
    return modes.centers[which] + 2.0 * (points - modes.centers[which])


# --- posteriors that are known


@pytest.fixture(scope="module")
def grid():
    return two_poissons_on_a_grid()


@pytest.fixture(scope="module")
def one_normal():
    with jax.enable_x64(True):
        evaluate = evaluator(ONE_NORMAL, NORMAL_ROWS, NORMAL_PRIOR, CHAINS)
        return evaluate, modes_from(evaluate, [normal_start()])


def normal_chains(one_normal, dtype="float64", *, key=1, **settings):
    evaluate, modes = one_normal
    with jax.enable_x64(dtype == "float64"):
        data = evaluate.data
        if dtype == "float32":
            _, data = make_target(ONE_NORMAL, NORMAL_ROWS, NORMAL_PRIOR, n_chains=CHAINS, dtype=dtype)
        return HmcChains(evaluate.target, data, modes, spread_starts(modes), key=jax.random.key(key), **settings)


@pytest.fixture(scope="module")
def normal_runs(one_normal):
    """Runs by precision, with the chains that made them."""
    found = {}

    def get(dtype):
        if dtype not in found:
            chains = normal_chains(one_normal, dtype)
            with jax.enable_x64(dtype == "float64"):
                chains.warm_up(WARMUP)
                found[dtype] = chains.draw(DRAWS), chains
        return found[dtype]

    return get


def covariance_at(target, flat):
    return target.params(flat).covariance


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_one_normal_has_the_normal_inverse_wishart_posterior(dtype, normal_runs, one_normal):
    run, chains = normal_runs(dtype)
    assert run.flat.shape == (CHAINS, DRAWS, 5)
    assert run.flat.dtype == np.float64
    assert chains.state.flat.dtype == dtype
    target = one_normal[0].target
    moments = jax.jit(jax.vmap(jax.vmap(lambda at: (target.params(at).mean, covariance_at(target, at)))))
    means, covariances = map(np.asarray, moments(run.flat))
    exact = normal_posterior()
    for j in range(2):
        mean, variance = exact.mean_of(j), exact.variance_of(j)
        assert_moments(means[:, :, 0, j], mean.mean(), mean.std())
        assert_moments(covariances[:, :, 0, j, j], variance.mean(), variance.std())


def test_statistics_describe_the_draws(normal_runs, one_normal):
    run, chains = normal_runs("float64")
    assert set(run.sample_stats) == {"lp", "energy", "diverging", "acceptance_rate", "n_steps", "step_size"}
    assert all(value.shape == (CHAINS, DRAWS) for value in run.sample_stats.values())
    values, _ = one_normal[0](run.flat[:, ::100].reshape(-1, 5))
    np.testing.assert_allclose(run.sample_stats["lp"][:, ::100].ravel(), values, rtol=1e-10)
    assert not run.sample_stats["diverging"].any()
    n_steps = run.sample_stats["n_steps"]
    assert (n_steps == n_steps[0, 0]).all()
    # A path of a quarter period, by steps that differ by a fifth between chains and draws.
    step = np.exp(chains.state.tuning.log_step)
    assert n_steps[0, 0] == max(1, np.ceil(np.pi / 2 / step))
    sizes = run.sample_stats["step_size"] / step
    assert sizes.min() == pytest.approx(0.8, abs=0.01)
    assert sizes.max() == pytest.approx(1.2, abs=0.01)


def test_the_step_size_is_tuned_to_the_acceptance_that_was_asked_for(normal_runs, one_normal):
    run, chains = normal_runs("float64")
    assert abs(run.sample_stats["acceptance_rate"].mean() - TARGET_ACCEPTANCE) < 0.07
    careful = normal_chains(one_normal, target_accept_prob=0.98)
    careful.warm_up(WARMUP)
    assert careful.state.tuning.log_step < chains.state.tuning.log_step
    assert careful.draw(100).sample_stats["acceptance_rate"].mean() > 0.95


def test_the_warm_up_learns_a_metric_that_was_wrong(one_normal, normal_runs):
    evaluate, modes = one_normal
    wide = modes.refined(modes.centers + 5.0 * (modes.sample(np.random.default_rng(0), 4000)[0] - modes.centers))
    chains = HmcChains(evaluate.target, evaluate.data, wide, spread_starts(modes), key=jax.random.key(1))
    assert chains.metric[0, 0] > 15 * modes.covariance[0, 0]
    chains.warm_up(2 * WARMUP)
    _, good = normal_runs("float64")
    ratio = np.linalg.eigvals(np.linalg.solve(good.metric, chains.metric)).real
    assert (ratio > 0.6).all()
    assert (ratio < 1.7).all()


def test_same_key_same_draws_and_another_key_others(one_normal):
    draws = []
    for key in (3, 3, 4):
        chains = normal_chains(one_normal, key=key)
        chains.warm_up(20)
        draws.append(chains.draw(10).flat)
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.isclose(draws[0], draws[2]).any()


def test_thinned_draws_are_every_so_many_th_one(one_normal):
    whole, thinned = (normal_chains(one_normal) for _ in range(2))
    every, fourth = whole.draw(240), thinned.draw(60, thin=4)
    np.testing.assert_array_equal(fourth.flat, every.flat[:, 3::4])
    np.testing.assert_array_equal(fourth.sample_stats["lp"], every.sample_stats["lp"][:, 3::4])
    by_four = every.sample_stats["n_steps"].reshape(CHAINS, 60, 4).sum(axis=2)
    np.testing.assert_array_equal(fourth.sample_stats["n_steps"], by_four)
    np.testing.assert_array_equal(whole.state.flat, thinned.state.flat)


def test_progress_is_told_between_chunks(one_normal):
    calls = []
    chains = normal_chains(one_normal, on_progress=lambda *call: calls.append(call))
    chains.warm_up(0)
    chains.draw(150)
    assert {call[0] for call in calls} == {"draws"}
    by_chain = {c: [call[1] for call in calls if call[3].chain == c] for c in range(CHAINS)}
    assert all(done == [100, 150] for done in by_chain.values())
    assert all(len(call[3].step_size) == len(call[3].divergences) == CHAINS for call in calls)


def test_a_chain_that_is_stuck_goes_on_from_one_that_moves(one_normal):
    chains = normal_chains(one_normal)
    before = np.asarray(chains.state.flat)
    flat = before[None] + 0.01 * np.random.default_rng(0).standard_normal((30, *before.shape))
    flat[:, [0, 5]] = 50.0  # they stand still, and where they are is of no use to the metric
    flat[20:, 5] = 40.0
    chains.learn(flat)
    after = np.asarray(chains.state.flat)
    np.testing.assert_array_equal(after[[0, 5]], before[[1, 1]])
    np.testing.assert_array_equal(after[[1, 2, 3, 4, 6, 7]], before[[1, 2, 3, 4, 6, 7]])
    np.testing.assert_allclose(chains.state.value, one_normal[0](after)[0], rtol=1e-12)
    assert np.abs(chains.modes.centers).max() < 10.0
    metric = chains.metric
    chains.learn(np.repeat(before[None], 30, axis=0))
    np.testing.assert_array_equal(chains.state.flat, after)
    assert chains.metric is metric


# --- several modes


@pytest.fixture(scope="module")
def groups():
    """Draws of the posterior with two modes that are joined by a path, by the kind of jumps."""
    with jax.enable_x64(True):
        evaluate = evaluator(TWO_POISSONS, GROUPS, GROUPS_PRIOR, CHAINS)
        modes = modes_from(evaluate, group_starts())
        chains = HmcChains(
            evaluate.target,
            evaluate.data,
            modes,
            spread_starts(modes),
            key=jax.random.key(2),
            jumps=NormalJumps.make(modes, np.float64),
        )
        chains.warm_up(WARMUP)
        runs = {"normal": chains.draw(DRAWS, 2)}
        points = chains.modes.relabelled(runs["normal"].flat.reshape(-1, 3))
        chains.jumps = labelling_jumps(evaluate.target, evaluate.data, rows_of(GROUPS), points, jax.random.key(3))
        chains.warm_up(WARMUP)
        runs["labelling"] = chains.draw(DRAWS, 6)
        return runs, modes


@pytest.mark.parametrize("kind", ["normal", "labelling"])
def test_the_log_density_of_a_draw_is_that_of_where_it_ended(kind, groups):
    """After jumps, and after sweeps, which move a chain without knowing its density."""
    run = groups[0][kind]
    values, _ = evaluator(TWO_POISSONS, GROUPS, GROUPS_PRIOR, CHAINS)(run.flat[:, ::100].reshape(-1, 3))
    np.testing.assert_allclose(run.sample_stats["lp"][:, ::100].ravel(), values, rtol=1e-10)


@pytest.mark.parametrize("kind", ["normal", "labelling"])
def test_two_poissons_have_the_posterior_of_the_grid(kind, groups, grid):
    runs, modes = groups
    run = runs[kind]
    rates = np.exp(run.flat[..., :2])
    order = np.argsort(rates, axis=-1)
    ordered = np.take_along_axis(rates, order, -1)
    weight = 1.0 / (1.0 + np.exp(-run.flat[..., 2]))  # of the component that is stored first
    share = np.where(order[..., 0] == 0, weight, 1.0 - weight)
    for draws, exact in ((ordered[..., 0], grid.low), (ordered[..., 1], grid.high), (share, grid.share)):
        assert_moments(draws, *grid.moments(exact))
    first = modes.log_terms(run.flat.reshape(-1, 3)).argmax(axis=1).reshape(CHAINS, DRAWS) == 0
    share_in(first, grid.mode_shares(modes, hard=True)[0])
    assert run.sample_stats["jumped"].mean() > 0.1


def hump_chains(masses, *, widths=1.0, start=(0,) * CHAINS, key=0):
    target, data, modes = two_humps(masses, widths)
    starts = HUMP_CENTERS[list(start)] + 0.1
    jumps = NormalJumps.make(modes, np.float64)
    return HmcChains(target, data, modes, starts, key=jax.random.key(key), jumps=jumps)


def test_jumps_are_exact_although_masses_and_widths_are_wrong():
    chains = hump_chains((0.15, 0.85), widths=1.6, start=(1,) * CHAINS)
    chains.warm_up(WARMUP)
    run = chains.draw(1500)
    inside = run.flat[..., 0] < 0.0
    share_in(inside, 0.7)
    assert 0.02 < run.sample_stats["jumped"].mean() < 0.98
    for hump, (center, scale) in enumerate(zip(HUMP_CENTERS, [[1.0, 0.5], [0.4, 1.5]], strict=True)):
        mine = run.flat[inside if hump == 0 else ~inside]
        np.testing.assert_allclose((mine.mean(axis=0) - center) / scale, 0.0, atol=0.12)
        np.testing.assert_allclose(mine.std(axis=0) / scale, 1.0, atol=0.1)


def test_without_jumps_chains_stay_where_they_are():
    chains = hump_chains((0.7, 0.3), start=(0, 1) * (CHAINS // 2))
    chains.jumps = None
    run = chains.draw(100)
    assert "jumped" not in run.sample_stats
    in_first = run.flat[..., 0] < 0.0
    np.testing.assert_array_equal(in_first.mean(axis=1), [1.0, 0.0] * (CHAINS // 2))


def test_long_steps_cost_acceptance_and_nothing_else():
    """On one hump, the other one too far away to matter, by few steps that are often refused."""
    chains = hump_chains((0.7, 0.3))
    chains.jumps = None
    # Half as wide as the metric says in one direction, so that the path does not fit.
    chains.metric = np.diag([4.0, 0.25])
    chains.state = chains.state._replace(tuning=chains.state.tuning._replace(log_step=np.asarray(np.log(0.8))))
    run = chains.draw(4000)
    assert 0.4 < run.sample_stats["acceptance_rate"].mean() < 0.9
    for j, (mean, sd) in enumerate(zip(HUMP_CENTERS[0], [1.0, 0.5], strict=True)):
        assert_moments(run.flat[..., j], mean, sd)
