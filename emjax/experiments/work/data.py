"""The data of one replicate of a job: drawn from a declared mixture, or split and resampled from a source.

Every part has a stream of random numbers of its own. Rows, contamination and holdout follow from one seed that leaves
out the settings of the last two: a study that sweeps the contamination, or adds a holdout, keeps the rows it had.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from emjax.datasets.dataset import Dataset
from emjax.datasets.laws import MixtureLaw
from emjax.datasets.readers import read
from emjax.datasets.roles import Request
from emjax.environment import fingerprint_of
from emjax.errors import DataError
from emjax.experiments.plan.jobs import data_seed
from emjax.experiments.work.outcome import Replicate, Truth
from emjax.experiments.work.own import generated
from emjax.experiments.work.program_data import dataset_of_program
from emjax.experiments.work.truth import law_of
from emjax.matrix import default_feature_names

CONTAMINATED = -1
"""The label of a row that no component has drawn."""

_ROWS, _CONTAMINATION, _HOLDOUT, _SPLIT, _BOOTSTRAP, _PARAMETERS = range(6)


def make_replicate(spec: Mapping[str, Any], number: int) -> Replicate:
    """The data of replicate ``number`` of a job, from 0, the same for every method, process and machine.

    Of the job's ``spec``, ``seed`` and ``data`` are read. Raises DataError where the data cannot be read or drawn.
    """
    data = spec["data"]
    if data.get("kind") == "simulate":
        return _simulated(spec, data, number, law_of(data), drawn=False)
    if data.get("kind") == "prior":
        from emjax.experiments.work.prior_truth import law_of_prior

        return _simulated(spec, data, number, law_of_prior(data, _stream(spec, number, _PARAMETERS)), drawn=True)
    if data.get("kind") == "program":
        return Replicate(number=number, data=dataset_of_program(data, data["seed"] + number))
    if data.get("kind") == "generator":
        return generated(spec, number)
    return _sourced(spec, data, number)


def _stream(spec: Mapping[str, Any], number: int, which: int) -> np.random.Generator:
    """One of the streams of a replicate, whatever is asked of the others.

    A source is known by its values where their hash is given, so that a file may move.
    """
    left_out = {"contamination", "holdout", "source"} if "sha256" in spec["data"] else {"contamination", "holdout"}
    section = {key: value for key, value in spec["data"].items() if key not in left_out}
    seed = data_seed({**spec, "data": section}, number)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(which,)))


# --- simulated data -------------------------------------------------------------------------------------


def _simulated(
    spec: Mapping[str, Any], data: Mapping[str, Any], number: int, law: MixtureLaw, *, drawn: bool
) -> Replicate:
    values, labels = law.sample(data["n_samples"], _stream(spec, number, _ROWS))
    if data.get("contamination") is not None:
        rng = _stream(spec, number, _CONTAMINATION)
        values, labels = contaminated(values, labels, data["contamination"], rng)
    holdout = None
    if data.get("holdout", 0) > 0:
        rows, row_labels = law.sample(data["holdout"], _stream(spec, number, _HOLDOUT))
        holdout = _drawn(rows, row_labels, law.parameters, "held out")
    return Replicate(
        number=number,
        data=_drawn(values, labels, law.parameters, "drawn"),
        holdout=holdout,
        truth=Truth.of(law, drawn=drawn),
    )


def _drawn(values: np.ndarray, labels: np.ndarray, parameters: Mapping[str, np.ndarray], how: str) -> Dataset:
    return Dataset(
        values=values,
        feature_names=default_feature_names(values.shape[1]),
        name="simulated",
        source="drawn from the mixture that the study declares",
        license="none needed (simulated)",
        description=f"{len(values)} rows, {how}.",
        labels=labels,
        truth=parameters,
    )


def contaminated(
    values: np.ndarray, labels: np.ndarray, contamination: Mapping[str, Any], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and labels, each row replaced with probability ``share`` by one that no component has drawn.

    A larger share replaces the rows that a smaller one does, by the same rows, and further ones. They are ``uniform``
    over the box of the rows, widened ``spread`` times about its centre, or ``normal`` about the mean of the rows with
    ``spread`` times their standard deviations.
    """
    replaced = rng.random(len(values)) < contamination["share"]
    spread = contamination.get("spread", 2.0)
    if contamination.get("kind", "uniform") == "uniform":
        low, high = values.min(axis=0), values.max(axis=0)
        others = 0.5 * (low + high) + spread * (high - low) * (rng.random(values.shape) - 0.5)
    else:
        others = values.mean(axis=0) + spread * values.std(axis=0) * rng.standard_normal(values.shape)
    return np.where(replaced[:, np.newaxis], others, values), np.where(replaced, CONTAMINATED, labels)


# --- data from a source ---------------------------------------------------------------------------------


def _sourced(spec: Mapping[str, Any], data: Mapping[str, Any], number: int) -> Replicate:
    whole = _loaded(data["source"], request_of(data), data.get("sha256"))
    train, held = np.arange(len(whole)), None
    share = data.get("holdout", 0.0)
    if share > 0.0:
        train, held = _split(len(whole), share, _stream(spec, number, _SPLIT))
    if data.get("resample", "none") == "bootstrap":
        rng = _stream(spec, number, _BOOTSTRAP)
        # From the rows that are not held out, so that no row is both seen and predicted.
        train = train[rng.integers(len(train), size=len(train))]
    return Replicate(
        number=number, data=_rows_of(whole, train), holdout=None if held is None else _rows_of(whole, held), truth=None
    )


def request_of(data: Mapping[str, Any]) -> Request:
    """What the data section of a spec asks of the reader of its source."""
    columns = data.get("columns")
    return Request(
        columns=None if columns is None else tuple(columns),
        header=data.get("header"),
        weights=data.get("weights"),
        labels=data.get("labels"),
        missing=data.get("missing") == "keep",
        levels=data.get("texts") == "levels",
    )


@lru_cache(maxsize=4)
def _loaded(source: str, request: Request, sha256: str | None) -> Dataset:
    """The whole data set, refused where it is not the one that the job was planned for."""
    dataset, _ = read(source, request)  # what there is to say of it was said when the study was planned
    if sha256 is not None and fingerprint_of(dataset) != sha256:
        raise DataError(f"{source} has changed since the study was planned: put the file back, or plan the study anew")
    return dataset


def _split(n_samples: int, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows to estimate from and rows to hold out, both in their order; the same numbers of each for every seed."""
    n_held = max(1, round(share * n_samples))
    if n_held >= n_samples:
        raise DataError(f"holdout {share:g} of {n_samples} rows leaves none to estimate from: set fewer aside")
    order = rng.permutation(n_samples)
    return np.sort(order[n_held:]), np.sort(order[:n_held])


def _rows_of(whole: Dataset, rows: np.ndarray) -> Dataset:
    of_rows = {name: getattr(whole, name) for name in ("labels", "weights", "partial_labels")}
    chosen: dict[str, Any] = {
        name: None if column is None else np.asarray(column)[rows] for name, column in of_rows.items()
    }
    return dataclasses.replace(whole, values=whole.values[rows], truth=None, **chosen)
