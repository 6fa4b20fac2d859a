"""What the prior has to do with a verdict: EM as it was given, and EM under the posterior's own prior, side by side."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from emjax import align
from emjax.bayes.posterior import Posterior
from emjax.metrics.side import ParameterRow
from emjax.result import Fit, Status
from emjax.shown import Shown
from emjax.uncertainty.results import Intervals, IntervalStatus
from emjax.verdict import EM_IS_ENOUGH, Judgement, Verdict


@dataclasses.dataclass(frozen=True, repr=False)
class Side(Shown):
    """One estimate beside the posterior."""

    fit: Fit
    intervals: Intervals
    rows: tuple[ParameterRow, ...]
    invariants: dict[str, Any]
    judgement: Judgement


def same_prior(fit: Fit, posterior: Posterior) -> bool:
    """Whether the fit is EM under the posterior's own prior."""
    ours, theirs = (each.mixture.resolved_prior(fit.samples) for each in (fit, posterior))
    if ours is None or theirs is None:
        return ours is theirs
    if jax.tree.structure(ours) != jax.tree.structure(theirs):  # type: ignore[operator]
        return False  # other laws, or laws of other parameters
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    return all(np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-9, atol=0.0) for a, b in pairs)


def prior_decides(sides: Mapping[str, Side]) -> bool:
    """Whether EM fails with the prior that it had, and passes with the posterior's."""
    if "map" not in sides or sides["map"].judgement.verdict not in EM_IS_ENOUGH:
        return False
    fit, verdict = sides["em"].fit, sides["em"].judgement.verdict
    return verdict is Verdict.MCMC_NEEDED or fit.status is Status.DEGENERATE


def prior_effect(given: Side, posterior: Posterior) -> dict[str, Any] | None:
    """What the prior moves most, beside what is left to the posterior mean, in posterior standard deviations."""
    if not posterior.converged or not posterior.alignment.trust >= align.TRUST_LOW:
        return None
    rows = [row for row in given.rows if row.sd > 0 and math.isfinite(row.em)]
    if not rows:
        return None
    most = max(rows, key=lambda row: abs(row.em - row.map) / row.sd)
    return {
        "parameter": most.name,
        "em_to_map": abs(most.em - most.map) / most.sd,
        "map_to_posterior": abs(most.map - most.mean) / most.sd,
    }


def prior_reasons(
    sides: Mapping[str, Side], judged: str, effect: Mapping[str, Any] | None, posterior: Posterior
) -> list[str]:
    """The reasons of the verdict, with what the prior has to do with it."""
    given = sides["em"]
    reasons = given.judgement.reasons
    if judged != "map" and given.fit.mixture.prior is not None:
        whose = "a prior of its own" if "map" in sides else "the posterior's prior"
        return [*reasons, f"EM was run with {whose} (MAP), so its estimates already contain a prior's effect."]
    if judged == "map":
        name = "maximum likelihood" if given.fit.mixture.prior is None else "EM under its own prior"
        return [
            f"The prior, not the algorithm: {name} is not near the posterior, and EM under the posterior's own prior "
            "(MAP) is. Estimates and intervals here are those of the MAP.",
            _failed(given, name),
            _ask_for_map(posterior),
            *sides["map"].judgement.reasons,
            *_moved(effect, name),
        ]
    if not posterior.alignment.trust >= align.TRUST_LOW:
        why = "because the labels are not identified"
        return [*reasons, f"The prior's effect cannot be told component by component, {why}."]
    verdicts = {side.judgement.verdict for side in sides.values()}
    also = ["EM under the posterior's own prior (MAP) needs MCMC too: it is not the prior alone."]
    return [*reasons, _shift(given, effect), *(also if "map" in sides and verdicts == {Verdict.MCMC_NEEDED} else [])]


def _failed(side: Side, name: str) -> str:
    reason = side.judgement.reasons[0].removeprefix("EM cannot be trusted: ")
    return f"Of {name}: {reason}"


def _moved(effect: Mapping[str, Any] | None, name: str) -> list[str]:
    if effect is None:
        return []
    return [
        f"The prior by itself moves {effect['parameter']} by {effect['em_to_map']:.2f} posterior sd (from {name} to "
        f"the MAP), the most of all; from there to the posterior mean it is {effect['map_to_posterior']:.2f} sd."
    ]


def _shift(given: Side, effect: Mapping[str, Any] | None) -> str:
    # In EM's standard errors, which stand whether or not the posterior can be trusted; those of an estimate on the edge
    # of what is possible are next to nothing, and rough.
    moved = [(abs(row.map - row.em) / row.se, row.name) for row in given.rows if row.se > 0]
    if not moved or given.intervals.status is not IntervalStatus.OK:
        if effect is not None:
            return _moved(effect, "EM's estimate")[0]
        return "The prior's effect on EM's estimate cannot be measured without standard errors that hold."
    shift, name = worst(moved)
    said = f"The prior by itself moves EM's estimate by {shift:.2f} standard errors at most, {name}"
    if effect is None:
        return f"{said}."
    return (
        f"{said}; in posterior sd it is {effect['em_to_map']:.2f} for {effect['parameter']}, and from there to the "
        f"posterior mean {effect['map_to_posterior']:.2f}."
    )


def _ask_for_map(posterior: Posterior) -> str:
    default = dataclasses.replace(posterior.map_fit, mixture=dataclasses.replace(posterior.mixture, prior="default"))
    if same_prior(default, posterior):
        how = "emjax.fit(Mixture(..., prior='default'), x), or --prior default on the command line"
    else:
        how = "emjax.fit with prior=posterior.mixture.prior, or the run's own model.prior"
    return f"What helps: fit with the prior: {how}."


def worst(values: list[tuple[float, str]]) -> tuple[float, str]:
    """The largest value with its name; a NaN is larger than any."""
    return max(values, key=lambda pair: (math.isnan(pair[0]), pair[0]))
