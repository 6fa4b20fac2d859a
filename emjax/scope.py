"""What holds while emjax computes, whatever the user has set for the rest of the program.

Everything that computes does so inside `computing`: in the precision that was asked for, and with those of JAX's
checks off that would stop at what belongs to the method. EM takes logarithms of zero weights and tells a collapsed
start by the NaN that it leaves; both are looked at, and end as a status. Afterwards the user's settings are as they
were (and in all other threads meanwhile).
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import jax

from emjax.errors import EmjaxError

_NEEDED: dict[str, tuple[Any, Any]] = {
    "jax_debug_nans": (False, jax.debug_nans),
    "jax_debug_infs": (False, jax.debug_infs),
    "jax_numpy_dtype_promotion": ("standard", jax.numpy_dtype_promotion),
    "jax_transfer_guard_host_to_device": ("allow", jax.transfer_guard_host_to_device),
    "jax_transfer_guard_device_to_device": ("allow", jax.transfer_guard_device_to_device),
    "jax_transfer_guard_device_to_host": ("allow", jax.transfer_guard_device_to_host),
}
"""JAX's settings with the value that we need, and what sets one for a while."""

_has_computed = False
_is_fork = False


@contextmanager
def computing(float64: bool = True) -> Iterator[None]:
    """Compute in float64 (or float32), with JAX's other settings as emjax needs them.

    Raises EmjaxError in a process that was forked from one in which emjax has computed: JAX would wait there for
    threads that do not exist.
    """
    global _has_computed
    if _is_fork:
        raise EmjaxError(
            "this process was forked from one in which emjax had computed, and JAX does not work in such a process: "
            "start processes with multiprocessing.get_context('spawn')"
        )
    _has_computed = True
    with ExitStack() as stack:
        # Only what differs: a setting that is made is part of the key of every compiled program.
        for name, (value, set_to) in _NEEDED.items():
            if getattr(jax.config, name) not in (value, None):
                stack.enter_context(set_to(value))
        stack.enter_context(jax.enable_x64(float64))
        yield


def refuse_traced(what: str, *values: Any) -> None:
    """Raise a TypeError if any of the values is traced (`jax.jit`, `jax.vmap`, `jax.grad`); ``what`` refuses them."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values)):
        raise TypeError(
            f"{what} cannot be called inside jax.jit, jax.vmap or jax.grad: it decides on the host how to go on; "
            "Mixture.log_prob, responsibilities and sample can be traced; emjax.em.many.fit_many fits many data sets"
        )


def _after_fork() -> None:
    global _is_fork
    _is_fork = _has_computed


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
