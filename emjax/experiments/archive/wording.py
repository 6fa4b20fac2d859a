"""How numbers and settings of a study are written."""

import math
from collections.abc import Sequence
from typing import Any

from emjax.experiments.nearest import printable
from emjax.experiments.study.plan import canonical

LABELS = {
    "covered": "coverage",
    "log_score_loss": "log score loss",
    "log_score": "log score",
    "total_variation": "total variation",
    "ari": "ARI",
    "run_seconds": "seconds",
}
"""The words for quantities of an overview; any other goes by its name."""


def mean_with_error(mean: float, error: float) -> str:
    """A mean with its standard error: two digits of the error, and as many decimals of the mean."""
    from emjax.experiments.terminal import with_error

    return with_error(mean, error if error > 0 else None)


def setting_text(value: Any) -> str:
    """A swept value in few signs: numbers by their shortest form, lists and tables as JSON."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    return "" if value is None else printable(canonical(value))


def short_names(keys: Sequence[str]) -> list[str]:
    """The last parts of dotted keys (``n_samples`` of ``data.n_samples``) where they tell the keys apart."""
    last = [key.rpartition(".")[2] for key in keys]
    return [name if last.count(name) == 1 else key for name, key in zip(last, keys, strict=True)]
