"""A figure as a page needs it, with its words, and the files that it is written to."""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from emjax.atomic import UNTOUCHED, write_atomically
from emjax.report.drawing.style import drawing
from emjax.report.svg import data_uri

_WIDE, _NARROW, _CELL = 7.0, 4.0, 4.4


@dataclasses.dataclass(frozen=True)
class Picture:
    """One figure, drawn when it is looked at.

    ``draw`` makes it at a width in inches, ``name`` is its anchor and the name of its files. ``title`` and ``caption``
    stand beside it; ``text`` says what it shows to those who do not see it, where these do not say it in numbers. A
    ``wide`` one has the width of the page, and a form for narrow screens.
    """

    name: str
    draw: Callable[[float], Figure]
    title: str
    _: dataclasses.KW_ONLY
    caption: str
    text: str = ""
    wide: bool = True

    @functools.cached_property
    def figure(self) -> Figure:
        """The form for wide screens."""
        return self.draw(_WIDE if self.wide else _CELL)

    @functools.cached_property
    def source(self) -> str:
        """An address that holds the figure itself, for wide screens."""
        return data_uri(self.figure)

    @functools.cached_property
    def narrow(self) -> str:
        """The same for narrow ones, empty where there is no other."""
        return data_uri(self.draw(_NARROW)) if self.wide else ""

    @property
    def alt(self) -> str:
        """What the figure shows, in words."""
        return self.text or f"{self.title}. {self.caption}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the wide form, in CSS pixels."""
        width, height = self.figure.get_size_inches()
        return round(96 * width), round(96 * height)

    def write(self, folder: Path) -> list[Path]:
        """Write the figure as SVG and PDF; see `write_figure`."""
        return write_figure(self.figure, folder, self.name)


def write_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as SVG and PDF, in the colours of a light page, and return the paths."""
    paths: list[Path] = []
    for kind, date in (("svg", "Date"), ("pdf", "CreationDate")):
        content = io.BytesIO()
        with drawing():
            figure.savefig(content, format=kind, metadata={date: None, "Creator": "emjax"})
        paths.append(folder / f"{name}.{kind}")
        write_atomically(paths[-1], content.getvalue(), UNTOUCHED)
    return paths
