"""Curves of a measure against a setting, with Monte-Carlo bands; dots where the setting has no order."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from emjax.experiments.pages.lanes import Lanes, Panel, best_axes, lanes, place_of
from emjax.experiments.pages.marks import HOLLOW, Mark, draw_estimates, log_ticks, method_marks, panel_axes
from emjax.experiments.summary.estimates import expected_band
from emjax.experiments.summary.measures import KIND, PARAMETER, Measure
from emjax.experiments.summary.view import Axis, StudyView
from emjax.experiments.summary.words import value_text
from emjax.report.drawing import style
from emjax.report.drawing.picture import Picture
from emjax.wording import elided, number, percent

DRAWN = ("rmse", "bias", "coverage", "width", "log_score_loss", "total_variation", "ari", "run_seconds")
WITHOUT_TRUTH = ("log_score", "log_evidence", "max_rhat", "min_ess", "run_seconds")
_AGAIN = ("rmse", "coverage", "log_score")
"""What is drawn against the second setting too: the panels of the first figures show it already."""

_NARROW = 5.0
_MOST_BIASES = 6
_MOST_LINES = 2
"""Of the name of a value below the axis."""


@dataclasses.dataclass(frozen=True)
class Curves:
    """A figure of curves: by panel its title, and a frame per method with ``place, value, lower, upper, doubtful``.

    What runs along is ``axis``, None where there is one cell. Of coverage there is the nominal ``level`` and the
    ``band`` around it. Panels have one vertical scale unless ``own_scales``.
    """

    axis: Axis | None
    panels: tuple[tuple[str, Mapping[str, pd.DataFrame]], ...]
    measure: Measure
    ylabel: str
    level: float | None = None
    band: tuple[float, float] | None = None
    own_scales: bool = False


def curve_pictures(view: StudyView) -> Iterator[Picture]:
    """The curves of every measure against the settings that deserve it; dots where there is no order."""
    marks = method_marks(view.study.methods)
    axes: list[Axis | None] = [*best_axes(view)] or [None]
    names = [*(DRAWN if view.has_truth else WITHOUT_TRUTH), *(measure.name for measure in view.own_measures)]
    if view.answered_by in view.measures and view.answered_by not in names:
        names.insert(0, view.answered_by)
    for place, axis in enumerate(axes):
        layout = lanes(view, axis)
        for name in names if place == 0 else [name for name in names if name in _AGAIN]:
            found = view.means[(view.means["measure"] == name) & np.isfinite(view.means["value"])]
            # What was spent was spent, whether or not an outcome can be trusted.
            pairs = zip(found["cell"], found["method"], strict=True)
            found = found.assign(doubtful=[pair in view.doubtful and not view.measures[name].of_all for pair in pairs])
            drawn = _curves(view, layout, found, view.measures[name])
            if drawn.panels:
                yield _picture(f"{name}{f'_by_{place + 1}' if place else ''}", drawn, layout, found, marks)


def _curves(view: StudyView, layout: Lanes, found: pd.DataFrame, measure: Measure) -> Curves:
    groups = _groups(found, measure, view.kinds)
    single = len(layout.panels) == 1
    chosen = groups if single else groups[:1]
    panels = [
        (group if single else panel.title, _points(panel, layout.axis, found[found["group"] == group], view.methods))
        for group in chosen
        for panel in layout.panels
    ]
    several = single and len(groups) > 1
    what = measure.label("" if several or not chosen else chosen[0])
    levels = {view.level_of(cell) for cell in view.places}
    level = levels.pop() if measure.name == "coverage" and len(levels) == 1 and len(found) else None
    return Curves(
        layout.axis,
        tuple(panel for panel in panels if panel[1]),
        measure,
        what + (" of the parameter" if measure.name == "bias" and several else ""),
        level,
        expected_band(level, int(found["n"].median())) if level is not None else None,
        several,
    )


def _points(panel: Panel, axis: Axis | None, found: pd.DataFrame, methods: Sequence[str]) -> dict[str, pd.DataFrame]:
    places = {cell.key: place_of(cell, axis) if axis is not None else 0.0 for cell in panel.cells}
    points = {}
    for method in methods:
        own = found[(found["method"] == method) & found["cell"].isin(places)]
        own = own.assign(place=own["cell"].map(places)).sort_values("place")
        if len(own):
            points[method] = own[["place", "value", "lower", "upper", "doubtful"]]
    return points


def _groups(found: pd.DataFrame, measure: Measure, kinds: Sequence[str]) -> list[str]:
    """All parameters together, or their kinds, or the parameters that stand out most from their errors."""
    there = list(dict.fromkeys(found["group"]))
    if "" in there:
        return [""]
    if KIND in measure.per:
        return [kind for kind in kinds if kind in there][:4]
    distance = (found["value"] / found["mcse"]).abs().groupby(found["group"], sort=False).max().fillna(0)
    return sorted(there, key=lambda group: -distance[group])[:_MOST_BIASES]


def _picture(name: str, drawn: Curves, layout: Lanes, found: pd.DataFrame, marks: Mapping[str, Mark]) -> Picture:
    measure = drawn.measure
    title = measure.short[:1].upper() + measure.short[1:]
    title += f" against {layout.axis.label}" if layout.axis is not None else ""
    # A number of the user's own may come without words.
    said = f"{measure.words[:1].upper()}{measure.words[1:]}. " if measure.words else ""
    caption = f"{said}Bands and bars: 95% by Monte-Carlo error."
    if drawn.level is not None and drawn.band is not None:
        low, high = map(percent, drawn.band)
        caption += (
            f" Line: the nominal {drawn.level:.0%}. Grey: where a correct interval of one parameter lies in 95% of"
        )
        caption += f" such studies ({low} to {high})."
    if measure.per == (PARAMETER,) and len(drawn.panels) > 1:
        caption += f" The parameters whose {measure.short} stands out most from its error."
    if measure.name == "rmse" and drawn.own_scales:
        caption += " Averaged over the components and features of each kind of parameter."
    caption += HOLLOW if found["doubtful"].any() else ""
    caption += f" {layout.note}" if layout.note else ""
    text = f"{title}. {_in_words(drawn)}"
    return Picture(name, lambda width: draw_curves(drawn, marks, width), title, text=text, caption=caption)


def _in_words(drawn: Curves) -> str:
    parts = []
    for title, methods in drawn.panels[:4]:
        for method, points in list(methods.items())[:4]:
            values = points["value"].to_numpy(float)
            where = f" ({elided(title, 40)})" if title else ""
            span = f"{number(values[0], 3)} to {number(values[-1], 3)}" if len(values) > 1 else number(values[0], 3)
            parts.append(f"{elided(method, 40)}{where}: {span}")
    return "From the first to the last value: " + "; ".join(parts) + "."


# -- drawing


@style.drawn
def draw_curves(curves: Curves, marks: Mapping[str, Mark], width: float) -> Figure:
    """All panels, the key of the methods above them."""
    n_panels = len(curves.panels)
    n_columns = 1 if width < _NARROW else {1: 1, 2: 2, 4: 2}.get(n_panels, 3)
    each = width / n_columns - 0.7
    tall = min(max(0.62 * each, 1.45), 2.3) + 0.45
    there, common = {name for _, methods in curves.panels for name in methods}, not curves.own_scales
    figure, places = panel_axes(width, n_panels, n_columns, tall, marks, there, sharey=common)
    everywhere = [frame for _, methods in curves.panels for frame in methods.values()]
    for place, (axes, (title, methods)) in enumerate(zip(places, curves.panels, strict=True)):
        _draw_panel(axes, curves, methods, marks, pd.concat(everywhere if common else [*methods.values()])["value"])
        _ticks(axes, curves.axis, each)
        last_row, first_column = place + n_columns >= n_panels, place % n_columns == 0
        axes.set_xlabel(curves.axis.label if curves.axis and last_row else "")
        axes.set_ylabel(curves.ylabel if first_column else "")
        axes.tick_params(labelbottom=last_row or curves.own_scales)
        axes.set_title(elided(title, int(11 * each)), color=style.MUTED, pad=4)
    return figure


def _draw_panel(
    axes: Axes, curves: Curves, methods: Mapping[str, pd.DataFrame], marks: Mapping[str, Mark], values: pd.Series
) -> None:
    """The estimates of all methods; ``values`` are all that stand on the same scale."""
    # A logarithmic axis has no place for the loss of a method that is, by chance, ahead of the truth, nor for the lower
    # end of every band.
    logarithmic = curves.measure.logarithmic and bool((values > 0).all()) and values.max() > 4 * values.min()
    floor = values.min() / 4 if logarithmic else -np.inf
    axis = curves.axis
    axes.set(yscale="log" if logarithmic else "linear", xscale="log" if axis and axis.logarithmic else "linear")
    if curves.band is not None:
        axes.axhspan(*curves.band, color=style.DATA_FILL, linewidth=0, alpha=0.75, zorder=0)
    line = 0.0 if curves.measure.name == "bias" else curves.level
    if line is not None:
        axes.axhline(line, color=style.MUTED, linewidth=1, zorder=1)
    numeric = axis is not None and axis.numeric and len(axis.values) > 1
    shade = (0.16 if len(marks) < 5 else 0.08) if numeric and axis and not axis.drawn else 0.0
    for order, (method, mark) in enumerate(marks.items()):
        if method in methods:
            x = methods[method]["place"].to_numpy(float)
            x = x if numeric else x + 0.5 * ((order + 0.5) / len(marks) - 0.5)
            draw_estimates(axes, x, methods[method], mark, floor=floor, joined=shade, name=f"points of {method}")
    axes.grid(axis="y")
    style.finish(axes, n_y=5)
    if logarithmic:
        log_ticks(axes.yaxis)
    elif curves.measure.logarithmic:
        axes.set_ylim(bottom=min(axes.get_ylim()[0], 0.0))


def fitted(names: Sequence[str], width: int) -> list[str]:
    """The names in lines of at most ``width`` signs; those that would look alike then are numbered."""
    shown = []
    for name in names:
        lines = textwrap.wrap(name, width, break_long_words=False) or [""]
        lines = [*lines[: _MOST_LINES - 1], " ".join(lines[_MOST_LINES - 1 :])]
        shown.append("\n".join(elided(line, width) for line in lines if line))
    if len(set(shown)) == len(shown):
        return shown
    return [f"{place}: {elided(name, max(width - 3, 1))}" for place, name in enumerate(names, start=1)]


def _ticks(axes: Axes, axis: Axis | None, width: float) -> None:
    """The values of the sweep themselves as ticks, thinned where they would touch; axes are ``width`` inches wide."""
    if axis is None:
        axes.set_xticks([])
        axes.set_xlim(-0.6, 0.6)
        return
    if axis.drawn:  # whose values are no round numbers
        if axis.logarithmic:
            log_ticks(axes.xaxis)
        return
    places = [float(value) for value in axis.values] if axis.numeric else [*map(float, range(len(axis.values)))]
    axes.xaxis.set_minor_locator(NullLocator())
    if axis.numeric and len(places) > 1:
        axes.xaxis.set_major_locator(FixedLocator(places, nbins=max(2, int(width / 0.45))))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: style.compact(value)))
        return
    beside = 0.6 * (max(abs(places[0]), 1) if axis.numeric else 1)
    axes.set_xlim(min(places) - beside, max(places) + beside)
    names = [style.compact(value) if axis.numeric else value_text(value) for value in axis.values]
    axes.set_xticks(places, fitted(names, max(4, int(12 * width / len(names)))))
