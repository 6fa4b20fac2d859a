"""What an EM run ends in: a status with a message, the distinct optima, and the `Fit` that carries them."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from emjax import criteria
from emjax.bounds import whole
from emjax.catalogue import DEFAULT_INTERVALS
from emjax.errors import DataError
from emjax.families.observations import Observations, observed_rows
from emjax.keys import KeyLike, as_key
from emjax.naming import ScalarParameter, parameter_frame
from emjax.samples import Samples, as_samples_like
from emjax.scope import computing
from emjax.shown import Card, Pictured, Shown, Word, nats
from emjax.storage import Stored
from emjax.summary import Summary, summarised
from emjax.table import Table, of_number
from emjax.wording import count

if TYPE_CHECKING:
    import pandas as pd

    from emjax.mixture import Mixture, MixtureParams
    from emjax.uncertainty import Diagnosis, Intervals


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

_CARD_COLUMNS = 4
"""Numbers of each component that a notebook shows."""

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


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Optimum(Shown):
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

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "kind", self.kind
        yield "log_likelihood", self.log_likelihood
        yield "count", self.count
        yield "effective_counts", self.effective_counts

    def __str__(self) -> str:
        counts = " ".join(f"{count:.4g}" for count in self.effective_counts)
        counts = counts if len(counts) <= 38 else counts[:36] + " …"
        return f"{self.log_likelihood:16.4f}  {self.count:6d}  {self.kind:10}  {counts}"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Fit(Stored, Pictured):
    """A mixture fitted by EM.

    Attributes
    ----------
    mixture
        The declaration, with the prior that was used (``None`` for maximum likelihood).
    params
        The best parameters found: ``params.weights`` and the family's, as NumPy arrays.
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
    samples
        What it was fitted to, with weights and labels where there are; ``data``, ``feature_names`` and ``n_samples``
        (the number of rows) are its parts; ``data`` is the caller's own array wherever that could be used as it was. A
        fit that was saved without its data has none, and says so where they are needed.
    key
        The random key of the starts: the whole number or JAX key that was given, or the number that was drawn because
        none was. ``emjax.fit(..., key=fit.key)`` gives the same fit.
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
    samples: Samples = dataclasses.field(repr=False)
    exact_iterations: bool = False
    n_evaluations: int = 0
    drawn: bool = False
    detail: str = dataclasses.field(default="", repr=False)
    key: Any = None

    @property
    def data(self) -> Any:
        """The data it was fitted to, ``(n_samples, n_features)``."""
        return self.samples.values

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return self.samples.feature_names

    @property
    def n_samples(self) -> int:
        """The number of rows."""
        return self.samples.n_samples

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
        whole("n_init", most, shown="most")
        n_starts = sum(optimum.count for optimum in self.optima)
        lines = [f"{n_starts} starts, {len(self.optima)} distinct end points"]
        lines.append("    log-likelihood  starts  kind        points per component")
        lines += [f"{'*' if not i else ' '} {optimum}" for i, optimum in enumerate(self.optima[:most])]
        if len(self.optima) > most:
            lines.append(f"  and {len(self.optima) - most} more")
        return "\n".join(lines)

    def predict(self, x: Any = None) -> np.ndarray:
        """The likeliest component of each datum, numbers from 0, shape ``(n_samples,)``; see `predict_proba`."""
        return self.predict_proba(x).argmax(axis=1)

    def predict_proba(self, x: Any = None) -> np.ndarray:
        """``p(z_n = k | x_n)`` under the fitted parameters (the responsibilities), ``(n_samples, n_components)``.

        As everywhere here, ``x`` are the fit's own data where it is left out, with what was known of their components;
        a cell that is NaN was not observed. Raises `DataError` where a datum has no density in any component.
        """
        shares = self._evaluate(_responsibilities, self.samples_of(x))
        nowhere = np.flatnonzero(np.isnan(shares).any(axis=1))
        if nowhere.size:
            raise DataError(
                f"x: row {nowhere[0]} (counting from 0) has no density in any component, so that none is responsible "
                f"for it ({len(nowhere)} of {len(shares)} rows): leave such rows out"
            )
        return shares

    def score_samples(self, x: Any = None) -> np.ndarray:
        """The log density of each datum under the fitted parameters (natural log), shape ``(n_samples,)``."""
        return self._evaluate(_log_prob, self.samples_of(x))

    def score(self, x: Any = None) -> float:
        """The mean log density of a datum: the log-likelihood divided by the number of rows, both weighted."""
        samples = self.samples_of(x).counted
        return self._log_likelihood(samples) / samples.total_weight

    def sample(self, key: KeyLike, n: int) -> np.ndarray:
        """``n`` draws from the fitted mixture, shape ``(n, n_features)``; ``key`` is a whole number or a JAX key.

        `Mixture.sample` gives their labels too.
        """
        key = as_key(key)
        whole("n_samples", n, shown="n")
        with computing():
            x, _ = self.mixture.sample(self.params, key, n)
            return np.asarray(x)

    @property
    def n_parameters(self) -> int:
        """The number of free parameters, weights included: mclust's ``df``."""
        return self.mixture.n_parameters(len(self.feature_names))

    def aic(self, x: Any = None) -> float:
        r"""Akaike's information criterion, :math:`-2 \log L + 2 p`; the lower the better.

        (Akaike, IEEE Transactions on Automatic Control 19, 1974.)
        """
        return criteria.aic(self._log_likelihood(self.samples_of(x).counted), self.n_parameters)

    def bic(self, x: Any = None) -> float:
        r"""Bayesian information criterion, :math:`-2 \log L + p \log n`; the lower the better, as in scikit-learn.

        mclust reports the same number with the opposite sign; ``n`` is the sum of the weights where rows have some.
        (Schwarz, Annals of Statistics 6, 1978.)
        """
        samples = self.samples_of(x).counted
        return criteria.bic(self._log_likelihood(samples), self.n_parameters, samples.total_weight)

    def icl(self, x: Any = None) -> float:
        r"""Integrated completed likelihood, :math:`-2 \log p(x, \hat z) + p \log n`; the lower the better.

        The labels :math:`\hat z` are those of `predict`, so that this is `bic` plus
        :math:`-2 \sum_n \log \max_k p(z_n = k \mid x_n)`: what overlap costs a clustering. mclust reports the same
        number with the opposite sign. (Biernacki, Celeux and Govaert, IEEE Transactions on Pattern Analysis and Machine
        Intelligence 22, 2000, with the approximation by BIC of their section 4.)
        """
        samples = self.samples_of(x).counted
        return criteria.icl(self.bic(samples), self.predict_proba(samples), samples.weights)

    def summary(self, *, parameters: bool = False) -> Summary:
        """The fit as mclust sums it up: status, log-likelihood, n, df, BIC, ICL, and how many data each component has.

        ``print`` it, or let a notebook show it. With ``parameters=True`` there are also the weight of each component
        and its parameters (means, variances and correlations, or rates), of many only the first.
        """
        bic, icl, counts = self.bic(), math.nan, None
        try:
            counted = self.samples.counted
            shares = self.predict_proba(counted)
        except DataError:
            pass  # a fit that failed may leave data without a density, and its status says so
        else:
            icl = criteria.icl(bic, shares, counted.weights)
            counts = np.bincount(shares.argmax(axis=1), counted.weights, minlength=self.mixture.n_components)
        return Summary(
            mixture=self._declared(),
            space=self.space,
            status=self._ended(),
            message=self.message,
            log_likelihood=self.log_likelihood,
            n_samples=self.n_samples,
            n_parameters=self.n_parameters,
            bic=bic,
            icl=icl,
            counts=counts,
            parameters=summarised(self.mixture.named_parameters(self.params), self.mixture.family, wanted=parameters),
            feature_names=self.feature_names,
            log_prior=None if self.mixture.prior is None else self.log_prior,
            levels=self.mixture.family.levels,
            own_axes=self.mixture.family.own_axes,
        )

    def to_frame(self, *, level: float | None = None) -> pd.DataFrame:
        """The estimates as a pandas data frame, one row per number.

        The columns are ``parameter`` (the name of every table, such as ``mean[0, waiting]``), ``variable``,
        ``component``, ``feature`` (missing for weights, two names for a correlation) and ``estimate``; with a
        ``level`` between 0 and 1 also ``standard_error``, ``lower`` and ``upper`` of `intervals` at that level. How the
        fit ended is in the frame's ``attrs["status"]``, whether the intervals may be read in ``attrs["intervals"]``.
        """
        if level is None:
            named = self.mixture.named_parameters(self.params)
            chosen = self.mixture.scalars(named, self.feature_names)
            values = [float(np.asarray(named[one.variable])[one.index]) for one in chosen]
            frame = parameter_frame(chosen, {"estimate": values})
        else:
            frame = self.intervals(level).to_frame()
        frame.attrs["status"] = self._ended()
        return frame

    def samples_of(self, x: Any = None) -> Samples:
        """Data checked against those of the fit, which they are where none are given."""
        if x is None:
            return self.samples
        family = self.mixture.family
        return as_samples_like(family.rows_of(x), self.feature_names, of="the fit", levels=family.levels)

    def _log_likelihood(self, samples: Samples) -> float:
        return criteria.total(self._evaluate(_log_prob, samples), samples.weights)

    def _declared(self) -> str:
        mixture, prior = self.mixture, "" if self.mixture.prior is None else ", MAP"
        step = "" if mixture.family.own_prior() is None else f"; M-step: {mixture.m_step()}"
        return f"{mixture.family!r}, n_components={mixture.n_components}{prior}{step}"

    def _ended(self) -> str:
        return self.status.value + (", spurious" if self.converged and self.spurious else "")

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "", self.mixture.family
        yield "n_components", self.mixture.n_components
        if self.mixture.prior is not None:
            yield "space", self.space
        yield "n_samples", self.n_samples
        yield "status", Word(self._ended())
        yield "log_likelihood", self.log_likelihood

    def _card(self) -> Card:
        named = self.mixture.named_parameters(self.params)
        own = {name: each[:1] for name, each in named.items() if not self.mixture.family.own_axes.get(name)}
        chosen = self.mixture.scalars(own, self.feature_names)
        chosen = tuple(one for one in chosen if len(one.index) < 3)[:_CARD_COLUMNS]
        columns = [np.asarray(named[p.variable])[:, p.index[1]] if p.index[1:] else named[p.variable] for p in chosen]
        k = self.mixture.n_components
        rows = [(f"{component}", *(of_number(float(each[component])) for each in columns)) for component in range(k)]
        best, n_starts = self.optima[0].count, sum(optimum.count for optimum in self.optima)
        return Card(
            f"{self._declared()}: {self._ended()}",
            table=Table(("component", *(_heading(one) for one in chosen)), rows),
            rest="summary(parameters=True)",
            alerts=() if self.converged and not self.spurious else (self.message,),
            lines=(
                f"log-likelihood {nats(self.log_likelihood)}, {self.n_samples:,} rows, {self.n_parameters} parameters",
                f"reached by {best} of {n_starts} starts; {count(len(self.optima), 'distinct end point')}",
            ),
        )

    def intervals(self, level: float = 0.9, method: str = DEFAULT_INTERVALS, **options: Any) -> Intervals:
        """Standard errors and confidence intervals of the estimates, by one of seven methods or by what suits.

        ``of``, ``bounded``, ``n_replicates``, ``key``, ``alpha`` and ``progress``: see `emjax.uncertainty.intervals`.
        """
        from emjax.uncertainty import intervals

        return intervals(self, level=level, method=method, **options)

    def diagnose(self, **options: Any) -> Diagnosis:
        """Missing information, overlap, influence, PIT and a test of fit; see `emjax.uncertainty.diagnosis`."""
        from emjax.uncertainty import diagnose

        return diagnose(self, **options)

    def _evaluate(self, function: Any, samples: Samples) -> np.ndarray:
        with computing():
            rows = observed_rows(np.asarray(samples.values), samples.labels)
            return np.asarray(function(self.mixture.likelihood, self.params, rows))[: samples.n_samples]


def _heading(one: ScalarParameter) -> str:
    """The name of a column that holds a number of every component: ``mean[waiting]``."""
    inner = one.name.partition("[0")[2].removeprefix(", ").removesuffix("]")
    return f"{one.variable}[{inner}]" if inner else one.variable


@jax.jit(static_argnums=0)
def _log_prob(mixture: Mixture, params: MixtureParams, rows: Observations) -> jax.Array:
    return mixture.log_prob(params, rows)


@jax.jit(static_argnums=0)
def _responsibilities(mixture: Mixture, params: MixtureParams, rows: Observations) -> jax.Array:
    return mixture.responsibilities(params, rows)
