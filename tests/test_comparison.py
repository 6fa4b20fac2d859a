"""`compare`: hand-made posteriors whose agreement with EM is known.

A hand-made posterior holds independent normal draws around EM's own estimates with EM's own covariance, so EM is right
by construction; shifting or spreading the draws makes it wrong by a known amount, without a sampler.
"""

import dataclasses
import json
import math

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import emjax
from emjax import Mixture, Normal, comparison
from emjax.bayes.diagnostics import PosteriorStatus, assess
from emjax.bayes.draws import describe_draws
from emjax.bayes.posterior import Posterior, _mean_log_density
from emjax.bayes.tree import to_tree
from emjax.bayes.visits import PosteriorMode, PosteriorModes
from emjax.comparison import ParameterRow
from emjax.metrics import side
from emjax.metrics.predictive import total_variation
from emjax.report.tables import invariant_table
from emjax.samples import as_samples
from emjax.uncertainty import information
from emjax.verdict import Limits, Thresholds

pytestmark = pytest.mark.runs_numpyro

ROW_KEYS = [
    "name",
    "em",
    "se",
    "em_lower",
    "em_upper",
    "map",
    "mean",
    "sd",
    "lower",
    "upper",
    "difference_in_sd",
    "width_ratio",
    "mass_in_em_interval",
]
NAMES = ["weights[0]", "weights[1]", "mean[0, x]", "mean[1, x]", "scale[0, x]", "scale[1, x]"]
FREE = [0, 2, 3, 4, 5]
CHAINS, DRAWS = 4, 500


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(-3.0, 1.0, 180), rng.normal(3.0, 1.5, 120)])


@pytest.fixture(scope="module")
def mixture():
    return Mixture(Normal("full"), 2)


@pytest.fixture(scope="module")
def fit(mixture, x):
    return emjax.fit(mixture, x, key=jax.random.key(0), n_init=4, accelerate="none")


def modes(fit, *masses, visited=(), pareto_k=0.1):
    """Modes at EM's estimate with these shares of the posterior; ``visited`` by as large a share of the draws."""
    found = [
        PosteriorMode(
            params=fit.params,
            objective=fit.objective,
            log_density=fit.objective - place,
            laplace_mass=mass,
            mass=mass,
            visited=share,
            visited_by_chain=(share,) * CHAINS,
            n_starts=place + 1,
        )
        for place, (mass, share) in enumerate(zip(masses, visited or masses, strict=True))
    ]
    return PosteriorModes(tuple(found), pareto_k=pareto_k, importance_ess=900.0, log_evidence=-700.0)


def hand_made(fit, *, shift=None, spread=1.0, flip=(), seed=0):
    """A posterior of independent draws: EM's normal approximation, moved by ``shift`` standard deviations (by name),
    spread by a factor, and, for the chains in ``flip``, with the labels exchanged. Chains may get shifts of their own,
    ``(CHAINS,)``."""
    intervals = fit.intervals(method="information")
    covariance = intervals.covariance[np.ix_(FREE, FREE)]
    centre = np.array([intervals.rows[i].estimate for i in FREE])
    noise = np.random.default_rng(seed).normal(size=(CHAINS, DRAWS, len(FREE)))
    noise = (noise - noise.mean(axis=(0, 1))) / noise.std(axis=(0, 1))
    theta = centre + spread * noise @ np.linalg.cholesky(covariance).T
    for name, by in (shift or {}).items():
        place = FREE.index(NAMES.index(name))
        theta[..., place] += np.reshape(by, (-1, 1)) * np.sqrt(covariance[place, place])
    weights = np.stack([theta[..., 0], 1 - theta[..., 0]], axis=-1)
    mean, scale = theta[..., 1:3], theta[..., 3:5]
    for chain in flip:
        weights[chain], mean[chain], scale[chain] = (value[chain][:, ::-1].copy() for value in (weights, mean, scale))
    params = fit.params.replace(weights=weights, mean=mean[..., None], covariance=scale[..., None, None] ** 2)
    with jax.enable_x64(True):
        described = describe_draws(fit.mixture, params, fit, fit.samples)
    stored = {name: (("chain", "draw", *"abc"[: v.ndim - 2]), v) for name, v in described.stored.items()}
    diagnostics = assess(xr.Dataset(stored), xr.Dataset())
    return Posterior(
        sampled=to_tree(described.stored, {}, described.log_likelihood, fit.data, fit.feature_names),
        params=described.flat_params,
        mixture=fit.mixture,
        prior_note="Hand-made.",
        map_fit=fit,
        alignment=described.alignment,
        diagnostics=diagnostics,
        modes=modes(fit, 1.0),
        decision=(),
        starts_note="",
        method="hand",
        compile_seconds=1.0,
        run_seconds=2.0,
    )


