"""The law of data of any family of emjax, by the family's own density and draws.

Of normal and Poisson components there are laws of their own (`emjax.datasets.laws`), which share nothing with what is
measured against them; what the others are drawn from is checked by the oracles of the contract tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from emjax.datasets.laws import MixtureLaw
from emjax.errors import DataError
from emjax.families import FAMILIES
from emjax.families.support import outside_support
from emjax.mixture import Mixture, MixtureParams
from emjax.moments import Summary
from emjax.scope import computing

_ROWS_OF_WIDER = 2048


class FamilyLaw(MixtureLaw):
    """A mixture with known parameters as a law."""

    def __init__(self, mixture: Mixture, params: MixtureParams) -> None:
        self._mixture, self._params = mixture, params
        self.weights = np.asarray(params.weights)
        self.family = mixture.family.name  # type: ignore[misc]
        self.discrete = mixture.family.discrete  # type: ignore[misc]

    @property
    def n_features(self) -> int:
        return self._mixture.family.n_features(self._params)

    @property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        with computing():
            mean, covariance = self._mixture.family.moments(self._params)
        return np.asarray(mean), np.asarray(covariance)

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        with computing():
            named = self._mixture.named_parameters(self._params)
        return {name: np.asarray(value) for name, value in named.items()}

    def wider(self) -> MixtureLaw:
        """The same components, and as often one that is as wide as all data together."""
        rows, _ = self.sample(_ROWS_OF_WIDER, np.random.default_rng(0))
        family = self._mixture.family
        whole = family.pooled(Summary(rows), 1)
        values = {
            name: self._params[name] if one.shared else np.concatenate([self._params[name], whole[name]])
            for name, one in family.parameters.items()
        }
        mixture = Mixture(family, len(self.weights) + 1)
        return FamilyLaw(mixture, mixture.assembled(np.append(0.5 * self.weights, 0.5), values))

    def log_joint(self, rows: np.ndarray) -> np.ndarray:
        rows = np.asarray(rows, float)
        with computing():
            joint = np.asarray(self._mixture.log_joint(self._params, rows)).T
        # A density says nothing of where its family has none: that of an exponential law grows below zero.
        outside = outside_support(rows, self._mixture.family.support).any(axis=1)
        return np.where(np.isnan(joint) | outside[:, np.newaxis], -np.inf, joint)

    def log_components(self, rows: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return self.log_joint(rows) - np.log(self.weights)

    def draw(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        with computing():
            key = jax.random.key(int(rng.integers(2**32)))
            return np.asarray(self._mixture.family.sample(self._params, key, jnp.asarray(labels)))


def family_law(family: str, weights: Any, parameters: Mapping[str, Any]) -> FamilyLaw:
    """The law of components of a family; DataError where parameters do not fit it, in the family's words."""
    given = {name: np.asarray(_filled(value), float) for name, value in parameters.items()}
    try:
        mixture = Mixture(FAMILIES[family](), len(weights))
        params = mixture.params(weights=weights, **given)
    except ValueError as error:
        raise DataError(f"data: {error}") from None
    return FamilyLaw(Mixture(params.family, len(weights)), params)


def _filled(value: Any) -> Any:
    """Probabilities of levels with zeros beyond a feature's own."""
    if not isinstance(value[0], list | tuple) or not isinstance(value[0][0], list | tuple):
        return value
    most = max(len(row) for component in value for row in component)
    return [[[*row, *[0.0] * (most - len(row))] for row in component] for component in value]
