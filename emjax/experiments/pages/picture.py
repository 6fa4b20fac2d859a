"""A figure as a study's page needs it, and the files that it is written to."""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from emjax.atomic import UNTOUCHED, write_atomically
from emjax.experiments.summary.estimates import ENOUGH
from emjax.report.drawing.style import drawing
from emjax.report.svg import data_uri, pixels

WIDE, SLIM = 7.0, 3.6

HOLLOW = f" Hollow: of trusted outcomes, which are fewer than {ENOUGH:.0%}; those left out may be the hard ones."


@dataclasses.dataclass(frozen=True)
class StudyPicture:
    """One figure of a study, drawn when it is looked at.

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
    def narrow(self) -> str:
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
        paths: list[Path] = []
        for kind, date in (("svg", "Date"), ("pdf", "CreationDate")):
            content = io.BytesIO()
            with drawing():
                self.figure.savefig(content, format=kind, metadata={date: None, "Creator": "emjax"})
            paths.append(folder / f"{self.name}.{kind}")
            write_atomically(paths[-1], content.getvalue(), UNTOUCHED)
        return paths
