"""The samplers behind `sample(method=)`: each takes the same job and hands back the same kind of run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import jax
import numpy as np

from emjax.bayes.diagnostics import DEFAULT_THRESHOLDS, Diagnostics
from emjax.bayes.gibbs import run_gibbs
from emjax.bayes.handoff import Handoff, Starts, overdispersed_starts
from emjax.bayes.hmc import HmcChains
from emjax.bayes.jumps import NormalJumps, labelling_jumps
from emjax.bayes.laplace import resample
from emjax.bayes.problem import Problem
from emjax.bayes.progress import OnProgress
from emjax.bayes.reweighted import reweighted_draws
from emjax.bayes.run import Run
from emjax.bayes.target import Target
from emjax.catalogue import SAMPLERS, SamplerEntry
from emjax.families.frame import Frame
from emjax.mixture import MixtureParams, Prior
from emjax.scope import computing

_MANY_CHAINS = 16
_SUPERCHAINS = 8
"""From so many chains on they start in groups at so many points, for nested R-hat: many chains may then be short."""

_THINNING = (1, 2, 8, 32)
"""Where the draws of Hamiltonian Monte Carlo do not suffice, they are taken anew, at longer distances."""

_NUTS_THINNING = (1, 8, 32)
"""The same for NUTS, whose chains go on from where they are."""

REFERENCE_ESS = 2000.0
"""What NUTS goes on for, in bulk, tails and squared deviations alike: what others are measured by has to be finer."""

_KNOWN_POINTS = 4000
"""So many weighted points count as draws where jumps are learned."""

_CAREFUL = (0.95, 0.99)
"""Where too many transitions diverge, steps are tuned to the next of these acceptance probabilities."""

_HOPELESS = 1.0 + 3 * 4 * (DEFAULT_THRESHOLDS.max_rhat - 1.0)
"""R-hat above which the longest attempt is not made: draws four times as far apart bring its excess to a quarter, and
what they teach is trusted to bring that to a third."""

_MOST_WORK = 4e9
"""No further attempt is made that would compute more log densities of a datum in a component: about a minute's."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What a method is asked to do.

    Attributes
    ----------
    problem, handoff
        The posterior, and what EM knows of it.
    key
        A JAX random key for the chains.
    rng
        A NumPy generator for starts and importance sampling.
    chains, warmup, draws, target_accept_prob
        The settings; ``None`` leaves the method's own default, and lets it go on where the draws do not suffice.
    dtype
        The precision of the chains.
    on_progress
        See `emjax.bayes.progress`.
    pseudo_rows
        What rows from the prior weigh, see `emjax.bayes.reweighted`.
    """

    problem: Problem
    handoff: Handoff
    key: jax.Array
    rng: np.random.Generator
    chains: int | None
    warmup: int | None
    draws: int | None
    target_accept_prob: float | None
    dtype: str
    on_progress: OnProgress | None
    pseudo_rows: float = 0.0

    def settings(self, method: str) -> SamplerEntry:
        """What is known of a method, with the settings in force."""
        own = SAMPLERS[method]
        chains = own.chains if self.chains is None else self.chains
        return dataclasses.replace(
            own,
            chains=chains,
            warmup=own.warmup if self.warmup is None else self.warmup,
            # Fewer chains have as many draws together.
            draws=max(own.draws, own.chains * own.draws // chains) if self.draws is None else self.draws,
            target_accept_prob=own.target_accept_prob if self.target_accept_prob is None else self.target_accept_prob,
        )

    def starts(self, chains: int) -> Starts:
        """Overdispersed starts; in superchains where there are many."""
        grouped = chains >= _MANY_CHAINS and chains % _SUPERCHAINS == 0
        return overdispersed_starts(self.handoff, self.rng, chains, _SUPERCHAINS if grouped else 0)

    @property
    def adaptive(self) -> bool:
        """Whether the method may go on until its draws suffice: where the user named no number of draws."""
        return self.draws is None

    @property
    def entries(self) -> int:
        """Log densities of a datum in a component in one evaluation of the target."""
        return self.problem.samples.n_samples * self.problem.mixture.n_components


@dataclasses.dataclass(frozen=True)
class Attempt:
    """A run, a sentence on how its chains started, and the effective sample size to go on for."""

    run: Run
    starts_note: str
    wanted_ess: float = 0.0


Attempts = Generator[Attempt, Diagnostics | None]
"""Attempts of one method; it is sent what was found of each."""


def attempts(method: str, job: Job) -> Attempts:
    """The runs of a method, each better than the one before; the caller stops where one suffices."""
    return _RUNNERS[method](job, job.settings(method))


def _hmc(job: Job, chosen: SamplerEntry) -> Attempts:
    """Attempts differ by what they have learned, by thinning, and where transitions diverge by shorter steps.

    All are one compiled program, and what is tried depends on draws and sizes, never on a clock.
    """
    starts = job.starts(chosen.chains)
    sampler = _HmcJob(job, chosen, starts)
    if not job.handoff.simple:
        # Modes have to be exchanged, or the metric is only a first guess: learn from the warm-up before drawing.
        sampler.learn(sampler.chains.recent)
    # A number of draws that was asked for is kept to, but a step size that was not may be cured.
    for thin in _THINNING if job.adaptive else (1,) * (1 + len(_CAREFUL)):
        run = sampler.draw(thin)
        found = yield Attempt(dataclasses.replace(run, superchains=starts.superchains), starts.note)
        if not (sampler.more_careful(run) or job.adaptive):
            return
        per_iteration = run.sample_stats["n_steps"].mean() / thin * chosen.chains * job.entries
        if 4 * thin * chosen.draws * per_iteration > _MOST_WORK:
            return
        if thin == _THINNING[-2] and found is not None and found.max_rhat > _HOPELESS:
            return
        # What the draws so far say of the posterior's shape is worth more than they are as draws.
        sampler.learn(run.flat)


class _HmcJob:
    """Chains of Hamiltonian Monte Carlo in the job's precision, warmed up."""

    def __init__(self, job: Job, chosen: SamplerEntry, starts: Starts) -> None:
        self.job, self.chosen = job, chosen
        # Where a component may be empty, labellings are known before there are draws, of what these may miss too.
        known = job.handoff.sample
        self.seen = [resample(known, job.rng, 1, _KNOWN_POINTS).flat[0]] if known.labelled and known.good else []
        job.handoff.ahead.chains_ready()
        evaluate = job.handoff.evaluate
        self.target, self.data = evaluate.target, evaluate.data
        with computing(job.dtype == "float64"):
            if chosen.chains != evaluate.lanes or job.dtype != "float64":
                best = job.handoff.map_fit.params
                self.target, self.data = job.problem.precise_target(best, chosen.chains, job.dtype)
            self.chains = HmcChains(
                self.target,
                self.data,
                job.handoff.modes,
                starts.flat,
                key=job.key,
                target_accept_prob=chosen.target_accept_prob,
                on_progress=job.on_progress,
            )
            self.chains.warm_up(chosen.warmup)

    def draw(self, thin: int) -> Run:
        """The draws of one attempt."""
        with computing(self.job.dtype == "float64"):
            return self.chains.draw(self.chosen.draws, thin)

    def more_careful(self, run: Run) -> bool:
        """Whether steps will be shorter from now on: where too many diverged, and the user named no acceptance."""
        chains = self.chains
        above = [level for level in _CAREFUL if level > chains.target_acceptance + 1e-6]
        diverged = run.sample_stats["diverging"].mean() > DEFAULT_THRESHOLDS.max_divergent_share
        if not (diverged and above and self.job.target_accept_prob is None):
            return False
        chains.target_acceptance = np.asarray(above[0], chains.dtype)
        return True

    def learn(self, flat: np.ndarray) -> None:
        """Estimate metric and jumps from draws ``(chain, draw, p)``, and warm up again."""
        with computing(self.job.dtype == "float64"):
            self.chains.learn(np.swapaxes(flat, 0, 1))
            family = self.target.family
            # Counts too large for the natural form are so for the labellings' density too, which takes that form.
            problem, has_holes = self.job.problem, self.data.blocks.has_holes
            coarse = not self.data.blocks.natural and family.natural_excess(problem.z[:1]) is not None
            natural = family.natural_with_holes if has_holes else family.natural
            repeated = problem.z.repeated
            if natural and repeated is not None and not (problem.refuses_gibbs or coarse):
                # Labellings of all draws so far: what was rare in one attempt may be missing in the next.
                self.seen.append(flat.reshape(-1, flat.shape[-1]))
                points = self.chains.modes.relabelled(np.concatenate(self.seen))
                key = jax.random.fold_in(self.job.key, len(self.seen))
                self.chains.jumps = labelling_jumps(self.target, self.data, repeated, points, key)
            elif len(self.chains.modes.modes) > 1:
                self.chains.jumps = NormalJumps.make(self.chains.modes, self.data.blocks.x.dtype)
            self.chains.warm_up(self.chosen.warmup)


