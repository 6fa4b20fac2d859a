"""Looking at a folder runs nothing, writes nothing outside it and prints nothing that a terminal obeys."""

import io
import json
import os
import shutil
import tomllib
import warnings
from pathlib import Path

import pandas
import pytest
import tomli_w
from rich.text import Text

from emjax.cli.console import Console
from emjax.errors import ConfigError
from emjax.experiments import open_run, open_study
from emjax.experiments.archive import door, records
from emjax.experiments.archive.differences import difference
from emjax.experiments.archive.folder import Archive
from emjax.experiments.archive.listing import list_runs
from emjax.experiments.execution import rerun
from emjax.experiments.pages import write_study_report
from emjax.experiments.pages.build import for_spreadsheets
from emjax.experiments.results import StudyResult
from emjax.experiments.summary.view import StudyView

FOLDERS = Path(__file__).resolve().parents[2] / "reference" / "folders"
KINDS = ("fit", "sample", "compare", "study")


@pytest.fixture(autouse=True)
def _without_drawing(without_drawing):
    with without_drawing():
        yield


@pytest.fixture
def copied(workplace):
    """Copy a reference folder to ``runs``, under its own name or another, and return its path."""

    def copy(kind: str, name: str | None = None) -> Path:
        shutil.copytree(FOLDERS / kind, workplace / "runs" / (name or kind))
        return Path("runs") / (name or kind)

    return copy


def rewrite(path: Path, **changes: object) -> None:
    """Change the top of a JSON document or a TOML tree."""
    if path.suffix == ".json":
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    else:
        path.write_text(tomli_w.dumps({**tomllib.loads(path.read_text()), **changes}))


@pytest.fixture
def with_model_file(copied, workplace):
    """A run whose model is a Python file that leaves a mark when it is run."""
    model = workplace / "model.py"
    model.write_text("import pathlib\npathlib.Path(__file__).with_name('executed').touch()\n")

    def make(kind: str) -> Path:
        run = copied(kind)
        table = {"file": str(model), "arguments": {}}
        if kind == "study":
            rewrite(run / "study.toml", model=table)
        else:
            rewrite(run / "config.toml", model=table)
        return run

    yield make
    assert not (workplace / "executed").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_no_looking_command_runs_a_model_file(with_model_file, emjax_command, kind):
    run = str(with_model_file(kind))
    for arguments in (
        ("show", run),
        ("show", run, "--json"),
        ("ls", "runs"),
        ("diff", run, str(FOLDERS / kind)),
        ("rerun", run, "--dry-run"),
    ):
        assert emjax_command(*arguments).code in (0, 3), arguments
    emjax_command("report", run, "--no-figures")
    if kind != "study":
        assert "(272 x 2)" in emjax_command("show", run).out or kind == "compare"
        assert "Would run the file" in emjax_command("rerun", run, "--dry-run").out


def test_no_looking_function_runs_a_model_file(with_model_file):
    run = with_model_file("study")
    result = open_study(run)
    assert result.study.model.file.endswith("model.py")
    assert len(result.rows) > 0
    for look in (result.summary, result.verdicts, result._repr_html_, repr):
        look(result) if look is repr else look()
    assert (len(result.cells), len(result.failures), result.progress.complete) == (2, 0, True)
    archive = Archive(run)
    assert archive.study() == result.study
    assert archive.finished(verify=True) == result.finished.keys()
    assert list_runs(run.parent)[0]["status"] == "8 of 8 jobs done"
    assert difference(open_run(run), StudyResult(Archive(run))).same
    assert rerun.intend(result).jobs
    assert len(StudyView(Archive(run)).places) == 2
    assert result.report(figures=False).exists()


def test_a_rerun_says_which_file_it_runs(copied, workplace, emjax_command):
    (workplace / "model.py").write_text("import pathlib\npathlib.Path(__file__).with_name('executed').touch()\n")
    run = copied("fit")
    rewrite(run / "config.toml", model={"file": str(workplace / "model.py"), "arguments": {}})
    ended = emjax_command("rerun", str(run))
    assert ended.code == 2
    note, error = ended.err.replace("\n", " ").split(" emjax: error: ")
    assert note.startswith(f"emjax: runs the file {workplace / 'model.py'}, which {run} names")
    assert "has no function build()" in error
    assert (workplace / "executed").exists()


