"""The figures by name, each from what was fitted; `emjax.plots` is their public face."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from emjax.bayes.posterior import Posterior
from emjax.comparison import Comparison
from emjax.report.drawing.assignments import draw_along, draw_certainty, draw_map
from emjax.report.drawing.chains import draw_chains, find_chains, worst_chains
from emjax.report.drawing.classification import draw_classification, draw_uncertainty
from emjax.report.drawing.density import draw_density, draw_density_band
from emjax.report.drawing.em_trace import draw_em_trace
from emjax.report.drawing.forest import draw_forest
from emjax.report.drawing.interval_panels import draw_intervals
from emjax.report.drawing.labels import draw_labels
from emjax.report.drawing.modes import draw_modes
from emjax.report.drawing.ranks import draw_rank_panels, find_ranks
from emjax.report.drawing.view import as_view
from emjax.result import Fit
from emjax.uncertainty.information import Intervals


def classification(source: Fit | Posterior | Comparison, *, width: float = 7.0) -> Figure:
    """The data by their likeliest component, with the components; as ``plot(what="classification")`` of mclust.

    One feature: the weighted densities, and the data in strips below. Two: a scatter with ellipses that hold 90% of
    each component. Up to five (three below a width of 5 inches): all pairs. More: the two directions that tell the
    components apart best, or of levels, which have no directions, the first features. The key has how many data each
    component has, by weight, and how many rows are left out for cells that were not seen. Components have symbols as
    well as colours. Of more than 10,000 data a random subset is drawn. Of a comparison this is EM's classification.
    """
    return draw_classification(as_view(source), width)


def uncertainty(source: Fit | Posterior | Comparison, *, width: float = 7.0) -> Figure:
    """The same with the uncertainty of each datum, one less the chance of its likeliest component, as its size.

    One feature: a line as high as the uncertainty at each datum. (``plot(what="uncertainty")`` of mclust.)

    Raises
    ------
    ValueError
        For a mixture of a single component, whose assignments are certain.
    """
    view = as_view(source)
    _several_components(view.n_components)
    return draw_uncertainty(view, width)


def intervals(source: Intervals | Fit | Comparison, *, width: float = 7.0) -> Figure:
    """EM's estimates with their intervals, a panel for each parameter and unit, a line for each component.

    Rough intervals are grey; where they are withheld there are only the estimates. The first nine parameters and twelve
    components are drawn. A fit's own intervals are those for 90%.
    """
    if isinstance(source, Comparison):
        return draw_intervals(source.intervals, width)
    return draw_intervals(source.intervals() if isinstance(source, Fit) else source, width)


def density(source: Comparison | Fit | Posterior, *, width: float = 7.0) -> Figure:
    """The fitted density over the data, with its posterior band.

    One feature: a histogram (bars for counts and levels). Two: a scatter with outlines that hold 90% of each component,
    ellipses or, for positive data, contours. More: all pairs of the first five features. Several features of levels, or
    of 0 and 1: how likely each level is in each component, with the intervals of the draws. Histograms and bars are
    weighted; a row is left out of a scatter where it lacks a cell. ``width`` is in inches, as everywhere here.
    """
    return draw_density(as_view(source), width)


def density_band(source: Comparison | Fit | Posterior, *, width: float = 7.0) -> Figure:
    """The density of each feature by itself: data, EM's curve, posterior predictive with its pointwise band.

    Of more than five features the first five are drawn. The band has the level of the comparison, 90% by default, and
    comes from at most 300 draws, evenly spaced.
    """
    return draw_density_band(as_view(source), width)


def forest(comparison: Comparison, *, width: float = 7.0) -> Figure:
    """Estimates and intervals of EM and the posterior, each row in units of its posterior standard deviation.

    Of more than 36 rows those that differ most are drawn.
    """
    return draw_forest(comparison, width)


def assignments(source: Comparison | Fit | Posterior, *, width: float = 4.4) -> Figure:
    """Which component a datum comes from: along one feature, or as a map of entropy over two.

    Beyond two features this is `certainty`, which needs no axes of the data.

    Raises
    ------
    ValueError
        For a mixture of a single component, whose assignments are certain.
    """
    view = as_view(source)
    _several_components(view.n_components)
    return {1: draw_along, 2: draw_map}.get(view.n_features, draw_certainty)(view, width)


def certainty(source: Comparison | Fit | Posterior, *, width: float = 4.4) -> Figure:
    """The chance of the likeliest component over the data, the least certain first.

    Raises
    ------
    ValueError
        For a mixture of a single component.
    """
    view = as_view(source)
    _several_components(view.n_components)
    return draw_certainty(view, width)


def _several_components(n_components: int) -> None:
    if n_components < 2:
        raise ValueError("a mixture of one component has no assignments to draw; use n_components=2 or more")


def em_trace(source: Comparison | Fit, *, width: float = 4.4) -> Figure:
    """EM's objective by iteration, and its distance to the best on a logarithmic scale."""
    return draw_em_trace(source.fit if isinstance(source, Comparison) else source, width)


