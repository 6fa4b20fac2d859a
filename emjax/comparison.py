"""`compare`: EM and the posterior of one mixture on one data set, side by side, with a verdict."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from emjax.atomic import write_atomically
from emjax.bayes.loo import psis_loo
from emjax.bayes.posterior import Posterior, mean_log_density
from emjax.bayes.visits import PosteriorModes
from emjax.bounds import flag, share, written
from emjax.catalogue import OF_COMPARISONS
from emjax.errors import ConfigError
from emjax.files import user_path
from emjax.jsonable import to_json, to_jsonable
from emjax.keys import KeyLike, as_key, kept_key
from emjax.metrics.cost import Cost
from emjax.metrics.diagnostics import diagnostics_of
from emjax.metrics.partition import subset_rows
from emjax.metrics.prior import Side, prior_decides, prior_effect, prior_reasons, same_prior, worst
from emjax.metrics.side import (
    INTEGRATION_POINTS,
    PARTITION_DRAWS,
    PREDICTIVE_DRAWS,
    ParameterRow,
    invariants_of,
    rows_of,
)
from emjax.metrics.side import one_point_each as _one_point_each
from emjax.metrics.side import responsibilities as _responsibilities
from emjax.progress import both, progress_line
from emjax.result import Fit
from emjax.samples import Samples, as_samples_like
from emjax.scope import computing
from emjax.shown import Card, Pictured
from emjax.storage import Stored
from emjax.uncertainty.numbering import numbered_as, told_apart
from emjax.uncertainty.results import Intervals, IntervalStatus
from emjax.verdict import (
    DEFAULT_THRESHOLDS,
    Evidence,
    Judgement,
    Thresholds,
    Verdict,
    judge,
    sentence_of,
)

if TYPE_CHECKING:
    import pandas as pd

_CARD_REASONS = 4
"""Reasons that a notebook shows, the decisive ones first."""

BUILT_AHEAD = 20_000
"""The most rows for which programs are built, and so run once, beside the sampler."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Comparison(Stored, Pictured):
    """EM against the posterior.

    Attributes
    ----------
    verdict
        ``em_sufficient``, ``em_with_intervals``, ``mcmc_needed`` or ``inconclusive``; a string.
    judged
        ``"em"``: the verdict is on the fit that was given; ``"map"``: on EM under the posterior's own prior, which is
        near the posterior where the fit given is not. It is then the prior that differs, not the algorithm, and
        ``fit``, ``intervals``, ``rows`` and ``invariants`` are those of the MAP fit.
    judgements
        The `Judgement` of each: ``"em"``, and ``"map"`` where the fit had another prior than the posterior, or none.
    given
        The fit that was given, with its components in the posterior's order; the same as ``fit`` unless ``judged`` is
        ``"map"``.
    prior_effect
        What the prior moves most: ``parameter``, ``em_to_map`` and ``map_to_posterior``, in posterior standard
        deviations; None where there is nothing to tell apart, or no labels to tell it by.
    reasons
        Why, in sentences, the decisive ones first.
    rows, table
        One `ParameterRow` per number, as a tuple and as a pandas data frame.
    invariants
        Quantities that labels do not touch: ``total_variation`` with its Monte-Carlo error, ``co_clustering``,
        in-sample ``log_score`` of both, ``elpd_loo`` (PSIS-LOO; None where it was left out) and ``bic``.
    diagnostics
        Statuses of both sides, the alignment's trust, optima and modes, what ``method="auto"`` decided, R-hat,
        effective sample sizes, divergences, E-BFMI. ``diagnostics["em"]["judgement"]`` holds ``judged``, ``sentence``,
        ``prior_effect`` and, under ``of``, the verdict, rules and reasons of each estimate that was judged.
    cost
        Compile and run seconds of EM and of MCMC, and MCMC's method.
    level, thresholds
        Level of all intervals, and the limits that the verdict was drawn with.
    fit, posterior, intervals
        What was compared; ``fit`` with its components in the posterior's order.
    key
        The random key of the points at which densities were compared: the one that was given, or a number
        that was drawn because none was. ``emjax.compare(..., key=comparison.key)`` gives the same comparison.
    intervals_of
        The intervals of each estimate in ``judgements``.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    rows: tuple[ParameterRow, ...]
    invariants: dict[str, Any]
    diagnostics: dict[str, Any]
    cost: dict[str, Any]
    level: float
    thresholds: Thresholds
    fit: Fit
    posterior: Posterior
    intervals: Intervals
    judged: str = "em"
    judgements: Mapping[str, Judgement] = dataclasses.field(default_factory=dict)
    prior_effect: Mapping[str, Any] | None = None
    given: Any = None
    key: Any = None
    intervals_of: Mapping[str, Intervals] = dataclasses.field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, which names what differs and what helps."""
        found = self.judgements.get(self.judged)
        return sentence_of(self.verdict, found.rules if found else (), judged=self.judged)

    @property
    def table(self) -> pd.DataFrame:
        """The rows as a pandas data frame."""
        import pandas as pd

        return pd.DataFrame([dataclasses.asdict(row) for row in self.rows])

    def to_dict(self) -> dict[str, Any]:
        """The content of ``comparison.json``: plain numbers and strings, NaN and infinity as ``None``."""
        content = {
            "verdict": self.verdict.value,
            "reasons": list(self.reasons),
            "parameters": [dataclasses.asdict(row) for row in self.rows],
            "invariants": self.invariants,
            "diagnostics": self.diagnostics,
            "cost": self.cost,
            "level": self.level,
        }
        return to_jsonable(content)

    def to_json(self, path: str | os.PathLike[str]) -> Path:
        """Write `to_dict` as JSON and return the path. Raises ConfigError where the file cannot be written."""
        target = user_path(path)
        write_atomically(target, to_json(self.to_dict()) + "\n", "")
        return target

    def to_html(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write the report, one self-contained page, and return the path; see `emjax.report`."""
        from emjax.report import write_report

        return write_report(self, path, **options)

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "verdict", self.verdict
        yield "judged", self.judged
        yield "mixture", self.fit.mixture.likelihood
        yield "n_samples", self.fit.n_samples
        yield "em", self.fit.status
        yield "posterior", self.posterior.status
        yield "label_trust", self.posterior.alignment.trust
        yield "rows", self.rows

    def _card(self) -> Card:
        from emjax.report import alerts, tables

        found = alerts.alerts_of(self)
        if any(alert.about == "labels" for alert in found):
            table = tables.invariant_table(self.invariants, trusted=self.posterior.usable)
        else:
            table = tables.of_comparison(self)
        said = [f"{alert.title}: {alert.text}" for alert in found]
        return Card(self.sentence, said, self.reasons[:_CARD_REASONS], table.brief, rest="see .table")


def compare(
    fit: Fit,
    posterior: Posterior,
    x: Any,
    *,
    level: float = 0.9,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
    key: KeyLike = None,
    loo: bool = True,
    progress: bool = False,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Comparison:
    """Compare an EM fit with a posterior of the same mixture on the same data.

    Parameters
    ----------
    fit
        What `emjax.fit` returned: maximum likelihood, or MAP.
    posterior
        What `emjax.sample` returned for the same family, number of components and data.
    x
        The data.
    level
        Level of the intervals, 0.9 by default.
    thresholds
        When each verdict is given; see `emjax.verdict`.
    key
        A whole number or a JAX random key, for the points at which densities are compared. Left out, a number is
        drawn, and ``Comparison.key`` keeps it.
    loo
        Whether PSIS-LOO is computed, about a millisecond per datum; of more than 20,000 data it is estimated from
        2000 of them. The verdict does not need it.
    progress
        Show a line that says what is compared, on the terminal or in a notebook; see `emjax.progress`.
    on_progress
        Called with what is computed next, and how many parts of how many are done.

    Raises
    ------
    ValueError
        If the two are of different mixtures or data, or ``level`` is not in (0, 1).
    """
    _check_kinds(fit=(fit, Fit), posterior=(posterior, Posterior), thresholds=(thresholds, Thresholds))
    share("level", level)
    flag("loo", loo)
    flag("progress", progress)
    key = kept_key("emjax.compare", key)
    samples = fit.samples_of(x)
    as_samples_like(samples, posterior.map_fit.feature_names, of="the posterior")
    _check_same(fit, posterior, samples)
    with_map = _has_another_map(fit, posterior)
    with progress_line(progress, "comparison") as line, computing():
        tell = _counted(2 * (1 + with_map) + loo, both(line, on_progress, _parts_in_words))
        judge_of = functools.partial(_side, posterior, level, thresholds, as_key(key), tell)
        sides = {"em": judge_of(_aligned(fit, posterior))}
        if with_map:
            sides["map"] = judge_of(posterior.map_fit)
        elpd = _loo(posterior, tell) if loo else None
    judged = "map" if prior_decides(sides) else "em"
    effect = prior_effect(sides["em"], posterior)
    side = sides[judged]
    return Comparison(
        verdict=side.judgement.verdict,
        reasons=tuple(prior_reasons(sides, judged, effect, posterior)),
        rows=side.rows,
        invariants={**side.invariants, "elpd_loo": elpd},
        diagnostics=_with_judgements(diagnostics_of(side.fit, posterior, side.intervals), sides, judged, effect),
        cost=_cost(fit, posterior),
        level=level,
        thresholds=thresholds,
        fit=side.fit,
        posterior=posterior,
        intervals=side.intervals,
        judged=judged,
        judgements={name: one.judgement for name, one in sides.items()},
        given=sides["em"].fit,
        intervals_of={name: one.intervals for name, one in sides.items()},
        prior_effect=effect,
        key=key,
    )


def _has_another_map(fit: Fit, posterior: Posterior) -> bool:
    """Whether the MAP under the posterior's prior is there and not the fit that was given.

    Concentrations below 1 may have no MAP, and the one under others says nothing of this prior.
    """
    return not same_prior(fit, posterior) and same_prior(posterior.map_fit, posterior)


def _loo(posterior: Posterior, tell: Callable[[str], None]) -> dict[str, Any] | None:
    tell("PSIS-LOO")
    return psis_loo(posterior)


def _check_kinds(**given: tuple[Any, type]) -> None:
    for name, (value, kind) in given.items():
        if not isinstance(value, kind):
            raise ConfigError(f"{name} = {written(value)} is not allowed; give a {kind.__name__}")


def _counted(total: int, on_progress: Callable[[str, int, int], None] | None) -> Callable[[str], None]:
    """Tell of each part that begins how many of all are done."""
    done = itertools.count()

    def tell(what: str) -> None:
        n_done = next(done)
        if on_progress is not None:
            on_progress(what, n_done, total)

    return tell


def _parts_in_words(what: str, done: int, total: int) -> str:
    return f"{what}, {done} of {total} parts done"


def _side(
    posterior: Posterior,
    level: float,
    thresholds: Thresholds,
    key: jax.Array,
    tell: Callable[[str], None],
    fit: Fit,
) -> Side:
    tell("intervals")
    em = fit.intervals(level, OF_COMPARISONS)
    rows = rows_of(fit, posterior, em, level)
    apart = thresholds.sufficient.co_clustering
    tell("what labels do not touch")
    invariants = invariants_of(fit, posterior, key, apart)
    return Side(fit, em, rows, invariants, judge(_evidence(fit, posterior, em, rows, invariants, level), thresholds))


def _with_judgements(
    found: dict[str, Any], sides: Mapping[str, Side], judged: str, effect: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The diagnostics, with what was said of each estimate among those of EM."""
    chosen = sides[judged].judgement
    judgement = {
        "judged": judged,
        "sentence": sentence_of(chosen.verdict, chosen.rules, judged=judged),
        "prior_effect": effect,
        "of": {
            name: {
                "verdict": side.judgement.verdict.value,
                "rules": list(side.judgement.rules),
                "reasons": list(side.judgement.reasons),
            }
            for name, side in sides.items()
        },
    }
    return {**found, "em": {**found["em"], "judgement": judgement}}


def build_ahead(fit: Fit, level: float = 0.9) -> None:
    """Build the programs that `compare` will need, so that it finds them built; made to run beside the sampler.

    What EM knows is enough for that: the estimate stands in for the draws, whose number does not matter where there
    are at least 1000, and for the MAP. The result is nothing; what fails here fails in `compare`, where it is heard.
    Of more than `BUILT_AHEAD` rows nothing is built: to run the programs then takes longer than to build them.
    """
    if fit.n_samples > BUILT_AHEAD or fit.mixture.family.one_thread:
        return
    stacked = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (PREDICTIVE_DRAWS, *np.shape(leaf))), fit.params)
    values, likelihood = fit.data, fit.mixture.likelihood
    with computing():
        under_prior = dataclasses.replace(fit, mixture=dataclasses.replace(fit.mixture, prior="default"))
        for each in (fit, under_prior):
            each.intervals(level, OF_COMPARISONS)
        one = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (INTEGRATION_POINTS, *np.shape(leaf))), fit.params)
        points = np.asarray(_one_point_each(likelihood, one, jax.random.split(jax.random.key(0), INTEGRATION_POINTS)))
        fit.score_samples(Samples(points, fit.feature_names))
        mean_log_density(likelihood, stacked, np.concatenate([points, values]))
        draws = jax.tree.map(lambda leaf: leaf[:PARTITION_DRAWS], stacked)
        _responsibilities(likelihood, draws, fit.samples.take(subset_rows(fit.n_samples)))