# -- nothing is written outside


@pytest.fixture
def outside(workplace):
    """A file and a folder that links lead to, and that stay as they are."""
    (workplace / "outside").mkdir()
    (workplace / "outside" / "sentinel").write_text("keep")
    yield workplace / "outside"
    assert os.listdir(workplace / "outside") == ["sentinel"]
    assert (workplace / "outside" / "sentinel").read_text() == "keep"


@pytest.mark.parametrize("name", ["cells", "figures", "tables"])
def test_pages_do_not_go_into_a_folder_that_is_a_link(copied, emjax_command, outside, name):
    run = copied("study")
    (run / name).symlink_to(outside)
    ended = emjax_command("report", str(run))
    assert ended.code == 2
    assert f"{name}: is a link, and links are not followed for writing" in ended.err
    assert not (run / "report.html").exists()


def test_pages_take_the_place_of_links(copied, emjax_command, outside):
    run, other = copied("study"), copied("study", "other")
    names = ("report.html", "tables/summary.csv", "tables/table.tex", "figures/coverage.svg", "figures/coverage.pdf")
    key = json.loads((run / "study.json").read_text())["cells"][0]["key"]
    links = [run / name for name in (*names, f"cells/{key}.html")] + [run.parent / "studies.html"]
    for link in links:
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(outside / "sentinel")
    hard = run / "cells" / f"{json.loads((run / 'study.json').read_text())['cells'][1]['key']}.html"
    os.link(outside / "sentinel", hard)
    assert emjax_command("report", str(run), str(other)).code == 0
    assert not any(link.is_symlink() for link in links)
    assert all(link.stat().st_size > 100 for link in [*links, hard])


@pytest.mark.parametrize("key", ["../../outside/made", "/outside/made", "..", "0123456789abcdef", "0" * 11 + "\n"])
def test_a_cell_is_no_path(copied, emjax_command, outside, key):
    run = copied("study")
    text = (run / "study.json").read_text()
    old = json.loads(text)["cells"][0]["key"]
    (run / "study.json").write_text(text.replace(json.dumps(old), json.dumps(key)))
    for command in ("show", "report"):
        ended = emjax_command(command, str(run))
        assert ended.code == 2
        assert "study.json: damaged: cells.0.key" in ended.err
    assert not (run / "report.html").exists()


def test_the_files_of_a_job_are_no_paths(copied, outside):
    run = copied("study")
    record = sorted((run / "jobs").glob("*/job.json"))[0]
    document = json.loads(record.read_text())
    document["files"]["../../../../outside/sentinel"] = {"size": 4, "sha256": "0"}
    record.write_text(json.dumps(document))
    assert records.read_entry(record.parent) is None
    assert record.parent.name not in Archive(run).finished()


@pytest.mark.parametrize("name", ["jobs", "failed", "locks"])
def test_a_study_is_not_run_through_a_link(workplace, study, plan, outside, name):
    (workplace / "s").mkdir()
    (workplace / "s" / name).symlink_to(outside)
    with pytest.raises(ConfigError, match=f"{name}: is a link, and links are not followed for writing"):
        Archive(workplace / "s").begin(study, plan)


def test_what_follows_from_the_jobs_takes_the_place_of_links(workplace, study, plan, fill, outside):
    archive = fill(workplace / "s", study, keys={job.key for job in plan.jobs[1:]})
    names = ("index.json", "rows.parquet", "study.json", "study.toml", f"failed/{plan.jobs[0].key}.json")
    for name in names[:2]:
        (archive.path / name).unlink(missing_ok=True)
        (archive.path / name).symlink_to(outside / "sentinel")
    (archive.path / names[-1]).symlink_to(outside / "sentinel")
    archive.record_failure(plan.jobs[0], "no luck", 1)
    Archive(archive.path).collect()
    assert not any((archive.path / name).is_symlink() for name in names)
    assert len(archive.failures()) == 1


