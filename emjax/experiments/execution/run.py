"""Runs a study: what is not in its folder yet, by whatever workers, until it is done or somebody stops it."""

import functools
import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from emjax.bounds import whole
from emjax.errors import ConfigError
from emjax.experiments.archive.folder import Archive
from emjax.experiments.config.reading import read_study
from emjax.experiments.config.schema import Study
from emjax.experiments.execution import local
from emjax.experiments.execution.cluster import DaskExecutor, check_scheduler
from emjax.experiments.execution.interrupts import StopWish, StudyInterrupted, stop_signals
from emjax.experiments.execution.listener import Listener
from emjax.experiments.execution.progress import StudyProgress, Tracker, said
from emjax.experiments.execution.slurm import SlurmExecutor, is_slurm
from emjax.experiments.execution.supervise import Executor, Supervisor
from emjax.experiments.plan.grid import make_plan
from emjax.experiments.plan.jobs import Job
from emjax.experiments.results import StudyResult, open_study
from emjax.files import user_path
from emjax.progress import both, progress_line
from emjax.threads import usable_cores
from emjax.wording import printable

MOST_NAMED = 5
"""Damaged jobs that are named; the rest is counted."""


def run_study(
    study: Study | str | Path,
    *,
    folder: str | Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    shard: str | None = None,
    cache: bool = True,
    progress: bool = False,
    listener: Listener | None = None,
    on_progress: Callable[[StudyProgress], None] | None = None,
) -> StudyResult:
    """Run a study, or go on with one: jobs whose results are in its folder are not done again.

    A job that fails is tried again (``execution.retries``) and then written down with its error; the others go on.
    Several runs, of any machines that share the folder, may be at the same study: each job is done by one of them.
    Numbers do not depend on the workers, on their number or on the order in which jobs end.

    Parameters
    ----------
    study
        The study, or the path of its config file.
    folder
        Where its results are kept; default: its ``output.dir``, else ``runs/`` and the name of the config file (of its
        folder if it is called ``config``).
    workers
        Number of processes; default: one per core that this process may use, and no more than there are jobs.
    scheduler
        A Dask scheduler (``tcp://HOST:PORT``), or ``local`` or ``local:N`` for an embedded one with N processes;
        ``slurm`` or ``slurm:N`` for jobs of a SLURM cluster, N at a time;
        default: processes of this machine, without Dask.
    shard
        ``"i/n"`` for every n-th job from the i-th on, i from 1: a share for one of n machines or array tasks.
    cache
        Whether compiled programs are kept between processes.
    progress
        Whether a line says how far it is, on the terminal or in a notebook.
    listener
        Hears what the run says; default: nobody.
    on_progress
        Called with a `StudyProgress` whenever a job has ended.

    Returns
    -------
    StudyResult
        All rows that are there, of other runs and shards too, and the failures.

    Raises
    ------
    ConfigError
        Where the config, an option or the folder is wrong, and where the disk is full; what was done stays.
    StudyInterrupted
        After Ctrl-C, SIGTERM or SIGHUP (a KeyboardInterrupt); what was done stays.
    """
    config = None if isinstance(study, Study) else Path(study)
    study = study if isinstance(study, Study) else read_study(study)
    target = folder_of(study, folder, config)
    count = check_workers(workers, scheduler)
    archive = Archive(target)
    listener = listener or Listener()
    with progress_line(progress, study.title or target.name) as line, stop_signals() as wish:
        tell = both(line, on_progress, said, "the first jobs compile their programs") or (lambda progress: None)
        start = functools.partial(_workers, scheduler, count, archive.path, cache=cache)
        do = functools.partial(_do, archive, study, wish, listener=listener, cache=cache, on_progress=tell)
        _run(archive, study, shard, start, do, listener, wish)
    archive.collect()
    return open_study(target)


def folder_of(study: Study, folder: str | Path | None = None, config: Path | None = None) -> Path:
    """The absolute path of the folder in which the results of a study, of a config file or of none, are kept."""
    if folder is None:
        folder = study.output.dir
    if folder is None:
        if config is None:
            raise ConfigError("run_study: name the folder of the results, as in folder='runs/mine'")
        path = config.absolute()
        folder = Path("runs") / (path.parent.name if path.stem == "config" else path.stem)
    # Workers may have another current folder.
    return Path(os.path.abspath(user_path(folder)))


def shard_of[Item](jobs: Sequence[Item], shard: str | None) -> Sequence[Item]:
    """Shard ``"i/n"`` of a plan's jobs: every n-th from the i-th on; all for None. Raises ConfigError.

    ``"array"`` is the share of this task of a job array, by the variables of SLURM or Grid Engine.
    """
    if shard is None:
        return jobs
    if shard == "array":
        shard = _task_of_array()
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", shard)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise ConfigError(
            f"--shard {printable(shard)}: write i/n with i from 1 to n, as in 2/8, or array in a job array"
        )
    return jobs[int(found[1]) - 1 :: int(found[2])]


def _task_of_array() -> str:
    """``i/n`` of this process among the tasks of its job array. Raises ConfigError where it cannot be told."""
    for index, *others in _ARRAYS:
        if not os.environ.get(index, "").isdecimal():
            continue
        first, last, step = (os.environ.get(name, "") for name in others)
        if not (first.isdecimal() and last.isdecimal() and step.isdecimal() and int(step) > 0):
            break
        count = (int(last) - int(first)) // int(step) + 1
        if os.environ.get("SLURM_ARRAY_TASK_COUNT", str(count)) != str(count):
            raise ConfigError("--shard array: the numbers of the array have gaps; write i/n, as in 2/8")
        return f"{(int(os.environ[index]) - int(first)) // int(step) + 1}/{count}"
    raise ConfigError("--shard array: this is no task of a job array of SLURM or Grid Engine; write i/n, as in 2/8")


