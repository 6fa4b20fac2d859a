"""Chains of Hamiltonian Monte Carlo on the device: how many transitions a second, for a few chains and for thousands.

`emjax.sample` does more than move chains: it weighs points, aligns labels and assesses draws, on the host, and needs
ArviZ for it, which a borrowed machine may lack. What a device can speed up is the chains, so these alone are run here,
under the metric that `emjax.sample` would give them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_N = 2_000


def time_chains(n_chains: int, iterations: int) -> dict[str, Any]:
    """Warm up, then time ``iterations`` of every chain; a mixture of two normals in two dimensions, float64."""
    import jax

    import emjax
    from emjax.bayes.hmc import HmcChains
    from emjax.bayes.modes import find_modes
    from emjax.bayes.problem import prepare
    from emjax.bayes.target import Evaluator
    from emjax.clock import stopwatch
    from emjax.samples import as_samples

    rng = np.random.default_rng(6)
    x = rng.normal(size=(_N, 2)) + 3.0 * (rng.uniform(size=(_N, 1)) < 0.4)
    with jax.enable_x64(True), stopwatch() as clock:
        problem = prepare(emjax.Mixture(emjax.Normal(), 2), as_samples(x))
        best = emjax.fit(problem.mixture, x, key=jax.random.key(1), init=np.array([[0.0, 0.0], [3.0, 3.0]]))
        target, data = problem.target(n_chains)
        flat = np.asarray(jax.jit(target.flat)(problem.mixture.to_frame(best.params, problem.frame)))
        modes = find_modes(Evaluator(*problem.target(8), 8), best.optima[:1], [flat])
        starts, _ = modes.sample(rng, n_chains)
        chains = HmcChains(target, data, modes, starts, key=jax.random.key(2))
        chains.warm_up(2 * iterations)
        with stopwatch() as lap:
            run = chains.draw(iterations)
    gradients = float(run.sample_stats["n_steps"].sum())
    return {
        "transitions_per_second": n_chains * iterations / lap.run_seconds,
        "gradients_per_second": gradients / lap.run_seconds,
        "acceptance": float(run.sample_stats["acceptance_rate"].mean()),
        "divergent": float(run.sample_stats["diverging"].mean()),
        "compile_seconds": clock.compile_seconds,
        "whole_seconds": clock.total_seconds,
    }
