"""``em`` and ``map``: maximum likelihood and the posterior mode by EM, all replicates of a job at once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from emjax.clock import stopwatch
from emjax.em.fit import fit as fit_by_em
from emjax.em.many import fit_many
from emjax.experiments.config.mixtures import mixture_of
from emjax.experiments.work.methods.budgets import em_iterations, evaluations_of
from emjax.experiments.work.methods.shared import (
    FAILURES,
    check_deadline,
    failed,
    fit_arguments,
    is_exchangeable,
    of_columns,
    point_estimates,
    random_key,
    with_prior_of,
)
from emjax.experiments.work.outcome import Outcome, ParameterEstimate, Replicate
from emjax.result import Fit
from emjax.scope import computing
from emjax.uncertainty.choice import chosen
from emjax.uncertainty.levels import at_level
from emjax.uncertainty.many import intervals_many
from emjax.uncertainty.resampling import SCHEMES
from emjax.uncertainty.results import Intervals, IntervalStatus


def outcomes(
    spec: Mapping[str, Any], replicates: Sequence[Replicate], *, deadline: float | None = None
) -> Iterator[Outcome]:
    """The outcome of EM on each replicate: one batch, before which the deadline is looked at."""
    check_deadline(deadline, 0, len(replicates))
    method = spec["method"]
    max_iter = em_iterations(method)
    with stopwatch() as clock:
        fits = _fits(spec, replicates, max_iter)
        good = [fit for fit in fits if isinstance(fit, Fit)]
        wanted = method["intervals"] != "none"
        every = [None] * len(good) if not wanted else _intervals(spec, good)
        intervals = iter(every)
    budget = {} if evaluations_of(method) is None else {"max_iter": float(max_iter)}
    for fit, replicate in zip(fits, replicates, strict=True):
        if isinstance(fit, Exception):
            yield failed(fit)
            continue
        interval = next(intervals)
        outcome = _outcome(
            fit, interval if isinstance(interval, Intervals) else None, replicate, spec.get("levels", ())
        )
        yield dataclasses.replace(
            outcome,
            numbers={**outcome.numbers, **budget},
            # What the batch took is shared out evenly.
            compile_seconds=clock.compile_seconds / len(replicates),
            run_seconds=clock.run_seconds / len(replicates),
        )


def _fits(spec: Mapping[str, Any], replicates: Sequence[Replicate], max_iter: int) -> list[Fit | Exception]:
    """The fit of each replicate, or what it failed with: one compiled program for all of them."""
    method = spec["method"]
    mixture = mixture_of(spec["model"], with_prior=method["kind"] == "map")
    if "program" in spec["model"]:
        return [_fit_of_program(spec, mixture, replicate, max_iter) for replicate in replicates]
    found: dict[int, Fit | Exception] = {}
    priors: dict[int, Any] = {}
    for place, replicate in enumerate(replicates):
        try:
            scaled = mixture if mixture.prior is None else with_prior_of(spec, mixture, replicate.data)
            priors[place] = scaled.prior
        except FAILURES as error:
            found[place] = error
    fits = fit_many(
        mixture,
        [replicates[place].data for place in priors],
        keys=[random_key(spec, replicates[place].number) for place in priors],
        priors=list(priors.values()),
        **{**fit_arguments(method), "max_iter": max_iter},
    )
    found.update(zip(priors, fits, strict=True))
    return [found[place] for place in range(len(replicates))]


def _fit_of_program(spec: Mapping[str, Any], program: Any, replicate: Replicate, max_iter: int) -> Fit | Exception:
    """The fit of a program to one replicate: what it is depends on the data, so that no two share a batch."""
    settings = {**fit_arguments(spec["method"]), "max_iter": max_iter}
    try:
        return fit_by_em(program, replicate.data, key=random_key(spec, replicate.number), **settings)
    except FAILURES as error:
        return error


def _intervals(spec: Mapping[str, Any], fits: Sequence[Fit]) -> list[Any]:
    method, level = spec["method"]["intervals"], spec["level"]
    if method in ("auto", "information") and "program" not in spec["model"]:
        known: list[Any] = list(intervals_many(fits, level=level))
        return (
            known
            if method == "information"
            else [chosen(fit, level, known=each) for fit, each in zip(fits, known, strict=True)]
        )
    # Each data set has random numbers of its own.
    resamples = spec["method"]["resamples"] if method in SCHEMES else None
    settings = {"level": level, "method": method, "n_replicates": resamples}
    return [fit.intervals(**settings, key=fit.key) for fit in fits]


def _outcome(estimate: Fit, found: Intervals | None, replicate: Replicate, levels: Sequence[float]) -> Outcome:
    family = estimate.mixture.family
    with computing():
        named = {name: np.asarray(value) for name, value in estimate.mixture.named_parameters(estimate.params).items()}
        moments = None if family.own_axes else family.moments(estimate.params)
    message, parameters = (
        estimate.message,
        point_estimates(named, estimate.feature_names, family.levels, family.own_axes),
    )
    if found is not None:
        message += "" if found.status is IntervalStatus.OK else f" {found.message}"
        lower = [at_level(found, level) for level in levels]
        parameters = tuple(
            ParameterEstimate(
                *(row.name, row.estimate, row.se, row.lower, row.upper),
                tuple((one.level, one.rows[place].lower, one.rows[place].upper) for one in lower),
            )
            for place, row in enumerate(found.rows)
        )
    return Outcome(
        status=estimate.status.value,
        message=message,
        trusted=estimate.converged,
        named=named,
        parameters=parameters,
        log_density=of_columns(estimate.score_samples, estimate.mixture, replicate.data),
        responsibilities=of_columns(estimate.predict_proba, estimate.mixture, replicate.data),
        numbers=_numbers(estimate, found),
        family=family.name,
        discrete=family.discrete,
        levels=family.levels,
        moments=moments,
        own_axes=family.own_axes,
        exchangeable=is_exchangeable(estimate.mixture),
    )


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
