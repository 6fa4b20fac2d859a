"""Data with many equal rows: a random start must not put two components on one point."""

import jax
import numpy as np
from scipy import stats

import emjax


def test_random_points_are_different_so_that_no_start_is_a_saddle():
    x = np.repeat([0.0, 1.0, 5.0], [500, 3, 500])
    fit = emjax.fit(
        emjax.Mixture(emjax.Poisson(), 2), x, key=jax.random.key(0), n_init=40, starts="random", max_iter=2000
    )
    one_component = stats.poisson.logpmf(x, x.mean()).sum()
    # Equal components are the single Poisson again; half of all unguarded starts would end there.
    assert all(optimum.log_likelihood > one_component + 100 for optimum in fit.optima)


def test_fewer_different_rows_than_components_still_start():
    x = np.repeat([1.0, 4.0], [30, 30])
    fit = emjax.fit(emjax.Mixture(emjax.Poisson(), 3), x, key=jax.random.key(0), n_init=20, max_iter=200)
    assert np.isfinite(fit.log_likelihood)
