"""What a result rests on, as pairs of a label and a text: the command, the data, versions, the machine."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emjax.environment import fingerprint, machine, versions
from emjax.wording import listed, number

if TYPE_CHECKING:
    from emjax.result import Fit


def provenance_rows(fit: Fit, provenance: Mapping[str, Any] | None, command: str | None) -> list[tuple[str, str]]:
    """What the run rests on. Without ``provenance``: versions, platform and a fingerprint of the data."""
    given = dict(provenance or {})
    if not given:
        given = {
            "versions": versions(),
            "machine": {**machine(), "cpus": None, "release": None, "system": platform.system()},
            "data": {
                "n_samples": fit.n_samples,
                "feature_names": list(fit.feature_names),
                **fit.samples.roles,
                "sha256": fingerprint(fit.data, fit.samples.weights, fit.samples.labels),
            },
        }
    known = given.pop("command", None) or ""
    command = command or (" ".join(map(str, known)) if isinstance(known, list | tuple) else str(known))
    for name in ("files", "format", "model"):  # the page's subject says what the model is
        given.pop(name, None)
    rows = [("Command", command)] if command else []
    data = given.pop("data", None)
    if isinstance(data, Mapping):
        rows += _data_rows(dict(data))
        data = None
    if data:
        rows.append(("Data", str(data)))
    labels = {key: str(key).replace("_", " ").capitalize() for key in given}
    return rows + [(labels[key], _flat(value)) for key, value in given.items() if _flat(value)]


def _data_rows(data: dict[str, Any]) -> list[tuple[str, str]]:
    names = {
        "name": "Data",
        "source": "Source of the data",
        "license": "Licence of the data",
        "n_samples": "Observations",
        "missing_cells": "Cells not seen",
        "unseen_rows": "Rows without any cell",
        "total_weight": "Total weight of the observations",
        "labelled_rows": "Rows of a known component",
        "sha256": "SHA-256 of the data",
    }
    rows = [(label, _flat(data[key])) for key, label in names.items() if data.get(key)]
    features = data.get("feature_names")
    return [*rows, ("Features", listed([str(name) for name in features], 12))] if features else rows


def _flat(value: Any) -> str:
    """A value of any shape on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_flat(inner)}" for key, inner in value.items() if inner not in (None, ""))
    if isinstance(value, list | tuple):
        return "; ".join(_flat(inner) for inner in value)
    if isinstance(value, float):
        return number(value)
    return "" if value is None else str(value)
