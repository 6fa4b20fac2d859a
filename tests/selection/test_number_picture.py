"""The picture of the number of components shows what was found, and says where it is not to be trusted."""

import dataclasses

import numpy as np
import pytest
from matplotlib.colors import to_hex

import emjax
from emjax.bayes.diagnostics import PosteriorStatus
from emjax.report.drawing import style
from emjax.selection.evidence import Evidence, EvidenceEstimate
from emjax.selection.number_posterior import NumberPosterior
from emjax.selection.number_priors import StaticWeights, uniform
from emjax.selection.votes import Choice, OfNumber, Vote

P_ALL = np.array([0.0, 0.1, 0.5, 0.3, 0.1, 0.0])
P_DATA = np.array([0.0, 0.2, 0.6, 0.15, 0.05, 0.0])


@pytest.fixture
def posterior():
    known = {field.name: None for field in dataclasses.fields(NumberPosterior)}
    known |= {
        "p_components": P_ALL,
        "p_components_error": 0.01 * np.ones(6),
        "p_clusters": P_DATA,
        "p_clusters_error": 0.01 * np.ones(6),
        "status": PosteriorStatus.converged,
        "reasons": (),
        "mixture": emjax.Mixture(emjax.Poisson(), 6),
        "number_prior": uniform(6),
        "weight_prior": StaticWeights(),
        "max_rhat": 1.0,
        "min_ess": 1000.0,
    }
    return NumberPosterior(**known)


def bars(figure):
    """The heights of bars by their labels."""
    held = [box for box in figure.axes[0].containers if hasattr(box, "patches")]
    return {box.get_label(): [bar.get_height() for bar in box] for box in held}


def test_bars_are_the_posterior(posterior):
    found = bars(posterior.plot())
    np.testing.assert_allclose(found["components"], P_ALL[1:5])
    np.testing.assert_allclose(found["components with data"], P_DATA[1:5])
    assert posterior.likeliest == posterior.likeliest_clusters == 3
    alone = dataclasses.replace(posterior, p_components=None, p_components_error=None)
    assert list(bars(alone.plot())) == ["components with data"]


def test_what_has_not_converged_is_grey_and_says_so(posterior):
    doubtful = dataclasses.replace(posterior, status=PosteriorStatus.not_converged, reasons=("why",))
    figure = doubtful.plot()
    assert set(bars(figure)) == {"components (not to be trusted)", "components with data (not to be trusted)"}
    assert to_hex(figure.axes[0].patches[0].get_facecolor()) == style.UNTRUSTED
    assert doubtful.likeliest is None
    assert "why" in doubtful._repr_html_()


def test_both_sides_are_in_one_picture(posterior):
    logs = {2: -10.0, 3: -8.0, 4: -9.0}
    numbers = tuple(
        OfNumber(k, Evidence((EvidenceEstimate("bridge", value, 0.01, True),), None), None) for k, value in logs.items()
    )
    weights = {"BIC": {2: 0.9, 3: 0.1}}
    choice = Choice("poisson", (Vote("BIC", 2, 0.9, side="EM"),), numbers, posterior, True, weights)
    axes = choice.plot().axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(lines["BIC"].get_ydata(), [0.9, 0.1])
    assert lines["BIC"].get_color() == style.EM
    expected = np.exp(list(logs.values()))
    np.testing.assert_allclose(lines["evidence"].get_ydata(), expected / expected.sum())
    assert set(bars(choice.plot())) == {"components", "components with data"}
    without = dataclasses.replace(choice, number_posterior=None)
    assert bars(without.plot()) == {}
