"""The prior of a program: what stands outside its plate of data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro import handlers

from emjax.families.frame import Frame
from emjax.families.laws import Dirichlet, Law
from emjax.families.parameters import MixtureParams
from emjax.families.priors import WEIGHTS, Prior


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Outside(Law):
    """The joint law of all parameters of a program but the weights: the log density of its sites and factors."""

    n_axes: ClassVar[int] = 0

    def log_prob(self, value: Any, given: Any = None) -> Any:
        return given.family.log_prior(given)

    def rescaled(self, shift: Any, scale: Any) -> Outside:
        return self

    def numpyro(self, shape: tuple[int, ...], given: Any = None) -> Any:
        raise TypeError("the prior of a program is the program itself")


@jax.tree_util.register_pytree_with_keys_class
class ProgramPrior(Prior):
    """The prior of a program. It is one law of all sites, since any of them may depend on those before it."""

    __slots__ = ()

    @classmethod
    def of(cls, family: Any) -> ProgramPrior:
        """The prior of a family that is a program."""
        k, found = family.n_components, family.structure.weights
        laws: dict[str, Law] = {} if found is None else {WEIGHTS: Dirichlet(np.asarray(found.concentration))}
        whole = {name: Outside() for name in list(family.parameters)[:1]}
        return cls(family, k, family.n_columns, {**laws, **whole})

    @property
    def concentration(self) -> Any:
        return self.laws[WEIGHTS].concentration if WEIGHTS in self.laws else np.ones(self.n_components)  # type: ignore[attr-defined]

    @property
    def exchangeable(self) -> bool:
        return self.family.structure.exchangeable

    @property
    def fault(self) -> str:
        """A site without a proper law, unless a factor outside the plate may make up for it."""
        return _fault(self.family)

    def at_sites(self, params: MixtureParams) -> dict[str, Any]:
        """The values of the program's own sites."""
        return self.family.sites_at(params)

    def log_probs(self, params: MixtureParams) -> dict[str, Float[Array, ""]]:
        """The log density of each of the program's sites and factors outside the plate."""
        found = self.family.structure.prior_terms(self.family.sites_at(params))
        if WEIGHTS not in self.laws:
            return found
        # Under the law of all weights: a single probability has the same density, and a factor may be infinite at it.
        own = jnp.sum(self.laws[WEIGHTS].log_prob(params[WEIGHTS]))
        return {**found, self.family.structure.weights.site: own}

    def drawn(self, key: Array) -> MixtureParams:
        found: MixtureParams = handlers.seed(self.family.own_program().sites, key)(self)
        return found

    def to_frame(self, frame: Frame) -> ProgramPrior:
        return self

    def log_jacobian(self, frame: Frame) -> Float[Array, ""]:
        return jnp.zeros(())


@jax.tree_util.register_pytree_with_keys_class
class SitewisePrior(Prior):
    """The prior of a program that is a law of each site, which does not depend on the others."""

    __slots__ = ()

    @classmethod
    def of(cls, family: Any, laws: Mapping[str, Law]) -> SitewisePrior:
        """The prior of a family that is a program with a site of weights."""
        weights = Dirichlet(np.asarray(family.structure.weights.concentration))
        return cls(family, family.n_components, family.n_columns, {WEIGHTS: weights, **laws})

    @property
    def fault(self) -> str:
        return _fault(self.family)

    def log_probs(self, params: MixtureParams) -> dict[str, Float[Array, ""]]:
        """The log density of each site, that of the weights under the name that the program has for it."""
        found = super().log_probs(params)
        return {self.family.structure.weights.site: found.pop(WEIGHTS), **found}


def _fault(family: Any) -> str:
    """A site of a program whose law does not integrate, in words; empty where there is none."""
    found = family.structure.improper
    if not found:
        return ""
    return (
        f"{found!r} of the program has a law that does not integrate, and so has the posterior, since a component "
        "may hold no data: give it a proper one, such as numpyro.distributions.Normal(0, 10); EM takes it as it is"
    )
