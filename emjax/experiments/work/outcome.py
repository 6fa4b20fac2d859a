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
    "trusted", "compile_seconds", "run_seconds", "verdict", "not_measured",
    "bias", "rmse", "empirical_se", "mean_se", "coverage", "worst_coverage", "em_enough",
))  # fmt: skip
"""The quantities that emjax measures, and what summaries make of them: a number of the user's own has another name."""

NOT_MEASURED = "not_measured"
"""The quantity of a row that stands for a number of the user's own that was NaN: 1, with its name as the parameter."""

OF_LEVEL = re.compile(r"(covered|width|coverage|worst_coverage)_\d+(\.\d+)?")
"""The same of a study's lower levels, in percent: ``covered_50``."""


def is_measured(name: str) -> bool:
    """Whether a quantity, or a measure of a summary, is one of emjax's own."""
    return name in MEASURED or OF_LEVEL.fullmatch(name) is not None


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
    """What a method came to on one data set, in the data's units and with its components in any order."""

    status: str  # ``converged``, ``max_iter``, ... as the method says, or one of `NOT_RUN`
    message: str = ""  # why, in one line
    trusted: bool = False  # whether the method itself says that its numbers may be used
    # The estimate by name, each array leading with the components (`Mixture.named_parameters`); empty if it failed.
    named: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    parameters: tuple[ParameterEstimate, ...] = ()  # named as everywhere (`emjax.naming.scalar_parameters`)
    # Of rows (n, d): the predictive log density (n,), plug-in for point estimates, and assignment probabilities (n, K),
    # averaged over draws for posteriors; None if it failed.
    log_density: Callable[[np.ndarray], np.ndarray] | None = None
    responsibilities: Callable[[np.ndarray], np.ndarray] | None = None
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)  # what else it tells of itself
    not_measured: Sequence[str] = ()  # which parameters and numbers of the user's own method were NaN
    compile_seconds: float = float("nan")  # a batch's seconds are shared out evenly over its replicates
    run_seconds: float = float("nan")
    verdict: str | None = None  # what the comparison with EM said, None where none was asked for
    tree: Any = None  # the posterior as an ArviZ tree where it is to be kept
    family: str = ""  # of the components; empty where nothing is said
    discrete: bool = False  # whether ``log_density`` is that of whole numbers, a probability
    levels: Sequence[Sequence[str]] | None = None  # of each feature, where features are of categories
    moments: tuple[np.ndarray, np.ndarray] | None = None  # means (K, d) and covariances (K, d, d) of the components
    own_axes: Mapping[str, bool] = dataclasses.field(
        default_factory=dict
    )  # of a program: is a parameter shared by all?
    exchangeable: bool = True  # whether the order of the components means nothing, so that one may be chosen
    # Of a posterior, by name, (n_draws, K, ...), in which ranks are taken.
    draws: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Truth:
    """What the data of a replicate were drawn from, as far as it is known."""

    named: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)  # as `Outcome.named`
    # Of rows (n, d): the log density (n,), without the contamination, and the assignment probabilities (n, K) of the
    # best possible rule; None where they are not known.
    log_density: Callable[[np.ndarray], Any] | None = None
    responsibilities: Callable[[np.ndarray], Any] | None = None
    family: str = ""  # the only one whose parameters mean the same; empty where names say enough
    discrete: bool = False  # whether ``log_density`` is that of whole numbers, a probability
    law: MixtureLaw | None = None  # the mixture itself, if it is one of emjax's: densities can be compared everywhere
    drawn: bool = (
        False  # whether parameters are drawn anew for every replicate, so that ranks among draws say something
    )

    @classmethod
    def of(cls, law: MixtureLaw, *, drawn: bool = False) -> Truth:
        """All that a law says; its means and covariances are what normal components have, whatever its shape."""
        family = law.family or (DEFAULT_FAMILY if isinstance(law, LocationScaleLaw) else "")
        return cls(law.parameters, law.log_density, law.responsibilities, family, law.discrete, law, drawn)


@dataclasses.dataclass(frozen=True)
class Replicate:
    """The data of one replicate of a cell."""

    number: int  # from 0
    data: Dataset  # what methods see; its labels are the true components (-1: contamination), None where unknown
    holdout: Dataset | None = None  # rows that no method sees
    truth: Truth | None = None  # where the data come from, None for data from a source
