"""`sample`: EM's MAP, chains started overdispersed around it, labels aligned, diagnostics, an ArviZ tree."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax
import numpy as np
import xarray as xr

from emjax import align
from emjax.bayes.bridge import MixtureProgram
from emjax.bayes.diagnostics import Diagnostics, assess
from emjax.bayes.draws import Described, describe_draws
from emjax.bayes.nuts import NutsRun, OnProgress, check_settings, run_nuts
from emjax.bayes.posterior import Posterior
from emjax.bayes.starts import ChainStarts, overdispersed_starts, unconstrain
from emjax.bayes.tree import to_tree
from emjax.clock import stopwatch
from emjax.em.fit import fit
from emjax.errors import FitError
from emjax.families.frame import Frame
from emjax.mixture import Mixture, MixtureParams, Prior
from emjax.naming import scalar_parameters
from emjax.result import Fit, Status
from emjax.samples import Samples, as_samples, check_against_components

METHODS = ("nuts",)
_DEFAULT_PRIOR_NOTE = "The mixture has no prior, so the default one was used: weakly informative, scaled by the data."


def sample(
    mixture: Mixture,
    x: Any,
    *,
    key: jax.Array,
    init: Any = None,
    method: Literal["nuts"] = "nuts",
    chains: int = 4,
    warmup: int = 1000,
    draws: int = 1000,
    target_accept_prob: float = 0.8,
    on_progress: OnProgress | None = None,
) -> Posterior:
    """Sample the posterior of a mixture, with its labels summed out.

    EM first finds the MAP under the same prior. Chains start around it, spread twice as wide as its Laplace
    approximation, so that their agreement means something. After sampling, labels are aligned to the MAP by the
    overlap of responsibilities, and the diagnostics are taken on aligned parameters and on quantities that labels do
    not touch. Everything runs in float64; JAX's global setting is neither used nor changed.

    Parameters
    ----------
    mixture
        The declaration. ``prior=None`` uses the default prior and says so in ``Posterior.prior_note``.
    x
        Data ``(n_samples, n_features)``; ``(n_samples,)`` means one feature.
    key
        A JAX random key; the same key gives the same draws.
    init
        A `Fit` or parameters from which EM looks for the MAP; several drawn starts by default.
    method
        ``"nuts"``: NumPyro's No-U-Turn sampler.
    chains, warmup, draws
        Chains, and iterations per chain that are thrown away and kept; 4, 1000 and 1000 by default.
    target_accept_prob
        Mean acceptance probability that the step size is adapted to; raise it where transitions diverge.
    on_progress
        Called between chunks of each chain; see `emjax.bayes.nuts.OnProgress`.

    Returns
    -------
    Posterior

    Raises
    ------
    DataError
        If the data cannot be used, as for `fit`.
    ConfigError
        If a setting is out of range.
    ValueError
        If ``method`` is unknown.
    FitError
        If no finite MAP was found, so that chains have nowhere to start.

    References
    ----------
    Hoffman and Gelman, Journal of Machine Learning Research 15, 2014; Phan, Pradhan and Jankowiak,
    arXiv:1912.11554, 2019; Vehtari et al., Bayesian Analysis 16, 2021.
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r} is not one of {', '.join(map(repr, METHODS))}")
    check_settings(warmup, draws, target_accept_prob, chains)
    samples = as_samples(x)
    check_against_components(samples, mixture.n_components)
    mixture.family.check(samples)
    settings = {"warmup": warmup, "draws": draws, "target_accept_prob": target_accept_prob, "on_progress": on_progress}
    return _sample(mixture, samples, key, init, chains, settings, method)


def _sample(
    mixture: Mixture,
    samples: Samples,
    key: jax.Array,
    init: Any,
    chains: int,
    settings: dict[str, Any],
    method: str,
) -> Posterior:
    with jax.enable_x64(True), stopwatch() as clock:
        problem = _prepare(mixture, samples)
        map_key, start_key, chain_key = jax.random.split(key, 3)
        map_fit = _find_map(problem, map_key, init)
        starts = _starts(problem, map_fit, start_key, chains)
        run = run_nuts(
            problem.program,
            *problem.arguments,
            key=chain_key,
            starts=starts.starts,
            inverse_mass_matrix=starts.inverse_mass_matrix,
            **settings,
        )
        described = describe_draws(problem.mixture, _stack(problem, run), map_fit, samples.values)
    diagnostics = _diagnose(problem, described, run)
    return Posterior(
        tree=_tree(problem, described, run, diagnostics, method),
        params=described.flat_params,
        mixture=problem.mixture,
        prior_note=_DEFAULT_PRIOR_NOTE if mixture.prior is None else _own_prior_note(mixture),
        map_fit=map_fit,
        alignment=described.alignment,
        diagnostics=diagnostics,
        starts_note=starts.note,
        method=method,
        compile_seconds=clock.compile_seconds,
        run_seconds=clock.run_seconds,
    )


