r"""`diagnose`: what a fit says of itself, before anything is sampled.

With the observed information :math:`I` of the log-likelihood (plus log prior), the scores :math:`s_n` of rows that
count :math:`w_n` times, p free parameters and responsibilities :math:`r_{nk}`:

- **missing information**: EM's rate of convergence, the largest share of the information about any direction that
  would be there if labels were known, and is not (Dempster, Laird and Rubin 1977, section 3.8).
- **condition**: the largest eigenvalue of I over the smallest, with its diagonal scaled to one.
- **information ratio**: :math:`\sum_n w_n s_n' I^{-1} s_n / p`, one in expectation where the data come from the model
  (White, Econometrica 50, 1982).
- **influence** of a row: :math:`w_n^2 s_n' I^{-1} s_n`, about how far the estimate moves without it in the metric of I
  (the one-step likelihood displacement; Cook, Journal of the Royal Statistical Society B 48, 1986); p/n on average.
- **overlap** ``[j, k]``: of the rows that belong to component j, by their responsibilities, the share that
  `Fit.predict` gives to k.
- **entropy**: :math:`1 + \sum_n w_n \sum_k r_{nk} \log r_{nk} / (N \log K)`, one where labels are known and zero where
  nothing is (Celeux and Soromenho, Journal of Classification 13, 1996).
- **PIT**: of each cell the share of :math:`p(x)` below it, by `_DRAWS` draws from the fit, at random among equal ones;
  uniform where the data come from the model. Its distance from uniform is Kolmogorov and Smirnov's. With
  ``n_replicates`` the largest of these distances is compared with those of as many data sets that were drawn from the
  fit and fitted themselves (Stute, Gonzáles Manteiga and Presedo Quindimil, Metrika 40, 1993).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.bounds import whole
from emjax.em.blocks import Blocks
from emjax.em.memory import check_hessians
from emjax.em.refits import refit
from emjax.families.observations import Observations
from emjax.keys import KeyLike, numpy_generator
from emjax.mixture import Mixture, MixtureParams, Prior
from emjax.programs import make_room
from emjax.result import Fit, Optimum
from emjax.samples import Samples
from emjax.scope import computing
from emjax.shown import Card, Pictured
from emjax.table import Table, of_number
from emjax.uncertainty.information import free_objective, hessian_at, problem_of
from emjax.uncertainty.resampling import drawn_data, simulated
from emjax.wording import count, number, percent

_DRAWS = 20_000
_FEWEST_DRAWS_A_ROW = 4

_INFLUENTIAL = 10.0
"""A row is named whose influence is so many times the average."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Diagnosis(Pictured):
    """What a fit says of itself; the module's text has the formulas.

    Attributes
    ----------
    missing_information, condition, information_ratio, entropy
        Numbers; NaN where the information is not positive definite (``condition``, ``information_ratio``) or EM's steps
        grow (``missing_information``).
    overlap
        ``(n_components, n_components)``, rows add up to one.
    influence
        Of each row that counts, ``(n,)``.
    rows, row_weights
        Which rows of the data these are, and how often each of them counts, ``(n,)``.
    pit
        Of each cell of these rows, ``(n, n_features)``, NaN where it was not observed.
    distances
        Of each feature's PIT from uniform, ``(n_features,)``.
    p_value, p_value_error
        The share of data sets from the fit whose largest distance is no smaller, and its Monte-Carlo standard error
        (given a uniform law before); NaN where none were drawn, or none of them ended in a regular optimum.
    n_replicates, n_regular
        How many data sets were drawn for it, and how many of these it rests on: their fits ended in a regular optimum.
    doubt
        Why the fit itself cannot be trusted, and nothing here can; empty where it can.
    optima
        Where all starts ended, the best first.
    """

    missing_information: float
    condition: float
    information_ratio: float
    entropy: float
    overlap: np.ndarray
    influence: np.ndarray
    rows: np.ndarray
    row_weights: np.ndarray
    pit: np.ndarray
    distances: np.ndarray
    p_value: float
    p_value_error: float
    n_replicates: int
    n_regular: int
    doubt: str
    optima: tuple[Optimum, ...]
    feature_names: tuple[str, ...]

    @property
    def influential(self) -> np.ndarray:
        """The rows of the data whose influence is ten times the average or more, the largest first."""
        order = np.argsort(-self.influence, kind="stable")
        return self.rows[order[self.influence[order] >= _INFLUENTIAL * self.influence.mean()]]

    def table(self) -> Table:
        """All single numbers with a word on what they mean."""
        worst = int(np.argmax(self.distances))
        off = self.overlap - np.diag(np.diag(self.overlap))
        rows = [
            ("missing information", of_number(self.missing_information), "of the direction that EM finds slowest"),
            ("condition", of_number(self.condition), "of the scaled information"),
            ("information ratio", of_number(self.information_ratio), "1 where the data come from the model"),
            ("entropy", of_number(self.entropy), "1 where every label is known, 0 where none is"),
            ("largest overlap", percent(float(off.max(initial=0.0)), 1), "of a component's rows given to another"),
            ("largest influence", of_number(float(self.influence.max())), f"average {number(self.influence.mean())}"),
            ("PIT distance", of_number(float(self.distances[worst])), f"from uniform, of {self.feature_names[worst]}"),
        ]
        if self.n_replicates:
            rows.append(("p value", of_number(self.p_value), f"of that, ± {number(self.p_value_error)}"))
        known = bool(np.isfinite(self.influence).all())
        notes = [f"{count(len(self.influential), 'row')} of ten times the average influence or more"] if known else []
        if self.n_regular < self.n_replicates:
            of_all = f"{self.n_regular} of {count(self.n_replicates, 'data set')}"
            notes.append(f"the p value rests on {of_all}: fits to the others ended in no regular optimum")
        notes.append(f"{sum(o.count for o in self.optima)} starts, {count(len(self.optima), 'distinct end point')}")
        return Table(("", "value", ""), rows, notes, of="diagnosis")

    def _shown(self) -> Iterator[tuple[str, Any]]:
        names = "missing_information", "condition", "information_ratio", "entropy", "distances", "p_value"
        yield from ((name, getattr(self, name)) for name in names)

    def _card(self) -> Card:
        alerts = [self.doubt] if self.doubt else []
        return Card("What the fit says of itself", alerts, table=self.table())

    def __str__(self) -> str:
        table = self.table()
        return "\n".join([*([self.doubt] if self.doubt else []), *table.lines(), *table.notes])


