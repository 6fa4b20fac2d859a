"""Standard errors and confidence intervals of EM estimates."""

from emjax.uncertainty.information import intervals
from emjax.uncertainty.results import IntervalRow, Intervals

__all__ = ["IntervalRow", "Intervals", "intervals"]
