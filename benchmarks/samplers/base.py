"""What every package is given and what it owes: a problem with its prior, and draws in the data's units."""

from __future__ import annotations

import abc
import dataclasses
import importlib.util
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np


@dataclasses.dataclass(frozen=True)
class ConjugatePrior:
    r"""Weights :math:`\mathrm{Dirichlet}(1, \dots, 1)`, :math:`\mu_k \mid \Sigma_k \sim N(m, \Sigma_k / \kappa)`,
    :math:`\Sigma_k \sim \mathrm{IW}(\nu, \Psi)`: emjax's default prior, written out for packages that do not know it.

    Attributes
    ----------
    mean, precision, degrees_of_freedom, scatter
        :math:`m` of shape ``(d,)``, :math:`\kappa`, :math:`\nu` and :math:`\Psi` of shape ``(d, d)``.
    """

    mean: np.ndarray
    precision: float
    degrees_of_freedom: float
    scatter: np.ndarray


def default_prior(x: np.ndarray, n_components: int) -> ConjugatePrior:
    """The prior of Fraley and Raftery (2007), as in `emjax.families.normal`, from data ``(n, d)``."""
    d = x.shape[1]
    scatter = np.atleast_2d(np.cov(x, rowvar=False, bias=True)) / n_components ** (2 / d)
    return ConjugatePrior(mean=x.mean(axis=0), precision=0.01, degrees_of_freedom=d + 2.0, scatter=scatter)


@dataclasses.dataclass(frozen=True)
class Problem:
    """Data ``(n, d)``, and how many normals with full covariances they are a mixture of."""

    name: str
    x: np.ndarray
    n_components: int

    @property
    def title(self) -> str:
        """Name and sizes."""
        n, d = self.x.shape
        return f"{self.name}, n={n:,} d={d} K={self.n_components}"

    @property
    def prior(self) -> ConjugatePrior:
        """The default prior of these data."""
        return default_prior(self.x, self.n_components)


@dataclasses.dataclass(frozen=True)
class Settings:
    """How much is drawn; None is the package's own default. ``method`` is read by emjax alone."""

    chains: int | None = None
    warmup: int | None = None
    draws: int | None = None
    method: str = ""

    def given(self) -> dict[str, int]:
        """Those of the three numbers that are not None."""
        numbers = {"chains": self.chains, "warmup": self.warmup, "draws": self.draws}
        return {name: value for name, value in numbers.items() if value is not None}


@dataclasses.dataclass(frozen=True)
class Draws:
    """Draws of a run, labels as they came.

    Attributes
    ----------
    weights, mean, covariance
        Shapes ``(chain, draw, K)``, ``(chain, draw, K, d)`` and ``(chain, draw, K, d, d)``.
    warmup
        Iterations that were thrown away, per chain; None where the package does not say.
    notes
        What the package says of the run: its method, its status.
    """

    weights: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    warmup: int | None
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def size(self) -> str:
        """Chains, warm-up and draws, as a table shows them."""
        chains, draws = self.weights.shape[:2]
        return f"{chains:,} × {draws:,}" if self.warmup is None else f"{chains:,} × ({self.warmup:,} + {draws:,})"


class Sampler(abc.ABC):
    """A package; nothing of it is imported before `load`."""

    title: ClassVar[str]
    modules: ClassVar[tuple[str, ...]]
    """What it needs, as imported; the first has the version."""

    def missing(self) -> str:
        """Why it cannot run; empty where it can."""
        absent = [name for name in self.modules if importlib.util.find_spec(name) is None]
        return f"not installed: {', '.join(absent)}" if absent else ""

    def version(self) -> str:
        """The versions of what it needs."""
        return ", ".join(f"{name} {version(name)}" for name in self.modules)

    @abc.abstractmethod
    def load(self, problem: Problem, settings: Settings) -> None:
        """Import the package, declare the model and compile what is compiled apart from sampling."""

    @abc.abstractmethod
    def sample(self, seed: int) -> Draws:
        """Sample from nothing but what `load` prepared; called again, it may use whatever is compiled already."""
