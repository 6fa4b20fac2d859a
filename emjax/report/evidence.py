"""The verdict in a word, and the differences that it rests on, ready for the page."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from emjax.align import TRUST_LOW
from emjax.verdict import Thresholds, Verdict
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

    Texts are what is measured, ``where`` (the parameter, may be empty), the value, and the most for ``em_sufficient``
    and for ``em_with_intervals``. ``place`` is in percent of the bar's length, None where the value could not be
    computed. ``zone`` is ``enough``, ``intervals``, ``mcmc``, ``unknown``, or ``unlabelled``: a difference of single
    components where those have no meaning.
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
        "log_width_ratio": [
            (abs(math.log(row.width_ratio)) if row.width_ratio > 0 else math.nan, row.name) for row in rows
        ],
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
