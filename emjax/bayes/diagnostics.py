"""Has the sampler converged? R-hat, effective sample sizes, divergences, energy; and one status.

For each scalar quantity, by ``arviz_stats``: split R-hat on rank-normalised and on folded draws (the larger
of the two), effective sample size in the bulk, in the tails (5% and 95% quantiles) and of squared deviations, on
which the standard deviation rests, and Monte Carlo standard errors of mean and standard deviation. For each chain: the
share of divergent transitions and the estimated Bayesian fraction of missing information, E-BFMI = mean of squared
energy differences / variance of the energy.

References
----------
Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Rank-normalization, folding, and localization: an
improved R-hat, Bayesian Analysis 16. Betancourt (2016), Diagnosing suboptimal cotangent disintegrations in
HMC, arXiv:1604.00695. Betancourt (2017), A conceptual introduction to Hamiltonian Monte Carlo,
arXiv:1701.02434 (divergences).
"""

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import xarray as xr

from emjax.bayes.rhat import nested_rhat, split_rhat
from emjax.jsonable import to_jsonable
from emjax.shown import Shown
from emjax.wording import count

_MIN_DRAWS = 4
_TAIL = (0.05, 0.95)


@dataclass(frozen=True, repr=False)
class Thresholds(Shown):
    """Where a posterior stops being trusted.

    Attributes
    ----------
    max_rhat
        Largest R-hat of any quantity, 1.01 (Vehtari et al. 2021, section 4).
    min_ess
        Smallest effective sample size of any quantity, in bulk, tails or squared deviations, over all chains: 400,
        below which R-hat and the standard errors themselves are unreliable (Vehtari et al. 2021, section 4).
    max_divergent_share
        Largest share of divergent transitions, 0.01. Any divergence is a reason to look (Betancourt 2017)
        and the count is always reported; a few among thousands of transitions in the skewed tails of a
        mixture's variances have no visible effect on its summaries, more than one in a hundred marks a
        region that is not explored.
    min_bfmi
        Smallest E-BFMI of any chain, 0.3 (Betancourt 2016; Stan's default).
    """

    max_rhat: float = 1.01
    min_ess: float = 400.0
    max_divergent_share: float = 0.01
    min_bfmi: float = 0.3


DEFAULT_THRESHOLDS = Thresholds()


class PosteriorStatus(StrEnum):
    """How a posterior's sampling ended; anything but ``converged`` must not be presented as the posterior."""

    converged = "converged"
    not_converged = "not_converged"
    too_few_draws = "too_few_draws"
    divergent = "divergent"
    low_energy = "low_energy"
    nonfinite = "nonfinite"
    unreliable = "unreliable"
    approximate = "approximate"

    @property
    def message(self) -> str:
        """One sentence that says what it means and what to do."""
        return _MESSAGES[self]


_MESSAGES = {
    PosteriorStatus.converged: "The chains agree and hold enough draws; the posterior can be used.",
    PosteriorStatus.not_converged: (
        "The chains have not explored the same posterior; use more draws, fewer components or a stronger prior."
    ),
    PosteriorStatus.too_few_draws: "The chains hold too few effective draws; ask for more draws or more chains.",
    PosteriorStatus.divergent: (
        "Too many transitions diverged, so a part of the posterior was not explored; raise "
        "target_accept_prob towards 0.99 or use a stronger prior."
    ),
    PosteriorStatus.low_energy: (
        "The energy moves too slowly (low E-BFMI), so the tails were not explored; use a longer warm-up or a "
        "stronger prior on the scales."
    ),
    PosteriorStatus.unreliable: (
        "The Laplace mixture is too far from the posterior for its importance weights to be believed; use hmc or nuts."
    ),
    PosteriorStatus.approximate: (
        "These are EM's estimates under random weights of the data: near the posterior where it is normal, and no "
        "nearer with more draws; use hmc where it matters."
    ),
    PosteriorStatus.nonfinite: ("Some draws are NaN or infinite; check the data and the prior, and sample in float64."),
}

# Which problem names the status when there are several: the first of these.
_PRECEDENCE = (
    PosteriorStatus.nonfinite,
    PosteriorStatus.unreliable,
    PosteriorStatus.not_converged,
    PosteriorStatus.divergent,
    PosteriorStatus.low_energy,
    PosteriorStatus.too_few_draws,
    PosteriorStatus.approximate,
)


