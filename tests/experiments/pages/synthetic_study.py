"""Studies whose rows are drawn, not computed: every number of their pages is known beforehand or can be checked."""

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from emjax.experiments.config.schema import Study
from emjax.experiments.summary.view import StudyView

VERDICTS = ("em_sufficient", "em_with_intervals", "mcmc_needed", "inconclusive")
TRUTH = {
    "mean[0, x]": -1.0,
    "mean[1, x]": 1.0,
    "weights[0]": 0.4,
    "weights[1]": 0.6,
    "scale[0, x]": 1.0,
    "scale[1, x]": 0.7,
}
METHODS = (
    {"kind": "em"},
    {"kind": "map", "name": "MAP"},
    {"kind": "hmc", "verdict": True},
)
SAMPLES, OVERLAPS = (100, 300, 1000, 3000), (0.05, 0.2)


def declare(
    sweep: dict[str, tuple[Any, ...]], n_replicates: int, methods: tuple[dict[str, Any], ...] = METHODS, **extra: Any
) -> Study:
    """A study of a mixture of two normals."""
    return Study.model_validate(
        {
            "data": {"kind": "simulate", "weights": (0.4, 0.6), "mean": ((-1.0,), (1.0,)), "scale": ((1.0,), (0.7,))},
            "model": {"n_components": 2},
            "methods": methods,
            "sweep": {"replicates": n_replicates, "grid": sweep},
            **extra,
        }
    )


def declaration(study: Study) -> dict[str, Any]:
    """What ``study.json`` would say: the crossed cells and their jobs."""
    batch = study.execution.batch or 50
    settings: list[dict[str, Any]] = [{}]
    for key, values in study.sweep.grid.items():
        settings = [{**cell, key: value} for cell in settings for value in values]
    cells = [{"index": place, "key": f"{place:012x}", "settings": own} for place, own in enumerate(settings)]
    jobs = [
        {
            "cell": cell["key"],
            "method": method.label,
            "first": first,
            "stop": min(first + batch, study.sweep.replicates),
        }
        for cell in cells
        for method in study.methods
        for first in range(0, study.sweep.replicates, batch)
    ]
    named = {"title": study.title, "question": study.question}
    return {**named, "cells": cells, "jobs": [{"key": f"{place:016x}", **job} for place, job in enumerate(jobs)]}


def draw_rows(study: Study, declared: dict[str, Any], *, untrusted: float = 0.02, seed: int = 0) -> pd.DataFrame:
    """Rows as ``rows.parquet`` holds them: EM undercovers where data are few and overlap is large."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[Any, ...]] = []
    for cell in declared["cells"]:
        n_samples = cell["settings"].get("data.n_samples", 1000)
        overlap = cell["settings"].get("data.overlap", 0.1)
        for method in study.methods:
            for replicate in range(study.sweep.replicates):
                rows += draw_outcome(rng, method, cell["key"], replicate, n_samples, overlap, untrusted)
    frame = pd.DataFrame(rows, columns=["cell", "replicate", "method", "quantity", "parameter", "value", "status"])
    return frame.astype({"replicate": "int32", "value": "float64"})


def draw_outcome(
    rng: np.random.Generator, method: Any, cell: str, replicate: int, n_samples: int, overlap: float, untrusted: float
) -> list[tuple[Any, ...]]:
    """The rows of one method on one data set."""
    hard = 1 + 6 * overlap * np.sqrt(100 / n_samples)
    sd = hard / np.sqrt(n_samples)
    narrow = 0.75 if method.kind == "em" else 1.0
    trusted = rng.random() >= untrusted
    status = "converged" if trusted else "not_converged"
    found: list[tuple[str, str, float]] = [("trusted", "", float(trusted))]
    for name, truth in TRUTH.items():
        error = rng.normal(0.4 * sd * (hard - 1), sd)
        se = sd * (narrow if hard > 1.3 else 1.0)
        found += [("estimate", name, truth + error), ("error", name, error), ("se", name, se)]
        found += [("covered", name, float(abs(error) < 1.645 * se)), ("width", name, 3.29 * se)]
    loss = 0.5 * sd**2 * rng.chisquare(5) * (1.3 if method.kind == "em" else 1.0)
    slow = {"em": 1.0, "map": 1.2, "hmc": 30.0}.get(method.kind, 1.0)
    found += [("log_score_loss", "", loss), ("total_variation", "", np.sqrt(loss) / 2), ("ari", "", 1 - 2 * overlap)]
    found += [("run_seconds", "", 0.01 * slow * (n_samples / 100) ** 0.8), ("compile_seconds", "", 0.1)]
    if getattr(method, "verdict", False):
        weights = (0.1, 0.2, 0.65, 0.05) if hard > 1.3 else (0.5, 0.4, 0.05, 0.05)
        found.append(("verdict", str(rng.choice(VERDICTS, p=weights)), 1.0))
    return [(cell, replicate, method.label, quantity, name, value, status) for quantity, name, value in found]


def view_of(
    study: Study, rows: pd.DataFrame | None = None, *, folder: str = "runs/separation", lost: int = 0, failed: int = 0
) -> StudyView:
    """The view of a study with drawn rows; the first jobs of the plan are ``failed``, the next ``lost``."""
    declared = declaration(study)
    rows = draw_rows(study, declared) if rows is None else rows
    keys = [job["key"] for job in declared["jobs"]]
    missing = SimpleNamespace(failed=keys[:failed], lost=keys[failed : failed + lost])
    for job in declared["jobs"][: failed + lost]:
        gone = (rows["cell"] == job["cell"]) & (rows["method"] == job["method"])
        rows = rows[~(gone & rows["replicate"].between(job["first"], job["stop"] - 1))]
    done = set(keys) - {*missing.failed, *missing.lost}
    failures = {key: {"error": "MemoryError: <b>no</b> memory", "attempts": 2} for key in missing.failed}
    return shown(study, declared, rows, folder, done, failures)


def shown(
    study: Study,
    declared: dict[str, Any],
    rows: pd.DataFrame,
    folder: str = "runs/separation",
    done: Iterable[str] = (),
    failures: Mapping[str, Any] | None = None,
) -> StudyView:
    """The view of a study whose folder holds this."""
    provenance = {"versions": {"emjax": "0.1.0"}, "machine": {"python": "3.12"}}
    archive = SimpleNamespace(
        path=folder,
        study=lambda: study,
        declaration=lambda: {"provenance": provenance, "methods": [own.label for own in study.methods], **declared},
        rows=lambda: rows,
        entries=lambda _: dict.fromkeys(done, SimpleNamespace(seconds=1.0, method="em", warnings={"rough <b>": 2})),
        failures=lambda: failures or {},
        record=lambda _: None,
    )
    return StudyView(archive)
