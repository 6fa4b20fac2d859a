"""`intervals_many`: the intervals of many fits of one shape, from one compiled program."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from emjax.bounds import share
from emjax.em.blocks import Blocks
from emjax.errors import EmjaxError
from emjax.families.frame import Frame
from emjax.mixture import Mixture, MixtureParams, Prior
from emjax.programs import make_room
from emjax.result import Fit
from emjax.scope import computing
from emjax.uncertainty.information import derivatives, from_derivatives, left_out, problem_of
from emjax.uncertainty.limits import too_large
from emjax.uncertainty.results import Intervals

_FITS_AT_ONCE = 16
_ROWS_AT_ONCE = 1 << 13


def intervals_many(fits: Sequence[Fit | EmjaxError], *, level: float = 0.9) -> list[Intervals | EmjaxError]:
    """Intervals of many fits: ``[fit.intervals(level, "information") for fit in fits]``, in less time.

    Parameters
    ----------
    fits
        What `emjax.em.many.fit_many` gives. Those with one mixture and one shape of data share a program.
    level
        Coverage in (0, 1), 0.9 by default.

    Returns
    -------
    list
        For each fit what `emjax.uncertainty.intervals` gives, by the observed information, but for rounding; an
        exception in place of a fit stays in its place.

    Raises
    ------
    ValueError
        If ``level`` is out of range.
    """
    share("level", level)
    results: list[Any] = list(fits)
    groups: dict[Any, list[int]] = {}
    for place, fit in enumerate(fits):
        if isinstance(fit, Fit):
            if why := too_large(fit.mixture, fit.data.shape):
                results[place] = left_out(fit, level, why)
                continue
            alike = fit.mixture.likelihood, fit.data.shape, fit.mixture.prior is None
            groups.setdefault(alike, []).append(place)
    make_room()
    with computing():
        for (mixture, (n_rows, _), _), places in groups.items():
            # A number of shapes alone, the last batch filled up: one program, and the same bits in any company.
            at_once = min(_FITS_AT_ONCE, max(_ROWS_AT_ONCE // n_rows, 1))
            for begin in range(0, len(places), at_once):
                chosen = places[begin : begin + at_once]
                filled = [*chosen, *[chosen[-1]] * (at_once - len(chosen))]
                for place, found in zip(chosen, _found(mixture, [fits[i] for i in filled]), strict=False):
                    results[place] = from_derivatives(results[place], level, *found)
    return results


def _found(mixture: Mixture, fits: list[Any]) -> list[tuple[np.ndarray, ...]]:
    given = [problem_of(fit, spread=False) for fit in fits]
    stacked = jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *given)
    found = [np.asarray(each) for each in _all_derivatives(mixture, *stacked)]
    return [tuple(np.asarray(each[i]) for each in found) for i in range(len(fits))]


@functools.partial(jax.jit, static_argnums=0)
def _all_derivatives(
    mixture: Mixture, params: MixtureParams, data: Blocks, prior: Prior | None, frame: Frame
) -> tuple[Array, ...]:
    return jax.vmap(functools.partial(derivatives, mixture))(params, data, prior, frame)
