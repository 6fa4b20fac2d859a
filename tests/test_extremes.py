"""Numbers that float64 cannot hold, square or tell apart are refused at the door, in one line that names the column."""

import re
from decimal import Decimal
from fractions import Fraction

import jax
import numpy as np
import pytest

import emjax
from emjax.em import memory
from emjax.em.many import fit_many
from emjax.errors import DataError
from emjax.moments import Summary
from emjax.samples import as_samples

KEY = jax.random.key(0)
NORMAL = emjax.Mixture(emjax.Normal(), 2)
_RNG = np.random.default_rng(0)
X = np.concatenate([_RNG.normal(0.0, 1.0, (30, 2)), _RNG.normal(8.0, 1.0, (30, 2))])


def with_value(value: object, dtype: object = float) -> np.ndarray:
    x = X.astype(dtype)
    x[5, 1] = value
    return x


def refused(x: object, mixture: emjax.Mixture = NORMAL, **settings: object) -> str:
    with pytest.raises(DataError) as caught:
        emjax.fit(mixture, x, key=KEY, **settings)
    message = str(caught.value)
    assert "\n" not in message
    assert message in str(fit_many(mixture, [x], keys=[KEY])[0]) or settings
    with pytest.raises(DataError):
        emjax.sample(mixture, x, key=KEY)
    return message


@pytest.mark.parametrize("covariance", ["full", "diag", "spherical"])
@pytest.mark.parametrize("factor", [1e160, 1e153, 1e300])
def test_columns_whose_squares_overflow(factor: float, covariance: str):
    message = refused(X * [1.0, factor], emjax.Mixture(emjax.Normal(covariance), 2))
    assert "column 'x1'" in message
    assert "missing" not in message
    remedy = float(re.search(r"divide the column by (1e\d+)$", message).group(1))
    emjax.Normal().check(as_samples(X * [1.0, factor / remedy]))


@pytest.mark.parametrize("factor", [1e-200, 1e-160, 5e-320])
def test_columns_whose_squares_underflow(factor: float):
    message = refused(X * [factor, 1.0])
    assert "column 'x0'" in message
    remedy = float(re.search(r"multiply the column by (1e\d+)$", message).group(1))
    emjax.Normal().check(as_samples(X * [factor, 1.0] * [remedy, 1.0]))


@pytest.mark.parametrize("code", [1.797e308, -1.797e308, 9.99e307, 1e200])
def test_codes_for_missing_values(code: float):
    message = refused(with_value(code))
    assert f"column 'x1' holds {code:.4g} in row 5" in message
    assert "remove such rows if it stands for a missing value" in message


def test_a_ridge_does_not_open_the_door():
    assert "divide the column" in refused(X * 1e160, ridge=1.0)


@pytest.mark.parametrize(
    "value",
    [10**400, -(10**400), Decimal("1e500"), Fraction(10**400, 3), np.longdouble("1e4000"), 10**5000],
    ids=["int", "negative", "Decimal", "Fraction", "longdouble", "beyond text"],
)
def test_numbers_that_float64_does_not_reach(value: object):
    message = refused(with_value(value, object))
    assert "row 5 (counting from 0) of column 'x1' holds" in message
    assert "larger than float64 goes" in message
    assert len(message) < 250


def test_a_table_with_such_a_number():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": X[:, 0], "b": [10**400, *range(59)]})
    assert "column 'b'" in refused(table)


def test_long_doubles_beyond_float64():
    assert "column 'x0'" in refused(X.astype(np.longdouble) * np.longdouble("1e4000"))


@pytest.mark.parametrize(
    "column",
    [
        np.arange(60).astype(np.uint64) + np.uint64(2**63),
        np.arange(60) - 2**60,
        np.array([2**80 + i for i in range(60)], dtype=object),
        np.arange(60).astype(np.longdouble) / 7 + np.longdouble(2) ** 62,
    ],
    ids=["uint64", "int64", "object", "longdouble"],
)
def test_numbers_that_float64_does_not_tell_apart(column: np.ndarray):
    message = refused(np.column_stack([column, column])[:, :1])
    assert "float64 rounds them" in message
    assert "subtract a constant" in message


def test_large_numbers_that_float64_does_tell_apart():
    x = (np.arange(60) * 10**15).astype(np.int64) + 2**60
    np.testing.assert_array_equal(as_samples(x).values[:, 0], x.astype(float))
    assert as_samples(np.array([10**30, 2 * 10**30], dtype=object)).values.tolist() == [[1e30], [2e30]]


@pytest.mark.parametrize("factor", [1e100, 1e-100])
def test_units_within_reach_change_nothing(factor: float):
    factors = np.array([1.0, factor])
    plain, scaled = (emjax.fit(NORMAL, x, key=KEY, n_init=2, accelerate="none") for x in (X, X * factors))
    np.testing.assert_allclose(scaled.params.mean, plain.params.mean * factors, rtol=1e-6)
    covariance = plain.params.covariance * factors[:, None] * factors[None, :]
    np.testing.assert_allclose(scaled.params.covariance, covariance, rtol=1e-6)
    expected = plain.log_likelihood - len(X) * np.log(factors).sum()
    assert scaled.log_likelihood == pytest.approx(expected, rel=1e-12)
    assert scaled.score_samples(X * factors).sum() == pytest.approx(expected, rel=1e-12)


