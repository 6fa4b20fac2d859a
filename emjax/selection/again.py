"""Models of a sweep fitted again, to parts of the rows or to samples of them, a thread for each structure."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from emjax.em.fit import fit_in_sweep
from emjax.errors import EmjaxError
from emjax.result import Fit
from emjax.samples import Samples
from emjax.selection.selection import Candidate
from emjax.selection.side_by_side import Counted, side_by_side

Again = Callable[[int, int, Fit | None, int], None]
"""Is handed the place of a model, the round, its fit or None, and to how many components programs are filled up."""


def fit_again(
    chosen: Sequence[Candidate],
    rounds: Iterable[int],
    data: Callable[[Samples, int], Samples],
    use: Again,
    *,
    key: Any,
    n_init: int,
    tell: Callable[[int, int], None] | None,
) -> None:
    """Fit each model to the ``data`` of each round, made of its rows that count, and hand the fit to ``use``.

    Fits begin from the one to all rows and from ``n_init`` drawn starts. Models of one family and structure share a
    program, and what they are fitted to. ``tell`` hears how many fits are done.
    """
    rounds = list(rounds)
    counted = Counted(tell, len(rounds) * len(chosen))

    def work(name: str, stop: threading.Event) -> None:
        own = [place for place, each in enumerate(chosen) if each.name == name]
        largest = max(chosen[place].n_components for place in own)
        rows = samples_of(chosen[own[0]])
        for number in rounds:
            samples = data(rows, number)
            for place in own:
                if stop.is_set():
                    return
                use(place, number, _fitted(chosen[place], samples, key, n_init, largest), largest)
                counted.one_more()

    if side_by_side([functools.partial(work, name) for name in dict.fromkeys(each.name for each in chosen)]):
        raise KeyboardInterrupt


def samples_of(candidate: Candidate) -> Samples:
    """The rows that count."""
    assert candidate.fit is not None
    return candidate.fit.samples.counted


def _fitted(candidate: Candidate, samples: Samples, key: Any, n_init: int, largest: int) -> Fit | None:
    assert candidate.fit is not None
    mixture = dataclasses.replace(candidate.fit.mixture, prior=candidate.prior)
    options: dict[str, Any] = {"key": key, "n_init": n_init, "max_iter": 10_000, "tol": 1e-6, "filled": largest}
    try:
        return fit_in_sweep(mixture, samples, beside=[candidate.fit.params], **options)
    except EmjaxError:
        return None
