"""The criteria against their formulas by hand; `tests/em/test_published.py` has those of published fits."""

import math

import numpy as np
import pytest

from emjax import criteria

SHARES = np.array([[0.5, 0.5], [1.0, 0.0], [0.25, 0.75]])


def test_penalties_by_hand():
    # 20 data, 5 parameters, log-likelihood -30.
    assert criteria.aic(-30.0, 5) == 70.0
    assert criteria.aicc(-30.0, 5, 20) == pytest.approx(70.0 + 60.0 / 14.0)
    assert criteria.bic(-30.0, 5, 20) == pytest.approx(60.0 + 5 * math.log(20))
    assert math.isnan(criteria.aicc(-30.0, 5, 6))


def test_overlap_by_hand():
    # Rows of SHARES: log 2, 0 and the entropy of a quarter.
    of_a_quarter = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert criteria.entropy(SHARES) == pytest.approx(math.log(2) + of_a_quarter)
    assert criteria.entropy(SHARES, np.array([2.0, 5.0, 0.0])) == pytest.approx(2 * math.log(2))
    assert criteria.icl(10.0, SHARES) == pytest.approx(10.0 + 2 * math.log(2) - 2 * math.log(0.75))
    assert criteria.nec(criteria.entropy(SHARES), 4.0, 2) == pytest.approx((math.log(2) + of_a_quarter) / 4)
    assert criteria.nec(0.0, 0.0, 1) == 1.0
    assert math.isnan(criteria.nec(1.0, 0.0, 2))
