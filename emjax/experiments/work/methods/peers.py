"""``sklearn``: scikit-learn's mixtures as peers. Nothing here imports JAX."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from emjax.catalogue import DEFAULT_FAMILY, has_peer
from emjax.errors import ConfigError
from emjax.experiments.plan.jobs import method_seed
from emjax.experiments.work.methods.budgets import evaluations_of, sklearn_iterations
from emjax.experiments.work.methods.shared import one_by_one, point_estimates
from emjax.experiments.work.outcome import Outcome, Replicate


def outcomes(
    spec: Mapping[str, Any], replicates: Sequence[Replicate], *, deadline: float | None = None
) -> Iterator[Outcome]:
    """The outcome of scikit-learn's estimator on each replicate."""
    if importlib.util.find_spec("sklearn") is None:
        raise ConfigError(f"methods.{spec['method']['name']} needs scikit-learn: pip install scikit-learn")
    check_family(spec["method"]["name"], spec["model"]["family"])
    max_iter = sklearn_iterations(spec["method"])
    yield from one_by_one(replicates, deadline, lambda replicate: _run(spec, replicate, max_iter))


def check_family(method: str, family: str) -> None:
    """Refuse a method for components that scikit-learn does not have, by ConfigError."""
    if not has_peer(family):
        raise ConfigError(
            f"methods.{method}: scikit-learn has normal components only, and the model's family is {family!r}; leave "
            "this method out"
        )


def _run(spec: Mapping[str, Any], replicate: Replicate, max_iter: int) -> Outcome:
    method, values = spec["method"], np.asarray(replicate.data.values)
    seed = method_seed(spec, replicate.number)
    estimator, run_seconds = _fit(spec, values, seed, max_iter)
    numbers = {} if evaluations_of(method) is None else {"max_iter": float(max_iter)}
    outcome = _outcome(estimator, _covariance(spec), values, replicate.data.feature_names)
    return dataclasses.replace(outcome, numbers={**outcome.numbers, **numbers}, run_seconds=run_seconds)


def _covariance(spec: Mapping[str, Any]) -> str:
    return str(spec["model"].get("covariance") or "full")


def _fit(spec: Mapping[str, Any], values: np.ndarray, seed: int, max_iter: int) -> tuple[Any, float]:
    """The fitted estimator and the seconds that it took."""
    from sklearn import mixture
    from sklearn.exceptions import ConvergenceWarning

    method = spec["method"]
    estimator = getattr(mixture, method["estimator"])(
        n_components=spec["model"]["n_components"],
        covariance_type=_covariance(spec),
        n_init=method["n_init"],
        init_params=method["init_params"],
        max_iter=max_iter,
        tol=method["tol"],
        reg_covar=method["reg_covar"],
        random_state=seed,
    )
    start = time.perf_counter()
    with warnings.catch_warnings():
        # It is told by the status.
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(values)
    return estimator, time.perf_counter() - start


def _outcome(estimator: Any, covariance: str, values: np.ndarray, feature_names: tuple[str, ...]) -> Outcome:
    density = _plug_in(estimator, covariance)
    named = _named(density)
    log_likelihood = float(density.score_samples(values).sum())
    n_samples, n_features = values.shape
    n_parameters = _n_parameters(len(estimator.weights_), n_features, covariance)
    converged = bool(estimator.converged_)
    return Outcome(
        status="converged" if converged else "max_iter",
        message="" if converged else f"scikit-learn did not converge in {estimator.n_iter_} iterations.",
        trusted=converged,
        named=named,
        parameters=point_estimates(named, feature_names),
        log_density=lambda x: np.asarray(density.score_samples(x)),
        responsibilities=lambda x: np.asarray(density.predict_proba(x)),
        numbers={
            "log_likelihood": log_likelihood,
            "bic": -2.0 * log_likelihood + n_parameters * math.log(n_samples),
            "n_iter": float(estimator.n_iter_),
        },
        compile_seconds=0.0,
        family=DEFAULT_FAMILY,
    )


def _plug_in(estimator: Any, covariance: str) -> Any:
    """The normal mixture at the estimates.

    `BayesianGaussianMixture.score_samples` is the expectation of a log density under its variational posterior, which
    is no log density; its estimates plugged in are one.
    """
    from sklearn.mixture import GaussianMixture

    density = GaussianMixture(n_components=len(estimator.weights_), covariance_type=covariance)
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        setattr(density, name, getattr(estimator, name))
    density.n_features_in_ = estimator.means_.shape[1]
    return density


def _named(density: Any) -> dict[str, np.ndarray]:
    """The estimates by emjax's names, each leading with the components."""
    means = np.asarray(density.means_)
    n_components, n_features = means.shape
    covariance = density.covariance_type
    named = {"weights": np.asarray(density.weights_), "mean": means}
    if covariance == "diag":
        return {**named, "scale": np.sqrt(density.covariances_)}
    if covariance == "spherical":
        return {**named, "scale": np.repeat(np.sqrt(density.covariances_)[:, None], n_features, axis=1)}
    matrices = np.broadcast_to(density.covariances_, (n_components, n_features, n_features))
    scale = np.sqrt(np.diagonal(matrices, axis1=1, axis2=2))
    named["scale"] = scale
    if n_features > 1:
        named["correlation"] = matrices / (scale[:, :, None] * scale[:, None, :])
    return named


def _n_parameters(n_components: int, n_features: int, covariance: str) -> int:
    """Free parameters of a normal mixture, as `emjax.Mixture.n_parameters` counts them."""
    matrix = n_features * (n_features + 1) // 2
    dispersion = {
        "full": n_components * matrix,
        "tied": matrix,
        "diag": n_components * n_features,
        "spherical": n_components,
    }[covariance]
    return n_components - 1 + n_components * n_features + dispersion
