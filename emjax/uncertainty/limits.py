"""Up to which size of a problem standard errors are computed: by its numbers alone, never by the clock."""

from __future__ import annotations

from emjax.em.blocks import n_statistics
from emjax.mixture import Mixture

MOST_PARAMETERS = 2000
"""Matrices of all parameters by all parameters are decomposed: half a minute of one core at so many."""

MOST_OPERATIONS = 1e11
"""Rows times components times numbers of a datum, for each of three passes per parameter: a few minutes of one core."""

MOST_UNASKED = 1e9
"""The same for a profile that nobody asked for: some ten seconds."""

_PASSES = 3
"""Gradients of the log-likelihood per parameter: a column of the information, and two for the third-order shift."""

_PASSES_OF_ENDS = 24
"""The same for both ends of one number's profile: eight steps, an information and some gradients each."""

_OF_MATRICES = 70
"""What the matrices at those steps cost, whatever the rows: times the fourth power of the number of parameters."""

_REMEDY = "Fit.intervals(bounded=False) computes them in Python, whatever it takes."


def too_large(mixture: Mixture, shape: tuple[int, int], *, followed: bool = False) -> str:
    """Why intervals are left out for data of this ``shape``, in one sentence; empty where they are computed.

    ``followed``: whether the profile of every number is.
    """
    n_samples, n_parameters = shape[0], mixture.n_parameters(shape[1])
    if n_parameters > MOST_PARAMETERS:
        return f"Intervals were left out: {n_parameters:,} parameters, and {MOST_PARAMETERS:,} are the most. {_REMEDY}"
    operations = _operations(mixture, shape, followed=followed)
    if operations > MOST_OPERATIONS:
        return (
            f"Intervals were left out: {n_parameters:,} parameters of {n_samples:,} rows would take {operations:.0e} "
            f"operations, and {MOST_OPERATIONS:.0e} are the most. {_REMEDY}"
        )
    return ""


def is_quick(mixture: Mixture, shape: tuple[int, int]) -> bool:
    """Whether the profile of every number takes no more than seconds."""
    return _operations(mixture, shape, followed=True) <= MOST_UNASKED


def _operations(mixture: Mixture, shape: tuple[int, int], *, followed: bool) -> float:
    (n_samples, n_features), family = shape, mixture.family
    n_parameters = mixture.n_parameters(n_features)
    numbers = n_statistics(family, n_features) if family.natural else n_features
    passes = _PASSES_OF_ENDS * n_parameters if followed else _PASSES
    of_matrices = _OF_MATRICES * float(n_parameters) ** 4 if followed else 0.0
    return float(passes * n_parameters) * n_samples * mixture.n_components * numbers + of_matrices
