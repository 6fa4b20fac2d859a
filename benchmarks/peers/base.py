"""What a package must be able to do to take part."""

from __future__ import annotations

import abc
import importlib.util
from collections.abc import Callable
from importlib.metadata import version
from time import perf_counter
from typing import Any, ClassVar

import numpy as np

from benchmarks.workloads import Params


class Peer(abc.ABC):
    """One package with one float type. It lives in a process of its own, which holds one problem at a time."""

    name: ClassVar[str]
    dtype: ClassVar[str] = "float64"
    modules: ClassVar[tuple[str, ...]] = ()
    """The Python packages that it needs, the first being the one whose version is reported."""

    own_start: ClassVar[bool] = False
    """It cannot be given a start: the others then take the one it makes, and its time is a difference of two runs."""

    compiles: ClassVar[bool] = False
    """Its first call compiles, so that a second one is needed to know its speed."""

    most_features: ClassVar[float] = float("inf")
    """It is written for no more than this."""

    x: np.ndarray
    n_components: int
    covariance: str

    def missing(self) -> str:
        """Why it cannot take part; empty where it can."""
        absent = [name for name in self.modules if importlib.util.find_spec(name) is None]
        return f"not installed: {', '.join(absent)}" if absent else ""

    def version(self) -> str:
        """The version that takes part."""
        return version(self.modules[0].replace("sklearn", "scikit-learn"))

    def load(self, x: np.ndarray, n_components: int, covariance: str) -> None:
        """Take a problem: float64 data ``(n, d)``, the number of components, and ``"full"`` or ``"diag"``."""
        self.x, self.n_components, self.covariance = x, n_components, covariance

    @abc.abstractmethod
    def fit(self, start: Params, n_iter: int) -> tuple[Params, float]:
        """Exactly ``n_iter`` EM iterations from ``start``: the parameters, and wall seconds.

        The clock runs from a NumPy array in memory to NumPy parameters, conversions included; for programs outside
        Python from data in their memory to parameters in their memory.
        """

    def make_start(self) -> Params:
        """The start of a package that makes its own."""
        raise TypeError(f"{self.name} is given its start")


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """What a function returns, and the wall seconds it took."""
    begin = perf_counter()
    value = function()
    return value, perf_counter() - begin
