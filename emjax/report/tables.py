"""The tables of fits, posteriors and comparisons, for pages, the terminal, notebooks and files alike.

Most are made of plain rows, as `Comparison.to_dict` and the documents of a run have them, so that what is read from a
folder is shown as what was just computed. A number of draws that are no posterior is stale: a page crosses it out, and
everything else leaves it out (`emjax.table.Cell`); so is what rests on intervals that cannot be trusted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emjax.catalogue import SAMPLERS
from emjax.naming import of_pairs
from emjax.report.alerts import intervals_count
from emjax.table import Cell, Column, Table, of_estimate, of_interval, of_number, of_share
from emjax.wording import MISSING, count, decimals_for, fixed, number, percent, seconds, signed

if TYPE_CHECKING:
    from emjax.bayes.posterior import Posterior

Row = Mapping[str, Any]
MOST_ROWS = 1000
"""Of more rows than this a page shows the first."""

MOST_OPTIMA = 30


def without_pairs(rows: Iterable[Row]) -> list[Row]:
    """The rows of parameters less those of pairs of features, of which there may be very many."""
    return [row for row in rows if not of_pairs(row["name"])]


def _stale_unless(cells: Sequence[Cell], good: bool) -> list[Cell]:
    return list(cells) if good else [cell.marked("stale") for cell in cells]


def parameter_table(
    rows: Iterable[Row], level: float, *, trusted: bool = True, intervals: bool = True, prior: bool = False
) -> Table:
    """Every number of the mixture by EM and by the posterior, of rows as `Comparison.to_dict` has them.

    ``trusted`` and ``intervals`` say whether the draws are a posterior and whether EM's intervals may be read,
    ``prior`` whether EM's estimate is a mode of the posterior.
    """
    em, posterior = "MAP" if prior else "EM", "posterior" if trusted else "not converged"
    header = (
        "parameter",
        Column(f"{em} ± se" if intervals else em, of="em", files=(em, "se")),
        Column(f"{em}'s {level:.0%} interval", of="em", files=(f"{em} lower", f"{em} upper"), wide=True),
        Column("mode (MAP)", meaning="EM under the sampler's prior", of="em", wide=True),
        Column(f"{posterior} ± sd", of="posterior", files=("posterior mean", "posterior sd")),
        Column(f"{level:.0%} interval", of="posterior", files=("posterior lower", "posterior upper"), wide=True),
        Column("apart by", meaning="EM's estimate less the posterior mean, in posterior standard deviations"),
        Column("width ratio", meaning="EM's interval over the posterior's"),
        Column(f"mass in {em}'s", meaning="the posterior's mass inside EM's interval", wide=True),
    )

    def cells(row: Row) -> Iterable[str | Cell]:
        error = row["sd"] if (row["sd"] or 0.0) > 0 else row["se"]
        estimate = of_estimate(row["em"], row["se"])
        yield row["name"]
        yield estimate if intervals else of_number(row["em"])
        yield from _stale_unless([of_interval(row["em_lower"], row["em_upper"], error)], intervals)
        yield Cell(fixed(row["map"], decimals_for(error)), values=(row["map"],))
        yield from _stale_unless(
            [
                of_estimate(row["mean"], row["sd"]),
                of_interval(row["lower"], row["upper"], error),
                Cell(signed(row["difference_in_sd"], " sd"), values=(row["difference_in_sd"],)),
                of_number(row["width_ratio"], 3),
                of_share(row["mass_in_em_interval"]),
            ],
            trusted,
        )

    return Table(header, map(cells, rows), title="Parameters", of="parameters")


def of_comparison(comparison: Any) -> Table:
    """The `parameter_table` of a comparison."""
    return parameter_table(
        map(vars, comparison.rows),
        comparison.level,
        trusted=comparison.posterior.usable,
        intervals=intervals_count(comparison.intervals.status.value, comparison.verdict),
        prior=comparison.fit.mixture.prior is not None,
    )


def interval_table(rows: Iterable[Row], level: float, *, good: bool = True, prior: bool = False) -> Table:
    """EM's estimates with their intervals, of rows as `Intervals` has them; ``good``: whether these may be read."""
    name = "MAP" if prior else "EM"
    header = (
        "parameter",
        Column(f"{name} ± se" if good else name, files=(name, "se")),
        Column(f"{level:.0%} interval", files=("lower", "upper")),
    )

    def cells(row: Row) -> Iterable[str | Cell]:
        yield row["name"]
        yield of_estimate(row["estimate"], row["se"]) if good else of_number(row["estimate"])
        yield from _stale_unless([of_interval(row["lower"], row["upper"], row["se"])], good)

    return Table(header, map(cells, rows), title="Parameters", of="parameters")


