"""`fit`: starts, the loop in chunks, and the distinct optima."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.clock import Stopwatch, stopwatch
from emjax.em.init import drawn_starts, given_start
from emjax.em.loop import CHUNK, RUNNING, EMState, Options, run_chunk, start
from emjax.em.restarts import Kept, Lanes, Units, canonical_order, distinct_optima
from emjax.em.step import Blocks, make_blocks
from emjax.errors import FitError
from emjax.families.base import Family
from emjax.families.frame import Frame
from emjax.mixture import Mixture, MixtureParams, Prior
from emjax.result import Fit
from emjax.samples import Samples, as_samples, check_against_components

CRITERIA = ("parameters", "log_likelihood")
DTYPES = ("float64", "float32")
STARTS = ("mixed", "kmeans++", "random")


@dataclasses.dataclass(frozen=True)
class Progress:
    """What a caller learns between two chunks of iterations.

    Attributes
    ----------
    n_iter, max_iter
        Iterations done, and the most that will be done.
    n_running, n_init
        Starts still running, and all starts.
    objective, params
        The best objective so far and its parameters, in the data's units.
    """

    n_iter: int
    max_iter: int
    n_running: int
    n_init: int
    objective: float
    params: MixtureParams


def fit(
    mixture: Mixture,
    x: Any,
    *,
    key: jax.Array,
    init: Any = None,
    n_init: int = 20,
    max_iter: int = 10_000,
    tol: float = 1e-6,
    criterion: Literal["parameters", "log_likelihood"] = "parameters",
    ridge: float = 0.0,
    starts: Literal["mixed", "kmeans++", "random"] = "mixed",
    dtype: Literal["float64", "float32"] = "float64",
    throw: bool = False,
    log_every: int = 0,
    on_progress: Callable[[Progress], None] | None = None,
) -> Fit:
    r"""Fit a mixture by expectation-maximisation.

    Maximises :math:`\sum_n \log \sum_k w_k\, p(x_n \mid \theta_k)`, plus the log prior if the mixture has one, from
    several starts at once, and keeps the best regular optimum: no component collapsed or on ``n_features + 1`` points
    or fewer. ``Fit.optima`` has all distinct ones.

    Parameters
    ----------
    mixture
        The declaration. ``prior=None`` means maximum likelihood, otherwise the estimate is a posterior mode (MAP) in
        the space that ``Fit.space`` names.
    x
        Data ``(n_samples, n_features)``; ``(n_samples,)`` means one feature. Arrays, data frames, bundled data sets.
    key
        A JAX random key for the starts; the same key gives the same fit.
    init
        One start in place of drawn ones: parameters (``mixture.params(...)``), another `Fit`, means ``(K, d)`` (with
        equal weights and the data's own covariance), or responsibilities ``(n_samples, K)``.
    n_init, max_iter
        The number of drawn starts, run side by side (20), and the most iterations of any of them (10,000).
    tol
        A start has converged when the estimated distance to its limit, in unconstrained parameters of standardised
        data, is at most this; 1e-6 by default. ``tol=0.0`` runs exactly ``max_iter`` iterations.
    criterion
        What ``tol`` bounds: ``"parameters"`` (default), or ``"log_likelihood"``, the estimated gain of the objective
        per sample that is still to come.
    ridge
        Added to every variance (the diagonal of every covariance) after each M-step, in squared units of the data; 0
        by default. The objective is then no longer maximised exactly, and may fall by a little.
    starts
        ``"kmeans++"``; ``"random"``, the textbook start: means drawn from the data, equal weights, the data's own
        covariance; ``"mixed"`` (default), half of each: each kind finds optima that the other misses.
    dtype
        ``"float64"`` (default) or ``"float32"``; JAX's global setting is neither used nor changed.
    throw
        Raise `FitError` unless the status is ``converged``.
    log_every, on_progress
        ``on_progress`` is called with a `Progress` between chunks of iterations, exactly every ``log_every`` ones.

    Returns
    -------
    Fit
        Components ordered by their first parameter for drawn starts, in the order of ``init`` otherwise.

    Raises
    ------
    DataError
        If the data hold NaN or infinity, are constant, fewer than the components, or not of the family.
    ValueError
        If an argument is out of range, or ``init`` does not fit.
    FitError
        See ``throw``.

    References
    ----------
    Dempster, Laird and Rubin, Journal of the Royal Statistical Society B 39, 1977; McLachlan and Peel, "Finite
    Mixture Models", 2000; Böhning et al., Annals of the Institute of Statistical Mathematics 46, 1994 (``criterion``).
    """
    _check_arguments(n_init, max_iter, tol, log_every, ridge)
    _check_names(starts=(starts, STARTS), dtype=(dtype, DTYPES), criterion=(criterion, CRITERIA))
    _check_ridge(mixture, ridge)
    samples = as_samples(x)
    check_against_components(samples, mixture.n_components)
    mixture.family.check(samples)
    with jax.enable_x64(dtype == "float64"), stopwatch() as clock:
        problem = _prepare(mixture, samples, dtype, ordered=init is None)
        state = _starting_lanes(problem, key=key, init=init, n_init=n_init, starts=starts)
        lanes = _iterate(problem, state, max_iter, _options(problem, tol, criterion, ridge), log_every, on_progress)
        kept = _optima(problem, lanes)
    result = _result(problem, kept, clock, exact=tol == 0.0)
    if throw and not result.converged:
        raise FitError(f"status {result.status.value}: {result.message}")
    return result


@dataclasses.dataclass(frozen=True)
class _Problem:
    """A mixture and its data in the standard frame; ``ordered`` where drawn starts leave the order to us."""

    mixture: Mixture
    samples: Samples
    ordered: bool
    prior: Prior | None
    frame: Frame
    z: np.ndarray
    blocks: Blocks
    frame_prior: Prior | None
    units: Units


def _check_arguments(n_init: int, max_iter: int, tol: float, log_every: int, ridge: float) -> None:
    if n_init < 1:
        raise ValueError(f"n_init must be at least 1, not {n_init}")
    if max_iter < 1:
        raise ValueError(f"max_iter must be at least 1, not {max_iter}")
    if not tol >= 0:
        raise ValueError(f"tol must not be negative, not {tol}")
    if log_every < 0:
        raise ValueError(f"log_every must not be negative, not {log_every}")
    if not 0 <= ridge < np.inf:
        raise ValueError(f"ridge must be finite and not negative, not {ridge}")


def _check_names(**choices: tuple[str, tuple[str, ...]]) -> None:
    for argument, (name, known) in choices.items():
        if name not in known:
            raise ValueError(f"{argument}={name!r} is not one of {', '.join(map(repr, known))}")


def _check_ridge(mixture: Mixture, ridge: float) -> None:
    if ridge > 0 and type(mixture.family).regularize is Family.regularize:
        raise ValueError(f"ridge={ridge} needs a family with variances, and {mixture.family.name} has none")


def _prepare(mixture: Mixture, samples: Samples, dtype: str, *, ordered: bool) -> _Problem:
    frame = mixture.family.frame(samples.values)
    z = np.ascontiguousarray(frame.apply(samples.values), dtype=dtype)
    prior = mixture.resolved_prior(samples.values)
    frame_prior = None
    if prior is not None:
        frame_prior = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), mixture.prior_to_frame(prior, frame))
    return _Problem(
        mixture=dataclasses.replace(mixture, prior=prior),
        samples=samples,
        ordered=ordered,
        prior=prior,
        frame=frame,
        z=z,
        blocks=make_blocks(z, mixture),
        frame_prior=frame_prior,
        units=_units(mixture, prior, frame, z),
    )


def _units(mixture: Mixture, prior: Prior | None, frame: Frame, z: np.ndarray) -> Units:
    base, jacobian = _constants(mixture.likelihood, frame, z)
    log_likelihood = float(base) - len(z) * float(np.log(frame.scale).sum())
    return Units(log_likelihood=log_likelihood, log_prior=0.0 if prior is None else float(jacobian))


@functools.partial(jax.jit, static_argnums=0)
def _constants(mixture: Mixture, frame: Frame, z: Float[Array, "n d"]) -> tuple[Array, Array]:
    jacobian = mixture.family.log_prior_jacobian(mixture.n_components, frame)
    return jnp.sum(mixture.family.log_base_measure(z)), jacobian


def _starting_lanes(problem: _Problem, *, key: jax.Array, init: Any, n_init: int, starts: str) -> EMState:
    likelihood = problem.mixture.likelihood
    if init is None:
        params = drawn_starts(likelihood, problem.z, key=key, n_init=n_init, starts=starts)
    else:
        params = given_start(likelihood, problem.z, init, problem.frame, problem.frame_prior)
    return start(likelihood, params, problem.blocks, problem.frame_prior)


def _options(problem: _Problem, tol: float, criterion: str, ridge: float) -> Options:
    dtype = problem.z.dtype
    # Below some hundred roundings a change says nothing, so float32 cannot be asked for more than that.
    reachable = np.asarray(max(tol, 100 * np.finfo(dtype).eps) if tol > 0 else 0.0, dtype)
    never = np.asarray(-1.0 if tol > 0 else 0.0, dtype)
    return Options(
        parameters=reachable if criterion == "parameters" else never,
        gain=reachable if criterion == "log_likelihood" else never,
        ridge=np.asarray(ridge / problem.frame.scale**2, dtype) if ridge else None,
    )


def _iterate(
    problem: _Problem,
    state: EMState,
    max_iter: int,
    options: Options,
    log_every: int,
    on_progress: Callable[[Progress], None] | None,
) -> Lanes:
    likelihood = problem.mixture.likelihood
    traces, done = [np.asarray(state.objective)[:, None]], 0
    while done < max_iter and (np.asarray(state.code) == RUNNING).any():
        limit = min(CHUNK, max_iter - done)
        if log_every:
            limit = min(limit, log_every - done % log_every)
        state, trace = run_chunk(
            likelihood, state, problem.blocks, problem.frame_prior, np.asarray(limit, np.int32), options
        )
        done += limit
        traces.append(np.asarray(trace)[:, :limit])
        if on_progress is not None and not (log_every and done % log_every and done < max_iter):
            on_progress(_progress(problem, state, done, max_iter))
    return Lanes(state=jax.tree.map(np.asarray, state), traces=np.concatenate(traces, axis=1))


def _progress(problem: _Problem, state: EMState, done: int, max_iter: int) -> Progress:
    objectives = np.asarray(state.objective)
    best = int(np.nanargmax(objectives)) if np.isfinite(objectives).any() else 0
    params = jax.tree.map(lambda leaf: np.asarray(leaf)[best], state.params)
    params = jax.tree.map(np.asarray, problem.mixture.from_frame(params, problem.frame))
    if problem.ordered:
        # As the result will have them, so that a log line and the final table name components alike.
        params = problem.mixture.permute(params, canonical_order(problem.mixture, params))
    return Progress(
        n_iter=min(done, int(np.asarray(state.n_iter).max())),
        max_iter=max_iter,
        n_running=int((np.asarray(state.code) == RUNNING).sum()),
        n_init=len(objectives),
        objective=float(objectives[best]) + problem.units.log_likelihood + problem.units.log_prior,
        params=params,
    )


def _optima(problem: _Problem, lanes: Lanes) -> tuple[Kept, ...]:
    return distinct_optima(
        problem.mixture.likelihood,
        lanes,
        lambda params: problem.mixture.from_frame(params, problem.frame),
        problem.units,
        n_features=problem.samples.n_features,
        ordered=problem.ordered,
    )


def _result(problem: _Problem, kept: tuple[Kept, ...], clock: Stopwatch, *, exact: bool) -> Fit:
    best, samples = kept[0], problem.samples
    space = "maximum likelihood" if problem.prior is None else problem.mixture.space(samples.n_features)
    return Fit(
        mixture=problem.mixture,
        params=best.optimum.params,
        log_likelihood=best.optimum.log_likelihood,
        log_prior=best.optimum.objective - best.optimum.log_likelihood,
        status=best.optimum.status,
        n_iter=best.n_iter,
        trace=best.trace,
        optima=tuple(end.optimum for end in kept),
        space=space,
        rate=best.rate,
        compile_seconds=clock.compile_seconds,
        run_seconds=clock.run_seconds,
        feature_names=samples.feature_names,
        n_samples=samples.n_samples,
        data=samples.values,
        exact_iterations=exact,
    )