# -- newer folders


@pytest.mark.parametrize("kind", KINDS)
def test_a_newer_folder_is_said_to_be_newer_and_shown(copied, emjax_command, kind):
    run = copied(kind)
    rewrite(run / ("study.json" if kind == "study" else "environment.json"), format=2, novelty={"x": [1]})
    shown = emjax_command("show", str(run))
    assert shown.code == 0
    assert "written by a newer emjax (format 2; this one knows 1); update emjax" in " ".join(shown.err.split())
    whole = emjax_command("show", str(copied(kind, "whole")))
    assert shown.out == whole.out.replace("runs/whole", str(run))
    assert list_runs(run)[0]["status"].endswith("(written by a newer emjax)")
    assert emjax_command("diff", str(run), str(FOLDERS / kind)).code == 0
    for options in ((), ("--dry-run",)):
        ended = emjax_command("rerun", str(run), *options)
        assert ended.code == 2
        assert "update emjax" in ended.err


def test_a_newer_folder_that_cannot_be_read_is_said_to_be_newer(copied, emjax_command):
    for kind, name in (("study", "study.json"), ("fit", "environment.json")):
        run = copied(kind)
        (run / name).write_text('{"format": 7}')
        ended = emjax_command("show", str(run))
        assert ended.code == 2
        assert "written by a newer emjax (format 7; this one knows 1); update emjax" in ended.err


def test_an_unknown_key_of_a_config_does_not_matter_for_looking(copied, emjax_command):
    run = copied("fit")
    rewrite(run / "config.toml", surprise=1)
    assert emjax_command("show", str(run)).code == 0
    ended = emjax_command("rerun", str(run), "--dry-run")
    assert ended.code == 2
    assert "config.toml: unknown key 'surprise'" in ended.err


@pytest.mark.parametrize("source", ["~nobody-at-all/x.csv", "x" * 5000 + ".csv"])
def test_a_folder_that_names_a_file_that_nobody_has_is_refused_in_one_line(copied, emjax_command, source):
    run = copied("fit")
    rewrite(run / "config.toml", data={"source": source})
    ended = emjax_command("rerun", str(run), "--dry-run")
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert "which is not there" in ended.err


def test_a_newer_study_is_not_run(workplace, study, plan, fill):
    archive = fill(workplace / "s", study)
    before = (archive.path / "study.json").read_text()
    rewrite(archive.path / "study.json", format=2)
    with pytest.raises(ConfigError, match=r"study\.json: written by a newer emjax.*nothing was touched"):
        Archive(archive.path).begin(study, plan)
    (archive.path / "study.json").write_text(before)
    record = archive.path / "jobs" / plan.jobs[3].key / "job.json"
    rewrite(record, format=2)
    result = open_study(archive.path)
    assert result.progress.n_missing == 1
    assert "job.json: written by a newer emjax" in result.newer
    with pytest.raises(ConfigError, match=r"job\.json: written by a newer emjax"):
        Archive(archive.path).begin(study, plan)
    assert json.loads(record.read_text())["format"] == 2
    # Jobs alone, copied from elsewhere, and a declaration that nobody here can read.
    (archive.path / "study.json").unlink()
    with pytest.raises(ConfigError, match=r"job\.json: written by a newer emjax"):
        Archive(archive.path).begin(study, plan)
    (archive.path / "study.json").write_text('{"format": 2}')
    with pytest.raises(ConfigError, match=r"study\.json: written by a newer emjax"):
        Archive(archive.path).begin(study, plan)
    assert (archive.path / "study.json").read_text() == '{"format": 2}'


# -- lists of runs


