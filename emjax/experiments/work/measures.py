"""From an outcome to rows: what a method's estimate of one data set was worth.

Labels are chosen once, for parameters and assignments alike: the outcome's components take the order under which they
share most data with the truth's (`emjax.align.classification`), or with known groups where there is no truth. Where
neither has as many components as the outcome, they stand in the order of the first parameter, so that replicates can
be compared; nothing that depends on labels is then measured against the truth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emjax import align
from emjax.experiments.work.assignment_measures import Assignment, assignment_of, assignment_rows
from emjax.experiments.work.density_measures import comparable, density_rows
from emjax.experiments.work.outcome import NOT_MEASURED, NOT_RUN, Outcome, ParameterEstimate, Replicate, Truth
from emjax.experiments.work.own import own_rows
from emjax.metrics import interval_score
from emjax.naming import scalar_parameters

Row = tuple[str, str, float]
"""Quantity, parameter (empty where there is none), value."""

COST = frozenset({"compile_seconds", "run_seconds"})
"""The quantities that may differ between two runs of one job."""


def measure(replicate: Replicate, outcome: Outcome, level: float, own: Sequence[Mapping[str, Any]] = ()) -> list[Row]:
    """All rows (quantity, parameter, value) of one outcome; what cannot be measured has none, and no value is NaN.

    Per parameter ``estimate``, ``error``, ``se``, ``covered``, ``width``, ``interval_score`` at the ``level``, and of
    lower levels ``covered_50`` and ``width_50``; then ranks, densities, assignments, what the method says of itself,
    and the user's ``own`` measures, as they stand in a spec; of these one that is NaN is a row ``not_measured``,
    of value 1 and with its name as the parameter. ``log_score`` may be -inf, where a row that was held out
    has density 0, and ``log_score_loss`` then is +inf. A failed outcome gives ``trusted`` and its cost.
    """
    assignment = assignment_of(replicate, outcome)
    rows = _parameter_rows(replicate, outcome, assignment, level)
    rows += _rank_rows(replicate, outcome)
    rows += density_rows(replicate, outcome)
    rows += assignment_rows(assignment)
    rows += [(name, "", float(value)) for name, value in outcome.numbers.items()]
    own_numbers = own_rows(own, replicate, outcome) if own and outcome.status not in NOT_RUN else []
    # Of the user's own numbers nothing else would say that there should be one.
    missing = [*outcome.not_measured, *(name for name, _, value in own_numbers if math.isnan(value))]
    rows += [*own_numbers, *((NOT_MEASURED, name, 1.0) for name in missing)]
    rows.append(("trusted", "", float(outcome.trusted)))
    rows += [(name, "", float(getattr(outcome, name))) for name in sorted(COST)]
    if outcome.verdict is not None:
        rows.append(("verdict", str(outcome.verdict), 1.0))
    return [row for row in rows if not math.isnan(row[2])]


def _parameter_rows(replicate: Replicate, outcome: Outcome, assignment: Assignment | None, level: float) -> list[Row]:
    if not outcome.parameters:
        return []
    table = scalar_parameters(outcome.named, replicate.data.feature_names, outcome.levels, outcome.own_axes)
    places = {scalar.name: scalar for scalar in table}
    names = {(scalar.variable, scalar.index): scalar.name for scalar in table}
    truth = {} if replicate.truth is None else _true_parameters(replicate.truth, outcome, outcome.named)
    order, aligned = _order(outcome, assignment, truth)
    new_label, truth = np.argsort(order), truth if aligned else {}
    found: dict[str, list[Row]] = {}
    for parameter in outcome.parameters:
        old = places[parameter.name]
        # What all components share has no label that could be another one.
        index = old.index if old.shared else (int(new_label[old.index[0]]), *old.index[1:])
        name = names[old.variable, index]
        true_value = float(truth[old.variable][index]) if old.variable in truth else math.nan
        found[name] = _rows_of(parameter, name, true_value, level)
    # In the order of the table, so that every replicate lists its parameters alike.
    return [row for scalar in table for row in found.get(scalar.name, [])]


def _true_parameters(truth: Truth, outcome: Outcome, named: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What an outcome's ``named`` parameters should be, of those that both have.

    A rate of one family is not that of another, nor a scale of Student t components a standard deviation; weights and
    means are what they are in all of them.
    """
    same = comparable(truth, outcome) and (truth.family == outcome.family or "" in (truth.family, outcome.family))
    return {
        name: value
        for name, value in truth.named.items()
        if (same or name in ("weights", "mean")) and name in named and named[name].shape == np.shape(value)
    }


