r"""Tables as data: what a terminal, a page, a notebook and a paper show of the same rows.

A table is made once, by a function that knows what its numbers mean, and shown by whoever has readers: `Table.text` is
plain text in columns, `Table.html` escaped HTML, `Table.to_csv` and `Table.to_latex` are files; the command line has
its own (`emjax.cli.tables`).
"""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from emjax.wording import MISSING, columns, decimals_for, elided, fixed, interval, number, percent, printable

_GAP = "  "
_LONG = 34
"""Names with more letters than this may be broken in a page."""

_CLASSES = {"name": "name", "word": "word", "number": ""}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One field of a table.

    Attributes
    ----------
    text
        What it shows.
    error
        The standard error of that, shown behind a ±.
    values
        The numbers behind the text, in full, for files: one, or two where there is an error or the text is an
        interval. Rows of a page are sorted by the first.
    mark
        What the reader should make of it: ``good``, ``fair``, ``bad``, ``faint``; ``stale`` for a number of draws that
        are no posterior, which only a page shows, crossed out; ``doubtful`` for one with a dagger.
    link
        An address beside the page that it leads to.
    picture
        Markup of our own, never of anybody's data, that a page shows in place of the text.
    """

    text: str
    error: str = ""
    values: tuple[Any, ...] = ()
    mark: str = ""
    link: str = ""
    picture: str = ""

    @property
    def shown(self) -> str:
        """The text as terminals and notebooks have it, with the error."""
        if self.mark == "stale":
            return MISSING
        dagger = "†" if self.mark == "doubtful" else ""
        return printable(f"{self.text} ± {self.error}{dagger}" if self.error else f"{self.text}{dagger}")

    def marked(self, mark: str) -> Cell:
        """The same cell with a mark."""
        return dataclasses.replace(self, mark=mark)


@dataclasses.dataclass(frozen=True)
class Column:
    """A column: its heading, whether it holds names, words or numbers, and a sentence of what these mean.

    ``files`` are the headings in files where a cell is written there as two numbers, by default the name and ``se``.
    ``of`` is a class of the page's style sheet, as ``em`` and ``posterior``. What is ``wide`` stands in pages and files
    alone (`Table.brief`).
    """

    name: str
    kind: str = "number"
    meaning: str = ""
    files: tuple[str, ...] = ()
    of: str = ""
    wide: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows under a header.

    Attributes
    ----------
    header
        The columns. A plain text stands for a column of numbers, the first for one of names.
    rows
        As many cells each. A plain text stands for a cell that shows it.
    notes
        Sentences below it.
    title
        What it holds, in a few words.
    of
        A class of the page's style sheet, and the table's name among the files of a run.
    """

    header: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]
    title: str
    of: str

    def __init__(
        self,
        header: Iterable[str | Column],
        rows: Iterable[Iterable[Any]],
        notes: Iterable[str] = (),
        title: str = "",
        of: str = "",
    ) -> None:
        heads = tuple(
            head if isinstance(head, Column) else Column(head, "number" if place else "name")
            for place, head in enumerate(header)
        )
        cells = tuple(tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in row) for row in rows)
        for field, value in zip(dataclasses.fields(self), (heads, cells, tuple(notes), title, of), strict=True):
            object.__setattr__(self, field.name, value)

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def brief(self) -> Table:
        """The table without its wide columns, for terminals and notebooks."""
        return self._picked(place for place, head in enumerate(self.header) if not head.wide)

    def first(self, n_rows: int, rest: str = "") -> Table:
        """The first rows; of more a note says how many, and ``rest`` where they are."""
        hidden = len(self.rows) - n_rows
        if hidden <= 0:
            return self
        more = f"… and {hidden:,} more{rest and f': {rest}'}"
        return Table(self.header, self.rows[:n_rows], (more, *self.notes), self.title, self.of)

    def fitting(self, width: int, least: int = 1) -> Table:
        """The first columns that go into so many columns of letters, ``least`` of them whatever their width."""
        needed, kept = -len(_GAP), 0
        for own in self._widths():
            needed += own + len(_GAP)
            if needed > width and kept >= least:
                break
            kept += 1
        return self._picked(range(kept))

    def _picked(self, places: Iterable[int]) -> Table:
        places = list(places)
        rows = [[row[place] for place in places] for row in self.rows]
        return Table([self.header[place] for place in places], rows, self.notes, self.title, self.of)

    def _widths(self) -> list[int]:
        return [
            max(columns(text) for text in (head.name, *(row[place].shown for row in self.rows)))
            for place, head in enumerate(self.header)
        ]

    # -- text

    def lines(self) -> list[str]:
        """Header and rows as plain text in columns, names and words to the left, numbers to the right."""
        widths = self._widths()

        def line(texts: Iterable[str]) -> str:
            padded = []
            for text, width, head in zip(texts, widths, self.header, strict=True):
                room = " " * (width - columns(text))
                padded.append(room + text if head.kind == "number" else text + room)
            return _GAP.join(padded).rstrip()

        shown = [line(cell.shown for cell in row) for row in self.rows]
        return [line(head.name for head in self.header), *shown]

    @property
    def text(self) -> str:
        """Title, header, rows and notes as plain text."""
        return "\n".join([*([self.title] if self.title else []), *self.lines(), *self.notes])

    # -- HTML

    def html(self, *, cell_style: str = "", letters: int = 0) -> str:
        """Header and rows as an HTML table, everything escaped; the notes are for whoever shows it.

        With ``cell_style`` every cell brings this style itself, for pages without a style sheet of ours, and texts are
        cut to ``letters``; stale numbers are dashes there.
        """
        return "".join(self._html(cell_style, letters))

    def _html(self, style: str, letters: int) -> Iterator[str]:
        def safe(text: str) -> str:
            return html.escape(elided(text, letters) if letters else printable(text))

        heads = "".join(f"<th{self._attributes('col', head, style)}>{safe(head.name)}</th>" for head in self.header)
        yield f"<table{_attribute('style', 'font-size:inherit') if style else _attribute('class', self.of)}>"
        yield f"<thead><tr>{heads}</tr></thead><tbody>"
        for row in self.rows:
            failed = _attribute("class", "failed" if any(cell.mark == "bad" for cell in row) and not style else "")
            cells = zip(row, self.header, strict=True)
            yield f"<tr{failed}>"
            for place, (cell, head) in enumerate(cells):
                tag = "td" if place else "th"
                attributes = self._attributes("" if place else "row", head, style, cell)
                content = safe(cell.shown) if style else _content(cell, safe)
                yield f"<{tag}{attributes}>{content}</{tag}>"
            yield "</tr>\n" if not style else "</tr>"
        yield "</tbody></table>"

    @staticmethod
    def _attributes(scope: str, head: Column, style: str, cell: Cell | None = None) -> str:
        found = _attribute("scope", scope)
        if style:
            return found + _attribute("style", style)
        if cell is None:
            title = f' title="{html.escape(head.meaning)}"' if head.meaning else ""
            return found + _attribute("class", " ".join(filter(None, (_CLASSES[head.kind], head.of)))) + title
        long = "long" if head.kind == "name" and len(cell.text) > _LONG else ""
        found += _attribute("class", " ".join(filter(None, (_CLASSES[head.kind], long, cell.mark))))
        return found + (f' data-sort="{_sorted_by(cell)}"' if cell.values else "")

    # -- files

    def to_csv(self) -> str:
        """The table as CSV with the numbers in full; a text that a spreadsheet would compute gets an apostrophe."""
        split = [max((len(row[place].values) for row in self.rows), default=0) for place in range(len(self.header))]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        heads: list[str] = []
        for head, n_values in zip(self.header, split, strict=True):
            several = head.files or (head.name, f"{head.name} se")
            heads += several[:n_values] if n_values > 1 else [head.name]
        writer.writerow(map(for_spreadsheets, heads))
        for row in self.rows:
            fields: list[Any] = []
            for cell, n_values in zip(row, split, strict=True):
                values = cell.values or (cell.shown,)
                values = ("",) * len(values) if cell.mark == "stale" else values
                fields += [*map(_field, values), *[""] * (max(n_values, 1) - len(values))]
            writer.writerow(fields)
        return out.getvalue()

    def to_latex(self) -> str:
        r"""The table in LaTeX; needs ``\usepackage{booktabs}``."""
        kinds = "".join("r" if head.kind == "number" else "l" for head in self.header)
        lines = [
            *([f"% {printable(self.title)}"] if self.title else []),
            "% Needs \\usepackage{booktabs}.",
            f"\\begin{{tabular}}{{{kinds}}}",
            "\\toprule",
            " & ".join(escaped(head.name) for head in self.header) + " \\\\",
            "\\midrule",
            *(" & ".join(map(_latex_field, row)) + " \\\\" for row in self.rows),
            "\\bottomrule",
            "\\end{tabular}",
            "",
        ]
        return "\n".join(lines)


