"""Components that labels of rows or the prior tell apart: in their declared order, against the sum over labellings."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
from posteriors import rows_of
from scipy.special import gammaln

import emjax
from emjax import laws
from emjax.bayes import handoff as handoff_module
from emjax.bayes.handoff import Handoff, hand_off
from emjax.bayes.jumps import labelling_jumps
from emjax.bayes.problem import Problem, prepare
from tests.bayes.test_weights_and_holes import check_agreement

COUNTS = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 9.0, 12.0])[:, None]
FEW = np.where(np.arange(8) == 6, 0, -1)
"""One of the larger counts is known to be of the first component."""

ALPHA, SHAPE, RATE = np.array([1.5, 3.0]), np.array([2.0, 5.0]), np.array([0.5, 0.6])
PRIOR = {"weights": laws.Dirichlet(ALPHA), "rate": laws.Gamma(SHAPE[:, None], RATE[:, None])}
TOLD_APART = emjax.Mixture(emjax.Poisson(), 2, PRIOR)

CLUSTERS = np.array([2.0, 3.0, 4.0, 3.0, 30.0, 33.0])[:, None]
LEANING = emjax.Mixture(emjax.Poisson(), 2, {"weights": laws.Dirichlet(ALPHA)})
"""Nothing but the weights' prior says which cluster is the first component, and it says little."""


@dataclasses.dataclass(frozen=True)
class Exact:
    """``log p(x, labels)``, the means of the parameters, the chance that the last datum is of the first component."""

    log_evidence: float
    weights: np.ndarray
    rate: np.ndarray
    last: float


def exact(mixture: emjax.Mixture, x: np.ndarray, labels: np.ndarray) -> Exact:
    """The sum over all labellings that agree with the labels; everything else integrates out."""
    prior = mixture.resolved_prior(x)
    alpha, shape, rate = prior.concentration, np.ravel(prior["rate"].shape), np.ravel(prior["rate"].rate)
    z = np.array(list(itertools.product(range(2), repeat=len(x))))
    z = z[((labels < 0) | (z == labels)).all(axis=1)]
    counts = np.stack([(z == k).sum(axis=1) for k in range(2)], axis=1)
    sums = np.stack([(z == k) @ x[:, 0] for k in range(2)], axis=1)
    a, b = shape + sums, rate + counts
    log_joint = (gammaln(alpha + counts) - gammaln(alpha)).sum(axis=1)
    log_joint += (shape * np.log(rate) - gammaln(shape) + gammaln(a) - a * np.log(b)).sum(axis=1)
    log_joint += gammaln(alpha.sum()) - gammaln(alpha.sum() + len(x)) - gammaln(x + 1.0).sum()
    log_evidence = float(np.logaddexp.reduce(log_joint))
    chance = np.exp(log_joint - log_evidence)
    weights = chance @ ((alpha + counts) / (alpha.sum() + len(x)))
    return Exact(log_evidence, weights, chance @ (a / b), float(chance @ (z[:, -1] == 0)))


def handed_off(mixture: emjax.Mixture, x: np.ndarray, init: object = None, **given: object) -> tuple[Problem, Handoff]:
    with jax.enable_x64(True):
        samples = mixture.samples(x, n_components=mixture.n_components, **given)
        problem = prepare(mixture.resolved(samples), samples)
        return problem, hand_off(problem, jax.random.key(0), init, np.random.default_rng(0))


@pytest.fixture(scope="module")
def leaning() -> tuple[Problem, Handoff]:
    return handed_off(LEANING, CLUSTERS)


slow = pytest.mark.slow


@pytest.mark.parametrize("method", ["hmc", "laplace", *(pytest.param(one, marks=slow) for one in ("gibbs", "nuts"))])
def test_the_posterior_is_the_sum_over_the_labellings_that_agree(method: str):
    posterior = emjax.sample(TOLD_APART, COUNTS, labels=FEW, method=method, key=1)
    assert posterior.converged, posterior.message
    assert posterior.alignment.method == "none"
    expected = exact(TOLD_APART, COUNTS, FEW)
    assert posterior.modes.log_evidence == pytest.approx(expected.log_evidence, abs=0.05)
    for draws, mean in ((posterior.params.weights, expected.weights), (posterior.params.rate[..., 0], expected.rate)):
        error = draws.std(axis=0) / posterior.diagnostics.min_ess_bulk**0.5
        np.testing.assert_array_less(np.abs(draws.mean(axis=0) - mean), 4 * error)


def test_each_order_of_the_components_is_a_mode_with_its_own_mass(leaning):
    _, handoff = leaning
    expected = exact(LEANING, CLUSTERS, np.full(6, -1))
    assert handoff.sample.log_evidence + handoff.constant == pytest.approx(expected.log_evidence, abs=0.02)
    high = [mode.optimum.params.rate[0, 0] > 10 for mode in handoff.modes.modes]
    assert sorted(high) == [False, True]
    assert handoff.masses[high.index(True)] == pytest.approx(expected.last, abs=0.03)


