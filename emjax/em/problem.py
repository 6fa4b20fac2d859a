"""A mixture and its data made ready for EM: the standard frame, the blocks, the constants that lead back."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from emjax.em.blocks import Blocks, make_blocks
from emjax.em.restarts import Kept, Units
from emjax.em.rows import Rows
from emjax.em.step import expectation
from emjax.families.base import Family
from emjax.families.frame import Frame
from emjax.mixture import Mixture, MixtureParams, Prior
from emjax.moments import Summary
from emjax.samples import Samples
from emjax.scope import computing

_LOST = 1e-8
"""More than so many nats of rounding in a log-likelihood are taken away by evaluating it once more."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """A mixture and its data in the standard frame; ``drawn`` where starts were, which leaves their order to us.

    ``z`` are the rows in the frame, made as they are asked for; ``blocks`` hold all of them, once, laid out for
    ``n_filled`` components where these are filled up (`emjax.em.filled`), and that is 0 elsewhere.
    """

    mixture: Mixture
    samples: Samples
    drawn: bool
    n_starts: int
    prior: Prior | None
    frame: Frame
    frame_prior: Prior | None
    z: Rows
    blocks: Blocks
    units: Units
    n_filled: int = 0

    @property
    def ordered(self) -> bool:
        """Whether the order of components is ours to choose: nothing but the starts tells them apart."""
        alike = self.prior is None or self.prior.exchangeable
        return self.drawn and alike and self.samples.labels is None

    @property
    def likelihood(self) -> Mixture:
        """The mixture without its prior: what jitted functions take."""
        return self.mixture.likelihood

    def exact_blocks(self) -> Blocks:
        """The data for the slower arithmetic that rounds less."""
        on_device = isinstance(self.blocks.x, jax.Array)
        return _blocks(self.z, _wide(self.mixture, self.n_filled), self.n_starts, exact=True, on_device=on_device)

    @property
    def rounds(self) -> bool:
        """Whether log-likelihoods have lost more digits on the way than a reader could overlook."""
        excess = self.blocks.excess
        lost = 0.0 if excess is None else float(np.abs(excess).sum()) * float(np.finfo(float).eps)
        return self.z.dtype == np.float32 or lost > _LOST

    def in_float64(self, kept: tuple[Kept, ...]) -> tuple[Kept, ...]:
        """The same end points with log-likelihoods evaluated once more: estimates keep their digits longer than values.

        Parameters become float64 before: a rate that is rounded while its density is taken is another rate.
        """
        with computing():
            blocks = _blocks(self.z.astype(float), self.likelihood, 1, exact=True)
            units = _units(self.mixture.family, self.frame, self.samples.summary, blocks, self.prior)
            return tuple(self._reevaluated(end, blocks, units) for end in kept)

    def _reevaluated(self, end: Kept, blocks: Blocks, units: Units) -> Kept:
        given = jax.tree.map(lambda leaf: np.asarray(leaf, float), end.optimum.params)
        given = given.replace(weights=given.weights / given.weights.sum())
        end = dataclasses.replace(end, optimum=dataclasses.replace(end.optimum, params=given))
        params = self.mixture.to_frame(given, self.frame)
        value = float(_log_likelihood(self.likelihood, params, blocks)) + units.log_likelihood
        if not np.isfinite(value):
            return end
        correction = value - end.optimum.log_likelihood
        objective = end.optimum.objective + correction
        optimum = dataclasses.replace(end.optimum, log_likelihood=value, objective=objective)
        return dataclasses.replace(end, optimum=optimum, trace=np.append(end.trace[:-1], objective))


def prepare(
    mixture: Mixture,
    samples: Samples,
    dtype: str,
    *,
    drawn: bool,
    n_starts: int,
    on_device: bool = True,
    filled: int = 0,
) -> Problem:
    """The problem in the frame of its family, with the data on the device (or, for others to put there, on the host).

    ``n_starts`` is how many starts meet a block of the data at once; ``filled`` to how many components these are filled
    up, if any.
    """
    z = Rows.of(samples, mixture.family).astype(dtype)
    frame, prior = z.frame, mixture.resolved_prior(samples)
    frame_prior = None
    if prior is not None:
        frame_prior = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), mixture.prior_to_frame(prior, frame))
    blocks = _blocks(z, _wide(mixture, filled), n_starts, on_device=on_device)
    units = _units(mixture.family, frame, samples.summary, blocks, prior)
    return Problem(
        mixture=dataclasses.replace(mixture, prior=prior),
        samples=samples,
        drawn=drawn,
        n_starts=n_starts,
        prior=prior,
        frame=frame,
        frame_prior=frame_prior,
        z=z,
        blocks=blocks,
        units=units,
        n_filled=filled,
    )


def _wide(mixture: Mixture, n_filled: int) -> Mixture:
    """The mixture for whose components blocks of the data are laid out."""
    return dataclasses.replace(mixture.likelihood, n_components=n_filled or mixture.n_components)


def _blocks(z: Rows, mixture: Mixture, n_starts: int, *, exact: bool = False, on_device: bool = True) -> Blocks:
    blocks = make_blocks(z, mixture, n_starts=n_starts, exact=exact, spread=on_device)
    # On the device once, or every call would copy them again.
    return jax.device_put(blocks) if on_device else blocks


def _units(family: Family, frame: Frame, summary: Summary, blocks: Blocks, prior: Prior | None) -> Units:
    if type(family).log_base_measure is Family.log_base_measure:
        base = family.log_cell * float(summary.observed.sum())
    else:
        base = float(_base_measure(family, blocks))
    # Each cell that was observed loses the scale of its column in the way back.
    lost = float(summary.observed @ np.log(frame.scale))
    return Units(base - lost, 0.0 if prior is None else float(_log_jacobian(prior, frame)))


@functools.partial(jax.jit, static_argnums=0)
def _base_measure(family: Family, blocks: Blocks) -> Array:
    """The base measure of all data."""
    base = jax.vmap(lambda rows, weights: jnp.sum(weights * family.log_base_measure(rows)))
    return jnp.sum(base(blocks.rows, blocks.weights))


@jax.jit
def _log_jacobian(prior: Prior, frame: Frame) -> Array:
    """What a log prior loses in the way back to the data's units."""
    return prior.log_jacobian(frame)


@functools.partial(jax.jit, static_argnums=0)
def _log_likelihood(mixture: Mixture, params: MixtureParams, blocks: Blocks) -> Array:
    return expectation(mixture, params, blocks).log_likelihood
