"""Evidence of Poisson mixtures with labels that are known, by mpmath: writes the JSON beside.

With labels known, ``p(x) = K! p(labels) prod_k p(x_k)``, Dirichlet(1) weights and Gamma(2, 2 / mean) rates. mpmath is
no dependency of emjax; ``pip install mpmath`` to run this again.
"""

import json
from pathlib import Path

import mpmath
import numpy as np

mpmath.mp.dps = 50
N_EACH, APART = 40, 30.0


def log_evidence(groups: list[list[int]]) -> mpmath.mpf:
    x = [mpmath.mpf(value) for group in groups for value in group]
    shape, n_groups = mpmath.mpf(2), len(groups)
    inverse_scale = shape / (sum(x) / len(x))
    total = mpmath.loggamma(n_groups + 1) + mpmath.loggamma(n_groups) - mpmath.loggamma(n_groups + len(x))
    for group in groups:
        events, exposure = shape + sum(mpmath.mpf(value) for value in group), inverse_scale + len(group)
        total += mpmath.loggamma(len(group) + 1)
        total += shape * mpmath.log(inverse_scale) - mpmath.loggamma(shape)
        total += mpmath.loggamma(events) - events * mpmath.log(exposure)
        total -= sum(mpmath.loggamma(mpmath.mpf(value) + 1) for value in group)
    return total


def case(scale: float, n_components: int) -> dict:
    rng = np.random.default_rng(7)
    groups = [[int(v) for v in rng.poisson(scale + k * APART * scale**0.5, N_EACH)] for k in range(n_components)]
    x = [str(value) for group in groups for value in group]
    return {"n_components": n_components, "x": x, "log_evidence": mpmath.nstr(log_evidence(groups), 15)}


if __name__ == "__main__":
    cases = {"1e+04": case(1e4, 2), "1e+12": case(1e12, 2), "4e+15": case(4e15, 2)}
    Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n", encoding="utf-8")
