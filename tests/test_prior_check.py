"""The prior predictive check: what is drawn, and that the data drawn are those of the prior."""

import jax
import numpy as np
import pytest
from matplotlib.collections import LineCollection, QuadMesh
from scipy import stats

import emjax
from emjax import laws, plots
from emjax.bayes.predictive import prior_data
from emjax.report.drawing.prior_check import N_STRIPS, Check
from emjax.samples import as_samples

RNG = np.random.default_rng(2)
N_SETS = 40


def check_of(family, x, drawn, **known):
    mixture = emjax.Mixture(family, 1)
    samples = mixture.samples(x, **known)
    return Check(mixture.resolved(samples), samples, np.asarray(drawn, float), "prior")


def stairs_of(axes):
    """The data's histogram and the mean of those of the prior, as heights and edges."""
    return [patch.get_data() for patch in axes.patches if hasattr(patch, "get_data")]


def test_data_sets_are_those_of_the_prior():
    """One component of counts under a gamma law: each count is negative binomial, and those of one set share a rate."""
    given = {"rate": laws.Gamma(3.0, 0.5)}
    mixture = emjax.Mixture(emjax.Poisson(), 1, given)
    with jax.enable_x64(True):
        drawn = prior_data(mixture, mixture.resolved_prior(np.ones((4, 1))), 30, 600, jax.random.key(3))
    assert drawn.shape == (600, 30, 1)
    law = stats.nbinom(3.0, 0.5 / 1.5)
    for count in (0, 2, 10):
        shares = (drawn <= count).mean(axis=(1, 2))
        assert abs(shares.mean() - law.cdf(count)) < 4.0 * shares.std() / np.sqrt(len(shares))
    # Rows of a set are as far apart as their rate makes them, sets as their rates do: 6 and 12 of the variance of 18.
    assert drawn.var(axis=1).mean() == pytest.approx(6.0 * 29 / 30, rel=0.15)
    assert drawn.mean(axis=1).var() == pytest.approx(12.0 + 6.0 / 30, rel=0.25)


def test_histograms_hold_the_data_and_the_data_sets_in_the_same_bins():
    x, drawn = RNG.normal(size=(50, 1)), RNG.normal(3.0, 4.0, size=(N_SETS, 50, 1))
    (axes,) = plots.prior_predictive(check_of(emjax.Normal(), x, drawn)).axes
    (seen, edges, _), (mean, own_edges, _) = stairs_of(axes)
    np.testing.assert_array_equal(edges, own_edges)
    np.testing.assert_allclose(np.diff(edges) @ seen, 1.0)
    # From the data's ends, or those of nine in ten drawn numbers where these are wider.
    np.testing.assert_allclose(edges[[0, -1]], np.quantile(drawn, [0.05, 0.95]), atol=0.05)
    inside = ((drawn >= edges[0]) & (drawn <= edges[-1])).mean()
    np.testing.assert_allclose(np.diff(edges) @ mean, inside)
    (strips,) = (one for one in axes.collections if isinstance(one, QuadMesh))
    shades = np.asarray(strips.get_array()).reshape(N_STRIPS, -1)
    np.testing.assert_array_equal(shades.max(axis=1), 1.0)
    first = np.histogram(drawn[0, :, 0], edges)[0]
    np.testing.assert_allclose(shades[0], first / first.max())
    assert all(tick >= 0 for tick in axes.get_yticks())


def test_a_prior_far_from_the_data_is_seen_to_be():
    x, drawn = RNG.normal(size=(50, 1)), RNG.normal(1000.0, 1.0, size=(N_SETS, 50, 1))
    (axes,) = plots.prior_predictive(check_of(emjax.Normal(), x, drawn)).axes
    (seen, edges, _), (mean, _, _) = stairs_of(axes)
    assert (edges[0], seen[0] > 0, mean[0], mean[-1] > 0) == (x.min(), True, 0.0, True)