def _attribute(name: str, value: str) -> str:
    return f' {name}="{html.escape(value)}"' if value else ""


def _content(cell: Cell, safe: Callable[[str], str]) -> str:
    """The inside of a page's cell."""
    if cell.picture:
        return cell.picture
    text = safe(cell.text)
    if cell.link:
        text = f'<a href="{html.escape(cell.link)}">{text}</a>'
    if cell.error:
        text += f' <span class="error">± {safe(cell.error)}</span>'
    return text + ('<span class="dagger" title="few outcomes can be trusted">†</span>' * (cell.mark == "doubtful"))


def _sorted_by(cell: Cell) -> str:
    value = cell.values[0]
    if isinstance(value, str):
        return html.escape(printable(value))
    if value is None or math.isnan(value):
        return ""
    return repr(float(value)) if math.isfinite(value) else f"{'-' if value < 0 else ''}Infinity"


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a text may not begin with: a spreadsheet would compute it, and a formula can read files and call programs."""


def for_spreadsheets(text: str) -> str:
    """The text, with an apostrophe before it where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _field(value: Any) -> Any:
    if isinstance(value, str):
        return for_spreadsheets(value)
    return "" if value is None or value != value else value


_LATEX = {
    "\\": "\\textbackslash{}",
    "&": "\\&",
    "%": "\\%",
    "$": "\\$",
    "#": "\\#",
    "_": "\\_",
    "{": "\\{",
    "}": "\\}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "−": "$-$",
    "—": "---",
    "…": "\\ldots{}",
    "<": "$<$",
    ">": "$>$",
    "≤": "$\\le$",
    "≥": "$\\ge$",
    "±": "$\\pm$",
    "×": "$\\times$",
    "∞": "$\\infty$",
    "†": "$^\\dagger$",
}


