"""The data that a program's file brings, as a data set: each argument one column for each number of a datum."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from emjax.datasets.dataset import Dataset
from emjax.errors import ConfigError
from emjax.experiments.config.programs import DATA, data_of_program
from emjax.wording import printable


def dataset_of_program(section: Mapping[str, Any], seed: int) -> Dataset:
    """What ``data(seed)`` of a program's file returns, with the columns ``y``, or ``y[0]``, ``y[1]``, ...

    The ``section`` has the file, ``program``, and the ``sha256`` of its content where that is to be what it was. Raises
    ConfigError if the file has no such function, it fails, or returns anything but arrays of one entry per datum by
    name.
    """
    file = section["program"]
    arrays = _checked(file, data_of_program(section, seed))
    places = [(name, index) for name, array in arrays.items() for index in np.ndindex(array.shape[1:])]
    names = [name if not index else f"{name}[{', '.join(map(str, index))}]" for name, index in places]
    columns = [array.reshape(len(array), -1) for array in arrays.values()]
    return Dataset(
        values=np.ascontiguousarray(np.concatenate(columns, axis=1)),
        feature_names=tuple(names),
        name=os.path.splitext(os.path.basename(file))[0],
        source=f"{DATA}(seed={seed}) of {file}",
    )


def _checked(file: str, given: Any) -> dict[str, np.ndarray]:
    place = f"{printable(file)}: {DATA}()"
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"{place} returned {type(given).__name__}, and no arguments by name: {{'y': array}}")
    arrays = {}
    for name, value in given.items():
        array = np.asarray(value)
        if array.dtype.kind not in "biuf" or array.ndim == 0 or 0 in array.shape:
            raise ConfigError(
                f"{place} returned {printable(name)!r}, which is no array of numbers with an entry for each datum: a "
                "setting stands in model.arguments"
            )
        arrays[str(name)] = array.astype(np.float64)
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{printable(name)} {length}" for name, length in lengths.items())
        raise ConfigError(f"{place} returned arrays of several lengths ({found}); a datum is an entry of each")
    return arrays
