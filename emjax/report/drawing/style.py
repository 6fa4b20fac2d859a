"""What all figures share: colours, Matplotlib's settings for the time of a drawing, and how axes are placed.

EM is always orange and dashed, the posterior always blue and solid (Okabe and Ito's colours, which people with any
kind of colour vision tell apart), data are grey. Draws that have not converged lose the posterior's colour. What speaks
against the draws is red.
"""

from __future__ import annotations

import functools
import io
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from emjax.wording import elided, printable

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
    "legend.borderaxespad": 0.0,
    "legend.handlelength": 1.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
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

# Settings that belong to the program that calls us: touching the backend would load one.
_OF_THE_PROGRAM = {"backend", "backend_fallback", "interactive", "toolbar", "webagg.open_in_browser"}


def _settings() -> Any:
    """Matplotlib's defaults with ours on top: the reader's own settings change nothing, and stay as they are."""
    settings: dict[str, Any] = {str(key): value for key, value in matplotlib.rcParamsDefault.items()}
    settings.update(_SETTINGS)
    return {key: value for key, value in settings.items() if key not in _OF_THE_PROGRAM}


class Picture(Figure):
    """A figure that a notebook shows by itself: Matplotlib's own does so only where pyplot has chosen a backend."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        with drawing():
            self.savefig(content, format="png", dpi=110)
        return content.getvalue()


@contextmanager
def drawing() -> Iterator[None]:
    """Our settings while a figure is made or written; afterwards everything is as before."""
    with matplotlib.rc_context(_settings()), warnings.catch_warnings():
        # The font lacks some scripts. It only measures the text; the browser writes it with fonts of its own.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)
        yield


def drawn(function: Callable[..., Figure]) -> Callable[..., Figure]:
    """Run a function that makes a figure under `drawing`."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Figure:
        with drawing():
            return function(*arguments, **options)

    return wrapped


def single(
    width: float, height: float, *, left: float = 0.56, right: float = 0.14, bottom: float = 0.47, top: float = 0.3
) -> tuple[Figure, Axes]:
    """A figure with one pair of axes; all lengths in inches."""
    figure = Picture(figsize=(width, height))
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    )
    return figure, axes


def panels(
    width: float,
    places: Iterable[tuple[int, int]],
    *,
    tall: float = 0.0,
    ratio: float = 1.0,
    left: float = 0.62,
    right: float = 0.12,
    bottom: float = 0.48,
    top: float = 0.3,
    beside: float = 0.0,
    between: float = 0.0,
) -> tuple[Figure, list[Axes]]:
    """A figure with axes of one size at some places, row and column from the upper left; all lengths in inches.

    They are ``tall``, or ``ratio`` times as tall as they are wide.
    """
    places = list(places)
    n_rows, n_columns = (1 + max(numbers) for numbers in zip(*places, strict=True))
    cell = (width - left - right - beside * (n_columns - 1)) / n_columns
    tall = tall or ratio * cell
    height = top + bottom + n_rows * tall + (n_rows - 1) * between
    figure = Picture(figsize=(width, height))
    corners = [
        (left + column * (cell + beside), height - top - (row + 1) * tall - row * between) for row, column in places
    ]
    return figure, [figure.add_axes((x / width, y / height, cell / width, tall / height)) for x, y in corners]


def inches(axes: Axes) -> tuple[float, float]:
    """Width and height of axes."""
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes of ours are made by a figure
    box, (width, height) = axes.get_position(), figure.get_size_inches()
    return box.width * width, box.height * height


_STEPS = [1, 2, 2.5, 5, 10]


def finish(
    axes: Axes,
    xlabel: str = "",
    ylabel: str = "",
    *,
    n_x: int = 6,
    n_y: int = 5,
    whole_x: bool = False,
    prune: Any = None,
) -> None:
    """Labels, and few ticks with numbers written out."""
    axes.set_xlabel(printable(xlabel))
    axes.set_ylabel(printable(ylabel))
    if axes.get_xscale() == "linear":
        axes.xaxis.set_major_locator(MaxNLocator(n_x, steps=_STEPS, integer=whole_x))
        _shorten(axes.xaxis, axes.get_xlim())
    if axes.get_yscale() == "linear":
        axes.yaxis.set_major_locator(MaxNLocator(n_y, steps=_STEPS))
        _shorten(axes.yaxis, axes.get_ylim())


