"""How much each row moves the estimate, and which move it most."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from emjax.report.drawing import style
from emjax.uncertainty.diagnosis import Diagnosis

MOST_NAMED = 8
"""Rows whose number is written, those with the largest influence."""


@style.drawn
def influence(source: Diagnosis, *, width: float = 7.0) -> Figure:
    """The influence of each row that counts, by its number; the dashed line is the average.

    Rows of ten times the average or more are filled, and the first eight of them named.

    Raises ValueError if the information is not positive definite, so that no row has an influence.
    """
    if not np.isfinite(source.influence).all():
        raise ValueError("rows have no influence: the data do not identify every parameter")
    figure, (axes,) = style.canvas(width, 2.4)
    values = source.influence
    outlying = source.influential
    heights = values[np.searchsorted(source.rows, outlying)]
    axes.vlines(source.rows, 0.0, values, color=style.DATA, linewidth=0.8)
    axes.plot(outlying, heights, "o", color=style.EM, markersize=4.2)
    for row, height in zip(outlying[:MOST_NAMED], heights[:MOST_NAMED], strict=True):
        axes.annotate(f"{row}", (row, height), (0, 3), textcoords="offset points", ha="center", va="bottom", fontsize=8)
    axes.axhline(values.mean(), color=style.EM, linestyle=style.EM_LINE, linewidth=1.0, label="average")
    axes.set_xlim(source.rows[0] - 0.5, source.rows[-1] + 0.5)
    axes.set_ylim(0.0, 1.15 * float(values.max()))
    style.finish(axes, "row", "influence")
    style.key(figure)
    return figure
