"""The sampler's programs, compiled by a thread while EM is at work.

XLA gives Python's lock away while it compiles, so that on two cores the compilation of EM and that of Hamiltonian Monte
Carlo, the larger parts of a first run, take no longer than one of them.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable

import jax
import numpy as np

from emjax.bayes.hmc import HmcChains
from emjax.bayes.modes import LaplaceMixture, Mode
from emjax.bayes.target import Evaluator
from emjax.scope import computing

_PENDING: dict[object, list[concurrent.futures.Future[None]]] = {}
_LOCK = threading.Lock()


class Ahead:
    """Compiles the values and gradients of a target, and where asked for the chains that move on it.

    Programs are called once, at points that mean nothing: what is compiled ahead of a call but not called is compiled
    again by JAX. What was begun before for the same shapes is waited for, not done again. An error in the thread is
    left for the call that will meet it again.
    """

    def __init__(self, evaluate: Evaluator, *, chains: bool) -> None:
        self._evaluate = evaluate
        blocks = evaluate.data.blocks
        key = (evaluate.target, evaluate.lanes, blocks.x.shape, jax.tree.structure(blocks), chains)
        self._pending: list[concurrent.futures.Future[None]] = []
        if evaluate.target.family.one_thread:
            return
        with _LOCK:
            if key not in _PENDING:
                jobs: list[Callable[[], None]] = [self._values, *([self._chains] if chains else [])]
                pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="emjax-compile")
                _PENDING[key] = [pool.submit(job) for job in jobs]
                pool.shutdown(wait=False)
            self._pending = _PENDING[key]

    def values_ready(self) -> None:
        """Wait until the evaluator can be used: two threads that meet an uncompiled program would both compile it."""
        concurrent.futures.wait(self._pending[:1])

    def chains_ready(self) -> None:
        """Wait until the chains can be moved."""
        concurrent.futures.wait(self._pending)

    def _values(self) -> None:
        with computing():
            self._evaluate(np.zeros((1, self._evaluate.target.n_parameters)))

    def _chains(self) -> None:
        p = self._evaluate.target.n_parameters
        mode = Mode(np.zeros(p), 0.0, np.eye(p), 0.0, True, None)  # type: ignore[arg-type]
        modes = LaplaceMixture(self._evaluate.target, (mode,))
        with computing():
            starts = np.zeros((self._evaluate.lanes, p))
            chains = HmcChains(self._evaluate.target, self._evaluate.data, modes, starts, key=jax.random.key(0))
            chains.compile()
