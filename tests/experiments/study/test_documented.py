"""The configs on the page about configs are what they are said to be."""

import re
import tomllib
from pathlib import Path

import pytest

from emjax.experiments.config.reading import read_study
from emjax.experiments.config.schema import single_task
from emjax.experiments.plan.grid import make_plan

ROOT = Path(__file__).resolve().parents[3]
BLOCKS = re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs" / "config.md").read_text(encoding="utf-8"), re.M | re.S)
BASE = '[data]\nsource = "galaxies"\n[model]\nn_components = 2\n'


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_every_config_of_the_page_can_be_read(block, tmp_path):
    (tmp_path / "models").symlink_to(ROOT / "models")
    (tmp_path / "base.toml").write_text(BASE)
    path = tmp_path / "config.toml"
    missing = (
        "" if "extends" in block or {"data", "model"} <= tomllib.loads(block).keys() else 'extends = "base.toml"\n'
    )
    path.write_text(missing + block)
    study = read_study(path)
    assert single_task(study) or make_plan(study).jobs


def test_the_study_of_the_page_has_the_size_that_is_said(tmp_path):
    (text,) = (block for block in BLOCKS if "[sweep.grid]" in block)
    (tmp_path / "config.toml").write_text(text)
    plan = make_plan(read_study(tmp_path / "config.toml"))
    assert (len(plan.cells), plan.n_results) == (6, 6 * 200 * 3)


def test_the_message_of_the_page_is_what_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config.toml").write_text('# a\n# b\n[data]\nsource = "faithful"\n[model]\nn_components = 0\n')
    with pytest.raises(ValueError) as caught:
        read_study("config.toml")
    assert f"\n{caught.value}\n" in (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
