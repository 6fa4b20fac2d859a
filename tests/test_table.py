"""Tables as data: the same rows as text, HTML, CSV and LaTeX, and nothing in them that any of these obeys."""

import csv
import io
import math

import pytest
from rich.console import Console

from emjax.cli.tables import MAX_ROWS, terminal_table
from emjax.table import Cell, Column, Table, of_estimate, of_interval, of_number, of_share

HOSTILE = "<script>=1+1</script>\x1b[31m"
TABLE = Table(
    ["parameter", Column("EM", of="em", meaning="where EM ended"), Column("90% interval", files=("lower", "upper"))],
    [
        ["weights[0]", of_estimate(0.355872, 0.0297), of_interval(0.30812, 0.40798, 0.0297)],
        [Cell(HOSTILE, link="cells/1.html"), of_estimate(-1234.5678, 12.3), of_interval(math.nan, 1.0, None)],
        ["=1+1", of_estimate(2.0, 0.5).marked("stale"), "none"],
    ],
    notes=["A note."],
    title="Parameters",
    of="parameters",
)


def on_terminal(table: Table, width: int = 80) -> str:
    console = Console(width=width, markup=False)
    with console.capture() as captured:
        for part in terminal_table(table, "the files"):
            console.print(part)
    return captured.get()


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (54.47851, 0.6978, "54.48 ± 0.70"),
        (0.355872, 0.0297, "0.356 ± 0.030"),
        (-1234.5678, 12.3, "−1,235 ± 12"),
        (1e-12, 1e-13, "1.000e−12 ± 1.0e−13"),
        (1.23456, None, "1.235"),
        (1.23456, math.nan, "1.235"),
        (1.23456, 0.0, "1.235 ± 0"),
        (None, None, "—"),
        (math.nan, 1.0, "—"),
    ],
)
def test_two_digits_of_the_error_decide_the_decimals(value, error, expected):
    assert of_estimate(value, error).shown == expected


def test_intervals_and_shares_have_the_decimals_of_their_error():
    assert of_interval(53.4, 55.51, 0.62).shown == "53.40 to 55.51"
    assert of_interval(None, 1.0, 0.1).shown == "—"
    assert of_share(0.1234, 0.01).shown == "12.3% ± 1.0%"
    assert of_share(0.1234, 0.0).shown == "12.3%"


def test_text_stands_in_columns():
    title, header, *rows, note = TABLE.text.splitlines()
    assert (title, note) == ("Parameters", "A note.")
    assert header.index("EM") + 2 == rows[0].index("0.030") + 5
    assert rows[0] == f"{'weights[0]':29}  0.356 ± 0.030  0.308 to 0.408"
    assert "2.0" not in rows[2], "a number of draws that are no posterior is a dash"
    wide = Table(["数据", "n"], [["a", "1"], ["数", "2"]]).lines()
    assert wide == ["数据  n", "a     1", "数    2"]


def test_html_is_escaped_and_says_what_columns_mean():
    page = TABLE.html()
    assert "<script" not in page
    assert "\x1b" not in page
    assert '<th scope="col" class="em" title="where EM ended">EM</th>' in page
    assert '<a href="cells/1.html">&lt;script&gt;=1+1' in page
    assert '<td data-sort="0.355872">0.356 <span class="error">± 0.030</span></td>' in page
    assert '<td class="stale" data-sort="2.0">2.00' in page
    card = TABLE.html(cell_style="padding:1px", letters=8)
    assert "class=" not in card
    assert "&lt;scr…" in card
    assert "2.00" not in card


def test_csv_holds_full_numbers_and_no_formula():
    rows = list(csv.reader(io.StringIO(TABLE.to_csv())))
    assert rows[0] == ["parameter", "EM", "EM se", "lower", "upper"]
    assert rows[1] == ["weights[0]", "0.355872", "0.0297", "0.30812", "0.40798"]
    assert rows[2][3:] == ["", "1.0"]
    assert rows[3] == ["'=1+1", "", "", "none", ""]


def test_latex_has_no_sign_that_it_would_obey():
    text = Table(["a_b", "50%"], [["x & y", of_estimate(-2.5, 0.1)]]).to_latex()
    assert "a\\_b & 50\\% \\\\" in text
    assert "x \\& y & $-$2.50 $\\pm$ 0.10 \\\\" in text
    assert text.startswith("% Needs \\usepackage{booktabs}.\n\\begin{tabular}{lr}")


def test_a_terminal_has_numbers_that_programs_read_and_no_broken_line():
    text = on_terminal(TABLE)
    assert "-1235 ± 12" in text
    assert "\x1b" not in text
    many = Table(["name", "value"], [["a rather long feature name, " * 5, of_number(i)] for i in range(50)])
    lines = on_terminal(many).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1] == f"… and {50 - MAX_ROWS} more: the files"


def test_a_narrow_terminal_has_fewer_columns():
    assert [head.name for head in TABLE.fitting(50).header] == ["parameter", "EM"]
    assert [head.name for head in TABLE.fitting(10).header] == ["parameter"]
    wide = Table(["name", Column("meaning", "word", wide=True), "value"], [["a", "of a", "1"]])
    assert wide.brief.lines() == ["name  value", "a         1"]
    assert not Table(["name"], [])
