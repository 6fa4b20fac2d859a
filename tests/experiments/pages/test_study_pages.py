"""What is written for a study: pages, figures, tables, from one write of a study with hostile names."""

import csv
import hashlib
import html.parser
import re
from base64 import b64encode
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from synthetic_study import declaration, declare, draw_rows, view_of
from typer.testing import CliRunner

from emjax.cli.app import app
from emjax.experiments.config.schema import Study
from emjax.experiments.pages import write_study_report
from emjax.experiments.pages.build import write_index, write_pages
from emjax.experiments.summary.estimates import points
from emjax.table import escaped
from emjax.wording import fixed, percent

HOSTILE = "<img src=x onerror=alert(1)> $x_1$ & 50%"
METHODS = ({"kind": "em"}, {"kind": "hmc", "name": HOSTILE, "verdict": True})


class Outline(html.parser.HTMLParser):
    """The parts of a page that tests ask for."""

    VOID = frozenset({"meta", "link", "img", "source", "input", "line", "rect"})

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.fields: list[list[tuple[dict, str]]] = []
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.fields.append([])
        if tag in ("td", "th"):
            self.fields[-1].append((dict(attrs), ""))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        if "tr" in self.open and self.fields[-1]:
            attrs, text = self.fields[-1][-1]
            self.fields[-1][-1] = (attrs, text + data)

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> SimpleNamespace:
    """A study of two cells with a failed and a missing job."""
    study = declare(
        {"data.n_samples": (100, 1000)}, 24, METHODS, title=HOSTILE, question=HOSTILE, execution={"batch": 8}
    )
    declared = declaration(study)
    view = view_of(study, draw_rows(study, declared, untrusted=0.15), folder=HOSTILE, failed=1, lost=1)
    folder = tmp_path_factory.mktemp("study")
    result = write_pages(view, folder)
    return SimpleNamespace(view=view, folder=folder, result=result, summary=view.means, page=Outline(result.page))


def test_pages_are_whole_and_say_what_is_missing(written):
    assert written.page.open == []
    text = written.page.text
    assert text.index("1 job of 12 failed") < text.index("cannot be trusted") < text.index('id="table"')
    assert "1 job of 12 is not done" in text
    assert "rough &lt;b&gt;" in text, "what was warned of"
    assert written.result.page.stat().st_size < 2_000_000
    for cell in written.view.places:
        outline = Outline(written.folder / "cells" / f"{cell.key}.html")
        assert outline.open == []
        assert f"{cell.settings['data.n_samples']:,}" in outline.text


@pytest.mark.parametrize("where", ["report.html", "cells/000000000000.html"])
def test_hostile_names_are_text(written, where):
    page = Outline(written.folder / where)
    assert "<img src=x" not in page.text
    assert "&lt;img src=x onerror=alert(1)&gt;" in page.text
    assert all(image["src"].startswith("data:image/svg+xml;base64,") for image in page.all("img"))


def test_links_lead_somewhere_and_names_are_unique(written):
    for path in [written.result.page, *(written.folder / "cells").iterdir()]:
        page = Outline(path)
        names = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
        assert len(names) == len(set(names))
        for link in page.all("a"):
            target, _, anchor = link["href"].partition("#")
            assert (path.parent / target).exists(), link
            assert not anchor or target or anchor in names, link


def test_only_our_script_may_run(written):
    policy = next(meta["content"] for meta in written.page.all("meta") if "content" in meta and "http-equiv" in meta)
    script = re.search(r"<script>(.*?)</script>", written.page.text, flags=re.DOTALL)
    assert script is not None
    assert f"script-src 'sha256-{b64encode(hashlib.sha256(script[1].encode()).digest()).decode()}'" in policy
    assert "default-src 'none'" in policy
    cell = (written.folder / "cells" / "000000000000.html").read_text(encoding="utf-8")
    assert "<script" not in cell
    assert "script-src" not in cell, "and the default is none"


