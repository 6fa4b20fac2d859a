"""emjax's `GaussianMixture` beside scikit-learn's: where they promise the same, and where they differ."""

import doctest
import importlib
import inspect
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import sklearn.mixture
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import emjax.sklearn.gaussian_mixture
from emjax.sklearn import GaussianMixture

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")
STARTS = ("kmeans", "k-means++", "random", "random_from_data")
ATTRIBUTES = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_", "lower_bound_", "n_iter_")
EXACT = {"tol": 0.0, "max_iter": 12, "random_state": 3}
"""Settings with which both classes make the same iterations."""


def blobs(distance: float) -> np.ndarray:
    """Three groups of 60 points in two dimensions, ``distance`` apart; always the same shape, which compiles once."""
    rng = np.random.default_rng(0)
    centres = distance * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.2]])
    return np.concatenate([rng.normal(centre, [1.0, 0.6], size=(60, 2)) for centre in centres])


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return blobs(4.0)


def quietly(estimator, x):
    """A fit that is not asked to converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(x)


def exact(x, **settings):
    """Emjax's estimator after a number of iterations."""
    return quietly(GaussianMixture(**(EXACT | {"n_components": 3} | settings)), x)


def both(x, **settings):
    """Emjax's and scikit-learn's estimators after the same iterations from the same starts."""
    reference = sklearn.mixture.GaussianMixture(**(EXACT | {"n_components": 3} | settings))
    return exact(x, **settings), quietly(reference, x)


def assert_same(ours, theirs, rtol=1e-8):
    for name in ATTRIBUTES:
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=rtol, atol=1e-10, err_msg=name)


# -- the same as scikit-learn


def test_the_constructor_is_the_same():
    ours, theirs = (inspect.signature(cls).parameters for cls in (GaussianMixture, sklearn.mixture.GaussianMixture))
    described = [{name: (p.default, p.kind) for name, p in parameters.items()} for parameters in (ours, theirs)]
    assert described[0] == described[1]
    assert GaussianMixture().get_params() == sklearn.mixture.GaussianMixture().get_params()


def test_every_public_name_of_scikit_learn_is_there(x):
    ours, theirs = both(x)
    public = {name for name in dir(theirs) if not name.startswith("_")}
    assert public <= set(dir(ours))


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("init_params", STARTS)
def test_same_starts_same_iterations(x, covariance_type, init_params):
    if covariance_type == "tied" and init_params in ("k-means++", "random_from_data"):
        # Here the starts differ on purpose, see below; a full start makes them the same.
        drawn = exact(x, covariance_type=covariance_type, init_params=init_params, max_iter=0)
        given = {"weights_init": drawn.weights_, "means_init": drawn.means_, "precisions_init": np.eye(2)}
        ours, theirs = both(x, covariance_type=covariance_type, **given)
    else:
        ours, theirs = both(x, covariance_type=covariance_type, init_params=init_params, n_init=2)
    assert_same(ours, theirs)
    # scikit-learn's single points start with weights that add up to K / n, which shifts its first bound.
    np.testing.assert_allclose(ours.lower_bounds_[1:], theirs.lower_bounds_[1:], rtol=1e-10)
    assert len(ours.lower_bounds_) == ours.n_iter_ == 12


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_the_fitted_mixture_answers_as_scikit_learn_does(x, covariance_type):
    ours, theirs = both(x, covariance_type=covariance_type)
    new = np.random.default_rng(1).normal(2.0, 3.0, size=(40, 2))
    np.testing.assert_array_equal(ours.predict(new), theirs.predict(new))
    np.testing.assert_allclose(ours.predict_proba(new), theirs.predict_proba(new), atol=1e-10)
    np.testing.assert_allclose(ours.score_samples(new), theirs.score_samples(new), rtol=1e-8)
    for method in ("score", "bic", "aic"):
        assert getattr(ours, method)(new) == pytest.approx(getattr(theirs, method)(new), rel=1e-10)
    assert isinstance(ours.score(new), float)
    (draws, labels), (their_draws, their_labels) = ours.sample(50), theirs.sample(50)
    np.testing.assert_allclose(draws, their_draws, rtol=1e-7, atol=1e-7)
    np.testing.assert_array_equal(labels, their_labels)


