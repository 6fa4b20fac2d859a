"""Draws as an ArviZ tree (``xarray.DataTree``), and its way to disk and back.

The groups and the names of dimensions follow ArviZ's schema from 1.0 on: ``posterior``, ``sample_stats``,
``log_likelihood``, ``observed_data``; every variable leads with ``chain, draw``, then ``component``, then
``feature`` and, for matrices, ``feature_bis``.
"""

import importlib.metadata
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, BinaryIO

import numpy as np
import xarray as xr

from emjax.errors import DataError
from emjax.files import user_path

_EVENT_DIMS = ("component", "feature", "feature_bis")


def to_tree(
    posterior: Mapping[str, np.ndarray],
    sample_stats: Mapping[str, np.ndarray],
    log_likelihood: np.ndarray | None,
    observed: np.ndarray | None,
    feature_names: Sequence[str],
    attrs: Mapping[str, Any] | None = None,
    *,
    log_likelihood_draws: Sequence[int] | np.ndarray | None = None,
    log_likelihood_rows: np.ndarray | None = None,
) -> xr.DataTree:
    """Put draws in an ArviZ tree.

    Parameters
    ----------
    posterior
        Variables ``(chain, draw, ...)``. What follows is named by its rank, ``component``, ``feature``,
        ``feature_bis``, provided that its lengths are those of the components (length of the first axis of
        ``weights``) and of ``feature_names``; any other axis becomes ``<variable>_dim_<i>``.
    sample_stats
        Variables ``(chain, draw)`` by ArviZ's names (``lp``, ``energy``, ``diverging``, ...).
    log_likelihood
        Log density of every datum under the mixture with the component marginalised, ``(chain, n_kept,
        n_samples)``, in nats; it may hold fewer draws than the posterior and fewer rows than the data. None leaves the
        group out.
    observed
        The data ``(n_samples, n_features)``. None leaves the group out.
    feature_names
        Labels of the ``feature`` coordinate.
    attrs
        Attributes of the root (texts and numbers).
    log_likelihood_draws
        Which draws ``log_likelihood`` holds, ``(n_kept,)``; by default the first, or every
        ``draw // n_kept``-th where that divides evenly.
    log_likelihood_rows
        Which rows of the data ``log_likelihood`` holds, its coordinate ``sample``; by default the first.

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
        "posterior": _posterior(posterior, features),
        "sample_stats": _dataset(
            {name: (("chain", "draw"), array) for name, array in sample_stats.items()}, n_chains, n_draws
        ),
    }
    if log_likelihood is not None:
        groups["log_likelihood"] = _log_likelihood(
            log_likelihood, n_chains, n_draws, log_likelihood_draws, log_likelihood_rows
        )
    if observed is not None:
        groups["observed_data"] = xr.Dataset(
            {"x": (("sample", "feature"), np.asarray(observed))},
            coords={"sample": np.arange(len(observed)), "feature": features},
        )
    for dataset in groups.values():
        dataset.attrs = _provenance()
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {**_provenance(), **dict(attrs or {})}
    return tree


def _posterior(variables: Mapping[str, np.ndarray], features: list[str]) -> xr.Dataset:
    n_chains, n_draws = next(iter(variables.values())).shape[:2]
    n_components = variables["weights"].shape[2] if "weights" in variables else None
    dims: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    used: set[str] = set()
    for name, array in variables.items():
        event = array.shape[2:]
        lengths = (n_components, len(features), len(features))[: len(event)]
        own_dims = tuple(f"{name}_dim_{i}" for i in range(len(event)))
        inside = _EVENT_DIMS[: len(event)] if event == lengths else own_dims
        used.update(inside)
        dims[name] = (("chain", "draw", *inside), np.asarray(array))
    labels = {"component": np.arange(n_components or 0), "feature": features, "feature_bis": features}
    return _dataset(dims, n_chains, n_draws, {dim: labels[dim] for dim in _EVENT_DIMS if dim in used})


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
    dataset = _dataset({"x": (("chain", "draw", "sample"), values)}, n_chains, n_kept)
    sample = np.arange(values.shape[2]) if rows is None else np.asarray(rows, dtype=np.int64)
    return dataset.assign_coords(draw=np.asarray(kept, dtype=np.int64), sample=sample)


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


def _provenance() -> dict[str, Any]:
    """The attributes that ArviZ's schema asks for."""
    return {
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "creation_library": "emjax",
        "creation_library_language": "Python",
        "inference_library": "numpyro",
        "inference_library_version": importlib.metadata.version("numpyro"),
        "sample_dims": ["chain", "draw"],
    }


def save_tree(tree: xr.DataTree, path: str | os.PathLike[str]) -> None:
    """Write a tree as NetCDF-4 (HDF5), readable by ``xarray.open_datatree`` and ``arviz.from_netcdf``.

    Floats are compressed losslessly. An existing file is replaced.

    Notes
    -----
    The file is made in memory first: HDF5 ends the process by a segmentation fault where it cannot close a file on a
    full disk.

    Raises
    ------
    OSError
        If the file cannot be written.
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
    content = bytes(tree.to_netcdf(engine="h5netcdf", encoding={path: e for path, e in encoding.items() if e}))
    user_path(path).write_bytes(content)


def load_tree(path: str | os.PathLike[str] | BinaryIO) -> xr.DataTree:
    """Read a tree written by :func:`save_tree` into memory; the file is closed again. It may be open already.

    Raises
    ------
    DataError
        If the file is missing or is not a NetCDF-4 file.
    """
    if isinstance(path, str | os.PathLike):
        path = user_path(path, DataError)
        if not path.is_file():
            raise DataError(f"{path}: no such file; give the path of a posterior.nc")
    try:
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            return tree.load()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a NetCDF-4 file that can be read ({error})") from error
