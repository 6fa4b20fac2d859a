"""Whether two results are the same to the last bit."""

import dataclasses

import jax
import numpy as np

import emjax
from emjax.keys import is_key


def same(one, two, path=""):
    """Assert that two results are equal in every field, bit by bit, and return how many numbers were compared."""
    assert type(one) is type(two) or {type(one), type(two)} <= {float, np.float64, int, np.int64, bool, np.bool_}, path
    if dataclasses.is_dataclass(one):
        pairs = [(field.name, getattr(one, field.name), getattr(two, field.name)) for field in dataclasses.fields(one)]
    elif isinstance(one, emjax.MixtureParams | emjax.Prior):
        return same(one.__reduce__()[1], two.__reduce__()[1], path)
    elif isinstance(one, dict):
        assert list(one) == list(two), path
        pairs = [(key, one[key], two[key]) for key in one]
    elif isinstance(one, tuple | list):
        assert len(one) == len(two), path
        pairs = [(str(place), *pair) for place, pair in enumerate(zip(one, two, strict=True))]
    elif hasattr(one, "subtree"):
        assert one.identical(two), path
        return sum(group.dataset.nbytes // 8 for group in one.subtree)
    else:
        one, two = (jax.random.key_data(value) if is_key(value) else value for value in (one, two))
        assert np.asarray(one).dtype == np.asarray(two).dtype, path
        assert np.array_equal(one, two, equal_nan=isinstance(one, float) or np.asarray(one).dtype.kind == "f"), path
        return np.size(one)
    return sum(same(first, second, f"{path}.{name}") for name, first, second in pairs)
