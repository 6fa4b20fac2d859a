"""Damaged and hostile folders through every command that looks at one: it answers, or says why not in one line.

The folders are copies of ``tests/reference/folders`` with one to three things wrong. Around each lie files that must
stay as they are: a Python file that would leave a mark if it were run, and targets of links.
"""

import dataclasses
import json
import os
import re
import shutil
import signal
import tempfile
import time
import tomllib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow
import pyarrow.parquet as parquet
import pytest
import tomli_w
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from emjax.cli.app import app
from emjax.experiments.archive.records import listed
from emjax.experiments.plan.jobs import job_key

FOLDERS = Path(__file__).resolve().parents[2] / "reference" / "folders"
KINDS = ("fit", "sample", "compare", "study", "study", "study")
PATIENCE = 100.0
"""Seconds that no command takes, however busy the machine is; one that waits for a pipe takes for ever."""

spent: dict[str, float] = {}
"""The most seconds of the processor that each command has taken."""

PAGES = ("report.html", "cells", "figures", "tables")
"""What ``report`` writes into the folder of a study."""

ODD = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]")
EVIL = "import pathlib\npathlib.Path(__file__).with_name('executed').touch()\n"
ESCAPES = "\x1b]0;gone\x07\x1b[2J\x9b31m\r\u202e"
WithoutDrawing = Callable[[], AbstractContextManager[None]]
Draw = Callable[[st.SearchStrategy], Any]


@dataclasses.dataclass
class Place:
    """A folder with the damaged run, and what lies around it."""

    root: Path

    @property
    def run(self) -> Path:
        return self.root / "runs" / "it"

    @property
    def outside(self) -> Path:
        return self.root / "outside"

    def values(self) -> list[Any]:
        """What may stand where something else should."""
        paths = ["../../outside/made", str(self.outside / "made"), "..", "/", str(self.outside / "evil.py"), "a\0b"]
        texts = ["", "x", ESCAPES, "=1+2", "\ud800", "x" * 3000, *paths]
        numbers = [True, 0, -1, 0.5, 2**62, 10**30, 1e308, -1e308, 5e-324, float("nan"), float("inf")]
        deep: Any = 1
        for _ in range(80):
            deep = [deep]
        return [None, *numbers, *texts, [], {}, [1], {"a": {"b": 1}}, [[]], deep, ["x"] * 50]


# -- what goes wrong


def nodes(value: Any, place: tuple = ()) -> Iterator[tuple]:
    """The way to every value of a document."""
    if place:
        yield place
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from nodes(entry, (*place, key))


def changed(draw: Draw, document: Any, place: Place) -> Any:
    """A document with a value replaced, left out, doubled or added."""
    ways = list(nodes(document))
    # As often near the top as deep below, where most values are and few are read.
    depth = draw(st.sampled_from(sorted({len(way) for way in ways})))
    way = draw(st.sampled_from([way for way in ways if len(way) == depth]))
    holder = document
    for key in way[:-1]:
        holder = holder[key]
    what = draw(st.integers(0, 5))
    if what == 0:
        del holder[way[-1]]
    elif what == 1 and isinstance(holder, list):
        holder.append(holder[way[-1]])
    elif what == 1:
        holder[draw(st.sampled_from(["surprise", "format", "../x", ESCAPES]))] = draw(st.sampled_from(place.values()))
    else:
        holder[way[-1]] = draw(st.sampled_from(place.values()))
    return document


def document_changed(draw: Draw, path: Path, place: Place) -> None:
    if path.suffix == ".json":
        document = changed(draw, json.loads(path.read_text()), place)
        path.write_text(json.dumps(document))
    elif path.suffix == ".toml":
        document = changed(draw, tomllib.loads(path.read_text()), place)
        try:
            path.write_text(tomli_w.dumps(document))
        except (TypeError, ValueError, RecursionError):  # what TOML cannot say
            path.write_text(path.read_text() + '\nsurprise = "\\u001b[2J"\n')
    else:
        bytes_changed(draw, path, place)


def bytes_changed(draw: Draw, path: Path, place: Place) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(draw(st.integers(1, 8))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    path.write_bytes(content)


def truncated(draw: Draw, path: Path, place: Place) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: draw(st.integers(0, len(content) - 1))])


