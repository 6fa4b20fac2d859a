"""Starts: drawn ones, and every form of a given one."""

import jax
import numpy as np
import pytest

import emjax

KEY = jax.random.key(0)
NORMAL = emjax.Mixture(emjax.Normal(), 2)
DIAG = emjax.Mixture(emjax.Normal(covariance="diag"), 2)


@pytest.fixture(scope="module")
def faithful() -> np.ndarray:
    return np.asarray(emjax.datasets.load("faithful"))


def one_step(mixture: emjax.Mixture, x: np.ndarray, init: object) -> emjax.Fit:
    return emjax.fit(mixture, x, key=KEY, init=init, max_iter=1, tol=0.0)


def test_every_form_of_a_start_reaches_the_optimum(faithful):
    drawn = emjax.fit(NORMAL, faithful, key=KEY)
    means = np.array([[2.0, 50.0], [4.5, 80.0]])
    labels = (faithful[:, 0] > 3.0).astype(int)
    forms = {
        "params": NORMAL.params(mean=means, scale=[[0.5, 6.0], [0.5, 6.0]]),
        "fit": drawn,
        "means": means,
        "list of means": means.tolist(),
        "responsibilities": np.eye(2)[labels],
    }
    for name, init in forms.items():
        fit = emjax.fit(NORMAL, faithful, key=KEY, init=init)
        assert fit.converged, name
        np.testing.assert_allclose(fit.log_likelihood, drawn.log_likelihood, rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(fit.params.mean, drawn.params.mean, rtol=1e-5, err_msg=name)
        assert len(fit.optima) == 1


def test_the_order_of_a_given_start_is_kept_and_of_drawn_ones_sorted(faithful):
    means = np.array([[4.5, 80.0], [2.0, 50.0]])
    given = emjax.fit(NORMAL, faithful, key=KEY, init=means)
    assert given.params.mean[0, 0] > given.params.mean[1, 0]
    for seed in range(3):
        drawn = emjax.fit(NORMAL, faithful, key=jax.random.key(seed))
        assert drawn.params.mean[0, 0] < drawn.params.mean[1, 0]
        np.testing.assert_allclose(
            drawn.optima[0].effective_counts, 272 * drawn.params.weights, rtol=1e-4
        )  # sorted along with the parameters


def test_means_alone_mean_equal_weights_and_the_covariance_of_the_data(faithful):
    means = np.array([[2.0, 50.0], [4.5, 80.0]])
    covariance = np.cov(faithful, rowvar=False, bias=True)
    by_means = one_step(NORMAL, faithful, means)
    by_params = one_step(NORMAL, faithful, NORMAL.params(mean=means, covariance=[covariance, covariance]))
    np.testing.assert_allclose(by_means.trace, by_params.trace, rtol=1e-13)


def test_responsibilities_start_with_an_m_step(faithful):
    shares = np.random.default_rng(1).dirichlet([1.0, 2.0], size=len(faithful))
    fit = one_step(DIAG, faithful, shares)
    counts = shares.sum(axis=0)
    mean = shares.T @ faithful / counts[:, None]
    variance = shares.T @ faithful**2 / counts[:, None] - mean**2
    expected = one_step(DIAG, faithful, DIAG.params(weights=counts / 272, mean=mean, covariance=variance))
    np.testing.assert_allclose(fit.trace, expected.trace, rtol=1e-12)


def test_one_feature_may_be_flat(faithful):
    x = faithful[:, 0]
    flat = one_step(NORMAL, x, [2.0, 4.5])
    column = one_step(NORMAL, x[:, None], [[2.0], [4.5]])
    np.testing.assert_array_equal(flat.trace, column.trace)
    assert flat.params.mean.shape == (2, 1)


def test_a_poisson_start_at_a_count_of_zero_can_leave_it():
    mixture = emjax.Mixture(emjax.Poisson(), 2)
    x = emjax.datasets.load("deaths")
    fit = emjax.fit(mixture, x, key=KEY, init=[0.0, 4.0])
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(-1989.945859883, abs=1e-7)


@pytest.mark.parametrize("starts", ["kmeans++", "random", "mixed"])
def test_each_kind_of_drawn_start(faithful, starts: str):
    fit = emjax.fit(DIAG, faithful, key=KEY, n_init=6, starts=starts)
    assert fit.converged
    assert sum(optimum.count for optimum in fit.optima) == 6
    # Wherever a start begins, EM has only improved on it.
    assert fit.trace[0] < fit.trace[-1]


@pytest.mark.slow
def test_random_starts_are_points_of_the_data_with_equal_weights(faithful):
    seen = []
    emjax.fit(DIAG, faithful, key=KEY, n_init=1, starts="random", max_iter=1, log_every=1, on_progress=seen.append)
    fit = emjax.fit(DIAG, faithful, key=KEY, n_init=1, starts="random", max_iter=1, tol=0.0)
    base = DIAG.params(mean=faithful[:2], covariance=np.tile(faithful.var(axis=0), (2, 1)))

    def log_likelihood(pair: jax.Array) -> jax.Array:
        return DIAG.log_prob(base.replace(mean=jax.numpy.asarray(faithful)[pair]), faithful).sum()

    # The start itself is not handed out, but its objective is: some pair of points must have exactly that one.
    with jax.enable_x64(True):
        values = jax.jit(jax.vmap(log_likelihood))(np.stack(np.triu_indices(272, 1), axis=1))
    assert np.abs(np.asarray(values) - fit.trace[0]).min() < 1e-9
    assert len(seen) == 1


def test_more_than_10000_rows_are_started_from_a_sample():
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(-3, 1, 6000), rng.normal(3, 1, 6001)])
    fit = emjax.fit(NORMAL, x, key=KEY, n_init=2)
    assert fit.converged
    np.testing.assert_allclose(fit.params.mean[:, 0], [-3, 3], atol=0.1)
    assert fit.n_samples == 12_001


