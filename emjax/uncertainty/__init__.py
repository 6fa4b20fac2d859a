"""Standard errors and confidence intervals of EM estimates, and what a fit says of itself."""

from emjax.uncertainty.diagnosis import Diagnosis, diagnose
from emjax.uncertainty.levels import at_level
from emjax.uncertainty.methods import intervals
from emjax.uncertainty.replicates import Replicates
from emjax.uncertainty.results import IntervalRow, Intervals, ProfileCurve

__all__ = ["Diagnosis", "IntervalRow", "Intervals", "ProfileCurve", "Replicates", "at_level", "diagnose", "intervals"]
