"""What the telescoping sampler ends in: the posterior of the number of components, with errors and a status."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from emjax.bayes.diagnostics import DEFAULT_THRESHOLDS, PosteriorStatus
from emjax.bayes.posterior import thinning
from emjax.bayes.rhat import split_rhat
from emjax.bounds import whole
from emjax.errors import ConfigError
from emjax.metrics.clustering import PartitionEstimate, few_enough, partition_estimate
from emjax.mixture import Mixture, MixtureParams
from emjax.samples import Samples
from emjax.selection.chains_of import effective_draws
from emjax.selection.number_priors import NumberPrior, StickBreaking, WeightPrior
from emjax.shown import Card, Pictured
from emjax.storage import Stored
from emjax.table import Table, of_estimate, of_number
from emjax.wording import number as in_words
from emjax.wording import percent

_BATCHES = 10
"""Chains are cut into so many batches each, whose means' spread is the Monte-Carlo error."""

_AT_THE_END = 0.01
"""A prior that was cut off must not have more of the posterior at its last number."""

_WORTH_SHOWING = 0.001


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class NumberPosterior(Stored, Pictured):
    """The posterior of the number of components, and of all parameters with it.

    Attributes
    ----------
    p_components, p_components_error
        Posterior probabilities of 1, 2, ... components ``(K_max,)``, and their Monte-Carlo standard errors by the
        spread of batches of the chains; None for a Dirichlet process.
    p_clusters, p_clusters_error
        The same of how many components hold data.
    prior_components, prior_clusters
        What the prior says of both; the second is None where a concentration is random or the data are too many.
    n_components, n_clusters
        The draws, ``(chain, draw)``.
    params
        Draws of the parameters of all places, in the data's units, ``(chain, draw, K_max, ...)``; ``in_use`` says which
        places are components, ``counts`` how many data each holds.
    in_use, counts
        ``(chain, draw, K_max)``.
    labels
        The place of each datum, ``(chain, draw, n_samples)``; None where they would be too many to keep.
    common, concentration
        Draws of the numbers that components have in common, by parameter, and of the weights' concentration.
    status, reasons
        As of a posterior: ``converged``, or what is wrong, and in which numbers.
    max_rhat, min_ess
        The worst of `n_components`, `n_clusters` and the entropy of the clusters' sizes.
    mixture, samples, number_prior, weight_prior, prior_note
        What was drawn for: the mixture of ``K_max`` places, with its prior.
    n_sweeps
        Sweeps of each chain after its warm-up.
    compile_seconds, run_seconds
        Seconds spent tracing and compiling, and everything else.
    key
        The random key.
    """

    p_components: np.ndarray | None
    p_components_error: np.ndarray | None
    p_clusters: np.ndarray
    p_clusters_error: np.ndarray
    prior_components: np.ndarray | None
    prior_clusters: np.ndarray | None
    n_components: np.ndarray
    n_clusters: np.ndarray
    params: MixtureParams
    in_use: np.ndarray
    counts: np.ndarray
    labels: np.ndarray | None
    common: Mapping[str, np.ndarray]
    concentration: np.ndarray
    status: PosteriorStatus
    reasons: tuple[str, ...]
    max_rhat: float
    min_ess: float
    mixture: Mixture
    samples: Samples
    number_prior: NumberPrior
    weight_prior: WeightPrior
    prior_note: str
    n_sweeps: int
    compile_seconds: float
    run_seconds: float
    key: Any = None

    @property
    def converged(self) -> bool:
        """True only where the status is ``converged``."""
        return self.status is PosteriorStatus.converged

    @property
    def message(self) -> str:
        """The status in words, with the numbers behind it."""
        reasons = "; ".join(self.reasons)
        return f"{_MESSAGES[self.status]} {reasons}." if reasons else _MESSAGES[self.status]

    @property
    def likeliest(self) -> int | None:
        """The most probable number of components; None where the chains disagree, and for a Dirichlet process."""
        if self.p_components is None or not self.converged:
            return None
        return int(np.argmax(self.p_components)) + 1

    @property
    def likeliest_clusters(self) -> int | None:
        """The most probable number of components that hold data; None where the chains disagree."""
        return int(np.argmax(self.p_clusters)) + 1 if self.converged else None

    def partition(self, *, loss: str = "vi", level: float = 0.95, n_draws: int = 500) -> PartitionEstimate:
        """One partition that stands for all draws, whatever their numbers of clusters; as `Posterior.partition`.

        Raises
        ------
        ConfigError
            If the loss is unknown, or labels were too many to keep, or the data are more than 2000.
        """
        few_enough("a partition", self.counts[0, 0].sum())
        if self.labels is None:
            raise ConfigError("labels of all draws were too many to keep; ask for fewer draws=")
        labels = self.labels.reshape(-1, self.labels.shape[-1])
        kept = thinning(len(labels), whole("draws", n_draws, shown="n_draws"))
        return partition_estimate(labels[kept], loss=loss, level=level)

    @property
    def table(self) -> Table:
        """Numbers of components with their probabilities, those of a thousandth and more."""
        none = np.full_like(self.p_clusters, np.nan)
        of_all = none if self.p_components is None else self.p_components
        all_error = none if self.p_components_error is None else self.p_components_error
        prior = none if self.prior_components is None else self.prior_components
        of_clusters = none if self.prior_clusters is None else self.prior_clusters
        shown = np.flatnonzero((np.nan_to_num(of_all) >= _WORTH_SHOWING) | (self.p_clusters >= _WORTH_SHOWING))
        rows = [
            (
                str(k + 1),
                of_number(prior[k], 2),
                of_estimate(of_all[k], all_error[k]),
                of_number(of_clusters[k], 2),
                of_estimate(self.p_clusters[k], self.p_clusters_error[k]),
            )
            for k in shown
        ]
        header = ("K", "prior", "components", "prior with data", "with data")
        notes = () if self.converged else (self.message,)
        return Table(header, rows, notes, "Posterior of the number of components", "number")

    def _card(self) -> Card:
        alerts = [] if self.converged else [self.message]
        return Card(f"The number of components: {self.status.value}", alerts, table=self.table, rest="table")

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "", self.mixture.family
        yield "status", self.status
        yield "likeliest", self.likeliest
        yield "likeliest_clusters", self.likeliest_clusters
        yield "max_rhat", self.max_rhat
        yield "min_ess", self.min_ess
        yield "number_prior", self.number_prior.name
        yield "weight_prior", self.weight_prior


