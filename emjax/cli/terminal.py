"""What the commands print for a person: made for 80 columns, the answer first."""

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from emjax.catalogue import in_words
from emjax.naming import of_pairs
from emjax.wording import interval_text, printable, with_error

VERDICT_STYLES = {
    "em_sufficient": "bold green",
    "em_with_intervals": "bold yellow",
    "mcmc_needed": "bold red",
    "inconclusive": "bold magenta",
}
"""How the verdicts are coloured; their words are those of ``emjax.verdict``."""

WITHHELD = "The draws are not a posterior yet, so their numbers are not shown; the files hold them, marked as such."
"""What stands in place of posterior numbers that cannot be trusted."""

NOT_IDENTIFIED = (
    "Numbers of single components are left out: labels are not identified, so they have no meaning one by one. The "
    "files hold them."
)
"""What stands in place of labelled numbers where the alignment cannot be trusted."""

WITH_A_PRIOR = "With a prior: --prior default, or model.prior = 'default' in the config."
"""How the command line takes the remedy that a collapsed fit is given."""

ROUGH_INTERVALS = "They are not shown; the files hold them, marked as rough."
"""What stands in place of intervals that cannot be trusted."""

MAX_ROWS = 40
"""Rows of a parameter table on the terminal; the JSON files always hold all."""


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
    if k is not None:
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


def comparison_view(document: Mapping[str, Any], about: str, files: Sequence[str]) -> list[RenderableType]:
    """Return what ``compare`` prints: what cannot be trusted, verdict, reasons, parameters, cost, the report."""
    from emjax.verdict import Verdict

    style = VERDICT_STYLES[document["verdict"]]
    judgement = (document["diagnostics"].get("em") or {}).get("judgement") or {}
    sentence = judgement.get("sentence") or Verdict(document["verdict"]).sentence  # older runs have none of their own
    posterior = document["diagnostics"]["posterior"]
    trusted = posterior["status"] == "converged"
    identified = _identified(document["diagnostics"].get("alignment"))
    remedy = posterior.get("status_message", "")
    # The remedy leads already; what stays of the reason are the numbers behind it.
    reasons = document["reasons"] if trusted else [reason.replace(f"{remedy} ", "") for reason in document["reasons"]]
    return [
        *_leads(document["diagnostics"], intervals=not _intervals_count(document)),
        _headline(sentence, style, about),
        *_bullets(reasons),
        *_bullets([] if trusted else [WITHHELD]),
        *_bullets([] if identified else [NOT_IDENTIFIED]),
        Text(),
        *(_parameter_table(document, trusted) if identified else [_invariant_table(document["invariants"], trusted)]),
        *_cost_lines(document.get("cost")),
        *_places(files),
    ]


def _identified(alignment: Mapping[str, Any] | None) -> bool:
    """Whether labels mean anything; a trust that is not a number is none."""
    from emjax.align import TRUST_LOW

    return alignment is None or (alignment["trust"] is not None and alignment["trust"] >= TRUST_LOW)


def _intervals_count(document: Mapping[str, Any]) -> bool:
    """Whether EM's intervals may be read: their own check does not doubt them, or the posterior bears them out."""
    from emjax.verdict import EM_IS_ENOUGH

    status = ((document["diagnostics"].get("em") or {}).get("intervals") or {}).get("status")
    return status != "rough" or document["verdict"] in EM_IS_ENOUGH


def _leads(diagnostics: Mapping[str, Any], *, intervals: bool = False) -> list[RenderableType]:
    """One sentence for each thing that must be known before the verdict is read; ``intervals`` where EM's are rough."""
    found = []
    posterior, em, alignment = (diagnostics.get(key) for key in ("posterior", "em", "alignment"))
    if posterior and posterior["status"] != "converged":
        found.append(("MCMC cannot be trusted yet", posterior["status"], posterior.get("status_message", "")))
    if em and em["status"] != "converged":
        found.append(("EM cannot be trusted yet", em["status"], em["message"]))
    elif em and _is_spurious(em.get("optima", ())):
        found.append(("EM cannot be trusted yet", "only a spurious optimum", em["message"]))
    if intervals and em:
        found.append(("EM's intervals cannot be trusted", "rough", em["intervals"]["message"]))
    if not _identified(alignment):
        assert alignment is not None
        trust = _number(alignment["trust"], "{:.2f}")
        words = "Read what does not depend on labels: density, shared components, scores."
        found.append(("Labels are not identified", f"alignment trust {trust}", words))
    return [
        Text.assemble((f"{what} ({detail.replace('_', ' ')}):", "bold red"), f" {printable(words)}")
        for what, detail, words in found
    ]


