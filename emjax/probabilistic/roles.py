"""What the sites outside the plate are to the components: their weights, a row of each, or what all share.

All is read from derivatives at points near the middle of the unconstrained space: a number that no label but one meets
is that label's own. (Gathering by a label has a derivative that is zero elsewhere to the last bit.)
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import constraints

from emjax.families.domains import UNIT
from emjax.probabilistic.refusals import refuse
from emjax.probabilistic.running import unwrapped
from emjax.probabilistic.structure import Site, Structure, Weights
from emjax.probabilistic.supports import domain_of

_CLOSE = 1e-9

_MOST_TRIED = 16
"""So many ways of exchanging components are tried."""


class Examined(NamedTuple):
    """A program at a point: densities, and how they change with each site.

    ``total`` is the log joint of some data with the labels summed out, ``labels (K, n)`` the log probability of each
    label, ``prior`` the log density of what stands outside the plate. ``slopes`` and ``slopes_of_rest`` are those of
    each label's rows with and without its own probability, ``slopes_of_terms`` those of each term of the prior,
    ``curvature`` the prior's second derivatives, and
    ``curvature_of_rows`` those of all rows along one direction, ``laws`` the distributions; by site.
    """

    total: Any
    labels: Any
    prior: Any
    slopes: Any
    slopes_of_rest: Any
    slopes_of_terms: Any
    curvature: Any
    curvature_of_rows: Any
    laws: Any


@functools.partial(jax.jit, static_argnums=0)
def examined(found: Structure, few: Mapping[str, Any], point: Mapping[str, Any]) -> Examined:
    """All that is to be known of a point, in one compiled program."""

    def rows(given: Mapping[str, Any]) -> tuple[Any, Any]:
        every, rest = found.matrix(few, given, labels=True), found.matrix(few, given, labels=False)
        finite = lambda matrix: jnp.sum(jnp.where(jnp.isfinite(matrix), matrix, 0.0), axis=1)  # noqa: E731
        return finite(every), finite(rest)

    terms = lambda given: found.prior_terms(given, few)  # noqa: E731
    slopes, of_rest = jax.jacrev(rows)(point)
    prior = lambda given: found.prior(given, few, weights=True)  # noqa: E731
    along = jax.tree.map(jnp.ones_like, point)
    likelihood = jax.scipy.special.logsumexp(found.matrix(few, point, labels=True), axis=0)
    return Examined(
        total=jnp.sum(likelihood) + prior(point),
        labels=found.label_matrix(few, point),
        prior=prior(point),
        slopes=slopes,
        slopes_of_rest=of_rest,
        slopes_of_terms=jax.jacrev(terms)(point),
        curvature=jax.jacfwd(jax.grad(prior))(point),
        curvature_of_rows=jax.jvp(jax.grad(lambda given: jnp.sum(rows(given)[0])), (point,), (along,))[1],
        laws=laws_of(found, few, point),
    )


def laws_of(found: Structure, data: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    """The distributions of the latent sites outside the plate, at a point. Traceable."""
    trace = found.trace(data, point, found.values[0])
    return {site.name: trace[site.name]["fn"] for site in found.sites}


def with_roles(
    found: Structure,
    few: Mapping[str, Any],
    points: list[dict[str, Any]],
    seen: list[Examined],
    named: Mapping[str, int],
) -> Structure:
    """The structure with the role of each site, and whether the order of components matters."""
    tried = found
    found = _with_weights(found, points, seen)
    finite = all(np.isfinite(value).all() for one in seen for value in one.curvature_of_rows.values())
    sites = tuple(_with_axis(found, site, seen, named) for site in found.sites)
    found = dataclasses.replace(found, smooth=finite, sites=sites)
    alone = dataclasses.replace(found, joint=_is_joint(found, seen[0]))
    for together in (*_with_more_axes(found, named), alone):
        if _is_exchangeable(together, tried, few, points, seen):
            return dataclasses.replace(together, exchangeable=True)
    for site in alone.sites:
        if site.name in named and site.component_axis is None:
            refuse(
                f"component_axis says {named[site.name]} of {site.name!r}, and entries there belong to more than one "
                "component, which cannot change their places: leave it out"
            )
    return alone


def _with_more_axes(found: Structure, named: Mapping[str, int]) -> Iterator[Structure]:
    """The structure with axes as long as there are components in sites that are no component's own.

    The coefficients of a softmax are such: each meets all labels, and they change their places with the components.
    """
    k = found.n_components
    open_sites = [site for site in found.sites if site.component_axis is None]
    choices = [
        [axis for axis in range(len(site.shape) - _event_rank(site.constraint)) if site.shape[axis] == k]
        for site in open_sites
    ]
    wanted = [(site, axes) for site, axes in zip(open_sites, choices, strict=True) if axes]
    for chosen in itertools.islice(itertools.product(*(axes for _, axes in wanted)), _MOST_TRIED) if wanted else ():
        axes = {site.name: axis for (site, _), axis in zip(wanted, chosen, strict=True)}
        if any(named.get(name, axis) not in (axis, axis - len(found.site(name).shape)) for name, axis in axes.items()):
            continue
        sites = (
            dataclasses.replace(site, component_axis=axes.get(site.name, site.component_axis)) for site in found.sites
        )
        yield dataclasses.replace(found, sites=tuple(sites), joint=True)


# -- weights


def _with_weights(found: Structure, points: list[dict[str, Any]], seen: list[Examined]) -> Structure:
    """The site that is the weights, taken out of the others, where the label's law is nothing else."""
    k = found.n_components
    for site in found.sites:
        whole = site.shape == (k,) and type(site.constraint) is type(constraints.simplex)
        single = site.shape == () and k == 2 and domain_of(site.constraint) is UNIT
        for entry in [None] if whole else [0, 1] if single else []:
            own = [_concentration(one.laws[site.name], entry) for one in seen]
            if own[0] is not None and own.count(own[0]) == len(own) and _are_weights(site, entry, points, seen):
                chosen = Weights(site.name, own[0], entry)
                left = tuple(each for each in found.sites if each is not site)
                return dataclasses.replace(found, weights=chosen, sites=left)
    return found


