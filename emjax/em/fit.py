"""`fit`: starts, the loop in chunks, and the distinct optima.

EM is Dempster, Laird and Rubin's (Journal of the Royal Statistical Society B 39, 1977), for mixtures as in McLachlan
and Peel, "Finite Mixture Models", 2000; ``criterion="log_likelihood"`` is Böhning et al.'s (Annals of the Institute of
Statistical Mathematics 46, 1994). `emjax.em.init`, `emjax.em.accelerate` and `emjax.em.lanes` describe the parts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np

from emjax.bounds import flag, not_negative, one_of, whole, written
from emjax.catalogue import DEFAULT_START, STARTS, StartName
from emjax.clock import stopwatch
from emjax.em.accelerate import METHODS
from emjax.em.filled import engine_of, may_fill
from emjax.em.further import FIRST, N_PARENTS, best_of, first_starts, further_starts, joined, joined_starts, wants_more
from emjax.em.init import as_list, given_starts
from emjax.em.lanes import Ended, Runner
from emjax.em.memory import check_memory
from emjax.em.problem import Problem, prepare
from emjax.em.restarts import End, Kept, Lanes, canonical_order, distinct_optima
from emjax.em.saddle import without_saddles
from emjax.em.state import EMPTY, RUNNING, Options, Program
from emjax.errors import ConfigError, FitError
from emjax.families.base import Family
from emjax.families.frame import Frame
from emjax.families.proper import explain_laws
from emjax.keys import KeyLike, as_key, kept_key
from emjax.mixture import Declarable, Mixture, MixtureParams, declared
from emjax.programs import make_room
from emjax.progress import both, progress_line
from emjax.result import Fit, Optimum, Status
from emjax.samples import (
    Samples,
    as_samples_like,
    check_against_components,
    check_squares,
)
from emjax.scope import computing
from emjax.shown import Shown

_NAMES = {
    "criterion": ("parameters", "log_likelihood"),
    "accelerate": ("auto", *METHODS),
    "starts": STARTS,
    "dtype": ("float64", "float32"),
}

_REACH = 0.03
"""From a given start EM is accelerated only so near to its limit (in coordinates), or it would go to another one."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Progress(Shown):
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
    mixture: Declarable,
    x: Any,
    *,
    weights: Any = None,
    labels: Any = None,
    key: KeyLike = None,
    init: Any = None,
    n_init: int | None = None,
    max_iter: int = 10_000,
    tol: float = 1e-6,
    criterion: Literal["parameters", "log_likelihood"] = "parameters",
    ridge: float = 0.0,
    accelerate: Literal["auto", "none", "squarem", "anderson"] = "auto",
    starts: StartName = DEFAULT_START,
    dtype: Literal["float64", "float32"] = "float64",
    throw: bool = False,
    log_every: int = 0,
    on_progress: Callable[[Progress], None] | None = None,
    progress: bool = False,
) -> Fit:
    r"""Fit a mixture by expectation-maximisation.

    Maximises :math:`\sum_n \log \sum_k w_k\, p(x_n \mid \theta_k)`, plus the log prior if the mixture has one, from
    several starts at once, and keeps the best of ``Fit.optima`` in which no component rests on too few points.

    Parameters
    ----------
    mixture
        The declaration, or an `emjax.program`. ``prior=None``: maximum likelihood, else MAP (``Fit.space`` says where).
    x, weights, labels
        Data ``(n_samples, n_features)``; ``(n_samples,)`` means one feature; NaN is a cell that was not seen. How often
        each row counts, and what is known of its component: see `emjax.samples.as_samples`.
    key
        A whole number or JAX random key, for the starts. Left out, a number is drawn, and ``Fit.key`` keeps it.
    init
        One start in place of drawn ones: parameters (``mixture.params(...)``), another `Fit`, means ``(K, d)``, or
        responsibilities ``(n_samples, K)``. A list of parameters, fits or ``fit.optima`` is as many starts.
    n_init, max_iter
        The number of drawn starts and the most iterations of any of them (10,000). ``None`` (default) is 20 starts, and
        further ones, up to 240, where these have not settled which optimum is the best; see `emjax.em.further`.
    tol
        1e-6 by default. ``tol=0.0`` runs exactly ``max_iter`` iterations of plain EM.
    criterion
        What ``tol`` bounds: the estimated distance to the limit in unconstrained ``"parameters"`` of standardised data
        (default), or the ``"log_likelihood"`` per sample still to be gained.
    ridge
        Added to every variance after each M-step, in squared units of the data. The objective may then fall a little.
    accelerate
        ``"anderson"``, ``"squarem"``, ``"none"`` (plain EM), ``"auto"`` (default): Anderson unless ``tol=0`` or ridge.
    starts
        How starts are drawn, ``"mixed"`` (default) or one of the kinds that `emjax.em.init` describes.
    dtype
        ``"float64"`` (default) or ``"float32"``; JAX's global setting is neither used nor changed.
    throw
        Raise `FitError` unless the status is ``converged``.
    log_every, on_progress, progress
        ``on_progress`` is called with a `Progress` exactly every ``log_every`` iterations, or about twice a second;
        ``progress``: whether a line says how far EM is. Ctrl-C ends the fit with the best and status ``interrupted``.

    Returns
    -------
    Fit
        Components ordered by their first parameter for drawn starts, in the order of ``init`` otherwise.

    Raises
    ------
    DataError, ConfigError, ValueError, FitError
        If the data cannot be used, an argument is out of range or ``init`` does not fit; see ``throw``.
    """
    mixture, key = declared(mixture, x), kept_key("emjax.fit", key)
    settings = Settings(n_init, max_iter, tol, criterion, ridge, accelerate, starts, dtype, log_every, init is not None)
    settings.check(mixture)
    flag("throw", throw)
    with progress_line(progress, "EM") as line:
        mixture, samples = _checked(mixture, x, settings, init, weights, labels)
        result = _fit(mixture, samples, settings, key, init, both(line, on_progress, _in_words, "starts"))
    if throw and not result.converged:
        raise FitError(f"status {result.status.value}: {result.message}")
    return result


