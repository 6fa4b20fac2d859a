"""The tables of a run of ``python -m benchmarks.posterior``, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median

from benchmarks.report import number, table, times
from benchmarks.samplers.results import Results, Row

MARKS = ("<!-- posteriors: begin -->", "<!-- posteriors: end -->")
ENOUGH = 400.0
"""The effective sample size below which R-hat and standard errors are not to be trusted (Vehtari et al. 2021)."""

PEERS = ("numpyro", "pymc")
"""The packages that emjax's rows are compared with."""


def as_markdown(results: Results) -> str:
    """All tables of what was measured."""
    parts = [_environment(results)]
    makers: dict[str, Callable[[list[Row]], str]] = {
        "cold": _cold,
        "compiled": _compiled,
        "large": _large,
        "hard": _hard,
    }
    for part, make in makers.items():
        rows = [row for row in results.rows if row.part == part]
        if rows:
            reasons = [f"- {row.title}{_caches(row)}: {row.reason}" for row in rows if row.reason]
            reasons += [f"- {row.title}, {row.problem}: {note}" for row in rows if (note := _note(row))]
            parts += [make(rows), *(["\n".join(dict.fromkeys(reasons))] if reasons else [])]
    return "\n\n".join(parts) + "\n"


def _environment(results: Results) -> str:
    lines = [f"- {name}: {text}" for name, text in results.environment.items()]
    if "--quick" in results.environment.get("command", ""):
        lines.insert(0, "**A quick run with a few draws: it shows that everything works, and nothing about speed.**\n")
    lines += [f"- {name}: {text}" for name, text in results.packages.items()]
    lines.append(f"- the whole run took {results.seconds / 60:.1f} minutes")
    return "\n".join(lines)


def _caches(row: Row) -> str:
    return f" (caches {row.caches})" if row.caches else ""


def _note(row: Row) -> str:
    """What a posterior that was not believed says of itself."""
    status = row.notes.get("status", "converged")
    return "" if row.reason or status == "converged" else str(row.notes.get("message", status))


def _peers(rows: list[Row], value: Callable[[Row], float | None]) -> dict[str, float]:
    """The peers' values, those with caches of the same state where there are two."""
    found = {(row.package, row.caches): value(row) for row in rows if row.package in PEERS and not row.reason}
    return {f"{name} {caches}".strip(): number for (name, caches), number in found.items() if number}


def _ratios(rows: list[Row], row: Row, value: Callable[[Row], float | None], *, more_is_better: bool) -> list[str]:
    """How many times better than each peer a row of emjax is; dashes for the others."""
    mine, cells = value(row), []
    for name in PEERS:
        theirs = _peers(rows, value).get(f"{name} {row.caches}".strip())
        ratio = (mine / theirs if more_is_better else theirs / mine) if mine and theirs else math.nan
        shown = row.package == "emjax" and not row.reason and math.isfinite(ratio)
        cells.append(times(ratio) if shown else "–")
    return cells


_AGAINST = ("against NumPyro", "against nutpie")


def _ess(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" + (" (too few)" if value < ENOUGH else "")


def _rhat(row: Row) -> str:
    return f"{row.rhat:.3f}" if math.isfinite(row.rhat) else "–"


def _deviation(row: Row) -> str:
    return f"{row.deviation:.1f}" if math.isfinite(row.deviation) else "–"


def _cold(rows: list[Row]) -> str:
    body = []
    for row in rows:
        if row.reason:
            body.append((row.title, row.caches, "no result", *["–"] * 6))
            continue
        enough = lambda one: one.seconds if one.least_ess >= ENOUGH else None  # noqa: E731
        ratios = _ratios(rows, row, enough, more_is_better=False)
        cells = (number(row.seconds), number(median(row.wall)), _ess(row.least_ess), _rhat(row))
        body.append((row.title, row.caches, row.size, *cells, *ratios))
    header = ("program", "caches", "chains × draws", "CPU s", "wall s", "least ESS", "R-hat", *_AGAINST)
    return f"### Cold start: a fresh process to draws ({rows[0].problem})\n\n" + table(header, body)


def _compiled(rows: list[Row]) -> str:
    body = []
    for row in rows:
        if row.reason or not row.cpu:
            body.append((row.title, "no result", *["–"] * 8))
            continue
        rate = lambda one: one.ess_per_second  # noqa: E731
        ratios = _ratios(rows, row, rate, more_is_better=True)
        cells = (number(row.seconds), number(median(row.wall)), _ess(row.least_ess), number(rate(row)), _rhat(row))
        body.append((row.title, row.size, *cells, *ratios, _deviation(row)))
    header = (
        "program",
        "chains × draws",
        "CPU s",
        "wall s",
        "least ESS",
        "ESS per CPU s",
        "R-hat",
        *_AGAINST,
        "MCSE off",
    )
    return f"### Compiled: one call more in the same process ({rows[0].problem})\n\n" + table(header, body)


def _large(rows: list[Row]) -> str:
    body = []
    for row in rows:
        if row.reason or not row.cpu:
            body.append((row.title, "no result", *["–"] * 9))
            continue
        again = lambda one: one.seconds_to(ENOUGH) if one.cpu else None  # noqa: E731
        ratios = _ratios(rows, row, again, more_is_better=False)
        cells = (number(row.first_cpu[0]), number(row.seconds), _ess(row.least_ess), _rhat(row))
        at_equal = (number(row.first_seconds_to(ENOUGH)), number(again(row)))
        body.append((row.title, row.size, *cells, *at_equal, *ratios, _deviation(row)))
    header = (
        "program",
        "chains × draws",
        "CPU s, first call",
        "CPU s, next call",
        "least ESS",
        "R-hat",
        "to ESS 400, first",
        "to ESS 400, next",
        *_AGAINST,
        "MCSE off",
    )
    return f"### Many data: {rows[0].problem}\n\n" + table(header, body)


def _hard(rows: list[Row]) -> str:
    body = []
    for row in rows:
        if row.reason or not row.cpu:
            body.append((row.problem, row.method, "no result", *["–"] * 6))
            continue
        chosen, status = str(row.notes.get("method", row.method)), str(row.notes.get("status", "–"))
        cells = (number(row.seconds), row.size, _ess(row.least_ess), _rhat(row), _deviation(row))
        body.append((row.problem, row.method, chosen, status, *cells))
    header = ("posterior", "method", "ran", "status", "CPU s", "chains × draws", "least ESS", "R-hat", "MCSE off")
    return "### Hard posteriors: emjax's methods against frozen references\n\n" + table(header, body)