def _parameter_table(document: Mapping[str, Any], trusted: bool) -> list[RenderableType]:
    rows = [row for row in document["parameters"] if not of_pairs(row["name"])]
    em = document["diagnostics"].get("em") or {}
    shown = _intervals_count(document)
    name = "EM" if em.get("prior", "none") == "none" else "MAP"
    table = _table("parameter", f"{name} ± se" if shown else name, "posterior ± sd", "apart by", "width ratio")
    for row in rows[:MAX_ROWS]:
        posterior = (
            with_error(row["mean"], row["sd"]),
            _number(row["difference_in_sd"], "{:+.2f} sd"),
            _number(row["width_ratio"], "{:.2f}"),
        )
        table.add_row(
            Text(printable(row["name"])),
            with_error(row["em"], row["se"] if shown else None),
            *(posterior if trusted else "---"),
        )
    return [table, *_more(len(rows))]


def _invariant_table(invariants: Mapping[str, Any], trusted: bool) -> Table:
    """What labels do not touch."""
    table = _table("without labels", "EM", "posterior", "apart by")
    distance, pairs, score = (invariants[key] for key in ("total_variation", "co_clustering", "log_score"))
    loo = invariants["elpd_loo"] or {"value": None, "standard_error": None}
    rows = [
        ("density (total variation)", None, None, _number(distance["value"], "{:.1%}")),
        ("shared components, on average", None, None, _number(pairs["mean_difference"], "{:.1%}")),
        (
            "log score per datum",
            _number(score["em"], "{:.4f}"),
            _number(score["posterior_predictive"], "{:.4f}"),
            _number(score["difference"], "{:+.4f}"),
        ),
        ("PSIS-LOO", None, with_error(loo["value"], loo["standard_error"]), None),
        ("BIC", _number(invariants["bic"], "{:.2f}"), None, None),
    ]
    for name, em, posterior, apart in rows:
        table.add_row(name, em or "", *((posterior or "", apart or "") if trusted else ("-", "-")))
    return table


def fit_view(document: Mapping[str, Any], about: str, files: Sequence[str]) -> list[RenderableType]:
    """Return what ``fit`` prints: how EM ended, the likelihood, estimates with intervals, the optima."""
    exact = document["exact_iterations"] and document["status"] == "max_iter"
    spurious = document["status"] == "converged" and _is_spurious(document["optima"])
    good = (document["converged"] or exact) and not spurious
    words = f"{document['n_iter']} iterations" if exact else str(document["status"]).replace("_", " ")
    words = "only a spurious optimum" if spurious else words
    intervals = document["intervals"]
    table = _table("parameter", "EM ± se", f"{100 * intervals['level']:g}% interval")
    rows = [row for row in intervals["rows"] if not of_pairs(row["name"])]
    rough = intervals["status"] == "rough"
    for row in rows[:MAX_ROWS]:
        table.add_row(
            Text(printable(row["name"])),
            with_error(row["estimate"], None if rough else row["se"]),
            "-" if rough else interval_text(row["lower"], row["upper"], row["se"]),
        )
    kind = "maximum likelihood" if document["prior"] == "none" else f"MAP in {document['space']}"
    objective = f"{kind}: log-likelihood {_number(document['log_likelihood'], '{:.5f}')}"
    if document["prior"] != "none":
        objective += f", log prior {_number(document.get('log_prior'), '{:.5f}')}"
    return [
        _headline(f"EM: {words}", "bold green" if good else "bold yellow", about),
        *_bullets([document["message"]]),
        *_bullets([f"{objective}, BIC {_number(document['bic'], '{:.3f}')}"]),
        *_bullets([optima_text(document["optima"])]),
        *_bullets([WITH_A_PRIOR] if document["status"] == "degenerate" and document["prior"] == "none" else []),
        *_bullets([intervals["message"]] if intervals["status"] != "ok" else []),
        *_bullets([ROUGH_INTERVALS] if rough else []),
        Text(),
        table,
        *_more(len(rows)),
        *_times("EM", document),
        *_places(files),
    ]


