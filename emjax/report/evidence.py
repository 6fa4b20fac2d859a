"""The verdict and what it rests on, ready for the page."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emjax.align import TRUST_LOW
from emjax.verdict import EM_IS_ENOUGH, Thresholds, Verdict
from emjax.wording import MISSING, elided, fixed, number, percent

if TYPE_CHECKING:
    from emjax.comparison import Comparison

_ENOUGH, _INTERVALS = 40.0, 75.0
"""Where the two limits stand on every bar, in percent of its length."""

WORDS = {
    Verdict.EM_SUFFICIENT: "Yes, EM is enough",
    Verdict.EM_WITH_INTERVALS: "Yes, with its intervals",
    Verdict.MCMC_NEEDED: "No, use MCMC",
    Verdict.INCONCLUSIVE: "No verdict yet",
}


def word_of(comparison: Comparison) -> str:
    """The answer in a few words; it names the prior where the verdict is on EM with it."""
    words = WORDS[comparison.verdict]
    if comparison.judged != "map":
        return words
    return words.replace("EM is", "EM with the prior is").replace("with its", "with the prior and its")


def _sd(value: float) -> str:
    return f"{fixed(value, 2)} sd" if math.isfinite(value) else MISSING


def _factor(value: float) -> str:
    if not math.isfinite(value):
        return MISSING
    factor = math.exp(value)
    return f"× {fixed(factor, 2) if factor < 100 else number(factor, 3)}"


_MEASURES: dict[str, tuple[str, Callable[[float], str]]] = {
    "total_variation": ("Densities apart", percent),
    "co_clustering": ("Shared components differ", percent),
    "difference_in_sd": ("Estimate from posterior mean", _sd),
    "mass_deficit": ("Mass missing in EM's interval", percent),
    "log_width_ratio": ("Interval widths apart", _factor),
}
"""The fields of `Limits`: what each is called, and how it is written."""


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


def gauges(comparison: Comparison) -> list[Gauge]:
    """The five differences that the verdict weighs, label-invariant ones first."""
    found, rows = comparison.invariants, comparison.rows
    by_label = {
        "difference_in_sd": [(abs(row.difference_in_sd), row.name) for row in rows],
        "mass_deficit": [(comparison.level - row.mass_in_em_interval, row.name) for row in rows],
        "log_width_ratio": [(_log(row.width_ratio), row.name) for row in rows],
    }
    measured = {
        "total_variation": (found["total_variation"]["value"], ""),
        "co_clustering": (found["co_clustering"]["mean_difference"], ""),
        **{key: max(values, key=lambda pair: (math.isnan(pair[0]), pair[0])) for key, values in by_label.items()},
    }
    identified = comparison.posterior.alignment.trust >= TRUST_LOW
    return [
        _gauge(key, value, where, comparison.thresholds, meaningful=identified or key not in by_label)
        for key, (value, where) in measured.items()
    ]


def _log(ratio: float) -> float:
    return abs(math.log(ratio)) if ratio > 0 else math.nan


def _gauge(key: str, value: float, where: str, limits: Thresholds, *, meaningful: bool) -> Gauge:
    label, show = _MEASURES[key]
    first, second = getattr(limits.sufficient, key), getattr(limits.with_intervals, key)
    value = max(value, 0.0) if math.isfinite(value) else value
    zone, place = _zone(value, first, second)
    zone = zone if meaningful else "unlabelled"
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


@dataclasses.dataclass(frozen=True)
class Alert:
    """Something that must be read before any number: a short name, a sentence, and what it is about.

    ``about`` is ``posterior``, ``em``, ``labels``, ``trust`` (labels that mean something, but less than was asked for)
    or ``intervals``.
    """

    title: str
    text: str
    about: str


def alerts(diagnostics: Mapping[str, Any], verdict: str = "", needed_trust: float = TRUST_LOW) -> list[Alert]:
    """What is wrong with either side, gravest first; empty where both can be trusted.

    Parameters
    ----------
    diagnostics
        As `Comparison.diagnostics` has them; a side or the alignment may be missing.
    verdict
        Of a comparison; where it is for EM, the posterior bears EM's rough intervals out.
    needed_trust
        The alignment trust below which labels are not trusted enough.
    """
    posterior, em, alignment = (diagnostics.get(key) for key in ("posterior", "em", "alignment"))
    found = []
    if posterior and posterior["status"] != "converged":
        found.append(_untrusted("MCMC", posterior["status"], posterior.get("status_message", ""), "posterior"))
    if em and em["status"] != "converged":
        found.append(_untrusted("EM", em["status"], em["message"], "em"))
    elif em and is_spurious(em.get("optima", ())):
        found.append(_untrusted("EM", "only a spurious optimum", em["message"], "em"))
    if alignment and not identified(alignment):
        words = f"{alignment.get('note', '')} Read what does not depend on labels: density, shared components, scores."
        found.append(Alert(f"Labels are not identified (alignment trust {_trust(alignment)})", words, "labels"))
    elif alignment and not alignment["trust"] >= needed_trust:
        title = f"Labels are not trusted enough (alignment trust {_trust(alignment)})"
        found.append(Alert(title, alignment.get("note", ""), "trust"))
    intervals = (em or {}).get("intervals") or {}
    if em and em["status"] == "converged" and intervals.get("status", "ok") not in ("ok", "rough"):
        found.append(Alert("EM has no standard errors", intervals["message"], "intervals"))
    elif not intervals_count(diagnostics, verdict):
        found.append(Alert("EM's intervals cannot be trusted (rough)", intervals["message"], "intervals"))
    return found


def _untrusted(side: str, status: str, message: str, about: str) -> Alert:
    return Alert(f"{side} cannot be trusted yet ({status.replace('_', ' ')})", message, about)


def _trust(alignment: Mapping[str, Any]) -> str:
    return fixed(alignment["trust"], 2)


def identified(alignment: Mapping[str, Any] | None) -> bool:
    """Whether rows of single components may be read one by one; a trust that is not a number says no."""
    return alignment is None or (alignment["trust"] is not None and alignment["trust"] >= TRUST_LOW)


def intervals_count(diagnostics: Mapping[str, Any], verdict: str) -> bool:
    """Whether EM's intervals may be read: their own check does not doubt them, or the posterior bears them out."""
    status = ((diagnostics.get("em") or {}).get("intervals") or {}).get("status")
    return status != "rough" or verdict in EM_IS_ENOUGH


def is_spurious(optima: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the best end of all starts is spurious: regular ones would come before it."""
    return bool(optima) and bool(optima[0]["spurious"])


def ended(status: str, n_iter: int | None, *, as_asked: bool, spurious: bool) -> tuple[str, bool]:
    """How EM ended, in words, and whether that is an estimate; ``as_asked``: after the iterations that were wanted."""
    if as_asked and status == "max_iter":
        return f"EM: {n_iter} iterations", not spurious
    if status == "converged" and spurious:
        return "EM: only a spurious optimum", False
    return f"EM: {status.replace('_', ' ')}", status == "converged"
