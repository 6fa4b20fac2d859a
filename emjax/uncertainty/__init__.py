"""Standard errors and confidence intervals of EM estimates."""

from emjax.uncertainty.methods import intervals
from emjax.uncertainty.replicates import Replicates
from emjax.uncertainty.results import IntervalRow, Intervals

__all__ = ["IntervalRow", "Intervals", "Replicates", "intervals"]
