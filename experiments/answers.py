"""From a run of a shipped study to what its folder says of it.

    uv run emjax run experiments/separation/config.toml --out runs/separation
    uv run python experiments/answers.py separation runs/separation

writes the numbers to ``expected.json`` (``measured``), the first sentence of the study's page and the table into
``README.md``, between its two comments, and the figure to ``answer.svg``. Text, table and figure are of one run, and
of one kind: of the outcomes that can be trusted, as on the page. ``tests/experiments/test_answers.py`` reads all three
and compares them; what claims hold for another run is tested by ``tests/experiments/test_shipped.py``.

The first comment of a README names the columns, ``MEASURE of METHOD`` or ``MEASURE[GROUP] of METHOD``, between bars,
where a measure is one of the page's, a verdict (its share), or a quantity of the rows with its parameter as the group.
"""

import json
import math
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from emjax.experiments import open_study
from emjax.experiments.pages.build import write_pages
from emjax.experiments.summary.estimates import points
from emjax.experiments.summary.measures import MEASURE, Measure, of_level
from emjax.experiments.summary.verdicts import VERDICTS, cell_verdicts
from emjax.experiments.summary.view import StudyView
from emjax.experiments.summary.words import value_text
from emjax.wording import decimals_for, fixed, number, percent

HERE = Path(__file__).parent
BLOCK = re.compile(r"<!-- measured: (?P<columns>[^>]*?) -->\n(?P<body>.*?)<!-- end of measured -->", re.DOTALL)
_COLUMN = re.compile(r"(?P<measure>\w+)(?:\[(?P<group>.+)\])? of (?P<method>.+)")


def columns(text: str) -> list[dict[str, str]]:
    """The columns that a README's first comment names."""
    found = BLOCK.search(text)
    assert found is not None, "README.md lacks the comments <!-- measured: ... --> and <!-- end of measured -->"
    parts = [_COLUMN.fullmatch(part.strip()) for part in found["columns"].split("|")]
    return [{key: value or "" for key, value in part.groupdict().items()} for part in parts if part is not None]


def picture(text: str) -> str:
    """The measure that a README's figure shows: its alternative text begins with the name of the figure."""
    found = re.search(r"!\[[^\]]*\]\(answer\.svg \"(\w+)\"\)", text)
    assert found is not None, 'README.md lacks ![...](answer.svg "NAME OF THE FIGURE")'
    return found[1]


def measured(view: StudyView, wanted: list[dict[str, str]]) -> list[dict[str, Any]]:
    """The value of every wanted column in every cell that has it, with its Monte-Carlo standard error."""
    known = {
        (point.cell, point.method, point.measure, point.group): (point.value, point.mcse)
        for point in points(view.means)
    }
    for record in cell_verdicts(view):
        for name in VERDICTS:
            known[record.cell, record.method, name, ""] = (getattr(record, name) / record.n, math.nan)
    found = []
    for cell in view.places:
        settings = {axis.key: value_text(cell.settings[axis.key]) for axis in view.axes}
        for column in wanted:
            value, error = known.get((cell.key, column["method"], column["measure"], column["group"]), (None, None))
            if value is not None:
                found.append(
                    {"settings": settings, **column, "value": value, "mcse": None if error != error else error}
                )
    return found


def measure_of(name: str) -> Measure | None:
    """A measure of emjax's own, of a lower level too (``coverage_50``)."""
    level = name.rpartition("_")[2]
    return MEASURE.get(name) or next((one for one in of_level(level) if one.name == name), None)


def text_of(entry: dict[str, Any]) -> str:
    """A measured value as the table shows it."""
    measure = measure_of(entry["measure"])
    if entry["measure"] in VERDICTS or (measure is not None and measure.pooled == "share"):
        return percent(entry["value"], 0)
    if measure is not None and measure.name == "run_seconds":
        return f"{number(entry['value'], 2)} s"
    decimals = decimals_for(entry["mcse"])
    return fixed(entry["value"], None if decimals is None else max(decimals - 1, 0))


def head_of(column: dict[str, str]) -> str:
    """``coverage, EM``."""
    measure = measure_of(column["measure"])
    if measure is not None and measure.name != "estimate":
        return f"{measure.label(column['group'])}, {column['method']}"
    what = f"`{column['measure']}`" if column["measure"] in VERDICTS else f"`{column['group'] or column['measure']}`"
    return f"{what}, {column['method']}"


def table(wanted: list[dict[str, str]], entries: list[dict[str, Any]]) -> str:
    """The table of a README."""
    axes = list(entries[0]["settings"])
    lines = [[*(key.rpartition(".")[2] for key in axes), *map(head_of, wanted)]]
    lines.append(["---"] * len(lines[0]))
    for settings in {json.dumps(entry["settings"]): entry["settings"] for entry in entries}.values():
        here = [entry for entry in entries if entry["settings"] == settings]
        values = [
            [text_of(entry) for entry in here if all(entry[key] == column[key] for key in column)] for column in wanted
        ]
        lines.append([*settings.values(), *(value[0] if value else "" for value in values)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write(name: str, folder: Path) -> None:
    """Write what a run says into the folder of a study."""
    here = HERE / name
    readme, expected = here / "README.md", here / "expected.json"
    text, document = readme.read_text(encoding="utf-8"), json.loads(expected.read_text(encoding="utf-8"))
    view = open_study(folder)
    figure = picture(text)
    wanted = columns(text)
    entries = measured(view, wanted)
    drawn = [{"measure": figure, "group": "", "method": method.label} for method in view.study.methods]
    with tempfile.TemporaryDirectory() as pages:
        written = write_pages(view, Path(pages))
        shutil.copy(Path(pages) / "figures" / f"{figure}.svg", here / "answer.svg")
    document["headline"] = written.answer
    document["measured"] = [*entries, *(entry for entry in measured(view, drawn) if entry not in entries)]
    expected.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    body = f"> {written.answer}\n\n{table(wanted, entries)}"
    block = BLOCK.search(text)
    assert block is not None
    head = f"<!-- measured: {block['columns']} -->\n"
    readme.write_text(
        text[: block.start()] + head + body + "<!-- end of measured -->" + text[block.end() :], encoding="utf-8"
    )


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))
