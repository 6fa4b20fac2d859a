"""Cells, shares and measures in the words of a study's sentences."""

from __future__ import annotations

import math

from emjax.experiments.summary.measures import Measure, Point, expected_band
from emjax.experiments.summary.sweep import CellView, Sweep
from emjax.wording import decimals_for, elided, fixed, percent


def cell_words(sweep: Sweep, cell: CellView) -> str:
    """`` at overlap = 0.12``; empty where nothing is swept."""
    return f" at {sweep.cell_label(cell, width=80)}" if cell.settings else ""


def share_text(point: Point) -> str:
    """``71.2% ± 1.5%``."""
    return percent(point.value) + (f" ± {percent(point.mcse)}" if math.isfinite(point.mcse) and point.mcse > 0 else "")


def plus_minus(point: Point) -> str:
    """``0.123 ± 0.004``."""
    decimals = decimals_for(point.mcse)
    return fixed(point.value, decimals) + (f" ± {fixed(point.mcse, decimals)}" if decimals is not None else "")


def measure_words(measure: Measure, group: str = "") -> str:
    """``RMSE of mean``, ``log score loss``."""
    return f"{measure.short} of {elided(group, 40)}" if group else measure.short


def band_words(level: float, n: int) -> str:
    """Where the coverage of a correct method lies."""
    low, high = expected_band(level, n)
    return f"{percent(low)} to {percent(high)}"
