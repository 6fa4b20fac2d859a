"""What a program consists of, found by running it: its label, its plate of data, its parameters, its weights.

Nothing is read off the program's text. What is claimed of a density (that rows do not depend on each other, that a
row of a parameter belongs to one component, that the order of components does not matter) is tried at points near the
middle of the unconstrained space, in float64.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from emjax.errors import DataError, EmjaxError
from emjax.families.observations import Observations
from emjax.families.proper import fault_of_distribution
from emjax.probabilistic import refusals
from emjax.probabilistic.layout import Layout
from emjax.probabilistic.likeness import compared, likeness_of
from emjax.probabilistic.outputs import with_outputs
from emjax.probabilistic.refusals import refuse
from emjax.probabilistic.roles import Examined, examined, with_roles
from emjax.probabilistic.running import (
    Model,
    Trace,
    first_run,
    frame_of,
    in_the_middle,
    is_latent,
    is_random,
    sketched,
)
from emjax.probabilistic.structure import Site, Structure

_POINTS = 3
"""Points at which claims are tried."""

_SOME = 24
"""Rows that stand for all where each would say the same."""

_CLOSE = 1e-9

_UNTRACEABLE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


def find_structure(
    model: Model,
    data: Mapping[str, Any],
    fixed: Mapping[str, Any],
    *,
    latent: str | None,
    plate: str | None,
    component_axis: Mapping[str, int],
) -> tuple[Structure, np.ndarray]:
    """A program with its data taken apart, and the data as a matrix ``(n, d)``.

    Raises
    ------
    ConfigError
        If it is no mixture that EM could fit; see `emjax.probabilistic.refusals`.
    DataError
        If the data do not go with it.
    """
    sketch, traceable = _sketch(model, data, fixed)
    refusals.check_messages(sketch)
    label = refusals.latent_of(sketch, latent)
    frame = frame_of(sketch[label], refusals.plate_of(sketch, label, plate))
    refusals.check_enumerable(sketch[label], label)
    refusals.check_plate(sketch, label, frame.name)
    layout = Layout.of(data, frame.size)
    if not layout.columns:
        refuse(f"no argument of the program has {frame.size} entries, the size of plate {frame.name!r}: make it len(y)")
    packed = layout.packed(data)
    constants = {name: value for name, value in data.items() if name not in {c.name for c in layout.columns}}
    some = _some_rows(packed)
    every: Mapping[str, Any] = layout_rows(layout, packed)
    few = layout_rows(layout, packed[some])
    trace = _tried(first_run, model, {**every, **constants}, fixed)
    observed = _observed(trace, frame.name, every)
    # Whole numbers of a law of real ones are rounded ones: data that are drawn from it are none.
    if real := {argument for site, argument in observed if not trace[site]["fn"].support.is_discrete}:
        layout = layout.with_floats(real)
        every, few = layout_rows(layout, packed), layout_rows(layout, packed[some])
    found = Structure(
        model=model,
        fixed={**fixed, **constants},
        layout=layout,
        latent=label,
        plate=frame.name,
        values=refusals.values_of(trace[label], label),
        n_dims=len(trace[label]["fn"].batch_shape),
        plate_dim=frame.dim,
        observed=observed,
        template=every,
        sites=_sites(trace, label, frame.name, component_axis),
    )
    points = _points(found, every)
    if not traceable:
        _refuse_branches(found, few, points[0])
    _check_follows(found, few, len(some))
    found, every = _with_holes(found, data, every, points[0])
    tried, rows = _tried_out(found, every, some, points, component_axis)
    return with_outputs(tried, trace, every, rows, points), tried.layout.packed(data)


def _tried_out(
    found: Structure,
    every: Mapping[str, Any],
    some: np.ndarray,
    points: list[dict[str, Any]],
    component_axis: Mapping[str, int],
) -> tuple[Structure, Mapping[str, Any]]:
    """The structure with all that densities at points say, and the few rows that were tried."""
    few = {name: np.take(value, some, axis=_axis(found, name)) for name, value in every.items()}
    found = _with_label_shape(found, few, points[0])
    rows, priors = _check_rows(found, every, few, some, points)
    seen = [jax.tree.map(np.asarray, examined(found, few, point)) for point in points]
    _check_supports(found, seen)
    reads = not np.allclose(priors, [one.prior for one in seen], rtol=_CLOSE, atol=_CLOSE)
    # The same object as before, or it would be compiled once more.
    found = with_roles(found, few, points, seen, component_axis)
    found = dataclasses.replace(found, reads_data=reads, template=every if reads else few, improper=_improper(seen[0]))
    return dataclasses.replace(found, likeness=likeness_of(found, every, points, rows, priors, seen)), few


def _axis(found: Structure, name: str) -> int:
    return next(column.axis for column in found.layout.columns if column.name == name)


def layout_rows(layout: Layout, packed: np.ndarray) -> dict[str, Any]:
    """Rows of the matrix as arguments, on the host."""
    return {name: np.asarray(value) for name, value in layout.unpacked(Observations(y=packed.T)).items()}


def _sketch(model: Model, data: Mapping[str, Any], fixed: Mapping[str, Any]) -> tuple[Trace, bool]:
    """The messages of a run, and whether it could be compiled."""
    try:
        return sketched(model, data, fixed), True
    except _UNTRACEABLE:
        return _tried(first_run, model, data, fixed), False
    except Exception:
        # It is told by the run with numbers.
        return _tried(first_run, model, data, fixed), True


def _tried(how: Any, model: Model, data: Mapping[str, Any], fixed: Mapping[str, Any]) -> Trace:
    try:
        return how(model, data, fixed)
    except EmjaxError:
        raise
    except Exception as error:
        raise DataError(f"the program does not run with these data: {type(error).__name__}: {_line(error)}") from error


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]


def _observed(trace: Trace, plate: str, data: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    found = []
    for name, site in trace.items():
        if is_random(site) and site["is_observed"] and frame_of(site, plate):
            for argument, value in data.items():
                if np.shape(value) == np.shape(site["value"]) and np.array_equal(value, site["value"], equal_nan=True):
                    found.append((name, argument))
                    break
    return tuple(found)


def _sites(trace: Trace, label: str, plate: str, component_axis: Mapping[str, int]) -> tuple[Site, ...]:
    found = tuple(
        Site(name, tuple(np.shape(site["value"])), site["fn"].support)
        for name, site in trace.items()
        if is_latent(site) and name != label
    )
    names = [site.name for site in found]
    for name in component_axis:
        if name not in names:
            refuse(f"component_axis names {name!r}, and the latent sites outside the plate are {', '.join(names)}")
    return found


def _points(found: Structure, data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Values of all sites outside the plate, near the middle of the unconstrained space."""

    def values(key: Array) -> dict[str, Any]:
        trace = in_the_middle(found.model, data, found.fixed, key)
        return {site.name: jnp.asarray(trace[site.name]["value"], float) for site in found.sites}

    try:
        drawn = jax.jit(jax.vmap(values))(jax.random.split(jax.random.key(0), _POINTS))
        return [{name: np.asarray(value[i]) for name, value in drawn.items()} for i in range(_POINTS)]
    except _UNTRACEABLE:
        keys = jax.random.split(jax.random.key(0), _POINTS)
        return [{name: np.asarray(value) for name, value in values(key).items()} for key in keys]


