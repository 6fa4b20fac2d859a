"""The evidence by draws, against sums over all labellings, closed forms and published figures."""

import dataclasses
import itertools
import math

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats
from scipy.special import gammaln, logsumexp

import emjax
from emjax.bayes.diagnostics import PosteriorStatus
from emjax.bayes.target import Evaluator
from emjax.scope import computing
from emjax.selection import log_evidence
from emjax.selection.bridge_sampling import bridged
from emjax.selection.chains_of import chains_of
from emjax.selection.evidence import Evidence, EvidenceEstimate, _agree
from emjax.selection.thames import thames

pytestmark = pytest.mark.runs_numpyro

COUNTS = np.array([0.0, 1.0, 1.0, 2.0, 3.0, 7.0, 9.0, 12.0])
SHAPE, RATE = 2.0, 0.5


def exact(concentration):
    """``log p(x)`` of `COUNTS` by the sum over all labellings, each of whose evidence has a closed form."""
    k, n, alpha = len(concentration), len(COUNTS), np.asarray(concentration)
    terms = []
    for labels in itertools.product(range(k), repeat=n):
        members = np.array(labels)
        counts, sums = np.bincount(members, minlength=k), np.bincount(members, COUNTS, minlength=k)
        weights = gammaln(alpha.sum()) - gammaln(alpha.sum() + n) + (gammaln(alpha + counts) - gammaln(alpha)).sum()
        rates = SHAPE * math.log(RATE) - gammaln(SHAPE) + gammaln(SHAPE + sums) - (SHAPE + sums) * np.log(RATE + counts)
        terms.append(weights + rates.sum())
    return logsumexp(terms) - gammaln(COUNTS + 1.0).sum()


def sampled(concentration, key=1, **settings):
    prior = {"weights": emjax.laws.Dirichlet(concentration), "rate": emjax.laws.Gamma(SHAPE, RATE)}
    mixture = emjax.Mixture(emjax.Poisson(), len(concentration), prior=prior)
    return emjax.sample(mixture, COUNTS[:, None], key=key, **settings)


@pytest.fixture(scope="module")
def posterior():
    return sampled([1.0, 1.0], method="laplace")


@pytest.fixture(scope="module")
def found(posterior):
    return log_evidence(posterior, key=0)


def assert_right(found, expected):
    for each in found.estimates:
        assert each.trusted, each
        assert abs(each.value - expected) < 4.0 * each.standard_error, each
    assert found.agree is True
    assert found.estimates[0].standard_error < 0.05
    assert found.value == min(found.estimates, key=lambda each: each.standard_error).value


def test_all_methods_give_the_sum_over_all_labellings(found):
    assert_right(found, exact([1.0, 1.0]))
    assert "agree" in found.table.text


@pytest.mark.slow
@pytest.mark.parametrize("concentration", [[1.0], [1.0, 1.0, 1.0], [1.0, 3.0], [0.5, 0.5, 0.5, 0.5]])
def test_numbers_and_priors_of_other_kinds(concentration):
    """Where concentrations differ a posterior has no copies; where they are small, components are often empty."""
    found = log_evidence(sampled(concentration), key=0)
    expected = exact(concentration)
    for each in found.estimates:
        if each.trusted:
            assert abs(each.value - expected) < 4.0 * each.standard_error, each
    assert found.estimates[0].trusted
    assert found.agree is True


@pytest.mark.slow
def test_errors_are_as_large_as_they_say():
    """Ten posteriors: the mean square of deviations in standard errors is one; Gronau et al. (2017) find the same."""
    expected = exact([1.0, 1.0])
    deviations = {"bridge": [], "thames": []}
    for key in range(10):
        for each in log_evidence(sampled([1.0, 1.0], key=key), key=key, methods=list(deviations)).estimates:
            deviations[each.method].append((each.value - expected) / each.standard_error)
    for values in deviations.values():
        assert np.mean(np.square(values)) < scipy.stats.chi2(10).ppf(0.999) / 10.0


def test_the_same_key_gives_the_same_numbers(posterior, found):
    assert log_evidence(posterior, key=0).estimates == found.estimates
    (alone,) = log_evidence(posterior, key=0, methods=["bridge"]).estimates
    assert alone == found.estimates[0]


def test_nothing_is_trusted_of_draws_that_are_no_posterior(posterior):
    diagnostics = dataclasses.replace(posterior.diagnostics, status=PosteriorStatus.not_converged)
    found = log_evidence(dataclasses.replace(posterior, diagnostics=diagnostics), key=0, methods=["bridge", "thames"])
    assert not any(each.trusted for each in found.estimates)
    assert found.agree is None
    assert math.isnan(found.value)
    assert found.message == "No estimate can be trusted."
    assert "the posterior is not_converged" in found.table.text