def posterior_table(rows: Iterable[Row], level: float, *, trusted: bool = True) -> Table:
    """Means and intervals of the draws, of rows as ``parameters`` of a posterior's document."""
    header = (
        "parameter",
        Column("mean ± sd", files=("mean", "sd")),
        Column(f"{level:.0%} interval", files=("lower", "upper")),
        "ESS",
        "R-hat",
    )

    def cells(row: Row) -> Iterable[str | Cell]:
        numbers = [of_estimate(row["mean"], row["sd"]), of_interval(row["lower"], row["upper"], row["sd"])]
        yield row["name"]
        yield from _stale_unless(numbers, trusted)
        yield from (_whole(row["ess"]), _rhat(row["r_hat"]))

    return Table(header, map(cells, rows), title="Parameters", of="parameters")


def invariant_table(found: Row, *, trusted: bool = True) -> Table:
    """The quantities that labels do not touch, each with a sentence of what it asks."""
    distance, pairs, score, loo = (found[key] for key in ("total_variation", "co_clustering", "log_score", "elpd_loo"))
    largest, nothing = percent(pairs.get("largest_difference")), Cell("")
    rows: list[tuple[str, Cell, Cell, Cell, str]] = [
        (
            "density (total variation)",
            nothing,
            nothing,
            of_share(distance["value"], distance.get("standard_error")),
            "The most by which EM's density and the posterior predictive can differ in the probability of anything: "
            "0 if they are equal, 100% if they do not overlap.",
        ),
        (
            "shared components, on average",
            nothing,
            nothing,
            of_share(pairs["mean_difference"]),
            "How much the chance that two observations share a component changes when it is averaged over the "
            f"posterior; mean over all pairs{_of(pairs)}, at most {largest}.",
        ),
        (
            "log score per datum",
            of_number(score["em"]),
            of_number(score["posterior_predictive"]),
            Cell(signed(score["difference"], "", 4), values=(score["difference"],)),
            "Mean log density of the data in nats, by EM and by the posterior predictive; the higher the better. "
            f"The difference is that{_of(score)}; on the data it was fitted to, EM has an advantage.",
        ),
        *([] if loo is None else [_left_out(loo)]),
        (
            "BIC",
            of_number(found["bic"], 6),
            nothing,
            nothing,
            "EM's criterion for the number of components, the lower the better. Compare models by BIC or by LOO, each "
            "with its own kind: −BIC/2 approximates the evidence, LOO the prediction.",
        ),
    ]
    header = (
        Column("without labels", "word"),
        Column("EM", of="em"),
        Column("posterior", of="posterior"),
        "apart by",
        Column("what it says", "word", wide=True),
    )
    of_draws = [
        (name, em, *_stale_unless((posterior, apart), trusted), words) for name, em, posterior, apart, words in rows
    ]
    return Table(header, of_draws, title="What does not depend on labels", of="invariants")


def _of(found: Row) -> str:
    return f" of {count(found['n_rows'], 'observation')}" if found.get("n_rows") else ""


def _left_out(loo: Row) -> tuple[str, Cell, Cell, Cell, str]:
    words = "Expected log density of new data, estimated by leaving out each observation (elpd)"
    if loo.get("n_rows") is not None:
        error = number(loo["subsampling_error"], 2)
        words += f" of {loo['n_rows']:,} of them, drawn at random, which alone makes for a standard error of {error}"
    if loo.get("effective_parameters") is not None:
        words += f", with {number(loo['effective_parameters'], 3)} effective parameters"
    high = loo.get("n_pareto_k_high", 0)
    largest = number(loo.get("largest_pareto_k"), 3)
    words += (
        f". For {count(high, 'observation')} the Pareto shape is high (at most {largest}): a rough estimate there."
        if high
        else ". All its Pareto shapes are low, so the estimate is reliable."
    )
    return "PSIS-LOO", Cell(""), of_estimate(loo["value"], loo["standard_error"]), Cell(""), words


