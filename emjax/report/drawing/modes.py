"""The modes of a posterior: what mass each holds, by three accounts, and how much of it each chain drew."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emjax.bayes.posterior import Posterior
from emjax.bayes.visits import PosteriorMode
from emjax.catalogue import SAMPLERS
from emjax.comparison import Comparison
from emjax.report.drawing import style
from emjax.report.drawing.picture import Picture
from emjax.report.drawing.view import View, posterior_of
from emjax.wording import count, fixed, number, percent

MOST_MODES = 8
"""Of more modes than this those with the largest mass are drawn."""

_ROW = 0.56
_BAR = 0.12
_BAR_PLACE = 0.24


@style.drawn
def modes(source: Comparison | Posterior, *, width: float = 7.0) -> Figure:
    """The modes of the posterior and their mass: by Laplace, corrected by importance sampling, and as drawn.

    The columns beside a mode are the shares of the single chains. A mode of non-negligible mass in which no draw lies
    is named in red. Of more than eight modes those with the largest mass are drawn; ValueError where none is known.
    """
    posterior = posterior_of(source)
    if not posterior.modes.modes:
        raise ValueError("this posterior knows of no mode to draw")
    modes, view = posterior.modes.modes[:MOST_MODES], View(None, posterior)
    figure, (axes, strip) = style.canvas(width, len(modes) * _ROW + 0.95, n_columns=2, width_ratios=(3, 1))
    _shares(axes, modes, view.posterior_color)
    for place, mode in enumerate(modes):
        _name(axes, place, mode, warned=place in posterior.modes.unvisited, letters=int(width / 0.105))
        _by_chain(strip, place, mode, view.posterior_color)
    axes.set_xlim(0, 108)
    axes.spines["bottom"].set_bounds(0, 100)
    style.finish(axes, "share of the posterior, %" if view.trusted else "share, %; draws not converged", n_x=5)
    n_chains = len(modes[0].visited_by_chain)
    strip.set_xlim(-0.5, n_chains - 0.5)
    style.finish(strip, "chain", n_x=min(4, n_chains), whole_x=True)
    for one in (axes, strip):
        one.set_ylim(len(modes) - 0.35, -0.5)
        style.rows_of(one, (), ())
    strip.spines["bottom"].set_visible(False)
    strip.tick_params(axis="x", length=0)
    strip.set_title("share of each chain" if width > 5.4 else "each chain", fontsize=8.5, color=style.MUTED)
    style.key(figure)
    return figure


def _shares(axes: Axes, modes: Sequence[PosteriorMode], color: str) -> None:
    """The draws as bars, both masses as dots on them."""
    middle = np.arange(len(modes)) + _BAR_PLACE
    visited, laplace, mass = (
        [100 * share for share in shares]
        for shares in zip(*((mode.visited, mode.laplace_mass, mode.mass) for mode in modes), strict=True)
    )
    axes.barh(middle, 100, height=2 * _BAR, color=style.GRID, alpha=0.5, linewidth=0, zorder=1)
    axes.barh(middle, visited, height=2 * _BAR, color=color, alpha=0.45, linewidth=0, zorder=2, label="draws")
    circle = {**style.hollow(style.EM), "markersize": 7, "markeredgewidth": 1.3, "label": "Laplace"}
    axes.plot(laplace, middle, "o", clip_on=False, zorder=5, **circle)
    diamond: dict[str, Any] = {"linestyle": "none", "markersize": 4, "color": style.EM, "label": "corrected"}
    axes.plot(mass, middle, "D", clip_on=False, zorder=6, **diamond)


def _name(axes: Axes, place: int, mode: PosteriorMode, *, warned: bool, letters: int) -> None:
    """The mode's height and EM's, above its bar; in the warning's colour where no draw lies in it."""
    height, objective = number(mode.log_density, 6), number(mode.objective, 6)
    said = " · no draw in it" if warned else f" · {mode.n_empty} empty" if mode.n_empty else f" · EM {objective}"
    long = said.replace("EM ", "EM's objective ")
    starts = f", {count(mode.n_starts, 'start')}" if mode.n_starts > 1 and not warned else ""
    forms = (
        f"{place}: log density {height}{long}{starts}",
        f"{place}: log density {height}{said}{starts}",
        f"{place}: log density {height}{said}",
        f"{place}: {height}{said}",
    )
    shown = next((form for form in forms if len(form) <= letters), forms[-1])
    look: dict[str, Any] = {"fontweight": "bold", "color": style.WARNING} if warned else {}
    axes.annotate(
        shown, (0, place), (0, 1), xycoords=axes.get_yaxis_transform(), textcoords="offset points", va="bottom",
        fontsize=8.5, zorder=7, in_layout=False, **look,
    )  # fmt: skip


