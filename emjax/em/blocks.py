"""The data as blocks: their size, their form, and the devices they lie on, all decided here.

**Size.** A block holds the sufficient statistics of its rows and, for every component of every start, log densities and
responsibilities. On a CPU it is as large as one core's cache takes; `docs/engine.md` has the measurements. On an
accelerator it takes a share of the memory, so that responsibilities never exist for all rows, but is not smaller than
what keeps the device busy; that is not measured yet.

**Shape.** The number of rows is rounded up, by rows of weight zero, to one of few, so that data sets of about one size
share their programs (see `emjax.programs`).

**Form.** The natural form (two matrix products, see `Family.natural`) where the family has one, unless ``exact``.

**Devices.** Cores are devices: where JAX has several (``jax_num_cpu_devices``, accelerators), each takes its share of
the blocks, and the statistics are added up over them.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import numpy as np

from emjax.em.rows import Rows
from emjax.families.base import Family
from emjax.families.observations import Observations
from emjax.families.patterns import grouped
from emjax.mixture import Mixture
from emjax.programs import STEPS, padded_rows
from emjax.threads import in_threads, pieces

AXIS = "data"
"""The mesh axis over which the blocks are spread."""

_CACHE_BYTES = 1 << 20
"""What one block's arrays may take: one core's second-level cache."""

_SMALLEST_BLOCK, _LARGEST_BLOCK = 128, 4096

_ACCELERATOR_SHARE, _FEWEST_BYTES, _MOST_BYTES = 64, 1 << 26, 1 << 30
"""On an accelerator a block's arrays take one in so many bytes of its memory, within these bounds."""

_SMALLEST_ACCELERATOR_BLOCK, _LARGEST_ACCELERATOR_BLOCK = 1 << 13, 1 << 22
"""Rows: fewer leave an accelerator's cores idle and its host busy, and more gain nothing."""

_STEPS_OF_SEVERAL = 32
"""Where there are many blocks, their rows take the time and not the compiling: less padding (see `padded_rows`)."""

_ALIGNED = 32
"""Several blocks have a multiple of so many rows each: at 4,015 rows an iteration took a fifth longer than at 4,000."""

_KEPT = 1 << 20
"""Blocks of data of at most so many numbers are kept with them; of more there is no second copy between calls."""

