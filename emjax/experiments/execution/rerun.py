"""Does a finished run give the same numbers again? Jobs of a study, or a single run, computed anew and compared.

Nothing is written but to a temporary folder. Computing runs the model file that a run names, if it names one;
`intend` checks everything up to there, and runs nothing.
"""

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from emjax.errors import ConfigError
from emjax.experiments.archive.differences import (
    NumberComparison,
    comparable_rows,
    compare_numbers,
    differing,
    job_versions,
)
from emjax.experiments.archive.door import is_file
from emjax.experiments.archive.folder import Archive
from emjax.experiments.archive.rows import in_order, read_job_rows
from emjax.experiments.archive.single import CONFIG, SingleRun, open_single_run
from emjax.experiments.config.overrides import Declared
from emjax.experiments.config.parts import declared_part, python_files_of
from emjax.experiments.config.paths import is_path
from emjax.experiments.config.refusals import refusal
from emjax.experiments.config.schema import Study
from emjax.experiments.execution.worker import do_job
from emjax.experiments.plan.cells import checked_study
from emjax.files import user_path
from emjax.shown import Shown
from emjax.wording import printable

if TYPE_CHECKING:
    from emjax.experiments.results import StudyResult


@dataclasses.dataclass(frozen=True, repr=False)
class Intention(Shown):
    """What a repetition would compute."""

    task: str  # ``compare``, ``fit``, ``sample``, or ``study``
    data: tuple[str, ...]  # the bundled names and the files that it would read; empty for simulated data
    model_files: tuple[str, ...]  # the Python files that it would run
    jobs: tuple[str, ...] = ()  # the keys of the jobs of a study


@dataclasses.dataclass(frozen=True, repr=False)
class Repetition(Shown):
    """What a repetition came to."""

    numbers: NumberComparison  # the stored ones first
    versions: dict[str, tuple[Any, Any]]  # those that changed since, as pairs of then and now
    devices: dict[str, tuple[Any, Any]]  # then and now where they differ
    jobs: tuple[str, ...] = ()  # the keys of the jobs of a study that were computed anew
    errors: Mapping[str, str] = dataclasses.field(default_factory=dict)  # of those that failed now, by key

    @property
    def same(self) -> bool:
        """Whether every number was found again, to rounding at least."""
        lacking = self.numbers.n_only_first or self.numbers.n_only_second
        return self.numbers.same and not lacking and not self.errors


def intend(run: "SingleRun | StudyResult", *, jobs: Sequence[str] = (), sample: int | None = None) -> Intention:
    """What `repeat` would do with the same arguments. Raises ConfigError where it would refuse."""
    if isinstance(run, SingleRun) and (sample is not None or jobs):
        raise ConfigError("--sample and --job are for studies, and this is a single run: leave them out")
    if run.newer is not None:
        raise ConfigError(run.newer)
    task, keys, declared = "study", [], []  # type: str, list[str], list[Any]
    if isinstance(run, SingleRun):
        task, declared = run.task, [_single_study(run)]
    else:
        keys = _chosen(run, jobs, sample)
        declared = [_study_of(record_of(run.archive, key)["spec"], run.folder / "jobs" / key) for key in keys]
    data = dict.fromkeys(entry.data.source for entry in declared if entry.data.kind == "source")
    models = dict.fromkeys(file for entry in declared for file in python_files_of(entry))
    for source in (*models, *filter(is_path, data)):
        if not is_file(user_path(source)):
            raise ConfigError(f"{printable(run.folder)}: needs the file {printable(source)}, which is not there")
    return Intention(task, tuple(data), tuple(models), tuple(keys))


def repeat(
    run: "SingleRun | StudyResult",
    *,
    jobs: Sequence[str] = (),
    sample: int | None = None,
    cache: bool = True,
    on_job: Callable[[int, int], None] = lambda done, total: None,
) -> Repetition:
    """Compute a single run anew from its ``config.toml``, finished jobs of a study from the spec in their ``job.json``.

    Parameters
    ----------
    run
        What `emjax.open_run` has opened.
    jobs
        Keys, or beginnings of keys, of a study's jobs to repeat; default: all that are finished.
    sample
        Repeat at most so many of them, spread evenly over the sweep.
    cache
        Whether the workers of a study keep compiled programs between processes.
    on_job
        Called with (jobs done, jobs in all).

    Raises
    ------
    ConfigError
        No finished job is called so, or none is finished, or what is to be computed is wrong, or data are gone.
    """
    keys = intend(run, jobs=jobs, sample=sample).jobs
    with tempfile.TemporaryDirectory(prefix="emjax-rerun-") as folder:
        if isinstance(run, SingleRun):
            return _repeat_single(run, Path(folder) / "run")
        return _repeat_jobs(run, keys, folder, cache, on_job)