@pytest.fixture(scope="module")
def same(fit):
    """The posterior that EM describes perfectly."""
    return hand_made(fit)


@pytest.fixture(scope="module")
def agreed(fit, same, x):
    return emjax.compare(fit, same, x)


def row(comparison, name):
    return next(row for row in comparison.rows if row.name == name)


# --- verdicts -----------------------------------------------------------------------------------------------


def test_a_posterior_like_em_s_own_is_sufficient(agreed):
    assert agreed.verdict == "em_sufficient"
    assert agreed.invariants["total_variation"]["value"] < 0.015
    assert agreed.invariants["co_clustering"]["mean_difference"] < 0.005
    for one in agreed.rows:
        assert abs(one.difference_in_sd) < 0.01
        assert one.sd == pytest.approx(one.se, rel=0.05)
        assert one.width_ratio == pytest.approx(1.0, abs=0.1)
        assert one.mass_in_em_interval == pytest.approx(0.9, abs=0.03)


def test_a_shift_is_measured_in_posterior_sds_and_moves_the_verdict(fit, x):
    between = emjax.compare(fit, hand_made(fit, shift={"mean[0, x]": 0.7}), x)
    assert between.verdict == "em_with_intervals"
    assert row(between, "mean[0, x]").difference_in_sd == pytest.approx(-0.7, abs=0.02)
    assert "mean[0, x]" in between.reasons[0]
    # A normal that is 0.7 sd off keeps 82% of its mass in an interval for 90%.
    assert row(between, "mean[0, x]").mass_in_em_interval == pytest.approx(0.818, abs=0.03)
    beyond = emjax.compare(fit, hand_made(fit, shift={"mean[0, x]": -2.0}), x)
    assert beyond.verdict == "mcmc_needed"
    assert row(beyond, "mean[0, x]").difference_in_sd == pytest.approx(2.0, abs=0.05)
    assert abs(row(beyond, "mean[1, x]").difference_in_sd) < 0.3


def test_a_spread_is_a_width_ratio_and_moves_the_verdict(fit, x):
    comparison = emjax.compare(fit, hand_made(fit, spread=1.4), x)
    assert comparison.verdict == "em_with_intervals"
    assert row(comparison, "mean[1, x]").width_ratio == pytest.approx(1 / 1.4, rel=0.07)
    assert "width" in " ".join(comparison.reasons)


def test_chains_that_disagree_give_no_verdict(fit, x):
    posterior = hand_made(fit, shift={"mean[1, x]": np.array([0.0, 0.0, 0.0, 1.0])})
    assert posterior.status == "not_converged"
    comparison = emjax.compare(fit, posterior, x)
    assert comparison.verdict == "inconclusive"
    assert comparison.reasons[0].startswith("The posterior cannot be trusted")
    assert "R-hat" in comparison.reasons[0]


@pytest.mark.parametrize("status", [status for status in emjax.Status if status != "converged"])
def test_an_em_that_did_not_converge_gives_no_verdict(status, fit, same, x):
    comparison = emjax.compare(dataclasses.replace(fit, status=status), same, x)
    assert comparison.verdict == "inconclusive"
    assert comparison.reasons[0] == f"EM cannot be trusted: {status.message}"
    json.dumps(comparison.to_dict(), allow_nan=False)


@pytest.fixture(scope="module")
def with_prior(x):
    """EM under the default prior, and the posterior that it describes perfectly."""
    map_fit = emjax.fit(
        Mixture(Normal("full"), 2, prior="default"), x, key=jax.random.key(0), n_init=4, accelerate="none"
    )
    return map_fit, hand_made(map_fit)