def _are_weights(site: Site, entry: int | None, points: list[dict[str, Any]], seen: list[Examined]) -> bool:
    """Whether the label's law is the site's value, which has a part in nothing else."""
    for point, one in zip(points, seen, strict=True):
        weights = Weights(site.name, (), entry).all_of(point[site.name])
        if not np.allclose(one.labels, np.log(weights)[:, None], rtol=_CLOSE, atol=_CLOSE):
            return False
        others = [slopes for name, slopes in one.slopes_of_terms.items() if name != site.name]
        touched = [one.slopes_of_rest[site.name], *(slopes[site.name] for slopes in others)]
        if any(np.nan_to_num(each).any() for each in touched):
            return False
    return True


def _concentration(law: Any, entry: int | None) -> tuple[float, ...] | None:
    """The concentration of a Dirichlet law, or of the beta or the uniform law of one of two weights."""
    law = unwrapped(law)
    match type(law).__name__:
        case "Dirichlet" if entry is None:
            pair = np.asarray(law.concentration, float)
        case "Beta":
            pair = np.asarray([law.concentration1, law.concentration0], float)
        case "Uniform":
            pair = np.ones(2)
        case _:
            return None
    return tuple((pair[::-1] if entry == 1 else pair).tolist())


# -- axes of components


def _with_axis(found: Structure, site: Site, seen: list[Examined], named: Mapping[str, int]) -> Site:
    """The site with its axis of components: the one that was named, or the first that can be one."""
    k = found.n_components
    free = len(site.shape) - _event_rank(site.constraint)
    own = [
        axis
        for axis in range(free)
        if site.shape[axis] == k and all(_is_own(one.slopes[site.name], axis, k) for one in seen)
    ]
    if site.name not in named:
        return dataclasses.replace(site, component_axis=own[0] if own else None)
    axis = named[site.name]
    if not -len(site.shape) <= axis < len(site.shape) or site.shape[axis] != k:
        refuse(
            f"component_axis says {axis} of {site.name!r}, whose shape is {site.shape}: that is no axis of length {k}"
        )
    axis %= len(site.shape)
    # What belongs to no component alone may still change its place with the components, which is tried later.
    return dataclasses.replace(site, component_axis=axis if axis in own else None)


def _event_rank(constraint: Any) -> int:
    """How many of a value's last axes belong together."""
    while type(constraint).__name__ == "_IndependentConstraint":
        constraint = constraint.base_constraint
    return int(constraint.event_dim)


def _is_own(slope: np.ndarray, axis: int, k: int) -> bool:
    """Whether the entries at place j of an axis are met by label j alone."""
    by_place = np.moveaxis(slope, axis + 1, 1).reshape(k, k, -1)
    return not by_place[~np.eye(k, dtype=bool)].any()


def _is_joint(found: Structure, one: Examined) -> bool:
    """Whether components cannot be moved one by one."""
    axes = {site.name: site.component_axis for site in found.sites if site.component_axis is not None}
    if len(axes) < len(found.sites):
        return True
    k, ranks = found.n_components, {site.name: len(site.shape) for site in found.sites}
    for name, axis in axes.items():
        for other, its_axis in axes.items():
            block = np.moveaxis(one.curvature[name][other], (axis, ranks[name] + its_axis), (0, 1))
            if np.nan_to_num(block.reshape(k, k, -1))[~np.eye(k, dtype=bool)].any():
                return True
    return False


def _is_exchangeable(
    found: Structure, tried: Structure, few: Mapping[str, Any], points: list[dict[str, Any]], seen: list[Examined]
) -> bool:
    """Whether exchanging neighbours, which gives all orders, leaves the log joint as it is."""
    k = found.n_components
    if found.weights is None and all(site.component_axis is None for site in found.sites):
        # There is nothing to exchange: labels are told apart by what all share.
        return False
    for j in range(k - 1):
        order = np.array([*range(j), j + 1, j, *range(j + 2, k)])
        for point, one in zip(points, seen, strict=True):
            total = float(examined(tried, few, _in_order(found, point, order)).total)
            if not abs(total - float(one.total)) <= _CLOSE * max(1.0, abs(float(one.total))):
                return False
    return True


def _in_order(found: Structure, point: Mapping[str, Any], order: np.ndarray) -> dict[str, Any]:
    """The values of all sites with the components in another order."""
    axes = {site.name: site.component_axis for site in found.sites if site.component_axis is not None}
    moved = {name: np.take(point[name], order, axis=axis) for name, axis in axes.items()}
    if found.weights is not None:
        value = point[found.weights.site]
        moved[found.weights.site] = value[order] if found.weights.entry is None else 1.0 - value
    return {**point, **moved}
