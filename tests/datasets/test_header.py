"""Whether the first line of a text file is names, where it holds numbers."""

import io
import warnings

import numpy as np
import pandas as pd
import pytest

from emjax import datasets
from emjax.errors import DataWarning

RNG = np.random.default_rng(3)
FRAME = pd.DataFrame(RNG.normal(size=(20, 3)))
COUNTS = pd.DataFrame(RNG.poisson(3.0, size=(20, 6)))
DATES = pd.date_range("2024-01-01", periods=20).astype(str)
NAMES, DATA = "was read as names; header = false", "was read as data; header = true"


def csv_of(frame, **options):
    """The text that pandas writes."""
    text = io.StringIO()
    frame.to_csv(text, **{"index": False, **options})
    return text.getvalue()


def read(path, **options):
    """What is read, and what is said about it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = datasets.load(path, **options)
    assert {warning.category for warning in caught} <= {DataWarning}
    assert len(caught) < 2
    return data, str(caught[0].message) if caught else ""


DAYS = "".join(f"{day},{x},{y}\n" for day, x, y in zip(DATES, COUNTS[0], COUNTS[1], strict=True))
"""Each case: the file, the columns to read, the names found, a part of what is said."""
CASES = {
    "pandas": (csv_of(FRAME), None, "0 1 2", NAMES),
    "pandas, one row": (csv_of(FRAME.iloc[:1]), None, "0 1 2", NAMES),
    "pandas, one column": (csv_of(FRAME[[0]]), None, "0", NAMES),
    "pandas, counts": (csv_of(COUNTS), None, "0 1 2 3 4 5", NAMES),
    "pandas, row numbers": (csv_of(COUNTS[[0, 1]], index=True), "0,1", "0 1", NAMES),
    "pandas, decimal commas": (csv_of(FRAME, sep=";", decimal=","), None, "0 1 2", NAMES),
    "years": (csv_of(FRAME.set_axis([1990, 1991, 1995], axis=1)), None, "1990 1991 1995", NAMES),
    "quoted years": ('"1990","1995"\n3,4\n5,6\n', None, "1990 1995", NAMES),
    "a quoted name": ('"7"\n3\n5\n', None, "7", NAMES),
    "quoted years beside a quoted text": ('"site","1990"\n"a",4\n"b",6\n', "1990", "1990", ""),
    "a text above numbers": ("a,7\n1,2\n", None, "a 7", ""),
    "a text above texts": ("site,2019,2020\nBonn,12,13\nKiel,14,15\n", "2019,2020", "2019 2020", NAMES),
    "a text above dates": ("day,0,1\n" + DAYS, "0,1", "0 1", NAMES),
    "data": ("1.5,2\n-3,4\n", None, "x0 x1", ""),
    "pandas without names": (csv_of(FRAME, header=False), None, "x0 x1 x2", ""),
    "all quoted": (csv_of(FRAME, header=False, quoting=1), None, "x0 x1 x2", ""),
    "counts in one column": ("0\n3\n1\n2\n" * 9, None, "x", ""),
    "a whole number first": ("5\n5.25\n4.5\n" + "4.75\n" * 20, None, "x", ""),
    "a zero and a fraction": ("0,1.5\n2.5,3.5\n", None, "x0 x1", ""),
    "counts": ("3,1\n2,4\n0,1\n", None, "x0 x1", ""),
    "counts that count": ("0,1\n3,1\n2,4\n", None, "x0 x1", DATA),
    "years above counts": ("1990,1991,1992\n12,30,15\n", None, "x0 x1 x2", DATA),
    "numbers in order": ("0,1,2,3,4\n5,6,7,8,9\n", None, "x0 x1 x2 x3 x4", ""),
    "a label that comes again": ("5.1,3.5,setosa\n4.9,3.0,setosa\n", "x0,x1", "x0 x1", DATA),
    "dates": (DAYS, "x1,x2", "x1 x2", DATA),
}


@pytest.mark.parametrize("case", CASES)
def test_the_first_line(write, case):
    content, columns, names, said = CASES[case]
    data, message = read(write("a.csv", content), columns=columns)
    assert " ".join(data.feature_names) == names
    assert len(data) == len(content.splitlines()) - (not names.startswith("x"))
    assert (said in message) if said else not message
    assert message.isprintable()


@pytest.mark.parametrize("case", [case for case, entry in CASES.items() if entry[3] and not entry[1]])
def test_what_is_said_can_be_told_otherwise_and_is_then_not_said(write, case):
    content, _, _, said = CASES[case]
    header = said == DATA
    data, message = read(write("a.csv", content), header=header)
    assert not message
    assert len(data) == len(content.splitlines()) - header


@pytest.mark.parametrize("content", ["1,2\n3,4\n", '"a","b"\n1,2\n'])
def test_header_as_told(write, refusal, content):
    path = write("a.csv", content)
    assert len(read(path, header=True)[0]) == 1
    if content.startswith("1"):
        assert len(read(path, header=False)[0]) == 2
    else:
        assert "line 1, column 'x0': 'a' is not a number" in refusal(datasets.load, path, header=False)


@pytest.mark.parametrize("name", ["faithful", "a.npy"])
def test_what_is_no_text_has_no_header(tmp_path, refusal, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.arange(3.0))
    assert f"{name} is no text file" in refusal(datasets.load, name, header=True)