def test_labels_of_the_fit_are_those_of_predict(x):
    estimator = GaussianMixture(3, random_state=0)
    labels = estimator.fit_predict(x)
    np.testing.assert_array_equal(labels, estimator.predict(x))
    assert len(set(labels)) == 3


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_a_start_in_full_is_used_as_it_is(x, covariance_type):
    drawn = exact(x, covariance_type=covariance_type)
    given = {"weights_init": drawn.weights_, "means_init": drawn.means_, "precisions_init": drawn.precisions_}
    start = exact(x, covariance_type=covariance_type, max_iter=0, **given)
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        np.testing.assert_allclose(getattr(start, name), getattr(drawn, name), rtol=1e-10, atol=1e-12, err_msg=name)
    assert start.n_iter_ == 0
    assert start.lower_bounds_ == []
    assert_same(*both(x, covariance_type=covariance_type, **given))
    # In part: the rest is drawn.
    assert_same(*both(x, covariance_type=covariance_type, means_init=drawn.means_ + 0.5))


def test_one_stream_of_random_numbers_serves_all_starts(x):
    together = exact(x, init_params="random", n_init=4, random_state=5)
    state = np.random.RandomState(5)
    apart = [exact(x, init_params="random", random_state=state).lower_bound_ for _ in range(4)]
    assert len(set(apart)) == 4
    assert together.lower_bound_ == max(apart)


def test_float32_stays_float32(x):
    single, double = x.astype(np.float32), x.astype(np.float32).astype(np.float64)
    ours = GaussianMixture(3, random_state=0).fit(single)
    reference = GaussianMixture(3, random_state=0).fit(double)
    for name in ATTRIBUTES[:5]:
        assert getattr(ours, name).dtype == np.float32, name
        np.testing.assert_allclose(getattr(ours, name), getattr(reference, name), rtol=2e-3, atol=2e-3, err_msg=name)
    assert ours.score_samples(single).dtype == np.float32
    assert ours.score(single) == pytest.approx(reference.score(double), abs=1e-5)


@pytest.mark.parametrize("verbose", [1, 2])
def test_verbose_prints_the_same_lines(x, capsys, verbose):
    printed = []
    settings = EXACT | {"n_init": 2, "verbose": verbose, "verbose_interval": 5}
    for cls in (GaussianMixture, sklearn.mixture.GaussianMixture):
        quietly(cls(3, **settings), x)
        lines = capsys.readouterr().out.splitlines()
        # Times differ, and so does what is left of a line after them.
        printed.append([line.split(" time lapse")[0] for line in lines])
    assert printed[0] == printed[1]
    assert len(printed[0]) == 8


# -- better than scikit-learn


@pytest.mark.scikit_learn
def test_convergence_can_be_believed():
    x, tol = blobs(1.3), 1e-4
    settings = {"n_components": 3, "random_state": 0, "max_iter": 1000}
    ours, theirs = (cls(tol=tol, **settings).fit(x) for cls in (GaussianMixture, sklearn.mixture.GaussianMixture))
    limit = quietly(sklearn.mixture.GaussianMixture(tol=0.0, **settings), x).score(x)
    assert ours.converged_
    assert theirs.converged_
    assert limit - ours.score(x) < 2 * tol
    assert limit - theirs.score(x) > 10 * tol