def _nuts(job: Job, chosen: SamplerEntry) -> Attempts:
    from emjax.bayes.flat_model import unconstrain_all
    from emjax.bayes.nuts import nuts_runs

    starts = job.starts(chosen.chains)
    problem, target = job.problem, job.handoff.target
    # The metric is carried over to NumPyro's own unconstrained space by draws from the Laplace approximation.
    cloud, _ = job.handoff.modes.sample(job.rng, 100 + 20 * starts.flat.shape[1])
    sites = _sites(target, np.concatenate([starts.flat, cloud]), problem.frame_prior)
    moved = unconstrain_all(problem.program, *problem.arguments, sites)
    flat_cloud = np.concatenate(
        [moved[name][chosen.chains :].reshape(len(cloud), -1) for name in sorted(moved)], axis=1
    )
    # Where EM's mode lies on a border the approximation reaches beyond all numbers: the warm-up then finds a metric.
    known = np.isfinite(flat_cloud).all()
    runs = nuts_runs(
        problem.program,
        *problem.arguments,
        key=job.key,
        starts={name: value[: chosen.chains] for name, value in moved.items()},
        inverse_mass_matrix=np.cov(flat_cloud.T).reshape(flat_cloud.shape[1], -1) if known else None,
        warmup=chosen.warmup,
        draws=chosen.draws,
        thinning=_NUTS_THINNING,
        target_accept_prob=chosen.target_accept_prob,
        on_progress=job.on_progress,
    )
    for thin, found in zip(_NUTS_THINNING, runs, strict=True):
        params = problem.program.from_sites(found.samples)
        run = Run(_flatten(target, params), found.sample_stats, starts.superchains)
        yield Attempt(run, starts.note, REFERENCE_ESS)
        per_iteration = found.sample_stats["n_steps"].mean() * chosen.chains * job.entries
        if not job.adaptive or 8 * thin * chosen.draws * per_iteration > _MOST_WORK:
            return