def _rank_rows(replicate: Replicate, outcome: Outcome) -> list[Row]:
    r"""``rank`` of each true parameter among the draws, and ``rank_spread``, how far it is from the middle.

    With :math:`n` draws, :math:`b` of them below the truth, the rank is :math:`(b + 1/2) / (n + 1)`; it is uniform
    where truth and posterior follow from one prior (Talts et al. 2018, arXiv:1804.06788). So are ranks of any function
    of the parameters, such as these: components in ascending order of their first parameter, in truth and draws alike.
    The spread is :math:`|2 rank - 1|`, with mean 1/2: more where the posterior is too narrow, less where too wide.
    """
    truth, draws = replicate.truth, outcome.draws
    if truth is None or not truth.drawn or not draws:
        return []
    true = _true_parameters(truth, outcome, {name: values[0] for name, values in draws.items()})
    if not true:
        return []
    first = next((name for name in true if name != "weights"), "weights")
    n_components = len(true[first])
    orders = [
        np.argsort(values.reshape(len(values), n_components, -1)[:, :, 0], axis=1)
        for values in (draws[first], true[first][np.newaxis])
    ]
    ranks = {}
    for name, value in true.items():
        drawn, known = align.apply(orders[0], draws[name], 1), align.apply(orders[1], value[np.newaxis], 1)
        below = (drawn < known).sum(axis=0) + 0.5 * (drawn == known).sum(axis=0)
        ranks[name] = (below + 0.5) / (len(drawn) + 1.0)
    found = []
    for scalar in scalar_parameters(ranks, replicate.data.feature_names, outcome.levels):
        rank = float(ranks[scalar.variable][scalar.index])
        found += [("rank", scalar.name, rank), ("rank_spread", scalar.name, abs(2.0 * rank - 1.0))]
    return found


def _rows_of(parameter: ParameterEstimate, name: str, truth: float, level: float) -> list[Row]:
    rows = [("estimate", name, parameter.estimate), ("error", name, parameter.estimate - truth)]
    rows.append(("se", name, parameter.se))
    lower, upper = parameter.lower, parameter.upper
    if not (math.isfinite(lower) and math.isfinite(upper)):
        return rows
    lower_levels = [(f"_{100 * at:g}", below, above) for at, below, above in parameter.lower_levels]
    every = [("", lower, upper), *lower_levels]
    rows += [(f"width{at}", name, above - below) for at, below, above in every]
    if not math.isnan(truth):
        rows += [(f"covered{at}", name, float(below <= truth <= above)) for at, below, above in every]
        rows.append(("interval_score", name, float(interval_score(lower, upper, truth, level))))
    return rows


def _order(outcome: Outcome, assignment: Assignment | None, truth: Mapping[str, np.ndarray]) -> tuple[np.ndarray, bool]:
    """The outcome's component that takes each place, ``(n_components,)``, and whether that is the truth's place.

    Where nothing assigns the data, components take the places of the nearest true ones.
    """
    own = {name: values for name, values in outcome.named.items() if not outcome.own_axes.get(name)}
    if not outcome.exchangeable:
        return np.arange(len(own["weights"])), True
    if assignment is not None:
        if assignment.aligned:
            return assignment.order, True
    elif outcome.responsibilities is None:
        names = [name for name in truth if name != "weights"] or list(truth)
        if names:
            sides = (np.concatenate([_flat(side[name]) for name in names], axis=1) for side in (truth, outcome.named))
            return align.match(*sides), True
    first = next(values for name, values in own.items() if name != "weights" or len(own) == 1)
    return align.ordering(_flat(first)[np.newaxis, :, 0])[0], False


def _flat(values: np.ndarray) -> np.ndarray:
    """One row of numbers for each component."""
    values = np.asarray(values, np.float64)
    return values.reshape(len(values), -1)
