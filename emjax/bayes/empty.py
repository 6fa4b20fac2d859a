r"""Where components are empty: the parts of a posterior that are no optimum of EM.

A component that holds no data has its prior for a posterior, and its weight goes to zero. In the space of samplers
that is a ridge as wide as the prior, of a height that falls forever towards a weight of zero: EM comes to rest nowhere
on it. It holds the posterior of the mixture with fewer components, and with a wide prior often most of the mass.

With the weights of the components in :math:`E` fixed at nothing, the target is that of the other components and of the
prior of these, and has a mode :math:`v` with a Laplace approximation. The weights integrate out in closed form, since
:math:`n` data fell to the others,

.. math::

    \int p(u \mid x) \, du_E = \int \lim_{w_E \to 0} \frac{p(v, w_E \mid x)}{\prod_{k \in E} w_k^{\alpha_k}} \, dv \;
    \frac{\prod_{k \in E} \Gamma(\alpha_k) \, \Gamma(A_K + n)}{\Gamma(A + n)}, \qquad
    A = \sum_k \alpha_k, \quad A_K = \sum_{k \notin E} \alpha_k ,

which makes the mass of the ridge comparable with that of a mode. A point of the posterior lies on it where the data
that a component expects to hold, :math:`\sum_i r_{ik}`, are fewer than half of one.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln, logsumexp

from emjax.bayes.modes import LaplaceMixture, Mode, climb
from emjax.bayes.target import Evaluator, TargetData
from emjax.families.arrays import AnyArray
from emjax.result import Optimum

_NOTHING = -60.0
"""The logarithm of an empty component's weight relative to that of one that is not."""

NEGLIGIBLE = 12.0
"""Ridges whose mass is this many nats below the largest are left out."""

FAR = 200.0
"""Nats by which all ridges have to fall short on a sample of the data, for none of them to be looked for on all: the
standard error of a gap between two densities is about the root of twice the gap, so that is ten of them."""

HALF_A_DATUM = 0.5
"""A component that expects to hold fewer data is empty."""


