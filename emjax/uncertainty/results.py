"""What intervals are: a status, and of each number its estimate, standard error and bounds."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from emjax.naming import ScalarParameter, parameter_frame
from emjax.shown import Card, Pictured, Shown
from emjax.table import Table, of_number
from emjax.uncertainty.replicates import Replicates

if TYPE_CHECKING:
    import pandas as pd


class IntervalStatus(enum.StrEnum):
    """Whether standard errors may be read."""

    OK = "ok"
    ROUGH = "rough"
    NOT_AT_OPTIMUM = "not_at_optimum"
    SINGULAR = "singular"
    FAILED = "failed"
    LEFT_OUT = "left_out"

    @property
    def withheld(self) -> bool:
        """Whether there are no standard errors at all; ``rough`` ones are there, and not to be trusted."""
        return self not in (IntervalStatus.OK, IntervalStatus.ROUGH)

    @property
    def message(self) -> str:
        """The status in words."""
        return {
            IntervalStatus.OK: "The information is positive definite at an optimum, and the log-likelihood a parabola.",
            IntervalStatus.ROUGH: (
                "The intervals hold the truth less often than they claim: the log-likelihood is far from a parabola "
                "(overlap, few rows or a small component), or another optimum is about as high. Use the profile "
                "likelihood (method='profile'), the posterior's intervals, more rows or fewer components."
            ),
            IntervalStatus.NOT_AT_OPTIMUM: (
                "EM did not end in a regular optimum, so neither the curvature there nor replicates from there say "
                "anything; standard errors are withheld."
            ),
            IntervalStatus.SINGULAR: (
                "The data do not identify every parameter (the information is not positive definite, or two components "
                "are equal); standard errors are withheld."
            ),
            IntervalStatus.FAILED: "Too few replicates ended in a regular optimum; standard errors are withheld.",
            IntervalStatus.LEFT_OUT: "Intervals were not asked for.",
        }[self]


@dataclasses.dataclass(frozen=True, repr=False)
class IntervalRow(Shown):
    """One number: its estimate, standard error and interval.

    ``scale`` names where the interval is symmetric; ``note`` says what is to be known of this number alone.
    """

    name: str
    estimate: float
    se: float
    lower: float
    upper: float
    scale: str
    note: str = ""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ProfileCurve(Shown):
    r"""The profile log-likelihood of one number around one top, at points from its lower end to its upper.

    Attributes
    ----------
    name
        The number's name, that of its row.
    values
        Increasing values of the number that were held fixed, ``(n,)``; that of the top is among them.
    roots
        The signed root :math:`r = \pm \sqrt{2 (\ell_{top} - \ell_p(c))}` at each of them, ``(n,)``: negative below the
        top, 0 at it. The profile log-likelihood is :math:`-r^2 / 2` below the top.
    reach
        The :math:`r` of the ends. A side that ends before it could be followed no further.
    effective_rows
        The rows of the number's component times the share of the information that is there although no label is known,
        on which it depends how far the log-likelihood has to fall.
    gap
        Nats by which the top lies below that of the estimate: 0 for the estimate's own curve. Another optimum that is
        about as high has a curve of its own.
    in_doubt
        Degrees of freedom of the chi-squared that the log-likelihood has to fall by at least, where one component fewer
        explains the data about as well; 0 elsewhere.
    """

    name: str
    values: np.ndarray
    roots: np.ndarray
    reach: float
    effective_rows: float
    gap: float = 0.0
    in_doubt: int = 0

    @property
    def open_ends(self) -> tuple[bool, bool]:
        """Whether the profile could not be followed to the lower end, and to the upper."""
        return bool(self.roots[0] > -self.reach), bool(self.roots[-1] < self.reach)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Intervals(Pictured):
    """Standard errors and intervals of a fit.

    Attributes
    ----------
    level, method
        Coverage asked for, and how the intervals were made.
    space
        The space in which the information was taken.
    status
        ``ok``; ``rough`` where real coverage is below ``level`` (the normal approximation does not hold, or many
        replicates were left out); ``not_at_optimum``, ``singular``, ``failed`` (too few replicates) or ``left_out``
        (not asked for, or above the limits of `emjax.uncertainty.limits`), where ``se``, ``lower`` and ``upper`` are
        NaN. ``message`` says it in words.
    rows
        One `IntervalRow` per number.
    covariance
        Covariance of the numbers of ``rows``, ``(n_rows, n_rows)``: asymptotic, or of the replicates; ``(0, 0)`` where
        there is none.
    information
        The observed information of the free coordinates in ``space``, ``(p, p)``; ``(0, 0)`` where there is none.
    shift
        The third-order shift, in standard errors, by which ``rough`` is judged (up to `MOST_SHIFT` of
        `emjax.uncertainty.information`); NaN where there are none.
    parameters
        Where the numbers of ``rows`` belong: variable, component and features.
    replicates
        EM's estimates from resampled data, where the method makes such; else ``None``.
    curves
        What ``method="profile"`` passed on its way to the ends: a `ProfileCurve` for each number that can move, and
        after all of these as many for each other optimum that is about as high.
    why
        Where the method was left to ``auto`` and it is not the information: why, in one sentence.
    """

    level: float
    method: str
    space: str
    status: IntervalStatus
    rows: tuple[IntervalRow, ...]
    covariance: np.ndarray = dataclasses.field(repr=False)
    information: np.ndarray = dataclasses.field(default_factory=lambda: np.empty((0, 0)), repr=False)
    shift: float = float("nan")
    detail: str = dataclasses.field(default="", repr=False)
    parameters: tuple[ScalarParameter, ...] = dataclasses.field(default=(), repr=False)
    replicates: Replicates | None = dataclasses.field(default=None, repr=False)
    curves: tuple[ProfileCurve, ...] = dataclasses.field(default=(), repr=False)
    why: str = dataclasses.field(default="", repr=False)

    def to_frame(self) -> pd.DataFrame:
        """The rows as a pandas data frame, the columns those of `Fit.to_frame` with a ``level``.

        They are ``parameter``, ``variable``, ``component``, ``feature``, ``estimate``, ``standard_error``, ``lower``
        and ``upper``; the last three are NaN where they are withheld. ``attrs`` of the frame has ``level``, and the
        status as ``intervals``.
        """
        values = zip(*((row.estimate, row.se, row.lower, row.upper) for row in self.rows), strict=True)
        names = "estimate", "standard_error", "lower", "upper"
        frame = parameter_frame(self.parameters, dict(zip(names, values, strict=True)))
        frame.attrs.update(level=self.level, intervals=self.status.value)
        return frame

    @property
    def message(self) -> str:
        """Why this method, where it was chosen, and the status in words, with the numbers behind it."""
        return f"{self.why} {self.detail or self.status.message}".lstrip()

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "level", self.level
        yield "method", self.method
        yield "status", self.status
        yield "replicates", self.replicates
        yield "rows", self.rows

    def _card(self) -> Card:
        return Card(
            f"{self.level:.0%} intervals of {len(self.rows)} numbers: {self.status.value}",
            alerts=() if self.status is IntervalStatus.OK else (self.message,),
            lines=() if self.replicates is None else (f"{self.method}: {self.replicates.words}.",),
            table=self._table(),
            rest="see .rows",
        )

    def _table(self) -> Table:
        rows = [(row.name, *map(of_number, (row.estimate, row.se, row.lower, row.upper))) for row in self.rows]
        return Table(("parameter", "estimate", "se", "lower", "upper"), rows)

    def __str__(self) -> str:
        head, *rows = self._table().lines()
        return "\n".join([f"{head}   ({100 * self.level:g}%, {self.status.value})", *rows])

    def __getitem__(self, name: str) -> IntervalRow:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"{name!r}; the names are {', '.join(row.name for row in self.rows)}")