@pytest.mark.parametrize(
    ("init", "message"),
    [
        (np.zeros((3, 2)), r"init of shape \(3, 2\) is neither means \(2, 2\) nor responsibilities \(272, 2\)"),
        (np.zeros((2, 3)), r"is neither means \(2, 2\) nor responsibilities \(272, 2\); parameters come from"),
        (np.zeros(2), "is neither means"),
        (np.full((2, 2), np.nan), "init holds NaN or infinity"),
        (np.full((272, 2), 0.6), "non-negative and add up to 1 in every row"),
        (np.tile([1.5, -0.5], (272, 1)), "non-negative and add up to 1 in every row"),
        (
            emjax.Mixture(emjax.Normal(), 3).params(mean=np.zeros((3, 2)), scale=np.ones((3, 2))),
            "parameters of another mixture: expected 2 normal components of 2 features",
        ),
        (NORMAL.params(mean=np.zeros((2, 3)), scale=np.ones((2, 3))), "expected 2 normal components of 2 features"),
        (DIAG.params(mean=np.zeros((2, 2)), scale=np.ones((2, 2))), "parameters of another mixture"),
        (emjax.Mixture(emjax.Poisson(), 2).params(rate=np.ones((2, 2))), "parameters of another mixture"),
    ],
)
def test_a_start_that_does_not_fit(faithful, init, message: str):
    with pytest.raises(ValueError, match=message):
        emjax.fit(NORMAL, faithful, key=KEY, init=init)


@pytest.mark.parametrize("seed", range(4))  # half of all random starts come in the other order
def test_log_lines_and_the_result_name_components_alike(faithful, seed: int):
    seen = []
    fit = emjax.fit(
        emjax.Mixture(emjax.Normal(), 2),
        faithful,
        key=jax.random.key(seed),
        n_init=1,
        starts="random",
        tol=0.0,
        max_iter=60,
        log_every=20,
        on_progress=lambda progress: seen.append(progress.params),
    )
    assert len(seen) == 3
    np.testing.assert_array_equal(seen[-1].mean, fit.params.mean)
    np.testing.assert_array_equal(seen[-1].weights, fit.params.weights)
    assert all((np.diff(params.mean[:, 0]) > 0).all() for params in seen)
