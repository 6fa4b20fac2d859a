"""How objects show themselves: one line of text, and a card with a picture in a notebook.

A class names what a person wants to know of it (`Shown._shown`, `Pictured._card`); the form is made here. Nothing here
asks an array for its numbers unless NumPy holds it, so that objects can be printed while JAX traces them.
"""

from __future__ import annotations

import dataclasses
import enum
import html
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from emjax.errors import EmjaxError
from emjax.table import Table
from emjax.wording import elided

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST = 400
"""Letters of a text form; fields that would make it longer are left out."""

_LONGEST_FIELD = 160
_LONGEST_WORD = 60
_FEW = 4
"""So many numbers or names are written out; of more it is said how many there are."""


class Word(str):
    """A text that is shown without quotation marks."""

    __slots__ = ()


class Shown:
    """An object whose ``repr`` is short: its class, and what matters of it."""

    __slots__ = ()

    def _shown(self) -> Iterable[tuple[str, Any]]:
        """The names and values that are shown, all fields of a dataclass by default; a name may be empty."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return [(field.name, getattr(self, field.name)) for field in fields if field.repr]

    def __repr__(self) -> str:
        parts: list[str] = []
        for name, value in self._shown():
            part = f"{name}={_brief(value)}" if name else _brief(value)
            if sum(map(len, parts)) + len(part) > _LONGEST:
                parts.append("…")
                break
            parts.append(part)
        return f"{type(self).__name__}({', '.join(parts)})"


def _brief(value: Any) -> str:
    """A value in at most `_LONGEST_FIELD` letters."""
    text = _text(value)
    return text if len(text) <= _LONGEST_FIELD else f"{type(value).__name__}(…)"


def _text(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, Word):
        return str(value)
    if isinstance(value, str):
        return repr(elided(value, _LONGEST_WORD))
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, np.ndarray) and value.ndim <= 1 and value.size <= _FEW and value.dtype.kind in "fiu":
        numbers = ", ".join(f"{number:.4g}" for number in value.reshape(-1).tolist())
        return f"[{numbers}]" if value.ndim else numbers
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, Mapping | tuple | list | frozenset | set):
        return _collection(value)
    if value is None or isinstance(value, bool | int | Shown) or dataclasses.is_dataclass(value):
        return repr(value)
    return f"<{type(value).__name__}>"


def _collection(values: Collection[Any]) -> str:
    """A few words or numbers written out; of anything else how much there is."""
    if isinstance(values, tuple | list) and len(values) <= _FEW:
        texts = [_text(value) for value in values]
        if sum(map(len, texts)) <= _LONGEST_WORD:
            return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"
    kinds = {type(value).__name__ for value in values}
    return f"<{len(values)} {kinds.pop() if len(kinds) == 1 else 'entries'}>"


@dataclasses.dataclass(frozen=True)
class Card:
    """What a notebook shows of an object beside its picture.

    Attributes
    ----------
    title
        One line, in bold.
    alerts
        What keeps the numbers from being trusted, in sentences.
    lines
        Further sentences.
    table
        The numbers, of which the first `CARD_ROWS` rows are shown.
    rest
        Where all of them are.
    """

    title: str
    alerts: Iterable[str] = ()
    lines: Iterable[str] = ()
    table: Table | None = None
    rest: str = ""

    @property
    def html(self) -> str:
        """The card as HTML, everything escaped, in the colours of the page that it stands in."""
        return "".join(self._parts())

    def _parts(self) -> Iterator[str]:
        yield f'<p style="margin:0 0 .4em"><strong>{_safe(self.title, 300)}</strong></p>'
        for alert in self.alerts:
            yield f'<p style="margin:0 0 .4em">⚠ {_safe(alert, 600)}</p>'
        items = "".join(f"<li>{_safe(line, 600)}</li>" for line in self.lines)
        if items:
            yield f'<ul style="margin:0 0 .4em;padding-left:1.2em">{items}</ul>'
        if self.table:
            shown = self.table.first(CARD_ROWS, self.rest)
            yield shown.html(cell_style=_CELL, letters=_LONGEST_WORD)
            yield from (f'<p style="margin:.2em 0 0">{_safe(note, 300)}</p>' for note in shown.notes)


_CELL = "text-align:right;padding:1px 8px;white-space:nowrap"
_IMAGE = "max-width:100%;max-height:320px"
_BESIDE = "flex:1 1 22em;min-width:0;max-width:46em;font-size:.92em;overflow-x:auto"

CARD_ROWS = 12
"""Rows of a table that a card shows."""


def _safe(value: str, width: int = _LONGEST_WORD) -> str:
    return html.escape(elided(value, width))


class Pictured(Shown):
    """An object with figures: `plot` draws them, a notebook shows the first beside a card."""

    __slots__ = ()

    def _card(self) -> Card:
        """What a notebook shows beside the picture."""
        return Card(repr(self))

    def _figures(self) -> Mapping[str, Callable[..., Figure]]:
        """The figures by name, the default first, as functions of the object."""
        from emjax.plots import FIGURES

        return FIGURES[type(self).__name__]

    def plot(self, kind: str | None = None, **options: Any) -> Figure:
        """Draw the object and return a Matplotlib figure; see `emjax.plots`.

        Parameters
        ----------
        kind
            The name of the figure; the object's own default where it is left out.
        options
            What the function of that name in `emjax.plots` takes, such as ``width`` in inches.

        Raises
        ------
        ValueError
            If there is no figure of that name for such an object (the message names those that there are), or it does
            not apply, as assignments do not to a single component.
        """
        figures = self._figures()
        if not figures:
            raise ValueError("there is nothing to draw yet")
        name = next(iter(figures)) if kind is None else kind
        if name not in figures:
            raise ValueError(f"kind={kind!r} is not one of {', '.join(map(repr, figures))}")
        return figures[name](self, **options)

    def _repr_html_(self) -> str:
        from emjax.plots import thumbnail

        picture = thumbnail(self.plot)
        try:
            card = self._card()
        except (EmjaxError, OSError) as error:  # as of a folder that was damaged since
            card = Card(repr(self), alerts=(str(error),))
        # Both side by side where there is room: the text in the page's colours, the picture on a white sheet.
        image = f'<img alt="{_safe(card.title, 200)}" src="{picture}" style="{_IMAGE}">' if picture else ""
        return (
            '<div style="display:flex;flex-wrap:wrap;gap:1em;align-items:flex-start">'
            f'{image}<div style="{_BESIDE}">{card.html}</div></div>'
        )


def nats(value: float) -> str:
    """A log-likelihood or a criterion for a table: three decimals, a dash where it is not finite."""
    return f"{value:.3f}" if math.isfinite(value) else "—"
