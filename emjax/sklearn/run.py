"""EM from one start by `emjax.fit`, in scikit-learn's terms."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from emjax.sklearn.starts import Parameters

if TYPE_CHECKING:
    from emjax.em.fit import Progress

_RECENT = 4
"""The convergence test looks at the last three gains of the lower bound, which is four values."""


class Settings(Protocol):
    """What EM from one start reads of the parameters of `GaussianMixture`."""

    n_components: Any
    covariance_type: Any
    max_iter: Any
    tol: Any
    reg_covar: Any
    verbose: Any
    verbose_interval: Any


@dataclasses.dataclass(frozen=True)
class Run:
    """How EM from one start ended; ``recent`` are its last lower bounds, that of ``parameters`` included."""

    parameters: Parameters
    bounds: list[float]
    recent: list[float]
    n_iter: int
    converged: bool
    sound: bool
    advice: str


def run(X: np.ndarray, start: Parameters, *, settings: Settings, recent: list[float], talk: Talk) -> Run:
    """EM from one start. Plain EM: a step of an accelerated one would be none of the iterations that are counted."""
    import jax

    from emjax.em.fit import fit
    from emjax.families.normal import Normal
    from emjax.mixture import Mixture
    from emjax.result import Status

    talk.begin()
    if settings.max_iter == 0:
        return Run(start, [], [], 0, converged=False, sound=True, advice="")
    family = Normal(settings.covariance_type)
    mixture = Mixture(family, settings.n_components)
    components = {"mean": start.means, family.structure.site: start.covariances}
    found = fit(
        mixture,
        X,
        key=jax.random.key(0),
        init=mixture.assembled(start.weights, components),
        max_iter=settings.max_iter,
        tol=float(settings.tol),
        criterion="log_likelihood",
        accelerate="none",
        ridge=float(settings.reg_covar),
        dtype="float32" if X.dtype == np.float32 else "float64",
        log_every=settings.verbose_interval if settings.verbose else 0,
        on_progress=talk.iterated(len(X)) if settings.verbose else None,
    )
    if found.status == "interrupted":
        # An interrupt is for the whole program: neither the next start nor the next fit of a search may begin.
        raise KeyboardInterrupt
    trace = [float(value) / len(X) for value in found.trace]
    # Where a warm start goes on with the same data, the bounds that led to it belong to the series.
    series = recent[:-1] + trace if recent and np.isclose(recent[-1], trace[0], rtol=1e-5, atol=1e-5) else trace
    running = found.status is Status.MAX_ITER
    at_rest = running and settings.tol > 0 and gain_to_come(series, float(np.finfo(X.dtype).eps)) <= settings.tol
    ended = Run(
        parameters=Parameters(found.params.weights, found.params.mean, found.params[family.structure.site]),
        # scikit-learn's bound of an iteration is that of its E-step, which comes before its M-step.
        bounds=trace[:-1] or trace,
        recent=series[-_RECENT:],
        n_iter=found.n_iter,
        converged=found.converged or at_rest,
        sound=found.converged or running,
        advice=(
            "Try different init parameters, or increase max_iter, tol, or check for degenerate data."
            if running
            else found.message
        ),
    )
    talk.end(ended.bounds[-1], ended.converged)
    return ended


def gain_to_come(bounds: list[float], eps: float) -> float:
    """Aitken's estimate of what a linearly converging series still has to gain, by the larger of its last two rates.

    Gains that are nothing but rounding, of relative size ``eps``, are none.
    """
    if len(bounds) < _RECENT:
        return np.inf
    first, second, last = (float(gain) for gain in np.abs(np.diff(bounds[-_RECENT:])))
    if last <= 64 * eps * (1.0 + abs(bounds[-1])):
        return 0.0
    rate = max(last / second, second / first) if first > 0 and second > 0 else np.inf
    return float(last * rate / (1.0 - rate)) if rate < 1.0 else np.inf


class Talk:
    """The lines of ``verbose``, as scikit-learn prints them."""

    def __init__(self, verbose: int, interval: int, number: int) -> None:
        self.verbose, self.interval, self.number = int(verbose), interval, number
        self.began = self.last = perf_counter()
        self.bound = -np.inf

    def begin(self) -> None:
        """The line before a start."""
        if self.verbose:
            print(f"Initialization {self.number}")
        self.began = self.last = perf_counter()

    def iterated(self, n_samples: int) -> Callable[[Progress], None]:
        """What prints a line every ``verbose_interval`` iterations."""

        def show(progress: Progress) -> None:
            if progress.n_iter % self.interval:
                return
            now, bound = perf_counter(), progress.objective / n_samples
            times = f"\t time lapse {now - self.last:.5f}s\t ll change {bound - self.bound:.5f}"
            print(f"  Iteration {progress.n_iter}" + (times if self.verbose > 1 else ""))
            self.last, self.bound = now, bound

        return show

    def end(self, bound: float, converged: bool) -> None:
        """The line after a start."""
        if self.verbose:
            times = f" time lapse {perf_counter() - self.began:.5f}s\t lower bound {bound:.5f}."
            print(f"Initialization {'converged' if converged else 'did not converge'}." + times * (self.verbose > 1))