def posterior_view(document: Mapping[str, Any], about: str, files: Sequence[str]) -> list[RenderableType]:
    """Return what ``sample`` prints: whether the chains may be trusted, then means and intervals."""
    good = document["status"] == "converged"
    identified = _identified(document["alignment"])
    table = _table("parameter", "mean ± sd", f"{100 * document['level']:g}% interval", "ESS", "R-hat")
    rows = [row for row in document["parameters"] if not of_pairs(row["name"])]
    for row in rows[:MAX_ROWS]:
        table.add_row(
            Text(printable(row["name"])),
            with_error(row["mean"], row["sd"]) if good else "-",
            interval_text(row["lower"], row["upper"], row["sd"]) if good else "-",
            _number(row["ess"], "{:.0f}"),
            _number(row["r_hat"], "{:.3f}"),
        )
    words = f"Posterior: {str(document['status']).replace('_', ' ')}"
    # Labels of draws that are no posterior are nobody's concern.
    leads = _leads({"alignment": document["alignment"]}) if good else []
    return [
        *leads,
        _headline(words, "bold green" if good else "bold red", about),
        *_bullets([document["message"], *document["decision"], modes_text(document)]),
        *_bullets([document["alignment"]["note"], document["prior_note"]]),
        *_bullets([] if good else [WITHHELD]),
        *_bullets([NOT_IDENTIFIED] if good and not identified else []),
        *([] if good and not identified else [Text(), table, *_more(len(rows))]),
        *_times("MCMC", document),
        *_places(files),
    ]


def dataset_table(entries: Iterable[Mapping[str, Any]]) -> list[RenderableType]:
    """Return what ``datasets`` prints."""
    table = _table("name", "rows", "what", "columns", left=(2, 3))
    for entry in entries:
        names = ", ".join(entry["feature_names"])
        table.add_row(Text(entry["name"], style="bold"), str(entry["n_samples"]), entry["title"], names)
    return [table, Text("\nSources and licences: emjax datasets --json", style="dim")]


def doctor_table(findings: Mapping[str, Any]) -> list[RenderableType]:
    """Return what ``doctor`` prints."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    machine, precision, cache = findings["machine"], findings["precision"], findings["cache"]
    for package, version in findings["versions"].items():
        table.add_row(package, Text("not installed", style="red") if version is None else version)
    table.add_row("python", f"{machine['python']} ({machine['implementation']})")
    table.add_row("system", f"{machine['system']} {machine['processor']}, {machine['cpus']} cpus")
    for device in findings["devices"]:
        table.add_row("device", f"{device['platform']}:{device['id']}  {device['kind']}")
    usable = [name for name in ("float64", "float32") if precision[name]]
    table.add_row("precision", f"{precision['default']} by default; {' and '.join(usable)} work here")
    state = "on" if cache["enabled"] else cache["problem"] or "off (EMJAX_NO_CACHE)"
    table.add_row("cache", f"{state}; {cache['files']} files, {cache['bytes'] / 1e6:.1f} MB")
    table.add_row("", printable(cache["folder"]))
    return [table]


def bundled_datasets() -> list[dict[str, Any]]:
    """Return the bundled data sets, as printed by ``emjax datasets --json``."""
    from emjax.datasets.bundled import CATALOGUE

    return [
        {
            "name": entry.name,
            "title": entry.title,
            "n_samples": entry.n_samples,
            "n_features": entry.n_features,
            "feature_names": list(entry.feature_names),
            "source": entry.source,
            "license": entry.license,
            "description": entry.description,
        }
        for entry in CATALOGUE.values()
    ]


def modes_text(document: Mapping[str, Any]) -> str:
    """Return how many modes the posterior has, what each holds, and the evidence."""
    known = [mode for mode in document["modes"] if mode["mass"] is not None and mode["mass"] >= 0.01]
    # Runs that were stored before regions were known have modes alone.
    shares = [mode["mass"] for mode in known if not mode.get("n_empty")]
    empty = sum(mode["mass"] for mode in known if mode.get("n_empty"))
    if empty:
        found = "one mode" if len(shares) == 1 else f"{len(shares)} modes"
        text = f"The posterior has {found} that EM knows of; in {empty:.0%} of it components are empty"
    elif document["n_modes"] <= 1 or len(shares) <= 1:
        text = "The posterior has one mode that EM knows of"
    else:
        text = f"The posterior has {len(shares)} modes that EM knows of, with {_joined(shares)} of it"
    shape, evidence = _number(document["pareto_k"], "{:.2f}"), _number(document["log_evidence"], "{:.2f}")
    # Runs that were written before the limit was: it was 0.7 then.
    good = document["pareto_k"] is not None and document["pareto_k"] <= document.get("good_pareto_k", 0.7)
    rough = "" if good else ", so masses and evidence are rough"
    return f"{text}; log evidence {evidence} (Pareto k {shape}{rough})."


def _joined(shares: Sequence[float]) -> str:
    words = [f"{share:.0%}" for share in shares[:6]] + (["..."] if len(shares) > 6 else [])
    return f"{', '.join(words[:-1])} and {words[-1]}"


def optima_text(optima: Sequence[Mapping[str, Any]]) -> str:
    """Return how many starts ended in which optimum; an end that is no regular optimum is marked."""
    n_starts = sum(optimum["count"] for optimum in optima)
    starts = f"{n_starts} start{'' if n_starts == 1 else 's'}"
    if len(optima) == 1:
        mark = _mark(optima[0])
        ended = starts if n_starts > 1 else "one start"
        if mark:
            return f"{ended}, one end point{mark}"
        return f"{starts}, one optimum" if n_starts > 1 else ended
    shown = [
        f"{_number(optimum['objective'], '{:.3f}')} (x{optimum['count']}{_mark(optimum)})" for optimum in optima[:4]
    ]
    rest = f" and {len(optima) - 4} more" if len(optima) > 4 else ""
    return f"{starts}, {len(optima)} end points: {', '.join(shown)}{rest}"


def _is_spurious(optima: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the best end of all starts is spurious: regular ones would come before it."""
    return bool(optima) and bool(optima[0]["spurious"])