def _in_words(found: Progress) -> str:
    return f"{found.n_iter:,} iterations, {found.n_running} of {found.n_init} starts running"


def fit_from(mixture: Mixture, samples: Samples, starts: list[Any], *, key: jax.Array) -> Fit:
    """`fit` from starts that nobody chose: ends of other fits and drawn ones, accelerated as drawn ones are."""
    settings = Settings(len(starts), 10_000, 1e-6, "parameters", 0.0, "auto", DEFAULT_START, "float64", 0)
    return _fit(mixture, samples, settings, key, starts, None)


def fit_in_sweep(
    mixture: Mixture,
    samples: Samples,
    *,
    key: KeyLike,
    n_init: int | None,
    max_iter: int,
    tol: float,
    filled: int,
    most: int = 0,
    beside: Sequence[Any] = (),
) -> Fit:
    """`fit` as one of many of the same shape, whose programs have ``filled`` components where that may be.

    There are ``most`` drawn starts where the best optimum is reached too seldom; ``beside`` are starts that come to the
    drawn ones, parameters or fits.
    """
    settings = Settings(
        n_init, max_iter, tol, "parameters", 0.0, "auto", DEFAULT_START, "float64", 0, filled=filled, most=most
    )
    settings.check(mixture)
    mixture, samples = _checked(mixture, samples, settings, None, None, None)
    return _fit(mixture, samples, settings, key, None, None, beside)


@dataclasses.dataclass(frozen=True)
class Settings:
    """The arguments of `fit` that are numbers and names."""

    n_init: int | None
    max_iter: int
    tol: float
    criterion: str
    ridge: float
    accelerate: str
    starts: str
    dtype: str
    log_every: int
    chosen: bool = False
    """Whether the user chose the starts, and with them where to end."""

    filled: int = 0
    """To how many components programs are filled up, where that may be (`emjax.em.filled`)."""

    most: int = 0
    """Drawn starts at most where the best was reached too seldom, if that is more than `fit` has."""

    def check(self, mixture: Mixture) -> None:
        """Raise a `ConfigError` that names the first argument out of range."""
        if not isinstance(mixture, Mixture):
            raise ConfigError(f"mixture = {written(mixture)} is not allowed; give an emjax.Mixture")
        if self.n_init is not None:
            whole("n_init", self.n_init)
        whole("max_iter", self.max_iter)
        whole("log_every", self.log_every)
        not_negative("tol", self.tol)
        not_negative("ridge", self.ridge)
        for argument, known in _NAMES.items():
            one_of(argument, getattr(self, argument), known)
        self._check_ridge(mixture)

    def _check_ridge(self, mixture: Mixture) -> None:
        if self.ridge > 0 and type(mixture.family).regularize is Family.regularize:
            raise ValueError(f"ridge={self.ridge} needs a family with variances, and {mixture.family.name} has none")
        if self.ridge > 0 and self.accelerate not in ("auto", "none"):
            raise ValueError(
                f"accelerate={self.accelerate!r} needs an objective that never falls: leave out ridge={self.ridge}"
            )

    @property
    def n_first(self) -> int:
        """The number of drawn starts to begin with."""
        return FIRST if self.n_init is None else self.n_init

    @property
    def open_ended(self) -> bool:
        """Whether there may be further starts: their number was left to us, as was their kind, and they converge."""
        return self.n_init is None and self.starts == DEFAULT_START and self.tol > 0

    @property
    def method(self) -> str:
        """The acceleration that is used."""
        if self.accelerate != "auto":
            return self.accelerate
        return "none" if self.tol == 0.0 or self.ridge > 0 else "anderson"

    def options(self, frame: Frame) -> Options:
        """The traced part of the settings, in the frame."""
        ridge = np.asarray(self.ridge / frame.scale**2, self.dtype) if self.ridge else None
        reach = np.asarray(_REACH, self.dtype) if self.chosen else None
        return dataclasses.replace(self.shared_options(), ridge=ridge, reach=reach)

    def shared_options(self) -> Options:
        """What of them no frame changes."""
        # Below some hundred roundings a change says nothing, so float32 cannot be asked for more than that.
        reachable = np.asarray(max(self.tol, 100 * np.finfo(self.dtype).eps) if self.tol > 0 else 0.0, self.dtype)
        never = np.asarray(-1.0 if self.tol > 0 else 0.0, self.dtype)
        return Options(
            parameters=reachable if self.criterion == "parameters" else never,
            gain=reachable if self.criterion == "log_likelihood" else never,
        )


