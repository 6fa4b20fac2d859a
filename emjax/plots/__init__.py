"""Figures of fits, posteriors, comparisons and intervals: each takes what was fitted and returns a Matplotlib figure.

.. code-block:: python

    from emjax import plots

    figure = plots.classification(fit)
    figure.savefig("classification.png", dpi=200)

``fit.plot("classification")`` draws the same; `FIGURES` has what can be drawn of which object.

A figure belongs to nobody: no pyplot, no global setting and no backend is touched. EM is orange and dashed, the
posterior blue and solid; draws that have not converged are grey. Where colours tell components apart, symbols do too.
"""

from emjax.report.figures import (
    FIGURES,
    assignments,
    certainty,
    chains,
    classification,
    density,
    density_band,
    em_trace,
    forest,
    intervals,
    labels,
    modes,
    ranks,
    uncertainty,
)
from emjax.report.notebook import thumbnail as thumbnail

__all__ = [
    "FIGURES",
    "assignments",
    "certainty",
    "chains",
    "classification",
    "density",
    "density_band",
    "em_trace",
    "forest",
    "intervals",
    "labels",
    "modes",
    "ranks",
    "uncertainty",
]
