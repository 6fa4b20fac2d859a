"""From a `Mixture` to a NumPyro program: the only file that writes sample sites.

The program is the prior's sites and one observed site whose distribution has the labels summed out, so that its log
density is EM's MAP objective, to rounding.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.distributions.util import validate_sample

from emjax.errors import ConfigError
from emjax.families.arrays import AnyArray
from emjax.families.observations import Observations, observed
from emjax.mixture import Mixture, MixtureParams, Prior


class MarginalMixture(dist.Distribution):
    """One datum of a mixture with its label summed out, as a NumPyro distribution.

    ``log_prob`` is the log density of `Mixture.log_prob`: the same code that EM runs.

    Parameters
    ----------
    mixture
        The declaration.
    params
        Its parameters.
    """

    pytree_data_fields = ("params",)
    pytree_aux_fields = ("mixture",)

    def __init__(self, mixture: Mixture, params: MixtureParams, *, validate_args: bool | None = None) -> None:
        self.mixture = mixture.likelihood
        self.params = params
        event_shape = (mixture.family.n_features(params),)
        super().__init__(batch_shape=(), event_shape=event_shape, validate_args=validate_args)

    @property
    def support(self) -> Any:
        """Where a datum may lie; the family knows."""
        return self.mixture.family.numpyro_support()

    @validate_sample
    def log_prob(self, value: AnyArray) -> Array:
        """Log density of data ``(..., n_features)``, shape ``(...)``."""
        rows = jnp.reshape(value, (-1, value.shape[-1]))
        return jnp.reshape(self.mixture.log_prob(self.params, rows), value.shape[:-1])

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``(*sample_shape, n_features)``."""
        size = 1
        for length in sample_shape:
            size *= length
        x, _ = self.mixture.sample(self.params, key, size)
        return jnp.reshape(x, (*sample_shape, *self.event_shape))


@dataclasses.dataclass(frozen=True)
class MixtureProgram:
    """The NumPyro program of a mixture; equal declarations are equal programs and share their compiled code.

    Called with data ``x`` it conditions on them; called with ``n_samples`` alone it generates that many. Data of which
    cells are missing, labels are known or rows are weighted enter by their log density, as a factor: NumPyro has no
    distribution for what was observed of them.
    """

    likelihood: Mixture

    def __call__(
        self, x: Any = None, *, prior: Prior, n_samples: int | None = None, weights: Any = None
    ) -> AnyArray | None:
        if not (x is None or isinstance(x, jax.core.Tracer | Observations)):
            samples = self.likelihood.samples(x, weights=weights, n_components=self.likelihood.n_components)
            x, weights = samples.values, samples.weights
            if samples.has_holes or samples.labels is not None or weights is not None:
                x = observed(x) if samples.labels is None else dataclasses.replace(observed(x), labels=samples.labels.T)
        params = self.sites(prior)
        if isinstance(x, Observations):
            log_prob = self.likelihood.log_prob(params, x)
            numpyro.factor("x", jnp.sum(log_prob if weights is None else weights * log_prob))
            return None
        n_rows = n_samples if x is None else len(x)
        if n_rows is None:
            raise ValueError("give data x, or n_samples to generate some")
        with numpyro.plate("sample", n_rows):
            return numpyro.sample("x", MarginalMixture(self.likelihood, params), obs=x)

    def sites(self, prior: Prior) -> MixtureParams:
        """The prior's sites; the likelihood is not among them."""
        return prior.taken(numpyro.sample)

    def from_sites(self, values: Mapping[str, AnyArray]) -> MixtureParams:
        """The parameters at given values of the latent sites."""
        return self.likelihood.assembled(values["weights"], self.likelihood.family.from_sites(values))


def to_numpyro(mixture: Mixture, x: Any = None) -> Callable[..., Any]:
    """A mixture as a NumPyro program, to be used with anything that takes one.

    The program is ``model(x=None, n_samples=None)``. Its latent sites are those of the prior: ``weights`` and by
    default the family's parameters (``mean`` and ``covariance`` or ``variance``; ``rate``); its observed site is ``x``.
    NumPyro follows JAX's global precision: use it with x64 for results that match EM to rounding.

    Parameters
    ----------
    mixture
        The declaration. Without a prior (``None``) or with ``"default"``, the default prior is scaled by ``x``.
    x
        The data that scale a default prior; they are not stored, and not needed where the mixture has a `Prior`.

    Raises
    ------
    ConfigError
        If there is neither a `Prior` nor data that scale the default one.

    Examples
    --------
    >>> import emjax, jax
    >>> from numpyro.infer import MCMC, NUTS, Predictive
    >>> x = emjax.datasets.load("deaths")
    >>> model = emjax.to_numpyro(emjax.Mixture(emjax.Poisson(), n_components=2), x)
    >>> chain = MCMC(NUTS(model), num_warmup=20, num_samples=20, progress_bar=False)
    >>> chain.run(jax.random.key(0), x)
    >>> Predictive(model, chain.get_samples())(jax.random.key(1), n_samples=100)["x"].shape
    (20, 100, 1)
    """
    if x is None and not isinstance(mixture.prior, Prior):
        raise ConfigError("to_numpyro needs data x, which scale the default prior, or a mixture with an emjax.Prior")
    prior = mixture.prior if x is None else (mixture.resolved_prior(x) or mixture.default_prior(x))
    assert isinstance(prior, Prior)
    resolved = dataclasses.replace(mixture, family=prior.family, prior=None)
    # NumPy arrays: JAX arrays made outside an x64 scope would be cut to float32 for good.
    return functools.partial(MixtureProgram(resolved), prior=jax.tree.map(np.asarray, prior))