def test_one_partition_stands_for_all_draws(posterior):
    found = posterior.partition(n_draws=200)
    # Two components, of small counts and of large ones.
    np.testing.assert_array_equal(found.labels[:5], np.zeros(5))
    np.testing.assert_array_equal(found.labels[-3:], np.ones(3))
    assert found.certainty.min() > 0.5
    with pytest.raises(emjax.ConfigError, match="did you mean 'binder'"):
        posterior.partition(loss="bender")


def test_what_cannot_be_had_is_refused_in_one_line(posterior):
    with pytest.raises(emjax.ConfigError, match="'bridge', 'thames', 'importance'; did you mean 'bridge'"):
        log_evidence(posterior, methods=["bridg"])
    with pytest.raises(emjax.ConfigError, match=r"give what emjax\.sample returns"):
        log_evidence(posterior.map_fit)


def test_agreement_is_within_three_joint_standard_errors():
    def estimates(gap, trusted=True):
        return [EvidenceEstimate("bridge", 1.0, 0.03, True), EvidenceEstimate("thames", 1.0 + gap, 0.04, trusted)]

    assert _agree(estimates(0.149)) is True
    assert _agree(estimates(0.151)) is False
    assert _agree(estimates(0.151, trusted=False)) is None
    disagreeing = Evidence(tuple(estimates(0.2)), False)
    assert math.isnan(disagreeing.value)
    assert disagreeing.message == (
        "bridge and thames disagree: they are 0.20 nats apart, more than three joint standard errors."
    )


def bridges(correlation, n_runs=30):
    """Deviations in standard errors, and these, of runs with ``p* = 7 N(0, 1)`` and ``q = N(1, 1)``."""
    errors, deviations = [], []
    for seed in range(n_runs):
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((4, 500))
        draws = np.empty_like(noise)
        draws[:, 0] = noise[:, 0]
        for i in range(1, 500):
            draws[:, i] = correlation * draws[:, i - 1] + math.sqrt(1.0 - correlation**2) * noise[:, i]
        at = draws, 1.0 + rng.standard_normal(1000)
        ratios = (math.log(7.0) + scipy.stats.norm.logpdf(x) - scipy.stats.norm.logpdf(x, 1.0) for x in at)
        value, error = bridged(*ratios)
        errors.append(error)
        deviations.append((value - math.log(7.0)) / error)
    return np.array(deviations), np.array(errors)


def test_a_bridge_between_normals_is_as_exact_as_it_says():
    """With independent draws, and with those of an autoregression, which are worth a nineteenth."""
    independent, dependent = bridges(0.0), bridges(0.9)
    for deviations, errors in (independent, dependent):
        assert np.mean(deviations**2) < scipy.stats.chi2(30).ppf(0.999) / 30.0
        assert errors.max() < 0.05
    assert dependent[1].mean() > 1.5 * independent[1].mean()


def test_more_orders_than_can_be_looked_at_have_no_estimate(posterior):
    """Of seven components alike there are 5,040 orders."""
    with computing():
        chains = chains_of(posterior)
    target = dataclasses.replace(chains.target, n_components=7)
    chains = dataclasses.replace(chains, evaluate=Evaluator(target, chains.evaluate.data, 8))
    value, error = thames(chains, np.random.default_rng(0), 10)
    assert math.isnan(value)
    assert math.isnan(error)


GALAXIES = {2: -235.254, 3: -226.677}
"""Log evidences under mu ~ N(midrange, R^2), sigma^2 ~ IG(2, C0), C0 ~ Ga(0.2, 10/R^2) and Dirichlet(1), by bridge
sampling: Celeux, Fruehwirth-Schnatter and Robert, "Model selection for mixture models: perspectives and strategies",
in the Handbook of Mixture Analysis, 2018; the data are those with 26.690."""


@pytest.mark.slow
@pytest.mark.parametrize("n_components", GALAXIES)
def test_galaxies_have_the_published_evidence(n_components):
    x = np.asarray(emjax.datasets.load("galaxies").values).reshape(-1)
    middle, length = (x.max() + x.min()) / 2.0, np.ptp(x)

    def program(x):
        scale = numpyro.sample("scale", dist.Gamma(0.2, 10.0 / length**2))
        weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(n_components)))
        mean = numpyro.sample("mean", dist.Normal(middle, length).expand([n_components]))
        variance = numpyro.sample("variance", dist.InverseGamma(2.0, scale).expand([n_components]))
        with numpyro.plate("galaxies", x.shape[0]):
            z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
            numpyro.sample("x", dist.Normal(mean[z], jnp.sqrt(variance)[z]), obs=x)

    found = log_evidence(emjax.sample(emjax.program(program), x, key=1), key=0)
    assert all(each.trusted for each in found.estimates)
    assert found.agree is True
    for each in found.estimates:
        assert abs(each.value - GALAXIES[n_components]) < 0.15
