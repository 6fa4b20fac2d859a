"""`refit`: EM once more on many replicates of one data set, each from where a fit ended, in one compiled program.

Replicates are other weights of the same rows (the bootstrap and its relatives, the jackknife), which then are held
once, or other rows (the parametric bootstrap), each as often as it counts. They start warm, from the fit's estimate and
from its other regular optima that are about as high, so that a replicate may prefer another one; the best end of each
is kept. A fixed number of them shares a program at a time (`emjax.em.tile`), whatever their number, so that memory is
bounded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from emjax.em.blocks import Blocks, make_blocks
from emjax.em.rows import Rows
from emjax.em.state import CONVERGED, EMPTY, IMPRECISE, EMState, Options
from emjax.em.tile import Group, Tile
from emjax.families.frame import Frame
from emjax.mixture import Mixture, MixtureParams, Prior
from emjax.programs import make_room
from emjax.result import Fit
from emjax.scope import computing

Replicate = np.ndarray | Rows
"""Weights of the same rows, or other rows."""

_TOLERANCE = 1e-3

_RIVAL_NATS = 10.0
"""Other optima of a fit that are so near in height are starts of every replicate."""

_MOST_STARTS = 4

_LANES, _ROWS_OF_LANES = 256, 1 << 18
"""Replicates that are iterated together, and fewer where their rows together are more than this."""

_FEWEST_LANES = 4

_SHORT = 4
"""E-steps between two looks of the host: a replicate that starts this near takes six to twenty."""


@dataclasses.dataclass(frozen=True)
class Refits:
    """Where the replicates ended, in their order; every array leads with ``n_replicates``.

    Attributes
    ----------
    params
        In the data's units; components are numbered as EM left them.
    code
        Why each stopped (`emjax.em.state`).
    spurious
        Whether a component has lost its data, or stands where the likelihood has no bound.
    n_evaluations
        E-steps, over all starts of a replicate.
    n_starts
        How many starts each had.
    """

    params: MixtureParams
    code: np.ndarray
    spurious: np.ndarray
    n_evaluations: np.ndarray
    n_starts: int

    @property
    def regular(self) -> np.ndarray:
        """Which converged to a maximum that is not spurious."""
        return (self.code == CONVERGED) & ~self.spurious


def refit(
    fit: Fit,
    replicates: Iterable[Replicate],
    *,
    weights: bool,
    tol: float | None = None,
    max_iter: int = 10_000,
    on_progress: Callable[[int], None] | None = None,
) -> Refits:
    """Maximise once more what a fit maximised, for each replicate.

    Parameters
    ----------
    fit
        A fit; its mixture, its prior and its optima are used.
    replicates
        Arrays ``(n,)`` of ``weights`` for the rows that count, or else data ``(n, d)`` of one shape for all. Data may
        be `Rows` in the fit's frame, which say how often each row counts (altogether as often in all replicates) and
        what is known of it. Taken one after the other, as there is room for them.
    tol, max_iter
        As for `emjax.fit`, but for the default tolerance: a thousandth of a standard error, roughly, which is one over
        the root of the number of rows in the frame. Replicates are a thousand, and know no more of their spread.
    on_progress
        Called with the number of replicates that have ended.
    """
    make_room()
    if tol is None:
        tol = _TOLERANCE / float(np.sqrt(fit.samples.total_weight))
    with computing():
        return _Refitting(fit, weights, tol, max_iter, on_progress).run(replicates)


class _Refitting:
    """The replicates of one fit."""

    def __init__(
        self, fit: Fit, weights: bool, tol: float, max_iter: int, on_progress: Callable[[int], None] | None
    ) -> None:
        self._mixture, self._weights, self._max_iter = fit.mixture.likelihood, weights, max_iter
        self._on_progress = on_progress
        self._z = Rows.of(fit.samples, self._mixture.family)
        prior = fit.mixture.resolved_prior(fit.samples)
        self._prior: Prior | None = None
        if prior is not None:
            self._prior = jax.tree.map(np.asarray, fit.mixture.prior_to_frame(prior, self._z.frame))
        self._begin = _starts(fit, self._z.frame)
        self._n_starts = len(self._begin.weights)
        lanes = max(min(_LANES, _ROWS_OF_LANES // len(self._z)), _FEWEST_LANES)
        self._n_slots = max(lanes // self._n_starts, 1)
        self._options = Options(parameters=np.asarray(tol), gain=np.asarray(-1.0))
        self._ends: list[_Ends] = []

    def run(self, replicates: Iterable[Replicate]) -> Refits:
        """In the natural form first, and then those exactly that need it."""
        layout = self._layout(exact=False)
        kept: dict[int, Replicate] = {}

        def told() -> Iterator[tuple[int, Replicate]]:
            for number, replicate in enumerate(replicates):
                kept[number] = replicate
                yield number, replicate

        self._pass(told(), layout, kept)
        ends = _joined(self._ends)
        if kept and layout.blocks.natural:
            self._ends = [ends.without(np.array(list(kept)))]
            self._pass(iter(sorted(kept.items())), self._layout(exact=True), {})
            ends = _joined(self._ends)
        return self._best(ends)

    def _best(self, ends: _Ends) -> Refits:
        """Of each replicate the highest regular end, or the highest of others."""
        spurious = self._spurious(ends)
        regular = (ends.code == CONVERGED) & ~spurious
        height = np.where(np.isfinite(ends.objective), ends.objective, -np.inf)
        order = np.lexsort((ends.start, -height, ~regular, ends.number))
        best = order[:: self._n_starts]
        params = jax.tree.map(lambda leaf: leaf[best], ends.params)
        return Refits(
            params=jax.tree.map(np.asarray, self._from_frame(params)),
            code=ends.code[best],
            spurious=spurious[best],
            n_evaluations=ends.n_evaluations[order].reshape(-1, self._n_starts).sum(axis=1),
            n_starts=self._n_starts,
        )

    def _spurious(self, ends: _Ends) -> np.ndarray:
        """Which ends are, as those of a fit are judged."""
        found = (ends.counts < EMPTY).any(axis=1)
        if self._prior is None:
            n_features, family = self._z.shape[1], self._mixture.family
            for i in np.flatnonzero(~found & (ends.code == CONVERGED)):
                one = MixtureParams(family, {name: value[i] for name, value in ends.params.items()})
                found[i] = family.without_bound(one, one.weights, ends.counts[i], n_features).any()
        return found

    def _from_frame(self, params: MixtureParams) -> MixtureParams:
        return _from_frame(self._mixture, params, self._z.frame)

    def _layout(self, *, exact: bool) -> _Layout:
        numbers = np.arange(1.0, len(self._z) + 1)
        n_lanes = self._n_slots * self._n_starts
        blocks = make_blocks(self._z, self._mixture, n_starts=n_lanes, exact=exact, row_weights=numbers, spread=False)
        # Rows by their numbers, zero where a place is filled up: where the weight of each belongs.
        order = np.rint(blocks.weights).astype(int)
        given = np.ones(len(self._z)) if self._z.weights is None else self._z.weights
        return _Layout(dataclasses.replace(blocks, total_weight=np.asarray(given.sum())), order, n_lanes, exact)

    def _group(self, number: int, replicate: Replicate, layout: _Layout) -> Group:
        if isinstance(replicate, Rows):
            blocks = make_blocks(replicate, self._mixture, n_starts=layout.n_lanes, exact=layout.exact, spread=False)
        elif self._weights:
            blocks = layout.weighted(replicate)
        else:
            rows = Rows(replicate, self._z.frame, self._z.dtype, has_holes=bool(np.isnan(replicate).any()))
            blocks = make_blocks(rows, self._mixture, n_starts=layout.n_lanes, exact=layout.exact, spread=False)
            # One program, whatever the first of them were.
            blocks = dataclasses.replace(blocks, total_weight=layout.blocks.total_weight)
        return Group(number, self._begin, self._n_starts, blocks, self._prior)

    def _pass(self, replicates: Iterator[tuple[int, Replicate]], layout: _Layout, kept: dict[int, Replicate]) -> None:
        """All starts of all replicates; of those that have ended well ``kept`` forgets what they were."""
        tile = Tile(
            self._mixture,
            self._options,
            "anderson",
            n_slots=self._n_slots,
            n_places=self._n_starts,
            share_rows=self._weights,
            short=_SHORT,
        )
        queue = (self._group(number, replicate, layout) for number, replicate in replicates)
        left: dict[int, tuple[EMState, list[int], list[int], list[int]]] = {}
        missing: dict[int, int] = {}
        imprecise: set[int] = set()
        n_ended = 0
        for finished in tile.run(queue, max_iter=self._max_iter):
            number, at, reached = finished.group.owner, finished.at, finished.reached
            # All that came to rest at one time share these arrays: they are read together, at the end.
            _, numbers, starts, places = left.setdefault(id(reached), (reached, [], [], []))
            numbers += [number] * len(at)
            starts += finished.starts.tolist()
            places += at.tolist()
            missing[number] = missing.get(number, self._n_starts) - len(at)
            imprecise |= {number} if (reached.code[at] == IMPRECISE).any() else set()
            if missing[number]:
                continue
            n_ended += 1
            if number not in imprecise:
                kept.pop(number, None)
            if self._on_progress is not None:
                self._on_progress(n_ended)
        self._ends += [_ends_of(*each) for each in left.values()]


@dataclasses.dataclass(frozen=True)
class _Ends:
    """Where starts of replicates ended, in the frame; all arrays lead with them."""

    number: np.ndarray
    start: np.ndarray
    params: Any
    counts: np.ndarray
    code: np.ndarray
    objective: np.ndarray
    n_evaluations: np.ndarray

    def without(self, numbers: np.ndarray) -> _Ends:
        """Those of other replicates."""
        others = ~np.isin(self.number, numbers)
        return jax.tree.map(lambda leaf: leaf[others], self)


jax.tree_util.register_dataclass(_Ends)


def _ends_of(reached: EMState, numbers: list[int], starts: list[int], at: list[int]) -> _Ends:
    return _Ends(
        number=np.array(numbers),
        start=np.array(starts),
        params=jax.tree.map(lambda leaf: np.asarray(leaf)[at], reached.params),
        counts=np.asarray(reached.statistics.counts)[at],
        code=np.asarray(reached.code)[at],
        objective=np.asarray(reached.objective)[at],
        n_evaluations=np.asarray(reached.n_evaluations)[at],
    )


def _joined(ends: list[_Ends]) -> _Ends:
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *ends)


@dataclasses.dataclass(frozen=True)
class _Layout:
    """The rows in blocks, and where the weight of each belongs."""

    blocks: Blocks
    order: np.ndarray
    n_lanes: int
    exact: bool

    def weighted(self, weights: np.ndarray) -> Blocks:
        """The same rows with other weights ``(n,)``."""
        return dataclasses.replace(self.blocks, weights=np.append(0.0, weights)[self.order])


def _starts(fit: Fit, frame: Frame) -> MixtureParams:
    """The estimate, and the fit's other regular optima that are about as high, stacked, in the frame."""
    rivals = [
        each.params
        for each in fit.optima[1:]
        if each.kind == "regular" and each.objective >= fit.objective - _RIVAL_NATS
    ]
    begin = [fit.mixture.likelihood.to_frame(each, frame) for each in (fit.params, *rivals[: _MOST_STARTS - 1])]
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf, float) for leaf in leaves]), *begin)


@jax.jit(static_argnums=0)
def _from_frame(mixture: Mixture, params: MixtureParams, frame: Frame) -> MixtureParams:
    return jax.vmap(lambda one: mixture.from_frame(one, frame))(params)
