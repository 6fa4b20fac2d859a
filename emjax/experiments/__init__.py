"""Runs and studies from config files: what the command `emjax` does, as functions.

`read_study` reads a config; `run` does a single run and `run_study` a study; `open_study` reads its folder,
`list_runs`, `open_run`, `difference` and `repeat` look at what was run, `init_experiment` makes a new one.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emjax.experiments.archive.differences import difference as difference
    from emjax.experiments.archive.listing import list_runs as list_runs
    from emjax.experiments.config.reading import read_study as read_study
    from emjax.experiments.execution.rerun import repeat as repeat
    from emjax.experiments.execution.run import run_study as run_study
    from emjax.experiments.execution.single import run as run
    from emjax.experiments.pages import write_study_report as write_study_report
    from emjax.experiments.plan.grid import make_plan as make_plan
    from emjax.experiments.results import StudyResult as StudyResult
    from emjax.experiments.results import open_run as open_run
    from emjax.experiments.results import open_study as open_study
    from emjax.experiments.starter import init_experiment as init_experiment

# Looked up when first used, so that the command line's help needs none of them.
_HOMES = {
    "StudyResult": "results",
    "difference": "archive.differences",
    "init_experiment": "starter",
    "list_runs": "archive.listing",
    "make_plan": "plan.grid",
    "open_run": "results",
    "open_study": "results",
    "read_study": "config.reading",
    "repeat": "execution.rerun",
    "run": "execution.single",
    "run_study": "execution.run",
    "write_study_report": "pages",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'emjax.experiments' has no attribute {name!r}")
    return getattr(importlib.import_module(f"emjax.experiments.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
