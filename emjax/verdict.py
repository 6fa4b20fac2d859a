"""The verdict and its thresholds: the one documented place for both.

`docs/verdict.md` shows the same table with the reasons for each number.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping, Sequence
from typing import Any


class Verdict(enum.StrEnum):
    """What a comparison says. See `Verdict.sentence`."""

    EM_SUFFICIENT = "em_sufficient"
    EM_WITH_INTERVALS = "em_with_intervals"
    MCMC_NEEDED = "mcmc_needed"
    INCONCLUSIVE = "inconclusive"

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        return {
            Verdict.EM_SUFFICIENT: "EM is enough: its estimates and intervals say what the posterior says.",
            Verdict.EM_WITH_INTERVALS: (
                "EM is enough if you report its intervals: the posterior is near them, but not at the point estimate."
            ),
            Verdict.MCMC_NEEDED: "Use MCMC: EM's summary leaves out something that the posterior shows.",
            Verdict.INCONCLUSIVE: "No verdict: one of the two sides cannot be trusted yet.",
        }[self]


@dataclasses.dataclass(frozen=True)
class Limits:
    """The most by which EM and the posterior may differ.

    Attributes
    ----------
    total_variation
        Between EM's plug-in density and the posterior predictive, 0 to 1.
    co_clustering
        Mean difference of the probabilities that two data share a component, 0 to 1.
    difference_in_sd
        Largest distance between an EM estimate and the posterior mean, in posterior standard deviations.
    mass_deficit
        The level of the intervals less the posterior mass that EM's interval holds, for the worst parameter.
    log_width_ratio
        Largest absolute logarithm of the ratio of EM's interval width to the posterior's.
    """

    total_variation: float
    co_clustering: float
    difference_in_sd: float
    mass_deficit: float
    log_width_ratio: float


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """When each verdict is given.

    Attributes
    ----------
    sufficient
        All of these met: ``em_sufficient``. A shift of 0.4 standard deviations costs a 90% interval about three
        points of coverage, a width a fifth too small about nine.
    with_intervals
        All of these met: ``em_with_intervals``; otherwise ``mcmc_needed``. A shift of one standard deviation costs
        a 90% interval about 16 points.
    trust
        Below this alignment trust labelled parameters are not compared, and EM's cannot be enough.
    rival_gap
        Another regular optimum within this many nats of the best (a mass of about 5%) is a rival that a point
        estimate leaves out.
    mode_mass
        A second mode of the posterior that holds at least this share of it is a part that a point estimate leaves
        out. `rival_gap` asks the same of EM's own optima, by their height; this asks by mass, under the prior.
    """

    sufficient: Limits = Limits(
        total_variation=0.03,
        co_clustering=0.02,
        difference_in_sd=0.4,
        mass_deficit=0.06,
        log_width_ratio=math.log(1.25),
    )
    with_intervals: Limits = Limits(
        total_variation=0.1,
        co_clustering=0.06,
        difference_in_sd=1.0,
        mass_deficit=0.2,
        log_width_ratio=math.log(1.6),
    )
    trust: float = 0.5
    rival_gap: float = 3.0
    mode_mass: float = 0.05


DEFAULT_THRESHOLDS = Thresholds()


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What the verdict is drawn from; NaN where something could not be computed.

    Attributes
    ----------
    em_problem, posterior_problem, interval_problem
        Why a side cannot be trusted, or empty.
    trust
        Alignment trust, 0 to 1.
    gap_to_rival
        Nats from the best optimum to the next regular one; infinity if there is none.
    second_mode
        The share of the posterior in the mode with the second largest share; 0 if there is one mode.
    total_variation, co_clustering
        Label-invariant distances.
    worst
        For ``difference_in_sd``, ``mass_deficit`` and ``log_width_ratio``: the worst value and its parameter's name.
    """

    em_problem: str
    posterior_problem: str
    interval_problem: str
    trust: float
    gap_to_rival: float
    second_mode: float
    total_variation: float
    co_clustering: float
    worst: Mapping[str, tuple[float, str]]


