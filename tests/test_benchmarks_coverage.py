"""The table of coverage says what its records say."""

import numpy as np
import pytest

from benchmarks import coverage
from benchmarks.coverage_tables import Cell, Measured, held, tables, taken

NAMES = ["mean[0, 0]", "mean[1, 0]", "weights[0]", "weights[1]"]


def record(bits, status="ok", width=1.0):
    return {"status": status, "held": dict.fromkeys(("0.5", "0.8", "0.9", "0.95"), bits), "width": {"0.9": width}}


@pytest.fixture
def sets():
    near = {"smallest": 80.0, "shift": 0.1, "information": record("1110"), "profile": record("1111", width=3.0)}
    few = {
        "smallest": 15.0,
        "shift": 0.1,
        "information": record("0110", "rough"),
        "profile": record("1111", "ok", None),
    }
    return [near, few, near, {"smallest": 1.0, "information": {"status": "singular", "held": {}, "width": {}}}]


def test_auto_takes_what_the_rule_says(sets):
    assert taken(sets[0], "auto") is sets[0]["information"]
    assert taken(sets[1], "auto") is sets[1]["profile"]
    assert taken(sets[3], "auto")["status"] == "singular"
    assert taken(sets[0], "bootstrap") is None


def test_means_the_worst_number_and_those_that_are_ok(sets):
    every = [taken(one, "information") for one in sets]
    found = Measured(every, [0, 1, 2])
    assert found.at(0.9) == ".89, .67 ± .272"
    assert found.of_good == ["50%", "1.00, 1.00 ± .000"]
    assert found.width == "1.00"
    assert Measured([sets[1]["profile"]] * 3, [0]).width == "inf"
    assert held([sets[1]["information"]], 0.9, [0, 1]).tolist() == [[0.0, 1.0]]


def test_cells_that_were_measured_have_a_line(sets):
    cell = coverage.cells()[0]
    batch = {"cell": cell.words, "methods": ["information", "profile"], "first": 0, "names": NAMES, "sets": sets}
    for one in sets[:3]:
        one["sandwich"] = one["information"]
    first, levels = tables(coverage.cells(), [batch]).split("\n\n")
    assert first.splitlines()[2].startswith(f"| {cell.words} | 4 | .89, .67 ± .272 | .89, .67 ± .272 | 1.00, 1.00")
    assert len(first.splitlines()) == len(levels.splitlines()) == 3


def test_a_run_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    path, done = tmp_path / "coverage.jsonl", []

    def imitated(cell: Cell, first: int, n_sets: int, methods: tuple[str, ...]):
        done.append((cell.words, first, methods[0]))
        return {"cell": cell.words, "methods": methods, "first": first, "names": [], "sets": [{}] * n_sets}

    monkeypatch.setattr(coverage, "measured", imitated)
    coverage.fill(path, 200, 0, np.inf, "share 0.05")
    with path.open("a") as file:
        file.write('{"cell": "half a li')
    assert [first for _, first, _ in done] == [0, 50, 100, 150]
    coverage.fill(path, 200, 40, np.inf, "share 0.05")
    assert [each[1:] for each in done[4:]] == [
        (0, "bootstrap"),
        (10, "bootstrap"),
        (20, "bootstrap"),
        (30, "bootstrap"),
    ]
    coverage.fill(path, 400, 40, -np.inf, "")
    assert len(done) == 8
