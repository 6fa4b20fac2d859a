"""The figures of a sweep: which are drawn, what they say in words, and the files they are written to."""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emjax.atomic import UNTOUCHED, write_atomically
from emjax.experiments.pages.curves import Curves, curve, draw_curves
from emjax.experiments.pages.frontier import Frontier, draw_frontier, unbeaten
from emjax.experiments.pages.lanes import Lanes, best_axes, lanes
from emjax.experiments.pages.marks import Mark, method_marks
from emjax.experiments.pages.verdict_bars import MOST_BARS, draw_verdicts
from emjax.experiments.summary.measures import (
    ENOUGH,
    MEASURE,
    Measure,
    expected_band,
    kinds_in,
    summarize_measures,
)
from emjax.experiments.summary.phrases import band_words, measure_words
from emjax.experiments.summary.sweep import Axis, Sweep
from emjax.experiments.summary.verdicts import CellVerdicts, cell_verdicts
from emjax.report.svg import data_uri, pixels
from emjax.wording import count, elided, listed, number, percent

WIDE, SLIM = 7.0, 3.6
_MOST_BIASES = 6
_CURVES = ("rmse", "bias", "coverage", "width", "log_score_loss", "total_variation", "ari", "run_seconds")
_WITHOUT_TRUTH = ("log_score", "log_evidence", "max_rhat", "min_ess", "run_seconds")
_HOLLOW = f" Hollow: of trusted outcomes, which are fewer than {ENOUGH:.0%}; those left out may be the hard ones."
_BIAS = Measure("bias", "error", "Bias", "bias", "mean distance of estimate and truth", 0)


@dataclasses.dataclass(frozen=True)
class StudyPicture:
    """One figure as the page needs it.

    Attributes
    ----------
    name
        Its anchor and the name of its files.
    draw
        The figure at a width in inches.
    title, caption
        What stands below it.
    text
        What it shows, for those who do not see it.
    """

    name: str
    draw: Callable[[float], Figure]
    title: str
    text: str
    caption: str

    @functools.cached_property
    def figure(self) -> Figure:
        """The form for wide screens."""
        return self.draw(WIDE)

    @functools.cached_property
    def source(self) -> str:
        """An address that holds the figure itself, for wide screens."""
        return data_uri(self.figure)

    @functools.cached_property
    def slim(self) -> str:
        """The same for narrow ones."""
        return data_uri(self.draw(SLIM))

    @property
    def width(self) -> int:
        """Of the wide form, in CSS pixels."""
        return pixels(self.figure)[0]

    @property
    def height(self) -> int:
        """Of the wide form, in CSS pixels."""
        return pixels(self.figure)[1]

    def write(self, folder: Path) -> list[Path]:
        """Write the figure as SVG and PDF, in the colours of a light page."""
        from emjax.report.drawing.style import drawing

        paths: list[Path] = []
        for kind, date in (("svg", "Date"), ("pdf", "CreationDate")):
            content = io.BytesIO()
            with drawing():
                self.figure.savefig(content, format=kind, metadata={date: None, "Creator": "emjax"})
            paths.append(folder / f"{self.name}.{kind}")
            write_atomically(paths[-1], content.getvalue(), UNTOUCHED)
        return paths


def study_pictures(sweep: Sweep) -> list[StudyPicture]:
    """All figures of a sweep, in the order of its page; they are drawn when they are looked at."""
    summary, kinds = summarize_measures(sweep.rows, sweep.good), kinds_in(sweep.good)
    single = frontier_picture(sweep, summary, kinds), verdict_picture(sweep, cell_verdicts(sweep))
    return [*curve_pictures(sweep, summary, kinds), *filter(None, single)]


