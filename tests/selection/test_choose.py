"""Who says which number of components, and how sure."""

import dataclasses
import math

import numpy as np
import pytest

import emjax
from emjax.bayes.diagnostics import PosteriorStatus
from emjax.selection import choose, uniform
from emjax.selection.choice import _candidates, _of_criteria, _of_evidence, _of_loo, _of_posterior
from emjax.selection.evidence import Evidence, EvidenceEstimate
from emjax.selection.number_posterior import NumberPosterior
from emjax.selection.number_priors import NumberPrior
from emjax.selection.selection import Candidate, Selection
from emjax.selection.votes import Choice, OfNumber, Vote

COUNTS = np.array([0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 4.0, 14.0, 17.0, 18.0, 21.0, 24.0])
RATES = {"rate": emjax.laws.Gamma(2.0, 0.2)}


def evidence(value, error=0.01, trusted=True):
    return Evidence((EvidenceEstimate("bridge", value, error, trusted),), None)


def of_number(k, value, **given):
    return OfNumber(k, evidence(value, **given), {"value": -10.0, "standard_error": 1.0, "n_pareto_k_high": 0})


def test_the_evidence_is_as_sure_as_equal_odds_make_it():
    found = [(of_number(1, -12.0), None), (of_number(2, -10.0), None), (of_number(3, -11.0), None)]
    vote = _of_evidence(found)
    shares = np.exp([-12.0, -10.0, -11.0])
    assert vote.n_components == 2
    assert vote.sure == pytest.approx(shares[1] / shares.sum())
    # The error of a probability, against draws of the three evidences.
    drawn = np.exp([-12.0, -10.0, -11.0] + 0.01 * np.random.default_rng(0).standard_normal((20_000, 3)))
    assert vote.error == pytest.approx((drawn[:, 1] / drawn.sum(axis=1)).std(), rel=0.03)
    vote = _of_evidence([*found[:2], (of_number(3, -1.0, trusted=False), None)])
    assert vote.n_components == 2
    assert vote.note == "without 3, of which none can be trusted"
    assert _of_evidence(found[:1]).n_components is None


def test_psis_loo_is_as_sure_as_the_difference_of_pairs():
    rng = np.random.default_rng(1)
    base = rng.normal(-2.0, 1.0, 100)
    gaps = rng.normal(0.02, 0.1, 100)
    rough = dataclasses.replace(of_number(2, 0.0), loo={"value": 0.0, "standard_error": 1.0, "n_pareto_k_high": 3})
    vote = _of_loo([(of_number(1, 0.0), base), (rough, base + gaps), (of_number(3, 0.0), None)])
    assert vote.n_components == 2
    z = gaps.sum() / (gaps.std(ddof=1) * 10.0)
    assert vote.sure == pytest.approx(0.5 * (1.0 + math.erf(z / math.sqrt(2.0))))
    assert vote.note == "without 3, of which none can be trusted; rows of high Pareto k: 2 (3)"
    assert _of_loo([(of_number(1, 0.0), base)]).n_components is None


@pytest.fixture(scope="module")
def swept():
    return emjax.select(COUNTS, family=emjax.Poisson(), n_components=[1, 2, 3], key=0)


def test_criteria_are_as_sure_as_their_weights(swept):
    bic, aic, icl = _of_criteria(list(swept.candidates))
    values = np.array([each.value("bic") for each in swept.candidates])
    shares = np.exp(-0.5 * (values - values.min()))
    assert [vote.who for vote in (bic, aic, icl)] == ["BIC", "AIC", "ICL"]
    assert bic.n_components == values.argmin() + 1 == 2
    assert bic.sure == pytest.approx(1.0 / shares.sum())
    failed = Candidate("poisson", emjax.Poisson(), 4, None, "why")
    assert _of_criteria([failed])[0].n_components is None


def test_what_has_no_say_is_told_and_not_counted():
    assert [vote.n_components for vote in _of_posterior(None, "no conjugate prior")] == [None, None]
    votes = (Vote("BIC", 2, 0.9, side="EM"), Vote("evidence", 2, 0.8, error=0.1), *_of_posterior(None, "why"))
    choice = Choice("poisson", votes, (of_number(2, -3.0),), None, True)
    assert choice.agree is True
    assert choice.message == "All agree: 2 by BIC and evidence."
    assert "why" in choice.tabulated().text
    assert choice.by_number().rows[0][3].text == "—"
    disagreeing = dataclasses.replace(choice, votes=(*votes, Vote("ICL", 1, 0.6, side="EM")))
    assert disagreeing.agree is False
    assert disagreeing.message == "They disagree: 1 by ICL; 2 by BIC and evidence."
    silent = dataclasses.replace(choice, votes=votes[2:])
    assert silent.agree is None
    assert silent.message == "Nothing has a say that can be trusted."


def number_posterior(p_all, p_held, prior, error=0.001):
    """A posterior of the number that says so, and nothing else."""
    known = {field.name: None for field in dataclasses.fields(NumberPosterior)}
    p_all, p_held, prior = (np.array([*each, *np.zeros(30 - len(each))]) for each in (p_all, p_held, prior))
    known |= {"p_components": p_all, "p_components_error": np.full(30, error), "p_clusters": p_held}
    known |= {"p_clusters_error": np.full(30, error), "status": PosteriorStatus.converged, "reasons": ()}
    return NumberPosterior(**{**known, "prior_components": prior, "number_prior": NumberPrior("as told", prior)})


EVEN = np.full(30, 1 / 30)
OUTSIDE = "of p(K+), which is highest at 14, lies outside the numbers that were tried (1 to 3), of which the evidence "