@dataclasses.dataclass(frozen=True)
class Transforms:
    """Probability integral transforms of rows: ``pit``, ``distances``, ``row_weights`` and names as of `Diagnosis`."""

    pit: np.ndarray
    distances: np.ndarray
    row_weights: np.ndarray
    feature_names: tuple[str, ...]


def transforms_of(fit: Fit, samples: Samples, rng: np.random.Generator) -> Transforms:
    """The probability integral transforms of rows under a fit, by draws from it: no information is needed."""
    own = np.ones(samples.n_samples) if samples.weights is None else samples.weights
    with computing():
        pit = _pit(fit.mixture.likelihood, fit.params, samples.values, rng)
    return Transforms(pit, _distances(pit, own), own, fit.feature_names)


def diagnose(fit: Fit, *, n_replicates: int = 0, key: KeyLike = 0) -> Diagnosis:
    """What a fit says of itself: see the text of `emjax.uncertainty.diagnosis`.

    Parameters
    ----------
    fit
        A fit; its own data are used.
    n_replicates
        Data sets from the fit that its PIT is compared with; 0 (default): none.
    key
        For the draws behind PIT and replicates.

    Raises
    ------
    ValueError
        If ``n_replicates`` is out of range.
    DataError
        If matrices of all parameters do not fit the memory, or ``n_replicates`` are asked for of rows with known labels
        or fractional weights.
    """
    if n_replicates:
        whole("replicates", n_replicates, shown="n_replicates")
    check_hessians(fit.mixture, fit.data.shape[1], what="the diagnosis")
    make_room()
    samples, rng = fit.samples.counted, numpy_generator(key)
    shares, found = fit.predict_proba(samples), transforms_of(fit, samples, rng)
    own, distances = found.row_weights, found.distances
    with computing():
        condition, influence, ratio = _of_information(fit, own)
    p_value = error = float("nan")
    others = _distances_of_replicates(fit, n_replicates, rng) if n_replicates else np.empty(0)
    if len(others):
        n_larger = int((others >= distances.max()).sum())
        p_value = (1 + n_larger) / (1 + len(others))
        # Where all are larger, the variance of the share itself would call it certain.
        share = (1 + n_larger) / (2 + len(others))
        error = math.sqrt(share * (1 - share) / (3 + len(others)))
    return Diagnosis(
        missing_information=fit.rate if fit.rate <= 1 else math.nan,  # where EM moves away from rest it is no share
        condition=condition,
        information_ratio=ratio,
        entropy=_entropy(shares, own),
        overlap=_overlap(shares, own),
        influence=influence,
        rows=np.flatnonzero(fit.samples.counts),
        row_weights=own,
        pit=found.pit,
        distances=distances,
        p_value=p_value,
        p_value_error=error,
        n_replicates=n_replicates,
        n_regular=len(others),
        doubt="" if fit.converged and not fit.spurious else fit.message,
        optima=fit.optima,
        feature_names=fit.feature_names,
    )


