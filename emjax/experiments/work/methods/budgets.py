"""What a method's ``budget`` of evaluations, passes over the data, leaves of iterations and draws.

What is planned follows from the settings and the data alone, so that it is the same on every machine. EM and
scikit-learn make fewer iterations of each start, samplers fewer or more draws. Evaluations that do not suffice for one
iteration, or for `FEWEST_DRAWS`, are an error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from emjax.catalogue import DEFAULT_SAMPLER, NAMED_SAMPLERS
from emjax.errors import ConfigError

FEWEST_DRAWS = 10
"""Draws of each chain below which nothing can be said."""

MOST_DRAWS = 10_000
"""Draws of each chain beyond which a budget is left unspent: they have to fit into memory."""

_WARMUP_SHARE = 0.5
"""The most of a budget that goes into a warm-up whose length the user has left open."""

_PROBES = 5
"""E-steps with which accelerated EM confirms its end."""


def evaluations_of(method: Mapping[str, Any]) -> float | None:
    """The budget of a method, None where there is none; ConfigError for ``auto``, which spends what its draws need."""
    value = (method.get("budget") or {}).get("evaluations")
    if value is not None and method["kind"] == DEFAULT_SAMPLER:
        others = " or ".join(NAMED_SAMPLERS)
        raise ConfigError(f"{_place(method)}: auto goes on until its draws suffice; name the sampler ({others})")
    return None if value is None else float(value)


def em_iterations(method: Mapping[str, Any]) -> int:
    """The most iterations of each start of EM under the method's budget of evaluations.

    A start of plain EM needs two E-steps more than it makes iterations. An accelerated iteration takes at most two
    E-steps, the second where the first was refused, and some more confirm the end. Raises ConfigError if not even one
    iteration of each start fits.
    """
    evaluations = evaluations_of(method)
    if evaluations is None:
        return int(method["max_iter"])
    plain = method["accelerate"] == "none" or (method["accelerate"] == "auto" and method["tol"] == 0)
    per_iteration, besides = (1, 2) if plain else (2, 2 + _PROBES)
    return _iterations(method, evaluations, per_iteration, besides)


def sklearn_iterations(method: Mapping[str, Any]) -> int:
    """The same of scikit-learn; its last E-step is one more, k-means is not counted."""
    evaluations = evaluations_of(method)
    return int(method["max_iter"]) if evaluations is None else _iterations(method, evaluations, 1, 1)


def _iterations(method: Mapping[str, Any], evaluations: float, per_iteration: int, besides: int) -> int:
    n_init = int(method["n_init"])
    fit = (int(evaluations) // n_init - besides) // per_iteration
    if fit < 1:
        least = n_init * (per_iteration + besides)
        raise ConfigError(
            f"{_place(method)}: {evaluations:g} evaluations are too few for {n_init} starts; give at least {least}, or "
            "lower n_init"
        )
    return min(int(method["max_iter"]), fit)


def draws_by_evaluations(
    method: Mapping[str, Any], *, chains: int, warmup: int, per_iteration: float, warmups: int = 1
) -> tuple[int, int]:
    """Warm-up and draws of each chain, such that all chains stay within the budget of evaluations.

    An iteration of one chain takes ``per_iteration`` density evaluations, in each of the ``warmups`` too. A warm-up
    that the user has left open may be shortened to half of the budget. Raises ConfigError if fewer than `FEWEST_DRAWS`
    draws fit.
    """
    evaluations = evaluations_of(method)
    assert evaluations is not None
    iterations = evaluations / (chains * per_iteration)
    if method.get("warmup") is None:
        warmup = min(warmup, int(_WARMUP_SHARE * iterations / warmups))
    draws = math.floor(iterations - warmups * warmup)
    if draws < FEWEST_DRAWS:
        least = math.ceil((FEWEST_DRAWS + warmups * warmup) * chains * per_iteration)
        raise ConfigError(
            f"{_place(method)}: {evaluations:g} evaluations are too few for {chains} chains with {warmup} iterations "
            f"of warm-up; give at least {least}, or lower chains or warmup"
        )
    return warmup, min(draws, method.get("draws") or MOST_DRAWS)


def _place(method: Mapping[str, Any]) -> str:
    return f"methods.{method.get('name') or method['kind']}.budget"
