"""From an outcome to rows: what a method's estimate of one data set was worth.

Labels are chosen once, for parameters and assignments alike: the outcome's components take the order under which they
share most data with the truth's (`emjax.align.classification`), or with known groups where there is no truth. Where
neither has as many components as the outcome, they stand in the order of the first parameter, so that replicates can
be compared; nothing that depends on labels is then measured against the truth.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from emjax import align
from emjax.experiments.work.assignment_measures import Assignment, assignment_of, assignment_rows
from emjax.experiments.work.density_measures import comparable, density_rows
from emjax.experiments.work.outcome import Outcome, ParameterEstimate, Replicate, Truth
from emjax.metrics import interval_score
from emjax.naming import scalar_parameters

Row = tuple[str, str, float]
"""Quantity, parameter (empty where there is none), value."""

COST = frozenset({"compile_seconds", "run_seconds"})
"""The quantities that may differ between two runs of one job."""


def measure(replicate: Replicate, outcome: Outcome, level: float) -> list[Row]:
    """All rows of one outcome; what cannot be measured has none.

    Parameters
    ----------
    replicate
        The data, and where they come from.
    outcome
        Of a method on these data; a failed one gives ``trusted`` and its cost.
    level
        The probability of the outcome's intervals.

    Returns
    -------
    list of (quantity, parameter, value)
        Per parameter ``estimate``, ``error``, ``se``, ``covered``, ``width``, ``interval_score``; then densities,
        assignments, and what the method says of itself. No value is NaN. ``log_score`` may be -inf, where a row that
        was held out has density 0, and ``log_score_loss`` then is +inf.
    """
    assignment = assignment_of(replicate, outcome)
    rows = _parameter_rows(replicate, outcome, assignment, level)
    rows += density_rows(replicate, outcome)
    rows += assignment_rows(assignment)
    rows += [(name, "", float(value)) for name, value in outcome.numbers.items()]
    rows.append(("trusted", "", float(outcome.trusted)))
    rows += [(name, "", float(getattr(outcome, name))) for name in sorted(COST)]
    if outcome.verdict is not None:
        rows.append(("verdict", str(outcome.verdict), 1.0))
    return [row for row in rows if not math.isnan(row[2])]


def _parameter_rows(replicate: Replicate, outcome: Outcome, assignment: Assignment | None, level: float) -> list[Row]:
    if not outcome.parameters:
        return []
    table = scalar_parameters(outcome.named, replicate.data.feature_names, outcome.levels)
    places = {scalar.name: scalar for scalar in table}
    names = {(scalar.variable, scalar.index): scalar.name for scalar in table}
    new_label = np.argsort(_order(outcome, assignment))
    aligned = replicate.truth is not None and assignment is not None and assignment.aligned
    truth = _true_parameters(replicate.truth, outcome) if replicate.truth is not None and aligned else {}
    found: dict[str, list[Row]] = {}
    for parameter in outcome.parameters:
        old = places[parameter.name]
        place = dataclasses.replace(old, index=(int(new_label[old.index[0]]), *old.index[1:]))
        name = names[place.variable, place.index]
        true_value = float(truth[place.variable][place.index]) if place.variable in truth else math.nan
        found[name] = _rows_of(parameter, name, true_value, level)
    # In the order of the table, so that every replicate lists its parameters alike.
    return [row for scalar in table for row in found.get(scalar.name, [])]


def _true_parameters(truth: Truth, outcome: Outcome) -> Mapping[str, np.ndarray]:
    """What the outcome's parameters should be: a rate of one family is not that of another."""
    same = comparable(truth, outcome) and truth.law.family in ("", outcome.family)
    return truth.named if same else {"weights": truth.named["weights"]}


def _rows_of(parameter: ParameterEstimate, name: str, truth: float, level: float) -> list[Row]:
    rows = [("estimate", name, parameter.estimate), ("error", name, parameter.estimate - truth)]
    rows.append(("se", name, parameter.se))
    lower, upper = parameter.lower, parameter.upper
    if not (math.isfinite(lower) and math.isfinite(upper)):
        return rows
    rows.append(("width", name, upper - lower))
    if not math.isnan(truth):
        rows.append(("covered", name, float(lower <= truth <= upper)))
        rows.append(("interval_score", name, float(interval_score(lower, upper, truth, level))))
    return rows


def _order(outcome: Outcome, assignment: Assignment | None) -> np.ndarray:
    """The outcome's component that takes each place, ``(n_components,)``."""
    if assignment is not None and assignment.aligned:
        return assignment.order
    first = next(values for name, values in outcome.named.items() if name != "weights" or len(outcome.named) == 1)
    return align.ordering(np.asarray(first, np.float64).reshape(1, len(first), -1)[:, :, 0])[0]
