"""Random keys as users give them: one of JAX's keys, a whole number, or none, which is then drawn and kept."""

from __future__ import annotations

import secrets
from typing import Any, SupportsIndex

import jax
import numpy as np

from emjax.bounds import BOUNDS, whole, written
from emjax.errors import ConfigError
from emjax.scope import refuse_traced

KeyLike = SupportsIndex | jax.Array | np.ndarray | None
"""What ``key=`` takes: a whole number from 0 to 2**32 - 1, a JAX key of the new or the old style, or None."""


def as_key(value: Any, name: str = "key") -> jax.Array:
    """A JAX key from a whole number, which is ``jax.random.key(number)``, or from a key of either style.

    Raises ConfigError in one line for anything else, and for an array of several keys. Keys may be traced.
    """
    if is_key(value):
        key = _typed(value, name)
        if np.shape(key) != ():
            raise ConfigError(f"{name} holds {np.size(key)} keys; give one of them, or a whole number")
        return key
    return jax.random.key(_number(value, name))


def _number(value: Any, name: str) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        least, most = BOUNDS["key"]
        raise ConfigError(
            f"{name} = {written(value)} is no random key; "
            f"give a whole number from {least:,} to {most:,}, or jax.random.key(number)"
        )
    return whole("key", value, shown=name)


def kept_key(of: str, value: Any, name: str = "key") -> Any:
    """What a result keeps so that it can be had again: the key that was given, or a number drawn where it is None.

    Raises ConfigError in one line for what is no key, and TypeError for one that is traced, which ``of`` refuses.
    """
    refuse_traced(of, value)
    if value is None:
        return drawn_seed()
    return as_key(value, name) if is_key(value) else _number(value, name)


def split_keys(of: str, value: Any, number: int) -> list[Any]:
    """``number`` keys as results keep them: those of a sequence or array, or one (or None, which is drawn) split.

    Raises ConfigError in one line for what are no keys, and where there are not as many.
    """
    refuse_traced(of, value)
    keys = _typed(value, "keys") if is_key(value) else value
    if hasattr(keys, "__len__") and not isinstance(keys, str) and getattr(keys, "ndim", 1) > 0:
        several = list(keys)
    else:
        several = list(jax.random.split(as_key(kept_key(of, keys, "keys"), "keys"), number))
    if len(several) != number:
        raise ConfigError(f"{number} data sets need as many keys, not {len(several)}; or give one, which is split")
    return [kept_key(of, key, f"keys[{place}]") for place, key in enumerate(several)]


def numpy_generator(key: KeyLike, *more: int) -> np.random.Generator:
    """NumPy's generator from a random key, and from further whole numbers where there are many of one key."""
    return np.random.default_rng([*np.asarray(jax.random.key_data(as_key(key))).ravel(), *more])


def drawn_seed() -> int:
    """A whole number that nobody can foresee, from the operating system; NumPy's and JAX's global states stay."""
    return secrets.randbits(32)


def is_key(value: Any) -> bool:
    """Whether this is an array of JAX keys, traced or not, of the new or the old style; a number is none."""
    return _is_typed(value) or (getattr(value, "dtype", None) == np.uint32 and np.ndim(value) > 0)


def _is_typed(value: Any) -> bool:
    return isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)


def _typed(value: Any, name: str) -> jax.Array:
    if _is_typed(value):
        return value
    try:
        return jax.random.wrap_key_data(value)
    except (TypeError, ValueError):
        raise ConfigError(
            f"{name} has the shape {np.shape(value)}, which is not that of a key; give jax.random.key(number)"
        ) from None
