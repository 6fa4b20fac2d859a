"""Poisson log probabilities by mpmath: ``python tests/reference/poisson_values.py`` writes the JSON beside it.

mpmath is no dependency of emjax; ``pip install mpmath`` to run this again.
"""

import json
from pathlib import Path

import mpmath

mpmath.mp.dps = 60

DEVIATIONS = (0.0, 0.3, -1.7, 4.0, -9.0, 40.0)
RATES = (1e-12, 1e-3, 0.5, 3.0, 15.5, 16.0, 90.0, 1e3, 4.5e4, 3e6, 1e9, 2.5e12, 1e15)


def log_probability(x: int, rate: float) -> mpmath.mpf:
    rate = mpmath.mpf(rate)
    return x * mpmath.log(rate) - rate - mpmath.loggamma(x + 1)


def cases() -> list[dict[str, str]]:
    found = []
    for rate in RATES:
        near = {int(max(0.0, round(rate + z * rate**0.5))) for z in DEVIATIONS}
        for x in sorted(near | {0, 1, 2, 15, 16, 17, int(1.3 * rate) + 1}):
            value = mpmath.nstr(log_probability(x, rate), 25)
            found.append({"x": str(x), "rate": repr(rate), "log_probability": value})
    return found


if __name__ == "__main__":
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps({"cases": cases()}, indent=0) + "\n", encoding="utf-8")
    for x in range(16):
        print(mpmath.nstr(x * mpmath.log(x) - x - mpmath.loggamma(x + 1) if x else mpmath.mpf(0), 19))
