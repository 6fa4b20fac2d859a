"""Summaries over replicates: formulas by hand, Monte-Carlo errors by repetition, and whether verdicts were right."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from emjax.experiments.config.schema import Study
from emjax.experiments.summary.estimates import DERIVED, summarize, wilson
from emjax.experiments.summary.judgements import em_good_enough, verdict_record

STUDY = Study.model_validate(
    {
        "data": {"kind": "simulate", "weights": [1.0], "mean": [0.0], "scale": [1.0]},
        "model": {"n_components": 1},
        "methods": [{"kind": "map"}, {"kind": "em"}, {"kind": "hmc", "name": "full", "verdict": True}],
    }
)


def rows_of(records, method="em", cell="a"):
    """Rows from ``{(quantity, parameter): one value per replicate, None where there is no row}``."""
    rows = [
        (cell, replicate, method, quantity, parameter, float(value), "converged")
        for (quantity, parameter), values in records.items()
        for replicate, value in enumerate(values)
        if value is not None
    ]
    columns = ["cell", "replicate", "method", "quantity", "parameter", "value", "status"]
    return pd.DataFrame(rows, columns=columns).astype({"replicate": "int32"})


def lookup(table, quantity, parameter="", **group):
    chosen = (table["quantity"] == quantity) & (table["parameter"] == parameter)
    for column, value in group.items():
        chosen &= table[column] == value
    (line,) = table[chosen].to_dict("records")
    return line


def test_moments_and_quantiles_by_hand():
    values = [4.0, 1.0, 3.0, 2.0, 10.0]
    line = lookup(summarize(rows_of({("ari", ""): values})), "ari")
    assert (line["n"], line["mean"], line["median"]) == (5, 4.0, 3.0)
    assert line["sd"] == pytest.approx(np.std(values, ddof=1))
    assert line["mcse"] == pytest.approx(np.std(values, ddof=1) / np.sqrt(5))
    assert (line["q05"], line["q95"]) == pytest.approx(tuple(np.quantile(values, [0.05, 0.95])))
    assert line["upper"] - line["mean"] == pytest.approx(stats.norm.ppf(0.975) * line["mcse"])


def test_performance_measures_by_hand():
    errors, trusted = [0.3, -0.1, 0.2, 0.4], [1, 1, 0, 1]
    covered, widths = [1, 0, 1, None], [1.0, 2.0, 3.0, None]
    table = summarize(
        rows_of(
            {
                ("error", "m"): errors,
                ("estimate", "m"): [5 + error for error in errors],
                ("se", "m"): [0.1, 0.2, 0.2, 0.4],
                ("covered", "m"): covered,
                ("width", "m"): widths,
                ("trusted", ""): trusted,
            }
        )
    )
    assert set(DERIVED) <= set(table["quantity"])
    assert lookup(table, "bias", "m")["mean"] == pytest.approx(0.2)
    squares = np.square(errors)
    rmse = lookup(table, "rmse", "m")
    assert rmse["mean"] == pytest.approx(np.sqrt(squares.mean()))
    assert rmse["mcse"] == pytest.approx(squares.std(ddof=1) / np.sqrt(4) / (2 * rmse["mean"]))
    spread = lookup(table, "empirical_se", "m")
    assert spread["mean"] == pytest.approx(np.std(errors, ddof=1))
    assert spread["mcse"] == pytest.approx(np.std(errors, ddof=1) / np.sqrt(6))
    assert lookup(table, "mean_se", "m")["mean"] == pytest.approx(np.sqrt(np.mean(np.square([0.1, 0.2, 0.2, 0.4]))))
    coverage = lookup(table, "coverage", "m")
    assert (coverage["n"], coverage["mean"]) == (3, pytest.approx(2 / 3))
    assert coverage["mcse"] == pytest.approx(np.sqrt(2 / 9 / 3))
    assert lookup(table, "coverage_trusted", "m")["mean"] == 0.5
    assert lookup(table, "mean_width", "m")["mean"] == 2.0
    failures = lookup(table, "failure_rate")
    assert (failures["n"], failures["mean"]) == (4, 0.25)


def test_wilson_is_that_of_scipy_and_never_a_point():
    for hits, n in ((0, 10), (7, 10), (200, 200)):
        exact = stats.binomtest(hits, n).proportion_ci(method="wilson")
        found = wilson(np.array([hits / n]), np.array([n]))
        assert (found[0][0], found[1][0]) == pytest.approx((exact.low, exact.high), abs=1e-12)
    line = lookup(summarize(rows_of({("covered", "m"): [1.0] * 20, ("trusted", ""): [1.0] * 20})), "coverage", "m")
    assert line["mcse"] == 0.0
    assert line["lower"] == pytest.approx(stats.binomtest(20, 20).proportion_ci(method="wilson").low)


def test_monte_carlo_errors_are_the_spread_over_studies():
    n_studies, n_replicates = 500, 40
    cell, replicate = np.indices((n_studies, n_replicates)).reshape(2, -1)
    values = np.random.default_rng(1).normal(0.5, 1.0, cell.size)
    rows = pd.DataFrame({"cell": cell, "replicate": replicate, "method": "em", "parameter": "m", "value": values})
    table = summarize(pd.concat([rows.assign(quantity=name) for name in ("error", "estimate")]))
    for quantity in ("bias", "rmse", "empirical_se"):
        lines = table[table["quantity"] == quantity]
        assert len(lines) == n_studies
        # The spread of 500 is known to 3 %; the delta method adds its own few per cent at n = 40.
        assert lines["mcse"].mean() == pytest.approx(lines["mean"].std(ddof=1), rel=0.14)


def test_groups_categories_and_single_values():
    rows = pd.concat(
        [rows_of({("error", "m"): [0.1]}, cell="a"), rows_of({("error", "m"): [0.3]}, "map", cell="b")]
    ).assign(**{"data.n_samples": lambda frame: frame["cell"].map({"a": 10, "b": 20})})
    rows = rows.astype({"cell": "category", "method": "category", "quantity": "category", "parameter": "category"})
    table = summarize(rows, by=["data.n_samples", "method"])
    # the two groups that exist, not four; no spread of a single value
    assert sorted(table["quantity"]) == ["bias", "bias", "error", "error", "rmse", "rmse"]
    assert table["mcse"].isna().all()
    line = lookup(table, "rmse", "m", **{"data.n_samples": 20})
    assert (line["n"], line["mean"], line["method"]) == (1, pytest.approx(0.3), "map")


def test_infinite_scores_stay_infinite_and_verdicts_are_no_numbers():
    rows = rows_of({("log_score", ""): [-1.0, -np.inf], ("verdict", "mcmc_needed"): [1.0, 1.0]})
    table = summarize(rows)
    assert lookup(table, "log_score")["mean"] == -np.inf
    assert "verdict" not in set(table["quantity"])


def test_an_empty_frame_has_an_empty_summary():
    table = summarize(rows_of({}))
    assert len(table) == 0
    assert {"cell", "method", "quantity", "parameter", "mean", "mcse"} <= set(table.columns)


# --- verdicts -------------------------------------------------------------------------------------------


def verdicts(said, covered=0.9, gain=0.0, cell="a", n=100, noise=1e-3):
    """A cell: what was said in each replicate, EM's coverage of two parameters, the sampler's gain in log score."""
    rng = np.random.default_rng(3)
    hits = (np.arange(n) < round(covered * n)).astype(float)
    scores = rng.normal(-2.0, 0.3, n)
    em = {("covered", "a"): hits, ("covered", "b"): hits, ("log_score", ""): scores, ("trusted", ""): np.ones(n)}
    sampler = {("log_score", ""): scores + gain + noise * rng.normal(size=n)}
    for verdict in set(said):
        sampler["verdict", verdict] = [1.0 if verdict == one else None for one in said]
    return pd.concat([rows_of(em, "em", cell), rows_of(sampler, "full", cell)], ignore_index=True)


SAID = ["em_sufficient"] * 50 + ["em_with_intervals"] * 20 + ["mcmc_needed"] * 20 + ["inconclusive"] * 10


@pytest.mark.parametrize(
    ("covered", "gain", "good"),
    [(0.9, 0.0, True), (0.84, 0.0, True), (0.5, 0.0, False), (0.9, 0.02, False), (0.9, 0.004, True), (0.9, -1.0, True)],
)
def test_a_verdict_is_right_where_it_says_what_em_was_worth(covered, gain, good):
    (line,) = verdict_record(verdicts(SAID, covered, gain), STUDY).to_dict("records")
    assert (line["cell"], line["method"], line["em_method"], line["n"]) == ("a", "full", "em", 100)
    assert [line[name] for name in ("em_sufficient", "em_with_intervals", "mcmc_needed", "inconclusive")] == [
        0.5,
        0.2,
        0.2,
        0.1,
    ]
    assert line["em_coverage"] == pytest.approx(covered)
    assert line["log_score_gain"] == pytest.approx(gain, abs=5e-4)
    assert line["em_good_enough"] is good
    assert (line["n_right"], line["n_wrong"], line["n_inconclusive"]) == ((70, 20, 10) if good else (20, 70, 10))
    assert line["share_right"] == (0.7 if good else 0.2)


def test_a_missing_interval_covers_nothing():
    rows = verdicts(SAID, 1.0)
    lost = (rows["quantity"] == "covered") & (rows["replicate"] < 40)
    (line,) = verdict_record(rows[~lost], STUDY).to_dict("records")
    assert line["em_coverage"] == pytest.approx(0.6)
    assert line["em_good_enough"] is False


def test_no_interval_at_all_covers_nothing_where_intervals_were_asked_for():
    rows = verdicts(SAID)
    rows = rows[rows["quantity"] != "covered"]
    errors = rows_of({("error", "a"): np.full(100, 0.1)})
    withheld = rows_of({("intervals_withheld", ""): np.ones(100)})
    without_intervals = pd.concat([rows, errors])
    assert np.isnan(verdict_record(without_intervals, STUDY).iloc[0]["em_coverage"])
    (line,) = verdict_record(pd.concat([without_intervals, withheld]), STUDY).to_dict("records")
    assert line["em_coverage"] == 0.0
    assert line["em_good_enough"] is False


def test_a_sampler_that_is_not_trusted_is_no_yardstick():
    # Where it is trusted it predicts better than EM, and where it is not it predicts far worse.
    gains = np.where(np.arange(100) % 2 == 1, 0.1, -5.0)
    rows = verdicts(SAID, gain=gains)
    doubted = rows_of({("trusted", ""): np.arange(100) % 2}, "full")
    (blind,) = verdict_record(rows, STUDY).to_dict("records")
    assert blind["em_good_enough"] is True
    (line,) = verdict_record(pd.concat([rows, doubted]), STUDY).to_dict("records")
    assert line["log_score_gain"] == pytest.approx(0.1, abs=1e-3)
    assert line["em_good_enough"] is False


def test_a_coverage_that_is_hardly_known_says_nothing_for_em():
    assert em_good_enough(0.5, 0.2, float("nan"), float("nan"), 0.9) is None
    assert em_good_enough(0.2, 0.2, float("nan"), float("nan"), 0.9) is False


def test_what_is_unknown_is_not_judged():
    rows = verdicts(SAID, 0.5)
    only_scores = rows[rows["quantity"] != "covered"]
    (line,) = verdict_record(only_scores, STUDY).to_dict("records")
    assert line["em_good_enough"] is True
    assert np.isnan(line["em_coverage"])
    (line,) = verdict_record(only_scores[only_scores["quantity"] != "log_score"], STUDY).to_dict("records")
    assert line["em_good_enough"] is None
    assert (line["n_right"], line["n_wrong"], line["n_inconclusive"]) == (0, 0, 10)
    assert np.isnan(line["share_right"])
    assert len(verdict_record(rows[rows["quantity"] != "verdict"], STUDY)) == 0


def test_each_cell_is_judged_by_itself_at_its_own_level():
    rows = pd.concat(
        [verdicts(SAID, 0.6, cell="low").assign(level=0.6), verdicts(SAID, 0.6, cell="high").assign(level=0.9)]
    )
    table = verdict_record(rows, STUDY).set_index("cell")
    assert table.loc["low", "em_good_enough"] is True
    assert table.loc["high", "em_good_enough"] is False
    assert table["level"].to_dict() == {"low": 0.6, "high": 0.9}


def test_the_definition_in_numbers():
    nan = float("nan")
    assert em_good_enough(0.851, 0.0, 0.0049, 0.0, 0.9) is True
    assert em_good_enough(0.849, 0.0, 0.0, 0.0, 0.9) is False
    assert em_good_enough(0.835, 0.01, 0.0, 0.0, 0.9) is True
    assert em_good_enough(0.9, 0.01, 0.0051, 0.0, 0.9) is False
    assert em_good_enough(0.9, 0.01, 0.0151, 0.006, 0.9) is True
    assert em_good_enough(0.9, 0.01, nan, nan, 0.9) is True
    assert em_good_enough(nan, nan, 0.0, nan, 0.9) is None
    assert em_good_enough(0.9, 0.01, np.inf, nan, 0.9) is False
