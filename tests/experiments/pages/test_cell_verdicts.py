"""Whether the verdicts of a study were right."""

import numpy as np
import pandas as pd
import pytest
from synthetic_study import declare, shown
from test_estimates import made

from emjax.experiments.summary.verdicts import cell_verdicts, em_good_enough, verdict_frame

METHODS = ({"kind": "map"}, {"kind": "em"}, {"kind": "hmc", "name": "full", "verdict": True})


def verdict_record(rows, **levels):
    """The frame of the rows of some cells, which may have levels of their own."""
    cells = [
        {"index": place, "key": key, "settings": {"level": levels[key]} if key in levels else {}}
        for place, key in enumerate(dict.fromkeys(rows["cell"]))
    ]
    study = declare({}, 100, METHODS)
    return verdict_frame(cell_verdicts(shown(study, {"cells": cells, "jobs": []}, rows)))


def rows_of(records, method="em", cell="a"):
    return made(records, method).assign(cell=cell)


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
    (line,) = verdict_record(verdicts(SAID, covered, gain)).to_dict("records")
    assert (line["cell"], line["method"], line["n"]) == ("a", "full", 100)
    assert [line[name] for name in ("em_sufficient", "em_with_intervals", "mcmc_needed", "inconclusive")] == [
        50, 20, 20, 10,
    ]  # fmt: skip
    assert line["em_coverage"] == pytest.approx(covered)
    assert line["log_score_gain"] == pytest.approx(gain, abs=5e-4)
    assert line["em_good_enough"] is good
    assert (line["n_right"], line["n_wrong"]) == ((70, 20) if good else (20, 70))


def test_a_missing_interval_covers_nothing():
    rows = verdicts(SAID, 1.0)
    lost = (rows["quantity"] == "covered") & (rows["replicate"] < 40)
    (line,) = verdict_record(rows[~lost]).to_dict("records")
    assert line["em_coverage"] == pytest.approx(0.6)
    assert line["em_good_enough"] is False


def test_no_interval_at_all_covers_nothing_where_intervals_were_asked_for():
    rows = verdicts(SAID)
    rows = rows[rows["quantity"] != "covered"]
    errors = rows_of({("error", "a"): np.full(100, 0.1)})
    withheld = rows_of({("intervals_withheld", ""): np.ones(100)})
    without_intervals = pd.concat([rows, errors])
    assert np.isnan(verdict_record(without_intervals).iloc[0]["em_coverage"])
    (line,) = verdict_record(pd.concat([without_intervals, withheld])).to_dict("records")
    assert line["em_coverage"] == 0.0
    assert line["em_good_enough"] is False


def test_a_sampler_that_is_not_trusted_is_no_yardstick():
    # Where it is trusted it predicts better than EM, and where it is not it predicts far worse.
    gains = np.where(np.arange(100) % 2 == 1, 0.1, -5.0)
    rows = verdicts(SAID, gain=gains)
    doubted = rows_of({("trusted", ""): np.arange(100) % 2}, "full")
    (blind,) = verdict_record(rows).to_dict("records")
    assert blind["em_good_enough"] is True
    (line,) = verdict_record(pd.concat([rows, doubted])).to_dict("records")
    assert line["log_score_gain"] == pytest.approx(0.1, abs=1e-3)
    assert line["em_good_enough"] is False


def test_a_coverage_that_is_hardly_known_says_nothing_for_em():
    assert em_good_enough(0.5, 0.2, 0.9, float("nan"), float("nan")) is None
    assert em_good_enough(0.2, 0.2, 0.9, float("nan"), float("nan")) is False


def test_what_is_unknown_is_not_judged():
    rows = verdicts(SAID, 0.5)
    only_scores = rows[rows["quantity"] != "covered"]
    (line,) = verdict_record(only_scores).to_dict("records")
    assert line["em_good_enough"] is True
    assert np.isnan(line["em_coverage"])
    (line,) = verdict_record(only_scores[only_scores["quantity"] != "log_score"]).to_dict("records")
    assert line["em_good_enough"] is None
    assert (line["n_right"], line["n_wrong"]) == (0, 0)
    assert len(verdict_record(rows[rows["quantity"] != "verdict"])) == 0


def test_each_cell_is_judged_by_itself_at_its_own_level():
    rows = pd.concat([verdicts(SAID, 0.6, cell="low"), verdicts(SAID, 0.6, cell="high")])
    table = verdict_record(rows, low=0.6, high=0.9).set_index("cell")
    assert table.loc["low", "em_good_enough"] is True
    assert table.loc["high", "em_good_enough"] is False
    assert table["level"].to_dict() == {"low": 0.6, "high": 0.9}


def test_the_definition_in_numbers():
    nan = float("nan")
    assert em_good_enough(0.851, 0.0, 0.9, 0.0049, 0.0) is True
    assert em_good_enough(0.849, 0.0, 0.9, 0.0, 0.0) is False
    assert em_good_enough(0.835, 0.01, 0.9, 0.0, 0.0) is True
    assert em_good_enough(0.9, 0.01, 0.9, 0.0051, 0.0) is False
    assert em_good_enough(0.9, 0.01, 0.9, 0.0151, 0.006) is True
    assert em_good_enough(0.9, 0.01, 0.9, nan, nan) is True
    assert em_good_enough(nan, nan, 0.9, 0.0, nan) is None
    assert em_good_enough(0.9, 0.01, 0.9, np.inf, nan) is False
