r"""Which value of a setting is the first (or last) at which a measure meets a limit, and how sure that is.

All data sets count together, by a curve along the places of the values, :math:`u = 0, 1, ...`: a measure is at the
limit at the place :math:`c` and moves on by :math:`b > 0` per place, to the better. Of a share it is the logit that is
straight, of a positive measure with a positive limit (costs, errors, losses) the logarithm, of any other the measure
itself. The posterior of :math:`(c, b)` on a grid, with a prior even in :math:`c` and in :math:`\log b`, gives the
answer and its interval; the next replicates are drawn at its median and at its lower and upper quintile in turn, as
psychophysics finds thresholds (Kontsevich and Tyler 1999, Vision Research 39, 2729-2737). Where the values scatter
about the curve by more than their replicates explain, the likelihood is tempered by that factor (Finney 1971, Probit
Analysis).

It takes for granted that the limit is met on one side alone.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import pandas as pd

from emjax.experiments.config.schema import Study
from emjax.experiments.config.sweeps import Solve
from emjax.experiments.summary.estimates import answers, outcomes, per_replicate, trusted_rows
from emjax.experiments.summary.measures import ALL, EM_ENOUGH, MEASURE, measures_of
from emjax.experiments.summary.stepwise import covered_by
from emjax.experiments.summary.view import StudyView
from emjax.experiments.summary.words import value_text
from emjax.verdict import EM_IS_ENOUGH
from emjax.wording import count

_TAIL = 0.025
_ASKED = (0.5, 0.2, 0.8)
"""The quantiles at which the next replicates are drawn: a threshold alone would say nothing of the slope."""

_BEYOND = 0.125
"""How far beyond either end the crossing may lie, as a share of the places."""

_PER_PLACE, _N_SLOPES = 4, 24
_SLOPES = {"share": (2.0, 4.0), "log": (0.1, 2.0), "level": (0.2, 4.0)}
"""By form, the least change over the whole range, and the largest from one place to the next."""


@dataclasses.dataclass(frozen=True)
class Solution:
    """What a search came to: the value and the ends of its 95% interval, each None beyond the range."""

    value: float | None
    lower: float | None
    upper: float | None
    n_values: int  # that were looked at
    n_sets: int  # data sets in all


def asked_for(
    study: Study, declared: Mapping[str, Any], ended: Set[str], rows: pd.DataFrame, so_far: Any = None
) -> dict[Any, int]:
    """How many replicates there are to be at each value of ``solve.over``, as `stepwise.reached` says it of cells."""
    assert study.solve is not None
    over, covered = study.solve.over, covered_by(study, declared, ended)
    values = {cell["settings"][over]: cell["key"] for cell in declared["cells"] if over in cell["settings"]}
    n_there = {value: covered[key] for value, key in values.items()}
    return Search(study, observed(study.solve, rows, values)).replayed(n_there)


def observed(solve: Solve, rows: pd.DataFrame, values: Mapping[Any, str]) -> dict[Any, pd.Series]:
    """By value, what the measure is on each replicate; squares where it is a root mean square."""
    if solve.measure == EM_ENOUGH.name:
        said = rows[(rows["quantity"] == "verdict") & (rows["method"] == solve.method)]
        enough = said["parameter"].astype(str).isin([verdict.value for verdict in EM_IS_ENOUGH]).astype(float)
        found = said.assign(value=enough)
    else:
        measure = measures_of(rows).get(solve.measure)
        if measure is None:
            return {}
        source = rows if measure.of_all else trusted_rows(rows, outcomes(rows))
        found = per_replicate(source[source["method"] == solve.method], measure, ALL)
    return {value: found[found["cell"] == key].set_index("replicate")["value"] for value, key in values.items()}


class Search:
    """A search, replayed from what was observed: by value, the measure on each replicate."""

    def __init__(self, study: Study, seen: Mapping[Any, pd.Series]) -> None:
        assert study.solve is not None
        self._solve, self._seen = study.solve, seen
        self.candidates = study.solve.in_order
        self._most_each = study.sweep.replicates
        known = {EM_ENOUGH.name: EM_ENOUGH, **MEASURE}.get(study.solve.measure)
        self._pooled = known.pooled if known else "mean"
        self._posterior = functools.lru_cache(maxsize=2)(self._computed)

    def replayed(self, n_there: Mapping[Any, int]) -> dict[Any, int]:
        """The replicates at each value, up to the first step that is not there yet, or to the end."""
        found: dict[Any, int] = {}
        for share in itertools.cycle(_ASKED):
            asked = self._next(found, share) if sum(found.values()) < self._solve.most else None
            if asked is None:
                break
            found[asked] = min(found.get(asked, 0) + self._solve.batch, self._most_each)
            if n_there.get(asked, 0) < found[asked]:
                break
        return found

    def posterior(self, found: Mapping[Any, int]) -> np.ndarray:
        """The probability of each candidate, and last of none, to be the first that meets the limit."""
        return self._posterior(tuple(found.items()))

    def quantile(self, found: Mapping[Any, int], share: float) -> int:
        """The place of a quantile of the posterior."""
        return int(np.searchsorted(np.cumsum(self.posterior(found)), share - 1e-12))

    def _next(self, found: Mapping[Any, int], share: float) -> Any:
        """Where to look next; None where it is known, or no place has room."""
        if found and self.quantile(found, _TAIL) == self.quantile(found, 1 - _TAIL):
            return None
        wanted = min(self.quantile(found, share), len(self.candidates) - 1)
        open_places = [at for at, value in enumerate(self.candidates) if found.get(value, 0) < self._most_each]
        nearest = min(open_places, key=lambda at: (abs(at - wanted), at), default=None)
        return None if nearest is None else self.candidates[nearest]

    def _computed(self, found: tuple[tuple[Any, int], ...]) -> np.ndarray:
        n_places = len(self.candidates)
        beyond = round(_BEYOND * n_places) + 1
        # Between two places, so that no crossing lies on one.
        crossings = np.arange(-beyond, n_places - 1 + beyond, 1 / _PER_PLACE) + 0.5 / _PER_PLACE
        logs = self._log_likelihood(crossings, dict(found))
        weights = np.exp(logs - logs.max()).sum(axis=0)
        first = np.clip(np.ceil(crossings), 0, n_places).astype(int)
        shares: np.ndarray = np.bincount(first, weights / weights.sum(), n_places + 1)
        return shares

    def _log_likelihood(self, crossings: np.ndarray, found: Mapping[Any, int]) -> np.ndarray:
        """``(n_slopes, n_crossings)``."""
        from scipy.special import entr

        samples = [
            (place, values)
            for place, value in enumerate(self.candidates)
            if value in found and len(values := self._values(value, found[value])) > 1
        ]
        if not samples:
            return np.zeros((1, len(crossings)))
        form, at, mean, spread, n = self._told(samples)
        least, largest = _SLOPES[form]
        slopes = np.geomspace(least / (len(self.candidates) - 1), largest, _N_SLOPES)
        ahead = slopes[:, None, None] * (at - crossings[:, None])
        ahead = ahead if self._solve.at_least is not None else -ahead
        if form == "share":
            limit = np.clip(self._limit, 0.5 / self._solve.most, 1 - 0.5 / self._solve.most)
            logits = np.log(limit / (1 - limit)) + ahead
            # Half the deviance, without a constant.
            halves = np.logaddexp(0, logits) - mean * logits - entr(mean) - entr(1 - mean)
            misfit, df = (n * halves).sum(axis=-1), np.inf
        else:
            misfit, df = (n * ((mean - ahead) / spread) ** 2).sum(axis=-1) / 2, float((n - 1).sum())
        scatter = 2 * misfit.min() / max(len(samples) - 2, 1) if len(samples) > 2 else 1.0
        misfit = misfit / max(scatter, 1.0)
        return -misfit if np.isinf(df) else -(df + 1) / 2 * np.log1p(2 * misfit / df)

    @property
    def _limit(self) -> float:
        limit = self._solve.at_least if self._solve.at_least is not None else self._solve.at_most
        assert limit is not None
        return float(limit) ** 2 if self._pooled == "rms" else float(limit)

    def _values(self, value: Any, n_replicates: int) -> np.ndarray:
        seen = self._seen.get(value, pd.Series(dtype=float))
        values = seen[seen.index < n_replicates].to_numpy(float)
        return values[np.isfinite(values)]

    def _told(
        self, samples: list[tuple[int, np.ndarray]]
    ) -> tuple[str, np.ndarray, np.ndarray, np.ndarray | float, np.ndarray]:
        """The form of the curve; by value its place, what was seen on the curve's scale, its spread, and how often."""
        at = np.array([place for place, _ in samples], float)
        n = np.array([len(values) for _, values in samples], float)
        mean = np.array([values.mean() for _, values in samples])
        variance = np.array([values.var(ddof=1) for _, values in samples])
        if self._pooled == "share":
            return "share", at, mean, 1.0, answers(mean, np.sqrt(variance / n), n)
        pooled = functools.partial(np.average, weights=n - 1)
        if self._limit > 0 and all((values > 0).all() for _, values in samples):
            return "log", at, np.log(mean / self._limit), max(np.sqrt(pooled(variance / mean**2)), 1e-9), n
        scale = max(np.sqrt(pooled(variance)), np.ptp(mean), np.finfo(float).tiny)
        return "level", at, (mean - self._limit) / scale, max(np.sqrt(pooled(variance)) / scale, 1e-9), n