def _some_rows(packed: np.ndarray) -> np.ndarray:
    """Some of the rows, fewer than all."""
    n_rows = len(packed)
    return np.unique(np.linspace(0, n_rows - 1, min(_SOME, max(n_rows - 1, 1))).astype(int))


def _check_follows(found: Structure, few: Mapping[str, Any], n_rows: int) -> None:
    try:
        trace = sketched(found.model, few, found.fixed)
    except Exception as error:
        refuse(
            f"the program runs with all data and not with {n_rows} of them, as EM calls it block by block: let sizes "
            f"follow the arguments, len(y) ({_line(error)})"
        )
    size = frame_of(trace[found.latent], found.plate).size
    if size != n_rows:
        refuse(f"plate {found.plate!r} has size {size} whatever the data: make it the length of an argument, len(y)")


def _refuse_branches(found: Structure, few: Mapping[str, Any], point: Mapping[str, Any]) -> None:
    """Refuse control flow on values, and name the site whose values they are."""
    whole = dataclasses.replace(found, shared_label=False)

    def density(values: Mapping[str, Any], label: Any) -> Any:
        return whole.rows(few, {**point, **values}, label)

    refuse(
        f"the program branches on the value of {_culprit(density, found, point)!r} (if, while, int(), float() or a "
        "NumPy function): write it with jnp.where or by indexing, so that it can be compiled"
    )


def _culprit(density: Any, found: Structure, point: Mapping[str, Any]) -> str:
    """The site whose value alone keeps a program from being compiled; the label where it is none of the others."""
    for name, value in point.items():
        try:
            # Mapped, and not compiled: what is not mapped stays a number, so that one site at a time can be tried.
            jax.vmap(lambda one, name=name: density({name: one}, found.values[0]))(value[None])
        except _UNTRACEABLE:
            return name
    return found.latent


