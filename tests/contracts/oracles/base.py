"""What a row of the table brings to be judged by: its family once more, in NumPy and SciPy, with no code of emjax.

An oracle speaks of plain arrays. ``values`` are the parameters of all components, by the names that `Mixture.params`
takes; ``numbers`` are those of the prior of one component. How emjax's own objects hold them is said by
`Oracle.values`, `Oracle.numbers` and `Oracle.with_numbers` alone, and by the functions at the end of this file.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

import emjax

Values = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Oracle(abc.ABC):
    """A family as its textbook has it; ``rng`` is NumPy's, ``k`` counts components, ``d`` features."""

    prior_numbers: ClassVar[dict[str, tuple[str, str]]] = {}
    """For each number of the prior of one component, the site and the field of its law that hold it."""

    has_units: ClassVar[bool] = False
    """Whether the data may be shifted and scaled, and so have a frame; then there is `moved`."""

    has_origin: ClassVar[bool] = False
    """Whether zero is zero in all units, so that data are scaled and never shifted."""

    locations: ClassVar[tuple[str, ...]] = ()
    """The values that a shift of the data shifts, and rounds as it rounds the data."""

    has_scikit_learn: ClassVar[bool] = False
    """Whether there is `scikit_learn`, for normal components."""

    @property
    def setting(self) -> str:
        """What tells rows of one family apart, in their names."""
        return ""

    # -- what every oracle says

    @abc.abstractmethod
    def random(self, rng: np.random.Generator, k: int, d: int) -> Values:
        """Random parameters of components that overlap but are not alike."""

    @abc.abstractmethod
    def start(self, rng: np.random.Generator, x: np.ndarray, k: int) -> Values:
        """A random start inside the data."""

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, values: Values, labels: np.ndarray) -> np.ndarray:
        """One datum ``(n, d)`` from the component of each label."""

    @abc.abstractmethod
    def log_density(self, values: Values, x: np.ndarray) -> np.ndarray:
        """``log p(x_n | k)``, shape ``(K, n)``."""

    @abc.abstractmethod
    def moments(self, values: Values) -> tuple[np.ndarray, np.ndarray]:
        """Means ``(K, d)`` and covariance matrices ``(K, d, d)`` of the data of the components."""

    @abc.abstractmethod
    def maximize(self, x: np.ndarray, responsibilities: np.ndarray, numbers: Values | None) -> Values:
        """The M-step, one component at a time; responsibilities are ``(n, K)``, no numbers mean no prior."""

    @abc.abstractmethod
    def log_prior(self, values: Values, numbers: Values) -> float:
        """The prior's log density of all components."""

    @abc.abstractmethod
    def default_prior(self, x: np.ndarray, k: int) -> Values:
        """The numbers of the default prior, by the formulas of its documentation."""

    @abc.abstractmethod
    def other_prior(self, rng: np.random.Generator, numbers: Values) -> Values:
        """Numbers that are not the default ones, which are given: every one matters and differs between features."""

    # -- what most oracles need not say

    def step(self, x: np.ndarray, responsibilities: np.ndarray, numbers: Values | None, values: Values) -> Values:
        """The M-step after an E-step at ``values``, which only matter where more than labels is latent."""
        return self.maximize(x, responsibilities, numbers)

    def named(self, values: Values) -> Values:
        """What a person reads of the parameters."""
        return values

    def derived(self, values: Values) -> Values:
        """Further attributes of the parameters."""
        return {}

    def free(self, values: Values, d: int) -> list[Any]:
        """The values in the space that `Mixture.space` names, each number once; under a trace too."""
        return list(values.values())

    def of_features(self, values: Values, kept: np.ndarray) -> Values:
        """The values of some of the features, ``kept (d,)``; by default all of them stand along the features alone."""
        return {name: np.asarray(value)[:, kept] for name, value in values.items()}

    def moved(self, values: Values, scale: float, shift: float) -> Values:
        """The values for data in other units, ``shift + scale * x``."""
        raise TypeError(f"{type(self).__name__} has no units")

    def stands_for_another(self, d: int) -> bool:
        """Whether another row is the same model with so many features, as a test of the densities holds."""
        return False

    def scikit_learn(self, weights: np.ndarray, values: Values, **options: Any) -> Any:
        """The estimator of scikit-learn that starts from these parameters."""
        raise TypeError(f"scikit-learn has no mixture like that of {type(self).__name__}")

    # -- emjax's objects

    def values(self, params: emjax.MixtureParams) -> Values:
        """The values in emjax's parameters, as they are: traced ones too."""
        return {name: value for name, value in params.items() if name != "weights"}

    def numbers(self, prior: emjax.Prior) -> Values:
        """The numbers in emjax's prior."""
        return {name: np.asarray(getattr(prior[site], field)) for name, (site, field) in self.prior_numbers.items()}

    def with_numbers(self, prior: emjax.Prior, alpha: np.ndarray, **numbers: Any) -> emjax.Prior:
        """A prior with another concentration and other numbers; those that are not named stay."""
        changed = {"weights": emjax.laws.Dirichlet(alpha)}
        for name, value in numbers.items():
            site, field = self.prior_numbers[name]
            changed[site] = dataclasses.replace(changed.get(site, prior[site]), **{field: value})
        return prior.replace(**changed)


def concentration(prior: emjax.Prior) -> np.ndarray:
    """That of the weights, ``(K,)``."""
    return np.asarray(prior.concentration)


def flat(weights: Any, free: list[Any]) -> Any:
    """All free coordinates in one vector, also under a trace."""
    return jnp.concatenate([weights[:-1], *(value.ravel() for value in free)])
