"""JSON that any reader takes, with every digit of the numbers."""

import dataclasses
import enum
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from emjax.jsonable import to_json, to_jsonable
from emjax.nearest import nearest, suggestion
from emjax.wording import printable


class Colour(enum.StrEnum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: float
    tags: tuple[str, ...]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (np.float64("-inf"), None),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (True, True),
        (np.array([[1.0, np.nan], [2.0, 3.0]]), [[1.0, None], [2.0, 3.0]]),
        (np.array(2.0), 2.0),
        (jnp.arange(3), [0, 1, 2]),
        (Colour.RED, "red"),
        ({Colour.RED: 1, 2: "b"}, {"red": 1, "2": "b"}),
        (Point(1.0, ("a",)), {"x": 1.0, "tags": ["a"]}),
        (Path("a") / "b", "a/b"),
        (None, None),
    ],
)
def test_values_become_plain_json(value, expected):
    result = to_jsonable(value)
    assert result == expected
    assert type(result) is type(expected)


def test_floats_keep_every_digit():
    values = np.random.default_rng(0).standard_normal(200) * 10.0 ** np.arange(-100, 100)
    assert json.loads(to_json(values)) == values.tolist()


def test_the_text_is_strict_json():
    text = to_json({"a": [np.nan, {"b": np.inf}], "name": "<script>é"})

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    assert json.loads(text, parse_constant=refuse) == {"a": [None, {"b": None}], "name": "<script>é"}


def test_what_has_no_json_form_is_refused():
    with pytest.raises(TypeError, match="object"):
        to_json({"a": object()})


@pytest.mark.parametrize(
    ("name", "expected"),
    [("n_componets", "n_components"), ("N-Components", "n_components"), ("warm_up", "warmup"), ("zzz", None)],
)
def test_the_nearest_name(name, expected):
    assert nearest(name, ["n_components", "warmup", "draws"]) == expected


def test_a_suggestion_without_a_near_name_lists_them_all():
    assert suggestion("zzz", ["a", "b"]) == "allowed: a, b"


def test_printable_text_is_one_line_without_control_characters():
    assert printable("a\n b\t\x1b[31mc\x07é") == r"a b \x1b[31mc\x07é"
