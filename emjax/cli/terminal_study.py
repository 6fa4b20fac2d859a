"""What the commands on archives print for a person: made for 80 columns, the answer first."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from emjax.experiments.summary.wording import setting_text
from emjax.wording import printable

if TYPE_CHECKING:
    from emjax.experiments.archive.differences import Difference, NumberComparison
    from emjax.experiments.archive.single import SingleRun
    from emjax.experiments.execution.rerun import Intention, Repetition
    from emjax.experiments.results import StudyResult
    from emjax.experiments.summary.overview import OverviewTable

MAX_ROWS = 40
"""Rows of a table on the terminal; ``--json`` has all."""

_GAP = 2
"""Blank columns between those of a table."""

_GOOD, _MIXED, _BAD = "bold green", "bold yellow", "bold red"
_STATES = {
    "identical": ("The same numbers, bit by bit", _GOOD),
    "within_rounding": ("The same numbers, to rounding", _GOOD),
    "different": ("Different numbers", _BAD),
    "nothing_in_common": ("No number in common", _BAD),
}


def runs_table(entries: Sequence[Mapping[str, Any]], folder: str) -> list[RenderableType]:
    """Return what ``ls`` prints: one line per study and single run."""
    from emjax.experiments.archive.listing import local_time

    if not entries:
        return [Text(f"No study and no single run in {printable(folder)}; make one with: emjax run CONFIG.toml")]
    table = _table("run", "kind", "started", "data", "K", "status")
    for entry in entries:
        n_components = "?" if entry["n_components"] is None else str(entry["n_components"])
        texts = (entry["kind"], local_time(entry["started"]), entry["data"] or "?", n_components)
        status = str(entry["status"]).replace("_", " ")
        table.add_row(Text(printable(entry["run"]), style="bold"), *map(_safe, texts), _safe(status))
    return [table]


def study_view(result: "StudyResult", width: int = 80) -> list[RenderableType]:
    """Return what ``show`` prints of a study: question, progress, main numbers, failures, where it was made.

    ``width`` is that of the terminal: the table has as many quantities as go into it, but one at least.
    """
    from emjax.experiments.summary.overview import CAPTION

    progress = result.progress
    style = _GOOD if progress.complete else _BAD if progress.n_failed else _MIXED
    lines: list[RenderableType] = [Text(printable(result.title), style="bold")]
    if result.question:
        lines.append(_safe(result.question))
    lines.append(Text(f"{progress}\n", style=style))
    if result.finished:
        overview = _fitting(result, width)
        table = _table(*overview.header)
        for row in overview.rows[:MAX_ROWS]:
            table.add_row(*map(_safe, row))
        lines += [table, *_more(len(overview.rows)), Text(f"\n{CAPTION}.", style="dim")]
        lines += _verdicts(result)
    lines += _failures(result.failures)
    lines.append(Text(f"\n{_made(result.declaration['provenance'])}; seed {result.declaration['seed']}", style="dim"))
    if not progress.complete:
        lines.append(Text("The command that began it goes on where it stands.", style="dim"))
    return lines


def single_view(run: "SingleRun") -> list[RenderableType]:
    """Return what ``show`` prints of a single run: what its command printed, and where it was made."""
    from emjax.cli.terminal import comparison_view, fit_view, posterior_view, subject

    data = run.environment["data"]
    about = subject(run.data_name, (data["n_samples"], data["n_features"]), run.model, data)
    view = {"fit": fit_view, "sample": posterior_view, "compare": comparison_view}[run.task]
    name = "report.html" if run.task == "compare" else ""
    made = f"\n{_made(run.environment)}; seed {run.config.get('seed', '?')}"
    return [*view(run.document, about, [str(run.folder / name)]), Text(made, style="dim")]


def difference_view(difference: "Difference", names: tuple[str, str]) -> list[RenderableType]:
    """Return what ``diff`` prints: numbers first, then settings and versions that differ."""
    return [
        *_numbers(difference.numbers, names),
        *_pairs("Settings that differ", difference.settings, names),
        *_pairs("Versions that differ", difference.versions, names),
    ]


def intention_view(intention: "Intention") -> list[RenderableType]:
    """Return what ``rerun --dry-run`` prints: what would be computed, from which data, and which files would run."""
    n_jobs = len(intention.jobs)
    what = f"{n_jobs} job{'' if n_jobs == 1 else 's'} of the study" if n_jobs else intention.task
    lines: list[RenderableType] = [_safe(f"Would compute anew: {what}"), _safe(f"Data: {_listed(intention.data)}")]
    lines += [_safe(f"Would run the model file {file}") for file in intention.model_files]
    return [*lines, Text("Nothing was run.", style="dim")]


def _listed(data: Sequence[str]) -> str:
    more = f" and {len(data) - 3} more" if len(data) > 3 else ""
    return ", ".join(data[:3]) + more if data else "simulated"


def repetition_view(repetition: "Repetition") -> list[RenderableType]:
    """Return what ``rerun`` prints: whether the numbers are the same, and what changed since."""
    names = ("then", "now")
    lines = _numbers(repetition.numbers, names)
    if repetition.jobs:
        n_jobs = len(repetition.jobs)
        lines.append(Text(f"{n_jobs} job{'' if n_jobs == 1 else 's'} computed anew.", style="dim"))
    for key, error in repetition.errors.items():
        lines.append(Text.assemble((f"{key} failed now: ", _BAD), printable(error)))
    if repetition.timed and not repetition.same:
        methods = ", ".join(map(printable, repetition.timed))
        lines.append(Text(f"A budget in seconds lets numbers depend on the machine's speed: {methods}."))
    lines += _pairs("Versions that changed", repetition.versions, names)
    lines += _pairs("Devices that changed", repetition.devices, names)
    return lines


def _numbers(numbers: "NumberComparison", names: tuple[str, str]) -> list[RenderableType]:
    sentence, style = _STATES[numbers.state]
    if numbers.state == "different":
        counts = f": {numbers.n_different} of {numbers.n_compared} differ beyond rounding"
    else:
        counts = f": {numbers.n_compared} compared" if numbers.n_compared else ""
    lines: list[RenderableType] = [Text.assemble((sentence, style), counts)]
    for name, count in zip(names, (numbers.n_only_first, numbers.n_only_second), strict=True):
        if count:
            lines.append(Text(f"{count} only in {printable(name)}"))
    if numbers.largest:
        table = _table("number", *names, "relative")
        for entry in numbers.largest:
            first = entry.get("first_word", "") or _number(entry["first"])
            second = entry.get("second_word", "") or _number(entry["second"])
            table.add_row(_safe(_named(entry)), _safe(first), _safe(second), _share(entry["relative"]))
        lines += [Text("\nLargest differences:"), table]
    return lines


def _named(entry: Mapping[str, Any]) -> str:
    if "place" in entry:
        return f"{entry['file']} {entry['place']}"
    what = " ".join(filter(None, (entry["quantity"], entry["parameter"])))
    return f"{entry['method']}, cell {entry['cell']}, replicate {entry['replicate']}: {what}"


def _pairs(title: str, pairs: Mapping[str, tuple[Any, Any]], names: tuple[str, str]) -> list[RenderableType]:
    if not pairs:
        return []
    table = _table("", *names)
    for name, values in list(pairs.items())[:MAX_ROWS]:
        table.add_row(_safe(name), *(_safe("-" if value is None else setting_text(value)) for value in values))
    return [Text(f"\n{title}:"), table, *_more(len(pairs))]


def _verdicts(result: "StudyResult") -> list[RenderableType]:
    """One line per method that gives verdicts: how often each was given, over all cells."""
    given = result.rows[result.rows["quantity"] == "verdict"]
    lines: list[RenderableType] = []
    for method, rows in given.groupby("method", sort=False):
        counts = rows["parameter"].value_counts()
        words = ", ".join(f"{str(name).replace('_', ' ')} {count}" for name, count in counts.items())
        lines.append(_safe(f"Verdicts of {method}: {words}"))
    return lines


def _fitting(result: "StudyResult", width: int) -> "OverviewTable":
    """The overview with as many quantities as a terminal holds side by side."""
    from emjax.experiments.summary.overview import OverviewTable, overview_table

    table = overview_table(result)
    n_fixed = len(result.swept) + 2
    widths = [max(map(len, column)) + _GAP for column in zip(table.header, *table.rows, strict=True)]
    n_columns = len(widths)
    while n_columns > n_fixed + 1 and sum(widths[:n_columns]) - _GAP > width:
        n_columns -= 1
    return OverviewTable(table.header[:n_columns], [row[:n_columns] for row in table.rows])


def _failures(failures: Mapping[str, Mapping[str, Any]]) -> list[RenderableType]:
    if not failures:
        return []
    # Most jobs fail for the same reason: each reason is told once, with a job to look at.
    by_error: dict[str, list[str]] = {}
    for key, failure in failures.items():
        spec = failure.get("spec") or {}
        method = (spec.get("method") or {}).get("name", "?")
        by_error.setdefault(f"{method}: {failure.get('error', '?')}", []).append(key)
    lines: list[RenderableType] = [Text(f"\nFailed jobs ({len(failures)}):", style=_BAD)]
    for error, keys in list(by_error.items())[:MAX_ROWS]:
        times = f" (x{len(keys)}, such as {keys[0]})" if len(keys) > 1 else f" ({keys[0]})"
        lines.append(Text.assemble("- ", printable(error), (times, "dim")))
    return [*lines, *_more(len(by_error))]


def _made(provenance: Mapping[str, Any]) -> str:
    """When and with what something was made."""
    from emjax.experiments.archive.listing import local_time

    versions, machine = provenance.get("versions", {}), provenance.get("machine", {})
    return printable(
        f"Begun {local_time(provenance.get('started'))} with emjax {versions.get('emjax') or '?'}, "
        f"jax {versions.get('jax') or '?'}, Python {machine.get('python', '?')}"
    )


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.10g}"


def _share(value: float) -> str:
    return "-" if value != value else f"{value:.1e}"


def _safe(text: object) -> Text:
    return Text(printable(text))


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="dim", pad_edge=False)
    for column in columns:
        table.add_column(Text(printable(column)), overflow="fold")
    return table


def _more(n_rows: int) -> list[RenderableType]:
    hidden = n_rows - MAX_ROWS
    return [Text(f"... and {hidden} more: see --json", style="dim")] if hidden > 0 else []
