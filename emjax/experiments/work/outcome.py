"""What a method came to on one replicate, in one shape for all methods: what the measures are taken from."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from emjax.catalogue import DEFAULT_FAMILY
from emjax.datasets.dataset import Dataset
from emjax.datasets.laws import LocationScaleLaw, MixtureLaw

NOT_RUN = ("failed", "skipped")
"""The statuses of outcomes that hold nothing but their message; ``skipped``: the method cannot run here at all."""

MEASURED = frozenset((
    "estimate", "error", "se", "covered", "width", "interval_score", "rank", "rank_spread",
    "log_score", "log_score_loss", "log_score_loss_se", "total_variation", "hellinger",
    "ari", "co_clustering_error", "calibration_error", "brier",
    "trusted", "compile_seconds", "run_seconds", "verdict",
))  # fmt: skip
"""The quantities that emjax measures: a number of the user's own has another name."""

OF_LEVEL = re.compile(r"(covered|width)_\d+(\.\d+)?")
"""What it measures of a study's lower levels, in percent: ``covered_50``."""

TOLD = frozenset((
    "log_likelihood", "log_evidence", "bic", "n_iter", "n_evaluations", "n_optima", "max_rhat", "min_ess",
    "divergences", "pareto_k", "n_modes", "alignment_trust", "spurious", "intervals_withheld", "intervals_rough",
    "budget_used", "draws", "max_iter",
))  # fmt: skip
"""What emjax's methods tell of themselves; a method of the user's own may tell it too, and anything else."""


@dataclasses.dataclass(frozen=True)
class ParameterEstimate:
    """One number of the mixture: its estimate, standard error and interval, NaN where there is none.

    ``lower_levels`` has the intervals at the study's ``levels``, each with its level before its ends.
    """

    name: str
    estimate: float
    se: float = float("nan")
    lower: float = float("nan")
    upper: float = float("nan")
    lower_levels: tuple[tuple[float, float, float], ...] = ()


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a method came to on one data set, in the data's units and with its components in any order.

    Attributes
    ----------
    status, message
        ``converged``, ``max_iter``, ... as the method says, or one of `NOT_RUN`; and why, in one line.
    trusted
        Whether the method itself says that its numbers may be used.
    named
        The estimate by name, each array leading with the components (`Mixture.named_parameters`); empty if it failed.
    parameters
        One `ParameterEstimate` per scalar parameter, named as everywhere (`emjax.naming.scalar_parameters`).
    log_density
        The predictive log density of rows ``(n, d) -> (n,)``; plug-in for point estimates; None if it failed.
    responsibilities
        Assignment probabilities of rows ``(n, d) -> (n, K)``, averaged over draws for posteriors; None if it failed.
    numbers
        Further quantities by name: those of `TOLD` that it knows, and of a method of the user's own any others.
    compile_seconds, run_seconds
        What it took; a batch's seconds are shared out evenly over its replicates.
    verdict
        What the comparison with EM said, None where none was asked for.
    tree
        The posterior as an ArviZ tree where it is to be kept, else None.
    family
        The name of the family of the components; empty where nothing is said.
    discrete
        Whether ``log_density`` is that of whole numbers, a probability.
    levels
        The names of the levels of each feature where features are of categories, else None.
    moments
        The components' means ``(K, d)`` and covariance matrices ``(K, d, d)``; None where nothing is said of them.
    own_axes
        Of a program's parameters, whose axes are no features: whether all components share one.
    exchangeable
        Whether the order of the components means nothing, so that one may be chosen.
    draws
        Of a posterior, by name, ``(n_draws, K, ...)``, in which ranks are taken; empty where there are none.
    """

    status: str
    message: str = ""
    trusted: bool = False
    named: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    parameters: tuple[ParameterEstimate, ...] = ()
    log_density: Callable[[np.ndarray], np.ndarray] | None = None
    responsibilities: Callable[[np.ndarray], np.ndarray] | None = None
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)
    compile_seconds: float = float("nan")
    run_seconds: float = float("nan")
    verdict: str | None = None
    tree: Any = None
    family: str = ""
    discrete: bool = False
    levels: Sequence[Sequence[str]] | None = None
    moments: tuple[np.ndarray, np.ndarray] | None = None
    own_axes: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    exchangeable: bool = True
    draws: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Truth:
    """What the data of a replicate were drawn from, as far as it is known.

    Attributes
    ----------
    named
        The parameters by name, as `Outcome.named`.
    log_density
        The log density of rows ``(n, d) -> (n,)``, without the contamination; None where it is not known.
    responsibilities
        The assignment probabilities of the best possible rule, ``(n, d) -> (n, K)``; None where they are not known.
    family
        The only family whose parameters mean the same; empty where names say enough.
    discrete
        Whether ``log_density`` is that of whole numbers, a probability.
    law
        The mixture itself, where it is one of emjax's: then densities can be compared everywhere.
    drawn
        Whether the parameters are themselves drawn anew for every replicate, so that ranks among draws say something.
    """

    named: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    log_density: Callable[[np.ndarray], Any] | None = None
    responsibilities: Callable[[np.ndarray], Any] | None = None
    family: str = ""
    discrete: bool = False
    law: MixtureLaw | None = None
    drawn: bool = False

    @classmethod
    def of(cls, law: MixtureLaw, *, drawn: bool = False) -> Truth:
        """All that a law says; its means and covariances are what normal components have, whatever its shape."""
        family = law.family or (DEFAULT_FAMILY if isinstance(law, LocationScaleLaw) else "")
        return cls(law.parameters, law.log_density, law.responsibilities, family, law.discrete, law, drawn)


@dataclasses.dataclass(frozen=True)
class Replicate:
    """The data of one replicate of a cell.

    Attributes
    ----------
    number
        From 0.
    data
        What methods see; ``data.labels`` are the true components (-1 for contamination), None where unknown.
    holdout
        Rows that no method sees, None where none were set aside.
    truth
        Where the data come from, None for data from a source.
    """

    number: int
    data: Dataset
    holdout: Dataset | None = None
    truth: Truth | None = None
