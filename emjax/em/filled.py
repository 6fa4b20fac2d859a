"""Mixtures of several numbers of components in one program: those that a mixture has not are filled up.

A sweep over numbers of components meets as many shapes, and of data that are few compiling their programs takes ten
times as long as running them. So a mixture of K components may be iterated in the program of more: the others have a
weight of zero, and with it no responsibility, no statistics and no step (`Options.live` tells them). What is computed
of the K components is what their own program computes, but for the rounding of sums that have zeros among them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping

import numpy as np

from emjax.em.accelerate import Accelerated, Walk
from emjax.em.init import log_joint_of, pooled_start
from emjax.em.lanes import nominal_seconds
from emjax.em.problem import Problem
from emjax.em.state import EMState, Program
from emjax.families.coordinates import Coordinates
from emjax.families.parameters import MixtureParams
from emjax.families.priors import WEIGHTS
from emjax.mixture import Mixture
from emjax.samples import Samples

_CHEAP_SECONDS = 0.001
"""An E-step of the starts may take so long (nominally) where components are filled up: they cost their share of it."""


def may_fill(mixture: Mixture, samples: Samples, n_components: int, n_starts: int) -> bool:
    """Whether a fit by maximum likelihood should run in the program of ``n_components``.

    The M-step must be a closed form in a natural form of the statistics, with nothing known of single components.
    """
    family, counted = mixture.family, samples.counted
    plain = mixture.prior is None and counted.labels is None and not counted.has_holes
    if not (plain and family.weighted and family.natural and family.exact and family.closed(mixture.laws(None))):
        return False
    seconds = nominal_seconds(counted.n_samples, counted.n_features, n_starts * n_components)
    return n_components >= mixture.n_components and seconds <= _CHEAP_SECONDS


class Filled:
    """Accelerated iterations in the program of more components; a counterpart of `Accelerated`.

    Parameters
    ----------
    program
        That of the mixture as it is.
    n_components
        The number of components to fill up to.
    spare
        What those that are filled up are, by name, without an axis of components: any ordinary values.
    """

    def __init__(self, program: Program, n_components: int, spare: Mapping[str, np.ndarray]) -> None:
        self.program, self._spare = program, spare
        self._n_live, self._n_all = program.mixture.n_components, n_components
        wide = dataclasses.replace(program.mixture, n_components=n_components)
        options = dataclasses.replace(program.options, live=np.arange(n_components) < self._n_live)
        self._inner = Accelerated(dataclasses.replace(program, mixture=wide, options=options))
        n_features = program.data.x.shape[1]
        self._live = _live_places(wide.coordinates(n_features, weights="logarithms"), self._n_live)

    def begin(self, params: MixtureParams) -> Walk:
        """The starts, evaluated."""
        return self._inner.begin(widened(params, self._n_all, self._spare))

    def advance(self, walk: Walk, until: int, limit: int) -> tuple[Walk, np.ndarray]:
        """As `Accelerated.advance`."""
        return self._inner.advance(walk, until, limit)

    def displaced(self, walk: Walk, away: np.ndarray) -> Walk:
        """As `Accelerated.displaced`, in coordinates of the components that there are."""
        wide = np.zeros(walk.at.u.shape, away.dtype)
        wide[:, self._live] = away
        return self._inner.displaced(walk, wide)

    def coordinates(self, walk: Walk) -> np.ndarray:
        """As `Accelerated.coordinates`, of the components that there are."""
        return self._inner.coordinates(walk)[:, self._live]

    def retake(self, walk: Walk) -> Walk:
        """As `Accelerated.retake`."""
        return self._inner.retake(walk)

    def ended(self, walk: Walk) -> EMState:
        """What the starts have reached, in the components that there are."""
        state = self._inner.ended(walk)
        counts = state.statistics.counts[:, : self._n_live]
        statistics = dataclasses.replace(state.statistics, counts=counts)
        return dataclasses.replace(state, params=self._narrowed(state.params), statistics=statistics)

    def _narrowed(self, params: MixtureParams) -> MixtureParams:
        shared = {name for name, parameter in params.family.declared if parameter.shared}
        own = {name: value if name in shared else value[:, : self._n_live] for name, value in params.items()}
        return MixtureParams(params.family, own)


def _live_places(wide: Coordinates, n_live: int) -> np.ndarray:
    """Where the coordinates of the first components stand among those of all, in the order of their own vector."""
    shared = {name for name, parameter in wide.family.declared if parameter.shared}
    return np.concatenate([(at if name in shared else at[:n_live]).ravel() for name, at in wide.places.items()])


def widened(params: MixtureParams, n_components: int, spare: Mapping[str, np.ndarray]) -> MixtureParams:
    """Stacked parameters with components of weight zero behind their own."""
    n_starts, n_live = params[WEIGHTS].shape
    rest = n_components - n_live
    values = {WEIGHTS: np.pad(np.asarray(params[WEIGHTS]), ((0, 0), (0, rest)))}
    for name, parameter in params.family.declared:
        value = np.asarray(params[name])
        if not parameter.shared:
            more = np.broadcast_to(spare[name].astype(value.dtype), (n_starts, rest, *spare[name].shape))
            value = np.concatenate([value, more], axis=1)
        values[name] = value
    return MixtureParams(params.family, values)


def log_joint_in(problem: Problem) -> Callable[[Mixture, MixtureParams, np.ndarray], np.ndarray] | None:
    """What evaluates rows by the program of more components, where these are filled up; None for any other problem."""
    if not problem.n_filled:
        return None
    spare = _spare_component(problem)

    def evaluated(mixture: Mixture, params: MixtureParams, z: np.ndarray) -> np.ndarray:
        stacked = MixtureParams(params.family, {name: np.asarray(value)[None] for name, value in params.items()})
        wide = widened(stacked, problem.n_filled, spare)
        alone = MixtureParams(params.family, {name: value[0] for name, value in wide.items()})
        more = dataclasses.replace(mixture, n_components=problem.n_filled)
        return np.asarray(log_joint_of(more, alone, z))[:, : mixture.n_components]

    return evaluated


def engine_of(problem: Problem) -> Callable[[Program], Filled] | None:
    """What makes the engine of a problem whose components are filled up; None for any other."""
    if not problem.n_filled:
        return None
    return functools.partial(Filled, n_components=problem.n_filled, spare=_spare_component(problem))


def _spare_component(problem: Problem) -> dict[str, np.ndarray]:
    """A component at the estimate of all the data, in the frame, without what all components share."""
    pooled = pooled_start(dataclasses.replace(problem.likelihood, n_components=1), problem.z)
    return {name: np.asarray(pooled[name])[0] for name, parameter in pooled.family.declared if not parameter.shared}
