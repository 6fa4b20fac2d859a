"""The one table of families and settings that every contract test walks.

A row is a family with a setting, a number of features and a number of components, and it makes its own data and
parameters from a seed. Sizes are the same for all seeds of a row, so that a row costs one compilation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats

import emjax


@dataclasses.dataclass(frozen=True)
class Row:
    """One family with one setting."""

    family: emjax.Family
    n_features: int
    n_components: int
    n_samples: int = 90

    @property
    def name(self) -> str:
        """What pytest prints."""
        setting = f"-{self.family.covariance}" if self.is_normal else ""
        return f"{self.family.name}{setting}-{self.n_features}d"

    @property
    def is_normal(self) -> bool:
        return isinstance(self.family, emjax.Normal)

    def mixture(self, prior: Any = None) -> emjax.Mixture:
        return emjax.Mixture(self.family, self.n_components, prior)

    def params(self, seed: int) -> emjax.MixtureParams:
        """Random parameters: weights of similar size, components that overlap but are not alike."""
        rng = np.random.default_rng([seed, 1])
        weights = rng.dirichlet(np.full(self.n_components, 6.0))
        shape = (self.n_components, self.n_features)
        if not self.is_normal:
            rate = rng.gamma(2.0, 3.0, size=shape) + 0.3
            return self.mixture().params(weights=weights, rate=rate)
        mean = rng.normal(scale=2.5, size=shape)
        return self.mixture().params(weights=weights, mean=mean, covariance=self._covariance(rng))

    def _covariance(self, rng: np.random.Generator) -> np.ndarray:
        """Random covariances in the structure's own shape, standard deviations between about 0.5 and 1.5."""
        k, d = self.n_components, self.n_features
        if self.family.covariance in ("diag", "spherical"):
            return rng.uniform(0.5, 1.5, size=(k, d) if self.family.covariance == "diag" else (k,)) ** 2
        factor = rng.normal(size=(k, d, d)) / np.sqrt(d)
        matrices = 0.4 * np.eye(d) + factor @ np.swapaxes(factor, 1, 2)
        return matrices[0] if self.family.covariance == "tied" else matrices

    def data(self, seed: int) -> np.ndarray:
        """Draws by NumPy from the mixture with ``params(seed)``, no code of emjax in between."""
        rng = np.random.default_rng([seed, 2])
        params = self.params(seed)
        labels = rng.choice(self.n_components, size=self.n_samples, p=params.weights)
        if not self.is_normal:
            return rng.poisson(params.components.rate[labels]).astype(float)
        covariance = matrices_of(params)
        draws = [rng.multivariate_normal(params.components.mean[k], covariance[k]) for k in labels]
        return np.array(draws)

    def start(self, seed: int, x: np.ndarray) -> emjax.MixtureParams:
        """A random start inside the data: means at different rows, covariances of the size of the data's own."""
        rng = np.random.default_rng([seed, 4])
        weights = rng.dirichlet(np.full(self.n_components, 6.0))
        rows = x[rng.choice(len(x), size=self.n_components, replace=False)]
        if not self.is_normal:
            return self.mixture().params(weights=weights, rate=rows + rng.uniform(0.3, 3.0, rows.shape))
        covariance = x.var() * self._covariance(rng)
        return self.mixture().params(weights=weights, mean=rows, covariance=covariance)

    def prior(self, seed: int) -> emjax.Prior:
        """A prior that is not the default one: every number of it matters and differs between features."""
        rng = np.random.default_rng([seed, 3])
        default = self.mixture().default_prior(self.data(seed))
        if self.is_normal:
            components = dataclasses.replace(
                default.components,
                mean=rng.normal(size=self.n_features),
                precision=np.asarray(0.7),
                degrees_of_freedom=default.components.degrees_of_freedom + 1.5,
                scatter=1.3 * default.components.scatter,
            )
        else:
            components = dataclasses.replace(
                default.components, shape=np.asarray(3.5), inverse_scale=rng.uniform(0.3, 1.0, self.n_features)
            )
        return emjax.Prior(concentration=rng.uniform(1.5, 4.0, self.n_components), components=components)


def matrices_of(params: emjax.MixtureParams) -> np.ndarray:
    """Covariance matrices ``(K, d, d)`` from a structure's own array, written out here once more."""
    k, d = params.components.mean.shape
    dispersion = np.asarray(params.components.dispersion)
    if dispersion.shape == (k, d, d):
        return dispersion
    if dispersion.ndim == 1:
        return np.array([variance * np.eye(d) for variance in dispersion])
    if params.components.structure.name == "tied":
        return np.array([dispersion] * k)
    return np.array([np.diag(variances) for variances in dispersion])


def log_densities(row: Row, params: emjax.MixtureParams, x: np.ndarray) -> np.ndarray:
    """``log p(x_n | k)``, shape ``(K, n)``, by SciPy."""
    components = params.components
    if not row.is_normal:
        return np.array([scipy.stats.poisson(rate).logpmf(x).sum(axis=1) for rate in components.rate])
    return np.array(
        [
            scipy.stats.multivariate_normal(mean, covariance).logpdf(x).reshape(len(x))
            for mean, covariance in zip(components.mean, matrices_of(params), strict=True)
        ]
    )


COVARIANCES = ("full", "tied", "diag", "spherical")

ROWS = (
    *(
        Row(emjax.Normal(covariance=covariance), n_features=d, n_components=2 if d == 3 else 3)
        for covariance in COVARIANCES
        for d in (1, 2, 3)
    ),
    *(Row(emjax.Poisson(), n_features=d, n_components=2) for d in (1, 2)),
)

NORMAL_ROWS = tuple(row for row in ROWS if row.is_normal)


def is_alike(row: Row) -> bool:
    """With one feature diagonal and spherical covariances are full ones, as a test of the densities holds."""
    return row.n_features == 1 and row.is_normal and row.family.covariance in ("diag", "spherical")


def walk(rows: tuple[Row, ...] = ROWS, by_name: Callable[[Row], bool] = is_alike) -> pytest.MarkDecorator:
    """Run a test once per row, and by name (``-m slow``) for rows that another one stands for.

    The scope makes pytest go row by row, because tests of a row share its programs.
    """
    params = [pytest.param(row, id=row.name, marks=[pytest.mark.slow] * by_name(row)) for row in rows]
    return pytest.mark.parametrize("row", params, scope="module")


with_and_without_prior = pytest.mark.parametrize("with_prior", [False, True], ids=["ml", "map"], scope="module")