def table_rows(page: Outline) -> list[list[tuple[dict, str]]]:
    return [row for row in page.fields if row[0][0].get("scope") == "row" and len(row) > 8]


def test_the_tables_numbers_are_those_of_the_frame(written):
    rows = table_rows(written.page)
    assert len(rows) == len(written.view.places) * len(written.view.study.methods)
    heads = [text.strip() for _, text in next(row for row in written.page.fields if len(row) > 8)]
    for place, row in enumerate(rows):
        cell, method = divmod(place, len(written.view.study.methods))
        shown = {
            head: (attrs["data-sort"], text)
            for head, (attrs, text) in zip(heads, row, strict=True)
            if "data-sort" in attrs
        }
        own = {
            (point.measure, point.group): point
            for point in points(written.summary)
            if (point.cell, point.method) == (written.view.places[cell].key, written.view.methods[method])
        }
        rmse, coverage = own["rmse", "mean"], own["coverage", ""]
        assert float(shown["RMSE of mean"][0]) == rmse.value
        assert fixed(rmse.mcse, None)[:4] in shown["RMSE of mean"][1]
        assert float(shown["coverage"][0]) == coverage.value
        assert shown["coverage"][1].startswith(percent(coverage.value))
        trusted = own["trusted", ""]
        assert shown["trusted"][1] == f"{round(trusted.value * trusted.n)} of {trusted.n}"
        assert ("†" in shown["coverage"][1]) == (trusted.value < 0.95), "few trusted outcomes are marked"


