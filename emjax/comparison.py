"""`compare`: EM and the posterior of one mixture on one data set, side by side, with a verdict."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from emjax import align
from emjax.bayes.laplace import GOOD_PARETO_K
from emjax.bayes.loo import psis_loo
from emjax.bayes.posterior import Posterior, mean_log_density
from emjax.bayes.visits import PosteriorModes
from emjax.jsonable import to_json, to_jsonable
from emjax.metrics.cost import Cost
from emjax.metrics.parameter import difference_in_sd, equal_tailed, mass_inside, width_ratio
from emjax.metrics.partition import co_clustering, co_clustering_difference, mean_co_clustering, subset_rows
from emjax.metrics.predictive import log_score, total_variation
from emjax.mixture import Mixture, MixtureParams
from emjax.naming import scalar_parameters
from emjax.result import Fit, Status
from emjax.samples import as_samples
from emjax.uncertainty import Intervals
from emjax.verdict import DEFAULT_THRESHOLDS, Evidence, Thresholds, Verdict, decide

if TYPE_CHECKING:
    import pandas as pd

_INTEGRATION_POINTS = 6000
_PREDICTIVE_DRAWS = 1000
_PARTITION_DRAWS = 400


@dataclasses.dataclass(frozen=True)
class ParameterRow:
    """One number of the mixture as both sides see it.

    Attributes
    ----------
    name
        Such as ``mean[0, eruptions]``.
    em, se, em_lower, em_upper
        EM's estimate, standard error and interval.
    map
        EM's estimate under the sampler's prior: what separates the prior's effect from the algorithm's.
    mean, sd, lower, upper
        Posterior mean, standard deviation and equal-tailed interval.
    difference_in_sd
        ``(em - mean) / sd``.
    width_ratio
        Width of EM's interval over the posterior's.
    mass_in_em_interval
        Posterior mass inside EM's interval; ``level`` if they agree.
    """

    name: str
    em: float
    se: float
    em_lower: float
    em_upper: float
    map: float
    mean: float
    sd: float
    lower: float
    upper: float
    difference_in_sd: float
    width_ratio: float
    mass_in_em_interval: float


@dataclasses.dataclass(frozen=True)
class Comparison:
    """EM against the posterior.

    Attributes
    ----------
    verdict
        ``em_sufficient``, ``em_with_intervals``, ``mcmc_needed`` or ``inconclusive``; a string.
    reasons
        Why, in sentences, the decisive ones first.
    rows, table
        One `ParameterRow` per number, as a tuple and as a pandas data frame.
    invariants
        Quantities that labels do not touch: ``total_variation`` with its Monte-Carlo error, ``co_clustering``,
        in-sample ``log_score`` of both, ``elpd_loo`` (PSIS-LOO; None where it was left out) and ``bic``.
    diagnostics
        Statuses of both sides, the alignment's trust, optima and modes, what ``method="auto"`` decided, R-hat,
        effective sample sizes, divergences, E-BFMI.
    cost
        Compile and run seconds of EM and of MCMC, and MCMC's method.
    level, thresholds
        Level of all intervals, and the limits that the verdict was drawn with.
    fit, posterior, intervals
        What was compared; ``fit`` with its components in the posterior's order.
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
        """Write `to_dict` as JSON and return the path."""
        target = Path(path)
        target.write_text(to_json(self.to_dict()) + "\n", encoding="utf-8")
        return target

    def to_html(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write the report, one self-contained page, and return the path; see `emjax.experiments.report`."""
        from emjax.experiments.report import write_report

        return write_report(self, path, **options)

    def _repr_html_(self) -> str:
        from emjax.experiments.report.notebook import html_of

        return html_of(self)


def compare(
    fit: Fit,
    posterior: Posterior,
    x: Any,
    *,
    level: float = 0.9,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
    key: jax.Array | None = None,
    loo: bool = True,
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
        For the points at which densities are compared; a fixed key by default.
    loo
        Whether PSIS-LOO is computed, about a millisecond per datum. The verdict does not need it.

    Raises
    ------
    ValueError
        If the two are of different mixtures or data, or ``level`` is not in (0, 1).
    """
    samples = as_samples(x)
    _check_same(fit, posterior, samples.values)
    with jax.enable_x64(True):
        fit = _aligned(fit, posterior, samples.values)
        em = fit.intervals(level=level, method="information")
        rows = _rows(fit, posterior, em, level)
        invariants = _invariants(fit, posterior, samples.values, jax.random.key(0) if key is None else key, loo)
    verdict, reasons = decide(_evidence(fit, posterior, em, rows, invariants, level), thresholds)
    return Comparison(
        verdict=verdict,
        reasons=(*reasons, _prior_sentence(fit, posterior, rows)),
        rows=rows,
        invariants=invariants,
        diagnostics=_diagnostics(fit, posterior, em),
        cost=_cost(fit, posterior),
        level=level,
        thresholds=thresholds,
        fit=fit,
        posterior=posterior,
        intervals=em,
    )


def build_ahead(fit: Fit, level: float = 0.9) -> None:
    """Build the programs that `compare` will need, so that it finds them built; made to run beside the sampler.

    What EM knows is enough for that: the estimate stands in for the draws, whose number does not matter where there
    are at least 1000, and for the MAP. The result is nothing; what fails here fails in `compare`, where it is heard.
    """
    samples = as_samples(fit.data)
    stacked = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (_PREDICTIVE_DRAWS, *np.shape(leaf))), fit.params)
    values, likelihood = samples.values, fit.mixture.likelihood
    with jax.enable_x64(True):
        fit.intervals(level=level)
        dataclasses.replace(fit, mixture=dataclasses.replace(fit.mixture, prior="default")).intervals(level=level)
        one = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (_INTEGRATION_POINTS, *np.shape(leaf))), fit.params)
        points = np.asarray(_one_point_each(likelihood, one, jax.random.split(jax.random.key(0), _INTEGRATION_POINTS)))
        fit.log_prob(points)
        mean_log_density(likelihood, stacked, np.concatenate([points, values]))
        draws = jax.tree.map(lambda leaf: leaf[:_PARTITION_DRAWS], stacked)
        _responsibilities(likelihood, draws, values[subset_rows(len(values))])


