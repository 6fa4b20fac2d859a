"""Every kind of method gives a complete outcome, failures stay with their replicate, and budgets are kept."""

import dataclasses
import importlib.util
import time
from types import SimpleNamespace

import numpy as np
import pytest
from job_specs import MODEL, job_spec
from scipy import stats

import emjax
from emjax.errors import ConfigError
from emjax.experiments.work.data import make_replicate
from emjax.experiments.work.methods import budgets, iterate_method
from emjax.experiments.work.methods.shared import TimeLimitReached, random_key, sample_arguments


def run_method(spec, replicates, **settings):
    return list(iterate_method(spec, replicates, **settings))


GRID = np.linspace(-20.0, 25.0, 4001)[:, np.newaxis]
CHEAP_EM = {"n_init": 4, "accelerate": "none", "intervals": "information"}


def replicates_of(spec):
    return [make_replicate(spec, number) for number in range(spec["first"], spec["stop"])]


def constant(replicate):
    """The replicate with data in which nothing can be estimated."""
    data = dataclasses.replace(replicate.data, values=np.full_like(replicate.data.values, 2.0))
    return dataclasses.replace(replicate, data=data)


def with_nan(replicate):
    """The replicate with one number missing."""
    values = np.array(replicate.data.values)
    values[0, 0] = np.nan
    return dataclasses.replace(replicate, data=dataclasses.replace(replicate.data, values=values))


def normal_mixture(named, x):
    """Log density and assignment probabilities by scipy, of one feature."""
    joint = named["weights"] * stats.norm.pdf(x, named["mean"][:, 0], named["scale"][:, 0])
    return np.log(joint.sum(axis=1)), joint / joint.sum(axis=1, keepdims=True)


def check_point_estimate(outcome, replicate):
    """What holds for any plug-in estimate of one feature and two components."""
    density, shares = normal_mixture(outcome.named, GRID[::40])
    np.testing.assert_allclose(outcome.log_density(GRID[::40]), density, rtol=1e-8)
    np.testing.assert_allclose(outcome.responsibilities(GRID[::40]), shares, atol=1e-8)
    total = outcome.log_density(replicate.data.values).sum()
    assert outcome.numbers["log_likelihood"] == pytest.approx(total, rel=1e-9)
    assert outcome.numbers["bic"] == pytest.approx(-2 * total + 5 * np.log(60), rel=1e-9)
    names = ["weights[0]", "weights[1]", "mean[0, x]", "mean[1, x]", "scale[0, x]", "scale[1, x]"]
    assert [parameter.name for parameter in outcome.parameters] == names
    flat = np.concatenate([np.ravel(values) for values in outcome.named.values()])
    np.testing.assert_allclose([parameter.estimate for parameter in outcome.parameters], flat)
    assert sorted(outcome.named["mean"][:, 0]) == pytest.approx([0.0, 5.0], abs=0.8)


# --- EM


@pytest.fixture(scope="module")
def em_outcomes():
    spec = job_spec("em", **CHEAP_EM, stop=3)
    first, second, third = replicates_of(spec)
    replicates = [first, constant(second), third]
    return spec, replicates, run_method(spec, replicates)


def test_em_gives_a_complete_outcome(em_outcomes):
    _, replicates, (outcome, _, other) = em_outcomes
    assert (outcome.status, outcome.trusted) == ("converged", True)
    check_point_estimate(outcome, replicates[0])
    check_point_estimate(other, replicates[2])
    for parameter in outcome.parameters:
        assert parameter.lower < parameter.estimate < parameter.upper
        assert parameter.se > 0
    assert outcome.numbers["intervals_withheld"] == 0
    assert outcome.numbers["n_evaluations"] > outcome.numbers["n_iter"] > 1
    assert outcome.numbers["n_optima"] >= 1
    assert outcome.numbers["spurious"] == 0
    assert outcome.run_seconds > 0
    assert outcome.compile_seconds >= 0


