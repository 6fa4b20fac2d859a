"""Latent classes: published log-likelihoods, levels as texts, missing cells, names, and what is refused."""

import jax
import numpy as np
import pandas as pd
import pytest
import scipy.optimize

import emjax
from emjax.em import init, seeding
from emjax.errors import DataError

PUBLISHED = {2: -317.2568, 3: -293.705}
"""Of carcinoma, by poLCA's own example (Linzer and Lewis, Journal of Statistical Software 42, 2011)."""


@pytest.mark.parametrize("n_classes", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_latent_classes_of_carcinoma_reach_the_published_log_likelihood(n_classes: int):
    x = emjax.datasets.load("carcinoma")
    fit = emjax.fit(emjax.Mixture(emjax.Categorical(), n_classes), x, key=1)
    assert fit.converged, fit.message
    assert fit.log_likelihood == pytest.approx(PUBLISHED[n_classes], abs=1e-3)
    assert fit.n_parameters == 8 * n_classes - 1
    ones = emjax.fit(emjax.Mixture(emjax.Bernoulli(), n_classes), x, key=1)
    assert ones.log_likelihood == pytest.approx(PUBLISHED[n_classes], abs=1e-3)
    # Components are ordered by their first number, which is that of no carcinoma here and of carcinoma there.
    np.testing.assert_allclose(ones.params.weights[::-1], fit.params.weights, atol=1e-4)
    np.testing.assert_allclose(ones.params.probability[::-1], fit.params.probability[..., 1], atol=1e-4)


def frame(n: int = 240) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    first = rng.random(n) < 0.4

    def drawn(levels: list[str], one: list[float], other: list[float]) -> np.ndarray:
        return np.where(first, rng.choice(levels, n, p=one), rng.choice(levels, n, p=other))

    return pd.DataFrame(
        {
            "colour": drawn(["red", "blue", "green"], [0.7, 0.2, 0.1], [0.1, 0.2, 0.7]),
            "size": drawn(["small", "large"], [0.8, 0.2], [0.25, 0.75]),
            "taste": drawn(["0", "1", "2", "3"], [0.4, 0.4, 0.1, 0.1], [0.1, 0.1, 0.4, 0.4]),
        }
    )


def test_texts_are_levels_with_their_names():
    x = frame()
    mixture = emjax.Mixture(emjax.Categorical(), 2, "default")
    fit = emjax.fit(mixture, x, key=1)
    assert fit.mixture.family.levels == (("blue", "green", "red"), ("large", "small"), ("0", "1", "2", "3"))
    assert fit.params.probability.shape == (2, 3, 4)
    names = [row.name for row in fit.intervals(method="information").rows]
    assert names[2:5] == [
        "probability[0, colour, blue]",
        "probability[0, colour, green]",
        "probability[0, colour, red]",
    ]
    assert len(names) == 2 + 2 * (3 + 2 + 4)
    assert "probability[colour]" in str(fit.summary(parameters=True))
    # The same as numbers, and the same rows afterwards, whatever they are given as.
    codes = np.stack([np.unique(x[name], return_inverse=True)[1] for name in x], axis=1)
    same = emjax.fit(mixture, codes, key=1)
    np.testing.assert_array_equal(same.params.probability, fit.params.probability)
    np.testing.assert_array_equal(fit.predict(x.iloc[:7]), same.predict(codes[:7]))
    np.testing.assert_array_equal(fit.score_samples(x.to_numpy()), same.score_samples())


def test_a_level_that_was_never_seen_is_refused_by_its_name():
    x = frame()
    fit = emjax.fit(emjax.Mixture(emjax.Categorical(), 2), x, key=1, n_init=1, max_iter=5)
    new = x.iloc[:3].copy()
    new.loc[1, "colour"] = "pink"
    with pytest.raises(DataError, match=r"column 'colour' holds 'pink' in row 1 .* none of its levels 'blue', 'green'"):
        fit.predict(new)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[1, 2], [2, 1], [1, 1]], "no level 0"),
        ([[0, 1.5], [1, 0]], "levels 0, 1, 2"),
        ([[0, 900], [1, 0]], "levels up to 900"),
    ],
)
def test_what_is_no_level_is_refused_in_one_line(x: list, message: str):
    with pytest.raises(DataError, match=message) as caught:
        emjax.fit(emjax.Mixture(emjax.Categorical(), 1), x, key=0)
    assert "\n" not in str(caught.value)


def test_other_families_still_refuse_texts():
    with pytest.raises(DataError, match="not numeric"):
        emjax.fit(emjax.Mixture(emjax.Normal(), 2), frame(), key=0)