def _by_chain(axes: Axes, place: int, mode: PosteriorMode, color: str) -> None:
    """One column for each chain, as high as the mode's share of its draws."""
    shares = np.nan_to_num(mode.visited_by_chain)
    floor, room = place + _BAR_PLACE + _BAR, 0.6
    axes.axhline(floor, color=style.GRID, linewidth=0.8, zorder=1)
    axes.axhline(floor - room, color=style.GRID, linewidth=0.5, linestyle=":", zorder=1)
    axes.bar(range(len(shares)), -room * shares, bottom=floor, width=0.8, color=color, alpha=0.6, linewidth=0, zorder=2)


_SPREAD = 0.1
"""Chains whose shares of a mode differ by more than this are said to differ."""


def modes_picture(posterior: Posterior) -> Picture | None:
    """The modes, the mass of each by three accounts, and what each chain drew of it; None where none is known."""
    if not posterior.modes.modes:
        return None
    return Picture(
        "modes",
        lambda width: modes(posterior, width=width),
        title="The posterior's modes and their mass",
        caption=_modes_caption(posterior),
    )


def _modes_caption(posterior: Posterior) -> str:
    modes = posterior.modes.modes
    proper = [mode for mode in modes if not mode.n_empty]
    first = "EM found one mode, up to labels"
    if len(proper) > 1:
        large = sum(max(mode.mass, mode.visited) >= 0.01 for mode in proper)
        first = f"EM found {len(proper)} modes, up to labels; {count(large, 'holds', 'hold')} 1% or more"
    first += "".join(f"; {mode.words} in {percent(mode.mass)}" for mode in modes if mode.n_empty) + "."
    if len(modes) > MOST_MODES:
        first += f" The {MOST_MODES} with the largest mass are drawn."
    missed = posterior.modes.unvisited
    warning = ""
    if missed:
        mass = sum(modes[place].mass for place in missed)
        red = "the red one" if len(missed) == 1 else "the red ones"
        warning = f" No draw lies in {red}, with about {percent(mass)} of the posterior."
    return (
        f"{first}{warning} Beside its number stand the log density in each mode and the objective of the optimum of EM "
        "that it grew from. Circle: the mass of each mode's Laplace approximation. Diamond: corrected by importance "
        f"sampling. Bar: the draws nearest to it, on the right chain by chain.{_chains_differ(posterior)} "
        f"{_pareto_words(posterior)} Log evidence {number(posterior.modes.log_evidence, 6)}."
    )


def _chains_differ(posterior: Posterior) -> str:
    spread = max(max(mode.visited_by_chain) - min(mode.visited_by_chain) for mode in posterior.modes.modes)
    if not spread > _SPREAD:
        return ""
    return f" The chains differ by up to {percent(spread, 0)} of their draws in one mode."


def _pareto_words(posterior: Posterior) -> str:
    shape = posterior.modes.pareto_k
    value = "−∞" if shape == -math.inf else "∞" if shape == math.inf else fixed(shape, 2)
    limit = fixed(posterior.modes.good_pareto_k, 2)
    if posterior.modes.believable:
        return f"Pareto k is {value}, up to {limit}: masses and evidence can be believed."
    resting = SAMPLERS[posterior.method].independent
    rest = "and so are the draws, which rest on them" if resting else "the draws do not rest on them"
    return (
        f"Pareto k is {value}, above {limit}: the modes' normal approximations are rough, and so are masses "
        f"and evidence; {rest}."
    )
