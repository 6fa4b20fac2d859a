r"""Laws whose number is itself random: what components have in common, learned from those that hold data.

``laws.InverseGamma(2.0, laws.Gamma(0.2, 10.0))`` is the law of a variance whose scale :math:`C` has a law of its own,
one for all components:

.. math::

    v_k \mid C \sim IG(a, C), \quad C \sim Ga(g, h): \qquad C \mid v \sim Ga\Big(g + n a, \; h + \sum_k 1 / v_k\Big),

over the :math:`n` numbers that share it, and ``laws.Gamma(a, laws.Gamma(g, h))`` that of a rate :math:`r_k` with
:math:`B \mid r \sim Ga(g + n a, h + \sum_k r_k)`. A number of shape ``()`` is shared by all features, one of shape
``(d,)`` belongs to each.

References: Richardson and Green, Journal of the Royal Statistical Society B 59, 1997 (variances); Viallefont,
Richardson and Green, Journal of Nonparametric Statistics 14, 2002 (rates); Frühwirth-Schnatter and Malsiner-Walli,
Advances in Data Analysis and Classification 13, 2019, whose numbers `hierarchical_prior` takes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from emjax.errors import ConfigError
from emjax.families import laws
from emjax.families.base import Family
from emjax.families.laws import Law
from emjax.families.normal import Normal
from emjax.families.parameters import MixtureParams
from emjax.families.poisson import Poisson

_RANDOM: dict[type[Law], str] = {laws.InverseGamma: "scale", laws.Gamma: "rate"}
"""Of which number of a law the conjugate law is a gamma law."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Common:
    """The random number of one site's law.

    Attributes
    ----------
    law
        Its own law, in the data's units.
    factor
        What it is multiplied with in the frame.
    shape
        The other number of the site's law.
    site, inverse
        Whose law it is, and whether that is an inverse gamma law.
    """

    law: laws.Gamma
    factor: Any
    shape: Any
    site: str = dataclasses.field(metadata={"static": True})
    inverse: bool = dataclasses.field(metadata={"static": True})

    @property
    def first(self) -> Any:
        """Where chains begin: its mean."""
        return jnp.asarray(self.law.shape / self.law.rate)

    def applied(self, value: Any) -> Law:
        """The site's law in the frame with the number at a value."""
        kind = laws.InverseGamma if self.inverse else laws.Gamma
        return kind(self.shape, self.factor * value)

    def draw(self, key: Array, params: MixtureParams, held: Bool[Array, " K"]) -> Any:
        """A draw of it given the components (in the frame) that hold data."""
        values = params[self.site]
        own = held.reshape(-1, *(1,) * (values.ndim - 1))
        factor = jnp.broadcast_to(self.factor, values.shape[1:])[None]
        terms = jnp.where(own, factor * (1.0 / values if self.inverse else values), 0.0)
        sums, n_numbers = jnp.sum(terms, axis=0), jnp.sum(held) * jnp.ones(values.shape[1:], values.dtype)
        if jnp.ndim(self.first) < sums.ndim:
            sums, n_numbers = jnp.sum(sums), jnp.sum(n_numbers)
        return self.law.updated(self.shape * n_numbers, sums).draw(key)


def fixed_laws(given: Mapping[str, Any]) -> dict[str, Any]:
    """The laws with every random number at its mean.

    Raises
    ------
    ConfigError
        In one line, where a number is random that may not be, or its law is not a proper gamma law.
    """
    found = {}
    for site, law in given.items():
        random = {name: value for name, value in vars(law).items() if isinstance(value, Law)} if _is_law(law) else {}
        for name, own in random.items():
            if _RANDOM.get(type(law)) != name or not isinstance(own, laws.Gamma):
                allowed = " or ".join(f"the {field} of {kind.__name__}" for kind, field in _RANDOM.items())
                raise ConfigError(
                    f"prior[{site!r}] has a {type(own).__name__} law for its {name}; what may be random is {allowed}, "
                    "with a Gamma law"
                )
            numbers = np.concatenate([np.ravel(own.shape), np.ravel(own.rate)]).astype(float)
            if not (np.isfinite(numbers) & (numbers > 0)).all():
                raise ConfigError(f"prior[{site!r}]: the shape and rate of its {name}'s Gamma law must be positive")
        means = {name: _mean(own) for name, own in random.items()}
        found[site] = dataclasses.replace(law, **means) if random else law
    return found


def common_numbers(given: Mapping[str, Any], framed: Mapping[str, Any]) -> tuple[Common, ...]:
    """The random numbers of laws; ``framed`` are those of `fixed_laws` in the frame."""
    found = []
    for site, law in given.items():
        name = _RANDOM.get(type(law)) if _is_law(law) else None
        own = getattr(law, name) if name else None
        if isinstance(own, laws.Gamma):
            gamma = laws.Gamma(np.asarray(own.shape, float), np.asarray(own.rate, float))
            mean = gamma.shape / gamma.rate
            factor = np.asarray(getattr(framed[site], name or "")) / mean
            inverse = isinstance(law, laws.InverseGamma)
            found.append(Common(gamma, factor, np.asarray(law.shape, float), site, inverse))
    return tuple(found)


def _mean(law: Any) -> np.ndarray:
    """Of a gamma law."""
    return np.asarray(np.asarray(law.shape, dtype=float) / np.asarray(law.rate, dtype=float))


def _is_law(law: Any) -> bool:
    return isinstance(law, Law) and not isinstance(law, laws.FromNumPyro)


def hierarchical_prior(family: Family, values: Float[np.ndarray, "n d"]) -> dict[str, Law] | None:
    r"""The prior of an unknown number of components, scaled by data; None for a family that has none of its own.

    For variances that of Richardson and Green (1997) with midrange :math:`m` and range :math:`R` of each feature,
    :math:`\mu \sim N(m, R^2)`, :math:`\sigma^2 \sim IG(2, C)`, :math:`C \sim Ga(0.2, 10 / R^2)`; for counts that of
    Frühwirth-Schnatter and Malsiner-Walli (2019), rates :math:`Ga(0.1, B)`, :math:`B \sim Ga(0.5, 5 \bar x)`.
    """
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    length = high - low
    if isinstance(family, Normal) and "variance" in family.parameters:
        squares = length**2 if family.structure.parameter.axes else np.mean(length**2)
        scale = laws.Gamma(np.asarray(0.2), 10.0 / squares)
        return {"variance": laws.InverseGamma(np.asarray(2.0), scale), "mean": laws.Normal((low + high) / 2.0, length)}
    if isinstance(family, Poisson):
        return {"rate": laws.Gamma(np.asarray(0.1), laws.Gamma(np.asarray(0.5), 5.0 * np.nanmean(values, axis=0)))}
    return None
