"""What must be read before any number: what is wrong with EM, the draws, their labels or the intervals.

One rule for pages, terminals and notebooks; it reads plain values, as `Comparison.diagnostics` and the documents of a
run have them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from emjax.align import TRUST_LOW
from emjax.metrics.diagnostics import diagnostics_of
from emjax.verdict import EM_IS_ENOUGH
from emjax.wording import fixed


@dataclasses.dataclass(frozen=True)
class Alert:
    """Something that must be read before any number: a short name, a sentence, and what it is about, which is
    ``posterior``, ``draws`` (an approximation that was asked for), ``em``, ``labels``, ``trust`` (labels that mean less
    than was asked for) or ``intervals``."""

    title: str
    text: str
    about: str


def alerts(diagnostics: Mapping[str, Any], verdict: str = "", needed_trust: float = TRUST_LOW) -> list[Alert]:
    """What is wrong with either side, gravest first; empty where both can be trusted.

    ``diagnostics`` are those of `Comparison.diagnostics`, where a side or the alignment may be missing. Where the
    ``verdict`` is for EM, the posterior bears EM's rough intervals out. Labels are not trusted enough below
    ``needed_trust``.
    """
    posterior, em, alignment = (diagnostics.get(key) for key in ("posterior", "em", "alignment"))
    found = []
    if posterior and posterior["status"] == "approximate":
        found.append(Alert("No posterior, but EM's approximation of it", posterior.get("status_message", ""), "draws"))
    elif posterior and posterior["status"] != "converged":
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
    elif not intervals_count(intervals.get("status"), verdict):
        found.append(Alert("EM's intervals cannot be trusted (rough)", intervals["message"], "intervals"))
    return found


def alerts_of(comparison: Any) -> list[Alert]:
    """The `alerts` of a comparison."""
    found = diagnostics_of(comparison.fit, comparison.posterior, comparison.intervals)
    return alerts(found, comparison.verdict, comparison.thresholds.trust)


def _untrusted(side: str, status: str, message: str, about: str) -> Alert:
    return Alert(f"{side} cannot be trusted yet ({status.replace('_', ' ')})", message, about)


def _trust(alignment: Mapping[str, Any]) -> str:
    return fixed(alignment["trust"], 2)


def identified(alignment: Mapping[str, Any] | None) -> bool:
    """Whether rows of single components may be read one by one; a trust that is not a number says no."""
    return alignment is None or (alignment["trust"] is not None and alignment["trust"] >= TRUST_LOW)


def intervals_count(status: str | None, verdict: str) -> bool:
    """Whether EM's intervals may be read: their own check does not doubt them, or the posterior bears them out."""
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