def _repeat_single(run: SingleRun, target: Path) -> Repetition:
    from emjax.experiments.execution import single

    single.run(_single_study(run).written_to(target))
    again = open_single_run(target)
    return Repetition(
        numbers=compare_numbers(run.numbers(), again.numbers()),
        versions=differing(run.versions(), again.versions()),
        devices=differing(_devices([run.environment]), _devices([again.environment])),
    )


def _repeat_jobs(
    result: "StudyResult", keys: tuple[str, ...], folder: str, cache: bool, on_job: Callable[[int, int], None]
) -> Repetition:
    records, again = {key: record_of(result.archive, key) for key in keys}, Archive(folder)
    errors: dict[str, str] = {}
    for done, (key, record) in enumerate(records.items()):
        on_job(done, len(keys))
        ended = do_job(folder, record["spec"], None, cache=cache)
        if ended["state"] != "done":
            errors[key] = ended.get("error", ended["state"])
    repeated = [key for key in keys if key not in errors]
    if not repeated:
        key, error = next(iter(errors.items()))
        raise ConfigError(f"{printable(result.folder)}: no job could be repeated; {key}: {printable(error)}")
    before, after = (
        comparable_rows(read_job_rows(archive.path, archive.entries(repeated)).to_pandas())
        for archive in (result.archive, again)
    )
    stored, fresh = [records[key] for key in repeated], [record_of(again, key) for key in repeated]
    then, now = ([record["provenance"] for record in found] for found in (stored, fresh))
    return Repetition(
        numbers=compare_numbers(before, after),
        versions=differing(job_versions(stored), job_versions(fresh)),
        devices=differing(_devices(then), _devices(now)),
        jobs=keys,
        errors=errors,
    )


def _single_study(run: SingleRun) -> Study:
    return checked_study(Declared(dict(run.settings), str(run.folder / CONFIG)))


def record_of(archive: Archive, key: str) -> Mapping[str, Any]:
    """The record of a finished job. Raises ConfigError where it is gone."""
    record = archive.record(key)
    if record is None:  # it was there a moment ago
        raise ConfigError(f"{printable(archive.path / 'jobs' / key)}: is gone or damaged; run the study again")
    return record


def _study_of(spec: Mapping[str, Any], folder: Path) -> Study:
    """The study of one job alone, for the checks that a config passes through."""
    model = spec["model"]
    if "file" in model:  # the spec has what was built too
        model = {name: model[name] for name in ("file", "arguments", "prior") if name in model}
    if "program" in model:
        model = {name: value for name, value in model.items() if name not in ("sha256", "family")}
    data = declared_part(spec["data"])
    data.pop("model", None)  # what a truth is drawn from
    if data.get("kind") == "program":
        data.pop("program")
    if data.get("kind") == "generator":
        data["generator"] = data.pop("file", None) or data.pop("entry_point", None)
    tree = {"seed": spec["seed"], "level": spec["level"], "data": data, "model": model}
    tree["levels"] = spec.get("levels", [])
    tree["methods"] = [declared_part(spec["method"])]
    tree["measures"] = [declared_part(measure) for measure in spec.get("measures", [])]
    try:
        return Study.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(refusal(error, Study).message(printable(folder / "job.json"))) from None


def _chosen(result: "StudyResult", wanted: Sequence[str], sample: int | None) -> list[str]:
    finished = in_order(result.declaration, result.archive.entries(result.finished))
    if not finished:
        raise ConfigError(f"{printable(result.folder)}: no job is finished, so there is nothing to repeat")
    for text in wanted:
        if not any(key.startswith(text) for key in finished):
            raise ConfigError(
                f"{printable(result.folder)}: no finished job is called {printable(text)!r}; the folders under "
                f"{printable(result.folder / 'jobs')} are their names"
            )
    keys = [key for key in finished if key.startswith(tuple(wanted))] if wanted else finished
    if sample is None or sample >= len(keys):
        return keys
    # The middle of each of `sample` equal stretches.
    return [keys[(2 * place + 1) * len(keys) // (2 * sample)] for place in range(sample)]


def _devices(provenance: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    each = [[f"{device['platform']} {device['kind']}" for device in one["devices"]] for one in provenance]
    return {"devices": ", ".join(dict.fromkeys(", ".join(kinds) for kinds in each if kinds)) or None}