def _check_same(fit: Fit, posterior: Posterior, samples: Samples) -> None:
    ours, theirs = fit.mixture.likelihood, posterior.mixture.likelihood
    if ours != theirs:
        raise ValueError(f"fit is of {ours}, posterior of {theirs}: compare the same mixture")
    for name, other in (("fit", fit), ("posterior", posterior.map_fit)):
        data = np.asarray(other.data)  # what was saved without data says so here; NumPy would call it unequal
        if not np.array_equal(data, samples.values, equal_nan=True):
            raise ValueError(f"x is not the data that {name} was made from")
    if not fit.samples.same_as(posterior.map_fit.samples):
        raise ValueError("fit and posterior were made with different weights or labels: give both the same")


def _aligned(fit: Fit, posterior: Posterior) -> Fit:
    """The fit with its components in the order of the posterior's, unless the labels of both mean something already."""
    if told_apart(fit) and not posterior.alignment.needed:
        return fit
    return dataclasses.replace(fit, params=numbered_as(posterior.map_fit, fit.params))


def _evidence(
    fit: Fit,
    posterior: Posterior,
    em: Intervals,
    rows: Sequence[ParameterRow],
    invariants: dict[str, Any],
    level: float,
) -> Evidence:
    return Evidence(
        em_problem="" if fit.converged else f"EM cannot be trusted: {fit.message}",
        posterior_problem="" if posterior.converged else f"The posterior cannot be trusted: {posterior.message}",
        interval_problem=em.message if em.status.withheld else "",
        interval_doubt=em.message if em.status is IntervalStatus.ROUGH else "",
        rows_apart=(invariants["co_clustering"]["n_rows_apart"], invariants["co_clustering"]["n_rows"]),
        trust=posterior.alignment.trust,
        gap_to_rival=fit.gap_to_rival,
        second_mode=_second_mode(posterior.modes),
        total_variation=invariants["total_variation"]["value"],
        co_clustering=invariants["co_clustering"]["mean_difference"],
        worst={
            "difference_in_sd": worst([(abs(row.difference_in_sd), row.name) for row in rows]),
            "mass_deficit": worst([(level - row.mass_in_em_interval, row.name) for row in rows]),
            "log_width_ratio": worst(
                [(abs(math.log(row.width_ratio)) if row.width_ratio > 0 else math.nan, row.name) for row in rows]
            ),
        },
    )


def _second_mode(modes: PosteriorModes) -> float:
    """The second largest share of the posterior that a mode holds, by importance sampling; by the draws that lie there
    where the importance weights cannot be believed."""
    shares = sorted(mode.mass if modes.believable or math.isnan(mode.visited) else mode.visited for mode in modes.modes)
    return shares[-2] if len(shares) > 1 else 0.0


def _cost(fit: Fit, posterior: Posterior) -> dict[str, Any]:
    smallest = min(posterior.diagnostics.min_ess_bulk, posterior.diagnostics.min_ess_tail)
    em = Cost(fit.compile_seconds, fit.run_seconds, fit.compile_seconds + fit.run_seconds)
    mcmc = Cost(
        posterior.compile_seconds,
        posterior.run_seconds,
        posterior.compile_seconds + posterior.run_seconds,
        smallest,
    )
    return {"em": em.to_dict(), "mcmc": {"method": posterior.method, **mcmc.to_dict()}}
