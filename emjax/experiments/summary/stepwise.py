"""Studies that decide as they go: how far each cell is to be run, from the rows that are there.

**Until it is known.** Replicates are added to a cell, a step at a time, until the Monte-Carlo error of each measure is
reached (Chow and Robbins 1965, Ann. Math. Statist. 36, 457-462).

**Solving.** Replicates are added where a limit may be met: `emjax.experiments.summary.solving`.

Both follow from the rule and the rows alone: whoever ran them, in whatever order, the same replicates count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

import pandas as pd

from emjax.errors import ConfigError
from emjax.experiments.config.schema import Study
from emjax.experiments.summary.estimates import Z, outcomes, per_replicate, pooled, trusted_rows
from emjax.experiments.summary.measures import ALL, EM_ENOUGH, KIND, MEASURE, Measure, measures_of
from emjax.experiments.work.outcome import NOT_RUN
from emjax.nearest import suggestion


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
    """How many replicates there are to be in each cell, for `make_plan`.

    ``declared`` has the cells and jobs of ``study.json``, ``ended`` the keys of those jobs that are done or were given
    up, ``rows`` are those of the finished ones. ``so_far`` is what this was before the last step, where it is known:
    what was not enough then need not be looked at again.
    """
    covered = covered_by(study, declared, ended)
    found: dict[Any, int] = {}
    step, most = study.sweep.step(study.execution.batch), study.sweep.replicates
    measures, errors = _asked(study, rows)
    for key, n_ended in covered.items():
        own, n = rows[rows["cell"] == key], max(step, (so_far or {}).get(key, 0))
        while n < most and n_ended >= n and not _known(own[own["replicate"] < n], measures, errors):
            n = min(n + step, most)
        found[key] = n
    return found


def unreached(study: Study, declared: Mapping[str, Any], ended: Set[str], rows: pd.DataFrame) -> list[str]:
    """The cells that have all the replicates there may be without the errors of ``sweep.until``."""
    if not study.sweep.until:
        return []
    measures, errors, most = *_asked(study, rows), study.sweep.replicates
    full = [cell for cell, n_ended in covered_by(study, declared, ended).items() if n_ended >= most]
    rows = rows[rows["replicate"] < most]
    return [cell for cell in full if not _known(rows[rows["cell"] == cell], measures, errors)]


def _asked(study: Study, rows: pd.DataFrame) -> tuple[list[Measure | None], list[float]]:
    """The measures of ``sweep.until``, None where the rows have none of that name, and their errors."""
    table = measures_of(rows)
    return [table.get(name) for name in study.sweep.until], list(study.sweep.until.values())


def covered_by(study: Study, declared: Mapping[str, Any], ended: Set[str]) -> dict[str, int]:
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
