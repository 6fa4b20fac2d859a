"""A truth that is drawn from the prior, anew for every replicate."""

import dataclasses

import numpy as np
import pytest

import emjax
from emjax.errors import ConfigError
from emjax.experiments import make_plan
from emjax.experiments.config.mixtures import mixture_of
from emjax.experiments.config.schema import Study
from emjax.experiments.work import prior_truth
from emjax.experiments.work.data import make_replicate
from emjax.experiments.work.measures import measure
from emjax.experiments.work.methods.shared import with_prior_of
from emjax.experiments.work.outcome import Outcome


def spec_of(data, **model):
    study = Study(data={"kind": "prior", **data}, model={"n_components": 2, **model}, methods=[{"kind": "map"}])
    return make_plan(study).jobs[0].spec


def test_every_replicate_has_parameters_of_its_own_from_one_prior():
    spec = spec_of({"n_samples": 40, "holdout": 5})
    first, second, again = (make_replicate(spec, number) for number in (0, 1, 0))
    assert first.truth.drawn
    assert first.truth.named["mean"].shape == (2, 1)
    assert not np.array_equal(first.truth.named["mean"], second.truth.named["mean"])
    np.testing.assert_array_equal(first.data.values, again.data.values)
    np.testing.assert_array_equal(first.holdout.values, again.holdout.values)
    assert first.holdout.shape == (5, 1)
    # The prior is the same for all data: it is scaled by none of them.
    mixture = mixture_of(spec["model"], with_prior=True)
    priors = [with_prior_of(spec, mixture, replicate.data).prior for replicate in (first, second)]
    for site in priors[0]:
        assert repr(priors[0][site]) == repr(priors[1][site])


def test_ranks_do_not_depend_on_how_components_are_numbered():
    replicate = make_replicate(spec_of({"n_samples": 40, "holdout": 5}), 0)
    truth = replicate.truth.named
    draws = {name: np.stack([truth[name] - 1.0, truth[name] + 1.0, truth[name] + 2.0]) for name in ("mean", "scale")}
    turned = {name: values[:, ::-1] for name, values in draws.items()}
    rows = [
        [row for row in measure(replicate, Outcome("converged", family="normal", draws=each), 0.9) if "rank" in row[0]]
        for each in (draws, turned)
    ]
    assert rows[0] == rows[1]
    assert {(quantity, value) for quantity, _, value in rows[0]} == {("rank", 1.5 / 4), ("rank_spread", 0.25)}
    fixed = dataclasses.replace(replicate, truth=dataclasses.replace(replicate.truth, drawn=False))
    assert not any("rank" in row[0] for row in measure(fixed, Outcome("converged", draws=draws), 0.9))


def test_no_truth_is_drawn_from_a_law_that_does_not_integrate(monkeypatch):
    flat = emjax.Mixture(emjax.Normal(), 2, {"mean": emjax.laws.Flat()})
    monkeypatch.setattr(prior_truth, "mixture_for", lambda *_, **__: flat)
    prior_truth._mixture.cache_clear()
    with pytest.raises(ConfigError, match=r"prior\['mean'\] is Flat"):
        prior_truth.law_of_prior({"model": {}, "n_features": 1}, np.random.default_rng(0))


def test_counts_are_scaled_by_a_data_set_that_is_named():
    spec = spec_of({"scaled_by": "deaths"}, family="poisson")
    assert spec["data"]["n_features"] == 1
    assert (spec["data"]["model"]["family"], spec["data"]["scaled_by"]) == ("poisson", "deaths")


@pytest.mark.parametrize(
    ("data", "model", "problem"),
    [
        ({}, {"family": "poisson"}, "need data.scaled_by, a bundled data set"),
        ({}, {"prior": "none"}, "model.prior = 'none' leaves method"),
        ({"scaled_by": "faithfull"}, {}, "did you mean 'faithful'"),
    ],
)
def test_a_prior_that_is_not_there_is_refused(data, model, problem):
    with pytest.raises((ValueError, ConfigError), match=problem):
        spec_of(data, **model)