def curve_pictures(sweep: Sweep, summary: pd.DataFrame, kinds: Sequence[str]) -> Iterator[StudyPicture]:
    """The curves of every measure against the settings that deserve it; dots where there is no order."""
    marks = method_marks(sweep.methods)
    axes: list[Axis | None] = [*best_axes(sweep)] or [None]
    names = _CURVES if sweep.has_truth else _WITHOUT_TRUTH
    if sweep.answered_by in MEASURE and sweep.answered_by not in names:
        names = (sweep.answered_by, *names)
    for place, axis in enumerate(axes):
        layout = lanes(sweep, axis)
        # Against the second setting only what matters most: the panels of the first show it already.
        for name in names if place == 0 else [name for name in names if name in ("rmse", "coverage", "log_score")]:
            found = summary[(summary["measure"] == name) & np.isfinite(summary["value"])]
            if found.empty:
                continue
            found = _with_doubt(sweep, found, of_all=name in MEASURE and MEASURE[name].of_all)
            drawn = _curves(sweep, layout, found, name, kinds)
            if any(panel.points for panel in drawn.panels):
                suffix = "" if place == 0 or axis is None else f"_by_{place + 1}"
                yield _curve_picture(f"{name}{suffix}", drawn, layout, sweep, found, marks)


def _with_doubt(sweep: Sweep, found: pd.DataFrame, *, of_all: bool) -> pd.DataFrame:
    """The points with whether too few trusted outcomes stand behind them, which is no matter for costs."""
    pairs = zip(found["cell"], found["method"], strict=True)
    return found.assign(doubtful=[not of_all and pair in sweep.doubtful for pair in pairs])


def _curves(sweep: Sweep, layout: Lanes, found: pd.DataFrame, name: str, kinds: Sequence[str]) -> Curves:
    measure = MEASURE.get(name, _BIAS)
    methods = [method.name for method in sweep.methods]
    groups = _groups(found, name, kinds)
    single = len(layout.panels) == 1
    chosen = groups if single else groups[:1]
    panels = tuple(
        curve(group if single else panel.title, panel, layout.axis, found[found["group"] == group], methods)
        for group in chosen
        for panel in layout.panels
    )
    levels = {sweep.level_of(cell) for cell in sweep.cells}
    level = levels.pop() if name == "coverage" and len(levels) == 1 else None
    what = measure_words(measure, "" if single and len(groups) > 1 else chosen[0])
    # A logarithmic axis has no place for the loss of a method that is, by chance, ahead of the truth.
    return Curves(
        layout.axis,
        tuple(panel for panel in panels if panel.points),
        what + (" of the parameter" if name == "bias" and single and len(groups) > 1 else ""),
        logarithmic=measure.logarithmic,
        level=level,
        band=expected_band(level, int(found["n"].median())) if level is not None else None,
        zero=name == "bias",
        own_scales=single and len(chosen) > 1 and name in ("rmse", "bias", "width"),
    )


def _groups(found: pd.DataFrame, name: str, kinds: Sequence[str]) -> list[str]:
    """Kinds of parameters, or the the parameters whose bias stands out most, or all together."""
    if name == "bias":
        distance = (found["value"] / found["mcse"]).abs().groupby(found["group"], sort=False).max()
        most = set(distance.fillna(0).nlargest(_MOST_BIASES).index)
        if not most:
            most = set(found["group"].unique()[:_MOST_BIASES])
        ordered = [group for group in found["group"].unique() if group in most]
        return sorted(ordered, key=lambda group: -distance.fillna(0)[group]) if ordered else ordered
    if name in ("rmse", "width"):
        return [kind for kind in kinds if (found["group"] == kind).any()][:4]
    return [""]


def _curve_picture(
    name: str, drawn: Curves, layout: Lanes, sweep: Sweep, found: pd.DataFrame, marks: Mapping[str, Mark]
) -> StudyPicture:
    base = name.partition("_by_")[0]
    measure = MEASURE.get(base, _BIAS)
    against = f" against {layout.axis.label}" if layout.axis is not None else ""
    caption = f"{measure.meaning[:1].upper()}{measure.meaning[1:]}. Bands and bars: 95% by Monte-Carlo error."
    if drawn.level is not None:
        caption += (
            f" Line: the nominal {drawn.level:.0%}. Grey: where a correct interval of one parameter lies in 95% of "
            f"such studies ({band_words(drawn.level, int(found['n'].median()))})."
        )
    if base == "bias" and len(drawn.panels) > 1:
        caption += " The parameters whose bias stands out most from its error."
    if base == "rmse" and drawn.own_scales:
        caption += " Averaged over the components and features of each kind of parameter."
    if found["doubtful"].any():
        caption += _HOLLOW
    if layout.note:
        caption += f" {layout.note}"
    return StudyPicture(
        name,
        lambda width: draw_curves(drawn, marks, width),
        f"{measure.title}{against}",
        f"{measure.title}{against}. {_curve_words(drawn)}",
        caption,
    )