@pytest.mark.parametrize("init_params", ["k-means++", "random_from_data"])
def test_tied_starts_from_single_points_find_the_groups(x, init_params):
    settings = {"covariance_type": "tied", "init_params": init_params, "random_state": 0}
    ours, theirs = GaussianMixture(3, **settings).fit(x), sklearn.mixture.GaussianMixture(3, **settings).fit(x)
    blob = sklearn.mixture.GaussianMixture(1, covariance_type="tied").fit(x)
    assert theirs.converged_
    assert theirs.score(x) == pytest.approx(blob.score(x), abs=1e-3)
    assert ours.score(x) > blob.score(x) + 0.1


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_far_from_the_origin_no_digits_are_lost(x, covariance_type):
    # Multiples of 2^-20, so that the shift itself rounds nothing; scikit-learn finds no positive variance there.
    x = np.round(x * 2.0**20) / 2.0**20
    shift = 2.0**30
    near, far = exact(x, covariance_type=covariance_type), exact(x + shift, covariance_type=covariance_type)
    np.testing.assert_allclose(far.score_samples(x + shift), near.score_samples(x), atol=2e-6)
    np.testing.assert_allclose(far.covariances_, near.covariances_, atol=2e-6)
    if covariance_type != "full":
        with pytest.raises(ValueError, match="ill-defined empirical covariance"):
            sklearn.mixture.GaussianMixture(3, covariance_type=covariance_type, random_state=3).fit(x + shift)


def test_a_collapse_is_named_and_the_last_sound_parameters_are_kept(x):
    x = np.concatenate([x[:-5], np.full((5, 2), 20.0)])
    start = {"weights_init": [0.5, 0.45, 0.05], "means_init": [x[0], x[70], x[-1]], "precisions_init": [np.eye(2)] * 3}
    with pytest.warns(ConvergenceWarning, match="did not converge.*collapsed") as caught:
        collapsed = GaussianMixture(3, reg_covar=0.0, **start).fit(x)
    assert [warning.filename for warning in caught] == [__file__]
    assert not collapsed.converged_
    assert all(np.isfinite(getattr(collapsed, name)).all() for name in ATTRIBUTES)
    assert np.isfinite(collapsed.score_samples(x)).all()
    # With the ridge that is the default the same start has a limit.
    assert GaussianMixture(3, **start).fit(x).converged_


# -- warm starts, storage, messages


def test_warm_starts_go_on(x):
    settings = {"n_components": 3, "init_params": "random", "random_state": 0, "tol": 1e-5}
    whole = GaussianMixture(max_iter=1000, **settings).fit(x)
    assert whole.converged_
    steps = GaussianMixture(max_iter=1, warm_start=True, **settings)
    scores = []
    while len(scores) < whole.n_iter_ and not getattr(steps, "converged_", False):
        scores.append(quietly(steps, x).score(x))
    assert steps.converged_
    assert len(scores) == whole.n_iter_
    assert (np.diff(scores) >= 0).all()
    for name in ("weights_", "means_", "covariances_", "lower_bound_"):
        np.testing.assert_allclose(getattr(steps, name), getattr(whole, name), rtol=1e-7, atol=1e-9)


def test_a_warm_start_on_other_data_is_no_continuation(x):
    estimator = GaussianMixture(3, random_state=0, max_iter=1, warm_start=True, tol=1e-3)
    for _ in range(6):
        quietly(estimator, x)
    assert estimator.converged_
    with pytest.warns(ConvergenceWarning):
        estimator.fit(3.0 * x + 1.0)
    assert not estimator.converged_


def test_stored_and_cloned(x):
    estimator = GaussianMixture(3, random_state=0).fit(x)
    stored = pickle.dumps(estimator)
    assert len(stored) < 5000, "the data do not belong into the file"
    np.testing.assert_array_equal(pickle.loads(stored).predict_proba(x), estimator.predict_proba(x))
    assert not hasattr(clone(estimator), "weights_")
    assert clone(estimator).get_params() == estimator.get_params()