def replaced(draw: Draw, path: Path, place: Place) -> None:
    """Something else in place of the file."""
    content = {
        "empty": b"",
        "binary": bytes(range(256)) * 4,
        "no UTF-8": b'{"a": "\xff\xfe"}',
        "deep": b"[" * 200_000,
        "huge number": b'{"format": ' + b"9" * 5000 + b"}",
        "a list": b"[1, 2]",
        "null": b"null",
        "infinite": b'{"format": 1e999, "x": NaN}',
        "newer": b'{"format": 2}',
        "keys without end": b"a" + b".a" * 50_000 + b" = 1",
    }
    what = draw(st.sampled_from([*content, "missing", "folder", "pipe", "dangling", "loop", "link", "device"]))
    path.unlink()
    if what in content:
        path.write_bytes(content[what])
    elif what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what != "missing":
        targets = {"dangling": place.outside / "made", "loop": path, "device": Path("/dev/zero")}
        path.symlink_to(targets.get(what, place.outside / "sentinel"))


def planted(draw: Draw, path: Path, place: Place) -> None:
    """A link where a page or a file of the archive would be written, or something that nobody expects."""
    names = [*PAGES, "report.html", "cells", "failed", "locks", "index.json", "notes", "jobs"]
    target = place.run / draw(st.sampled_from(names))
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
    to = draw(st.sampled_from(["sentinel", "folder", "made", "evil.py"]))
    target.symlink_to(place.outside / to)


def newer(draw: Draw, path: Path, place: Place) -> None:
    """A newer format, with a key that is new."""
    for name in ("environment.json", "study.json"):
        if (place.run / name).is_file():
            document = json.loads((place.run / name).read_text())
            document |= {"format": 2, "novelty": {"x": 1}}
            (place.run / name).write_text(json.dumps(document))


def model_file(draw: Draw, path: Path, place: Place) -> None:
    """The run names a Python file as its model."""
    model = {"file": str(place.outside / "evil.py"), "arguments": {}}
    for name in ("config.toml", "study.toml"):
        if (place.run / name).is_file():
            tree = tomllib.loads((place.run / name).read_text())
            tree["model"] = model
            (place.run / name).write_text(tomli_w.dumps(tree))
    if (place.run / "environment.json").is_file():
        environment = json.loads((place.run / "environment.json").read_text())
        environment.pop("model", None)
        (place.run / "environment.json").write_text(json.dumps(environment))
    for record in records_in(place.run):
        rekeyed(record, lambda spec: spec.update(model={**model, "sha256": "0" * 64, "family": "normal"}))


def spec_changed(draw: Draw, path: Path, place: Place) -> None:
    """A job whose spec is odd and whose key is right, as somebody who knows how would write it."""
    records = records_in(place.run)
    if records:
        rekeyed(draw(st.sampled_from(records)), lambda spec: changed(draw, spec, place))


def records_in(run: Path) -> list[Path]:
    """The records of jobs that can still be changed: an earlier mutation may have left a pipe."""
    found = sorted((run / "jobs").glob("*/job.json"))
    return [path for path in found if path.is_file() and path.with_name("rows.parquet").is_file()]


