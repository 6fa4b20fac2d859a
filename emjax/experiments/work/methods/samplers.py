"""Samplers: posteriors, one replicate after the other.

Programs are compiled once per shape, so that from the second replicate on nothing is compiled.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from emjax.align import TRUST_LOW
from emjax.bayes.posterior import Posterior, mean_log_density, mean_responsibilities, thinning
from emjax.bayes.sample import sample
from emjax.bayes.tree import stored_draws
from emjax.catalogue import SAMPLERS
from emjax.comparison import compare
from emjax.em.fit import fit as fit_by_em
from emjax.experiments.config.mixtures import mixture_of
from emjax.experiments.work.methods.budgets import draws_by_evaluations, evaluations_of
from emjax.experiments.work.methods.shared import (
    FAILURES,
    is_exchangeable,
    of_columns,
    one_by_one,
    random_key,
    sample_arguments,
    with_prior_of,
)
from emjax.experiments.work.outcome import Outcome, ParameterEstimate, Replicate
from emjax.metrics.parameter import equal_tailed
from emjax.mixture import Mixture, MixtureParams
from emjax.scope import computing

OfRows = Callable[[np.ndarray], np.ndarray]

_PREDICTIVE_DRAWS = 1000
_RESPONSIBILITY_DRAWS = 400
_RANKED_DRAWS = 99

_PILOT_DRAWS = 50
_ATTEMPTS = 4
"""How often draws are cut where a pilot has promised too many."""


def outcomes(
    spec: Mapping[str, Any], replicates: Sequence[Replicate], *, deadline: float | None = None
) -> Iterator[Outcome]:
    """The outcome of a sampler on each replicate."""
    model = mixture_of(spec["model"], with_prior=True)
    yield from one_by_one(replicates, deadline, lambda replicate: _run(spec, model, replicate))


def _run(spec: Mapping[str, Any], model: Any, replicate: Replicate) -> Outcome:
    method = spec["method"]
    key = random_key(spec, replicate.number)
    sampler = _Sampler(method, with_prior_of(spec, model, replicate.data), replicate, key)
    budget = evaluations_of(method)
    if budget is None:
        posterior, numbers = sampler.draw(method.get("warmup"), method.get("draws")), dict[str, float]()
    else:
        posterior, numbers = _within_budget(sampler, budget)
    levels = spec["level"], *spec.get("levels", ())
    outcome = _outcome(posterior, levels, replicate, keep=method["keep_draws"])
    ranked = replicate.truth is not None and replicate.truth.drawn
    outcome = dataclasses.replace(
        outcome, numbers={**outcome.numbers, **numbers}, draws=_draws(posterior) if ranked else {}
    )
    if method["verdict"]:
        verdict, problem = _verdict(posterior, replicate, jax.random.fold_in(key, 1), spec["level"])
        outcome = dataclasses.replace(outcome, verdict=verdict, message=f"{outcome.message} {problem}".strip())
    return outcome


# --- sampling, within a budget or without one -------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Sampler:
    """A sampler with its settings on one data set; warm-up and draws are left open."""

    method: Mapping[str, Any]
    mixture: Mixture
    replicate: Replicate
    key: jax.Array

    def draw(self, warmup: int | None, draws: int | None) -> Posterior:
        """The posterior by so many iterations of each chain; None leaves a number to the sampler."""
        settings = {**sample_arguments(self.method), "warmup": warmup, "draws": draws}
        return sample(self.mixture, self.replicate.data, key=self.key, **settings)

    @property
    def chains(self) -> int:
        """The number of chains in force."""
        return self.method.get("chains") or SAMPLERS[self.method["kind"]].chains

    @property
    def warmup(self) -> int:
        """The iterations of warm-up in force; none where draws are independent."""
        own, given = SAMPLERS[self.method["kind"]], self.method.get("warmup")
        return own.warmup if given is None or own.independent else int(given)


def _within_budget(sampler: _Sampler, budget: float) -> tuple[Posterior, dict[str, float]]:
    """As many draws as the evaluations allow.

    A sweep of Gibbs sampling and a draw from the Laplace mixture are one evaluation. Of the other samplers a pilot of
    `_PILOT_DRAWS` draws tells how many an iteration takes; where the draws turn out to take more, fewer are drawn anew.
    """
    method, chains = sampler.method, sampler.chains
    per_iteration, warmups = 1.0, 1
    if SAMPLERS[method["kind"]].target_accept_prob:
        pilot = sampler.draw(sampler.warmup, _PILOT_DRAWS)
        per_iteration, warmups = _evaluations_per_iteration(pilot), _warmups(pilot)
    for attempt in range(_ATTEMPTS):
        warmup, draws = draws_by_evaluations(
            method, chains=chains, warmup=sampler.warmup, per_iteration=per_iteration, warmups=warmups
        )
        posterior = sampler.draw(warmup, draws)
        took, warmups = _evaluations_per_iteration(posterior), _warmups(posterior)
        used = chains * (warmups * warmup + draws) * took
        if used <= budget or attempt == _ATTEMPTS - 1:
            break
        # What a pilot promises is an average: the next plan is made for a little more than was needed.
        per_iteration = 1.02 * max(took, per_iteration)
    return posterior, {"draws": float(draws), "budget_used": used / budget}


def _evaluations_per_iteration(posterior: Posterior) -> float:
    """Density evaluations of one iteration of one chain, on average over its draws.

    They are the leapfrog steps; chains that jump make as many jumps besides, at one evaluation each.
    """
    stats = posterior.sampled["sample_stats"].to_dataset()
    if "n_steps" not in stats:
        return 1.0
    return float(np.mean(stats["n_steps"].values)) * (2.0 if "jumped" in stats else 1.0)


def _warmups(posterior: Posterior) -> int:
    """How often the chains warmed up: once more where they learned how to jump."""
    return 2 if "jumped" in posterior.sampled["sample_stats"] else 1


# --- what a posterior comes to ----------------------------------------------------------------------------------------


def _outcome(posterior: Posterior, levels: Sequence[float], replicate: Replicate, *, keep: bool) -> Outcome:
    message = posterior.message
    named: dict[str, np.ndarray] = {}
    parameters: tuple[ParameterEstimate, ...] = ()
    responsibilities: OfRows | None = None
    moments = None
    if posterior.alignment.trust >= TRUST_LOW:
        named, parameters = _labelled(posterior, levels)
        responsibilities = _averaged(mean_responsibilities, posterior, _RESPONSIBILITY_DRAWS, replicate)
        moments = None if posterior.mixture.family.own_axes else _moments(posterior)
    else:
        message = (
            f"{message} The labels are not identified by the data (trust {posterior.alignment.trust:.2f} < "
            f"{TRUST_LOW:g}), so nothing is said of single components."
        )
    return Outcome(
        status=posterior.status.value,
        message=message,
        trusted=posterior.usable,
        named=named,
        parameters=parameters,
        log_density=_averaged(mean_log_density, posterior, _PREDICTIVE_DRAWS, replicate),
        responsibilities=responsibilities,
        numbers=_numbers(posterior),
        compile_seconds=posterior.compile_seconds,
        run_seconds=posterior.run_seconds,
        tree=posterior.sampled if keep else None,
        family=posterior.mixture.family.name,
        discrete=posterior.mixture.family.discrete,
        levels=posterior.mixture.family.levels,
        moments=moments,
        own_axes=posterior.mixture.family.own_axes,
        exchangeable=is_exchangeable(posterior.mixture),
    )


def _moments(posterior: Posterior) -> tuple[np.ndarray, np.ndarray]:
    """The components' means and covariance matrices at the posterior mean."""
    stored = {name: draws.mean(axis=(0, 1)) for name, draws in stored_draws(posterior.sampled["posterior"]).items()}
    family, values = posterior.mixture.family.from_stored(stored)
    with computing():
        return family.moments(MixtureParams(family, {"weights": stored["weights"], **values}))


