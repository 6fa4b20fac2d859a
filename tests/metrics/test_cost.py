"""Cost: its rate and its keys; and what the package of metrics may import."""

import dataclasses
import json
import subprocess
import sys

import pytest

from emjax.metrics import Cost


def test_rate_is_effective_draws_over_run_seconds():
    cost = Cost(compile_seconds=3.0, run_seconds=2.0, total_seconds=5.5, min_ess=800.0)
    assert cost.effective_draws_per_second == 400.0
    assert json.loads(json.dumps(cost.to_dict())) == {
        "compile_seconds": 3.0,
        "run_seconds": 2.0,
        "total_seconds": 5.5,
        "min_ess": 800.0,
        "effective_draws_per_second": 400.0,
    }


@pytest.mark.parametrize("cost", [Cost(1.0, 2.0, 3.0), Cost(1.0, 0.0, 1.0, min_ess=10.0)])
def test_no_rate_without_draws_or_time(cost):
    assert cost.effective_draws_per_second is None
    assert cost.to_dict()["effective_draws_per_second"] is None


def test_cost_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Cost(1.0, 2.0, 3.0).run_seconds = 0.0


def test_metrics_and_align_import_no_heavy_library():
    code = (
        "import sys, emjax.align, emjax.metrics; "
        "heavy = {'numpyro', 'arviz', 'matplotlib', 'pandas', 'sklearn', 'scipy.optimize'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
