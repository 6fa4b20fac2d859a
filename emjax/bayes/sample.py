"""`sample`: EM's modes, a sampler that starts from them, labels aligned, diagnostics, an ArviZ tree."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np
import xarray as xr

from emjax import align
from emjax.bayes.choice import MANY_ENTRIES, POINTS_OF_MANY, choose_method, fell_short, hopeless
from emjax.bayes.diagnostics import Diagnostics, PosteriorStatus, assess
from emjax.bayes.draws import Described, describe_draws
from emjax.bayes.handoff import LANES, Handoff, hand_off, points_on_ridges
from emjax.bayes.methods import Job, attempts, to_data_units
from emjax.bayes.posterior import Posterior
from emjax.bayes.problem import Problem, prepare
from emjax.bayes.progress import ChainProgress, OnProgress, Phase, check_settings
from emjax.bayes.run import Run
from emjax.bayes.tree import to_tree
from emjax.bayes.visits import NON_NEGLIGIBLE, PosteriorModes, describe_modes
from emjax.bounds import called, not_negative, one_of, written
from emjax.catalogue import DEFAULT_SAMPLER, SAMPLERS, SamplerName, samplers_where
from emjax.clock import Stopwatch, stopwatch
from emjax.em.further import FIRST
from emjax.em.memory import check_draws, check_hessians, check_memory
from emjax.errors import ConfigError
from emjax.keys import KeyLike, as_key, kept_key, numpy_generator
from emjax.mixture import Declarable, Mixture, declared
from emjax.progress import both, progress_line
from emjax.result import Fit
from emjax.samples import Samples, as_samples_like, check_against_components
from emjax.scope import computing

_MOST_LANES = 32
_DEFAULT_PRIOR_NOTE = "The mixture has no prior, so the default one was used: weakly informative, scaled by the data."


def sample(
    mixture: Declarable,
    x: Any,
    *,
    weights: Any = None,
    labels: Any = None,
    key: KeyLike = None,
    init: Any = None,
    method: SamplerName = DEFAULT_SAMPLER,
    chains: int | None = None,
    warmup: int | None = None,
    draws: int | None = None,
    target_accept_prob: float | None = None,
    pseudo_rows: float | None = None,
    dtype: Literal["float64", "float32"] = "float64",
    on_progress: OnProgress | None = None,
    on_decision: Callable[[str], None] | None = None,
    progress: bool = False,
) -> Posterior:
    """Sample the posterior of a mixture, with its labels summed out.

    EM's distinct optima under the same prior are polished to modes, whose Laplace mixture gives chains their starts
    (twice as wide) and their metric. Then labels are aligned to the MAP, and diagnostics taken.

    Parameters
    ----------
    mixture
        The declaration, or an `emjax.program`. ``prior=None`` uses the default prior (``Posterior.prior_note``).
    x, weights, labels
        Data ``(n_samples, n_features)``, how often each row counts, and what is known of its component: as in `fit`.
    key
        A whole number or JAX random key. Left out, a number is drawn, and ``Posterior.key`` keeps it.
    init
        A `Fit` (its optima are among EM's starts; the MAP is taken as it is) or parameters; drawn starts by default.
    method
        ``"hmc"``: Hamiltonian Monte Carlo whitened by the Laplace mixture, with jumps between modes; ``"nuts"``:
        NumPyro's No-U-Turn sampler, the reference; ``"gibbs"``: data augmentation; ``"laplace"``: weighted draws from
        the Laplace mixture; ``"bootstrap"``: EM under random weights, an approximation; ``"auto"`` (default)
        decides, see `emjax.bayes.choice` and ``Posterior.decision``.
    chains, warmup, draws
        Chains, and iterations per chain that are thrown away and kept; by default 8, 200 and 500 for ``hmc``, 4, 1000
        and 1000 for ``nuts``, 8, 500 and 1000 for ``gibbs``, 4, 0 and 1000 for ``laplace``, 250 for ``bootstrap``.
        Without ``draws``, ``hmc`` goes on (2, 8 and 32 times as long, thinned) until the diagnostics are good, ``nuts``
        (8 and 32 times) until every effective sample size is 2000. 16, 24, ... chains start in groups at 8 points.
    target_accept_prob, pseudo_rows
        What the step size is adapted to (0.85 for ``hmc``, 0.95 for ``nuts``); of ``bootstrap`` how many rows of data
        those weigh that each draw takes from the prior (0), see `emjax.bayes.reweighted`.
    dtype
        The precision of ``hmc`` and ``gibbs``, ``"float64"`` (default) or ``"float32"``; all else is float64.
    on_progress, on_decision, progress
        Called between chunks (`emjax.bayes.progress.OnProgress`) and with each sentence of ``Posterior.decision``; and
        whether a line says how far the chains are, see `emjax.progress`.

    Raises
    ------
    DataError, ConfigError, ValueError
        If the data cannot be used, or a setting is out of range or does not go with the method.
    FitError
        If no finite MAP was found, so that chains have nowhere to start.

    References
    ----------
    Hoffman and Gelman, Journal of Machine Learning Research 15, 2014; Phan, Pradhan and Jankowiak,
    arXiv:1912.11554, 2019; Vehtari et al., Bayesian Analysis 16, 2021; Margossian et al., Bayesian Analysis 2024.
    """
    called("on_decision", on_decision)
    mixture, key = declared(mixture, x), kept_key("emjax.sample", key)
    _check(method, mixture, chains, warmup, draws, target_accept_prob, dtype)
    mixture, samples = _checked(mixture, x, weights, labels, init)
    pseudo_rows = _checked_pseudo_rows(method, pseudo_rows, samples)
    _check_memory(mixture, samples, method, chains, draws)
    with progress_line(progress, "posterior") as line, computing(), stopwatch() as clock:
        told = both(line, on_progress, _chains_in_words(), "EM's modes")
        problem = _prepared(method, mixture, samples)
        map_key, start_key, chain_key = jax.random.split(as_key(key), 3)
        rng = numpy_generator(start_key)
        handoff = hand_off(problem, map_key, init, rng, **_plan(method, problem, chains, draws, dtype))
        job = Job(problem, handoff, chain_key, rng, chains, warmup, draws, target_accept_prob, dtype, told, pseudo_rows)
        outcome = _auto(job, on_decision) if method == DEFAULT_SAMPLER else _run(method, job)
    return _posterior(mixture, problem, handoff, outcome, clock, key)


def _chains_in_words() -> Callable[[Phase, int, int, ChainProgress], str]:
    """How far the slowest chain is, of those that have said so."""
    reached: dict[tuple[str, int], int] = {}

    def words(phase: Phase, done: int, total: int, info: ChainProgress) -> str:
        reached[phase, info.chain] = done
        n_chains = len(info.divergences)
        slowest = min(reached.get((phase, chain), 0) for chain in range(n_chains))
        name = "warm-up" if phase == "warmup" else f"{sum(info.divergences)} divergent, draws"
        return f"{n_chains} chains, {name} {slowest:,} of {total:,}"

    return words


def _spares_chains(problem: Problem, chains: int | None, draws: int | None) -> bool:
    """Whether the data are so many, and the user asked for so little, that ``auto`` may do without chains."""
    entries = problem.samples.n_samples * problem.mixture.n_components
    return chains is None and draws is None and entries >= MANY_ENTRIES


def _plan(method: str, problem: Problem, chains: int | None, draws: int | None, dtype: str) -> dict[str, Any]:
    """What the handoff has to prepare for a method."""
    own = SAMPLERS[method]
    n_points = (chains or own.chains) * (draws or own.draws) if own.weighted else 0
    if method == DEFAULT_SAMPLER and _spares_chains(problem, chains, draws):
        n_points = POINTS_OF_MANY
    return {
        "n_points": n_points,
        "lanes": chains if chains is not None and chains <= _MOST_LANES else LANES,
        "chains_ahead": own.compiled_ahead and dtype == "float64",
    }


def _check(
    method: str,
    mixture: Mixture,
    chains: int | None,
    warmup: int | None,
    draws: int | None,
    target_accept_prob: float | None,
    dtype: str,
) -> None:
    if not isinstance(mixture, Mixture):
        raise ConfigError(f"mixture = {written(mixture)} is not allowed; give an emjax.Mixture")
    one_of("method", method, SAMPLERS)
    check_settings(warmup, draws, target_accept_prob, chains)
    one_of("dtype", dtype, ("float64", "float32"))
    if dtype == "float32" and not SAMPLERS[method].float32:
        others = " or ".join(samplers_where("float32"))
        raise ConfigError(f"method={method!r} works in float64 only; leave out dtype, or use {others}")


def _checked(mixture: Mixture, x: Any, weights: Any, labels: Any, init: Any) -> tuple[Mixture, Samples]:
    samples = mixture.samples(x, weights=weights, labels=labels, n_components=mixture.n_components)
    check_against_components(samples, mixture.n_components)
    mixture.family.check(samples)
    if isinstance(init, Fit):
        as_samples_like(samples, init.feature_names, of="the fit in init")
    return mixture.resolved(samples), samples


def _prepared(method: str, mixture: Mixture, samples: Samples) -> Problem:
    problem = prepare(mixture, samples)
    if SAMPLERS[method].conjugate and (why := problem.refuses_gibbs):
        others = " or ".join(samplers_where("target_accept_prob"))
        raise ConfigError(f"method={method!r} needs a conjugate prior: {why}; use {others}")
    return problem


def _checked_pseudo_rows(method: str, value: float | None, samples: Samples) -> float:
    if value is None:
        return 0.0
    if not SAMPLERS[method].approximate:
        one = " or ".join(samplers_where("approximate"))
        raise ConfigError(f"pseudo_rows is for {one}; {method} takes no rows from the prior: leave it out")
    if (rows := not_negative("pseudo_rows", value)) > samples.total_weight:
        most = written(samples.total_weight)
        raise ConfigError(f"pseudo_rows = {written(value)} is not allowed; give no more than the data have, {most}")
    return rows


def _check_memory(mixture: Mixture, samples: Samples, method: str, chains: int | None, draws: int | None) -> None:
    check_memory(mixture, samples.values.shape, FIRST, holes=samples.has_holes)
    check_hessians(mixture, samples.n_features, what="the posterior's modes")
    own = SAMPLERS[method]
    n_chains, n_draws = (own.chains if chains is None else chains), (own.draws if draws is None else draws)
    check_draws(mixture, samples.n_features, n_chains, n_draws)


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """A run with everything that is known of it."""

    method: str
    run: Run
    described: Described
    modes: PosteriorModes
    diagnostics: Diagnostics
    starts_note: str
    decision: tuple[str, ...] = ()
    sampling_seconds: float = float("nan")


def _run(method: str, job: Job) -> _Outcome:
    """A method's first run that suffices, or its last."""
    outcome: _Outcome | None = None
    seconds, wanted = 0.0, 0.0
    runs = attempts(method, job)
    while outcome is None or not outcome.diagnostics.suffices(wanted):
        try:
            with stopwatch() as lap:
                attempt = runs.send(None if outcome is None else outcome.diagnostics)
        except StopIteration:
            break
        seconds += lap.run_seconds
        wanted = attempt.wanted_ess
        outcome = _outcome(method, job, attempt.run, attempt.starts_note)
    assert outcome is not None
    return dataclasses.replace(outcome, sampling_seconds=seconds)


def _auto(job: Job, on_decision: Callable[[str], None] | None) -> _Outcome:
    """The method that the modes speak for; where its check fails, the next safer one."""
    decision: list[str] = []

    def decide(sentence: str) -> None:
        decision.append(sentence)
        if on_decision is not None:
            on_decision(sentence)

    spare = _spares_chains(job.problem, job.chains, job.draws)
    method, why = choose_method(job.handoff, spare_chains=spare)
    decide(why)
    first = best = _run(method, job)
    for safer in SAMPLERS[method].safer:
        if best.diagnostics.status is PosteriorStatus.converged:
            break
        if SAMPLERS[safer].conjugate and job.problem.refuses_gibbs:
            continue
        if why_not := hopeless(safer, first.run, first.diagnostics):
            decide(why_not)
            continue
        decide(fell_short(best.method, best.diagnostics, safer))
        other = _run(safer, job)
        best = min(best, other, key=_badness)
    if best.diagnostics.status is PosteriorStatus.converged:
        decide(f"auto: the check of {best.method} passed (R-hat {best.diagnostics.max_rhat:.3f}).")
    else:
        decide(f"auto: no method gave a posterior to be trusted; the draws of {best.method} are the least bad.")
    return dataclasses.replace(best, decision=tuple(decision))


def _badness(outcome: _Outcome) -> tuple[bool, float]:
    found = outcome.diagnostics
    return found.status is not PosteriorStatus.converged, np.nan_to_num(found.max_rhat, nan=np.inf)


def _outcome(method: str, job: Job, run: Run, starts_note: str) -> _Outcome:
    problem, handoff = job.problem, job.handoff
    params = jax.tree.map(np.asarray, to_data_units(handoff.target, run.flat, problem.frame))
    described = describe_draws(
        problem.mixture, params, handoff.map_fit, problem.samples, exchangeable=handoff.target.exchangeable
    )
    modes = describe_modes(
        handoff.sample,
        handoff.masses,
        handoff.constant,
        run.flat,
        handoff.evaluate,
        points_on_ridges(problem, handoff),
    )
    return _Outcome(
        method=method,
        run=run,
        described=described,
        modes=modes,
        diagnostics=_diagnose(method, problem, handoff, described, run, modes),
        starts_note=starts_note,
    )


def _diagnose(
    method: str, problem: Problem, handoff: Handoff, described: Described, run: Run, modes: PosteriorModes
) -> Diagnostics:
    """Diagnostics of aligned parameters and invariants; of invariants alone where labels cannot be trusted."""
    features = problem.samples.feature_names
    quantities: dict[str, tuple[tuple[str, ...], np.ndarray]] = {"lp": (("chain", "draw"), run.sample_stats["lp"])}
    quantities |= {
        name: (("chain", "draw", "anchor")[: value.ndim], value) for name, value in described.invariants.items()
    }
    if described.alignment.trust >= align.TRUST_LOW:
        shapes = {name: described.stored[name][0, 0] for name in _read_names(problem, described)}
        for parameter in problem.mixture.scalars(shapes, features):
            values = described.stored[parameter.variable][parameter.place]
            quantities[parameter.name] = (("chain", "draw"), values)
    stats = {name: (("chain", "draw"), value) for name, value in run.sample_stats.items()}
    return assess(
        xr.Dataset(quantities),
        xr.Dataset(stats),
        superchains=run.superchains,
        most_ess=handoff.sample.effective_sample_size if SAMPLERS[method].weighted else np.inf,
        judge_divergences=not _jumps_prevail(run),
        problems=_problems(method, handoff, modes),
    )


def _jumps_prevail(run: Run) -> bool:
    """Whether most iterations jumped: a trajectory that diverged is then a proposal that was refused, and no more."""
    jumped = run.sample_stats.get("jumped")
    return jumped is not None and float(np.mean(jumped)) > 0.5


def _problems(method: str, handoff: Handoff, modes: PosteriorModes) -> tuple[tuple[PosteriorStatus, str], ...]:
    """What speaks against a posterior although its chains agree."""
    found = []
    for i in modes.unvisited:
        mode = modes.modes[i]
        found.append(
            (
                PosteriorStatus.not_converged,
                f"no chain visited {mode.words}, which holds about {mode.mass:.0%} of the posterior "
                f"(> {NON_NEGLIGIBLE:.0%})",
            )
        )
    if SAMPLERS[method].approximate:
        found.append((PosteriorStatus.approximate, "Where a component is a few rows strong the two differ"))
    if SAMPLERS[method].weighted and not handoff.sample.good:
        found.append(
            (
                PosteriorStatus.unreliable,
                f"Pareto k of the importance weights is {modes.pareto_k:.2f} (> {modes.good_pareto_k:.2f})",
            )
        )
    return tuple(found)


def _read_names(problem: Problem, described: Described) -> list[str]:
    one = jax.tree.map(lambda leaf: leaf[0], described.flat_params)
    return list(problem.mixture.named_parameters(one))


def _posterior(
    mixture: Mixture, problem: Problem, handoff: Handoff, outcome: _Outcome, clock: Stopwatch, key: KeyLike
) -> Posterior:
    return Posterior(
        sampled=_tree(problem, outcome),
        params=outcome.described.flat_params,
        mixture=problem.mixture,
        prior_note=_DEFAULT_PRIOR_NOTE if mixture.prior is None else _own_prior_note(mixture),
        map_fit=handoff.map_fit,
        alignment=outcome.described.alignment,
        diagnostics=outcome.diagnostics,
        modes=outcome.modes,
        decision=outcome.decision,
        starts_note=outcome.starts_note,
        method=outcome.method,
        compile_seconds=clock.compile_seconds,
        run_seconds=clock.run_seconds,
        sampling_seconds=outcome.sampling_seconds,
        key=key,
    )


def _own_prior_note(mixture: Mixture) -> str:
    return "The mixture's default prior, scaled by the data." if mixture.prior == "default" else "The mixture's prior."


def _tree(problem: Problem, outcome: _Outcome) -> xr.DataTree:
    described = outcome.described
    attrs = {
        "sampler": outcome.method,
        "sampling_time": outcome.sampling_seconds,
        "status": outcome.diagnostics.status.value,
        "family": problem.mixture.family.name,
        "n_components": problem.mixture.n_components,
        "alignment": described.alignment.method,
        "alignment_trust": described.alignment.trust,
        "n_modes": outcome.modes.n_modes,
        "pareto_k": outcome.modes.pareto_k,
        "log_evidence": outcome.modes.log_evidence,
    }
    return to_tree(
        described.stored,
        outcome.run.sample_stats,
        described.log_likelihood,
        problem.samples.values,
        problem.samples.feature_names,
        attrs,
        log_likelihood_draws=described.kept_draws,
        library=SAMPLERS[outcome.method].library,
        log_likelihood_rows=described.kept_rows,
        levels=problem.mixture.family.levels,
        own_axes=problem.mixture.family.own_axes,
    )
