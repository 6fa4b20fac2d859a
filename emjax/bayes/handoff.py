"""From EM to the samplers: its MAP, the modes near its optima, their Laplace mixture, and where chains start."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from emjax import align
from emjax.bayes.adaptive import adapted_sample
from emjax.bayes.ahead import Ahead
from emjax.bayes.empty import find_ridges, merged, out_of_reach
from emjax.bayes.laplace import ImportanceSample, importance_sample
from emjax.bayes.modes import MOST_PARAMETERS, LaplaceMixture, Mode, find_modes
from emjax.bayes.problem import Problem, is_trusted, prepare
from emjax.bayes.target import Evaluator, Target
from emjax.bayes.visits import parts
from emjax.em.fit import fit, fit_from
from emjax.em.init import drawn_starts
from emjax.errors import FitError
from emjax.families.frame import Frame
from emjax.families.laws import Dirichlet
from emjax.metrics.partition import subset_rows
from emjax.mixture import Declarable, Mixture, MixtureParams, Prior, declared
from emjax.result import Fit, Optimum, Status
from emjax.scope import computing

NEGLIGIBLE = 1e-3
"""Modes with less than this share of the posterior get no chain: one could stay there and spoil all diagnostics."""

_COUNTS = 1e-4
"""Ridges with this share of the posterior, by their Laplace approximations, are sampled: these may be nats too low."""

_FEW_DATA = 10.0
"""A component that holds fewer may come near to being empty, although no ridge counts."""

INFLATION = 2.0
"""Chains start this many posterior standard deviations wide around a mode: wider than the posterior is."""

_ATTEMPTS = 20
_SHRINK = 0.8

LANES = 8
"""Points are evaluated so many at a time by default, as many as the chains of `hmc` are: one program serves both."""

_MANY_ROWS, _FEW_ROWS = 20_000, 5_000
"""Of more rows than the first, as many as the second say whether a component may be empty at all."""

_STARTS = 20
"""EM looks for the MAP from so many starts, as `fit` does by default."""

_MOST_OPTIMA = 12
"""So many of EM's optima are polished at most."""

_IMPORTANCE_POINTS = 2000
_FEWEST_POINTS = 400
_MORE = 2
"""Where labellings are learned so many times as many points are drawn, as these are worth less."""

_FIRST_POINTS = 500
"""So many points of modes and as many of ridges are where the labellings of data begin."""

_ENTRIES = 1 << 27
"""Importance sampling evaluates at most so many log densities of a datum in a component, about a second's worth."""


@dataclasses.dataclass(frozen=True)
class Handoff:
    """What samplers are given.

    Attributes
    ----------
    map_fit
        EM's MAP with all its distinct optima.
    sample
        An importance sample from the Laplace mixture over the modes near the optima, and where a component may be empty
        from conjugate posteriors besides: how good that is, the masses of the modes and ridges, the evidence.
    constant
        What the target leaves out of the log joint density of data and parameters, in the data's units.
    evaluate
        The target's values and gradients.
    ahead
        What is being compiled meanwhile.
    """

    map_fit: Fit
    sample: ImportanceSample
    constant: float
    evaluate: Evaluator
    ahead: Ahead

    @property
    def target(self) -> Target:
        """The density."""
        return self.evaluate.target

    @property
    def modes(self) -> LaplaceMixture:
        """The Laplace mixture over the modes."""
        return self.sample.mixture

    @property
    def masses(self) -> np.ndarray:
        """The masses of the modes and then of the ridges: corrected by the weights where these can be believed."""
        masses = self.sample.masses
        if not self.sample.good:
            masses = np.maximum(masses, self.sample.laplace_masses)
        return masses / masses.sum()

    @property
    def simple(self) -> bool:
        """Whether there is one mode, of which the Laplace approximation is good."""
        known = self.sample
        normal = known.good and not known.labelled and not known.ridges
        return normal and int((self.masses >= NEGLIGIBLE).sum()) == 1


