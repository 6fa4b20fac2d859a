"""A program taken apart, and the densities that its parts are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from emjax.families.base import Family
from emjax.families.laws import Law
from emjax.probabilistic.layout import Layout, called_with
from emjax.probabilistic.running import Model, Trace, frame_of, is_random, log_prob, of_each_datum, run


@dataclasses.dataclass(frozen=True)
class Site:
    """A site outside the plate: where it lies, its shape, and its axis of components, ``None`` for none."""

    name: str
    shape: tuple[int, ...]
    constraint: Any
    component_axis: int | None = None


@dataclasses.dataclass(frozen=True)
class Weights:
    """The site that holds the weights: all of them, or ``entry`` says which of two a single probability is."""

    site: str
    concentration: tuple[float, ...]
    entry: int | None = None

    def of(self, weights: Any) -> Any:
        """The site's value at weights ``(K,)``."""
        return weights if self.entry is None else weights[..., self.entry]

    def all_of(self, value: Any) -> Any:
        """The weights ``(..., K)`` at the site's value: the inverse of `of`."""
        if self.entry is None:
            return value
        one = jnp.asarray(value) if isinstance(value, jax.Array) else np.asarray(value)
        both = (one, 1.0 - one) if self.entry == 0 else (1.0 - one, one)
        return (jnp if isinstance(one, jax.Array) else np).stack(both, axis=-1)


@dataclasses.dataclass(frozen=True, eq=False)
class Likeness:
    """The family of the catalogue that the components of a program are.

    Attributes
    ----------
    base
        The family.
    sites
        What each site of the program that data meet is called there.
    laws
        The laws of these sites, where the prior is no more than a law of each; else ``None``.
    """

    base: Family
    sites: Mapping[str, str]
    laws: Mapping[str, Law] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Structure:
    """A program taken apart.

    Attributes
    ----------
    model, fixed, layout
        The program, its further arguments, and which of its arguments are data.
    latent, plate, values
        The label's site, the plate of data, and the values of the label.
    sites
        The other latent sites, in the order in which they are drawn; without that of the weights.
    outputs
        The deterministic sites outside the plate that are functions of these and of the weights.
    weights
        The site of the weights where the label's law is nothing but that; else its law is part of the density.
    template
        A datum or all data: what the program is called with where only its prior is read.
    observed
        The observed sites in the plate whose values are an argument: site and argument.
    n_dims, plate_dim
        How many dimensions the label's batch has, and which of them, from the end, is the plate's.
    shared_label
        Whether one number stands for the labels of all rows, which is faster than a copy of it for each.
    joint
        Whether components share a parameter, or the prior ties them.
    exchangeable
        Whether the order of components changes nothing.
    reads_data
        Whether the prior depends on the data.
    likeness
        The family of the catalogue that the components are; ``None`` where they are of none.
    improper
        A site whose law does not integrate, where no factor outside the plate may make up for it.
    smooth
        Whether densities have second derivatives by automatic differentiation: a probability of zero, as that of
        ``Bernoulli(z * p)`` with ``z = 0``, has none.
    """

    model: Model
    fixed: Mapping[str, Any]
    layout: Layout
    latent: str
    plate: str
    values: tuple[int, ...]
    n_dims: int
    plate_dim: int
    observed: tuple[tuple[str, str], ...]
    template: Mapping[str, Any]
    sites: tuple[Site, ...] = ()
    outputs: tuple[Site, ...] = ()
    weights: Weights | None = None
    shared_label: bool = True
    joint: bool = False
    exchangeable: bool = False
    reads_data: bool = False
    smooth: bool = True
    improper: str = ""
    likeness: Likeness | None = None

    @property
    def n_components(self) -> int:
        """The number of values of the label."""
        return len(self.values)

    def site(self, name: str) -> Site:
        """A latent site outside the plate."""
        return next(site for site in self.sites if site.name == name)

    def trace(self, data: Mapping[str, Any], given: Mapping[str, Any], label: Any) -> Trace:
        """The program at values of its sites, with one label for all data. Traceable."""
        return run(self.model, called_with(data, self.fixed), {**given, self.latent: self.label_of(data, label)})

    def output(self, name: str, given: Mapping[str, Any]) -> Any:
        """The value of one of ``outputs``, its axis of components first."""
        site = next(site for site in self.outputs if site.name == name)
        value = self.trace(self.template, given, self.values[0])[name]["value"]
        return value if site.component_axis is None else jnp.moveaxis(value, site.component_axis, 0)

    def label_of(self, data: Mapping[str, Any], label: Any) -> Any:
        """One label for all data in a shape that the program takes."""
        shape = [1] * self.n_dims
        if not self.shared_label:
            column = self.layout.columns[0]
            shape[self.plate_dim] = np.shape(data[column.name])[column.axis]
        return jnp.broadcast_to(label, shape) if isinstance(label, jax.Array) else np.full(shape, label)

    def rows(self, data: Mapping[str, Any], given: Mapping[str, Any], label: Any, *, labels: bool | None = None) -> Any:
        """The log density of each datum with a label ``(n,)``; ``labels``: with that of the label itself."""
        trace = self.trace(data, given, label)
        with_label = self.weights is None if labels is None else labels
        found = [
            of_each_datum(site, self.plate)
            for name, site in trace.items()
            if is_random(site) and frame_of(site, self.plate) and (with_label or name != self.latent)
        ]
        return sum(found[1:], found[0])

    def label_rows(self, data: Mapping[str, Any], given: Mapping[str, Any], label: Any) -> Any:
        """The log probability of the label alone ``(n,)``."""
        return of_each_datum(self.trace(data, given, label)[self.latent], self.plate)

    def matrix(self, data: Mapping[str, Any], given: Mapping[str, Any], *, labels: bool | None = None) -> Any:
        """The log density of each datum with each label ``(K, n)``."""
        one = lambda label: self.rows(data, given, label, labels=labels)  # noqa: E731
        return jax.vmap(one)(jnp.asarray(self.values))

    def label_matrix(self, data: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
        """The log probability of each label of each datum ``(K, n)``."""
        return jax.vmap(lambda label: self.label_rows(data, given, label))(jnp.asarray(self.values))

    def prior_terms(self, given: Mapping[str, Any], data: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The log density of each site and factor outside the plate."""
        trace = self.trace(self.template if data is None else data, given, self.values[0])
        outer = {name: site for name, site in trace.items() if is_random(site) and frame_of(site, self.plate) is None}
        return {name: jnp.sum(log_prob(site)) for name, site in outer.items()}

    def prior(self, given: Mapping[str, Any], data: Mapping[str, Any] | None = None, *, weights: bool = False) -> Any:
        """The log density of what stands outside the plate; that of the weights' site only on demand."""
        without = "" if weights or self.weights is None else self.weights.site
        terms = self.prior_terms(given, data)
        return sum((term for name, term in terms.items() if name != without), jnp.zeros(()))
