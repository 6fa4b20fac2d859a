"""Components that labels of rows or the prior tell apart: in their declared order, against the sum over labellings."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
from scipy.special import gammaln

import emjax
from emjax import laws
from emjax.bayes.handoff import Handoff, hand_off
from emjax.bayes.modes import other_orders
from emjax.bayes.problem import prepare

COUNTS = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 9.0, 12.0])[:, None]
FEW = np.where(np.arange(8) == 6, 0, -1)
"""One of the larger counts is known to be of the first component, of which the prior expects the smaller ones."""

ALPHA, SHAPE, RATE = np.array([1.5, 3.0]), np.array([2.0, 5.0]), np.array([0.5, 0.6])
PRIOR = {"weights": laws.Dirichlet(ALPHA), "rate": laws.Gamma(SHAPE[:, None], RATE[:, None])}
TOLD_APART = emjax.Mixture(emjax.Poisson(), 2, PRIOR)
APART = np.array([2.0, 3.0, 4.0, 3.0, 30.0, 33.0])[:, None]
"""Two clusters that nothing but the prior's concentration puts in an order."""

LEANING = emjax.Mixture(emjax.Poisson(), 2, {"weights": laws.Dirichlet([1.5, 3.0])})


@dataclasses.dataclass(frozen=True)
class Exact:
    """``log p(x, labels)``, the means of the parameters, and the chance that the first component has the lower mean."""

    log_evidence: float
    weights: np.ndarray
    rate: np.ndarray


def exact(x: np.ndarray, labels: np.ndarray, alpha: np.ndarray, shape: np.ndarray, rate: np.ndarray) -> Exact:
    """The sum over all labellings that agree with the labels; everything else integrates out."""
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
    return Exact(log_evidence, chance @ ((alpha + counts) / (alpha.sum() + len(x))), chance @ (a / b))


def handed_off(mixture: emjax.Mixture, x: np.ndarray, init: object = None, **given: object) -> Handoff:
    with jax.enable_x64(True):
        samples = mixture.samples(x, n_components=mixture.n_components, **given)
        problem = prepare(mixture.resolved(samples), samples)
        return hand_off(problem, jax.random.key(0), init, np.random.default_rng(0))


@pytest.mark.parametrize(
    "method", ["hmc", "laplace", pytest.param("gibbs", marks=pytest.mark.slow), pytest.param("nuts", marks=pytest.mark.slow)]
)
def test_the_posterior_is_the_sum_over_the_labellings_that_agree(method: str):
    posterior = emjax.sample(TOLD_APART, COUNTS, labels=FEW, method=method, key=1)
    assert posterior.converged, posterior.message
    assert posterior.alignment.method == "none"
    expected = exact(COUNTS, FEW, ALPHA, SHAPE, RATE)
    assert posterior.modes.log_evidence == pytest.approx(expected.log_evidence, abs=0.1)
    for draws, mean in (
        (posterior.params.weights, expected.weights),
        (posterior.params.rate[..., 0], expected.rate),
    ):
        error = draws.std(axis=0) / posterior.diagnostics.min_ess_bulk**0.5
        np.testing.assert_array_less(np.abs(draws.mean(axis=0) - mean), 4 * error)
