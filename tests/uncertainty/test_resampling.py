"""Bootstraps and the jackknife: closed forms of one component, exact sums over replicates, and their counts."""

import dataclasses

import jax
import numpy as np
import pytest

import emjax
from emjax.em import state
from emjax.em.refits import Refits, refit
from emjax.errors import ConfigError, DataError
from emjax.uncertainty.resampling import _aligned
from emjax.uncertainty.results import IntervalStatus

RNG = np.random.default_rng(12)
WAITS = RNG.gamma(2.0, 1.5, 90)
TWO = np.r_[RNG.poisson(2.0, 90), RNG.poisson(11.0, 60)].astype(float)
N = 1000


@pytest.fixture(scope="module")
def one():
    return emjax.fit(emjax.Mixture(emjax.Exponential(), 1), WAITS, key=0, n_init=1, accelerate="none")


@pytest.fixture(scope="module")
def two():
    return emjax.fit(emjax.Mixture(emjax.Poisson(), 2), TWO, key=0, n_init=4, tol=1e-9, accelerate="none")


def test_two_halves_far_apart_are_numbered_by_where_they_are():
    """Their weights and scales differ by chance, and would say the contrary in every twentieth replicate."""
    x = np.r_[RNG.normal(0.0, 1.0, 60), RNG.normal(4.0, 1.0, 60)]
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 2), x, key=0, n_init=4, accelerate="none")
    n, left = 400, np.array([0, 1]) if fit.params.mean[0, 0] < fit.params.mean[1, 0] else np.array([1, 0])
    weight = RNG.normal(0.5, 0.05, n)
    params = {
        "weights": np.stack([weight, 1 - weight], axis=1),
        "mean": (RNG.normal([0.0, 4.0], 0.15, (n, 2)))[:, :, None],
        "covariance": RNG.normal(1.0, 0.2, (n, 2, 1, 1)) ** 2,
    }
    shuffled = RNG.integers(0, 2, n)
    order = np.stack([shuffled, 1 - shuffled], axis=1)
    params = {name: np.stack([each[o] for each, o in zip(value, order, strict=True)]) for name, value in params.items()}
    whole = np.zeros(n, np.int64)
    refits = Refits(fit.params.replace(**params), whole + state.CONVERGED, whole > 0, whole, 1)
    aligned, ambiguous = _aligned(fit, refits)
    assert (aligned.mean[:, left[0], 0] < aligned.mean[:, left[1], 0]).all()
    assert ambiguous == 0


def test_the_jackknife_of_one_rate_is_its_sum_over_rows(one):
    n, rates = len(WAITS), (len(WAITS) - 1) / (WAITS.sum() - WAITS)
    found = one.intervals(method="jackknife")
    assert found.replicates.n_replicates == n
    expected = np.sqrt((n - 1) / n * ((rates - rates.mean()) ** 2).sum())
    assert found["rate[0, x]"].se == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_the_jackknife_of_counted_rows_is_that_of_repeated_ones():
    x, counts = np.array([0.5, 1.0, 2.5, 4.0]), np.array([9, 7, 5, 4])
    mixture = emjax.Mixture(emjax.Exponential(), 1)
    counted = emjax.fit(mixture, x, weights=counts, key=0, n_init=4, accelerate="none").intervals(method="jackknife")
    # Twenty replicates are the fewest that anything is said from.
    assert counted.status is IntervalStatus.FAILED
    assert np.isnan(counted["rate[0, x]"].se)
    x, counts = np.linspace(0.2, 5.0, 21), np.r_[np.full(20, 2), 7]
    counted, repeated = (
        emjax.fit(mixture, *data, key=0, n_init=4, accelerate="none").intervals(method="jackknife")
        for data in ((x,), (np.repeat(x, counts),))
    )
    weighted = emjax.fit(mixture, x, weights=counts, key=0, n_init=4, accelerate="none").intervals(method="jackknife")
    assert weighted["rate[0, x]"].se == pytest.approx(repeated["rate[0, x]"].se, rel=1e-4)
    assert weighted["rate[0, x]"].se != pytest.approx(counted["rate[0, x]"].se, rel=0.05)


