"""gmmx: a jitted EM on JAX, float32 only."""

from __future__ import annotations

import numpy as np

from benchmarks.peers.base import Peer, timed
from benchmarks.workloads import Params


class Gmmx(Peer):
    """float32; it is compiled for each number of iterations, which is not timed."""

    name = "gmmx"
    dtype = "float32"
    modules = ("gmmx",)
    compiles = True

    def fit(self, start: Params, n_iter: int) -> tuple[Params, float]:
        import jax.numpy as jnp
        from gmmx import EMFitter, GaussianMixtureModelJax

        fitter = EMFitter(max_iter=n_iter, tol=-1.0, reg_covar=0.0)

        def run() -> tuple[Params, int]:
            model = GaussianMixtureModelJax.from_squeezed(
                means=jnp.asarray(start.means, jnp.float32),
                covariances=jnp.asarray(start.covariances, jnp.float32),
                weights=jnp.asarray(start.weights, jnp.float32),
                covariance_type=self.covariance,
            )
            result = fitter.fit(x=jnp.asarray(self.x, jnp.float32), gmm=model)
            plain = Params(
                weights=np.asarray(result.gmm.weights_numpy, float),
                means=np.asarray(result.gmm.means_numpy, float),
                covariances=np.asarray(result.gmm.covariances.values_numpy, float),
            )
            return plain, int(result.n_iter)

        (params, done), seconds = timed(run)
        if done != n_iter:
            raise RuntimeError(f"stopped after {done} of {n_iter} iterations")
        return params, seconds
