r"""The categorical family: columns of levels, independent given the component. A mixture of these is latent class
analysis.

.. math:: \log p(x \mid k) = \sum_j \log p_{kj x_j}

(Lazarsfeld and Henry, "Latent Structure Analysis", 1968; Goodman, Biometrika 61, 1974.) The prior of the probabilities
of a column is a Dirichlet law, which is conjugate: by default

.. math:: p_{kj} \sim \mathrm{Dirichlet}(1 + m_j / K), \qquad m_{jl} = (s_{jl} + 1) / (n_j + L_j)

with :math:`s_{jl}` of the :math:`n_j` values of a column at level :math:`l` of :math:`L_j`: all components together are
worth one more observation of every column, with the shares of all the data. The posterior mode stays off zero and one,
where latent classes often end (Galindo Garre and Vermunt, "Avoiding boundary estimates in latent class analysis by
Bayesian posterior mode estimation", Behaviormetrika 33, 2006).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.errors import DataError
from emjax.families.arrays import AnyArray, as_floats
from emjax.families.base import Family, Laws
from emjax.families.domains import Simplexes
from emjax.families.laws import Dirichlet, Flat, Law
from emjax.families.observations import Observations
from emjax.families.parameters import MixtureParams, Parameter, Values
from emjax.families.scalar import SMALLEST
from emjax.families.support import check_support
from emjax.floats import quoted
from emjax.levels import level_names
from emjax.moments import Summary
from emjax.samples import Samples

_WIDE = 0.25
"""The share of all the data in a start: from a probability of zero it could never leave again."""


@dataclasses.dataclass(frozen=True, repr=False)
class Categorical(Family):
    """Categorical components: latent classes of columns of levels, which are independent given the class.

    Levels are texts, or numbers 0, 1, 2, ... The parameter is ``probability``
    ``(n_components, n_features, most levels)``, zero beyond a column's own levels.

    Parameters
    ----------
    levels
        The levels of each column, their names or how many: ``[("no", "yes"), 3]``. Left out, they are those of the
        data: texts in alphabetical order, numbers up to the largest.
    """

    levels: Any = ()
    name: ClassVar[str] = "categorical"
    support: ClassVar[str] = "level"
    independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", level_names(self.levels))

    def __repr__(self) -> str:
        return f"Categorical(levels={list(self.sizes)})" if self.levels else "Categorical()"

    # -- the declaration

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many levels each column has; `ValueError` where that is not known yet."""
        if not self.levels:
            raise ValueError(
                "Categorical() takes its levels from data, and there are none here; give them, Categorical(levels=...)"
            )
        return tuple(len(names) for names in self.levels)

    @property
    def _inside(self) -> np.ndarray:
        """Which numbers of ``(d, most)`` are levels."""
        return Simplexes(self.sizes).inside

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        domain = Simplexes(self.sizes if self.levels else ())
        return {"probability": Parameter(domain, ("feature", "level"))}

    def lengths(self, n_features: int) -> dict[str, int]:
        return {"feature": n_features, "level": max(self.sizes)}

    def params(self, *, probability: Any) -> Values:  # type: ignore[override]
        """Checked parameters.

        Parameters
        ----------
        probability
            Shape ``(n_components, n_features, most levels)``; one column may leave out its axis.
        """
        value = as_floats(probability, "probability")
        value = value[:, None, :] if value.ndim == 2 else value
        if value.ndim == 3 and self.levels and value.shape[1:] != (len(self.levels), max(self.sizes)):
            raise ValueError(
                f"probability is of shape {value.shape}, expected (n_components, {len(self.levels)}, {max(self.sizes)})"
            )
        domain = Simplexes(self.sizes if self.levels else _sizes_of(value)) if value.ndim == 3 else None
        if domain is None or not domain.holds(value):
            raise ValueError(
                "probability must be non-negative, add up to 1 over the levels of every column, be zero beyond them, "
                "and of shape (n_components, n_features, n_levels)"
            )
        return {"probability": value}

    def of(self, values: Mapping[str, Any]) -> Categorical:
        return self if self.levels else Categorical(_sizes_of(values["probability"]))

    # -- on the host

    def resolved(self, samples: Samples) -> Categorical:
        if self.levels:
            return self
        names = samples.level_names
        return Categorical(names if names is not None else (samples.summary.maximum + 1.0).astype(int).tolist())

    @property
    def declared_as(self) -> Categorical:
        return Categorical()

    def check(self, samples: Samples) -> None:
        check_support(samples, self.support, self.name)
        low, high = samples.summary.minimum, samples.summary.maximum
        given = samples.level_names or self.levels
        for column, label in enumerate(map(quoted, samples.feature_names)):
            if not given and low[column] > 0:
                raise DataError(
                    f"x: column {label} has no level 0 (its smallest is {low[column]:g}): count levels from 0, give "
                    "them as texts, or name them all with Categorical(levels=...)"
                )
            if high[column] + 1 > max(samples.total_weight, 2.0) and not given:
                raise DataError(
                    f"x: column {label} has levels up to {high[column]:g} in {samples.n_samples} rows: give levels as "
                    "texts, or leave this column out"
                )
            if self.levels and high[column] + 1 > self.sizes[column]:
                raise DataError(
                    f"x: column {label} holds level {high[column]:g}, and has only {self.sizes[column]} levels: "
                    "name all levels with Categorical(levels=...)"
                )

    def default_prior(self, summary: Summary, n_components: int) -> dict[str, Law]:
        alpha = 1.0 + self._shares(summary) / n_components
        return {"probability": Dirichlet(np.where(self._inside, alpha, 0.0), self.sizes)}

    def sites_for(self, given: Laws, default: Laws) -> dict[str, Law]:
        law = given.get("probability", default["probability"])
        if not isinstance(law, Dirichlet):
            raise ValueError(f"prior['probability'] must be a Dirichlet law, not {type(law).__name__}")
        alpha, shape = np.asarray(law.concentration, dtype=float), self._inside.shape
        try:
            alpha = np.broadcast_to(alpha, (*alpha.shape[:-2], *shape))
        except ValueError:
            raise ValueError(
                f"prior['probability'] has a concentration of shape {alpha.shape}, which does not fit {shape}: the "
                "columns and their levels"
            ) from None
        return {"probability": Dirichlet(np.where(self._inside, alpha, 0.0), self.sizes)}

    def pooled(self, summary: Summary, n_components: int) -> Values:
        return {"probability": np.tile(self._shares(summary), (n_components, 1, 1))}

    def _shares(self, summary: Summary) -> np.ndarray:
        """The shares of the levels of each column ``(d, most)``, one observation of every level added."""
        counts = np.where(self._inside, summary.level_counts(max(self.sizes)) + 1.0, 0.0)
        return counts / counts.sum(axis=1, keepdims=True)

    def at_means(self, params: MixtureParams, means: Float[AnyArray, "K d"]) -> Values:
        # A level between two others is some of both, which is exact for columns of two.
        near = np.maximum(1.0 - np.abs(np.asarray(means)[..., None] - np.arange(max(self.sizes))), 0.0)
        mixed = _WIDE * params.probability + (1.0 - _WIDE) * near
        return {"probability": (mixed / mixed.sum(axis=-1, keepdims=True)).astype(params.probability.dtype)}

    def at_clusters(self, params: MixtureParams, x: np.ndarray, labels: np.ndarray, means: np.ndarray) -> Values:
        own = [Summary(x[labels == k]).level_counts(max(self.sizes)) for k in range(len(means))]
        counts = np.stack(own) + params.probability
        return {"probability": counts / counts.sum(axis=-1, keepdims=True)}

    def place(self, x: np.ndarray) -> np.ndarray:
        # Rows that differ in one column are equally far, whatever their levels are called.
        return np.concatenate([x[:, [j]] == np.arange(size) for j, size in enumerate(self.sizes)], axis=1).astype(float)

    # -- the density

    def _entries(self) -> tuple[np.ndarray, np.ndarray]:
        """The column and the level of each number in `natural_parameters`, but the first."""
        return np.nonzero(self._inside)

    @property
    def natural_with_holes(self) -> bool:
        return True

    def sufficient_statistics(self, rows: Observations) -> Float[Array, "p n"]:
        columns, levels = self._entries()
        y = jnp.asarray(rows.y)
        there = (y[columns] == levels.astype(y.dtype)[:, None]).astype(y.dtype)
        # A cell that was not observed is at no level, and so it drops out.
        there = there if rows.seen is None else there * rows.seen[columns]
        return jnp.concatenate([jnp.ones_like(y[:1]), there])

    def natural_parameters(self, params: MixtureParams, *, holes: bool = False) -> Float[Array, "K p"]:
        logs = jnp.log(jnp.asarray(params.probability)[(slice(None), *self._entries())])
        return jnp.concatenate([jnp.zeros_like(logs[:, :1]), logs], axis=1)

    def log_base_measure(self, rows: Observations) -> Float[Array, " n"]:
        y = jnp.asarray(rows.y)
        known = (y >= 0) & (y < np.asarray(self.sizes)[:, None]) & (y == jnp.floor(y))
        known = known if rows.seen is None else known | (rows.seen == 0)
        return jnp.where(known.all(axis=0), 0.0, -jnp.inf).astype(y.dtype)

    def sample(self, params: MixtureParams, key: Array, labels: Array) -> Float[Array, "n d"]:
        probability = jnp.asarray(params.probability)
        return jax.random.categorical(key, jnp.log(probability)[labels], axis=-1).astype(probability.dtype)

    def moments(self, params: MixtureParams) -> tuple[Any, Any]:
        levels = np.arange(params.probability.shape[-1]).astype(params.probability.dtype)
        mean = (params.probability * levels).sum(axis=-1)
        variance = (params.probability * levels**2).sum(axis=-1) - mean**2
        return mean, variance[..., None] * np.eye(mean.shape[-1], dtype=mean.dtype)

    def marginal(self, params: MixtureParams, feature: int) -> tuple[Family, Values]:
        one = params.probability[..., feature : feature + 1, : self.sizes[feature]]
        return Categorical(self.levels[feature : feature + 1]), {"probability": one}

    # -- the M-step and conjugate laws

    def _updated(self, statistics: Float[Array, "K p"], law: Law) -> Dirichlet:
        counts = jnp.zeros((statistics.shape[0], *self._inside.shape), statistics.dtype)
        counts = counts.at[(slice(None), *self._entries())].set(statistics[:, 1:])
        prior = Dirichlet(np.ones(self._inside.shape), self.sizes) if isinstance(law, Flat) else law
        return prior.updated(counts)  # type: ignore[attr-defined]

    def closed(self, laws: Laws) -> bool:
        return True

    def maximize(
        self, statistics: Float[Array, "K p"], counts: Float[Array, " K"], params: MixtureParams, laws: Laws
    ) -> Values:
        law = self._updated(statistics, laws["probability"])
        weighs = jnp.any(law.concentration > 1.0, axis=-1, keepdims=True)
        return self._held(jnp.where(weighs, law.mode, params.probability))

    def _held(self, probability: Array) -> Values:
        """Kept from where a datum would have no density at all."""
        held = jnp.where(self._inside[None], jnp.maximum(probability, SMALLEST), 0.0)
        return {"probability": held / jnp.sum(held, axis=-1, keepdims=True)}

    def refuses_gibbs(self, laws: Laws) -> str | None:
        return None

    def draw_components(
        self, key: Array, statistics: Float[Array, "K p"], counts: Float[Array, " K"], params: MixtureParams, laws: Laws
    ) -> Values:
        return self._held(self._updated(statistics, laws["probability"]).draw(key))

    def log_evidence(
        self, statistics: Float[Array, "K p"], counts: Float[Array, " K"], params: MixtureParams, laws: Laws
    ) -> Float[Array, ""]:
        after = self._updated(statistics, laws["probability"])
        before = self._updated(jnp.zeros_like(statistics), laws["probability"])
        return jnp.sum(before.log_normalizer - after.log_normalizer)


def _sizes_of(probability: np.ndarray) -> tuple[int, ...]:
    """How many levels each column has: up to the last that any component gives a probability."""
    given = (np.asarray(probability) > 0).any(axis=0)
    return tuple(int(np.flatnonzero(row)[-1]) + 1 if row.any() else 0 for row in given)
