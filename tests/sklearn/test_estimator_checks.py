"""What scikit-learn asks of every estimator. By name: `uv run pytest -m scikit_learn`."""

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from emjax.sklearn import GaussianMixture

pytestmark = pytest.mark.scikit_learn


@parametrize_with_checks([GaussianMixture()])
def test_check_estimator(estimator: GaussianMixture, check: Callable[[Any], None]):
    check(estimator)