def test_where_only_the_prior_differs_the_verdict_is_on_the_map(with_prior, fit, mixture, x):
    map_fit, posterior = with_prior
    mean = fit.params.mean + 3 * np.array([[row.se] for row in fit.intervals(method="information").rows[2:4]])
    moved = dataclasses.replace(fit, params=fit.params.replace(mean=mean))
    comparison = emjax.compare(moved, posterior, x)
    assert comparison.judgements["em"].verdict == "mcmc_needed"
    assert (comparison.judged, comparison.verdict) == ("map", "em_sufficient")
    assert comparison.sentence.startswith("EM with the prior (MAP) is enough")
    assert comparison.reasons[0].startswith("The prior, not the algorithm: maximum likelihood")
    said = " ".join(comparison.reasons)
    assert "emjax.fit(Mixture(..., prior='default'), x), or --prior default on the command line" in said
    effect = comparison.prior_effect
    assert effect["parameter"].startswith("mean[")
    assert effect["em_to_map"] == pytest.approx(3.0, abs=0.5)
    assert effect["map_to_posterior"] < 0.05
    assert f"moves {effect['parameter']} by {effect['em_to_map']:.2f} posterior sd" in said
    assert comparison.fit is map_fit
    np.testing.assert_array_equal(comparison.given.params.mean, mean)
    content = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    found = content["diagnostics"]["em"]["judgement"]
    assert (found["judged"], found["of"]["em"]["verdict"]) == ("map", "mcmc_needed")
    assert found["of"]["map"]["rules"] == []
    assert found["prior_effect"] == pytest.approx(effect)
    assert comparison.sentence in comparison._repr_html_()


def test_a_collapsed_maximum_likelihood_leaves_the_verdict_to_the_map(with_prior, fit, x):
    _, posterior = with_prior
    for status, verdict in (("degenerate", "em_sufficient"), ("max_iter", "inconclusive")):
        comparison = emjax.compare(dataclasses.replace(fit, status=emjax.Status(status)), posterior, x)
        assert comparison.verdict == verdict
    assert comparison.judged == "em"


def test_a_map_fit_is_judged_alone_and_both_failing_need_mcmc(with_prior, fit, x):
    map_fit, posterior = with_prior
    alone = emjax.compare(map_fit, posterior, x)
    assert (alone.judged, set(alone.judgements)) == ("em", {"em"})
    assert alone.reasons[-1].startswith("EM was run with the posterior's prior (MAP)")
    beyond = emjax.compare(fit, hand_made(map_fit, shift={"mean[0, x]": -2.0}), x)
    assert beyond.verdict == beyond.judgements["map"].verdict == "mcmc_needed"
    assert "it is not the prior alone" in beyond.reasons[-1]


def test_a_regular_rival_optimum_needs_mcmc_a_spurious_one_does_not(fit, same, x):
    best = fit.optima[0]
    rival = dataclasses.replace(best, objective=best.objective - 1.5, log_likelihood=best.log_likelihood - 1.5)
    comparison = emjax.compare(dataclasses.replace(fit, optima=(best, rival)), same, x)
    assert comparison.verdict == "mcmc_needed"
    assert "1.50 nats" in comparison.reasons[0]
    ignored = dataclasses.replace(rival, spurious=True)
    assert emjax.compare(dataclasses.replace(fit, optima=(best, ignored)), same, x).verdict == "em_sufficient"


def test_a_second_mode_of_the_posterior_needs_mcmc(fit, same, x):
    said = "EM's point estimate leaves out a mode with 23% of the posterior."
    for found in (modes(fit, 0.77, 0.23), modes(fit, 0.9, 0.1, visited=(0.77, 0.23), pareto_k=0.9)):
        comparison = emjax.compare(fit, dataclasses.replace(same, modes=found), x)
        assert comparison.verdict == "mcmc_needed"
        assert comparison.reasons[0] == said
    # Importance weights that can be believed outrank the draws, which may have been few; and a trifle is no mode.
    small = modes(fit, 0.96, 0.04, visited=(0.8, 0.2))
    assert emjax.compare(fit, dataclasses.replace(same, modes=small), x).verdict == "em_sufficient"