def test_the_intervals_of_em_are_those_that_were_asked_for():
    spec = job_spec("em", **{**CHEAP_EM, "intervals": "jackknife"}, resamples=30)
    replicate = replicates_of(spec)[0]
    (outcome,) = run_method(spec, [replicate])
    settings = {"n_init": CHEAP_EM["n_init"], "accelerate": CHEAP_EM["accelerate"]}
    key = random_key(spec, replicate.number)
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 2), replicate.data.values, key=key, **settings)
    found = fit.intervals(spec["level"], "jackknife", n_replicates=30, key=fit.key)
    assert found.replicates.n_replicates == 30
    for parameter in outcome.parameters:
        assert parameter.se == pytest.approx(found[parameter.name].se, rel=1e-2)


def test_lower_levels_have_intervals_of_the_same_method(em_outcomes):
    spec, (replicate, *_), (outcome, *_) = em_outcomes
    (found,) = run_method({**spec, "levels": [0.5]}, [replicate])
    (lower,) = run_method({**spec, "level": 0.5}, [replicate])
    assert outcome.parameters[0].lower_levels == ()
    for parameter, other, at_half in zip(found.parameters, outcome.parameters, lower.parameters, strict=True):
        assert (parameter.lower, parameter.upper) == (other.lower, other.upper)
        assert parameter.lower_levels == ((0.5, at_half.lower, at_half.upper),)


def test_em_fails_on_one_replicate_only(em_outcomes):
    _, _, (_, outcome, _) = em_outcomes
    assert (outcome.status, outcome.trusted) == ("failed", False)
    assert "constant" in outcome.message
    assert "\n" not in outcome.message
    assert outcome.log_density is None
    assert not outcome.parameters


def test_em_gives_the_same_numbers_again(em_outcomes):
    spec, replicates, outcomes = em_outcomes
    for again, outcome in zip(run_method(spec, replicates), outcomes, strict=True):
        assert again.parameters == outcome.parameters
        assert again.numbers == outcome.numbers


def test_em_without_intervals_keeps_within_its_evaluations():
    spec = job_spec("em", **{**CHEAP_EM, "intervals": "none"}, budget={"evaluations": 20}, name="short")
    for outcome in run_method(spec, replicates_of(spec)):
        assert outcome.status == "max_iter"
        assert not outcome.trusted
        assert outcome.numbers["max_iter"] == 3
        assert 3 < outcome.numbers["n_evaluations"] * 4 <= 20
        assert np.isnan([parameter.se for parameter in outcome.parameters]).all()
        assert "intervals_withheld" not in outcome.numbers


# --- samplers


@pytest.fixture(scope="module")
def hmc():
    spec = job_spec("hmc", draws=60, chains=8, stop=1, keep_draws=True)
    (replicate,) = replicates_of(spec)
    return spec, replicate, run_method(spec, [replicate, with_nan(replicate)])


@pytest.mark.slow
def test_hmc_gives_a_complete_outcome(hmc):
    _, replicate, (outcome, _) = hmc
    assert outcome.trusted == (outcome.status == "converged")
    np.testing.assert_allclose(np.trapezoid(np.exp(outcome.log_density(GRID)), GRID[:, 0]), 1.0, atol=1e-3)
    shares = outcome.responsibilities(replicate.data.values)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert np.mean(shares.argmax(axis=1) == replicate.data.labels) > 0.9
    drawn = outcome.tree["posterior"].to_dataset()
    assert dict(drawn.sizes) | {"chain": 8, "draw": 60} == dict(drawn.sizes)
    for parameter in outcome.parameters:
        assert parameter.lower < parameter.estimate < parameter.upper
    mean = next(parameter for parameter in outcome.parameters if parameter.name == "mean[1, x]")
    values = drawn["mean"].values[:, :, 1, 0]
    assert mean.estimate == pytest.approx(values.mean())
    assert mean.se == pytest.approx(values.std(ddof=1))
    assert (mean.lower, mean.upper) == pytest.approx(tuple(np.quantile(values, [0.05, 0.95])))
    np.testing.assert_allclose(outcome.named["mean"], drawn["mean"].values.mean(axis=(0, 1)))


