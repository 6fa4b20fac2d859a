"""One result of a study had again: what failed can be looked into, and warnings are counted. No program is compiled."""

import traceback

import numpy as np
import pytest

from emjax.errors import ConfigError
from emjax.experiments.config.reading import read_study
from emjax.experiments.execution.one_result import repeat_one
from emjax.experiments.execution.run import run_study

PARTS = """
import warnings
import numpy as np

def generate(key):
    rng = np.random.default_rng(key)
    return {"rows": rng.normal(size=(20, 1)), "parameters": {"mean": np.zeros((1, 1))}}

def estimate(data, key):
    rows = np.asarray(data)
    warnings.warn("few rows\\nto go by")
    if rows.mean() > 0:
        raise ArithmeticError("above zero")
    return {"estimate": {"mean": rows.mean(axis=0)[None]}}
"""

CONFIG = """
[data]
generator = "parts.py"
[model]
n_components = 1
[[methods]]
name = "centre"
file = "parts.py"
[sweep]
replicates = 12
[execution]
batch = 4
"""


@pytest.fixture
def result(tmp_path, inline_workers):
    (tmp_path / "parts.py").write_text(PARTS)
    (tmp_path / "study.toml").write_text(CONFIG)
    return run_study(read_study(tmp_path / "study.toml"), folder=tmp_path / "study", workers=1)


def numbers_of_failed(result):
    rows = result.rows
    return sorted(rows.loc[rows["status"] == "failed", "replicate"].unique())


@pytest.mark.filterwarnings("ignore:few rows")
def test_a_failure_is_had_again_with_its_error_and_its_seeds(result):
    bad = numbers_of_failed(result)
    assert 0 < len(bad) < 12
    for number in range(12):
        found = repeat_one(result, replicate=number)
        assert found.same
        assert (found.status == "failed") == (number in bad)
    found = repeat_one(result, cell="0", method="centre", replicate=bad[0])
    assert type(found.error) is ArithmeticError
    assert "parts.py" in traceback.extract_tb(found.error.__traceback__)[-1].filename
    assert np.random.default_rng(found.data_seed).normal(size=(20, 1)).mean() > 0


def test_what_there_is_not_is_said(result):
    with pytest.raises(ConfigError, match=r"--replicate 12: centre has none of this number"):
        repeat_one(result, replicate=12)
    with pytest.raises(ConfigError, match=r"--cell 1: no such cell; write --cell with a number from 0 to 0"):
        repeat_one(result, cell="1", replicate=0)
    with pytest.raises(ConfigError, match=r"--method median: no such method; its methods are centre"):
        repeat_one(result, method="median", replicate=0)


def test_warnings_are_counted_by_method(result):
    assert result.warnings.to_dict("records") == [
        {"method": "centre", "warning": "UserWarning: few rows to go by", "times": 12}
    ]


@pytest.mark.filterwarnings("ignore:few rows")
def test_the_command_shows_it_and_opens_the_debugger(result, emjax_command, monkeypatch):
    opened = []
    monkeypatch.setattr("pdb.post_mortem", opened.append)
    folder, bad = str(result.folder), str(numbers_of_failed(result)[0])
    found = emjax_command("rerun", folder, "--replicate", bad, "--debug")
    assert found.code == 3
    assert "runs the file " in found.err
    assert "above zero" in found.out
    assert "Numbers: as stored." in found.out
    assert 'raise ArithmeticError("above zero")' in found.err
    assert len(opened) == 1
    assert emjax_command("rerun", folder, "--cell", "0").code == 2
    shown = emjax_command("show", folder).out
    assert "centre warned 12 times: UserWarning: few rows to go by" in shown
