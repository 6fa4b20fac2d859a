"""The names of single numbers among a mixture's parameters, the same in every table: ``mean[0, eruptions]``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


CORRELATION, COVARIANCE = "correlation", "covariance"
"""What is told of each pair of features, wherever a family has it; short tables leave it out."""


def of_pairs(name: str) -> bool:
    """Whether a number or a parameter of this name is one of a pair of features."""
    return name.partition("[")[0] in (CORRELATION, COVARIANCE)


@dataclasses.dataclass(frozen=True)
class ScalarParameter:
    """One number: its printed name, the array it lives in, its place there, and the names of its features."""

    name: str
    variable: str
    index: tuple[int, ...]
    features: tuple[str, ...] = ()
    shared: bool = False

    @property
    def component(self) -> int | None:
        """The component that it belongs to, ``None`` where all share it."""
        return None if self.shared else self.index[0]

    @property
    def place(self) -> Any:
        """An index for arrays that lead with any other axes, such as chains and draws."""
        return (..., *self.index)


def scalar_parameters(
    named: Mapping[str, Any],
    feature_names: Sequence[str],
    levels: Sequence[Sequence[str]] | None = None,
    own_axes: Mapping[str, bool] | None = None,
) -> tuple[ScalarParameter, ...]:
    """Every single number of the named parameters that a person would read.

    Parameters
    ----------
    named
        ``Mixture.named_parameters``: arrays ``(K,)``, ``(K, d)`` or, for symmetric matrices with a known diagonal
        (correlations), ``(K, d, d)``, of which only the pairs below the diagonal are listed.
    feature_names
        The names of the ``d`` features.
    levels
        The names of each feature's levels where features are of categories: the last axis of ``(K, d, most levels)``,
        ``probability[0, colour, red]``; what is beyond a feature's own levels is not listed.
    own_axes
        Arrays whose further axes are numbered, ``slope[0, 1]``, and of each whether it has no axis of components.
    """
    found = []
    own_axes = own_axes or {}
    for variable, values in named.items():
        for index in np.ndindex(np.shape(values)):
            if variable in own_axes:
                name = f"{variable}[{', '.join(map(str, index))}]" if index else variable
                found.append(ScalarParameter(name, variable, index, shared=own_axes[variable]))
                continue
            if len(index) == 3 and (index[1] <= index[2] if not levels else index[2] >= len(levels[index[1]])):
                continue
            features = tuple(inner_names(index, feature_names, levels))
            name = f"{variable}[{', '.join((str(index[0]), *features))}]"
            found.append(ScalarParameter(name, variable, index, features))
    return tuple(found)


def parameter_frame(parameters: Sequence[ScalarParameter], columns: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """A pandas data frame of one row per number: ``parameter``, ``variable``, ``component``, ``feature``, and columns.

    ``feature`` is missing where a number has none, such as a weight, and names both features of a pair.
    """
    import pandas as pd

    features = [", ".join(each.features) or None for each in parameters]
    return pd.DataFrame(
        {
            "parameter": [each.name for each in parameters],
            "variable": [each.variable for each in parameters],
            "component": [each.component for each in parameters],
            "feature": pd.Series(features, dtype=object),
            **columns,
        }
    )


def inner_names(
    index: Sequence[int], feature_names: Sequence[str], levels: Sequence[Sequence[str]] | None = None
) -> list[str]:
    """The features that a number belongs to, or its feature and its level."""
    if levels and len(index) == 3:
        return [feature_names[index[1]], levels[index[1]][index[2]]]
    return [feature_names[place] for place in reversed(index[1:])]