@pytest.mark.slow
def test_hmc_gives_its_diagnostics(hmc):
    _, _, (outcome, _) = hmc
    assert set(outcome.numbers) == {
        "max_rhat", "min_ess", "pareto_k", "n_modes", "log_evidence", "alignment_trust", "n_optima", "n_evaluations",
        "divergences",
    }  # fmt: skip
    assert outcome.numbers["n_evaluations"] == outcome.tree["sample_stats"]["n_steps"].values.sum()
    assert 1.0 < outcome.numbers["max_rhat"] < 1.3
    assert outcome.numbers["alignment_trust"] > 0.5
    assert outcome.numbers["n_modes"] == 1


@pytest.mark.slow
def test_hmc_fails_on_one_replicate_only(hmc):
    _, _, (_, outcome) = hmc
    assert outcome.status == "failed"
    assert "NaN in row 0" in outcome.message


@pytest.mark.slow
def test_labels_that_are_not_identified_give_no_components(hmc):
    from emjax.experiments.work.methods import samplers

    spec, replicate, (identified, _) = hmc
    mixture = samplers.mixture_of(spec["model"], with_prior=True)
    key = samplers.random_key(spec, 0)
    posterior = samplers._Sampler(spec["method"], mixture, replicate, key).draw(None, 60)
    blurred = dataclasses.replace(posterior, alignment=dataclasses.replace(posterior.alignment, trust=0.49))
    outcome = samplers._outcome(blurred, 0.9, keep=False)
    assert outcome.named == {}
    assert outcome.parameters == ()
    assert outcome.responsibilities is None
    assert outcome.tree is None
    assert "labels are not identified" in outcome.message
    np.testing.assert_array_equal(outcome.log_density(GRID[:5]), identified.log_density(GRID[:5]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nuts", "gibbs", "laplace", "auto"])
def test_other_samplers_agree_with_hmc(hmc, kind):
    spec = job_spec(kind, stop=1, **({} if kind == "auto" else {"draws": 400}))
    (outcome,) = run_method(spec, [hmc[1]])
    assert outcome.log_density is not None
    for ours, theirs in zip(outcome.parameters, hmc[2][0].parameters, strict=True):
        assert ours.name == theirs.name
        assert ours.estimate == pytest.approx(theirs.estimate, abs=0.5 * theirs.se)
        assert 0.7 < ours.se / theirs.se < 1.4
    assert ("divergences" in outcome.numbers) == (kind in ("nuts", "auto"))
    assert outcome.numbers["n_evaluations"] > 0


@pytest.mark.slow
def test_a_verdict_is_given_where_it_was_asked_for():
    spec = job_spec("hmc", verdict=True, stop=1)
    (outcome,) = run_method(spec, replicates_of(spec))
    assert outcome.status == "converged"
    assert outcome.verdict in ("em_sufficient", "em_with_intervals", "mcmc_needed", "inconclusive")
    assert outcome.numbers["max_rhat"] <= 1.01


@pytest.mark.slow
def test_a_comparison_that_fails_costs_no_more_than_the_verdict(hmc, monkeypatch):
    from emjax.experiments.work.methods import samplers

    def refuse(*_, **__):
        raise ValueError("not these\ndraws")

    posterior = SimpleNamespace(mixture=SimpleNamespace(likelihood=None))
    monkeypatch.setattr(samplers.emjax, "fit", refuse)
    assert samplers._verdict(posterior, hmc[1], None, 0.9) == (None, "No verdict: not these draws")


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"kind": "hmc"}, {"kind": "nuts", "chains": 2}, {"kind": "gibbs"}])
def test_samplers_keep_within_their_evaluations(settings):
    spec = job_spec(**settings, budget={"evaluations": 20_000}, keep_draws=True, stop=1)
    (outcome,) = run_method(spec, replicates_of(spec))
    assert 0.5 < outcome.numbers["budget_used"] <= 1.0
    stats = outcome.tree["sample_stats"].to_dataset()
    assert stats.sizes["draw"] == outcome.numbers["draws"]
    kept = stats["n_steps"].values.sum() if "n_steps" in stats else stats.sizes["chain"] * stats.sizes["draw"]
    assert kept <= 20_000


