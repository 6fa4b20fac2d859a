"""What is measured of a study: one table, of which every measure is a row."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from emjax.catalogue import FAMILY_ENTRIES, SITES
from emjax.experiments.work.outcome import NOT_MEASURED, OF_LEVEL
from emjax.wording import elided

if TYPE_CHECKING:
    import pandas as pd

KINDS = tuple(dict.fromkeys([*(entry.sites[0] for entry in FAMILY_ENTRIES.values()), "weights", *SITES]))
"""Kinds of parameters, in the order in which they are shown: where components are, their weights, and what else there
is; a parameter's kind is its name before the bracket."""

ALL, KIND, PARAMETER, WORST = "all", "kind", "parameter", "worst"
"""What the numbers of one replicate are averaged over: everything, each kind of parameters, or nothing; or of the means
of all parameters the least one."""


@dataclasses.dataclass(frozen=True)
class Measure:
    """One row of the table of measures."""

    name: str  # in summaries
    quantity: str  # of rows, that it is taken from
    short: str  # in a table's head
    meaning: str  # what it says
    better: int = -1  # where less is better, 1 where more is, 0 where neither is
    unit: str = ""
    pooled: str = "mean"  # how replicates become one number: mean, share, rms (root mean square) or sd
    per: tuple[str, ...] = (ALL,)  # for which groups of parameters it is taken: `ALL`, `KIND`, `PARAMETER`, `WORST`
    logarithmic: bool = False  # whether curves have a logarithmic axis where all values are positive
    of_all: bool = False  # whether untrusted outcomes count too (what they cost was spent)

    @property
    def words(self) -> str:
        """What it says, with its unit."""
        return self.meaning + (f", in {self.unit}" if self.unit else "")

    def label(self, group: str = "") -> str:
        """``RMSE of mean``, ``log score loss``."""
        return f"{self.short} of {elided(group, 40)}" if group else self.short


_EACH, _BOTH = (PARAMETER,), (KIND, PARAMETER)
_NATS = "nats per datum"

MEASURES: tuple[Measure, ...] = (
    Measure(
        "trusted", "trusted", "trusted", "its method says that its numbers may be used", 1, "", "share", of_all=True
    ),
    Measure("estimate", "estimate", "mean estimate", "mean of the estimates", 0, per=_EACH),
    Measure("bias", "error", "bias", "mean distance of estimate and truth", 0, per=_EACH),
    Measure(
        *("rmse", "error", "RMSE", "root of the mean squared distance of estimate and truth", -1, "", "rms"),
        per=_BOTH,
        logarithmic=True,
    ),
    Measure("empirical_se", "estimate", "sd of estimates", "their spread over replicates", 0, "", "sd", _EACH),
    Measure("mean_se", "se", "mean se", "root mean square of the standard errors", 0, "", "rms", _EACH),
    Measure(
        *("coverage", "covered", "coverage", "share of the intervals that hold the truth", 0, "", "share"),
        per=(ALL, KIND, PARAMETER),
    ),
    Measure(
        *("worst_coverage", "covered", "worst coverage", "coverage of the parameter that is held the least"),
        *(0, "", "share", (WORST,)),
    ),
    Measure("width", "width", "width", "mean width of the intervals", per=_BOTH, logarithmic=True),
    Measure(
        "rank", "rank", "rank", "of the truth among the draws, 0 to 1; 1/2 where they are calibrated", 0, per=_BOTH
    ),
    Measure("rank_spread", "rank_spread", "rank spread", "larger where a posterior is too narrow", 0, per=_BOTH),
    Measure("interval_score", "interval_score", "interval score", "width and misses of the intervals", per=(KIND,)),
    Measure(
        *("log_score_loss", "log_score_loss", "log score loss"),
        *("log score of the truth less the method's, on rows that no method saw", -1, _NATS),
        logarithmic=True,
    ),
    Measure("log_score", "log_score", "log score", "mean log density of rows that the method did not see", 1, _NATS),
    Measure(
        *("total_variation", "total_variation", "total variation"),
        "total variation between the true and the predictive density, 0 to 1",
        logarithmic=True,
    ),
    Measure("hellinger", "hellinger", "Hellinger", "distance of the true and the predictive density, 0 to 1"),
    Measure("ari", "ari", "ARI", "adjusted Rand index: agreement with the true partition, 1 if the same", 1),
    Measure(
        *("co_clustering_error", "co_clustering_error", "co-clustering error"),
        "mean error of the probability that two data share a component",
    ),
    Measure(
        *("calibration_error", "calibration_error", "calibration error"),
        "how far assignment probabilities are from the share of right assignments",
    ),
    Measure("brier", "brier", "Brier score", "of assignment probabilities"),
    Measure(
        *("alignment_trust", "alignment_trust", "trust in labels"),
        "agreement of two relabellings times the depth of the valley between exchanged labels, 0 to 1; untrusted "
        "outcomes count too",
        better=1,
        of_all=True,
    ),
    Measure("log_evidence", "log_evidence", "log evidence", "of the model", 0, "nats"),
    Measure("bic", "bic", "BIC", "less is better between models of the same data", 0),
    Measure("max_rhat", "max_rhat", "R-hat", "the largest of all quantities of a posterior; 1 is best"),
    Measure("min_ess", "min_ess", "ESS", "the least effective sample size of all quantities of a posterior", 1),
    Measure(
        *("n_evaluations", "n_evaluations", "evaluations"),
        "passes over the data that the kept fit or draws took; untrusted outcomes count too",
        logarithmic=True,
        of_all=True,
    ),
    Measure(
        *("run_seconds", "run_seconds", "seconds"),
        "running on one data set, without compilation; untrusted outcomes count too",
        logarithmic=True,
        of_all=True,
    ),
    Measure(
        *("compile_seconds", "compile_seconds", "compile seconds"),
        "tracing and compiling, shared out over the replicates of a job",
        of_all=True,
    ),
)
"""All measures of emjax's own, in the order of tables. Other quantities of rows are summarised by their mean."""

