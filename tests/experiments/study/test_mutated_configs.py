"""Whatever somebody does to a config, it ends in a plan or in one line, never in a traceback."""

import copy
import datetime
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import tomli_w
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from emjax.errors import ConfigError, DataError
from emjax.experiments.config.reading import read_study
from emjax.experiments.config.schema import Task, single_task
from emjax.experiments.plan import cells
from emjax.experiments.plan.grid import make_plan
from emjax.experiments.plan.jobs import Plan

MODEL_FILE = "import emjax\n\n\ndef build(n_components=2):\n    return emjax.Mixture(emjax.Normal(), n_components)\n"

BASES: list[dict[str, Any]] = [
    {
        "title": "how far apart",
        "data": {"kind": "simulate", "weights": [0.5, 0.5], "mean": [[0.0], [3.0]], "scale": [1, 1], "n_samples": 200},
        "model": {"n_components": 2, "prior": {"concentration": 2.0, "scatter": 0.5}},
        "methods": [
            {"kind": "em", "n_init": 5, "budget": {"evaluations": 150}},
            {"kind": "hmc", "name": "sampler", "chains": 4, "verdict": True},
        ],
        "sweep": {
            "replicates": 30,
            "grid": {"data.n_samples": [100, 200], "methods.em.n_init": [1, 5]},
            "zip": {"data.overlap": [0.1, 0.2], "level": [0.5, 0.9]},
        },
        "execution": {"batch": 10, "retries": 2},
    },
    {
        "seed": 3,
        "data": {"source": "deaths", "holdout": 0.2, "resample": "bootstrap"},
        "model": {"family": "poisson", "n_components": 2},
        "methods": [{"kind": "gibbs", "chains": 2}, {"kind": "map", "tol": 1e-8}],
        "sweep": {"grid": {"model": {"n_components": [1, 2, 3]}}},
    },
    {
        "extends": "base.toml",
        "data": {"contamination": {"share": 0.1}},
        "model": {"file": "model.py", "arguments": {"n_components": 3}},
        "sweep": {"zip": {"data.contamination.kind": ["uniform", "normal"]}},
    },
    {
        "data": {"source": "x.csv", "columns": ["a", 1]},
        "model": {"n_components": 2, "covariance": "diag"},
        "methods": [{"kind": "em", "n_init": 3, "iterations": 10}, {"kind": "nuts", "draws": 500, "verdict": True}],
        "output": {"dir": "out"},
    },
]

WIDE = (
    b"\x93NUMPY\x01\x00v\x00"
    + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}".ljust(117)
    + b"\n"
)

FILES = {
    "model.py": MODEL_FILE,
    "broken.py": "def build(:\n",
    "x.csv": "a,b\n1,2\n3,4\n5,7\n",
    "base.toml": tomli_w.dumps({key: BASES[0][key] for key in ("data", "model", "methods")}),
    "circle.toml": 'extends = "circle.toml"\n',
    "back.toml": 'extends = ["base.toml", "config.toml"]\n',
    "large.toml": "#" * 2**21,
    **{f"d{level}.toml": f'extends = ["d{level + 1}.toml", "./d{level + 1}.toml"]\n' for level in range(30)},
    "d30.toml": "seed = 1\n",
}