def test_default_priors_of_large_units_are_those_of_small_ones():
    plain, large = (emjax.Normal().default_prior(Summary(x), 2)["covariance"].scatter for x in (X, X * 1e120))
    np.testing.assert_allclose(large, plain * 1e240, rtol=1e-12)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mean": [[10**400, 1], [1, 1]], "scale": np.ones((2, 2))}, "mean holds a number larger"),
        ({"mean": np.ones((2, 2)), "scale": np.full((2, 2), 1e200)}, "does not fit float64"),
        ({"mean": np.ones((2, 2)), "scale": np.full((2, 2), 1e-200)}, "does not fit float64"),
        ({"mean": np.ones((2, 2)), "covariance": np.zeros((2, 2, 2))}, "positive definite"),
        ({"mean": "text", "scale": np.ones((2, 2))}, "mean must be an array of numbers"),
    ],
)
def test_parameters(values: dict, message: str):
    with pytest.raises(ValueError, match=message):
        NORMAL.params(**values)


def test_rates_and_starts():
    with pytest.raises(ValueError, match="rate holds a number larger"):
        emjax.Poisson().params(rate=[10**400])
    with pytest.raises(ValueError, match="init holds a number larger"):
        emjax.fit(NORMAL, X, key=KEY, init=[[10**400, 1], [1, 1]])
    for init in (
        [[1e200, 1.0], [1.0, 1.0]],
        NORMAL.params(weights=[0.5, 0.5], mean=[[1e200, 0], [0, 0]], scale=X[:2] ** 0),
    ):
        with pytest.raises(ValueError, match=r"init holds 1e\+200, whose square float64 cannot hold"):
            emjax.fit(NORMAL, X, key=KEY, init=init)


def test_parameters_are_checked_in_float64():
    # In float32 a variance of 1e50 is infinite, one of 1e-50 zero, and this correlation one.
    correlation = 1.0 - 1e-12
    for scale in (1e25, 1e-25):
        matrices = scale**2 * np.array([[[1.0, correlation], [correlation, 1.0]]] * 2)
        params = NORMAL.params(weights=[0.5, 0.5], mean=np.zeros((2, 2)), covariance=matrices)
        np.testing.assert_array_equal(params.covariance, matrices)
    with pytest.raises(ValueError, match="must be positive definite"):
        NORMAL.params(weights=[0.5, 0.5], mean=np.zeros((2, 2)), covariance=np.ones((2, 2, 2)))


def test_memory_is_estimated_before_it_is_taken(monkeypatch):
    x = np.random.default_rng(1).normal(size=(1050, 1000))
    monkeypatch.setattr(memory, "memory_limit", lambda: 12e9)
    with pytest.raises(
        DataError, match=r"1000 features: 20 starts of 2 .* full covariances .* about \d+ GB, .* 12 GB"
    ) as e:
        emjax.fit(NORMAL, x, key=KEY)
    assert str(e.value).endswith("use fewer features or covariance='diag' or fewer starts (n_init=1)")
    monkeypatch.setattr(memory, "memory_limit", lambda: 1e9)
    with pytest.raises(DataError, match=r"the posterior's modes of 2 components .* full"):
        emjax.sample(NORMAL, x[:, :200], key=KEY)
    # The same features are no trouble where a component has a variance for each.
    memory.check_memory(emjax.Mixture(emjax.Normal("diag"), 2), (2100, 2000), 20)
    memory.check_memory(NORMAL, (2100, 60), 20)
    with pytest.raises(DataError):  # ... and few are none, but where each row has a conditional law of its own
        memory.check_memory(NORMAL, (2100, 64), 20, holes=True)


@pytest.mark.parametrize(
    ("family", "n_components", "shape", "n_starts", "remedy"),
    [
        (emjax.Poisson(), 50_000, (100_000, 1), 20, "fewer starts (n_init=1)"),
        (emjax.Poisson(), 100_000, (2_000_000, 1), 1, "fewer components"),
        (emjax.Normal("diag"), 2, (100, 3), 1_000_000, "fewer features or fewer starts (n_init=1)"),
        (emjax.Poisson(), 2, (1_000_000_000, 1), 1, "fewer rows"),
    ],
)
def test_too_much_is_refused_with_what_helps(family, n_components, shape, n_starts, remedy, monkeypatch):
    monkeypatch.setattr(memory, "memory_limit", lambda: 1e9)
    with pytest.raises(DataError) as error:
        memory.check_memory(emjax.Mixture(family, n_components), shape, n_starts)
    assert str(error.value).endswith(f"use {remedy}")


def test_too_many_draws_are_refused_before_anything_is_fitted(monkeypatch):
    monkeypatch.setattr(memory, "memory_limit", lambda: 1e9)
    with pytest.raises(DataError, match=r"^8 chains of 1,000,000 draws of 11 parameters .* 14 GB.*fewer draws or"):
        emjax.sample(NORMAL, X, key=KEY, draws=1_000_000)


def test_a_limit_of_the_process_counts(monkeypatch):
    resource = pytest.importorskip("resource")
    free = memory.memory_limit()
    used = int(memory.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    monkeypatch.setattr(resource, "getrlimit", lambda which: (used + 2**28, -1))
    assert memory.memory_limit() < min(free, 2**29)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, -1))
    assert memory.memory_limit() == free


def test_the_limit_is_what_the_machine_has():
    assert 1e8 < memory.memory_limit() < float("inf")
