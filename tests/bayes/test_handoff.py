"""From EM to the samplers: when EM runs, what it hands over, and where chains start."""

import dataclasses

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
    group_starts,
    groups_handoff,
    normal_posterior,
    two_poissons_on_a_grid,
)

from emjax import Mixture, Poisson
from emjax.bayes import ahead as ahead_module
from emjax.bayes import handoff as handoff_module
from emjax.bayes.ahead import Ahead
from emjax.bayes.handoff import hand_off, overdispersed_starts
from emjax.bayes.methods import Job
from emjax.bayes.problem import prepare
from emjax.bayes.target import Evaluator
from emjax.em.fit import fit, fit_from
from emjax.errors import ConfigError, FitError
from emjax.families.laws import Dirichlet
from emjax.result import Status
from emjax.samples import as_samples

pytestmark = pytest.mark.usefixtures("x64")


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def groups():
    """The problem with two modes, and what EM hands over."""
    return groups_handoff()


@pytest.fixture(scope="module")
def normal():
    """One component with correlated features in units far from the frame's."""
    with jax.enable_x64(True):
        problem = prepare(dataclasses.replace(ONE_NORMAL, prior=NORMAL_PRIOR), as_samples(NORMAL_ROWS))
        return problem, hand_off(problem, jax.random.key(0), None, rng())


# --- what is handed over


def test_every_optimum_of_em_becomes_a_mode_at_which_newton_has_come_to_rest(groups):
    _, handoff = groups
    assert len(handoff.map_fit.optima) == len(handoff.modes.modes) == 2
    for mode in handoff.modes.modes:
        _, (gradient,) = handoff.evaluate(mode.flat[None])
        assert np.linalg.norm(mode.root.T @ gradient) < 1e-5
        # The two modes of a posterior in other coordinates are near each other, less than a deviation apart.
        start = np.asarray(handoff.target.flat(mode.optimum.params))
        assert 0 < np.linalg.norm(np.linalg.solve(mode.root, start - mode.flat)) < 1.0
    grid = two_poissons_on_a_grid()
    assert handoff.sample.log_evidence + handoff.constant == pytest.approx(grid.log_evidence, abs=0.1)
    np.testing.assert_allclose(handoff.masses, grid.mode_shares(handoff.modes, hard=False), atol=0.05)
    assert not handoff.simple


def test_the_evidence_is_in_the_units_of_the_data(normal):
    problem, handoff = normal
    assert not np.allclose(problem.frame.scale, 1.0)
    exact = normal_posterior().log_evidence
    weighted = handoff.sample
    error = np.sqrt(1 / weighted.effective_sample_size - 1 / len(weighted.values))  # of a mean of weights, relative
    assert error < 0.05
    assert weighted.log_evidence + handoff.constant == pytest.approx(exact, abs=4 * error)
    assert handoff.simple


@pytest.mark.parametrize(("x", "concentration"), [([2.0, 3.0, 2.0, 40.0, 44.0, 41.0], 0.5), ([30.0, 31.0, 29.0], 1.0)])
def test_a_prior_without_bound_gives_way_only_where_it_leaves_no_map(x, concentration):
    declared = Mixture(Poisson(), 2)
    prior = declared.default_prior(np.array(x)).replace(weights=Dirichlet(np.full(2, 0.5)))
    problem = prepare(dataclasses.replace(declared, prior=prior), as_samples(x))
    found = handoff_module._find_map(problem, problem.target(1)[0], jax.random.key(0), None)
    np.testing.assert_array_equal(found.mixture.prior.concentration, [concentration] * 2)
    assert found.converged


def test_masses_that_cannot_be_believed_give_way_to_the_larger_ones(groups):
    _, handoff = groups
    sample = dataclasses.replace(handoff.sample, pareto_k=0.9, which=np.zeros_like(handoff.sample.which))
    found = dataclasses.replace(handoff, sample=sample).masses
    largest = np.maximum([1.0, 0.0], handoff.modes.weights)
    np.testing.assert_allclose(found, largest / largest.sum())


# --- when EM runs


def refuse(*args, **settings):
    raise AssertionError("EM was run")


def test_a_map_is_taken_as_it_is(groups, monkeypatch):
    problem, handoff = groups
    monkeypatch.setattr(handoff_module, "fit_from", refuse)
    again = hand_off(problem, jax.random.key(1), handoff.map_fit, rng())
    assert again.map_fit is handoff.map_fit
    np.testing.assert_array_equal(again.modes.centers, handoff.modes.centers)


@pytest.mark.parametrize("changed", ["data", "prior", "status", "likelihood"])
def test_a_fit_of_something_else_is_no_map(changed, groups, monkeypatch):
    problem, handoff = groups
    monkeypatch.setattr(handoff_module, "fit_from", refuse)
    init = handoff.map_fit
    if changed == "data":
        init = dataclasses.replace(init, samples=as_samples(init.data + 1.0))
    elif changed == "prior":
        prior = GROUPS_PRIOR.replace(weights=Dirichlet(np.full(2, 3.0)))
        init = dataclasses.replace(init, mixture=dataclasses.replace(init.mixture, prior=prior))
    elif changed == "status":
        init = dataclasses.replace(init, status=Status.MAX_ITER)
    else:
        init = dataclasses.replace(init, mixture=init.mixture.likelihood)
    with pytest.raises(AssertionError, match="EM was run"):
        hand_off(problem, jax.random.key(1), init, rng())


