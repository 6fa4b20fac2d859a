"""What an EM run ends in: a status with a message, the distinct optima, and the `Fit` that carries them."""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from emjax.samples import as_samples

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

    @property
    def message(self) -> str:
        """One sentence for people: what happened and what to do."""
        return _MESSAGES[self]


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
        "float32 is too coarse for components this narrow or this far out, so the last good parameters are returned; "
        "use float64."
    ),
    Status.INTERRUPTED: "The fit was interrupted and returns the best so far; go on with fit(..., init=<this fit>).",
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
        True where a component rests on no more than ``n_features + 1`` points: a local maximum of the likelihood
        that says something about a few points, not about the population.
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
    def message(self) -> str:
        """The status in words."""
        if self.status is Status.MAX_ITER and self.exact_iterations:
            return f"EM ran the {self.n_iter} iterations that were asked for; convergence was not tested."
        if _SLOW < self.rate < 1.0:
            digit = round(np.log(10.0) / -np.log(self.rate))
            return f"{self.status.message} EM is slow here: {digit:,} plain iterations for every further digit."
        return self.status.message

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
        """``p(z_n = k | x_n)`` under the fitted parameters, shape ``(n_samples, n_components)``."""
        return self._evaluate(_responsibilities, x)

    def log_prob(self, x: Any) -> np.ndarray:
        """The log density of each datum under the fitted parameters, shape ``(n_samples,)``."""
        return self._evaluate(_log_prob, x)

    def sample(self, key: jax.Array, n: int) -> np.ndarray:
        """``n`` draws from the fitted mixture, shape ``(n, n_features)``; `Mixture.sample` gives their labels too."""
        with jax.enable_x64(True):
            x, _ = self.mixture.sample(self.params, key, n)
            return np.asarray(x)

    def bic(self, x: Any) -> float:
        r"""Bayesian information criterion, :math:`-2 \log L + p \log n`; the lower the better.

        mclust reports the same number with the opposite sign. (Schwarz, Annals of Statistics 6, 1978.)
        """
        values = as_samples(x).values
        n_samples, n_features = values.shape
        return float(-2.0 * self.log_prob(values).sum() + self.mixture.n_parameters(n_features) * np.log(n_samples))

    def intervals(self, level: float = 0.9, method: str = "information") -> Intervals:
        """Standard errors and confidence intervals of the estimates; see `emjax.uncertainty.intervals`."""
        from emjax.uncertainty import intervals

        return intervals(self, level=level, method=method)

    def _evaluate(self, function: Any, x: Any) -> np.ndarray:
        values = as_samples(x).values
        expected = len(self.feature_names)
        if values.shape[1] != expected:
            raise ValueError(f"x has {values.shape[1]} features, the fit has {expected}")
        with jax.enable_x64(True):
            return np.asarray(function(self.mixture.likelihood, self.params, values))


@jax.jit(static_argnums=0)
def _log_prob(mixture: Mixture, params: MixtureParams, x: jax.Array) -> jax.Array:
    return mixture.log_prob(params, x)


@jax.jit(static_argnums=0)
def _responsibilities(mixture: Mixture, params: MixtureParams, x: jax.Array) -> jax.Array:
    return mixture.responsibilities(params, x)
