"""The one table of families and settings that every contract test walks.

A row is a family with a setting, an oracle that says the same of it in SciPy's and NumPy's words
(`tests/contracts/oracles`), a number of features and a number of components. It makes its own data and parameters from
a seed. Sizes are the same for all seeds of a row, so that a row costs one compilation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats

import emjax
from tests.contracts.oracles.base import Oracle, Values, concentration
from tests.contracts.oracles.categorical import BernoulliOracle, CategoricalOracle
from tests.contracts.oracles.exponential import ExponentialOracle
from tests.contracts.oracles.gamma import GammaOracle
from tests.contracts.oracles.normal import COVARIANCES, NormalOracle
from tests.contracts.oracles.poisson import PoissonOracle
from tests.contracts.oracles.student import StudentOracle

SIZES = (3, 2, 4)
"""The numbers of levels of the columns of the categorical row: they differ."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One family with one setting."""

    family: emjax.Family
    oracle: Oracle
    n_features: int
    n_components: int
    n_samples: int = 90

    @property
    def name(self) -> str:
        """What pytest prints."""
        setting = f"-{self.oracle.setting}" if self.oracle.setting else ""
        return f"{self.family.name}{setting}-{self.n_features}d"

    def is_of(self, other: Row) -> bool:
        """Whether another row is of the same family with the same setting."""
        return (self.family, self.oracle) == (other.family, other.oracle)

    def mixture(self, prior: Any = None) -> emjax.Mixture:
        return emjax.Mixture(self.family, self.n_components, prior)

    def _weights(self, rng: np.random.Generator) -> np.ndarray:
        """Of similar size."""
        return rng.dirichlet(np.full(self.n_components, 6.0))

    def params(self, seed: int) -> emjax.MixtureParams:
        """Random parameters: weights of similar size, components that overlap but are not alike."""
        rng = np.random.default_rng([seed, 1])
        weights = self._weights(rng)
        return self.mixture().params(weights=weights, **self.oracle.random(rng, self.n_components, self.n_features))

    def data(self, seed: int) -> np.ndarray:
        """Draws by NumPy from the mixture with ``params(seed)``, no code of emjax in between."""
        rng = np.random.default_rng([seed, 2])
        params = self.params(seed)
        labels = rng.choice(self.n_components, size=self.n_samples, p=params.weights)
        return self.oracle.draw(rng, self.values(params), labels)

    def start(self, seed: int, x: np.ndarray) -> emjax.MixtureParams:
        """A random start inside the data."""
        rng = np.random.default_rng([seed, 4])
        weights = self._weights(rng)
        return self.mixture().params(weights=weights, **self.oracle.start(rng, x, self.n_components))

    def prior(self, seed: int) -> emjax.Prior:
        """A prior that is not the default one: every number of it matters and differs between features."""
        rng = np.random.default_rng([seed, 3])
        default = self.mixture().default_prior(self.data(seed))
        numbers = self.oracle.other_prior(rng, self.oracle.numbers(default))
        return self.oracle.with_numbers(default, rng.uniform(1.5, 4.0, self.n_components), **numbers)

    def permuted(self, prior: emjax.Prior, permutation: np.ndarray) -> emjax.Prior:
        """The prior of the same mixture with its components in another order."""
        return self.oracle.with_numbers(prior, concentration(prior)[permutation])

    def values(self, params: emjax.MixtureParams) -> Values:
        """The parameters of the components as plain arrays."""
        return self.oracle.values(params)

    def log_densities(self, params: emjax.MixtureParams, x: np.ndarray) -> np.ndarray:
        """``log p(x_n | k)``, shape ``(K, n)``, by SciPy."""
        return self.oracle.log_density(self.values(params), x)

    def log_prior(self, params: emjax.MixtureParams, prior: emjax.Prior) -> float:
        """The log density of the documented prior, by SciPy."""
        weights = scipy.stats.dirichlet(concentration(prior)).logpdf(params.weights)
        return weights + self.oracle.log_prior(self.values(params), self.oracle.numbers(prior))


ROWS = (
    *(
        Row(emjax.Normal(covariance=covariance), NormalOracle(covariance), d, n_components=2 if d == 3 else 3)
        for covariance in COVARIANCES
        for d in (1, 2, 3)
    ),
    *(Row(emjax.Poisson(), PoissonOracle(), d, n_components=2) for d in (1, 2)),
    *(Row(emjax.Exponential(), ExponentialOracle(), d, n_components=2) for d in (1, 2)),
    *(Row(emjax.Gamma(), GammaOracle(), d, n_components=2) for d in (1, 2)),
    Row(emjax.Bernoulli(), BernoulliOracle(), 4, n_components=2),
    Row(emjax.Categorical(SIZES), CategoricalOracle(SIZES), len(SIZES), n_components=2),
    Row(emjax.StudentT("full"), StudentOracle("full"), 2, n_components=2, n_samples=180),
    Row(emjax.StudentT("tied", tied_df=True), StudentOracle("tied", tied_df=True), 1, n_components=2),
    Row(emjax.StudentT("diag", df=5.0), StudentOracle("diag", df=5.0), 2, n_components=2),
)


def is_alike(row: Row) -> bool:
    """Another row stands for this one."""
    return row.oracle.stands_for_another(row.n_features)


def walk(rows: tuple[Row, ...] = ROWS, by_name: Callable[[Row], bool] = is_alike) -> pytest.MarkDecorator:
    """Run a test once per row, and by name (``-m slow``) for rows that another one stands for.

    The scope makes pytest go row by row, because tests of a row share its programs.
    """
    params = [pytest.param(row, id=row.name, marks=[pytest.mark.slow] * by_name(row)) for row in rows]
    return pytest.mark.parametrize("row", params, scope="module")


def has_two_features_elsewhere(row: Row) -> bool:
    """The same setting has a row of two features too."""
    return row.n_features != 2 and any(row.is_of(other) and other.n_features == 2 for other in ROWS)


def walk_with_and_without_prior(
    rows: tuple[Row, ...] = ROWS,
    by_name: Callable[[Row], bool] = is_alike,
    ml_by_name: Callable[[Row], bool] = has_two_features_elsewhere,
) -> pytest.MarkDecorator:
    """As `walk`, with a prior and without.

    Without one, more rows run by name, those of another number of features than two at least: that neither the setting
    nor the number of features matters to what a prior is, the other rows show.
    """
    cases = [
        pytest.param(
            row,
            with_prior,
            id=f"{'map' if with_prior else 'ml'}-{row.name}",
            marks=[pytest.mark.slow] * (by_name(row) or (not with_prior and ml_by_name(row))),
        )
        for row in rows
        for with_prior in (False, True)
    ]
    return pytest.mark.parametrize(("row", "with_prior"), cases, scope="module")


map_and_by_name_ml = pytest.mark.parametrize(
    "with_prior",
    [pytest.param(False, id="ml", marks=pytest.mark.slow), pytest.param(True, id="map")],
    scope="module",
)
"""With a prior, and by name without: the M-step reads the same sums."""
