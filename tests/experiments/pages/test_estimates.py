"""The numbers of a view's page, against NumPy and by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic_study import declare, shown, view_of

from emjax.experiments.summary.estimates import (
    Point,
    answers,
    expected_band,
    falls_short,
    kinds_in,
    paired_difference,
    points,
    summarize,
    wilson,
)
from emjax.experiments.summary.measures import MEASURE, Measure, main_measures


@pytest.fixture(scope="module")
def view():
    return view_of(declare({"data.n_samples": (100, 1000)}, 40))


@pytest.fixture(scope="module")
def summary(view):
    return view.means


def trusted_values(view, method, quantity):
    """Values of the first cell by replicate and parameter, of trusted outcomes alone."""
    rows = view.planned_rows[
        (view.planned_rows["cell"] == view.places[0].key) & (view.planned_rows["method"] == method)
    ]
    trusted = rows[(rows["quantity"] == "trusted") & (rows["value"] == 1)]["replicate"]
    rows = rows[rows["replicate"].isin(trusted) & (rows["quantity"] == quantity)]
    return rows.astype({"parameter": str}).pivot(index="replicate", columns="parameter", values="value")


def only(summary, cell, method, measure, group=""):
    found = [p for p in points(summary, measure, group) if (p.cell, p.method) == (cell, method)]
    assert len(found) == 1
    return found[0]


def test_rmse_averages_within_the_replicate_first(view, summary):
    errors = trusted_values(view, "em", "error")[["mean[0, x]", "mean[1, x]"]]
    squares = (errors.to_numpy() ** 2).mean(axis=1)
    found = only(summary, view.places[0].key, "em", "rmse", "mean")
    assert found.n == len(errors) < 40, "the drawn study has untrusted outcomes, and they are left out"
    assert found.value == pytest.approx(math.sqrt(squares.mean()))
    assert found.mcse == pytest.approx(squares.std(ddof=1) / math.sqrt(len(squares)) / (2 * found.value))


def of_quantity(quantity, covered):
    """Rows of one method in one cell: a line of ``covered`` for each replicate, a parameter after the other."""
    names = ["weights[0]", "mean[0, x]", "mean[1, x]"]
    return [
        ("c", "em", replicate, quantity, name, value)
        for replicate, line in enumerate(covered)
        for name, value in zip(names, line, strict=True)
    ]


def test_the_worst_parameter_stands_beside_the_mean_at_every_level():
    covered = [[1, 1, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1]]
    lower = [[0, 1, 0], [1, 0, 1], [0, 1, 0], [1, 0, 1]]
    rows = of_quantity("covered", covered) + of_quantity("covered_50", lower)
    rows += of_quantity("width_50", [[0.1, 0.3, 0.5]] * 4)
    frame = pd.DataFrame(rows, columns=["cell", "method", "replicate", "quantity", "parameter", "value"])
    found = summarize(frame, frame)
    assert only(found, "c", "em", "coverage").value == pytest.approx(9 / 12)
    worst = only(found, "c", "em", "worst_coverage")
    assert (worst.value, worst.n) == (0.5, 4)
    assert worst.mcse == pytest.approx(np.std([0, 1, 0, 1], ddof=1) / 2)
    assert only(found, "c", "em", "coverage_50").value == pytest.approx(0.5)
    assert only(found, "c", "em", "coverage_50", "mean").value == pytest.approx(0.5)
    assert only(found, "c", "em", "worst_coverage_50").value == 0.5
    assert only(found, "c", "em", "width_50", "mean").value == pytest.approx(0.4)


def test_means_have_students_band(view, summary):
    losses = trusted_values(view, "MAP", "log_score_loss").to_numpy().ravel()
    found = only(summary, view.places[0].key, "MAP", "log_score_loss")
    low, high = stats.t.interval(0.95, len(losses) - 1, losses.mean(), stats.sem(losses))
    assert (found.value, found.lower, found.upper) == pytest.approx((losses.mean(), low, high))


def test_bias_is_signed_and_per_parameter(view, summary):
    errors = trusted_values(view, "hmc", "error")["weights[0]"]
    found = only(summary, view.places[0].key, "hmc", "bias", "weights[0]")
    assert (found.value, found.mcse) == pytest.approx((errors.mean(), stats.sem(errors)))


def test_seconds_count_untrusted_outcomes_too(view, summary):
    assert only(summary, view.places[0].key, "em", "run_seconds").n == 40
    assert only(summary, view.places[0].key, "em", "trusted").n == 40


def test_coverage_is_that_of_all_parameters(view, summary):
    covered = trusted_values(view, "em", "covered").to_numpy()
    found = only(summary, view.places[0].key, "em", "coverage")
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


def test_an_outcome_that_does_not_say_so_is_not_trusted(view):
    silent = view.planned_rows[view.planned_rows["quantity"] != "trusted"]
    found = shown(view.study, view.declaration, silent)
    assert not found.outcomes["trusted"].any()
    assert len(found.good) == 0


def test_rows_of_other_cells_and_replicates_are_left_out(view):
    strange = (
        view.planned_rows.astype({"cell": str})
        .head(4)
        .assign(cell=["other", *[view.places[0].key] * 3], replicate=[0, 40, 41, 0])
    )
    found = shown(view.study, view.declaration, strange)
    assert found.planned_rows["replicate"].tolist() == [0]


def test_kinds_leave_out_what_cannot_move():
    rows = pd.DataFrame(
        {"quantity": "error", "parameter": ["weights[0]", "scale[0, x]", "mean[0, x]"], "value": [0.0, 0.1, 0.2]}
    )
    assert kinds_in(rows) == ["mean", "scale"]


def test_infinite_values_are_not_dropped(view):
    rows = view.planned_rows.copy()
    hit = rows["quantity"] == "log_score_loss"
    rows.loc[rows.index[hit][:40], "value"] = np.inf
    found = summarize(rows, rows)
    assert np.isinf(only(found, view.places[0].key, "em", "log_score_loss").value)


def test_paired_differences_are_taken_on_the_same_data():
    common = np.random.default_rng(1).normal(0, 100, 30)
    one = pd.Series(common[5:] + np.linspace(0.9, 1.1, 25), index=range(5, 30))
    difference, error, n = paired_difference(one, pd.Series(common, index=range(30)))
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


def test_the_table_shows_what_is_there(view, summary):
    shown = [(measure.name, group) for measure, group in main_measures(summary, ["mean", "weights", "scale"])]
    assert shown[:3] == [("rmse", "mean"), ("rmse", "weights"), ("coverage", "")]
    assert ("log_score", "") not in shown


def made(records, method="em"):
    """Rows of one cell from ``{(quantity, parameter): one value per replicate, None where there is no row}``."""
    rows = [
        ("a", replicate, method, quantity, parameter, float(value), "converged")
        for (quantity, parameter), values in records.items()
        for replicate, value in enumerate(values)
        if value is not None
    ]
    columns = ["cell", "replicate", "method", "quantity", "parameter", "value", "status"]
    return pd.DataFrame(rows, columns=columns).astype({"replicate": "int32"})


def line(table, measure, group=""):
    (found,) = table[(table["measure"] == measure) & (table["group"] == group)].to_dict("records")
    return found


def test_performance_measures_by_hand():
    errors = np.array([0.3, -0.1, 0.2, 0.4])
    rows = made(
        {
            ("trusted", ""): [1, 1, 1, 1],
            ("error", "m"): errors,
            ("estimate", "m"): 5 + errors,
            ("se", "m"): [0.1, 0.2, 0.2, 0.4],
            ("covered", "m"): [1, 0, 1, None],
            ("ari", ""): [4.0, 1.0, 3.0, 2.0],
        }
    )
    table = summarize(rows)
    assert line(table, "bias", "m")["value"] == pytest.approx(0.2)
    rmse, squares = line(table, "rmse", "m"), errors**2
    assert rmse["value"] == pytest.approx(np.sqrt(squares.mean()))
    assert rmse["mcse"] == pytest.approx(squares.std(ddof=1) / 2 / (2 * rmse["value"]))
    spread = line(table, "empirical_se", "m")
    assert (spread["value"], spread["mcse"]) == pytest.approx((np.std(errors, ddof=1), np.std(errors, ddof=1) / 6**0.5))
    assert line(table, "mean_se", "m")["value"] == pytest.approx(np.sqrt(np.mean(np.square([0.1, 0.2, 0.2, 0.4]))))
    coverage = line(table, "coverage", "m")
    exact = stats.binomtest(2, 3).proportion_ci(method="wilson")
    assert (coverage["n"], coverage["value"]) == (3, pytest.approx(2 / 3))
    assert (coverage["lower"], coverage["upper"]) == pytest.approx((exact.low, exact.high), abs=1e-9)
    ari = line(table, "ari")
    assert (ari["value"], ari["median"], ari["sd"]) == pytest.approx((2.5, 2.5, np.std([4, 1, 3, 2], ddof=1)))
    assert (ari["q05"], ari["q95"]) == pytest.approx(tuple(np.quantile([4, 1, 3, 2], [0.05, 0.95])))


def test_untrusted_outcomes_count_where_they_are_asked_for():
    rows = made({("trusted", ""): [1, 1, 0, 0], ("covered", "m"): [1, 1, 0, 0]})
    assert line(summarize(rows), "coverage")["value"] == 1.0
    assert line(summarize(rows, rows), "coverage")["value"] == 0.5
    assert line(summarize(rows), "trusted")["value"] == 0.5


def test_wilson_is_that_of_scipy_and_never_a_point():
    for hits, n in ((0, 10), (7, 10), (200, 200)):
        exact = stats.binomtest(hits, n).proportion_ci(method="wilson")
        found = wilson(np.array([hits / n]), np.array([n]))
        assert (found[0][0], found[1][0]) == pytest.approx((exact.low, exact.high), abs=1e-12)
    always = summarize(made({("covered", "m"): [1.0] * 20, ("trusted", ""): [1.0] * 20}))
    assert line(always, "coverage", "m")["lower"] == pytest.approx(found_low(20))


def test_whether_something_is_so_is_a_share_with_its_band():
    found = line(
        summarize(made({("intervals_rough", ""): [1.0] * 7 + [0.0] * 3, ("trusted", ""): [1.0] * 10})),
        "intervals_rough",
    )
    assert (found["value"], found["upper"]) == (
        0.7,
        pytest.approx(stats.binomtest(7, 10).proportion_ci(method="wilson").high),
    )


def found_low(n: int) -> float:
    return stats.binomtest(n, n).proportion_ci(method="wilson").low


def test_monte_carlo_errors_are_the_spread_over_studies():
    n_studies, n_replicates = 500, 40
    cell, replicate = np.indices((n_studies, n_replicates)).reshape(2, -1)
    values = np.random.default_rng(1).normal(0.5, 1.0, cell.size)
    rows = pd.DataFrame({"cell": cell, "replicate": replicate, "method": "em", "parameter": "m", "value": values})
    table = summarize(*[pd.concat([rows.assign(quantity=name, status="") for name in ("error", "estimate")])] * 2)
    for measure in ("bias", "rmse", "empirical_se"):
        lines = table[(table["measure"] == measure) & (table["group"] == "m")]
        # The spread of 500 is known to 3 %; the delta method adds its own few per cent at n = 40.
        assert lines["mcse"].mean() == pytest.approx(lines["value"].std(ddof=1), rel=0.14)
        assert len(lines) == n_studies


def test_single_values_have_no_error_and_nothing_has_no_line():
    table = summarize(made({("error", "m"): [0.1], ("trusted", ""): [1.0]}).astype({"cell": "category"}))
    assert table.loc[table["measure"] == "bias", "mcse"].isna().all()
    assert len(summarize(made({}))) == 0


def test_numbers_of_the_users_own_are_summarised_like_ours():
    rows = made({("trusted", ""): [1, 1], ("regret", ""): [1.0, 3.0], ("verdict", "mcmc_needed"): [1.0, 1.0]})
    own = Measure("regret", "regret", "regret", "what was lost", 1)
    table = summarize(rows, given=[own])
    assert line(table, "regret")["value"] == 2.0
    assert "verdict" not in set(table["measure"])
    assert main_measures(table, [], [own]) == [(own, "")]
    assert line(summarize(rows), "regret")["value"] == 2.0, "without words it is summarised too"
    assert "regret" not in MEASURE