@pytest.mark.parametrize(
    "method", ["weighted", *(pytest.param(m, marks=pytest.mark.slow) for m in ("bootstrap", "parametric"))]
)
def test_bootstraps_of_one_rate_have_the_spread_that_they_must(one, method):
    """The delta method gives it, to the order of 1/n; 1000 replicates know a standard deviation to 2.2%."""
    rate, n = 1.0 / WAITS.mean(), len(WAITS)
    of_mean = {"bootstrap": WAITS.std(), "weighted": WAITS.std() / np.sqrt(0.8137), "parametric": WAITS.mean()}[method]
    found = one.intervals(method=method, n_replicates=N)
    assert found.status is IntervalStatus.OK
    assert found.replicates.n_kept == N
    se = rate**2 * of_mean / np.sqrt(n)
    row = found["rate[0, x]"]
    assert row.se == pytest.approx(se, rel=4 * 0.022 + 3 / n)
    values = found.replicates.values[:, [one.name for one in found.parameters].index("rate[0, x]")]
    low, high = np.quantile(values, [0.05, 0.95])
    ends = (2 * row.estimate - high, 2 * row.estimate - low) if method == "weighted" else (low, high)
    assert (row.lower, row.upper) == pytest.approx(ends)


def test_each_replicate_is_the_fit_of_its_weights(two):
    found = two.intervals(method="bootstrap", n_replicates=50, key=3).replicates
    rng = np.random.default_rng(np.asarray([0, 3], np.uint32))
    n = len(TWO)
    for number in range(3):
        counts = np.bincount(rng.integers(0, n, n), minlength=n)
        fit = emjax.fit(two.mixture, TWO, weights=counts, key=0, n_init=4, accelerate="none")
        np.testing.assert_allclose(found.params.rate[number], fit.params.rate, rtol=2e-4)


def test_the_same_key_gives_the_same_and_company_changes_nothing(two):
    few, many = (two.intervals(method="weighted", n_replicates=n).replicates.values for n in (40, 300))
    np.testing.assert_array_equal(few, many[:40])
    other = two.intervals(method="weighted", n_replicates=40, key=1).replicates.values
    assert np.abs(other - few).max() > 0.01


def test_lost_components_are_counted_and_make_the_intervals_rough(monkeypatch):
    # Places for as many replicates as there are: empty ones take as long as the slowest of the others.
    monkeypatch.setattr("emjax.em.refits._LANES", 40)
    x = np.r_[RNG.normal(0.0, 1.0, 60), 9.0, 9.1, 9.3, 9.35, 9.6, 9.7]
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 2), x, key=0, n_init=4, accelerate="none")
    found = fit.intervals(method="bootstrap", n_replicates=40)
    counts = found.replicates
    assert counts.degenerate + counts.spurious + counts.failed + counts.n_kept == 40
    # A bootstrap sample has at most three different ones of six rows in a sixth of all cases.
    assert counts.degenerate + counts.spurious > 2
    assert found.status is IntervalStatus.ROUGH
    assert counts.words in found.message
    assert len(counts.values) == counts.n_kept


def test_labels_that_mean_little_are_told():
    draw = lambda seed: np.random.default_rng(seed).poisson(6.0, 80).astype(float)  # noqa: E731
    equal, apart = (emjax.fit(emjax.Mixture(emjax.Poisson(), 2), draw(seed), key=0) for seed in (5, 9))
    np.testing.assert_allclose(equal.params.rate[0], equal.params.rate[1], rtol=1e-4)
    assert equal.intervals(method="bootstrap").status is IntervalStatus.SINGULAR
    found = apart.intervals(method="bootstrap", n_replicates=100)
    assert found.status is IntervalStatus.ROUGH
    assert found.replicates.ambiguous + 100 - found.replicates.n_kept > 5


@pytest.mark.slow
def test_cells_that_are_missing_stay_so_in_simulated_data():
    rng = np.random.default_rng(5)  # of its own: what ran before decides on the draws of the other
    x = np.r_[rng.normal([0, 0], 1.0, (40, 2)), rng.normal([6, 4], 1.0, (40, 2))]
    holes = x.copy()
    holes[::2, 1] = np.nan
    mixture = emjax.Mixture(emjax.Normal("diag"), 2)
    whole, half = (
        emjax.fit(mixture, data, key=0, n_init=4, accelerate="none").intervals(method="parametric", n_replicates=300)
        for data in (x, holes)
    )
    ratio = half["mean[0, x1]"].se / whole["mean[0, x1]"].se
    assert ratio == pytest.approx(2**0.5, rel=0.25)
    assert half["mean[0, x0]"].se == pytest.approx(whole["mean[0, x0]"].se, rel=0.2)


