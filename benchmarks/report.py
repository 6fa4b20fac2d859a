"""The tables of a run, in Markdown, and everything it measured, in JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from benchmarks import cold, restarts
from benchmarks.limits import RATES, least_seconds
from benchmarks.measure import Row, compared
from benchmarks.results import Results
from emjax.jsonable import to_json

BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


def as_json(results: Results) -> str:
    """All numbers, every repeat of them."""
    return to_json(results) + "\n"


def write_between_marks(page: Path, markdown: str, marks: tuple[str, str] = (BEGIN, END)) -> None:
    """Replace what stands between two marks of a page; raises ValueError where they are missing."""
    first, last = marks
    text = page.read_text(encoding="utf-8")
    head, begin, rest = text.partition(first)
    _, end, tail = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"{page} lacks the marks {first} and {last}")
    page.write_text(f"{head}{first}\n\n{markdown.strip()}\n\n{last}{tail}", encoding="utf-8")


def as_markdown(results: Results) -> str:
    """All tables of what was measured."""
    parts = [_environment(results)]
    parts += [part for part in (_glance(results), _iterations(results), _restarts(results), _cores(results)) if part]
    parts += [part for part in (_memory(results), _cold(results), _accuracy(results), _limits(results)) if part]
    parts += [part for part in (_scaling(results),) if part]
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left and the others to the right."""
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def number(value: float | None, digits: int = 3, unit: str = "") -> str:
    """Three significant digits without an exponent; a dash for what was not measured."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return f"0{unit}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 6)}f}{unit}"


def times(value: float | None) -> str:
    """A ratio."""
    return number(value, 2 if value is not None and value < 10 else 3) + ("×" if value is not None else "")


def _spread(values: Sequence[float]) -> str:
    if len(values) < 2:
        return "one run"
    return f"{100 * (max(values) - min(values)) / (2 * abs(median(values))):.0f}%"


def _environment(results: Results) -> str:
    lines = [f"- {name}: {text}" for name, text in results.environment.items()]
    if "--quick" in results.environment.get("command", ""):
        lines.insert(0, "**A quick run on tiny problems: it shows that everything works, and nothing about speed.**\n")
    lines.append("- packages: " + ", ".join(f"{name} {text}" for name, text in results.packages.items()))
    lines.append(f"- the whole run took {results.seconds / 60:.1f} minutes")
    return "\n".join(lines)


def _glance(results: Results) -> str:
    rows = [
        (f"{row.workload.title}, {row.dtype}, against {row.package}", times(whole if whole else more))
        for row in results.rows
        for whole, more in [compared(results.rows, row)]
        if not row.reason and (whole or more)
    ]
    ours = next((r for r in results.restarts if r.way == restarts.OURS), None)
    rows += [
        (f"{r.workload.title}, {r.n_init} starts, against {r.way}", times(r.per_iteration / ours.per_iteration))
        for r in results.restarts
        if r is not ours and r.per_iteration and ours is not None and ours.per_iteration
    ]
    rows += [(f"{r.workload.title}, two cores against one", times(r.gain)) for r in results.cores if r.gain]
    base = next((r.seconds for r in results.cold if r.program == cold.BASE), None)
    rows += [
        (f"cold start, {row.program}, against {cold.BASE}", times(base / row.seconds))
        for row in results.cold
        if row.program.startswith("emjax") and row.seconds and base
    ]
    rows += [
        (f"to the optimum, {r.workload.name}, against scikit-learn", times(r.ratio))
        for r in results.accuracy
        if r.ratio
    ]
    if not rows:
        return ""
    return "### At a glance: how many times faster emjax is\n\n" + table(("case", "ratio"), rows)


def _iterations(results: Results) -> str:
    parts = []
    for title in dict.fromkeys(row.workload.title for row in results.rows):
        rows = [row for row in results.rows if row.workload.title == title]
        header = (
            "package",
            "type",
            "iterations",
            "ms, whole call",
            "±",
            "ms, one more",
            "ratio",
            "ratio, one more",
            "ΔlogL/n",
        )
        body = table(header, [_iteration(results, row) for row in rows])
        missing = [f"- {row.package} ({row.dtype}): {row.reason}" for row in rows if row.reason]
        parts.append("\n\n".join([f"#### {title}", body, *(["\n".join(missing)] if missing else [])]))
    return "\n\n".join(["### Time of one EM iteration", *parts]) if parts else ""


def _iteration(results: Results, row: Row) -> tuple[str, ...]:
    difference = "–" if math.isnan(row.difference) else f"{row.difference:+.0e}"
    if row.reason:
        what = "not comparable" if row.reason.startswith("not comparable") else "no result"
        return (row.package, row.dtype, str(row.n_iter or "–"), what, *["–"] * 4, difference)
    whole, more = compared(results.rows, row)
    milliseconds = None if row.own_start or row.per_iteration is None else 1e3 * row.per_iteration
    marginal = row.per_iteration if row.own_start else row.marginal
    return (
        row.package,
        row.dtype,
        str(row.n_iter),
        number(milliseconds),
        _spread(row.whole),
        number(None if marginal is None else 1e3 * marginal),
        times(whole),
        times(more),
        difference,
    )


def _restarts(results: Results) -> str:
    if not results.restarts:
        return ""
    first = results.restarts[0]
    ours = next((row.per_iteration for row in results.restarts if row.way == restarts.OURS), None)
    rows = []
    for row in results.restarts:
        per = row.per_iteration
        ratio = per / ours if per and ours and row.way != restarts.OURS else None
        best = "–" if math.isnan(row.best) else f"{row.best:.8f}"
        value = number(1e3 * per) if per else "no result"
        rows.append((row.way, value, _spread(row.seconds) if per else "–", times(ratio), best))
    header = ("starts", "ms per iteration of a start", "±", "ratio", "best logL/n")
    lines = [f"- {row.way}: {row.reason}" for row in results.restarts if row.reason]
    title = f"### {first.n_init} starts, {first.workload.title}, {first.workload.iterations} iterations of each"
    return "\n\n".join([title, table(header, rows), *(["\n".join(lines)] if lines else [])])


def _cores(results: Results) -> str:
    rows = [
        (r.workload.title, number(1e3 * median(r.one)), number(1e3 * median(r.two)), times(r.gain))
        if r.gain
        else (r.workload.title, r.reason, "–", "–")
        for r in results.cores
    ]
    header = ("emjax, float64, whole calls", "ms, one core", "ms, two cores", "gain")
    return "### Two cores against one\n\n" + table(header, rows) if rows else ""


def _memory(results: Results) -> str:
    rows = [
        (
            r.workload.title,
            r.package,
            r.dtype,
            r.reason or number(r.first / 1e6, unit=" MB"),
            number(r.next / 1e6, unit=" MB"),
        )
        for r in results.memory
    ]
    header = ("workload", "package", "type", "first fit, compilation included", "next fit")
    return "### Peak memory above the data\n\n" + table(header, rows) if rows else ""


def _cold(results: Results) -> str:
    if not results.cold:
        return ""
    base = next((r.seconds for r in results.cold if r.program == cold.BASE), None)
    rows = []
    for row in results.cold:
        ratio = base / row.seconds if base and row.seconds else None
        value = "–" if math.isnan(row.log_likelihood) else f"{row.log_likelihood:.6f}"
        rows.append(
            (row.program, row.reason or number(row.seconds), _spread(row.cpu) if row.cpu else "–", times(ratio), value)
        )
    header = ("program", "CPU s", "±", "scikit-learn's time over it", "logL/n")
    return "### Cold start: a fresh process to a fitted model of 272 points\n\n" + table(header, rows)


def _accuracy(results: Results) -> str:
    rows = []
    for r in results.accuracy:
        if r.reason:
            rows.append((r.workload.name, r.reason, *["–"] * 5))
            continue
        ours, theirs = (1e3 * median(seconds) for seconds in (r.emjax_seconds, r.sklearn_seconds))
        rows.append(
            (
                r.workload.name,
                number(ours),
                f"{r.emjax_iterations}",
                f"{r.tol:.0e}",
                number(theirs),
                f"{r.sklearn_iterations}",
                times(r.ratio),
            )
        )
    header = ("case", "emjax, ms", "iterations", "tol", "scikit-learn, ms", "iterations", "ratio")
    return "### To within 1e-8 per sample of the optimum\n\n" + table(header, rows) if rows else ""


def _limits(results: Results) -> str:
    if not results.limits:
        return ""
    scale = {"gemm": (1e9, "GFLOP/s"), "exp": (1e6, "M exp/s"), "read": (1e9, "GB/s")}
    columns = [f"{by} {dtype}" for by in ("NumPy", "XLA") for dtype in ("float64", "float32")]
    rows = [
        (
            f"{unit} ({text.partition(', ')[2]}), {scale[unit][1]}",
            *(number(_scaled(results.limits.get(f"{unit} {column}"), scale[unit][0])) for column in columns),
        )
        for unit, text in RATES.items()
    ]
    shares = []
    for row in results.rows:
        seconds = row.marginal or row.per_iteration
        if row.package == "emjax" and seconds and not row.reason:
            least = least_seconds(row.workload, row.dtype, results.limits)
            share = (
                row.workload.title,
                row.dtype,
                number(1e3 * least),
                number(1e3 * seconds),
                f"{least / seconds:.0%}",
            )
            shares.append(share)
    parts = ["### Limits of the machine", table(("one core", *columns), rows)]
    if shares:
        header = ("emjax", "type", "least ms", "ms, one more", "fraction of the limit")
        parts += ["### Fraction of the machine's limit", table(header, shares)]
    return "\n\n".join(parts)


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else value / scale


def _scaling(results: Results) -> str:
    rows = [
        (
            f"{r.axis if r.axis != 'k' else 'K'}, {r.covariance}",
            r.package,
            ", ".join(f"{size:,}" for size in r.sizes),
            r.reason or ", ".join(number(1e3 * seconds, 2) for seconds in r.seconds),
            number(r.exponent, 2),
        )
        for r in results.scaling
    ]
    header = ("axis", "package", "sizes", "ms of one iteration more", "exponent")
    return "### Scaling\n\n" + table(header, rows) if rows else ""