def _with_label_shape(found: Structure, few: Mapping[str, Any], point: Mapping[str, Any]) -> Structure:
    """Whether the program takes one number for the labels of all rows, as programs that NumPyro enumerates do."""
    whole = dataclasses.replace(found, shared_label=False)
    try:
        same = np.allclose(
            _densities(found, few, point)[0], _densities(whole, few, point)[0], rtol=_CLOSE, equal_nan=True
        )
    except Exception:
        # Whatever a program makes of a shape that it does not expect.
        same = False
    return found if same else whole


@functools.partial(jax.jit, static_argnums=0)
def _densities(found: Structure, data: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[Array, Array]:
    """`Structure.matrix`, and the prior as it is with all of these data."""
    return found.matrix(data, given), found.prior(given, data)


def _with_holes(
    found: Structure, given: Mapping[str, Any], every: Mapping[str, Any], point: Mapping[str, Any]
) -> tuple[Structure, Mapping[str, Any]]:
    """Whether the program looks for NaN itself: else what is NaN is masked by other means, and a zero does as well.

    Zeros are better where they do: of what is masked NaN has no derivative, even if it has no part in the density.
    """
    for name, value in given.items():
        if not (isinstance(value, np.ndarray) and value.dtype.kind == "f" and np.isnan(value).any()):
            continue
        with_nan = np.asarray(_densities(found, {**every, name: value}, point)[0])
        if not np.isfinite(with_nan).any(axis=0).all():
            place = ", ".join(map(str, np.argwhere(np.isnan(value))[0].tolist()))
            raise DataError(
                f"the argument {name!r} is NaN at [{place}], and the program does not mask it: use "
                "numpyro.handlers.mask for what was not observed, or leave such data out"
            )
        if not np.allclose(with_nan, _densities(found, every, point)[0], rtol=_CLOSE, atol=_CLOSE):
            found = dataclasses.replace(found, layout=dataclasses.replace(found.layout, holes=True))
    return found, (layout_rows(found.layout, found.layout.packed(given)) if found.layout.holes else every)


def _check_rows(
    found: Structure,
    every: Mapping[str, Any],
    few: Mapping[str, Any],
    some: np.ndarray,
    points: list[dict[str, Any]],
) -> tuple[list[np.ndarray], list[float]]:
    """The matrix, of `compared` data, and the prior at the points, as they are with all data.

    Data must be finite or masked, possible under some label, and independent given the other sites.
    """
    matrices: list[np.ndarray] = []
    priors: list[float] = []
    possible = np.zeros(len(_first(found, every)), bool)
    for point in points:
        whole, prior = map(np.asarray, _densities(found, every, point))
        part = np.asarray(_densities(found, few, point)[0])
        matrices.append(whole[:, compared(whole.shape[1])])
        priors.append(float(prior))
        if np.isnan(whole).any():
            k, n = np.argwhere(np.isnan(whole))[0]
            raise DataError(
                f"the log density of datum {n} with {found.latent} = {found.values[k]} is NaN: check the data"
            )
        if not np.allclose(whole[:, some], part, rtol=_CLOSE, atol=_CLOSE):
            refuse(
                f"the density of a datum changes with the other data, so plate {found.plate!r} is none of independent "
                "data: compute what is made from all of them outside, and give it as a further argument"
            )
        possible |= np.isfinite(whole).any(axis=0)
    if not possible.all():
        row = int(np.argmin(possible))
        raise DataError(
            f"datum {row} (counting from 0) has density zero whatever {found.latent!r} is: it lies outside the support "
            f"of {', '.join(repr(name) for name, _ in found.observed) or 'what is observed'}"
        )
    return matrices, priors


def _first(found: Structure, data: Mapping[str, Any]) -> Any:
    column = found.layout.columns[0]
    return np.moveaxis(data[column.name], column.axis, 0)


def _improper(one: Examined) -> str:
    """The first site whose law does not integrate; a factor, a term that is no site, may make up for it."""
    if set(one.slopes_of_terms) - set(one.laws):
        return ""
    return next((name for name, law in one.laws.items() if fault_of_distribution(law)), "")


def _check_supports(found: Structure, seen: list[Examined]) -> None:
    for site in found.sites:
        first, *others = [one.laws[site.name].support for one in seen]
        if not all(bool(first == other) for other in others):
            refuse(
                f"the support of {site.name!r} depends on another site: write it as a fixed interval that is moved and "
                "scaled (a deterministic site), or truncate by a factor"
            )