def _mark(optimum: Mapping[str, Any]) -> str:
    """What an end is where it is no regular optimum: its status, or that it is spurious."""
    status = str(optimum.get("status", "converged"))
    words = {"converged": "", "degenerate": ", degenerate: collapsed"}.get(status, f", {status.replace('_', ' ')}")
    return words + (", spurious" if optimum["spurious"] and status != "degenerate" else "")


def _headline(sentence: str, style: str, about: str) -> Text:
    """Return the answer, coloured up to its colon, and below it what it is about."""
    answer, colon, rest = printable(sentence).partition(":")
    return Text.assemble((answer + colon, style), rest, "\n", (about, "dim"), "\n")


def _bullets(lines: Iterable[str]) -> list[RenderableType]:
    """Return each line as an item whose further lines are indented."""
    items: list[RenderableType] = []
    for line in lines:
        item = Table.grid(padding=(0, 1))
        item.add_column(width=1)
        item.add_column(overflow="fold")
        item.add_row("-", Text(printable(line)))
        items.append(Padding(item, (0, 0, 0, 1), expand=False))
    return items


def _table(*columns: str, left: tuple[int, ...] = ()) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for position, column in enumerate(columns):
        name = position == 0 or position in left
        table.add_column(column, justify="left" if name else "right", overflow="fold", no_wrap=not name, min_width=4)
    return table


def _number(value: float | None, form: str) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    text = form.format(value)
    # A rounded nothing has no sign.
    return text.replace("-", "").replace("+", "") if not any(digit in text for digit in "123456789") else text


def _more(n_rows: int) -> list[RenderableType]:
    hidden = n_rows - MAX_ROWS
    return [Text(f"... and {hidden} more rows in the run's folder", style="dim")] if hidden > 0 else []


def _cost_lines(cost: Any) -> list[RenderableType]:
    if not isinstance(cost, Mapping):
        return []
    parts = [
        f"{label}{_by(entry)} {_seconds(entry['run_seconds'])} (+ {_seconds(entry['compile_seconds'])} compiling)"
        for key, label in (("em", "EM"), ("mcmc", "MCMC"))
        if isinstance(entry := cost.get(key), Mapping)
    ]
    return [Text("\n" + ", ".join(parts), style="dim")] if parts else []


def _seconds(value: float | None) -> str:
    return f"{_number(value, '{:.1f}')} s"


def _by(entry: Mapping[str, Any]) -> str:
    return f" by {entry['method']}" if entry.get("method") else ""


def _times(label: str, document: Mapping[str, Any]) -> list[RenderableType]:
    return _cost_lines({"em" if label == "EM" else "mcmc": document})


def _places(files: Sequence[str]) -> list[RenderableType]:
    # Paths are never wrapped or cut: people copy them.
    return [Text(f"\n{printable(files[0])}", no_wrap=True, overflow="ignore", style="bold")] if files else []
