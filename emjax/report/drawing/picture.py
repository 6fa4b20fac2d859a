"""A figure as a page needs it, with its words, and the files that it is written to."""

from __future__ import annotations

import dataclasses
import functools
import io
import os
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from emjax.atomic import UNTOUCHED, write_atomically
from emjax.errors import ConfigError
from emjax.files import user_path
from emjax.report.drawing.style import drawing
from emjax.report.svg import data_uri
from emjax.wording import printable

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


_DATES = {".svg": "Date", ".pdf": "CreationDate", ".png": "Software"}
"""Endings that a figure may have, with what Matplotlib would write into it that is not the same every time."""

_DOTS_PER_INCH = 200


def write_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as SVG and PDF, in the colours of a light page, and return the paths."""
    return [save_figure(figure, folder / f"{name}{ending}") for ending in (".svg", ".pdf")]


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as SVG, PDF or PNG, as `figure_path` has it, and return the path."""
    kind, content = path.suffix.lower(), io.BytesIO()
    creator = {} if kind == ".png" else {"Creator": "emjax"}
    with drawing():
        figure.savefig(content, format=kind[1:], dpi=_DOTS_PER_INCH, metadata={_DATES[kind]: None, **creator})
    write_atomically(path, content.getvalue(), UNTOUCHED)
    return path


def figure_path(path: str | os.PathLike[str]) -> Path:
    """The path of a figure, looked at before there is one.

    Raises ConfigError if its ending is none of ``.svg``, ``.pdf`` and ``.png``, or it cannot lie there.
    """
    found = user_path(path)
    if found.suffix.lower() not in _DATES:
        raise ConfigError(f"{printable(found)}: end its name in .svg, .pdf or .png, which says what is written")
    if found.is_dir() or not found.parent.is_dir():
        where = "it is a folder" if found.is_dir() else f"there is no folder {printable(found.parent)}"
        raise ConfigError(f"{printable(found)}: {where}; give the name of a file")
    return found