def _check_same(fit: Fit, posterior: Posterior, values: np.ndarray) -> None:
    ours, theirs = fit.mixture.likelihood, posterior.mixture.likelihood
    if ours != theirs:
        raise ValueError(f"fit is of {ours}, posterior of {theirs}: compare the same mixture")
    for name, other in (("fit", fit.data), ("posterior", posterior.map_fit.data)):
        if other.shape != values.shape or not np.array_equal(other, values):
            raise ValueError(f"x is not the data that {name} was made from")


def _aligned(fit: Fit, posterior: Posterior, values: np.ndarray) -> Fit:
    """The fit with its components in the order of the posterior's labels."""
    reference = posterior.map_fit.responsibilities(values).T
    order = align.classification(fit.responsibilities(values).T[None], reference)[0]
    return dataclasses.replace(fit, params=jax.tree.map(np.asarray, fit.mixture.permute(fit.params, order)))


def _rows(fit: Fit, posterior: Posterior, em: Intervals, level: float) -> tuple[ParameterRow, ...]:
    named = fit.mixture.named_parameters(fit.params)
    map_named = fit.mixture.named_parameters(posterior.map_fit.params)
    drawn = posterior.tree["posterior"].to_dataset()
    rows = []
    for parameter, interval in zip(scalar_parameters(named, fit.feature_names), em.rows, strict=True):
        values = drawn[parameter.variable].values[parameter.place].ravel()
        mean, sd = float(values.mean()), float(values.std(ddof=1))
        lower, upper = equal_tailed(values, level)
        rows.append(
            ParameterRow(
                name=parameter.name,
                em=interval.estimate,
                se=interval.se,
                em_lower=interval.lower,
                em_upper=interval.upper,
                map=float(np.asarray(map_named[parameter.variable])[parameter.index]),
                mean=mean,
                sd=sd,
                lower=float(lower),
                upper=float(upper),
                difference_in_sd=float(difference_in_sd(interval.estimate, mean, sd)),
                width_ratio=float(width_ratio(interval.lower, interval.upper, lower, upper)),
                mass_in_em_interval=float(mass_inside(values, interval.lower, interval.upper)),
            )
        )
    return tuple(rows)


