"""Studies that decide as they go: replicates until enough is known, and the value at which a limit is met."""

import math
import types

import numpy as np
import pandas as pd
import pytest

from emjax.cli.commands.study import show_plan
from emjax.cli.console import Console
from emjax.errors import ConfigError
from emjax.experiments import make_plan, read_study
from emjax.experiments.archive.folder import Archive
from emjax.experiments.config.sweeps import Solve
from emjax.experiments.execution.run import _reached
from emjax.experiments.summary.findings import find
from emjax.experiments.summary.solving import Search, solution_of, solution_sentence
from emjax.experiments.summary.stepwise import check_measures
from emjax.experiments.summary.view import StudyView
from emjax.experiments.work.job import run_job

PARTS = """
import numpy as np

def generate(key, spread=1.0):
    return {"rows": np.random.default_rng(key).normal(scale=spread, size=(20, 1)), "parameters": {"mean": [[0.0]]}}

def estimate(data, key, shift=0.0):
    mean, error = np.asarray(data).mean(axis=0, keepdims=True), 1 / np.sqrt(20)
    return {"estimate": {"mean": mean + shift}, "intervals": {"mean": (mean + shift - 1.645 * error,
                                                                       mean + shift + 1.645 * error)}}
"""

CONFIG = """
[data]
generator = "parts.py"
[model]
n_components = 1
[[methods]]
file = "parts.py"
name = "mean"
[sweep]
replicates = 200
"""

UNTIL = (
    CONFIG
    + """
until = { coverage = 0.04 }
grid."data.arguments.spread" = [0.1, 2.0]
[execution]
batch = 20
"""
)
SOLVE = """
[solve]
over = "methods.mean.arguments.shift"
low = 0.0
high = 1.0
find = "largest"
measure = "coverage"
method = "mean"
at_least = 0.7
points = 11
most = 120
[execution]
batch = 10
"""


@pytest.fixture
def archive_of(tmp_path):
    """Run a study to its end, in this process; ``order`` sorts the jobs of each step."""
    (tmp_path / "parts.py").write_text(PARTS)

    def run(text, folder, changes=(), order=list):
        (tmp_path / "config.toml").write_text(text)
        study, archive, steps = read_study(tmp_path / "config.toml", changes), Archive(tmp_path / folder), []
        reached = _reached(study, archive)
        while not steps or reached != steps[-1]:
            steps.append(reached)
            plan = make_plan(study, archive.known_jobs(), reached)
            finished = archive.begin(study, plan)
            for job in order([job for job in plan.jobs if job.key not in finished]):
                with archive.claim(job.key), archive.writing(job.key, job.spec) as draft:
                    draft.summary = run_job(job.spec, draft.path)
            reached = _reached(study, archive, reached)
        return archive, steps

    return run


def test_replicates_are_added_until_the_error_is_reached(archive_of):
    archive, steps = archive_of(UNTIL, "run")
    view = StudyView(archive)
    counts = {view.cell[cell].settings["data.arguments.spread"]: n for (cell, _), (_, n) in view.counts.items()}
    # Intervals that always cover are known soonest, but not after the first step: 20 of 20 say little.
    assert counts[0.1] == 40 < counts[2.0] <= 200
    coverage = view.means[(view.means["measure"] == "coverage") & (view.means["group"] == "")]
    assert ((coverage["upper"] - coverage["lower"]) / (2 * 1.96) <= 0.0401).all()
    # What was run follows from the rule and the rows, whoever ran them in whatever order.
    again, _ = archive_of(UNTIL, "again", order=reversed)
    assert {job["key"] for job in again.known_jobs()} == {job["key"] for job in archive.known_jobs()}
    assert len(steps) > 3
    assert not [what for what, _ in find(view, ()).alerts if "ended before" in what]


