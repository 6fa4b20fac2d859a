"""What sampling ends in: aligned draws as an ArviZ tree, with a status that says whether they may be believed."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from emjax.align import TRUST_LOW, Alignment, LabelledDraws
from emjax.bayes.diagnostics import Diagnostics, PosteriorStatus
from emjax.bayes.draws import drawn_labels, labelled_draws
from emjax.bayes.visits import PosteriorModes
from emjax.bounds import share, whole
from emjax.catalogue import USABLE
from emjax.families.observations import Observations, observed_rows
from emjax.keys import as_key
from emjax.metrics.clustering import PartitionEstimate, few_enough, partition_estimate
from emjax.mixture import Mixture, MixtureParams
from emjax.naming import parameter_frame
from emjax.result import Fit
from emjax.samples import as_samples_like
from emjax.scope import computing
from emjax.shown import Card, Pictured
from emjax.storage import Stored
from emjax.table import Table, of_number
from emjax.wording import count, number

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


_PARTITION = 2
_PREDICTIVE = 1
"""What the key of the chains is folded with for draws that only ArviZ's checks ask for."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Posterior(Stored, Pictured):
    """A sampled posterior of a mixture.

    Attributes
    ----------
    sampled
        ArviZ ``DataTree`` with the groups ``posterior`` (``weights``, ``mean``, ``scale``, ``covariance``,
        ``correlation`` or ``rate``, with labels aligned to EM's MAP), ``sample_stats``, ``log_likelihood`` (of each
        datum, labels summed out; with many data a thinned set of draws, and of more than 20,000 data some of them,
        which its coordinate ``row`` names) and ``observed_data``. `tree` has more groups.
    params
        The same draws as `MixtureParams` that lead with ``chain * draw``.
    mixture
        The declaration, with the prior that was used.
    prior_note
        One sentence that says which prior that was.
    map_fit
        EM's MAP under the same prior: where chains started, and what labels are aligned to. Where concentrations below
        1 leave no MAP, that under concentrations of 1, as its ``mixture.prior`` says.
    alignment
        The permutations and how far they can be trusted.
    diagnostics
        R-hat, effective sample sizes, divergences and E-BFMI, after alignment.
    modes
        The modes that EM knows of, their masses, which of them the chains visited, Pareto k, and the log evidence.
    decision
        What ``method="auto"`` decided and why, sentence by sentence; empty where a method was asked for.
    starts_note
        How the chains' starts were drawn.
    method
        The sampler that was used: ``"hmc"``, ``"nuts"``, ``"gibbs"``, ``"laplace"`` or
        ``"bootstrap"``.
    compile_seconds, run_seconds
        Seconds spent tracing and compiling, and everything else, EM's MAP included.
    sampling_seconds
        The part of ``run_seconds`` in which chains moved, warm-up included: what other samplers' seconds are.
    key
        The random key: the whole number or JAX key that was given, or the number that was drawn because none was.
        ``emjax.sample(..., key=posterior.key)`` gives the same draws.
    """

    sampled: xr.DataTree
    params: MixtureParams
    mixture: Mixture
    prior_note: str
    map_fit: Fit
    alignment: Alignment
    diagnostics: Diagnostics
    modes: PosteriorModes
    decision: tuple[str, ...]
    starts_note: str
    method: str
    compile_seconds: float
    run_seconds: float
    sampling_seconds: float = float("nan")
    key: Any = None

    @functools.cached_property
    def tree(self) -> xr.DataTree:
        """The ArviZ ``DataTree`` for every plot and check: what was ``sampled``, and four groups more.

        These are ``log_prior``, ``posterior_predictive`` (one set of data for each draw of ``log_likelihood``), 1000
        draws of the ``prior``, and ``prior_predictive``. They are computed when this is first looked at. No predictive
        group holds more than 20 million numbers (160 MB): there are fewer draws where the data are many, and fewer rows
        where 25 draws of a chain are still too many.
        """
        from emjax.bayes.predictive import further_groups
        from emjax.bayes.tree import extended

        key = jax.random.fold_in(as_key(0 if self.key is None else self.key), _PREDICTIVE)
        with computing():
            groups = further_groups(self.sampled, self.mixture, self.params, self.map_fit.samples, key)
        return extended(self.sampled, groups)

    @property
    def status(self) -> PosteriorStatus:
        """``converged``, or what is wrong; anything else must not be read as a posterior."""
        return self.diagnostics.status

    @property
    def converged(self) -> bool:
        """True only where the status is ``converged``."""
        return self.status is PosteriorStatus.converged

    @property
    def usable(self) -> bool:
        """Whether numbers of the draws mean what their method says: ``converged``, or ``approximate`` as was asked."""
        return self.status.value in USABLE

    @property
    def message(self) -> str:
        """The status in words, with the numbers behind it."""
        reasons = "; ".join(self.diagnostics.reasons)
        return f"{self.status.message} {reasons}." if reasons else self.status.message

    @property
    def n_draws(self) -> int:
        """All draws of all chains."""
        return int(np.shape(self.params.weights)[0])

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "", self.mixture.family
        yield "n_components", self.mixture.n_components
        yield "method", self.method
        yield "status", self.status
        yield "n_chains", self.diagnostics.n_chains
        yield "n_draws", self.diagnostics.n_draws
        yield "max_rhat", self.diagnostics.max_rhat
        yield "min_ess", self.diagnostics.min_ess_bulk
        yield "label_trust", self.alignment.trust

    def _card(self) -> Card:
        found, trusted = self.diagnostics, self.alignment.trust >= TRUST_LOW
        alerts = [] if self.converged else [self.message]
        alerts += [] if trusted else [self.alignment.note]
        # Numbers of draws that are no posterior, or of a label that means nothing, would only be believed.
        names = set(self.sampled["posterior"].data_vars) if self.usable else set()
        rows = [
            one for one in found.quantities if (one.name.partition("[")[0] in names) == trusted and not one.constant
        ]
        numbers = [(one.name, *map(of_number, (one.mean, one.sd, one.rhat, one.ess_bulk))) for one in rows]
        return Card(
            f"{self.mixture.family!r}, n_components={self.mixture.n_components}, {self.method}: {self.status.value}",
            alerts=alerts,
            table=Table(("quantity", "mean", "sd", "R-hat", "bulk ESS"), numbers),
            rest="diagnostics.quantities",
            lines=(
                f"{count(found.n_chains, 'chain')} of {count(found.n_draws, 'draw')}; largest R-hat "
                f"{number(found.max_rhat)}, least bulk ESS {number(found.min_ess_bulk)}",
                f"{count(self.modes.n_modes, 'mode')}; trust in labels {number(self.alignment.trust, 2)}",
            ),
        )

    def to_frame(self, *, level: float = 0.9) -> pd.DataFrame:
        """The posterior as a pandas data frame, one row per number.

        The columns are ``parameter``, ``variable``, ``component`` and ``feature``, as those of `Fit.to_frame`, then
        ``mean``, ``sd``, ``lower`` and ``upper`` (with ``level`` between them, in equal tails), ``ess`` (the smaller of
        bulk and tails) and ``rhat``. The last two are missing where labels cannot be trusted, so that chains of one
        labelled parameter have nothing to agree on; nothing should then be read of a single component. ``attrs`` of the
        frame has ``level``, ``status`` and ``label_trust``.

        Raises ConfigError for a level that is not between 0 and 1.
        """
        from emjax.bayes.tree import stored_draws

        share("level", level)
        drawn = stored_draws(self.sampled["posterior"])
        with computing():
            named = self.map_fit.mixture.named_parameters(self.map_fit.params)
        chosen = self.mixture.scalars(named, self.map_fit.feature_names)
        diagnosed = {one.name: (min(one.ess_bulk, one.ess_tail), one.rhat) for one in self.diagnostics.quantities}
        rows = []
        for one in chosen:
            values = drawn[one.variable][one.place]
            sd = values.std(ddof=1) if values.size > 1 else np.nan
            ends = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
            rows.append((values.mean(), sd, *ends, *diagnosed.get(one.name, (np.nan, np.nan))))
        names = "mean", "sd", "lower", "upper", "ess", "rhat"
        frame = parameter_frame(chosen, dict(zip(names, zip(*rows, strict=True), strict=True)))
        frame.attrs.update(level=level, status=self.status.value, label_trust=self.alignment.trust)
        return frame

    def thinned(self, n_draws: int) -> MixtureParams:
        """At most ``n_draws`` draws, evenly spaced over all chains, stacked."""
        rows = thinning(self.n_draws, whole("draws", n_draws, shown="n_draws"))
        return jax.tree.map(lambda leaf: leaf[rows], self.params)

    def labelled_draws(self) -> LabelledDraws:
        """What `emjax.align.relabel` and `compare_methods` take, to try other methods of relabelling on these draws."""
        with computing():
            return labelled_draws(self.mixture, self.params, self.map_fit)

    def partition(self, *, loss: str = "vi", level: float = 0.95, n_draws: int = 500) -> PartitionEstimate:
        """One partition of the data that stands for all draws, and how far these are from it.

        Labels are drawn for at most ``n_draws`` draws, so that it does not matter what components are called, and the
        partition of least expected ``loss`` (``"vi"``, the variation of information, or ``"binder"``) is looked for;
        ``level`` is that of its credible ball. See `emjax.metrics.clustering`.

        Raises
        ------
        ConfigError
            If the loss is unknown, or the data are more than 2000: of these every pair is looked at.
        """
        samples = self.map_fit.samples
        few_enough("a partition", samples.n_samples)
        key = jax.random.fold_in(as_key(0 if self.key is None else self.key), _PARTITION)
        with computing():
            labels = drawn_labels(self.mixture, self.thinned(n_draws), samples, key)
        return partition_estimate(labels, loss=loss, level=level)

    def log_predictive(self, x: Any, n_draws: int = 1000) -> np.ndarray:
        r"""Log posterior predictive density :math:`\log \frac1S \sum_s p(x_n \mid \theta_s)`, shape ``(n_samples,)``.

        ``n_draws`` draws are used, 1000 by default.
        """
        values = as_samples_like(
            self.mixture.family.rows_of(x),
            self.map_fit.feature_names,
            of="the posterior",
            levels=self.mixture.family.levels,
        ).values
        with computing():
            return mean_log_density(self.mixture.likelihood, self.thinned(n_draws), values)