def _invariants(fit: Fit, posterior: Posterior, values: np.ndarray, key: jax.Array, loo: bool) -> dict[str, Any]:
    points = _points(fit, posterior, key)
    # One call for points and data: every further shape is a program to build.
    predictive = posterior.log_predictive(np.concatenate([points, values]), _PREDICTIVE_DRAWS)
    distance = total_variation(fit.log_prob(points), predictive[: len(points)])
    pairs = _co_clustering(fit, posterior, values)
    em_score, posterior_score = log_score(fit.log_prob(values)), log_score(predictive[len(points) :])
    return {
        "total_variation": {"value": distance.value, "standard_error": distance.standard_error},
        "co_clustering": {
            "mean_difference": pairs.mean,
            "largest_difference": pairs.maximum,
            "n_rows": pairs.n_rows,
        },
        "log_score": {
            "em": em_score.value,
            "posterior_predictive": posterior_score.value,
            "difference": em_score.value - posterior_score.value,
        },
        "elpd_loo": psis_loo(posterior) if loo else None,
        "bic": fit.bic(values),
    }


def _points(fit: Fit, posterior: Posterior, key: jax.Array) -> np.ndarray:
    """Points drawn from EM's density and from the predictive one in equal parts, one from each of many draws that are
    evenly spaced over the chains."""
    half = _INTEGRATION_POINTS // 2
    rows = np.linspace(0, posterior.n_draws - 1, half).round().astype(int)

    def both(em: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        return np.concatenate([np.broadcast_to(em, (half, *np.shape(em))), drawn[rows]])

    params = jax.tree.map(both, fit.params, posterior.params)
    keys = jax.random.split(key, _INTEGRATION_POINTS)
    return np.asarray(_one_point_each(posterior.mixture.likelihood, params, keys))


@jax.jit(static_argnums=0)
def _one_point_each(mixture: Mixture, draws: MixtureParams, keys: jax.Array) -> jax.Array:
    return jax.vmap(lambda params, key: mixture.sample(params, key, 1)[0][0])(draws, keys)


def _co_clustering(fit: Fit, posterior: Posterior, values: np.ndarray) -> Any:
    rows = subset_rows(len(values))
    draws = posterior.thinned(_PARTITION_DRAWS)
    shares = _responsibilities(posterior.mixture.likelihood, draws, values[rows])
    return co_clustering_difference(
        co_clustering(fit.responsibilities(values[rows])), mean_co_clustering(np.asarray(shares))
    )


@jax.jit(static_argnums=0)
def _responsibilities(mixture: Mixture, draws: MixtureParams, x: jax.Array) -> jax.Array:
    return jax.lax.map(lambda params: mixture.responsibilities(params, x), draws)


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
        interval_problem="" if em.status.value == "ok" else em.status.message,
        trust=posterior.alignment.trust,
        gap_to_rival=_gap_to_rival(fit),
        second_mode=_second_mode(posterior.modes),
        total_variation=invariants["total_variation"]["value"],
        co_clustering=invariants["co_clustering"]["mean_difference"],
        worst={
            "difference_in_sd": _worst([(abs(row.difference_in_sd), row.name) for row in rows]),
            "mass_deficit": _worst([(level - row.mass_in_em_interval, row.name) for row in rows]),
            "log_width_ratio": _worst(
                [(abs(math.log(row.width_ratio)) if row.width_ratio > 0 else math.nan, row.name) for row in rows]
            ),
        },
    )


def _worst(values: list[tuple[float, str]]) -> tuple[float, str]:
    return max(values, key=lambda pair: (math.isnan(pair[0]), pair[0]))


def _gap_to_rival(fit: Fit) -> float:
    regular = [o.objective for o in fit.optima if o.status is Status.CONVERGED and not o.spurious]
    return fit.objective - max(regular[1:]) if len(regular) > 1 else math.inf