def test_counts_have_a_bar_for_each_value_and_a_line_for_the_data_sets():
    x, weights = np.array([[0.0], [1.0], [1.0], [np.nan], [3.0]]), [1.0, 2.0, 0.0, 5.0, 1.0]
    drawn = RNG.poisson(2.0, size=(N_SETS, 5, 1))
    check = check_of(emjax.Poisson(), x, drawn, weights=weights)
    # As many rows as the cells that were seen weigh.
    sets = drawn[:, :4, 0]
    np.testing.assert_array_equal(check.sets(0), sets)
    (axes,) = plots.prior_predictive(check).axes
    heights = [bar.get_height() for bar in axes.patches]
    assert heights[:4] == [0.25, 0.5, 0.0, 0.25]
    shares = np.stack([(sets == value).mean(axis=1) for value in range(len(heights))])
    np.testing.assert_allclose(axes.lines[0].get_ydata(), shares.mean(axis=1))
    (band,) = (one for one in axes.collections if isinstance(one, LineCollection))
    ends = np.array(band.get_segments())[:, :, 1]
    np.testing.assert_allclose(ends, np.quantile(shares, [0.05, 0.95], axis=1).T)


def test_counts_over_a_wide_range_fall_into_bins_of_whole_numbers():
    x = np.array([[0.0], [7.0], [1003.0]])
    (axes,) = plots.prior_predictive(check_of(emjax.Poisson(), x, RNG.poisson(50.0, size=(N_SETS, 3, 1)))).axes
    (seen, edges, _), _ = stairs_of(axes)
    assert (edges % 1 == 0.5).all()
    assert (edges[0], edges[-1]) == (-0.5, 1003.5)
    np.testing.assert_allclose(np.diff(edges) @ seen, 1.0)


def test_levels_are_named_and_each_feature_has_its_own():
    x = np.array([["red", "no"], ["blue", "yes"], ["green", "no"]], dtype=object)
    drawn = np.stack([RNG.integers(3, size=(N_SETS, 3)), RNG.integers(2, size=(N_SETS, 3))], axis=2)
    first, second = plots.prior_predictive(check_of(emjax.Categorical(), x, drawn)).axes
    assert [tick.get_text() for tick in first.get_xticklabels()] == ["blue", "green", "red"]
    assert [tick.get_text() for tick in second.get_xticklabels()] == ["no", "yes"]
    assert (len(first.patches), len(second.patches)) == (3, 2)


def test_numbers_beyond_all_numbers_are_beyond_the_axes():
    drawn = RNG.normal(size=(N_SETS, 20, 1))
    drawn[::2, ::2], drawn[1::2, 1::2] = np.inf, np.nan
    (axes,) = plots.prior_predictive(check_of(emjax.Normal(), RNG.normal(size=(20, 1)), drawn)).axes
    (_, edges, _), (mean, _, _) = stairs_of(axes)
    assert np.isfinite(edges).all()
    assert 0.4 < np.diff(edges) @ mean <= 0.5


def test_a_mixture_and_data_are_checked_before_anything_is_fitted():
    x = RNG.poisson(4.0, size=(30, 1))
    figure = plots.prior_predictive(emjax.Mixture(emjax.Poisson(), 2), x, width=4.0)
    assert any("default prior" in text.get_text() for text in figure.legends[0].get_texts())
    with pytest.raises(ValueError, match="give x"):
        plots.prior_predictive(emjax.Mixture(emjax.Poisson(), 2))
    flat = emjax.Mixture(emjax.Poisson(), 2, {"rate": laws.Flat()})
    with pytest.raises(emjax.ConfigError, match=r"'rate'.* does not integrate"):
        plots.prior_predictive(flat, x)
    with pytest.raises(emjax.DataError, match="must hold counts"):
        plots.prior_predictive(emjax.Mixture(emjax.Poisson(), 2), -1.0 - x)
    samples = as_samples(x)
    given = emjax.Mixture(emjax.Poisson(), 2, {"rate": laws.Gamma(2.0, 1.0)})
    figure = plots.prior_predictive(given, samples)
    assert not any("default" in text.get_text() for text in figure.legends[0].get_texts())


def test_each_panel_has_the_key_that_it_needs():
    x = np.column_stack([RNG.poisson(3.0, 30), RNG.poisson(900.0, 30)])
    drawn = np.stack([RNG.poisson(3.0, (N_SETS, 30)), RNG.poisson(900.0, (N_SETS, 30))], axis=2)
    figure = plots.prior_predictive(check_of(emjax.Poisson(), x, drawn))
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(names) == len(set(names)) == 5