def test_figures_say_what_they_show_and_lie_beside_the_page(written):
    images = written.page.all("img")
    names = [attrs["id"] for attrs in written.page.all("figure")]
    curves = ["rmse", "bias", "coverage", "width", "log_score_loss", "total_variation", "ari", "run_seconds"]
    assert names == [*curves, "frontier", "verdicts"]
    assert all(len(image["alt"]) > 40 for image in images)
    for name in names:
        assert (written.folder / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF-")
        assert "<svg" in (written.folder / "figures" / f"{name}.svg").read_text(encoding="utf-8")


def test_csv_holds_the_summary(written):
    with (written.folder / "tables" / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(written.summary)
    assert {row["data.n_samples"] for row in rows} == {"100", "1000"}
    assert sum(float(row["value"]) for row in rows) == pytest.approx(written.summary["value"].sum())


def test_latex_has_as_many_fields_as_columns(written):
    lines = (written.folder / "tables" / "table.tex").read_text(encoding="utf-8").splitlines()
    columns = re.fullmatch(r"\\begin\{tabular\}\{([lr]+)\}", lines[1])
    assert columns is not None
    body = [line for line in lines if line.endswith(" \\\\")]
    assert len(body) == 1 + len(written.view.places) * len(written.view.study.methods)
    assert {len(re.split(r"(?<!\\)&", line)) for line in body} == {len(columns[1])}
    assert escaped(HOSTILE) == "$<$img src=x onerror=alert(1)$>$ \\$x\\_1\\$ \\& 50\\%"
    assert sum(escaped(HOSTILE) in line for line in body) == 2


def test_the_cells_page_names_the_data_sets_worth_a_look(written):
    page = (written.folder / "cells" / "000000000001.html").read_text(encoding="utf-8")
    rows = written.view.outcomes
    bad = rows[(rows["cell"] == "000000000001") & (rows["method"] == "em") & ~rows["trusted"]]
    assert len(bad)
    first = bad["replicate"].min()
    head = f'<th scope="row" class="word">{first}</th>'
    again = f"--cell 000000000001 --method em --replicate {first}<"
    assert re.search(rf'{head}<td class="word">not_converged</td>.*{again}', page)
    assert page.count("<svg") == 12, "six parameters of two methods have a strip of errors each"


def test_without_rows_there_is_a_page_without_figures(tmp_path):
    view = view_of(declare({"data.n_samples": (100, 200)}, 4), lost=6)
    page = Outline(write_pages(view, tmp_path).page)
    assert page.open == []
    assert page.all("img") == []
    assert "Nothing has been computed yet." in page.text
    assert not (tmp_path / "figures").exists()


def test_without_a_truth_nothing_about_errors_is_shown(tmp_path):
    study = Study.model_validate(
        {
            "data": {"source": "faithful"},
            "model": {"n_components": 2},
            "methods": [{"kind": "em"}],
            "sweep": {"replicates": 1},
        }
    )
    declared = declaration(study)
    rows = draw_rows(study, declared)
    rows = rows[rows["quantity"].isin(["estimate", "se", "width", "trusted", "run_seconds"])]
    page = Outline(write_pages(view_of(study, rows), tmp_path, figures=False).page)
    assert [attrs["id"] for attrs in page.all("figure")] == ["run_seconds"]
    assert not any(word in page.text for word in ("coverage", "RMSE", "truth"))
    assert not (tmp_path / "figures").exists()


@pytest.fixture
def archived(tmp_path) -> Path:
    """A study's folder, its jobs written as if they had been computed."""
    import pyarrow.parquet

    from emjax.experiments.archive.folder import Archive
    from emjax.experiments.archive.rows import job_schema
    from emjax.experiments.plan.grid import make_plan

    study = declare({}, 4, ({"kind": "sklearn"},), title="Archived")
    plan = make_plan(study)
    archive = Archive(tmp_path / "archived")
    archive.begin(study, plan)
    declared = {"cells": [{"index": 0, "key": plan.cells[0].key, "settings": {}}]}
    rows = draw_rows(study, declared, untrusted=0.0)
    for job in plan.jobs:
        with archive.writing(job.key, job.spec) as draft:
            own = rows[rows["replicate"].between(job.first, job.stop - 1)]
            table = pyarrow.Table.from_pandas(own, schema=job_schema(), preserve_index=False)
            pyarrow.parquet.write_table(table, draft.path / "rows.parquet")
            draft.summary = {"n_rows": len(own), "statuses": {"converged": 4}}
    archive.collect()
    return archive.path


def report(*arguments) -> SimpleNamespace:
    result = CliRunner().invoke(app, ["report", *map(str, arguments)], prog_name="emjax", env={"COLUMNS": "200"})
    return SimpleNamespace(code=result.exit_code, out=result.stdout, err=result.stderr)


def test_the_command_writes_pages_and_says_where(archived, tmp_path, monkeypatch):
    done = report(archived, "--no-figures", "--json", "--out", tmp_path / "pages")
    (document,) = pd.io.json.ujson_loads(done.out)["reports"]
    assert (done.code, document["kind"]) == (0, "study")
    assert Path(document["page"]) == tmp_path / "pages" / "report.html"
    assert all(Path(path).exists() for path in document["files"])
    page = Path(document["page"]).read_text(encoding="utf-8")
    assert "emjax 0." in page, "versions come from the archive"
    assert "1 of 1 job done" in page

    from emjax.experiments.pages import build

    monkeypatch.setattr(build, "write_pages", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left")))
    failed = report(archived)
    assert (failed.code, len(failed.err.splitlines())) == (2, 1)
    assert "No space left; choose another folder with --out" in failed.err


def test_what_is_no_study_is_refused_in_one_line(tmp_path):
    done = report(tmp_path)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert str(tmp_path) in done.err
    with pytest.raises(Exception, match="study"):
        write_study_report(tmp_path)


def test_several_pages_have_an_index(tmp_path):
    entries = [
        SimpleNamespace(page=tmp_path / name / "report.html", title=HOSTILE, answer=f"Answer of {name}.")
        for name in ("one", "two")
    ]
    page = Outline(write_index(entries, tmp_path / "studies.html"))
    assert [link["href"] for link in page.all("a") if link["href"] != "#main"] == ["one/report.html", "two/report.html"]
    assert "Answer of two." in page.text
    assert "<img" not in page.text
