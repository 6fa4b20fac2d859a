"""How EM's objective rose to its optimum."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from emjax.report.drawing import style
from emjax.result import Fit


def distances(fit: Fit) -> np.ndarray:
    """The best objective less the objective of each iteration, nats; NaN where that is 0 or not finite."""
    trace = np.asarray(fit.trace, float)
    finite = trace[np.isfinite(trace)]
    gap = (finite.max() if finite.size else np.nan) - trace
    return np.where(np.isfinite(gap) & (gap > 0), gap, np.nan)


@style.drawn
def draw_em_trace(fit: Fit, width: float) -> Figure:
    """The objective above, and its distance to the best value on a logarithmic scale below."""
    height, left, right, gap = 0.92 * width, 0.86, 0.16, 0.2
    figure = style.Picture(figsize=(width, height))
    half = (height - 0.52 - 0.2 - gap) / 2
    box = ((width - left - right) / width, half / height)
    upper = figure.add_axes((left / width, (0.52 + half + gap) / height, *box))
    lower = figure.add_axes((left / width, 0.52 / height, *box), sharex=upper)
    trace, distance = np.asarray(fit.trace, float), distances(fit)
    steps = np.arange(len(trace))
    marker = "o" if len(trace) <= 40 else ""
    options: dict[str, Any] = {"color": style.EM, "linewidth": 1.5, "marker": marker, "markersize": 3.4}
    upper.plot(steps, np.where(np.isfinite(trace), trace, np.nan), **options)
    upper.ticklabel_format(axis="y", useOffset=False)
    upper.grid(axis="y")
    style.finish(upper, "", "log-likelihood" if fit.mixture.prior is None else "log-lik. + log prior", n_y=4)
    upper.tick_params(labelbottom=False)
    shown = np.isfinite(distance)
    if shown.any():
        lower.plot(steps[shown], distance[shown], **options)
        lower.set_yscale("log")
        lower.yaxis.set_major_formatter(style.POWERS)
        lower.yaxis.set_minor_formatter("")
    else:
        lower.text(0.5, 0.5, "at its best from the start", transform=lower.transAxes, ha="center", color=style.MUTED)
        lower.set_yticks([])
    lower.grid(axis="y")
    style.finish(lower, "iteration", "distance to best", whole_x=True)
    return figure
