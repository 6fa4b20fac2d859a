"""A study's results in Python and in a notebook."""

import math

import pytest

import emjax.experiments.results as results
from emjax.errors import ConfigError
from emjax.experiments.results import open_study


@pytest.fixture
def result(tmp_path, study, plan, fill):
    """Six of eight jobs are done and one has failed."""
    failed, missing = plan.jobs[-1], plan.jobs[-2]
    archive = fill(tmp_path / "s", study, keys={job.key for job in plan.jobs} - {failed.key, missing.key})
    archive.record_failure(failed, "no luck", 2)
    return open_study(tmp_path / "s")


def test_progress_counts_jobs(result, plan):
    progress = result.progress
    assert (progress.n_jobs, progress.n_done, progress.n_failed, progress.n_missing) == (8, 6, 1, 1)
    assert not progress.complete
    assert str(progress) == "6 of 8 jobs done, 1 failed, 1 missing"
    assert list(result.failures) == [plan.jobs[-1].key]
    assert repr(result).endswith(
        "n_cells=2, methods=('km', 'bayes'), progress='6 of 8 jobs done, 1 failed, 1 missing')"
    )


def test_cells_have_settings_and_progress(result):
    assert list(result.cells.columns) == ["cell", "data.n_samples", "n_jobs", "n_done", "n_failed"]
    assert result.cells["data.n_samples"].tolist() == [50, 100]
    assert result.cells["n_jobs"].tolist() == [4, 4]
    assert result.cells["n_done"].sum() == 6
    assert result.cells["n_failed"].sum() == 1
    assert set(result.rows["cell"]) <= set(result.cells["cell"])


def test_the_summary_counts_replicates(result):
    """Coverage is averaged over parameters first: replicates are independent, parameters are not."""
    lines = result.summary("coverage")
    assert "data.n_samples" in lines.columns
    own = (lines["cell"] == result.cells["cell"][0]) & (lines["method"] == "km") & (lines["group"] == "")
    (row,) = lines[own].to_dict("records")
    # Replicates 0, 1, 2, 3 cover in 0, 1, 0, 1 of both parameters.
    assert (row["n"], row["value"]) == (4, 0.5)
    assert row["mcse"] == pytest.approx(math.sqrt(1 / 3) / 2)
    assert len(result.summary()) > len(lines)
    assert len(result.verdicts()) == 0, "no method gives verdicts"


def test_the_summary_leaves_out_what_its_method_does_not_trust(result):
    rows = result.rows
    rows.loc[(rows["quantity"] == "trusted") & (rows["replicate"] > 0), "value"] = 0.0
    coverage = result.summary("coverage")
    assert (coverage["n"] == 1).all()
    assert coverage["mcse"].isna().all()
    assert coverage["value"].eq(0.0).all()
    assert result.summary("coverage", trusted=False)["n"].eq(4).any()
    assert (result.summary("run_seconds")["n"] > 1).all(), "what was spent was spent"


def test_a_measure_that_there_is_not_is_no_empty_table(result):
    assert len(result.summary("ari")) == 0, "a study need not have it"
    with pytest.raises(ConfigError, match="there is no measure 'covrage'; did you mean 'coverage'"):
        result.summary("covrage")


def test_a_notebook_shows_an_escaped_table(result):
    page = result._repr_html_()
    assert "A &lt;b&gt;study&lt;/b&gt;" in page
    assert "Is 1 &lt; 2?" in page
    assert "<b>" not in page
    assert page.count("<tr>") == 1 + len(result.summary("trusted"))
    assert "coverage" in page
    assert "50.0% ± 28.9%" in page


def test_a_study_without_results_shows_so(tmp_path, study, fill):
    result = open_study(fill(tmp_path / "s", study, keys=set()).path)
    assert "No job is done yet" in result._repr_html_()
    assert len(result.rows) == 0
    assert len(result.summary()) == 0
    assert result.progress.n_missing == 8


def test_reports_are_written_by_their_own_room(result, monkeypatch):
    import emjax.experiments.pages as room

    monkeypatch.setattr(room, "write_study_report", lambda folder, **options: (folder, options), raising=False)
    assert result.report(figures=False) == (result.folder, {"figures": False})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "not the folder of a study"),
        ("{", r"study\.json: damaged: .*finished jobs are kept"),
        ("[]", r"study\.json: damaged"),
        ('{"format": 99}', r"study\.json: written by a newer emjax \(format 99; this one knows 1\); update emjax"),
        ('{"format": 1}', r"study\.json: damaged: seed: Field required"),
    ],
)
def test_what_is_no_study_is_said_in_one_line(tmp_path, content, words):
    if content is not None:
        (tmp_path / "study.json").write_text(content)
    with pytest.raises(ConfigError, match=words) as caught:
        open_study(tmp_path)
    assert "\n" not in str(caught.value)


def test_opening_reads_no_rows(result, monkeypatch):
    """A study of a million rows opens at once."""
    monkeypatch.setattr(results.Archive, "rows", lambda self: pytest.fail("rows were read"))
    opened = open_study(result.folder)
    assert len(opened.cells) == 2
    assert opened.title == "A <b>study</b>"