def rekeyed(record: Path, change: Callable[[dict], Any]) -> None:
    document = json.loads(record.read_text())
    change(document["spec"])
    try:
        key = job_key(document["spec"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return
    old, document["key"] = document["key"], key
    record.write_text(json.dumps(document))
    record.parent.rename(record.parent.with_name(key))
    declaration = record.parents[2] / "study.json"
    if declaration.is_file():
        declaration.write_text(declaration.read_text().replace(old, key))


def rows_changed(draw: Draw, path: Path, place: Place) -> None:
    """Rows that are odd, of the size and hash that the record lists."""
    records = records_in(place.run)
    if not records:
        return
    record = draw(st.sampled_from(records))
    rows = record.with_name("rows.parquet")
    table = parquet.read_table(rows)
    name = draw(st.sampled_from(table.column_names))
    place_of = table.column_names.index(name)
    texts = [
        ESCAPES,
        "",
        "=1+2",
        "../x",
        "estimate",
        "verdict",
        "trusted",
        "covered",
        "run_seconds",
        "$\\frac$",
        "x" * 500,
    ]
    numbers = [float("nan"), float("inf"), -float("inf"), 1e308, -1e308, 5e-324, 0.0, -1.0]
    whole = [0, -1, 2**31 - 1]
    values = table[name].to_pylist()
    odd = {"value": numbers, "replicate": whole}.get(name, texts)
    some = draw(st.booleans())
    for row in range(len(values)):
        if not some or draw(st.integers(0, 3)) == 0:
            values[row] = draw(st.sampled_from(odd))
    what = draw(st.integers(0, 9))
    if what == 0:
        table = table.drop_columns([name])
    elif what == 1:
        table = table.set_column(place_of, name, pyarrow.array([None] * len(values), table.schema.field(name).type))
    elif what == 2:
        table = table.set_column(place_of, name, pyarrow.array(list(map(str, values)), pyarrow.string()))
    elif what == 3:
        table = pyarrow.concat_tables([table, table])
    elif what == 4:
        table = table.slice(0, 0)
    else:
        table = table.set_column(place_of, name, pyarrow.array(values, table.schema.field(name).type))
    parquet.write_table(table, rows)
    document = json.loads(record.read_text())
    document["files"] = {"rows.parquet": listed(rows)}
    record.write_text(json.dumps(document))
    (place.run / "rows.parquet").unlink(missing_ok=True)


MUTATIONS = {
    "document": document_changed,
    "bytes": bytes_changed,
    "truncated": truncated,
    "replaced": replaced,
    "planted": planted,
    "newer": newer,
    "model file": model_file,
    "spec": spec_changed,
    "rows": rows_changed,
}
WEIGHTED = [*["document"] * 5, "replaced", "replaced", *MUTATIONS]


@st.composite
def damages(draw: Draw) -> Callable[[Place], tuple[str, list[str]]]:
    """What damages a folder, once there is one: a function that copies and mutates it, and says how."""
    kind = draw(st.sampled_from(KINDS))
    names = draw(st.lists(st.sampled_from(WEIGHTED), min_size=1, max_size=3))
    decisions = draw(st.data())

    def damage(place: Place) -> tuple[str, list[str]]:
        shutil.copytree(FOLDERS / kind, place.run)
        for name in names:
            files = sorted(path for path in place.run.rglob("*") if path.is_file() and path.stat().st_size)
            files = [path for path in files if path.suffix in (".json", ".toml", ".parquet") and not path.is_symlink()]
            if files:
                # The root of a study has few files, and most of what is read.
                roots = [path for path in files if path.parent == place.run]
                file = decisions.draw(st.sampled_from(roots * 3 + files))
                try:
                    MUTATIONS[name](decisions.draw, file, place)
                except (
                    LookupError,
                    TypeError,
                    ValueError,
                    AttributeError,
                    RecursionError,
                    OSError,
                    pyarrow.ArrowException,
                ):
                    continue  # what an earlier mutation has left cannot be mutated so
        return kind, names

    return damage


# -- what must hold


def contents(folder: Path, without: Path | None = None) -> dict[str, Any]:
    """All that lies in a folder, links unfollowed; without the pages of ``without``."""
    found: dict[str, Any] = {}
    for name, folders, files in os.walk(folder):
        for entry in (*folders, *files):
            path = Path(name) / entry
            if without is not None and any(path.is_relative_to(without / page) for page in PAGES):
                continue
            if path.is_symlink():
                found[str(path)] = os.readlink(path)
            elif path.is_file():
                found[str(path)] = path.read_bytes()
            else:
                found[str(path)] = path.stat().st_mode
    return found


def stop(number: int, frame: FrameType | None) -> None:
    pytest.fail(f"took more than {PATIENCE:g} s")


def invoke(*arguments: object) -> tuple[int, str, str]:
    """A command, which has to end in time."""
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    begun = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numbers that are too large to be added up
            result = CliRunner().invoke(app, list(map(str, arguments)), prog_name="emjax", catch_exceptions=False)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    spent[str(arguments[0])] = max(spent.get(str(arguments[0]), 0.0), time.process_time() - begun)
    return result.exit_code, result.stdout, result.stderr


def holds(arguments: tuple[object, ...], codes: tuple[int, ...] = (0, 2)) -> int:
    """Check what a command says; return its exit code."""
    code, out, err = invoke(*arguments)
    assert code in codes, (arguments, err)
    assert not ODD.search(out), arguments
    assert not ODD.search(err), arguments
    lines = err.splitlines()
    assert all(line.startswith("emjax: ") for line in lines), (arguments, err)
    errors = [line for line in lines if line.startswith("emjax: error: ")]
    assert len(errors) == (code == 2), (arguments, err)
    assert all(len(line) < 1000 for line in lines), (arguments, err)
    return code


def check(
    root: Path,
    without_drawing: WithoutDrawing,
    damage: Callable[[Place], tuple[str, list[str]]],
    *,
    drawn: bool = False,
    pages: bool = True,
) -> tuple[str, list[str], int]:
    """Damage a folder, look at it by every command, and see that nothing around it has changed.

    The pages of a study take a second, and its figures some more: ``pages`` and ``drawn`` ask for them.
    """
    place = Place(root)
    for name in ("runs", "outside"):
        shutil.rmtree(root / name, ignore_errors=True)
    (place.outside / "folder").mkdir(parents=True)
    (place.outside / "sentinel").write_text("keep")
    (place.outside / "evil.py").write_text(EVIL)
    place.run.parent.mkdir()
    kind, names = damage(place)
    whole = root / "whole" / kind
    without = place.run if kind == "study" else None
    before = contents(root, without)
    codes = [
        holds(("show", place.run)),
        holds(("show", place.run, "--json")),
        holds(("ls", place.run.parent), (0,)),
        holds(("ls", place.run.parent, "--json"), (0,)),
        holds(("diff", place.run, whole), (0, 2, 3)),
        holds(("rerun", place.run, "--dry-run")),
    ]
    if drawn:
        codes.append(holds(("report", place.run)))
    elif pages or kind != "study":
        with without_drawing():
            codes.append(holds(("report", place.run, "--no-figures")))
    assert contents(root, without) == before, (kind, names)
    return kind, names, codes.count(2)


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_COLOR", "1")
        patch.setenv("COLUMNS", "80")
        patch.delenv("FORCE_COLOR", raising=False)
        folder = Path(name)
        for kind in set(KINDS):
            shutil.copytree(FOLDERS / kind, folder / "whole" / kind)
        yield folder


LOOKED = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,),  # a step of shrinking would take a second
)


