"""Which cells stand along the axis of a figure, and which side by side as panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from emjax.experiments.summary.view import Axis, CellView, StudyView
from emjax.experiments.summary.words import value_text
from emjax.wording import listed

MOST_PANELS = 4


class Panel(NamedTuple):
    """Cells that one panel joins, in the order of the axis."""

    title: str
    cells: tuple[CellView, ...]


class Lanes(NamedTuple):
    """How the cells of a study are laid out along one axis, None where nothing is swept: a panel per value of the
    second setting, at most `MOST_PANELS`, and what is not drawn, in words."""

    axis: Axis | None
    panels: tuple[Panel, ...]
    note: str


def best_axes(view: StudyView) -> list[Axis]:
    """The axes that deserve figures of their own: numeric ones, those with most values first, else the first one.

    A setting that is changed in step with an earlier one (``zip``) is left out.
    """
    free = [
        axis
        for place, axis in enumerate(view.axes)
        if axis.drawn or not any(_determined(view.places, axis, [other]) for other in view.axes[:place])
    ]
    numeric = [axis for axis in free if axis.numeric and len(axis.values) > 1]
    numeric.sort(key=lambda axis: -len(axis.values))
    # Two values make no curve: as a second figure they would say what the panels of the first say.
    return [*numeric[:1], *(axis for axis in numeric[1:2] if len(axis.values) > 2)] or free[:1]


def lanes(view: StudyView, axis: Axis | None) -> Lanes:
    """The layout against one axis; the second setting makes panels, further ones are held at their first value."""
    if axis is None:
        return Lanes(None, (Panel("", view.places),), "")
    others = [other for other in view.axes if other.key != axis.key]
    free = [other for other in others if not _determined(view.places, other, [axis])]
    if not free:
        too = [other.label for other in others if other.drawn]
        note = f"From point to point {listed(too)} varies too." if too else ""
        return Lanes(axis, (Panel("", _in_order(view.places, axis)),), note)
    across, held = free[0], [other for other in free[1:] if not _determined(view.places, other, [axis, free[0]])]
    first = view.places[0]
    cells = [cell for cell in view.places if all(text_of(cell, other) == text_of(first, other) for other in held)]
    values = [
        text for value in across.values if (text := value_text(value)) in {text_of(cell, across) for cell in cells}
    ]
    shown = _spread(values, MOST_PANELS)
    panels = tuple(
        Panel(f"{across.label} = {text}", _in_order([cell for cell in cells if text_of(cell, across) == text], axis))
        for text in shown
    )
    notes = []
    if len(shown) < len(values):
        notes.append(f"Of {len(values)} values of {across.label}, {len(shown)} are drawn.")
    if held:
        fixed = ", ".join(f"{other.label} = {text_of(first, other)}" for other in held)
        notes.append(f"Drawn at {fixed}; the table has all cells.")
    return Lanes(axis, panels, " ".join(notes))


def text_of(cell: CellView, axis: Axis) -> str:
    """The cell's value of a setting as people read it; empty where it has none."""
    return value_text(cell.settings[axis.key]) if axis.key in cell.settings else ""


def place_of(cell: CellView, axis: Axis) -> float:
    """Where a cell stands along an axis: at its number, or at the place of its value."""
    value = cell.settings[axis.key]
    return float(value) if axis.numeric else float([*map(value_text, axis.values)].index(value_text(value)))


def _in_order(cells: Sequence[CellView], axis: Axis) -> tuple[CellView, ...]:
    return tuple(sorted((cell for cell in cells if axis.key in cell.settings), key=lambda cell: place_of(cell, axis)))


def _spread(values: Sequence[Any], most: int) -> list[Any]:
    """At most so many of the values, both ends among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(place * (len(values) - 1) / (most - 1))] for place in range(most)]


def _determined(cells: Sequence[CellView], axis: Axis, by: Sequence[Axis]) -> bool:
    """Whether the other settings of a cell say what this one is."""
    seen: dict[tuple[str, ...], str] = {}
    return all(
        seen.setdefault(tuple(text_of(cell, other) for other in by), text_of(cell, axis)) == text_of(cell, axis)
        for cell in cells
    )