@dataclasses.dataclass(frozen=True)
class Ridge:
    """A part of the posterior where some components are empty, up to labels.

    Attributes
    ----------
    empty
        Which components are empty in the copy that is stored.
    reference
        The component that weights are taken relative to.
    mode
        The mode of the others in the coordinates of `face`, its ``log_mass`` that of the whole ridge.
    concentration, n_samples
        Of the weights' prior, ``(K,)``, and the data: what an empty component's weight depends on.
    """

    empty: tuple[int, ...]
    reference: int
    mode: Mode
    concentration: np.ndarray
    n_samples: float

    @property
    def n_empty(self) -> int:
        """How many components are empty."""
        return len(self.empty)

    def face(self, evaluate: Evaluator) -> Face:
        """The target without the weights of the empty components."""
        return Face(evaluate, self.empty, self.reference)

    def sample(self, evaluate: Evaluator, rng: np.random.Generator, n: int, inflation: float = 1.0) -> np.ndarray:
        """``n`` points ``(n, p)`` around the mode, so many deviations wide, and weights as without data."""
        noise = inflation * rng.standard_normal((n, len(self.mode.flat)))
        return self.with_weights(evaluate, self.mode.flat + noise @ self.mode.root.T, rng)

    def with_weights(
        self, evaluate: Evaluator, points: Float[np.ndarray, "n q"], rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """Points of the face with weights drawn for the empty components, or with their mean."""
        empty = list(self.empty)
        kept = np.setdiff1d(np.arange(len(self.concentration)), empty)
        shapes = np.array([*self.concentration[empty], self.concentration[kept].sum() + self.n_samples])
        drawn = np.tile(shapes, (len(points), 1)) if rng is None else rng.gamma(shapes, size=(len(points), len(shapes)))
        logs = np.log(np.maximum(drawn, 1e-250))
        flat = self.face(evaluate).whole(points)
        logits = evaluate.target.logits(flat)
        logits[:, empty] = logs[:, :-1] - logs[:, -1:] + logsumexp(logits[:, kept], axis=1)[:, None]
        return np.asarray(evaluate.target.with_logits(flat, logits))


class Face(Evaluator):
    """The target where some components weigh nothing, as a function ``(q,)`` of all coordinates but their weights."""

    def __init__(self, evaluate: Evaluator, empty: tuple[int, ...], reference: int) -> None:
        super().__init__(evaluate.target, evaluate.data, evaluate.lanes)
        k, p = evaluate.target.n_components, evaluate.target.n_parameters
        self.free = [j for j in range(k) if j != reference and j not in empty]
        logits = np.zeros((k, len(self.free) + 1))
        logits[self.free, np.arange(len(self.free))] = 1.0
        logits[list(empty), -1] = _NOTHING
        ratios = logits[:-1] - logits[-1:]
        first = evaluate.target.of_weights.start
        self.matrix = np.zeros((p, first + len(self.free)))
        self.matrix[:first, :first] = np.eye(first)
        self.matrix[first:, first:] = ratios[:, :-1]
        self.offset = np.concatenate([np.zeros(first), ratios[:, -1]])

    def __call__(self, points: Float[AnyArray, "m q"]) -> tuple[np.ndarray, np.ndarray]:
        """Log densities and gradients in the coordinates of the face."""
        values, gradients = super().__call__(self.whole(points))
        with np.errstate(invalid="ignore"):  # at points without a finite density
            return values, gradients @ self.matrix

    def whole(self, points: Float[AnyArray, "m q"]) -> np.ndarray:
        """The points ``(m, p)`` of the target."""
        return np.asarray(self.offset + points @ self.matrix.T)


def find_ridges(
    evaluate: Evaluator, modes: LaplaceMixture, pooled: Float[np.ndarray, " p"], optimum: Optimum
) -> tuple[tuple[Ridge, ...], ...]:
    """The ridges that components taken out of the largest mode lead to: of one empty component, of two, and so on.

    ``pooled`` are all components at the estimate of all data: where an empty one begins. One more component is taken
    out as long as that leaves a mass that counts. Of each number those within reach of the largest are kept, it first.
    """
    levels: list[tuple[Ridge, ...]] = []
    empty: tuple[int, ...] = ()
    center, highest = modes.modes[0].flat, modes.modes[0].log_mass
    for _ in range(evaluate.target.n_components - 1):
        level = sorted(_taken_out(evaluate, center, empty, pooled, optimum), key=lambda ridge: -ridge.mode.log_mass)
        if not (level and level[0].mode.log_mass > highest - NEGLIGIBLE):
            break
        best = level[0]
        highest = max(highest, best.mode.log_mass)
        near = [ridge for ridge in level if ridge.mode.log_mass > best.mode.log_mass - NEGLIGIBLE]
        # Where components are told apart, that another one is empty is another ridge, of whatever height.
        alike = evaluate.target.exchangeable
        levels.append(tuple(ridge for i, ridge in enumerate(near) if not (i and alike) or _apart(ridge, near[i - 1])))
        center, empty = best.face(evaluate).whole(best.mode.flat[None])[0], best.empty
    return tuple(levels)


def out_of_reach(few: Evaluator, modes: LaplaceMixture, pooled: Float[np.ndarray, " p"], optimum: Optimum) -> bool:
    """Whether a sample of the data rules out that any component is empty; ``few`` is the target of that sample.

    On more data a ridge falls short by more, in proportion. The arguments else are those of `find_ridges`.
    """
    center = modes.modes[0].flat
    (height,), _ = few(center[None])
    concentration = np.asarray(few.data.prior.concentration)
    # The prior of a weight that is fixed at nothing is no part of what the data say.
    reached = [
        ridge.mode.log_density - _NOTHING * concentration[list(ridge.empty)].sum()
        for ridge in _taken_out(few, center, (), pooled, optimum)
    ]
    return all(height - one > FAR for one in reached)


def merged(evaluate: Evaluator, level: tuple[Ridge, ...]) -> Ridge:
    """The best of some ridges with the mass of all of them, and the density where empty weights have their means."""
    best, log_mass = level[0], logsumexp([ridge.mode.log_mass for ridge in level])
    (height,), _ = evaluate(best.with_weights(evaluate, best.mode.flat[None]))
    return dataclasses.replace(
        best, mode=dataclasses.replace(best.mode, log_density=float(height), log_mass=float(log_mass))
    )


def _apart(one: Ridge, other: Ridge) -> bool:
    """Whether two ridges with as many empty components are not the same one, reached twice."""
    return abs(one.mode.log_density - other.mode.log_density) > 1e-3 * len(one.mode.flat)


def _taken_out(
    evaluate: Evaluator,
    center: np.ndarray,
    already: tuple[int, ...],
    pooled: np.ndarray,
    optimum: Optimum,
) -> list[Ridge]:
    """The ridges that are reached from one point, by one more empty component each."""
    target, data = evaluate.target, evaluate.data
    places, first = target.component_places, target.of_weights.start
    concentration = np.asarray(data.prior.concentration)
    kept = [j for j in range(target.n_components) if j not in already]
    # Of one component that is left, all are the same where nothing tells them apart.
    out = kept[:1] if len(kept) == 2 and target.exchangeable else kept
    logits = target.logits(center)
    ridges = []
    for j in out:
        empty = (*already, j)
        rest = [i for i in kept if i != j]
        reference = rest[int(np.argmax(logits[rest]))]
        face = Face(evaluate, empty, reference)
        start = center.copy()
        if len(rest) == 1:
            start[:first] = pooled[:first]
        start[places[j]] = pooled[places[j]]
        inside = np.concatenate([start[:first], logits[face.free] - logits[reference]])
        mode = climb(face, inside, optimum)
        if mode is not None and np.isfinite(mode.log_mass):
            weighed = _integrated(face, mode, empty, reference, concentration, n_samples(data))
            ridges.append(Ridge(empty, reference, weighed, concentration, n_samples(data)))
    return ridges


def _integrated(
    face: Face, mode: Mode, empty: tuple[int, ...], reference: int, concentration: np.ndarray, n: float
) -> Mode:
    """The mode with the mass of its ridge: the weights of the empty components integrated out, and where components are
    alike, the order of the empty ones left out."""
    logits = np.zeros(len(concentration))
    logits[face.free] = mode.flat[len(mode.flat) - len(face.free) :]
    kept = np.setdiff1d(np.arange(len(concentration)), empty)
    alpha = concentration[list(empty)]
    log_reference = -logsumexp(logits[kept])
    log_mass = (
        mode.log_mass
        - alpha.sum() * (_NOTHING + log_reference)
        + gammaln(alpha).sum()
        + gammaln(concentration[kept].sum() + n)
        - gammaln(concentration.sum() + n)
        - gammaln((len(empty) if face.target.exchangeable else 1) + 1.0)
    )
    return dataclasses.replace(mode, log_mass=float(log_mass))


def n_samples(data: TargetData) -> float:
    """How many data there are, equal rows counted."""
    return float(np.sum(np.asarray(data.blocks.weights)))


def count_empty(evaluate: Evaluator, points: Float[np.ndarray, "m p"]) -> np.ndarray:
    """How many components are empty at points, ``(m,)``: by the data that each expects, from the gradient."""
    target = evaluate.target
    if target.n_components == 1:
        return np.zeros(len(points), int)
    _, gradients = evaluate(points)
    logits = target.logits(points)
    weights = np.exp(logits - logsumexp(logits, axis=1)[:, None])
    alpha, n = np.asarray(evaluate.data.prior.concentration), n_samples(evaluate.data)
    # d log p / d log w_k = sum_i r_ik - n w_k + alpha_k - A w_k, and the same holds of the log-ratios.
    slopes = gradients[:, target.of_weights]
    counts = slopes + (n + alpha.sum()) * weights[:, :-1] - alpha[:-1]
    counts = np.concatenate([counts, n - counts.sum(axis=1)[:, None]], axis=1)
    return np.asarray((counts < HALF_A_DATUM).sum(axis=1))
