"""Which family of the catalogue the components of a program are, if any; the program's text is not looked at.

Each family is tried: its parameters are given the values of the program's sites, where domains and shapes allow it, and
its log densities of all data are compared with the program's rows. A prior is a law of each site where the laws that
the program draws from add up to the log density of all that stands outside the plate. Both are compared at all points
at which a program is tried, so that what looks alike and is not (a factor, a covariate, a site that another's law
depends on) is told apart by its numbers.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.families import FAMILIES
from emjax.families.base import Family
from emjax.families.given_laws import as_law
from emjax.families.laws import Dirichlet, FromNumPyro, Law
from emjax.families.observations import Observations
from emjax.families.parameters import MixtureParams, Parameter, Values
from emjax.probabilistic.roles import Examined, laws_of
from emjax.probabilistic.structure import Likeness, Site, Structure
from emjax.probabilistic.supports import domain_of, is_same

_CLOSE = 1e-10

_MOST = 100_000
"""Of so many data, evenly, densities are compared: all are held at once."""

Points = Sequence[Mapping[str, Any]]


def likeness_of(
    found: Structure,
    data: Mapping[str, Any],
    points: Points,
    rows: Sequence[Float[np.ndarray, "K n"]],
    priors: Sequence[float],
    seen: Sequence[Examined],
) -> Likeness | None:
    """The family that the components are, and the laws of its parameters; ``None`` where they are of none.

    ``rows`` and ``priors`` are the matrix of `compared` data with the labels' probabilities, and the log density of
    what stands outside the plate with all data, at the points.
    """
    weights, columns = found.weights, found.layout.columns
    if weights is None or found.layout.holes or [name for _, name in found.observed] != [c.name for c in columns]:
        return None
    met = [site for site in found.sites if any(np.nan_to_num(one.slopes_of_rest[site.name]).any() for one in seen)]
    logs = [np.log(weights.all_of(point[weights.site]))[:, None] for point in points]
    expected = np.stack([each - log for each, log in zip(rows, logs, strict=True)])
    packed = found.layout.packed(data)
    y = packed[compared(len(packed))].T
    for base, names, values in _candidates(found.n_components, met, points, len(y)):
        stacked = MixtureParams(base, base.from_sites(values))
        if np.allclose(_log_densities(base, stacked, y), expected, rtol=_CLOSE, atol=_CLOSE):
            alone = len(met) == len(found.sites)
            return Likeness(base, names, _laws(found, data, points, priors, seen) if alone else None)
    return None


def compared(n_samples: int) -> slice:
    """Which of the data densities are compared for."""
    return slice(None, None, -(-n_samples // _MOST))


# -- the density


@functools.partial(jax.jit, static_argnums=0)
def _log_densities(base: Family, params: MixtureParams, y: Float[Array, "d n"]) -> Float[Array, "points K n"]:
    return jax.vmap(lambda one: base.log_density(one, Observations(y=y)))(params)


def _candidates(
    n_components: int, met: Sequence[Site], points: Points, n_features: int
) -> Iterator[tuple[Family, dict[str, str], Values]]:
    """Families, what the sites are called there, and their values at all points."""
    for family in FAMILIES.values():
        for base in family.variants():
            for order in itertools.permutations(base.sites, len(met)):
                names = dict(zip((site.name for site in met), order, strict=True))
                placed = {names[site.name]: _in_place(base.site(names[site.name]), site, points) for site in met}
                values = {name: value for name, value in placed.items() if value is not None}
                whole = base.from_sites(values)
                if len(values) < len(placed) or set(whole) != set(base.parameters):
                    continue
                known = base.of({name: value[0] for name, value in whole.items()})
                lengths = known.lengths(n_features)
                shapes = {name: known.site(name).shape(n_components, lengths) for name in values}
                if all(values[name].shape[1:] == shape for name, shape in shapes.items()):
                    yield known, names, values


def _in_place(parameter: Parameter, site: Site, points: Points) -> np.ndarray | None:
    """The values of a site as those of a parameter, at all points; ``None`` where it cannot be that."""
    own: np.ndarray = component_first(site, np.stack([point[site.name] for point in points]))
    first = 2 - parameter.shared  # behind the points and, where each component has its own, the components
    places = tuple(first + axis for axis, name in enumerate(parameter.axes) if name == "feature")
    n_missing = first + len(parameter.axes) - own.ndim
    fits = is_same(domain_of(site.constraint), parameter.domain) and n_missing in (0, len(places))
    if not fits or parameter.shared != (site.component_axis is None):
        return None
    # Of one feature programs leave the axis out.
    return own if n_missing == 0 else np.expand_dims(own, places)


def component_first(site: Site, value: Any) -> Any:
    """Values ``(points, ...)`` of a site with the axis of components, if there is one, before its others."""
    return value if site.component_axis is None else np.moveaxis(value, 1 + site.component_axis, 1)


# -- the prior


def _laws(
    found: Structure, data: Mapping[str, Any], points: Points, priors: Sequence[float], seen: Sequence[Examined]
) -> dict[str, Law] | None:
    """The laws of the sites, if these are all that the prior is."""
    given = _laws_of(found, data, points[0]) if found.reads_data else seen[0].laws
    laws = {site.name: _law(site, given[site.name]) for site in found.sites}
    assert found.weights is not None
    weights = np.stack([found.weights.all_of(point[found.weights.site]) for point in points])
    values = {s.name: component_first(s, np.stack([point[s.name] for point in points])) for s in found.sites}
    kept = {name: law for name, law in laws.items() if law is not None}
    if len(kept) < len(laws):
        return None
    sums = _log_priors({**kept, "": Dirichlet(np.asarray(found.weights.concentration))}, {**values, "": weights})
    return kept if np.allclose(sums, priors, rtol=_CLOSE, atol=_CLOSE) else None


@functools.partial(jax.jit, static_argnums=0)
def _laws_of(found: Structure, data: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    return laws_of(found, data, point)


@jax.jit
def _log_priors(laws: dict[str, Law], values: Values) -> Float[Array, " points"]:
    def one(values: Values) -> Array:
        return sum((jnp.sum(law.log_prob(values[name])) for name, law in laws.items()), jnp.zeros(()))

    return jax.vmap(one)(values)


def _law(site: Site, distribution: Any) -> Law | None:
    """The law that a distribution is, of a parameter with its components first; ``None`` where there is none."""
    try:
        law = as_law(site.name, distribution)
    except ValueError:
        return None
    if isinstance(law, FromNumPyro) and law.distribution.batch_shape:
        return None

    def leaf(number: Any) -> np.ndarray:
        value = np.asarray(number, float)
        if value.ndim > law.n_axes:
            value = component_first(site, np.broadcast_to(value, site.shape)[None])[0]
        # What is the same for all is told once: a law that has a number for each component tells them apart.
        while value.ndim > law.n_axes and (value == value[:1]).all():
            value = value[0]
        return value

    return jax.tree.map(leaf, law)
