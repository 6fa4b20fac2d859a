r"""Laws whose number is itself random: what components have in common, learned from those that hold data.

``laws.InverseGamma(2.0, laws.Gamma(0.2, 10.0))`` is the law of a variance whose scale :math:`C` has a law of its own,
one for all components:

.. math::

    v_k \mid C \sim IG(a, C), \quad C \sim Ga(g, h): \qquad C \mid v \sim Ga\Big(g + n a, \; h + \sum_k 1 / v_k\Big),

over the :math:`n` numbers that share it, and ``laws.Gamma(a, laws.Gamma(g, h))`` that of a rate :math:`r_k` with
:math:`B \mid r \sim Ga(g + n a, h + \sum_k r_k)`. A number of shape ``()`` is shared by all features, one of shape
``(d,)`` belongs to each. ``laws.InverseWishart(a, laws.Wishart(g, H))`` is the same of covariances,

.. math::

    \Sigma_k \mid C \sim IW(a, C), \quad C \sim W(g, H): \qquad
    C \mid \Sigma \sim W\Big(g + n a, \; H + \sum_k \Sigma_k^{-1}\Big).

References: Richardson and Green, Journal of the Royal Statistical Society B 59, 1997 (variances); Stephens, Annals of
Statistics 28, 2000 (covariances); Viallefont, Richardson and Green, Journal of Nonparametric Statistics 14, 2002
(rates); Frühwirth-Schnatter and Malsiner-Walli, Advances in Data Analysis and Classification 13, 2019, and
Frühwirth-Schnatter, Malsiner-Walli and Grün, Bayesian Analysis 16, 2021, whose numbers `hierarchical_prior` takes.
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
from emjax.families.proper import wrong_number

_RANDOM: dict[type[Any], tuple[str, type[Any]]] = {
    laws.InverseGamma: ("scale", laws.Gamma),
    laws.Gamma: ("rate", laws.Gamma),
    laws.InverseWishart: ("scatter", laws.Wishart),
}
"""Which number of a law has a conjugate law, and which."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Common:
    """The random number, or matrix, of one site's law.

    Attributes
    ----------
    law
        Its own law, in the data's units.
    factor
        What it is multiplied with in the frame.
    shape
        The other number of the site's law: its shape, or its degrees of freedom.
    site, kind
        Whose law it is, and of which kind that is.
    """

    law: laws.Gamma | laws.Wishart
    factor: Any
    shape: Any
    site: str = dataclasses.field(metadata={"static": True})
    kind: type[Any] = dataclasses.field(metadata={"static": True})

    @property
    def first(self) -> Any:
        """Where chains begin: its mean."""
        return jnp.asarray(self.law.mean)

    def applied(self, value: Any) -> Law:
        """The site's law in the frame with the number at a value."""
        law: Law = self.kind(self.shape, self.factor * value)
        return law

    def draw(self, key: Array, params: MixtureParams, held: Bool[Array, " K"]) -> Any:
        """A draw of it given the components (in the frame) that hold data."""
        values = params[self.site]
        if 0 < values.ndim == self.law.n_axes:  # one matrix that all components share
            values, held = values[None], jnp.ones(1, bool)
        own = held.reshape(-1, *(1,) * (values.ndim - 1))
        factor = jnp.broadcast_to(self.factor, values.shape[1:])[None]
        sums = jnp.sum(jnp.where(own, factor * self._told(values), 0.0), axis=0)
        n_numbers = jnp.sum(held) * jnp.ones(sums.shape[: sums.ndim - self.law.n_axes], values.dtype)
        if jnp.ndim(self.first) < sums.ndim:
            sums, n_numbers = jnp.sum(sums), jnp.sum(n_numbers)
        return self.law.updated(self.shape * n_numbers, sums).draw(key)

    def _told(self, values: Float[Array, "K *own"]) -> Array:
        """What each component adds to the rate of the number's law."""
        if self.kind is laws.InverseWishart:
            return jnp.linalg.inv(values)
        return values if self.kind is laws.Gamma else 1.0 / values


