"""What the programs of `models/` declare, written again with SciPy from their formulas.

Each oracle has three functions of the data and the parameters by name: `draw`, a point of the prior; `log_prior`, its
log density there; and `rows`, the matrix log p(y_i, z_i = k), `(K, n)`.
"""

from types import SimpleNamespace

import numpy as np
from scipy import stats


def _choice(weights):
    """log p(z = k) as a column."""
    return np.log(weights)[:, None]


def _yes(present):
    """log p(z = 0) and log p(z = 1), of a Bernoulli latent, as a column."""
    return _choice(np.array([1 - present, present]))


def _bernoulli(y, probability):
    """The log probability of items `(n, J)` that are independent, `(..., n)`."""
    return stats.bernoulli.logpmf(y, probability).sum(axis=-1)


class NormalMixture:
    def draw(rng, x):
        prior = NormalMixture.law_of_covariance(x)
        covariance = prior.rvs(2, random_state=rng)
        mean = np.array([rng.multivariate_normal(x.mean(axis=0), one / 0.01) for one in covariance])
        return {"weights": rng.dirichlet([1, 1]), "covariance": covariance, "mean": mean}

    def law_of_covariance(x):
        d = x.shape[1]
        return stats.invwishart(d + 2, np.cov(x.T, bias=True) / 2 ** (2 / d))

    def log_prior(x, weights, covariance, mean):
        prior = NormalMixture.law_of_covariance(x)
        given = [
            prior.logpdf(c) + stats.multivariate_normal.logpdf(m, x.mean(axis=0), c / 0.01)
            for m, c in zip(mean, covariance, strict=True)
        ]
        return stats.dirichlet.logpdf(weights, [1, 1]) + sum(given)

    def rows(x, weights, covariance, mean):
        laws = [stats.multivariate_normal(m, c) for m, c in zip(mean, covariance, strict=True)]
        return _choice(weights) + np.array([law.logpdf(x) for law in laws])


class HierarchicalScales:
    def of(y):
        extent = np.ptp(y)
        return SimpleNamespace(
            beta=stats.gamma(0.2, scale=extent**2 / 10), mean=stats.norm((y.max() + y.min()) / 2, extent)
        )

    def draw(rng, y):
        laws = HierarchicalScales.of(y)
        beta = laws.beta.rvs(random_state=rng)
        variance = stats.invgamma.rvs(2, scale=beta, size=3, random_state=rng)
        mean = laws.mean.rvs(3, random_state=rng)
        return {"weights": rng.dirichlet([1, 1, 1]), "beta": beta, "mean": mean, "variance": variance}

    def log_prior(y, weights, beta, mean, variance):
        laws = HierarchicalScales.of(y)
        value = stats.dirichlet.logpdf(weights, [1, 1, 1]) + laws.beta.logpdf(beta) + laws.mean.logpdf(mean).sum()
        return value + stats.invgamma.logpdf(variance, 2, scale=beta).sum()

    def rows(y, weights, beta, mean, variance):
        return _choice(weights) + stats.norm.logpdf(y, mean[:, None], np.sqrt(variance)[:, None])


class PoissonMixture:
    def draw(rng, y):
        return {"weights": rng.dirichlet([2, 2]), "rate": rng.gamma(2, 1, 2)}

    def log_prior(y, weights, rate):
        return stats.dirichlet.logpdf(weights, [2, 2]) + stats.gamma.logpdf(rate, 2).sum()

    def rows(y, weights, rate):
        return _choice(weights) + stats.poisson.logpmf(y, rate[:, None])


class ZeroInflatedCounts:
    def draw(rng, y):
        return {"awake": rng.random(), "rate": rng.gamma(2)}

    def log_prior(y, awake, rate):
        return stats.gamma.logpdf(rate, 2)

    def rows(y, awake, rate):
        return _yes(awake) + np.array([np.where(y == 0, 0.0, -np.inf), stats.poisson.logpmf(y, rate)])


class MixtureOfRegressions:
    def draw(rng, y, x):
        lines = {"intercept": rng.normal(0, 2, 2), "slope": rng.normal(0, 2, 2)}
        return {"weights": rng.dirichlet([2, 2]), **lines, "scale": rng.lognormal(-2, 1, 2)}

    def log_prior(y, x, weights, intercept, slope, scale):
        value = stats.dirichlet.logpdf(weights, [2, 2]) + stats.norm.logpdf([intercept, slope], 0, 2).sum()
        return value + stats.lognorm.logpdf(scale, 1, scale=np.exp(-2)).sum()

    def rows(y, x, weights, intercept, slope, scale):
        return _choice(weights) + stats.norm.logpdf(y, np.outer(slope, x) + intercept[:, None], scale[:, None])


class LatentClass:
    def draw(rng, y):
        return {"weights": rng.dirichlet([2, 2]), "probability": rng.beta(2, 2, (2, 4))}

    def log_prior(y, weights, probability):
        return stats.dirichlet.logpdf(weights, [2, 2]) + stats.beta.logpdf(probability, 2, 2).sum()

    def rows(y, weights, probability):
        return _choice(weights) + _bernoulli(y, probability[:, None, :])