def test_functions_of_parameters_and_the_tree(two):
    found = two.intervals(method="bootstrap", n_replicates=100, of={"gap": lambda p: p.rate[1, 0] - p.rate[0, 0]})
    rates = found.replicates.params.rate[:, :, 0]
    np.testing.assert_allclose(found.replicates.values[:, 0], rates[:, 1] - rates[:, 0])
    assert [row.name for row in found.rows] == ["gap"]
    tree = found.replicates.to_datatree()
    np.testing.assert_array_equal(tree["posterior"]["rate"].values[0, :, :, 0], rates)
    assert "not a posterior" in tree.attrs["what"]


def test_what_has_no_sense_is_said_in_a_line(two):
    with pytest.raises(ConfigError, match="n_replicates = 0"):
        two.intervals(method="bootstrap", n_replicates=0)
    with pytest.raises(ConfigError, match="n_replicates says nothing to method='auto'"):
        two.intervals(n_replicates=50)
    with pytest.raises(ConfigError, match="alpha = 0"):
        two.intervals(method="weighted", alpha=0.0)
    labelled = emjax.fit(
        two.mixture, TWO, labels=np.r_[np.zeros(10), np.full(len(TWO) - 10, np.nan)], key=0, n_init=4, accelerate="none"
    )
    with pytest.raises(DataError, match="known labels"):
        labelled.intervals(method="parametric")
    early = emjax.fit(two.mixture, TWO, key=0, n_init=4, max_iter=2, accelerate="none")
    found = early.intervals(method="bootstrap")
    assert found.status is IntervalStatus.NOT_AT_OPTIMUM
    assert np.isnan(found.rows[0].se)


def test_replicates_are_numbered_as_the_estimate_is(two, monkeypatch):
    """Components that EM left in another order are brought into the fit's."""
    from emjax.uncertainty import resampling

    def exchanged(*given, **settings):
        found = refit(*given, **settings)
        odd = np.arange(len(found.code)) % 2 == 1

        def turn(leaf):
            return np.where(odd.reshape(-1, *[1] * (leaf.ndim - 1)), leaf[:, ::-1], leaf)

        turned = jax.tree.map(turn, found.params)
        return dataclasses.replace(found, params=turned)

    monkeypatch.setattr(resampling, "refit", exchanged)
    turned = two.intervals(method="bootstrap", n_replicates=60)
    monkeypatch.undo()
    own = two.intervals(method="bootstrap", n_replicates=60)
    np.testing.assert_array_equal(turned.replicates.values, own.replicates.values)


def test_a_replicate_may_prefer_another_optimum(two):
    """Its starts are all optima that are about as high: here one that EM would not come back from."""
    equal = two.params.replace(rate=np.full((2, 1), TWO.mean()))
    lower = dataclasses.replace(two, params=equal, optima=(two.optima[0], two.optima[0]))
    found = refit(lower, [np.ones(len(TWO))], weights=True)
    assert found.n_starts == 2
    np.testing.assert_allclose(found.params.rate[0], two.params.rate, rtol=1e-3)


@pytest.mark.slow
def test_replicates_that_lose_precision_end_in_exact_arithmetic(monkeypatch):
    x = np.r_[RNG.normal(0.0, 1.0, 31), RNG.normal(6.0, 1.0, 30)]
    fit = emjax.fit(emjax.Mixture(emjax.Normal("diag"), 2), x, key=0, n_init=4, accelerate="none")
    weights = [np.ones(len(x)), np.linspace(0.5, 1.5, len(x))]
    untouched, trusted = refit(fit, weights, weights=True), state.trusted
    monkeypatch.setattr(state, "trusted", lambda m, p, data: jax.numpy.asarray(not data.natural) & trusted(m, p, data))
    # A number of places of its own, so that no program is found that was traced without the patch.
    monkeypatch.setattr("emjax.em.refits._LANES", 3)
    found = refit(fit, weights, weights=True)
    assert found.regular.all()
    np.testing.assert_allclose(found.params.mean, untouched.params.mean, rtol=1e-3)
