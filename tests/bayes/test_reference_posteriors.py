"""The long reference posteriors of tests/reference/posteriors: complete, of emjax's model, and what their code gives.

Their code shares nothing with emjax, so that a test of a sampler against them is a test against another program.
"""

import dataclasses
import importlib
import itertools
import json
import sys
from pathlib import Path
from types import ModuleType

import jax
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import emjax

FOLDER = Path(__file__).resolve().parents[1] / "reference" / "posteriors"
CASES = ("faithful", "galaxies", "iris", "overlapping")
MINIMAL_ESS = {"faithful": 20_000, "galaxies": 20_000, "iris": 4_000, "overlapping": 9_000}
INVARIANTS = {
    *(f"log_density[{anchor}]" for anchor in range(5)),
    *("log_likelihood", "largest_weight", "smallest_weight", "weight_entropy", "total_variance"),
}


@pytest.fixture(scope="module")
def modules():
    """The modules of the folder, which import each other by name, as they do when ``make.py`` is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        names = ("make", "posterior_algorithms", "posterior_cases", "posterior_model")
        yield {name: importlib.import_module(name) for name in names}
        for name in names:
            del sys.modules[name]


def read(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def build(modules: dict[str, ModuleType], name: str):
    case = modules["posterior_cases"].CASES[name]
    return case, modules["posterior_model"].build_model(case.data(), case.n_components)


@pytest.mark.parametrize("name", CASES)
def test_a_reference_is_complete_and_precise(name: str):
    reference = read(name)
    quantities = reference["quantities"]
    assert quantities.keys() >= INVARIANTS
    for quantity in quantities.values():
        values, errors = np.transpose([quantity["mean"], quantity["sd"], *quantity["quantiles"].values()])
        assert np.isfinite(values).all()
        assert (errors > 0).all()
        assert (np.delete(errors, 1) < 0.1 * values[1]).all()
        assert list(quantity["quantiles"]) == ["0.05", "0.25", "0.5", "0.75", "0.95"]
        assert (np.diff(values[2:]) > 0).all()
        assert quantity["rhat"] < 1.007
        assert min(quantity["ess_bulk"], quantity["ess_tail"]) > MINIMAL_ESS[name]


@pytest.mark.parametrize("name", CASES)
def test_three_algorithms_agree_on_a_reference(name: str):
    checks = read(name)["checks"]
    assert checks["importance"]["farthest"][0] < 4.5
    assert checks["importance"]["ess"] > 500
    if checks["pilot"]["largest_rhat"] < 1.01:  # without jumps two of the cases need far longer runs than the pilot's
        assert checks["pilot"]["farthest"][0] < 4.5
    else:
        assert name in ("iris", "overlapping")


@pytest.mark.parametrize("name", CASES)
def test_a_reference_has_the_default_prior_of_emjax(modules, name: str):
    case, _ = build(modules, name)
    settings = read(name)["settings"]
    prior = emjax.Mixture(emjax.Normal(), case.n_components).default_prior(case.data())
    assert settings["prior"]["concentration"] == prior.concentration.tolist()
    assert settings["prior"]["precision"] == prior["mean"].precision
    assert settings["prior"]["degrees_of_freedom"] == prior["covariance"].degrees_of_freedom
    np.testing.assert_allclose(settings["prior"]["mean"], prior["mean"].mean, rtol=1e-12)
    np.testing.assert_allclose(settings["prior"]["scatter"], prior["covariance"].scatter, rtol=1e-12)
    rows = settings["anchors"]["rows"]
    np.testing.assert_allclose(settings["anchors"]["values"], case.data()[rows], rtol=1e-12)


@pytest.mark.parametrize("name", ["faithful", "galaxies", "iris"])
def test_a_reference_has_the_data_of_emjax(modules, name: str):
    case, _ = build(modules, name)
    assert np.array_equal(case.data(), emjax.datasets.load(name).values[:, list(case.columns)])


def test_the_simulated_data_are_those_of_the_recipe(modules):
    cases = modules["posterior_cases"]
    assert np.array_equal(cases.CASES["overlapping"].data()[:, 0], cases.simulate_overlapping())


def test_the_densities_are_those_of_emjax(modules, x64):
    """Prior and likelihood of one draw in four dimensions, by both programs."""
    model_of, algorithms = modules["posterior_model"], modules["posterior_algorithms"]
    case, model = build(modules, "iris")
    rng = np.random.default_rng(2)
    statistics = algorithms.starting_statistics(rng, model, 1)
    draws = model_of.draw_parameters(rng, model_of.conjugate(model, statistics))
    likelihoods = model_of.log_density(model_of.log_joint(draws, model.features))[0]
    mixture = emjax.Mixture(emjax.Normal(), case.n_components)
    root, values = draws.root[0], case.data()
    params = mixture.params(
        weights=np.exp(draws.log_weights[0]),
        mean=draws.mean[0] + model.shift,
        covariance=root @ np.swapaxes(root, -1, -2),
    )
    found = jax.jit(lambda one: (mixture.log_prob(one, values), mixture.log_prior(one, mixture.default_prior(values))))
    log_prob, log_prior = found(params)
    np.testing.assert_allclose(log_prob, likelihoods, rtol=1e-9)
    assert float(log_prior) == pytest.approx(algorithms.prior(model).log_density(draws)[0], rel=1e-10)


def test_jumps_are_proposed_from_the_density_they_are_weighed_by(modules):
    """The proposal against SciPy's densities, where components overlap and every order of labels counts."""
    algorithms = modules["posterior_algorithms"]
    _, model = build(modules, "overlapping")
    rng = np.random.default_rng(5)
    statistics = algorithms.starting_statistics(rng, model, 6)
    proposal = algorithms.build_proposal(rng, model, statistics[:, None], 6)
    draws = proposal.draw(rng, 4)
    given, weights, means = proposal.members, np.exp(draws.log_weights), draws.mean[..., 0]
    variances = draws.root[..., 0, 0] ** 2
    for i in range(4):
        terms = [
            np.log(proposal.shares[s] / 6)
            + stats.dirichlet.logpdf(weights[i], given.concentration[s, order])
            + stats.invgamma.logpdf(
                variances[i], given.degrees[s, order] / 2, scale=given.root[s, order, 0, 0] ** 2 / 2
            ).sum()
            + stats.norm.logpdf(
                means[i], given.mean[s, order, 0], np.sqrt(variances[i] / given.precision[s, order])
            ).sum()
            for s in range(len(proposal.shares))
            for order in map(list, itertools.permutations(range(3)))
        ]
        assert proposal.log_density(draws)[i] == pytest.approx(logsumexp(terms), abs=1e-8)


def test_a_short_run_gives_the_reference(modules):
    """The tempered sampler and the one with jumps, each within six standard errors of the file, and each other's."""
    make, algorithms = modules["make"], modules["posterior_algorithms"]
    case, model = build(modules, "faithful")
    case = dataclasses.replace(case, betas=(1.0, 0.5), chains=32, warmup=50, labellings=30)
    tempered = algorithms.run(model, case, 200, seed=11)
    proposal = algorithms.build_proposal(np.random.default_rng(12), model, tempered.statistics, case.labellings)
    jumped = algorithms.run(model, dataclasses.replace(case, betas=(1.0,)), 200, seed=13, proposal=proposal)
    assert jumped.jumps_accepted > 0.3
    reference = read("faithful")["quantities"]
    for draws in (tempered.quantities, jumped.quantities):
        found = make.distances({name: make.summarize(values) for name, values in draws.items()}, reference)
        distance, where = make.farthest(found)
        assert len(found) == 6 * len(reference)
        assert distance < 6, where
