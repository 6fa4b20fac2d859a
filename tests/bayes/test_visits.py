"""Modes, their masses, which of them chains have seen; and that a mode no chain has seen is said."""

import dataclasses

import numpy as np
import pytest
import xarray as xr
from posteriors import groups_handoff

from emjax.bayes import sample as sample_module
from emjax.bayes.diagnostics import PosteriorStatus, assess
from emjax.bayes.visits import NON_NEGLIGIBLE, describe_modes, visited_shares

pytestmark = pytest.mark.usefixtures("x64")


@pytest.fixture(scope="module")
def handoff():
    return groups_handoff()[1]


def draws_in(modes, which, n_draws=250, seed=0):
    """Draws ``(chain, draw, p)`` close to the mode of each chain, with its labels exchanged in every other draw."""
    noise = 0.1 * np.random.default_rng(seed).standard_normal((len(which), n_draws, 3))
    flat = np.stack([modes.centers[i] + noise[c] @ modes.roots[i].T for c, i in enumerate(which)])
    flat[:, ::2] = np.stack([modes.target.permute(chain[::2], [1, 0]) for chain in flat])
    return flat


def describe(handoff, flat, masses=None):
    return describe_modes(handoff.sample, handoff.masses if masses is None else masses, handoff.constant, flat)


def test_visits_are_counted_by_chain_whatever_the_labels(handoff):
    flat = draws_in(handoff.modes, [0, 0, 1, 0])
    np.testing.assert_array_equal(visited_shares(handoff.modes, flat), [[1, 0], [1, 0], [0, 1], [1, 0]])
    flat[0, :125] = draws_in(handoff.modes, [1], 125)[0]
    np.testing.assert_allclose(visited_shares(handoff.modes, flat)[0], [0.5, 0.5], atol=0.01)


def test_visits_of_long_chains_are_those_of_some_draws_spread_over_them(handoff):
    flat = np.concatenate([draws_in(handoff.modes, [0], 3000), draws_in(handoff.modes, [1], 3000)], axis=1)
    np.testing.assert_allclose(visited_shares(handoff.modes, flat), [[0.5, 0.5]], atol=0.001)


def test_modes_come_by_mass_with_all_that_is_known_of_them(handoff):
    found = describe(handoff, draws_in(handoff.modes, [1, 1, 1, 0]), np.array([0.4, 0.6]))
    assert [mode.mass for mode in found.modes] == [0.6, 0.4]
    assert [mode.visited for mode in found.modes] == [0.75, 0.25]
    assert found.modes[0].visited_by_chain == (1.0, 1.0, 1.0, 0.0)
    assert found.n_modes == 2
    assert found.unvisited == ()
    for mode, own in zip(found.modes, reversed(handoff.modes.modes), strict=True):
        assert mode.params is own.optimum.params
        assert mode.n_starts == own.optimum.count
        assert mode.objective == own.optimum.objective
        assert mode.log_density == own.log_density + handoff.constant
    assert found.log_evidence == handoff.sample.log_evidence + handoff.constant
    assert found.pareto_k == handoff.sample.pareto_k


@pytest.mark.parametrize(("mass", "missed"), [(NON_NEGLIGIBLE / 2, False), (NON_NEGLIGIBLE, True), (0.4, True)])
def test_a_mode_that_no_chain_saw_makes_the_posterior_not_converged(mass, missed, handoff):
    flat = draws_in(handoff.modes, [0] * 4)
    found = describe(handoff, flat, np.array([1 - mass, mass]))
    assert found.unvisited == ((1,) if missed else ())
    problems = sample_module._problems("hmc", handoff, found)
    stationary = xr.Dataset({"a": (("chain", "draw"), np.random.default_rng(1).normal(size=(4, 1000)))})
    result = assess(stationary, xr.Dataset(), problems=problems)
    assert result.max_rhat < 1.01
    if not missed:
        assert result.status is PosteriorStatus.converged
        return
    assert result.status is PosteriorStatus.not_converged
    assert "no chain visited the mode with log density" in result.reasons[0]
    assert f"about {mass:.0%} of the posterior (> 2%)" in result.reasons[0]
    assert f"{found.modes[1].log_density:.2f}" in result.reasons[0]


def test_draws_by_weights_that_cannot_be_believed_are_unreliable(handoff):
    found = describe(handoff, draws_in(handoff.modes, [0, 1]))
    assert sample_module._problems("laplace", handoff, found) == ()
    bad = dataclasses.replace(handoff, sample=dataclasses.replace(handoff.sample, pareto_k=0.93))
    found = describe(bad, draws_in(handoff.modes, [0, 1]))
    assert sample_module._problems("hmc", bad, found) == ()
    ((status, phrase),) = sample_module._problems("laplace", bad, found)
    assert status is PosteriorStatus.unreliable
    assert "0.93" in phrase


def test_a_mode_that_is_visited_counts_although_its_estimated_mass_is_small(handoff):
    flat = draws_in(handoff.modes, [0, 0, 0, 1])
    assert describe(handoff, flat, np.array([1.0, 0.0])).n_modes == 2
    assert describe(handoff, flat[:3], np.array([1.0, 0.0])).n_modes == 1
