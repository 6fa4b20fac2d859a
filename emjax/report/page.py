"""From a comparison to `report.html`: one page, no script, nothing loaded from anywhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emjax.atomic import write_atomically
from emjax.catalogue import SAMPLERS, in_words
from emjax.files import user_path
from emjax.wording import count, elided, listed, printable

if TYPE_CHECKING:
    from emjax.comparison import Comparison
    from emjax.result import Fit


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
    content = {**_heading(comparison, title, provenance), **_content(comparison, provenance, command)}
    return render("report.html.j2", content)


def render(template: str, content: Mapping[str, Any]) -> str:
    """A page from one of the templates here, in the style that they share."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=PackageLoader("emjax.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    css = (resources.files("emjax.report") / "report.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(style=Markup(css), **content)  # our own file, no data in it


def _heading(comparison: Comparison, title: str | None, provenance: Mapping[str, Any] | None) -> dict[str, Any]:
    from emjax.report.evidence import word_of

    data = (provenance or {}).get("data")
    name = data.get("name") if isinstance(data, Mapping) else None
    asked = f"Is EM enough for {elided(name, 60)}?" if name else "Is EM enough for this mixture?"
    return {
        "title": title or asked,
        "subject": subject(comparison.fit),
        "verdict": comparison.verdict.value,
        "verdict_word": word_of(comparison),
        "verdict_sentence": comparison.sentence,
        "reasons": comparison.reasons,
    }


def subject(fit: Fit) -> str:
    """What was fitted to what, in words."""
    mixture = fit.mixture
    structure = mixture.family.structured
    components = count(mixture.n_components, f"{in_words(mixture.family.name)} component")
    shape = f" with {structure} covariance" if structure and (len(fit.feature_names) > 1 or structure == "tied") else ""
    return (
        f"A mixture of {components}{shape}, {count(fit.n_samples, 'observation')} of {listed(list(fit.feature_names))}"
    )


def _content(comparison: Comparison, provenance: Mapping[str, Any] | None, command: str | None) -> dict[str, Any]:
    from emjax.report import evidence, tables
    from emjax.report.drawing import of_comparison as figures
    from emjax.report.drawing import of_posterior as posterior_figures
    from emjax.report.drawing.style import drawing

    posterior = comparison.posterior
    with drawing():
        pictures = {
            "density": figures.density_picture(comparison),
            "density_band": posterior_figures.band_picture(comparison),
            "forest": figures.forest_picture(comparison),
            "assignments": list(figures.assignment_pictures(comparison)),
            "em_trace": figures.em_trace_picture(comparison.fit),
            "modes": posterior_figures.modes_picture(comparison),
            "labels": posterior_figures.labels_picture(comparison),
            "chains": list(figures.chain_pictures(comparison)),
            "ranks": posterior_figures.ranks_picture(comparison),
        }
    return {
        **pictures,
        "alerts": evidence.alerts(comparison),
        "gauges": evidence.gauges(comparison),
        "judged": comparison.fit.converged and posterior.converged,
        "trusted": posterior.converged,
        "identified": evidence.labels_identified(comparison),
        "posterior_status": posterior.status.value,
        "posterior_message": posterior.message,
        "n_components": comparison.fit.mixture.n_components,
        "parameters": tables.parameter_table(comparison),
        "checks": tables.diagnostic_checks(comparison),
        "quantities": tables.quantity_table(comparison),
        "optima": tables.optima_table(comparison.fit),
        "invariants": tables.invariant_list(comparison),
        "cost": tables.cost_bars(comparison),
        "facts": _facts(comparison),
        "provenance": tables.provenance_rows(comparison.fit, provenance, command),
    }


def _facts(comparison: Comparison) -> dict[str, str]:
    """The sentences about the prior, the spaces, the starts and the labels."""
    found, posterior = comparison.diagnostics, comparison.posterior
    n_chains, n_draws = found["posterior"]["n_chains"], found["posterior"]["n_draws"]
    sampler = SAMPLERS[posterior.method].in_full
    return {
        "em": f"{found['em']['message']} It took {count(comparison.fit.n_iter, 'iteration')}.",
        "em_space": em_space(comparison.fit),
        "map_space": found["map"]["space"],
        "interval_space": found["em"]["intervals"]["space"],
        "interval_message": found["em"]["intervals"]["message"],
        "prior": found["posterior"]["prior"],
        "starts": found["posterior"]["starts"],
        "sampler": f"{sampler}, {count(n_chains, 'chain')} of {count(n_draws, 'draw')} after warm-up",
        "decision": " ".join(posterior.decision),
        "labels": posterior.alignment.note,
    }


def em_space(fit: Fit) -> str:
    """Which maximum the estimate is."""
    if fit.mixture.prior is None:
        return "The maximum of the likelihood, which is the same in every space"
    space = fit.space
    return f"The mode of the posterior density in the space {space}; in another space it would lie elsewhere"