@dataclass(frozen=True, repr=False)
class QuantityDiagnostics(Shown):
    """One scalar quantity. If ``constant`` (a parameter held fixed), rhat and ess are NaN and not judged.

    ``rhat``, ``ess_bulk``, ``ess_tail`` and ``ess_sd`` (of squared deviations) have no unit; ``mean``, ``sd``,
    ``mcse_mean`` and ``mcse_sd`` have the quantity's.
    """

    name: str
    mean: float
    sd: float
    rhat: float
    ess_bulk: float
    ess_tail: float
    ess_sd: float
    mcse_mean: float
    mcse_sd: float
    constant: bool


@dataclass(frozen=True, repr=False)
class Diagnostics(Shown):
    """The verdict on a set of chains, with the numbers it rests on.

    Attributes
    ----------
    status, reasons
        The gravest problem, and one phrase for every problem found (empty if none).
    max_rhat, min_ess_bulk, min_ess_tail, min_ess_sd
        The worst values over all quantities that vary, with ``*_name`` naming the quantity; NaN and "" if
        there is none.
    n_divergent, divergent_share, divergences_judged
        Divergent transitions over all chains and draws, and whether too many of them are a problem here.
    bfmi
        E-BFMI of each chain, ``(chain,)``; NaN where the energy is constant or was not recorded.
    quantities
        One row per scalar quantity.
    thresholds
        What the status was judged by.
    """

    status: PosteriorStatus
    reasons: tuple[str, ...]
    max_rhat: float
    max_rhat_name: str
    min_ess_bulk: float
    min_ess_bulk_name: str
    min_ess_tail: float
    min_ess_tail_name: str
    min_ess_sd: float
    min_ess_sd_name: str
    n_divergent: int
    divergent_share: float
    divergences_judged: bool
    bfmi: tuple[float, ...]
    n_chains: int
    n_draws: int
    quantities: tuple[QuantityDiagnostics, ...]
    thresholds: Thresholds

    def _shown(self) -> Iterator[tuple[str, Any]]:
        names = "status", "reasons", "max_rhat", "max_rhat_name", "min_ess_bulk", "min_ess_bulk_name", "n_divergent"
        yield from ((name, getattr(self, name)) for name in (*names, "n_chains", "n_draws"))

    def suffices(self, wanted_ess: float) -> bool:
        """Whether the chains have converged, and every effective sample size is as large as wanted."""
        sizes = (self.min_ess_bulk, self.min_ess_tail, self.min_ess_sd)
        return self.status is PosteriorStatus.converged and all(size >= wanted_ess for size in sizes)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings for JSON; NaN and infinity become None."""
        return to_jsonable({**asdict(self), "message": self.status.message})


def assess(
    quantities: xr.Dataset,
    sample_stats: xr.Dataset,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
    *,
    superchains: np.ndarray | None = None,
    most_ess: float = math.inf,
    judge_divergences: bool = True,
    problems: Sequence[tuple[PosteriorStatus, str]] = (),
) -> Diagnostics:
    """Judge chains by their draws.

    Parameters
    ----------
    quantities
        Variables with dimensions ``chain`` and ``draw`` (and any others); labels should be aligned
        beforehand, since R-hat of chains with switched labels says nothing.
    sample_stats
        ``diverging`` and ``energy`` over ``chain`` and ``draw``; each may be missing, and is then not judged.
    thresholds
        See :class:`Thresholds`.
    superchains
        Which chains began at one point, ``(chain,)``: nested R-hat is then taken in place of R-hat.
    most_ess
        What effective sample sizes cannot exceed: that of the weights, for draws by importance resampling.
    judge_divergences
        Whether too many divergences are a problem, as they are where chains move by their trajectories alone.
    problems
        What else speaks against the draws: pairs of a status and a phrase.

    Returns
    -------
    Diagnostics
        A single chain is judged by the R-hat of its two halves. A NaN never passes: a quantity that is not
        finite gives ``nonfinite``, fewer than 4 draws or nothing that varies give ``too_few_draws`` and
        ``not_converged``.
    """
    names, values = _scalars(quantities)
    n_chains, n_draws = quantities.sizes["chain"], quantities.sizes["draw"]
    rows = _rows(names, values, superchains, most_ess)
    (n_divergent, share), bfmi = _divergences(sample_stats), _bfmi(sample_stats)
    varying = [row for row in rows if not row.constant]
    max_rhat, rhat_name = _worst(varying, "rhat", largest=True)
    ess_bulk, bulk_name = _worst(varying, "ess_bulk", largest=False)
    (ess_tail, tail_name), (ess_sd, sd_name) = (_worst(varying, at, largest=False) for at in ("ess_tail", "ess_sd"))
    found = dict(
        _problems(
            nonfinite=_nonfinite_names(names, values, sample_stats),
            n_varying=len(varying),
            n_draws=n_draws,
            rhat=(max_rhat, rhat_name),
            ess=min((ess_bulk, bulk_name), (ess_tail, tail_name), (ess_sd, sd_name), key=lambda p: _nan_first(p[0])),
            divergent=(n_divergent, share if judge_divergences else 0.0),
            bfmi=bfmi,
            limits=thresholds,
        )
    )
    for graver, phrase in problems:
        found[graver] = f"{found[graver]}; {phrase}" if graver in found else phrase
    status = next((status for status in _PRECEDENCE if status in found), PosteriorStatus.converged)
    return Diagnostics(
        status=status,
        reasons=tuple(found[status] for status in _PRECEDENCE if status in found),
        max_rhat=max_rhat,
        max_rhat_name=rhat_name,
        min_ess_bulk=ess_bulk,
        min_ess_bulk_name=bulk_name,
        min_ess_tail=ess_tail,
        min_ess_tail_name=tail_name,
        min_ess_sd=ess_sd,
        min_ess_sd_name=sd_name,
        n_divergent=n_divergent,
        divergent_share=share,
        divergences_judged=judge_divergences,
        bfmi=tuple(bfmi.tolist()),
        n_chains=n_chains,
        n_draws=n_draws,
        quantities=rows,
        thresholds=thresholds,
    )


def _problems(
    *,
    nonfinite: list[str],
    n_varying: int,
    n_draws: int,
    rhat: tuple[float, str],
    ess: tuple[float, str],
    divergent: tuple[int, float],
    bfmi: np.ndarray,
    limits: Thresholds,
) -> Iterator[tuple[PosteriorStatus, str]]:
    """Each problem with its phrase. Comparisons are written so that NaN fails them."""
    if nonfinite:
        more = f" and {len(nonfinite) - 3} more" if len(nonfinite) > 3 else ""
        yield PosteriorStatus.nonfinite, f"NaN or infinity in {', '.join(nonfinite[:3])}{more}"
        return
    if n_draws < _MIN_DRAWS:
        yield PosteriorStatus.too_few_draws, f"{count(n_draws, 'draw')} per chain, at least {_MIN_DRAWS} are needed"
    elif n_varying == 0:
        yield PosteriorStatus.not_converged, "no quantity varies: the chains did not move"
    else:
        if not rhat[0] <= limits.max_rhat:
            yield (
                PosteriorStatus.not_converged,
                f"R-hat of {rhat[1]} is {rhat[0]:.3f} (> {limits.max_rhat:g})",
            )
        if not ess[0] >= limits.min_ess:
            yield (
                PosteriorStatus.too_few_draws,
                f"effective sample size of {ess[1]} is {ess[0]:.0f} (< {limits.min_ess:g})",
            )
    if not divergent[1] <= limits.max_divergent_share:
        yield (
            PosteriorStatus.divergent,
            f"{divergent[0]} transitions diverged ({divergent[1]:.1%}; > {limits.max_divergent_share:.1%})",
        )
    if n_draws >= _MIN_DRAWS and bfmi.size and not np.all(bfmi >= limits.min_bfmi):
        chain = int(np.argmin(np.where(np.isnan(bfmi), -np.inf, bfmi)))
        yield (
            PosteriorStatus.low_energy,
            f"E-BFMI of chain {chain} is {bfmi[chain]:.2f} (< {limits.min_bfmi:g})",
        )


# --- the numbers --------------------------------------------------------------------------------------------


def _rows(
    names: list[str], values: np.ndarray, superchains: np.ndarray | None, most_ess: float
) -> tuple[QuantityDiagnostics, ...]:
    """One row per quantity; columns that are copies of each other (symmetric matrices) are computed once."""
    known: dict[bytes, tuple[float, ...]] = {}
    rows = []
    for name, draws in zip(names, values, strict=True):
        content = draws.tobytes()
        if content not in known:
            known[content] = _numbers(draws, superchains, most_ess)
        constant = bool(np.all(draws == draws.flat[0]))
        mean, sd, rhat, bulk, tail, of_sd, mcse_mean, mcse_sd = known[content]
        rows.append(QuantityDiagnostics(name, mean, sd, rhat, bulk, tail, of_sd, mcse_mean, mcse_sd, constant))
    return tuple(rows)


def _numbers(draws: np.ndarray, superchains: np.ndarray | None, most_ess: float) -> tuple[float, ...]:
    """mean, sd, rhat, ess_bulk, ess_tail, ess_sd, mcse_mean, mcse_sd of draws ``(chain, draw)``."""
    from arviz_stats.base import array_stats

    nan = math.nan
    if not np.all(np.isfinite(draws)):
        return (nan,) * 8
    mean = float(draws.mean())
    if np.all(draws == draws.flat[0]):
        return mean, 0.0, nan, nan, nan, nan, 0.0, 0.0
    sd = float(draws.std(ddof=1))
    if draws.shape[1] < _MIN_DRAWS:
        return mean, sd, nan, nan, nan, nan, nan, nan
    return (
        mean,
        sd,
        split_rhat(draws) if superchains is None else nested_rhat(draws, superchains),
        min(float(array_stats.ess(draws, method="bulk")), most_ess),
        min(float(array_stats.ess(draws, method="tail", prob=_TAIL)), most_ess),
        min(float(array_stats.ess(draws, method="sd")), most_ess),
        max(float(array_stats.mcse(draws, method="mean")), sd / math.sqrt(most_ess)),
        max(float(array_stats.mcse(draws, method="sd")), sd / math.sqrt(2.0 * most_ess)),
    )


def _divergences(sample_stats: xr.Dataset) -> tuple[int, float]:
    if "diverging" not in sample_stats:
        return 0, 0.0
    diverging = np.asarray(sample_stats["diverging"].values, dtype=bool)
    return int(diverging.sum()), float(diverging.mean())


def _bfmi(sample_stats: xr.Dataset) -> np.ndarray:
    """E-BFMI per chain; empty if no energy was recorded, NaN where it is constant, short or not finite."""
    if "energy" not in sample_stats:
        return np.empty(0)
    from arviz_stats.base import array_stats

    energy = np.asarray(sample_stats["energy"].transpose("chain", "draw").values, dtype=float)
    bfmi = np.full(len(energy), math.nan)
    usable = np.ptp(energy, axis=1) > 0 if energy.shape[1] >= _MIN_DRAWS else np.zeros(len(energy), bool)
    usable &= np.all(np.isfinite(energy), axis=1)
    if usable.any():
        bfmi[usable] = array_stats.bfmi(energy[usable])
    return bfmi


# --- names and order ----------------------------------------------------------------------------------------


def _scalars(quantities: xr.Dataset) -> tuple[list[str], np.ndarray]:
    """Names such as ``mean[0, waiting]`` and draws ``(n_quantities, chain, draw)`` of all scalars."""
    names: list[str] = []
    blocks = []
    for variable, array in quantities.data_vars.items():
        others = [dim for dim in array.dims if dim not in ("chain", "draw")]
        ordered = array.transpose(*others, "chain", "draw")
        labels = [_labels(array, dim) for dim in others]
        names += [_name(str(variable), labels, index) for index in np.ndindex(ordered.shape[:-2])]
        blocks.append(np.asarray(ordered.values, dtype=float).reshape(-1, *ordered.shape[-2:]))
    if not blocks:
        return [], np.empty((0, quantities.sizes["chain"], quantities.sizes["draw"]))
    return names, np.concatenate(blocks)


def _labels(array: xr.DataArray, dim: Hashable) -> list[str]:
    return [str(label) for label in (array.coords[dim].values if dim in array.coords else range(array.sizes[dim]))]


def _name(variable: str, labels: list[list[str]], index: tuple[int, ...]) -> str:
    inside = ", ".join(label[i] for label, i in zip(labels, index, strict=True))
    return f"{variable}[{inside}]" if inside else variable


def _nonfinite_names(names: list[str], values: np.ndarray, sample_stats: xr.Dataset) -> list[str]:
    is_bad = ~np.isfinite(values).all(axis=(1, 2))
    found = [name for name, bad in zip(names, is_bad, strict=True) if bad]
    if "energy" in sample_stats and not np.all(np.isfinite(sample_stats["energy"].values)):
        found.append("energy")
    return found


def _worst(rows: list[QuantityDiagnostics], field: str, *, largest: bool) -> tuple[float, str]:
    """The worst value of a field and the quantity's name; NaN is worse than anything."""
    if not rows:
        return math.nan, ""
    key = _nan_last if largest else _nan_first
    pick = max if largest else min
    row = pick(rows, key=lambda row: key(getattr(row, field)))
    return getattr(row, field), row.name


def _nan_last(value: float) -> tuple[bool, float]:
    return (math.isnan(value), 0.0 if math.isnan(value) else value)


def _nan_first(value: float) -> tuple[bool, float]:
    return (not math.isnan(value), 0.0 if math.isnan(value) else value)