def test_an_order_that_no_start_of_em_came_to_is_found(leaning, monkeypatch):
    problem, handoff = leaning
    only = dataclasses.replace(handoff.map_fit, optima=handoff.map_fit.optima[:1])
    with jax.enable_x64(True):
        (found, other), points = handoff_module._in_all_orders(problem, handoff.evaluate, only)
        assert len(points) == 2
        np.testing.assert_array_equal(other.params.rate, found.params.rate[::-1])
        assert other.count == 0
        # EM's objective at the exchanged parameters: what the prior of the weights makes of them.
        prior = problem.mixture.prior
        differ = float(prior.log_prob(other.params) - prior.log_prob(found.params))
    assert differ != 0.0
    assert other.objective - found.objective == pytest.approx(differ, abs=1e-9)
    assert other.log_likelihood == pytest.approx(found.log_likelihood, abs=1e-9)


def test_a_fit_to_begin_with_does_not_decide_the_order():
    known = np.array([0, -1, -1, -1, 1, -1])
    fit = emjax.fit(emjax.Mixture(emjax.Poisson(), 2), CLUSTERS, key=0, init=np.array([[31.0], [3.0]]))
    assert fit.params.rate[0, 0] > 10
    _, handoff = handed_off(LEANING, CLUSTERS, init=fit, labels=known)
    assert handoff.map_fit.params.rate[0, 0] < 10


def test_labellings_that_jumps_are_made_of_keep_the_labels(leaning):
    _, handoff = leaning
    evaluate = handoff.evaluate
    rows = dataclasses.replace(rows_of(CLUSTERS), labels=np.log(np.eye(2)[[0, 1, 0, 1, 0, 1]] + 1e-300))
    with jax.enable_x64(True):
        points = handoff.modes.centers
        jumps = labelling_jumps(evaluate.target, evaluate.data, rows, points, jax.random.key(0), 50, ((1.0, 0.9),))
        moments = np.asarray(jumps.moments)[:-1]
        np.testing.assert_array_equal(moments, np.broadcast_to([[3.0, 36.0], [3.0, 39.0]], moments.shape))


def two_normals() -> tuple[np.ndarray, np.ndarray]:
    """Clusters that overlap, the first of them on the right, and the labels of a fifth: no order of means gives them."""
    rng = np.random.default_rng(0)
    truth = (rng.random(200) < 0.4).astype(int)
    return np.where(truth == 1, -1.0, 1.0)[:, None] + rng.normal(size=(200, 1)), np.where(np.arange(200) < 40, truth, -1)


def test_a_fit_is_aligned_only_where_nothing_says_which_component_is_which():
    x, labels = two_normals()
    mixture = emjax.Mixture(emjax.Normal("diag"), 2, "default")
    fit = emjax.fit(mixture, x, labels=labels, key=0)
    assert fit.params.mean[0, 0] > fit.params.mean[1, 0]
    posterior = emjax.sample(mixture, x, labels=labels, method="laplace", key=1, init=fit)
    comparison = emjax.compare(fit, posterior, x, key=0, loo=False)
    np.testing.assert_array_equal(comparison.fit.params.mean, fit.params.mean)
    said = " ".join([comparison.sentence, *comparison.reasons, posterior.alignment.note])
    assert not any(word in said.lower() for word in ("switch", "trust", "aligned", "told apart in"))
    with pytest.raises(ValueError, match="nothing was aligned"):
        posterior.plot("labels")
    # The prior alone names the components of the posterior: those of a fit without it are in any order.
    named = emjax.Mixture(emjax.Normal("diag"), 2, {"mean": laws.Normal([[1.0], [-1.0]], 0.3)})
    posterior = emjax.sample(named, x, method="laplace", key=1)
    plain = emjax.fit(emjax.Mixture(emjax.Normal("diag"), 2), x, key=0)
    assert plain.params.mean[0, 0] < plain.params.mean[1, 0]
    comparison = emjax.compare(plain, posterior, x, key=0, loo=False)
    np.testing.assert_array_equal(comparison.given.params.mean, plain.params.mean[::-1])


@slow
@pytest.mark.parametrize("problem", ["labels", "soft labels", "prior", "conjugate prior", "prior far from the data", "counts"])
def test_samplers_agree_on_components_that_are_told_apart(problem: str):
    x, labels = two_normals()
    family, prior, given = emjax.Normal("diag"), {}, {}
    if problem == "labels":
        given = {"labels": labels}
    elif problem == "soft labels":
        shares = np.where(labels[:, None] == np.arange(2), 0.8, 0.2)
        given = {"labels": np.where(labels[:, None] < 0, np.nan, shares)}
    elif problem == "prior":
        prior = {"mean": laws.Normal([[-1.0], [1.0]], 0.5)}
    elif problem == "conjugate prior":
        prior = {"mean": laws.NormalGiven([[-1.0], [1.0]], 10.0)}
    elif problem == "prior far from the data":
        prior = {"mean": laws.Normal([[4.0], [-4.0]], 2.0)}
    else:
        family, given = emjax.Poisson(), {"labels": labels}
        x = np.random.default_rng(1).poisson(np.where(x > 0, 6.0, 3.0)).astype(float)
    mixture = emjax.Mixture(family, 2, prior or "default")
    conjugate = "mean" not in prior or isinstance(prior["mean"], laws.NormalGiven)
    methods = ("hmc", "laplace", "nuts", *(("gibbs",) if conjugate else ()))
    found = {method: emjax.sample(mixture, x, method=method, key=1, **given) for method in methods}
    assert all(posterior.converged for posterior in found.values())
    assert all(posterior.alignment.method == "none" for posterior in found.values())
    check_agreement(found)