def test_what_cannot_be_looked_into_is_named_and_the_others_are_listed(copied, workplace, emjax_command, monkeypatch):
    copied("fit")
    runs = workplace / "runs"
    (runs / "closed").mkdir()
    (runs / "dangling").symlink_to(runs / "nothing")
    (runs / "loop").symlink_to(runs / "loop")
    (runs / "up").symlink_to(runs)
    os.mkfifo(runs / "pipe")
    os.mkdir(os.fsencode(runs) + b"/\xff\x1b[2J")
    (runs / "half").mkdir()
    os.mkfifo(runs / "half" / "study.json")
    listdir = os.listdir

    def closed(path: Path) -> list[str]:
        if Path(path).name == "closed":  # tests may run as root, whom nothing stops
            raise PermissionError(13, "Permission denied", str(path))
        return listdir(path)

    monkeypatch.setattr("emjax.experiments.archive.listing.os.listdir", closed)
    ended = emjax_command("ls", "runs", "--json")
    assert ended.code == 0
    statuses = {entry["run"]: entry["status"] for entry in json.loads(ended.out)["runs"]}
    assert statuses == {
        "runs/fit": "converged",
        "runs/closed": "cannot be read: Permission denied",
        "runs/loop": "cannot be read: Too many levels of symbolic links",
        "runs/half": "damaged: runs/half/study.json: is no file; emjax wrote one here; run the study again: "
        "finished jobs are kept",
    }
    shown = emjax_command("ls").out
    assert "Permission denied" in " ".join(shown.split())
    assert "converged" in shown


# -- terminals and spreadsheets


def test_no_control_code_of_a_text_reaches_the_terminal(capsys):
    console = Console()
    console.show(Text("a\x1b[31mb\x9bc\rd\u202ee"), "plain \x1b]0;title\x7f")
    assert capsys.readouterr().out == "a\ufffd[31mb\ufffdcd\ufffde\nplain \ufffd]0;title\ufffd\n"
    console = Console(json=True)
    console.document({"name": "\x9b2J\x7f\u202e\ud800 \x1b ü"})
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": "\x9b2J\x7f\u202e\ud800 \x1b ü"}
    assert out.isascii() is False
    assert not any(sign in out for sign in "\x1b\x7f\x9b\u202e\ud800")


def test_colours_of_our_own_stay(monkeypatch):
    from emjax.cli.console import _SafeConsole

    console = _SafeConsole(file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(Text("bold \x1b[31m", style="bold"))
    assert console.file.getvalue() == "\x1b[1mbold \ufffd[31m\x1b[0m\n"


def test_bars_have_one_line_each_and_no_codes(monkeypatch, capsys):
    console = Console(progress=True)
    with console.bars() as bars:
        bars.update("  a\nb\x1b[31m", 1, 2, "half\x1b[2J")
        task = bars._progress.tasks[0]
        assert task.description == "  a b\\x1b[31m"
        assert task.fields["detail"] == "half\\x1b[2J"
        bars.finish("  a\nb\x1b[31m", "\x9b")
        assert bars._progress.tasks[0].fields["detail"] == "\\x9b"
    assert "\x1b[31m" not in capsys.readouterr().err


def test_texts_of_a_table_are_no_formulas():
    table = pandas.DataFrame(
        {
            "=cmd()": ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "＝1", "plain", "1-2"],
            "mixed": ["=1", -1.5, 2, None, True, "x", "-", "a=b", "'"],
            "number": [-1.0, 2.0, float("inf"), -3.0, 0.0, 1.0, 1.0, 1.0, 1.0],
            "category": pandas.Categorical(["-a", *"bcdefghi"]),
        }
    )
    safe = for_spreadsheets(table)
    assert list(safe.columns) == ["'=cmd()", "mixed", "number", "category"]
    assert safe["'=cmd()"].tolist() == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "'\rx", "'＝1", "plain", "1-2"]
    assert safe["mixed"].tolist() == ["'=1", -1.5, 2, None, True, "x", "'-", "a=b", "'"]
    assert safe["number"].equals(table["number"])
    assert safe["category"][0] == "'-a"