def escaped(text: str) -> str:
    """The text with LaTeX's own signs written so that they are read."""
    return "".join(_LATEX.get(sign, sign) for sign in printable(text))


def _latex_field(cell: Cell) -> str:
    return escaped(cell.shown)


# -- cells of numbers


def of_number(value: float | None, digits: int = 4) -> Cell:
    """A number to so many significant digits."""
    return Cell(number(value, digits), values=(value,))


def of_estimate(value: float | None, error: float | None) -> Cell:
    """A number with its standard error: two digits of the error, and as many decimals of the number."""
    decimals = decimals_for(error)
    known = value is not None and math.isfinite(value) and error is not None and math.isfinite(error)
    shown = fixed(error, decimals) if decimals is not None else number(error, 2)
    return Cell(fixed(value, decimals), shown if known else "", (value, error))


def of_interval(lower: float | None, upper: float | None, error: float | None) -> Cell:
    """Two ends, with the decimals that `of_estimate` has for the same error."""
    return Cell(interval(lower, upper, decimals_for(error)), values=(lower, upper))


def of_share(value: float | None, error: float | None = None) -> Cell:
    """A share in percent, with its standard error where there is one above 0."""
    known = error is not None and math.isfinite(error) and error > 0
    return Cell(percent(value), percent(error) if known else "", (value, error) if known else (value,))
