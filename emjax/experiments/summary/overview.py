"""The main numbers of a study: cells by methods, for a terminal and for a notebook."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emjax.experiments.summary.wording import LABELS, mean_with_error, setting_text, short_names

if TYPE_CHECKING:
    import pandas

MAIN = ("covered", "width", "log_score_loss", "log_score", "total_variation", "ari", "run_seconds")
"""The quantities of an overview, as far as a study has them."""

CAPTION = "Means over the outcomes that their method trusts ± Monte-Carlo standard error"


@dataclasses.dataclass(frozen=True)
class OverviewTable:
    """Texts: a header, and one row per cell and method that has rows."""

    header: list[str]
    rows: list[list[str]]


def trusted_counts(rows: "pandas.DataFrame") -> "pandas.DataFrame":
    """Count outcomes: ``cell``, ``method``, ``n``, ``n_trusted``."""
    found = rows[rows["quantity"] == "trusted"]
    found = found.assign(value=found["value"] == 1)
    counts = found.groupby(["cell", "method"], sort=False)["value"].agg(n="size", n_trusted="sum").reset_index()
    return counts.astype({"n": int, "n_trusted": int})


def main_means(
    rows: "pandas.DataFrame", cells: Sequence[str], methods: Sequence[str], quantities: Sequence[str]
) -> "pandas.DataFrame":
    """Means over trusted outcomes (see `emjax.experiments.results.StudyResult.overview`)."""
    import pandas

    outcome = ["cell", "method", "replicate"]
    trusted = rows.loc[(rows["quantity"] == "trusted") & (rows["value"] == 1), outcome]
    chosen = rows[rows["quantity"].isin(quantities)].merge(trusted, on=outcome)
    # Parameters of one replicate depend on each other, so the replicate is what is counted.
    per_replicate = chosen.groupby([*outcome, "quantity"], as_index=False, sort=False)["value"].mean()
    groups = per_replicate.groupby(["cell", "method", "quantity"], sort=False)["value"]
    found = groups.agg(n="count", mean="mean", sd="std").reset_index()
    found["mcse"] = found.pop("sd") / found["n"] ** 0.5
    order = {"cell": cells, "method": methods, "quantity": quantities}
    places = pandas.DataFrame(
        {name: pandas.Categorical(found[name], list(values)).codes for name, values in order.items()},
        index=found.index,
    )
    return found.loc[places.sort_values(list(order)).index].reset_index(drop=True)


def overview_table(result: Any) -> OverviewTable:
    """The overview of a `StudyResult` as texts, the quantities last, in the order of `MAIN`."""
    overview, trusted = result.overview().to_dict("records"), result.trusted().to_dict("records")
    means = {(row["cell"], row["method"], row["quantity"]): row for row in overview}
    counts = {(row["cell"], row["method"]): row for row in trusted}
    present = {quantity for _, _, quantity in means}
    shown = [name for name in MAIN if name in present and not (name == "log_score" and "log_score_loss" in present)]
    rows = []
    for cell in result.declaration["cells"]:
        for method in result.methods:
            count = counts.get((cell["key"], method))
            if count is None:
                continue
            found = [means.get((cell["key"], method, name)) for name in shown]
            numbers = ["-" if row is None else mean_with_error(row["mean"], row["mcse"]) for row in found]
            settings = [setting_text(cell["settings"].get(key)) for key in result.swept]
            rows.append([*settings, method, f"{count['n_trusted']}/{count['n']}", *numbers])
    labels = [LABELS.get(name, name) for name in shown]
    return OverviewTable([*short_names(result.swept), "method", "trusted", *labels], rows)