def fixed_laws(given: Mapping[str, Any]) -> dict[str, Any]:
    """The laws with every random number at its mean.

    Raises
    ------
    ConfigError
        In one line, where a number is random that may not be, or its law is not proper.
    """
    found = {}
    for site, law in given.items():
        random = {name: value for name, value in vars(law).items() if isinstance(value, Law)} if _is_law(law) else {}
        for name, own in random.items():
            where, kind = _RANDOM.get(type(law), ("", ()))
            if where != name or not isinstance(own, kind):
                allowed = ", ".join(
                    f"the {field} of {of.__name__} with a {own.__name__} law" for of, (field, own) in _RANDOM.items()
                )
                raise ConfigError(
                    f"prior[{site!r}] has a {type(own).__name__} law for its {name}; what may be random is {allowed}"
                )
            if fault := wrong_number(own):
                raise ConfigError(f"prior[{site!r}]: its {name} has a {type(own).__name__} law, {fault}")
        means = {name: np.asarray(_on_host(own).mean) for name, own in random.items()}
        found[site] = dataclasses.replace(law, **means) if random else law
    return found


def common_numbers(given: Mapping[str, Any], framed: Mapping[str, Any]) -> tuple[Common, ...]:
    """The random numbers of laws; ``framed`` are those of `fixed_laws` in the frame."""
    found = []
    for site, law in given.items():
        name, _ = _RANDOM.get(type(law), ("", None))
        own = getattr(law, name, None)
        if isinstance(own, laws.Gamma | laws.Wishart):
            own = _on_host(own)
            factor = _ratio(np.asarray(getattr(framed[site], name)), np.asarray(own.mean))
            shape = law.degrees_of_freedom if isinstance(own, laws.Wishart) else law.shape
            found.append(Common(own, factor, np.asarray(shape, float), site, type(law)))
    return tuple(found)


def _on_host(own: Any) -> Any:
    """The law of a random number with arrays for its own numbers, which may be lists."""
    return type(own)(*(np.asarray(value, float) for value in vars(own).values()))


def _ratio(framed: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """What turns a mean into that in the frame; units of matrices are those of rows and columns."""
    if mean.ndim < 2:
        return np.asarray(framed / mean)
    scale = np.sqrt(np.diagonal(framed) / np.diagonal(mean))
    return scale[:, None] * scale[None, :]


def _is_law(law: Any) -> bool:
    return isinstance(law, Law) and not isinstance(law, laws.FromNumPyro)


def hierarchical_prior(family: Family, values: Float[np.ndarray, "n d"]) -> dict[str, Law] | None:
    r"""The prior of an unknown number of components, scaled by data; None for a family that has none of its own.

    For variances that of Richardson and Green (1997) with midrange :math:`m` and range :math:`R` of each feature,
    :math:`\mu \sim N(m, R^2)`, :math:`\sigma^2 \sim IG(2, C)`, :math:`C \sim Ga(0.2, 10 / R^2)`; for counts that of
    Frühwirth-Schnatter and Malsiner-Walli (2019), rates :math:`Ga(0.1, B)`, :math:`B \sim Ga(0.5, 5 \bar x)`; for
    covariances of d features that of Frühwirth-Schnatter, Malsiner-Walli and Grün (2021) with medians m,
    :math:`\mu \sim N(m, R^2)`, :math:`\Sigma \sim IW(d + 4, C)`, :math:`C \sim W(d, H)` and :math:`H` diagonal,
    :math:`100 d / ((d + 4) R^2)`, but for features that determine each other, which need a fixed scatter.
    """
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    length = high - low
    if isinstance(family, Normal) and "variance" in family.parameters:
        squares = length**2 if family.structure.parameter.axes else np.mean(length**2)
        scale = laws.Gamma(np.asarray(0.2), 10.0 / squares)
        return {"variance": laws.InverseGamma(np.asarray(2.0), scale), "mean": laws.Normal((low + high) / 2.0, length)}
    if isinstance(family, Normal) and "covariance" in family.parameters:
        d = len(length)
        if np.linalg.matrix_rank((values[np.isfinite(values).all(axis=1)] - low) / length) < d:
            return None  # features that determine each other: every scatter would follow the covariances down to zero
        own = laws.Wishart(np.asarray(float(d)), np.diag(100.0 * d / ((d + 4.0) * length**2)))
        middle = np.nanmedian(values, axis=0)
        return {"covariance": laws.InverseWishart(np.asarray(d + 4.0), own), "mean": laws.Normal(middle, length)}
    if isinstance(family, Poisson):
        return {"rate": laws.Gamma(np.asarray(0.1), laws.Gamma(np.asarray(0.5), 5.0 * np.nanmean(values, axis=0)))}
    return None
