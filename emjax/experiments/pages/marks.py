"""How methods look: a colour, a line and a marker each, so that no two are told apart by colour alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from emjax.experiments.summary.sweep import MethodView
from emjax.report.drawing import style


@dataclasses.dataclass(frozen=True)
class Mark:
    """The look of a method."""

    color: str
    line: Any
    marker: str

    @property
    def options(self) -> dict[str, Any]:
        """For Matplotlib's ``plot``."""
        return {"color": self.color, "linestyle": self.line, "marker": self.marker, "linewidth": 1.5}


_DOTS = (0, (1.2, 1.4))
_LONG = (0, (7, 2))
_FIRST = {
    "em": Mark(style.EM, style.EM_LINE, "o"),
    "map": Mark(style.CHAINS[3], style.EM_LINE, "s"),
    "sampler": Mark(style.POSTERIOR, "-", "D"),
    "sklearn": Mark(style.CHAINS[1], _DOTS, "^"),
}
_FURTHER = (
    Mark(style.CHAINS[0], "-", "v"),
    Mark(style.CHAINS[2], _LONG, "P"),
    Mark(style.INK, _DOTS, "X"),
    Mark(style.DATA, _LONG, "<"),
    Mark(style.WARNING, _DOTS, ">"),
)


def method_marks(methods: Sequence[MethodView]) -> dict[str, Mark]:
    """The look of every method: EM is orange and dashed, the first sampler blue and solid, as in all reports."""
    marks: dict[str, Mark] = {}
    n_further = 0
    for method in methods:
        mark = _FIRST.get(method.kind if method.kind in _FIRST else "sampler")
        if mark is None or mark in marks.values():
            mark = _FURTHER[n_further % len(_FURTHER)]
            n_further += 1
        marks[method.name] = mark
    return marks
