"""The folder of a study.

::

    study.toml  study.json          what was declared, and its cells and jobs
    jobs/<key>/                     job.json, rows.parquet, posterior-<replicate>.nc: whole, or not there
    failed/<key>.json               jobs that failed, until they succeed
    locks/<key>.lock                held by who does the job; freed when it ends, however it ends
    index.json  rows.parquet        follow from jobs/ and may be deleted

Several processes, on one machine or on many that share a file system, may work in one folder; folders of several
machines are merged by copying ``jobs/*``.
"""

import dataclasses
import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from emjax import atomic, clock
from emjax.atomic import StorageError, storage
from emjax.errors import ConfigError, RunExistsError
from emjax.experiments.archive import declaration, records, rows
from emjax.experiments.archive.door import DamagedError, checked, looking, newer_note, read_json
from emjax.experiments.archive.records import INDEX, Entry, Index
from emjax.experiments.archive.shapes import Failure
from emjax.experiments.config.schema import Study
from emjax.experiments.plan.jobs import Job, Plan
from emjax.files import user_path
from emjax.jsonable import to_json
from emjax.wording import printable

_OURS = {"jobs", "failed", "locks", INDEX, records.ROWS}


@dataclasses.dataclass
class Draft:
    """A job's folder while it is written. Made by `Archive.writing`."""

    path: Path  # where the job's files go
    summary: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # what `run_job` has returned, for the record


