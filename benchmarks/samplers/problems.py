"""The posteriors of the benchmark, each with data from a file or a seed."""

from __future__ import annotations

import numpy as np

from benchmarks.samplers.base import Problem

_OVERLAPPING_SEED = 20261120


def eruptions() -> Problem:
    """Durations of 272 eruptions of Old Faithful: two groups far apart."""
    return Problem("Old Faithful, eruptions", _load("faithful")[:, :1], 2)


def large(n: int) -> Problem:
    """Three bivariate normals, means three standard deviations apart."""
    rng = np.random.default_rng(4)
    means = 3.0 * np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.866]])
    roots = np.array([[[1.0, 0.0], [0.4, 0.9]], [[0.9, 0.0], [-0.3, 1.0]], [[1.1, 0.0], [0.0, 0.8]]])
    labels = rng.choice(3, size=n, p=[0.3, 0.3, 0.4])
    noise = rng.normal(size=(n, 2))
    return Problem(
        "three bivariate normals 3 sd apart", means[labels] + np.einsum("nij,nj->ni", roots[labels], noise), 3
    )


def overlapping() -> Problem:
    """300 points of three normals 1.5 standard deviations apart, as in the frozen reference of that name."""
    rng = np.random.default_rng(_OVERLAPPING_SEED)
    labels = rng.choice(3, size=300, p=[0.3, 0.4, 0.3])
    return Problem("overlapping", np.array([0.0, 1.5, 3.0])[labels][:, None] + rng.normal(size=(300, 1)), 3)


def galaxies() -> Problem:
    """82 velocities, of which three components leave much open."""
    return Problem("galaxies", _load("galaxies"), 3)


def iris() -> Problem:
    """150 irises with four measurements and no species; from scikit-learn where emjax has no copy."""
    import emjax

    if "iris" in emjax.datasets.available():
        return Problem("iris", _load("iris"), 3)
    from sklearn.datasets import load_iris

    return Problem("iris", np.asarray(load_iris().data, float), 3)


def _load(name: str) -> np.ndarray:
    import emjax

    return np.asarray(emjax.datasets.load(name).values, float)