_BLOCKS_PER_DEVICE = 4
"""With fewer blocks for each device, adding up over devices costs more than it saves."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Blocks:
    """The data in equal blocks: `Observations` that lead with ``n_blocks``, and ``weights (n_blocks, block)``.

    Weights say how often a row counts, usually once, and zero where it is padding: a copy of a row that counts, so that
    it has a density wherever that has one. ``total_weight`` is their sum, ``()``. ``natural`` says in which form log
    densities and statistics are taken, ``mesh`` over which devices the blocks are spread, ``None`` for one, and
    ``counted`` whether any weight is neither zero nor one. ``excess`` ``(n_blocks, block)`` is
    `Family.natural_excess` of the rows, where the natural form is used and has one.
    """

    rows: Observations
    weights: Any
    total_weight: Any
    excess: Any = dataclasses.field(default=None, kw_only=True)
    natural: bool = dataclasses.field(metadata={"static": True})
    mesh: Any = dataclasses.field(default=None, metadata={"static": True})
    counted: bool = dataclasses.field(default=False, metadata={"static": True})

    @property
    def x(self) -> Any:
        """The features ``(n_blocks, d, block)``."""
        return self.rows.y

    @property
    def has_holes(self) -> bool:
        """Whether there are cells that were not observed."""
        return self.rows.seen is not None


def block_size(mixture: Mixture, n_features: int, itemsize: int, n_starts: int = 1) -> int:
    """How many rows a block has, a power of two: what fits one core's cache, or a share of an accelerator's memory.

    A block holds the sufficient statistics of its rows, and the log densities and responsibilities of every start.
    Measured on one core (see `docs/engine.md`), times are flat within a factor of two about this size.
    """
    k = mixture.n_components * n_starts
    width = 2 * k + n_statistics(mixture.family, n_features) if mixture.family.natural else 2 * k * (n_features + 1)
    n_bytes, smallest, largest = _room(jax.local_devices()[0])
    fitting = n_bytes // (width * itemsize)
    return min(max(1 << max(fitting.bit_length() - 1, 0), smallest), largest)


def _room(device: Any) -> tuple[int, int, int]:
    """The bytes a block's arrays may take on a device, and the fewest and the most rows."""
    if device.platform == "cpu":
        return _CACHE_BYTES, _SMALLEST_BLOCK, _LARGEST_BLOCK
    memory = (device.memory_stats() or {}).get("bytes_limit", 0)
    n_bytes = min(max(memory // _ACCELERATOR_SHARE, _FEWEST_BYTES), _MOST_BYTES)
    return n_bytes, _SMALLEST_ACCELERATOR_BLOCK, _LARGEST_ACCELERATOR_BLOCK


@functools.cache
def n_statistics(family: Family, n_features: int) -> int:
    """How many sufficient statistics a datum has, for a family with a natural form."""
    row = Observations(y=jax.ShapeDtypeStruct((n_features, 1), np.dtype("float32")))
    return int(jax.eval_shape(family.sufficient_statistics, row).shape[0])


def make_blocks(
    z: np.ndarray | Rows,
    mixture: Mixture,
    *,
    n_starts: int = 1,
    exact: bool = False,
    row_weights: np.ndarray | None = None,
    spread: bool = True,
) -> Blocks:
    """The data as blocks that fit the cache, spread over all devices; one block where the data are few.

    ``row_weights (n,)`` says how often each row counts, in place of the weights of `Rows`; a cell that is NaN was not
    observed. ``exact`` takes the family's own log densities and statistics, slower and with less rounding than the
    natural form. Without ``spread``, all lie on one device, in a shape that follows from that of the data alone. Of few
    data each layout is made once.
    """
    n_features = z.shape[1]
    largest = block_size(mixture, n_features, z.dtype.itemsize, n_starts)
    holes = z.has_holes if isinstance(z, Rows) else bool(np.isnan(np.sum(z)))
    given = z.weights if isinstance(z, Rows) and row_weights is None else row_weights
    layouts: dict[Any, Blocks] = {}
    if isinstance(z, Rows) and given is z.weights and z.values.size <= _KEPT:
        layouts = z.layouts
    total_weight = np.asarray(len(z) if given is None else given.sum(), z.dtype)
    counted, n_alike = given is not None, 1
    if holes and spread and mixture.family.shares_patterns:
        order, first, n_alike = grouped(np.isnan(z.values if isinstance(z, Rows) else z), largest)
        z = z.take(order) if isinstance(z, Rows) else z[order]
        given = first if given is None else first * given[order]
    n_rows = padded_rows(len(z), STEPS if len(z) <= largest else _STEPS_OF_SEVERAL)
    n_blocks = -(-n_rows // largest)
    mesh = _mesh(n_blocks) if spread else None
    if mesh is not None:
        n_blocks = -(-n_blocks // mesh.size) * mesh.size
    unit = max(1 if n_blocks == 1 else min(_ALIGNED, largest), n_alike)
    size = unit * -(-n_rows // (n_blocks * unit))
    layout = mixture.family, n_blocks, size, n_alike, exact, mesh
    if layout in layouts:
        return layouts[layout]
    x = _aligned_zeros((n_blocks, n_features, size), z.dtype)
    weights = np.zeros((n_blocks, size), z.dtype)
    known = z.labels if isinstance(z, Rows) else None
    labels = None if known is None else np.zeros((n_blocks, known.shape[1], size), z.dtype)
    natural = mixture.family.natural and not exact and (mixture.family.natural_with_holes or not holes)
    excess = None
    if natural and mixture.family.natural_excess(z[-1:]) is not None:
        excess = np.zeros_like(weights)
    _fill(z, given, mixture.family, x, weights, labels, excess)
    seen = None
    if holes:
        missing = np.isnan(x)
        seen = (~missing).astype(z.dtype)
        x[missing] = 0.0
    layouts[layout] = data = Blocks(
        rows=Observations(y=x, seen=seen, labels=labels, n_alike=n_alike),
        weights=weights,
        total_weight=total_weight,
        excess=excess,
        natural=natural,
        mesh=mesh,
        counted=counted,
    )
    if mesh is None:
        return data
    share, everywhere = jax.NamedSharding(mesh, jax.P(AXIS)), jax.NamedSharding(mesh, jax.P())
    places = dataclasses.replace(jax.tree.map(lambda leaf: share, data), total_weight=everywhere)
    return jax.device_put(data, places)


def _fill(
    z: np.ndarray | Rows, given: np.ndarray | None, family: Family, x: Any, weights: Any, labels: Any, excess: Any
) -> None:
    """Write the rows into blocks, some at a time; what is left of the last one are copies of the last row."""
    n_blocks, n_features, size = x.shape
    known = z.labels if isinstance(z, Rows) else None
    last = z[-1:].T

    def write(place: tuple[int, slice]) -> None:
        block, at = place
        source = slice(block * size + at.start, min(block * size + at.stop, len(z)))
        rows = z[source]
        filled, left = slice(at.start, at.start + len(rows)), slice(at.start + len(rows), at.stop)
        x[block, :, filled], x[block, :, left] = rows.T, last
        weights[block, filled] = 1.0 if given is None else given[source]
        if excess is not None:
            excess[block, filled] = family.natural_excess(rows)
        if known is not None:
            labels[block, :, filled], labels[block, :, left] = known[source].T, known[-1:].T

    in_threads(write, [(block, at) for block in range(n_blocks) for at in pieces(size, n_features)])


def _aligned_zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    # JAX takes an array on the host for its own without a copy where it begins at a multiple of 64 bytes.
    n_bytes = math.prod(shape) * dtype.itemsize
    memory = np.zeros(n_bytes + 64, np.uint8)
    begin = -memory.ctypes.data % 64
    return memory[begin : begin + n_bytes].view(dtype).reshape(shape)


def _mesh(n_blocks: int) -> jax.sharding.Mesh | None:
    n_devices = jax.local_device_count()
    if n_devices == 1 or n_blocks < _BLOCKS_PER_DEVICE * n_devices:
        return None
    return jax.make_mesh((n_devices,), (AXIS,), devices=jax.local_devices(), axis_types=(jax.sharding.AxisType.Auto,))