def _entropy(shares: np.ndarray, weights: np.ndarray) -> float:
    k = shares.shape[1]
    if k == 1:
        return 1.0
    logs = np.log(np.where(shares > 0, shares, 1.0))
    return float(1.0 + weights @ (shares * logs).sum(axis=1) / (weights.sum() * np.log(k)))


def _overlap(shares: np.ndarray, weights: np.ndarray) -> np.ndarray:
    given = np.eye(shares.shape[1])[shares.argmax(axis=1)]
    joint = (shares * weights[:, None]).T @ given
    return joint / joint.sum(axis=1, keepdims=True)


def _of_information(fit: Fit, weights: np.ndarray) -> tuple[float, np.ndarray, float]:
    """The condition of the information, the influence of each row, and the information ratio."""
    params, data, prior, _ = problem_of(fit, spread=False)
    hessian, displaced = _scores_in_metric(fit.mixture.likelihood, params, data, prior)
    information = np.asarray(hessian)
    curvatures, eigenvalues = np.diagonal(information), np.zeros(1)
    if np.isfinite(information).all() and (curvatures > 0).all():
        scale = 1.0 / np.sqrt(curvatures)
        eigenvalues = np.linalg.eigvalsh(information * scale[:, None] * scale[None, :])
    if not eigenvalues[0] > 1e-10 * eigenvalues[-1]:
        return float("nan"), np.full(len(weights), np.nan), float("nan")
    found = np.asarray(displaced).reshape(-1)[: len(weights)]
    return float(eigenvalues[-1] / eigenvalues[0]), weights**2 * found, float(weights @ found / len(eigenvalues))


@functools.partial(jax.jit, static_argnums=0)
def _scores_in_metric(
    mixture: Mixture, params: MixtureParams, data: Blocks, prior: Prior | None
) -> tuple[Float[Array, "p p"], Float[Array, "n_blocks block"]]:
    """The information, and :math:`s_n' I^{-1} s_n` of every row."""
    objective, coordinates = free_objective(mixture, params, data, prior)
    flat = coordinates.flat(params)
    information = -hessian_at(jax.grad(objective), flat, smooth=mixture.family.smooth)

    def of_block(rows: Observations) -> Float[Array, " block"]:
        log_densities = lambda at: mixture.log_prob(coordinates.params(at), rows)  # noqa: E731
        one = lambda direction: jax.jvp(log_densities, (flat,), (direction,))[1]  # noqa: E731
        scores = jax.lax.map(one, jnp.eye(flat.size, dtype=flat.dtype))
        return jnp.sum(scores * jnp.linalg.solve(information, scores), axis=0)

    return information, jax.lax.map(of_block, data.rows)


# -- probability integral transforms


def _pit(mixture: Mixture, params: MixtureParams, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Of each cell the share of the mixture's own draws below it, at random among equal ones, ``(n, d)``."""
    n_draws = max(_DRAWS, _FEWEST_DRAWS_A_ROW * len(values))
    drawn = np.sort(drawn_data(mixture, params, 1, n_draws, rng)[0], axis=0)
    pit = np.empty(values.shape)
    for j, column in enumerate(values.T):
        below = np.searchsorted(drawn[:, j], column, side="left")
        equal = np.searchsorted(drawn[:, j], column, side="right") - below
        pit[:, j] = (below + rng.random(len(column)) * (equal + 1.0)) / (n_draws + 1.0)
    return np.where(np.isnan(values), np.nan, pit)


def _distances(pit: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Kolmogorov and Smirnov's distance from uniform of each column ``(d,)``; 0 where nothing was observed."""
    found = np.zeros(pit.shape[1])
    for j, column in enumerate(pit.T):
        seen = ~np.isnan(column)
        order = np.argsort(column[seen], kind="stable")
        steps = np.cumsum(weights[seen][order])
        if len(steps) and steps[-1] > 0:
            above, u = steps / steps[-1], column[seen][order]
            found[j] = max(np.max(above - u), np.max(u - np.append(0.0, above[:-1])))
    return found


def _distances_of_replicates(fit: Fit, n_replicates: int, rng: np.random.Generator) -> np.ndarray:
    """The largest distance of each data set from the fit, fitted itself; of those that end in a regular optimum."""
    data = list(simulated(fit, fit.samples.counted, n_replicates, rng))
    found = refit(fit, data, weights=False, tol=1e-6)
    largest = []
    for number_of in np.flatnonzero(found.regular):
        params = jax.tree.map(lambda leaf, at=number_of: leaf[at], found.params)
        x = data[number_of]
        with computing():
            pit = _pit(fit.mixture.likelihood, params, x, rng)
        largest.append(_distances(pit, np.ones(len(x))).max())
    return np.array(largest)