def check_table(posterior: Posterior, needed_trust: float) -> Table:
    """The sampler's and the alignment's diagnostics against what is asked of them."""
    found = posterior.diagnostics
    limits = found.thresholds
    bfmi = min(found.bfmi, key=lambda value: (not math.isnan(value), value), default=math.nan)
    divergent = Cell(f"{found.n_divergent:,} ({percent(found.divergent_share, 2)})", values=(float(found.n_divergent),))
    few = found.divergent_share <= limits.max_divergent_share if found.divergences_judged else None
    jumps, trust = "" if found.divergences_judged else "not judged: chains jump", posterior.alignment.trust
    ess = [
        (f"smallest {word} ESS", _whole(value), f"≥ {limits.min_ess:g}", value >= limits.min_ess, name)
        for word, value, name in (
            ("bulk", found.min_ess_bulk, found.min_ess_bulk_name),
            ("tail", found.min_ess_tail, found.min_ess_tail_name),
            ("sd", found.min_ess_sd, found.min_ess_sd_name),
        )
    ]
    rhat, energy = found.max_rhat <= limits.max_rhat, bfmi >= limits.min_bfmi if found.bfmi else None
    rows = [
        ("largest R-hat", _rhat(found.max_rhat), f"≤ {limits.max_rhat:g}", rhat, found.max_rhat_name),
        *ess,
        ("divergent transitions", divergent, f"≤ {limits.max_divergent_share:.0%}", few, jumps),
        ("smallest E-BFMI", of_number(bfmi, 3), f"≥ {limits.min_bfmi:g}", energy, ""),
        ("alignment trust", Cell(fixed(trust, 2), values=(trust,)), f"≥ {needed_trust:g}", trust >= needed_trust, ""),
    ]
    met = {None: Cell("not judged"), True: Cell("✓ yes", mark="good"), False: Cell("✗ no", mark="bad")}
    header = (
        Column("diagnostic", "word"), "value", Column("asked", "word"), Column("met", "word"), Column("where", "name"),
    )  # fmt: skip
    judged = [(what, value, asked, met[passed], where) for what, value, asked, passed, where in rows]
    return Table(header, judged, title="Diagnostics", of="diagnostics")


def mode_table(posterior: Posterior) -> Table:
    """The modes of a posterior: how high each is, its mass by three accounts, and what the chains drew of it."""
    missed = posterior.modes.unvisited
    rows = [
        (
            f"{place}: {mode.words}" if mode.n_empty else f"{place}",
            of_number(mode.log_density, 6),
            of_number(mode.objective, 6),
            of_share(mode.laplace_mass),
            of_share(mode.mass),
            of_share(mode.visited).marked("bad" if place in missed else ""),
            f"{percent(min(mode.visited_by_chain))} to {percent(max(mode.visited_by_chain))}",
        )
        for place, mode in enumerate(posterior.modes.modes)
    ]
    header = ("mode", "log density", "EM's objective", "Laplace mass", "corrected mass", "draws", "draws by chain")
    return Table(header, rows, title="The posterior's modes", of="modes")


def quantity_table(posterior: Posterior) -> Table:
    """R-hat and effective sample sizes of every quantity."""
    rows = [
        (row.name, _rhat(row.rhat), _whole(row.ess_bulk), _whole(row.ess_tail), of_number(row.mcse_mean, 2))
        for row in posterior.diagnostics.quantities
    ]
    header = ("quantity", "R-hat", "bulk ESS", "tail ESS", "MCSE of mean")
    return Table(header, rows, title="R-hat and effective sample sizes", of="quantities")


def _rhat(value: float | None) -> Cell:
    return Cell(fixed(value, 3), values=(value,))


def _whole(value: float | None) -> Cell:
    return Cell(f"{value:,.0f}" if value is not None and math.isfinite(value) else MISSING, values=(value,))


def optima_table(optima: Sequence[Any]) -> Table:
    """The distinct end points of EM's starts, the best first."""
    best = optima[0].objective

    def cells(optimum: Any) -> Iterable[str | Cell]:
        yield of_number(optimum.log_likelihood, 7)
        yield of_number(best - optimum.objective, 3)
        yield f"{optimum.count:,}"
        spurious = optimum.spurious
        yield Cell(f"{optimum.status.value}, spurious" if spurious else optimum.status.value, mark="fair" * spurious)
        yield " / ".join(number(size, 3) for size in optimum.effective_counts)

    header = (Column("log-likelihood"), "below best", "starts", Column("ended", "word"), "observations per component")
    return Table(header, map(cells, optima), title="Where the starts ended", of="optima")


def cost_table(cost: Row) -> Table:
    """What both sides cost: compiling and running, and what a second of running gives."""
    rows = [
        (
            side_name(key, side.get("method")),
            *(
                Cell(seconds(side[name]), values=(side[name],))
                for name in ("compile_seconds", "run_seconds", "total_seconds")
            ),
            of_number(side["effective_draws_per_second"] or None, 3),
        )
        for key, side in cost.items()
    ]
    header = ("", "compile", "run", "both", "effective draws per second")
    return Table(header, rows, title="Cost", of="cost")


def side_name(key: str, method: str | None) -> str:
    """``EM`` or ``MCMC (NUTS)``."""
    if key == "em":
        return "EM"
    words = SAMPLERS[method].in_tables if method in SAMPLERS else method
    return f"MCMC ({words})" if words else "MCMC"
