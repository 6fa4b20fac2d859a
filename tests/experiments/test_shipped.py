"""The experiments that ship give the answers that their folders state. By name: `uv run pytest -m slow`."""

import json
from pathlib import Path

import pytest

from emjax.experiments.runner import run
from emjax.experiments.settings import load_config

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

pytestmark = pytest.mark.slow


def _run(name: str, folder: Path) -> tuple[dict, dict, dict]:
    """What the folder expects, and the run's em.json and comparison.json (empty where there is none)."""
    expected = json.loads((EXPERIMENTS / name / "expected.json").read_text(encoding="utf-8"))
    out = folder / name
    run(load_config(EXPERIMENTS / name / "config.toml", [f"output.dir={json.dumps(str(out))}"]))
    comparison = out / "comparison.json"
    return (
        expected,
        json.loads((out / "em.json").read_text(encoding="utf-8")),
        json.loads(comparison.read_text(encoding="utf-8")) if comparison.exists() else {},
    )


def test_textbook(tmp_path):
    expected, em, _ = _run("textbook", tmp_path)
    assert em["mle"]["n_iter"] == expected["n_iter"]
    assert em["mle"]["log_likelihood"] == pytest.approx(expected["log_likelihood"], abs=1e-6)
    found = {row["name"]: row["estimate"] for row in em["mle"]["intervals"]["rows"]}
    assert found == pytest.approx(expected["parameters"], abs=expected["absolute_tolerance"])


def test_old_faithful(tmp_path):
    expected, em, comparison = _run("old_faithful", tmp_path)
    assert em["mle"]["log_likelihood"] == pytest.approx(expected["log_likelihood"], abs=1e-5)
    assert comparison["verdict"] == expected["verdict"]
    assert comparison["diagnostics"]["posterior"]["status"] == expected["posterior_status"]
    worst = max(comparison["parameters"], key=lambda row: abs(row["difference_in_sd"]))
    assert worst["name"] == expected["largest_difference_at"]
    measured = {
        "total_variation": comparison["invariants"]["total_variation"]["value"],
        "co_clustering": comparison["invariants"]["co_clustering"]["mean_difference"],
        "largest_difference_in_sd": abs(worst["difference_in_sd"]),
    }
    for name, value in measured.items():
        lower, upper = expected[name]
        assert lower <= value <= upper, name
