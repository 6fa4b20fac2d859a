"""How a comparison looks in a notebook: the verdict, its reasons, and the parameters side by side."""

import html
from typing import TYPE_CHECKING

from emjax.align import TRUST_LOW
from emjax.wording import number

if TYPE_CHECKING:
    from emjax.comparison import Comparison

_MOST_ROWS = 40


def html_of(comparison: "Comparison") -> str:
    """The comparison as HTML, everything escaped; the posterior's numbers only where its status allows them."""
    trusted = bool(comparison.posterior.converged and comparison.posterior.alignment.trust >= TRUST_LOW)
    reasons = "".join(f"<li>{html.escape(reason)}</li>" for reason in comparison.reasons)
    header = ("parameter", "EM", "se", *(("posterior mean", "sd", "apart (sd)") if trusted else ()))
    lines = []
    for row in comparison.rows[:_MOST_ROWS]:
        values = [row.em, row.se, *((row.mean, row.sd, row.difference_in_sd) if trusted else ())]
        cells = "".join(f"<td>{html.escape(number(value))}</td>" for value in values)
        lines.append(f'<tr><th scope="row">{html.escape(row.name)}</th>{cells}</tr>')
    hidden = len(comparison.rows) - len(lines)
    more = f"<p>... and {hidden} more: see <code>.table</code></p>" if hidden else ""
    said = [side.message for side in (comparison.fit, comparison.posterior) if not side.converged]
    said += [comparison.fit.message] if comparison.fit.converged and comparison.fit.spurious else []
    if comparison.posterior.converged and not trusted:
        said.append(comparison.posterior.alignment.note)
    warning = "".join(f"<p>{html.escape(text)}</p>" for text in said)
    head = "".join(f'<th scope="col">{name}</th>' for name in header)
    return (
        f"<div><p><strong>{html.escape(comparison.sentence)}</strong></p>{warning}<ul>{reasons}</ul>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>{more}</div>"
    )
