"""What `Fit.summary` gives: the numbers that mclust prints of a fit, as an object that prints itself."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from emjax.shown import Card, Shown, nats
from emjax.table import Table
from emjax.wording import elided, number

_MOST_COMPONENTS = 12
_MOST_COLUMNS = 5
_ROOM = 80 - len("component")
_RULE = "-" * 60


def summarised(named: Mapping[str, Any], family: Any, *, wanted: bool = True) -> dict[str, np.ndarray]:
    """Named parameters as a summary prints them, where they are wanted: squares of what the family says."""
    if not wanted:
        return {}
    return {
        family.squares.get(name, name): np.asarray(values) ** (2 if name in family.squares else 1)
        for name, values in named.items()
    }


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Summary(Shown):
    """The summary of a fit; ``print`` it for the table.

    Attributes
    ----------
    mixture, space
        What was fitted, and the space in which the estimate is a mode.
    status, message
        How EM ended, in a word and in words; ``spurious`` where the optimum rests on few points.
    log_likelihood
        Total log-likelihood (natural log).
    n_samples, n_parameters
        The number of data, and of free parameters (mclust's ``df``).
    bic, icl
        `Fit.bic` and `Fit.icl`, the lower the better; NaN where the fit has no usable parameters.
    counts
        How many data have each component as their likeliest, ``(n_components,)``; None where there are none.
    parameters
        By name, arrays ``(n_components,)``, ``(n_components, n_features)`` or, of correlations, ``(n_components,
        n_features, n_features)``; empty unless asked for.
    feature_names
        The names of the features.
    log_prior
        The prior's log density at the estimate, in ``space``; None for maximum likelihood.
    levels, own_axes
        As of the family: the names of levels, and parameters whose axes are no features.
    """

    mixture: str
    space: str
    status: str
    message: str
    log_likelihood: float
    n_samples: int
    n_parameters: int
    bic: float
    icl: float
    counts: np.ndarray | None
    parameters: Mapping[str, np.ndarray]
    feature_names: tuple[str, ...]
    log_prior: float | None = None
    levels: tuple[tuple[str, ...], ...] | None = None
    own_axes: Mapping[str, bool] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def __repr__(self) -> str:
        # In a console the object is its table, as in mclust, unless that is long.
        text = str(self)
        return text if len(text) < 1000 else Shown.__repr__(self)

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield from (
            (name, getattr(self, name))
            for name in ("mixture", "status", "log_likelihood", "n_samples", "n_parameters", "bic", "icl")
        )

    @property
    def _signs(self) -> str:
        return f"lower is better; mclust's sign: BIC {nats(-self.bic)}, ICL {nats(-self.icl)}"

    @property
    def _prior(self) -> str:
        if self.log_prior is None:
            return ""
        return f"prior: log density {nats(self.log_prior)}, and the estimate is the mode in the space {self.space}"

    def _criteria(self) -> Table:
        numbers = nats(self.log_likelihood), f"{self.n_samples}", f"{self.n_parameters}", nats(self.bic), nats(self.icl)
        return Table(("log-likelihood", "n", "df", "BIC", "ICL"), [numbers], [self._signs])

    def _lines(self) -> Iterator[str]:
        # Of a program the M-step is told, too, on a line of its own.
        yield from (_RULE, *f"Finite mixture fitted by EM: {self.mixture}".split("; "), _RULE)
        yield f"status: {self.status}"
        if self.status != "converged":
            yield from textwrap.wrap(self.message, 78)
        yield ""
        yield from self._criteria().lines()
        yield f"({self._signs})"
        yield from textwrap.wrap(self._prior, 78)
        for table in self._tables():
            yield from ("", table.title, *(table.lines() if table else ()), *table.notes)

    def _tables(self) -> Iterator[Table]:
        """Data by component, then the parameters that were asked for."""
        counts = self.counts
        if counts is None:
            yield Table((), (), title="no counts, for lack of usable parameters")
        else:
            rows: list[tuple[str, ...]] = [(f"{k}", f"{count}") for k, count in enumerate(counts[:_MOST_COMPONENTS])]
            rest = _rest(len(counts), len(rows))
            yield Table(("component", "count"), rows, rest, "data by their likeliest component")
        for name, of, labels, columns in self._columns():
            shown = labels[:_MOST_COLUMNS]
            heads = ("all",) if self.own_axes.get(name) else map(str, range(len(columns)))
            kept = zip(heads, columns[:_MOST_COMPONENTS], strict=False)
            rows = [(head, *map(number, row[: len(shown)])) for head, row in kept]
            hidden = _rest(len(columns), len(rows), len(labels) - len(shown), of)
            width = (_ROOM // len(shown)) - 2
            yield Table(("component", *(elided(each, width) for each in shown)), rows, hidden, name)

    def _columns(self) -> Iterator[tuple[str, str, tuple[str, ...], np.ndarray]]:
        """Of each table its name, what its columns are, their names, and the numbers ``(n_components, n_columns)``."""
        names = self.feature_names
        below, left = np.tril_indices(len(names), -1)
        for name, values in self.parameters.items():
            if name in self.own_axes:
                rows = values.reshape(1 if self.own_axes[name] else len(values), -1)
                inner = values.shape if self.own_axes[name] else values.shape[1:]
                yield name, "numbers", tuple(", ".join(map(str, index)) for index in np.ndindex(inner)), rows
            elif values.ndim == 1:
                yield name, "", ("",), values[:, None]
            elif values.ndim == 2:
                yield name, "features", names, values
            elif self.levels:
                for j, (feature, own) in enumerate(zip(names, self.levels, strict=True)):
                    yield f"{name}[{feature}]", "levels", own, values[:, j, : len(own)]
            elif len(names) > 1:  # a single feature has no pairs
                pairs = tuple(f"{names[j]}, {names[i]}" for i, j in zip(below, left, strict=True))
                yield name, "pairs", pairs, values[:, below, left]

    def _repr_html_(self) -> str:
        lines = (self._prior,) if self._prior else ()
        cards = [Card(f"{self.mixture}: {self.status}", self._alerts(), lines, self._criteria())]
        cards += [Card(table.title, table=table) for table in self._tables()]
        return f"<div>{''.join(card.html for card in cards)}</div>"

    def _alerts(self) -> tuple[str, ...]:
        return () if self.status == "converged" else (self.message,)


def _rest(n_components: int, n_rows: int, n_more: int = 0, of: str = "") -> tuple[str, ...]:
    """What a table leaves out, in words, where it does."""
    parts = [f"{n_components - n_rows} more components"] if n_components > n_rows else []
    parts += [f"{n_more} more {of}"] if n_more else []
    return (f"… and {' and '.join(parts)}",) if parts else ()
