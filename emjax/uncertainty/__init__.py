"""Standard errors and confidence intervals of EM estimates."""

from emjax.uncertainty.information import IntervalRow, Intervals, intervals

__all__ = ["IntervalRow", "Intervals", "intervals"]