def _second_mode(modes: PosteriorModes) -> float:
    """The second largest share of the posterior that a mode holds, by importance sampling; by the draws that lie there
    where the importance weights cannot be believed."""
    by_weights = modes.pareto_k <= GOOD_PARETO_K
    shares = sorted(mode.mass if by_weights or math.isnan(mode.visited) else mode.visited for mode in modes.modes)
    return shares[-2] if len(shares) > 1 else 0.0


def _prior_sentence(fit: Fit, posterior: Posterior, rows: Sequence[ParameterRow]) -> str:
    if fit.mixture.prior is not None:
        return "EM was run with a prior (MAP), so its estimates already contain the prior's effect."
    if not posterior.alignment.trust >= align.TRUST_LOW:
        return "The prior's effect cannot be told component by component, because the labels are not identified."
    # In EM's standard errors, which stand whether or not the posterior can be trusted.
    moved = [(abs(row.map - row.em) / row.se, row.name) for row in rows if row.se > 0]
    if not moved:
        return "The prior's effect on EM's estimate cannot be measured without standard errors."
    shift, name = _worst(moved)
    return f"The prior by itself moves EM's estimate by {shift:.2f} standard errors at most, {name}."


def _diagnostics(fit: Fit, posterior: Posterior, em: Intervals) -> dict[str, Any]:
    found = posterior.diagnostics
    return {
        "em": {
            "status": fit.status.value,
            "message": fit.message,
            "n_iter": fit.n_iter,
            "log_likelihood": fit.log_likelihood,
            "rate": fit.rate,
            "space": fit.space,
            "optima": [
                {
                    "log_likelihood": optimum.log_likelihood,
                    "objective": optimum.objective,
                    "count": optimum.count,
                    "status": optimum.status.value,
                    "spurious": optimum.spurious,
                }
                for optimum in fit.optima
            ],
            "intervals": {
                "method": em.method,
                "status": em.status.value,
                "message": em.status.message,
                "space": em.space,
            },
        },
        "map": {
            "status": posterior.map_fit.status.value,
            "log_likelihood": posterior.map_fit.log_likelihood,
            "log_prior": posterior.map_fit.log_prior,
            "space": posterior.map_fit.space,
        },
        "posterior": {
            "status": posterior.status.value,
            "status_message": posterior.status.message,
            "message": posterior.message,
            "method": posterior.method,
            "prior": posterior.prior_note,
            "starts": posterior.starts_note,
            "n_chains": found.n_chains,
            "n_draws": found.n_draws,
            "max_rhat": found.max_rhat,
            "max_rhat_name": found.max_rhat_name,
            "min_ess_bulk": found.min_ess_bulk,
            "min_ess_bulk_name": found.min_ess_bulk_name,
            "min_ess_tail": found.min_ess_tail,
            "min_ess_tail_name": found.min_ess_tail_name,
            "n_divergent": found.n_divergent,
            "bfmi": list(found.bfmi),
            **mode_findings(posterior),
        },
        "alignment": {
            "method": posterior.alignment.method,
            "trust": posterior.alignment.trust,
            "agreement": posterior.alignment.agreement,
            "note": posterior.alignment.note,
        },
    }


def mode_findings(posterior: Posterior) -> dict[str, Any]:
    """What the modes of a posterior say, under the keys that ``comparison.json`` and ``posterior.json`` share.

    ``decision`` (sentences), ``n_modes``, ``pareto_k``, ``log_evidence`` (nats), and ``modes``: for each, the largest
    first, ``log_density``, ``laplace_mass``, ``mass``, ``visited`` (share of the draws), ``n_starts`` of EM, and
    ``n_empty``, the number of empty components where it is no mode but the region where these are empty.
    """
    modes = posterior.modes
    return {
        "decision": list(posterior.decision),
        "n_modes": modes.n_modes,
        "pareto_k": modes.pareto_k,
        "log_evidence": modes.log_evidence,
        "modes": [
            {
                "log_density": mode.log_density,
                "laplace_mass": mode.laplace_mass,
                "mass": mode.mass,
                "visited": mode.visited,
                "n_starts": mode.n_starts,
                "n_empty": mode.n_empty,
            }
            for mode in modes.modes
        ],
    }


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