def _curve_words(drawn: Curves) -> str:
    parts = []
    for panel in drawn.panels[:4]:
        for method, points in list(panel.points.items())[:4]:
            values = points["value"].to_numpy(float)
            where = f" ({elided(panel.title, 40)})" if panel.title else ""
            span = f"{number(values[0], 3)} to {number(values[-1], 3)}" if len(values) > 1 else number(values[0], 3)
            parts.append(f"{elided(method, 40)}{where}: {span}")
    return "From the first to the last value: " + "; ".join(parts) + "."


def frontier_picture(sweep: Sweep, summary: pd.DataFrame, kinds: Sequence[str]) -> StudyPicture | None:
    """Accuracy against seconds; None where one of them is not known."""
    seconds = summary[(summary["measure"] == "run_seconds") & (summary["value"] > 0)]
    wished = [("rmse", kind) for kind in kinds[:1]] + [("log_score_loss", ""), ("total_variation", "")]
    panels = [
        panel
        for name, group in (wished if sweep.has_truth else [("log_score", "")])
        if (panel := _frontier(sweep, summary, seconds, MEASURE[name], group)) is not None
    ][:2]
    if not panels or len(sweep.methods) < 2:
        return None
    marks = method_marks(sweep.methods)
    best = panels[0].points
    shares = best.groupby("method", sort=False, observed=True)["best"].agg(["sum", "size"])
    words = [
        f"{elided(str(method), 40)} in {int(row['sum'])} of {int(row['size'])} cells"
        for method, row in shares.iterrows()
    ]
    return StudyPicture(
        "frontier",
        lambda width: draw_frontier(panels, marks, width),
        "Accuracy against seconds",
        f"{panels[0].title} against seconds per data set. Unbeaten: {listed(words)}.",
        "One point per cell and method; both axes are logarithmic where values allow. A ring marks what is on the "
        "frontier of its cell: by point estimates, no other method is both faster and more accurate there. Grey lines "
        "join the rings of a cell. Seconds are those of running, without compilation, shared out over the replicates "
        "of a job; bars hold 95% by Monte-Carlo error." + (_HOLLOW if best["doubtful"].any() else ""),
    )


def _frontier(
    sweep: Sweep, summary: pd.DataFrame, seconds: pd.DataFrame, measure: Measure, group: str
) -> Frontier | None:
    found = summary[(summary["measure"] == measure.name) & (summary["group"] == group)]
    keys = ["cell", "method"]
    points = found[np.isfinite(found["value"])].merge(
        seconds[[*keys, "value"]].rename(columns={"value": "seconds"}), on=keys
    )
    if points["method"].nunique() < 2:
        return None
    points = _with_doubt(sweep, points, of_all=False)
    direction = "more is better" if measure.better > 0 else "less is better"
    return Frontier(
        measure.title,
        f"{measure_words(measure, group)} ({direction})",
        measure.better,
        points.assign(best=unbeaten(points, measure.better)),
    )


def verdict_picture(sweep: Sweep, records: Sequence[CellVerdicts]) -> StudyPicture | None:
    """Where the verdict was right, cell by cell; None where nobody knows what is right."""
    known = [record for record in records if record.em_good is not None and record.n]
    if not known:
        return None
    cells = {cell.key: cell for cell in sweep.cells}
    several = len({record.method for record in known}) > 1
    labels = [
        sweep.cell_label(cells[record.cell], width=44) + (f", {elided(record.method, 20)}" if several else "")
        for record in known
    ]
    right = np.array([record.right / record.n for record in known])
    span = f"right from {percent(right.min(), 0)} to {percent(right.max(), 0)} of the verdicts"
    words = f"{count(len(known), 'cell')}; {span}."
    left_out = f" The first {MOST_BARS} of {len(known)} bars." if len(known) > MOST_BARS else ""
    return StudyPicture(
        "verdicts",
        lambda width: draw_verdicts(known, labels, width),
        "Where the verdict was right",
        f"Shares of right, wrong and inconclusive verdicts by cell. {words}",
        f"Shares of the replicates, cell by cell in the order of the sweep.{left_out}",
    )
