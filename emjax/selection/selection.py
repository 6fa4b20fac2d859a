"""What a sweep over mixtures gives: the candidates with their fits, ranked by a criterion."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emjax.bounds import one_of
from emjax.criteria import CRITERIA
from emjax.errors import FitError
from emjax.families.base import Family
from emjax.result import ENOUGH, Fit
from emjax.shown import Card, Pictured, Shown
from emjax.table import Cell, Column, Table, of_number
from emjax.wording import MISSING, count, elided, fixed, listed

if TYPE_CHECKING:
    import pandas as pd

SHORT = {"bic": "BIC", "aic": "AIC", "aicc": "AICc", "icl": "ICL", "nec": "NEC"}
"""What tables call the criteria."""

_DIFFERENCES = ("bic", "aicc", "icl")
"""Criteria whose differences from the best are in every table."""

_NAME = 22
"""Letters of a model's name in a table."""

_REASONS = 6
"""Reasons that are written out below a table."""

_LOWER = "The lower the better; mclust prints BIC and ICL with the opposite sign."


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Candidate(Shown):
    """One mixture of a sweep.

    Attributes
    ----------
    name
        What tables call its family and structure.
    family, n_components
        The declaration.
    fit
        The `Fit`, or None where there is none.
    failure
        Why not, in a sentence.
    values
        The criteria by name, the lower the better, and ``entropy`` in nats; what is not defined is left out or NaN.
    prior
        As it was declared: ``None`` or ``"default"``.
    """

    name: str
    family: Family
    n_components: int
    fit: Fit | None
    failure: str = ""
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)
    prior: Any = None

    @property
    def flags(self) -> tuple[str, ...]:
        """What keeps it from being trusted: ``failed``, the status, ``spurious``, or ``unreplicated``.

        ``unreplicated`` means that fewer than three of the drawn starts have reached the best optimum: others may be
        better. Only that one leaves a candidate in the ranking.
        """
        if self.fit is None:
            return ("failed",)
        if not self.fit.converged:
            return (self.fit.status.value,)
        if self.fit.spurious:
            return ("spurious",)
        return ("unreplicated",) if self.unreplicated else ()

    @property
    def unreplicated(self) -> bool:
        """Whether fewer than three of the drawn starts have reached the best optimum."""
        if self.fit is None or not self.fit.drawn or self.n_components == 1:
            return False
        return self.fit.optima[0].count < ENOUGH

    @property
    def usable(self) -> bool:
        """Whether its criteria may be compared with those of others."""
        return self.fit is not None and self.fit.converged and not self.fit.spurious

    def value(self, criterion: str) -> float:
        """A criterion; NaN where it is not defined, or the optimum is none to be trusted."""
        return self.values.get(criterion, math.nan) if self.usable else math.nan

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "name", self.name
        yield "n_components", self.n_components
        yield "bic", self.value("bic")
        yield "flags", self.flags


