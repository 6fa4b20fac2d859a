"""What all figures share: colours, Matplotlib's settings for the time of a drawing, keys and ticks.

EM is always orange and dashed, the posterior always blue and solid (Okabe and Ito's colours, which people with any
kind of colour vision tell apart), data are grey. Draws that have not converged lose the posterior's colour. What speaks
against the draws is red.
"""

from __future__ import annotations

import functools
import io
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from emjax.wording import printable

INK = "#1d232a"
MUTED = "#59636e"
GRID = "#dfe3e8"
DATA = "#8b95a1"
DATA_FILL = "#d3d9e0"
EM = "#d55e00"
POSTERIOR = "#0072b2"
UNTRUSTED = "#929aa4"
WARNING = "#b3261e"
ON_MARK = "#fffffe"
CHAINS = ("#009e73", "#cc79a7", "#56b4e9", "#b58900")
PRIOR = CHAINS[0]

_OF_COMPONENTS = (POSTERIOR, EM, *CHAINS)
_SYMBOLS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "*")

DARK = {
    INK: "#e8eaed",
    MUTED: "#a6b0bb",
    GRID: "#363d46",
    DATA: "#7f8a97",
    DATA_FILL: "#3f4853",
    EM: "#ff9248",
    POSTERIOR: "#5cb8f0",
    UNTRUSTED: "#76808b",
    WARNING: "#ff8f85",
    ON_MARK: "#14171b",
    CHAINS[0]: "#2fc99b",
    CHAINS[1]: "#e59ac4",
    CHAINS[2]: "#8ecbf5",
    CHAINS[3]: "#e0b64a",
}
"""What each colour becomes on a dark page."""

EM_LINE = (0, (4, 1.6))
"""EM's dashes."""

_SETTINGS: dict[str, Any] = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.borderpad": 0.0,
    "legend.borderaxespad": 0.5,
    "legend.handlelength": 1.8,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.0,
    "legend.labelcolor": INK,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.formatter.useoffset": False,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    # A column may be called `$x` or `a_b\`: names are text, not formulas.
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "emjax",
}


class Canvas(Figure):
    """A figure that a notebook shows by itself: Matplotlib's own does so only where pyplot has chosen a backend."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        with drawing():
            self.savefig(content, format="png", dpi=110)
        return content.getvalue()


@contextmanager
def drawing() -> Iterator[None]:
    """Our settings while a figure is made or written; afterwards everything is as before."""
    # Matplotlib's defaults with ours on top: the reader's own settings change nothing.
    with matplotlib.style.context(_SETTINGS, after_reset=True), warnings.catch_warnings():
        # The font lacks some scripts. It only measures the text; the browser writes it with fonts of its own.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)
        yield


def drawn(function: Callable[..., Figure]) -> Callable[..., Figure]:
    """Run a function that makes a figure under `drawing`, and lay it out: once, as every drawing would do it again."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Figure:
        with drawing():
            figure = function(*arguments, **options)
            if (engine := figure.get_layout_engine()) is not None:
                for axes in figure.axes:
                    for artist in (*axes.lines, *axes.patches, *axes.collections):
                        artist.set_in_layout(False)  # only words need room
                engine.execute(figure)
                figure.set_layout_engine("none")
            return figure

    return wrapped


def canvas(
    width: float, height: float, n_rows: int = 1, n_columns: int = 1, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of so many inches, and its axes, row by row."""
    figure = Canvas(figsize=(width, height))
    return figure, list(figure.subplots(n_rows, n_columns, squeeze=False, **options).flat)


def panels(
    width: float, n_panels: int, n_columns: int, tall: float, *, above: float = 0.3, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure with panels row by row, each ``tall`` inches with all its words, and ``above`` them room for a key."""
    n_rows = -(-n_panels // n_columns)
    figure, axes = canvas(width, above + n_rows * tall, n_rows, n_columns, **options)
    for spare in axes[n_panels:]:
        spare.remove()
    return figure, axes[:n_panels]


def triangle(width: float, height: float, n: int) -> tuple[Figure, dict[tuple[int, int], Axes]]:
    """A figure with axes on and below the diagonal, by row and column."""
    figure = Canvas(figsize=(width, height))
    grid = figure.add_gridspec(n, n)
    cells = {(row, column): figure.add_subplot(grid[row, column]) for row in range(n) for column in range(row + 1)}
    figure.align_ylabels()
    return figure, cells


_STEPS = [1, 2, 2.5, 5, 10]


def finish(
    axes: Axes, xlabel: str = "", ylabel: str = "", *, n_x: int = 6, n_y: int = 5, whole_x: bool = False
) -> None:
    """Labels, and few ticks with numbers written out."""
    axes.set_xlabel(printable(xlabel))
    axes.set_ylabel(printable(ylabel))
    for axis, n, limits in ((axes.xaxis, n_x, axes.get_xlim()), (axes.yaxis, n_y, axes.get_ylim())):
        if axis.get_scale() == "linear":
            axis.set_major_locator(MaxNLocator(n, steps=_STEPS, integer=whole_x and axis is axes.xaxis))
            # Large and tiny numbers in few signs, instead of a power of ten that stands apart from them.
            size = max(map(abs, limits))
            if abs(limits[1] - limits[0]) > 1e-3 * size and not 1e-3 <= size < 1e4:
                axis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))


