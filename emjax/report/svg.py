"""A figure as an SVG image inside a page, in the page's own font and in the colours of a light or a dark page."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable

from matplotlib.figure import Figure

from emjax.report.drawing.style import DARK, drawing

_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_DPI_OF_PIXELS = 200
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def svg_text(figure: Figure, *, sheet: bool = False) -> str:
    """The figure as SVG: text stays text, each colour of ours is a variable with a value for dark pages.

    With ``sheet`` it brings a white background and its colours stay: for pages that may be dark without saying so to
    images in them, as notebooks are.
    """
    buffer = io.StringIO()
    with drawing():
        figure.savefig(
            buffer,
            format="svg",
            dpi=_DPI_OF_PIXELS,
            facecolor="white" if sheet else "none",
            edgecolor="none",
            metadata=_NO_METADATA,
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, count=1, flags=re.DOTALL)
    text = text.replace("'DejaVu Sans', sans-serif", _FONTS).replace("'DejaVu Sans'", _FONTS)
    text = re.sub(r"\n\s*", "\n", text)
    text = re.sub(r' (?:d|x|y)="[^"]*"', lambda match: _rounded(match[0]), text)
    if sheet:
        return text
    text = re.sub(r'style="[^"]*"', lambda match: _with_variables(match[0]), text)
    head, tail = text.split(">", 1)
    return f"{head}><style>{_variables()}</style>{tail}"


def _rounded(attribute: str) -> str:
    """Coordinates to a hundredth of a point: the eye sees no more, and the page is half as large."""
    return re.sub(r"-?\d+\.\d{3,}", lambda match: f"{float(match[0]):.2f}", attribute)


def _with_variables(style: str) -> str:
    for position, light in enumerate(DARK):
        style = style.replace(light, f"var(--c{position})")
    return style


def _variables() -> str:
    light = "".join(f"--c{position}:{color};" for position, color in enumerate(DARK))
    dark = "".join(f"--c{position}:{color};" for position, color in enumerate(DARK.values()))
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def data_uri(figure: Figure, *, sheet: bool = False) -> str:
    """The figure as the address of an image: nothing is loaded, and nothing in it can run. ``sheet``: `svg_text`."""
    encoded = base64.b64encode(svg_text(figure, sheet=sheet).encode("utf-8", errors="replace")).decode("ascii")
    return f"data:image/svg+xml;base64,{encoded}"


def thumbnail(plot: Callable[..., Figure]) -> str:
    """The address of an image of ``plot(width=...)`` for a notebook; empty where there is nothing to draw, as of
    parameters that are not finite. A notebook shows the text then."""
    try:
        return data_uri(plot(width=4.4), sheet=True)
    except (ValueError, ArithmeticError, RuntimeError, LookupError, OSError):
        return ""
