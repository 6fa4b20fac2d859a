"""`compare` on a real data set where EM is not enough."""

import json

import jax
import pytest

import emjax
from emjax import Mixture, Normal

pytestmark = pytest.mark.runs_numpyro


@pytest.fixture(scope="module")
def galaxies():
    data = emjax.datasets.load("galaxies")
    mixture = Mixture(Normal("full"), 3)
    fit = emjax.fit(mixture, data, key=jax.random.key(0))
    posterior = emjax.sample(mixture, data, key=jax.random.key(1), init=fit, method="hmc")
    return emjax.compare(fit, posterior, data)


@pytest.mark.slow
def test_em_is_not_enough_for_the_galaxies(galaxies):
    assert galaxies.posterior.status == "converged", galaxies.posterior.message
    assert galaxies.verdict == "mcmc_needed", galaxies.reasons
    assert "Over the limit" in galaxies.reasons[0]
    assert max(abs(one.difference_in_sd) for one in galaxies.rows) > 1.0
    assert galaxies.fit.log_likelihood == pytest.approx(-203.1792, abs=1e-4)


@pytest.mark.slow
def test_rows_of_real_data_name_the_feature_and_show_the_map(galaxies):
    (one,) = [each for each in galaxies.rows if each.name == "scale[0, velocity]"]
    assert one.map != one.em
    assert len(galaxies.rows) == 9
    json.dumps(galaxies.to_dict(), allow_nan=False)
    assert galaxies.diagnostics["posterior"]["prior"] == galaxies.posterior.prior_note
