"""Standard errors from the observed information: closed forms, a numerical oracle, published figures, and statuses."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy import stats

import emjax
from emjax import Mixture, Normal, Poisson, Status
from emjax.samples import as_samples
from emjax.uncertainty import intervals
from emjax.uncertainty.results import IntervalStatus

KEY = jax.random.key(0)


def table(found):
    return {row.name: row for row in found.rows}


@pytest.fixture(scope="module")
def deaths():
    return emjax.fit(
        Mixture(Poisson(), 2), emjax.datasets.load("deaths"), key=KEY, tol=1e-9, n_init=4, accelerate="none"
    )


@pytest.fixture(scope="module")
def pairs():
    """Two overlapping normals in two dimensions, drawn with NumPy."""
    rng = np.random.default_rng(3)
    first = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.4], [0.4, 1.0]], size=90)
    second = rng.multivariate_normal([3.0, 1.0], [[0.6, -0.2], [-0.2, 1.5]], size=60)
    return np.concatenate([first, second])


@pytest.fixture(scope="module")
def pairs_fit(pairs):
    return emjax.fit(Mixture(Normal("full"), 2), pairs, key=KEY, tol=1e-8, n_init=4, accelerate="none")


def test_published_standard_errors_of_the_death_notices(deaths):
    rows = table(deaths.intervals(method="information"))
    published = {"weights[0]": 0.19468, "rate[0, deaths]": 0.35003, "rate[1, deaths]": 0.25048}
    for name, value in published.items():
        assert rows[name].se == pytest.approx(value, abs=1e-4), name
    assert rows["weights[1]"].se == pytest.approx(rows["weights[0]"].se, rel=1e-9)


@pytest.mark.parametrize("covariance", ["full", pytest.param("diag", marks=pytest.mark.slow)])
def test_one_normal_has_its_textbook_standard_errors(covariance):
    x = np.random.default_rng(1).normal(size=(50, 2)) @ [[1.0, 0.7], [0.0, 30.0]] + [1e3, -5.0]
    fit = emjax.fit(Mixture(Normal(covariance), 1), x, key=KEY, n_init=1, accelerate="none")
    found = fit.intervals(level=0.95, method="information")
    rows, s, n = table(found), x.std(axis=0), len(x)
    for j, feature in enumerate(fit.feature_names):
        mean, scale = rows[f"mean[0, {feature}]"], rows[f"scale[0, {feature}]"]
        assert mean.se == pytest.approx(s[j] / np.sqrt(n), rel=1e-8)
        assert scale.se == pytest.approx(s[j] / np.sqrt(2 * n), rel=1e-8)
        reach = stats.norm.ppf(0.975)
        assert (mean.lower, mean.upper) == pytest.approx(
            (mean.estimate - reach * mean.se, mean.estimate + reach * mean.se)
        )
        ratio = np.exp(reach * scale.se / scale.estimate)
        assert (scale.lower, scale.upper) == pytest.approx((scale.estimate / ratio, scale.estimate * ratio))
    weight = rows["weights[0]"]
    assert (weight.estimate, weight.se, weight.lower, weight.upper) == (1.0, 0.0, 1.0, 1.0)
    if covariance == "full":
        rho = np.corrcoef(x.T)[0, 1]
        row = rows["correlation[0, x0, x1]"]
        assert row.estimate == pytest.approx(rho, rel=1e-9)
        assert row.se == pytest.approx((1 - rho**2) / np.sqrt(n), rel=1e-8)


def log_likelihood_by_scipy(theta, x):
    """Two bivariate normals, parameters as they are printed: nothing of the library."""
    weight, mean, scale, rho = theta[0], theta[1:5].reshape(2, 2), theta[5:9].reshape(2, 2), theta[9:11]
    density = 0.0
    for k, share in enumerate((weight, 1.0 - weight)):
        off = rho[k] * scale[k].prod()
        covariance = [[scale[k, 0] ** 2, off], [off, scale[k, 1] ** 2]]
        density = density + share * stats.multivariate_normal(mean[k], covariance).pdf(x)
    return np.log(density).sum()


def numerical_hessian(function, theta, step):
    """Central differences of fourth order in each direction, by the outer product of first differences."""
    size = len(theta)
    points, factors = np.array([-2, -1, 1, 2]), np.array([1, -8, 8, -1]) / 12.0
    hessian = np.empty((size, size))
    units = np.diag(step)
    for i in range(size):
        for j in range(i + 1):
            total = sum(
                a * b * function(theta + p * units[i] + q * units[j])
                for p, a in zip(points, factors, strict=True)
                for q, b in zip(points, factors, strict=True)
            )
            hessian[i, j] = hessian[j, i] = total / (step[i] * step[j])
    return hessian


def test_numerical_second_derivatives_of_an_independent_density_agree(pairs, pairs_fit):
    found = pairs_fit.intervals(method="information")
    names = [row.name for row in found.rows]
    free = [i for i, name in enumerate(names) if name != "weights[1]"]
    theta = np.array([found.rows[i].estimate for i in free])
    se = np.array([found.rows[i].se for i in free])
    assert len(theta) == 11
    assert log_likelihood_by_scipy(theta, pairs) == pytest.approx(pairs_fit.log_likelihood, abs=1e-9)
    hessian = numerical_hessian(lambda t: log_likelihood_by_scipy(t, pairs), theta, 0.02 * se)
    expected = np.linalg.inv(-hessian)
    np.testing.assert_allclose(se, np.sqrt(np.diag(expected)), rtol=1e-4)
    scale = np.outer(se, se)
    np.testing.assert_allclose(found.covariance[np.ix_(free, free)] / scale, expected / scale, atol=1e-4)


def test_intervals_contain_the_estimate_and_stay_in_their_range(deaths, pairs_fit):
    for fit in (deaths, pairs_fit):
        for level in (0.5, 0.9, 0.999999):
            for row in fit.intervals(level=level, method="information").rows:
                assert row.lower < row.estimate < row.upper
                if row.name.startswith("weights"):
                    assert row.scale == "logit"
                    assert row.lower > 0
                    assert row.upper < 1
                elif row.name.startswith("correlation"):
                    assert row.scale == "atanh"
                    assert row.lower > -1
                    assert row.upper < 1
                elif row.name.startswith(("rate", "scale")):
                    assert row.scale == "log"
                    assert row.lower > 0
                else:
                    assert row.scale == "identity"


def test_ends_are_symmetric_on_the_named_scale(deaths):
    row = deaths.intervals(level=0.8, method="information")["weights[0]"]
    reach = stats.norm.ppf(0.9) * row.se / (row.estimate * (1 - row.estimate))
    logit = np.log(row.estimate / (1 - row.estimate))
    expected = 1 / (1 + np.exp(-(logit + np.array([-1, 1]) * reach)))
    assert (row.lower, row.upper) == pytest.approx(tuple(expected), rel=1e-12)


def test_a_higher_level_widens_intervals_and_leaves_standard_errors(deaths):
    narrow, wide = deaths.intervals(level=0.5, method="information"), deaths.intervals(level=0.99, method="information")
    assert narrow.level == 0.5
    for one, other in zip(narrow.rows, wide.rows, strict=True):
        assert one.se == other.se
        assert other.lower < one.lower
        assert other.upper > one.upper


@pytest.mark.parametrize("covariance", ["full", pytest.param("spherical", marks=pytest.mark.slow)])
def test_exchanging_components_exchanges_rows(covariance, pairs, pairs_fit):
    fit = pairs_fit
    if covariance != "full":
        fit = emjax.fit(Mixture(Normal(covariance), 2), pairs, key=KEY, n_init=4, accelerate="none")
    swapped = dataclasses.replace(fit, params=fit.mixture.permute(fit.params, np.array([1, 0])))
    rows, others = table(fit.intervals(method="information")), table(swapped.intervals(method="information"))
    assert set(rows) == set(others)
    for name, row in rows.items():
        variable, inside = name.split("[", 1)
        other = others[f"{variable}[{1 - int(inside[0])}{inside[1:]}"]
        assert (other.estimate, other.se, other.lower, other.upper) == pytest.approx(
            (row.estimate, row.se, row.lower, row.upper), rel=1e-7
        )


def test_units_and_origin_of_the_data_carry_over(pairs, pairs_fit):
    units, origin = np.array([1e3, 1e-4]), np.array([-7e4, 2.0])
    moved = dataclasses.replace(
        pairs_fit,
        samples=as_samples(pairs * units + origin),
        params=pairs_fit.mixture.params(
            weights=pairs_fit.params.weights,
            mean=pairs_fit.params.mean * units + origin,
            covariance=pairs_fit.params.covariance * np.outer(units, units),
        ),
    )
    factor = {"x0": units[0], "x1": units[1]}
    for row, other in zip(
        pairs_fit.intervals(method="information").rows, moved.intervals(method="information").rows, strict=True
    ):
        feature = row.name[:-1].split(", ")[-1] if row.name.startswith(("mean", "scale")) else ""
        assert other.se == pytest.approx(row.se * factor.get(feature, 1.0), rel=1e-6), row.name


def moved(fit, by):
    """The fit with one mean moved by so many of its standard errors, the others kept."""
    mean = fit.params.mean.copy()
    mean[0, 0] += by * fit.intervals(method="information")["mean[0, x0]"].se
    return dataclasses.replace(fit, params=fit.params.replace(mean=mean))


@pytest.mark.parametrize("by", [0.05, 0.5])
def test_away_from_the_optimum_there_are_no_standard_errors(by, pairs_fit):
    found = moved(pairs_fit, by).intervals(method="information")
    assert found.status is IntervalStatus.NOT_AT_OPTIMUM
    assert "did not end in a regular optimum" in found.status.message
    for row in found.rows:
        assert np.isfinite(row.estimate)
        assert np.isnan([row.se, row.lower, row.upper]).all()
    assert np.isnan(found.covariance).all()


def test_at_the_optimum_standard_errors_do_not_ask_what_made_em_stop(pairs_fit):
    expected = [row.se for row in pairs_fit.intervals(method="information").rows]
    stopped = dataclasses.replace(pairs_fit, status=Status.MAX_ITER)
    assert [row.se for row in stopped.intervals(method="information").rows] == expected
    near = moved(pairs_fit, 0.001).intervals(method="information")
    assert near.status is IntervalStatus.OK
    np.testing.assert_allclose([row.se for row in near.rows], expected, rtol=0.01)


def test_em_that_was_stopped_early_has_no_standard_errors(pairs, pairs_fit):
    early = emjax.fit(pairs_fit.mixture, pairs, key=KEY, max_iter=2, tol=0.0, n_init=4, accelerate="none")
    assert early.intervals(method="information").status in (IntervalStatus.NOT_AT_OPTIMUM, IntervalStatus.SINGULAR)


def test_a_component_that_stands_twice_is_singular_not_precise(deaths):
    # Two equal components: how their weight is shared out does not matter to the likelihood.
    x = np.random.default_rng(5).poisson(3.0, size=deaths.n_samples).astype(float)
    params = deaths.mixture.params(weights=[0.5, 0.5], rate=[x.mean(), x.mean()])
    twice = dataclasses.replace(deaths, params=params, samples=as_samples(x))
    found = twice.intervals(method="information")
    assert found.status is IntervalStatus.SINGULAR
    assert "not positive definite" in found.status.message
    assert np.isnan([row.se for row in found.rows]).all()


def test_a_saddle_is_singular(deaths):
    # Far from the optimum the information has a negative eigenvalue; a status that claims convergence does not help.
    params = deaths.mixture.params(weights=[0.5, 0.5], rate=[0.05, 15.0])
    assert dataclasses.replace(deaths, params=params).intervals(method="information").status is IntervalStatus.SINGULAR


def test_a_prior_adds_to_the_information(deaths):
    x = deaths.data
    fit = emjax.fit(Mixture(Poisson(), 1, prior="default"), x, key=KEY, n_init=1, accelerate="none")
    row = fit.intervals(method="information")["rate[0, x]"]
    # Gamma(2, 2 / mean): the information of log(rate) is (events + n rate + the prior's own) by hand.
    inverse_scale = 2.0 / x.mean()
    rate = (x.sum() + 1.0) / (len(x) + inverse_scale)
    assert row.estimate == pytest.approx(rate, rel=1e-10)
    assert row.se == pytest.approx(np.sqrt(rate / (len(x) + inverse_scale)), rel=1e-10)
    without = emjax.fit(Mixture(Poisson(), 1), x, key=KEY, n_init=1, accelerate="none").intervals(method="information")[
        "rate[0, x]"
    ]
    assert without.se == pytest.approx(np.sqrt(x.mean() / len(x)), rel=1e-10)
    assert row.se < without.se


def test_bounds_on_level_and_method(deaths):
    for level in (0.0, 1.0, -0.1, 90.0, float("nan")):
        with pytest.raises(ValueError, match="must lie between 0 and 1"):
            deaths.intervals(level=level, method="information")
    with pytest.raises(ValueError, match="'information'"):
        deaths.intervals(method="informaton")


def test_rows_are_found_by_name_and_the_method_says_what_the_function_says(deaths):
    found = deaths.intervals(level=0.9, method="information")
    assert found["rate[1, deaths]"].name == "rate[1, deaths]"
    with pytest.raises(KeyError, match=r"rate\[1, deaths\]"):
        found["rate[2, deaths]"]
    assert found.rows == intervals(deaths, level=0.9, method="information").rows
    assert found.method == "information"
    assert "unconstrained" in found.space
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), [row.se for row in found.rows], rtol=1e-12)


def test_intervals_print_as_a_table():
    fit = emjax.fit(
        Mixture(Poisson(), 1),
        np.repeat([1.0, 2.0, 4.0], [20, 30, 10]),
        key=jax.random.key(0),
        n_init=1,
        accelerate="none",
    )
    head, *lines = str(fit.intervals(level=0.9, method="information")).splitlines()
    assert "90%, ok" in head
    assert [line.split()[0] for line in lines] == ["weights[0]", "rate[0,"]
    assert float(lines[1].split()[2]) == pytest.approx(2.0)
    assert "covariance" not in repr(fit.intervals(method="information"))
