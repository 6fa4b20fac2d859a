"""A criterion over the number of components, one line for each family and structure."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from emjax.report.drawing import style
from emjax.selection.selection import SHORT, Selection


@style.drawn
def criteria(selection: Selection, *, criterion: str | None = None, width: float = 5.2) -> Figure:
    """A criterion by the number of components (by default the one that ranks), the best marked by a ring.

    A cross is a model whose best optimum was reached by fewer than three starts. What is not to be trusted has no
    point; the better half of all models decides how much is shown, and what is ``above`` that is named in the key.
    """
    chosen = selection.criterion if criterion is None else criterion
    found = selection.ranked(chosen)
    figure, (axes,) = style.canvas(width, 0.72 * width)
    highest = _highest([each.value(chosen) for each in found])
    for place, name in enumerate(dict.fromkeys(each.name for each in selection.candidates)):
        own = [each for each in selection.candidates if each.name == name]
        numbers, values = np.array([each.n_components for each in own]), np.array([each.value(chosen) for each in own])
        color, marker = style.component(place)
        seen = np.isnan(values).all() or np.nanmin(values) <= highest
        label = name if seen else f"{name} (above)"
        axes.plot(numbers, values, color=color, marker=marker, markersize=4.5, linewidth=1.3, label=label)
        missed = np.array([each.unreplicated for each in own])
        axes.plot(numbers[missed], values[missed], "x", color=style.WARNING, markersize=8, zorder=5)
    if found:
        best, lowest = found[0], found[0].value(chosen)
        axes.plot(best.n_components, lowest, markersize=13, marker="o", **style.hollow(style.INK))
        if highest > lowest:
            axes.set_ylim(lowest - 0.08 * (highest - lowest), highest)
    axes.grid(axis="y")
    style.finish(axes, "number of components", f"{SHORT[chosen]} (lower is better)", whole_x=True)
    style.key(figure, axes)
    return figure


def _highest(values: list[float]) -> float:
    """How far up the figure goes: where the better half is, since beside a poor structure the others are one line."""
    if not values:
        return float("inf")
    low, middle, high = min(values), float(np.median(values)), max(values)
    return min(high + 0.05 * (high - low), low + 1.3 * (middle - low)) if middle > low else high