def test_missing_cells_drop_out():
    x = frame()
    rng = np.random.default_rng(5)
    holes = x.where(rng.random(x.shape) > 0.25)
    fit = emjax.fit(emjax.Mixture(emjax.Categorical(), 2), holes, key=1)
    assert fit.converged, fit.message
    codes = np.stack([pd.Categorical(holes[name]).codes for name in holes], axis=1)
    assert (codes < 0).any()

    def negative(u: np.ndarray) -> float:
        weights, rest = np.exp(np.append(u[0], 0.0)), u[1:].reshape(2, -1)
        joint = np.log(weights / weights.sum())[:, None] * np.ones(len(codes))
        for k in range(2):
            begin = 0
            for j, size in enumerate((3, 2, 4)):
                logits = np.append(rest[k, begin : begin + size - 1], 0.0)
                begin += size - 1
                logs = logits - np.logaddexp.reduce(logits)
                joint[k] += np.where(codes[:, j] >= 0, logs[codes[:, j]], 0.0)
        return -np.logaddexp.reduce(joint, axis=0).sum()

    p = fit.params.probability
    own = [[np.log(p[k, j, : n - 1] / p[k, j, n - 1]) for j, n in enumerate((3, 2, 4))] for k in range(2)]
    u = np.concatenate([[np.log(fit.params.weights[0] / fit.params.weights[1])], *own[0], *own[1]])
    assert -negative(u) == pytest.approx(fit.log_likelihood, rel=1e-12)
    found = scipy.optimize.minimize(negative, u, method="BFGS", options={"gtol": 1e-7})
    assert -found.fun - fit.log_likelihood < 1e-8


def test_further_starts_know_what_is_seen_of_rows_with_missing_cells(x64):
    shares = np.array([[[0.98, 0.01, 0.01]] * 6, [[0.01, 0.01, 0.98]] * 6])
    mixture = emjax.Mixture(emjax.Categorical(), 2).resolved(emjax.samples.as_samples(np.tile([[0.0], [1], [2]], 6)))
    params = mixture.params(probability=shares)
    rng = np.random.default_rng(0)
    x = np.array(mixture.sample(params, 1, 200)[0])
    x[np.arange(200), rng.integers(6, size=200)] = np.nan  # of every row, so that no row is complete
    joint = np.asarray(init.log_joint_of(mixture, params, seeding.filled(x)))
    # What a row has in the five cells that were seen, up to what is the same for both classes.
    logs = np.log(shares[:, 0])
    seen = np.array([[sum(own[int(cell)] for cell in row if cell == cell) for own in logs] for row in x])
    np.testing.assert_allclose(joint - joint[:, :1], seen - seen[:, :1], rtol=1e-12)
    starts = init.moved_starts(mixture, x, [(params, 20)], key=jax.random.key(0), batch=1)
    assert np.isfinite(starts.probability).all()


def test_parameters_may_be_given_before_there_are_data():
    mixture = emjax.Mixture(emjax.Categorical(), 2)
    params = mixture.params(probability=[[[0.2, 0.8, 0.0], [0.1, 0.3, 0.6]], [[0.7, 0.3, 0.0], [0.4, 0.4, 0.2]]])
    assert params.family.sizes == (2, 3)
    x, _ = jax.jit(mixture.sample, static_argnums=2)(params, jax.random.key(0), 400)
    assert np.asarray(x).max(axis=0).tolist() == [1.0, 2.0]
    fit = emjax.fit(mixture, np.asarray(x), key=0, init=params, max_iter=3, tol=0.0)
    assert fit.trace[-1] > fit.trace[0]


def test_a_dirichlet_law_of_unequal_lengths_has_a_twin_in_numpyro():
    numpyro = pytest.importorskip("numpyro")
    x = frame()
    mixture = emjax.Mixture(emjax.Categorical(), 2, {"probability": emjax.laws.Dirichlet(2.0)})
    prior = mixture.resolved_prior(x)
    assert prior["probability"].lengths == (3, 2, 4)
    with jax.enable_x64(True):
        law = prior["probability"].numpyro((2, 3, 4))
        value = law.sample(jax.random.key(1))
        np.testing.assert_allclose(value.sum(axis=-1), 1.0, rtol=1e-12)
        assert np.asarray(value)[:, 1, 2:].max() == 0.0
        move = numpyro.distributions.biject_to(law.support)
        free = move.inv(value)
        np.testing.assert_allclose(move(free), value, rtol=1e-10)
        np.testing.assert_allclose(law.log_prob(value), prior["probability"].log_prob(value, None).sum(), rtol=1e-12)
        jacobian = jax.jacobian(lambda u: move(u)[:, [0, 0, 1, 2, 2, 2], [0, 1, 0, 0, 1, 2]].ravel())(free)
        expected = np.linalg.slogdet(np.asarray(jacobian).reshape(12, 12))[1]
        np.testing.assert_allclose(move.log_abs_det_jacobian(free, value).sum(), expected, rtol=1e-9)
