"""From a fit or a comparison to `report.html`: one page, no script, nothing loaded from anywhere."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emjax.atomic import write_atomically
from emjax.catalogue import SAMPLERS, in_words
from emjax.files import user_path
from emjax.wording import count, elided, listed, number, printable

if TYPE_CHECKING:
    from emjax.comparison import Comparison
    from emjax.result import Fit
    from emjax.uncertainty.results import Intervals

_ON_PAGE = {
    "posterior": "What was drawn is shown in grey and is not a posterior.",
    "labels": "Whatever names a component is greyed out below.",
}
"""What a page does about numbers that cannot be trusted, by what the alert is about."""


def write_report(
    comparison: Comparison,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    provenance: Mapping[str, Any] | None = None,
    command: str | None = None,
) -> Path:
    """Write the report of a comparison and return its path.

    Parameters
    ----------
    comparison
        What `emjax.compare` returned.
    path
        Where the page goes; an existing file is replaced.
    title
        The question at the top. By default it asks whether EM is enough, for the data's name where ``provenance``
        holds one.
    provenance
        What the run rests on, as in ``environment.json`` (``data``, ``versions``, ``machine``, ``seed``, ...); other
        keys are listed as they are. By default versions, platform and a fingerprint of the data.
    command
        The command line that made the report.

    Notes
    -----
    The same input gives the same bytes. All strings are escaped; the page forbids itself scripts and requests by a
    content security policy. Figures are SVG inside the page.

    Raises
    ------
    ConfigError
        If the file cannot be written; what was there before stays.
    """
    target = user_path(path)
    page = render_report(comparison, title=title, provenance=provenance, command=command)
    write_atomically(target, page, "")
    return target


def render_report(
    comparison: Comparison,
    *,
    title: str | None = None,
    provenance: Mapping[str, Any] | None = None,
    command: str | None = None,
) -> str:
    """The page of `write_report` as text."""
    from emjax.report import evidence
    from emjax.report.alerts import alerts_of, intervals_count
    from emjax.report.provenance import provenance_rows

    fit, posterior, intervals = comparison.fit, comparison.posterior, comparison.intervals
    alerts = alerts_of(comparison)
    data = (provenance or {}).get("data")
    name = data.get("name") if isinstance(data, Mapping) else None
    content = {
        "title": title or (f"Is EM enough for {elided(name, 60)}?" if name else "Is EM enough for this mixture?"),
        "kicker": "EM against MCMC",
        "trusted": posterior.usable,
        "unlabelled": any(alert.about == "labels" for alert in alerts),
        "alerts": [
            dataclasses.replace(alert, text=f"{alert.text} {_ON_PAGE.get(alert.about, '')}".strip()) for alert in alerts
        ],
        "verdict": {
            "name": comparison.verdict.value,
            "word": evidence.word_of(comparison),
            "sentence": comparison.sentence,
            "reasons": comparison.reasons,
            "gauges": evidence.gauges(comparison),
            "judged": fit.converged and posterior.converged,
        },
        "way": f"{fit.message} It took {count(fit.n_iter, 'iteration')}.",
        "posterior_message": posterior.message,
        "seconds": comparison.cost,
        "intervals_count": intervals_count(intervals.status.value, comparison.verdict),
        "interval_message": intervals.message,
        "provenance": [*_rests_on(comparison), *provenance_rows(fit, provenance, command)],
    }
    return _render(comparison, content, "comparison.json")


def render_fit(
    fit: Fit, intervals: Intervals, *, provenance: Mapping[str, Any], command: str, assignments_file: str = ""
) -> str:
    """The page of a fit alone as text; ``assignments_file`` names what lies beside it."""
    from emjax.report.alerts import Alert, ended
    from emjax.report.provenance import provenance_rows

    word, good = ended(fit.status.value, fit.n_iter, as_asked=fit.exact_iterations, spurious=fit.spurious)
    counts = intervals.status.value == "ok"
    results = [
        ("Log-likelihood", number(fit.log_likelihood, 8)),
        ("Log prior", number(fit.log_prior, 6) if fit.mixture.prior is not None else ""),
        ("BIC (the lower the better)", number(fit.bic(), 8)),
        ("Starts that ended here", f"{fit.optima[0].count:,} of {sum(each.count for each in fit.optima):,}"),
    ]
    content = {
        "title": f"What EM found in {elided(provenance['data']['name'], 60)}",
        "kicker": "EM alone",
        "trusted": True,
        "unlabelled": False,
        "alerts": [] if good else [Alert("This is no estimate yet.", fit.message, "em")],
        "verdict": None,
        "status": {"word": word, "message": fit.message if good else "", "facts": results},
        "assignments_file": assignments_file,
        "way": f"It took {count(fit.n_iter, 'iteration')}.",
        "intervals_count": counts,
        "interval_message": intervals.message,
        "provenance": [
            ("EM's estimate", _em_space(fit)),
            ("Intervals are made by", intervals.method),
            ("Standard errors are taken in the space", intervals.space),
            *provenance_rows(fit, provenance, command),
        ],
    }
    return _render(fit, content, "em.json", intervals)


def render(template: str, content: Mapping[str, Any], package: str = "", css: str = "") -> str:
    """A page from a template of ours, or of another package, whose style sheet is added to the one that pages share."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    sheets = [("emjax.report", "report.css"), *([(package, css)] if package else [])]
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(place, ".") for place, _ in reversed(sheets)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    style = "".join((resources.files(place) / sheet).read_text(encoding="utf-8") for place, sheet in sheets)
    return environment.get_template(template).render({"style": Markup(style), **content})  # our own, no data in it


