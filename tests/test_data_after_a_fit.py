"""Whatever takes data after an estimate looks at their names first, then at their number."""

import dataclasses

import jax
import numpy as np
import pytest
import scipy.special
import scipy.stats

import emjax
from emjax import samples
from emjax.em import blocks
from emjax.errors import DataError
from emjax.samples import as_samples_like

pandas = pytest.importorskip("pandas")

KEY = jax.random.key(0)
NAMES = ["eruptions", "waiting"]
MIXTURE = emjax.Mixture(emjax.Normal(), 2)
_RNG = np.random.default_rng(0)
X = np.concatenate([_RNG.normal([2.0, 55.0], 1.0, (30, 2)), _RNG.normal([5.0, 80.0], 1.0, (30, 2))])
TABLE = pandas.DataFrame(X, columns=NAMES)


@pytest.fixture(scope="module")
def fit() -> emjax.Fit:
    return emjax.fit(MIXTURE, TABLE, key=KEY, n_init=2, accelerate="none")


@pytest.fixture(scope="module")
def posterior(fit: emjax.Fit) -> emjax.Posterior:
    """A posterior that is nothing but copies of the estimate: only its methods are looked at."""
    draws = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (40, *np.shape(leaf))), fit.params)
    fields = {field.name: None for field in dataclasses.fields(emjax.Posterior)}
    return emjax.Posterior(**{**fields, "params": draws, "mixture": MIXTURE, "map_fit": fit})


def takers(fit: emjax.Fit, posterior: emjax.Posterior) -> dict:
    return {
        "score_samples": fit.score_samples,
        "predict_proba": fit.predict_proba,
        "bic": fit.bic,
        "log_predictive": posterior.log_predictive,
        "compare": lambda x: emjax.compare(fit, posterior, x),
        "fit(init)": lambda x: emjax.fit(MIXTURE, x, key=KEY, init=fit, max_iter=1),
        "fit(init list)": lambda x: emjax.fit(MIXTURE, x, key=KEY, init=[fit, fit], max_iter=1),
        "sample(init)": lambda x: emjax.sample(MIXTURE, x, key=KEY, init=fit),
    }


TAKERS = [
    "score_samples",
    "predict_proba",
    "bic",
    "log_predictive",
    "compare",
    "fit(init)",
    "fit(init list)",
    "sample(init)",
]


@pytest.mark.parametrize("name", TAKERS)
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            TABLE[["waiting", "eruptions"]],
            "in the order 'waiting', 'eruptions', .* in the order 'eruptions', 'waiting'",
        ),
        (
            TABLE.rename(columns={"waiting": "minutes"}),
            "columns 'eruptions', 'minutes', .* from 'eruptions', 'waiting'",
        ),
        (TABLE[["waiting"]], r"1 feature \('waiting'\), .* has 2 \('eruptions', 'waiting'\)"),
        (X[:, :1], r"1 feature \('x'\), .* has 2"),
        (np.column_stack([X, X[:, 0]]), r"3 features \('x0', 'x1', 'x2'\), .* has 2"),
    ],
    ids=["order", "names", "one column", "one unnamed", "three"],
)
def test_other_features_are_refused(name, x, message, fit, posterior):
    with pytest.raises(DataError, match=message) as caught:
        takers(fit, posterior)[name](x)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "x",
    [TABLE, X, X.tolist(), pandas.DataFrame(X), pandas.DataFrame(X, columns=["x0", "x1"])],
    ids=["table", "array", "lists", "unnamed table", "defaults"],
)
def test_the_same_features_pass(x, fit, posterior):
    expected = fit.score_samples(X)
    np.testing.assert_array_equal(fit.score_samples(x), expected)
    np.testing.assert_allclose(posterior.log_predictive(x), expected, rtol=1e-12)
    assert fit.bic(x) == fit.bic(X)


