"""Whether data can come from a family, by where its features may lie."""

from __future__ import annotations

import numpy as np

from emjax.errors import DataError
from emjax.floats import quoted
from emjax.samples import Samples, check_counts, place_of

_DEMANDS = {
    "positive": ("numbers above zero", lambda values: values <= 0),
    "nonnegative": ("numbers that are not below zero", lambda values: values < 0),
    "binary": ("zeros and ones", lambda values: (values != 0) & (values != 1) & ~np.isnan(values)),
    "level": (
        "levels 0, 1, 2, …",
        lambda values: (values < 0) | ((values != np.floor(values)) & ~np.isnan(values)),
    ),
}


def outside_support(values: np.ndarray, support: str) -> np.ndarray:
    """Which values lie outside the support of a family; those that were not observed do not."""
    if support == "real":
        return np.zeros(np.shape(values), bool)
    return _DEMANDS["level" if support == "count" else support][1](values)


def check_support(samples: Samples, support: str, family: str) -> None:
    """Raise a `DataError` that names the first cell outside the support of a family."""
    if support == "real":
        return
    if support == "count":
        check_counts(samples)
        return
    words, values = _DEMANDS[support][0], samples.counted.values
    bad = np.argwhere(outside_support(values, support))
    if bad.size:
        row, column = (int(place) for place in bad[0])
        raise DataError(
            f"x: {family} components need {words}, and row {place_of(samples, row)} (counting from 0) of column "
            f"{quoted(samples.feature_names[column])} is {values[row, column]:g}; choose other columns or "
            "another family"
        )
