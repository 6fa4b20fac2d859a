"""What an EM run ends in: a status with a message, the distinct optima, and the `Fit` that carries them."""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from emjax.errors import DataError
from emjax.programs import filled_up
from emjax.samples import as_samples_like
from emjax.scope import computing

if TYPE_CHECKING:
    from emjax.mixture import Mixture, MixtureParams
    from emjax.uncertainty.information import Intervals


class Status(enum.StrEnum):
    """How an EM run ended. Only ``converged`` may be trusted without a second look; NaN can never read as it."""

    CONVERGED = "converged"
    MAX_ITER = "max_iter"
    DEGENERATE = "degenerate"
    NONFINITE = "nonfinite"
    DECREASED = "decreased"
    PRECISION = "precision"
    INTERRUPTED = "interrupted"
    SADDLE = "saddle"

    @property
    def message(self) -> str:
        """One sentence for people: what happened and what to do."""
        return _MESSAGES[self]


ENOUGH = 3
"""Starts that reach the best optimum, for nothing to be said about how few they were."""

_SLOW = 0.99
"""From this rate on a message says that EM is slow; a digit then takes more than 230 iterations."""

_MESSAGES = {
    Status.CONVERGED: "EM converged: the parameters are within the tolerance of a stationary point.",
    Status.MAX_ITER: "EM stopped at the last iteration allowed, before its parameters came to rest; raise max_iter.",
    Status.DEGENERATE: (
        "A component collapsed on too few points or lost them all, where the likelihood has no bound; "
        "use a prior, fewer components or another start."
    ),
    Status.NONFINITE: "A number stopped being finite; the last finite parameters are returned. Check the data's scale.",
    Status.DECREASED: (
        "The objective fell by more than rounding explains, so the last better parameters are returned; "
        "use float64 or report this."
    ),
    Status.PRECISION: (
        "The arithmetic is too coarse for components this narrow or this far out, so the last good parameters are "
        "returned; use float64 and data without a large offset, or a prior."
    ),
    Status.INTERRUPTED: "The fit was interrupted and returns the best so far; go on with fit(..., init=<this fit>).",
    Status.SADDLE: (
        "EM came to rest on a saddle, where the objective rises in some direction (as where components are equal), so "
        "this is no maximum; use another start."
    ),
}

_SPURIOUS = (
    "But a component stands on few points and is nearly singular, so this optimum is spurious; "
    "use a prior, fewer components or more starts."
)

_FAR_ABOVE = 2.0
"""Nats by which an end that is not kept must be higher to be worth a word."""

_WHY_NOT = {
    "spurious": "with a nearly singular component on few points",
    "degenerate": "where a component collapsed",
    "precision": "where the arithmetic is too coarse",
    "saddle": "on a saddle",
    "decreased": "where the objective began to fall",
    "nonfinite": "where a number stopped being finite",
    "max_iter": "without coming to rest",
    "interrupted": "without coming to rest",
}


@dataclasses.dataclass(frozen=True)
class Optimum:
    """One distinct end point of the starts of a fit.

    Attributes
    ----------
    params
        The parameters, in the data's units.
    log_likelihood, objective
        Total log-likelihood (natural log), and the same plus the log prior where there is one.
    status
        How its best start ended.
    count
        How many starts ended here.
    effective_counts
        The sum of each component's responsibilities, shape ``(n_components,)``.
    spurious
        True where a component stands on the way to where the likelihood has no bound: on few points, and nearly
        singular. Such a maximum says something about these points, not about the population. Where the likelihood is
        bounded (under a prior, for counts, for tied covariances) nothing is spurious but a component without any data.
    """

    params: MixtureParams
    log_likelihood: float
    objective: float
    status: Status
    count: int
    effective_counts: np.ndarray
    spurious: bool

    @property
    def kind(self) -> str:
        """``regular`` where it converged to an interior optimum, otherwise ``spurious`` or the status."""
        if self.status is not Status.CONVERGED:
            return self.status.value
        return "spurious" if self.spurious else "regular"

    def __str__(self) -> str:
        counts = " ".join(f"{count:.4g}" for count in self.effective_counts)
        counts = counts if len(counts) <= 38 else counts[:36] + " …"
        return f"{self.log_likelihood:16.4f}  {self.count:6d}  {self.kind:10}  {counts}"


