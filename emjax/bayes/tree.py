"""Draws as an ArviZ tree (``xarray.DataTree``), and its way to disk and back.

The groups and the names of dimensions follow ArviZ's schema from 1.0 on: ``posterior``, ``sample_stats``,
``log_likelihood``, ``observed_data``; every variable leads with ``chain, draw``, then ``mixture_component`` (ArviZ's
`psense_summary` has a dimension ``component`` of its own), then ``feature`` and, for matrices, ``feature_bis``. Of
correlation matrices, whose diagonal is known and whose halves are alike, the pairs are stored: ``pair``. Features of
categories have probabilities of each ``level``.
"""

import importlib.metadata
import io
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

from emjax.datasets.packed import check_unpacked, one_line
from emjax.errors import DataError
from emjax.files import user_path

_ROUNDING = 1e-6

_EVENT_DIMS = ("mixture_component", "feature", "feature_bis")


def to_tree(
    posterior: Mapping[str, np.ndarray],
    sample_stats: Mapping[str, np.ndarray],
    log_likelihood: np.ndarray | None,
    observed: np.ndarray | None,
    feature_names: Sequence[str],
    attrs: Mapping[str, Any] | None = None,
    *,
    log_likelihood_draws: Sequence[int] | np.ndarray | None = None,
    library: str = "emjax",
    log_likelihood_rows: np.ndarray | None = None,
    levels: Sequence[Sequence[str]] | None = None,
    own_axes: Mapping[str, bool] | None = None,
) -> xr.DataTree:
    """Put draws in an ArviZ tree.

    Parameters
    ----------
    posterior
        Variables ``(chain, draw, ...)``. What follows is named by its rank, ``mixture_component``, ``feature``,
        ``feature_bis``, provided that its lengths are those of ``weights`` and ``feature_names``; any other becomes
        ``<variable>_dim_<i>``. Of matrices with a unit diagonal only the pairs below it are kept, see `stored_draws`.
    sample_stats
        Variables ``(chain, draw)`` by ArviZ's names (``lp``, ``energy``, ``diverging``, ...).
    log_likelihood
        Log density of every datum, ``(chain, n_kept, n_samples)``, in nats; it may hold fewer draws than the posterior
        and fewer rows than the data. None leaves the group out.
    observed
        The data ``(n_samples, n_features)``. None leaves the group out.
    feature_names
        Labels of the ``feature`` coordinate.
    attrs
        Attributes of the root.
    log_likelihood_draws
        Which draws ``log_likelihood`` holds, ``(n_kept,)``; by default the first, or every ``draw // n_kept``-th.
    library
        The package whose sampler it was.
    log_likelihood_rows
        Which rows of the data ``log_likelihood`` holds, its coordinate ``row``; by default the first.
    levels
        The names of each feature's levels: the third axis is then ``level``. Where features have the same levels these
        are its labels; elsewhere they are numbered, and ``level_name (feature, level)`` has their names.
    own_axes
        Variables whose axes become ``<variable>_dim_<i>``, and of each whether it has no axis of components.

    Returns
    -------
    xarray.DataTree

    Raises
    ------
    DataError
        If an array does not lead with the (chain, draw) of the others.
    """
    if not posterior:
        raise DataError("posterior: no variable was given; pass at least one array (chain, draw, ...)")
    features = [str(name) for name in feature_names]
    n_chains, n_draws = next(iter(posterior.values())).shape[:2]
    for group, arrays in (("posterior", posterior), ("sample_stats", sample_stats)):
        for name, array in arrays.items():
            if array.shape[:2] != (n_chains, n_draws):
                raise DataError(f"{group}[{name!r}] has shape {array.shape}; it must lead with ({n_chains}, {n_draws})")
    groups = {
        "posterior": posterior_dataset(posterior, features, levels, own_axes),
        "sample_stats": _dataset(
            {name: (("chain", "draw"), array) for name, array in sample_stats.items()}, n_chains, n_draws
        ),
    }
    if log_likelihood is not None:
        groups["log_likelihood"] = _log_likelihood(
            log_likelihood, n_chains, n_draws, log_likelihood_draws, log_likelihood_rows
        )
    if observed is not None:
        groups["observed_data"] = data_dataset(np.asarray(observed), features)
    provenance = _provenance(library)
    tree = xr.DataTree.from_dict({name: dataset.assign_attrs(provenance) for name, dataset in groups.items()})
    tree.attrs = {**provenance, **dict(attrs or {})}
    return tree


