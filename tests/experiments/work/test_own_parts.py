"""Generators, methods and measures of the user's own, in NumPy alone: no program is compiled here."""

import importlib.metadata
import json
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from emjax.errors import ConfigError
from emjax.experiments import make_plan, read_study
from emjax.experiments.config.python_files import function_of
from emjax.experiments.config.schema import Study
from emjax.experiments.work.job import run_job

PARTS = """
import numpy as np

CENTRES = np.array([[-3.0], [3.0]])


def generate(key, n_samples=40):
    rng = np.random.default_rng(key)
    centres = CENTRES + rng.normal(scale=0.1, size=(2, 1))
    labels = rng.integers(2, size=n_samples)
    held = rng.integers(2, size=200)

    def log_joint(rows):
        return -0.5 * (rows - centres.T) ** 2 - 0.5 * np.log(2 * np.pi) - np.log(2.0)

    return {
        "rows": rng.normal(centres[labels]),
        "labels": labels,
        "holdout": rng.normal(centres[held]),
        "parameters": {"mean": centres},
        "log_density": lambda rows: np.logaddexp(*log_joint(rows).T),
    }


def estimate(data, key, step=0.0):
    rows = np.asarray(data)
    assert data.labels is None and data.truth is None
    right = rows[:, 0] > 0
    mean = np.array([rows[right].mean(axis=0), rows[~right].mean(axis=0)]) + step
    spread = np.array([[0.3], [0.3]])
    return {
        "estimate": {"mean": mean},
        "se": {"mean": spread},
        "intervals": {"mean": (mean - 2 * spread, mean + 2 * spread)},
        "labels": np.where(right, 0, 1),
        "log_density": lambda x: np.logaddexp(*(-0.5 * (x - mean.T) ** 2).T) - 0.5 * np.log(2 * np.pi) - np.log(2.0),
        "numbers": {"n_iter": 1, "smallest": float(min(right.sum(), (~right).sum()))},
    }


def sample(data, key):
    draws = np.random.default_rng(key).normal(CENTRES, 0.1, size=(99, 2, 1))
    return {"draws": {"mean": draws}}


def measure(outcome, replicate, factor=1.0):
    return {"gap": factor * abs(float(np.ptp(outcome.named["mean"]))), "rows": len(replicate.data)}
"""

CONFIG = """
[data]
generator = "parts.py"

[model]
n_components = 2

[[methods]]
name = "cut"
file = "parts.py"
arguments = { step = 0.5 }

[[methods]]
file = "parts.py"
function = "sample"

[[measures]]
file = "parts.py"
arguments = { factor = 2 }
words.gap = { title = "Gap of the means", better = "more" }

[sweep]
replicates = 3
grid."data.arguments.n_samples" = [40, 80]
"""


@pytest.fixture
def study_file(tmp_path):
    (tmp_path / "parts.py").write_text(PARTS)
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path / "config.toml"


def rows_of(job, folder):
    folder.mkdir(exist_ok=True)
    run_job(job.spec, folder)
    return pq.read_table(folder / "rows.parquet").to_pandas()


def values(rows, quantity, replicate=0):
    chosen = rows[(rows["quantity"] == quantity) & (rows["replicate"] == replicate)]
    return dict(zip(chosen["parameter"], chosen["value"], strict=True))


def test_a_study_of_parts_of_ones_own(study_file, tmp_path):
    plan = make_plan(read_study(study_file))
    assert [(job.method, job.first, job.stop) for job in plan.jobs] == [("cut", 0, 3)] * 2 + [("sample", 0, 3)] * 2
    rows = rows_of(plan.jobs[0], tmp_path / "rows")
    assert set(rows["status"]) == {"converged"}
    # Components take the places of the true ones: the method's are the other way round, and half a unit too large.
    errors = values(rows, "error")
    assert len(errors) == 2
    assert all(0.0 < error < 1.2 for error in errors.values())
    assert len(values(rows, "covered")) == len(values(rows, "se")) == 2
    assert values(rows, "ari")[""] > 0.8
    assert 0.0 < values(rows, "total_variation")[""] < 0.6
    assert values(rows, "log_score_loss")[""] > 0.0
    assert values(rows, "rows")[""] == 40
    assert values(rows, "smallest")[""] < 40
    assert values(rows, "gap")[""] == pytest.approx(2 * np.ptp(list(values(rows, "estimate").values())))