def test_what_is_not_known_when_the_replicates_are_used_up_is_said(archive_of):
    archive, _ = archive_of(UNTIL, "run", ["sweep.replicates=40"])
    said = [f"{what}. {text}" for what, text in find(StudyView(archive), ()).alerts]
    assert said == [
        "1 of 2 cells ended before the Monte-Carlo errors were reached (until coverage = 0.04). "
        "The 40 replicates were used up: more of them go on from here."
    ]


def test_the_value_at_which_a_limit_is_met_is_found_with_its_interval(archive_of, tmp_path):
    archive, _ = archive_of(CONFIG + SOLVE, "run")
    view = StudyView(archive)
    found = solution_of(view)
    # |Z + s sqrt(20)| < 1.645 in 70% of cases where s = 0.25.
    assert found.value in (0.2, 0.3)
    assert (found.lower or 0.0) <= 0.2 <= found.upper < 0.6
    assert (found.n_sets, found.n_values) == (120, len(view.places))
    said = (
        f"The largest methods.mean.arguments.shift at which coverage of mean is at least 0.7 is {found.value:g}, with"
    )
    assert solution_sentence(view, found).startswith(said)
    # A folder that has only the jobs of another comes to the same.
    merged = tmp_path / "merged"
    merged.mkdir()
    (archive.path / "jobs").rename(merged / "jobs")
    again, _ = archive_of(CONFIG + SOLVE, "merged")
    assert solution_of(StudyView(again)) == found


def searched(solve, observed, most=40):
    search = Search(types.SimpleNamespace(solve=solve, sweep=types.SimpleNamespace(replicates=most)), observed)
    found = search.replayed(dict.fromkeys(solve.candidates, most))
    return search, found


@pytest.mark.parametrize("find", ["smallest", "largest"])
def test_intervals_hold_the_value(find):
    """Means that rise (or fall) with the logarithm of the setting, with noise of standard deviation 1."""
    solve = Solve(over="x", low=100, high=3200, find=find, measure="log_score", method="m", at_least=0.0, most=120)
    sign, n_held = (1 if find == "smallest" else -1), 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        root = math.exp(rng.uniform(math.log(150), math.log(2000)))
        observed = {
            value: pd.Series(rng.normal(2.0 * sign * math.log(value / root), 1.0, size=40))
            for value in solve.candidates
        }
        search, found = searched(solve, observed)
        first = next(at for at, value in enumerate(search.candidates) if sign * (value - root) >= 0)
        n_held += search.quantile(found, 0.025) <= first <= search.quantile(found, 0.975)
        assert sum(found.values()) <= 120
    assert n_held >= 22


def _logistic(logit, slope):
    return lambda doublings: 1 / (1 + np.exp(-logit - slope * doublings))


CURVES = {
    "as EM's verdicts": _logistic(2.2, 1.7),
    "steep": _logistic(2.2, 6.0),
    "flat": _logistic(2.2, 0.9),
    "never certain": lambda doublings: 0.95 * _logistic(2.9, 1.7)(doublings),
    "heavy tails": lambda doublings: 0.5 + np.arctan(1.5 * doublings + 3.0) / np.pi,
    "a step": lambda doublings: np.where(doublings < 0, 0.5, 0.97),
}


BY_DEFAULT = ("as EM's verdicts", "flat", "a step")


@pytest.mark.parametrize(
    "curve",
    [
        pytest.param(curve, id=name, marks=[] if name in BY_DEFAULT else [pytest.mark.slow])
        for name, curve in CURVES.items()
    ],
)
@pytest.mark.parametrize("root", [300, 800])
def test_intervals_of_shares_hold_the_value_whatever_the_curve(curve, root):
    """Yes or no of each of 55 data sets, where the share of yes rises with the logarithm of the setting."""
    solve = Solve(
        over="x", low=100, high=3200, measure="em_enough", method="m", at_least=0.9, points=16, batch=5, most=55
    )
    rng, n_held, closed = np.random.default_rng(0), 0, []
    for _ in range(40):
        shares = {value: float(curve(math.log2(value / root))) for value in solve.candidates}
        seen = {value: pd.Series((rng.random(20) < share).astype(float)) for value, share in shares.items()}
        search, found = searched(solve, seen, 20)
        first = next((at for at, share in enumerate(shares.values()) if share >= 0.9), 16)
        lower, upper = search.quantile(found, 0.025), search.quantile(found, 0.975)
        n_held += lower <= first <= upper
        closed.append(upper < 16)
        assert sum(found.values()) <= 55
    # Of 40 intervals of 95% that hold at least 34 do, but for one time in a hundred.
    assert n_held >= 34
    assert root == 800 or np.mean(closed) > 0.7


