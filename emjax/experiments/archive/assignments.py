"""Which component each row of the data belongs to, as a file: what a user of a clustering takes away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from emjax.errors import DataError

if TYPE_CHECKING:
    from emjax.experiments.archive.store import RunFolder

CSV, PARQUET = "assignments.csv", "assignments.parquet"
MOST_ROWS_AS_TEXT = 100_000
"""More are written as Parquet."""

MOST_CELLS = 50_000_000
"""Rows times components; of more nothing is written, because they would fill the memory."""


def write_assignments(folder: RunFolder, fit: Any) -> tuple[str, str]:
    """Write ``row`` (from 0), ``component`` (the likeliest) and ``probability[k]`` of each row.

    Returns the name of the file, ``""`` where there is none, and then a sentence that says why.
    """
    n_samples, n_components = fit.n_samples, fit.mixture.n_components
    if n_samples * n_components > MOST_CELLS:
        return "", (
            f"assignments are not written: {n_samples:,} rows times {n_components:,} components are more than "
            f"{MOST_CELLS:,} probabilities; fit.predict_proba(x) gives those of some rows"
        )
    try:
        shares = fit.predict_proba()
    except DataError as error:
        return "", f"assignments are not written: {error}"
    columns = {"row": np.arange(n_samples), "component": np.argmax(shares, axis=1)}
    columns |= {f"probability[{k}]": shares[:, k] for k in range(n_components)}
    if n_samples > MOST_ROWS_AS_TEXT:
        folder.write(PARQUET, columns)
        return PARQUET, ""
    import pandas

    folder.write(CSV, pandas.DataFrame(columns).to_csv(index=False, lineterminator="\n"))
    return CSV, ""
