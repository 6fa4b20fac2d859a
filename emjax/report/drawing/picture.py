"""A figure as a page needs it: with an address that holds it, a text that says what it shows, and a caption."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from matplotlib.figure import Figure

from emjax.report.svg import data_uri, pixels

_WIDE, _NARROW, _CELL = 7.0, 4.0, 4.4


@dataclasses.dataclass(frozen=True)
class Picture:
    """One figure as the page needs it.

    Attributes
    ----------
    name
        Its anchor.
    source, narrow
        Addresses that hold the figure itself, for wide and for narrow screens (empty: the same).
    width, height
        In CSS pixels.
    text
        What it shows, for those who do not see it.
    title, caption
        What stands beside it.
    """

    name: str
    source: str
    narrow: str
    width: int
    height: int
    text: str
    title: str
    caption: str


def picture(
    name: str,
    draw: Callable[[float], Figure],
    *,
    title: str,
    text: str,
    caption: str,
    wide: bool = False,
) -> Picture:
    """The picture of a figure that ``draw`` makes at a width in inches; a wide one has a form for narrow screens."""
    figure = draw(_WIDE if wide else _CELL)
    width, height = pixels(figure)
    narrow = data_uri(draw(_NARROW)) if wide else ""
    return Picture(name, data_uri(figure), narrow, width, height, text, title, caption)