def solution_of(view: StudyView) -> Solution | None:
    """What a study that solves came to; None for another one, and before there are rows."""
    study = view.study
    if study.solve is None or view.planned_rows.empty:
        return None
    values = {cell.settings[study.solve.over]: cell.key for cell in view.places}
    ended = {*view.finished, *view.failures}
    covered = covered_by(study, view.declaration, ended)
    n_there = {value: covered[key] for value, key in values.items()}
    search = Search(study, observed(study.solve, view.planned_rows, values))
    found = {value: n for value, n in search.replayed(n_there).items() if n_there.get(value, 0) >= n}
    places = [search.quantile(found, share) for share in (0.5, _TAIL, 1 - _TAIL)]
    value, *ends = (search.candidates[place] if place < len(search.candidates) else None for place in places)
    lower, upper = ends if study.solve.find == "smallest" else ends[::-1]
    return Solution(value, lower, upper, len(found), sum(found.values()))


def solution_sentence(view: StudyView, found: Solution) -> str:
    """The answer of a study that solves, with its interval."""
    solve = view.study.solve
    assert solve is not None
    limit = f"at least {solve.at_least:g}" if solve.at_least is not None else f"at most {solve.at_most:g}"
    known = {**view.measures, EM_ENOUGH.name: EM_ENOUGH}
    short = known[solve.measure].short if solve.measure in known else solve.measure
    what = f"{short} of {solve.method} is {limit}"
    rests = f"{count(found.n_values, 'value')}, {count(found.n_sets, 'data set')}"
    if found.value is None:
        return (
            f"No {solve.over} from {value_text(solve.low)} to {value_text(solve.high)} is known where {what} ({rests})."
        )
    lower, upper = (None if end is None else value_text(end) for end in (found.lower, found.upper))
    if lower and lower == upper:
        interval = f"with 95% none other of the {len(solve.candidates)} that are told apart"
    elif lower and upper:
        interval = f"with 95% between {lower} and {upper}"
    else:
        interval = f"with 95% at most {upper}" if upper else f"with 95% at least {lower}" if lower else "and maybe none"
    return f"The {solve.find} {solve.over} at which {what} is {value_text(found.value)}, {interval} ({rests})."
