"""Intervals of many fits are those of each."""

import jax
import numpy as np
import pytest

import emjax
from emjax.em.many import fit_many
from emjax.uncertainty import intervals
from emjax.uncertainty.many import intervals_many
from emjax.uncertainty.results import IntervalStatus


def test_each_is_what_intervals_gives(monkeypatch):
    monkeypatch.setattr("emjax.uncertainty.many._FITS_AT_ONCE", 2)
    rng = np.random.default_rng(0)
    datasets = [rng.poisson(2.0 + 6.0 * rng.integers(2, size=(150, 1))) for _ in range(3)]
    datasets.insert(1, -np.ones((150, 1)))
    fits = fit_many(
        emjax.Mixture(emjax.Poisson(), 2, prior="default"),
        datasets,
        keys=jax.random.split(jax.random.key(0), 4),
        n_init=1,
    )
    found = intervals_many(fits, level=0.8)
    assert found[1] is fits[1]
    assert isinstance(found[1], emjax.DataError)
    for i in (0, 2, 3):
        alone = intervals(fits[i], level=0.8, method="information")
        assert found[i].status is alone.status is IntervalStatus.OK
        assert found[i].level == 0.8
        np.testing.assert_allclose(found[i].covariance, alone.covariance, rtol=1e-9)
        for one, other in zip(found[i].rows, alone.rows, strict=True):
            assert (one.name, one.scale) == (other.name, other.scale)
            np.testing.assert_allclose(
                [one.estimate, one.se, one.lower, one.upper],
                [other.estimate, other.se, other.lower, other.upper],
                rtol=1e-9,
            )
    with pytest.raises(ValueError, match=r"level = 1\.0 is not allowed; it must lie between 0 and 1"):
        intervals_many(fits, level=1.0)
