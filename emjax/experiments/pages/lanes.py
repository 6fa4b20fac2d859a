"""Which cells stand along the axis of a figure, and which side by side as panels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from emjax.experiments.summary.sweep import Axis, CellView, Sweep, value_text

MOST_PANELS = 4


@dataclasses.dataclass(frozen=True)
class Panel:
    """Cells that one panel joins, in the order of the axis."""

    title: str
    cells: tuple[CellView, ...]


@dataclasses.dataclass(frozen=True)
class Lanes:
    """How the cells of a sweep are laid out against one axis.

    Attributes
    ----------
    axis
        What runs along the panels; None where nothing is swept.
    panels
        One per value of the second setting, at most `MOST_PANELS`.
    note
        What is not drawn, in words; empty if all is.
    """

    axis: Axis | None
    panels: tuple[Panel, ...]
    note: str


def best_axes(sweep: Sweep) -> list[Axis]:
    """The axes that deserve figures of their own: numeric ones, those with most values first, else the first one.

    A setting that is changed in step with an earlier one (``zip``) is left out.
    """
    free = [
        axis
        for place, axis in enumerate(sweep.axes)
        if not any(_determined(sweep.cells, axis, [other]) for other in sweep.axes[:place])
    ]
    numeric = sorted(
        (axis for axis in free if axis.numeric and len(axis.values) > 1), key=lambda axis: -len(axis.values)
    )
    # Two values make no curve: as a second figure they would say what the panels of the first say.
    return [axis for place, axis in enumerate(numeric[:2]) if place == 0 or len(axis.values) > 2] or free[:1]


def lanes(sweep: Sweep, axis: Axis | None) -> Lanes:
    """The layout against one axis; the second setting makes panels, further ones are held at their first value."""
    if axis is None:
        return Lanes(None, (Panel("", sweep.cells),), "")
    others = [other for other in sweep.axes if other.key != axis.key]
    free = [other for other in others if not _determined(sweep.cells, other, [axis])]
    if not free:
        return Lanes(axis, (Panel("", _in_order(sweep.cells, axis)),), "")
    across, held = free[0], [other for other in free[1:] if not _determined(sweep.cells, other, [axis, free[0]])]
    cells = [
        cell
        for cell in sweep.cells
        if all(_same(cell, other, sweep.cells[0].settings.get(other.key)) for other in held)
    ]
    values = [value for value in across.values if any(_same(cell, across, value) for cell in cells)]
    shown = _spread(values, MOST_PANELS)
    panels = tuple(
        Panel(
            f"{across.label} = {value_text(value)}",
            _in_order([cell for cell in cells if _same(cell, across, value)], axis),
        )
        for value in shown
    )
    notes = []
    if len(shown) < len(values):
        notes.append(f"Of {len(values)} values of {across.label}, {len(shown)} are drawn.")
    if held:
        fixed = ", ".join(f"{other.label} = {value_text(sweep.cells[0].settings.get(other.key))}" for other in held)
        notes.append(f"Drawn at {fixed}; the table has all cells.")
    return Lanes(axis, panels, " ".join(notes))


def _spread(values: Sequence[Any], most: int) -> list[Any]:
    """At most so many of the values, both ends among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(place * (len(values) - 1) / (most - 1))] for place in range(most)]


def _in_order(cells: Sequence[CellView], axis: Axis) -> tuple[CellView, ...]:
    places = {value_text(value): place for place, value in enumerate(axis.values)}
    return tuple(
        sorted((cell for cell in cells if axis.key in cell.settings), key=lambda cell: places[_text(cell, axis)])
    )


def _text(cell: CellView, axis: Axis) -> str:
    return value_text(cell.settings[axis.key]) if axis.key in cell.settings else ""


def _same(cell: CellView, axis: Axis, value: Any) -> bool:
    return axis.key in cell.settings and value_text(cell.settings[axis.key]) == value_text(value)


def _determined(cells: Sequence[CellView], axis: Axis, by: Sequence[Axis]) -> bool:
    """Whether the other settings of a cell say what this one is."""
    seen: dict[tuple[str, ...], str] = {}
    return all(
        seen.setdefault(tuple(_text(cell, other) for other in by), _text(cell, axis)) == _text(cell, axis)
        for cell in cells
    )
