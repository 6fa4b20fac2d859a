"""R-hat and nested R-hat on chains of known behaviour, and what else the diagnostics are told."""

import math

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from emjax.bayes.diagnostics import PosteriorStatus, assess
from emjax.bayes.rhat import nested_rhat, split_rhat

GROUPS = np.repeat(np.arange(8), 4)
DRAWS = 50


def chains(n_chains=32, n_draws=DRAWS, seed=0):
    return np.random.default_rng(seed).normal(size=(n_chains, n_draws))


def nested_by_hand(draws, groups):
    """Margossian et al., Bayesian Analysis 2024, equations 6 to 8, chain by chain."""
    superchains = [draws[groups == g] for g in np.unique(groups)]
    means = np.array([chain.mean() for chain in superchains])
    between = ((means - means.mean()) ** 2).sum() / (len(means) - 1)
    within = 0.0
    for group in superchains:
        of_means = sum((chain.mean() - group.mean()) ** 2 for chain in group) / (len(group) - 1)
        of_draws = sum(((chain - chain.mean()) ** 2).sum() / (len(chain) - 1) for chain in group) / len(group)
        within += (of_means + of_draws) / len(superchains)
    return math.sqrt(1.0 + between / within)


def normal_scores(draws):
    ranks = scipy.stats.rankdata(draws).reshape(draws.shape)
    return scipy.stats.norm.ppf((ranks - 0.375) / (draws.size + 0.25))


@pytest.mark.parametrize("shift", [0.0, 0.3, 2.0])
def test_nested_rhat_is_the_published_formula_on_ranks_and_folded_ranks(shift):
    draws = chains() + shift * np.random.default_rng(1).normal(size=8)[GROUPS][:, None]
    folded = np.abs(draws - np.median(draws))
    expected = max(nested_by_hand(normal_scores(part), GROUPS) for part in (draws, folded))
    assert nested_rhat(draws, GROUPS) == pytest.approx(expected, rel=1e-10)


def test_stationary_superchains_pass_and_others_do_not():
    assert nested_rhat(chains(), GROUPS) < 1.01
    assert nested_rhat(chains(), GROUPS) == pytest.approx(1.0 + 1.0 / (2 * 4 * DRAWS), abs=0.006)
    apart = chains() + 0.5 * GROUPS[:, None]
    assert nested_rhat(apart, GROUPS) > 1.2
    wider = chains() * np.where(GROUPS < 4, 1.0, 3.0)[:, None]
    assert nested_rhat(wider, GROUPS) > 1.05  # seen in the folded draws alone


def test_the_numbers_of_superchains_and_the_order_of_chains_do_not_matter():
    draws = chains() + 0.2 * GROUPS[:, None]
    order = np.random.default_rng(3).permutation(32)
    expected = nested_rhat(draws, GROUPS)
    assert nested_rhat(draws[order], 10 - GROUPS[order]) == pytest.approx(expected, rel=1e-12)
    # A monotone change of the quantity leaves the ranks, and so all but the folded part.
    assert nested_rhat(100 + 7 * draws, GROUPS) == pytest.approx(expected, rel=1e-12)


def test_chains_that_do_not_move_are_never_right():
    still = np.repeat(np.random.default_rng(0).normal(size=(32, 1)), DRAWS, axis=1)
    assert nested_rhat(still, GROUPS) == math.inf
    assert split_rhat(still) == math.inf


def test_split_rhat_sees_a_trend_in_one_chain_and_in_several():
    assert split_rhat(chains(4, 500)) < 1.01
    trend = chains(4, 500) + np.linspace(0.0, 2.0, 500)
    assert split_rhat(trend) > 1.1
    assert split_rhat(trend[:1]) > 1.1
    assert split_rhat(chains(1, 500)) < 1.02


# --- what the diagnostics are told


def judge(draws, **settings):
    return assess(xr.Dataset({"a": (("chain", "draw"), draws)}), xr.Dataset(), **settings)


def test_divergences_are_counted_also_where_they_are_not_judged():
    draws = chains(4, 1000)
    stats = xr.Dataset({"diverging": (("chain", "draw"), np.broadcast_to(np.arange(1000) < 50, (4, 1000)))})
    quantities = xr.Dataset({"quantity": (("chain", "draw"), draws)})
    judged = assess(quantities, stats)
    assert judged.status is PosteriorStatus.divergent
    counted = assess(quantities, stats, judge_divergences=False)
    assert counted.status is PosteriorStatus.converged
    assert (counted.n_divergent, counted.divergent_share) == (200, 0.05) == (judged.n_divergent, judged.divergent_share)
    assert (judged.divergences_judged, counted.divergences_judged) == (True, False)


def test_many_short_chains_are_judged_by_nested_rhat():
    draws = chains(32, DRAWS)
    (row,) = judge(draws, superchains=GROUPS).quantities
    assert row.rhat == pytest.approx(nested_rhat(draws, GROUPS), rel=1e-12)
    (other,) = judge(draws).quantities
    assert other.rhat == pytest.approx(split_rhat(draws), rel=1e-12)
    assert other.rhat != row.rhat
    # Superchains that stand apart are not converged, though each has mixed within itself.
    found = judge(draws + 0.5 * GROUPS[:, None], superchains=GROUPS)
    assert found.status is PosteriorStatus.not_converged
    assert found.max_rhat > 1.2


def test_effective_sample_sizes_cannot_exceed_those_of_the_weights():
    free = judge(chains(4, 1000))
    assert free.status is PosteriorStatus.converged
    assert free.min_ess_bulk > 1000
    bound = judge(chains(4, 1000), most_ess=123.0)
    assert bound.min_ess_bulk == bound.min_ess_tail == 123.0
    assert bound.status is PosteriorStatus.too_few_draws
    assert "123" in bound.reasons[0]


@pytest.mark.parametrize("status", [PosteriorStatus.not_converged, PosteriorStatus.unreliable])
def test_what_else_speaks_against_the_draws_decides(status):
    found = judge(chains(4, 1000), problems=[(status, "because of this"), (status, "and of that")])
    assert found.status is status
    assert found.reasons == ("because of this; and of that",)


def test_a_problem_joins_the_reasons_of_the_same_status():
    apart = chains(4, 1000) + np.arange(4)[:, None]
    problems = [(PosteriorStatus.not_converged, "a mode was missed"), (PosteriorStatus.unreliable, "k is large")]
    found = judge(apart, problems=problems)
    assert found.status is PosteriorStatus.unreliable
    assert found.reasons[0] == "k is large"
    assert "R-hat of a" in found.reasons[1]
    assert found.reasons[1].endswith("a mode was missed")
