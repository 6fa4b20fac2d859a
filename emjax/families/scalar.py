r"""Families of one number: several features, missing cells and the M-step follow.

.. math::

    \log p(x \mid k) = \sum_j s_j \Bigl( \sum_i \eta_i(\theta_{kj}) T_i(x_j) - A(\theta_{kj}) + \log h(x_j) \Bigr)

with :math:`s_j` one where feature :math:`j` was observed and zero elsewhere: features are independent given the
component, so that what is missing drops out (Little and Rubin, "Statistical Analysis with Missing Data", 3rd edition,
2019, section 6.2, for data missing at random). The M-step is the mode of the updated laws where these are conjugate,
and otherwise Newton's method on the sums of the statistics (`emjax.families.newton`), cell by cell.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.families.base import Family, Laws
from emjax.families.laws import Flat, Law
from emjax.families.newton import newton
from emjax.families.observations import Observations
from emjax.families.parameters import MixtureParams, Values
from emjax.families.support import check_support
from emjax.samples import Samples

SMALLEST = 1e-12
"""No rate is smaller: exactly zero would give -inf, and then NaN, to any datum that is not zero."""

_DIGITS = 0.575
"""A probability keeps a distance from zero and one of the rounding to this power, 1e-9 in float64: its log-odds then
have so many digits that EM can come to rest, and no datum costs more than its rounding."""

Cells = Mapping[str, Any]
"""Parameters by name, ``(n_components, n_features)`` each; what components share has one row."""


def _nearest(dtype: Any) -> float:
    return float(jnp.finfo(dtype).eps) ** _DIGITS


class ScalarFamily(Family):
    """A family written for one number; every parameter stands along the features alone."""

    independent: ClassVar[bool] = True

    inside: ClassVar[float] = 1.0
    """Any number of the support: it stands where nothing was observed."""

    conjugate: ClassVar[dict[str, Any]] = {}
    """For each parameter the kind of law that the likelihood is conjugate to; empty where there is none."""

    # -- what an author writes

    @abc.abstractmethod
    def statistics_of(self, y: Any) -> tuple[Any, ...]:
        """The sufficient statistics of numbers, arrays of their shape."""

    @abc.abstractmethod
    def natural_of(self, cells: Cells) -> tuple[Any, ...]:
        """The natural parameters, one for each of the statistics, ``(n_components, n_features)``."""

    @abc.abstractmethod
    def log_partition(self, cells: Cells) -> Any:
        """``A``, ``(n_components, n_features)``."""

    @abc.abstractmethod
    def mean_of(self, cells: Cells) -> Any:
        """The mean of a number, ``(n_components, n_features)``."""

    @abc.abstractmethod
    def variance_of(self, cells: Cells) -> Any:
        """Its variance."""

    def log_base_of(self, y: Any) -> Any:
        """The logarithm of ``h`` at numbers; by default zero."""
        return jnp.zeros_like(y)

    def updated(self, laws: Mapping[str, Any], exposure: Array, sums: tuple[Array, ...]) -> dict[str, Law]:
        """Conjugate laws given data: ``exposure (K, d)`` observations with these sums of their statistics."""
        raise TypeError(f"{self.name} has no conjugate prior")

    # -- what follows

    def check(self, samples: Samples) -> None:
        check_support(samples, self.support, self.name)

    def moments(self, params: MixtureParams) -> tuple[Any, Any]:
        cells = self._cells(params)
        mean, variance = self.mean_of(cells), self.variance_of(cells)
        return mean, variance[..., None] * np.eye(mean.shape[-1], dtype=mean.dtype)[(None,) * (mean.ndim - 1)]

    @functools.cached_property
    def _n_statistics(self) -> int:
        return len(jax.eval_shape(self.statistics_of, jax.ShapeDtypeStruct((), np.dtype("float32"))))

    @property
    def natural_with_holes(self) -> bool:
        return True

    def sufficient_statistics(self, rows: Observations) -> Float[Array, "p n"]:
        y, seen = self._filled(rows), rows.seen
        parts = [jnp.ones_like(y[:1])]
        if seen is None:
            return jnp.concatenate([*parts, *self.statistics_of(y)])
        return jnp.concatenate([*parts, seen, *(jnp.where(seen > 0, part, 0.0) for part in self.statistics_of(y))])

    def natural_parameters(self, params: MixtureParams, *, holes: bool = False) -> Float[Array, "K p"]:
        cells = self._cells(params)
        partition = self.log_partition(cells)
        n_components = params["weights"].shape[0] if "weights" in params else partition.shape[0]
        shape = (n_components, partition.shape[1])
        natural = [jnp.broadcast_to(part, shape) for part in self.natural_of(cells)]
        partition = jnp.broadcast_to(partition, shape)
        if not holes:
            return jnp.concatenate([-jnp.sum(partition, axis=1)[:, None], *natural], axis=1)
        return jnp.concatenate([jnp.zeros_like(partition[:, :1]), -partition, *natural], axis=1)

    def log_base_measure(self, rows: Observations) -> Float[Array, " n"]:
        base = self.log_base_of(self._filled(rows))
        return jnp.sum(base if rows.seen is None else jnp.where(rows.seen > 0, base, 0.0), axis=0)

    def _filled(self, rows: Observations) -> Any:
        y = jnp.asarray(rows.y)
        return y if rows.seen is None else jnp.where(rows.seen > 0, y, self.inside)

    def _cells(self, params: Any) -> Values:
        return {
            name: params[name][None] if parameter.shared else params[name]
            for name, parameter in self.parameters.items()
        }

    def _split(self, moments: Float[Array, "K p"], d: int) -> tuple[Array, tuple[Array, ...]]:
        """How many observations of each feature each component has, and the sums of their statistics."""
        parts = [moments[:, begin : begin + d] for begin in range(1, moments.shape[1], d)]
        holes = len(parts) > self._n_statistics
        exposure = parts.pop(0) if holes else jnp.broadcast_to(moments[:, :1], parts[0].shape)
        return exposure, tuple(parts)

    def _conjugate_laws(self, laws: Laws) -> dict[str, Any] | None:
        """The laws where all are conjugate, a flat one as the kernel of its kind that is flat."""
        found = {}
        for site, kind in self.conjugate.items():
            law = kind.flat() if isinstance(laws[site], Flat) else laws[site]
            if not isinstance(law, kind):
                return None
            found[site] = law
        return found or None

    def closed(self, laws: Laws) -> bool:
        return self._conjugate_laws(laws) is not None

    def maximize(
        self, statistics: Float[Array, "K p"], counts: Float[Array, " K"], params: MixtureParams, laws: Laws
    ) -> Values:
        exposure, sums = self._split(statistics, self.n_features(params))
        conjugate = self._conjugate_laws(laws)
        if conjugate is not None:
            found: dict[str, Any] = self.updated(conjugate, exposure, sums)
            return self._held({site: law.mode for site, law in found.items()})
        values = {name: params[name] for name in self.parameters}
        own = tuple(name for name, parameter in self.parameters.items() if not parameter.shared)
        shared = tuple(name for name, parameter in self.parameters.items() if parameter.shared)
        # What components share is maximised given what each has of its own (Meng and Rubin, Biometrika 80, 1993).
        for names in filter(None, (own, shared)):
            values = self._newton(names, values, exposure, sums, laws)
        return self._held(values)

    def _newton(
        self, names: tuple[str, ...], values: Values, exposure: Array, sums: tuple[Array, ...], laws: Laws
    ) -> Values:
        """The parameters with those of some names at their maximiser, the others fixed; cell by cell."""
        shape = values[names[0]].shape
        domains = [self.parameters[name].domain for name in names]
        start = jnp.stack([d.to_free(values[n]) for n, d in zip(names, domains, strict=True)], axis=-1)

        def placed(free: Float[Array, "b q"]) -> Values:
            parts = jnp.moveaxis(free.reshape(start.shape), -1, 0)
            return {**values, **{n: d.from_free(part) for n, d, part in zip(names, domains, parts, strict=True)}}

        def objective(free: Float[Array, "b q"]) -> Float[Array, " b"]:
            moved = placed(free)
            cells = self._cells(moved)
            natural = zip(self.natural_of(cells), sums, strict=True)
            terms = sum(eta * total for eta, total in natural) - exposure * self.log_partition(cells)
            found = terms if len(shape) == 2 else jnp.sum(terms, axis=0)
            for name in names:
                found = found + laws[name].log_prob(moved[name])
            return found.reshape(-1)

        return placed(newton(objective, start.reshape(-1, len(names))))

    def _held(self, values: Values) -> Values:
        """The parameters, kept from where a datum would have no density at all."""
        held = {}
        for name, value in values.items():
            if self.parameters[name].domain.link == "log":
                value = jnp.maximum(value, SMALLEST)
            elif self.parameters[name].domain.link == "logit":
                least = _nearest(value.dtype)
                value = jnp.clip(value, least, 1.0 - least)
            held[name] = value
        return held

    def resolution(self, params: MixtureParams) -> Float[Array, ""]:
        # Near one a probability has fewer digits left than its log-odds need.
        eps = jnp.finfo(params.weights.dtype).eps
        units = [params[name] for name, p in self.parameters.items() if p.domain.link == "logit"]
        return eps / jnp.min(jnp.stack([1.0 - jnp.max(unit) for unit in units])) if units else jnp.zeros(())

    # -- conjugate laws

    def refuses_gibbs(self, laws: Laws) -> str | None:
        if not self.conjugate:
            return f"{self.name} has no conjugate prior"
        for site, kind in self.conjugate.items():
            if not isinstance(laws[site], kind):
                return f"the law of {site} is {type(laws[site]).__name__}, and {kind.__name__} would be conjugate"
        return None

    def draw_components(
        self, key: Array, statistics: Float[Array, "K p"], counts: Float[Array, " K"], params: MixtureParams, laws: Laws
    ) -> Values:
        exposure, sums = self._split(statistics, self.n_features(params))
        found: Any = self.updated(laws, exposure, sums)
        keys = [key] if len(found) == 1 else jax.random.split(key, len(found))
        return self._held({site: law.draw(own) for own, (site, law) in zip(keys, found.items(), strict=True)})

    def log_evidence(
        self, statistics: Float[Array, "K p"], counts: Float[Array, " K"], params: MixtureParams, laws: Laws
    ) -> Float[Array, ""]:
        exposure, sums = self._split(statistics, self.n_features(params))
        before: Any = self.updated(laws, jnp.zeros_like(exposure), tuple(jnp.zeros_like(total) for total in sums))
        after: Any = self.updated(laws, exposure, sums)
        terms = (jnp.sum(before[site].log_normalizer - law.log_normalizer) for site, law in after.items())
        return sum(terms, jnp.zeros(()))
