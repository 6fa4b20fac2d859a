"""A program with its label summed out, for NumPyro's own samplers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpyro
from numpyro import handlers

from emjax.families.observations import Observations
from emjax.mixture import Mixture, MixtureParams
from emjax.probabilistic.prior import ProgramPrior
from emjax.probabilistic.running import frame_of


@dataclasses.dataclass(frozen=True)
class MarginalProgram:
    """The sites outside the plate as the program draws them, and the log density of data as a factor.

    Its log density is EM's objective under the program's priors.
    """

    family: Any

    def __call__(self, rows: Observations, *, prior: ProgramPrior, weights: Any = None) -> None:
        params = self.sites(prior)
        log_prob = Mixture(self.family, self.family.n_components).log_prob(params, rows)
        numpyro.factor("emjax_data", jnp.sum(log_prob if weights is None else weights * log_prob))

    def sites(self, prior: ProgramPrior) -> MixtureParams:
        """The sites outside the plate; what stands inside is run and not heard of."""
        found = self.family.structure
        inside = handlers.substitute(found.model, data={found.latent: found.label_of(found.template, found.values[0])})
        outside = handlers.block(inside, hide_fn=self._hidden)
        trace = handlers.trace(outside).get_trace(**{**found.template, **found.fixed})
        names = [site.name for site in found.sites] + ([] if found.weights is None else [found.weights.site])
        return self.from_sites({name: trace[name]["value"] for name in names})

    def from_sites(self, values: Mapping[str, Any]) -> MixtureParams:
        """The parameters at values of these sites; further axes may lead."""
        return self.family.at_values(values)

    def _hidden(self, site: Mapping[str, Any]) -> bool:
        plate = self.family.structure.plate
        return site.get("name") == plate or frame_of(site, plate) is not None