def extended(tree: xr.DataTree, groups: Mapping[str, xr.Dataset]) -> xr.DataTree:
    """A tree with further groups, made by emjax; the arrays of the others are shared."""
    provenance = _provenance("emjax")
    held = {name: node.to_dataset(inherit=False) for name, node in tree.children.items()}
    more = {name: dataset.assign_attrs(provenance) for name, dataset in groups.items()}
    whole = xr.DataTree.from_dict({**held, **more})
    whole.attrs = dict(tree.attrs)
    return whole


def data_dataset(
    values: np.ndarray, features: list[str], rows: np.ndarray | None = None, draws: np.ndarray | None = None
) -> xr.Dataset:
    """Data ``([chain, draw,] n_samples, n_features)`` as the variable ``x``, with no axis for a single feature.

    ArviZ compares what is observed with the log-likelihood row by row, which has no features.
    """
    dims = ("chain", "draw", "row", "feature")[4 - values.ndim :]
    labels = {"chain": np.arange(len(values)), "draw": draws, "row": rows, "feature": features}
    labels["row"] = np.arange(values.shape[-2]) if rows is None else rows
    if len(features) == 1:
        values, dims = values[..., 0], dims[:-1]
    return xr.Dataset({"x": (dims, values)}, coords={dim: labels[dim] for dim in dims})


def stored_draws(group: Any) -> dict[str, np.ndarray]:
    """The draws ``(chain, draw, ...)`` of the group ``posterior`` in the family's shapes, with pairs made matrices."""
    drawn = {}
    for name, array in group.data_vars.items():
        values = np.asarray(array.values)
        if "pair" in array.dims:
            n_features = group.sizes["feature"]
            below, left = np.tril_indices(n_features, -1)
            matrices = np.broadcast_to(np.eye(n_features), (*values.shape[:-1], n_features, n_features)).copy()
            matrices[..., below, left] = matrices[..., left, below] = values
            values = matrices
        drawn[str(name)] = values
    return drawn


def posterior_dataset(
    variables: Mapping[str, np.ndarray],
    features: list[str],
    levels: Sequence[Sequence[str]] | None = None,
    own_axes: Mapping[str, bool] | None = None,
) -> xr.Dataset:
    """Draws of parameters ``(chain, draw, ...)`` with named dimensions, see `to_tree`."""
    n_chains, n_draws = next(iter(variables.values())).shape[:2]
    n_components = variables["weights"].shape[2] if "weights" in variables else None
    event_dims = (*_EVENT_DIMS[:2], "level") if levels else _EVENT_DIMS
    most_lengths = n_components, len(features), max(map(len, levels)) if levels else len(features)
    below, left = np.tril_indices(len(features), -1)
    dims: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    used: set[str] = set()
    inside: tuple[str, ...]
    for name, array in variables.items():
        event = array.shape[2:]
        lengths = most_lengths[: len(event)]
        own_dims = tuple(f"{name}_dim_{i}" for i in range(len(event)))
        if own_axes and name in own_axes:
            inside = own_dims if own_axes[name] else (_EVENT_DIMS[0], *own_dims[:-1])
        else:
            inside = event_dims[: len(event)] if event == lengths else own_dims
        if inside == _EVENT_DIMS and _has_unit_diagonal(array):
            inside, array = (_EVENT_DIMS[0], "pair"), array[..., below, left]
        used.update(inside)
        dims[name] = (("chain", "draw", *inside), np.asarray(array))
    pairs = [f"{features[j]}, {features[i]}" for i, j in zip(below, left, strict=True)]
    labels = {_EVENT_DIMS[0]: np.arange(n_components or 0), "feature": features, "feature_bis": features, "pair": pairs}
    coords: dict[str, Any] = {dim: labels[dim] for dim in labels if dim in used}
    coords |= _level_coords(levels) if levels and "level" in used else {}
    return _dataset(dims, n_chains, n_draws, coords)


