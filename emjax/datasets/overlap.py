r"""How far apart the components of a mixture are, as the share of data that nobody can assign rightly.

The Bayes rule gives a datum to its most probable component. What it still assigns wrongly,

.. math:: e = 1 - \int \max_k w_k \, p_k(x) \, dx,

is the *misassignment probability*: 0 for components that share no data, at most :math:`1 - \max_k w_k`. It measures
separation in one number for any weights, covariances and number of features, where a distance between means does not
(McLachlan & Peel 2000, *Finite Mixture Models*, section 1.11; pairwise overlaps as in Maitra & Melnykov 2010, *J.
Comput. Graph. Stat.* 19, 354-376, are parts of it).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from emjax.datasets.laws import LocationScaleLaw, normal_law
from emjax.datasets.shapes import NORMAL, Shape
from emjax.errors import DataError

__all__ = ["misassignment", "separated"]

_LOG2_POINTS = 14
# Of a distance of one standard deviation: up to 1e9 of them, where floats still tell a standard deviation apart.
_DOUBLINGS, _HALVINGS = 30, 60
SMALLEST_OVERLAP = 1e-3
"""From two features on; with fewer wrong assignments the fixed points hold too few of them to be exact."""


def misassignment(weights: Any, mean: Any, covariance: Any, *, shape: Shape = NORMAL) -> float:
    r"""The share of data that the Bayes rule assigns to a wrong component.

    One feature: trapezoid rule on nodes that follow every component. More features: the mean of :math:`1 - \max_k
    r_k(x)` over 16,384 scrambled Sobol points of each component, always the same ones. For two normals with equal
    weights and covariances and Mahalanobis distance :math:`\Delta` the answer is :math:`\Phi(-\Delta/2)`, which is met
    to a relative 1e-4 with one feature; with two to ten features to 1% for shares from 0.02 on and to 12% at 0.001.

    Args:
        weights: ``(n_components,)``.
        mean: ``(n_components, n_features)``.
        covariance: ``(n_components, n_features, n_features)``.
        shape: of the components; normal by default.

    Returns:
        A probability.

    Raises:
        DataError: as `emjax.datasets.simulate.normal_mixture`.
    """
    return _misassigned(normal_law(weights=weights, mean=mean, covariance=covariance, shape=shape))


def separated(weights: Any, mean: Any, covariance: Any, overlap: float, *, shape: Shape = NORMAL) -> np.ndarray:
    r"""Means moved apart or together until the Bayes rule assigns the share ``overlap`` of the data wrongly.

    All means are moved by one factor along the lines to their weighted centre :math:`\sum_k w_k \mu_k`, which stays
    where it is; weights and covariances stay as they are. The same arguments always give the same means.

    Args:
        weights: ``(n_components,)``, at least two components.
        mean: ``(n_components, n_features)``, which give the directions.
        covariance: ``(n_components, n_features, n_features)``.
        overlap: the misassignment probability to meet, see `misassignment`.
        shape: of the components; normal by default.

    Returns:
        Means ``(n_components, n_features)``.

    Raises:
        DataError: if no distance gives this overlap: it is more than coinciding means give, the means are all equal,
            or some components stay on top of each other however far the others are; also for an overlap below 0.001
            with two or more features.
    """
    law = normal_law(weights=weights, mean=mean, covariance=covariance, shape=shape)
    _check_overlap(overlap, law)
    centre = law.weights @ law.mean
    if np.allclose(law.mean, centre, rtol=1e-12, atol=0.0):
        raise DataError("overlap needs means that differ: all are equal, so that there is no distance to change")

    def moved(factor: float) -> np.ndarray:
        return centre + factor * (law.mean - centre)

    def excess(factor: float) -> float:
        return _misassigned(LocationScaleLaw(law.weights, moved(factor), law.covariance, shape)) - overlap

    largest = excess(0.0) + overlap
    if overlap >= largest * (1.0 - 1e-4):  # what the integral is exact to
        raise DataError(
            f"overlap {overlap:g} cannot be reached: means that coincide give {largest:.4g}; ask for less than that"
        )
    widest = np.sqrt(np.einsum("kdd->kd", law.covariance)).max()
    return moved(_root(excess, float(widest / np.abs(law.mean - centre).max()), overlap))


def _root(excess: Callable[[float], float], start: float, overlap: float) -> float:
    """The factor at which ``excess``, positive at 0, is 0; the search begins at ``start``."""
    from scipy import optimize

    upper = start
    for _ in range(_DOUBLINGS):
        if excess(upper) < 0.0:
            break
        upper *= 2.0
    else:
        raise DataError(
            f"overlap {overlap:g} cannot be reached: however far apart the means are moved, "
            f"{excess(upper) + overlap:.4g} stays; look for components with equal means"
        )
    lower = upper
    for _ in range(_HALVINGS):
        lower *= 0.5
        if excess(lower) >= 0.0:
            break
    else:
        lower = 0.0
    return float(optimize.brentq(excess, lower, upper, xtol=1e-10 * upper, rtol=1e-10))


def _check_overlap(overlap: float, law: LocationScaleLaw) -> None:
    if law.weights.size < 2:
        raise DataError("overlap needs at least two components")
    if not 0.0 < overlap < 1.0:
        raise DataError(f"overlap is {overlap!r}: give a probability between 0 and 1, both exclusive")
    if law.n_features > 1 and overlap < SMALLEST_OVERLAP:
        raise DataError(f"overlap {overlap:g} is below {SMALLEST_OVERLAP:g}, the least with several features")


def _misassigned(law: LocationScaleLaw) -> float:
    if law.n_features == 1:
        nodes = line_nodes(law.mean[:, 0], np.sqrt(law.covariance[:, 0, 0]), 8001)
        joint = np.exp(law.log_joint(nodes[:, np.newaxis]))
        return float(np.trapezoid(joint.sum(axis=1) - joint.max(axis=1), nodes))
    z = _fixed_points(law.shape, law.n_features)
    total = 0.0
    for weight, mean, root in zip(law.weights, law.mean, law.root, strict=True):
        if weight > 0.0:
            total += weight * float((1.0 - law.responsibilities(mean + z @ root.T).max(axis=1)).mean())
    return total


def line_nodes(mean: np.ndarray, scale: np.ndarray, n_nodes: int = 2001) -> np.ndarray:
    r"""Sorted nodes for integrals in one dimension that are fine wherever one of some components is.

    Around each mean lie ``n_nodes`` nodes up to 1,000 standard deviations away, near it ``29 / n_nodes`` standard
    deviations apart, and a pair on either side of the edges :math:`\pm\sqrt 3` of a `Uniform`.

    Args:
        mean: ``(n,)``.
        scale: standard deviations ``(n,)``, positive.
        n_nodes: per component.

    Returns:
        ``(n * (n_nodes + 4),)``, ascending.
    """
    core, reach = 2.1, 1000.0
    steps = np.arcsinh(reach / core) * np.linspace(-1.0, 1.0, n_nodes)
    edges = np.sqrt(3.0) * np.array([-1.0 - 1e-7, -1.0 + 1e-7, 1.0 - 1e-7, 1.0 + 1e-7])
    standard = np.concatenate([core * np.sinh(steps), edges])
    return np.sort((mean[:, np.newaxis] + scale[:, np.newaxis] * standard).ravel())


@lru_cache(maxsize=4)
def _fixed_points(shape: Shape, n_features: int) -> np.ndarray:
    """Standardised vectors ``(16384, n_features)`` that follow a shape evenly, the same ones in every process."""
    from scipy.stats import qmc

    sobol = qmc.Sobol(shape.n_uniforms(n_features), scramble=True, rng=np.random.default_rng(20))
    uniforms = np.clip(sobol.random_base2(_LOG2_POINTS), 2.0**-32, 1.0 - 2.0**-32)
    points = shape.from_uniforms(uniforms, n_features)
    points.setflags(write=False)
    return points
