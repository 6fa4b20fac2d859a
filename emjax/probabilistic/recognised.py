"""A program whose components are a family of the catalogue: that family, under the names of the program's sites.

Rows, statistics and the M-step are the family's own, so that an iteration of EM is that of the mixture declared with
it, to rounding. Where the prior is a law of each site, all else is so, too: the frame, the starts, conjugate draws, and
the NumPyro program that the sampler runs. Any other prior (of a site whose law depends on another, a factor, a
transformation) keeps the program's own M-step, a damped Newton step, from the family's moments.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.families.arrays import AnyArray
from emjax.families.ascent import ascend, derivatives, slopes
from emjax.families.base import Family, Laws
from emjax.families.frame import Frame
from emjax.families.laws import Flat, Law
from emjax.families.observations import Observations
from emjax.families.parameters import MixtureParams, Parameter, Values
from emjax.families.priors import WEIGHTS, Prior
from emjax.moments import Summary
from emjax.probabilistic.family import ProgramFamily
from emjax.probabilistic.prior import SitewisePrior
from emjax.probabilistic.structure import Likeness
from emjax.samples import Samples


class RecognisedFamily(ProgramFamily):
    """The components of a program that are a family of the catalogue; `ProgramFamily` has the attributes."""

    # -- the family and its names

    @property
    def likeness(self) -> Likeness:
        """The family, its names for the sites, and their laws."""
        assert self.structure.likeness is not None
        return self.structure.likeness

    @property
    def base(self) -> Family:
        """The family."""
        return self.likeness.base

    @property
    def sitewise(self) -> bool:
        """Whether the prior is a law of each site."""
        return self.likeness.laws is not None

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}: {self.base.name})"

    @functools.cached_property
    def parameters(self) -> Mapping[str, Parameter]:
        """The sites, which follow the data's units as the family's parameters do where these are all there is."""
        own = super().parameters
        if not self.sitewise:
            return own
        units = {name: self.base.site(site).unit for name, site in self.likeness.sites.items()}
        return {name: Parameter(p.domain, p.axes, units[name], p.shared) for name, p in own.items()}

    @functools.cached_property
    def _shapes(self) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
        """The shape of each site that data meet, components first, and the family's own for it."""
        k, d = self.n_components, self.n_columns
        mine, theirs = self.lengths(d), self.base.lengths(d)
        return {
            name: (self.parameters[name].shape(k, mine), self.base.site(site).shape(k, theirs))
            for name, site in self.likeness.sites.items()
        }

    def to_base(self, params: Any) -> MixtureParams:
        """The parameters of the family; other axes may lead."""
        values = {}
        for name, (mine, theirs) in self._shapes.items():
            value = params[name]
            values[self.likeness.sites[name]] = value.reshape((*value.shape[: value.ndim - len(mine)], *theirs))
        weights = {WEIGHTS: params[WEIGHTS]} if WEIGHTS in params else {}
        return MixtureParams(self.base, {**weights, **self.base.from_sites(values)})

    def from_base(self, values: Mapping[str, Any]) -> Values:
        """The sites at parameters of the family."""
        params, sites = MixtureParams(self.base, values), self.likeness.sites
        return {name: self.base.at_site(sites[name], params).reshape(mine) for name, (mine, _) in self._shapes.items()}

    def _on_host(self, values: Mapping[str, Any]) -> Values:
        return {name: np.asarray(value) for name, value in self.from_base(values).items()}

    def to_base_laws(self, laws: Laws) -> dict[str, Law]:
        """The laws of the family's sites; for maximum likelihood flat ones."""
        if all(isinstance(law, Flat) for law in laws.values()):
            return dict.fromkeys(self.base.parameters, Flat())
        return {site: _reshaped(laws[name], *self._shapes[name]) for name, site in self.likeness.sites.items()}

    def _closes(self, laws: Laws) -> bool:
        """Whether the family knows the laws, or the M-step is the program's own."""
        return self.sitewise or all(isinstance(law, Flat) for law in laws.values())

    # -- what follows from the prior

    def own_prior(self) -> Prior:  # type: ignore[override]
        """The program's prior: a law of each site where it is no more than that."""
        laws = self.likeness.laws
        return super().own_prior() if laws is None else SitewisePrior.of(self, laws)

    def own_program(self) -> Any:
        """None where laws of sites and the family's density are all that the program says."""
        return None if self.sitewise else super().own_program()

    def frame(self, summary: Summary) -> Frame:
        """That of the family; none where the prior is written for the data's own units."""
        return self.base.frame(summary) if self.sitewise else super().frame(summary)

    def refuses_gibbs(self, laws: Laws) -> str | None:
        """As of the family, with what its sites are called here."""
        if not self.sitewise:
            return super().refuses_gibbs(laws)
        why = self.base.refuses_gibbs(self.to_base_laws(laws))
        names = ", ".join(f"{name} is its {site}" for name, site in self.likeness.sites.items() if name != site)
        return f"{why} ({names})" if why and names else why

    def draw_components(
        self, key: Array, statistics: Any, counts: Float[Array, " K"], params: MixtureParams, laws: Laws
    ) -> Values:
        """As of the family."""
        drawn = self.base.draw_components(key, statistics, counts, self.to_base(params), self.to_base_laws(laws))
        return self.from_base(drawn)

    def log_evidence(
        self, statistics: Any, counts: Float[Array, " K"], params: MixtureParams, laws: Laws
    ) -> Float[Array, ""]:
        """As of the family."""
        return self.base.log_evidence(statistics, counts, self.to_base(params), self.to_base_laws(laws))

    # -- the M-step

    def bounded(self, params: MixtureParams) -> MixtureParams:
        """As of the family where that has bounds."""
        if type(self.base).bounded is Family.bounded:
            return params
        moved = self.from_base(dict(self.base.bounded(self.to_base(params)).items()))
        return MixtureParams(self, {WEIGHTS: params[WEIGHTS], **moved})

    def statistics(self, params: MixtureParams, rows: Observations, responsibilities: Float[Array, "K n"]) -> Any:
        """Those of the family, with gradient and Hessian beside them where the program's own M-step may need these."""
        found = self.base.statistics(self.to_base(params), rows, responsibilities)
        return found if self.sitewise else (found, derivatives(self, params, rows, responsibilities))

    def from_moments(self, params: MixtureParams, moments: Float[Array, "K p"]) -> Any:
        """The same from the moments of the natural form."""
        found = self.base.from_moments(self.to_base(params), moments)
        if self.sitewise:
            return found
        return found, slopes(self, params, lambda moved: jnp.sum(moments * self.natural_parameters(moved)))

    def maximize(self, statistics: Any, counts: Float[Array, " K"], params: MixtureParams, laws: Laws) -> Values:
        """The family's M-step; a damped Newton step where the prior is no law of each site."""
        if not self._closes(laws):
            return ascend(self, statistics[1], params, laws)
        own = statistics if self.sitewise else statistics[0]
        return self.from_base(self.base.maximize(own, counts, self.to_base(params), self.to_base_laws(laws)))

    def closed(self, laws: Laws) -> bool:
        """Whether the M-step is a closed form of the family."""
        return self._closes(laws) and self.base.closed(self.to_base_laws(laws))

    def m_step(self, laws: Laws) -> str:
        """What the M-step is, in words."""
        return self.base.m_step(self.to_base_laws(laws)) if self._closes(laws) else super().m_step(laws)

    @property
    def exact(self) -> bool:
        """Whether the M-step is a maximiser."""
        return self.sitewise and self.base.exact

    @property
    def smooth(self) -> bool:
        """As of the family."""
        return self.base.smooth

    # -- the density

    @property
    def without_likelihood(self) -> tuple[str, ...]:
        """Parameters that data do not meet."""
        return tuple(name for name in self.parameters if name not in self.likeness.sites)

    def log_kernel(self, params: MixtureParams, rows: Observations) -> Float[Array, "K n"]:
        """As of the family."""
        return self.base.log_kernel(self.to_base(params), rows)

    def log_base_measure(self, rows: Observations) -> Float[Array, " n"]:
        """As of the family."""
        return self.base.log_base_measure(rows)

    @property
    def natural(self) -> bool:
        """As of the family."""
        return self.base.natural

    def sufficient_statistics(self, rows: Observations) -> Float[Array, "p n"]:
        """As of the family."""
        return self.base.sufficient_statistics(rows)

    def natural_parameters(self, params: MixtureParams, *, holes: bool = False) -> Float[Array, "K p"]:
        """As of the family."""
        return self.base.natural_parameters(self.to_base(params), holes=holes)

    def natural_excess(self, x: np.ndarray) -> np.ndarray | None:
        """As of the family."""
        return self.base.natural_excess(x)

    def sample(self, params: MixtureParams, key: Array, labels: Array) -> Float[Array, "n d"]:
        """As of the family."""
        return self.base.sample(self.to_base(params), key, labels)

    def moments(self, params: MixtureParams) -> tuple[Any, Any]:
        """As of the family."""
        return self.base.moments(self.to_base(params))

    def numpyro_support(self) -> Any:
        """As of the family."""
        return self.base.numpyro_support()

    # -- accuracy, and optima that say nothing of the population

    def cancellation(self, params: MixtureParams) -> Float[Array, ""]:
        """As of the family."""
        return self.base.cancellation(self.to_base(params))

    def resolution(self, params: MixtureParams) -> Float[Array, ""]:
        """As of the family."""
        return self.base.resolution(self.to_base(params))

    def distance(self, params: MixtureParams) -> Float[Array, ""]:
        """As of the family."""
        return self.base.distance(self.to_base(params))

    def degenerate(self, params: MixtureParams) -> Array:
        """As of the family."""
        return self.base.degenerate(self.to_base(params))

    def points_without_bound(self, n_features: int) -> int:
        """As of the family."""
        return self.base.points_without_bound(n_features)

    def narrow(self, params: MixtureParams, weights: AnyArray, xp: Any = np) -> AnyArray:
        """As of the family."""
        return self.base.narrow(self.to_base(params), weights, xp)

    def explain_degenerate(self, samples: Samples, params: MixtureParams) -> str | None:
        """As of the family."""
        return self.base.explain_degenerate(samples, self.to_base(params))

    # -- starts

    def pooled(self, summary: Summary, n_components: int) -> Values:
        """As of the family; where the prior has more to say, as of any program."""
        if not self.sitewise:
            return super().pooled(summary, n_components)
        return self._on_host(self.base.pooled(summary, n_components))

    def at_means(self, params: MixtureParams, means: Float[AnyArray, "K d"]) -> Values:
        """The same."""
        if not self.sitewise:
            return super().at_means(params, means)
        return self._on_host(self.base.at_means(self.to_base(params), means))

    def at_clusters(self, params: MixtureParams, x: np.ndarray, labels: np.ndarray, means: np.ndarray) -> Values:
        """The same."""
        if not self.sitewise:
            return super().at_clusters(params, x, labels, means)
        return self._on_host(self.base.at_clusters(self.to_base(params), x, labels, means))

    def place(self, x: np.ndarray) -> np.ndarray:
        """As of the family."""
        return self.base.place(x)


def _reshaped(law: Law, mine: tuple[int, ...], theirs: tuple[int, ...]) -> Law:
    """The law of a site as that of the family's, whose shape has an axis of one feature more."""
    whole = lambda leaf: jnp.broadcast_to(leaf, mine).reshape(theirs)  # noqa: E731
    return jax.tree.map(lambda leaf: whole(leaf) if np.ndim(leaf) > law.n_axes else leaf, law)
