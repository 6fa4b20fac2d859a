"""emjax, called as users call it: EM's MAP, labels and diagnostics are inside its time."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from benchmarks.samplers.base import Draws, Problem, Sampler, Settings


class Emjax(Sampler):
    """``emjax.sample(mixture, x, key=key, method=method)`` at the method's defaults."""

    title: ClassVar[str] = "emjax"
    modules: ClassVar[tuple[str, ...]] = ("emjax", "jax", "numpyro")

    def load(self, problem: Problem, settings: Settings) -> None:
        import emjax

        self._x, self._settings = problem.x, settings
        self._mixture = emjax.Mixture(emjax.Normal(), problem.n_components, prior="default")

    def sample(self, seed: int) -> Draws:
        import jax

        import emjax
        from emjax.catalogue import SAMPLERS

        given = self._settings.given()
        posterior = emjax.sample(
            self._mixture, self._x, key=jax.random.key(seed), method=self._settings.method or "auto", **given
        )
        tree, found = posterior.sampled["posterior"], posterior.diagnostics
        return Draws(
            weights=np.asarray(tree["weights"]),
            mean=np.asarray(tree["mean"]),
            covariance=np.asarray(tree["covariance"]),
            warmup=given.get("warmup", SAMPLERS[posterior.method].warmup),
            notes={
                "method": str(posterior.method),
                "status": str(posterior.status),
                "message": " ".join([posterior.message, *posterior.decision]),
                "compile_seconds": posterior.compile_seconds,
                "run_seconds": posterior.run_seconds,
                "max_rhat": found.max_rhat,
                "min_ess_bulk": found.min_ess_bulk,
                "min_ess_tail": found.min_ess_tail,
            },
        )