def test_modes_and_decision_are_among_the_diagnostics(fit, same, x):
    found = modes(fit, 0.96, 0.04, visited=(1.0, 0.0))
    posterior = dataclasses.replace(same, modes=found, decision=("auto: hmc, because.", "auto: passed."))
    content = emjax.compare(fit, posterior, x).to_dict()["diagnostics"]["posterior"]
    assert content["decision"] == ["auto: hmc, because.", "auto: passed."]
    assert (content["n_modes"], content["pareto_k"], content["log_evidence"]) == (2, 0.1, -700.0)
    assert content["modes"][1] == {
        "log_density": pytest.approx(fit.objective - 1),
        "laplace_mass": 0.04,
        "mass": 0.04,
        "n_empty": 0,
        "visited": 0.0,
        "n_starts": 2,
    }


def test_without_labels_the_prior_is_not_blamed_component_by_component(fit, same, x):
    blurred = dataclasses.replace(same, alignment=dataclasses.replace(same.alignment, trust=0.1))
    comparison = emjax.compare(fit, blurred, x)
    assert comparison.verdict == "mcmc_needed"
    assert "mean[" not in " ".join(comparison.reasons)
    assert "labels are not identified" in comparison.reasons[-1]


def test_thresholds_are_arguments(fit, same, x):
    strict = Thresholds(sufficient=Limits(1e-6, 1e-6, 1e-6, 1e-6, 1e-6))
    assert emjax.compare(fit, same, x, thresholds=strict).verdict == "em_with_intervals"


# --- the table ----------------------------------------------------------------------------------------------


def test_the_table_is_a_data_frame_of_the_rows(agreed, fit):
    assert isinstance(agreed.table, pd.DataFrame)
    assert list(agreed.table.columns) == ROW_KEYS
    assert list(agreed.table["name"]) == NAMES
    assert [field.name for field in dataclasses.fields(ParameterRow)] == ROW_KEYS
    found = fit.intervals(level=0.9)
    for one, interval in zip(agreed.rows, found.rows, strict=True):
        assert (one.em, one.se, one.em_lower, one.em_upper) == pytest.approx(
            (interval.estimate, interval.se, interval.lower, interval.upper), rel=1e-9
        )


def test_the_posterior_s_columns_are_those_of_its_draws(agreed, same):
    draws = same.sampled["posterior"]["scale"].values[:, :, 1, 0].ravel()
    one = row(agreed, "scale[1, x]")
    assert one.mean == pytest.approx(draws.mean(), rel=1e-12)
    assert one.sd == pytest.approx(draws.std(ddof=1), rel=1e-12)
    assert (one.lower, one.upper) == pytest.approx(tuple(np.quantile(draws, [0.05, 0.95])), rel=1e-12)
    inside = ((draws >= one.em_lower) & (draws <= one.em_upper)).mean()
    assert one.mass_in_em_interval == pytest.approx(inside, abs=1e-12)
    assert one.width_ratio == pytest.approx((one.em_upper - one.em_lower) / (one.upper - one.lower), rel=1e-12)
    assert one.difference_in_sd == pytest.approx((one.em - one.mean) / one.sd, rel=1e-9)
    assert one.map == pytest.approx(one.em, rel=1e-12)


