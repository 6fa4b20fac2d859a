"""What the commands print for a person: made for 80 columns, the answer first."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from emjax.catalogue import OF_COMPARISONS, USABLE, in_words
from emjax.cli.console import unbroken
from emjax.cli.tables import terminal_table, typed
from emjax.report import tables
from emjax.report.alerts import Alert, alerts, ended, identified, intervals_count, is_spurious
from emjax.table import Column, Table
from emjax.verdict import Verdict
from emjax.wording import MISSING, count, percent, printable, seconds

VERDICT_STYLES = {
    "em_sufficient": "bold green",
    "em_with_intervals": "bold yellow",
    "mcmc_needed": "bold red",
    "inconclusive": "bold magenta",
}
"""How the verdicts are coloured; their words are those of ``emjax.verdict``."""

LEFT_OUT = {
    "posterior": (
        "The draws are not a posterior yet, so their numbers are not shown; the files hold them, marked as such."
    ),
    "labels": (
        "Numbers of single components are left out: labels are not identified, so they have no meaning one by one. The "
        "files hold them."
    ),
    "intervals": "They are not shown; the files hold them, marked as rough.",
}
"""What stands in place of numbers that cannot be trusted, by what the alert is about."""

WITH_A_PRIOR = "With a prior: --prior default, or model.prior = 'default' in the config."
"""How the command line takes the remedy that a collapsed fit is given."""

REST = "the run's folder has all"


def subject(
    name: str, shape: Sequence[int], model: Mapping[str, Any], roles: Mapping[str, Any] = MappingProxyType({})
) -> str:
    """Return what a run is about, in words: ``faithful (272 x 2), 2 normal components, full covariance``.

    ``model`` has ``family``, ``covariance`` and ``n_components``; what is None is left out. Of ``roles``
    (`emjax.samples.Samples.roles`) there is what it has: ``3 cells not seen, total weight 480, 12 rows labelled``.
    """
    n_samples, n_features = shape
    k, family, covariance = (model[key] for key in ("n_components", "family", "covariance"))
    about = f"{name} ({n_samples} x {n_features})"
    if model.get("program") is not None:
        about += f", program {os.path.basename(model['program'])} with {k} values of its label"
    elif k is not None:
        kind = "" if family is None else f"{in_words(family)} "
        about += f", {k} {kind}component{'' if k == 1 else 's'}"
    about += f", {covariance} covariance" if covariance else ""
    known = ", ".join(form.format(roles[name]) for name, form in _ROLES.items() if roles.get(name))
    return printable(f"{about}; {known}" if known else about)


_ROLES = {
    "missing_cells": "{:,} cells not seen",
    "unseen_rows": "{:,} rows without any",
    "total_weight": "total weight {:,.10g}",
    "labelled_rows": "{:,} rows labelled",
}


def comparison_view(document: Mapping[str, Any], about: str, place: str) -> list[RenderableType]:
    """Return what ``compare`` prints: what cannot be trusted, verdict, reasons, parameters, cost, the report."""
    diagnostics, verdict = document["diagnostics"], document["verdict"]
    em = diagnostics.get("em") or {}
    found = alerts(diagnostics, verdict)
    trusted = diagnostics["posterior"]["status"] in USABLE
    remedy = diagnostics["posterior"].get("status_message", "")
    # The remedy leads already; what stays of the reason are the numbers behind it.
    reasons = document["reasons"] if trusted else [reason.replace(f"{remedy} ", "") for reason in document["reasons"]]
    if identified(diagnostics.get("alignment")):
        counts = intervals_count((em.get("intervals") or {}).get("status"), verdict)
        rows, prior = tables.without_pairs(document["parameters"]), em.get("prior", "none") != "none"
        table = tables.parameter_table(rows, document["level"], trusted=trusted, intervals=counts, prior=prior)
    else:
        table = tables.invariant_table(document["invariants"], trusted=trusted)
    return [
        *_leads(found),
        _headline(_sentence(verdict, em), VERDICT_STYLES[verdict], about),
        *_bullets([*reasons, *_left_out(found)]),
        *_numbers(table),
        *_cost(document.get("cost") or {}),
        _place(place),
    ]


def _sentence(verdict: str, em: Mapping[str, Any]) -> str:
    return (em.get("judgement") or {}).get("sentence") or Verdict(verdict).sentence


def fit_view(document: Mapping[str, Any], about: str, place: str) -> list[RenderableType]:
    """Return what ``fit`` prints: how EM ended, the likelihood, estimates with intervals, the optima."""
    words, good = ended(
        document["status"], document["n_iter"], as_asked=document["exact_iterations"],
        spurious=is_spurious(document["optima"]),
    )  # fmt: skip
    intervals, prior = document["intervals"], document["prior"] != "none"
    rough = intervals["status"] == "rough"
    method, said = intervals.get("method", OF_COMPARISONS), [intervals["message"]]
    if method != OF_COMPARISONS:
        said = [f"Intervals by {method}: {intervals['message']}"]
    elif intervals["status"] == "ok":
        said = []
    table = tables.interval_table(
        tables.without_pairs(intervals["rows"]), intervals["level"], good=not rough, prior=prior
    )
    collapsed = document["status"] == "degenerate" and not prior
    return [
        _headline(words, "bold green" if good else "bold yellow", about),
        *_bullets([document["message"], _objective(document, prior), optima_text(document["optima"])]),
        *_bullets([WITH_A_PRIOR] if collapsed else []),
        *_bullets(said),
        *_bullets([LEFT_OUT["intervals"]] if rough else []),
        *_numbers(table),
        *_cost({"em": document}),
        _place(place),
    ]


def _objective(document: Mapping[str, Any], prior: bool) -> str:
    kind = f"MAP in {document['space']}" if prior else "maximum likelihood"
    text = f"{kind}: log-likelihood {_plain(document['log_likelihood'], 5)}"
    text += f", log prior {_plain(document.get('log_prior'), 5)}" if prior else ""
    return f"{text}, BIC {_plain(document['bic'], 3)}"


def _plain(value: float | None, decimals: int) -> str:
    """A number that other programs read."""
    return MISSING if value is None or not math.isfinite(value) else f"{value:.{decimals}f}"


def posterior_view(document: Mapping[str, Any], about: str, place: str) -> list[RenderableType]:
    """Return what ``sample`` prints: whether the chains may be trusted, then means and intervals."""
    good, alignment = document["status"] in USABLE, document["alignment"]
    # Labels of draws that are no posterior are nobody's concern.
    found = alerts({"alignment": alignment}) if good else []
    rows = tables.without_pairs(document["parameters"])
    return [
        *_leads(found),
        _headline(f"Posterior: {document['status'].replace('_', ' ')}", "bold green" if good else "bold red", about),
        *_bullets([document["message"], *document["decision"], modes_text(document)]),
        *_bullets([*([] if found else [alignment["note"]]), document["prior_note"]]),
        *_bullets(_left_out(found) if good else [LEFT_OUT["posterior"]]),
        *([] if found else _numbers(tables.posterior_table(rows, document["level"], trusted=good))),
        *_cost({"mcmc": document}),
        _place(place),
    ]


def dataset_table(entries: Iterable[Mapping[str, Any]]) -> list[RenderableType]:
    """Return what ``datasets`` prints."""
    rows = [
        (entry["name"], str(entry["n_samples"]), entry["title"], ", ".join(entry["feature_names"])) for entry in entries
    ]
    table = Table(("name", "rows", Column("what", "word"), Column("columns", "word")), rows)
    return [*terminal_table(table), Text("\nSources and licences: emjax datasets --json", style="dim")]


def bundled_datasets() -> list[dict[str, Any]]:
    """Return the bundled data sets, as printed by ``emjax datasets --json``."""
    from emjax.datasets.bundled import CATALOGUE

    told = ("name", "title", "n_samples", "n_features", "feature_names", "source", "license", "description")
    return [{name: getattr(entry, name) for name in told} for entry in CATALOGUE.values()]


def modes_text(document: Mapping[str, Any]) -> str:
    """Return how many modes the posterior has, what each holds, and the evidence."""
    known = [mode for mode in document["modes"] if mode["mass"] is not None and mode["mass"] >= 0.01]
    shares = [mode["mass"] for mode in known if not mode.get("n_empty")]
    empty = sum(mode["mass"] for mode in known if mode.get("n_empty"))
    several = len(shares) > 1 and (empty or document["n_modes"] > 1)
    text = f"The posterior has {f'{len(shares)} modes' if several else 'one mode'} that EM knows of"
    if empty:
        text += f"; in {percent(empty, 0)} of it components are empty"
    elif several:
        *first, last = [percent(share, 0) for share in shares[:6]] + (["..."] if len(shares) > 6 else [])
        text += f", with {', '.join(first)} and {last} of it"
    good = document["pareto_k"] is not None and document["pareto_k"] <= document.get("good_pareto_k", 0.7)
    rough = "" if good else ", so masses and evidence are rough"
    evidence, shape = (_plain(document[key], 2) for key in ("log_evidence", "pareto_k"))
    return f"{text}; log evidence {evidence} (Pareto k {shape}{rough})."


def optima_text(optima: Sequence[Mapping[str, Any]]) -> str:
    """Return how many starts ended in which optimum; an end that is no regular optimum is marked."""
    n_starts = sum(optimum["count"] for optimum in optima)
    starts = "one start" if n_starts == 1 else count(n_starts, "start")
    if len(optima) > 1:
        ends = [f"{_plain(optimum['objective'], 3)} (x{optimum['count']}{_mark(optimum)})" for optimum in optima[:4]]
        rest = f" and {len(optima) - 4} more" if len(optima) > 4 else ""
        return f"{starts}, {len(optima)} end points: {', '.join(ends)}{rest}"
    mark = _mark(optima[0])
    return f"{starts}, one end point{mark}" if mark else f"{starts}, one optimum" if n_starts > 1 else starts


def _mark(optimum: Mapping[str, Any]) -> str:
    """What an end is where it is no regular optimum: its status, or that it is spurious."""
    status = optimum.get("status", "converged")
    words = {"converged": "", "degenerate": ", degenerate: collapsed"}.get(status, f", {status.replace('_', ' ')}")
    return words + (", spurious" if optimum["spurious"] and status != "degenerate" else "")


def _leads(found: Sequence[Alert]) -> list[RenderableType]:
    """One sentence for each thing that must be known before the verdict is read."""
    return [Text.assemble((f"{alert.title}:", "bold red"), f" {typed(alert.text)}") for alert in found]


def _left_out(found: Sequence[Alert]) -> list[str]:
    return [LEFT_OUT[alert.about] for alert in found if alert.about in ("posterior", "labels")]


def _headline(sentence: str, style: str, about: str) -> Text:
    """Return the answer, coloured up to its colon, and below it what it is about."""
    answer, colon, rest = printable(sentence).partition(":")
    return Text.assemble((answer + colon, style), rest, "\n", (about, "dim"), "\n")


def _bullets(lines: Iterable[str]) -> list[RenderableType]:
    """Return each line as an item whose further lines are indented."""
    items: list[RenderableType] = []
    for line in lines:
        item = Grid.grid(padding=(0, 1))
        item.add_column(width=1)
        item.add_column(overflow="fold")
        item.add_row("-", Text(typed(line)))
        items.append(Padding(item, (0, 0, 0, 1), expand=False))
    return items


def _numbers(table: Table) -> list[RenderableType]:
    # The title is what the command says already.
    return [Text(), *terminal_table(table.brief, REST, title=False)]


def _cost(sides: Mapping[str, Mapping[str, Any] | None]) -> list[RenderableType]:
    parts = [
        f"{tables.side_name(key, side.get('method'))} {seconds(side['run_seconds'])} "
        f"(+ {seconds(side['compile_seconds'])} compiling)"
        for key, side in sides.items()
        if key in ("em", "mcmc") and side
    ]
    return [Text(f"\n{', '.join(parts)}", style="dim")] if parts else []


def _place(path: str) -> RenderableType:
    return unbroken(f"\n{printable(path)}", style="bold")
