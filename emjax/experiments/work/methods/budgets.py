"""What a method's ``budget`` leaves of iterations, starts and draws.

**Evaluations** are passes over the data, and what is planned follows from the settings and the data alone, so that it
is the same on every machine. **Seconds** are run seconds without compilation. They give up reproducibility: how many
starts or draws fit into them depends on the machine and on what else it does, and two runs of a job differ.

| method | evaluations | seconds |
|---|---|---|
| ``em``, ``map`` | fewer iterations of each start: `em_iterations` | rounds of ``n_init`` starts, the best is kept |
| samplers | fewer or more draws: `draws_by_evaluations` | fewer or more draws: `draws_by_seconds` |
| ``sklearn`` | fewer iterations of each start: `sklearn_iterations` | rounds of ``n_init`` starts, the best is kept |

One round, or the fewest draws, are taken even where the seconds do not suffice for them; the outcome's ``run_seconds``
and ``budget_used`` say so. Evaluations that do not suffice are an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from emjax.catalogue import DEFAULT_SAMPLER, NAMED_SAMPLERS
from emjax.errors import ConfigError

FEWEST_DRAWS = 10
"""Draws of each chain below which nothing can be said."""

MOST_DRAWS = 10_000
"""Draws of each chain beyond which a budget is left unspent: they have to fit into memory."""

_WARMUP_SHARE = 0.5
"""The most of a budget that goes into a warm-up whose length the user has left open."""

_MARGIN = 0.9
"""The share of the seconds that is planned: a pilot tells what a draw costs only roughly."""

_PROBES = 5
"""E-steps with which accelerated EM confirms its end."""


def check_budget(method: Mapping[str, Any]) -> None:
    """Refuse a budget that cannot be planned for.

    Raises
    ------
    ConfigError
        If both seconds and evaluations are given, neither is, or the method is ``auto``, which goes on until its draws
        suffice.
    """
    budget = method.get("budget")
    if budget is None:
        return
    given = [name for name in ("seconds", "evaluations") if budget.get(name) is not None]
    if len(given) != 1:
        raise ConfigError(f"{_place(method)}: give either seconds or evaluations")
    if method["kind"] == DEFAULT_SAMPLER:
        others = " or ".join(NAMED_SAMPLERS)
        raise ConfigError(f"{_place(method)}: auto goes on until its draws suffice; name the sampler ({others})")


def allowance(method: Mapping[str, Any], unit: str) -> float | None:
    """The budget in ``seconds`` or ``evaluations``, None where there is none."""
    value = (method.get("budget") or {}).get(unit)
    return None if value is None else float(value)


def em_iterations(method: Mapping[str, Any]) -> int:
    """The most iterations of each start of EM under the method's budget of evaluations.

    A start of plain EM needs two E-steps more than it makes iterations. An accelerated iteration takes at most two
    E-steps, the second where the first was refused, and some more confirm the end.

    Raises
    ------
    ConfigError
        If not even one iteration of each start fits.
    """
    evaluations = allowance(method, "evaluations")
    if evaluations is None:
        return int(method["max_iter"])
    plain = method["accelerate"] == "none" or (method["accelerate"] == "auto" and method["tol"] == 0)
    per_iteration, besides = (1, 2) if plain else (2, 2 + _PROBES)
    return _iterations(method, evaluations, per_iteration, besides)


def sklearn_iterations(method: Mapping[str, Any]) -> int:
    """The most iterations of each start of scikit-learn; its last E-step is one more, k-means is not counted.

    Raises
    ------
    ConfigError
        If not even one iteration of each start fits.
    """
    evaluations = allowance(method, "evaluations")
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


def in_rounds[T](attempt: Callable[[int], tuple[T, float]], seconds: float) -> tuple[list[T], float]:
    """Results of rounds 0, 1, ... and the seconds they took, until another round would not fit.

    ``attempt`` takes the round's number and returns its result with its run seconds; there is at least one round.
    """
    results: list[T] = []
    used = longest = 0.0
    while not results or used + longest <= seconds:
        result, took = attempt(len(results))
        results.append(result)
        used, longest = used + took, max(longest, took)
    return results, used


def draws_by_evaluations(
    method: Mapping[str, Any], *, chains: int, warmup: int, per_iteration: float, warmups: int = 1
) -> tuple[int, int]:
    """Warm-up and draws of each chain, such that all chains stay within the budget of evaluations.

    Parameters
    ----------
    method
        The method with its budget.
    chains, warmup
        The settings in force; a warm-up that the user has left open may be shortened to half of the budget.
    per_iteration
        Density evaluations of one iteration of one chain; those of the warm-up are counted as many.
    warmups
        How often the sampler warms up.

    Raises
    ------
    ConfigError
        If fewer than `FEWEST_DRAWS` draws fit.
    """
    evaluations = allowance(method, "evaluations")
    assert evaluations is not None
    iterations = evaluations / (chains * per_iteration)
    warmup = _affordable_warmup(method, warmup, iterations / warmups)
    draws = math.floor(iterations - warmups * warmup)
    if draws < FEWEST_DRAWS:
        least = math.ceil((FEWEST_DRAWS + warmups * warmup) * chains * per_iteration)
        raise ConfigError(
            f"{_place(method)}: {evaluations:g} evaluations are too few for {chains} chains with {warmup} iterations "
            f"of warm-up; give at least {least}, or lower chains or warmup"
        )
    return warmup, _at_most_given(method, draws)


def draws_by_seconds(
    method: Mapping[str, Any],
    *,
    warmup: int,
    per_iteration: float,
    per_draw: float,
    besides: float,
    warmups: int = 1,
) -> tuple[int, int]:
    """Warm-up and draws of each chain that fit into the seconds, at least `FEWEST_DRAWS`.

    ``per_iteration`` are seconds of one iteration of all chains, ``per_draw`` the same with what a draw that is kept
    costs later on (diagnostics, labels), ``besides`` seconds that do not depend on either.
    """
    seconds = allowance(method, "seconds")
    assert seconds is not None
    left = max(_MARGIN * seconds - besides, 0.0)
    per_warmup = warmups * max(per_iteration, 1e-9)
    warmup = _affordable_warmup(method, warmup, left / per_warmup)
    draws = math.floor((left - warmup * per_warmup) / max(per_draw, 1e-9))
    return warmup, _at_most_given(method, max(draws, FEWEST_DRAWS))


def _affordable_warmup(method: Mapping[str, Any], warmup: int, iterations: float) -> int:
    return warmup if method.get("warmup") is not None else min(warmup, int(_WARMUP_SHARE * iterations))


def _at_most_given(method: Mapping[str, Any], draws: int) -> int:
    return min(draws, method.get("draws") or MOST_DRAWS)


def _place(method: Mapping[str, Any]) -> str:
    return f"methods.{method.get('name') or method['kind']}.budget"
