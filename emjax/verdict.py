"""The verdict and its thresholds: the one documented place for both.

`docs/verdict.md` shows the same table with the reasons for each number.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping, Sequence
from typing import Any

from emjax.shown import Shown


class Verdict(enum.StrEnum):
    """What a comparison says. See `Verdict.sentence`."""

    EM_SUFFICIENT = "em_sufficient"
    EM_WITH_INTERVALS = "em_with_intervals"
    MCMC_NEEDED = "mcmc_needed"
    INCONCLUSIVE = "inconclusive"

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, whatever decided it; `sentence_of` names that too."""
        return sentence_of(self)


EM_IS_ENOUGH = (Verdict.EM_SUFFICIENT, Verdict.EM_WITH_INTERVALS)
"""The verdicts for EM."""


@dataclasses.dataclass(frozen=True, repr=False)
class Limits(Shown):
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


@dataclasses.dataclass(frozen=True, repr=False)
class Thresholds(Shown):
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
    interval_doubt
        Why intervals that could be computed are not to be trusted, or empty.
    rows_apart
        For how many of how many rows the chances to share a component differ by more than the first limit on average.
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
    interval_doubt: str = ""
    rows_apart: tuple[int, int] = (0, 0)


@dataclasses.dataclass(frozen=True, repr=False)
class Judgement(Shown):
    """A verdict with what it rests on.

    Attributes
    ----------
    verdict
        Which of the four.
    reasons
        Why in sentences, the decisive ones first; after each thing that differs, what helps.
    rules
        What decided: fields of `Limits` that were exceeded, or ``"em"``, ``"posterior"``, ``"intervals"``, ``"trust"``,
        ``"second_mode"``, ``"rival_gap"``; empty for ``em_sufficient``.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    rules: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, which names what differs and what helps."""
        return sentence_of(self.verdict, self.rules)


def sentence_of(verdict: Verdict, rules: Sequence[str] = (), *, judged: str = "em") -> str:
    """A verdict in one sentence: what helps, and what differs by the rules that decided it.

    ``judged`` is ``"map"`` where the verdict is on EM under the posterior's prior, and not on the fit that was given.
    """
    subjects = list(dict.fromkeys(_SUBJECTS[rule] for rule in rules if rule in _SUBJECTS))
    em = "EM with the prior (MAP)" if judged == "map" else "EM"
    if verdict is Verdict.EM_SUFFICIENT:
        return f"{em} is enough: its estimates and intervals say what the posterior says."
    if verdict is Verdict.INCONCLUSIVE:
        return "No verdict: one of the two sides cannot be trusted yet."
    if verdict is Verdict.EM_WITH_INTERVALS:
        words = [_WITH[subject] for subject in subjects] or [_WITH["parameters"]]
        return f"{em} is enough if you {_and([w[0] for w in words])}: {_and([w[1] for w in words])}."
    if subjects == ["labels"]:
        return "Use MCMC, for what labels do not touch: the components cannot be told apart by either side."
    found = [_LEFT_OUT[subject] for subject in subjects]
    return f"Use MCMC: {_and(found) if found else 'EM leaves out something that the posterior shows'}."


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])}, and {words[-1]}"


_SUBJECTS = {
    "trust": "labels",
    "second_mode": "modes",
    "rival_gap": "modes",
    "intervals": "intervals",
    "total_variation": "density",
    "co_clustering": "assignments",
    "difference_in_sd": "parameters",
    "mass_deficit": "parameters",
    "log_width_ratio": "parameters",
}
"""What each rule is about: each subject has its own words and its own remedy."""

_WITH = {
    "parameters": ("report its intervals", "the posterior is near them, but not at the point estimate"),
    "assignments": (
        "take from the posterior who shares a component with whom",
        "its assignments are not those of the posterior, which no interval shows",
    ),
    "density": (
        "predict with the posterior's density",
        "averaged over the posterior the density is not quite EM's, which no interval shows",
    ),
}

_LEFT_OUT = {
    "labels": "components cannot be told apart",
    "modes": "EM's estimate leaves out another mode",
    "intervals": "EM has no intervals to be trusted",
    "density": "averaged over the posterior the density is another one",
    "assignments": "averaged over the posterior the assignments are others",
    "parameters": "the posterior is not where EM's estimates and intervals say",
}

_HELPS = {
    "labels": (
        "What helps: quantities that labels do not touch, fewer components, tied variances, an informative prior or "
        "more rows. MCMC does not tell the components apart either."
    ),
    "modes": "What helps: the posterior, which weighs both; or more rows.",
    "density": (
        "What helps: the posterior predictive density (Posterior.log_predictive), fewer components or more rows. "
        "Intervals do not mend it."
    ),
    "assignments": (
        "What helps: chances averaged over the posterior's draws, fewer components or more rows. Intervals do not "
        "mend it."
    ),
    "parameters": "What helps: the posterior's means and intervals, or more rows.",
}

