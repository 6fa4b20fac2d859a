"""Comparisons that cost nothing: draws around EM's estimate in place of a sampler's."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import emjax
from emjax.bayes.diagnostics import assess
from emjax.bayes.draws import describe_draws
from emjax.bayes.posterior import Posterior
from emjax.bayes.tree import to_tree
from emjax.bayes.visits import PosteriorModes
from emjax.comparison import Comparison

CHAINS, DRAWS = 4, 250


def compared(x: object, mixture: emjax.Mixture) -> Comparison:
    """A comparison with draws that cost nothing: independent ones around EM's estimate, in EM's unconstrained space.

    They are no posterior, but they look and are judged like one.
    """
    fit = emjax.fit(mixture, x, key=jax.random.key(0), n_init=2)
    return emjax.compare(fit, imitated(fit), x)


def imitated(fit: emjax.Fit) -> Posterior:
    mixture, values = fit.mixture, fit.data
    prior = mixture.default_prior(fit.samples)
    rng = np.random.default_rng(0)
    spread = 0.02

    def around(leaf: np.ndarray) -> np.ndarray:
        return np.asarray(leaf) + spread * rng.normal(size=(CHAINS, DRAWS, *np.shape(leaf)))

    with jax.enable_x64(True):
        coordinates = mixture.coordinates(values.shape[1])
        centre = coordinates.flat(jax.tree.map(jnp.asarray, fit.params))
        params = jax.jit(jax.vmap(jax.vmap(coordinates.params)))(around(centre))
        described = describe_draws(mixture, params, fit, fit.samples)
    lp = described.log_likelihood.sum(axis=2)
    stats = {"lp": lp, "energy": rng.normal(size=lp.shape), "diverging": np.zeros(lp.shape, bool)}
    quantities = {"lp": (("chain", "draw"), lp)}
    quantities["log_density"] = (("chain", "draw", "anchor"), described.invariants["log_density"])
    for parameter in mixture.scalars(mixture.named_parameters(fit.params), fit.feature_names):
        draws = described.stored[parameter.variable][(slice(None), slice(None), *parameter.index)]
        quantities[parameter.name] = (("chain", "draw"), draws)
    judged = {name: (("chain", "draw"), value) for name, value in stats.items()}
    return Posterior(
        sampled=to_tree(
            described.stored,
            stats,
            described.log_likelihood,
            values,
            fit.feature_names,
            levels=mixture.family.levels,
            own_axes=mixture.family.own_axes,
        ),
        params=described.flat_params,
        mixture=dataclasses.replace(mixture, prior=prior),
        prior_note="A prior for tests.",
        map_fit=fit,
        alignment=described.alignment,
        diagnostics=assess(xr.Dataset(quantities), xr.Dataset(judged)),
        modes=PosteriorModes((), math.nan, math.nan, math.nan),
        decision=("auto: nuts, because this is a test.",),
        starts_note="nowhere",
        method="nuts",
        compile_seconds=1.5,
        run_seconds=0.5,
    )
