"""Posteriors whose evidence, moments and masses are known without a sampler: in closed form, or on a grid."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
import scipy.stats
from jaxtyping import Array, Float

import emjax
from emjax.bayes.handoff import Handoff, hand_off
from emjax.bayes.modes import LaplaceMixture, Mode, find_modes
from emjax.bayes.problem import Problem, prepare
from emjax.bayes.target import Evaluator, Target, TargetData, make_target
from emjax.em.rows import Rows
from emjax.families.frame import identity_frame
from emjax.result import Optimum, Status
from emjax.samples import as_samples
from tests.priors import normal_prior, poisson_prior

TWO_POISSONS = emjax.Mixture(emjax.Poisson(), 2)
GROUPS = np.repeat([2.0, 12.0, 30.0], 2)[:, None]
"""Two components for three groups of counts: either the two smaller groups go together, or the two larger ones."""

GROUPS_PRIOR = poisson_prior([2.0, 2.0], shape=2.0, rate=[0.2])

ONE_NORMAL = emjax.Mixture(emjax.Normal("full"), 1)
NORMAL_ROWS = np.random.default_rng(11).normal(size=(15, 2)) @ [[1.0, 0.5], [0.0, 0.5]] + [1.0, -0.5]
NORMAL_PRIOR = normal_prior(
    [1.0], mean=[0.2, -0.3], precision=0.5, degrees_of_freedom=5.0, scatter=[[2.0, 0.3], [0.3, 1.0]]
)


def rows_of(x: np.ndarray) -> Rows:
    """The data in the units that they are given in, nothing else known of them."""
    return Rows(x, identity_frame(x.shape[1]), np.dtype(float))


def evaluator(mixture: emjax.Mixture, z: np.ndarray, prior: emjax.Prior, lanes: int = 8) -> Evaluator:
    """The target of data in the units that they are given in."""
    return Evaluator(*make_target(mixture, z, prior, n_chains=lanes), lanes)


def optimum(params: emjax.MixtureParams, objective: float = 0.0, status: Status = Status.CONVERGED) -> Optimum:
    """An optimum of EM as `find_modes` reads it."""
    return Optimum(params, objective, objective, status, 1, np.ones(len(params.weights)), False)


def modes_from(evaluate: Evaluator, starts: list[emjax.MixtureParams], **settings: object) -> LaplaceMixture:
    """The modes that Newton's method finds from parameters, as if EM had found them equally good."""
    points = [np.asarray(evaluate.target.flat(params)) for params in starts]
    return find_modes(evaluate, tuple(optimum(params, **settings) for params in starts), points)


def group_starts() -> list[emjax.MixtureParams]:
    """Rough parameters in either of the two modes of `GROUPS`."""
    return [
        TWO_POISSONS.params(weights=[0.4, 0.6], rate=[[2.0], [21.0]]),
        TWO_POISSONS.params(weights=[0.6, 0.4], rate=[[7.0], [28.0]]),
    ]


@dataclasses.dataclass(frozen=True)
class Grid:
    """The posterior of `TWO_POISSONS` with rates in order: points, their probabilities, the log evidence."""

    low: np.ndarray
    high: np.ndarray
    share: np.ndarray
    mass: np.ndarray
    log_evidence: float

    def moments(self, quantity: np.ndarray) -> tuple[float, float]:
        """Mean and standard deviation."""
        mean = float((self.mass * quantity).sum())
        return mean, math.sqrt(float((self.mass * (quantity - mean) ** 2).sum()))

    def mode_shares(self, mixture: LaplaceMixture, *, hard: bool) -> np.ndarray:
        """The mass of each mode, where points belong to modes by the normals of a mixture: by share, or to the best."""
        kept = self.mass > 1e-9 * self.mass.max()
        low, high, share = np.log(self.low[kept]), np.log(self.high[kept]), scipy.special.logit(self.share[kept])
        terms = mixture.log_terms(np.stack([low, high, share], axis=1))
        if hard:
            return np.bincount(terms.argmax(axis=1), self.mass[kept], minlength=terms.shape[1])
        return self.mass[kept] @ scipy.special.softmax(terms, axis=1)


def two_poissons_on_a_grid(
    x: np.ndarray = GROUPS, prior: emjax.Prior = GROUPS_PRIOR, span: tuple[float, float] = (-2.5, 4.2)
) -> Grid:
    """The posterior by the midpoint rule over log rates and the log-odds of a weight; labels summed out twice."""
    log_rates, rate_step = np.linspace(*span, 170, retstep=True)
    odds, odds_step = np.linspace(-6.0, 6.0, 90, retstep=True)
    share = scipy.special.expit(odds)
    rates = np.exp(log_rates)
    values, repeats = np.unique(x, return_counts=True)
    log_pmf = scipy.stats.poisson(rates[:, None]).logpmf(values)
    of = prior["rate"]
    # Densities of the logarithm of a rate and of the log-odds of a weight: Jacobians x and w (1 - w).
    log_prior = scipy.stats.gamma(float(of.shape), scale=1.0 / float(of.rate[0])).logpdf(rates) + log_rates
    log_weight = scipy.stats.beta(*prior.concentration).logpdf(share) + np.log(share * (1.0 - share))
    i, j = np.triu_indices(len(rates), 1)
    joint = np.empty((len(share), len(i)))
    for row, w in enumerate(share):
        mixed = np.logaddexp(np.log(w) + log_pmf[i], np.log1p(-w) + log_pmf[j])
        joint[row] = mixed @ repeats + log_prior[i] + log_prior[j] + log_weight[row]
    total = scipy.special.logsumexp(joint)
    return Grid(
        low=np.broadcast_to(rates[i], joint.shape),
        high=np.broadcast_to(rates[j], joint.shape),
        share=np.broadcast_to(share[:, None], joint.shape),
        mass=np.exp(joint - total),
        # Points with the rates in order are one half of the space.
        log_evidence=float(total + 2.0 * math.log(rate_step) + math.log(odds_step) + math.log(2.0)),
    )