@dataclasses.dataclass(frozen=True)
class Fit:
    """A mixture fitted by EM.

    Attributes
    ----------
    mixture
        The declaration, with the prior that was used (``None`` for maximum likelihood).
    params
        The best parameters found: ``weights``, and ``components`` with the family's arrays, as NumPy arrays.
    log_likelihood
        Total log-likelihood (natural log) of ``params``.
    log_prior
        The prior's log density at ``params``; 0 for maximum likelihood.
    objective
        What EM maximised, ``log_likelihood + log_prior``.
    status
        How the run ended, a `Status`; ``message`` says it in words.
    n_iter, n_evaluations
        The number of iterations of the run that was kept, and of its E-steps: more than one an iteration where an
        accelerated step was refused or the end was checked.
    trace
        The objective at the start and after every iteration, shape ``(n_iter + 1,)``.
    optima
        Every distinct end point of all starts, best first; see `Optimum`.
    space
        The space in which ``params`` is a mode. Maximum likelihood does not depend on it, a MAP estimate does.
    rate
        The estimated linear rate of convergence of plain EM, also of an accelerated run: the fraction of missing
        information in the slowest direction. NaN where the fit came to rest before two steps could be compared.
    compile_seconds, run_seconds
        Seconds spent tracing and compiling, and everything else, of all starts together.
    feature_names, n_samples
        What it was fitted to.
    """

    mixture: Mixture
    params: MixtureParams
    log_likelihood: float
    log_prior: float
    status: Status
    n_iter: int
    trace: np.ndarray
    optima: tuple[Optimum, ...]
    space: str
    rate: float
    compile_seconds: float
    run_seconds: float
    feature_names: tuple[str, ...]
    n_samples: int
    data: np.ndarray = dataclasses.field(repr=False)
    exact_iterations: bool = False
    n_evaluations: int = 0
    drawn: bool = False
    detail: str = dataclasses.field(default="", repr=False)

    @property
    def gap_to_rival(self) -> float:
        """Nats from the best optimum to the next regular one that is not spurious; infinity if there is none."""
        regular = [o.objective for o in self.optima if o.kind == "regular"]
        return self.objective - max(regular[1:]) if len(regular) > 1 else math.inf

    @property
    def objective(self) -> float:
        """What EM maximised: the log-likelihood plus the log prior."""
        return self.log_likelihood + self.log_prior

    @property
    def converged(self) -> bool:
        """True only where the status is ``converged``."""
        return self.status is Status.CONVERGED

    @property
    def spurious(self) -> bool:
        """Whether the best end of all starts is spurious, see `Optimum`: converged or not, it is no estimate."""
        return bool(self.optima) and self.optima[0].spurious

    @property
    def message(self) -> str:
        """The status in words, with what else must be known of it."""
        if self.status is Status.MAX_ITER and self.exact_iterations:
            return f"EM ran the {self.n_iter} iterations that were asked for; convergence was not tested."
        parts = [self.detail[:1].upper() + self.detail[1:] or self.status.message]
        if self.converged and self.spurious:
            parts.append(_SPURIOUS)
        if _SLOW < self.rate < 1.0:
            digit = round(np.log(10.0) / -np.log(self.rate))
            parts.append(f"EM is slow here: {digit:,} plain iterations for every further digit.")
        count, n_starts = self.optima[0].count, sum(optimum.count for optimum in self.optima)
        if self.converged and self.drawn and count < ENOUGH <= n_starts:
            parts.append(f"The best optimum was reached by {count} of {n_starts} starts: others may be better.")
        return " ".join([*parts, *self._higher()])

    def _higher(self) -> list[str]:
        """A word on starts that ended far above what is returned, in an optimum that is not to be trusted."""
        above = [o for o in self.optima[1:] if o.objective > self.objective + _FAR_ABOVE]
        if not above:
            return []
        highest = max(above, key=lambda o: o.objective)
        starts = sum(o.count for o in above)
        return [
            f"{starts} of {sum(o.count for o in self.optima)} starts ended up to "
            f"{highest.objective - self.objective:,.4g} nats higher, but {_WHY_NOT[highest.kind]}; see optima_table()."
        ]

    def optima_table(self, most: int = 10) -> str:
        """The distinct optima for people: log-likelihood, how many starts ended there, kind, points per component.

        ``regular`` is a converged interior optimum, ``spurious`` one that rests on few points (see `Optimum`), anything
        else the status. The one that was kept comes first; at most ``most`` rows are shown.
        """
        n_starts = sum(optimum.count for optimum in self.optima)
        lines = [f"{n_starts} starts, {len(self.optima)} distinct end points"]
        lines.append("    log-likelihood  starts  kind        points per component")
        lines += [f"{'*' if not i else ' '} {optimum}" for i, optimum in enumerate(self.optima[:most])]
        if len(self.optima) > most:
            lines.append(f"  and {len(self.optima) - most} more")
        return "\n".join(lines)

    def responsibilities(self, x: Any) -> np.ndarray:
        """``p(z_n = k | x_n)`` under the fitted parameters, shape ``(n_samples, n_components)``.

        Raises `DataError` where a datum has no density in any component.
        """
        shares = self._evaluate(_responsibilities, x)
        nowhere = np.flatnonzero(np.isnan(shares).any(axis=1))
        if nowhere.size:
            raise DataError(
                f"x: row {nowhere[0]} (counting from 0) has no density in any component, so that none is responsible "
                f"for it ({len(nowhere)} of {len(shares)} rows): leave such rows out"
            )
        return shares

    def log_prob(self, x: Any) -> np.ndarray:
        """The log density of each datum under the fitted parameters, shape ``(n_samples,)``."""
        return self._evaluate(_log_prob, x)

    def sample(self, key: jax.Array, n: int) -> np.ndarray:
        """``n`` draws from the fitted mixture, shape ``(n, n_features)``; `Mixture.sample` gives their labels too."""
        with computing():
            x, _ = self.mixture.sample(self.params, key, n)
            return np.asarray(x)

    def bic(self, x: Any) -> float:
        r"""Bayesian information criterion, :math:`-2 \log L + p \log n`; the lower the better.

        mclust reports the same number with the opposite sign. (Schwarz, Annals of Statistics 6, 1978.)
        """
        samples = as_samples_like(x, self.feature_names, of="the fit")
        n_samples, n_features = samples.values.shape
        return float(-2.0 * self.log_prob(samples).sum() + self.mixture.n_parameters(n_features) * np.log(n_samples))

    def intervals(self, level: float = 0.9, method: str = "information", *, bounded: bool = True) -> Intervals:
        """Standard errors and confidence intervals of the estimates; see `emjax.uncertainty.intervals`."""
        from emjax.uncertainty import intervals

        return intervals(self, level=level, method=method, bounded=bounded)

    def _evaluate(self, function: Any, x: Any) -> np.ndarray:
        values = as_samples_like(x, self.feature_names, of="the fit").values
        with computing():
            return np.asarray(function(self.mixture.likelihood, self.params, filled_up(values)))[: len(values)]


@jax.jit(static_argnums=0)
def _log_prob(mixture: Mixture, params: MixtureParams, x: jax.Array) -> jax.Array:
    return mixture.log_prob(params, x)


@jax.jit(static_argnums=0)
def _responsibilities(mixture: Mixture, params: MixtureParams, x: jax.Array) -> jax.Array:
    return mixture.responsibilities(params, x)