def test_a_stored_estimator_predicts_without_loading_jax(x, tmp_path):
    path = tmp_path / "estimator.pickle"
    path.write_bytes(pickle.dumps((GaussianMixture(3, random_state=0).fit(x), x)))
    program = (
        "import pickle, sys\n"
        f"estimator, x = pickle.load(open({str(path)!r}, 'rb'))\n"
        "print(estimator.predict(x).sum(), estimator.sample(3)[0].shape, estimator.bic(x) > 0)\n"
        "print('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_feature_names(x):
    frame = pd.DataFrame(x, columns=["waiting", "eruptions"])
    estimator = GaussianMixture(3, random_state=0).fit(frame)
    assert list(estimator.feature_names_in_) == ["waiting", "eruptions"]
    assert estimator.n_features_in_ == 2
    with pytest.raises(ValueError, match="feature names should match"):
        estimator.predict(frame[["eruptions", "waiting"]])


def test_parameters_of_the_constructor_are_left_alone(x):
    given = {"weights_init": [0.2, 0.3, 0.5], "means_init": x[:3].tolist(), "precisions_init": [np.eye(2).tolist()] * 3}
    estimator = quietly(GaussianMixture(3, max_iter=1, **given), x)
    assert all(getattr(estimator, name) is value for name, value in given.items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_components": 200}, "Expected n_samples >= n_components but got n_components = 200, n_samples = 180"),
        ({"tol": -1.0}, "The 'tol' parameter of GaussianMixture must be a float in the range"),
        ({"covariance_type": "round"}, "The 'covariance_type' parameter of GaussianMixture must be a str among"),
        ({"means_init": [[0.0, 0.0]]}, r"The parameter 'means' should have the shape of \(3, 2\), but got \(1, 2\)"),
        ({"weights_init": [0.5, 0.5, 0.5]}, "The parameter 'weights' should be normalized, but got"),
        ({"precisions_init": -np.ones((3, 2, 2))}, "'full precision' should be symmetric, positive-definite"),
        ({"init_params": "k-means++", "reg_covar": 0.0}, "some components have ill-defined empirical covariance"),
    ],
)
def test_messages(x, settings, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(**({"n_components": 3, "random_state": 0} | settings)).fit(x)


def test_an_interrupt_ends_all_starts(x, monkeypatch):
    asked = []

    def interrupted(*_, **settings):
        asked.append(settings)
        return SimpleNamespace(status="interrupted")

    monkeypatch.setattr(importlib.import_module("emjax.em.fit"), "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        GaussianMixture(3, n_init=5, random_state=0).fit(x)
    assert len(asked) == 1


def test_without_scikit_learn_one_line_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[:2] == ["emjax", "sklearn"]]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError) as caught:
        importlib.import_module("emjax.sklearn")
    assert str(caught.value) == "emjax.sklearn needs scikit-learn: pip install scikit-learn"
    assert caught.value.__suppress_context__


@pytest.mark.scikit_learn
def test_the_examples_run(capsys):
    assert doctest.testmod(emjax.sklearn.gaussian_mixture).failed == 0
    page = Path(__file__).parents[2] / "docs" / "sklearn.md"
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec("\n".join(blocks), names)
    assert len(blocks) == 2
    assert names["fit"].converged
    assert names["fit"].log_likelihood / 500 == pytest.approx(names["gm"].score(names["X"]), abs=1e-3)
    assert "mean" in capsys.readouterr().out


@pytest.mark.parametrize("init_params", ["k-means++", "random_from_data"])
def test_the_units_of_the_data_do_not_matter_to_starts_from_points(x, init_params):
    # These starts are reg_covar wide, 1e-18 of the data's variance here; with the ridge nothing can get narrower.
    assert_same(*both(x * 1e6, init_params=init_params), rtol=1e-6)


@pytest.mark.parametrize(
    "covariance_type",
    ["full", "diag", *(pytest.param(name, marks=pytest.mark.slow) for name in ("tied", "spherical"))],
)
def test_a_constant_column_has_the_variance_reg_covar(x, covariance_type):
    x = np.column_stack([x, np.full(len(x), 7.0)])
    ours, theirs = both(x, covariance_type=covariance_type)
    np.testing.assert_allclose(ours.covariances_, theirs.covariances_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(ours.means_[:, 2], 7.0)