def ranked(candidates: Iterable[Candidate], criterion: str) -> list[Candidate]:
    """Those whose criterion is known, the best first; of equal ones that with fewer components comes first."""
    known = [each for each in candidates if not math.isnan(each.value(criterion))]
    return sorted(known, key=lambda each: (each.value(criterion), each.n_components))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Selection(Pictured):
    """Mixtures of one data set, side by side.

    Attributes
    ----------
    candidates
        All of them, each a `Candidate`: by family and structure, then by the number of components.
    criterion
        What ranks them.
    key
        The random key of all starts: ``emjax.fit(candidate.fit.mixture, x, key=selection.key)`` gives the fit again.
    interrupted
        Whether Ctrl-C has ended the sweep before all were fitted.
    """

    candidates: tuple[Candidate, ...]
    criterion: str
    key: Any = None
    interrupted: bool = False

    def ranked(self, criterion: str | None = None) -> tuple[Candidate, ...]:
        """The candidates that can be compared, the best first; by `criterion` unless another one is named."""
        return tuple(ranked(self.candidates, self._criterion(criterion)))

    def best(self, criterion: str | None = None) -> Fit:
        """The fit of the best candidate.

        Raises
        ------
        FitError
            If none can be compared: every fit failed, or is spurious.
        """
        found = self.ranked(criterion)
        if not found:
            raise FitError(
                f"no candidate has a {SHORT[self._criterion(criterion)]} that can be trusted; see to_frame()"
            )
        fit = found[0].fit
        assert fit is not None
        return fit

    def _criterion(self, name: str | None) -> str:
        return self.criterion if name is None else one_of("criterion", name, CRITERIA)

    def to_frame(self, criterion: str | None = None) -> pd.DataFrame:
        """All candidates as a pandas data frame, the best first, those that cannot be compared at the end.

        The columns are ``model``, ``family``, ``structure``, ``n_components``, ``n_parameters``, ``log_likelihood``,
        the criteria by name (NaN where they are not to be trusted), ``difference`` from the best of the one that ranks,
        ``status``, ``flags``, ``reached`` and ``n_starts`` (starts that have reached the best optimum, of how many),
        and ``reason``.
        """
        import pandas as pd

        chosen = self._criterion(criterion)
        rows = self._rows(chosen)
        best = rows[0].value(chosen) if rows else math.nan
        return pd.DataFrame([_record(each, each.value(chosen) - best) for each in rows])

    def _rows(self, criterion: str) -> list[Candidate]:
        first = ranked(self.candidates, criterion)
        return [*first, *(each for each in self.candidates if each not in first)]

    def tabulated(self, criterion: str | None = None) -> Table:
        """The ranking as a table: each model with its criterion, how far it is from the best by others, and flags."""
        chosen = self._criterion(criterion)
        others = [name for name in _DIFFERENCES if name != chosen]
        best = {name: self.ranked(name)[0].value(name) for name in (chosen, *others) if self.ranked(name)}
        header = [
            Column("model", "word"),
            Column("K", "number", "number of components"),
            Column("df", "number", "number of free parameters"),
            Column("log L", "number", "total log-likelihood, natural log", wide=True),
            Column(SHORT[chosen], "number", CRITERIA[chosen]),
            *(
                Column(f"Δ{SHORT[name]}", "number", f"difference from the best {SHORT[name]}")
                for name in (chosen, *others)
            ),
            *([Column("NEC", "number", CRITERIA["nec"], wide=True)] if chosen != "nec" else []),
            Column("starts", "number", "starts that reached the best optimum, of all", wide=True),
            Column("note", "word"),
        ]
        rows = [self._row(each, chosen, (chosen, *others), best) for each in self._rows(chosen)]
        return Table(header, rows, self._notes(), self._title(chosen), "selection")

    def _row(self, each: Candidate, chosen: str, differences: Iterable[str], best: Mapping[str, float]) -> list[Cell]:
        fit = each.fit
        n_starts = 0 if fit is None else sum(optimum.count for optimum in fit.optima)
        reached = MISSING if fit is None else f"{fit.optima[0].count}/{n_starts}"
        # What rests on an optimum that is not to be trusted is shown by its flag alone.
        log_likelihood = fit.log_likelihood if fit is not None and each.usable else math.nan
        return [
            Cell(elided(each.name, _NAME)),
            Cell(f"{each.n_components}", values=(each.n_components,)),
            Cell(
                MISSING if fit is None else f"{fit.n_parameters}", values=(None if fit is None else fit.n_parameters,)
            ),
            _decimal(log_likelihood, 2),
            of_number(each.value(chosen), 3) if chosen == "nec" else _decimal(each.value(chosen), 1),
            *(_decimal(each.value(name) - best.get(name, math.nan), 1) for name in differences),
            *([of_number(each.value("nec"), 2)] if chosen != "nec" else []),
            Cell(reached),
            Cell(", ".join(each.flags), mark="" if each.usable else "bad"),
        ]

    def _title(self, criterion: str) -> str:
        usable = len(self.ranked(criterion))
        return f"{count(len(self.candidates), 'model')} by {SHORT[criterion]}, {usable} of them comparable"

    def _notes(self) -> list[str]:
        notes = [_LOWER]
        if any("unreplicated" in each.flags for each in self.candidates):
            notes.append(f"unreplicated: fewer than {ENOUGH} starts reached the best; others may be better.")
        if any("spurious" in each.flags for each in self.candidates):
            notes.append("spurious: a component stands on few points and is nearly singular; see docs/starts.md.")
        if self.interrupted:
            notes.append("The sweep was interrupted.")
        failed: dict[tuple[str, str], list[int]] = {}
        for each in self.candidates:
            if each.failure:
                failed.setdefault((each.name, each.failure), []).append(each.n_components)
        reasons = [f"{name}, K = {_ends(numbers)}: {failure}" for (name, failure), numbers in failed.items()]
        more = [f"… and {len(reasons) - _REASONS} more reasons"] if len(reasons) > _REASONS else []
        return [*notes, *reasons[:_REASONS], *more]

    def __str__(self) -> str:
        return self.tabulated().brief.text

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "candidates", self.candidates
        yield "criterion", self.criterion
        found = self.ranked()
        if found:
            yield "best", f"{found[0].name}, {found[0].n_components} components"
            yield self.criterion, found[0].value(self.criterion)

    def _card(self) -> Card:
        found = self.ranked()
        title = f"{found[0].name}, {count(found[0].n_components, 'component')}" if found else "no model can be trusted"
        alerts = ["The sweep was interrupted."] if self.interrupted else []
        if found and found[0].unreplicated:
            alerts.append(f"Fewer than {ENOUGH} starts reached the optimum of the best model: others may be better.")
        return Card(f"{SHORT[self.criterion]}: {title}", alerts, table=self.tabulated().brief, rest="see to_frame()")


def _ends(numbers: Sequence[int]) -> str:
    """``3 to 9`` where three or more have no gap, else ``3, 5 and 6``."""
    run = len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1
    return f"{numbers[0]} to {numbers[-1]}" if run else listed([*map(str, numbers)])


def _decimal(value: float, decimals: int) -> Cell:
    return Cell(
        MISSING if math.isnan(value) else fixed(value, decimals), values=(None if math.isnan(value) else value,)
    )


def _record(each: Candidate, difference: float) -> dict[str, Any]:
    fit = each.fit
    return {
        "model": each.name,
        "family": each.family.name,
        "structure": each.family.structured,
        "n_components": each.n_components,
        "n_parameters": None if fit is None else fit.n_parameters,
        "log_likelihood": math.nan if fit is None else fit.log_likelihood,
        **{name: each.value(name) for name in CRITERIA},
        "difference": difference,
        "status": None if fit is None else fit.status.value,
        "flags": ", ".join(each.flags),
        "reached": None if fit is None else fit.optima[0].count,
        "n_starts": None if fit is None else sum(optimum.count for optimum in fit.optima),
        "reason": each.failure,
    }