@dataclasses.dataclass(frozen=True)
class _Problem:
    """The mixture with its resolved prior, the data, and both in the standard frame where the sampler moves."""

    mixture: Mixture
    samples: Samples
    frame: Frame
    z: np.ndarray
    frame_prior: Prior
    program: MixtureProgram

    @property
    def arguments(self) -> tuple[tuple[np.ndarray], dict[str, Prior]]:
        """What the program is called with: positional and named arguments."""
        return (self.z,), {"prior": self.frame_prior}


def _prepare(mixture: Mixture, samples: Samples) -> _Problem:
    prior = mixture.resolved_prior(samples) or mixture.default_prior(samples)
    frame = mixture.family.frame(samples.values)
    return _Problem(
        mixture=dataclasses.replace(mixture, prior=prior),
        samples=samples,
        frame=frame,
        z=np.asarray(frame.apply(samples.values)),
        frame_prior=jax.tree.map(np.asarray, mixture.prior_to_frame(prior, frame)),
        program=MixtureProgram(mixture.likelihood),
    )


def _own_prior_note(mixture: Mixture) -> str:
    return "The mixture's default prior, scaled by the data." if mixture.prior == "default" else "The mixture's prior."


def _find_map(problem: _Problem, key: jax.Array, init: Any) -> Fit:
    map_fit = fit(problem.mixture, problem.samples, key=key, init=init)
    if map_fit.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    if map_fit.status in (Status.NONFINITE, Status.DEGENERATE) or not np.isfinite(map_fit.objective):
        raise FitError(
            f"EM found no MAP from which chains could start (status {map_fit.status.value}): {map_fit.message}"
        )
    return map_fit


def _starts(problem: _Problem, map_fit: Fit, key: jax.Array, chains: int) -> ChainStarts:
    sites = problem.program.to_sites(problem.mixture.to_frame(map_fit.params, problem.frame))
    mode = unconstrain(problem.program, *problem.arguments, sites)
    return overdispersed_starts(problem.program, *problem.arguments, mode, key=key, chains=chains)


def _stack(problem: _Problem, run: NutsRun) -> MixtureParams:
    """All draws as parameters in data units, leading with (chain, draw)."""
    params = problem.program.from_sites(run.samples)
    return jax.tree.map(np.asarray, _to_data_units(problem.mixture.likelihood, params, problem.frame))


@jax.jit(static_argnums=0)
def _to_data_units(mixture: Mixture, params: MixtureParams, frame: Frame) -> MixtureParams:
    return jax.vmap(jax.vmap(lambda one: mixture.from_frame(one, frame)))(params)


def _diagnose(problem: _Problem, described: Described, run: NutsRun) -> Diagnostics:
    """Diagnostics of aligned parameters and invariants; of invariants alone where labels cannot be trusted."""
    features = problem.samples.feature_names
    quantities: dict[str, tuple[tuple[str, ...], np.ndarray]] = {"lp": (("chain", "draw"), run.sample_stats["lp"])}
    quantities |= {
        name: (("chain", "draw", "anchor")[: value.ndim], value) for name, value in described.invariants.items()
    }
    if described.alignment.trust >= align.TRUST_LOW:
        shapes = {name: described.stored[name][0, 0] for name in _read_names(problem, described)}
        for parameter in scalar_parameters(shapes, features):
            values = described.stored[parameter.variable][parameter.place]
            quantities[parameter.name] = (("chain", "draw"), values)
    stats = {name: (("chain", "draw"), value) for name, value in run.sample_stats.items()}
    return assess(xr.Dataset(quantities), xr.Dataset(stats))


def _read_names(problem: _Problem, described: Described) -> list[str]:
    one = jax.tree.map(lambda leaf: leaf[0], described.flat_params)
    return list(problem.mixture.named_parameters(one))


def _tree(problem: _Problem, described: Described, run: NutsRun, diagnostics: Diagnostics, method: str) -> xr.DataTree:
    attrs = {
        "sampler": method,
        "status": diagnostics.status.value,
        "family": problem.mixture.family.name,
        "n_components": problem.mixture.n_components,
        "alignment": described.alignment.method,
        "alignment_trust": described.alignment.trust,
    }
    return to_tree(
        described.stored,
        run.sample_stats,
        described.log_likelihood,
        problem.samples.values,
        problem.samples.feature_names,
        attrs,
        log_likelihood_draws=described.kept_draws,
    )
