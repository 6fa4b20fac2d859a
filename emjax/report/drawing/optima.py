"""The atlas of optima: how high each end of the starts is, how many starts led there, and what it looks like."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, SymmetricalLogLocator

from emjax.comparison import Comparison
from emjax.report.drawing import style
from emjax.report.drawing.margin import margin
from emjax.report.drawing.outlines import draw_outlines, draw_points
from emjax.report.drawing.picture import Picture
from emjax.report.drawing.view import View, as_view
from emjax.result import Fit, Optimum
from emjax.wording import count, number, percent

MOST_PANELS = 6
"""Optima whose components are drawn, the first of more."""

_FAR = 30.0
_LINEAR = 1.0
"""Where an optimum is further than `_FAR` nats from the best the axis is logarithmic beyond `_LINEAR`."""

_MARKS = {"regular": ("o", style.EM), "spurious": ("^", style.WARNING)}
_OTHERS = ("X", style.UNTRUSTED)


@style.drawn
def optima(source: Comparison | Fit, *, width: float = 7.0) -> Figure:
    """Every distinct end of EM's starts: how far it is below the optimum that was kept, and how many starts led there.

    Circles are regular optima, triangles spurious ones, crosses what did not end in an optimum, such as degenerate
    components; right of zero lies what is higher and not to be trusted. Of one or two features the components of the
    first six are drawn below, by the numbers of `Fit.optima`. A share says how wide the basin is for these starts, and
    nothing about the truth.
    """
    fit = source.fit if isinstance(source, Comparison) else source
    shown = fit.optima[:MOST_PANELS] if _has_panels(fit) and len(fit.optima) > 1 else ()
    n_columns = 3 if width >= 5 else 2
    n_rows = -(-len(shown) // n_columns)
    figure, tall = style.Canvas(), [2.5, *[1.7] * n_rows]
    figure.set_size_inches(width, 0.3 + sum(tall))
    grid = figure.add_gridspec(1 + n_rows, n_columns, height_ratios=tall)
    _atlas(figure.add_subplot(grid[0, :]), fit)
    view = as_view(fit)
    for i, optimum in enumerate(shown):
        axes = figure.add_subplot(grid[1 + i // n_columns, i % n_columns])
        axes.set_title(f"{i}: {optimum.kind}, {_starts(optimum, fit)}", fontsize=8.5)
        _components(axes, dataclasses.replace(view, fit=dataclasses.replace(fit, params=optimum.params)))
    style.key(figure)
    return figure


def _has_panels(fit: Fit) -> bool:
    """Whether components can be drawn small: one feature, or a scatter of two."""
    family, n_features = fit.mixture.family, len(fit.feature_names)
    return family.has_marginals and (n_features == 1 or (n_features == 2 and not family.nominal))


def _starts(optimum: Optimum, fit: Fit) -> str:
    return f"{optimum.count:,} of {count(sum(each.count for each in fit.optima), 'start')}"


def _atlas(axes: Axes, fit: Fit) -> None:
    """The distance of each optimum to the one that was kept, and how many starts it has."""
    n_starts = sum(each.count for each in fit.optima)
    axes.axvline(0, color=style.GRID, linewidth=0.8, zorder=0)
    farthest = 0.0
    for i, optimum in enumerate(fit.optima):
        mark, color = _MARKS.get(optimum.kind, _OTHERS)
        at, share = optimum.objective - fit.objective, optimum.count / n_starts
        if np.isfinite(at):
            axes.vlines(at, 0.0, share, color=color, linewidth=1.0, alpha=0.6)
            # The first ones are on top.
            look: dict[str, Any] = {"linestyle": "none", "markersize": 6, "zorder": 4 - i / len(fit.optima)}
            axes.plot(at, share, mark, color=color, label=optimum.kind, **look)
            if i < MOST_PANELS:
                axes.annotate(f"{i}", (at, share), (0, 5), textcoords="offset points", ha="center", fontsize=8)
            farthest = max(farthest, abs(at))
    if farthest > _FAR:
        axes.set_xscale("symlog", linthresh=_LINEAR)
        axes.xaxis.set_major_locator(SymmetricalLogLocator(base=10.0, linthresh=_LINEAR))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: style.compact(value)))
    axes.set_ylim(0.0, 1.15 * max(each.count for each in fit.optima) / n_starts)
    axes.grid(axis="y")
    what = "log-likelihood" if fit.mixture.prior is None else "log-likelihood + log prior"
    style.finish(axes, f"{what} less that of optimum 0", "share of starts", n_y=4)


def _components(axes: Axes, view: View) -> None:
    """The components of one optimum over the data."""
    try:
        if view.n_features == 1:
            margin(axes, view, 0, linewidth=1.4, letters=26, height=False)
        else:
            draw_points(axes, view, 0, 1, size=4, rasterized=view.rasterized)
            draw_outlines(axes, view, 0, 1, n_draws=0, names=False)
    except np.linalg.LinAlgError:
        # Where a component collapsed there may be no outline.
        axes.text(0.5, 0.5, "without extent", transform=axes.transAxes, ha="center", color=style.MUTED)
    axes.grid(visible=False)
    style.outer(axes, "", "")


def optima_picture(fit: Fit) -> Picture | None:
    """All ends of the starts; None where there is only one."""
    if len(fit.optima) < 2:
        return None
    n_starts = sum(each.count for each in fit.optima)
    kinds: dict[str, int] = {}
    for each in fit.optima:
        kinds[each.kind] = kinds.get(each.kind, 0) + 1
    found = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
    share, gap = percent(fit.optima[0].count / n_starts), fit.gap_to_rival
    rival = f" The next regular one is {number(gap, 3)} nats lower." if np.isfinite(gap) else ""
    higher = any(each.objective > fit.objective for each in fit.optima)
    above = " What lies right of zero is higher and not to be trusted." if higher else ""
    below = f" Below, the components of the first {min(len(fit.optima), MOST_PANELS)}." if _has_panels(fit) else ""
    return Picture(
        "optima",
        lambda width: optima(fit, width=width),
        title="The atlas of optima",
        caption=(
            f"{n_starts:,} starts ended in {len(fit.optima)} distinct places: {found}. {share} of them reached the "
            f"one that was kept, number 0.{rival} A share is the width of a basin for these starts.{above}{below}"
        ),
    )
