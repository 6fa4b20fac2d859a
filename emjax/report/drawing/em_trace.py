"""How EM's objective rose to its optimum."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from emjax.comparison import Comparison
from emjax.report.drawing import style
from emjax.report.drawing.picture import Picture
from emjax.result import Fit
from emjax.wording import count, number


def distances(fit: Fit) -> np.ndarray:
    """The best objective less the objective of each iteration, nats; NaN where that is 0 or not finite."""
    trace = np.asarray(fit.trace, float)
    finite = trace[np.isfinite(trace)]
    gap = (finite.max() if finite.size else np.nan) - trace
    return np.where(np.isfinite(gap) & (gap > 0), gap, np.nan)


@style.drawn
def em_trace(source: Comparison | Fit, *, width: float = 4.4) -> Figure:
    """EM's objective by iteration, and its distance to the best on a logarithmic scale."""
    fit = source.fit if isinstance(source, Comparison) else source
    figure, (upper, lower) = style.canvas(width, 0.92 * width, 2, sharex=True)
    trace, distance = np.asarray(fit.trace, float), distances(fit)
    steps = np.arange(len(trace))
    marker = "o" if len(trace) <= 40 else ""
    options: dict[str, Any] = {"color": style.EM, "linewidth": 1.5, "marker": marker, "markersize": 3.4}
    upper.plot(steps, np.where(np.isfinite(trace), trace, np.nan), **options)
    upper.grid(axis="y")
    style.finish(upper, "", "log-likelihood" if fit.mixture.prior is None else "log-lik. + log prior", n_y=4)
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


def em_trace_picture(fit: Fit) -> Picture:
    """EM's way to its optimum."""
    return Picture(
        "em-trace",
        lambda width: em_trace(fit, width=width),
        title="EM's iterations",
        caption=(
            f"The best start, from {number(fit.trace[0], 6)} to {number(fit.objective, 6)} in "
            f"{count(fit.n_iter, 'iteration')}. Below, the distance to the best value on a logarithmic scale: a "
            "straight line means that EM gains the same factor each time, and the flatter it is, the more the "
            "components overlap."
        ),
        wide=False,
    )
