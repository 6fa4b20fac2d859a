"""Numbers out of their bounds are refused in one line, by every door they come in at."""

import math

import numpy as np
import pytest

from emjax.bounds import BOUNDS, not_negative, share, whole
from emjax.errors import ConfigError, DataError

NO_NUMBERS = (
    math.nan, math.inf, -math.inf, float("1e400"), -1, 10**400, 10**5000, -(10**5000), True, np.True_, 1.5, 2.0, "3",
    None, [1], np.zeros(2), np.float64(2.0), "a\nb" * 100,
)  # fmt: skip


def refused(function, *arguments, error=ConfigError, **options) -> str:
    with pytest.raises(error) as caught:
        function(*arguments, **options)
    message = str(caught.value)
    assert message.isprintable()
    assert 20 < len(message) < 400
    return message


@pytest.mark.parametrize("name", BOUNDS)
def test_whole_numbers_have_a_least_and_a_most(name):
    least, most = BOUNDS[name]
    assert (whole(name, least), whole(name, np.int64(most))) == (least, most)
    for value in (least - 1, most + 1, *NO_NUMBERS):
        assert refused(whole, name, value).startswith(f"{name} = ")
    assert refused(whole, name, 10**400, shown="--x").endswith(f"from {least:,} to {most:,}")


def test_real_numbers_are_finite():
    assert (not_negative("tol", 0), not_negative("tol", np.float32(0.5))) == (0.0, 0.5)
    assert share("level", 0.5) == 0.5
    for value in (math.nan, math.inf, -1e-9, 1e141, 10**400, True, "0.5", None, [0.5]):
        assert refused(not_negative, "tol", value).startswith("tol = ")
        assert refused(share, "level", value).startswith("level = ")
    assert refused(share, "level", 1.0).endswith("it must lie between 0 and 1, both exclusive")


@pytest.mark.parametrize("value", NO_NUMBERS, ids=[f"number {index}" for index in range(len(NO_NUMBERS))])
def test_every_door_refuses_them_before_anything_is_computed(value):
    import jax

    import emjax
    from emjax.datasets import simulate
    from emjax.em.many import fit_many
    from emjax.sklearn import GaussianMixture

    x, mixture = np.arange(20.0), emjax.Mixture(emjax.Normal(), 2)
    if isinstance(value, int):  # the type checker of the tests refuses the others by itself
        for name in ("n_init", "max_iter", "log_every"):
            assert refused(emjax.fit, mixture, x, key=jax.random.key(0), **{name: value}).startswith(f"{name} = ")
        assert refused(fit_many, mixture, [x], keys=[jax.random.key(0)], n_init=value).startswith("n_init = ")
        assert refused(emjax.Mixture, emjax.Normal(), value).startswith("n_components = ")
    for name in ("chains", "warmup", "draws"):
        if value is not None:  # which leaves it to the sampler
            assert refused(emjax.sample, mixture, x, key=jax.random.key(0), **{name: value}).startswith(f"{name} = ")
    law = {"weights": [0.5, 0.5], "mean": [0, 3], "scale": [1, 1]}
    refused(simulate.normal_mixture, **law, n_samples=value, seed=0, error=DataError)
    if value is not None:  # which has it drawn
        refused(simulate.normal_mixture, **law, n_samples=9, seed=value, error=DataError)
    for name in ("n_components", "n_init", "max_iter", "verbose_interval"):
        # scikit-learn takes truth values for whole numbers, and writes out the digits of what it refuses.
        if value is not True and not (isinstance(value, int) and abs(value) > 10**4000):
            with pytest.raises(ValueError, match=f"The '{name}' parameter of GaussianMixture must be"):
                GaussianMixture(**{name: value}).fit(x[:, None])


def test_too_much_is_refused_where_it_was_a_traceback():
    import jax

    import emjax

    mixture = emjax.Mixture(emjax.Normal(), 2)
    for name in ("max_iter", "n_init", "log_every"):
        assert refused(emjax.fit, mixture, np.arange(9.0), key=jax.random.key(0), **{name: 2**31}) == (
            f"{name} = 2147483648 is not allowed; give a whole number from {BOUNDS[name][0]} to {BOUNDS[name][1]:,}"
        )
