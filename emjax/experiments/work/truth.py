"""What simulated data are drawn from: from the data section of a job to a law."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from emjax.catalogue import DEFAULT_FAMILY, SITES
from emjax.datasets.laws import LocationScaleLaw, MixtureLaw, normal_law, poisson_law
from emjax.datasets.overlap import separated
from emjax.datasets.shapes import NORMAL, Shape, SkewNormal, StudentT, Uniform
from emjax.jsonable import canonical

LAW_KEYS = ("family", "weights", *SITES, "overlap", "misspecification")
"""The settings of a data section that the law depends on; the others say how much is drawn and what is added."""

_SHAPES: dict[str, type[Shape]] = {"student_t": StudentT, "skew_normal": SkewNormal, "uniform": Uniform}


def law_of(data: Mapping[str, Any]) -> MixtureLaw:
    """The law of a data section of kind ``simulate``, with its means moved where an overlap is asked for.

    Kept for the sections met last, since an overlap takes up to seconds to find. Raises DataError where a covariance is
    none, or no distance gives the overlap.
    """
    return _law(canonical({key: data[key] for key in LAW_KEYS if data.get(key) is not None}))


@lru_cache(maxsize=32)
def _law(text: str) -> MixtureLaw:
    data = json.loads(text)
    weights = data["weights"]
    family = data.get("family") or ("poisson" if "rate" in data else DEFAULT_FAMILY)
    if family == "poisson":
        return poisson_law(weights=weights, rate=data["rate"])
    if family != DEFAULT_FAMILY:
        from emjax.experiments.work.family_law import family_law

        return family_law(family, weights, {name: data[name] for name in SITES if name in data})
    shape = shape_of(data.get("misspecification"))
    law = normal_law(
        weights=weights, mean=data["mean"], scale=data.get("scale"), covariance=data.get("covariance"), shape=shape
    )
    if "overlap" not in data:
        return law
    mean = separated(law.weights, law.mean, law.covariance, data["overlap"], shape=shape)
    return LocationScaleLaw(law.weights, mean, law.covariance, shape)


def shape_of(misspecification: Mapping[str, Any] | None) -> Shape:
    """The shape of all components that a ``misspecification`` table declares; normal without one."""
    if misspecification is None:
        return NORMAL
    given = {name: float(value) for name, value in misspecification.items() if name != "kind" and value is not None}
    return _SHAPES[misspecification["kind"]](**given)