@pytest.mark.parametrize(
    ("p_all", "prior", "same_prior", "expected"),
    [
        # As of acidity under one variance, but more so: one in ten thousand is left for the numbers that were sampled.
        (
            [0.0, 0.00005, 0.00005, *np.full(10, 0.0499), 0.5009],
            EVEN,
            False,
            [f"100.0% {OUTSIDE}prefers 2: under its prior of the parameters the data raise their odds 1,111 times"],
        ),
        # The data say nothing, and the prior of the number has nine tenths there.
        (
            [0.02, 0.05, 0.03, *np.full(10, 0.02), 0.7],
            EVEN,
            False,
            [f"90.0% {OUTSIDE}prefers 2: its prior of the number, as told, has 90.0% there, and the data hardly"],
        ),
        ([0.1, 0.2, 0.7], EVEN, False, ["prefers 2 and p(K) 3, both beyond their errors: they have different priors"]),
        ([0.1, 0.2, 0.7], [0.1, 0.1, 0.8], True, ["beyond their errors: the prior of the number, as told, outweighs"]),
        ([0.1, 0.2, 0.7], EVEN, True, ["the priors are the same, so one of them has not found all"]),
        ([0.1, 0.8, 0.1], EVEN, True, []),
        ([0.1, 0.448, 0.452], EVEN, True, []),
    ],
)
def test_what_cannot_be_read_together_is_said_with_its_likeliest_reason(p_all, prior, same_prior, expected):
    posterior = number_posterior(p_all, p_all, prior, error=0.002)
    numbers = tuple(of_number(k, value) for k, value in ((1, -12.0), (2, -10.0), (3, -11.0)))
    choice = Choice("tied", (Vote("BIC", 2, 0.9, side="EM"),), numbers, posterior, same_prior)
    assert len(choice.warnings) == len(expected)
    for warning, words in zip(choice.warnings, expected, strict=True):
        assert words in warning
        assert warning in " ".join(choice.tabulated().text.split())
        assert warning in choice._card().alerts


def test_nothing_is_said_of_what_is_not_known():
    far = number_posterior([0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0], EVEN)
    numbers = (of_number(1, -12.0), of_number(2, -10.0), of_number(3, -11.0))
    choice = Choice("tied", (), numbers, far, False)
    assert "beyond all that was drawn" in choice.warnings[0]
    doubtful = dataclasses.replace(far, status=PosteriorStatus.not_converged)
    assert dataclasses.replace(choice, number_posterior=doubtful).warnings == ()
    assert dataclasses.replace(choice, number_posterior=None).warnings == ()
    untrusted = (of_number(1, -12.0), of_number(2, -10.0, trusted=False))
    assert dataclasses.replace(choice, numbers=untrusted).warnings == ()
    # Of a Dirichlet process; and an evidence is as well known as its error says.
    sticks = dataclasses.replace(far, p_components=None, prior_components=None)
    assert "Dirichlet process" in dataclasses.replace(choice, number_posterior=sticks).warnings[0]
    near = tuple(of_number(k, value, error=0.4) for k, value in ((1, -12.0), (2, -10.0), (3, -11.0)))
    inside = number_posterior([0.1, 0.2, 0.7], [0.1, 0.2, 0.7], EVEN)
    assert dataclasses.replace(choice, numbers=near, number_posterior=inside).warnings == ()
    assert dataclasses.replace(choice, number_posterior=inside).warnings != ()


def test_what_cannot_be_asked_is_refused_in_one_line(swept):
    with pytest.raises(emjax.ConfigError, match=r"give what emjax\.select returns"):
        choose(COUNTS)
    with pytest.raises(emjax.ConfigError, match="is not one of"):
        choose(swept, model="tied")
    with pytest.raises(emjax.ConfigError, match="two are the fewest"):
        choose(Selection(swept.candidates[:1], "bic"))


def test_numbers_that_likelihood_alone_has_too_few_data_for_are_sampled(swept):
    refused = [dataclasses.replace(swept.candidates[0], n_components=number, fit=None) for number in (2, 12, 13)]
    found, like = _candidates(Selection((swept.candidates[0], *refused), "bic"), None)
    assert [each.n_components for each in found] == [1, 2, 12]  # of 12 rows
    assert like is swept.candidates[0].fit


@pytest.mark.slow
@pytest.mark.runs_numpyro
def test_evidence_and_telescoping_give_the_same_probabilities(swept):
    """Under one prior they are two ways to one thing that share no draw: ``p(K | x)``."""
    told = []
    found = choose(swept, prior=RATES, number=uniform(3), key=0, on_progress=lambda *one: told.append(one))
    assert found.same_prior
    assert [one[:2] for one in told] == [(place, 4) for place in range(5)]
    logs = np.array([one.log_evidence for one in found.numbers])
    shares = np.exp(logs - logs.max())
    shares /= shares.sum()
    posterior = found.number_posterior
    assert posterior.status is PosteriorStatus.converged
    errors = [one.log_evidence_error for one in found.numbers]
    allowed = 4.0 * np.hypot(posterior.p_components_error, shares * np.linalg.norm(errors))
    assert (np.abs(posterior.p_components - shares) < allowed + 1e-6).all()
    votes = {vote.who: vote for vote in found.votes}
    assert list(votes) == ["BIC", "AIC", "ICL", "evidence", "PSIS-LOO", "p(K)", "p(K+)"]
    assert votes["evidence"].n_components == votes["p(K)"].n_components == 3
    assert votes["BIC"].n_components == votes["p(K+)"].n_components == 2
    assert votes["evidence"].sure == pytest.approx(votes["p(K)"].sure, abs=0.03)
    assert 0.5 < votes["PSIS-LOO"].sure <= 1.0
    assert len(found.by_number().rows) == 3
