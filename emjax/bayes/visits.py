"""Which modes a posterior has, how much mass each holds, and which of them the chains have seen."""

from __future__ import annotations

import dataclasses

import numpy as np

from emjax.bayes.laplace import GOOD_PARETO_K, ImportanceSample
from emjax.bayes.modes import LaplaceMixture
from emjax.mixture import MixtureParams

NON_NEGLIGIBLE = 0.02
"""A mode with at least this mass that no chain has visited is a part of the posterior that the draws leave out."""

_MOST_POINTS = 2000


@dataclasses.dataclass(frozen=True)
class PosteriorMode:
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
    """

    params: MixtureParams
    objective: float
    log_density: float
    laplace_mass: float
    mass: float
    visited: float
    visited_by_chain: tuple[float, ...]
    n_starts: int


@dataclasses.dataclass(frozen=True)
class PosteriorModes:
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
        The log marginal likelihood of the data, ``log p(x)``, in nats; NaN where the prior tells labels apart, so that
        the copies of a mode are not equal.
    good_pareto_k
        The limit of ``pareto_k`` for the number of points, `emjax.bayes.laplace.good_pareto_k`.
    """

    modes: tuple[PosteriorMode, ...]
    pareto_k: float
    importance_ess: float
    log_evidence: float
    good_pareto_k: float = GOOD_PARETO_K

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


def describe_modes(sample: ImportanceSample, masses: np.ndarray, constant: float, flat: np.ndarray) -> PosteriorModes:
    """The modes with their ``masses`` and visits by draws ``(chain, draw, p)``; ``constant`` is added to densities."""
    mixture = sample.mixture
    shares = visited_shares(mixture, flat)
    found = [
        PosteriorMode(
            params=mode.optimum.params,
            objective=mode.optimum.objective,
            log_density=mode.log_density + constant,
            laplace_mass=float(mixture.weights[i]),
            mass=float(masses[i]),
            visited=float(shares[:, i].mean()),
            visited_by_chain=tuple(shares[:, i].tolist()),
            n_starts=mode.optimum.count,
        )
        for i, mode in enumerate(mixture.modes)
    ]
    found.sort(key=lambda mode: -mode.mass)
    return PosteriorModes(
        modes=tuple(found),
        pareto_k=sample.pareto_k,
        importance_ess=sample.effective_sample_size,
        log_evidence=sample.log_evidence + constant,
        good_pareto_k=sample.good_pareto_k,
    )


def visited_shares(mixture: LaplaceMixture, flat: np.ndarray) -> np.ndarray:
    """The share of each chain's draws that belong to each mode by the Laplace mixture, ``(chain, mode)``."""
    n_chains, n_draws, p = flat.shape
    kept = np.unique(np.linspace(0, n_draws - 1, max(1, min(n_draws, _MOST_POINTS // n_chains))).round().astype(int))
    which = mixture.log_terms(flat[:, kept].reshape(-1, p)).argmax(axis=1).reshape(n_chains, len(kept))
    return np.stack([(which == i).mean(axis=1) for i in range(len(mixture.modes))], axis=1)
