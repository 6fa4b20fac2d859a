"""The profile likelihood: against closed forms, and against maxima that SciPy found under the constraint."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats

import emjax
from emjax import align
from emjax.datasets.laws import normal_law
from emjax.em.many import fit_many
from emjax.uncertainty.results import IntervalStatus

RNG = np.random.default_rng(4)


def ends_of(row):
    return row.lower, row.upper


def roots(fall, estimate, low, high):
    return scipy.optimize.brentq(fall, low, estimate), scipy.optimize.brentq(fall, estimate, high)


def fit_of_counts(counts, **settings):
    """Two Poissons of different counts, each as often as it occurs: data of any size share a program."""
    x, weights = np.unique(counts, return_counts=True)
    return emjax.fit(
        emjax.Mixture(emjax.Poisson(), 2), x, weights=weights, key=0, n_init=4, accelerate="none", **settings
    )


def test_one_normal_has_students_interval_and_the_closed_form_of_its_scale():
    x = RNG.normal(3.0, 2.0, 12)
    n, s = len(x), x.std()
    found = emjax.fit(emjax.Mixture(emjax.Normal(), 1), x, key=0, tol=1e-10, n_init=1, accelerate="none").intervals(
        method="profile"
    )
    student = scipy.stats.t.interval(0.9, n - 1, x.mean(), x.std(ddof=1) / np.sqrt(n))
    assert ends_of(found["mean[0, x]"]) == pytest.approx(student, rel=1e-6)
    fall = n * np.log1p(scipy.stats.t.ppf(0.95, n - 1) ** 2 / (n - 1))
    ends = roots(lambda t: 2 * n * (np.log(t / s) + (s / t) ** 2 / 2 - 0.5) - fall, s, s / 4, 4 * s)
    assert ends_of(found["scale[0, x]"]) == pytest.approx(ends, rel=1e-6)
    assert ends_of(found["weights[0]"]) == (1.0, 1.0)


def test_counts_of_deaths_fall_as_far_as_the_level_allows_at_every_end():
    deaths = emjax.datasets.load("deaths")
    x, weights = np.unique(deaths.values, return_counts=True)
    fit = fit_of_counts(deaths.values, tol=1e-10)
    found = fit.intervals(method="profile")
    assert found.status is IntervalStatus.OK

    def log_likelihood(share, first, second):
        one, other = (scipy.stats.poisson.logpmf(x, rate) for rate in (first, second))
        return weights @ np.logaddexp(np.log(share) + one, np.log1p(-share) + other)

    def best_at(held, value):
        def lost(free):
            numbers = list(np.insert(free, held, [scipy.special.logit(value) if held == 0 else np.log(value)]))
            return -log_likelihood(scipy.special.expit(numbers[0]), *np.exp(numbers[1:]))

        own = [scipy.special.logit(fit.params.weights[0]), *np.log(fit.params.rate[:, 0])]
        options = {"xatol": 1e-9, "fatol": 1e-11, "maxiter": 4000}
        return -scipy.optimize.minimize(lost, np.delete(own, held), method="Nelder-Mead", options=options).fun

    top, rows = log_likelihood(fit.params.weights[0], *fit.params.rate[:, 0]), fit.optima[0].effective_counts
    w, rates = fit.params.weights[0], fit.params.rate[:, 0]
    # Variances were the labels known: of a binomial share, and of the mean of so many Poisson counts.
    complete = [w * (1 - w) / rows.sum(), *(rates / rows)]
    for held, name in enumerate(["weights[0]", "rate[0, x]", "rate[1, x]"]):
        row = found[name]
        n = (rows[held - 1] if held else rows.min()) * complete[held] / row.se**2
        for end in (row.lower, row.upper):
            assert 2 * (top - best_at(held, end)) == pytest.approx(
                n * np.log1p(scipy.stats.t.ppf(0.95, n - 1) ** 2 / (n - 1)), abs=1e-5
            )
    # It follows the skewness: the smaller rate may be much smaller, and the weight of it much larger.
    smaller = found["rate[0, x]"]
    assert smaller.estimate - smaller.lower > smaller.upper - smaller.estimate


@pytest.mark.slow
def test_it_is_the_same_in_any_coordinates():
    x = np.r_[RNG.poisson(2.0, 60), RNG.poisson(9.0, 40)].astype(float)
    fit = emjax.fit(emjax.Mixture(emjax.Poisson(), 2), x, key=0, tol=1e-10, n_init=4, accelerate="none")
    own = fit.intervals(method="profile")["rate[1, x]"]
    square = fit.intervals(method="profile", of=lambda params: params.rate[1, 0] ** 2)["of"]
    assert (square.lower**0.5, square.upper**0.5) == pytest.approx(ends_of(own), rel=1e-6)


def test_an_open_end_is_the_border_of_the_range_with_a_word():
    # Fifteen counts that one Poisson law explains as well: the likelihood hardly knows of a second component.
    x = np.array([2, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 7, 8, 9, 12.0])
    fit = fit_of_counts(x)
    found = fit.intervals(method="profile", level=0.99)
    assert found.status is IntervalStatus.ROUGH
    open_rows = [row for row in found.rows if row.note]
    assert open_rows
    assert all("open" in row.note and (row.lower == 0.0 or row.upper in (1.0, np.inf)) for row in open_rows)
    assert "border" in found.message


def test_a_component_that_the_data_hardly_need_makes_the_intervals_rough():
    x = np.random.default_rng(15).poisson(6.0, 80).astype(float)
    fit = fit_of_counts(x)
    assert fit.params.rate[1, 0] > 1.5 * fit.params.rate[0, 0]
    found = fit.intervals(method="profile", level=0.5)
    assert found.status is IntervalStatus.ROUGH
    assert "hardly need" in found.message
    # Two parameters go with a component, so that the likelihood falls by a chi-squared of two degrees of freedom.
    fall = scipy.stats.chi2.ppf(0.5, 2)
    assert [curve.reach**2 for curve in found.curves] == pytest.approx([fall] * 4)

    def log_likelihood(share, first, second):
        return scipy.special.logsumexp(
            scipy.stats.poisson.logpmf(x[:, None], [first, second]) + np.log([share, 1 - share]), axis=1
        ).sum()

    def best_at(rate):
        lost = lambda free: -log_likelihood(scipy.special.expit(free[0]), rate, np.exp(free[1]))  # noqa: E731
        own = [scipy.special.logit(fit.params.weights[0]), np.log(fit.params.rate[1, 0])]
        return -scipy.optimize.minimize(lost, own, method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10}).fun

    row = found["rate[0, x]"]
    closed = [end for end in (row.lower, row.upper) if end > 0 and np.isfinite(end)]
    assert closed
    assert [2 * (fit.log_likelihood - best_at(end)) for end in closed] == pytest.approx([fall] * len(closed), abs=1e-4)


@pytest.mark.slow
def test_two_normals_that_hardly_come_apart_are_held_as_often_as_is_claimed():
    """100 rows in each, 2 sd apart, 100 data sets: three standard errors below 90% are .81; else it is .70."""
    law = normal_law(weights=[0.5, 0.5], mean=[0.0, 2.0], scale=[1.0, 1.0])
    datasets = [law.sample(200, np.random.default_rng([7, i]))[0] for i in range(100)]
    held = []
    for x, fit in zip(datasets, fit_many(emjax.Mixture(emjax.Normal(), 2), datasets, keys=range(100)), strict=True):
        label = np.argsort(align.classification(fit.predict_proba(x).T[None], law.responsibilities(x).T)[0])
        found, own = fit.intervals(), {}
        for row, parameter in zip(found.rows, found.parameters, strict=True):
            place = (int(label[parameter.index[0]]), *parameter.index[1:])
            own[parameter.variable, place] = row.lower <= law.parameters[parameter.variable][place] <= row.upper
        held.append([own[each] for each in sorted(own)])
    assert np.mean(held, axis=0).min() > 0.81