_REPORT_INTERVALS = "What helps: report EM's intervals (Fit.intervals), and not its estimates alone."


def decide(evidence: Evidence, thresholds: Thresholds = DEFAULT_THRESHOLDS) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict and its reasons in words, the decisive ones first: two fields of what `judge` gives."""
    found = judge(evidence, thresholds)
    return found.verdict, found.reasons


def judge(evidence: Evidence, thresholds: Thresholds = DEFAULT_THRESHOLDS) -> Judgement:
    """The verdict on evidence, with its reasons and the rules that decided it."""
    sides = {"em": evidence.em_problem, "posterior": evidence.posterior_problem}
    blockers = {name: problem for name, problem in sides.items() if problem}
    if blockers:
        return Judgement(Verdict.INCONCLUSIVE, tuple(blockers.values()), tuple(blockers))
    missing = _missing_from_em(evidence, thresholds)
    values = _measured(evidence, labelled=evidence.trust >= thresholds.trust and not evidence.interval_problem)
    first, second = thresholds.sufficient, thresholds.with_intervals
    doubt, where = evidence.interval_doubt, _rows_apart(evidence.rows_apart, thresholds.sufficient.co_clustering)
    if missing:
        leading = tuple(sentence for sentences in missing.values() for sentence in sentences)
        return Judgement(Verdict.MCMC_NEEDED, (*leading, *_sentences(values, first)), tuple(missing))
    slightly, far = ([measure.key for measure in _exceeded(values, limits)] for limits in (first, second))
    borne_out = ("Their own check doubts EM's intervals, but the posterior bears them out.",) if doubt else ()
    if not slightly:
        return Judgement(Verdict.EM_SUFFICIENT, (*_sentences(values, first), *borne_out))
    if far:
        return Judgement(Verdict.MCMC_NEEDED, tuple(_sentences(values, second, where, _HELPS)), tuple(far))
    if doubt and "parameters" in [_SUBJECTS[rule] for rule in slightly]:
        return Judgement(Verdict.MCMC_NEEDED, (doubt, *_sentences(values, first)), ("intervals", *slightly))
    helps = {**_HELPS, "parameters": _REPORT_INTERVALS}
    reasons = _sentences(values, first, where, helps)
    return Judgement(Verdict.EM_WITH_INTERVALS, (*reasons, *borne_out), tuple(slightly))


def _rows_apart(rows: tuple[int, int], limit: float) -> str:
    """Which part of the data changes company, in words; empty where that is not known."""
    if not rows[0]:
        return ""
    return f"{rows[0]:,} of {rows[1]:,} rows change company by more than {_percent(limit)} on average."


def _missing_from_em(evidence: Evidence, thresholds: Thresholds) -> dict[str, list[str]]:
    """By rule, what rules EM out whatever the differences are, and what helps."""
    missing = {}
    if evidence.interval_problem:
        missing["intervals"] = [evidence.interval_problem]
    if not evidence.trust >= thresholds.trust:
        missing["trust"] = [
            f"The components cannot be told apart in the posterior (alignment trust {evidence.trust:.2f}, needed "
            f"{thresholds.trust:.2f}), so estimates of single components have no fixed meaning.",
            _HELPS["labels"],
        ]
    if not evidence.second_mode < thresholds.mode_mass:
        missing["second_mode"] = (
            ["Whether the posterior has a second mode could not be computed."]
            if math.isnan(evidence.second_mode)
            else [
                f"EM's point estimate leaves out a mode with {evidence.second_mode:.0%} of the posterior.",
                _HELPS["modes"],
            ]
        )
    if not evidence.gap_to_rival >= thresholds.rival_gap:
        missing["rival_gap"] = [
            f"EM found another optimum only {evidence.gap_to_rival:.2f} nats below its best one: a point estimate "
            "leaves it out.",
            _HELPS["modes"],
        ]
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


def _sentences(
    values: Sequence[_Measure],
    limits: Limits,
    where: str = "",
    helps: Mapping[str, str] | None = None,
) -> list[str]:
    """A sentence for each measure, those over their limits first; after the last of a subject, what helps.

    ``where`` follows the sentence on co-clustering.
    """
    exceeded = _exceeded(values, limits)
    found = []
    for place, measure in enumerate(exceeded):
        found.append(_sentence(measure, getattr(limits, measure.key), True))
        if measure.key == "co_clustering" and where:
            found.append(where)
        subject = _SUBJECTS[measure.key]
        if helps and subject not in [_SUBJECTS[later.key] for later in exceeded[place + 1 :]]:
            found.append(helps[subject])
    return [*found, *(_sentence(m, getattr(limits, m.key), False) for m in values if m not in exceeded)]


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
