"""The names of single numbers among a mixture's parameters, the same in every table: ``mean[0, eruptions]``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class ScalarParameter:
    """One number: its printed name, the array it lives in, and its place there."""

    name: str
    variable: str
    index: tuple[int, ...]

    @property
    def place(self) -> Any:
        """An index for arrays that lead with any other axes, such as chains and draws."""
        return (..., *self.index)


def scalar_parameters(named: Mapping[str, Any], feature_names: Sequence[str]) -> tuple[ScalarParameter, ...]:
    """Every single number of the named parameters that a person would read.

    Parameters
    ----------
    named
        ``Mixture.named_parameters``: arrays ``(K,)``, ``(K, d)`` or, for symmetric matrices with a known diagonal
        (correlations), ``(K, d, d)``, of which only the pairs below the diagonal are listed.
    feature_names
        The names of the ``d`` features.
    """
    found = []
    for variable, values in named.items():
        for index in np.ndindex(np.shape(values)):
            if len(index) == 3 and index[1] <= index[2]:
                continue
            labels = [str(index[0]), *(feature_names[i] for i in reversed(index[1:]))]
            found.append(ScalarParameter(f"{variable}[{', '.join(labels)}]", variable, index))
    return tuple(found)