_MESSAGES = {
    PosteriorStatus.converged: "The chains agree and hold enough draws; the posterior can be used.",
    PosteriorStatus.not_converged: "The chains have not explored the same posterior; use more draws, or a longer thin.",
    PosteriorStatus.too_few_draws: "The chains hold too few effective draws; use more of them.",
    PosteriorStatus.unreliable: "The prior of the number was cut off within the posterior; raise its most.",
    PosteriorStatus.nonfinite: "Some draws are NaN or infinite; check the data and the prior.",
}


@dataclasses.dataclass(frozen=True)
class Judged:
    """What chains say of the numbers of components, and whether it may be believed; ``fields`` of `NumberPosterior`."""

    status: PosteriorStatus
    fields: Mapping[str, Any]


def judge(found: Mapping[str, Any], number: NumberPrior, weights: WeightPrior) -> Judged:
    """What chains handed out, see `emjax.selection.sweep.advance`, as probabilities with errors and a status."""
    sticks = isinstance(weights, StickBreaking)
    p_clusters, clusters_error = _mean(found["held"])
    p_all, all_error = (None, None) if sticks else _mean(found["share"])
    traces = {"the number of clusters": found["n_held"], "their entropy": _entropy(found["counts"])}
    if not sticks:
        traces["the number of components"] = found["number"]
    rhat, ess, reasons = _judged(traces)
    cut = p_clusters[-1] if sticks else p_all[-1] if number.beyond > 0 and p_all is not None else 0.0
    status = PosteriorStatus.converged
    if not all(bool(np.isfinite(leaf).all()) for _, leaf in found["state"].params.items()):
        status, reasons = PosteriorStatus.nonfinite, ()
    elif not rhat <= DEFAULT_THRESHOLDS.max_rhat:
        status = PosteriorStatus.not_converged
    elif cut > _AT_THE_END:
        status = PosteriorStatus.unreliable
        reasons = (*reasons, f"{percent(cut)} of the posterior has {number.most} components, the most that it may")
    elif not ess >= DEFAULT_THRESHOLDS.min_ess:
        status = PosteriorStatus.too_few_draws
    fields = {
        "p_components": p_all,
        "p_components_error": all_error,
        "p_clusters": p_clusters,
        "p_clusters_error": clusters_error,
        "status": status,
        "reasons": reasons,
        "max_rhat": rhat,
        "min_ess": ess,
    }
    return Judged(status, fields)


def _mean(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of ``(chain, draw, K)`` over chains and draws, and its standard error by batches of each chain."""
    n_chains, n_draws, k = values.shape
    n_each = n_draws // _BATCHES
    batches = values[:, : n_each * _BATCHES].reshape(n_chains * _BATCHES, n_each, k).mean(axis=1)
    # Chains that stand apart have an error of their own, which batches of one chain do not see.
    within = batches.var(axis=0, ddof=1) / len(batches)
    between = values.mean(axis=1).var(axis=0, ddof=1) / n_chains if n_chains > 1 else 0.0
    return values.mean(axis=(0, 1)), np.sqrt(np.maximum(within, between))


def _entropy(counts: np.ndarray) -> np.ndarray:
    """Of the shares of data that components hold, ``(chain, draw)``."""
    shares = counts / counts.sum(axis=-1, keepdims=True)
    return -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=-1)


def _judged(traces: Mapping[str, np.ndarray]) -> tuple[float, float, tuple[str, ...]]:
    """The worst R-hat and effective sample size, and what is wrong in words; what never varies is not judged."""
    rhats, sizes, reasons = [1.0], [], []
    for name, trace in traces.items():
        values = np.asarray(trace, float)
        sizes.append(effective_draws(values))
        if np.ptp(values) == 0.0:
            continue
        rhat = split_rhat(values)
        rhats.append(rhat)
        if not rhat <= DEFAULT_THRESHOLDS.max_rhat:
            reasons.append(f"R-hat of {name} is {in_words(rhat)} (> {DEFAULT_THRESHOLDS.max_rhat})")
        if not sizes[-1] >= DEFAULT_THRESHOLDS.min_ess:
            reasons.append(
                f"effective sample size of {name} is {in_words(sizes[-1], 3)} (< {DEFAULT_THRESHOLDS.min_ess:.0f})"
            )
    return float(max(rhats)), float(min(sizes)), tuple(reasons)
