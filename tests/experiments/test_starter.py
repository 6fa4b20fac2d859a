"""`emjax init`: a folder whose config is valid as it is, and nothing of the user's is lost."""

import pytest

from emjax.errors import ConfigError
from emjax.experiments.config.reading import read_study
from emjax.experiments.plan.grid import make_plan
from emjax.experiments.starter import FILES, init_experiment


def test_the_new_config_is_a_study_with_a_plan(tmp_path):
    folder = init_experiment(tmp_path / "how_far-apart")
    study = read_study(folder / "config.toml")
    assert study.title == "How far apart"
    plan = make_plan(study)
    assert len(plan.cells) == 2
    assert plan.n_results == 2 * 2 * 10
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert f"emjax run {folder.as_posix()}/config.toml" in text
    assert "{" not in text


def test_a_title_with_signs_of_toml_stays_a_title(tmp_path):
    title = 'A "quoted" title \\ with a tab\t, \x7f, {folder} and \N{GRINNING FACE}'
    assert read_study(init_experiment(tmp_path / "x", title=title) / "config.toml").title == title


@pytest.mark.parametrize("file", FILES)
def test_files_that_are_there_are_not_touched(tmp_path, file):
    (tmp_path / file).write_text("mine")
    with pytest.raises(ConfigError, match=f"{file} is there already"):
        init_experiment(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [file]
    assert (tmp_path / file).read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_an_error_of_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used: Not a directory") as caught:
        init_experiment(tmp_path / "file" / "new")
    assert "\n" not in str(caught.value)
