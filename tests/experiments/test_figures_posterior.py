"""The figures that say what draws are worth: modes, labels, ranks and the band of the density."""

import dataclasses
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import emjax
from emjax import plots
from emjax.bayes.diagnostics import PosteriorStatus, assess
from emjax.bayes.draws import describe_draws
from emjax.bayes.posterior import Posterior
from emjax.bayes.tree import to_tree
from emjax.bayes.visits import PosteriorMode, PosteriorModes
from emjax.comparison import Comparison
from emjax.naming import scalar_parameters
from emjax.report.drawing import style
from emjax.report.drawing.band import band_picture
from emjax.report.drawing.chains import NAMED_CHAINS, chain_lines, rank_deviations
from emjax.report.drawing.labels import labels_picture, pair_gaps, permutation_shares
from emjax.report.drawing.modes import modes_picture
from emjax.report.drawing.ranks import aligned_note, find_ranks, ranks_picture
from emjax.report.svg import svg_text
from emjax.report.tables import mode_table
from emjax.verdict import DEFAULT_THRESHOLDS, Verdict

CHAINS, DRAWS = 12, 60
FLIPPED = np.random.default_rng(1).uniform(size=(CHAINS, DRAWS)) < 0.3
STUCK = 7


def mode(fit: emjax.Fit, laplace: float, mass: float, visits: list[float]) -> PosteriorMode:
    return PosteriorMode(fit.params, fit.objective, -100.5, laplace, mass, float(np.mean(visits)), tuple(visits), 3)


def imitated(x: object, spread: float, **known: object) -> Comparison:
    """Draws around EM's estimate with labels of random order, in chains that agree but for chain 7, whose first mean
    is off; and three modes, the last of which no draw has seen. The comparison holds what figures read."""
    mixture = emjax.Mixture(emjax.Normal("diag"), 2)
    fit = emjax.fit(mixture, x, key=jax.random.key(0), n_init=2, accelerate="none", **known)
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        coordinates = mixture.coordinates(fit.data.shape[1])
        centre = coordinates.flat(jax.tree.map(jnp.asarray, fit.params))
        moved = centre + spread * rng.normal(size=(CHAINS, DRAWS, *centre.shape))
        params = jax.jit(jax.vmap(jax.vmap(coordinates.params)))(moved)
    params = jax.tree.map(np.array, params)
    params.mean[STUCK, :, 0] += 2.5 * spread * (np.arange(DRAWS) % 4 > 0)[:, None]
    flip = lambda leaf: np.where(FLIPPED.reshape(CHAINS, DRAWS, *[1] * (leaf.ndim - 2)), leaf[:, :, ::-1], leaf)  # noqa: E731
    described = describe_draws(mixture, jax.tree.map(flip, params), fit, fit.samples)
    lp = rng.normal(size=(CHAINS, DRAWS))
    quantities = {"lp": (("chain", "draw"), lp)}
    for parameter in scalar_parameters(mixture.named_parameters(fit.params), fit.feature_names):
        quantities[parameter.name] = (("chain", "draw"), described.stored[parameter.variable][parameter.place])
    diagnostics = assess(xr.Dataset(quantities), xr.Dataset())
    posterior = Posterior(
        sampled=to_tree(described.stored, {"lp": lp}, described.log_likelihood, fit.data, fit.feature_names),
        params=described.flat_params,
        mixture=mixture,
        prior_note="",
        map_fit=fit,
        alignment=described.alignment,
        diagnostics=dataclasses.replace(diagnostics, status=PosteriorStatus.converged),
        modes=PosteriorModes(
            (
                mode(fit, 0.62, 0.55, [1.0] * (CHAINS - 1) + [0.25]),
                mode(fit, 0.18, 0.25, [0.0] * (CHAINS - 1) + [0.75]),
                mode(fit, 0.20, 0.20, [0.0] * CHAINS),
            ),
            pareto_k=0.42,
            importance_ess=900.0,
            log_evidence=-123.456,
        ),
        decision=(),
        starts_note="",
        method="hmc",
        compile_seconds=0.0,
        run_seconds=0.0,
    )
    return Comparison(
        Verdict.EM_SUFFICIENT, (), (), {}, {}, {}, 0.9, DEFAULT_THRESHOLDS, fit, posterior, intervals=None
    )


@pytest.fixture(scope="module")
def separate() -> Comparison:
    return imitated(emjax.datasets.load("faithful"), spread=0.03)