def test_one_datum_is_a_row(fit):
    with pytest.raises(DataError, match=r"one datum is x\[None, :\], of shape \(1, 2\)"):
        fit.score_samples(X[0])
    assert fit.score_samples(X[0][None]).shape == (1,)


def test_a_column_may_be_empty_in_rows_that_come_later(fit, posterior):
    row = np.array([[2.1, np.nan]])
    params = fit.params
    joint = np.log(params.weights) + scipy.stats.norm.logpdf(
        2.1, params.mean[:, 0], np.sqrt(params.covariance[:, 0, 0])
    )
    expected = scipy.special.logsumexp(joint)
    np.testing.assert_allclose(fit.score_samples(row), expected, rtol=1e-12)
    np.testing.assert_allclose(posterior.log_predictive(row), expected, rtol=1e-12)
    np.testing.assert_allclose(fit.predict_proba(row), [np.exp(joint - expected)], rtol=1e-10)
    # Of a row of which nothing was seen nothing is known but the weights.
    np.testing.assert_allclose(fit.predict_proba([[np.nan, np.nan]]), [params.weights], rtol=1e-12)
    slides = emjax.fit(
        emjax.Mixture(emjax.Categorical(), 2), np.eye(2)[[0, 1] * 6], key=KEY, n_init=1, accelerate="none"
    )
    assert slides.predict_proba([[1.0, None]]).shape == (1, 2)


def test_names_that_only_stand_in_another_order_count_although_they_are_defaults():
    with pytest.raises(DataError, match="in the order 'x1', 'x0'"):
        as_samples_like(pandas.DataFrame(X, columns=["x1", "x0"]), ("x0", "x1"), of="the fit")


def test_no_component_is_responsible_for_what_has_no_density(fit):
    with pytest.raises(DataError, match=r"row 1 .* has no density in any component"):
        fit.predict_proba(np.array([[2.0, 55.0], [1e200, 55.0]]))
    counts = emjax.fit(emjax.Mixture(emjax.Poisson(), 1), np.arange(20.0), key=KEY, n_init=1, accelerate="none")
    with pytest.raises(DataError, match=r"row 0 .* has no density"):
        counts.predict_proba([2.5])


@pytest.mark.usefixtures("x64")
def test_the_traceable_density_does_not_broadcast_a_column(fit):
    with pytest.raises(ValueError, match=r"x has shape \(60, 1\), expected \(n_samples, 2\)"):
        MIXTURE.log_prob(fit.params, X[:, :1])


def test_features_of_the_facade():
    from emjax.sklearn import GaussianMixture

    model = GaussianMixture(2, random_state=0).fit(TABLE)
    with pytest.raises(ValueError, match="same order"):
        model.score_samples(TABLE[["waiting", "eruptions"]])


def test_data_are_checked_framed_and_laid_out_once_by_whoever_takes_them(monkeypatch):
    calls = {"as_matrix": 0, "frame": 0, "_aligned_zeros": 0}

    def count(owner, name):
        function = getattr(owner, name)

        def counted(*arguments, **options):
            calls[name] += 1
            return function(*arguments, **options)

        monkeypatch.setattr(owner, name, counted)

    count(samples, "as_matrix")
    count(emjax.Normal, "frame")
    count(blocks, "_aligned_zeros")  # the array of a layout
    x, mixture = emjax.datasets.load("faithful"), emjax.Mixture(emjax.Normal(), n_components=2)
    fit = emjax.fit(mixture, x, key=0, n_init=2)
    fit.intervals(method="information")
    assert fit.summary().bic == fit.bic()
    assert set(calls.values()) == {1}
    posterior = emjax.sample(mixture, x, key=1, init=fit, method="laplace", chains=2, draws=200)
    assert set(calls.values()) == {2}
    emjax.compare(fit, posterior, x, loo=False)
    assert calls == {"as_matrix": 3, "frame": 2, "_aligned_zeros": 2}  # only whether they are the same is asked
