"""From a fit alone to its `report.html`: how EM ended, the density, who belongs where, every optimum, every number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emjax.report.page import em_space, render, subject
from emjax.report.tables import MOST_ROWS
from emjax.wording import count, decimals_for, elided, fixed, interval, number

if TYPE_CHECKING:
    from emjax.result import Fit
    from emjax.uncertainty.information import IntervalRow, Intervals


def render_fit(
    fit: Fit, intervals: Intervals, *, provenance: Mapping[str, Any], command: str, assignments_file: str = ""
) -> str:
    """The page of a fit as text; ``assignments_file`` names what lies beside it."""
    from emjax.report import tables
    from emjax.report.drawing import of_comparison as figures
    from emjax.report.drawing.style import drawing

    with drawing():
        pictures = {
            "density": figures.em_density_picture(fit),
            "assignments": list(figures.assignment_pictures(fit)),
            "em_trace": figures.em_trace_picture(fit),
        }
    rough = intervals.status.value != "ok"
    asked_for = fit.exact_iterations and fit.status.value == "max_iter"
    trusted = asked_for or (fit.converged and not fit.spurious)
    content = {
        **pictures,
        "title": f"What EM found in {elided(provenance['data']['name'], 60)}",
        "subject": subject(fit),
        "alert": None if trusted else {"title": "This is no estimate yet.", "text": fit.message},
        "status": _status(fit, asked_for=asked_for),
        "message": fit.message if trusted else "",
        "results": _results(fit),
        "way": f"It took {count(fit.n_iter, 'iteration')}.",
        "optima": tables.optima_table(fit),
        "parameters": [_parameter(row, rough=rough) for row in intervals.rows[:MOST_ROWS]],
        "n_parameters": len(intervals.rows),
        "rough": rough,
        "interval_message": intervals.status.message,
        "level": f"{intervals.level:.0%}",
        "assignments_file": assignments_file,
        "provenance": [
            ("EM's estimate", em_space(fit)),
            ("Standard errors are taken in the space", intervals.space),
            *tables.provenance_rows(fit, provenance, command),
        ],
    }
    return render("fit.html.j2", content)


def _status(fit: Fit, *, asked_for: bool) -> str:
    if asked_for:
        return f"EM ran {count(fit.n_iter, 'iteration')}"
    return "EM found a spurious optimum only" if fit.converged and fit.spurious else f"EM: {fit.status.value}"


def _results(fit: Fit) -> list[tuple[str, str]]:
    """Likelihood and criteria, and how many starts agree."""
    starts = sum(optimum.count for optimum in fit.optima)
    rows = [("Log-likelihood", number(fit.log_likelihood, 8))]
    if fit.mixture.prior is not None:
        rows.append(("Log prior", number(fit.log_prior, 6)))
    return [
        *rows,
        ("BIC (the lower the better)", number(fit.bic(), 8)),
        ("Starts that ended here", f"{fit.optima[0].count:,} of {starts:,}"),
    ]


def _parameter(row: IntervalRow, *, rough: bool) -> dict[str, str]:
    decimals = decimals_for(row.se)
    return {
        "name": row.name,
        "estimate": fixed(row.estimate, decimals),
        "se": "–" if rough else number(row.se, 2),
        "interval": "–" if rough else interval(row.lower, row.upper, decimals),
    }