def chains(source: Comparison | Posterior, quantity: str | None = None, *, width: float = 4.4) -> Figure:
    """Trace and rank plot of one quantity, by default the one whose chains agree least; labels are aligned.

    With more than four chains the three whose ranks are furthest from flat are coloured.

    Parameters
    ----------
    source
        A comparison or a posterior.
    quantity
        Such as ``"mean[0, waiting]"``.

    Raises
    ------
    ValueError
        If there is no quantity of that name, or none that varies.
    """
    posterior = _posterior(source)
    found = find_chains(posterior, quantity) if quantity is not None else next(iter(worst_chains(posterior, 1)), None)
    if found is None:
        raise ValueError(f"there is no quantity {quantity!r} to draw; a name looks like 'weights[0]'")
    return draw_chains(found, width)


def ranks(source: Comparison | Posterior, *, most: int = 24, width: float = 7.0) -> Figure:
    """Rank plots of all quantities in one figure: log density, density at five data, each parameter after alignment.

    A rank plot counts, for each chain, how its draws rank among those of all chains; chains that agree are flat
    (Vehtari et al., Bayesian Analysis 16, 2021). The numbers are R-hat, the grey band holds 99% of the counts of
    independent draws that agree.

    Parameters
    ----------
    source
        A comparison or a posterior.
    most
        Of more quantities than this, 24 by default, those whose ranks are furthest from flat are drawn.
    width
        In inches.

    Raises
    ------
    ValueError
        If no quantity varies, or ``most`` is below 1.
    """
    if most < 1:
        raise ValueError(f"most={most} must be at least 1")
    found = find_ranks(_posterior(source), most)
    if not found.panels:
        raise ValueError("no quantity of this posterior varies, so there are no ranks to draw")
    return draw_rank_panels(found, width)


def modes(source: Comparison | Posterior, *, width: float = 7.0) -> Figure:
    """The modes of the posterior and their mass: by Laplace, corrected by importance sampling, and as drawn.

    The columns beside a mode are the shares of the single chains. A mode of non-negligible mass in which no draw lies
    is named in red. Of more than eight modes those with the largest mass are drawn.

    Raises
    ------
    ValueError
        If the posterior knows of no mode.
    """
    posterior = _posterior(source)
    if not posterior.modes.modes:
        raise ValueError("this posterior knows of no mode to draw")
    return draw_modes(posterior, width)


def labels(source: Comparison | Posterior, *, width: float = 4.4) -> Figure:
    """How far labels can be trusted: what exchanging two labels would cost each draw, and the permutations chosen.

    The histogram is that of the pair of labels that is separated worst, in medians of the draws: 0 is the border
    between two numberings. `emjax.align.separation` compares the density in the border zone below 1/2 with that from
    1/2 to 3/2.

    Raises
    ------
    ValueError
        For a mixture of a single component, which has no labels, and where the prior or labels of rows tell components
        apart, so that nothing was aligned.
    """
    posterior = _posterior(source)
    if posterior.mixture.n_components < 2:
        raise ValueError("a mixture of one component has no labels to draw; use n_components=2 or more")
    if not posterior.alignment.needed:
        raise ValueError("the prior or labels of rows tell these components apart: nothing was aligned; draw 'ranks'")
    return draw_labels(posterior, width)


def _posterior(source: Comparison | Posterior) -> Posterior:
    return source.posterior if isinstance(source, Comparison) else source


_OF_BOTH = (density, density_band, classification, uncertainty, assignments, certainty)
_OF_DRAWS = (chains, ranks, modes, labels)

FIGURES: dict[str, dict[str, Callable[..., Figure]]] = {
    name: {draw.__name__: draw for draw in figures}
    for name, figures in {
        "Fit": (classification, uncertainty, density, density_band, assignments, certainty, em_trace, intervals),
        "Posterior": (*_OF_BOTH, *_OF_DRAWS),
        "Comparison": (density, forest, *_OF_BOTH[1:], em_trace, intervals, *_OF_DRAWS),
        "Intervals": (intervals,),
    }.items()
}
"""What can be drawn of each kind of object, by the names of its class and of the figure, the default first."""
