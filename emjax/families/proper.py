"""Which laws integrate to one. EM takes any; samplers, the evidence and draws from a prior need laws that do.

A component of a mixture may hold no data. Its parameters then have their prior for a posterior, so that a law without
an integral leaves the whole posterior without one, however many the data (Diebolt and Robert, "Estimation of finite
mixture distributions through Bayesian sampling", Journal of the Royal Statistical Society B 56, 1994; Grazian and
Robert, "Jeffreys priors for mixture estimation: Properties and alternatives", Computational Statistics and Data
Analysis 121, 2018).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from emjax.errors import ConfigError
from emjax.families import domains, laws, rotations
from emjax.families.priors import WEIGHTS, Prior

_POSITIVE: dict[type[laws.Law], tuple[str, ...]] = {
    laws.Normal: ("scale",),
    laws.LogNormal: ("scale",),
    laws.HalfNormal: ("scale",),
    laws.Gamma: ("shape", "rate"),
    laws.InverseGamma: ("shape", "scale"),
    laws.Beta: ("ones", "zeros"),
    laws.Dirichlet: ("concentration",),
    laws.InverseWishart: ("degrees_of_freedom",),
    laws.Wishart: ("degrees_of_freedom",),
    laws.NormalGiven: ("precision",),
    laws.LKJ: ("concentration",),
    laws.LogRatios: ("scale",),
}
"""The numbers of each law that must be positive. All of its numbers must be finite."""

_EXAMPLES: dict[domains.Domain, str] = {
    domains.REAL: "Normal(0, 10)",
    domains.POSITIVE: "LogNormal(0, 1)",
    domains.POSITIVE_SQUARE: "InverseGamma(2, 1)",
    domains.COVARIANCE: "InverseWishart(d + 2, scatter)",
    rotations.PROPORTIONS: "LogRatios(1.5)",
}
"""A proper law of what lies in a domain without bounds."""

_UNIFORM: dict[domains.Domain, str] = {
    domains.UNIT: "Beta(1, 1)",
    domains.CORRELATION: "LKJ(1)",
    rotations.ROTATIONS: "UniformRotations()",
}
"""The flat law of what lies in a bounded domain, with its constant, as one that can be drawn from."""

_N_DRAWN = 64


def check_proper(prior: Prior) -> None:
    """Refuse a prior of which a law does not integrate to one, or cannot be drawn from.

    Raises
    ------
    ConfigError
        One line that names the site, the law, what is wrong with it, and what to give instead.
    """
    if prior.fault:
        raise ConfigError(prior.fault)
    for site, law in prior.items():
        alone = site == WEIGHTS or prior.parameter(site).shared or prior.n_components == 1
        domain = None if site == WEIGHTS else prior.parameter(site).domain
        if fault := _without_integral(law, domain, alone=alone) or wrong_number(law):
            raise ConfigError(
                f"prior[{site!r}] is {_words(law)}, {fault}; give {_example(domain)}, or leave {site!r} out for its "
                "default"
            )


def explain_laws(prior: Prior) -> str:
    """Which number of a law makes a prior none, so that no objective is finite; empty where none does."""
    for site, law in prior.items():
        if fault := wrong_number(law):
            return f"prior[{site!r}] is a {type(law).__name__}, {fault}."
    return ""


def _without_integral(law: laws.Law, domain: domains.Domain | None, *, alone: bool) -> str:
    """Why a flat law has no posterior, and a distribution of NumPyro that is like it; empty for all others."""
    if isinstance(law, laws.FromNumPyro):
        fault = fault_of_distribution(law.distribution)
    elif not isinstance(law, laws.Flat):
        return ""
    elif domain in _UNIFORM:
        return "from which nothing can be drawn (emjax.fit takes it)"
    else:
        fault = "which does not integrate"
    if not fault:
        return ""
    if alone:
        return f"{fault} (emjax.fit takes it): the evidence and draws from the prior do not exist"
    return f"{fault} (emjax.fit takes it): of a component that holds no data the posterior is the prior"


def wrong_number(law: laws.Law) -> str:
    """Which number keeps a law from integrating to one; empty where none does."""
    if isinstance(law, laws.FromNumPyro):
        return _without_density(law.distribution)
    for name in _POSITIVE.get(type(law), ()):
        values = np.asarray(getattr(law, name), dtype=float)
        values = values[_own(law, values)]
        if not (np.isfinite(values) & (values > 0)).all():
            return f"which is no law: {name} must be positive and finite"
    for name, values in ((field.name, getattr(law, field.name)) for field in dataclasses.fields(law)):  # type: ignore[arg-type]
        if type(law) in _POSITIVE and values is not None and not np.isfinite(np.asarray(values, dtype=float)).all():
            return f"which is no law: {name} must be finite"
    match law:
        case laws.InverseWishart():
            return _wrong_wishart(law.degrees_of_freedom, "scatter", law.scatter)
        case laws.Wishart():
            return _wrong_wishart(law.degrees_of_freedom, "rate", law.rate)
    return ""


def _own(law: laws.Law, values: np.ndarray) -> Any:
    """Which numbers a law has: of vectors of unequal lengths what lies beyond their ends is zero, and none of them."""
    lengths = getattr(law, "lengths", None)
    if lengths is None or values.ndim < 2:
        return ...
    return np.broadcast_to(np.arange(values.shape[-1]) < np.asarray(lengths)[:, None], values.shape)


def _wrong_wishart(degrees_of_freedom: Any, name: str, matrix: Any) -> str:
    matrix = np.asarray(matrix, dtype=float)
    if matrix.ndim < 2 or matrix.shape[-2] != matrix.shape[-1] or not np.allclose(matrix, matrix.swapaxes(-1, -2)):
        return f"which is no law: {name} must be a symmetric matrix"
    fewest = matrix.shape[-1] - 1
    if not (np.asarray(degrees_of_freedom) > fewest).all():
        return f"which is no law: degrees_of_freedom must be above {fewest}, one less than there are features"
    if not (np.linalg.eigvalsh(matrix) > 0).all():
        return f"which is no law: {name} must be positive definite"
    return ""


def fault_of_distribution(distribution: Any) -> str:
    """Why a distribution of NumPyro is improper by what it is; empty where it is not."""
    import numpyro.distributions as dist

    while distribution is not None:
        if isinstance(distribution, dist.ImproperUniform):
            return "which does not integrate"
        if isinstance(distribution, dist.MaskedDistribution) and not np.all(distribution._mask):
            return "which does not integrate where it is masked"
        distribution = getattr(distribution, "base_dist", None)
    return ""


def _without_density(distribution: Any) -> str:
    """Its own draws decide, whatever its numbers are called; one that cannot be drawn from is taken as it is."""
    try:
        drawn = distribution.sample(jax.random.key(0), (_N_DRAWN,))
    except NotImplementedError:
        return ""
    good = np.isfinite(np.asarray(drawn)) & np.isfinite(np.asarray(distribution.log_prob(drawn)))
    return "" if good.any(axis=0).all() else "which is no law: none of its draws is finite and has a density"


def _words(law: laws.Law) -> str:
    return f"NumPyro's {type(law.distribution).__name__}" if isinstance(law, laws.FromNumPyro) else repr(law)


def _example(domain: domains.Domain | None) -> str:
    if domain in _UNIFORM:
        return f"the uniform emjax.laws.{_UNIFORM[domain]}"
    return f"a proper law, such as emjax.laws.{_EXAMPLES[domain]}" if domain in _EXAMPLES else "a proper law"
