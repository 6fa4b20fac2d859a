"""One pass over the data: the natural form against the family's own, blocks against one, rounding, several devices."""

import subprocess
import sys

import jax
import numpy as np
import pytest

import emjax
from emjax.em import blocks
from emjax.em.blocks import make_blocks
from emjax.em.step import expectation, maximization, rounding, trusted
from emjax.families.observations import observed
from emjax.families.patterns import grouped
from tests.contracts.table import ROWS, Row, has_two_features_elsewhere, is_alike, walk

KEY = jax.random.key(0)


def both_forms(mixture, params, x):
    """The statistics in the natural form and in the family's own, as NumPy arrays."""
    compiled = jax.jit(expectation, static_argnums=0)
    return (
        jax.tree.map(np.asarray, compiled(mixture, params, make_blocks(x, mixture, exact=exact)))
        for exact in (False, True)
    )


@walk(ROWS, by_name=lambda row: is_alike(row) or has_two_features_elsewhere(row))
def test_both_forms_are_the_same_expectation(row: Row):
    x, params, mixture = row.data(5), row.params(5), row.mixture()
    with jax.enable_x64(True):
        natural, exact = both_forms(mixture, params, x)
        base = np.asarray(row.family.log_base_measure(observed(x))).sum()
    joint = np.log(params.weights)[:, None] + row.log_densities(params, x)
    total = np.logaddexp.reduce(joint, axis=0)
    responsibilities = np.exp(joint - total)
    for statistics in (natural, exact):
        np.testing.assert_allclose(statistics.log_likelihood + base, total.sum(), rtol=1e-12)
        np.testing.assert_allclose(statistics.counts, responsibilities.sum(axis=1), rtol=1e-10)
    for a, b in zip(jax.tree.leaves(natural), jax.tree.leaves(exact), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("covariance", "prior"),
    [("full", "default")]
    + [pytest.param(name, None, marks=pytest.mark.slow) for name in ("tied", "diag", "spherical")],
)
def test_many_blocks_equal_one(covariance: str, prior: str | None, monkeypatch):
    mixture = emjax.Mixture(emjax.Normal(covariance=covariance), 2, prior)
    # 1300 rows make one block by default, and three where a block holds 512; both are filled up.
    rng = np.random.default_rng(8)
    x = np.concatenate([rng.normal(size=(700, 2)), rng.normal([4.0, 1.0], [1.0, 2.0], size=(600, 2))])
    init = mixture.params(mean=[[0.5, 0.0], [3.0, 1.0]], covariance=_covariance(covariance))
    shapes, fits = [], []
    for largest in (4096, 512):
        monkeypatch.setattr(blocks, "_LARGEST_BLOCK", largest)
        shapes.append(make_blocks(x, mixture).x.shape)
        fits.append(emjax.fit(mixture, x, key=KEY, init=init, max_iter=20, tol=0.0))
    assert shapes == [(1, 2, 1344), (3, 2, 448)]
    one, many = fits
    # Sums over 1300 numbers in another order: a few units in the last place.
    np.testing.assert_allclose(many.trace, one.trace, rtol=1e-12)
    for a, b in zip(jax.tree.leaves(many.params), jax.tree.leaves(one.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


def _covariance(name: str) -> np.ndarray:
    return {"full": np.array([np.eye(2)] * 2), "tied": np.eye(2), "diag": np.ones((2, 2)), "spherical": np.ones(2)}[
        name
    ]


def test_blocks_hold_every_row_once():
    mixture = emjax.Mixture(emjax.Normal(), 3)
    x = np.arange(3 * 10_001.0).reshape(10_001, 3)
    data = make_blocks(x, mixture)
    assert data.x.shape[0] > 1
    rows = np.asarray(data.x).swapaxes(1, 2).reshape(-1, 3)
    np.testing.assert_array_equal(rows[np.asarray(data.weights).reshape(-1) == 1], x)
    assert data.weights.sum() == 10_001


@pytest.mark.parametrize("family", [emjax.Normal(), emjax.StudentT("tied", df=4.0)])
def test_rows_with_the_same_cells_missing_share_what_depends_on_these(family):
    rng, mixture = np.random.default_rng(3), emjax.Mixture(family, 2)
    x = np.where(rng.random((300, 3)) < 0.3, np.nan, rng.normal(size=(300, 3)))
    x[:5] = np.nan
    weights = rng.integers(0, 4, 300).astype(float)
    params = mixture.params(mean=rng.normal(size=(2, 3)), scale=np.ones((2, 3)))
    with jax.enable_x64(True):
        together, apart = (make_blocks(x, mixture, row_weights=weights, spread=spread) for spread in (True, False))
        found, expected = (jax.jit(expectation, static_argnums=0)(mixture, params, each) for each in (together, apart))
    n_alike = together.rows.n_alike
    assert n_alike >= 8
    assert apart.rows.n_alike == 1
    groups = together.rows.seen.reshape(len(together.x), 3, -1, n_alike)
    assert (groups == groups[..., :1]).all()
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("n_features", "largest", "n_alike", "most"), [(4, 4096, 128, 1.5), (4, 16, 16, 1.1), (30, 4096, 1, 1)]
)
def test_groups_hold_every_row_once_and_are_as_large_as_pays(n_features, largest, n_alike, most):
    holes = np.random.default_rng(4).random((5000, n_features)) < 0.3
    found = grouped(holes, largest)
    assert found.n_alike == n_alike
    np.testing.assert_array_equal(np.sort(found.order[found.first]), np.arange(5000))
    groups = holes[found.order].reshape(-1, n_alike, n_features)
    assert (groups == groups[:, :1]).all()
    assert len(found.order) <= most * 5000


@pytest.mark.parametrize(
    ("n_components", "n_features", "covariance", "n_starts"),
    [(2, 1, "full", 1), (3, 2, "full", 1), (16, 16, "diag", 1), (32, 64, "full", 1), (5, 2, "full", 32)],
)
def test_a_block_fits_the_cache_or_is_as_small_as_it_may_be(n_components, n_features, covariance, n_starts):
    mixture = emjax.Mixture(emjax.Normal(covariance=covariance), n_components)
    size = blocks.block_size(mixture, n_features, 8, n_starts)
    products = n_features if covariance == "diag" else n_features * (n_features + 1) // 2
    used = 8 * size * (1 + n_features + products + 2 * n_components * n_starts)
    assert used <= 1 << 20 or size == 128
    assert 2 * used > 1 << 20 or size == 4096


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1.0), (3.0, 1e-1), (3.0, 1e-3)])
def test_rounding_bounds_the_error_of_the_natural_form(covariance: str, offset: float, scale: float):
    mixture = emjax.Mixture(emjax.Normal(covariance=covariance), 1)
    x = offset + scale * np.random.default_rng(3).normal(size=(200, 3))
    matrix = scale**2 * np.array([[1.0, 0.8, 0.0], [0.8, 1.0, 0.3], [0.0, 0.3, 1.0]])
    dispersion = {"full": matrix[None], "tied": matrix, "diag": np.diag(matrix)[None], "spherical": matrix[0, :1]}
    params = mixture.params(mean=np.full((1, 3), offset + 0.1 * scale), covariance=dispersion[covariance])
    with jax.enable_x64(True):
        natural, exact = both_forms(mixture, params, x)
        expected = float(rounding(mixture, params, make_blocks(x, mixture)))
        step = jax.jit(maximization, static_argnums=0)
        scales = [np.asarray(step(mixture, params, form, None).scale) for form in (natural, exact)]
    assert abs(natural.log_likelihood - exact.log_likelihood) / 200 <= expected
    np.testing.assert_allclose(scales[0], scales[1], rtol=4 * expected)


