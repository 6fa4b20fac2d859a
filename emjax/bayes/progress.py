"""How samplers say what they are doing, and what every one of them can be asked for."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, runtime_checkable

from emjax.bounds import share, whole

Phase = Literal["warmup", "draws"]


class ChainProgress(NamedTuple):
    """What is known of one chain between two chunks.

    Attributes
    ----------
    chain
        Index of the chain that has just moved on.
    divergences
        Divergent transitions of each chain in the phase that is reported.
    step_size
        Present step size of each chain (NaN before its first chunk, and where there is none).
    """

    chain: int
    divergences: tuple[int, ...]
    step_size: tuple[float, ...]


@runtime_checkable
class OnProgress(Protocol):
    """Called in the caller's thread after every chunk of every chain.

    ``done`` of ``total`` iterations of ``phase`` are complete for chain ``info.chain``; per chain and
    phase, ``done`` only grows. An exception raised here (or Ctrl-C) stops all chains within one chunk and
    passes through.
    """

    def __call__(self, phase: Phase, done: int, total: int, info: ChainProgress) -> None: ...


def check_settings(
    warmup: int | None, draws: int | None, target_accept_prob: float | None, chains: int | None = None
) -> None:
    """Raise `ConfigError` if one of the settings that a user gives is out of its range."""
    for name, value in {"chains": chains, "warmup": warmup, "draws": draws}.items():
        if value is not None:
            whole(name, value)
    if target_accept_prob is not None:
        share("target_accept_prob", target_accept_prob)