def _shorten(axis: Axis, limits: tuple[float, float]) -> None:
    """Large and tiny numbers in few signs, instead of a power of ten that stands apart from them."""
    size = max(map(abs, limits))
    apart = abs(limits[1] - limits[0]) > 1e-3 * size
    if apart and not 1e-3 <= size < 1e4:
        axis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))


def inner_ticks(axis: Axis, limits: tuple[float, float], *, shown: bool) -> None:
    """At most three ticks away from the ends, so that the numbers of neighbouring panels do not meet."""
    low, high = limits
    room = 0.1 * (high - low)
    places = [tick for tick in MaxNLocator(4, steps=_STEPS).tick_values(low, high) if low + room < tick < high - room]
    if len(places) > 3:
        places = places[:: len(places) - 1] if len(places) % 2 == 0 else places[:: len(places) // 2]
    axis.set_ticks(places if shown else [], [compact(tick) for tick in places] if shown else [])


def outer_labels(axes: Axes, below: str, beside: str, *, numbered: bool = True, size: float = 8.0) -> None:
    """Names, and few ticks, at the outer panels; names stand at one distance however wide the numbers are."""
    axes.set_xlabel(below, fontsize=size)
    axes.set_ylabel(beside, fontsize=size)
    axes.yaxis.set_label_coords(-0.45 / inches(axes)[0], 0.5)
    inner_ticks(axes.xaxis, axes.get_xlim(), shown=bool(below))
    inner_ticks(axes.yaxis, axes.get_ylim(), shown=bool(beside) and numbered)
    axes.tick_params(labelsize=7.0 if size < 8 else 7.5)


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


def legend(axes: Axes) -> None:
    """The key above the axes, in one line; from the right end of the axes where it is longer than they are."""
    handles, labels = axes.get_legend_handles_labels()
    if not labels:
        return
    long = sum(0.078 * len(label) + 0.55 for label in labels) > inches(axes)[0]
    axes.legend(
        handles,
        labels,
        loc="lower right" if long else "lower left",
        bbox_to_anchor=(1.0, 1.02) if long else (0.0, 1.02),
        ncols=len(labels),
        columnspacing=0.9 if long else 1.2,
        handletextpad=0.5,
        labelcolor=INK,
    )


def key(
    figure: Figure, handles: Sequence[Any], labels: Sequence[str], *, left: float, top: float, **options: Any
) -> None:
    """A key whose upper left corner lies so many inches from that of the figure."""
    width, height = figure.get_size_inches()
    defaults = {"handletextpad": 0.5, "columnspacing": 1.0, "labelcolor": INK, "loc": "upper left"}
    figure.legend(handles, labels, bbox_to_anchor=(left / width, 1 - top / height), **{**defaults, **options})


def mark(
    axes: Axes, x: Any, y: Any, symbol: str, size: float, color: str, *, hollow: bool = False, **options: Any
) -> None:
    """A symbol, filled or ``hollow``; without a place it stands in the key alone."""
    face = {"markerfacecolor": "none", "markeredgecolor": color} if hollow else {"color": color}
    axes.plot(x, y, **{"linestyle": "none", "marker": symbol, "markersize": size, **face, **options})


def write(axes: Axes, text: str, x: float, y: float, *, right: float = 0.0, up: float = 0.0, **options: Any) -> None:
    """A text beside a place of the data, so many points to its right and above."""
    axes.annotate(text, (x, y), xytext=(right, up), textcoords="offset points", **options)


def level_ticks(axis: Axis, names: Sequence[str], letters: int) -> None:
    """The names of levels in place of their numbers."""
    axis.set_ticks(range(len(names)), [elided(name, letters) for name in names])


def component(label: int) -> tuple[str, str]:
    """The colour and the symbol of a component, where there is one: 66 pairs, as 6 and 11 have no common divisor."""
    return _OF_COMPONENTS[label % len(_OF_COMPONENTS)], _SYMBOLS[label % len(_SYMBOLS)]


def number_mark(axes: Axes, label: int, x: float, y: float, color: str = EM) -> None:
    """The number of a component in a filled circle, in EM's colour by default."""
    size = 11 if label < 10 else 14
    mark(axes, x, y, "o", size, color, markeredgewidth=0.8, markeredgecolor=ON_MARK, zorder=6)
    axes.annotate(
        f"{label}", (x, y), ha="center", va="center_baseline", color=ON_MARK, fontweight="bold", fontsize=8, zorder=7
    )
