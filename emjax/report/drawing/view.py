"""What figures read: EM's estimate and the draws in one shape, and densities of both."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from emjax.bayes.posterior import Posterior, mean_responsibilities, thinning
from emjax.bayes.tree import stored_draws
from emjax.comparison import Comparison
from emjax.families.base import Family
from emjax.metrics.partition import subset_rows
from emjax.mixture import Mixture, MixtureParams
from emjax.report.drawing import style
from emjax.report.drawing.columns import Columns
from emjax.result import Fit
from emjax.samples import Samples
from emjax.scope import computing
from emjax.wording import count

BAND_DRAWS = 300
"""Draws behind the bands of a figure, evenly spaced over all chains."""

MOST_POINTS = 10_000
"""More data than this are drawn as a random subset."""

RASTER_POINTS = 2_000
"""More points than this become pixels inside the figure, so that the page stays small."""

GRID_POINTS = 241
_WIDEST_COUNTS = 200


@dataclasses.dataclass(frozen=True)
class View(Columns):
    """One subject of a figure: a fit, a posterior, or both, with the level of its intervals and bands."""

    fit: Fit | None
    posterior: Posterior | None
    level: float = 0.9

    @property
    def source(self) -> Fit:
        """The fit that holds the data and the declaration: EM's, or the one the chains started from."""
        if self.fit is not None:
            return self.fit
        assert self.posterior is not None
        return self.posterior.map_fit

    @property
    def mixture(self) -> Mixture:
        return self.source.mixture.likelihood

    @property
    def samples(self) -> Samples:
        return self.source.samples

    @property
    def n_components(self) -> int:
        return self.mixture.n_components

    @property
    def family(self) -> Family:
        return self.mixture.family

    @functools.cached_property
    def rows(self) -> np.ndarray:
        """The data that are drawn, as places in ``values``: of those that count, at most `MOST_POINTS`."""
        counting = np.flatnonzero(self.samples.counts)
        return counting[subset_rows(len(counting), MOST_POINTS)]

    def points(self, features: Sequence[int]) -> np.ndarray:
        """The drawn rows of some features ``(n_rows, len(features))``, NaN where a cell was not seen.

        Whole numbers fall on each other, so they are moved a little, the same way every time.
        """
        points = self.values[self.rows][:, list(features)]
        return points + np.random.default_rng(0).uniform(-0.3, 0.3, points.shape) if self.family.discrete else points

    @property
    def n_with_gaps(self) -> int:
        """How many of the drawn rows have a cell that was not seen."""
        return int(np.isnan(self.values[self.rows]).any(axis=1).sum()) if self.samples.has_holes else 0

    @property
    def rasterized(self) -> bool:
        return len(self.rows) > RASTER_POINTS

    @property
    def trusted(self) -> bool:
        """Whether the draws may be drawn as what they are."""
        return self.posterior is None or self.posterior.usable

    @property
    def posterior_color(self) -> str:
        return style.POSTERIOR if self.trusted else style.UNTRUSTED

    def shade(self, k: int) -> str:
        """The colour of the draws of a component where components differ by colour."""
        return style.component(k)[0] if self.trusted else style.UNTRUSTED

    @property
    def posterior_name(self) -> str:
        if not self.trusted:
            return "not converged"
        return "posterior" if self.posterior is None or self.posterior.converged else "approximate posterior"

    def band_name(self, word: str = "") -> str:
        """The key of a band of draws."""
        return f"{self.posterior_name}, {self.level:.0%} {word}".strip() if self.trusted else self.posterior_name

    @property
    def em_name(self) -> str:
        name = "EM" if self.source.mixture.prior is None else "EM (MAP)"
        return name if self.source.converged else f"{name}, {self.source.status.value}"

    @property
    def em_look(self) -> dict[str, Any]:
        """How EM's lines are drawn, with their name in the key."""
        return {"color": style.EM, "linestyle": style.EM_LINE, "label": self.em_name}

    @property
    def doubt(self) -> str:
        """Why what is drawn is not to be trusted, in a word; empty where it is."""
        if self.fit is None:
            return "" if self.posterior is None or self.posterior.converged else self.posterior.status.value
        if self.fit.converged:
            return "spurious" if self.fit.spurious else ""
        return self.fit.status.value

    @functools.cached_property
    def em(self) -> dict[str, np.ndarray] | None:
        """EM's stored parameters, each with a leading axis of length one."""
        if self.fit is None:
            return None
        with computing():
            stored = self.mixture.stored_parameters(self.fit.params)
        return {name: np.asarray(value)[None] for name, value in stored.items()}

    @property
    def at(self) -> dict[str, np.ndarray]:
        """The estimate that is drawn, with a leading axis of length one: EM's, or the mean of the draws."""
        return self.em or {name: draws.mean(axis=0, keepdims=True) for name, draws in (self.draws or {}).items()}

    @functools.cached_property
    def draws(self) -> dict[str, np.ndarray] | None:
        """At most `BAND_DRAWS` aligned draws of the stored parameters."""
        if self.posterior is None:
            return None
        kept = thinning(self.posterior.n_draws, BAND_DRAWS)
        drawn = stored_draws(self.posterior.sampled["posterior"])
        return {name: value.reshape(-1, *value.shape[2:])[kept] for name, value in drawn.items()}

    @functools.cached_property
    def shares(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """``p(z = k | x_n)`` of the drawn rows, by EM and averaged over the draws, ``(n_rows, K)`` each."""
        known = self.samples.take(self.rows)
        em = None if self.fit is None else self.fit.predict_proba(known)
        if self.posterior is None:
            return em, None
        draws = self.posterior.thinned(BAND_DRAWS)
        with computing():
            return em, mean_responsibilities(self.mixture, draws, known.values, known.labels)

    def sampled_note(self) -> str:
        """What is left out of a scatter, in words; empty where nothing is."""
        n_counting, note = int(self.samples.counts.sum()), ""
        if len(self.rows) < n_counting:
            note = f" {count(len(self.rows), 'random row')} of {n_counting:,} are drawn."
        if self.n_with_gaps and self.n_features > 1:
            left_out = "cannot be drawn" if self.n_features == 2 else "are left out where they have one"
            note += f" {count(self.n_with_gaps, 'row')} with cells that were not seen {left_out}."
        return note


def as_view(source: Comparison | Fit | Posterior | View) -> View:
    """The view of anything that can be drawn."""
    if isinstance(source, View):
        return source
    if isinstance(source, Fit):
        return View(source, None)
    if isinstance(source, Posterior):
        return View(None, source)
    return View(source.fit, source.posterior, source.level)


def posterior_of(source: Comparison | Posterior) -> Posterior:
    """The posterior of anything that has one."""
    return source.posterior if isinstance(source, Comparison) else source


# -- densities ---------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Curves:
    """Weighted densities of the components of one feature along ``grid``: ``em (K, grid)``, ``draws (S, K, grid)``."""

    grid: np.ndarray
    em: np.ndarray | None
    draws: np.ndarray | None

    @property
    def parts(self) -> np.ndarray:
        """EM's components, where there are several."""
        return self.grid[:0] if self.em is None or len(self.em) < 2 else self.em

    @property
    def estimate(self) -> np.ndarray:
        """EM's components, or the mean of the draws where there is no EM."""
        return np.asarray(self.draws).mean(axis=0) if self.em is None else self.em

    @property
    def em_density(self) -> np.ndarray | None:
        return None if self.em is None else self.em.sum(axis=0)

    @property
    def predictive(self) -> np.ndarray | None:
        """The mean over draws of the mixture's density: the posterior predictive."""
        return None if self.draws is None else self.draws.sum(axis=1).mean(axis=0)

    def band(self, level: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Pointwise equal-tailed band of the mixture's density."""
        return None if self.draws is None else band(self.draws.sum(axis=1), level)


def band(values: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the equal-tailed interval along the first axis."""
    lower, upper = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    return lower, upper


def check_marginals(view: View) -> None:
    """Refuse what has no density of single columns, by ValueError in words."""
    if not view.family.has_marginals:
        raise ValueError(
            "a program with several columns of data, or with covariates, has no density of one column alone: draw "
            "assignments, or new data from the posterior over yours (posterior.tree, with ArviZ's plot_ppc_dist)"
        )


def curves(view: View, feature: int = 0, grid: np.ndarray | None = None) -> Curves:
    """The densities of one feature: the mixture itself in one dimension, its marginal in several."""
    check_marginals(view)
    grid = grid_of(view, feature) if grid is None else grid
    sides = [side for side in (view.em, view.draws) if side is not None]
    # One stack of EM and draws, so that one program is compiled for both and for all features.
    stored = {name: np.concatenate([side[name] for side in sides]) for name in sides[0] if name in sides[-1]}
    family, values = view.family.marginal(drawn_params(view, stored), feature)
    params = MixtureParams(family, {"weights": stored["weights"], **values})
    with computing():
        joint = np.asarray(_joint_density(Mixture(family, view.n_components), params, grid[:, None]))
    n_em = 0 if view.em is None else 1
    return Curves(grid, joint[0] if n_em else None, None if view.draws is None else joint[n_em:])


@jax.jit(static_argnums=0)
def _joint_density(mixture: Mixture, params: MixtureParams, x: jax.Array) -> jax.Array:
    return jax.vmap(lambda one: jnp.exp(mixture.log_joint(one, x)))(params)


def grid_of(view: View, feature: int) -> np.ndarray:
    """Where a feature's density is drawn: a little beyond the data, every level, and nothing outside the support."""
    low, high = view.limits(feature)
    if view.family.nominal:
        return np.arange(float(len(view.level_names(feature))))
    if view.family.discrete:
        least, most = (0 if low < 10 else int(low)), int(high)
        return np.unique(np.linspace(least, most, min(_WIDEST_COUNTS, most - least + 1)).round())
    margin = 0.08 * (high - low)
    first, last = low - margin, high + margin
    if view.family.support != "real" and low < 0.25 * (high - low):
        # From zero on, where a density may begin with a jump; at zero itself it may be infinite.
        first = 1e-3 * low if low > 0 else 0.0
    return np.linspace(first, last, GRID_POINTS)


def entropy(shares: np.ndarray) -> np.ndarray:
    """Entropy of each row's assignment as a share of its largest value, ``log K``: 0 certain, 1 no idea."""
    logs = np.log(np.where(shares > 0, shares, 1.0))
    return -(shares * logs).sum(axis=1) / np.log(shares.shape[1])


def drawn_params(view: View, stored: dict[str, Any]) -> MixtureParams:
    """What is stored of draws ``(S, K, ...)`` as parameters."""
    family, values = view.family.from_stored(stored)
    return MixtureParams(family, {"weights": stored["weights"], **values})


def moments(view: View, stored: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Means ``(S, K, d)`` and covariance matrices ``(S, K, d, d)`` of the components."""
    params = drawn_params(view, stored)
    with computing():
        return params.family.moments(params)
