"""Contracts of weights: a row of weight 2 is two rows, and one of weight 0 is none, for every family."""

import dataclasses

import jax
import numpy as np
import pytest
from table import Row, map_and_by_name_ml, walk

import emjax


def weighted(row: Row, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Data, a weight for each row, and the same data as copies of rows: as many as rows, as in `test_em.py`."""
    x = row.data(seed)
    weights = np.random.default_rng(seed).multinomial(len(x), np.full(len(x), 1 / len(x))).astype(float)
    assert set(weights) >= {0.0, 1.0, 2.0, 3.0}
    return x, weights, np.repeat(x, weights.astype(int), axis=0)


# Responsibilities are weighted before any family sees them: one row says all.
@walk(by_name=lambda row: row.name != "normal-full-2d")
@map_and_by_name_ml
def test_weights_are_copies(row: Row, with_prior: bool):
    x, weights, copies = weighted(row)
    # Where weights are zero anything may stand, even what no datum of this family can be.
    hostile = np.where(weights[:, None] == 0, 1e300, x)
    mixture = row.mixture("default" if with_prior else None)
    settings = {"key": 0, "init": row.start(3, x), "max_iter": 40, "tol": 0.0}
    ours, theirs = emjax.fit(mixture, hostile, weights=weights, **settings), emjax.fit(mixture, copies, **settings)
    for ours_one, theirs_one in zip(jax.tree.leaves(ours.params), jax.tree.leaves(theirs.params), strict=True):
        np.testing.assert_allclose(ours_one, theirs_one, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(ours.trace, theirs.trace, rtol=1e-10)
    for number in ("log_likelihood", "log_prior"):
        np.testing.assert_allclose(getattr(ours, number), getattr(theirs, number), rtol=1e-10)
    for criterion in ("aic", "bic", "icl", "score"):
        np.testing.assert_allclose(getattr(ours, criterion)(), getattr(theirs, criterion)(), rtol=1e-10)
    kept = weights > 0
    np.testing.assert_allclose(ours.optima[0].effective_counts, theirs.optima[0].effective_counts, rtol=1e-10)
    np.testing.assert_allclose(
        np.repeat(ours.score_samples(x[kept]), weights[kept].astype(int)), theirs.score_samples(), rtol=1e-10
    )


# By name: the sandwich of `tests/uncertainty/test_sandwich.py` is made of the information of weighted rows.
@walk(by_name=lambda row: True)
def test_standard_errors_know_weights(row: Row):
    x, weights, copies = weighted(row)
    fits = [
        emjax.fit(row.mixture("default"), data, key=0, init=row.start(3, x), **given)
        for data, given in ((x, {"weights": weights}), (copies, {}))
    ]
    # Both at the very same estimate: what is compared is the curvature there.
    ours, theirs = (dataclasses.replace(fit, params=fits[1].params).intervals(method="information") for fit in fits)
    assert ours.status == theirs.status
    np.testing.assert_allclose([row.se for row in ours.rows], [row.se for row in theirs.rows], rtol=1e-8)


@pytest.mark.parametrize("share", [0.5, pytest.param(2.5, marks=pytest.mark.slow)])
def test_any_number_may_be_a_weight(share: float):
    x = np.random.default_rng(0).normal(size=(60, 1))
    one = emjax.fit(emjax.Mixture(emjax.Normal(), 1), x, key=0, n_init=1)
    many = emjax.fit(emjax.Mixture(emjax.Normal(), 1), x, key=0, n_init=1, weights=np.full(60, share))
    np.testing.assert_allclose(many.params.covariance, one.params.covariance, rtol=1e-12)
    np.testing.assert_allclose(many.log_likelihood, share * one.log_likelihood, rtol=1e-12)