def test_a_limit_that_is_never_met_lies_beyond_the_range():
    solve = Solve(over="x", low=1, high=9, measure="log_score", method="m", at_least=5.0, points=9)
    noise = np.random.default_rng(0).normal(size=40)
    search, found = searched(solve, dict.fromkeys(solve.candidates, pd.Series(noise)))
    assert search.quantile(found, 0.5) == len(solve.candidates)
    # No replicate that can be measured says nothing, and ends the search where there is no more room.
    _, found = searched(solve, {})
    assert sum(found.values()) == 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (UNTIL, "Study: 2 cells x at most 200 replicates x 1 method First step: 2 jobs, 40 data sets, 40 results; "),
        (
            CONFIG + SOLVE,
            "Study: 11 values of methods.mean.arguments.shift from 0 to 1, at most 120 data sets x 1 method First",
        ),
    ],
    ids=["until", "solve"],
)
def test_the_plan_of_what_decides_as_it_goes_says_so(tmp_path, capsys, text, said):
    (tmp_path / "parts.py").write_text(PARTS)
    (tmp_path / "config.toml").write_text(text)
    assert show_plan(read_study(tmp_path / "config.toml"), tmp_path / "run", None, Console()) == 0
    assert " ".join(capsys.readouterr().out.split()).startswith(said)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("solve.low=2.0", "low = 2 has to be below high = 1"),
        ("solve.at_most=0.5", "give the limit: either at_least or at_most"),
        ("solve.method='EM'", "method = 'EM' is none of the methods 'mean'"),
        ("solve.over='seed'", "cannot be swept"),
        ("solve.over='data.argument.n'", "unknown key"),
        ("sweep.grid.level=[0.5]", "solve stands in place of a sweep"),
        ("sweep.replicates=5", "fewer than solve.batch"),
    ],
)
def test_what_cannot_be_solved_is_refused(archive_of, change, problem):
    with pytest.raises(ConfigError, match=problem):
        archive_of(CONFIG + SOLVE, "run", [change])


def test_a_plan_shows_settings_as_the_page_does(tmp_path, capsys):
    (tmp_path / "config.toml").write_text(
        '[data]\nsource = "faithful"\n[model]\nn_components = 2\n[[methods]]\nkind = "em"\n'
        "[sweep.grid]\nmethods.em.budget = [{ evaluations = 2000 }, { evaluations = 4000 }]\n"
    )
    assert show_plan(read_study(tmp_path / "config.toml"), tmp_path / "run", None, Console()) == 0
    assert "evaluations=2,000" in capsys.readouterr().out


def test_a_measure_that_is_none_is_refused(tmp_path):
    (tmp_path / "config.toml").write_text(
        '[data]\nsource = "faithful"\n[model]\nn_components = 2\n[[methods]]\nkind = "em"\n'
        "[sweep]\nreplicates = 100\nuntil = { covrage = 0.1 }\n"
    )
    with pytest.raises(ConfigError, match=r"sweep\.until: there is no measure 'covrage'; did you mean 'coverage'"):
        check_measures(read_study(tmp_path / "config.toml"))
    with pytest.raises(ConfigError, match="there is no measure 'covrage'"):
        show_plan(read_study(tmp_path / "config.toml"), tmp_path / "run", None, Console())