def test_a_number_of_ones_own_that_is_nan_is_told_of(study_file, tmp_path):
    """Nothing else would be left of it; nor of an estimate."""
    file = study_file.parent / "parts.py"
    text = PARTS.replace('"rows": len(', '"lost": float("nan") if replicate.number else 1.0, "rows": len(')
    file.write_text(text.replace('"n_iter": 1,', '"n_iter": 1, "never": np.nan,'))
    job = make_plan(read_study(study_file)).jobs[0]
    rows = rows_of(job, tmp_path / "rows")
    assert not rows["value"].isna().any()
    assert [set(values(rows, "not_measured", number)) for number in range(3)] == [{"never"}, *[{"never", "lost"}] * 2]
    file.write_text(file.read_text().replace('{"mean": mean}', '{"mean": mean * np.nan}'))
    rows = rows_of(make_plan(read_study(study_file)).jobs[0], tmp_path / "rows")
    assert set(values(rows, "not_measured", 0)) == {"never", "gap", "mean"}


def test_ranks_of_a_truth_that_is_drawn_are_uniform(study_file, tmp_path):
    spec = next(job.spec for job in make_plan(read_study(study_file)).jobs if job.method == "sample")
    run_job({**spec, "stop": 200}, tmp_path)
    rows = pq.read_table(tmp_path / "rows.parquet").to_pandas()
    ranks = rows[rows["quantity"] == "rank"]["value"]
    assert len(ranks) == 400
    assert abs(ranks.mean() - 0.5) < 0.06
    assert abs(rows[rows["quantity"] == "rank_spread"]["value"].mean() - 0.5) < 0.06


def test_what_is_in_a_file_is_part_of_what_is_run(study_file, tmp_path):
    before = [job.key for job in make_plan(read_study(study_file)).jobs]
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("parts.py", "config.toml"):
        (moved / name).write_text((tmp_path / name).read_text())
    assert [job.key for job in make_plan(read_study(moved / "config.toml")).jobs] == before
    plan = make_plan(read_study(study_file))
    (tmp_path / "parts.py").write_text(PARTS + "\n# changed\n")
    with pytest.raises(ConfigError, match="has changed since the study was planned"):
        run_job(plan.jobs[0].spec, tmp_path)
    assert not {job.key for job in make_plan(read_study(study_file)).jobs} & set(before)


def outcome_of(study_file, function, text):
    """The rows' statuses and failures of a method that is written into the file of parts."""
    file = study_file.parent / "parts.py"
    file.write_text(PARTS + "\n\n" + text)
    jobs = make_plan(read_study(study_file, [f"methods.cut.function={function}", "methods.cut.arguments={}"])).jobs
    return run_job(jobs[0].spec, study_file.parent)


def test_what_a_method_of_ones_own_fails_with_is_told_with_its_line(study_file):
    summary = outcome_of(study_file, "bad", "def bad(data, key):\n    return 1 / 0\n")
    line = len(PARTS.splitlines()) + 4
    assert summary["statuses"] == {"failed": 3}
    assert f"parts.py, line {line}: bad() failed: ZeroDivisionError: division by zero" in summary["failures"]["0"]