def _checked(
    mixture: Mixture, x: Any, settings: Settings, init: Any, weights: Any, labels: Any
) -> tuple[Mixture, Samples]:
    """The mixture and its data, after all that can be wrong with them for this fit."""
    samples = mixture.samples(x, weights=weights, labels=labels, n_components=mixture.n_components)
    given = [] if init is None else as_list(init)
    check_against_components(samples, mixture.n_components)
    if settings.ridge:
        check_squares(samples)  # a ridge gives a variance even to what has none
    else:
        mixture.family.check(samples)
    for one in given:
        if isinstance(one, Fit):
            as_samples_like(samples, one.feature_names, of="the fit in init")
    mixture = mixture.resolved(samples)
    check_memory(
        mixture,
        samples.values.shape,
        len(given) or settings.n_first,
        holes=samples.has_holes,
        itemsize=np.dtype(settings.dtype).itemsize,
        accelerated=settings.method != "none",
    )
    return mixture, samples


def _fit(
    mixture: Mixture,
    samples: Samples,
    settings: Settings,
    key: KeyLike,
    init: Any,
    on_progress: Callable[[Progress], None] | None,
    beside: Sequence[Any] = (),
) -> Fit:
    make_room()
    drawn_by = as_key(key)
    n_starts = settings.n_first + len(beside) if init is None else len(as_list(init))
    with computing(settings.dtype == "float64"), stopwatch() as clock:
        filled = settings.filled if settings.method != "none" else 0
        filled = filled if may_fill(mixture, samples, filled, n_starts) else 0
        problem = prepare(mixture, samples, settings.dtype, drawn=init is None, n_starts=n_starts, filled=filled)
        if init is None:
            params = first_starts(problem, drawn_by, settings.n_first, settings.starts)
            params = joined_starts(params, _given(problem, list(beside))) if beside else params
        else:
            params = _given(problem, init)
        runner, ended = _run(problem, settings, params, None, on_progress)
        before: tuple[float, ...] = ()
        judged: list[End] = []
        kept = optima_of(problem, ended, judged=judged)
        while init is None and settings.open_ended and wants_more(problem, kept, ended, before, settings.most):
            before = (*before, best_of(kept))
            params = further_starts(problem, kept, drawn_by, batch=len(ended.traces) // n_starts)
            runner, ended = _run(problem, settings, params, ended, on_progress)
            kept = optima_of(problem, ended, N_PARENTS, judged)
        if before:
            kept = optima_of(problem, ended, judged=judged)
        if not ended.interrupted and not settings.ridge:
            given = settings.chosen and _is_new(init)
            kept = without_saddles(problem, kept, lambda: (runner.engine, runner.n_lanes), given=given)
    return make_fit(
        problem,
        kept,
        key=key,
        exact=settings.tol == 0.0,
        interrupted=ended.interrupted,
        compile_seconds=clock.compile_seconds,
        run_seconds=clock.run_seconds,
    )


def _given(problem: Problem, init: Any) -> MixtureParams:
    try:
        if isinstance(init, np.ndarray) and init.shape == (problem.samples.n_samples, problem.mixture.n_components):
            init = init[problem.samples.counts]
        return given_starts(problem.likelihood, problem.z, init, problem.frame, problem.frame_prior)
    except OverflowError:
        raise ValueError("init holds a number larger than float64 goes (1.8e308)") from None


def _is_new(init: Any) -> bool:
    """Whether starts were given that are not the ends of other fits, which have been looked at."""
    return init is not None and not all(isinstance(each, Fit | Optimum) for each in as_list(init))


def _run(
    problem: Problem,
    settings: Settings,
    params: MixtureParams,
    before: Ended | None,
    on_progress: Callable[[Progress], None] | None,
) -> tuple[Runner, Ended]:
    """Who iterated these starts, and how they ended, with those that ended before."""

    def with_before(ended: Ended) -> Ended:
        return ended if before is None else joined(before, ended)

    def report(done: int, ended: Ended) -> None:
        if on_progress is not None:
            on_progress(_progress(problem, with_before(ended), done, settings.max_iter))

    options = settings.options(problem.frame)
    runner = Runner(
        Program(problem.likelihood, problem.blocks, problem.frame_prior, options, settings.method),
        params,
        problem.exact_blocks if problem.blocks.natural else None,
        None if on_progress is None else report,
        engine_of(problem),
    )
    return runner, with_before(runner.run(max_iter=settings.max_iter, log_every=settings.log_every))


def _progress(problem: Problem, ended: Ended, done: int, max_iter: int) -> Progress:
    state = ended.state
    best = int(np.nanargmax(state.objective)) if np.isfinite(state.objective).any() else 0
    params = jax.tree.map(lambda leaf: leaf[best], state.params)
    params = jax.tree.map(np.asarray, problem.mixture.from_frame(params, problem.frame))
    if problem.ordered:
        # As the result will have them, so that a log line and the final table name components alike.
        params = problem.mixture.permute(params, canonical_order(problem.mixture, params))
    return Progress(
        n_iter=min(done, int(state.n_iter.max())),
        max_iter=max_iter,
        n_running=int((state.code == RUNNING).sum()),
        n_init=len(state.objective),
        objective=float(state.objective[best]) + problem.units.log_likelihood + problem.units.log_prior,
        params=params,
    )


def optima_of(
    problem: Problem, ended: Ended, most: int | None = None, judged: list[End] | None = None
) -> tuple[Kept, ...]:
    """The distinct optima of all starts (or the ``most`` best of them), best first, in the data's units.

    ``judged`` keeps how starts ended from one call to the next, where further ones come behind them.
    """
    kept = distinct_optima(
        problem.mixture.likelihood,
        Lanes(state=ended.state, traces=ended.traces),
        lambda params: problem.mixture.from_frame(params, problem.frame),
        problem.units,
        n_features=problem.samples.n_features,
        ordered=problem.ordered,
        bounded=problem.prior is not None,
        most=most,
        judged=judged,
    )
    return problem.in_float64(kept) if problem.rounds else kept


def make_fit(
    problem: Problem,
    kept: tuple[Kept, ...],
    *,
    key: KeyLike,
    exact: bool,
    interrupted: bool,
    compile_seconds: float,
    run_seconds: float,
) -> Fit:
    """The result: the first of the optima, with all that belongs to it."""
    best, samples = kept[0], problem.samples
    space = "maximum likelihood" if problem.prior is None else problem.mixture.space(problem.prior)
    return Fit(
        mixture=problem.mixture,
        params=best.optimum.params,
        log_likelihood=best.optimum.log_likelihood,
        log_prior=best.optimum.objective - best.optimum.log_likelihood,
        # Starts that were cut short might have ended higher than one that had converged.
        status=Status.INTERRUPTED if interrupted else best.optimum.status,
        n_iter=best.n_iter,
        n_evaluations=best.n_evaluations,
        trace=best.trace,
        optima=tuple(end.optimum for end in kept),
        space=space,
        rate=best.rate,
        compile_seconds=compile_seconds,
        run_seconds=run_seconds,
        samples=samples,
        key=key,
        exact_iterations=exact,
        drawn=problem.drawn,
        detail=_detail(problem, best.optimum),
    )


def _empties(optimum: Optimum, concentration: np.ndarray) -> bool:
    """Whether the next M-step gives a component no weight because its concentration is below 1."""
    return bool(((concentration < 1.0) & (optimum.effective_counts + concentration <= 1.0)).any())


def _detail(problem: Problem, optimum: Optimum) -> str:
    """What in the data or the prior is to blame for a failure, where that can be told."""
    if optimum.status is Status.NONFINITE and problem.frame_prior is not None:
        return explain_laws(problem.frame_prior)
    if optimum.status not in (Status.DEGENERATE, Status.PRECISION):
        return ""
    if problem.frame_prior is not None and _empties(optimum, np.asarray(problem.frame_prior.concentration)):
        return (
            "A component is empty, where a prior with a concentration below 1 has no bound; use 1 or more, fewer "
            "components, or `sample`."
        )
    if (optimum.effective_counts < EMPTY).any():
        return "A component has lost all its points; use fewer components, a prior or another start."
    return problem.mixture.family.explain_degenerate(problem.samples, optimum.params) or ""
