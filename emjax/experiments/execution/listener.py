"""What a run says while it works. By itself nobody hears it: who wants to hear gives an object that does more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emjax.bayes.progress import ChainProgress


class Bars:
    """How far the stages of a run are; a stage is known from when it is first heard of."""

    def update(self, stage: str, completed: int, total: int | None = None, detail: str = "") -> None:
        """``stage`` has come to ``completed`` of ``total``, None where nobody knows it; ``detail`` says more."""

    def finish(self, stage: str, detail: str = "") -> None:
        """``stage`` is done, however far it came (EM stops when it has converged)."""


class Listener:
    """Hears what a run says; does nothing with it."""

    def log(self, line: str) -> None:
        """A line of a log that was asked for."""

    def warn(self, message: str) -> None:
        """What should not have happened."""

    def note(self, message: str) -> None:
        """What was decided."""

    @contextmanager
    def bars(self, wanted: bool = True) -> Iterator[Bars]:
        """Hears of progress during the block; ``wanted=False`` where a log is printed, which is progress enough."""
        yield Bars()


class ChainBars:
    """Tells of a sampler's chains as stages, made when the first of them is heard of: until then nobody knows how many.

    A handful of chains are a stage each. More are one, which stands where the slowest of them stands: chains that
    move in lockstep would fill a screen with the same bar. Each phase counts from nothing, because a method that
    goes on until its draws suffice cannot say beforehand how many it will take.
    """

    MOST_BARS = 4

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._done: dict[tuple[int, str, int], list[int]] = {}

    def __call__(self, phase: str, done: int, total: int, info: ChainProgress) -> None:
        n_chains = len(info.divergences)
        if n_chains <= self.MOST_BARS:
            self._bars.update(f"chain {info.chain + 1}", done, total, _phase_text(phase, info.divergences[info.chain]))
            return
        reached = self._done.setdefault((n_chains, phase, total), [0] * n_chains)
        reached[info.chain] = done
        self._bars.update(f"{n_chains} chains", min(reached), total, _phase_text(phase, sum(info.divergences)))


def _phase_text(phase: str, n_divergent: int) -> str:
    return "warm-up" if phase == "warmup" else f"draws, {n_divergent} divergent"
