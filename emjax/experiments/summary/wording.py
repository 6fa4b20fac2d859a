"""How numbers and settings of a study are written."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from emjax.jsonable import canonical
from emjax.wording import printable, with_error

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
    return with_error(mean, error if error > 0 else None)


def setting_text(value: Any) -> str:
    """A swept value in few signs: numbers by their shortest form, lists as JSON, tables in words."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    if isinstance(value, dict):
        return printable(table_text(value, setting_text))
    return "" if value is None else printable(canonical(value))


def table_text(table: Mapping[str, Any], text: Callable[[Any], str]) -> str:
    """A swept table in few words: its kind, and the other keys by their initials, as in ``student_t dof=5``."""
    kind = [str(table["kind"])] if "kind" in table else []
    others = [(key, value) for key, value in table.items() if key != "kind" and value is not None]
    pairs = [f"{''.join(word[:1] for word in key.split('_'))}={text(value)}" for key, value in others]
    return " ".join([*kind, *pairs])


def short_names(keys: Sequence[str]) -> list[str]:
    """The last parts of dotted keys (``n_samples`` of ``data.n_samples``) where they tell the keys apart."""
    last = [key.rpartition(".")[2] for key in keys]
    return [name if last.count(name) == 1 else key for name, key in zip(last, keys, strict=True)]
