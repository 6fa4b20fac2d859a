"""Components that labels of rows or the prior tell apart: in their declared order, against the sum over labellings."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
from posteriors import check_agreement, rows_of
from scipy.special import gammaln

import emjax
from emjax import comparison as comparison_module
from emjax import laws
from emjax.bayes import handoff as handoff_module
from emjax.bayes.handoff import Handoff, hand_off
from emjax.bayes.jumps import exchanged, labelling_jumps
from emjax.bayes.problem import Problem, prepare
from emjax.report.drawing.labels import labels_picture
from emjax.report.drawing.ranks import aligned_note

CLUSTERS = np.array([2.0, 3.0, 4.0, 3.0, 30.0, 33.0])[:, None]
LIKELY = np.where(np.arange(6)[:, None] == 5, [0.4, 0.6], np.nan)
"""The last count is rather of the second component."""

ALPHA, SHAPE, RATE = np.array([1.5, 3.0]), np.array([2.0, 1.5]), np.array([0.2, 0.15])
PRIOR = {"weights": laws.Dirichlet(ALPHA), "rate": laws.Gamma(SHAPE[:, None], RATE[:, None])}
MIXTURE = emjax.Mixture(emjax.Poisson(), 2, PRIOR)
"""Prior and labels say little of which cluster is the first component: both orders are a part of the posterior."""

OVERLAPPING = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 9.0, 12.0])[:, None]
FEW = np.where(np.arange(8) == 6, 0, -1)


@dataclasses.dataclass(frozen=True)
class Exact:
    """``log p(x, labels)``, the means of the parameters, the chance that the last datum is of the first component."""

    log_evidence: float
    weights: np.ndarray
    rate: np.ndarray
    last: float


def exact(x: np.ndarray, shares: np.ndarray) -> Exact:
    """The sum over all labellings, each as likely as the ``shares (n, 2)`` say; everything else integrates out."""
    z = np.array(list(itertools.product(range(2), repeat=len(x))))
    counts = np.stack([(z == k).sum(axis=1) for k in range(2)], axis=1)
    sums = np.stack([(z == k) @ x[:, 0] for k in range(2)], axis=1)
    a, b = SHAPE + sums, RATE + counts
    log_joint = (gammaln(ALPHA + counts) - gammaln(ALPHA)).sum(axis=1)
    log_joint += (SHAPE * np.log(RATE) - gammaln(SHAPE) + gammaln(a) - a * np.log(b)).sum(axis=1)
    log_joint += gammaln(ALPHA.sum()) - gammaln(ALPHA.sum() + len(x)) - gammaln(x + 1.0).sum()
    with np.errstate(divide="ignore"):
        log_joint += np.log(shares)[np.arange(len(x)), z].sum(axis=1)
    log_evidence = float(np.logaddexp.reduce(log_joint))
    chance = np.exp(log_joint - log_evidence)
    weights = chance @ ((ALPHA + counts) / (ALPHA.sum() + len(x)))
    return Exact(log_evidence, weights, chance @ (a / b), float(chance @ (z[:, -1] == 0)))


def handed_off(mixture: emjax.Mixture, x: np.ndarray, init: object = None, **given: object) -> tuple[Problem, Handoff]:
    with jax.enable_x64(True):
        samples = mixture.samples(x, n_components=mixture.n_components, **given)
        problem = prepare(mixture.resolved(samples), samples)
        return problem, hand_off(problem, jax.random.key(0), init, np.random.default_rng(0))


@pytest.fixture(scope="module")
def handoff() -> tuple[Problem, Handoff]:
    return handed_off(MIXTURE, CLUSTERS, labels=LIKELY)


@pytest.fixture(scope="module")
def weighted() -> emjax.Posterior:
    return emjax.sample(MIXTURE, CLUSTERS, labels=LIKELY, method="laplace", key=1)


def check_exactness(posterior: emjax.Posterior, expected: Exact) -> None:
    """Evidence and means, the latter within four Monte-Carlo standard errors."""
    assert posterior.converged, posterior.message
    assert posterior.alignment.method == "none"
    assert posterior.modes.log_evidence == pytest.approx(expected.log_evidence, abs=0.05)
    for draws, mean in ((posterior.params.weights, expected.weights), (posterior.params.rate[..., 0], expected.rate)):
        error = draws.std(axis=0) / posterior.diagnostics.min_ess_bulk**0.5
        np.testing.assert_array_less(np.abs(draws.mean(axis=0) - mean), 4 * error)


def test_weighted_draws_are_those_of_the_sum_over_labellings(weighted):
    check_exactness(weighted, exact(CLUSTERS, np.where(np.isnan(LIKELY), 1.0, LIKELY)))


@pytest.mark.slow
def test_chains_are_those_of_the_sum_over_labellings(weighted):
    posterior = emjax.sample(MIXTURE, CLUSTERS, labels=LIKELY, method="hmc", key=1, draws=300, init=weighted.map_fit)
    check_exactness(posterior, exact(CLUSTERS, np.where(np.isnan(LIKELY), 1.0, LIKELY)))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["hmc", "laplace", "gibbs", "nuts"])
def test_all_methods_are_right_where_a_component_may_be_empty(method: str):
    posterior = emjax.sample(MIXTURE, OVERLAPPING, labels=FEW, method=method, key=1)
    assert posterior.modes.modes[-1].n_empty == 1
    check_exactness(posterior, exact(OVERLAPPING, np.where(FEW[:, None] < 0, 1.0, FEW[:, None] == np.arange(2))))


def test_each_order_of_the_components_is_a_mode_with_its_own_mass(handoff):
    _, found = handoff
    expected = exact(CLUSTERS, np.where(np.isnan(LIKELY), 1.0, LIKELY))
    high = [mode.optimum.params.rate[0, 0] > 10 for mode in found.modes.modes]
    assert sorted(high) == [False, True]
    assert 0.1 < expected.last < 0.9
    assert found.masses[high.index(True)] == pytest.approx(expected.last, abs=0.03)


def test_an_order_that_no_start_of_em_came_to_is_found(handoff):
    problem, given = handoff
    only = dataclasses.replace(given.map_fit, optima=given.map_fit.optima[:1])
    with jax.enable_x64(True):
        modes = handoff_module.modes_near(problem, given.evaluate, only).modes
        found, other = sorted((mode.optimum for mode in modes), key=lambda optimum: -optimum.count)
        log_prior = float(problem.mixture.log_prior(other.params, problem.mixture.prior))
    np.testing.assert_array_equal(other.params.rate, found.params.rate[::-1])
    assert other.count == 0
    # EM's objective at the exchanged parameters.
    at = dataclasses.replace(given.map_fit, params=other.params)
    assert other.log_likelihood == pytest.approx(float(at.score_samples().sum()), abs=1e-9)
    assert other.objective == pytest.approx(other.log_likelihood + log_prior, abs=1e-9)


def test_orders_that_nobody_has_looked_for_make_the_weights_unreliable(handoff, monkeypatch):
    _, given = handoff
    assert given.modes.complete
    assert np.isfinite(given.sample.pareto_k)
    monkeypatch.setattr("emjax.bayes.modes._MOST_MODES", 1)
    one = dataclasses.replace(given.map_fit, optima=given.map_fit.optima[:1])
    monkeypatch.setattr(handoff_module, "_find_map", lambda *_: one)
    _, found = handed_off(MIXTURE, CLUSTERS, labels=LIKELY)
    assert not found.modes.complete
    assert found.sample.pareto_k == np.inf


def test_a_fit_to_begin_with_does_not_decide_the_order(weighted):
    found = weighted.map_fit
    swapped = found.mixture.params(weights=[0.4, 0.6], rate=[[30.0], [3.0]])
    init = dataclasses.replace(found, params=swapped, mixture=found.mixture.likelihood)
    _, given = handed_off(MIXTURE, CLUSTERS, init=init, labels=[0, -1, -1, -1, 1, 1])
    assert given.map_fit.params.rate[0, 0] < 10


def test_labellings_that_jumps_are_made_of_keep_the_labels(handoff):
    _, given = handoff
    evaluate = given.evaluate
    with np.errstate(divide="ignore"):
        rows = dataclasses.replace(rows_of(CLUSTERS), labels=np.log(np.eye(2)[[0, 1, 0, 1, 0, 1]]))
    with jax.enable_x64(True):
        points = given.modes.centers
        jumps = labelling_jumps(evaluate.target, evaluate.data, rows, points, jax.random.key(0), 50, ((1.0, 0.9),))
        moments = np.asarray(jumps.moments)[:-1]
        np.testing.assert_array_equal(moments, np.broadcast_to([[3.0, 36.0], [3.0, 39.0]], moments.shape))


def test_an_exchange_is_the_permutation_of_two_components(handoff):
    target = dataclasses.replace(handoff[1].target, n_components=3)
    with jax.enable_x64(True):
        points = np.random.default_rng(0).normal(size=(20, 5))
        found = jax.vmap(lambda key, point: exchanged(target, key, point))(
            jax.random.split(jax.random.key(0), 20), points
        )
    ways = np.stack([target.permute(points, order) for order in ((1, 0, 2), (2, 1, 0), (0, 2, 1))])
    which = np.abs(ways - np.asarray(found)).max(axis=2).argmin(axis=0)
    np.testing.assert_allclose(found, ways[which, np.arange(20)], rtol=1e-12)
    assert set(which) == {0, 1, 2}


def test_a_fit_is_aligned_only_where_nothing_says_which_component_is_which(weighted):
    fit = weighted.map_fit
    swapped = dataclasses.replace(fit, params=fit.mixture.permute(fit.params, np.array([1, 0])))
    assert comparison_module._aligned(swapped, weighted) is swapped
    # Without labels and a prior of its own the components of a fit are in any order.
    samples = dataclasses.replace(fit.samples, labels=None)
    plain = dataclasses.replace(swapped, samples=samples, mixture=fit.mixture.likelihood)
    np.testing.assert_allclose(comparison_module._aligned(plain, weighted).params.rate, fit.params.rate)


NO_WORDS = ("switch", "trust", "align", "cannot be told")


def test_nothing_is_said_of_labels_that_were_not_aligned(weighted):
    assert "apart: nothing was moved" in weighted.alignment.note
    assert not any(word in weighted.alignment.note.lower() for word in NO_WORDS)
    assert labels_picture(weighted) is None
    assert "aligned" not in aligned_note(weighted)
    with pytest.raises(ValueError, match="nothing was aligned"):
        weighted.plot("labels")


@pytest.mark.slow
def test_a_comparison_says_nothing_of_labels_that_were_not_aligned(weighted):
    found = emjax.compare(weighted.map_fit, weighted, CLUSTERS, key=0, loo=False)
    assert not any(word in " ".join([found.sentence, *found.reasons]).lower() for word in NO_WORDS)
    assert labels_picture(found.posterior) is None


def two_normals(half: float) -> tuple[np.ndarray, np.ndarray]:
    """Clusters that overlap, the first on the right, and the labels of a fifth: no order of means gives them."""
    rng = np.random.default_rng(0)
    truth = (rng.random(200) < 0.4).astype(int)
    return half * np.where(truth == 1, -1.0, 1.0)[:, None] + rng.normal(size=(200, 1)), np.where(
        np.arange(200) < 40, truth, -1
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "problem", ["labels", "soft labels", "prior", "conjugate prior", "prior far from the data", "counts"]
)
def test_samplers_agree_on_components_that_are_told_apart(problem: str):
    x, labels = two_normals(1.6 if "prior" in problem else 1.0)
    family, prior, given = emjax.Normal("diag"), {}, {}
    if problem == "labels":
        given = {"labels": labels}
    elif problem == "soft labels":
        shares = np.where(labels[:, None] == np.arange(2), 0.8, 0.2)
        given = {"labels": np.where(labels[:, None] < 0, np.nan, shares)}
    elif problem == "prior":
        prior = {"mean": laws.Normal([[-1.0], [1.0]], 0.3)}
    elif problem == "conjugate prior":
        prior = {"mean": laws.NormalGiven([[-1.0], [1.0]], 40.0)}
    elif problem == "prior far from the data":
        prior = {"mean": laws.Normal([[4.0], [-4.0]], 1.0)}
    else:
        family, given = emjax.Poisson(), {"labels": labels}
        x = np.random.default_rng(1).poisson(np.where(x > 0, 6.0, 3.0)).astype(float)
    mixture = emjax.Mixture(family, 2, prior or "default")
    conjugate = "mean" not in prior or isinstance(prior["mean"], laws.NormalGiven)
    methods = ("hmc", "laplace", "nuts", *(("gibbs",) if conjugate else ()))
    found = {method: emjax.sample(mixture, x, method=method, key=1, **given) for method in methods}
    # Where components overlap as much, the Laplace mixture and Gibbs sampling may say no, and then do not count.
    assert found["hmc"].converged
    found = {method: posterior for method, posterior in found.items() if posterior.converged}
    assert len(found) >= 2
    assert all(posterior.alignment.method == "none" for posterior in found.values())
    check_agreement(found)
