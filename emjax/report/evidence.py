"""The verdict and what it rests on, ready for the page."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from emjax.align import TRUST_LOW
from emjax.bayes.diagnostics import PosteriorStatus
from emjax.comparison import Comparison
from emjax.uncertainty.information import IntervalStatus
from emjax.verdict import EM_IS_ENOUGH, Thresholds, Verdict
from emjax.wording import elided, number, percent

_ENOUGH, _INTERVALS = 40.0, 75.0
"""Where the two limits stand on every bar, in percent of its length."""

LABELLED = ("difference_in_sd", "mass_deficit", "log_width_ratio")
"""The differences that are taken component by component."""

WORDS = {
    Verdict.EM_SUFFICIENT: "Yes, EM is enough",
    Verdict.EM_WITH_INTERVALS: "Yes, with its intervals",
    Verdict.MCMC_NEEDED: "No, use MCMC",
    Verdict.INCONCLUSIVE: "No verdict yet",
}


def word_of(comparison: Comparison) -> str:
    """The answer in a few words; it names the prior where the verdict is on EM with it."""
    words = WORDS[comparison.verdict]
    return (
        words.replace("EM is", "EM with the prior is").replace("with its", "with the prior and its")
        if (comparison.judged == "map")
        else words
    )


@dataclasses.dataclass(frozen=True)
class Gauge:
    """One measured difference on a bar whose limits stand at the same places for all.

    Attributes
    ----------
    label, where
        What is measured, and of which parameter (may be empty).
    value, limit, second_limit
        As text: measured, and the most for ``em_sufficient`` and for ``em_with_intervals``.
    place
        Percent of the bar's length; None where the value could not be computed.
    zone
        ``enough``, ``intervals``, ``mcmc``, ``unknown``, or ``unlabelled``: a difference of single components where
        those have no meaning.
    """

    label: str
    where: str
    value: str
    limit: str
    second_limit: str
    place: float | None
    zone: str


def labels_identified(comparison: Comparison) -> bool:
    """Whether rows of single components may be read one by one; a trust that is not a number says no."""
    return bool(comparison.posterior.alignment.trust >= TRUST_LOW)


def thresholds_of(comparison: Comparison) -> Thresholds:
    """What the comparison was judged by, where it says so, else the default thresholds."""
    return comparison.thresholds


def gauges(comparison: Comparison) -> list[Gauge]:
    """The five differences that the verdict weighs, label-invariant ones first."""
    level, rows = comparison.level, comparison.rows
    found = comparison.invariants
    measured: list[tuple[str, str, float, str]] = [
        ("total_variation", "Densities apart", found["total_variation"]["value"], ""),
        ("co_clustering", "Shared components differ", found["co_clustering"]["mean_difference"], ""),
        (
            "difference_in_sd",
            "Estimate from posterior mean",
            *_worst([(abs(r.difference_in_sd), r.name) for r in rows]),
        ),
        (
            "mass_deficit",
            "Mass missing in EM's interval",
            *_worst([(level - r.mass_in_em_interval, r.name) for r in rows]),
        ),
        ("log_width_ratio", "Interval widths apart", *_worst([(_log(r.width_ratio), r.name) for r in rows])),
    ]
    limits = thresholds_of(comparison)
    found_gauges = [
        _gauge(key, label, value, where, getattr(limits.sufficient, key), getattr(limits.with_intervals, key))
        for key, label, value, where in measured
    ]
    if labels_identified(comparison):
        return found_gauges
    return [
        dataclasses.replace(gauge, zone="unlabelled") if key in LABELLED else gauge
        for gauge, (key, *_) in zip(found_gauges, measured, strict=True)
    ]


def _log(ratio: float) -> float:
    return abs(math.log(ratio)) if ratio > 0 else math.nan


def _worst(values: list[tuple[float, str]]) -> tuple[float, str]:
    return max(values, key=lambda pair: (math.isnan(pair[0]), pair[0]))


def _gauge(key: str, label: str, value: float, where: str, first: float, second: float) -> Gauge:
    value = max(value, 0.0) if math.isfinite(value) else value
    show = _SHOWN[key]
    zone, place = _zone(value, first, second)
    return Gauge(label, elided(where, 60), show(value), show(first), show(second), place, zone)


def _zone(value: float, first: float, second: float) -> tuple[str, float | None]:
    """The zone of a value and its place: linear up to each limit, and beyond the second ever slower to the end."""
    if math.isnan(value):
        return "unknown", None
    if value <= first:
        return "enough", round(_ENOUGH * value / first, 2)
    if value <= second:
        return "intervals", round(_ENOUGH + (_INTERVALS - _ENOUGH) * (value - first) / (second - first), 2)
    share = 1.0 if math.isinf(value) else 1.0 - second / value
    return "mcmc", round(_INTERVALS + (98.0 - _INTERVALS) * share, 2)


def _sd(value: float) -> str:
    return f"{value:.2f} sd" if math.isfinite(value) else "—"


def _factor(value: float) -> str:
    if not math.isfinite(value):
        return "—"
    factor = math.exp(value)
    return f"× {factor:.2f}" if factor < 100 else f"× {number(factor, 3)}"


_SHOWN: dict[str, Any] = {
    "total_variation": percent,
    "co_clustering": percent,
    "difference_in_sd": _sd,
    "mass_deficit": percent,
    "log_width_ratio": _factor,
}


@dataclasses.dataclass(frozen=True)
class Alert:
    """Something that must be read before any number: a short name and a sentence."""

    title: str
    text: str


_STATUS_TITLES = {
    PosteriorStatus.not_converged: "MCMC has not converged",
    PosteriorStatus.too_few_draws: "MCMC has too few effective draws",
    PosteriorStatus.divergent: "MCMC diverged",
}


def alerts(comparison: Comparison) -> list[Alert]:
    """What is wrong with either side, gravest first; empty where both can be trusted."""
    fit, posterior = comparison.fit, comparison.posterior
    found = []
    if not posterior.converged:
        found.append(
            Alert(
                f"{_STATUS_TITLES.get(posterior.status, 'MCMC cannot be trusted')} ({posterior.status.value})",
                f"{posterior.message}. What was drawn is shown in grey and is not a posterior.".replace("..", "."),
            )
        )
    if not fit.converged:
        found.append(Alert(f"EM has not converged ({fit.status.value})", fit.message))
    elif fit.spurious:
        found.append(Alert("EM found no optimum but a spurious one", fit.message))
    alignment = posterior.alignment
    if not labels_identified(comparison):
        found.append(
            Alert(
                f"Labels are not identified (alignment trust {alignment.trust:.2f})",
                f"{alignment.note} Whatever names a component is greyed out below; density, shared components and "
                "scores keep their meaning.",
            )
        )
    elif not alignment.trust >= thresholds_of(comparison).trust:
        found.append(
            Alert(f"Labels are not trusted enough (alignment trust {alignment.trust:.2f})", alignment.note),
        )
    status = comparison.intervals.status
    if fit.converged and status.withheld:
        found.append(Alert("EM has no standard errors", comparison.intervals.message))
    elif status is IntervalStatus.ROUGH and comparison.verdict not in EM_IS_ENOUGH:
        found.append(Alert("EM's intervals cannot be trusted (rough)", comparison.intervals.message))
    return found