def test_what_rows_of_the_prior_weigh_goes_from_the_config_to_the_sampler():
    method = job_spec("bootstrap", pseudo_rows=2.5)["method"]
    assert sample_arguments(method)["pseudo_rows"] == 2.5
    assert sample_arguments(job_spec("bootstrap")["method"])["pseudo_rows"] is None


# --- peers


@pytest.mark.parametrize("estimator", ["GaussianMixture", "BayesianGaussianMixture"])
def test_sklearn_gives_a_complete_outcome(estimator):
    spec = job_spec("sklearn", estimator=estimator)
    replicates = replicates_of(spec)
    for replicate, outcome in zip(replicates, run_method(spec, replicates), strict=True):
        assert (outcome.status, outcome.trusted) == ("converged", True)
        check_point_estimate(outcome, replicate)
        assert outcome.numbers["n_iter"] >= 1
        assert outcome.compile_seconds == 0
        assert outcome.run_seconds > 0


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_sklearn_has_every_covariance(covariance):
    data = {
        "kind": "simulate",
        "weights": [0.5, 0.5],
        "mean": [[0.0, 0.0], [6.0, 6.0]],
        "scale": [[1.0, 2.0], [2.0, 1.0]],
        "n_samples": 200,
    }
    spec = job_spec("sklearn", data=data, model={**MODEL, "covariance": covariance}, stop=1)
    replicates = replicates_of(spec)
    (outcome,) = run_method(spec, replicates)
    x, named = replicates[0].data.values, outcome.named
    correlation = named.get("correlation", np.broadcast_to(np.eye(2), (2, 2, 2)))
    assert ("correlation" in named) == (covariance in ("full", "tied"))
    matrices = correlation * named["scale"][:, :, None] * named["scale"][:, None, :]
    joint = [
        weight * stats.multivariate_normal(mean, matrix).pdf(x)
        for weight, mean, matrix in zip(named["weights"], named["mean"], matrices, strict=True)
    ]
    np.testing.assert_allclose(outcome.log_density(x), np.log(np.sum(joint, axis=0)), rtol=1e-6)
    n_parameters = {"full": 11, "tied": 8, "diag": 9, "spherical": 7}[covariance]
    bic = -2 * outcome.numbers["log_likelihood"] + n_parameters * np.log(200)
    assert outcome.numbers["bic"] == pytest.approx(bic)


def test_sklearn_that_does_not_converge_says_so():
    spec = job_spec("sklearn", max_iter=1, tol=1e-12, init_params="random")
    for outcome in run_method(spec, replicates_of(spec)):
        assert (outcome.status, outcome.trusted) == ("max_iter", False)
        assert "1 iterations" in outcome.message
        assert outcome.log_density is not None


def test_sklearn_keeps_within_its_budget():
    spec = job_spec("sklearn", n_init=2, tol=0.0, init_params="random", budget={"evaluations": 10})
    (outcome,) = run_method(spec, replicates_of(spec)[:1])
    assert outcome.numbers["n_iter"] == outcome.numbers["max_iter"] == 4


def test_sklearn_has_normal_components_only():
    model = {"family": "poisson", "n_components": 2, "prior": "default"}
    with pytest.raises(ConfigError, match=r"methods\.sklearn: scikit-learn has normal components only"):
        run_method(job_spec("sklearn", model=model), [])