def test_components_of_em_in_another_order_give_the_same_table(agreed, fit, same, x, mixture):
    turned = dataclasses.replace(fit, params=mixture.permute(fit.params, np.array([1, 0])))
    comparison = emjax.compare(turned, same, x)
    assert comparison.verdict == agreed.verdict
    for one, other in zip(agreed.rows, comparison.rows, strict=True):
        assert one.name == other.name
        ours, theirs = dataclasses.astuple(one)[1:], dataclasses.astuple(other)[1:]
        np.testing.assert_allclose(theirs, ours, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(comparison.fit.params.weights, fit.params.weights)


def test_chains_with_exchanged_labels_give_the_same_table(agreed, fit, x):
    posterior = hand_made(fit, flip=(1, 2))
    assert posterior.alignment.permutations.reshape(CHAINS, DRAWS, 2)[1, 0].tolist() == [1, 0]
    comparison = emjax.compare(fit, posterior, x)
    for one, other in zip(agreed.rows, comparison.rows, strict=True):
        np.testing.assert_allclose(dataclasses.astuple(other)[1:], dataclasses.astuple(one)[1:], rtol=1e-9, atol=1e-9)


def test_a_level_is_the_level_of_both_sides(fit, same, x):
    comparison = emjax.compare(fit, same, x, level=0.5)
    assert comparison.level == 0.5
    one = row(comparison, "mean[0, x]")
    assert one.mass_in_em_interval == pytest.approx(0.5, abs=0.04)
    assert one.em_upper - one.em == pytest.approx(0.6745 * one.se, rel=1e-3)
    for level in (0.0, 1.0, 1.5):
        with pytest.raises(ValueError, match="level"):
            emjax.compare(fit, same, x, level=level)


# --- invariants ---------------------------------------------------------------------------------------------


def test_total_variation_agrees_with_a_sum_over_a_grid(fit, x):
    comparison = emjax.compare(fit, hand_made(fit, shift={"mean[0, x]": 8.0}), x)
    grid = np.linspace(-12, 14, 5001)
    em, predictive = np.exp(fit.score_samples(grid)), np.exp(comparison.posterior.log_predictive(grid))
    expected = 0.5 * np.abs(em - predictive).sum() * (grid[1] - grid[0])
    found = comparison.invariants["total_variation"]
    assert expected > 0.1
    assert abs(found["value"] - expected) < 4 * found["standard_error"] + 0.003
    assert comparison.verdict == "mcmc_needed"


def test_scores_are_those_of_the_two_densities(agreed, fit, same, x):
    scores = agreed.invariants["log_score"]
    assert scores["em"] == pytest.approx(fit.log_likelihood / len(x), rel=1e-12)
    assert scores["posterior_predictive"] == pytest.approx(same.log_predictive(x).mean(), rel=1e-12)
    assert scores["difference"] == pytest.approx(scores["em"] - scores["posterior_predictive"], abs=1e-12)
    assert agreed.invariants["bic"] == pytest.approx(-2 * fit.log_likelihood + 5 * np.log(len(x)), rel=1e-12)
    loo = agreed.invariants["elpd_loo"]
    # A regular model pays about one nat per parameter, once in sample and once more left out.
    assert fit.log_likelihood - loo["value"] == pytest.approx(5.0, abs=3.0)
    assert loo["n_pareto_k_high"] == 0


def test_a_notebook_shows_the_verdict_and_numbers_that_can_be_trusted(agreed, same):
    shown = agreed._repr_html_()
    assert agreed.verdict.sentence in shown
    assert all(f">{row.name}</th>" in shown for row in agreed.rows)
    assert ">posterior ± sd</th>" in shown
    bad = dataclasses.replace(same.diagnostics, status=PosteriorStatus.not_converged)
    doubtful = dataclasses.replace(agreed, posterior=dataclasses.replace(same, diagnostics=bad))._repr_html_()
    assert ">posterior ± sd</th>" not in doubtful
    assert PosteriorStatus.not_converged.message in doubtful


def test_the_verdict_does_not_need_loo(agreed, fit, same, x):
    short = emjax.compare(fit, same, x, key=agreed.key, loo=False)
    assert short.invariants == {**agreed.invariants, "elpd_loo": None}
    assert (short.verdict, short.reasons) == (agreed.verdict, agreed.reasons)
    assert "PSIS-LOO" not in invariant_table(short.invariants).text
    assert "PSIS-LOO" in invariant_table(agreed.invariants).text


def test_total_variation_is_that_of_the_metrics(fit, same):
    points = np.linspace(-6, 6, 50)
    distance = total_variation(fit.score_samples(points), same.log_predictive(points))
    assert 0 <= distance.value < 0.02


def test_what_is_built_ahead_is_what_the_comparison_needs(agreed, fit, same, x):
    programs = [comparison._one_point_each, side._responsibilities, _mean_log_density]
    programs += [information._derivatives_of_few]
    for program in programs:
        program.clear_cache()
    comparison.build_ahead(fit)
    built = [program._cache_size() for program in programs]
    assert built == [1, 1, 1, 2], "the information is that of the likelihood and that of the MAP"
    assert emjax.compare(fit, same, x, key=agreed.key).to_dict() == agreed.to_dict()
    assert [program._cache_size() for program in programs] == built


# --- in and out ---------------------------------------------------------------------------------------------


def test_json_has_the_keys_of_the_public_contract(agreed, tmp_path):
    path = agreed.to_json(tmp_path / "comparison.json")

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    content = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert set(content) == {
        "verdict",
        "reasons",
        "parameters",
        "invariants",
        "diagnostics",
        "cost",
        "level",
    }
    assert content["verdict"] == "em_sufficient"
    assert content["reasons"] == list(agreed.reasons)
    assert [list(one) for one in content["parameters"]] == [ROW_KEYS] * len(NAMES)
    assert [one["name"] for one in content["parameters"]] == NAMES
    assert content["parameters"][2]["em"] == agreed.rows[2].em
    assert set(content["invariants"]) == {"total_variation", "co_clustering", "log_score", "elpd_loo", "bic"}
    assert set(content["diagnostics"]) == {"em", "map", "posterior", "alignment"}
    assert set(content["cost"]) == {"em", "mcmc"}
    assert content["diagnostics"]["em"]["status"] == "converged"
    assert content["diagnostics"]["alignment"]["trust"] == agreed.posterior.alignment.trust


def test_what_is_not_a_number_becomes_null(agreed):
    broken = dataclasses.replace(
        agreed, rows=(dataclasses.replace(agreed.rows[0], se=math.nan, upper=math.inf), *agreed.rows[1:])
    )
    first = broken.to_dict()["parameters"][0]
    assert first["se"] is None
    assert first["upper"] is None
    assert first["em"] == agreed.rows[0].em
    json.dumps(broken.to_dict(), allow_nan=False)


def test_cost_keeps_compile_and_run_apart(agreed, fit):
    cost = agreed.cost
    assert cost["em"]["compile_seconds"] == fit.compile_seconds
    assert cost["em"]["run_seconds"] == fit.run_seconds
    assert (cost["mcmc"]["compile_seconds"], cost["mcmc"]["run_seconds"]) == (1.0, 2.0)
    assert cost["mcmc"]["method"] == "hand"


def test_a_key_is_drawn_and_kept_and_gives_the_same_comparison(agreed, fit, same, x):
    assert emjax.compare(fit, same, x, key=agreed.key).to_dict() == agreed.to_dict()
    for key in (None, jax.random.key(99)):
        other = emjax.compare(fit, same, x, key=key, loo=False)
        assert other.rows == agreed.rows
        assert other.invariants["total_variation"] != agreed.invariants["total_variation"]


def test_what_does_not_belong_together_is_refused(fit, same, x):
    with pytest.raises(ValueError, match="not the data"):
        emjax.compare(fit, same, x + 1.0)
    with pytest.raises(ValueError, match="not the data"):
        emjax.compare(fit, same, x[:-1])
    with pytest.raises(ValueError, match="not the data that fit was made from"):
        emjax.compare(dataclasses.replace(fit, samples=as_samples(fit.data + 1.0)), same, x)
    for other in (Mixture(Normal("diag"), 2), Mixture(Normal("full"), 3)):
        with pytest.raises(ValueError, match="same mixture"):
            emjax.compare(dataclasses.replace(fit, mixture=other), same, x)


def test_the_last_reason_tells_the_prior_s_effect_from_the_algorithm_s(agreed, fit, same, x, mixture):
    assert agreed.reasons[-1].startswith("The prior by itself moves EM's estimate by 0.00 standard errors")
    moved = dataclasses.replace(
        fit, params=mixture.params(weights=[0.5, 0.5], mean=[-3.0, 3.0], scale=fit.params.scale)
    )
    comparison = emjax.compare(fit, dataclasses.replace(same, map_fit=moved), x)
    gaps = {one.name: abs(one.map - one.em) / one.se for one in comparison.rows}
    largest = max(gaps, key=lambda name: (gaps[name], name))
    assert f"{gaps[largest]:.2f} standard errors" in comparison.reasons[-1]
    assert row(comparison, "weights[0]").map == 0.5
    by_map = dataclasses.replace(fit, mixture=Mixture(Normal("full"), 2, prior="default"))
    assert "MAP" in emjax.compare(by_map, same, x).reasons[-1]