@pytest.fixture(scope="module")
def overlapping() -> Comparison:
    """Two components that draws exchange freely."""
    return imitated(np.random.default_rng(3).normal(size=150), spread=1.0)


def changed(comparison: Comparison, **fields: object) -> Comparison:
    return dataclasses.replace(comparison, posterior=dataclasses.replace(comparison.posterior, **fields))


def uses(figure, color: str) -> bool:
    """Whether the drawing, after its style sheet, uses one of our colours."""
    variable = f"var(--c{list(style.DARK).index(color)})"
    return variable in svg_text(figure).split("</style>", 1)[1]


# -- modes


def test_modes_are_told_in_numbers_and_the_unvisited_one_is_named(separate):
    table = mode_table(separate.posterior)
    first, _, last = table.rows
    assert [cell.text for cell in first[3:]] == ["62.0%", "55.0%", "93.8%", "25.0% to 100.0%"]
    assert [row[5].mark for row in table.rows] == ["", "", "bad"]
    assert last[5].text == "0.0%"
    found = modes_picture(separate.posterior)
    assert "EM found 3 modes, up to labels; 3 hold 1% or more." in found.caption
    assert "No draw lies in the red one, with about 20.0% of the posterior." in found.caption
    assert "The chains differ by up to 75% of their draws in one mode." in found.caption
    assert "Log evidence −123.456" in found.alt
    assert found.narrow not in ("", found.source)


def test_an_unvisited_mode_is_red_and_others_are_not(separate):
    assert uses(plots.modes(separate), style.WARNING)
    visited = dataclasses.replace(separate.posterior.modes, modes=separate.posterior.modes.modes[:2])
    assert not uses(plots.modes(changed(separate, modes=visited)), style.WARNING)
    assert "red" not in modes_picture(changed(separate, modes=visited).posterior).caption


@pytest.mark.parametrize(
    ("method", "shape", "words"),
    [
        ("hmc", 0.42, "Pareto k is 0.42, up to 0.70: masses and evidence can be believed."),
        ("hmc", 0.92, "Pareto k is 0.92, above 0.70: .* rough, .*; the draws do not rest on them."),
        ("laplace", math.inf, "Pareto k is ∞, above 0.70: .*; and so are the draws, which rest on them."),
    ],
)
def test_pareto_k_is_explained(separate, method, shape, words):
    modes = dataclasses.replace(separate.posterior.modes, pareto_k=shape)
    assert re.search(words, modes_picture(changed(separate, modes=modes, method=method).posterior).caption)


def test_of_many_modes_the_largest_are_drawn(separate):
    known = separate.posterior.modes
    many = dataclasses.replace(known, modes=known.modes[:1] * 11)
    found = modes_picture(changed(separate, modes=many).posterior)
    assert "The 8 with the largest mass are drawn." in found.caption
    nothing = changed(separate, modes=dataclasses.replace(known, modes=()))
    assert modes_picture(nothing.posterior) is None
    with pytest.raises(ValueError, match="knows of no mode"):
        plots.modes(nothing)


# -- labels


@pytest.mark.parametrize("case", ["separate", "overlapping"])
def test_the_gaps_that_are_drawn_give_the_separation_of_the_alignment(case, request):
    posterior = request.getfixturevalue(case).posterior
    (pair,) = pair_gaps(posterior)
    assert pair.pair == (0, 1)
    assert pair.separation == pytest.approx(posterior.alignment.separation, abs=1e-12)
    assert np.median(pair.relative) == pytest.approx(1.0)
    assert (pair.relative >= -1e-9).all()


def test_gaps_are_weighted_as_the_alignment_is():
    rng = np.random.default_rng(3)
    posterior = imitated(rng.normal(size=150), 1.0, weights=rng.integers(0, 9, 150).astype(float)).posterior
    assert pair_gaps(posterior)[0].separation == pytest.approx(posterior.alignment.separation, abs=1e-12)


def test_permutations_are_counted_and_told(separate):
    shares = dict(permutation_shares(separate.posterior))
    assert shares == {(0, 1): pytest.approx(1 - FLIPPED.mean()), (1, 0): pytest.approx(FLIPPED.mean())}
    found = labels_picture(separate.posterior)
    assert f"1 0 for {100 * FLIPPED.mean():.1f}%" in found.caption
    assert "labels are identified, and numbers" in found.caption


