"""What an archive says about its study: ``study.toml``, which can be run, and ``study.json``, its cells and jobs.

``study.json`` holds ``title``, ``question``, ``seed``, ``level``, ``data`` (in a word), ``n_components``, ``methods``
(labels), ``sweep`` (the swept keys), ``cells`` (each with ``index``, ``key``, ``settings`` and ``subject``: the hash of
the seed, data and model that its jobs work on), ``jobs`` (each with ``key``, ``cell``, ``method``, ``first``, ``stop``)
and ``provenance``.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from emjax import clock
from emjax.atomic import write_atomically
from emjax.environment import provenance
from emjax.experiments.archive.door import (
    DamagedError,
    MissingError,
    NewerError,
    UnreadableError,
    checked,
    newer_note,
    read_json,
    read_toml,
)
from emjax.experiments.archive.shapes import Declaration
from emjax.experiments.config.data import ProgramData, SourceData
from emjax.experiments.config.parts import GeneratorData
from emjax.experiments.config.refusals import refusal
from emjax.experiments.config.schema import Study, resolved
from emjax.experiments.plan.jobs import Plan
from emjax.jsonable import to_json
from emjax.wording import printable

TOML, JSON = "study.toml", "study.json"
FORMAT = 1


def write_declaration(folder: Path, study: Study, plan: Plan) -> None:
    """Write both files, each whole or not at all. Raises StorageError."""
    write_atomically(folder / TOML, tomli_w.dumps(resolved(study)))
    document = _document(study, plan)
    previous = read_declaration(folder)
    if previous is not None:
        document["provenance"]["started"] = previous["provenance"]["started"]
    write_atomically(folder / JSON, to_json(document) + "\n")


def read_declaration(folder: Path) -> dict[str, Any] | None:
    """The content of ``study.json``, None where there is none or it is damaged; `require_declaration` tells which.

    Raises ConfigError where nobody can tell, because it cannot be read or is too new.
    """
    try:
        return require_declaration(folder)
    except (UnreadableError, NewerError):
        raise
    except DamagedError:
        return None


def require_declaration(folder: Path) -> dict[str, Any]:
    """The content of ``study.json``. One of a newer format is read as long as it has the shape of ours.

    Raises ConfigError where there is none, where it is damaged, and where it is too new to be read.
    """
    path, newer = folder / JSON, None
    try:
        document = read_json(path)
        newer = newer_note(path, document, FORMAT)
        return checked(document, Declaration, path)
    except MissingError:
        raise MissingError(
            f"{printable(folder)}: not the folder of a study; make one with: emjax run CONFIG.toml"
        ) from None
    except UnreadableError:
        raise
    except DamagedError as error:
        if newer is not None:
            raise NewerError(newer) from None
        raise DamagedError(f"{error}; run the study again: finished jobs are kept") from None


def read_back(folder: Path) -> Study:
    """The study of ``study.toml``, as it was written by `write_declaration`. Nothing is run. Raises ConfigError."""
    path = folder / TOML
    try:
        return Study.model_validate(read_toml(path))
    except ValidationError as error:
        raise DamagedError(refusal(error, Study).message(printable(path))) from None


def _document(study: Study, plan: Plan) -> dict[str, Any]:
    keys = dict.fromkeys(key for cell in plan.cells for key in cell.settings)
    return {
        "format": FORMAT,
        "title": study.title,
        "question": study.question,
        "seed": study.seed,
        "level": study.level,
        "data": data_in_a_word(study),
        "n_components": study.model.n_components,
        "methods": [method.label for method in study.methods],
        "sweep": list(keys),
        "cells": [
            {"index": cell.index, "key": cell.key, "settings": cell.settings, "subject": cell.subject}
            for cell in plan.cells
        ],
        "jobs": [
            {"key": job.key, "cell": job.cell, "method": job.method, "first": job.first, "stop": job.stop}
            for job in plan.jobs
        ],
        "provenance": provenance(clock.now()),
    }


def data_in_a_word(study: Study) -> str:
    """The name of the source or the generator, or how they are drawn."""
    data = study.data
    if isinstance(data, GeneratorData):
        return os.path.basename(data.generator)
    if isinstance(data, SourceData):
        return os.path.basename(data.source)
    if isinstance(data, ProgramData):
        return "the program's own"
    return "drawn from the prior" if data.kind == "prior" else "simulated"


def is_another_study(document: Mapping[str, Any], plan: Plan) -> bool:
    """Whether no cell of ``plan`` works on what any cell of a declared study works on."""
    declared = {cell.get("subject") for cell in document["cells"]}
    return declared.isdisjoint(cell.subject for cell in plan.cells)
