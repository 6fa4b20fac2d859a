r"""Studies that decide as they go: how far each cell is to be run, from the rows that are there.

**Until it is known.** Replicates are added to a cell, a step at a time, until the Monte-Carlo error of each measure is
reached (Chow and Robbins 1965, Ann. Math. Statist. 36, 457-462).

**Solving.** Which value of a setting is the first (or last) to meet a limit? Each value that was looked at gives the
probability :math:`q` that it meets the limit, from its replicates; a value :math:`\theta` has the posterior probability
:math:`\prod q_i` over those on its side that meet it times :math:`\prod (1 - q_i)` over the others, and the next
replicates are drawn at its median: probabilistic bisection (Waeber, Frazier and Henderson 2013, SIAM J. Control Optim.
51, 2261-2279). It takes for granted that the limit is met on one side alone.

Both follow from the rule and the rows alone: whoever ran them, in whatever order, the same replicates count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np
import pandas as pd

from emjax.errors import ConfigError
from emjax.experiments.config.schema import Study
from emjax.experiments.config.sweeps import Solve
from emjax.experiments.summary.estimates import Z, answers, outcomes, per_replicate, pooled, trusted_rows
from emjax.experiments.summary.measures import ALL, KIND, MEASURE, Measure, measures_of
from emjax.experiments.summary.view import StudyView
from emjax.experiments.work.outcome import NOT_RUN
from emjax.nearest import suggestion
from emjax.verdict import EM_IS_ENOUGH

EM_ENOUGH = Measure("em_enough", "verdict", "EM enough", "share of verdicts that EM is enough", 1, "", "share")

SURE = 0.99
"""The most that one value is believed, so that no accident of a few replicates decides for good."""

_TAIL = 0.025


def check_measures(study: Study) -> None:
    """Refuse measures that no study has; those of the user's own are known when there are rows. Raises ConfigError."""
    named = {"sweep.until": list(study.sweep.until), "solve.measure": [study.solve.measure] if study.solve else []}
    own = study.measures or any(method.kind == "own" for method in study.methods)
    known = {EM_ENOUGH.name: EM_ENOUGH, **MEASURE} if study.solve else MEASURE
    for place, names in named.items():
        for name in names:
            if name not in known and not own:
                raise ConfigError(f"{place}: there is no measure {name!r}; {suggestion(name, known)}")


def reached(
    study: Study,
    declared: Mapping[str, Any],
    ended: Set[str],
    rows: pd.DataFrame,
    so_far: Mapping[Any, int] | None = None,
) -> dict[Any, int]:
    """How many replicates there are to be, by cell or by value that is looked for, for `make_plan`.

    Parameters
    ----------
    study, declared
        The study, and the cells and jobs of its ``study.json``.
    ended
        The keys of the jobs that are done, or were given up.
    rows
        Of the finished jobs.
    so_far
        What this was before the last step, where it is known: what was not enough then need not be looked at again.
    """
    covered = _covered(study, declared, ended)
    if study.solve is not None:
        over = study.solve.over
        values = {cell["settings"][over]: cell["key"] for cell in declared["cells"] if over in cell["settings"]}
        n_there = {value: covered[key] for value, key in values.items()}
        return Search(study, study.solve, _observed(study.solve, rows, values)).replayed(n_there)
    found: dict[Any, int] = {}
    step, most = study.sweep.step(study.execution.batch), study.sweep.replicates
    table = measures_of(rows)
    measures = [table.get(name) for name in study.sweep.until]
    for key, n_ended in covered.items():
        own, n = rows[rows["cell"] == key], max(step, (so_far or {}).get(key, 0))
        errors = study.sweep.until.values()
        while n < most and n_ended >= n and not _known(own[own["replicate"] < n], measures, errors):
            n = min(n + step, most)
        found[key] = n
    return found


def _covered(study: Study, declared: Mapping[str, Any], ended: Set[str]) -> dict[str, int]:
    """By cell, up to which replicate all methods have ended."""
    ends: dict[tuple[str, str], int] = {}
    for job in sorted(declared["jobs"], key=lambda job: job["first"]):
        place = job["cell"], job["method"]
        if job["first"] == ends.get(place, 0) and job["key"] in ended:
            ends[place] = job["stop"]
    labels = [method.label for method in study.methods]
    return {cell["key"]: min(ends.get((cell["key"], label), 0) for label in labels) for cell in declared["cells"]}


def _known(rows: pd.DataFrame, measures: Iterable[Measure | None], errors: Iterable[float]) -> bool:
    """Whether the error of each measure is reached for every method that has run at all."""
    ended = outcomes(rows)
    for _, own in ended.groupby("method", observed=True):
        if not own["trusted"].any() and not own["status"].isin(NOT_RUN).all():
            return False  # what is left out may be what matters
    good = trusted_rows(rows, ended)
    for measure, error in zip(measures, errors, strict=True):
        if measure is None:
            return False
        per = ALL if ALL in measure.per else KIND
        lines = pooled(per_replicate(rows if measure.of_all else good, measure, per), measure)
        # Of a share that is 1 so far the standard error would say that it is known.
        of_share = (lines["upper"] - lines["lower"]) / (2 * Z)
        if lines.empty or not ((of_share if measure.pooled == "share" else lines["mcse"]) <= error).all():
            return False
    return True


# -- solving