def decide(evidence: Evidence, thresholds: Thresholds = DEFAULT_THRESHOLDS) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict and its reasons in words, the decisive ones first."""
    blockers = [problem for problem in (evidence.em_problem, evidence.posterior_problem) if problem]
    if blockers:
        return Verdict.INCONCLUSIVE, tuple(blockers)
    missing = _missing_from_em(evidence, thresholds)
    values = _measured(evidence, labelled=evidence.trust >= thresholds.trust and not evidence.interval_problem)
    if missing:
        return Verdict.MCMC_NEEDED, (*missing, *_sentences(values, thresholds.sufficient))
    if not _exceeded(values, thresholds.sufficient):
        return Verdict.EM_SUFFICIENT, tuple(_sentences(values, thresholds.sufficient))
    if not _exceeded(values, thresholds.with_intervals):
        return Verdict.EM_WITH_INTERVALS, tuple(_sentences(values, thresholds.sufficient))
    return Verdict.MCMC_NEEDED, tuple(_sentences(values, thresholds.with_intervals))


def _missing_from_em(evidence: Evidence, thresholds: Thresholds) -> list[str]:
    missing = []
    if evidence.interval_problem:
        missing.append(evidence.interval_problem)
    if not evidence.trust >= thresholds.trust:
        missing.append(
            f"The components cannot be told apart in the posterior (alignment trust {evidence.trust:.2f}, needed "
            f"{thresholds.trust:.2f}), so estimates of single components have no fixed meaning."
        )
    if not evidence.second_mode < thresholds.mode_mass:
        missing.append(
            "Whether the posterior has a second mode could not be computed."
            if math.isnan(evidence.second_mode)
            else f"EM's point estimate leaves out a mode with {evidence.second_mode:.0%} of the posterior."
        )
    if not evidence.gap_to_rival >= thresholds.rival_gap:
        missing.append(
            f"EM found another optimum only {evidence.gap_to_rival:.2f} nats below its best one: a point estimate "
            "leaves it out."
        )
    return missing


@dataclasses.dataclass(frozen=True)
class _Measure:
    key: str
    value: float
    where: str = ""


def _measured(evidence: Evidence, *, labelled: bool) -> list[_Measure]:
    values = [
        _Measure("total_variation", evidence.total_variation),
        _Measure("co_clustering", evidence.co_clustering),
    ]
    if labelled:
        values += [_Measure(key, *evidence.worst[key]) for key in evidence.worst]
    return values


def _exceeded(values: Sequence[_Measure], limits: Limits) -> list[_Measure]:
    # Written so that NaN exceeds every limit.
    return [measure for measure in values if not measure.value <= getattr(limits, measure.key)]


def _sentences(values: Sequence[_Measure], limits: Limits) -> list[str]:
    exceeded = _exceeded(values, limits)
    ordered = [*exceeded, *(measure for measure in values if measure not in exceeded)]
    return [_sentence(measure, getattr(limits, measure.key), measure in exceeded) for measure in ordered]


def _sentence(measure: _Measure, limit: float, exceeded: bool) -> str:
    if math.isnan(measure.value):
        return f"{_WORDS[measure.key][2]} could not be computed."
    template, show, _ = _WORDS[measure.key]
    if measure.key == "mass_deficit" and measure.value <= 0:
        return "EM's intervals hold at least the posterior mass that they claim."
    text = template.format(value=show(measure.value), limit=show(limit), where=measure.where)
    return f"{text} {'Over' if exceeded else 'Within'} the limit of {show(limit)}."


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def _sd(value: float) -> str:
    return f"{value:.2f} sd"


def _factor(value: float) -> str:
    return f"a factor {math.exp(value):.2f}"


_WORDS: dict[str, tuple[str, Any, str]] = {
    "total_variation": (
        "EM's density and the posterior predictive differ by {value} (total variation).",
        _percent,
        "The distance between EM's density and the posterior predictive",
    ),
    "co_clustering": (
        "The chance that two data share a component differs by {value} on average.",
        _percent,
        "The difference in co-clustering",
    ),
    "difference_in_sd": (
        "EM's estimate lies {value} from the posterior mean where they differ most, {where}.",
        _sd,
        "The distance between EM's estimates and the posterior means",
    ),
    "mass_deficit": (
        "EM's interval holds {value} less posterior mass than it claims where it is worst, {where}.",
        _percent,
        "The posterior mass in EM's intervals",
    ),
    "log_width_ratio": (
        "EM's interval and the posterior's differ in width by {value} at most, {where}.",
        _factor,
        "The widths of EM's intervals against the posterior's",
    ),
}
