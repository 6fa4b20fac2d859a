"""Normal components of four structures; the prior is normal-inverse-Wishart, or -gamma for each variance.

With a prior the updates are the joint mode of means and (co)variances. With the scatter about the updated mean written
as ``S_k + distance_k`` (within the component, and between its mean and the prior's), they are

=========  =====================================================================
full       ``(Psi + S_k + distance_k) / (N_k + nu + d + 2)``
tied       ``(Psi + sum_k (S_k + distance_k)) / (n + nu + d + 1 + K)``
diag       ``(psi_j + S_kj + distance_kj) / (N_k + nu + 3)``
spherical  ``(psi + sum_j (S_kj + distance_kj)) / (d N_k + nu + d + 2)``
=========  =====================================================================

and without one ``S_k / N_k``, ``sum_k S_k / n``, ``S_kj / N_k``, ``sum_j S_kj / (d N_k)``.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import scipy.stats
from sklearn.mixture import GaussianMixture

import emjax
from tests.contracts.oracles.base import Oracle, Values

COVARIANCES = ("full", "tied", "diag", "spherical")


@dataclasses.dataclass(frozen=True)
class NormalOracle(Oracle):
    """``values["covariance"]`` has the structure's own shape: matrices, one matrix, variances, or a number each."""

    covariance: str

    has_units = True
    locations = ("mean",)
    has_scikit_learn = True

    @property
    def setting(self) -> str:
        return self.covariance

    @property
    def _of_variances(self) -> bool:
        return self.covariance in ("diag", "spherical")

    @property
    def _site(self) -> str:
        return "variance" if self._of_variances else "covariance"

    def of_features(self, values: Values, kept: np.ndarray) -> Values:
        own = np.asarray(values["covariance"])
        if self.covariance in ("full", "tied"):
            own = own[..., kept, :][..., kept]
        elif self.covariance == "diag":
            own = own[:, kept]
        return {**values, "mean": np.asarray(values["mean"])[:, kept], "covariance": own}

    def matrices(self, values: Values) -> np.ndarray:
        """Covariance matrices ``(K, d, d)`` from the structure's own array."""
        (k, d), own = values["mean"].shape, np.asarray(values["covariance"])
        return {
            "full": lambda: own,
            "tied": lambda: np.array([own] * k),
            "diag": lambda: np.array([np.diag(variances) for variances in own]),
            "spherical": lambda: np.array([variance * np.eye(d) for variance in own]),
        }[self.covariance]()

    def _random_covariance(self, rng: np.random.Generator, k: int, d: int) -> np.ndarray:
        """In the structure's own shape, standard deviations between about 0.5 and 1.5."""
        if self._of_variances:
            return rng.uniform(0.5, 1.5, size=(k, d) if self.covariance == "diag" else (k,)) ** 2
        factor = rng.normal(size=(k, d, d)) / np.sqrt(d)
        matrices = 0.4 * np.eye(d) + factor @ np.swapaxes(factor, 1, 2)
        return matrices[0] if self.covariance == "tied" else matrices

    def random(self, rng: np.random.Generator, k: int, d: int) -> Values:
        return {"mean": rng.normal(scale=2.5, size=(k, d)), "covariance": self._random_covariance(rng, k, d)}

    def start(self, rng: np.random.Generator, x: np.ndarray, k: int) -> Values:
        """Means at different rows, covariances of the size of the data's own."""
        rows = x[rng.choice(len(x), size=k, replace=False)]
        return {"mean": rows, "covariance": x.var() * self._random_covariance(rng, *rows.shape)}

    def draw(self, rng: np.random.Generator, values: Values, labels: np.ndarray) -> np.ndarray:
        covariance = self.matrices(values)
        return np.array([rng.multivariate_normal(values["mean"][k], covariance[k]) for k in labels])

    def log_density(self, values: Values, x: np.ndarray) -> np.ndarray:
        pairs = zip(values["mean"], self.matrices(values), strict=True)
        return np.array([scipy.stats.multivariate_normal(*pair).logpdf(x).reshape(len(x)) for pair in pairs])

    def moments(self, values: Values) -> tuple[np.ndarray, np.ndarray]:
        return values["mean"], self.matrices(values)

    def maximize(self, x: np.ndarray, responsibilities: np.ndarray, numbers: Values | None) -> Values:
        parts = [_mean_and_scatter(x, shares, numbers) for shares in responsibilities.T]
        counts, means, scatters = (np.array(part) for part in zip(*parts, strict=True))
        psi, nu = (0.0, None) if numbers is None else (numbers["scatter"], numbers["degrees_of_freedom"])
        k, d = means.shape
        if self.covariance == "tied":
            covariance = (psi + sum(scatters)) / (sum(counts) + (0.0 if nu is None else nu + d + 1 + k))
            return {"mean": means, "covariance": covariance}
        own = {"full": lambda s: s, "diag": np.diag, "spherical": np.trace}[self.covariance]
        factor, more = {"full": (1, d + 2), "diag": (1, 3), "spherical": (d, d + 2)}[self.covariance]
        covariance = np.array(
            [
                (psi + own(scatter)) / (factor * count + (0.0 if nu is None else nu + more))
                for count, scatter in zip(counts, scatters, strict=True)
            ]
        )
        return {"mean": means, "covariance": covariance}

    def log_prior(self, values: Values, numbers: Values) -> float:
        matrices, degrees, scatter = self.matrices(values), float(numbers["degrees_of_freedom"]), numbers["scatter"]
        total = sum(
            scipy.stats.multivariate_normal(numbers["mean"], matrix / numbers["precision"]).logpdf(mean)
            for mean, matrix in zip(values["mean"], matrices, strict=True)
        )
        if self._of_variances:
            return total + scipy.stats.invgamma(degrees / 2, scale=scatter / 2).logpdf(values["covariance"]).sum()
        distinct = matrices[:1] if self.covariance == "tied" else matrices
        return total + sum(scipy.stats.invwishart(degrees, scatter).logpdf(matrix) for matrix in distinct)

    def default_prior(self, x: np.ndarray, k: int) -> Values:
        d = x.shape[1]
        covariance = np.cov(x, rowvar=False, bias=True).reshape(d, d)
        own = {"diag": np.diag(covariance), "spherical": np.trace(covariance) / d}.get(self.covariance, covariance)
        return {
            "mean": x.mean(axis=0),
            "precision": 0.01,
            "degrees_of_freedom": 3.0 if self._of_variances else d + 2,
            "scatter": own / k ** (2 / d),
        }

    def other_prior(self, rng: np.random.Generator, numbers: Values) -> Values:
        return {
            "mean": rng.normal(size=numbers["mean"].shape),
            "precision": np.asarray(0.7),
            "degrees_of_freedom": numbers["degrees_of_freedom"] + 1.5,
            "scatter": 1.3 * numbers["scatter"],
        }

    def named(self, values: Values) -> Values:
        matrices = self.matrices(values)
        scale = np.sqrt(np.diagonal(matrices, axis1=1, axis2=2))
        found = {"mean": values["mean"], "scale": scale}
        if self._of_variances or scale.shape[1] == 1:
            return found
        return {**found, "correlation": matrices / (scale[:, :, None] * scale[:, None, :])}

    def derived(self, values: Values) -> Values:
        return {"covariance": self.matrices(values)}

    def free(self, values: Values, d: int) -> list[Any]:
        own = values["covariance"]
        return [values["mean"], own if self._of_variances else own[..., *np.tril_indices(d)]]

    def moved(self, values: Values, scale: float, shift: float) -> Values:
        return {"mean": shift + scale * values["mean"], "covariance": scale**2 * values["covariance"]}

    def stands_for_another(self, d: int) -> bool:
        """With one feature diagonal and spherical covariances are full ones."""
        return d == 1 and self._of_variances

    def scikit_learn(self, weights: np.ndarray, values: Values, **options: Any) -> GaussianMixture:
        matrices = np.linalg.inv(self.matrices(values))
        precisions = {
            "full": matrices,
            "tied": matrices[0],
            "diag": np.diagonal(matrices, axis1=1, axis2=2),
            "spherical": matrices[:, 0, 0],
        }[self.covariance]
        return GaussianMixture(
            len(weights),
            covariance_type=self.covariance,
            weights_init=weights,
            means_init=values["mean"],
            precisions_init=precisions,
            **options,
        )

    def values(self, params: emjax.MixtureParams) -> Values:
        return {"mean": params["mean"], "covariance": params[self._site]}

    def numbers(self, prior: emjax.Prior) -> Values:
        mean, law = prior["mean"], prior[self._site]
        if self._of_variances:  # an inverse gamma is an inverse Wishart of one number, of half the numbers
            degrees, scatter = 2.0 * np.asarray(law.shape), 2.0 * np.asarray(law.scale)
        else:
            degrees, scatter = np.asarray(law.degrees_of_freedom), np.asarray(law.scatter)
        return {
            "mean": np.asarray(mean.mean),
            "precision": np.asarray(mean.precision),
            "degrees_of_freedom": degrees,
            "scatter": scatter,
        }

    def with_numbers(self, prior: emjax.Prior, alpha: np.ndarray, **numbers: Any) -> emjax.Prior:
        of, laws = {**self.numbers(prior), **numbers}, emjax.laws
        law = (
            laws.InverseGamma(of["degrees_of_freedom"] / 2.0, of["scatter"] / 2.0)
            if self._of_variances
            else laws.InverseWishart(of["degrees_of_freedom"], of["scatter"])
        )
        mean = laws.NormalGiven(of["mean"], of["precision"])
        return prior.replace(weights=laws.Dirichlet(alpha), **{self._site: law, "mean": mean})


def _mean_and_scatter(x: np.ndarray, shares: np.ndarray, numbers: Values | None) -> tuple[float, Any, Any]:
    """One component's count, its mean, and ``S_k + distance_k``."""
    count = sum(shares)
    average = sum(share * datum for share, datum in zip(shares, x, strict=True)) / count
    scatter = sum(share * np.outer(datum - average, datum - average) for share, datum in zip(shares, x, strict=True))
    if numbers is None:
        return count, average, scatter
    precision, centre = numbers["precision"], numbers["mean"]
    mean = (precision * centre + count * average) / (precision + count)
    shrink = precision * count / (precision + count)
    return count, mean, scatter + shrink * np.outer(average - centre, average - centre)
