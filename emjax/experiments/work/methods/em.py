"""``em`` and ``map``: maximum likelihood and the posterior mode by EM, all replicates of a job at once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from emjax.clock import Stopwatch, stopwatch
from emjax.em.many import fit_many
from emjax.experiments.work.methods.budgets import em_iterations, evaluations_of
from emjax.experiments.work.methods.shared import (
    FAILURES,
    check_deadline,
    declared_mixture,
    failed,
    point_estimates,
    random_key,
    with_prior_of,
)
from emjax.experiments.work.outcome import Outcome, ParameterEstimate, Replicate
from emjax.mixture import Mixture
from emjax.result import Fit
from emjax.scope import computing
from emjax.uncertainty.information import Intervals, IntervalStatus
from emjax.uncertainty.many import intervals_many


def outcomes(
    spec: Mapping[str, Any], replicates: Sequence[Replicate], *, deadline: float | None = None
) -> Iterator[Outcome]:
    """The outcome of EM on each replicate."""
    method = spec["method"]
    mixture = declared_mixture(spec, with_prior=method["kind"] == "map")
    for replicate, end in zip(replicates, _together(spec, mixture, replicates, deadline), strict=True):
        yield failed(end) if isinstance(end, Exception) else _outcome(method, end, replicate)


@dataclasses.dataclass(frozen=True)
class _End:
    """A fit with its intervals (None where none were asked for), what both took, and what a budget has to say."""

    fit: Fit
    intervals: Intervals | None
    compile_seconds: float
    run_seconds: float
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)


def _together(
    spec: Mapping[str, Any], mixture: Mixture, replicates: Sequence[Replicate], deadline: float | None
) -> list[_End | Exception]:
    """All replicates in one batch, before which the deadline is looked at; its seconds are shared out evenly."""
    check_deadline(deadline, 0, len(replicates))
    method = spec["method"]
    max_iter = em_iterations(method)
    with stopwatch() as clock:
        fits = _fits(spec, mixture, replicates, max_iter)
        found = _intervals(method, spec["level"], fits)
    compile_seconds, run_seconds = _share(clock, len(replicates))
    numbers = {} if evaluations_of(method) is None else {"max_iter": float(max_iter)}
    return [
        end if isinstance(end, Exception) else _End(end, interval, compile_seconds, run_seconds, numbers)
        for end, interval in zip(fits, found, strict=True)
    ]


def _share(clock: Stopwatch, n_replicates: int) -> tuple[float, float]:
    return clock.compile_seconds / n_replicates, clock.run_seconds / n_replicates


def _fits(
    spec: Mapping[str, Any], mixture: Mixture, replicates: Sequence[Replicate], max_iter: int
) -> list[Fit | Exception]:
    """The fit of each replicate, or what it failed with: one compiled program for all of them."""
    ends: list[Fit | Exception | None] = [None] * len(replicates)
    mixtures: dict[int, Mixture] = {}
    for place, replicate in enumerate(replicates):
        try:
            mixtures[place] = _scaled(spec, mixture, replicate)
        except FAILURES as error:
            ends[place] = error
    fits = fit_many(
        mixture,
        [replicates[place].data for place in mixtures],
        keys=[random_key(spec, replicates[place].number) for place in mixtures],
        priors=[scaled.prior for scaled in mixtures.values()],
        max_iter=max_iter,
        **_settings(spec["method"]),
    )
    for place, end in zip(mixtures, fits, strict=True):
        ends[place] = end
    assert all(end is not None for end in ends)
    return [end for end in ends if end is not None]


def _scaled(spec: Mapping[str, Any], mixture: Mixture, replicate: Replicate) -> Mixture:
    """The mixture with the prior that is meant for a replicate's data; without a prior for maximum likelihood."""
    return mixture if mixture.prior is None else with_prior_of(spec, mixture, replicate.data)


def _settings(method: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `emjax.fit` but for the iterations."""
    names = ("n_init", "tol", "starts", "accelerate")
    return {**{name: method[name] for name in names}, "dtype": method["precision"]}


def _intervals(method: Mapping[str, Any], level: float, ends: Sequence[Fit | Exception]) -> list[Intervals | None]:
    """The intervals of each fit; None where none were asked for or there is no fit."""
    if method["intervals"] == "none":
        return [None] * len(ends)
    places = [place for place, end in enumerate(ends) if isinstance(end, Fit)]
    found_of_fits = intervals_many([end for end in ends if isinstance(end, Fit)], level=level)
    found: list[Intervals | None] = [None] * len(ends)
    for place, interval in zip(places, found_of_fits, strict=True):
        # An exception stands in the place of an exception, and none was handed over.
        found[place] = interval if isinstance(interval, Intervals) else None
    return found


def _outcome(method: Mapping[str, Any], end: _End, replicate: Replicate) -> Outcome:
    estimate, found = end.fit, end.intervals
    family = estimate.mixture.family
    with computing():
        named = {name: np.asarray(value) for name, value in estimate.mixture.named_parameters(estimate.params).items()}
        moments = family.moments(estimate.params)
    message = estimate.message
    if found is not None and found.status is not IntervalStatus.OK:
        message = f"{message} {found.message}"
    return Outcome(
        status=estimate.status.value,
        message=message,
        trusted=estimate.converged,
        named=named,
        parameters=point_estimates(named, estimate.feature_names, family.levels)
        if found is None
        else _estimates(found),
        log_density=estimate.score_samples,
        responsibilities=estimate.predict_proba,
        numbers={**_numbers(estimate, found), **end.numbers},
        compile_seconds=end.compile_seconds,
        run_seconds=end.run_seconds,
        family=family.name,
        discrete=family.discrete,
        levels=family.levels,
        moments=moments,
    )


def _estimates(found: Intervals) -> tuple[ParameterEstimate, ...]:
    return tuple(ParameterEstimate(row.name, row.estimate, row.se, row.lower, row.upper) for row in found.rows)


def _numbers(estimate: Fit, found: Intervals | None) -> dict[str, float]:
    n_parameters = estimate.mixture.n_parameters(len(estimate.feature_names))
    numbers = {
        "log_likelihood": estimate.log_likelihood,
        "bic": -2.0 * estimate.log_likelihood + n_parameters * math.log(estimate.n_samples),
        "n_iter": float(estimate.n_iter),
        "n_evaluations": float(estimate.n_evaluations),
        "n_optima": float(len(estimate.optima)),
        "spurious": float(estimate.optima[0].spurious),
    }
    if found is not None:
        # Coverage is that of the intervals there are; how many there are belongs beside it.
        numbers["intervals_withheld"] = float(found.status.withheld)
        numbers["intervals_rough"] = float(found.status is IntervalStatus.ROUGH)
    return numbers
