"""emjax computes the same under any setting of JAX's that a user may have made, and says where it cannot compute."""

import contextlib
import os
import threading

import jax
import numpy as np
import pytest

import emjax
from emjax import scope
from emjax.em.many import fit_many

MIXTURE = emjax.Mixture(emjax.Normal(), 2)
X = np.concatenate([np.random.default_rng(0).normal(size=60), np.random.default_rng(1).normal(5.0, 1.0, size=40)])
KEY = jax.random.key(0)


def everything() -> tuple:
    """What a user does, with the numbers that come of it; the sizes are those of `test_data_after_a_fit.py`."""
    x = emjax.datasets.load("faithful")
    fit = emjax.fit(MIXTURE, x, key=KEY, n_init=2)
    posterior = emjax.sample(MIXTURE, x, key=KEY, init=fit, method="laplace", chains=2, draws=200)
    comparison = emjax.compare(fit, posterior, x, key=KEY, loo=False)
    (many,) = fit_many(MIXTURE, [x], keys=[KEY], n_init=2)
    return (
        fit.log_likelihood,
        fit.intervals(method="information")["mean[0, waiting]"].se,
        fit.score_samples(x).sum(),
        posterior.modes.log_evidence,
        posterior.log_predictive(x, 50).sum(),
        comparison.invariants["log_score"]["em"],
        many.log_likelihood,
    )


@pytest.fixture(scope="module")
def plain() -> tuple:
    with jax.numpy_rank_promotion("raise"):
        return everything()


@pytest.mark.parametrize(
    "setting",
    [
        jax.debug_nans(True),
        jax.debug_infs(True),
        jax.numpy_dtype_promotion("strict"),
        jax.transfer_guard("disallow"),
        # What these three change is part of the key of a program: everything is compiled once more.
        pytest.param(jax.enable_x64(True), marks=pytest.mark.slow),
        pytest.param(jax.check_tracer_leaks(True), marks=pytest.mark.slow),
        pytest.param(jax.default_matmul_precision("bfloat16"), marks=pytest.mark.slow),
    ],
    ids=["nans", "infs", "promotion", "transfers", "x64", "leaks", "precision"],
)
def test_settings_of_jax_change_nothing_and_stay_as_they_were(setting, plain):
    with setting:
        before = dict(jax.config.values)
        found = everything()
        assert jax.config.values == before
    np.testing.assert_allclose(found, plain, rtol=1e-9)


def traced_by_jit(function):
    return jax.jit(function)(X)


def traced_by_grad(function):
    return jax.grad(lambda x: function(x).sum())(X)


def traced_by_vmap(function):
    return jax.vmap(function)(np.stack([X, X]))


@pytest.mark.parametrize("traced", [traced_by_jit, traced_by_grad, traced_by_vmap])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: emjax.fit(MIXTURE, x, key=KEY).params.weights,
        lambda x: emjax.sample(MIXTURE, x, key=KEY).params.weights,
        lambda x: fit_many(MIXTURE, [x], keys=[KEY])[0].params.weights,
    ],
    ids=["fit", "sample", "fit_many"],
)
def test_traced_data_are_refused_in_words(function, traced):
    with pytest.raises(TypeError, match=r"^x is traced by jax\.jit, jax\.vmap or jax\.grad.*host"):
        traced(function)


@pytest.mark.parametrize(
    "function",
    [
        lambda key: emjax.fit(MIXTURE, X, key=key).params.weights,
        lambda key: emjax.sample(MIXTURE, X, key=key).params.weights,
        lambda key: fit_many(MIXTURE, [X], keys=[key])[0].params.weights,
    ],
    ids=["fit", "sample", "fit_many"],
)
def test_traced_keys_are_refused_in_words(function):
    with pytest.raises(TypeError, match=r"cannot be called inside jax\.jit, jax\.vmap or jax\.grad"):
        jax.vmap(function)(jax.random.split(KEY, 2))


def test_a_fit_refuses_traced_data_in_words():
    fit = emjax.fit(MIXTURE, X, key=KEY, n_init=2)
    with pytest.raises(TypeError, match="x is traced"):
        jax.jit(fit.score_samples)(X)


def test_a_mixture_can_be_traced():
    params = MIXTURE.params(mean=[[0.0], [5.0]], scale=[[1.0], [1.0]])
    gradient = jax.grad(lambda x: MIXTURE.log_prob(params, x[:, None]).sum())(X)
    assert gradient.shape == X.shape


def test_eight_threads_fit_what_one_does():
    keys = jax.random.split(KEY, 8)
    alone = [emjax.fit(MIXTURE, X, key=key, n_init=2).log_likelihood for key in keys]
    together = [0.0] * 8

    def work(number: int) -> None:
        together[number] = emjax.fit(MIXTURE, X, key=keys[number], n_init=2).log_likelihood

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_forked_process_says_that_it_cannot_compute():
    emjax.fit(MIXTURE, X, key=KEY, n_init=2)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            try:
                emjax.fit(MIXTURE, X, key=KEY, n_init=2)
            except emjax.EmjaxError as error:
                os.write(writing, str(error).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        assert "get_context('spawn')" in pipe.read()


def test_a_process_forked_before_anything_was_computed_may_compute(monkeypatch):
    monkeypatch.setattr(scope, "_has_computed", False)
    monkeypatch.setattr(scope, "_is_fork", False)
    scope._after_fork()
    with scope.computing():
        assert jax.config.jax_enable_x64
