"""Which modes a posterior has, how much mass each holds, and which of them the chains have seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from emjax.bayes.empty import Ridge, count_empty
from emjax.bayes.laplace import GOOD_PARETO_K, ImportanceSample
from emjax.bayes.modes import LaplaceMixture
from emjax.bayes.target import Evaluator
from emjax.mixture import MixtureParams
from emjax.result import Optimum
from emjax.shown import Shown

NON_NEGLIGIBLE = 0.02
"""A mode with at least this mass that no chain has visited is a part of the posterior that the draws leave out."""

_MOST_POINTS = 2000


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PosteriorMode(Shown):
    """One mode of the posterior, up to labels.

    Attributes
    ----------
    params
        EM's optimum that leads to it, in the data's units.
    objective
        EM's objective there: log-likelihood plus log prior.
    log_density
        The log density of the posterior at the mode, in the unconstrained space, up to a constant that all share.
    laplace_mass, mass
        Its share of the posterior by the Laplace approximation, and corrected by importance sampling.
    visited
        The share of the draws that lie in it.
    visited_by_chain
        The same for each chain, ``(n_chains,)``.
    n_starts
        How many of EM's starts ended there.
    n_empty
        How many components are empty: if any, it is no mode but a ridge as wide as the prior (`emjax.bayes.empty`).
        ``params`` are then a point on it, with the empty components last.
    """

    params: MixtureParams
    objective: float
    log_density: float
    laplace_mass: float
    mass: float
    visited: float
    visited_by_chain: tuple[float, ...]
    n_starts: int
    n_empty: int = 0

    def _shown(self) -> Iterator[tuple[str, Any]]:
        names = "n_empty", "log_density", "laplace_mass", "mass", "visited", "n_starts"
        yield from ((name, getattr(self, name)) for name in names)

    @property
    def words(self) -> str:
        """What it is: a mode with its height, or the region where so many components are empty."""
        if not self.n_empty:
            return f"the mode with log density {self.log_density:.2f}"
        components = "one component is" if self.n_empty == 1 else f"{self.n_empty} components are"
        return f"the region where {components} empty"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PosteriorModes(Shown):
    """The modes of a posterior that EM knows of.

    Attributes
    ----------
    modes
        The modes, the one with the largest mass first.
    pareto_k
        The shape of the importance weights' tail: above ``good_pareto_k`` the masses are rough, and so is the evidence.
    importance_ess
        How many draws the weighted points are worth.
    log_evidence
        The log marginal likelihood of the data, ``log p(x)``, in nats; of the data and what labels say of them where
        there are labels.
    good_pareto_k
        The limit of ``pareto_k`` for the number of points, `emjax.bayes.laplace.good_pareto_k`.
    """

    modes: tuple[PosteriorMode, ...]
    pareto_k: float
    importance_ess: float
    log_evidence: float
    good_pareto_k: float = GOOD_PARETO_K

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "n_modes", self.n_modes
        yield "masses", tuple(round(mode.mass, 4) for mode in self.modes)
        yield "unvisited", self.unvisited
        yield "believable", self.believable
        yield "pareto_k", self.pareto_k
        yield "log_evidence", self.log_evidence

    @property
    def believable(self) -> bool:
        """Whether masses and evidence by the importance weights may be believed."""
        return self.pareto_k <= self.good_pareto_k

    @property
    def n_modes(self) -> int:
        """Modes with at least one percent of the posterior, by either account of it."""
        return sum(max(mode.mass, mode.visited) >= 0.01 for mode in self.modes)

    @property
    def unvisited(self) -> tuple[int, ...]:
        """Modes of non-negligible mass in which no draw lies."""
        return tuple(i for i, mode in enumerate(self.modes) if mode.visited == 0 and mode.mass >= NON_NEGLIGIBLE)


def describe_modes(
    sample: ImportanceSample,
    masses: np.ndarray,
    constant: float,
    flat: np.ndarray,
    evaluate: Evaluator | None = None,
    on_ridges: Sequence[Optimum] = (),
) -> PosteriorModes:
    """The modes with their ``masses`` and visits by draws ``(chain, draw, p)``; ``constant`` is added to densities.

    Where the sample has ridges, ``evaluate`` is the target and ``on_ridges`` are points on them.
    """
    mixture = sample.mixture
    shares = visited_shares(mixture, flat, sample.ridges, evaluate)
    known = [(mode, mode.optimum, 0) for mode in mixture.modes]
    known += [(ridge.mode, at, ridge.n_empty) for ridge, at in zip(sample.ridges, on_ridges, strict=True)]
    found = [
        PosteriorMode(
            params=at.params,
            objective=at.objective,
            log_density=mode.log_density + constant,
            laplace_mass=float(sample.laplace_masses[i]),
            mass=float(masses[i]),
            visited=float(shares[:, i].mean()),
            visited_by_chain=tuple(shares[:, i].tolist()),
            n_starts=at.count,
            n_empty=n_empty,
        )
        for i, (mode, at, n_empty) in enumerate(known)
    ]
    found.sort(key=lambda mode: -mode.mass)
    return PosteriorModes(
        modes=tuple(found),
        pareto_k=sample.pareto_k,
        importance_ess=sample.effective_sample_size,
        log_evidence=sample.log_evidence + constant,
        good_pareto_k=sample.good_pareto_k,
    )


def visited_shares(
    mixture: LaplaceMixture,
    flat: np.ndarray,
    ridges: tuple[Ridge, ...] = (),
    evaluate: Evaluator | None = None,
) -> np.ndarray:
    """The share of each chain's draws that belong to each mode by the Laplace mixture, and to each ridge."""
    n_chains, n_draws, p = flat.shape
    kept = np.unique(np.linspace(0, n_draws - 1, max(1, min(n_draws, _MOST_POINTS // n_chains))).round().astype(int))
    points = flat[:, kept].reshape(-1, p)
    which = parts(mixture, ridges, evaluate, points).reshape(n_chains, len(kept))
    return np.stack([(which == i).mean(axis=1) for i in range(len(mixture.modes) + len(ridges))], axis=1)


def parts(
    mixture: LaplaceMixture, ridges: tuple[Ridge, ...], evaluate: Evaluator | None, points: np.ndarray
) -> np.ndarray:
    """The part of the posterior that each point ``(m, p)`` belongs to: a mode's place, or after all modes a ridge's."""
    nearest = mixture.log_terms(points).argmax(axis=1)
    if not ridges:
        return np.asarray(nearest)
    assert evaluate is not None
    n_empty = np.minimum(count_empty(evaluate, points), len(ridges))
    return np.where(n_empty > 0, len(mixture.modes) + n_empty - 1, nearest)
