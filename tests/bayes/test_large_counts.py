"""The evidence of counts of any size, against the conjugate closed form evaluated with 50 digits.

`tests/reference/poisson_evidence.py` made the numbers: components lie so far apart that there is one labelling.
"""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

import emjax

CASES = json.loads((Path(__file__).parents[1] / "reference" / "poisson_evidence.json").read_text())


@pytest.mark.parametrize("scale", [pytest.param(each, marks=[pytest.mark.slow] * (each != "4e+15")) for each in CASES])
def test_evidence_does_not_lose_digits_to_the_size_of_counts(scale: str):
    case = CASES[scale]
    x = np.array([int(value) for value in case["x"]], dtype=float)[:, None]
    mixture = emjax.Mixture(emjax.Poisson(), case["n_components"])
    posterior = emjax.sample(mixture, x, key=jax.random.key(0), method="laplace")
    assert posterior.converged, posterior.message
    assert posterior.modes.log_evidence == pytest.approx(float(case["log_evidence"]), abs=0.02)
    pointwise = posterior.sampled["log_likelihood"]["x"].values
    # Half a degree of freedom for each parameter below the highest.
    below = posterior.map_fit.log_likelihood - pointwise.sum(axis=-1).mean()
    assert below == pytest.approx(mixture.n_parameters(1) / 2, abs=0.3)
