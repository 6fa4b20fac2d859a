"""Numbers as a person reads them: two digits of the error decide the decimals."""

import math

import pytest
from rich.console import Console

from emjax.experiments.terminal import comparison_view, interval_text, optima_text, with_error


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (54.47851, 0.6978, "54.48 ± 0.70"),
        (0.355872, 0.0297, "0.356 ± 0.030"),
        (-1234.5678, 12.3, "-1235 ± 12"),
        (203456789.1, 12345.0, "203456789 ± 12345"),
        (1e12, 1.0, "1e+12 ± 1"),
        (1e-12, 1e-13, "1e-12 ± 1e-13"),
        (1.23456, None, "1.235"),
        (1.23456, math.nan, "1.235"),
        (1.23456, 0.0, "1.235 ± 0"),
        (None, None, "-"),
        (math.nan, 1.0, "-"),
    ],
)
def test_a_value_with_its_error(value, error, expected):
    assert with_error(value, error) == expected


@pytest.mark.parametrize(
    ("lower", "upper", "error", "expected"),
    [
        (0.30812, 0.40798, 0.029, "0.308 to 0.408"),
        (53.4, 55.51, 0.62, "53.40 to 55.51"),
        (1e-12, 3e-12, 1e-12, "1e-12 to 3e-12"),
        (None, 1.0, 0.1, "-"),
        (math.nan, math.nan, math.nan, "-"),
    ],
)
def test_an_interval(lower, upper, error, expected):
    assert interval_text(lower, upper, error) == expected


def optimum(objective: float, count: int, spurious: bool = False) -> dict:
    return {"objective": objective, "count": count, "spurious": spurious}


@pytest.mark.parametrize(
    ("optima", "expected"),
    [
        ([optimum(-1.0, 1)], "one start"),
        ([optimum(-1.0, 10)], "10 starts, one optimum"),
        (
            [optimum(-1.0, 8), optimum(-0.5, 2, True)],
            "10 starts, 2 end points: -1.000 (x8), -0.500 (x2, spurious)",
        ),
        (
            [optimum(-float(i), 1) for i in range(1, 7)],
            "6 starts, 6 end points: -1.000 (x1), -2.000 (x1), -3.000 (x1), -4.000 (x1) and 2 more",
        ),
    ],
)
def test_the_starts_are_counted(optima, expected):
    assert optima_text(optima) == expected


CONVERGED = {"posterior": {"status": "converged"}}


def test_a_posterior_that_has_not_converged_is_not_printed():
    row = {"name": "weights[0]", "em": 0.25, "se": 0.1, "mean": 0.75, "sd": 0.2, "width_ratio": 3.0}
    document = {
        "verdict": "inconclusive",
        "reasons": ["the chains disagree"],
        "parameters": [{**row, "difference_in_sd": -2.5}],
        "diagnostics": {"posterior": {"status": "not_converged"}},
    }
    console = Console(width=80, markup=False)
    with console.capture() as captured:
        for part in comparison_view(document, "data", []):
            console.print(part)
    printed = captured.get()
    assert "0.25 ± 0.10" in printed
    assert not any(number in printed for number in ("0.75", "0.20", "-2.50", "3.00"))
    assert "The draws are not a posterior yet" in printed


def test_a_long_table_says_what_it_leaves_out():
    row = dict.fromkeys(("em", "se", "mean", "sd", "difference_in_sd", "width_ratio"), 0.5)
    document = {
        "verdict": "mcmc_needed",
        "reasons": ["a reason that goes on " * 8],
        "parameters": [{"name": f"mean[{i}, a rather long feature name]", **row} for i in range(50)],
        "diagnostics": CONVERGED,
    }
    console = Console(width=80, markup=False)
    with console.capture() as captured:
        for part in comparison_view(document, "data", ["runs/a/report.html"]):
            console.print(part)
    lines = captured.get().splitlines()
    assert lines[0].startswith("Use MCMC: ")
    assert max(map(len, lines)) <= 80
    assert "... and 10 more rows in the run's folder" in lines
    assert lines[-1] == "runs/a/report.html"


@pytest.mark.parametrize(
    ("apart", "expected"), [(-0.001, " 0.00 sd"), (0.001, " 0.00 sd"), (-0.51, "-0.51 sd"), (1.0, "+1.00 sd")]
)
def test_a_difference_that_rounds_to_nothing_has_no_sign(apart, expected):
    row = {"name": "weights[0]", "em": 0.5, "se": 0.1, "mean": 0.5, "sd": 0.1, "width_ratio": 1.0}
    rows = [{**row, "difference_in_sd": apart}]
    document = {"verdict": "em_sufficient", "reasons": [], "parameters": rows, "diagnostics": CONVERGED}
    console = Console(width=80, markup=False)
    with console.capture() as captured:
        for part in comparison_view(document, "data", []):
            console.print(part)
    assert expected in captured.get()