class Archive:
    """The folder of a study: which of its jobs are done, and their rows. It need not exist before `begin`.

    Every method but `begin` may be called by any process at any time. Methods that write raise
    `emjax.atomic.StorageError`, a ConfigError, where the disk is full or cannot be written;
    what was finished before stays.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = user_path(path)
        self._jobs = self.path / "jobs"
        self._index = Index(self.path)

    def begin(self, study: Study, plan: Plan) -> set[str]:
        """Declare the study and return the keys of those jobs of ``plan`` that are finished already.

        A folder keeps one study. It may grow or shrink (cells, replicates, methods): its finished jobs stay, and count
        as far as the plan has them. What killed processes left half-written is removed.

        Raises RunExistsError where the folder holds anything else or finished jobs of another study, one that shares
        no seed, data and model with it.
        """
        self._refuse_others(plan)
        with storage(self.path):
            for name in ("", "jobs", "failed", "locks"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
        declaration.write_declaration(self.path, study, plan)
        self.sweep()
        return {job.key for job in plan.jobs} & set(self._index.save())

    def finished(self, keys: Iterable[str] | None = None, *, verify: bool = False) -> set[str]:
        """Those of ``keys`` (default: all that are there) whose folders are whole; ``verify`` reads every byte."""
        return set(self._index.entries(keys, verify=verify))

    def entries(self, keys: Iterable[str] | None = None, *, verify: bool = False) -> dict[str, Entry]:
        """As `finished`, with what is known of each job."""
        return self._index.entries(keys, verify=verify)

    def damaged(self, keys: Iterable[str]) -> list[str]:
        """Those of ``keys`` whose folders are there and are not whole, by every byte: a run does these jobs anew."""
        there = set(self._index.keys())
        wanted = [key for key in keys if key in there]
        return sorted(set(wanted) - self.finished(wanted, verify=True))

    def record(self, key: str) -> dict[str, Any] | None:
        """The content of a finished job's ``job.json``: ``spec``, ``files``, ``summary``, ``provenance``; else None."""
        return records.read_record(self._jobs / key) if self.finished([key]) else None

    @contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Hold the lock of a job during the block; yields False where another runner holds it.

        Whoever gets it looks with `finished` whether the job was done in the meantime.
        """
        import filelock

        path = self.path / "locks" / f"{key}.lock"
        lock = filelock.FileLock(path, fallback_to_soft=False)
        with storage(self.path):
            path.parent.mkdir(exist_ok=True)
            with suppress(filelock.Timeout):
                lock.acquire(blocking=False)
        if not lock.is_locked:
            yield False
            return
        try:
            with suppress(OSError):  # only for people to read
                holder = {"machine": platform.node(), "process": os.getpid(), "since": clock.now().text}
                path.write_text(json.dumps(holder), encoding="utf-8")
            yield True
        finally:
            # While it is held: who has it open already sees that its name is gone, and opens it anew.
            atomic.remove(path)
            lock.release()

    def holder(self, key: str) -> str | None:
        """Who holds the lock of a job, as `claim` wrote it down: its machine, process and time; None if unknown."""
        try:
            found = read_json(self.path / "locks" / f"{key}.lock")
            since = datetime.fromisoformat(found["since"]).astimezone()
            return f"process {int(found['process'])} on {printable(found['machine'])[:64]} since {since:%H:%M:%S}"
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return None

    @contextmanager
    def writing(self, key: str, spec: Mapping[str, Any]) -> Iterator[Draft]:
        """Yield a `Draft` to write a job's files to; at the end of the block they become the job's folder, whole.

        To be called with the job's lock held (`claim`). If somebody else has finished the job meanwhile, theirs stays.
        Where the block raises, nothing is left. Raises StorageError where the disk is full, in the block too.
        """
        started = clock.now()
        target = self._jobs / key

        def elsewhere(path: Path) -> Path | None:
            if records.read_entry(path, verify=True) is not None:
                return None
            atomic.set_aside(path)
            return path

        with storage(self._jobs):
            self._jobs.mkdir(exist_ok=True)
        with atomic.drafted(target) as partial:
            draft = Draft(partial)
            yield draft
            with storage(self._jobs):
                records.write_record(partial, key, spec, draft.summary, started)
                atomic.sync_tree(partial)
                atomic.publish(partial, target, elsewhere)
                atomic.sync(self._jobs)
                (self.path / "failed" / f"{key}.json").unlink(missing_ok=True)

    def record_failure(self, job: Job, error: str, attempts: int, *, traceback: str = "") -> None:
        """Write down that a job failed for good: why, in one line, and after how many attempts."""
        document: dict[str, Any] = {"key": job.key, "spec": job.spec, "error": printable(error), "traceback": traceback}
        document |= {"attempts": attempts, "when": clock.now().text}
        folder = self.path / "failed"
        with storage(folder):
            folder.mkdir(exist_ok=True)
        atomic.write_atomically(folder / f"{job.key}.json", to_json(document) + "\n")

    def failures(self) -> dict[str, dict[str, Any]]:
        """The failed jobs by key: ``spec``, ``error``, ``traceback``, ``attempts``, ``when``; not those done since."""
        found = {}
        with looking(self.path / "failed"):
            paths = sorted((self.path / "failed").glob("*.json"))
        for path in paths:
            with suppress(DamagedError):  # torn by a kill: the job simply counts as not done
                document = checked(read_json(path), Failure, path)
                if document["key"] == path.stem:
                    found[path.stem] = document
        done = self.finished(found)
        return {key: document for key, document in found.items() if key not in done}

    def collect(self) -> Path:
        """Write ``rows.parquet`` of all finished jobs of the study, and ``index.json``; return the former's path."""
        joined = rows.write_rows(self.path, self.declaration(), self.entries())
        self._index.save(joined)
        return self.path / records.ROWS

    def rows(self) -> Any:
        """All rows of the study's finished jobs as a pandas DataFrame, a column per swept key (see `collect`)."""
        declared = self.declaration()
        entries = self.entries(job["key"] for job in declared["jobs"])
        return rows.read_rows(self.path, declared, entries, self._index.joined).to_pandas()

    def declaration(self) -> dict[str, Any]:
        """The content of ``study.json``. Raises ConfigError where the folder is no study's."""
        return declaration.require_declaration(self.path)

    def study(self) -> Study:
        """The study of ``study.toml``. Raises ConfigError."""
        return declaration.read_back(self.path)

    def known_jobs(self) -> list[Mapping[str, Any]]:
        """The jobs that the folder declares, for `make_plan` to leave as they are; none where it declares none."""
        declared = None
        with suppress(ConfigError):  # `begin` says what is wrong with it
            declared = declaration.read_declaration(self.path)
        return [] if declared is None else declared["jobs"]

    def newer(self, keys: Iterable[str] = ()) -> str | None:
        """A sentence where a newer emjax wrote the folder, or the folders of those jobs; else None."""
        declared = declaration.read_declaration(self.path)
        note = newer_note(self.path / declaration.JSON, declared, declaration.FORMAT)
        notes = (records.newer_record(self._jobs / key) for key in sorted({*self._index.keys()} & {*keys}))
        return note or next(filter(None, notes), None)

    def sweep(self) -> None:
        """Remove what killed processes left half-written; what a live runner writes has its job's lock held."""
        with storage(self.path):
            # File systems that machines share lock files where they cannot lock folders.
            for path in self._jobs.iterdir():
                if (key := atomic.owner_of(path)) is not None:
                    with self.claim(key) as free:
                        if free:
                            atomic.remove(path)
            for folder in (self.path, self.path / "failed"):
                atomic.sweep(folder)

    def _refuse_others(self, plan: Plan) -> None:
        shown = printable(self.path)
        if self.path.exists() and not self.path.is_dir():
            raise RunExistsError(f"{shown}: is a file; choose another folder with --out")
        if not self.path.is_dir():
            return
        for name in ("jobs", "failed", "locks"):
            if (self.path / name).is_symlink():
                raise ConfigError(
                    f"{printable(self.path / name)}: is a link, and links are not followed for writing; put a folder "
                    "there, or choose another one with --out"
                )
        newer = self.newer({job.key for job in plan.jobs} - self.finished())
        if newer is not None:
            raise ConfigError(f"{newer}, or choose another folder with --out: nothing was touched")
        declared = declaration.read_declaration(self.path)
        if declared is None:
            # Jobs alone may be those of another machine, copied before the study was first run here.
            others = [path.name for path in self.path.iterdir() if path.name[0] != "." and path.name not in _OURS]
            if others and declaration.TOML not in others:
                raise RunExistsError(
                    f"{shown}: holds {printable(sorted(others)[0])!r} and no study, and was not touched; choose "
                    "another folder with --out"
                )
            return
        if declaration.is_another_study(declared, plan) and self.finished():
            raise RunExistsError(
                f"{shown}: holds finished jobs of another study (no seed, data and model in common) and was not "
                "touched; choose another folder with --out, or delete this one"
            )


__all__ = ["Archive", "Draft", "StorageError"]
