"""scikit-learn's own tests of its mixture class, from the installed package, run against emjax's.

By name: `uv run pytest -m scikit_learn`.
"""

import importlib.util
import inspect
from types import FunctionType, ModuleType
from unittest import mock

import numpy as np
import pytest
import sklearn.mixture

from emjax.sklearn import GaussianMixture

# scikit-learn's tests let warnings pass that this project's settings would raise.
pytestmark = [pytest.mark.scikit_learn, pytest.mark.filterwarnings("default")]

EXCLUDED = {
    "test_gaussian_mixture_all_init_does_not_estimate_gaussian_parameters": (
        "counts the calls of a private function of scikit-learn, which emjax's M-step is not; that a start given in "
        "full is used as it is, test_facade.py holds"
    ),
    "test_gaussian_mixture_array_api_compliance": (
        "arrays of other libraries (array_api_dispatch): emjax computes on JAX's devices and returns NumPy arrays, and "
        "its tags do not promise more"
    ),
    "test_gaussian_mixture_precisions_init": (
        "calls the private methods _set_parameters and _initialize; what it says of precisions_init, test_facade.py "
        "says of the public ones"
    ),
    "test_gaussian_mixture_raises_where_array_api_not_implemented": (
        "the message belongs to the dispatch on arrays of other libraries, which emjax does not have"
    ),
    "test_monotonic_likelihood": (
        "asks for converged_ at tol=1e-7 where the last gain is 1e-7 and 1.4e-5 are still to come, which emjax counts; "
        "that no step loses likelihood, and that single steps come to rest, test_facade.py holds"
    ),
    "test_sample": (
        "one stream of random numbers runs through its fits and draws, and as emjax's iterations differ in number, so "
        "do the draws: the variance of a component of 580 draws is asked for to 0.15, 1.5 standard errors; that the "
        "draws are those of scikit-learn from the same parameters, test_facade.py holds"
    ),
}
"""Tests that use the class and do not apply to it, with the reason."""

BY_NAME = {
    "test_gaussian_mixture_aic_bic": "test_facade.py compares both criteria with scikit-learn's, of every structure",
    "test_bic_1d_1component": "test_facade.py compares both criteria with scikit-learn's, of every structure",
    "test_gaussian_mixture_fit": "test_facade.py compares fits with scikit-learn's, of every structure",
    "test_gaussian_mixture_fit_best_params": "that the best of several starts is kept, test_facade.py holds",
    "test_gaussian_mixture_fit_predict_n_init": "that labels are those of predict, test_facade.py holds",
    "test_gaussian_mixture_n_parameters": "test_facade.py compares criteria, which count them, of every structure",
    "test_init": "that the best of several starts is kept, test_facade.py holds to the last bit",
    "test_multiple_init": "test_facade.py compares fits of two starts with scikit-learn's, of every structure",
}
"""Tests that compile for long and ask for less than one of emjax's own that always runs: they run with ``-m slow``."""


def load(name: str) -> ModuleType:
    """One of scikit-learn's test modules, in which `GaussianMixture` is emjax's."""
    spec = importlib.util.find_spec(f"sklearn.mixture.tests.{name}")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with mock.patch.object(sklearn.mixture, "GaussianMixture", GaussianMixture):
        spec.loader.exec_module(module)
    return module


def all_tests() -> dict[str, FunctionType]:
    """The test functions of both modules; those that run over several classes keep emjax's alone."""
    modules = [vars(load(name)) for name in ("test_gaussian_mixture", "test_mixture")]
    found = {name: value for names in modules for name, value in names.items() if name.startswith("test_")}
    for function in found.values():
        for mark in getattr(function, "pytestmark", []):
            if mark.name == "parametrize" and mark.args[0] == "estimator":
                mark.args[1][:] = [estimator for estimator in mark.args[1] if isinstance(estimator, GaussianMixture)]
    return found


def concerns_the_class(function: FunctionType) -> bool:
    """A test that neither names the class nor is given an instance is of scikit-learn's private functions."""
    function = inspect.unwrap(function)
    return "GaussianMixture" in function.__code__.co_names or "estimator" in inspect.signature(function).parameters


SUITE = {name: function for name, function in all_tests().items() if concerns_the_class(function)}
for name in BY_NAME:
    pytest.mark.slow(SUITE[name])
globals().update({name: function for name, function in SUITE.items() if name not in EXCLUDED})


@pytest.fixture(params=[np.float64, pytest.param(np.float32, marks=pytest.mark.slow)])
def global_dtype(request: pytest.FixtureRequest) -> type:
    """Both of scikit-learn's, of which it runs float32 on demand only; its checks of estimators ask for float32 too."""
    return request.param


@pytest.fixture
def global_random_seed() -> int:
    """scikit-learn's default."""
    return 42


def test_exclusions_are_tests_of_the_class():
    assert set(EXCLUDED) <= set(SUITE), "an exclusion that names no test of the class is out of date"
    assert all(len(reason) > 40 for reason in EXCLUDED.values())


def test_most_of_the_suite_runs():
    assert len(SUITE) >= 30
    assert len(EXCLUDED) <= 6
    assert len(BY_NAME) <= 8