def _level_coords(levels: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The labels of levels: their names where features have the same, otherwise numbers with a table of names."""
    if len(set(map(tuple, levels))) == 1:
        return {"level": list(levels[0])}
    most = max(map(len, levels))
    names = [[*own, *[""] * (most - len(own))] for own in levels]
    return {"level": np.arange(most), "level_name": (("feature", "level"), names)}


def _has_unit_diagonal(matrices: np.ndarray) -> bool:
    """Whether these are correlations of two features or more; draws that are no numbers say nothing against it."""
    diagonal = np.diagonal(matrices, axis1=-2, axis2=-1)
    return diagonal.shape[-1] > 1 and not np.any(np.abs(diagonal - 1.0) > _ROUNDING)


def _log_likelihood(values: np.ndarray, n_chains: int, n_draws: int, kept: Any, rows: np.ndarray | None) -> xr.Dataset:
    values = np.asarray(values)
    if values.ndim != 3 or values.shape[0] != n_chains or values.shape[1] > n_draws:
        raise DataError(
            f"log_likelihood has shape {values.shape}; it must be ({n_chains}, at most {n_draws} draws, n_samples)"
        )
    n_kept = values.shape[1]
    if kept is None:
        stride = n_draws // n_kept if n_kept and n_draws % n_kept == 0 else 1
        kept = range(0, stride * n_kept, stride)
    dataset = _dataset({"x": (("chain", "draw", "row"), values)}, n_chains, n_kept)
    row = np.arange(values.shape[2]) if rows is None else np.asarray(rows, dtype=np.int64)
    return dataset.assign_coords(draw=np.asarray(kept, dtype=np.int64), row=row)


def _dataset(
    variables: Mapping[str, tuple[tuple[str, ...], np.ndarray]],
    n_chains: int,
    n_draws: int,
    coords: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    return xr.Dataset(
        dict(variables),
        coords={"chain": np.arange(n_chains), "draw": np.arange(n_draws), **dict(coords or {})},
    )


def _provenance(library: str) -> dict[str, Any]:
    """The attributes that ArviZ's schema asks for."""
    return {
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "creation_library": "emjax",
        "creation_library_version": importlib.metadata.version("emjax"),
        "creation_library_language": "Python",
        "inference_library": library,
        "inference_library_version": importlib.metadata.version(library),
        "sample_dims": ["chain", "draw"],
    }


def save_tree(tree: xr.DataTree, path: str | os.PathLike[str]) -> None:
    """Write a tree as NetCDF-4 (HDF5), readable by ``xarray.open_datatree`` and ``arviz.from_netcdf``.

    An existing file is replaced; raises OSError if the file cannot be written.
    """
    user_path(path).write_bytes(tree_bytes(tree))


def tree_bytes(tree: xr.DataTree) -> bytes:
    """The content of the file of a tree, its floats packed losslessly.

    It is made in memory: HDF5 ends the process by a segmentation fault where it cannot close a file on a full disk.
    """
    encoding = {
        group.path: {
            str(name): {"zlib": True, "complevel": 1}
            for name, variable in group.to_dataset(inherit=False).data_vars.items()
            if variable.dtype.kind == "f" and variable.ndim > 0
        }
        for group in tree.subtree
    }
    # A copy: what is returned looks into a buffer that must not outlive a failed write.
    return bytes(tree.to_netcdf(engine="h5netcdf", encoding={path: e for path, e in encoding.items() if e}))


def draws_of(tree: xr.DataTree) -> dict[str, np.ndarray]:
    """The draws of all chains, ``(chain * draw, ...)``, by variable."""
    variables = tree["posterior"].dataset.data_vars
    return {str(name): values.values.reshape(-1, *values.shape[2:]) for name, values in variables.items()}


def load_tree(file: str | os.PathLike[str] | bytes) -> xr.DataTree:
    """Read a tree written by :func:`save_tree` into memory; ``file`` is its path, or its content.

    Raises
    ------
    DataError
        If the file is missing, is not a NetCDF-4 file, or would fill the memory: it is packed to next to nothing.
    """
    place = "a tree" if isinstance(file, bytes) else str(file)
    if not isinstance(file, bytes):
        path = user_path(file, DataError)
        if not path.is_file():
            raise DataError(f"{path}: no such file; give the path of a posterior.nc")
        file = path.read_bytes()
    try:
        with xr.open_datatree(io.BytesIO(file), engine="h5netcdf") as tree:
            check_unpacked(sum(group.dataset.nbytes for group in tree.subtree), len(file), place)
            return tree.load()
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{place}: not a NetCDF-4 file that can be read ({one_line(error)})") from error
