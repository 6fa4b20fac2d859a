"""What ``method="auto"`` decides, what it says, and what follows where the check of a method fails."""

import dataclasses
from types import SimpleNamespace
from typing import ClassVar

import jax
import numpy as np
import pytest
from posteriors import GROUPS, GROUPS_PRIOR, groups_handoff

import emjax
from emjax.bayes import choice as choice_module
from emjax.bayes import methods as methods_module
from emjax.bayes import sample as sample_module
from emjax.bayes.choice import choose_method
from emjax.bayes.laplace import resample
from emjax.bayes.methods import Attempt
from emjax.bayes.run import Run
from emjax.catalogue import SAMPLERS
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


def test_chains_over_very_many_data_are_spared_where_one_mode_is_nearly_normal(handoff):
    good, rough = (as_if(handoff, pareto_k=shape, one_mode=True) for shape in (0.31, 0.6))
    method, sentence = choose_method(good, spare_chains=True)
    assert method == "laplace"
    assert "chains over so many data would take long" in sentence
    assert choose_method(rough, spare_chains=True)[0] == "hmc"
    assert choose_method(as_if(handoff, pareto_k=0.31, one_mode=False), spare_chains=True)[0] == "hmc"
    assert set(SAMPLERS["laplace"].safer) == {"hmc", "gibbs", "nuts"}


def test_with_too_many_parameters_nuts_is_chosen(handoff, monkeypatch):
    monkeypatch.setattr(choice_module, "MOST_PARAMETERS", 2)
    method, sentence = choose_method(handoff)
    assert method == "nuts"
    assert "3 parameters are too many" in sentence


# --- what Hamiltonian Monte Carlo does by itself


class Sampler:
    """In place of the chains: what each attempt was asked for, and transitions of which a given share diverges."""

    more_careful = methods_module._HmcJob.more_careful

    def __init__(self, job, shares):
        self.job, self.shares, self.asked = job, iter(shares), []
        asked_for = job.target_accept_prob
        self.chains = SimpleNamespace(target_acceptance=np.asarray(asked_for or 0.85), dtype=float, recent=None)

    def draw(self, thin):
        self.asked.append((thin, float(self.chains.target_acceptance)))
        diverging = np.arange(1000) < 1000 * next(self.shares)
        statistics = {"diverging": diverging[None], "n_steps": np.full((1, 1000), 5.0 * thin)}
        return Run(np.zeros((1, 1000, 3)), statistics)

    def learn(self, flat):
        pass


def asked_for(monkeypatch, handoff, shares, *, draws=None, target_accept_prob=None, rhat=1.05):
    """Thinning and acceptance probability of each attempt of ``hmc`` that never suffices."""
    problem, _ = groups_handoff()
    settings = {"chains": None, "warmup": None, "draws": draws, "target_accept_prob": target_accept_prob}
    rng = np.random.default_rng(0)
    job = methods_module.Job(problem, handoff, jax.random.key(0), rng, **settings, dtype="float64", on_progress=None)
    made = []

    def make(job, chosen, starts):
        made.append(Sampler(job, shares))
        return made[0]

    monkeypatch.setattr(methods_module, "_HmcJob", make)
    runs = methods_module.attempts("hmc", job)
    found = None
    while True:
        try:
            runs.send(found)
        except StopIteration:
            return made[0].asked
        found = SimpleNamespace(max_rhat=rhat)


@pytest.mark.parametrize(
    ("shares", "settings", "expected"),
    [
        # Draws that do not suffice are taken at longer distances, and where they diverge by shorter steps as well.
        ([0.0] * 4, {}, [(1, 0.85), (2, 0.85), (8, 0.85), (32, 0.85)]),
        ([0.03, 0.0, 0.0, 0.0], {}, [(1, 0.85), (2, 0.95), (8, 0.95), (32, 0.95)]),
        ([0.03, 0.02, 0.02, 0.02], {}, [(1, 0.85), (2, 0.95), (8, 0.99), (32, 0.99)]),
        # What was asked for is kept to: the number of draws, and the acceptance probability.
        ([0.03, 0.0], {"draws": 100}, [(1, 0.85), (1, 0.95)]),
        ([0.03, 0.02, 0.02], {"draws": 100}, [(1, 0.85), (1, 0.95), (1, 0.99)]),
        ([0.0], {"draws": 100}, [(1, 0.85)]),
        ([0.03], {"draws": 100, "target_accept_prob": 0.8}, [(1, 0.8)]),
        # The longest attempt is for chains that can get there.
        ([0.0] * 3, {"rhat": 1.4}, [(1, 0.85), (2, 0.85), (8, 0.85)]),
    ],
)
def test_hmc_takes_the_cure_itself(shares, settings, expected, handoff, monkeypatch):
    assert asked_for(monkeypatch, handoff, shares, **settings) == [pytest.approx(each) for each in expected]


# --- what follows


class Unconjugate(emjax.Poisson):
    """As if the family had no conjugate law."""

    conjugate: ClassVar = {}


def run_auto(monkeypatch, good, family=None, method="auto", *, jumped=False):
    """The posterior where the methods in ``good`` give independent draws and the others chains that stand apart.

    ``jumped`` says whether ``hmc`` is as if its chains had jumped.
    """
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
        if jumped and method == "hmc":
            run.sample_stats["jumped"] = np.zeros((4, 1000), bool)
        yield Attempt(run, "starts")

    monkeypatch.setattr(sample_module, "attempts", attempts)
    said = []
    prior = emjax.Prior(family or emjax.Poisson(), 2, 1, GROUPS_PRIOR.laws)
    mixture = emjax.Mixture(prior.family, 2, prior)
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


def test_nuts_is_not_paid_for_where_chains_that_jumped_disagree(monkeypatch):
    posterior, tried, said = run_auto(monkeypatch, {"nuts"}, jumped=True)
    assert tried == ["hmc", "gibbs"]
    assert posterior.status == "not_converged"
    assert any(sentence.startswith("auto: nuts is left out") for sentence in said)
    assert said[-1].startswith("auto: no method gave a posterior to be trusted")


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