def outer(axes: Axes, below: str, beside: str, *, numbered: bool = True, size: float = 8.0) -> None:
    """Names, and few ticks away from the ends, at the outer panels alone."""
    axes.set_xlabel(below, fontsize=size)
    axes.set_ylabel(beside, fontsize=size)
    for axis, shown in ((axes.xaxis, below), (axes.yaxis, beside and numbered)):
        axis.set_major_locator(MaxNLocator(3, steps=_STEPS, prune="both") if shown else NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))
    axes.tick_params(labelsize=7.0 if size < 8 else 7.5)


def rows_of(axes: Axes, places: Sequence[float] | np.ndarray, names: Sequence[str]) -> None:
    """Names of rows beside the axes, without a line or ticks between."""
    axes.set_yticks(places, names, color=INK)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def compact(value: float) -> str:
    """A number in few signs: ``2.5``, ``20k``, ``1.5M``."""
    size = abs(value)
    for start, unit, sign in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if size >= start:
            return f"{value / unit:g}{sign}".replace("-", "−")
    return f"{value:g}".replace("-", "−")


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(value: float, _position: int = 0) -> str:
    """A tick of a logarithmic axis, in plain text: ``0.1``, ``10⁻⁶``."""
    if value <= 0:
        return ""
    return f"{value:g}" if 1e-2 <= value <= 1e4 else "10" + f"{round(math.log10(value))}".translate(_RAISED)


POWERS = FuncFormatter(power_of_ten)


def key(figure: Figure, named: Axes | None = None, **options: Any) -> None:
    """The key above everything: what is named in some axes, the first by default."""
    handles, labels = (figure.axes[0] if named is None else named).get_legend_handles_labels()
    found: dict[str, Any] = {}
    for label, handle in zip(labels, handles, strict=True):
        found.setdefault(label, handle)
    place_key(figure, found, **options)


def place_key(figure: Figure, handles: Mapping[str, Any], **options: Any) -> None:
    """A key of handles by their labels, in as many columns as fit."""
    widths, room = [0.5 + 0.073 * len(label) for label in handles], figure.get_size_inches()[0]
    for n_columns in range(len(handles), 0, -1):
        if n_columns == 1 or sum(max(column) for column in np.array_split(widths, n_columns)) < room:
            place = {"loc": "outside upper left", "ncols": n_columns, **options}
            figure.legend([*handles.values()], [*handles], **place)
            return


MOST_KEYS = 8
"""Components that a key names, the first of more."""


def component_keys(names: Sequence[str]) -> dict[str, Line2D]:
    """For a key: the symbols of the components by their names, and how many more there are beyond the first."""
    looks = {name: component(k) for k, name in enumerate(names[:MOST_KEYS])}
    if len(names) > MOST_KEYS:
        looks[f"+ {len(names) - MOST_KEYS} more"] = "none", ""
    return {
        name: Line2D([], [], linestyle="none", marker=symbol, color=color, markersize=5.5)
        for name, (color, symbol) in looks.items()
    }


def hollow(color: str) -> dict[str, Any]:
    """The look of an empty symbol."""
    return {"linestyle": "none", "markerfacecolor": "none", "markeredgecolor": color}


def component(label: int) -> tuple[str, str]:
    """The colour and the symbol of a component, where there is one: 66 pairs, as 6 and 11 have no common divisor."""
    return _OF_COMPONENTS[label % len(_OF_COMPONENTS)], _SYMBOLS[label % len(_SYMBOLS)]


def number_mark(axes: Axes, label: int, x: float, y: float, color: str = EM) -> None:
    """The number of a component in a filled circle, in EM's colour by default."""
    size = 11 if label < 10 else 14
    axes.plot(x, y, "o", markersize=size, color=color, markeredgewidth=0.8, markeredgecolor=ON_MARK, zorder=6)
    axes.annotate(
        f"{label}", (x, y), ha="center", va="center_baseline", color=ON_MARK, fontweight="bold", fontsize=8, zorder=7
    )