def test_em_goes_on_from_all_optima_of_a_fit_without_a_prior(groups, monkeypatch):
    problem, _ = groups
    likely = fit(TWO_POISSONS, GROUPS, key=jax.random.key(3))
    assert len(likely.optima) == 2
    given = []

    def listen(mixture, samples, starts, **settings):
        given.append(starts)
        return fit_from(mixture, samples, starts, **settings)

    monkeypatch.setattr(handoff_module, "fit_from", listen)
    handoff = hand_off(problem, jax.random.key(1), likely, rng())
    (starts,) = given
    assert [start.params for start in starts[:2]] == [optimum.params for optimum in likely.optima]
    assert len(starts) == 20  # topped up with drawn ones: the prior may have modes of its own
    assert len(handoff.map_fit.optima) == len(handoff.modes.modes) == 2
    assert handoff.map_fit.mixture.prior is not None


@pytest.mark.parametrize("status", [Status.NONFINITE, Status.DEGENERATE])
def test_without_a_map_there_is_nowhere_to_start(status, groups, monkeypatch):
    problem, handoff = groups
    monkeypatch.setattr(handoff_module, "fit", lambda *a, **s: dataclasses.replace(handoff.map_fit, status=status))
    with pytest.raises(FitError, match=f"no MAP.*{status.value}"):
        hand_off(problem, jax.random.key(1), None, rng())


def test_an_interrupted_em_interrupts(groups, monkeypatch):
    problem, handoff = groups
    stopped = dataclasses.replace(handoff.map_fit, status=Status.INTERRUPTED)
    monkeypatch.setattr(handoff_module, "fit", lambda *a, **s: stopped)
    with pytest.raises(KeyboardInterrupt):
        hand_off(problem, jax.random.key(1), None, rng())


def test_a_weight_of_zero_is_moved_inside(groups):
    problem, handoff = groups
    empty = TWO_POISSONS.params(weights=[0.0, 1.0], rate=[[3.0], [20.0]])
    optima = (dataclasses.replace(handoff.map_fit.optima[0], params=empty), *handoff.map_fit.optima)
    flats = handoff_module._flat_optima(problem, handoff.target, optima)
    assert np.isfinite(flats).all()
    assert flats[0][2] == pytest.approx(np.log(1e-8), abs=1e-6)
    np.testing.assert_allclose(flats[1], handoff.target.flat(optima[1].params), rtol=1e-12)


# --- where chains start


def whitened(handoff, starts):
    """Each start in deviations of the mode that is nearest to it."""
    modes = handoff.modes
    z = np.einsum("mij,nmj->nmi", modes.inverse_roots, starts.flat[:, None] - modes.centers[None])
    return z[np.arange(len(z)), (z**2).sum(axis=2).argmin(axis=1)]


def test_starts_are_twice_as_wide_as_the_posterior(normal):
    _, handoff = normal
    starts = overdispersed_starts(handoff, rng(5), 400)
    assert starts.flat.shape == (400, 5)
    assert starts.superchains is None
    squares = (whitened(handoff, starts) ** 2).sum()
    low, high = scipy.stats.chi2(400 * 5).ppf([0.0005, 0.9995])
    assert 4 * low < squares < 4 * high
    assert "around the mode" in starts.note
    assert "2 standard deviations" in starts.note
    assert "drawn again" not in starts.note


def test_every_mode_gets_a_chain_before_any_gets_a_second_one(groups):
    _, handoff = groups
    for chains, expected in ((1, [1, 0]), (2, [1, 1]), (8, None)):
        # As narrow as can be, so that each start lies in its own mode without doubt.
        modes = tuple(dataclasses.replace(mode, root=1e-3 * mode.root) for mode in handoff.modes.modes)
        mixture = dataclasses.replace(handoff.modes, modes=modes)
        narrow = dataclasses.replace(handoff, sample=dataclasses.replace(handoff.sample, mixture=mixture))
        starts = overdispersed_starts(narrow, rng(), chains)
        distance = np.linalg.norm(starts.flat[:, None] - handoff.modes.centers[None], axis=2)
        counts = np.bincount(distance.argmin(axis=1), minlength=2)
        if expected is None:
            assert counts.tolist() in ([5, 3], [4, 4])
        else:
            assert counts.tolist() == expected
        assert ("2 modes" in starts.note) == (chains > 1)


@pytest.mark.parametrize(
    ("masses", "n", "expected"),
    [
        ([0.9, 0.1], 8, [7, 1]),
        ([0.1, 0.9], 8, [1, 7]),
        ([0.98, 0.02], 2, [1, 1]),
        ([0.2, 0.5, 0.3], 2, [0, 1, 1]),
        ([0.25] * 4, 8, [2] * 4),
    ],
)
def test_starts_are_shared_out_by_mass(masses, n, expected):
    which = handoff_module._share_out(np.array(masses), n)
    assert np.bincount(which, minlength=len(masses)).tolist() == expected


