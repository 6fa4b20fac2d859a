"""The family of `docs/families.md` that is given by its log density: no step falls, and samplers agree with EM."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import emjax

DOCS = Path(__file__).resolve().parents[2] / "docs" / "families.md"


@pytest.fixture(scope="module")
def cauchy() -> Any:
    """The class of the page."""
    block = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[-1]
    names: dict[str, Any] = {"__name__": "families_page"}
    exec(compile(block, str(DOCS), "exec"), names)
    return names["Cauchy"]


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    rng = np.random.default_rng(3)
    first = rng.random(300) < 0.4
    return (np.where(first, 0.0, 6.0) + np.where(first, 0.1, 0.2) * rng.standard_cauchy(300))[:, None]


STARTS = ((-1.0, 7.0, 0.05, 0.05), (-0.3, 5.8, 0.2, 0.2), (0.0, 6.0, 10.0, 10.0), (3.0, 4.0, 0.1, 5.0))


# The step is one, whichever loop takes it.
@pytest.mark.parametrize("accelerate", [pytest.param("none", marks=pytest.mark.slow), "anderson"])
def test_a_step_that_falls_is_tried_again_shorter(cauchy: Any, x: np.ndarray, accelerate: str):
    def fits(family: emjax.Family) -> list[emjax.Fit]:
        mixture = emjax.Mixture(family, 2)
        starts = [mixture.params(location=[[a], [b]], scale=[[c], [d]]) for a, b, c, d in STARTS]
        return [emjax.fit(mixture, x, key=1, init=start, accelerate=accelerate) for start in starts]

    found = fits(cauchy())
    for fit in found:
        assert fit.converged, fit.message
        assert np.diff(fit.trace).min() >= -1e-9
        assert fit.log_likelihood == pytest.approx(found[0].log_likelihood, abs=1e-6)
        assert fit.n_evaluations > fit.n_iter + 1

    class Rash(cauchy):
        """The same, said to give a maximiser: its steps are never shortened."""

        exact = True

    rash = dataclasses.dataclass(frozen=True)(Rash)
    assert {fit.status for fit in fits(rash())} == {emjax.Status.DECREASED}


@pytest.mark.runs_numpyro
@pytest.mark.slow
def test_samplers_agree_with_em(cauchy: Any, x: np.ndarray):
    mixture = emjax.Mixture(cauchy(), 2, "default")
    fit = emjax.fit(mixture, x, key=1)
    assert fit.converged, fit.message
    posterior = emjax.sample(mixture, x, key=jax.random.key(0), method="hmc")
    assert posterior.converged, posterior.message
    draws = posterior.sampled["posterior"]["location"].values.reshape(-1, 2, 1)
    # With 300 data the posterior is normal about its mode, but for a skewness of about one over their root.
    assert (np.abs(draws.mean(axis=0) - fit.params.location) < 0.3 * draws.std(axis=0)).all()
    np.testing.assert_allclose(
        draws.std(axis=0).ravel(),
        [row.se for row in fit.intervals(method="information").rows if row.name.startswith("location")],
        rtol=0.15,
    )