def test_labels_without_trust_say_so(overlapping):
    assert overlapping.posterior.alignment.trust < 0.5
    found = labels_picture(overlapping.posterior)
    assert f"Trust {overlapping.posterior.alignment.trust:.2f}: labels are not identified" in found.caption
    assert "too low for single components" in ranks_picture(overlapping.posterior).caption


def test_a_single_component_has_no_labels(separate):
    single = changed(separate, mixture=emjax.Mixture(emjax.Normal("diag"), 1))
    assert labels_picture(single.posterior) is None
    assert aligned_note(single.posterior) == ""
    with pytest.raises(ValueError, match="one component has no labels"):
        plots.labels(single)


# -- ranks


def test_deviations_are_one_for_independent_draws_that_agree():
    rng = np.random.default_rng(0)
    found = rank_deviations(rng.normal(size=(60, 100)))
    assert found.mean() == pytest.approx(1.0, abs=4 * np.sqrt(2 / 19 / 60))
    apart = rng.normal(size=(8, 100))
    apart[3] += 2.0
    assert rank_deviations(apart).argmax() == 3
    assert rank_deviations(apart)[3] > 4.0


def test_colours_are_for_chains_that_can_be_told_apart():
    few = chain_lines(np.array([1.0, 3.0, 2.0]))
    assert [line.chain for line in few] == [0, 1, 2]
    assert len({line.color for line in few}) == 3
    many = chain_lines(np.array([1.0, 9.0, 1.0, 5.0, 1.0, 1.0, 1.0, 7.0]))
    assert sorted(line.chain for line in many) == list(range(8))
    assert [line.chain for line in many if line.named] == [1, 3, 7]
    assert len({line.color for line in many if line.named}) == NAMED_CHAINS
    assert [line.named for line in many] == [False] * 5 + [True] * 3, "what is named is drawn last"


def test_the_ranks_of_all_parameters_point_at_the_chain_that_is_off(separate):
    found = find_ranks(separate.posterior)
    names = [panel.name for panel in found.panels]
    assert {"lp", "log_density[0]", "weights[1]", "mean[1, waiting]", "scale[0, eruptions]"} <= set(names)
    assert found.n_quantities == len(names)
    assert STUCK in found.named
    assert found.worst[1] == STUCK
    picture = ranks_picture(separate.posterior)
    assert f"chain {STUCK} in {found.worst[0]}" in picture.caption
    assert "Labels were aligned before ranking (trust 1.00)." in picture.caption
    assert "Of 12 chains," in picture.caption
    few = find_ranks(separate.posterior, most=3)
    assert len(few.panels) == 3
    assert found.worst[0] in [panel.name for panel in few.panels]


def test_figures_of_64_chains_show_the_others_as_a_range(separate):
    values = np.random.default_rng(0).normal(size=(64, 50))
    tree = separate.posterior.sampled.copy()
    tree["sample_stats"] = xr.DataTree(xr.Dataset({"lp": (("chain", "draw"), values)}))
    crowd = changed(separate, sampled=tree)
    assert "all others" in svg_text(plots.chains(crowd, "lp"))
    assert "all others" not in svg_text(plots.chains(separate, "lp"))
    with pytest.raises(ValueError, match="most=0"):
        plots.ranks(separate, most=0)


# -- the band of the density


def test_the_band_says_where_em_leaves_it(separate, overlapping):
    inside = band_picture(separate)
    assert "90% band" in inside.caption
    params = separate.fit.params
    away = dataclasses.replace(separate.fit, params=params.replace(mean=params.mean + np.array([0.0, 15.0])))
    found = band_picture(dataclasses.replace(separate, fit=away)).caption
    share = float(re.search(r"over ([\d.]+)% of its mass at most for waiting", found)[1])
    assert share > 50
    assert band_picture(overlapping) is None, "the density of one feature is drawn already"


@pytest.mark.parametrize("draw", [plots.modes, plots.labels, plots.ranks, plots.density_band])
def test_widths_are_kept_and_grey_is_for_draws_that_have_not_converged(separate, draw):
    for width in (4.0, 7.0):
        assert draw(separate, width=width).get_size_inches()[0] == width
    found = dataclasses.replace(separate.posterior.diagnostics, status=PosteriorStatus.not_converged)
    doubtful = changed(separate, diagnostics=found)
    assert not uses(draw(doubtful), style.POSTERIOR)
    assert uses(draw(separate), style.POSTERIOR) == (draw is not plots.ranks), "chains have colours of their own"