def test_a_mode_of_negligible_mass_gets_no_chain(groups):
    _, handoff = groups
    sample = dataclasses.replace(handoff.sample, which=np.zeros_like(handoff.sample.which))
    handoff = dataclasses.replace(handoff, sample=sample)
    assert handoff.masses.tolist() == pytest.approx([1.0, 0.0])
    assert "around the mode" in overdispersed_starts(handoff, rng(), 8).note


def test_the_chains_of_a_superchain_share_their_start(groups):
    problem, handoff = groups
    starts = overdispersed_starts(handoff, rng(), 32, superchains=8)
    np.testing.assert_array_equal(starts.superchains, np.repeat(np.arange(8), 4))
    assert len(np.unique(starts.flat, axis=0)) == 8
    for name in range(8):
        assert len(np.unique(starts.flat[starts.superchains == name], axis=0)) == 1
    job = Job(problem, handoff, jax.random.key(0), rng(), None, None, None, None, "float64", None)
    assert [job.starts(chains).superchains is not None for chains in (8, 16, 20, 24)] == [False, True, False, True]


def test_fewer_chains_have_as_many_draws_together(groups):
    problem, handoff = groups
    job = Job(problem, handoff, jax.random.key(0), rng(), None, None, None, None, "float64", None)
    found = {chains: dataclasses.replace(job, chains=chains).settings("hmc").draws for chains in (1, 2, 8, 64)}
    assert found == {1: 4000, 2: 2000, 8: 500, 64: 500}
    assert dataclasses.replace(job, chains=1, draws=7).settings("hmc").draws == 7


@pytest.mark.parametrize(
    ("width", "dtype", "natural"),
    [(0.1, "float32", True), (1e-3, "float32", False), (1e-3, "float64", True), (1e-6, "float64", False)],
)
def test_narrow_components_take_the_arithmetic_that_is_exact_enough(width, dtype, natural, normal):
    problem, _ = normal
    _, data = problem.precise_target(narrow_normal(problem, width), 8, dtype)
    assert data.blocks.natural == natural
    assert data.blocks.x.dtype == dtype


def test_components_too_narrow_for_any_arithmetic_are_refused(normal):
    problem, _ = normal
    with pytest.raises(ConfigError, match="float32 is too coarse"):
        problem.precise_target(narrow_normal(problem, 1e-6), 8, "float32")


def narrow_normal(problem, width):
    """One component, so many deviations of the data wide, a deviation of the data away from their mean."""
    narrow = ONE_NORMAL.params(mean=[[1.0, 1.0]], covariance=width**2 * np.eye(2)[None])
    return jax.tree.map(np.asarray, ONE_NORMAL.from_frame(narrow, problem.frame))


def test_what_is_compiled_ahead_is_waited_for_and_not_done_again(groups, monkeypatch):
    _, handoff = groups
    done = []
    monkeypatch.setattr(ahead_module, "_PENDING", {})
    monkeypatch.setattr(Ahead, "_values", lambda self: done.append("values"))
    monkeypatch.setattr(Ahead, "_chains", lambda self: done.append("chains"))
    first, second = (Ahead(handoff.evaluate, chains=True) for _ in range(2))
    second.values_ready()
    assert done[0] == "values"
    second.chains_ready()
    assert done == ["values", "chains"]
    Ahead(Evaluator(handoff.target, handoff.evaluate.data, 3), chains=False).chains_ready()
    assert done == ["values", "chains", "values"]
    first.chains_ready()


class Fenced(Evaluator):
    """No density beyond one deviation of a half from the mode that is nearest."""

    def __call__(self, points):
        values, gradients = super().__call__(points)
        centers, inverse = self.modes.centers, self.modes.inverse_roots
        z = np.einsum("mij,nmj->nmi", inverse, points[:, None] - centers[None])
        return np.where((z**2).sum(axis=2).min(axis=1) < 0.25, values, -np.inf), gradients


def test_starts_without_a_density_are_drawn_again_closer_to_the_mode(groups):
    _, handoff = groups
    fenced = Fenced(handoff.target, handoff.evaluate.data, 8)
    fenced.modes = handoff.modes
    starts = overdispersed_starts(dataclasses.replace(handoff, evaluate=fenced), rng(), 8)
    assert (whitened(handoff, starts) ** 2).sum(axis=1).max() < 0.25
    assert len(np.unique(starts.flat, axis=0)) == 8
    assert "drawn again with a smaller spread" in starts.note


def test_the_same_generator_gives_the_same_starts(groups):
    _, handoff = groups
    first, second, other = (overdispersed_starts(handoff, rng(seed), 8).flat for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.isclose(first, other).any()


def test_parameters_are_a_start_for_em(groups):
    problem, handoff = groups
    found = hand_off(problem, jax.random.key(1), group_starts(), rng())
    assert [optimum.count for optimum in found.map_fit.optima] == [1, 1]
    np.testing.assert_allclose(found.modes.weights, handoff.modes.weights, rtol=1e-4)
