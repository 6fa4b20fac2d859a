"""Specs of small jobs, as the plan of a study makes them."""

from typing import Any

from pydantic import TypeAdapter

from emjax.experiments.config.data import Data
from emjax.experiments.config.methods import Method

DATA = {
    "kind": "simulate",
    "weights": [0.4, 0.6],
    "mean": [[0.0], [5.0]],
    "scale": [[1.0], [1.0]],
    "n_samples": 60,
    "holdout": 40,
}
MODEL = {"family": "normal", "covariance": "full", "n_components": 2, "prior": "default"}


def job_spec(
    kind: str, *, data: dict[str, Any] = DATA, model: dict[str, Any] = MODEL, stop: int = 2, **settings: Any
) -> dict[str, Any]:
    """The spec of a job with one method on replicates 0 to ``stop - 1``."""
    method = TypeAdapter(Method).validate_python({"kind": kind, **settings})
    section = TypeAdapter(Data).validate_python(data)
    return {
        "format": 1,
        "seed": 3,
        "data": section.model_dump(mode="json", exclude_none=True),
        "model": dict(model),
        "method": method.of_job(),
        "level": 0.9,
        "cell": "0123456789ab",
        "first": 0,
        "stop": stop,
    }