class RobustRegression:
    def draw(rng, y, x):
        line = {"intercept": rng.normal(0, 10), "slope": rng.normal(0, 2)}
        scales = {"scale": rng.lognormal(0, 1), "outlier_scale": rng.lognormal(4, 1)}
        return {"outlying": rng.beta(2, 5), **line, **scales}

    def log_prior(y, x, outlying, intercept, slope, scale, outlier_scale):
        line = stats.norm.logpdf(intercept, 0, 10) + stats.norm.logpdf(slope, 0, 2)
        scales = stats.lognorm.logpdf([scale, outlier_scale], 1, scale=np.exp([0, 4])).sum()
        return stats.beta.logpdf(outlying, 2, 5) + line + scales

    def rows(y, x, outlying, intercept, slope, scale, outlier_scale):
        scales = np.array([[scale], [outlier_scale]])
        return _yes(outlying) + stats.norm.logpdf(y, intercept + slope * x, scales)


class CaptureRecaptureM0:
    def draw(rng, y):
        return {"omega": rng.random(), "p": rng.random()}

    def log_prior(y, omega, p):
        return 0.0

    def rows(y, omega, p):
        total = y.sum(axis=1)
        caught = total * np.log(p) + (y.shape[1] - total) * np.log1p(-p)
        return _yes(omega) + np.array([np.where(total == 0, 0.0, -np.inf), caught])


class CaptureRecaptureMb:
    def draw(rng, y):
        return {"omega": rng.random(), "p": rng.random(), "c": rng.random()}

    def log_prior(y, omega, p, c):
        return 0.0

    def rows(y, omega, p, c):
        caught = np.zeros(len(y))
        for i, history in enumerate(y):
            for t, now in enumerate(history):
                probability = c if t > 0 and history[t - 1] else p
                caught[i] += np.log(probability if now else 1 - probability)
        return _yes(omega) + np.array([np.where(y.any(axis=1), -np.inf, 0.0), caught])


class RaterAgreement:
    expected = ((3, 1), (1, 3))

    def draw(rng, y):
        confusion = [rng.dirichlet(row, 7) for row in RaterAgreement.expected]
        return {"weights": rng.dirichlet([2, 2]), "confusion": np.array(confusion)}

    def log_prior(y, weights, confusion):
        pairs = zip(confusion, RaterAgreement.expected, strict=True)
        given = sum(stats.dirichlet.logpdf(rater, row) for raters, row in pairs for rater in raters)
        return stats.dirichlet.logpdf(weights, [2, 2]) + given

    def rows(y, weights, confusion):
        return _choice(weights) + _bernoulli(y, confusion[:, None, :, 1])


class CovariatesOfWeights:
    def draw(rng, y, design):
        return {"coefficients": rng.normal(0, 1.5, (2, 3)), "probability": rng.beta(2, 2, (2, 5))}

    def log_prior(y, design, coefficients, probability):
        return stats.norm.logpdf(coefficients, 0, 1.5).sum() + stats.beta.logpdf(probability, 2, 2).sum()

    def rows(y, design, coefficients, probability):
        second = stats.logistic.logcdf(design @ (coefficients[1] - coefficients[0]))
        first = stats.logistic.logsf(design @ (coefficients[1] - coefficients[0]))
        return np.array([first, second]) + _bernoulli(y, probability[:, None, :])


class Normal2:
    def draw(rng, y):
        return {"weights": rng.dirichlet([1, 1]), "mu": rng.normal(0, 10, 2)}

    def log_prior(y, weights, mu):
        return stats.norm.logpdf(mu, 0, 10).sum()

    def rows(y, weights, mu):
        return _choice(weights) + stats.norm.logpdf(y, mu[:, None], 1)


class LowDimGaussMix:
    def draw(rng, y):
        return {"mu": np.sort(rng.normal(0, 2, 2)), "sigma": abs(rng.normal(0, 2, 2)), "theta": rng.beta(5, 5)}

    def log_prior(y, mu, sigma, theta):
        value = np.log(2) + stats.norm.logpdf(mu, 0, 2).sum() + stats.halfnorm.logpdf(sigma, scale=2).sum()
        return value + stats.beta.logpdf(theta, 5, 5)

    def rows(y, mu, sigma, theta):
        return _yes(1 - theta) + stats.norm.logpdf(y, mu[:, None], sigma[:, None])


ORACLES = {
    "normal_mixture": NormalMixture,
    "hierarchical_scales": HierarchicalScales,
    "poisson_mixture": PoissonMixture,
    "zero_inflated_counts": ZeroInflatedCounts,
    "mixture_of_regressions": MixtureOfRegressions,
    "latent_class": LatentClass,
    "robust_regression": RobustRegression,
    "capture_recapture_m0": CaptureRecaptureM0,
    "capture_recapture_mb": CaptureRecaptureMb,
    "rater_agreement": RaterAgreement,
    "covariates_of_weights": CovariatesOfWeights,
    "normal_2": Normal2,
    "low_dim_gauss_mix": LowDimGaussMix,
}
