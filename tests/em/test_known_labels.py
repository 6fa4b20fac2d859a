"""Partial labels: what is known of a datum's component, in EM and in every sampler."""

import dataclasses

import jax
import numpy as np
import pytest

import emjax
from emjax.em.labelled import matched
from emjax.em.rows import Rows
from emjax.families.frame import identity_frame
from emjax.samples import as_samples


def two_clusters(n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Clusters that overlap, the first of them on the right: no order of means gives these labels."""
    rng = np.random.default_rng(0)
    truth = (rng.random(n) < 0.4).astype(int)
    return np.where(truth == 1, -1.0, 1.0)[:, None] + rng.normal(size=(n, 1)), truth


MIXTURE = emjax.Mixture(emjax.Normal("diag"), 2)


def known(truth: np.ndarray, n_known: int) -> np.ndarray:
    """Labels of the first rows, and gaps."""
    labels = truth.astype(float)
    labels[n_known:] = np.nan
    return labels


def test_all_labels_known_is_one_fit_for_each_component():
    x, truth = two_clusters()
    fit = emjax.fit(MIXTURE, x, labels=truth, key=0)
    assert fit.converged
    for k in range(2):
        own = x[truth == k]
        np.testing.assert_allclose(fit.params.mean[k], own.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(fit.params.scale[k], own.std(axis=0), rtol=1e-12)
        np.testing.assert_allclose(fit.params.weights[k], len(own) / len(x), rtol=1e-12)
    # The density is that of the datum and of its label.
    joint = MIXTURE.log_joint(fit.params, x)
    with jax.enable_x64(True):
        np.testing.assert_allclose(fit.score_samples(), np.asarray(joint)[truth, np.arange(len(x))], rtol=1e-6)
    np.testing.assert_array_equal(fit.predict(), truth)


def test_labels_decide_which_component_is_which_and_sharpen_the_rest():
    x, truth = two_clusters()
    fit = emjax.fit(MIXTURE, x, labels=known(truth, 30), key=0)
    assert fit.converged
    assert fit.params.mean[0, 0] > fit.params.mean[1, 0]  # drawn starts come sorted where nobody said
    np.testing.assert_array_equal(fit.predict()[:30], truth[:30])
    without = emjax.fit(MIXTURE, x, key=0)
    assert without.params.mean[0, 0] < without.params.mean[1, 0]
    assert fit.log_likelihood < without.log_likelihood  # a datum and its label are less probable than the datum
    # Of new data nothing is known.
    assert (fit.predict_proba(x[:30]) != fit.predict_proba()[:30]).any()


@pytest.mark.parametrize("kind", ["numbers", "minus one", "names", "log odds"])
def test_every_way_to_say_it_is_the_same(kind: str):
    x, truth = two_clusters()
    labels = known(truth, 50)
    one_hot = np.where(np.isnan(labels)[:, None], np.nan, np.eye(2)[truth])
    ways = {
        "numbers": labels,
        "minus one": np.where(np.isnan(labels), -1, truth),
        "names": [None if np.isnan(label) else ("a", "b")[int(label)] for label in labels],
        "log odds": one_hot,
    }
    settings = {"key": 0, "init": np.array([[1.0], [-1.0]]), "max_iter": 20, "tol": 0.0}
    ours, theirs = (emjax.fit(MIXTURE, x, labels=each, **settings) for each in (ways[kind], labels))
    np.testing.assert_array_equal(ours.trace, theirs.trace)


def test_soft_labels_are_a_factor_of_each_component():
    x, truth = two_clusters()
    shares = np.where(truth[:, None] == np.arange(2), 0.9, 0.1)
    fit = emjax.fit(MIXTURE, x, labels=shares, key=0, init=np.array([[1.0], [-1.0]]), max_iter=5, tol=0.0)
    with jax.enable_x64(True):
        joint = np.asarray(MIXTURE.log_joint(fit.params, x)) + np.log(shares.T)
    np.testing.assert_allclose(fit.log_likelihood, np.logaddexp.reduce(joint, axis=0).sum(), rtol=1e-12)


def test_starts_have_their_components_in_the_order_of_the_labels():
    x, truth = two_clusters()
    samples = as_samples(x, labels=known(truth, 30), n_components=2)
    plain = Rows(x, identity_frame(1), np.dtype(float))
    right = MIXTURE.params(mean=[[1.0], [-1.0]], scale=[[1.0], [1.0]])
    swapped = MIXTURE.permute(right, np.array([1, 0]))
    starts = jax.tree.map(lambda *leaves: np.stack(leaves), swapped, right)
    ordered = matched(MIXTURE, starts, dataclasses.replace(plain, labels=samples.labels))
    np.testing.assert_array_equal(ordered.mean[0], right.mean)
    np.testing.assert_array_equal(ordered.mean[1], right.mean)
    # Where nothing is known they stay as they were drawn.
    np.testing.assert_array_equal(matched(MIXTURE, starts, plain).mean, starts.mean)
