"""`select`: what it fits, how it ranks, and what it says of models that cannot be compared."""

import csv
import dataclasses
import functools
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

import emjax
from emjax.result import Status
from emjax.selection.candidates import groups_of
from emjax.selection.selection import Candidate, Selection

FAITHFUL = emjax.datasets.load("faithful")
MCLUST = Path(__file__).parents[1] / "reference" / "mclust_faithful.csv"
CALLED = {"VVV": "full", "EEE": "tied", "VVI": "diag", "VII": "spherical"}
OURS = CALLED | {name: name for name in ("EII", "EEI", "VEI", "EVI", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV")}


@functools.cache
def swept() -> Selection:
    """One structure, which is one compilation; the last number of components has more than there are rows."""
    return emjax.select(FAITHFUL, family=emjax.Normal("tied"), n_components=[3, 1, 2, 300], key=0, n_init=6)


def of_mclust(structures, most=9):
    """mclust's BIC with our sign, by structure and number of components, where its fit is regular."""
    with MCLUST.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if OURS.get(row["model"]) in structures and row["bic"]]
    return {
        (OURS[row["model"]], int(row["n_components"])): -float(row["bic"])
        for row in rows
        if int(row["n_components"]) <= most and float(row["smallest_ratio"]) > 1e-3
    }


def test_no_bic_is_worse_than_that_of_mclust():
    found = {("tied", each.n_components): each.value("bic") for each in swept().candidates}
    theirs = of_mclust({"tied"}, most=3)
    assert len(theirs) == 3
    assert all(found[cell] <= bic + 1e-4 for cell, bic in theirs.items())


@pytest.mark.slow
def test_no_bic_of_any_structure_is_worse_than_that_of_mclust():
    selection = emjax.select(FAITHFUL, covariance="all", key=0)
    found = {(each.name, each.n_components): each.value("bic") for each in selection.candidates}
    theirs = of_mclust(set(OURS.values()))
    assert len(theirs) == 126
    assert {cell: bic for cell, bic in theirs.items() if not found[cell] <= bic + 1e-4} == {}
    # mclust's own choice among these structures.
    assert (selection.ranked()[0].name, selection.ranked()[0].n_components) == ("tied", 3)
    assert all(not each.unreplicated for each in selection.candidates if each.name in CALLED.values())


def test_a_candidate_is_what_fit_gives_with_the_same_key():
    selection = swept()
    candidate = selection.candidates[1]
    alone = emjax.fit(emjax.Mixture(emjax.Normal("tied"), 2), FAITHFUL, key=selection.key, n_init=6)
    assert candidate.fit.log_likelihood == pytest.approx(alone.log_likelihood, rel=1e-12)
    assert candidate.value("bic") == pytest.approx(alone.bic(), rel=1e-12)
    assert candidate.value("icl") == pytest.approx(alone.icl(), rel=1e-12)
    assert candidate.value("aic") == pytest.approx(alone.aic(), rel=1e-12)
    shares = alone.predict_proba()
    gain = alone.log_likelihood - selection.candidates[0].fit.log_likelihood
    entropy = -np.sum(shares * np.log(np.maximum(shares, 1e-300)))
    assert candidate.value("nec") == pytest.approx(entropy / gain, rel=1e-8)


def test_one_that_cannot_be_fitted_is_a_row_with_its_reason():
    selection = swept()
    assert [each.n_components for each in selection.candidates] == [1, 2, 3, 300]
    failed = selection.candidates[-1]
    assert failed.fit is None
    assert failed.flags == ("failed",)
    assert "fewer than 2 for each parameter" in failed.failure
    assert failed not in selection.ranked()
    assert "tied, K = 300: the data have 544 values" in str(selection)


def test_the_ranking_and_its_table():
    selection = swept()
    assert [each.n_components for each in selection.ranked("bic")] == [3, 2, 1]
    assert [each.n_components for each in selection.ranked("icl")] == [2, 3, 1]
    assert selection.best().mixture.n_components == 3
    assert selection.best("icl").mixture.n_components == 2
    frame = selection.to_frame()
    assert list(frame["n_components"]) == [3, 2, 1, 300]
    assert frame["difference"][0] == 0.0
    assert frame["difference"][1] == pytest.approx(2325.220 - 2314.296, abs=2e-3)
    assert frame["reason"][3]
    assert max(map(len, str(selection).splitlines()[:6])) <= 80
    assert "BIC: tied, 3 components" in selection._repr_html_()
    assert selection.plot(width=4.0).axes
    assert repr(selection).startswith("Selection(candidates=")


def test_an_interruption_leaves_what_was_fitted():
    def interrupt(done, total, best):
        assert (total, best) == (3, "tied")
        raise KeyboardInterrupt

    options = {"family": emjax.Normal("tied"), "n_components": [1, 2, 3], "key": 0, "n_init": 6}
    selection = emjax.select(FAITHFUL, on_progress=interrupt, **options)
    assert selection.interrupted
    assert [each.fit is None for each in selection.candidates] == [False, True, True]
    assert "was interrupted" in selection.candidates[2].failure
    assert "The sweep was interrupted." in str(selection)
    assert "The sweep was interrupted." in selection._repr_html_()


@pytest.mark.slow
def test_weights_are_counts_of_rows():
    x = np.random.default_rng(2).normal(size=(40, 1))
    counts = np.arange(40) % 3
    options = {"family": emjax.Normal("tied"), "n_components": [1, 2], "key": 0, "n_init": 2}
    weighted = emjax.select(x, weights=counts, **options)
    alone = weighted.candidates[0]
    repeated = np.repeat(x[:, 0], counts)
    expected = -2.0 * norm.logpdf(repeated, repeated.mean(), repeated.std()).sum() + 2 * math.log(len(repeated))
    assert alone.value("bic") == pytest.approx(expected, rel=1e-9)


def of(n_components, bic, *, status=Status.CONVERGED, spurious=False, count=20):
    """A candidate whose fit ended so."""
    fit = swept().candidates[1].fit
    optimum = dataclasses.replace(fit.optima[0], status=status, spurious=spurious, count=count)
    fit = dataclasses.replace(fit, status=status, optima=(optimum,))
    return Candidate("tied", fit.mixture.family, n_components, fit, values={"bic": bic})


def test_flags_and_what_they_keep_from_the_ranking():
    candidates = (
        of(1, 30.0),
        of(2, 20.0, count=2),
        of(3, 17.5, spurious=True),
        of(4, 5.0, status=Status.DEGENERATE),
        of(5, math.nan),
    )
    selection = Selection(candidates, "bic", key=0)
    assert [each.flags for each in candidates] == [(), ("unreplicated",), ("spurious",), ("degenerate",), ()]
    assert [each.n_components for each in selection.ranked()] == [2, 1]
    assert "17.5" not in str(selection)
    assert "Fewer than 3 starts reached" in selection._repr_html_()
    with pytest.raises(emjax.FitError, match="no candidate has a BIC"):
        Selection(candidates[2:], "bic").best()


def test_what_is_swept():
    def names(x, **options):
        given = {"family": "normal", "n_components": 2, "covariance": None, "weights": None, "labels": None}
        groups = groups_of(x, **{**given, "prior": None, **options})
        return [each.name for each in groups]

    two, one = np.random.default_rng(0).normal(size=(30, 2)), np.random.default_rng(0).normal(size=30)
    assert set(names(two)) == {"full", "tied", "diag", "spherical"}
    assert sorted(names(two, covariance="all")) == sorted(OURS.values())
    assert names(two, covariance=["full", "tied"]) == ["full", "tied"]
    assert names(two, family=emjax.Normal("diag")) == ["diag"]
    # Of one feature there are two models.
    assert sorted(names(one)) == ["full", "tied"] == sorted(names(one, covariance="all"))
    assert names(one, covariance=["EII", "VEV"]) == ["EII", "VEV"]
    assert names(two, family=["normal", "student_t"], covariance="full") == ["normal full", "student_t full"]
    with pytest.raises(emjax.ConfigError, match="densities are of different kinds"):
        names(np.abs(np.round(two)), family=["normal", "poisson"])
    with pytest.raises(emjax.ConfigError, match="did you mean 'spherical'"):
        names(two, covariance="sphericl")
    with pytest.raises(emjax.ConfigError, match="n_components = 0"):
        names(two, n_components=range(3))
    with pytest.raises(emjax.ConfigError, match="n_components is empty"):
        names(two, n_components=[])
    with pytest.raises(emjax.ConfigError, match="criterion='bica'"):
        emjax.select(two, criterion="bica")
    with pytest.raises(emjax.DataError, match=r"NaN|infinite"):
        names(np.array([1.0, np.inf]))


def test_data_bear_so_many_components():
    """BIC has nine with one variance for the best of ten draws from a normal: each of them is nearly a row."""

    def borne(x, family, **options):
        given = {"n_components": range(1, 99), "covariance": None, "weights": None, "labels": None, "prior": None}
        (group,) = groups_of(x, **{**given, "family": family, **options})
        return [each for each in group.n_components if not group.refuses(each)][-1]

    x = np.random.default_rng(0).normal(size=(10, 1))
    assert borne(x, emjax.Normal("tied")) == 2
    assert borne(x, emjax.Normal("tied"), weights=np.full(10, 5.0)) == 12  # as many rows
    assert borne(x, emjax.Normal("tied"), weights=np.full(10, 0.1)) == 2
    assert borne(np.where(x > 1, np.nan, x), emjax.Normal("tied")) == 2
    assert borne(x, emjax.Normal("tied"), prior="default") == 98
    # One component is what others are compared with, and rows of many features bear more than rows of one.
    assert borne(np.random.default_rng(0).normal(size=(22, 20)), emjax.Normal("full")) == 1
    assert borne(np.random.default_rng(0).normal(size=(22, 20)), emjax.Normal("spherical")) == 10
    refused = tuple(Candidate("tied", emjax.Normal("tied"), number, None, "no") for number in (2, 4, 5, 6, 7))
    assert "tied, K = 2, 4, 5, 6 and 7: no" in str(Selection(refused, "bic"))
    assert "tied, K = 4 to 7: no" in str(Selection(refused[1:], "bic"))


def test_levels_are_those_of_the_data():
    x = np.random.default_rng(0).integers(3, size=(40, 2))
    selection = emjax.select(x, family="categorical", n_components=[1, 2], n_init=4, key=0)
    assert [each.fit.n_parameters for each in selection.candidates] == [4, 9]
