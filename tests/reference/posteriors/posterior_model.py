"""The conjugate normal mixture: its default prior, conditional draws, densities, and label-invariant quantities."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from scipy.special import gammaln, xlogy

N_ANCHORS = 5
LOG_TWO_PI = float(np.log(2 * np.pi))


@dataclasses.dataclass(frozen=True)
class Model:
    """Data shifted to mean zero, their products, and the prior; the prior's mean is the data's, so it is zero here."""

    x: np.ndarray
    shift: np.ndarray
    n_components: int
    precision: float
    degrees: float
    scatter: np.ndarray

    @functools.cached_property
    def features(self) -> np.ndarray:
        """``[1, x, vec(x x')]`` of each datum, ``(n, 1 + d + d^2)``."""
        products = self.x[:, :, None] * self.x[:, None, :]
        return np.concatenate([np.ones((len(self.x), 1)), self.x, products.reshape(len(self.x), -1)], axis=1)


def build_model(values: np.ndarray, n_components: int) -> Model:
    """The default prior of Fraley and Raftery (2007), with divisor n in the covariance and 0.01 as precision."""
    n, d = values.shape
    shift = values.mean(axis=0)
    x = values - shift
    scatter = x.T @ x / n / n_components ** (2 / d)
    return Model(x, shift, n_components, precision=0.01, degrees=d + 2.0, scatter=scatter)


@dataclasses.dataclass(frozen=True)
class Conjugate:
    """Normal-inverse-Wishart and Dirichlet posteriors given labels, leading with any axes and components."""

    concentration: np.ndarray
    precision: np.ndarray
    mean: np.ndarray
    degrees: np.ndarray
    root: np.ndarray

    def at(self, index: Any) -> Conjugate:
        """The same for some of the leading places."""
        return Conjugate(*(getattr(self, field.name)[index] for field in dataclasses.fields(self)))


UNTEMPERED = np.ones(2)


def conjugate(model: Model, statistics: np.ndarray, rungs: np.ndarray = UNTEMPERED) -> Conjugate:
    """Posteriors given sums of the features of each component ``(..., rungs, K, 1 + d + d^2)``."""
    beta, gamma = rungs
    d = model.x.shape[1]
    tempered = statistics * beta[..., None, None]
    counts, sums = tempered[..., 0], tempered[..., 1 : d + 1]
    products = tempered[..., d + 1 :].reshape(*counts.shape, d, d)
    precision = model.precision + counts
    mean = sums / precision[..., None]
    scatter = model.scatter + products - precision[..., None, None] * mean[..., :, None] * mean[..., None, :]
    return Conjugate(
        1.0 + gamma[..., None] * statistics[..., 0],
        precision,
        mean,
        model.degrees + counts,
        np.linalg.cholesky(scatter),
    )


@dataclasses.dataclass(frozen=True)
class Draws:
    """Parameters: log weights ``(..., K)``, means ``(..., K, d)``, and roots R with Sigma = R R' and their inverses."""

    log_weights: np.ndarray
    mean: np.ndarray
    root: np.ndarray
    inverse: np.ndarray

    def at(self, index: Any) -> Draws:
        """The same for some of the leading places."""
        return Draws(*(getattr(self, field.name)[index] for field in dataclasses.fields(self)))


def draw_parameters(rng: np.random.Generator, given: Conjugate) -> Draws:
    """One exact draw of all parameters given labels."""
    d = given.mean.shape[-1]
    gammas = rng.standard_gamma(given.concentration)
    log_weights = np.log(gammas / gammas.sum(axis=-1, keepdims=True))
    # Bartlett: T = A A' is Wishart(nu, I), so that C T^-1 C' with Psi = C C' is inverse Wishart(nu, Psi).
    bartlett = np.tril(rng.standard_normal((*given.degrees.shape, d, d)), -1)
    for i in range(d):
        bartlett[..., i, i] = np.sqrt(2 * rng.standard_gamma((given.degrees - i) / 2))
    root = given.root @ np.swapaxes(np.linalg.inv(bartlett), -1, -2)
    inverse = np.swapaxes(bartlett, -1, -2) @ np.linalg.inv(given.root)
    noise = rng.standard_normal((*given.mean.shape, 1))
    mean = given.mean + (root @ noise)[..., 0] / np.sqrt(given.precision)[..., None]
    return Draws(log_weights, mean, root, inverse)


def log_marginal(given: Conjugate) -> np.ndarray:
    """The log density of labels with parameters integrated out, up to a constant of the rung, shape ``(...)``."""
    d = given.mean.shape[-1]
    log_det = 2 * np.log(np.diagonal(given.root, axis1=-2, axis2=-1)).sum(axis=-1)
    half = 0.5 * given.degrees
    normals = half * (d * np.log(2.0) - log_det) - 0.5 * d * np.log(given.precision)
    for i in range(d):
        normals += gammaln(half - 0.5 * i)
    return (normals + gammaln(given.concentration)).sum(axis=-1)


def log_joint(draws: Draws, features: np.ndarray) -> np.ndarray:
    """``log w_k + log N(x_n | mu_k, Sigma_k)``, shape ``(..., K, n)``, as one product with the features."""
    d = draws.mean.shape[-1]
    precision = np.swapaxes(draws.inverse, -1, -2) @ draws.inverse
    linear = (precision @ draws.mean[..., None])[..., 0]
    log_det = np.linalg.slogdet(draws.inverse)[1] if d > 1 else np.log(np.abs(draws.inverse[..., 0, 0]))
    constant = draws.log_weights + log_det - 0.5 * d * LOG_TWO_PI - 0.5 * (linear * draws.mean).sum(axis=-1)
    quadratic = -0.5 * precision.reshape(*precision.shape[:-2], d * d)
    return np.concatenate([constant[..., None], linear, quadratic], axis=-1) @ features.T


def log_density(joint: np.ndarray) -> np.ndarray:
    """``log p(x_n)`` from ``(..., K, n)``, shape ``(..., n)``."""
    top = joint.max(axis=-2)
    return top + np.log(np.exp(joint - top[..., None, :]).sum(axis=-2))


def draw_labels(rng: np.random.Generator, log_probs: np.ndarray) -> np.ndarray:
    """One-hot labels ``(..., K, n)`` drawn in proportion to ``exp(log_probs)``."""
    probs = np.exp(log_probs - log_probs.max(axis=-2, keepdims=True))
    bounds = np.cumsum(probs, axis=-2)
    level = rng.random(bounds[..., -1, :].shape) * bounds[..., -1, :]
    below = level[..., None, :] < bounds
    one_hot = below.astype(float)
    one_hot[..., 1:, :] -= below[..., :-1, :]
    return one_hot


# --- quantities ----------------------------------------------------------------------------------------------------


def anchor_rows(x: np.ndarray) -> np.ndarray:
    """The rows whose log density is followed: evenly spaced ranks of the first feature, ties in the data's order."""
    return np.argsort(x[:, 0], kind="stable")[np.linspace(0, len(x) - 1, N_ANCHORS).astype(int)]


def describe(
    draws: Draws, joint: np.ndarray, rows: np.ndarray, shift: np.ndarray, *, ordered: bool
) -> dict[str, np.ndarray]:
    """What labels do not touch (and, where asked for, parameters in the order of the first feature's mean)."""
    densities = log_density(joint)
    weights = np.exp(draws.log_weights)
    means, variances = draws.mean[..., 0], (draws.root[..., 0, :] ** 2).sum(axis=-1)
    centre = (weights * means).sum(axis=-1, keepdims=True)
    found = {f"log_density[{i}]": densities[..., row] for i, row in enumerate(rows)}
    found |= {
        "log_likelihood": densities.sum(axis=-1),
        "largest_weight": weights.max(axis=-1),
        "smallest_weight": weights.min(axis=-1),
        "weight_entropy": -xlogy(weights, weights).sum(axis=-1),
        "total_variance": (weights * (variances + (means - centre) ** 2)).sum(axis=-1),
    }
    if ordered:
        order = np.argsort(means, axis=-1)
        for name, values in {"weight": weights, "mean": means + shift[0], "scale": np.sqrt(variances)}.items():
            placed = np.take_along_axis(values, order, axis=-1)
            found |= {f"{name}[{k}]": placed[..., k] for k in range(weights.shape[-1])}
    return found


def stack(kept: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Sweeps of ``(chain,)`` as ``(chain, sweep)``."""
    return {name: np.stack([one[name] for one in kept], axis=1) for name in kept[0]}
