"""What a shipped study says, draws and expects is one and the same: its README.md, answer.svg and expected.json."""

import importlib.util
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
STUDIES = sorted(path.parent.name for path in EXPERIMENTS.glob("*/config.toml") if "[sweep" in path.read_text())
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def answers():
    """The script that writes them: from it only which columns and which figure a README names."""
    spec = importlib.util.spec_from_file_location("answers", EXPERIMENTS / "answers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=STUDIES)
def study(request, answers):
    folder = EXPERIMENTS / request.param
    text = (folder / "README.md").read_text(encoding="utf-8")
    return SimpleNamespace(
        text=text,
        expected=json.loads((folder / "expected.json").read_text(encoding="utf-8")),
        columns=answers.columns(text),
        body=answers.BLOCK.search(text)["body"],
        figure=answers.picture(text),
        svg=ElementTree.parse(folder / "answer.svg").getroot(),
    )


def number(text: str) -> float:
    """What a reader takes from ``1,011``, ``−0.3``, ``91%`` or ``0.013 s``."""
    plain = text.replace(",", "").replace("−", "-").removesuffix(" s")
    return float(plain.removesuffix("%")) / (100 if plain.endswith("%") else 1)


def unit(text: str) -> float:
    """Half of the last digit shown."""
    digits = text.replace(",", "").removesuffix(" s")
    decimals = len(digits.removesuffix("%").partition(".")[2])
    return 0.5 * 10.0**-decimals / (100 if digits.endswith("%") else 1)


def values_of(study, column) -> list[float]:
    """What was measured of one method, in the order of the cells."""
    return [entry["value"] for entry in study.expected["measured"] if all(entry[key] == column[key] for key in column)]


def test_the_table_is_what_was_measured(study):
    lines = [line.strip("| \n").split(" | ") for line in study.body.splitlines() if line.startswith("|")]
    heads, rows = lines[0], lines[2:]
    n_settings = len(heads) - len(study.columns)
    assert [head.rpartition(", ")[2] for head in heads[n_settings:]] == [
        column["method"].rpartition(", ")[2] for column in study.columns
    ]
    for place, column in enumerate(study.columns):
        shown = [row[n_settings + place] for row in rows]
        found = values_of(study, column)
        assert len(shown) == len(found) > 0
        for text, value in zip(shown, found, strict=True):
            # Numbers without an error are shown to some digits of their own size.
            assert abs(number(text) - value) <= 1.001 * unit(text), (column, text, value)


def test_the_first_sentence_is_that_of_the_page(study):
    assert f"> {study.expected['headline']}\n" in study.body


def ticks(svg: ElementTree.Element) -> dict[float, float]:
    """The vertical places of a figure's ticks and what is written beside them."""
    found = {}
    for group in svg.iter(f"{SVG}g"):
        if group.get("id", "").startswith("ytick_"):
            (text,) = [text.text for text in group.iter(f"{SVG}text")] or [None]
            (place,) = {float(use.get("y")) for use in group.iter(f"{SVG}use")}
            if text:
                found[place] = number(text)
    return found


def test_the_picture_shows_what_was_measured(study):
    marks = ticks(study.svg)
    assert len(marks) >= 2
    places, labels = np.array(list(marks)), np.array(list(marks.values()))
    methods = dict.fromkeys(entry["method"] for entry in study.expected["measured"])
    drawn = {}
    for group in study.svg.iter(f"{SVG}g"):
        method = group.get("id", "").removeprefix("points of ")
        if group.get("id", "").startswith("points of "):
            drawn.setdefault(method, []).extend(float(use.get("y")) for use in group.iter(f"{SVG}use"))
    expected = {
        method: found
        for method in methods
        if (found := values_of(study, {"measure": study.figure, "group": "", "method": method}))
    }
    assert drawn.keys() == expected.keys()
    scales = [(labels, np.asarray)] + ([(np.log(labels), np.exp)] if (labels > 0).all() else [])
    off = []
    for values, back in scales:
        slope, offset = np.polyfit(places, values, 1)
        off.append(
            max(
                float(np.max(np.abs(back(offset + slope * np.array(drawn[method])) / np.array(found) - 1)))
                for method, found in expected.items()
                if len(drawn[method]) == len(found)
            )
        )
    assert all(len(drawn[method]) == len(found) for method, found in expected.items())
    # One of the two scales it is; a marker's place is exact to a hundredth of a point.
    assert min(off) < 0.002, off


def test_what_is_claimed_of_other_runs_holds_for_what_is_shown(study):
    held = 0
    for claim in study.expected["claims"]:
        found = [
            entry["value"]
            for entry in study.expected["measured"]
            if (entry["measure"], entry["method"]) == (claim["measure"], claim["method"])
            and entry["group"] == claim.get("group", "")
            and all(_alike(entry["settings"][key], value) for key, value in claim.get("cells", {}).items())
        ]
        if found:
            lower, upper = claim["between"]
            assert lower <= np.mean(found) <= upper, (claim["claim"], np.mean(found))
            held += 1
    assert held or study.figure in ("run_seconds",)


def _alike(text: str, value: object) -> bool:
    """Whether a setting as the page writes it is the one that a claim names."""
    try:
        return math.isclose(number(text), float(value))
    except ValueError:
        return json.dumps(json.loads(str(value))) == text if text.startswith("[") else _table(text) == json.loads(value)


def _table(text: str) -> dict[str, object]:
    """``student_t dof=5`` as the table that it abbreviates."""
    kind, *rest = text.split()
    names = {"dof": "degrees_of_freedom", "s": "skewness"}
    pairs = [part.partition("=") for part in rest]
    return {"kind": kind, **{names[short]: float(value) for short, _, value in pairs}}


def test_every_number_of_the_answer_was_measured(study):
    """The bold sentence after **Answer** quotes nothing but measured numbers, settings and round words."""
    answer = re.search(r"\*\*Answer: (.*?)\*\*", study.text, re.DOTALL)[1]
    numbers = re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?%?", answer)
    shown = [entry["value"] for entry in study.expected["measured"]]
    settings = [text for entry in study.expected["measured"] for text in entry["settings"].values()]
    for text in numbers:
        text = text.rstrip(",")
        known = any(abs(number(text) - value) <= 1.001 * unit(text) for value in shown)
        assert known or any(text in setting for setting in settings), text
