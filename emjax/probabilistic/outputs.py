"""Deterministic sites outside the plate: what a program computes from its parameters.

A site that was reparametrised is one, or a contrast. EM's table, its intervals and posteriors have them as any number.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from emjax.probabilistic.running import Trace
from emjax.probabilistic.structure import Site, Structure

_CLOSE = 1e-9


def with_outputs(
    found: Structure,
    trace: Trace,
    every: Mapping[str, Any],
    few: Mapping[str, Any],
    points: list[dict[str, Any]],
) -> Structure:
    """The structure with those that are functions of the parameters alone, tried at points.

    What changes with the label or with the data is no such function, and what changes with nothing is no number to be
    estimated: these are left out.
    """
    names = tuple(name for name, site in trace.items() if _may_be(site, found.plate))
    if not names:
        return found
    base, *others = [
        _values(found, names, *given)
        for given in (
            (few, points[0], found.values[0]),
            (few, points[0], found.values[-1]),
            (every, points[0], found.values[0]),
            (few, points[1], found.values[0]),
            (few, _exchanged(found, points[0]), found.values[0]),
        )
    ]
    of_label, of_data, elsewhere, exchanged = others
    outputs = [
        Site(name, base[name].shape, None, _component_axis(base[name], exchanged[name], found.n_components))
        for name in names
        if np.isfinite(base[name]).all()
        and _same(of_label[name], base[name])
        and _same(of_data[name], base[name])
        and not _same(elsewhere[name], base[name])
    ]
    return dataclasses.replace(found, outputs=tuple(outputs))


def _may_be(site: Mapping[str, Any], plate: str) -> bool:
    outside = site["type"] == "deterministic" and all(f.name != plate for f in site.get("cond_indep_stack", ()))
    return outside and jnp.issubdtype(jnp.result_type(site["value"]), jnp.floating)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _traced(found: Structure, names: tuple[str, ...], data: Any, given: Any, label: Any) -> dict[str, Any]:
    trace = found.trace(data, given, label)
    return {name: trace[name]["value"] for name in names}


def _values(
    found: Structure, names: tuple[str, ...], data: Mapping[str, Any], given: Mapping[str, Any], label: int
) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in _traced(found, names, data, given, label).items()}


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and np.allclose(one, other, rtol=_CLOSE, atol=_CLOSE)


def _exchanged(found: Structure, point: Mapping[str, Any]) -> dict[str, Any]:
    """The point with its first two components in each other's place, if there are two."""
    order = _exchange(found.n_components)
    moved = dict(point)
    for site in found.sites:
        if site.component_axis is not None:
            moved[site.name] = np.take(point[site.name], order, axis=site.component_axis)
    weights = found.weights
    if weights is not None and weights.site in point:
        value = np.asarray(point[weights.site])
        moved[weights.site] = value[order] if weights.entry is None else 1.0 - value
    return moved


def _exchange(n_components: int) -> np.ndarray:
    return np.r_[1, 0, 2:n_components] if n_components > 1 else np.arange(1)


def _component_axis(base: np.ndarray, exchanged: np.ndarray, n_components: int) -> int | None:
    """The axis along which entries change their places with the components."""
    order = _exchange(n_components)
    moves = not _same(base, exchanged)
    axes = [
        axis
        for axis, length in enumerate(base.shape)
        if moves and length == n_components and _same(np.take(base, order, axis=axis), exchanged)
    ]
    return axes[0] if axes else None
