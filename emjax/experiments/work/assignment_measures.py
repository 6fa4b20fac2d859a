"""How well an outcome assigns the data to components: against the best possible rule, and against the true labels."""

from __future__ import annotations

import dataclasses

import numpy as np

from emjax import align
from emjax.experiments.work.outcome import Outcome, Replicate
from emjax.metrics import (
    adjusted_rand,
    brier_score,
    calibration_error,
    co_clustering,
    co_clustering_difference,
    hard_labels,
    subset_rows,
)

MAX_ROWS = 500
"""Data whose pairs enter the co-clustering error: 124,750 pairs."""


@dataclasses.dataclass(frozen=True)
class Assignment:
    """The assignment probabilities of an outcome on the rows that some component has drawn."""

    responsibilities: np.ndarray  # (n, n_components), in the outcome's own order
    truth: np.ndarray | None  # those of the Bayes rule under the truth, (n, n_true)
    labels: np.ndarray | None  # the true components as integers from 0, (n,)
    order: np.ndarray  # the outcome's component that takes each place of the truth; the identity where not `aligned`
    aligned: bool  # whether there were as many true components, so that an order could be chosen


def assignment_of(replicate: Replicate, outcome: Outcome) -> Assignment | None:
    """The assignment of the training rows, aligned where it can be; None where the outcome gives no finite one."""
    if outcome.responsibilities is None:
        return None
    values, labels = replicate.data.values, _numbered(replicate)
    responsibilities = np.asarray(outcome.responsibilities(values), np.float64)
    if not np.isfinite(responsibilities).all():
        return None
    kept = np.arange(len(values)) if labels is None else np.flatnonzero(labels >= 0)
    responsibilities, labels = responsibilities[kept], None if labels is None else labels[kept]
    rule = None if replicate.truth is None else replicate.truth.responsibilities
    truth = None if rule is None else np.asarray(rule(values[kept]), np.float64)
    reference = truth
    if reference is None and labels is not None and labels.size:
        reference = np.eye(int(labels.max()) + 1)[labels]
    n_components = responsibilities.shape[1]
    if reference is None or len(kept) == 0 or reference.shape[1] != n_components:
        return Assignment(responsibilities, truth, labels, np.arange(n_components), aligned=False)
    order = align.classification(responsibilities.T[np.newaxis], reference.T)[0]
    return Assignment(responsibilities, truth, labels, order, aligned=True)


def assignment_rows(assignment: Assignment | None) -> list[tuple[str, str, float]]:
    """``ari``, ``co_clustering_error``, ``calibration_error`` and ``brier``, as far as they can be measured.

    The co-clustering error is the mean absolute difference of the probabilities that two data share a component, over
    the pairs of at most 500 rows. A posterior's probability is taken from its mean responsibilities.
    """
    if assignment is None or len(assignment.responsibilities) == 0:
        return []
    responsibilities, labels = assignment.responsibilities, assignment.labels
    rows = []
    if labels is not None:
        rows.append(("ari", "", adjusted_rand(hard_labels(responsibilities), labels)))
    if assignment.truth is not None:
        chosen = subset_rows(len(responsibilities), MAX_ROWS)
        ours, best = (co_clustering(shares, chosen) for shares in (responsibilities, assignment.truth))
        rows.append(("co_clustering_error", "", co_clustering_difference(ours, best).mean))
    if labels is not None and assignment.aligned:
        aligned = align.apply(assignment.order, responsibilities.T, axis=0).T
        rows.append(("calibration_error", "", calibration_error(aligned, labels)))
        rows.append(("brier", "", brier_score(aligned, labels)))
    return rows


def _numbered(replicate: Replicate) -> np.ndarray | None:
    """Labels as integers: true components where there is a truth (-1: none), else known groups in sorted order."""
    labels = replicate.data.labels
    if labels is None or replicate.truth is not None:
        return labels
    return np.unique(labels, return_inverse=True)[1]
