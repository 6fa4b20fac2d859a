"""How close an outcome's predictive density comes to the truth, and how well it predicts rows that it has not seen.

One feature: the trapezoid rule on nodes that follow the components of the truth and of the estimate, exact to 0.0003
for normal ones and to 0.001 where a density jumps at zero. Counts of one feature: exact sums. Several features: 2,048
draws from the truth, the same in all replicates of a cell, and as many from something wider, exact to about 2% of a
distance.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from emjax.datasets.laws import LocationScaleLaw, MixtureLaw, normal_law
from emjax.datasets.overlap import line_nodes
from emjax.errors import DataError
from emjax.experiments.work.outcome import Outcome, Replicate, Truth
from emjax.metrics import Estimate, distances_from_draws, distances_on_counts, distances_on_line, log_score

N_POINTS = 2048
N_NODES = 301
FEWEST_DRAWS = 100

_TOWARDS_ZERO = 2.0 ** -np.arange(40.0, 0.0, -1.0)
"""Further nodes below the first of a positive feature, in its units."""


@dataclasses.dataclass(frozen=True)
class _Points:
    """Where two densities are compared: nodes of one feature, or half draws from the truth and half from ``wider``."""

    rows: np.ndarray
    wider: MixtureLaw | None = None


def density_rows(replicate: Replicate, outcome: Outcome) -> list[tuple[str, str, float]]:
    """``log_score``, ``log_score_loss`` with ``_se``, ``total_variation`` and ``hellinger``.

    The scores are means per row that was held out, in nats; the loss is the truth's less the method's on the same rows,
    so that its standard error is that of the differences. Nothing is compared with the truth where one is a density
    and the other a probability of counts. Of a truth that is known by its density alone, the distances are estimated
    from the rows that were held out, if there are `FEWEST_DRAWS` of them.
    """
    if outcome.log_density is None:
        return []
    truth = replicate.truth if comparable(replicate.truth, outcome) else None
    held = replicate.data.values[:0] if replicate.holdout is None else replicate.holdout.values
    points = None if truth is None or truth.law is None else _points(truth.law, outcome)
    # One call for all rows: every further shape would be a program to build.
    everywhere = held if points is None else np.concatenate([held, points.rows])
    if len(everywhere) == 0:
        return []
    log_q = np.asarray(outcome.log_density(everywhere), np.float64)
    of_held = log_q[: len(held)]
    rows = [("log_score", "", log_score(of_held).value)] if len(held) else []
    if truth is None or truth.log_density is None:
        return rows
    if len(held):
        log_p = np.asarray(truth.log_density(held), np.float64)
        loss = log_score(log_p - of_held)
        rows += [("log_score_loss", "", loss.value), ("log_score_loss_se", "", loss.standard_error)]
    if points is not None and truth.law is not None:
        distances = _distances(log_q[len(held) :], points, truth.law)
    elif len(held) >= FEWEST_DRAWS:
        distances = _values(distances_from_draws(log_p, of_held, log_p))
    else:
        return rows
    return [*rows, ("total_variation", "", distances[0]), ("hellinger", "", distances[1])]


def _values(estimates: tuple[Estimate, Estimate]) -> tuple[float, float]:
    return estimates[0].value, estimates[1].value


def _distances(log_q: np.ndarray, points: _Points, law: MixtureLaw) -> tuple[float, float]:
    """Total variation and Hellinger distance."""
    log_p = law.log_density(points.rows)
    if points.wider is not None:
        log_m = np.logaddexp(log_p, points.wider.log_density(points.rows)) - np.log(2.0)
        return _values(distances_from_draws(log_p, log_q, log_m))
    return distances_on_counts(log_p, log_q) if law.discrete else distances_on_line(log_p, log_q, points.rows[:, 0])


def comparable(truth: Truth | None, outcome: Outcome) -> bool:
    """Whether there is a truth, of the kind (density or probabilities of whole numbers) of the outcome."""
    return truth is not None and truth.discrete == outcome.discrete


def _points(law: MixtureLaw, outcome: Outcome) -> _Points:
    if law.n_features == 1:
        nodes = _counts(law) if law.discrete else _nodes(law, outcome)
        if not law.family:
            return _Points(nodes)
        # Other families may refuse rows that the law never draws.
        held = nodes[np.isfinite(law.log_density(nodes))]
        if len(held) < len(nodes) and not law.discrete:
            # Where a density may jump or have no bound, at zero, nodes come as near as need be.
            held = np.concatenate([held.min() * _TOWARDS_ZERO[:, np.newaxis], held])
        return _Points(held)
    wider = _wider(law, outcome)
    drawn, _ = law.sample(N_POINTS, np.random.default_rng(0))
    others, _ = wider.sample(N_POINTS, np.random.default_rng(1))
    return _Points(np.concatenate([drawn, others]), wider)


def _counts(law: MixtureLaw) -> np.ndarray:
    mean, covariance = law.moments
    reach = 12.0 * np.sqrt(covariance[:, 0, 0]) + 30.0  # beyond it a component has less than a rounding error
    ends = zip(np.maximum(np.floor(mean[:, 0] - reach), 0.0), np.ceil(mean[:, 0] + reach), strict=True)
    return np.unique(np.concatenate([np.arange(low, high) for low, high in ends]))[:, np.newaxis]


def _nodes(law: MixtureLaw, outcome: Outcome) -> np.ndarray:
    sides = [law.moments, *([] if (theirs := _components(outcome)) is None else [theirs.moments])]
    mean = np.concatenate([mean[:, 0] for mean, _ in sides])
    scale = np.concatenate([np.sqrt(covariance[:, 0, 0]) for _, covariance in sides])
    return line_nodes(mean, scale, N_NODES)[:, np.newaxis]


def _components(outcome: Outcome) -> LocationScaleLaw | None:
    """The normal mixture with the moments of an estimate; None where they are not given or make none."""
    if outcome.moments is None or not outcome.named:
        return None
    weights, mean, covariance = (np.asarray(each, np.float64) for each in (outcome.named["weights"], *outcome.moments))
    covariance = 0.5 * (covariance + np.swapaxes(covariance, 1, 2))  # single precision leaves it not quite symmetric
    try:
        return normal_law(weights=weights / weights.sum(), mean=mean, covariance=covariance)
    except DataError:
        return None


def _wider(law: MixtureLaw, outcome: Outcome) -> MixtureLaw:
    """A law that reaches where an estimate may put what the truth does not have.

    It is the truth's `wider`, and of densities also the estimate's own components, however narrow.
    """
    wider, theirs = law.wider(), None if law.discrete else _components(outcome)
    if theirs is None or not isinstance(wider, LocationScaleLaw):
        return wider
    return LocationScaleLaw(
        np.concatenate([0.5 * wider.weights, 0.5 * theirs.weights]),
        np.concatenate([wider.mean, theirs.mean]),
        np.concatenate([wider.covariance, theirs.covariance]),
        wider.shape,
    )
