"""Numbers, names and ticks as the report writes them."""

import math

import pytest

from emjax.report.drawing.style import compact, power_of_ten
from emjax.wording import elided, fixed, number, printable


def test_characters_without_a_shape_are_written_as_escapes():
    assert printable("two  lines\nof plain\ttext") == "two lines of plain text"
    assert printable("a\x1bb") == "a\\x1bb"
    assert printable("a\x00b\n\tc\ud800\u202e") == "a\\x00b c\\ud800\\u202e"
    assert elided("x" * 200, 20) == "x" * 12 + "…" + "x" * 6
    assert elided("数" * 20, 12) == "数" * 3 + "…" + "数"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.5678, "1,235"),
        (0.00123456, "0.001235"),
        (-2.5, "−2.500"),
        (math.nan, "—"),
        (None, "—"),
        (1.5e9, "1.500e+09"),
    ],
)
def test_numbers_read_well(value, text):
    assert number(value) == text
    assert fixed(-0.0004, 2) == "0.00"


def test_ticks_read_well():
    assert [compact(value) for value in (0.0, -2.5, 2500.0, -20_000.0, 1.5e6, 2e-6)] == [
        "0",
        "−2.5",
        "2500",
        "−20k",
        "1.5M",
        "2e−06",
    ]
    assert [power_of_ten(value) for value in (1.0, 0.01, 1e-6, 1e5)] == ["1", "0.01", "10⁻⁶", "10⁵"]
