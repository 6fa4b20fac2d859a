"""The kinds of values that a config holds: numbers with their limits, and one row or matrix per component."""

import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, JsonValue, Tag

from emjax.bounds import BOUNDS, LARGEST, LONGEST_SECONDS
from emjax.shown import Shown
from emjax.wording import printable

LONGEST = 399
"""A message is never longer: it has to be read in a terminal."""


def one_line(text: str, longest: int = LONGEST) -> str:
    """A text on one line, with control characters escaped, cut where it is too long."""
    flat = printable(text)
    return flat if len(flat) <= longest else flat[: longest - 3] + "..."


class Misplaced(ValueError):
    """What is wrong with a setting: ``at`` is the way to it, from the table that is checked or from the config's root.

    ``n_others`` is how many problems there are beside it.
    """

    def __init__(self, problem: str, *at: str | int, n_others: int = 0) -> None:
        super().__init__(problem)
        self.at, self.n_others = at, n_others

    def message(self, place: str) -> str:
        """The whole message, behind the name of the file or command."""
        n = self.n_others
        others = f" (and {n} more {'error' if n == 1 else 'errors'})" if n else ""
        return one_line(f"{place}: {self}", LONGEST - len(others)) + others


def bounded(name: str) -> Any:
    """What an int is annotated with, so that it is a whole number within the bounds of ``name``."""
    least, most = BOUNDS[name]
    return Field(strict=True, ge=least, le=most)


Position = Annotated[int, Field(strict=True, ge=0)]
Seed = Annotated[int, bounded("seed")]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
Positive = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, le=LARGEST)]
NotNegative = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=LARGEST)]
Seconds = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, le=LONGEST_SECONDS)]
Share = Annotated[float, Field(strict=True, gt=0, lt=1)]
Text = Annotated[str, Field(strict=True, min_length=1)]


def _without_nul(path: str) -> str:
    if "\0" in path:
        raise ValueError("a path cannot hold a NUL character; give another one")
    return path


def _of_python(path: str) -> str:
    if not path.endswith(".py"):
        raise ValueError(f"{path!r} is not a Python file: its name has to end in .py")
    return path


PathText = Annotated[Text, AfterValidator(_without_nul)]
PythonFile = Annotated[PathText, AfterValidator(_of_python)]


def _finite(arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(arguments, allow_nan=False)
    except ValueError:
        raise ValueError("every number among the arguments has to be finite") from None
    return arguments


Arguments = Annotated[dict[Text, JsonValue], AfterValidator(_finite)]
"""What a function in a Python file is called with, by name."""


def _as_rows(value: Any) -> Any:
    """Turn one number per component into one row of one number per component."""
    if isinstance(value, list | tuple) and not any(isinstance(entry, list | tuple) for entry in value):
        return [[entry] for entry in value]
    return value


def _rectangular(rows: tuple[tuple[Any, ...], ...]) -> tuple[tuple[Any, ...], ...]:
    if len({len(row) for row in rows}) > 1:
        raise ValueError("every component needs the same number of features")
    return rows


def _column(value: Any) -> Any:
    """Turn the position of a column into the text that the reader takes for one."""
    return str(value) if type(value) is int and value >= 0 else value


Column = Annotated[Text, BeforeValidator(_column, json_schema_input_type=Text | Position)]
"""One column of a file, by name or position from 0."""


def _distinct(columns: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(columns)) < len(columns):
        raise ValueError("a column is named twice")
    return columns


Columns = Annotated[tuple[Column, ...], Field(min_length=1), AfterValidator(_distinct)]


def _as_matrices(value: Any) -> Any:
    """Turn one variance per component into one matrix of 1 x 1 per component."""
    rows = _as_rows(value)
    return value if rows is value else [[row] for row in rows]


def tagged(choose: Callable[[Any], str | None]) -> Discriminator:
    """What chooses a variant by its name. The tag is no name that a key could have: ``<name>``."""

    def tag(value: Any) -> str | None:
        name = choose(value)
        return None if name is None else f"<{name}>"

    return Discriminator(tag)


def _depth(value: Any) -> int:
    """How many lists lie within one another."""
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list | tuple) else 0


def by_depth(least: int, most: int) -> Discriminator:
    """What chooses among ``<a>``, ``<b>``, ... by how deep the lists of a value are, from ``least`` to ``most``.

    What is wrong is then said of what somebody has written, and not of every variant.
    """
    return tagged(lambda value: "abcd"[min(max(_depth(value), least), most) - least])


Row = Annotated[tuple[Number, ...], Field(min_length=1)]
PositiveRow = Annotated[tuple[Positive, ...], Field(min_length=1)]
_Rows = tuple[Row, ...]
_PositiveRows = tuple[PositiveRow, ...]
_Matrices = tuple[tuple[Row, ...], ...]
# The second type is what may be written: of one feature also one number per component.
Rows = Annotated[_Rows, BeforeValidator(_as_rows, json_schema_input_type=_Rows | Row), AfterValidator(_rectangular)]
PositiveRows = Annotated[
    _PositiveRows,
    BeforeValidator(_as_rows, json_schema_input_type=_PositiveRows | PositiveRow),
    AfterValidator(_rectangular),
]
_Share = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1)]
_Shares = Annotated[tuple[_Share, ...], Field(min_length=1)]
_SharesOfLevels = Annotated[tuple[_Shares, ...], Field(min_length=1)]
Probabilities = Annotated[
    Annotated[
        Annotated[tuple[_Shares, ...], Tag("<a>")] | Annotated[tuple[_SharesOfLevels, ...], Tag("<b>")], by_depth(2, 3)
    ],
    BeforeValidator(_as_rows, json_schema_input_type=tuple[_Shares, ...] | tuple[_SharesOfLevels, ...] | _Shares),
    AfterValidator(_rectangular),
]
"""Of each component one for each feature; or of each feature those of its levels."""
Matrices = Annotated[_Matrices, BeforeValidator(_as_matrices, json_schema_input_type=_Matrices | PositiveRow)]


class Section(Shown, BaseModel):
    """A table of the config: its keys are closed and its values cannot change."""

    # Built when a config is first checked, not when the options of the command line are read off the fields.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield from ((name, getattr(self, name)) for name in type(self).model_fields if name in self.model_fields_set)
