"""What the commands on archives print for a person: made for 80 columns, the answer first."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from emjax.cli.tables import MAX_ROWS, terminal_table
from emjax.cli.terminal import comparison_view, fit_view, posterior_view, subject
from emjax.experiments.archive.door import is_file
from emjax.experiments.archive.listing import local_time
from emjax.experiments.archive.single import PAGE, SingleRun
from emjax.table import Cell, Column, Table
from emjax.wording import count, elided, number, printable

if TYPE_CHECKING:
    from emjax.experiments.archive.differences import Difference, NumberComparison
    from emjax.experiments.execution.one_result import OneResult
    from emjax.experiments.execution.rerun import Intention, Repetition
    from emjax.experiments.results import StudyResult

_STYLES = {"good": "bold green", "fair": "bold yellow", "bad": "bold red"}
_REST = "see --json"


def runs_table(entries: Sequence[Mapping[str, Any]], folder: str) -> list[RenderableType]:
    """Return what ``ls`` prints: one line per study and single run."""
    if not entries:
        return [Text(f"No study and no single run in {printable(folder)}; make one with: emjax run CONFIG.toml")]
    rows = [
        [
            Cell(str(entry["run"])),
            entry["kind"],
            local_time(entry["started"]),
            entry["data"] or "?",
            "?" if entry["n_components"] is None else str(entry["n_components"]),
            str(entry["status"]).replace("_", " "),
        ]
        for entry in entries
    ]
    heads = [Column(name, "word") for name in ("run", "kind", "started", "data", "K", "status")]
    return terminal_table(Table(heads, rows), _REST)


def study_view(result: "StudyResult", width: int = 80) -> list[RenderableType]:
    """Return what ``show`` prints of a study: question, progress, main numbers, failures, where it was made.

    ``width`` is that of the terminal: the table has as many measures as go into it, but one at least.
    """
    progress = result.progress
    style = _STYLES["good" if progress.complete else "bad" if progress.n_failed else "fair"]
    lines: list[RenderableType] = [Text(printable(result.title), style="bold")]
    if result.question:
        lines.append(_safe(result.question))
    lines.append(Text(f"{progress}\n", style=style))
    if (found := result.solution()) is not None:
        from emjax.experiments.summary.solving import solution_sentence

        lines.append(_safe(solution_sentence(result, found)))
    if result.finished:
        from emjax.experiments.summary.findings import left_out
        from emjax.experiments.summary.tables import main_table

        table = main_table(result)
        for what, text in left_out(result):
            lines.append(Text.assemble((f"{what}: ", _STYLES["fair"]), printable(text), "\n"))
        lines += terminal_table(table.fitting(width, len(result.swept) + 3), _REST)
        lines += _verdicts(result)
    lines += _warnings(result)
    lines += _failures(result.failures)
    lines.append(Text(f"\n{_made(result.declaration['provenance'])}; seed {result.declaration['seed']}", style="dim"))
    if not progress.complete:
        lines.append(Text("The command that began it goes on where it stands.", style="dim"))
    return lines


def single_view(run: SingleRun) -> list[RenderableType]:
    """Return what a single run comes to, for the command that has made it and for ``show``."""
    data = run.environment["data"]
    about = subject(run.data_name, (data["n_samples"], data["n_features"]), run.model, data)
    view = {"fit": fit_view, "sample": posterior_view, "compare": comparison_view}[run.task]
    page = run.folder / PAGE
    return view(run.document, about, str(page if is_file(page) else run.folder))


def where_made(run: SingleRun) -> RenderableType:
    """Return when and with what a single run was made."""
    return Text(f"\n{_made(run.environment)}; seed {run.config.get('seed', '?')}", style="dim")


def difference_view(difference: "Difference", names: tuple[str, str]) -> list[RenderableType]:
    """Return what ``diff`` prints: numbers first, then settings and versions that differ."""
    from emjax.experiments.summary.changes import difference_tables

    lines = _numbers(difference.numbers, names)
    return [*lines, *(line for table in difference_tables(difference, names) for line in terminal_table(table, _REST))]


def intention_view(intention: "Intention") -> list[RenderableType]:
    """Return what ``rerun --dry-run`` prints: what would be computed, from which data, and which files would run."""
    data, jobs = intention.data, len(intention.jobs)
    more = f" and {len(data) - 3} more" if len(data) > 3 else ""
    return [
        _safe(f"Would compute anew: {f'{count(jobs, "job")} of the study' if jobs else intention.task}"),
        _safe(f"Data: {', '.join(data[:3]) + more if data else 'simulated'}"),
        *(_safe(f"Would run the file {file}") for file in intention.model_files),
        Text("Nothing was run.", style="dim"),
    ]


def repetition_view(repetition: "Repetition") -> list[RenderableType]:
    """Return what ``rerun`` prints: whether the numbers are the same, and what changed since."""
    from emjax.experiments.summary.changes import largest_table, pairs_table

    names = ("then", "now")
    lines = _numbers(repetition.numbers, names)
    if table := largest_table(repetition.numbers, names):
        lines += terminal_table(table, _REST)
    if repetition.jobs:
        lines.append(Text(f"{count(len(repetition.jobs), 'job')} computed anew.", style="dim"))
    for key, error in repetition.errors.items():
        lines.append(Text.assemble((f"{key} failed now: ", _STYLES["bad"]), printable(error)))
    for what, pairs in (("Versions", repetition.versions), ("Devices", repetition.devices)):
        if pairs:
            lines += terminal_table(pairs_table(f"{what} that changed", pairs, names), _REST)
    return lines


def one_result_view(found: "OneResult") -> list[RenderableType]:
    """Return what ``rerun --replicate`` prints: how the method ended, its numbers, its seeds."""
    style = _STYLES["bad" if found.status in ("failed", "skipped") else "good" if found.same is not False else "fair"]
    stored = {True: "as stored", False: "not as stored", None: "the folder has no such result"}[found.same]
    lines: list[RenderableType] = [
        Text.assemble(
            f"{printable(found.method)} on replicate {found.replicate} of cell {found.cell}: ", (found.status, style)
        ),
        *([_safe(found.message)] if found.message else []),
        Text(f"Numbers: {stored}. Seeds: data {found.data_seed}, method {found.method_seed}.", style="dim"),
    ]
    if found.error is None:
        rows = [(row.quantity, row.parameter, number(row.value)) for row in found.rows.itertuples()]
        heads = [Column("measure", "word"), Column("parameter", "word"), Column("value", "number")]
        lines += terminal_table(Table(heads, rows), _REST)
    return lines


def _numbers(numbers: "NumberComparison", names: tuple[str, str]) -> list[RenderableType]:
    from emjax.experiments.summary.changes import said_of

    sentence, mark, (first, *others) = said_of(numbers, names)
    return [Text.assemble((sentence, _STYLES[mark]), f": {first}"), *map(_safe, others)]


def _verdicts(result: "StudyResult") -> list[RenderableType]:
    """One line per method that gives verdicts: how often each was given, over all cells."""
    given = result.rows[result.rows["quantity"] == "verdict"]
    lines: list[RenderableType] = []
    for method, rows in given.groupby("method", sort=False):
        counts = rows["parameter"].value_counts()
        words = ", ".join(f"{str(name).replace('_', ' ')} {number}" for name, number in counts.items())
        lines.append(_safe(f"Verdicts of {method}: {words}"))
    return lines


def _warnings(result: "StudyResult") -> list[RenderableType]:
    """One line per method that has warned: how often, and of what most."""
    lines: list[RenderableType] = []
    for method, rows in result.warnings.groupby("method", sort=False):
        most = elided(str(rows["warning"].iloc[0]), 100)
        others = f" and {count(len(rows) - 1, 'other kind')}" if len(rows) > 1 else ""
        lines.append(_safe(f"{method} warned {count(int(rows['times'].sum()), 'time')}: {most}{others}"))
    return lines


def _failures(failures: Mapping[str, Mapping[str, Any]]) -> list[RenderableType]:
    """Most jobs fail for the same reason: each reason is told once, with a job to look at."""
    if not failures:
        return []
    by_error: dict[str, list[str]] = {}
    for key, failure in failures.items():
        method = ((failure.get("spec") or {}).get("method") or {}).get("name", "?")
        by_error.setdefault(f"{method}: {failure.get('error', '?')}", []).append(key)
    lines: list[RenderableType] = [Text(f"\nFailed jobs ({len(failures)}):", style=_STYLES["bad"])]
    for error, keys in list(by_error.items())[:MAX_ROWS]:
        times = f" (x{len(keys)}, such as {keys[0]})" if len(keys) > 1 else f" ({keys[0]})"
        lines.append(Text.assemble("- ", printable(error), (times, "dim")))
    hidden = len(by_error) - MAX_ROWS
    return [*lines, *([Text(f"... and {hidden} more: {_REST}", style="dim")] if hidden > 0 else [])]


def _made(provenance: Mapping[str, Any]) -> str:
    """When and with what something was made."""
    versions, machine = provenance.get("versions", {}), provenance.get("machine", {})
    return printable(
        f"Begun {local_time(provenance.get('started'))} with emjax {versions.get('emjax') or '?'}, "
        f"jax {versions.get('jax') or '?'}, Python {machine.get('python', '?')}"
    )


def _safe(text: object) -> Text:
    return Text(printable(text))
