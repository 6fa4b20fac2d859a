"""Figures of fits, posteriors, comparisons and intervals: each takes what was fitted and returns a Matplotlib figure.

.. code-block:: python

    from emjax import plots

    figure = plots.classification(fit)
    figure.savefig("classification.png", dpi=200)

``fit.plot("classification")`` draws the same; `FIGURES` has what can be drawn of which object. ``width`` is in inches.

A figure belongs to nobody: no pyplot, no global setting and no backend is touched. EM is orange and dashed, the
posterior blue and solid; draws that have not converged are grey. Where colours tell components apart, symbols do too.
"""

from collections.abc import Callable

from matplotlib.figure import Figure

from emjax.report.drawing.assignments import assignments, certainty
from emjax.report.drawing.band import density_band
from emjax.report.drawing.chains import chains
from emjax.report.drawing.classification import classification, uncertainty
from emjax.report.drawing.criteria import criteria
from emjax.report.drawing.density import density
from emjax.report.drawing.em_trace import em_trace
from emjax.report.drawing.forest import forest
from emjax.report.drawing.influence import influence
from emjax.report.drawing.interval_methods import interval_methods
from emjax.report.drawing.intervals import intervals
from emjax.report.drawing.labels import labels
from emjax.report.drawing.modes import modes
from emjax.report.drawing.number import number_of_components
from emjax.report.drawing.optima import optima
from emjax.report.drawing.pit import pit
from emjax.report.drawing.prior_check import prior_predictive
from emjax.report.drawing.profile_curves import profile_curves
from emjax.report.drawing.qq import qq
from emjax.report.drawing.ranks import ranks
from emjax.report.svg import thumbnail as thumbnail

__all__ = [
    "FIGURES",
    "assignments",
    "certainty",
    "chains",
    "classification",
    "criteria",
    "density",
    "density_band",
    "em_trace",
    "forest",
    "influence",
    "interval_methods",
    "intervals",
    "labels",
    "modes",
    "number_of_components",
    "optima",
    "pit",
    "prior_predictive",
    "profile_curves",
    "qq",
    "ranks",
    "uncertainty",
]

_OF_BOTH = (density, density_band, classification, uncertainty, assignments, certainty)
_OF_FIT = (
    classification,
    uncertainty,
    density,
    density_band,
    assignments,
    certainty,
    em_trace,
    optima,
    intervals,
    pit,
    qq,
)
_OF_DRAWS = (chains, ranks, modes, labels)

FIGURES: dict[str, dict[str, Callable[..., Figure]]] = {
    name: {draw.__name__: draw for draw in figures}
    for name, figures in {
        "Fit": (*_OF_FIT, prior_predictive),
        "Posterior": (*_OF_BOTH, *_OF_DRAWS, prior_predictive),
        "Comparison": (density, forest, *_OF_BOTH[1:], em_trace, optima, intervals, *_OF_DRAWS, prior_predictive),
        "Intervals": (intervals, profile_curves),
        "Diagnosis": (pit, qq, influence),
        "Selection": (criteria,),
        "NumberPosterior": (number_of_components,),
        "Choice": (number_of_components,),
    }.items()
}
"""What can be drawn of each kind of object, by the names of its class and of the figure, the default first."""
