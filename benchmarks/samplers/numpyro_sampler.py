"""Plain NumPyro, as its documentation writes a mixture: ``MixtureSameFamily`` and NUTS with vectorized chains."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from benchmarks.samplers.base import Draws, Problem, Sampler, Settings


class NumPyro(Sampler):
    """4 chains of 1000 + 1000 in one program, in float64.

    A second ``run`` traces and compiles part of it again, about 4.5 CPU seconds; with ``jit_model_args=True`` it is 6.
    """

    title: ClassVar[str] = "NumPyro NUTS, float64"
    modules: ClassVar[tuple[str, ...]] = ("numpyro", "jax")
    x64: ClassVar[bool] = True

    def load(self, problem: Problem, settings: Settings) -> None:
        import jax
        import numpyro
        from numpyro.infer import MCMC, NUTS

        if self.x64:
            numpyro.enable_x64()
        self._x = jax.numpy.asarray(problem.x[:, 0] if problem.x.shape[1] == 1 else problem.x)
        given = {"chains": 4, "warmup": 1000, "draws": 1000} | settings.given()
        self._warmup = given["warmup"]
        self._mcmc = MCMC(
            NUTS(_model(problem)),
            num_warmup=given["warmup"],
            num_samples=given["draws"],
            num_chains=given["chains"],
            chain_method="vectorized",
            progress_bar=False,
        )

    def sample(self, seed: int) -> Draws:
        import jax

        self._mcmc.run(jax.random.key(seed), self._x)
        found = {name: np.asarray(a, float) for name, a in self._mcmc.get_samples(group_by_chain=True).items()}
        if "variance" in found:
            mean, covariance = found["mean"][..., None], found["variance"][..., None, None]
        else:
            mean, covariance = found["mean"], found["root"] @ np.swapaxes(found["root"], -1, -2)
        return Draws(found["weights"], mean, covariance, self._warmup)


class NumPyro32(NumPyro):
    """The same in float32, NumPyro's default."""

    title: ClassVar[str] = "NumPyro NUTS, float32 (its default)"
    x64: ClassVar[bool] = False


def _model(problem: Problem) -> Any:
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    prior, k, d = problem.prior, problem.n_components, problem.x.shape[1]

    def one_feature(x: Any) -> None:
        weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(k)))
        with numpyro.plate("components", k):
            half = prior.scatter[0, 0] / 2
            variance = numpyro.sample("variance", dist.InverseGamma(prior.degrees_of_freedom / 2, half))
            mean = numpyro.sample("mean", dist.Normal(prior.mean[0], jnp.sqrt(variance / prior.precision)))
        parts = dist.Normal(mean, jnp.sqrt(variance))
        with numpyro.plate("data", len(x)):
            numpyro.sample("x", dist.MixtureSameFamily(dist.Categorical(probs=weights), parts), obs=x)

    def several_features(x: Any) -> None:
        weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(k)))
        with numpyro.plate("components", k):
            inverse = dist.InverseWishartCholesky(prior.degrees_of_freedom, scale_matrix=jnp.asarray(prior.scatter))
            root = numpyro.sample("root", inverse)
            spread = root / np.sqrt(prior.precision)
            mean = numpyro.sample("mean", dist.MultivariateNormal(jnp.asarray(prior.mean), scale_tril=spread))
        parts = dist.MultivariateNormal(mean, scale_tril=root)
        with numpyro.plate("data", len(x)):
            numpyro.sample("x", dist.MixtureSameFamily(dist.Categorical(probs=weights), parts), obs=x)

    return one_feature if d == 1 else several_features