@pytest.mark.parametrize("kind", sorted(set(KINDS)))
def test_whole_folders_are_shown(root, without_drawing, kind):
    def copied(place: Place) -> tuple[str, list[str]]:
        shutil.copytree(FOLDERS / kind, place.run)
        return kind, []

    # Only `compare` and studies have a page.
    assert check(root, without_drawing, copied)[2] == (kind in ("fit", "sample"))
    assert holds(("diff", root / "whole" / kind, root / "runs" / "it")) == 0


@settings(LOOKED, max_examples=8)
@given(damage=damages(), among=st.integers(0, 9))
def test_a_damaged_folder_is_shown_or_refused_in_one_line(root, without_drawing, damage, among):
    check(root, without_drawing, damage, pages=among == 0)


@pytest.fixture(scope="module")
def tally() -> Iterator[Counter[tuple[str, str]]]:
    """How many folders of each class were tried, and of how many a command said that it cannot go on."""
    counts: Counter[tuple[str, str]] = Counter()
    yield counts
    for name in sorted({name for name, _ in counts}):
        print(f"{name:12} {counts[name, 'tried']:5} tried {counts[name, 'refused']:5} refused")
    print("most seconds of the processor:", {name: round(seconds, 1) for name, seconds in spent.items()})


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_a_thousand_damaged_folders_are_shown_or_refused_in_one_line(root, without_drawing, tally, part):
    @seed(part)
    @settings(LOOKED, max_examples=50)
    @given(damage=damages())
    def run(damage: Callable[[Place], tuple[str, list[str]]]) -> None:
        done = tally["all", "tried"]
        drawn, pages = done % 20 == 0, done % 3 == 0
        kind, names, n_refused = check(root, without_drawing, damage, drawn=drawn, pages=pages)
        for name in {"all", kind, *names}:
            tally[name, "tried"] += 1
            tally[name, "refused"] += n_refused > 0

    run()