def _render(
    source: Fit | Comparison, content: Mapping[str, Any], document: str, intervals: Intervals | None = None
) -> str:
    """The page with the subject, the figures and the tables, whose further rows are in ``document``."""
    from emjax.report.files import tables_of
    from emjax.report.tables import MOST_OPTIMA, MOST_ROWS
    from emjax.result import Fit

    most = {"modes": MOST_OPTIMA, "optima": MOST_OPTIMA}
    shared = {
        "subject": _subject(source if isinstance(source, Fit) else source.fit),
        "tables": {
            table.of: table.first(most.get(table.of, MOST_ROWS), document if table.of == "parameters" else "")
            for table in tables_of(source, intervals)
        },
        "assignments_file": "",
        **_pictures(source, intervals),
    }
    return render("report.html.j2", {**shared, **content})


def _subject(fit: Fit) -> str:
    """What was fitted to what, in words."""
    mixture = fit.mixture
    structure = mixture.family.structured
    data = f"{count(fit.n_samples, 'observation')} of {listed(list(fit.feature_names))}"
    if mixture.family.own_prior() is not None:
        values = count(mixture.n_components, "value")
        return f"A NumPyro program whose label has {values}, {data}; EM's M-step: {mixture.m_step()}"
    components = count(mixture.n_components, f"{in_words(mixture.family.name)} component")
    shape = f" with {structure} covariance" if structure and (len(fit.feature_names) > 1 or structure == "tied") else ""
    return f"A mixture of {components}{shape}, {data}"


_WITHOUT_DENSITIES = (
    "No density is drawn: of a program with covariates, or with several numbers to a datum, there is none of one "
    "column alone. What was estimated stands below, and whose data they are."
)


def _pictures(source: Comparison | Fit, intervals: Intervals | None) -> dict[str, Any]:
    """The figures of the page; those of draws where there are some."""
    from emjax.report.drawing import (
        assignments,
        band,
        chains,
        density,
        em_trace,
        forest,
        interval_methods,
        labels,
        modes,
        optima,
        pit,
        ranks,
    )
    from emjax.result import Fit

    fit = source if isinstance(source, Fit) else source.fit
    marginals = fit.mixture.family.has_marginals
    found: dict[str, Any] = {
        "densities": [density.density_picture(source)] if marginals else [],
        "without_densities": "" if marginals else _WITHOUT_DENSITIES,
        "assignments": list(assignments.assignment_pictures(source)),
        "em_trace": em_trace.em_trace_picture(fit),
        "optima": optima.optima_picture(fit),
        "intervals": [] if intervals is None else list(interval_methods.interval_pictures(fit, intervals)),
    }
    if isinstance(source, Fit):
        found["densities"] += filter(None, [pit.pit_picture(fit)])
        return found
    posterior = source.posterior
    if marginals:
        found["densities"] += filter(None, [band.band_picture(source), pit.pit_picture(fit)])
    return {
        **found,
        "forest": forest.forest_picture(source),
        "modes": modes.modes_picture(posterior),
        "labels": labels.labels_picture(posterior),
        "chains": list(chains.chain_pictures(posterior)),
        "ranks": ranks.ranks_picture(posterior),
    }


def _em_space(fit: Fit) -> str:
    """Which maximum the estimate is."""
    if fit.mixture.prior is None:
        return "The maximum of the likelihood, which is the same in every space"
    return f"The mode of the posterior density in the space {fit.space}; in another space it would lie elsewhere"


def _rests_on(comparison: Comparison) -> list[tuple[str, str]]:
    """The sentences about the prior, the spaces, the starts and the labels."""
    posterior, intervals = comparison.posterior, comparison.intervals
    found = posterior.diagnostics
    sampler = SAMPLERS[posterior.method].in_full
    draws = f"{count(found.n_chains, 'chain')} of {count(found.n_draws, 'draw')}"
    return [
        ("Prior of the sampler and of the MAP", posterior.prior_note),
        ("EM's estimate", _em_space(comparison.fit)),
        ("The MAP is a mode in the space", f"{posterior.map_fit.space}; in another space it would lie elsewhere"),
        ("Standard errors are taken in the space", f"{intervals.space}. {intervals.message}"),
        ("Sampler", f"{sampler}, {draws} after warm-up; {posterior.starts_note}"),
        ("How the sampler was chosen", " ".join(posterior.decision)),
        ("Labels", posterior.alignment.note),
    ]