@pytest.mark.parametrize(
    "values",
    [
        [float("nan"), float("inf"), -float("inf")],
        [1e308, -1e308, 0.0],
        pytest.param([5e-324, 0.0, -5e-324], marks=pytest.mark.slow),
    ],
)
def test_a_study_of_odd_numbers_is_shown(copied, emjax_command, values):
    """A record lists the hash of its rows, so these are what a job says that it has found."""
    import pyarrow
    import pyarrow.parquet as parquet

    run = copied("study")
    for record in sorted((run / "jobs").glob("*/job.json")):
        table = parquet.read_table(record.with_name("rows.parquet"))
        odd = pyarrow.array((values * len(table))[: len(table)])
        table = table.set_column(table.column_names.index("value"), table.schema.field("value"), odd)
        parquet.write_table(table, record.with_name("rows.parquet"))
        rewrite(record, files={"rows.parquet": records.listed(record.with_name("rows.parquet"))})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of sums that are too large
        for command in ("show", "report"):
            assert emjax_command(command, str(run)).code == 0


def test_the_summary_of_a_study_holds_no_formula(copied):
    run = copied("study")
    evil = "=HYPERLINK(0)"
    for path in (run / "study.toml", run / "study.json"):
        path.write_text(
            path.read_text()
            .replace('"laplace"', json.dumps(evil))
            .replace("kind = " + json.dumps(evil), 'kind = "laplace"\nname = ' + json.dumps(evil))
        )
    import pyarrow
    import pyarrow.parquet as parquet

    for record in sorted((run / "jobs").glob("*/job.json")):
        table = parquet.read_table(record.with_name("rows.parquet"))
        names = [evil if name == "laplace" else name for name in table["method"].to_pylist()]
        place = table.column_names.index("method")
        parquet.write_table(table.set_column(place, "method", pyarrow.array(names)), record.with_name("rows.parquet"))
        rewrite(record, files={"rows.parquet": records.listed(record.with_name("rows.parquet"))})
    write_study_report(run, figures=False)
    text = (run / "tables" / "summary.csv").read_text()
    assert f",'{evil}," in text
    assert f",{evil}," not in text
    numbers = pandas.read_csv(run / "tables" / "summary.csv")
    assert numbers["value"].dtype == float
    assert (numbers["value"] < 0).any(), "and minus signs are none"


# -- the door


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("[" * 70 + "]" * 70, "nested too deeply"),
        ('{"a": NaN}', "NaN is no JSON"),
        ("1e999", "a number is not finite"),
        ("9" * 30, "more than 18 digits"),
        ("9" * 5000, "damaged"),
        (b"\xff\xfe\x00", "damaged"),
        ("", "damaged"),
    ],
)
def test_the_door_refuses_what_no_reader_expects(tmp_path, content, words):
    path = tmp_path / "x\x1b[2J.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(door.DamagedError, match=words) as caught:
        door.read_json(path)
    assert str(caught.value).isprintable()


def test_the_door_does_not_wait(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "zero", "folder"):
        with pytest.raises(door.DamagedError, match="is no file"):
            door.read_bytes(tmp_path / name)
    with pytest.raises(door.MissingError, match="is missing"):
        door.read_bytes(tmp_path / "nothing")


def test_trees_are_plain_and_shallow(tmp_path):
    for part in ("a", "'a'", '"a"', "a \t"):
        (tmp_path / "deep.toml").write_text(part + f".{part}" * 200_000 + " = 1")
        with pytest.raises(door.DamagedError, match="nested too deeply"):
            door.read_toml(tmp_path / "deep.toml")
    (tmp_path / "long.toml").write_text("a = '" + "x" * 10**6 + "'\nb = [" + "0.5, " * 10**5 + "]")
    assert len(door.read_toml(tmp_path / "long.toml")["b"]) == 10**5
    (tmp_path / "date.toml").write_text("a = 2026-01-01")
    with pytest.raises(door.DamagedError, match="holds a date"):
        door.read_toml(tmp_path / "date.toml")


def test_files_that_are_larger_than_any_of_ours_are_not_read(tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(door.MOST_BYTES + 1)
    with pytest.raises(door.DamagedError, match="more than emjax ever writes"):
        door.read_bytes(tmp_path / "large")
