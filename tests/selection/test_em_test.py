"""The EM-test: its maxima by another optimiser, its limits, and its size."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2, norm, poisson

import emjax
from emjax.families.homogeneity import SHARES, kernel_of
from emjax.selection import em_test
from emjax.selection.homogeneity import _from_share, _moved, statistics

ACIDITY = np.asarray(emjax.datasets.load("acidity"))


def test_the_penalised_maximum_is_that_of_another_optimiser():
    x = np.random.default_rng(1).normal(size=60)
    variance = x.var()

    def negative(free, share):
        mean, scale = free[:2], np.exp(free[2:])
        density = share * norm.pdf(x, mean[0], scale[0]) + (1 - share) * norm.pdf(x, mean[1], scale[1])
        value = np.log(density + 1e-300).sum()
        ratio = variance / scale**2
        return -(value - 0.25 * (ratio - np.log(ratio) - 1.0).sum() + math.log(1.0 - abs(1.0 - 2.0 * share)))

    rng = np.random.default_rng(2)
    kernel = kernel_of(emjax.Normal())
    begin = [np.concatenate([rng.choice(x, 2), rng.normal(-0.3, 0.4, 2)]) for _ in range(12)]
    for share in SHARES[:2]:
        best = max(-minimize(negative, each, (share,), method="BFGS").fun for each in begin)
        reached, _ = _from_share(kernel, x[None], x.var()[None], share)
        # Two more iterations move the share, and never down.
        assert reached[0] >= best - 1e-4
        assert reached[0] <= best + 2.0


def test_a_share_moves_to_the_maximum_of_its_part():
    mass = np.array([[12.0, 48.0], [40.0, 20.0], [30.5, 29.5]])
    grid = np.linspace(0.001, 0.999, 99_801)
    for (first, second), found in zip(mass, _moved(mass, 0.54), strict=True):
        value = first * np.log(grid) + second * np.log1p(-grid) + 0.54 * np.log1p(-np.abs(1 - 2 * grid))
        assert found == pytest.approx(grid[value.argmax()], abs=2e-5)


def test_limits():
    counts, one, two = (kernel_of(family) for family in (emjax.Poisson(), emjax.Normal("tied"), emjax.Normal()))
    assert two.tail(5.991464547107979) == pytest.approx(0.05)
    assert counts.tail(chi2.ppf(0.9, 1)) == pytest.approx(0.05)
    assert counts.tail(0.0) == 1.0
    # F(x - Delta) {0.5 + 0.5 F(x)} with Delta = 2 log 0.6.
    below = chi2.cdf(3.0 - 2 * math.log(0.6), 1) * (0.5 + 0.5 * chi2.cdf(3.0, 1))
    assert one.tail(3.0) == pytest.approx(1.0 - below)
    assert 0.0 < one.tail(200.0) < 1e-40


def test_two_groups_are_found_and_one_is_not():
    found = em_test(ACIDITY)
    assert found.p_value < 1e-10
    assert found.statistic > 60
    assert str(found).endswith("(chi-square of 2)")
    # A limit is none of ten rows.
    assert "many rows: take bootstrap_test for 10)" in str(dataclasses.replace(found, n_samples=10))
    assert repr(found).startswith("EMTest(family=")
    assert em_test(ACIDITY, emjax.Normal("tied")).p_value < 1e-10
    rng = np.random.default_rng(0)
    assert em_test(rng.poisson(4.0, 200), "poisson").p_value > 0.01
    counts = np.concatenate([rng.poisson(2.0, 60), rng.poisson(9.0, 60)])
    assert em_test(counts, "poisson").p_value < 1e-6
    assert em_test(rng.exponential(size=100), "exponential").p_value > 0.01


def test_the_null_is_the_best_of_a_single_component():
    # Data that look like one component more than any two: the gain is that of the penalties' maximum, or nothing.
    x = poisson.ppf((np.arange(100) + 0.5) / 100, 6.0)
    assert em_test(x, "poisson").statistic == pytest.approx(0.0, abs=1e-4)
    assert em_test(x, "poisson").p_value > 0.4


def test_refusals():
    with pytest.raises(emjax.DataError, match="2 features"):
        em_test(np.ones((5, 2)) * np.arange(5)[:, None])
    with pytest.raises(emjax.ConfigError, match="no EM-test with a known limit: use bootstrap_test"):
        em_test(ACIDITY, "gamma")
    with pytest.raises(emjax.ConfigError, match="did you mean 'normal'"):
        em_test(ACIDITY, "normall")
    with pytest.raises(emjax.DataError, match="must hold counts"):
        em_test(ACIDITY, "poisson")


@pytest.mark.slow
@pytest.mark.parametrize("n", [200, 500])
@pytest.mark.parametrize("family", ["normal", "normal tied", "poisson", "exponential"])
def test_size(family, n):
    """Of 1000 samples of one component a twentieth is refused, within .01 and three standard errors of .007."""
    rng = np.random.default_rng(7)
    draw = {
        "normal": lambda size: rng.normal(size=size),
        "normal tied": lambda size: rng.normal(size=size),
        "poisson": lambda size: rng.poisson(5.0, size).astype(float),
        "exponential": lambda size: rng.exponential(size=size),
    }[family]
    name, _, structure = family.partition(" ")
    kernel = kernel_of(emjax.families.FAMILIES[name](*([structure] if structure else [])))
    values = np.concatenate([kernel.tail(statistics(kernel, draw((200, n)))[0]) for _ in range(5)])
    assert abs((values < 0.05).mean() - 0.05) < 0.01 + 3 * 0.0069
