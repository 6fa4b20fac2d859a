"""The numbers of a sweep's page, against NumPy and by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic_study import declare, sweep_of

from emjax.experiments.summary.measures import (
    MEASURE,
    Point,
    answers,
    expected_band,
    falls_short,
    kinds_in,
    paired_difference,
    per_replicate,
    points,
    summarize_measures,
    table_measures,
)
from emjax.experiments.summary.sweep import assemble


@pytest.fixture(scope="module")
def sweep():
    return sweep_of(declare({"data.n_samples": (100, 1000)}, 40))


@pytest.fixture(scope="module")
def summary(sweep):
    return summarize_measures(sweep.rows, sweep.good)


def trusted_values(sweep, method, quantity):
    """Values of the first cell by replicate and parameter, of trusted outcomes alone."""
    rows = sweep.rows[(sweep.rows["cell"] == sweep.cells[0].key) & (sweep.rows["method"] == method)]
    trusted = rows[(rows["quantity"] == "trusted") & (rows["value"] == 1)]["replicate"]
    rows = rows[rows["replicate"].isin(trusted) & (rows["quantity"] == quantity)]
    return rows.astype({"parameter": str}).pivot(index="replicate", columns="parameter", values="value")


def only(summary, cell, method, measure, group=""):
    found = [p for p in points(summary, measure, group) if (p.cell, p.method) == (cell, method)]
    assert len(found) == 1
    return found[0]


def test_rmse_averages_within_the_replicate_first(sweep, summary):
    errors = trusted_values(sweep, "em", "error")[["mean[0, x]", "mean[1, x]"]]
    squares = (errors.to_numpy() ** 2).mean(axis=1)
    found = only(summary, sweep.cells[0].key, "em", "rmse", "mean")
    assert found.n == len(errors) < 40, "the drawn study has untrusted outcomes, and they are left out"
    assert found.value == pytest.approx(math.sqrt(squares.mean()))
    assert found.mcse == pytest.approx(squares.std(ddof=1) / math.sqrt(len(squares)) / (2 * found.value))


def test_means_have_students_band(sweep, summary):
    losses = trusted_values(sweep, "MAP", "log_score_loss").to_numpy().ravel()
    found = only(summary, sweep.cells[0].key, "MAP", "log_score_loss")
    low, high = stats.t.interval(0.95, len(losses) - 1, losses.mean(), stats.sem(losses))
    assert (found.value, found.lower, found.upper) == pytest.approx((losses.mean(), low, high))


def test_bias_is_signed_and_per_parameter(sweep, summary):
    errors = trusted_values(sweep, "hmc", "error")["weights[0]"]
    found = only(summary, sweep.cells[0].key, "hmc", "bias", "weights[0]")
    assert (found.value, found.mcse) == pytest.approx((errors.mean(), stats.sem(errors)))


def test_seconds_count_untrusted_outcomes_too(sweep, summary):
    assert only(summary, sweep.cells[0].key, "em", "run_seconds").n == 40
    assert only(summary, sweep.cells[0].key, "em", "trusted").n == 40


def test_coverage_is_that_of_all_parameters(sweep, summary):
    covered = trusted_values(sweep, "em", "covered").to_numpy()
    found = only(summary, sweep.cells[0].key, "em", "coverage")
    assert found.value == pytest.approx(covered.mean())
    assert 0 < found.lower < found.value < found.upper < 1


def test_answers_that_go_together_count_once():
    """Six parameters that are covered or missed all at once are one answer; independent ones are six."""
    rng = np.random.default_rng(0)
    alone = (rng.random(4000) < 0.8).astype(float)
    apart = (rng.random((4000, 6)) < 0.8).mean(axis=1)
    n = np.array([4000.0])
    for values, expected in ((alone, 4000), (apart, 24000)):
        share, se = np.array([values.mean()]), np.array([values.std(ddof=1) / math.sqrt(len(values))])
        assert answers(share, se, n)[0] == pytest.approx(expected, rel=0.08)
    assert answers(np.ones(1), np.zeros(1), n)[0] == 4000, "all alike: nothing but the replicates can be counted"


def test_an_outcome_that_does_not_say_so_is_not_trusted(sweep):
    silent = sweep.rows[sweep.rows["quantity"] != "trusted"]
    found = assemble(sweep.study, declared_of(sweep), silent, folder="x", finished=set(), failures={})
    assert not found.outcomes["trusted"].any()
    assert len(found.good) == 0


def declared_of(sweep):
    return {"cells": [{"index": c.index, "key": c.key, "settings": c.settings} for c in sweep.cells], "jobs": []}


def test_rows_of_other_cells_and_replicates_are_left_out(sweep):
    strange = (
        sweep.rows.astype({"cell": str})
        .head(4)
        .assign(cell=["other", *[sweep.cells[0].key] * 3], replicate=[0, 40, 41, 0])
    )
    found = assemble(sweep.study, declared_of(sweep), strange, folder="x", finished=set(), failures={})
    assert found.rows["replicate"].tolist() == [0]


def test_kinds_leave_out_what_cannot_move():
    rows = pd.DataFrame(
        {"quantity": "error", "parameter": ["weights[0]", "scale[0, x]", "mean[0, x]"], "value": [0.0, 0.1, 0.2]}
    )
    assert kinds_in(rows) == ["mean", "scale"]


def test_infinite_values_are_not_dropped(sweep):
    rows = sweep.rows.copy()
    hit = rows["quantity"] == "log_score_loss"
    rows.loc[rows.index[hit][:40], "value"] = np.inf
    found = summarize_measures(rows, rows)
    assert np.isinf(only(found, sweep.cells[0].key, "em", "log_score_loss").value)


def test_paired_differences_are_taken_on_the_same_data():
    common = np.random.default_rng(1).normal(0, 100, 30)
    frame = pd.concat(
        [
            pd.DataFrame({"cell": "c", "method": name, "replicate": range(first, 30), "value": common[first:] + shift})
            for name, first, shift in (("a", 0, 0.0), ("b", 5, np.linspace(0.9, 1.1, 25)))
        ]
    )
    difference, error, n = paired_difference(frame, "c", "b", "a")
    assert (difference, n) == (pytest.approx(1.0), 25)
    assert error < 0.02, "the spread of the data cancels"


@pytest.mark.parametrize(
    ("value", "mcse", "n", "short"),
    [
        (0.80, 0.02, 200, True),
        (0.87, 0.02, 200, False),
        (0.80, 0.02, 5, False),  # five replicates do not know their spread: one answer each says nothing yet
        (0.95, 0.001, 200, False),
        (0.0, 0.0, 50, True),
    ],
)
def test_coverage_falls_short_only_beyond_its_error(value, mcse, n, short):
    point = Point("c", "m", "coverage", "", value, mcse, math.nan, math.nan, n)
    assert falls_short(0.9, point, 3.0) is short


def test_the_expected_band_is_the_binomials():
    low, high = expected_band(0.9, 400)
    assert (low, high) == pytest.approx(0.9 + 1.96 * math.sqrt(0.09 / 400) * np.array([-1, 1]), abs=1e-4)
    assert expected_band(0.9, 1)[1] == 1.0


def test_the_table_shows_what_is_there(sweep, summary):
    shown = [(measure.name, group) for measure, group in table_measures(summary, ["mean", "weights", "scale"])]
    assert shown[:3] == [("rmse", "mean"), ("rmse", "weights"), ("coverage", "")]
    assert ("log_score", "") not in shown
    assert per_replicate(sweep.good, MEASURE["ari"]).shape[1] == 4