def test_a_method_that_cannot_run_says_why(study_file):
    text = "def absent(data, key):\n    return {'status': 'skipped', 'message': 'Rscript is not installed'}\n"
    summary = outcome_of(study_file, "absent", text)
    assert summary["statuses"] == {"skipped": 3}
    assert summary["failures"]["2"] == "Rscript is not installed"


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        ("3", "a int; expected a dictionary with any of estimate, se, intervals, draws, labels"),
        ("{'labels': [0, 1]}", "expected labels or responsibilities of 40 rows, and there are 2"),
        ("{'label': [0, 1]}", "label: Extra inputs are not permitted"),
        ("{'estimate': {'mean': ['a', 'b']}}", "estimate.mean: expected numbers"),
        ("{'estimate': {'mean': [1, 2], 'weights': [1]}}", "lead with the same number of components"),
        ("{'estimate': {'mean': [[1, 2, 3], [1, 2, 3]]}}", "of shape (K,), (K, 1) or (K, 1, 1), and it is (2, 3)"),
        ("{'estimate': {'mean': [1, 2]}, 'se': {'mean': [1]}}", "of the shape of its estimate"),
        ("{'estimate': {'mean': [1, 2]}, 'intervals': {'mean': ([1, 3], [2, 2])}}", "whose lower ends come first"),
        ("{'numbers': {'ari': 1.0}}", "'ari' is what emjax measures"),
        ("{'numbers': {'coverage': 3.0}}", "'coverage' is what emjax measures"),
        ("{'numbers': {'worst_coverage_50': 3.0}}", "'worst_coverage_50' is what emjax measures"),
        ("{'labels': [None] * 40}", "labels: expected a label for each row"),
        ("{'labels': [float('nan')] + [1.0] * 39}", "labels: expected a label for each row"),
        ("{'estimate': {'mean': [1, 2]}, 'labels': [10**9] * 40}", "of the 2 components of its estimate"),
        ("{'responsibilities': np.full((40, 2), -0.7)}", "probabilities: each row sums to 1"),
        ("{'draws': {'mean': np.zeros(9)}}", "'mean' that leads with the components"),
        ("{'log_density': lambda rows: 1.0}", "a log_density that gives an array of shape (); expected (200,)"),
    ],
)
def test_a_bad_return_says_what_was_expected(study_file, returned, problem):
    with pytest.raises(ConfigError) as caught:
        outcome_of(study_file, "bad", f"def bad(data, key):\n    return {returned}\n")
    assert "parts.py: bad() returned" in str(caught.value)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        ("'labels': np.tile([1, 2], 20), 'parameters': {'mean': [0, 3]}", "expected labels from 0 to 1"),
        ("'labels': [None] * 40", "labels: expected a label for each row"),
    ],
)
def test_labels_of_a_generator_are_those_of_its_components(study_file, returned, problem):
    (study_file.parent / "bad.py").write_text(
        f"import numpy as np\n\ndef generate(key):\n    return {{'rows': np.arange(40.0), {returned}}}\n"
    )
    changes = [f"data.generator='{study_file.parent / 'bad.py'}'", "sweep.grid={}", "sweep.replicates=3"]
    with pytest.raises(ConfigError, match=f"bad.py: generate\\(\\) returned .*{problem}"):
        run_job(make_plan(read_study(study_file, changes)).jobs[0].spec, study_file.parent)


def test_labels_without_parameters_are_groups_by_whatever_numbers(study_file, tmp_path):
    """Groups 1 and 1,000,000,000 are two, and what depends on their order is measured too."""
    (study_file.parent / "named.py").write_text(
        "import numpy as np\n\n"
        "def generate(key):\n"
        "    labels = np.tile([1, 10**9, -1], 20)\n"
        "    return {'rows': np.where(labels == 1, -3.0, 3.0), 'labels': labels}\n"
    )
    changes = [f"data.generator='{study_file.parent / 'named.py'}'", "sweep.grid={}", "sweep.replicates=3"]
    rows = rows_of(make_plan(read_study(study_file, changes)).jobs[0], tmp_path / "rows")
    assert values(rows, "ari")[""] == 1.0
    assert values(rows, "brier")[""] == 0.0


def test_two_numbers_have_no_name_in_common(study_file):
    """Rows of one name would be averaged."""
    (study_file.parent / "again.py").write_text("def measure(outcome, replicate):\n    return {'smallest': 1.0}\n")
    changes = [f"measures=[{{ file = '{study_file.parent / 'again.py'}' }}]"]
    with pytest.raises(ConfigError, match=r"returned 'smallest', which the method or another measure gives"):
        run_job(make_plan(read_study(study_file, changes)).jobs[0].spec, study_file.parent)


def test_a_part_that_is_not_there_is_refused_before_anything_runs(study_file):
    for change, problem in {
        "data.generator='absent.py'": "absent.py: no such generator file; check data.generator",
        "data.generator='absent'": "'absent': no installed package offers it in emjax.generators",
        "methods.cut.file='absent.py'": "absent.py: no such method file; check methods.file",
        "methods.cut.file='parts.txt'": "'parts.txt' is not a Python file",
        "methods.cut.function=estimat": "has no function estimat(); define it, or name another with function "
        "(did you mean 'estimate'?)",
    }.items():
        with pytest.raises(ConfigError, match=re.escape(problem)):
            make_plan(read_study(study_file, [change]))
    (study_file.parent / "torn.py").write_text("def estimate(data, key:\n    return {}\n")
    with pytest.raises(ConfigError, match=r"torn.py, line 1: cannot be run: SyntaxError"):
        make_plan(read_study(study_file, [f"methods.cut.file='{study_file.parent / 'torn.py'}'"]))
    # What only running it would tell is told by the job.
    (study_file.parent / "later.py").write_text("from json import *\n")
    job = make_plan(
        read_study(study_file, [f"methods.cut.file='{study_file.parent / 'later.py'}'", "methods.cut.function=absent"])
    ).jobs[0]
    with pytest.raises(ConfigError, match=r"has no function absent\(\); define it, or name another"):
        run_job(job.spec, study_file.parent)