NAMES = (
    "kind", "name", "source", "n_samples", "n_components", "file", "extends", "grid", "zip", "", "a.b", "é", "x" * 3000,
    "\x1b[31m", "__class__", "model_config", "methods", "prior", "seed", "level", "data.n_samples", "sweep",
)  # fmt: skip
ODD = (
    0, -1, 1, 2, 2**31, 2**53 + 1, 2**62, 2**63, 10**40, True, False, 0.0, -0.0, 0.5, 1.0, 1e-300, 1e308, -1e308,
    math.nan, math.inf, -math.inf, "", " ", "x" * 3000, "\x00", "a\nb", "\u2028", "em", "default", "none", "poisson",
    "simulate", "model.py", "broken.py", "absent.py", ".", "/", "x.csv", "base.toml", "circle.toml", "back.toml",
    "absent.toml", [], [[]], {}, [1, 2], [0.5, 0.5], ["base.toml", "base.toml"], [[1.0], [2.0, 3.0]],
    [{"kind": "em"}] * 2, {"kind": "em"}, {"share": 0.0}, datetime.date(2026, 1, 1),
    ["x"] * 300, 10**9, [10**9] * 3, "pipe", "pipe.csv", "pipe.py", "/dev/zero", "wide.npy", "d0.toml", "large.toml",
    "config.yaml", "a\x00b", "~a\x00b", "~nobody/x.csv", "x" * 5000 + ".csv", "/proc/self/mem", "../../etc/passwd",
    ["d0.toml", "d1.toml"], list(range(1000)), "__import__('os').system('x')", "{{7*7}}", "!!python/object:os.system",
)  # fmt: skip
BYTES = (
    b"\xff", b"\x00", b"[", b"[[", b"]", b"{" * 2000, b"[" * 5000, b'"""', b"'", b"#", b"=", b"\r", b"\t",
    b"a.b.c = 1\n", b"9" * 5000, b"0x" + b"f" * 5000, b"a." * 3000 + b"a = 1\n", b"\n[a" + b".a" * 3000 + b"]\n",
    b"\xef\xbb\xbf", b'"\\U7fffffff"', b'"\\u0000"', b'extends = "/dev/zero"\n', b'extends = "pipe"\n',
    b'\n[model]\nfile = "pipe"\n', b'\n[data]\nsource = "/dev/zero"\n',
)  # fmt: skip
OVERRIDES = (
    "seed=1", "methods.em.n_init=0", "methods.em.n_init=3", "a.b", "sweep.grid.level=[0.1, 0.2]", "data=3", "=",
    "sweep=1", "x=" + "[" * 3000, "sweep.replicates=7", "seed=0x" + "f" * 5000, "a." * 3000 + "b=1",
    "x={" + "a." * 3000 + "a=1}", 'data.source="a\\u0000b"', "extends=d0.toml", "data.columns=[1.5]",
    "model.n_components=1e400", "output.dir=/dev/full",
)  # fmt: skip
JUNK = st.recursive(
    st.sampled_from([entry for entry in ODD if not isinstance(entry, list | dict)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=6,
)


def tables(tree: Any) -> Iterator[Any]:
    """Every table and list of a tree."""
    if isinstance(tree, dict | list):
        yield tree
        for child in tree.values() if isinstance(tree, dict) else tree:
            yield from tables(child)


def mutate(draw: Any, tree: dict[str, Any]) -> None:
    """Change one thing: drop, rename, copy, move, replace, wrap."""
    holder = draw(st.sampled_from([table for table in tables(tree) if table] or [tree]))
    if not holder:
        return
    key = draw(st.sampled_from(list(holder) if isinstance(holder, dict) else list(range(len(holder)))))
    action = draw(st.sampled_from(("replace", "replace", "drop", "rename", "add", "copy", "wrap", "swap")))
    value = holder[key]
    if action == "replace":
        holder[key] = copy.deepcopy(draw(st.sampled_from(ODD) | JUNK))
    elif action == "drop":
        del holder[key]
    elif action == "wrap":
        holder[key] = copy.deepcopy(draw(st.sampled_from(([value], {"a": value}, [value] * 3, str(value)))))
    elif isinstance(holder, list):
        holder.insert(0, copy.deepcopy(value))
    elif action in ("rename", "add", "copy"):
        new = draw(st.sampled_from(NAMES) | st.sampled_from([f"{key}s", key.upper(), key[:-1], key[::-1]]))
        holder[new] = copy.deepcopy(draw(st.sampled_from(ODD)) if action == "add" else value)
        if action == "rename":
            holder.pop(key)
    else:
        other = draw(st.sampled_from([table for table in tables(tree) if isinstance(table, dict)]))
        other[key] = copy.deepcopy(value)


def corrupt(draw: Any, text: bytes) -> bytes:
    """Change some bytes: cut off, cut out, insert, repeat a line, turn a line about."""
    for action in draw(st.lists(st.sampled_from(("cut", "out", "in", "repeat", "flip")), max_size=3)):
        at = draw(st.integers(0, len(text)))
        if action == "cut":
            text = text[:at]
        elif action == "out":
            text = text[:at] + text[at + draw(st.integers(1, 20)) :]
        elif action == "in":
            junk = st.sampled_from(BYTES) | st.binary(max_size=8)
            text = text[:at] + draw(junk) + text[at:]
        else:
            lines = text.split(b"\n")
            line = draw(st.integers(0, len(lines) - 1))
            lines[line : line + 1] = [lines[line]] * 2 if action == "repeat" else [lines[line][::-1]]
            text = b"\n".join(lines)
    return text


def written(tree: dict[str, Any]) -> bytes:
    return tomli_w.dumps(tree).encode()


@st.composite
def configs(draw: Any) -> tuple[bytes, list[str]]:
    """The content of a config, and overrides."""
    tree = copy.deepcopy(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.sampled_from((0, 1, 1, 1, 1, 2, 2, 3)))):
        mutate(draw, tree)
    text = written(tree)
    if draw(st.integers(0, 4)) == 0:
        text = corrupt(draw, text)
    overrides = [draw(st.sampled_from(OVERRIDES))] if draw(st.integers(0, 5)) == 0 else []
    return text, overrides


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        before = os.getcwd()
        os.chdir(name)
        for file, text in FILES.items():
            Path(file).write_text(text, encoding="utf-8")
        os.mkfifo("pipe")
        os.mkfifo("pipe.csv")
        os.mkfifo("pipe.py")
        Path("wide.npy").write_bytes(WIDE)
        yield Path(name)
        os.chdir(before)


def outcome(path: Path, overrides: list[str]) -> Plan | Task | str:
    """What becomes of a config: a plan, a run, or what is said against it."""
    try:
        study = read_study(path, overrides)
        return single_task(study) or make_plan(study)
    except (ConfigError, DataError) as error:
        return str(error)


def check(folder: Path, only_reading: Any, config: tuple[bytes, list[str]]) -> Plan | Task | str:
    text, overrides = config
    path = folder / "config.toml"
    path.write_bytes(text)
    # A large plan takes its time; what is refused is refused before any is made.
    with mock.patch.object(cells, "MOST_JOBS", 200), mock.patch.object(cells, "MOST_CELLS", 100), only_reading():
        result = outcome(path, overrides)
    if isinstance(result, str):
        assert result.isprintable()
        assert 0 < len(result) < 400
    elif isinstance(result, Plan):
        assert result.jobs
        assert len({job.key for job in result.jobs}) == len(result.jobs)
    event(type(result).__name__)
    return result


MUTATIONS = settings(
    derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False
)


@pytest.mark.parametrize("base", BASES)
def test_unchanged_they_are_plans(folder, base):
    (folder / "config.toml").write_bytes(written(base))
    assert not isinstance(outcome(folder / "config.toml", []), str)


@settings(MUTATIONS, max_examples=200)
@given(config=configs())
def test_a_mutated_config_is_a_plan_or_one_line(folder, only_reading, config):
    check(folder, only_reading, config)


@pytest.mark.slow
@settings(MUTATIONS, max_examples=5000)
@given(config=configs())
def test_five_thousand_mutated_configs_are_plans_or_one_line(folder, only_reading, config):
    check(folder, only_reading, config)