@pytest.mark.parametrize(
    ("dtype", "scale", "good"), [("float64", 1e-3, True), ("float32", 0.5, True), ("float32", 1e-3, False)]
)
def test_narrow_components_are_not_trusted_in_float32(dtype: str, scale: float, good: bool):
    mixture = emjax.Mixture(emjax.Normal(), 2)
    params = mixture.params(mean=[[-1.0, 0.0], [1.0, 1.0]], scale=[[scale, scale], [0.5, 0.5]])
    with jax.enable_x64(dtype == "float64"):
        params = jax.tree.map(lambda leaf: leaf.astype(dtype), params)
        z = np.zeros((8, 2), dtype)
        assert bool(trusted(mixture, params, make_blocks(z, mixture))) is good
        assert bool(trusted(mixture, params, make_blocks(z, mixture, exact=True)))


def test_float32_loses_nothing_over_many_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "_LARGEST_BLOCK", 128)
    mixture = emjax.Mixture(emjax.Poisson(), 1)
    x = np.full((60_000, 1), np.float32(1.1), dtype=float)  # one number again and again: its roundings do not cancel
    params = mixture.params(rate=[3.0])
    totals = {}
    for dtype in ("float64", "float32"):
        with jax.enable_x64(dtype == "float64"):
            data = make_blocks(x.astype(dtype), mixture)
            cast = jax.tree.map(lambda leaf, dtype=dtype: leaf.astype(dtype), params)
            totals[dtype] = np.asarray(jax.jit(expectation, static_argnums=0)(mixture, cast, data).components)[0, 1]
    assert data.x.shape[0] > 400
    # One addition after the other would lose many roundings of the total.
    np.testing.assert_allclose(totals["float32"], totals["float64"], rtol=np.finfo(np.float32).eps)


def test_the_device_takes_the_blocks_as_they_are():
    data = make_blocks(np.random.default_rng(2).normal(size=(20_000, 3)), emjax.Mixture(emjax.Normal(), 2))
    with jax.enable_x64(True):
        assert jax.device_put(data.x).unsafe_buffer_pointer() == data.x.ctypes.data


_OF_TWO_CLUSTERS = """
import jax, numpy as np
import emjax
from emjax.em.blocks import make_blocks
rng = np.random.default_rng(0)
x = np.concatenate([rng.normal(size=(30_001, 1)), rng.normal(3.0, 1.0, size=(20_000, 1))])
mixture = emjax.Mixture(emjax.Normal(), 2)
init = mixture.params(mean=[0.5, 2.0], scale=[1.0, 1.0])
fit = emjax.fit(mixture, x, key=jax.random.key(0), init=init, max_iter=5, tol=0.0)
with jax.enable_x64(True):
    print(make_blocks(x, mixture).mesh is not None, repr(fit.log_likelihood), *fit.params.mean.ravel())
"""
_ON_TWO_DEVICES = 'import jax\njax.config.update("jax_num_cpu_devices", 2)\n' + _OF_TWO_CLUSTERS


def test_two_devices_share_the_data(capsys):
    exec(_OF_TWO_CLUSTERS, {})
    other = subprocess.run([sys.executable, "-c", _ON_TWO_DEVICES], capture_output=True, text=True, check=True)
    lines = [printed.split() for printed in (capsys.readouterr().out, other.stdout)]
    assert [line[0] for line in lines] == ["False", "True"]
    one, two = (np.array(line[1:], float) for line in lines)
    np.testing.assert_allclose(two, one, rtol=1e-12)
