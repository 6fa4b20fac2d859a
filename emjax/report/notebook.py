"""The picture that a notebook shows of an object."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from emjax.report.svg import data_uri

_WIDTH = 4.4
_FAILURES = (ValueError, ArithmeticError, RuntimeError, LookupError, OSError)
"""What drawing raises where there is nothing to draw, as of parameters that are not finite."""


def thumbnail(plot: Callable[..., Figure]) -> str:
    """The address of an image of ``plot(width=...)`` that holds the image itself; empty where it cannot be drawn.

    A notebook shows the text then, and who asks for the figure itself hears why there is none.
    """
    try:
        return data_uri(plot(width=_WIDTH), sheet=True)
    except _FAILURES:
        return ""
