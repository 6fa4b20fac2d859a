"""What ``method="auto"`` decides, what it says, and what follows where the check of a method fails."""

import dataclasses

import jax
import numpy as np
import pytest
from posteriors import GROUPS, GROUPS_PRIOR, groups_handoff

import emjax
from emjax.bayes import choice as choice_module
from emjax.bayes import sample as sample_module
from emjax.bayes.choice import choose_method
from emjax.bayes.laplace import resample
from emjax.bayes.methods import Attempt
from emjax.errors import ConfigError

pytestmark = pytest.mark.usefixtures("x64")


@pytest.fixture(scope="module")
def handoff():
    return groups_handoff()[1]


def as_if(handoff, *, pareto_k, one_mode):
    which = np.zeros_like(handoff.sample.which) if one_mode else handoff.sample.which
    modes = handoff.modes
    if one_mode:
        modes = dataclasses.replace(modes, modes=modes.modes[:1])
    sample = dataclasses.replace(handoff.sample, pareto_k=pareto_k, which=which, mixture=modes)
    return dataclasses.replace(handoff, sample=sample)


@pytest.mark.parametrize(
    ("pareto_k", "one_mode", "words", "absent"),
    [
        (0.31, True, ["one mode", "the Laplace approximation is good", "0.31"], "jumps"),
        (0.31, False, ["hmc with jumps", "2 modes", "describes"], "rough"),
        (0.93, True, ["learns its metric from draws", "one mode", "rough", "0.93"], "jumps"),
        (0.93, False, ["learns its metric and jumps", "2 modes", "rough"], "good"),
    ],
)
def test_the_decision_says_what_was_found(pareto_k, one_mode, words, absent, handoff):
    method, sentence = choose_method(as_if(handoff, pareto_k=pareto_k, one_mode=one_mode))
    assert method == "hmc"
    assert sentence.startswith("auto: hmc")
    assert all(word in sentence for word in words)
    assert absent not in sentence
    assert "limit 0.7" in sentence


def test_with_too_many_parameters_nuts_is_chosen(handoff, monkeypatch):
    monkeypatch.setattr(choice_module, "MOST_PARAMETERS", 2)
    method, sentence = choose_method(handoff)
    assert method == "nuts"
    assert "3 parameters are too many" in sentence


def test_a_prior_that_tells_components_apart_is_for_nuts(handoff):
    method, sentence = choose_method(handoff, exchangeable=False)
    assert method == "nuts"
    assert "tells components apart" in sentence


# --- what follows


class Unconjugate(emjax.Poisson):
    """As if the family had no draw of its components."""

    conjugate = False


def run_auto(monkeypatch, good, family=None, method="auto"):
    """The posterior where the methods in ``good`` give independent draws and the others chains that stand apart."""
    tried = []

    def attempts(method, job):
        tried.append(method)
        run = resample(job.handoff.sample, job.rng, 4, 1000)
        if method not in good:
            order = np.argsort(run.sample_stats["lp"].ravel())
            flat = run.flat.reshape(-1, 3)[order].reshape(run.flat.shape)
            run = dataclasses.replace(
                run, flat=flat, sample_stats={"lp": np.sort(run.sample_stats["lp"].ravel()).reshape(4, 1000)}
            )
        yield Attempt(run, "starts")

    monkeypatch.setattr(sample_module, "attempts", attempts)
    said = []
    mixture = emjax.Mixture(family or emjax.Poisson(), 2, GROUPS_PRIOR)
    posterior = emjax.sample(mixture, GROUPS, key=jax.random.key(0), method=method, on_decision=said.append)
    return posterior, tried, said


def test_a_choice_that_holds_is_kept(monkeypatch):
    posterior, tried, said = run_auto(monkeypatch, {"hmc", "gibbs", "nuts"})
    assert tried == ["hmc"]
    assert posterior.method == "hmc"
    assert posterior.status == "converged"
    assert tuple(said) == posterior.decision
    assert len(said) == 2
    assert said[1].startswith("auto: the check of hmc passed (R-hat 1.00")


@pytest.mark.parametrize(("good", "expected"), [({"gibbs", "nuts"}, "gibbs"), ({"nuts"}, "nuts")])
def test_where_the_check_fails_the_next_safer_method_follows(good, expected, monkeypatch):
    posterior, tried, said = run_auto(monkeypatch, good)
    order = ["hmc", "gibbs", "nuts"]
    assert tried == order[: order.index(expected) + 1]
    assert posterior.method == expected
    assert posterior.status == "converged"
    assert said[1].startswith("auto: the check of hmc failed (R-hat of ")
    assert said[1].endswith("; gibbs follows.")
    assert said[-1].startswith(f"auto: the check of {expected} passed")
    assert tuple(said) == posterior.decision


def test_where_no_method_is_good_it_is_said(monkeypatch):
    posterior, tried, said = run_auto(monkeypatch, set())
    assert tried == ["hmc", "gibbs", "nuts"]
    assert posterior.status == "not_converged"
    assert said[-1].startswith("auto: no method gave a posterior to be trusted")
    assert f"the draws of {posterior.method} are the least bad" in said[-1]


def test_a_method_that_was_named_is_not_left(monkeypatch):
    posterior, tried, said = run_auto(monkeypatch, {"gibbs"}, method="hmc")
    assert tried == ["hmc"]
    assert posterior.status == "not_converged"
    assert said == []
    assert posterior.decision == ()


def test_gibbs_is_never_run_for_a_family_that_is_not_conjugate(monkeypatch):
    posterior, tried, said = run_auto(monkeypatch, {"nuts"}, Unconjugate())
    assert tried == ["hmc", "nuts"]
    assert posterior.method == "nuts"
    assert not any("gibbs" in sentence for sentence in said)
    with pytest.raises(ConfigError, match="conjugate"):
        run_auto(monkeypatch, {"gibbs"}, Unconjugate(), method="gibbs")