@dataclasses.dataclass(frozen=True)
class NormalPosterior:
    """The normal-inverse-Wishart posterior of `NORMAL_ROWS` (Gelman et al., "Bayesian Data Analysis", section 3.6)."""

    mean: np.ndarray
    precision: float
    degrees: float
    scatter: np.ndarray
    log_evidence: float

    def mean_of(self, j: int) -> Any:
        """The marginal of a mean: Student's t."""
        df = self.degrees - len(self.mean) + 1
        return scipy.stats.t(df, self.mean[j], math.sqrt(self.scatter[j, j] / (self.precision * df)))

    def variance_of(self, j: int) -> Any:
        """The marginal of a variance: an inverse gamma."""
        return scipy.stats.invgamma((self.degrees - len(self.mean) + 1) / 2, scale=self.scatter[j, j] / 2)


def normal_posterior(x: np.ndarray = NORMAL_ROWS, prior: emjax.Prior = NORMAL_PRIOR) -> NormalPosterior:
    """The closed form of one normal component."""
    (n, d), of, spread = x.shape, prior["mean"], prior["covariance"]
    kappa, nu = float(of.precision), float(spread.degrees_of_freedom)
    centre = x.mean(axis=0)
    apart = np.outer(centre - of.mean, centre - of.mean)
    scatter = spread.scatter + (x - centre).T @ (x - centre) + kappa * n / (kappa + n) * apart
    log_evidence = (
        -0.5 * n * d * math.log(math.pi)
        + scipy.special.multigammaln((nu + n) / 2, d)
        - scipy.special.multigammaln(nu / 2, d)
        + 0.5 * nu * np.linalg.slogdet(spread.scatter)[1]
        - 0.5 * (nu + n) * np.linalg.slogdet(scatter)[1]
        + 0.5 * d * math.log(kappa / (kappa + n))
    )
    mean = (kappa * of.mean + n * centre) / (kappa + n)
    return NormalPosterior(mean, kappa + n, nu + n, scatter, float(log_evidence))


def normal_start() -> emjax.MixtureParams:
    """Rough parameters near the mode of `NORMAL_ROWS`."""
    return ONE_NORMAL.params(mean=[[0.9, -0.4]], covariance=np.eye(2)[None])


# --- a density of known masses, without data ------------------------------------------------------------------

HUMP_CENTERS = np.array([[-6.0, 1.0], [5.0, -2.0]])
HUMP_SCALES = np.array([[1.0, 0.5], [0.4, 1.5]])


@dataclasses.dataclass(frozen=True)
class TwoHumps(Target):
    """Two normal humps with masses ``first`` and ``1 - first``, so far apart that no path of a chain joins them."""

    first: float = 0.7

    def value_and_gradient(
        self, flat: Float[Array, " p"], data: TargetData
    ) -> tuple[Float[Array, ""], Float[Array, " p"]]:
        def log_density(at: Array) -> Array:
            centers, scales = HUMP_CENTERS.astype(at.dtype), HUMP_SCALES.astype(at.dtype)
            log_masses = np.log([self.first, 1.0 - self.first]).astype(at.dtype)
            z = (at[None, :] - centers) / scales
            return jax.scipy.special.logsumexp(log_masses - jnp.sum(0.5 * z**2 + jnp.log(scales), axis=1))

        return jax.value_and_grad(log_density)(flat)


def two_humps(masses: tuple[float, float], widths: float = 1.0) -> tuple[TwoHumps, TargetData, LaplaceMixture]:
    """The target, data that it ignores, and a normal mixture in the right places with masses that may be wrong."""
    mixture = emjax.Mixture(emjax.Poisson(), 1)
    prior = poisson_prior([1.0], shape=2.0, rate=[1.0, 1.0])
    _, data = make_target(mixture, np.array([[1.0, 2.0], [3.0, 1.0]]), prior)
    target = TwoHumps(mixture.family, 1, 2)
    nowhere = optimum(mixture.params(rate=[[1.0, 1.0]]))
    modes = tuple(
        Mode(center, 0.0, np.diag(widths * scale), math.log(mass), True, nowhere)
        for center, scale, mass in zip(HUMP_CENTERS, HUMP_SCALES, masses, strict=True)
    )
    return target, data, LaplaceMixture(target, modes)


def groups_handoff() -> tuple[Problem, Handoff]:
    """What EM hands over for `GROUPS`, from drawn starts."""
    with jax.enable_x64(True):
        problem = prepare(dataclasses.replace(TWO_POISSONS, prior=GROUPS_PRIOR), as_samples(GROUPS))
        return problem, hand_off(problem, jax.random.key(0), None, np.random.default_rng(0))


def check_agreement(found: dict[str, emjax.Posterior]) -> None:
    """All within four Monte-Carlo standard errors of one another, parameter by parameter."""
    posteriors = list(found.values())
    assert min(posterior.diagnostics.min_ess_bulk for posterior in posteriors) > 300
    for name in ("weights", posteriors[0].params.keys()[1]):
        draws = [np.asarray(posterior.params[name]) for posterior in posteriors]
        errors = [
            each.std(axis=0) / posterior.diagnostics.min_ess_bulk**0.5
            for each, posterior in zip(draws, posteriors, strict=True)
        ]
        for i in range(1, len(draws)):
            gap = np.abs(draws[i].mean(axis=0) - draws[0].mean(axis=0))
            np.testing.assert_array_less(gap, 4 * np.hypot(errors[i], errors[0]))
