"""Does a finished run give the same numbers again? Jobs of a study, or a single run, computed anew and compared.

Nothing is written but to a temporary folder. Computing runs the model file that a run names, if it names one;
`intend_single` and `intend_study` check everything up to there, and run nothing.
"""

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emjax.errors import ConfigError
from emjax.experiments.archive.differences import (
    NumberComparison,
    comparable_rows,
    compare_numbers,
    differing,
    job_versions,
    numbers_of,
    versions_of,
)
from emjax.experiments.archive.door import is_file
from emjax.experiments.archive.single import CONFIG, SingleRun, open_single_run
from emjax.files import user_path
from emjax.shown import Shown
from emjax.wording import printable

if TYPE_CHECKING:
    from emjax.experiments.config.schema import Study
    from emjax.experiments.config.single import Config
    from emjax.experiments.results import StudyResult

OnJob = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True, repr=False)
class Repetition(Shown):
    """What a repetition came to.

    Attributes
    ----------
    numbers
        How the numbers compare, the stored ones first.
    versions
        The versions that changed since, as pairs of then and now.
    devices
        The devices then and now where they differ, else empty.
    jobs
        The keys of the jobs of a study that were computed anew.
    errors
        Of those that failed now, by key.
    timed
        The methods whose budget is in seconds: their numbers may differ from run to run.
    """

    numbers: NumberComparison
    versions: dict[str, tuple[Any, Any]]
    devices: dict[str, tuple[Any, Any]]
    jobs: tuple[str, ...] = ()
    errors: Mapping[str, str] = dataclasses.field(default_factory=dict)
    timed: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether every number was found again, to rounding at least."""
        lacking = self.numbers.n_only_first or self.numbers.n_only_second
        return self.numbers.same and not lacking and not self.errors


@dataclasses.dataclass(frozen=True, repr=False)
class Intention(Shown):
    """What a repetition would compute.

    Attributes
    ----------
    task
        ``compare``, ``fit``, ``sample``, or ``study``.
    data
        The bundled names and the files that it would read; empty for simulated data.
    model_files
        The Python files that it would run.
    jobs
        The keys of the jobs of a study.
    """

    task: str
    data: tuple[str, ...]
    model_files: tuple[str, ...]
    jobs: tuple[str, ...] = ()


def intend_single(run: SingleRun) -> Intention:
    """What `repeat_single` would do. Raises ConfigError where it would refuse."""
    return _intention(run.task, [_config(run)], run.folder)


def intend_study(result: "StudyResult", *, jobs: Sequence[str] = (), sample: int | None = None) -> Intention:
    """What `repeat_study` would do with the same arguments. Raises ConfigError where it would refuse."""
    if result.newer is not None:
        raise ConfigError(result.newer)
    keys = _chosen(result, jobs, sample)
    studies = [_study_of(_spec(result, key), result.folder / "jobs" / key) for key in keys]
    return _intention("study", studies, result.folder, tuple(keys))


def _config(run: SingleRun) -> "Config":
    from emjax.experiments.config.settings import build_config

    if run.newer is not None:
        raise ConfigError(run.newer)
    return build_config(run.settings, place=str(run.folder / CONFIG))


def _spec(result: "StudyResult", key: str) -> Mapping[str, Any]:
    record = result.archive.record(key)
    if record is None:  # it was there a moment ago
        raise ConfigError(f"{printable(result.folder / 'jobs' / key)}: is gone or damaged; run the study again")
    return record["spec"]


def _study_of(spec: Mapping[str, Any], folder: Path) -> "Study":
    """The study of one job alone, for the checks that a config passes through."""
    from pydantic import ValidationError

    from emjax.experiments.config.parts import declared_part
    from emjax.experiments.config.refusals import refusal
    from emjax.experiments.config.schema import Study

    model = spec["model"]
    if "file" in model:  # the spec has what was built too
        model = {name: model[name] for name in ("file", "arguments", "prior") if name in model}
    data = declared_part(spec["data"])
    if data.get("kind") == "generator":
        data["generator"] = data.pop("file", None) or data.pop("entry_point", None)
    tree = {"seed": spec["seed"], "level": spec["level"], "data": data, "model": model}
    tree["methods"] = [declared_part(spec["method"])]
    tree["measures"] = [declared_part(measure) for measure in spec.get("measures", [])]
    try:
        return Study.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(refusal(error, Study).message(printable(folder / "job.json"))) from None


def _intention(task: str, declared: Sequence[Any], folder: Path, jobs: tuple[str, ...] = ()) -> Intention:
    """The files that configs or studies name, which have to be there."""
    from emjax.experiments.config.parts import python_files_of
    from emjax.experiments.config.single import is_path

    data = dict.fromkeys(entry.data.source for entry in declared if entry.data.kind == "source")
    models = dict.fromkeys(file for entry in declared for file in python_files_of(entry))
    for source in (*models, *filter(is_path, data)):
        if not is_file(user_path(source)):
            raise ConfigError(f"{printable(folder)}: needs the file {printable(source)}, which is not there")
    return Intention(task, tuple(data), tuple(models), jobs)


def repeat_study(
    result: "StudyResult",
    *,
    jobs: Sequence[str] = (),
    sample: int | None = None,
    cache: bool = True,
    on_job: OnJob | None = None,
) -> Repetition:
    """Compute finished jobs of a study anew, from the spec in their ``job.json``.

    Parameters
    ----------
    result
        The study.
    jobs
        Keys, or beginnings of keys, of the jobs to repeat; default: all that are finished.
    sample
        Repeat at most so many of them, spread evenly over the sweep.
    cache
        Whether compiled programs are kept between processes.
    on_job
        Called with (jobs done, jobs in all).

    Raises
    ------
    ConfigError
        No finished job is called so, or none is finished, or what one computes is no valid study.
    """
    from emjax.experiments.archive.folder import Archive
    from emjax.experiments.archive.rows import read_job_rows
    from emjax.experiments.execution.worker import do_job

    keys = intend_study(result, jobs=jobs, sample=sample).jobs
    records = {key: result.archive.record(key) for key in keys}
    errors: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="emjax-rerun-") as folder:
        again = Archive(folder)
        for done, key in enumerate(keys):
            if on_job is not None:
                on_job(done, len(keys))
            record = records[key]
            assert record is not None
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
        fresh = [again.record(key) for key in repeated]
    stored = [records[key] for key in repeated]
    specs = [record["spec"] for record in records.values() if record is not None]
    return Repetition(
        numbers=compare_numbers(before, after),
        versions=differing(job_versions(stored), job_versions(fresh)),
        devices=differing(_devices(stored), _devices(fresh)),
        jobs=keys,
        errors=errors,
        timed=tuple(dict.fromkeys(spec["method"]["name"] for spec in specs if _is_timed(spec))),
    )


def repeat_single(run: SingleRun) -> Repetition:
    """Compute a single run anew from its ``config.toml``. Raises ConfigError where that is wrong, or data are gone."""
    from emjax.experiments.config.settings import with_output
    from emjax.experiments.execution import single as runner

    intend_single(run)
    with tempfile.TemporaryDirectory(prefix="emjax-rerun-") as folder:
        target = Path(folder) / "run"
        config = with_output(_config(run), target)
        runner.run(config)
        again = open_single_run(target)
        numbers = compare_numbers(numbers_of(run), numbers_of(again))
    devices = differing({"devices": _kinds(run.environment)}, {"devices": _kinds(again.environment)})
    return Repetition(numbers, differing(versions_of(run), versions_of(again)), devices)


def _chosen(result: "StudyResult", wanted: Sequence[str], sample: int | None) -> list[str]:
    from emjax.experiments.archive.rows import in_order

    finished = in_order(result.declaration, result.archive.entries(result.finished))
    if not finished:
        raise ConfigError(f"{printable(result.folder)}: no job is finished, so there is nothing to repeat")
    for text in wanted:
        if not any(key.startswith(text) for key in finished):
            raise ConfigError(
                f"{printable(result.folder)}: no finished job is called {printable(text)!r}; the folders under "
                f"{printable(result.folder / 'jobs')} are their names"
            )
    keys = [key for key in finished if any(key.startswith(text) for text in wanted)] if wanted else finished
    if sample is None or sample >= len(keys):
        return keys
    # The middle of each of `sample` equal stretches.
    return [keys[(2 * place + 1) * len(keys) // (2 * sample)] for place in range(sample)]


def _is_timed(spec: Mapping[str, Any]) -> bool:
    return (spec["method"].get("budget") or {}).get("seconds") is not None


def _devices(records: Sequence[Mapping[str, Any] | None]) -> dict[str, Any]:
    found = dict.fromkeys(_kinds((record or {}).get("provenance", {})) for record in records)
    return {"devices": ", ".join(filter(None, found)) or None}


def _kinds(provenance: Mapping[str, Any]) -> str:
    return ", ".join(f"{device['platform']} {device['kind']}" for device in provenance.get("devices") or [])
