"""Data sets: bundled ones by name, files by path, and simulated ones.

>>> import emjax
>>> emjax.datasets.load("faithful").shape
(272, 2)
"""

from emjax.datasets import simulate
from emjax.datasets.bundled import CATALOGUE, Entry
from emjax.datasets.dataset import Dataset
from emjax.datasets.readers import load
from emjax.errors import DataError

__all__ = ["Dataset", "Entry", "available", "describe", "load", "simulate"]


def available() -> tuple[str, ...]:
    """The names of the bundled data sets, in alphabetical order."""
    return tuple(sorted(CATALOGUE))


def describe(name: str) -> Entry:
    """The catalogue entry (shape, source, licence, description) of one bundled data set.

    Raises:
        DataError: if no bundled data set has this name.
    """
    if name not in CATALOGUE:
        raise DataError(f"there is no bundled data set {name!r}: choose from {', '.join(available())}")
    return CATALOGUE[name]