def hand_off(
    problem: Problem,
    key: jax.Array,
    init: Any,
    rng: np.random.Generator,
    *,
    n_points: int = 0,
    lanes: int = LANES,
    chains_ahead: bool = False,
) -> Handoff:
    """EM's MAP, its optima polished by Newton, and the Laplace mixture over them with an importance sample.

    ``n_points`` is how large that sample has to be at least, ``lanes`` how many points are evaluated at a time, and
    ``chains_ahead`` whether as many chains of Hamiltonian Monte Carlo are compiled while EM runs.
    """
    target, data = problem.target(lanes)
    evaluate = Evaluator(target, data, lanes)
    ahead = Ahead(evaluate, chains=chains_ahead)
    map_fit = _find_map(problem, target, key, init)
    ahead.values_ready()
    at = problem.mixture.to_frame(map_fit.params, problem.frame)
    if not bool(is_trusted(problem.mixture.likelihood, at, data.blocks)):
        target, data = problem.precise_target(map_fit.params, lanes, np.float64)
        evaluate = Evaluator(target, data, lanes)
    modes = modes_near(problem, evaluate, map_fit)
    entries = data.blocks.weights.size * problem.mixture.n_components
    n_points = max(n_points, int(np.clip(_ENTRIES // entries, _FEWEST_POINTS, _IMPORTANCE_POINTS)))
    lost = float(problem.samples.summary.observed @ np.log(problem.frame.scale))
    sample = _weighted(problem, evaluate, modes, map_fit, rng, n_points)
    if not modes.complete:
        # Further orders of the components count as well as these, and nobody has looked for them.
        sample = dataclasses.replace(sample, pareto_k=np.inf)
    return Handoff(
        map_fit=map_fit,
        sample=sample,
        constant=float(data.base_measure) - lost,
        evaluate=evaluate,
        ahead=ahead,
    )


def _weighted(
    problem: Problem,
    evaluate: Evaluator,
    modes: LaplaceMixture,
    map_fit: Fit,
    rng: np.random.Generator,
    n_points: int,
) -> ImportanceSample:
    """The importance sample, from the modes alone where no component may be empty."""
    sample = importance_sample(evaluate, modes, rng, n_points)
    k = problem.mixture.n_components
    # Where labels hang on covariates no weight could go to zero, and where weights are all there is they are no ridge.
    no_ridges = k == 1 or not problem.mixture.family.weighted or evaluate.target.of_weights.start == 0
    if no_ridges or evaluate.target.n_parameters > MOST_PARAMETERS:
        return sample
    pooled = problem.mixture.assembled(np.full(k, 1.0 / k), problem.mixture.family.pooled(problem.summary, k))
    flat = np.asarray(_flat(evaluate.target, jax.tree.map(jnp.asarray, pooled)))
    few = _target_of_few(problem)
    if few is not None and out_of_reach(few, modes, flat, map_fit.optima[0]):
        return sample
    levels = find_ridges(evaluate, modes, flat, map_fit.optima[0])
    ridges = tuple(merged(evaluate, level) for level in levels)
    shares = dataclasses.replace(sample, ridges=ridges).laplace_masses[len(modes.modes) :]
    smallest = min(float(np.min(mode.optimum.effective_counts)) for mode in modes.modes)
    if not (shares.sum() >= _COUNTS or (not sample.good and smallest < _FEW_DATA)):
        return sample
    repeated = problem.z.repeated
    if problem.refuses_gibbs or repeated is None or not evaluate.data.blocks.natural:
        # Nothing that is at hand has the shape of a ridge, so that what the weights say leaves it out.
        return dataclasses.replace(sample, ridges=ridges, pareto_k=np.inf)
    first = [modes.sample(rng, _FIRST_POINTS)[0]]
    all_ridges = [ridge for level in levels for ridge in level]
    first += [ridge.sample(evaluate, rng, -(-_FIRST_POINTS // len(all_ridges))) for ridge in all_ridges]
    found = adapted_sample(evaluate, modes, repeated, np.concatenate(first), rng, _MORE * n_points)
    return dataclasses.replace(found, ridges=ridges, which=parts(found.mixture, ridges, evaluate, found.points))


def _target_of_few(problem: Problem) -> Evaluator | None:
    """The target of a sample of the data, None where there are not many more."""
    if len(problem.z) <= _MANY_ROWS:
        return None
    rows = subset_rows(len(problem.z), _FEW_ROWS)
    target, data = dataclasses.replace(problem, z=problem.z.take(rows)).target(LANES)
    return Evaluator(target, data, LANES)


def compile_ahead(mixture: Declarable, x: Any) -> None:
    """Begin to compile in a thread what `sample` will need for this mixture and data; returns at once.

    For callers that know of the sampling to come while something else has to be done first.
    """
    with computing():
        mixture = declared(mixture, x)
        samples = mixture.samples(x)
        target, data = prepare(mixture.resolved(samples), samples).target(LANES)
        Ahead(Evaluator(target, data, LANES), chains=True)


def points_on_ridges(problem: Problem, handoff: Handoff) -> list[Optimum]:
    """A point on each ridge as parameters in the data's units, in the form of an optimum that no start has reached."""
    found = []
    for ridge in handoff.sample.ridges:
        flat = ridge.with_weights(handoff.evaluate, ridge.mode.flat[None])[0]
        params = _in_data_units(handoff.target, flat, problem.frame)
        counts = np.full(len(ridge.concentration), np.nan)
        counts[list(ridge.empty)] = 0.0
        # Where components are alike, those without data come last.
        order = np.argsort(counts == 0.0, kind="stable") if handoff.target.exchangeable else np.arange(len(counts))
        found.append(_unreached(problem, handoff.map_fit, problem.mixture.permute(params, order), counts[order]))
    return found


def modes_near(problem: Problem, evaluate: Evaluator, map_fit: Fit) -> LaplaceMixture:
    """The Laplace mixture over the modes near EM's optima."""
    optima = map_fit.optima[:_MOST_OPTIMA]
    found = find_modes(evaluate, optima, _flat_optima(problem, evaluate.target, optima))
    modes = [mode if mode.optimum.count else _with_objective(problem, map_fit, mode) for mode in found.modes]
    return dataclasses.replace(found, modes=tuple(modes))


def _with_objective(problem: Problem, map_fit: Fit, mode: Mode) -> Mode:
    """A mode with EM's objective at the order of the components that its optimum was taken in."""
    given = mode.optimum
    return dataclasses.replace(mode, optimum=_unreached(problem, map_fit, given.params, given.effective_counts))


def _unreached(problem: Problem, map_fit: Fit, params: MixtureParams, counts: np.ndarray) -> Optimum:
    """Parameters in the data's units in the form of an optimum that no start has reached."""
    params = jax.tree.map(np.asarray, params)
    samples, prior = problem.samples, problem.mixture.prior
    assert isinstance(prior, Prior)
    log_likelihood = dataclasses.replace(map_fit, params=params).score(samples) * samples.total_weight
    return dataclasses.replace(
        map_fit.optima[0],
        params=params,
        log_likelihood=log_likelihood,
        objective=log_likelihood + float(problem.mixture.log_prior(params, prior)),
        count=0,
        effective_counts=counts,
    )


def _find_map(problem: Problem, target: Target, key: jax.Array, init: Any) -> Fit:
    if isinstance(init, Fit) and _is_map(problem, init):
        return init
    map_fit = _climb(problem.mixture, problem, key, init)
    bounded = _bounded(problem.mixture)
    if _has_failed(map_fit) and bounded is not problem.mixture:
        map_fit = _climb(bounded, problem, key, init)
    if _has_failed(map_fit):
        raise FitError(
            f"EM found no MAP from which chains could start (status {map_fit.status.value}): {map_fit.message}"
        )
    return _in_order_of(problem, init, map_fit) if isinstance(init, Fit) and target.exchangeable else map_fit


def _climb(mixture: Mixture, problem: Problem, key: jax.Array, init: Any) -> Fit:
    if isinstance(init, Fit):
        found = fit_from(mixture, problem.samples, _map_starts(problem, key, init), key=key)
    else:
        found = fit(mixture, problem.samples, key=key, init=init)
    if found.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    return found


def _has_failed(found: Fit) -> bool:
    return found.status in (Status.NONFINITE, Status.DEGENERATE) or not np.isfinite(found.objective)


def _bounded(mixture: Mixture) -> Mixture:
    """The mixture with no concentration below 1, whose density of the weights has no bound where one is zero.

    That of the log-ratios, in which chains move, has one under any prior: Newton goes on there, under the prior itself.
    """
    prior = mixture.prior
    if not isinstance(prior, Prior) or not (np.asarray(prior.concentration) < 1.0).any():
        return mixture
    bounded = prior.replace(weights=Dirichlet(np.maximum(prior.concentration, 1.0)))
    return dataclasses.replace(mixture, prior=bounded)


def _map_starts(problem: Problem, key: jax.Array, init: Fit) -> list[Any]:
    """A fit's optima, and drawn starts besides: the prior may have modes that the likelihood has not."""
    optima = list(init.optima[:_STARTS])
    optima[0] = dataclasses.replace(optima[0], params=init.params)
    likelihood = problem.mixture.likelihood
    drawn = drawn_starts(likelihood, problem.z, key=key, n_init=_STARTS)
    lanes = [jax.tree.map(lambda leaf, i=i: leaf[i], drawn) for i in range(_STARTS - len(optima))]
    return [*optima, *(jax.tree.map(np.asarray, likelihood.from_frame(lane, problem.frame)) for lane in lanes)]


def _in_order_of(problem: Problem, init: Fit, map_fit: Fit) -> Fit:
    """The fit with the components of every optimum in the order of those of ``init``."""

    places = problem.mixture.places

    def ordered(params: MixtureParams) -> MixtureParams:
        order = align.match(places(init.params), places(params))
        return jax.tree.map(np.asarray, problem.mixture.permute(params, order))

    optima = tuple(dataclasses.replace(optimum, params=ordered(optimum.params)) for optimum in map_fit.optima)
    return dataclasses.replace(map_fit, params=ordered(map_fit.params), optima=optima)


def _is_map(problem: Problem, init: Fit) -> bool:
    """Whether a fit is the MAP already: of the same mixture and prior, on the same data."""
    prior, wanted = init.mixture.prior, problem.mixture.prior
    if not (init.converged and isinstance(prior, Prior) and init.mixture.likelihood == problem.mixture.likelihood):
        return False
    ours, theirs = jax.tree.leaves(prior), jax.tree.leaves(wanted)
    same_prior = len(ours) == len(theirs) and all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    return same_prior and init.samples.same_as(problem.samples)


def _flat_optima(problem: Problem, target: Target, optima: Sequence[Optimum]) -> list[np.ndarray]:
    """EM's optima on the unconstrained space; a weight of zero is moved inside, where its logarithm is finite."""

    def inside(params: MixtureParams) -> MixtureParams:
        weights = np.maximum(params.weights, 1e-8)
        return params.replace(weights=weights / weights.sum())

    params = [inside(problem.mixture.to_frame(optimum.params, problem.frame)) for optimum in optima]
    return [np.asarray(_flat(target, jax.tree.map(jnp.asarray, each))) for each in params]


@jax.jit(static_argnums=0)
def _flat(target: Target, params: MixtureParams) -> jax.Array:
    return target.flat(params)


@jax.jit(static_argnums=0)
def _in_data_units(target: Target, flat: jax.Array, frame: Frame) -> MixtureParams:
    return target.likelihood.from_frame(target.params(flat), frame)


@dataclasses.dataclass(frozen=True)
class Starts:
    """Where chains start: points ``(n_chains, p)``, superchains as in `Run`, and a sentence on how they were drawn."""

    flat: np.ndarray
    superchains: np.ndarray | None
    note: str


def overdispersed_starts(handoff: Handoff, rng: np.random.Generator, chains: int, superchains: int = 0) -> Starts:
    r"""Starts spread wider than the posterior around its modes, so that agreement of the chains means something.

    A chain in mode :math:`m` starts at :math:`u_m + 2 L_m \varepsilon` with :math:`L_m L_m^\top` the covariance of the
    Laplace approximation. Every mode of non-negligible mass gets a chain before any gets a second one in proportion to
    its mass. A start without a finite density, or far less likely than the spread explains, is drawn again closer to
    its mode. With ``superchains`` so many points are drawn, and equally many chains start at each (see
    `emjax.bayes.rhat.nested_rhat`).
    """
    n_points = superchains or chains
    which = _share_out(np.where(handoff.masses >= NEGLIGIBLE, handoff.masses, 0.0), n_points)
    centers, heights = _centers(handoff, which)
    points = centers.copy()
    accepted = np.zeros(n_points, bool)
    n_redrawn = 0
    floor = 10.0 * INFLATION**2 * points.shape[1] / 2.0 + 20.0
    for attempt in range(_ATTEMPTS):
        drawn = _drawn_around(handoff, which, rng, INFLATION * _SHRINK**attempt)
        values, gradients = handoff.evaluate(drawn)
        usable = np.isfinite(values) & np.isfinite(gradients).all(axis=1) & (values > heights - floor)
        points = np.where((usable & ~accepted)[:, None], drawn, points)
        accepted |= usable
        if accepted.all():
            break
        n_redrawn = max(n_redrawn, int((~accepted).sum()))
    n_modes = len(handoff.modes.modes)
    note = _note(len(np.unique(which[which < n_modes])), bool((which >= n_modes).any()), n_points, n_redrawn)
    if not superchains:
        return Starts(points, None, note)
    each = chains // superchains
    return Starts(np.repeat(points, each, axis=0), np.repeat(np.arange(superchains), each), note)


def _centers(handoff: Handoff, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The modes, or points on the ridges, that starts are drawn around, and the target's values there."""
    on_ridges = [ridge.with_weights(handoff.evaluate, ridge.mode.flat[None]) for ridge in handoff.sample.ridges]
    centers = np.concatenate([handoff.modes.centers, *on_ridges])
    return centers[which], handoff.evaluate(centers)[0][which]


def _drawn_around(handoff: Handoff, which: np.ndarray, rng: np.random.Generator, width: float) -> np.ndarray:
    """A point for each start, ``width`` deviations around its mode or its place on a ridge."""
    n_modes = len(handoff.modes.modes)
    mode = np.minimum(which, n_modes - 1)
    noise = width * rng.standard_normal((len(which), handoff.modes.centers.shape[1]))
    drawn = handoff.modes.centers[mode] + np.einsum("nij,nj->ni", handoff.modes.roots[mode], noise)
    for i, ridge in enumerate(handoff.sample.ridges):
        here = which == n_modes + i
        if here.any():
            drawn[here] = ridge.sample(handoff.evaluate, rng, int(here.sum()), width)
    return drawn


def _share_out(masses: np.ndarray, n: int) -> np.ndarray:
    """The mode of each of ``n`` starts: one for each mode with a mass, the rest in proportion to the masses."""
    order = np.argsort(-masses)[: min(n, int((masses > 0).sum()))]
    counts = np.zeros(len(masses), int)
    counts[order] = 1
    for _ in range(n - len(order)):
        counts[int(np.argmax(masses / (counts + 0.5)))] += 1
    return np.repeat(np.arange(len(masses)), counts)


def _note(n_modes: int, on_ridges: bool, n_starts: int, n_redrawn: int) -> str:
    places = [] if n_modes == 0 else ["the mode" if n_modes == 1 else f"{n_modes} modes"]
    where = " and ".join([*places, *(["where components are empty"] if on_ridges else [])])
    note = (
        f"{n_starts} starts drawn around {where} of the posterior, {INFLATION:g} standard deviations of the Laplace "
        "approximation wide, in the unconstrained space"
    )
    if n_redrawn:
        note += f"; {n_redrawn} of them were drawn again with a smaller spread"
    return note
