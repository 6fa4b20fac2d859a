"""A mixture, its prior and its data made ready for samplers: all in the standard frame where they move."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from emjax.bayes.target import Target, TargetData, make_target
from emjax.em.blocks import Blocks
from emjax.em.rows import Rows
from emjax.em.step import trusted
from emjax.errors import ConfigError
from emjax.families.frame import Frame
from emjax.families.proper import check_proper
from emjax.mixture import Mixture, MixtureParams, Prior
from emjax.moments import Summary
from emjax.samples import Samples

if TYPE_CHECKING:
    from emjax.bayes.bridge import MixtureProgram


@dataclasses.dataclass(frozen=True)
class Problem:
    """The mixture with its resolved prior, the data, and both in the standard frame where samplers move."""

    mixture: Mixture
    samples: Samples
    frame: Frame
    z: Rows
    frame_prior: Prior

    @property
    def program(self) -> MixtureProgram:
        """The mixture as a NumPyro program; NumPyro itself is loaded here, since only NUTS needs it."""
        from emjax.bayes.bridge import MixtureProgram

        own = self.mixture.family.own_program()
        return MixtureProgram(self.mixture.likelihood) if own is None else own

    @property
    def summary(self) -> Summary:
        """Moments of the data in the frame."""
        return Summary(self.z, self.z.weights)

    @property
    def refuses_gibbs(self) -> str | None:
        """Why parameters cannot be drawn given labels, or ``None``."""
        return self.mixture.family.refuses_gibbs(self.frame_prior.components)

    def gibbs_rows(self, dtype: Any) -> Rows:
        """The rows that labels are drawn for: each as often as its weight says.

        Raises
        ------
        ConfigError
            If a weight is no whole number: such a row has no label.
        """
        rows = self.z.repeated
        if rows is None:
            raise ConfigError("method='gibbs' draws a label for each row, so weights have to be whole; use hmc or nuts")
        return rows.astype(dtype)

    @property
    def arguments(self) -> tuple[tuple[Any], dict[str, Any]]:
        """What the program is called with: positional and named arguments."""
        if self.z.plain and self.mixture.family.own_program() is None:
            return (self.z[:],), {"prior": self.frame_prior}
        rows = jax.tree.map(lambda leaf: np.asarray(leaf)[:, : len(self.z)], self.z.observations)
        return (rows,), {"prior": self.frame_prior, "weights": self.z.weights}

    def target(self, n_chains: int, dtype: Any = np.float64, *, exact: bool = False) -> tuple[Target, TargetData]:
        """The density that samplers move on, with the data laid out for so many chains; `make_target` has ``exact``."""
        return make_target(self.mixture, self.z, self.frame_prior, n_chains=n_chains, dtype=dtype, exact=exact)

    def precise_target(self, params: MixtureParams, n_chains: int, dtype: Any) -> tuple[Target, TargetData]:
        """The same in an arithmetic that is good enough at some parameters (in data units).

        Raises
        ------
        ConfigError
            If none is: components are too narrow or too far out for the precision.
        """
        at = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), self.mixture.to_frame(params, self.frame))
        for exact in (False, True):
            target, data = self.target(n_chains, dtype, exact=exact)
            if bool(is_trusted(self.mixture.likelihood, at, data.blocks)):
                return target, data
        raise ConfigError(
            f"{np.dtype(dtype).name} is too coarse for components this narrow or this far out; use float64, or a "
            "stronger prior on the variances"
        )


def prepare(mixture: Mixture, samples: Samples) -> Problem:
    """The problem in the frame of its family; raises `ConfigError` where a law of the prior is improper."""
    prior = mixture.resolved_prior(samples) or mixture.default_prior(samples)
    check_proper(prior)
    z = Rows.of(samples, mixture.family)
    return Problem(
        mixture=dataclasses.replace(mixture, prior=prior),
        samples=samples,
        frame=z.frame,
        z=z,
        frame_prior=jax.tree.map(np.asarray, mixture.prior_to_frame(prior, z.frame)),
    )


@jax.jit(static_argnums=0)
def is_trusted(mixture: Mixture, params: MixtureParams, blocks: Blocks) -> jax.Array:
    """Whether the arithmetic of the blocks is exact enough at some parameters."""
    return trusted(mixture, params, blocks)