@dataclasses.dataclass(frozen=True)
class Solution:
    """What a search came to.

    Attributes
    ----------
    value, lower, upper
        The value that is looked for and the ends of its 95% interval; None beyond the range.
    n_values, n_sets
        How many values were looked at, and data sets in all.
    """

    value: float | None
    lower: float | None
    upper: float | None
    n_values: int
    n_sets: int


def _observed(solve: Solve, rows: pd.DataFrame, values: Mapping[Any, str]) -> dict[Any, pd.Series]:
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
    """A bisection, replayed from what was observed: by value, the measure on each replicate."""

    def __init__(self, study: Study, solve: Solve, observed: Mapping[Any, pd.Series]) -> None:
        self._solve, self._observed = solve, observed
        self.candidates = solve.in_order
        self._most_each = study.sweep.replicates
        self._believed: dict[tuple[Any, int], float] = {}
        self._measure = {EM_ENOUGH.name: EM_ENOUGH, **MEASURE}.get(solve.measure)

    def replayed(self, n_there: Mapping[Any, int]) -> dict[Any, int]:
        """The replicates at each value, up to the first step that is not there yet, or to the end."""
        found: dict[Any, int] = {}
        while sum(found.values()) < self._solve.most:
            asked = self._next(found)
            if asked is None:
                break
            found[asked] = min(found.get(asked, 0) + self._solve.batch, self._most_each)
            if n_there.get(asked, 0) < found[asked]:
                break
        return found

    def posterior(self, found: Mapping[Any, int]) -> np.ndarray:
        """The probability of each candidate, and last of none, to be the first that meets the limit."""
        logs = np.zeros(len(self.candidates) + 1)
        for place, value in enumerate(self.candidates):
            if value in found:
                seen = value, found[value]
                if seen not in self._believed:
                    self._believed[seen] = self._meets(*seen)
                q = self._believed[seen]
                logs[: place + 1] += np.log(q)
                logs[place + 1 :] += np.log1p(-q)
        weights = np.exp(logs - logs.max())
        shares: np.ndarray = weights / weights.sum()
        return shares

    def quantile(self, found: Mapping[Any, int], share: float) -> int:
        """The place of a quantile of the posterior."""
        return int(np.searchsorted(np.cumsum(self.posterior(found)), share - 1e-12))

    def _next(self, found: Mapping[Any, int]) -> Any:
        """Where to look next; None where it is known, or no place has room."""
        if found and self.quantile(found, _TAIL) == self.quantile(found, 1 - _TAIL):
            return None
        middle = min(self.quantile(found, 0.5), len(self.candidates) - 1)
        open_places = [at for at, value in enumerate(self.candidates) if found.get(value, 0) < self._most_each]
        nearest = min(open_places, key=lambda at: (abs(at - middle), at), default=None)
        return None if nearest is None else self.candidates[nearest]

    def _meets(self, value: Any, n_replicates: int) -> float:
        """The probability that a value meets the limit: Jeffreys' beta for shares, Student's t for means."""
        from scipy.special import betainc, stdtr

        solve, seen = self._solve, self._observed.get(value, pd.Series(dtype=float))
        values = seen[seen.index < n_replicates].to_numpy(float)
        limit = solve.at_least if solve.at_least is not None else solve.at_most
        assert limit is not None
        n, mean = len(values), float(values.mean()) if len(values) else 0.0
        spread = float(values.std(ddof=1)) if n > 1 else 0.0
        form = self._measure.pooled if self._measure else "mean"
        if n < 2 or np.isnan(spread):
            return 0.5
        if form == "share":
            n_told = float(answers(np.array(mean), np.array(spread / np.sqrt(n)), np.array(float(n))))
            above = 1.0 - float(betainc(mean * n_told + 0.5, (1 - mean) * n_told + 0.5, min(max(limit, 0.0), 1.0)))
        else:
            gap = mean - (limit**2 if form == "rms" else limit)
            above = float(stdtr(n - 1, gap * np.sqrt(n) / spread)) if spread > 0 else float(gap >= 0)
        meets = above if solve.at_least is not None else 1.0 - above
        return min(max(meets, 1.0 - SURE), SURE)


def solution_of(view: StudyView) -> Solution | None:
    """What a study that solves came to; None for another one, and before there are rows."""
    study = view.study
    if study.solve is None or view.rows.empty:
        return None
    values = {cell.settings[study.solve.over]: cell.key for cell in view.cells}
    ended = {*view.finished, *(job.key for job, _, _ in view.failures)}
    covered = _covered(study, view.declared, ended)
    n_there = {value: covered[key] for value, key in values.items()}
    search = Search(study, study.solve, _observed(study.solve, view.rows, values))
    found = {value: n for value, n in search.replayed(n_there).items() if n_there.get(value, 0) >= n}
    places = [search.quantile(found, share) for share in (0.5, _TAIL, 1 - _TAIL)]
    value, *ends = (search.candidates[place] if place < len(search.candidates) else None for place in places)
    lower, upper = ends if study.solve.find == "smallest" else ends[::-1]
    return Solution(value, lower, upper, len(found), sum(found.values()))


def solution_sentence(view: StudyView, found: Solution) -> str:
    """The answer of a study that solves, with its interval."""
    from emjax.experiments.summary.words import value_text
    from emjax.wording import count

    solve = view.study.solve
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
    if lower and upper:
        interval = f"with 95% between {lower} and {upper}"
    else:
        interval = f"with 95% at most {upper}" if upper else f"with 95% at least {lower}" if lower else "and maybe none"
    return f"The {solve.find} {solve.over} at which {what} is {value_text(found.value)}, {interval} ({rests})."
