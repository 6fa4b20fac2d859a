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
    rows, outlying = np.arange(len(values)), source.influential
    axes.vlines(rows, 0.0, values, color=style.DATA, linewidth=0.8)
    axes.plot(rows[outlying], values[outlying], "o", color=style.EM, markersize=4.2)
    for row in outlying[:MOST_NAMED]:
        axes.annotate(
            f"{row}", (row, values[row]), (0, 3), textcoords="offset points", ha="center", va="bottom", fontsize=8
        )
    axes.axhline(values.mean(), color=style.EM, linestyle=style.EM_LINE, linewidth=1.0, label="average")
    axes.set_xlim(-0.5, len(values) - 0.5)
    axes.set_ylim(0.0, 1.15 * float(values.max()))
    style.finish(axes, "row", "influence")
    style.key(figure)
    return figure
