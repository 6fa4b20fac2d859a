"""What is kept of a program comes back to the last bit with the program, and with no other."""

import dataclasses
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from imitation import compared

import emjax
from emjax.mixture import declared
from emjax.probabilistic.sketch import check_same
from emjax.report.drawing.outlines import ellipses
from emjax.report.drawing.view import as_view
from emjax.result import Fit, Optimum, Status
from emjax.scope import computing

pytestmark = pytest.mark.runs_numpyro

RNG = np.random.default_rng(8)
T = RNG.normal(size=40)
Y = np.stack([np.where(RNG.random(40) < 0.4, -4.0, 4.0) + T, RNG.poisson(3.0, 40)], axis=1)
Y[5, 0] = np.nan
DATA = {"y": Y, "late": T > 0.0}


def model(y, late, *, spread=5.0, rate=3.0):
    """A column with a cell that is masked, one of counts, and truths for a covariate."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(2)))
    level = numpyro.sample("level", dist.Normal(0.0, spread).expand([2]).to_event(1))
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(weights))
        seen = ~jnp.isnan(y[:, 0])
        line = dist.Normal(level[z] + slope * late, 1.5).mask(seen)
        numpyro.sample("line", line, obs=jnp.where(seen, y[:, 0], 0.0))
        numpyro.sample("count", dist.Poisson(rate), obs=y[:, 1])


@pytest.fixture(scope="module")
def fit() -> emjax.Fit:
    """One that nobody fitted."""
    mixture = declared(emjax.program(model), DATA)
    params = mixture.params(weights=[0.4, 0.6], level=[-4.0, 4.0], slope=1.0)
    with computing():
        samples = mixture.samples(DATA)
        value = float(mixture.log_prob(params, samples.values).sum())
        mixture = dataclasses.replace(mixture, prior=mixture.resolved_prior(samples))
    best = Optimum(params, value, value, Status.CONVERGED, 3, np.array([16.0, 24.0]), False)
    return Fit(
        mixture=mixture, params=params, log_likelihood=value, log_prior=0.0, status=Status.CONVERGED, n_iter=1,
        trace=np.array([value]), optima=(best,), rate=0.5, space="(weights, level, slope)", compile_seconds=0.0,
        run_seconds=0.0, samples=samples,
    )  # fmt: skip


def test_a_fit_comes_back_with_its_program(fit: Fit, tmp_path: Path):
    path = fit.save(tmp_path / "fit.npz")
    found = emjax.load(path, program=emjax.program(model))
    assert repr(found) == repr(fit)
    for name, value in fit.params.items():
        np.testing.assert_array_equal(found.params[name], value)
    np.testing.assert_array_equal(found.predict_proba(), fit.predict_proba())
    np.testing.assert_array_equal(found.predict(DATA), fit.predict(DATA))
    assert abs(found.score() * len(Y) - fit.log_likelihood) < 1e-9
    assert found.save(tmp_path / "again.npz").read_bytes() == path.read_bytes()


def test_outlines_of_a_program_are_in_full_precision(fit: Fit):
    view = as_view(fit)
    centres, matrices = ellipses(view, view.at)  # warnings are errors
    assert centres.dtype == matrices.dtype == np.float64
    np.testing.assert_allclose(centres[0, :, 1], Y[:, 1].mean(), atol=0.2)


@pytest.mark.slow
def test_a_posterior_and_a_comparison_come_back_with_their_program(tmp_path: Path):
    made = compared(DATA, declared(emjax.program(model), DATA))
    for result in (made.posterior, made):
        found = emjax.load(result.save(tmp_path / "result.npz"), program=emjax.program(model))
        assert repr(found) == repr(result)
    assert found.table.equals(made.table)
    np.testing.assert_array_equal(found.posterior.tree["prior"]["level"], made.posterior.tree["prior"]["level"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, r"is of the NumPyro program 'model', which no file holds: give it, emjax.load\(path, program=emjax"),
        (model, r"is of the NumPyro program 'model'"),
        (emjax.program(lambda x: None), r"the program takes no argument 'y'"),
        pytest.param(
            emjax.program(model, rate=4.0),
            r"program\(model\) is not the program that this is of: its log density is another one .*with all its arg",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_no_other_program_is_taken(fit: Fit, tmp_path: Path, given: object, message: str):
    path = fit.save(tmp_path / "fit.npz")
    with pytest.raises(emjax.ConfigError, match=message) as error:
        emjax.load(path, program=given)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("part", ["columns", "holes", "labels", "sites", "weights", "log_densities"])
def test_a_program_that_differs_in_any_part_is_another_one(fit: Fit, part: str):
    sketch = json.loads(json.dumps(fit.mixture.family.sketch))
    check_same(fit.mixture.family, sketch)
    other = {"holes": False, "log_densities": [sketch["log_densities"][0], None]}.get(part, sketch[part] * 2)
    with pytest.raises(emjax.ConfigError, match=r"^program\(model\) is not the program that this is of: "):
        check_same(fit.mixture.family, {**sketch, part: other})


def test_a_program_is_not_kept_without_its_data_and_none_is_given_for_a_mixture(fit: Fit, tmp_path: Path):
    with pytest.raises(emjax.ConfigError, match="a program is had again with its data alone; leave out data=False"):
        fit.save(tmp_path / "fit.npz", data=False)
    assert not list(tmp_path.iterdir())
    mixture = emjax.Mixture(emjax.Poisson(), 2)
    other = dataclasses.replace(fit, mixture=mixture, params=mixture.params(rate=np.ones((2, 3))), optima=())
    path = other.save(tmp_path / "poisson.npz")
    with pytest.raises(emjax.ConfigError, match="is of no program: leave out program="):
        emjax.load(path, program=emjax.program(model))
