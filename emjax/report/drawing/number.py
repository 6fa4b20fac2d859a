"""The number of components from both sides: what criteria of fits weigh, and what posteriors find probable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emjax.report.drawing import style

if TYPE_CHECKING:
    from emjax.selection.number_posterior import NumberPosterior
    from emjax.selection.votes import Choice

_SHOWN = 0.005
"""Numbers that nothing gives so much are at the ends left out."""

_ERRORS = 2.0
_MARKERS = {"BIC": "o", "AIC": "^", "ICL": "s"}


@style.drawn
def number_of_components(found: NumberPosterior | Choice, *, width: float = 5.6) -> Figure:
    """Probabilities of the numbers of components, of all and of those that hold data, and what others say of them.

    Bars are the posterior of the number, with two Monte-Carlo standard errors; draws that have not converged are grey.
    Of a `Choice` diamonds are the probabilities by the evidence of each number, and orange lines the weights of BIC,
    AIC and ICL.
    """
    posterior: Any = getattr(found, "number_posterior", found)
    figure, (axes,) = style.canvas(width, 0.62 * width)
    seen: list[int] = []
    if posterior is not None:
        seen += _bars(axes, posterior)
    for name, weights in getattr(found, "criteria", {}).items():
        numbers = sorted(weights)
        look: dict[str, Any] = {"color": style.EM, "linestyle": style.EM_LINE, "linewidth": 1.1, "markersize": 5}
        axes.plot(numbers, [weights[k] for k in numbers], marker=_MARKERS.get(name, "v"), label=name, **look)
        seen += [k for k in numbers if weights[k] >= _SHOWN]
    shares = getattr(found, "evidence_shares", {})
    if shares:
        look = {**style.hollow(style.INK), "marker": "D", "markersize": 8, "zorder": 5}
        axes.plot(list(shares), list(shares.values()), label="evidence", **look)
        seen += [k for k, share in shares.items() if share >= _SHOWN]
    axes.set_xlim(min(seen, default=1) - 0.7, max(seen, default=1) + 0.7)
    axes.set_ylim(bottom=0.0)
    axes.grid(axis="y")
    label = "probability, or weight" if getattr(found, "criteria", {}) else "posterior probability"
    style.finish(axes, "number of components", label, n_x=14, whole_x=True)
    style.key(figure, axes)
    return figure


def _bars(axes: Axes, posterior: NumberPosterior) -> list[int]:
    """The posterior of the number; the numbers that it gives something."""
    color = style.POSTERIOR if posterior.converged else style.UNTRUSTED
    doubt = "" if posterior.converged else " (not to be trusted)"
    sides: list[tuple[str, Any, Any, dict[str, Any]]] = [
        ("components", posterior.p_components, posterior.p_components_error, {"color": color}),
        (
            "components with data",
            posterior.p_clusters,
            posterior.p_clusters_error,
            {"facecolor": "none", "edgecolor": color, "linewidth": 1.2},
        ),
    ]
    known = [side for side in sides if side[1] is not None]
    wide = 0.8 / len(known)
    seen: set[int] = set()
    for place, (label, shares, errors, look) in enumerate(known):
        numbers = np.arange(1, len(shares) + 1)
        kept = shares >= _SHOWN
        at = numbers[kept] + (place - 0.5 * (len(known) - 1)) * wide
        axes.bar(at, shares[kept], width=0.92 * wide, label=label + doubt, zorder=2, **look)
        axes.errorbar(at, shares[kept], _ERRORS * errors[kept], fmt="none", ecolor=style.INK, elinewidth=0.9, zorder=3)
        seen |= set(numbers[kept].tolist())
    return sorted(seen)
