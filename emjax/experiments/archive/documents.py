"""The documents of a run: what its JSON files, and the commands with ``--json``, say. Keys are stable."""

from typing import Any

import numpy as np

from emjax.jsonable import to_jsonable
from emjax.naming import CORRELATION, COVARIANCE, of_pairs

MOST_DIAGONAL = 100
"""Features up to which diagonal covariances are written as matrices too."""


def fit_document(fit: Any, intervals: Any) -> dict[str, Any]:
    """An EM fit and its intervals as plain values.

    ``prior`` is ``none`` for maximum likelihood, ``exact_iterations`` says whether exactly ``n_iter`` were asked for,
    ``params`` are `parameter_values`, ``optima`` stand best first, and ``trace`` has the objective at the start and
    after each iteration.
    """
    of_optimum = ("count", "spurious", "log_likelihood", "objective", "effective_counts")
    optima = [
        {
            "status": str(one.status),
            **_attributes(one, *of_optimum),
            "params": parameter_values(fit.mixture, one.params),
        }
        for one in fit.optima
    ]
    return {
        "status": str(fit.status),
        "prior": "none" if fit.mixture.prior is None else "default",
        **_attributes(fit, "message", "converged", "exact_iterations", "space", "log_likelihood", "log_prior"),
        **_attributes(fit, "objective", "n_iter", "rate", "trace", "compile_seconds", "run_seconds"),
        "bic": fit.bic(),
        "params": parameter_values(fit.mixture, fit.params),
        "intervals": intervals_document(intervals),
        "optima": optima,
    }


def _attributes(thing: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(thing, name) for name in names}


def intervals_document(intervals: Any) -> dict[str, Any]:
    """Intervals as plain values."""
    found = _attributes(intervals, "level", "method", "space", "message")
    return {**found, "status": str(intervals.status), "rows": to_jsonable(intervals.rows)}


def parameter_values(mixture: Any, params: Any) -> dict[str, Any]:
    """Return parameters by name in the data's units, leading with the components.

    ``weights`` and what the family reports, such as ``mean``, ``scale`` (standard deviations) and, where there is one,
    ``correlation``; and where components have one ``covariance``. That is left out where it is diagonal and more than
    `MOST_DIAGONAL` features would make millions of zeros of it.
    """
    from emjax.scope import computing

    # Outside this scope JAX would round float64 parameters to float32 on the way.
    with computing():
        named = {name: np.asarray(value) for name, value in mixture.named_parameters(params).items()}
        wide = mixture.family.n_features(params) > MOST_DIAGONAL
        if COVARIANCE in mixture.family.derived and (CORRELATION in named or not wide):
            named[COVARIANCE] = np.asarray(getattr(params, COVARIANCE))
    return named


def parameter_line(mixture: Any, progress: Any) -> str:
    """Return one line of EM's log: iteration, objective, and every parameter of the best start so far."""
    parts = [f"iteration {progress.n_iter:>6}", f"objective {progress.objective:.8f}"]
    for name, values in parameter_values(mixture, progress.params).items():
        if name == COVARIANCE:
            continue
        if of_pairs(name):  # what is above the diagonal
            values = values[..., *np.triu_indices(values.shape[-1], k=1)]
        parts.append(f"{name} {_numbers(values)}")
    return "  ".join(parts)


def _numbers(values: np.ndarray) -> str:
    """Return numbers of one component joined by commas, components separated by spaces."""
    rows = values.reshape(len(values), -1)
    return " ".join(",".join(f"{number:.6g}" for number in row) for row in rows)


def posterior_document(posterior: Any, level: float) -> dict[str, Any]:
    """A posterior as plain values.

    ``status_message`` is one sentence with the remedy, ``message`` has the numbers behind it; the modes are those of
    `emjax.metrics.diagnostics.mode_findings`.
    """
    from emjax.metrics.diagnostics import mode_findings

    return {
        "status": str(posterior.status),
        "status_message": posterior.status.message,
        **_attributes(posterior, "message", "converged", "prior_note", "starts_note", "method"),
        **mode_findings(posterior),
        "level": level,
        "alignment": _attributes(posterior.alignment, "method", "trust", "note"),
        "parameters": posterior_rows(posterior, level),
        "diagnostics": posterior.diagnostics.to_dict(),
        **_attributes(posterior, "compile_seconds", "run_seconds"),
    }


def posterior_rows(posterior: Any, level: float) -> list[dict[str, Any]]:
    """One row per scalar parameter, named as in every other table; None where there is no number."""
    frame = posterior.to_frame(level=level).rename(columns={"parameter": "name", "rhat": "r_hat"})
    rows = frame[["name", "mean", "sd", "lower", "upper", "ess", "r_hat"]].to_dict("records")
    return [{key: None if value != value else value for key, value in row.items()} for row in rows]
