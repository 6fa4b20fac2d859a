"""How the settings and numbers of a study are written."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from emjax.experiments.summary.estimates import Point
from emjax.experiments.summary.measures import Measure
from emjax.table import Cell, of_estimate, of_share
from emjax.wording import MISSING, printable


def value_text(value: Any) -> str:
    """A setting as people read it; a table by its kind and the initials of its other keys, ``student_t dof=5``.

    Keys of a table without a kind are names that its user has given, and are written out.
    """
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", "−")
    if isinstance(value, Mapping):
        others = [(key, other) for key, other in value.items() if key != "kind" and other is not None]
        short = (lambda key: "".join(word[:1] for word in key.split("_"))) if "kind" in value else str
        pairs = [f"{short(key)}={value_text(other)}" for key, other in others]
        return " ".join([*([str(value["kind"])] if "kind" in value else []), *pairs])
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def settings_text(settings: Mapping[str, Any], without: Sequence[str] = ()) -> str:
    """``key = value, ...`` of what is set."""
    return ", ".join(f"{key} = {value_text(value)}" for key, value in settings.items() if key not in without)


def cell_of(point: Point | None, measure: Measure, *, doubtful: bool = False) -> Cell:
    """A line of a summary as a field of a table."""
    if point is None or math.isnan(point.value):
        return Cell(MISSING, values=(None,))
    mark = "doubtful" if doubtful and not measure.of_all else ""
    if math.isinf(point.value):
        return Cell("∞" if point.value > 0 else "−∞", values=(point.value,), mark=mark)
    found = of_share if measure.pooled == "share" else of_estimate
    return found(point.value, point.mcse if point.mcse > 0 else None).marked(mark)


def point_text(point: Point, measure: Measure) -> str:
    """``71.2% ± 1.5%`` of a share, ``0.123 ± 0.004`` of anything else."""
    return cell_of(point, measure).shown
