"""The methods of a study: each takes replicates of a cell and gives an `Outcome` for each of them.

| file | kinds |
|---|---|
| ``em.py`` | ``em``, ``map``: all replicates of a job at once |
| ``samplers.py`` | the samplers of `emjax.catalogue`: one replicate after the other |
| ``peers.py`` | ``sklearn`` |
| ``../own.py`` | functions of the user's own |
| ``budgets.py`` | what ``budget`` leaves of iterations, starts and draws |
| ``shared.py`` | failures that stay with their replicate, keys, the time limit |
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emjax.catalogue import SAMPLERS
from emjax.errors import ConfigError
from emjax.experiments.work.outcome import Outcome, Replicate

_FILES = {
    "em": "methods.em",
    "map": "methods.em",
    **dict.fromkeys(SAMPLERS, "methods.samplers"),
    "sklearn": "methods.peers",
    "own": "own",
}


def iterate_method(
    spec: Mapping[str, Any], replicates: Sequence[Replicate], *, deadline: float | None = None
) -> Iterator[Outcome]:
    """Run the method of a job on replicates, all of one shape, and yield the outcome of each in their order.

    One after the other, so that a posterior is dropped before the next is drawn. What fails on one replicate is an
    outcome with the status ``failed``; what is wrong for every replicate raises ConfigError. From the ``deadline`` on,
    a value of ``time.monotonic``, no further one is begun: TimeLimitReached.
    """
    kind = spec["method"]["kind"]
    if kind not in _FILES:
        raise ConfigError(f"methods: kind = {kind!r} is not one of {', '.join(map(repr, _FILES))}")
    # A peer needs no JAX, and EM no sampler: each file is imported by the jobs that need it.
    module = importlib.import_module(f"emjax.experiments.work.{_FILES[kind]}")
    yield from module.outcomes(spec, replicates, deadline=deadline)