def _labelled(
    posterior: Posterior, levels: Sequence[float]
) -> tuple[dict[str, np.ndarray], tuple[ParameterEstimate, ...]]:
    """Posterior means by name, and every single number with its standard deviation and equal-tailed intervals."""
    fit = posterior.map_fit
    drawn = stored_draws(posterior.sampled["posterior"])
    with computing():
        names = list(fit.mixture.named_parameters(fit.params))
    named = {name: drawn[name].mean(axis=(0, 1)) for name in names}
    parameters = []
    for parameter in fit.mixture.scalars(named, fit.feature_names):
        values = drawn[parameter.variable][parameter.place].ravel()
        ends = [equal_tailed(values, level) for level in levels]
        (lower, upper), *others = ((float(below), float(above)) for below, above in ends)
        lower_levels = tuple((at, *pair) for at, pair in zip(levels[1:], others, strict=True))
        sd = float(values.std(ddof=1))
        parameters.append(ParameterEstimate(parameter.name, float(values.mean()), sd, lower, upper, lower_levels))
    return named, tuple(parameters)


def _draws(posterior: Posterior) -> dict[str, np.ndarray]:
    """Evenly spaced draws by name, so few that they depend on one another little."""
    drawn = stored_draws(posterior.sampled["posterior"])
    rows = thinning(posterior.n_draws, _RANKED_DRAWS)
    return {name: values.reshape(-1, *values.shape[2:])[rows] for name, values in drawn.items()}


def _averaged(mean: Callable[..., np.ndarray], posterior: Posterior, n_draws: int, replicate: Replicate) -> OfRows:
    """A mean over evenly spaced draws as a function of rows, holding no more of the posterior than it needs."""
    likelihood, draws = posterior.mixture.likelihood, posterior.thinned(n_draws)

    def averaged(x: np.ndarray) -> np.ndarray:
        with computing():
            return mean(likelihood, draws, np.asarray(x, float))

    return of_columns(averaged, posterior.mixture, replicate.data)


def _numbers(posterior: Posterior) -> dict[str, float]:
    found, modes = posterior.diagnostics, posterior.modes
    stats = posterior.sampled["sample_stats"].to_dataset()
    evaluations = posterior.n_draws * _evaluations_per_iteration(posterior)
    numbers = {
        "max_rhat": found.max_rhat,
        "min_ess": float(np.minimum(found.min_ess_bulk, found.min_ess_tail)),
        "pareto_k": modes.pareto_k,
        "n_modes": float(modes.n_modes),
        "log_evidence": modes.log_evidence,
        "alignment_trust": posterior.alignment.trust,
        "n_optima": float(len(posterior.map_fit.optima)),
        "n_evaluations": evaluations,
    }
    if "diverging" in stats:
        numbers["divergences"] = float(found.n_divergent)
    return numbers


def _verdict(posterior: Posterior, replicate: Replicate, key: jax.Array, level: float) -> tuple[str | None, str]:
    """What the comparison with maximum likelihood says, and why it says nothing."""
    try:
        fit = fit_by_em(posterior.mixture.likelihood, replicate.data, key=key)
        return compare(fit, posterior, replicate.data, level=level, key=key, loo=False).verdict.value, ""
    except FAILURES as error:
        return None, f"No verdict: {' '.join(str(error).split())}"
