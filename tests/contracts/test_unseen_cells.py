"""Contracts of missing cells: the density is that of what was observed, and EM climbs it, for every family."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from table import Row, map_and_by_name_ml, walk

import emjax
from emjax.families.observations import observed


def with_holes(row: Row, seed: int = 5) -> np.ndarray:
    """Data of which a quarter of the cells were not observed, of one row none."""
    x = row.data(seed)
    holes = np.random.default_rng(seed).random(x.shape) < 0.25
    holes[0], holes[1] = True, False
    return np.where(holes, np.nan, x)


def of_observed(row: Row, params: emjax.MixtureParams, x: np.ndarray) -> np.ndarray:
    """The log density of each row's observed cells, pattern by pattern, by the oracle."""
    found = np.zeros(len(x))
    for pattern in np.unique(~np.isnan(x), axis=0):
        rows = (~np.isnan(x) == pattern).all(axis=1)
        if pattern.any():
            own = row.oracle.log_density(row.oracle.of_features(row.values(params), pattern), x[rows][:, pattern])
            found[rows] = scipy.special.logsumexp(own + np.log(params.weights)[:, None], axis=0)
    return found


# One run says all, since a fit of every row costs its programs: holes that concern other features. `test_tails.py`
# holds Student's t and gamma laws to SciPy's maxima.
@walk(by_name=lambda row: row.name != "normal-full-2d")
@map_and_by_name_ml
def test_em_climbs_the_density_of_what_was_observed(row: Row, with_prior: bool):
    x = with_holes(row)
    mixture = row.mixture(row.prior(5) if with_prior else None)
    fit = emjax.fit(mixture, x, key=0, init=row.start(5, row.data(5)), tol=1e-10)
    assert fit.converged, fit.message
    assert np.diff(fit.trace).min() >= -1e-14 * (np.abs(fit.trace).max() + len(x))
    densities = of_observed(row, fit.params, x)
    np.testing.assert_allclose(fit.score_samples(), densities, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(fit.log_likelihood, densities.sum(), rtol=1e-9)
    assert abs(fit.score_samples()[0]) < 1e-15  # of a row with nothing observed nothing is said
    np.testing.assert_allclose(fit.predict_proba()[0], fit.params.weights, rtol=1e-12)

    coordinates = mixture.coordinates(row.n_features)

    def objective(flat):
        at = coordinates.params(flat)
        value = mixture.log_prob(at, observed(x)).sum()
        return value + mixture.log_prior(at, mixture.prior) if with_prior else value

    with jax.enable_x64(True):
        slopes = jax.jit(lambda params: jax.grad(objective)(coordinates.flat(params)))(fit.params)
    assert np.abs(slopes).max() < 1e-5


# Such a row is told by the pattern of its holes, which no family sees.
@walk(by_name=lambda row: row.name != "normal-full-2d")
def test_a_row_with_nothing_observed_changes_nothing(row: Row):
    x = with_holes(row)[1:]
    more = np.concatenate([x, np.full((7, x.shape[1]), np.nan)])
    settings = {"key": 0, "init": row.start(5, row.data(5)), "tol": 1e-9}
    ours, theirs = (emjax.fit(row.mixture(), data, **settings) for data in (more, x))
    assert ours.samples.n_unseen_rows == theirs.samples.n_unseen_rows + 7
    np.testing.assert_allclose(ours.log_likelihood, theirs.log_likelihood, rtol=1e-10)
    for ours_one, theirs_one in zip(jax.tree.leaves(ours.params), jax.tree.leaves(theirs.params), strict=True):
        np.testing.assert_allclose(ours_one, theirs_one, rtol=1e-6, atol=1e-6)


# Of one number at a time all families draw alike.
@walk(by_name=lambda row: row.name not in ("normal-full-2d", "normal-diag-2d", "poisson-2d", "student_t-full-own-2d"))
def test_conditional_draws_leave_what_was_observed(row: Row):
    x, params = with_holes(row)[1:], row.params(5)
    rows, key = observed(x), jax.random.key(1)
    with jax.enable_x64(True):
        labels = jnp.zeros(len(x), int)
        draw = jax.jit(row.family.filled)
        filled, again = (draw(params, seed, labels, rows) for seed in (key, jax.random.key(2)))
    seen = ~np.isnan(x)
    np.testing.assert_array_equal(np.asarray(filled.y).T[seen], x[seen])
    assert (np.asarray(filled.y).T[~seen] != np.asarray(again.y).T[~seen]).any()
