"""What every sampler hands back: draws on the unconstrained space, and what is known of each transition."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Run:
    """The kept draws of all chains, as NumPy arrays.

    Attributes
    ----------
    flat
        Points of the unconstrained space, ``(chain, draw, p)``; see `emjax.bayes.target.Target`.
    sample_stats
        By ArviZ's names, ``(chain, draw)``: ``lp`` (log density of the target, in nats), and what the method knows of
        its transitions (``energy``, ``diverging``, ``n_steps``, ``acceptance_rate``, ``step_size``, ...).
    superchains
        Which chains began at the same point, ``(chain,)``; None where each began at its own.
    """

    flat: np.ndarray
    sample_stats: dict[str, np.ndarray]
    superchains: np.ndarray | None = None
