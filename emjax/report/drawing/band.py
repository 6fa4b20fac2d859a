"""The density of each feature by itself, with the band of the draws."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from emjax.bayes.posterior import Posterior
from emjax.comparison import Comparison
from emjax.report.drawing import style
from emjax.report.drawing.density import MOST_FEATURES, left_out, one_feature
from emjax.report.drawing.margin import margin
from emjax.report.drawing.picture import Picture
from emjax.report.drawing.view import BAND_DRAWS, View, as_view, curves
from emjax.result import Fit
from emjax.wording import count, elided, percent


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
    figure, all_axes = style.panels(width, shown, n_columns, 0.4 + 0.62 * width / n_columns)
    for feature, axes in enumerate(all_axes):
        letters = int(width / n_columns / 0.1)
        margin(axes, view, feature, linewidth=1.5, letters=letters, height=feature % n_columns == 0)
    style.key(figure)
    return figure


def band_picture(comparison: Comparison) -> Picture | None:
    """The density of each feature with its band; None for one feature, whose density is drawn already."""
    view = as_view(comparison)
    if view.n_features < 2:
        return None
    shown = min(view.n_features, MOST_FEATURES)
    blue, grey = f"Blue: the {view.posterior_name} predictive", "Grey: the mean of the draws, which have not converged,"
    mean = blue if view.trusted else grey
    n_draws = count(min(BAND_DRAWS, comparison.posterior.n_draws), "draw")
    return Picture(
        "density-band",
        lambda width: density_band(view, width=width),
        title="The density of each feature, with its band",
        caption=(
            f"Each feature by itself.{left_out(shown, view.n_features)} The histogram is the data. Dashed orange: EM's "
            f"density, dotted its components. {mean} and the {view.level:.0%} band of {n_draws}, each "
            f"point on its own. {_outside_words(view, shown)}"
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
    name = elided(view.feature_names[worst], 40)
    return f"EM's density leaves the band over {percent(shares[worst])} of its mass at most for {name}."
