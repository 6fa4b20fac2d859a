"""PSIS-LOO of many data is estimated from some of them."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
import xarray as xr

import emjax
from emjax import Mixture, Normal
from emjax.bayes import draws
from emjax.bayes.loo import psis_loo


@pytest.fixture(scope="module")
def data():
    return np.random.default_rng(3).normal(size=(400, 1))


def posterior_of(data):
    return emjax.sample(Mixture(Normal(), 1), data, key=jax.random.key(0), method="laplace", chains=2, draws=300)


@pytest.mark.slow
def test_a_sample_of_the_data_says_what_all_of_them_say(data, monkeypatch):
    whole = psis_loo(posterior_of(data))
    assert whole["n_rows"] is None
    monkeypatch.setattr(draws, "ALL_ROWS", 300)
    monkeypatch.setattr(draws, "SOME_ROWS", 80)
    posterior = posterior_of(data)
    kept = posterior.tree["log_likelihood"]
    assert 80 <= kept.sizes["row"] <= 85
    pointwise = kept["x"].sel(row=draws.anchor_rows(data)).values
    assert np.isfinite(pointwise).all()
    found = psis_loo(posterior)
    assert found["n_rows"] == 80
    assert 0 < found["subsampling_error"] < 0.2 * found["standard_error"]
    assert abs(found["value"] - whole["value"]) < 4 * found["subsampling_error"]
    np.testing.assert_allclose(found["standard_error"], whole["standard_error"], rtol=0.05)
    np.testing.assert_allclose(found["effective_parameters"], whole["effective_parameters"], rtol=0.5)


@pytest.mark.parametrize(("n_different", "there"), [(1, False), (3, False), (400, True)])
def test_of_draws_that_hardly_differ_there_is_none(n_different: int, there: bool):
    """Those of a Laplace mixture of which a few have all the weight: no tail to smooth, and no error either."""
    rng = np.random.default_rng(0)
    different = rng.normal(-1.0, 0.2, size=(n_different, 20))
    values = different[rng.integers(n_different, size=400)].reshape(2, 200, 20)
    pointwise = xr.Dataset({"x": (("chain", "draw", "row"), values)}, coords={"row": np.arange(20)})
    parameters = xr.Dataset({"mean": (("chain", "draw"), values[:, :, 0])})
    fit = SimpleNamespace(data=np.zeros((20, 1)), samples=SimpleNamespace(weights=None))
    posterior = SimpleNamespace(
        map_fit=fit,
        diagnostics=SimpleNamespace(min_ess_bulk=400.0),
        n_draws=400,
        sampled=xr.DataTree.from_dict({"posterior": parameters, "log_likelihood": pointwise}),
    )
    found = psis_loo(posterior)
    assert (found is not None) == there
    assert found is None or abs(found["value"] - (values.mean() - 0.02) * 20) < 0.5
