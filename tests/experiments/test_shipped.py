"""The experiments that ship give the answers that their folders state. By name: `uv run pytest -m slow`."""

import json
from pathlib import Path

import pytest

from emjax.experiments.config.reading import read_study
from emjax.experiments.execution.run import run_study
from emjax.experiments.execution.single import run
from emjax.experiments.results import StudyResult
from emjax.experiments.summary.words import value_text

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

pytestmark = pytest.mark.slow


def _run(name: str, folder: Path) -> tuple[dict, dict, dict]:
    """What the folder expects, and the run's em.json and comparison.json (empty where there is none)."""
    expected = json.loads((EXPERIMENTS / name / "expected.json").read_text(encoding="utf-8"))
    out = folder / name
    run(read_study(EXPERIMENTS / name / "config.toml", [f"output.dir={json.dumps(str(out))}"]))
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


def test_galaxies(tmp_path):
    expected, em, comparison = _run("galaxies", tmp_path)
    optima = [optimum["log_likelihood"] for optimum in em["mle"]["optima"] if not optimum["spurious"]]
    assert optima[0] == pytest.approx(expected["log_likelihood"], abs=1e-4)
    assert comparison["verdict"] == expected["verdict"]
    posterior = comparison["diagnostics"]["posterior"]
    assert posterior["status"] == expected["posterior_status"]
    widest = min(comparison["parameters"], key=lambda row: row["width_ratio"])
    assert widest["name"] == expected["largest_width_ratio_at"]
    measured = {
        "gap_to_the_next_optimum": optima[0] - optima[1],
        "share_of_the_second_mode": sorted(mode["visited"] for mode in posterior["modes"])[-2],
        "total_variation": comparison["invariants"]["total_variation"]["value"],
    }
    for name, value in measured.items():
        lower, upper = expected[name]
        assert lower <= value <= upper, name


STUDIES = sorted(path.parent.name for path in EXPERIMENTS.glob("*/config.toml") if "[sweep" in path.read_text())


def wrong_claims(result: StudyResult, expected: dict) -> dict[str, str]:
    """The claims that do not hold, with what was found.

    A claim names a measure, a method, and the settings of the cells it is about; where several cells fit, it holds for
    the mean over all of them.
    """
    summary = result.summary()
    wrong = {}
    for claim in expected["claims"]:
        chosen = summary[(summary["measure"] == claim["measure"]) & (summary["method"] == claim["method"])]
        chosen = chosen[chosen["group"] == claim.get("group", "")]
        for key, value in claim.get("cells", {}).items():
            chosen = chosen[chosen[key].map(_plain) == _plain(value)]
        assert len(chosen), claim["claim"]
        lower, upper = claim["between"]
        found = float(chosen["value"].mean())
        if not lower <= found <= upper:
            wrong[claim["claim"]] = f"{found:.6g} is not in [{lower}, {upper}]"
    return wrong


def _plain(value):
    """A setting that is a list or a table is written in words in a summary, and as JSON in a claim."""
    if isinstance(value, str) and value[:1] in "[{":
        value = json.loads(value)
    return value_text(value)


@pytest.mark.parametrize("name", STUDIES)
def test_study(name, tmp_path):
    expected = json.loads((EXPERIMENTS / name / "expected.json").read_text(encoding="utf-8"))
    result = run_study(EXPERIMENTS / name / "config.toml", folder=tmp_path / name)
    assert not result.failures
    assert result.rows.groupby(["cell", "method", "replicate"]).ngroups == expected["n_results"]
    assert wrong_claims(result, expected) == {}


def test_every_experiment_says_what_it_expects():
    folders = {path.name for path in EXPERIMENTS.iterdir() if path.is_dir()}
    assert folders >= {"textbook", "old_faithful", "galaxies", *STUDIES}
    for name in folders:
        assert {path.name for path in (EXPERIMENTS / name).iterdir()} >= {"config.toml", "README.md", "expected.json"}
    assert len(STUDIES) == 8
