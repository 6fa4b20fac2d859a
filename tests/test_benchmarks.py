"""The benchmark command: workloads, the check for equal likelihoods, every package that is there, and the tables."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from benchmarks import report
from benchmarks.__main__ import main
from benchmarks.client import PeerError, Worker
from benchmarks.limits import least_seconds, work
from benchmarks.measure import Row, Session, compare, compared
from benchmarks.memory import peak_above_data
from benchmarks.peers import PEERS
from benchmarks.reference import log_likelihood
from benchmarks.results import Results
from benchmarks.scaling import Scaling
from benchmarks.workloads import Params, Workload, common_start, simulate

SMALL = Workload("T", 300, 1, 2, iterations=3)
FULL = Workload("T", 300, 2, 3, iterations=3)
CORE = (min(os.sched_getaffinity(0)),)


def test_data_come_from_the_seed_alone():
    x, truth = simulate(FULL)
    again, _ = simulate(FULL)
    np.testing.assert_array_equal(x, again)
    _, larger = simulate(dataclasses.replace(FULL, n=1000))
    np.testing.assert_array_equal(truth.means, larger.means)
    assert not np.array_equal(x, simulate(dataclasses.replace(FULL, seed=FULL.seed + 1))[0])


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_data_have_the_moments_they_were_drawn_from(covariance: str):
    x, truth = simulate(Workload("T", 40_000, 3, 4, covariance))
    np.testing.assert_allclose(x.mean(axis=0), truth.weights @ truth.means, atol=0.05)
    second = np.einsum("k,kij->ij", truth.weights, truth.matrices + truth.means[:, :, None] * truth.means[:, None, :])
    np.testing.assert_allclose(x.T @ x / len(x), second, atol=0.15)


def test_means_are_as_far_apart_as_said():
    _, cloud = simulate(Workload("T", 10, 5, 8, distance=3.0))
    gaps = np.linalg.norm(cloud.means[:, None] - cloud.means[None], axis=-1)[np.triu_indices(8, 1)]
    assert np.sqrt(np.mean(gaps**2)) == pytest.approx(3.0)
    _, line = simulate(Workload("T", 10, 2, 3, distance=1.5, layout="line"))
    np.testing.assert_array_equal(line.means, [[0.0, 0.0], [1.5, 0.0], [3.0, 0.0]])


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_likelihood_is_the_mixture_density(covariance: str):
    x, truth = simulate(Workload("T", 50, 3, 2, covariance))
    parts = [multivariate_normal(m, c).pdf(x) for m, c in zip(truth.means, truth.matrices, strict=True)]
    assert log_likelihood(truth, x) == pytest.approx(np.log(truth.weights @ parts).mean(), rel=1e-12)


def test_likelihood_of_an_invalid_covariance_is_not_a_number():
    x, truth = simulate(FULL)
    assert np.isnan(log_likelihood(dataclasses.replace(truth, covariances=-truth.covariances), x))


# `test_the_whole_command` has three of them do the same iterations.
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "double-loop" else pytest.mark.slow) for name in PEERS]
)
def test_every_package_that_is_there_does_the_same_iterations(name: str):
    """Equal iterations from the same start as a plain loop. A package that is not there says what is missing."""
    with Worker(name, CORE) as worker:
        about = worker.ask("describe")
        if about["missing"]:
            assert about["missing"].startswith("not installed: ")
            assert name not in {"emjax", "emjax32", "scikit-learn", "double-loop"}
            return
        assert about["version"]
        worker.ask("prepare", SMALL)
        start = worker.ask("make_start") if PEERS[name].own_start else _start()
        params, seconds = worker.ask("fit", start, SMALL.iterations)
    x, _ = simulate(SMALL)
    tolerance = 1e-11 if PEERS[name].dtype == "float64" else 1e-6
    expected = log_likelihood(_by_hand(start, x, SMALL.iterations), x)
    assert log_likelihood(params, x) == pytest.approx(expected, abs=tolerance)
    assert expected > log_likelihood(start, x) + 1e-4  # there was a way to go
    assert seconds > 0 or PEERS[name].own_start


def _start() -> Params:
    return common_start(SMALL, simulate(SMALL)[1])


def _by_hand(start: Params, x: np.ndarray, n_iter: int) -> Params:
    loop = PEERS["double-loop"]()
    loop.load(x, len(start.weights), "full")
    return loop.fit(start, n_iter)[0]


def test_a_worker_tells_what_went_wrong():
    with Worker("double-loop", CORE) as worker:
        worker.ask("prepare", FULL)
        start = common_start(FULL, simulate(FULL)[1])
        with pytest.raises(PeerError, match="ValueError: written for one feature"):
            worker.ask("fit", start, 1)
        with pytest.raises(PeerError, match="took more than 0 s"):
            worker.ask("prepare", dataclasses.replace(FULL, n=2_000_000), timeout=0.0)
        with pytest.raises(PeerError, match="its process ended"):
            worker.ask("describe")


class _Stub:
    """A worker that runs the double loop, takes a given time, and may be off in the result."""

    def __init__(self, seconds: float, shift: float = 0.0) -> None:
        self.seconds, self.shift, self.asked = seconds, shift, []

    def ask(self, method: str, *arguments, timeout: float = 0.0):
        self.asked.append((method, *arguments[1:]))
        if method != "fit":
            return None
        start, n_iter = arguments
        params = _by_hand(start, simulate(SMALL)[0], n_iter)
        return dataclasses.replace(params, means=params.means + self.shift), self.seconds * (n_iter + 1)

    def close(self) -> None:
        self.asked.append(("close",))


def _run(**stubs: _Stub) -> list[Row]:
    workers = {"emjax": _Stub(0.001), "scikit-learn": stubs["other"]}
    described = {name: {"missing": "", "version": "1"} for name in workers}
    run = Session((0,), repeats=3, budget=0.5, say=lambda _: None, workers=workers, described=described)
    return compare(run, SMALL, ("emjax", "scikit-learn"))


def test_ratios_of_equal_work():
    rows = _run(other=_Stub(0.01))
    assert [row.n_iter for row in rows] == [3, 3]
    assert [len(row.whole) for row in rows] == [3, 3]
    assert rows[1].per_iteration == pytest.approx(0.04 / 3)
    assert rows[1].marginal == pytest.approx(0.01)
    assert compared(rows, rows[1]) == (pytest.approx(10.0), pytest.approx(10.0))
    assert compared(rows, rows[0]) == (None, None)


def test_unequal_likelihood_is_never_a_time():
    rows = _run(other=_Stub(0.01, shift=0.01))
    assert rows[1].reason.startswith("not comparable")
    assert rows[1].whole == []
    page = report.as_markdown(Results({}, rows=rows))
    assert "| scikit-learn | float64 | 3 | not comparable | – | – | – | – |" in page
    assert "log-likelihood per sample differs by" in page
    assert "against scikit-learn" not in page


def test_a_slow_package_gets_fewer_iterations_and_repeats():
    slow = _run(other=_Stub(0.4))[1]
    assert slow.n_iter == 2
    assert len(slow.whole) == 2
    assert slow.reason == ""
    assert slow.call(2) == pytest.approx(1.2)
    assert slow.call(4) == pytest.approx(2.0)


def test_work_and_least_time_of_an_iteration():
    full = Workload("T", 1000, 3, 4)
    assert work(full, "float64") == {"flops": 4.0 * 1000 * 10 * 4, "exps": 4000.0, "bytes": 24_000.0}
    assert work(dataclasses.replace(full, covariance="diag"), "float32")["flops"] == 4.0 * 1000 * 7 * 4
    limits = {"gemm XLA float64": 1e6, "gemm NumPy float64": 2e6, "exp XLA float64": 4e4, "read XLA float64": 1e3}
    assert least_seconds(full, "float64", limits) == pytest.approx(max(0.16 / 2 + 0.1, 24.0))
    assert least_seconds(full, "float64", limits | {"read XLA float64": 1e9}) == pytest.approx(0.08 + 0.1)


def test_exponent_of_a_power_law():
    row = Scaling("emjax", "full", "n", (10, 20, 40), [3 * size**1.5 for size in (10, 20, 40)])
    assert row.exponent == pytest.approx(1.5)
    assert Scaling("emjax", "full", "n", (10, 20, 40), [1.0]).exponent is None


def test_peak_memory_is_what_a_call_holds_at_most():
    def hold() -> None:
        np.ones(8_000_000).sum()

    assert 60e6 < peak_above_data(hold) < 80e6
    assert peak_above_data(lambda: None) < 5e6


def test_numbers_in_tables():
    assert [report.number(value) for value in (1234.5, 12.345, 0.0012345, 0.0, None, float("nan"))] == [
        "1,234",
        "12.3",
        "0.00123",
        "0",
        "–",
        "–",
    ]
    assert report.times(2.345) == "2.3×"
    assert report.table(("a", "b"), [("x|y", "1")]) == "| a | b |\n| --- | --: |\n| x\\|y | 1 |"


def test_a_page_without_marks_is_refused(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_between_marks(page, "new")
    report.write_between_marks(page, "newer")
    assert page.read_text() == f"before\n{report.BEGIN}\n\nnewer\n\n{report.END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="lacks the marks"):
        report.write_between_marks(page, "new")


def test_the_whole_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    page, numbers = tmp_path / "page.md", tmp_path / "numbers.json"
    page.write_text(f"# Title\n\n{report.BEGIN}\n{report.END}\n")
    options = ["--quick", "--only", "W1", "--peers", "scikit-learn,double-loop", "--repeats", "1"]
    assert main([*options, "--out", str(page), "--json", str(numbers)]) == 0
    text = page.read_text()
    assert text.startswith("# Title")
    assert "#### W1: n=2k d=1 K=2 full" in text
    assert text.split(report.BEGIN)[1].split(report.END)[0].strip() == capsys.readouterr().out.strip()
    assert "- command: `python -m benchmarks --quick --only W1 --peers scikit-learn,double-loop --repeats 1`\n" in text
    assert str(tmp_path) not in text
    found = json.loads(numbers.read_text())
    assert [row["package"] for row in found["rows"]] == ["emjax", "scikit-learn", "Python double loop"]
    assert all(row["reason"] == "" and row["whole"][0] > 0 and abs(row["difference"]) < 1e-11 for row in found["rows"])


@pytest.mark.parametrize("option", [["--only", "W9"], ["--peers", "nobody"], ["--only", ","]])
def test_unknown_names_are_refused(option: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(option)
    assert "is none of" in capsys.readouterr().err