_DIAGNOSTICS = {
    "log_likelihood": "at the estimate",
    "log_score_loss_se": "standard error of the log score loss of one data set",
    "n_iter": "iterations of the kept fit",
    "n_optima": "distinct ends of EM's starts",
    "n_modes": "modes of the posterior that were found",
    "divergences": "transitions of a sampler that diverged",
    "pareto_k": "of the importance weights; below 0.7 they can be relied on",
    "spurious": "whether the estimate rests on a handful of observations",
    "intervals_withheld": "whether EM gave no intervals",
    "intervals_rough": "whether EM's intervals are known to be rough",
    "budget_used": "share of the budget that was spent",
    "draws": "draws that were kept under a budget",
    "max_iter": "the most iterations under a budget",
}
MEASURES += tuple(
    # Whether something is so is a share of the replicates.
    Measure(name, name, name.replace("_", " "), meaning, 0, pooled="share" if meaning.startswith("whether") else "mean")
    for name, meaning in _DIAGNOSTICS.items()
)

MEASURE = {measure.name: measure for measure in MEASURES}

EM_ENOUGH = Measure("em_enough", "verdict", "EM enough", "share of verdicts that EM is enough", 1, "", "share")
"""What a search may also be about; pages have the verdicts themselves."""

MAIN: tuple[str, ...] = (
    "rmse",
    "coverage",
    "width",
    "log_score_loss",
    "total_variation",
    "ari",
    "run_seconds",
    "log_score",
)
MAIN += ("max_rhat", "log_evidence", "bic", "compile_seconds", "min_ess")
"""What the main table shows, as far as it is there and there is room: what speaks of the answer before what describes
it."""


def kind_of(parameter: str) -> str:
    """``mean`` of ``mean[0, x]``."""
    return parameter.partition("[")[0]


def measures_of(rows: pd.DataFrame, given: Iterable[Measure] = ()) -> dict[str, Measure]:
    """The table by name, with those ``given``, and a plain mean of every quantity that has no row of its own."""
    table = {**MEASURE, **{measure.name: measure for measure in given}}
    for quantity in rows["quantity"].unique():
        if OF_LEVEL.fullmatch(quantity):
            table |= {measure.name: measure for measure in of_level(quantity.partition("_")[2])}
    known = {"verdict", NOT_MEASURED, *(measure.quantity for measure in table.values())}
    for quantity, parameter in rows[["quantity", "parameter"]].drop_duplicates("quantity").itertuples(index=False):
        if quantity not in known:
            table[quantity] = Measure(
                quantity, quantity, quantity.replace("_", " "), "", 0, per=_EACH if parameter else (ALL,)
            )
    return table


def of_level(level: str) -> tuple[Measure, ...]:
    """Those of a lower level, in percent, at which a study measures coverage too."""
    from_rows = {"coverage": f"covered_{level}", "worst_coverage": f"covered_{level}", "width": f"width_{level}"}
    return tuple(
        dataclasses.replace(
            MEASURE[name],
            name=f"{name}_{level}",
            quantity=quantity,
            short=f"{MEASURE[name].short} at {level}%",
            meaning=f"{MEASURE[name].meaning}, of intervals for {level}%",
        )
        for name, quantity in from_rows.items()
    )


def main_measures(
    summary: pd.DataFrame, kinds: Sequence[str], given: Iterable[Measure] = (), most: int = 9
) -> list[tuple[Measure, str]]:
    """The measures of the main table, with the kind of parameters where there is one; those ``given`` come first."""
    held = dict.fromkeys(zip(summary["measure"], summary["group"], strict=True))
    own = {measure.name: measure for measure in given}
    n_kinds = {"rmse": 2, "width": 1}
    wished = [pair for pair in held if pair[0] in own and not pair[1]]
    for name in MAIN:
        wished += [(name, kind) for kind in kinds[: n_kinds.get(name, 0)] if name in n_kinds] or [(name, "")]
    if ("log_score_loss", "") in held:
        wished.remove(("log_score", ""))
    table = {**MEASURE, **own}
    order = {name: place for place, name in enumerate(table)}
    shown = [pair for pair in dict.fromkeys(wished) if pair in held][:most]
    return [(table[name], group) for name, group in sorted(shown, key=lambda pair: order[pair[0]])]