def test_sklearn_that_is_missing_is_named(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sklearn" else found(name))
    with pytest.raises(ConfigError, match="pip install scikit-learn"):
        run_method(job_spec("sklearn"), [])


# --- what all share


def test_a_failed_replicate_leaves_the_others_as_they_are():
    spec = job_spec("sklearn", stop=3)
    first, second, third = replicates_of(spec)
    alone = run_method(spec, [third])[0]
    outcomes = run_method(spec, [first, with_nan(second), third])
    assert [outcome.status for outcome in outcomes] == ["converged", "failed", "converged"]
    assert outcomes[1].message.startswith("ValueError: Input X contains NaN")
    assert "\n" not in outcomes[1].message
    assert outcomes[2].parameters == alone.parameters


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, TypeError])
def test_what_is_no_replicates_fault_is_raised(monkeypatch, error):
    from emjax.experiments.work.methods import peers

    def fail(*_):
        raise error

    monkeypatch.setattr(peers, "_run", fail)
    with pytest.raises(error):
        run_method(job_spec("sklearn"), replicates_of(job_spec("sklearn")))


def test_the_deadline_is_looked_at_between_replicates(monkeypatch):
    from emjax.experiments.work.methods import peers

    spec = job_spec("sklearn", stop=3)
    run, done = peers._run, []

    def slowly(*arguments):
        done.append(arguments)
        monkeypatch.setattr(time, "monotonic", lambda: 10.0 + len(done))
        return run(*arguments)

    monkeypatch.setattr(peers, "_run", slowly)
    monkeypatch.setattr(time, "monotonic", lambda: 10.0)
    with pytest.raises(TimeLimitReached, match=r"after 2 of 3 replicates: raise execution\.time_limit"):
        run_method(spec, replicates_of(spec), deadline=11.5)
    assert len(done) == 2


def test_an_unknown_kind_is_refused():
    spec = job_spec("sklearn")
    with pytest.raises(ConfigError, match="'vb' is not one of 'em', 'map'"):
        run_method({**spec, "method": {"kind": "vb"}}, [])


# --- budgets


def test_auto_has_no_budget():
    with pytest.raises(ConfigError, match="name the sampler"):
        budgets.evaluations_of({"kind": "auto", "budget": {"evaluations": 10}})


def test_em_iterations_leave_room_for_the_evaluations_besides():
    method = {"kind": "em", "n_init": 5, "max_iter": 1000, "tol": 1e-6, "accelerate": "none"}
    assert budgets.em_iterations(method) == 1000
    method["budget"] = {"evaluations": 500}
    assert budgets.em_iterations(method) == 98
    assert budgets.em_iterations({**method, "max_iter": 20}) == 20
    assert budgets.em_iterations({**method, "accelerate": "anderson"}) == 46
    with pytest.raises(ConfigError, match="give at least 15, or lower n_init"):
        budgets.em_iterations({**method, "budget": {"evaluations": 14}})
    assert budgets.em_iterations({**method, "budget": {"evaluations": 15}}) == 1


def test_draws_fit_into_the_evaluations():
    method = {"kind": "hmc", "budget": {"evaluations": 10_000}}
    warmup, draws = budgets.draws_by_evaluations(method, chains=4, warmup=200, per_iteration=3.0)
    assert (warmup, draws) == (200, 633)
    assert 4 * 3 * (warmup + draws) <= 10_000 < 4 * 3 * (warmup + draws + 1)
    # A warm-up left open takes half of what there is; one that was asked for is kept.
    small = {**method, "budget": {"evaluations": 1200}}
    assert budgets.draws_by_evaluations(small, chains=4, warmup=200, per_iteration=3.0) == (50, 50)
    assert budgets.draws_by_evaluations(small, chains=4, warmup=200, per_iteration=3.0, warmups=2) == (25, 50)
    with pytest.raises(ConfigError, match="give at least 2520"):
        budgets.draws_by_evaluations({**small, "warmup": 200}, chains=4, warmup=200, per_iteration=3.0)
    assert budgets.draws_by_evaluations({**method, "draws": 30}, chains=4, warmup=200, per_iteration=3.0) == (200, 30)
