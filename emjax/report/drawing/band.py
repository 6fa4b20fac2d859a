"""The density of each feature by itself, with the band of the draws."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from emjax.bayes.posterior import Posterior
from emjax.comparison import Comparison
from emjax.report.drawing import style
from emjax.report.drawing.density import MOST_FEATURES, left_out, one_feature
from emjax.report.drawing.margin import height_name, level_ticks, margin
from emjax.report.drawing.picture import Picture
from emjax.report.drawing.view import BAND_DRAWS, View, as_view, curves
from emjax.result import Fit
from emjax.wording import count, elided, listed, percent


@style.drawn
def density_band(source: Comparison | Fit | Posterior | View, *, width: float = 7.0) -> Figure:
    """The density of each feature by itself: data, EM's curve, posterior predictive with its pointwise band.

    Of more than five features the first five are drawn. The band has the level of the comparison, 90% by default, and
    comes from at most 300 draws, evenly spaced.
    """
    view = as_view(source)
    shown = min(view.n_features, MOST_FEATURES)
    if shown == 1:
        return one_feature(view, width)
    n_columns = min(shown, 1 if width <= 4.2 else 2 if width < 6 or shown in (2, 4) else 3)
    n_rows = -(-shown // n_columns)
    left, right, bottom, top, beside, between = 0.62, 0.12, 0.47, 0.3, 0.5, 0.55
    cell = (width - left - right - beside * (n_columns - 1)) / n_columns
    tall = 0.7 * cell if n_columns > 1 else 0.56 * cell
    height = top + bottom + n_rows * tall + (n_rows - 1) * between
    figure = style.Picture(figsize=(width, height))
    for feature in range(shown):
        row, column = divmod(feature, n_columns)
        x, y = left + column * (cell + beside), height - top - (row + 1) * tall - row * between
        axes = figure.add_axes((x / width, y / height, cell / width, tall / height))
        margin(axes, view, feature, linewidth=1.5)
        axes.grid(axis="y")
        name = elided(view.feature_names[feature], int(cell / 0.085))
        style.finish(axes, name, height_name(view, feature) if column == 0 else "", n_x=5, n_y=4)
        level_ticks(axes, view, feature, int(cell / 0.085))
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(0.5 / width, 1.0), ncols=3,
        columnspacing=1.0, handletextpad=0.5, labelcolor=style.INK,
    )  # fmt: skip
    return figure


def band_picture(comparison: Comparison) -> Picture | None:
    """The density of each feature with its band; None for one feature, whose density is drawn already."""
    view = as_view(comparison)
    if view.n_features < 2:
        return None
    shown = min(view.n_features, MOST_FEATURES)
    names = listed([elided(name, 40) for name in view.feature_names[:shown]])
    n_draws = count(min(BAND_DRAWS, comparison.posterior.n_draws), "draw")
    outside = _outside_words(view, shown)
    mean = "posterior predictive" if view.trusted else "mean of the draws, which have not converged,"
    return Picture(
        "density-band",
        lambda width: density_band(view, width=width),
        title="The density of each feature, with its band",
        text=f"Histograms of {names} with EM's density and the {mean} with its {view.level:.0%} band. {outside}",
        caption=(
            f"Each feature by itself.{left_out(shown, view.n_features)} The histogram is the data. Dashed orange: EM's "
            f"density, dotted its "
            f"components. {'Blue' if view.trusted else 'Grey'}: the {mean} and the {view.level:.0%} band of {n_draws}, "
            f"each point on its own. {outside}"
        ),
    )


def _outside_words(view: View, n_features: int) -> str:
    """Where EM's density leaves the band, as a share of EM's own mass."""
    shares = []
    for feature in range(n_features):
        found = curves(view, feature)
        band, density = found.band(view.level), found.em_density
        assert band is not None
        assert density is not None
        outside = (density < band[0]) | (density > band[1])
        shares.append(float(density[outside].sum() / density.sum()))
    if max(shares) == 0:
        return "EM's density stays inside the band."
    worst = int(np.argmax(shares))
    where = "" if n_features == 1 else f" for {elided(view.feature_names[worst], 40)}"
    more = "" if n_features == 1 else " at most"
    return f"EM's density leaves the band over {percent(shares[worst])} of its mass{more}{where}."