def thinning(n_all: int, n_kept: int) -> np.ndarray:
    """At most ``n_kept`` places, evenly spaced among ``n_all``."""
    return np.unique(np.linspace(0, n_all - 1, min(n_all, n_kept)).round().astype(int))


def mean_log_density(mixture: Mixture, draws: MixtureParams, x: np.ndarray) -> np.ndarray:
    """Logarithm of the mean density of each datum ``x (n, d)`` over draws, ``(n,)``."""
    return np.asarray(_mean_log_density(mixture, draws, observed_rows(x)))[: len(x)]


def mean_responsibilities(
    mixture: Mixture, draws: MixtureParams, x: np.ndarray, labels: np.ndarray | None = None
) -> np.ndarray:
    """The mean over draws of the responsibilities of each datum ``x (n, d)``, ``(n, K)``; labels as in `Samples`."""
    return np.asarray(_mean_responsibilities(mixture, draws, observed_rows(x, labels)))[: len(x)]


@jax.jit(static_argnums=0)
def _mean_responsibilities(mixture: Mixture, draws: MixtureParams, rows: Observations) -> jax.Array:
    # One draw after the other: the array of all of them is never held.
    def add(total: jax.Array, params: MixtureParams) -> tuple[jax.Array, None]:
        return total + mixture.responsibilities(params, rows), None

    n_draws, n_components = draws.weights.shape
    start = jnp.zeros((rows.y.shape[1], n_components), rows.y.dtype)
    return jax.lax.scan(add, start, draws)[0] / n_draws


@jax.jit(static_argnums=0)
def _mean_log_density(mixture: Mixture, draws: MixtureParams, rows: Observations) -> jax.Array:
    # A running logsumexp over draws and components: the matrix (draws, data) is never held, and the logarithm, by far
    # the slowest of these functions, is taken once.
    def add(carry: tuple[jax.Array, jax.Array], params: MixtureParams) -> tuple[tuple[jax.Array, jax.Array], None]:
        highest, total = carry
        joint = mixture.log_joint(params, rows)
        raised = jnp.maximum(highest, jnp.max(joint, axis=0))
        # Where nothing has a density yet, the difference of two infinities would be no number.
        level = jnp.where(raised == -jnp.inf, 0.0, raised)
        return (raised, total * jnp.exp(highest - level) + jnp.sum(jnp.exp(joint - level[None, :]), axis=0)), None

    n_draws = draws.weights.shape[0]
    n_rows, dtype = rows.y.shape[1], rows.y.dtype
    nothing = jnp.full(n_rows, -jnp.inf, dtype), jnp.zeros(n_rows, dtype)
    (highest, total), _ = jax.lax.scan(add, nothing, draws)
    return highest + jnp.log(total) - jnp.log(float(n_draws))
