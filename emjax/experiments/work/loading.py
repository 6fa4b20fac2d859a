"""The data of a run: loaded from a bundled name or a file, or drawn from a mixture with known parameters."""

from typing import Any

import numpy as np

from emjax.catalogue import in_words
from emjax.datasets.readers import STANDARD_INPUT
from emjax.experiments.config.data import ProgramData, SimulatedData, SourceData
from emjax.experiments.config.programs import ProgramModel
from emjax.levels import texts_of


def load_data(declared: SourceData | SimulatedData | ProgramData, model: Any = None) -> Any:
    """Return the ``emjax.datasets.Dataset`` that the data section of a config declares; ``model`` may bring it.

    Raises DataError when the data cannot be read, or when a covariance to simulate from is not one.
    """
    from emjax import datasets

    if isinstance(declared, ProgramData):
        from emjax.experiments.work.program_data import dataset_of_program

        assert isinstance(model, ProgramModel), "the schema has no others"
        return dataset_of_program({"program": model.program}, declared.seed)
    if isinstance(declared, SimulatedData):
        return _simulate(declared)
    asked = {"columns", "header", "weights", "labels", "missing", "texts"}
    return datasets.load(declared.source, **declared.model_dump(include=asked, exclude_none=True))


def columns_of(dataset: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """The columns of a data set for a file of their own, and the settings that read them back as they are."""
    levels = dataset.level_names
    values = dataset.values if levels is None else texts_of(dataset.values, levels)
    columns = dict(zip(dataset.feature_names, values.T, strict=True))
    roles: dict[str, str] = {} if levels is None else {"texts": "levels"}
    for role, column in (("weights", dataset.weights), ("labels", dataset.partial_labels)):
        if column is not None:
            roles[role] = role
            while roles[role] in columns:
                roles[role] += "_"
            columns[roles[role]] = column
    if np.isnan(dataset.values).any():
        roles["missing"] = "keep"
    return columns, roles


def data_name(declared: SourceData | SimulatedData | ProgramData) -> str:
    """Return a short name for the data, fit for a folder: the bundled name, or the file's without suffix."""
    if isinstance(declared, ProgramData):
        return "own"
    if isinstance(declared, SimulatedData):
        return "simulated"
    if declared.source == STANDARD_INPUT:
        return "stdin"
    return stem_of(declared.source)


def stem_of(path: str) -> str:
    """The name of a file without its suffix, fit for a folder."""
    stem = path.replace("\\", "/").rstrip("/").rpartition("/")[2]
    stem = stem.rpartition(".")[0] or stem
    safe = "".join(sign if sign.isalnum() or sign in "-_" else "-" for sign in stem).strip("-")
    return safe[:60] or "data"


def _simulate(declared: SimulatedData) -> Any:
    from emjax.datasets.simulate import drawn
    from emjax.experiments.work.truth import law_of

    law = law_of(declared.model_dump(mode="json", exclude_none=True))
    return drawn(law, law.parameters, in_words(declared.drawn_family), declared.n_samples, declared.seed)