def _gibbs(job: Job, chosen: SamplerEntry) -> Attempts:
    starts = job.starts(chosen.chains)
    problem, target = job.problem, job.handoff.target
    params = jax.tree.map(np.asarray, _params(target, starts.flat))
    with computing(job.dtype == "float64"):
        draws = run_gibbs(
            problem.mixture.likelihood,
            problem.gibbs_rows(job.dtype),
            problem.frame_prior,
            key=job.key,
            starts=params,
            warmup=chosen.warmup,
            draws=chosen.draws,
            on_progress=job.on_progress,
        )
    flat = _flatten(target, jax.tree.map(lambda leaf: np.asarray(leaf, float), draws))
    values, _ = job.handoff.evaluate(flat.reshape(-1, flat.shape[-1]))
    yield Attempt(Run(flat, {"lp": values.reshape(flat.shape[:2])}, starts.superchains), starts.note)


def _laplace(job: Job, chosen: SamplerEntry) -> Attempts:
    note = "independent draws from the Laplace mixture over the modes, resampled by their importance weights"
    # No more draws than there are points, unless the user says so: the others would be copies.
    draws = min(chosen.draws, len(job.handoff.sample.values) // chosen.chains) if job.adaptive else chosen.draws
    yield Attempt(resample(job.handoff.sample, job.rng, chosen.chains, draws), note)


def _bootstrap(job: Job, chosen: SamplerEntry) -> Attempts:
    problem, target, n_draws = job.problem, job.handoff.target, chosen.chains * chosen.draws
    drawn, left_out = reweighted_draws(job.handoff.map_fit, n_draws, job.rng, pseudo_rows=job.pseudo_rows)
    in_frame = jax.tree.map(
        lambda leaf: np.reshape(leaf, (chosen.chains, chosen.draws, *np.shape(leaf)[1:])),
        _to_frame(target, drawn, problem.frame),
    )
    flat = _flatten(target, in_frame)
    values, _ = job.handoff.evaluate(flat.reshape(-1, flat.shape[-1]))
    further = f" and of rows from the prior that weigh {job.pseudo_rows:g}" if job.pseudo_rows else ""
    note = f"independent maximisations by EM under random weights of the data{further}, {left_out}"
    yield Attempt(Run(flat, {"lp": values.reshape(flat.shape[:2])}), note)


_RUNNERS: dict[str, Callable[[Job, SamplerEntry], Attempts]] = {
    "hmc": _hmc,
    "nuts": _nuts,
    "gibbs": _gibbs,
    "laplace": _laplace,
    "bootstrap": _bootstrap,
}


# --- changes of coordinates ---------------------------------------------------------------------------------


@jax.jit(static_argnums=0)
def _params(target: Target, flat: Any) -> MixtureParams:
    """Parameters in the frame, leading with ``n``."""
    return jax.vmap(target.params)(flat)


@jax.jit(static_argnums=0)
def _at_sites(target: Target, flat: Any, prior: Prior) -> dict[str, Any]:
    return jax.vmap(lambda one: prior.at_sites(target.params(one)))(flat)


def _sites(target: Target, flat: np.ndarray, prior: Prior) -> dict[str, np.ndarray]:
    return {site: np.asarray(value) for site, value in _at_sites(target, flat, prior).items()}


def _flatten(target: Target, params: MixtureParams) -> np.ndarray:
    return np.asarray(_flat_draws(target, params))


@jax.jit(static_argnums=0)
def _flat_draws(target: Target, params: MixtureParams) -> Any:
    return jax.vmap(jax.vmap(target.flat))(params)


@partial(jax.jit, static_argnums=0)
def _to_frame(target: Target, params: MixtureParams, frame: Frame) -> MixtureParams:
    return jax.vmap(lambda one: target.likelihood.to_frame(one, frame))(params)


@partial(jax.jit, static_argnums=0)
def to_data_units(target: Target, flat: Any, frame: Frame) -> MixtureParams:
    """Draws ``(chain, draw, p)`` as parameters in the data's units."""
    convert = lambda one: target.likelihood.from_frame(target.params(one), frame)  # noqa: E731
    return jax.vmap(jax.vmap(convert))(flat)