_ARRAYS = (
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_STEP"),
    ("SGE_TASK_ID", "SGE_TASK_FIRST", "SGE_TASK_LAST", "SGE_TASK_STEPSIZE"),
)
"""How clusters number the tasks of an array: this one, the first, the last, and what lies between two."""


def check_workers(workers: int | None, scheduler: str | None) -> int | None:
    """``workers`` if it goes with ``scheduler``. Raises ConfigError."""
    if workers is not None:
        whole("workers", workers, shown="--workers")
    if scheduler is not None:
        if not is_slurm(scheduler):
            check_scheduler(scheduler)
        if workers is not None and scheduler != "local":
            raise ConfigError(
                f"--workers {workers} and --scheduler {printable(scheduler)}: the scheduler says how many workers "
                "there are; leave --workers out"
            )
    return workers


def _reached(study: Study, archive: Archive, so_far: Mapping[Any, int] | None = None) -> Mapping[Any, int] | None:
    """How far a study that decides as it goes is to be run by the rows that are there; None before there are any."""
    from emjax.experiments.summary import solving, stepwise

    stepwise.check_measures(study)
    if not archive.known_jobs():
        return None
    declared = archive.declaration()
    ended = archive.finished(job["key"] for job in declared["jobs"]) | archive.failures().keys()
    decide = stepwise.reached if study.solve is None else solving.asked_for
    return decide(study, declared, ended, archive.rows(), so_far)


def _damaged(archive: Archive, jobs: Sequence[Job], listener: Listener) -> set[str]:
    """The keys of those jobs whose files are not what was written, which are said and done again."""
    damaged = archive.damaged(job.key for job in jobs)
    if damaged:
        named = ", ".join(damaged[:MOST_NAMED]) + (", ..." if len(damaged) > MOST_NAMED else "")
        what = "1 job is damaged and is" if len(damaged) == 1 else f"{len(damaged)} jobs are damaged and are"
        listener.warn(f"{archive.path / 'jobs'}: {what} done again: {named}")
    return set(damaged)


def _run(
    archive: Archive, study: Study, shard: str | None, start: Callable[[int], Executor], do: Callable[..., bool],
    listener: Listener, wish: StopWish,
) -> None:  # fmt: skip
    """Do all that is not finished, step by step where the study decides as it goes. Raises StudyInterrupted."""
    decides = study.solve is not None or bool(study.sweep.until)
    further = _reached(study, archive) if decides else None
    executor, first, so_far = None, True, None
    try:
        while first or further != so_far:
            so_far = further
            plan = make_plan(study, archive.known_jobs(), so_far)
            jobs = shard_of(plan.jobs, shard)
            finished = archive.begin(study, plan) - (_damaged(archive, jobs, listener) if first else set())
            n_done = sum(job.key in finished for job in jobs)
            if n_done and first and n_done < len(jobs):
                listener.note(f"{n_done} of {len(jobs)} jobs are done already; going on from there")
            stopped = False
            if n_done < len(jobs):
                executor = executor or start(0 if decides else len(jobs) - n_done)
                stopped = not do(jobs, finished, executor)
            if stopped:
                break
            further, first = _reached(study, archive, so_far) if decides else None, False
    finally:
        if executor is not None:
            executor.close()
            # What killed workers left half-written; the next run would remove it too.
            with suppress(ConfigError):
                archive.sweep()
    if stopped:
        # Counted now that all workers have ended: some finished jobs after the last that was heard of them.
        n_done = len(archive.finished(job.key for job in jobs))
        raise StudyInterrupted(
            f"interrupted; {n_done} of {len(jobs)} jobs are done, and the same command goes on from there",
            wish.number or signal.SIGINT,
        )


def _do(
    archive: Archive, study: Study, wish: StopWish, jobs: Sequence[Job], finished: set[str], executor: Executor,
    *, cache: bool, listener: Listener, on_progress: Callable[[StudyProgress], None],
) -> bool:  # fmt: skip
    """Do what is not finished; whether all of it was done or given up. Raises ConfigError."""
    tracker = Tracker(jobs, finished, executor.n_workers)
    on_progress(tracker.now())
    verified = functools.partial(archive.finished, verify=True)
    limits = study.execution.time_limit, study.execution.retries
    supervisor = Supervisor(str(archive.path), executor, verified, wish, listener.note, *limits, cache)
    left = {job.key: job for job in jobs if job.key not in finished}
    for ended in supervisor.run(list(left.values())):
        del left[ended.job.key]
        if ended.error:
            archive.record_failure(ended.job, ended.error, ended.attempts, traceback=ended.traceback)
        on_progress(tracker.add(ended))
    return not left


def _workers(scheduler: str | None, n_workers: int | None, folder: Path, n_jobs: int, *, cache: bool) -> Executor:
    """The executor, for so many jobs; 0 where nobody knows how many there will be."""
    n_workers = n_workers or usable_cores()
    if scheduler is not None and is_slurm(scheduler):
        return SlurmExecutor(scheduler, folder)
    if scheduler is not None:
        return DaskExecutor(scheduler, n_workers)
    return local.LocalExecutor(min(n_workers, n_jobs or n_workers), cache=cache)