def test_a_number_of_one_s_own_may_be_what_the_study_is_about(study_file):
    assert read_study(study_file, ["answered_by=gap"]).answered_by == "gap"
    for change in ("measures=[]", 'methods=[{ kind = "em" }]'):
        study = read_study(study_file, ["answered_by=gap", change])  # either may tell it
        assert study.answered_by == "gap"
    with pytest.raises(ConfigError, match=r"answered_by = 'rsme' is no measure; did you mean 'rmse'\?"):
        read_study(study_file, ["answered_by=rsme", "measures=[]", 'methods=[{ kind = "em" }]'])


def test_a_measure_may_take_its_arguments_by_name(study_file):
    (study_file.parent / "named.py").write_text(
        "def alone(outcome):\n    return {'n_numbers': len(outcome.numbers)}\n\n"
        "def turned(replicate, outcome, factor=1.0):\n    return {'n_rows': factor * len(replicate.data)}\n\n"
        "def otherwise(outcome, other):\n    return {'n_held': len(other.data)}\n\n"
        "globals()['made'] = lambda outcome: {'n_made': 1}\n"
    )
    functions = ("alone", "turned", "otherwise", "made")
    tables = [{"file": str(study_file.parent / "named.py"), "function": name} for name in functions]
    study = read_study(study_file, [f"measures={json.dumps(tables).replace(': ', ' = ')}"])
    run_job(make_plan(study).jobs[0].spec, study_file.parent)
    rows = pq.read_table(study_file.parent / "rows.parquet")
    assert {"n_numbers", "n_rows", "n_held", "n_made"} <= set(rows["quantity"].to_pylist())


def importable(tmp_path, monkeypatch):
    (tmp_path / "own_parts_of_a_package.py").write_text(PARTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_parts_of_a_package", raising=False)


def test_functions_given_in_python_are_known_by_their_file(study_file, tmp_path, monkeypatch):
    importable(tmp_path, monkeypatch)
    import own_parts_of_a_package as parts

    study = Study(
        data={"generator": parts.generate},
        model={"n_components": 2},
        methods=[parts.sample, {"file": parts.estimate, "name": "cut"}],
        measures=[parts.measure],
    )
    assert [method.label for method in study.methods] == ["sample", "cut"]
    plan = make_plan(study)
    assert {"gap", "rank"} <= set(rows_of(plan.jobs[0], tmp_path / "rows")["quantity"])
    with pytest.raises(ValueError, match="write it into one, and import it or name the file"):
        Study(data={"generator": lambda key: {}}, model={"n_components": 2}, methods=[parts.sample])


def test_packages_bring_parts_by_name(study_file, tmp_path, monkeypatch):
    importable(tmp_path, monkeypatch)

    def offered(group):
        name = group.removeprefix("emjax.").removesuffix("s")
        function = {"generator": "generate", "method": "estimate", "measure": "measure"}[name]
        return [importlib.metadata.EntryPoint("theirs", f"own_parts_of_a_package:{function}", group)]

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: offered(group))
    study = Study(
        data={"generator": "theirs"},
        model={"n_components": 2},
        methods=[{"entry_point": "theirs"}],
        measures=[{"entry_point": "theirs"}],
    )
    rows = rows_of(make_plan(study).jobs[0], tmp_path / "rows")
    assert {"gap", "error", "ari"} <= set(rows["quantity"])
    with pytest.raises(
        ConfigError, match=r"'there': no installed package offers it in emjax.methods .did you mean 'theirs'"
    ):
        make_plan(study.model_copy(update={"methods": (type(study.methods[0])(entry_point="there"),)}))
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda group: [importlib.metadata.EntryPoint("theirs", "own_parts_of_a_package:CENTRES", group)],
    )
    with pytest.raises(ConfigError, match="method 'theirs' is no function, but a ndarray"):
        function_of({"entry_point": "theirs"}, "method")


def test_mclust_as_in_the_docs_is_skipped_in_words_where_there_is_no_r(study_file, monkeypatch):
    page = (Path(__file__).resolve().parents[3] / "docs" / "own_parts.md").read_text(encoding="utf-8")
    (example,) = (block for block in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S) if "Rscript" in block)
    (study_file.parent / "mclust.py").write_text(example)
    monkeypatch.chdir(study_file.parent)
    plan = make_plan(read_study(study_file, ["methods.cut.file='mclust.py'", "methods.cut.arguments={}"]))
    monkeypatch.setenv("PATH", "")
    summary = run_job(plan.jobs[0].spec, study_file.parent)
    assert summary["failures"]["0"] == "Rscript is not installed"
    assert pq.read_table(study_file.parent / "rows.parquet").to_pandas()["status"].unique() == ["skipped"]
