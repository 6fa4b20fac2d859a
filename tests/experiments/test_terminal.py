"""What the commands print: what cannot be trusted first, and no number that means nothing."""

import pytest
from rich.console import Console

from emjax.bayes.progress import ChainProgress
from emjax.cli.terminal import comparison_view, fit_view, modes_text, optima_text, posterior_view
from emjax.experiments.execution.listener import ChainBars
from emjax.experiments.summary import changes


def optimum(objective: float, count: int, spurious: bool = False, status: str = "converged") -> dict:
    return {"objective": objective, "count": count, "spurious": spurious, "status": status}


@pytest.mark.parametrize(
    ("optima", "expected"),
    [
        ([optimum(-1.0, 1)], "one start"),
        ([optimum(-1.0, 10)], "10 starts, one optimum"),
        (
            [optimum(-1.0, 8), optimum(-0.5, 2, True)],
            "10 starts, 2 end points: -1.000 (x8), -0.500 (x2, spurious)",
        ),
        ([optimum(-1.0, 10, True)], "10 starts, one end point, spurious"),
        ([optimum(-1.0, 1, status="degenerate")], "one start, one end point, degenerate: collapsed"),
        (
            [optimum(-1.0, 8), optimum(9.0, 1, True, "degenerate"), optimum(-2.0, 1, status="max_iter")],
            "10 starts, 3 end points: -1.000 (x8), 9.000 (x1, degenerate: collapsed), -2.000 (x1, max iter)",
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
ROW = {
    "name": "weights[0]", "em": 0.25, "se": 0.1, "em_lower": 0.1, "em_upper": 0.4, "map": 0.25, "mean": 0.75, "sd": 0.2,
    "lower": 0.4, "upper": 0.9, "difference_in_sd": -2.5, "width_ratio": 3.0, "mass_in_em_interval": 0.1,
}  # fmt: skip
INVARIANTS = {
    "total_variation": {"value": 0.043, "standard_error": 0.001},
    "co_clustering": {"mean_difference": 0.45, "largest_difference": 0.8, "n_rows": 300},
    "log_score": {"em": -1.7999, "posterior_predictive": -1.8035, "difference": 0.0036},
    "elpd_loo": {"value": -547.1, "standard_error": 11.3},
    "bic": 1125.59,
}


def printed(view, document: dict, place: str = "") -> str:
    console = Console(width=80, markup=False)
    with console.capture() as captured:
        for part in view(document, "data", place):
            console.print(part)
    return captured.get()


def comparison_document(rows=(ROW,), **diagnostics: object) -> dict:
    return {
        "verdict": "mcmc_needed",
        "reasons": ["The posterior cannot be trusted: Use more draws. R-hat of lp is 1.4."],
        "parameters": rows,
        "level": 0.9,
        "invariants": INVARIANTS,
        "diagnostics": {**CONVERGED, "em": {"status": "converged"}, **diagnostics},
    }


def test_a_posterior_that_has_not_converged_is_not_printed():
    text = printed(comparison_view, comparison_document(posterior={"status": "not_converged"}))
    assert "0.25 ± 0.10" in text
    assert not any(number in text for number in ("0.75", "0.20", "-2.50", "3.00"))
    assert "The draws are not a posterior yet" in text


def test_a_long_table_says_what_it_leaves_out():
    rows = [{**ROW, "name": f"mean[{i}, a rather long feature name]"} for i in range(50)]
    document = {**comparison_document(rows), "reasons": ["a reason that goes on " * 8]}
    lines = printed(comparison_view, document, "runs/a/report.html").splitlines()
    assert lines[0].startswith("Use MCMC: ")
    assert max(map(len, lines)) <= 80
    assert "… and 10 more: the run's folder has all" in lines
    assert lines[-1] == "runs/a/report.html"


@pytest.mark.parametrize(
    ("apart", "expected"), [(-0.001, " 0.00 sd"), (0.001, " 0.00 sd"), (-0.51, "-0.51 sd"), (1.0, "+1.00 sd")]
)
def test_a_difference_that_rounds_to_nothing_has_no_sign(apart, expected):
    assert expected in printed(comparison_view, comparison_document([{**ROW, "difference_in_sd": apart}]))


def test_intervals_that_are_rough_are_left_out_unless_the_posterior_bears_them_out():
    em = {"status": "converged", "intervals": {"status": "rough", "message": "Rough."}}
    text = printed(comparison_view, comparison_document(em=em))
    assert text.startswith("EM's intervals cannot be trusted (rough): Rough.")
    assert "0.25 ± 0.10" not in text
    assert "0.25 ± 0.10" in printed(comparison_view, {**comparison_document(em=em), "verdict": "em_with_intervals"})


def test_a_status_other_than_converged_leads_with_the_remedy():
    posterior = {"status": "too_few_draws", "status_message": "Use more draws."}
    em = {"status": "max_iter", "message": "Raise max_iter."}
    lines = printed(comparison_view, comparison_document(posterior=posterior, em=em)).splitlines()
    assert lines[0] == "MCMC cannot be trusted yet (too few draws): Use more draws."
    assert lines[1] == "EM cannot be trusted yet (max iter): Raise max_iter."
    assert lines[2].startswith("Use MCMC")
    text = " ".join(lines)
    assert text.count("Use more draws.") == 1, "the remedy leads, the reason keeps its numbers"
    assert "R-hat of lp is 1.4." in text


def test_a_fit_whose_only_optimum_is_spurious_is_not_called_converged():
    row = {"name": "weights[0]", "estimate": 0.5, "se": 0.1, "lower": 0.3, "upper": 0.7}
    document = {
        "status": "converged",
        "converged": True,
        "exact_iterations": False,
        "n_iter": 7,
        "message": "EM converged. But it is a spurious one.",
        "prior": "none",
        "space": "",
        "log_likelihood": -10.0,
        "log_prior": 0.0,
        "bic": 30.0,
        "optima": [optimum(-10.0, 9, True), optimum(5.0, 1, status="degenerate")],
        "intervals": {"level": 0.9, "status": "ok", "message": "", "rows": [row]},
        "compile_seconds": 0.0,
        "run_seconds": 0.0,
    }
    text = printed(fit_view, document)
    assert text.startswith("EM: only a spurious optimum")
    assert "5.000 (x1, degenerate: collapsed)" in " ".join(text.split())
    regular = printed(fit_view, {**document, "optima": [optimum(-10.0, 10)]})
    assert regular.startswith("EM: converged")


def test_a_comparison_with_a_spurious_optimum_leads_with_it():
    em = {"status": "converged", "message": "It is spurious.", "optima": [optimum(-1.0, 3, True)]}
    lines = printed(comparison_view, comparison_document(em=em)).splitlines()
    assert lines[0] == "EM cannot be trusted yet (only a spurious optimum): It is spurious."


@pytest.mark.parametrize(("trust", "identified"), [(0.5, True), (0.49, False), (None, False)])
def test_labels_that_are_not_identified_are_said_first_and_left_out(trust, identified):
    text = printed(comparison_view, comparison_document(alignment={"trust": trust}))
    assert text.startswith("Labels are not identified") != identified
    assert ("weights[0]" in text) == identified
    assert ("density (total variation)" in text) != identified
    assert ("Numbers of single components are left out" in text) != identified
    assert max(map(len, text.splitlines())) <= 80


def posterior_of(**changes: object) -> dict:
    row = {"name": "weights[0]", "mean": 0.75, "sd": 0.2, "lower": 0.4, "upper": 0.9, "ess": 500.0, "r_hat": 1.0}
    return {
        "status": "converged",
        "status_message": "It can be used.",
        "message": "It can be used.",
        "decision": ["auto: hmc, because of one mode."],
        "method": "hmc",
        "n_modes": 1,
        "pareto_k": 0.2,
        "log_evidence": -560.514,
        "modes": [{"mass": 1.0}],
        "level": 0.9,
        "alignment": {"trust": 1.0, "note": "The labels are identified."},
        "prior_note": "A prior.",
        "parameters": [row],
        "compile_seconds": 2.0,
        "run_seconds": 1.0,
    } | changes


def test_sample_says_what_was_decided_and_the_modes():
    text = printed(posterior_view, posterior_of())
    assert text.startswith("Posterior: converged")
    assert "auto: hmc, because of one mode." in text
    assert "one mode that EM knows of; log evidence -560.51 (Pareto k 0.20)." in " ".join(text.split())
    assert "weights[0]" in text
    assert "MCMC (HMC) 1.00 s (+ 2.00 s compiling)" in text


def test_sample_leaves_out_rows_without_labels():
    text = printed(posterior_view, posterior_of(alignment={"trust": 0.1, "note": "Not identified."}))
    assert text.startswith("Labels are not identified (alignment trust 0.10):")
    assert "weights[0]" not in text


@pytest.mark.parametrize(
    ("masses", "n_modes", "shape", "expected"),
    [
        ([1.0], 1, 0.3, "The posterior has one mode that EM knows of; log evidence -5.00 (Pareto k 0.30)."),
        ([0.99, 0.001], 1, 0.3, "The posterior has one mode that EM knows of; log evidence -5.00 (Pareto k 0.30)."),
        (
            [0.45, 0.31, 0.24, 0.0],
            3,
            0.77,
            "The posterior has 3 modes that EM knows of, with 45%, 31% and 24% of it; log evidence -5.00 (Pareto k "
            "0.77, so masses and evidence are rough).",
        ),
        (
            [0.6, 0.4],
            2,
            None,
            "The posterior has 2 modes that EM knows of, with 60% and 40% of it; log evidence -5.00 (Pareto k —, so "
            "masses and evidence are rough).",
        ),
    ],
)
def test_modes_in_words(masses, n_modes, shape, expected):
    modes = [{"mass": mass} for mass in masses]
    assert modes_text({"modes": modes, "n_modes": n_modes, "pareto_k": shape, "log_evidence": -5.0}) == expected


class RecordedBars:
    """Bars that remember where they stand."""

    def __init__(self) -> None:
        self.stages: dict[str, tuple[int, int, str]] = {}

    def update(self, stage: str, completed: int, total: int, detail: str) -> None:
        self.stages[stage] = (completed, total, detail)


def test_a_few_chains_have_a_bar_each_and_many_share_the_slowest():
    bars = RecordedBars()
    moved = ChainBars(bars)
    moved("draws", 30, 100, ChainProgress(1, (2, 5), (0.1, 0.1)))
    assert bars.stages == {"chain 2": (30, 100, "draws, 5 divergent")}
    bars.stages.clear()
    for chain in range(8):
        moved("warmup", 50, 200, ChainProgress(chain, (0,) * 8, (0.1,) * 8))
    assert bars.stages == {"8 chains": (50, 200, "warm-up")}
    for chain in range(7):
        moved("warmup", 200, 200, ChainProgress(chain, (0,) * 8, (0.1,) * 8))
    assert bars.stages["8 chains"][0] == 50
    moved("draws", 10, 500, ChainProgress(7, (1,) * 8, (0.1,) * 8))
    assert bars.stages["8 chains"] == (0, 500, "draws, 8 divergent")


def test_a_difference_does_not_name_the_only_cell():
    entry = {"method": "em", "cell": "{}", "replicate": 3, "quantity": "error", "parameter": "mean[0, x]"}
    assert changes._named(entry) == "em, replicate 3: error mean[0, x]"
    assert changes._named({**entry, "cell": "n = 2"}) == "em, cell n = 2, replicate 3: error mean[0, x]"
