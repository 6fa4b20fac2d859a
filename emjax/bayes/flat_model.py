"""A NumPyro program as a function of one flat vector, and the points from which chains start on it.

Samplers move in the unconstrained space: the values of the sites, each sent through the inverse of the
bijection of its support, ravelled and joined in the order of the sites' names. :class:`FlatModel` is that
view of any NumPyro program without discrete latent sites; :func:`overdispersed_starts` draws starts around
a mode.

What was measured (K=2 normal mixture, d=2, 272 points, 11 parameters, two cores, float64, seconds for trace
+ lower + compile): ``value_and_grad`` 0.12 + 0.06 + 0.6 and ``jax.hessian`` 0.4 + 0.1 + 1.3 as two
programs; ``jax.hessian`` by ``lax.map`` 0.1 + 0.1 + 1.3; one program that gives value, gradient and one
Hessian-vector product 0.06 + 0.06 + 0.9. The last is used for all three: the Hessian is its columns, one
call of 0.2 ms each. ``unconstrain_fn`` outside ``jit`` compiles dozens of single operations: 1.6 s against
0.5 s inside. Lower XLA optimisation levels save at most 0.2 s per program and were left alone.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from emjax.errors import ConfigError

MAX_HESSIAN_PARAMETERS = 200
"""Above this many parameters no Hessian is formed: its columns would cost more than an adapted warm-up."""

_ATTEMPTS = 20
_SHRINK = 0.8
_FALLBACK_SCALE = 0.1
_EIGENVALUE_FLOOR = 1e-8


@dataclass(frozen=True)
class _Arguments:
    """A model's arguments, split in arrays (traced: data are never constants of a program) and the rest."""

    treedef: Hashable
    static: tuple[Hashable, ...]

    @staticmethod
    def split(model_args: tuple, model_kwargs: Mapping[str, Any] | None) -> "tuple[_Arguments, list[Any]]":
        leaves, treedef = jax.tree.flatten((tuple(model_args), dict(model_kwargs or {})))
        is_array = [isinstance(leaf, np.ndarray | np.generic | jax.Array) for leaf in leaves]
        static = tuple(_ARRAY if array else leaf for leaf, array in zip(leaves, is_array, strict=True))
        arrays = [leaf for leaf, array in zip(leaves, is_array, strict=True) if array]
        return _Arguments(treedef, static), arrays

    def join(self, arrays: Sequence[Any]) -> tuple[tuple, dict[str, Any]]:
        remaining = iter(arrays)
        leaves = [next(remaining) if leaf is _ARRAY else leaf for leaf in self.static]
        return jax.tree.unflatten(self.treedef, leaves)


class _ArrayMark:
    """Stands in ``_Arguments.static`` where an array belongs."""


_ARRAY = _ArrayMark()


@dataclass(frozen=True)
class FlatModel:
    """A NumPyro program whose latent sites are one flat unconstrained vector.

    The object is static and hashable; the arrays among the model's arguments stand apart and are passed to
    each method. Two flat models that compare equal share their compiled programs within a process, so a
    model should be a module-level function or an object with value equality (a frozen dataclass), not a new
    closure per call.

    Attributes
    ----------
    model
        The NumPyro program.
    sites
        Pairs (name, unconstrained shape), ordered by name: the order of the entries of the flat vector.
    arguments
        How to rebuild the program's arguments from the list of arrays.
    """

    model: Callable[..., Any]
    sites: tuple[tuple[str, tuple[int, ...]], ...]
    arguments: _Arguments

    @staticmethod
    def build(
        model: Callable[..., Any],
        model_args: tuple,
        model_kwargs: Mapping[str, Any] | None,
        position: Mapping[str, Any],
    ) -> "tuple[FlatModel, list[Any]]":
        """The flat model and the arrays for its methods; ``position`` gives the unconstrained shapes."""
        sites = tuple((name, np.shape(position[name])) for name in sorted(position))
        arguments, arrays = _Arguments.split(model_args, model_kwargs)
        return FlatModel(model, sites, arguments), arrays

    @property
    def n_parameters(self) -> int:
        """Length of the flat vector."""
        return sum(int(np.prod(shape)) for _, shape in self.sites)

    def ravel(self, position: Mapping[str, Any]) -> np.ndarray:
        """Flat vectors ``(..., n_parameters)`` of positions with leading batch axes ``(...)``."""
        pieces = []
        for name, shape in self.sites:
            value = np.asarray(position[name])
            batch = value.shape[: value.ndim - len(shape)]
            pieces.append(value.reshape(*batch, int(np.prod(shape))))
        return np.concatenate(pieces, axis=-1)

    def unravel(self, flat: Any) -> dict[str, Any]:
        """The inverse of :meth:`ravel`, for NumPy and traced arrays alike."""
        position, begin = {}, 0
        for name, shape in self.sites:
            end = begin + int(np.prod(shape))
            position[name] = flat[..., begin:end].reshape(*flat.shape[:-1], *shape)
            begin = end
        return position

    def potential(self, flat: jax.Array, arrays: Sequence[Any]) -> jax.Array:
        """Minus the log joint density in the unconstrained space (with the log-Jacobians); traceable."""
        from numpyro.infer.util import potential_energy

        args, kwargs = self.arguments.join(arrays)
        return potential_energy(self.model, args, kwargs, self.unravel(flat))

    def constrain(self, flat: jax.Array, arrays: Sequence[Any]) -> dict[str, jax.Array]:
        """Values of the latent and deterministic sites at one flat vector; traceable."""
        from numpyro.infer.util import constrain_fn

        args, kwargs = self.arguments.join(arrays)
        return constrain_fn(self.model, args, kwargs, self.unravel(flat), return_deterministic=True)


@partial(jax.jit, static_argnums=0)
def value_gradient_curvature(
    flat_model: FlatModel, flat: jax.Array, direction: jax.Array, arrays: Sequence[Any]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Potential, gradient, and Hessian times ``direction``: the one derivative program of this module."""
    value_and_grad = jax.value_and_grad(flat_model.potential)
    (value, gradient), (_, curvature) = jax.jvp(lambda z: value_and_grad(z, arrays), (flat,), (direction,))
    return value, gradient, curvature


@partial(jax.jit, static_argnums=(0, 1))
def _unconstrain(
    model: Callable[..., Any], arguments: _Arguments, values: dict[str, Any], arrays: Sequence[Any]
) -> dict[str, jax.Array]:
    from numpyro.infer.util import unconstrain_fn

    args, kwargs = arguments.join(arrays)
    return unconstrain_fn(model, args, kwargs, values)


def unconstrain(
    model: Callable[..., Any],
    model_args: tuple,
    model_kwargs: Mapping[str, Any] | None,
    constrained_values: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """Values of the latent sites of a NumPyro program, moved to the unconstrained space.

    Parameters
    ----------
    model, model_args, model_kwargs
        The program and its arguments.
    constrained_values
        A value for every latent site (no leading axis), in natural units.

    Returns
    -------
    dict of str to numpy.ndarray
        The same names with unconstrained values, ordered by name.
    """
    dtype = jnp.result_type(float)
    values = {name: np.asarray(constrained_values[name], dtype) for name in sorted(constrained_values)}
    arguments, arrays = _Arguments.split(model_args, model_kwargs)
    unconstrained = _unconstrain(model, arguments, values, arrays)
    return {name: np.asarray(unconstrained[name]) for name in values}


class ChainStarts(NamedTuple):
    """Where chains start.

    Attributes
    ----------
    starts
        Unconstrained values of the sites with a leading chain axis.
    inverse_mass_matrix
        Covariance of the Laplace approximation, ``(n_parameters, n_parameters)``, in the order of the flat
        vector (sites by name), or None where there is none.
    note
        One sentence that says how the starts were drawn and what had to be mended.
    """

    starts: dict[str, np.ndarray]
    inverse_mass_matrix: np.ndarray | None
    note: str


def overdispersed_starts(
    model: Callable[..., Any],
    model_args: tuple,
    model_kwargs: Mapping[str, Any] | None,
    mode: Mapping[str, Any],
    *,
    key: jax.Array,
    chains: int,
    inflation: float = 2.0,
) -> ChainStarts:
    r"""Starts spread wider than the posterior around a mode, so that agreement of the chains means something.

    With :math:`H` the Hessian of the potential at the mode :math:`\hat z`, chain :math:`c` starts at
    :math:`z_c = \hat z + s_c \, L \varepsilon_c`, :math:`L L^\top = H^{-1}`, :math:`\varepsilon_c \sim
    \mathcal N(0, I)`, where :math:`s_c` is ``inflation``. A start with a non-finite potential or gradient,
    or with a potential further above the mode than ten times the :math:`s^2 d / 2` that the quadratic form
    leads one to expect (plus 20), is drawn again with :math:`s_c` shrunk by 0.8, at most 20 times.

    A Hessian that is not positive definite has its eigenvalues replaced by their absolute values, bounded
    below at 1e-8 of the largest. With more than 200 parameters, or a Hessian that is not finite, the starts
    are :math:`\hat z + 0.1 s \max(1, |\hat z|) \varepsilon` and there is no mass matrix.

    Parameters
    ----------
    model, model_args, model_kwargs
        The NumPyro program and its arguments.
    mode
        Unconstrained values of all latent sites, without a chain axis (see :func:`unconstrain`). It need
        not be an exact mode of the potential: EM's MAP in natural parameters is near enough.
    key
        Random key; the same key gives the same starts.
    chains
        Number of starts.
    inflation
        How many posterior standard deviations the spread is (unitless).

    Returns
    -------
    ChainStarts

    Raises
    ------
    ConfigError
        If ``chains`` or ``inflation`` is not positive, or the potential at the mode is not finite.

    References
    ----------
    Gelman & Rubin (1992), Statistical Science 7, on overdispersed starts.
    """
    if chains < 1:
        raise ConfigError(f"chains={chains}: at least one chain is needed; give a positive number")
    if not inflation > 0:
        raise ConfigError(f"inflation={inflation}: the spread of the starts must be positive; 2.0 is the default")
    flat_model, arrays = FlatModel.build(model, model_args, model_kwargs, mode)
    center = flat_model.ravel(mode).astype(jnp.result_type(float))
    evaluate = partial(value_gradient_curvature, flat_model)
    zero = np.zeros_like(center)
    value, gradient, _ = evaluate(center, zero, arrays)
    if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
        raise ConfigError(
            f"the log density at the point given as mode is not finite (potential {float(value)}); "
            "start from parameters inside their supports, for instance from a fit that has converged"
        )
    scale_matrix, covariance, note = _spread(flat_model, center, arrays)

    # NumPy draws from the key's words: as random as jax.random here, and nothing to compile.
    generator = np.random.default_rng(_key_words(key))
    limit = float(value) + 10 * inflation**2 * center.size / 2 + 20

    def is_acceptable(point: np.ndarray) -> bool:
        point_value, point_gradient, _ = evaluate(point, zero, arrays)
        return bool(np.isfinite(point_value) and np.all(np.isfinite(point_gradient)) and point_value <= limit)

    drawn = [_draw_start(generator, center, inflation * scale_matrix, is_acceptable) for _ in range(chains)]
    if n_redrawn := sum(attempts > 1 for _, attempts in drawn):
        note += f"; {n_redrawn} of {chains} starts were drawn again with a smaller spread"
    return ChainStarts(flat_model.unravel(np.stack([point for point, _ in drawn])), covariance, note)


def _draw_start(
    generator: np.random.Generator,
    center: np.ndarray,
    scale_matrix: np.ndarray,
    is_acceptable: Callable[[np.ndarray], bool],
) -> tuple[np.ndarray, int]:
    """One start and the number of attempts it took; the mode itself if none of them was acceptable."""
    for attempt in range(_ATTEMPTS):
        step = scale_matrix @ generator.standard_normal(center.size)
        point = (center + _SHRINK**attempt * step).astype(center.dtype)
        if is_acceptable(point):
            return point, attempt + 1
    return center, _ATTEMPTS + 1


def _spread(
    flat_model: FlatModel, center: np.ndarray, arrays: Sequence[Any]
) -> tuple[np.ndarray, np.ndarray | None, str]:
    """A square root of the covariance to draw from, the covariance as mass matrix (or None), and the note."""
    fallback = np.diag(_FALLBACK_SCALE * np.maximum(1.0, np.abs(center)))
    if center.size > MAX_HESSIAN_PARAMETERS:
        return (
            fallback,
            None,
            f"starts jittered around the mode ({center.size} parameters: no Hessian formed)",
        )
    hessian = _hessian(flat_model, center, arrays)
    if not np.all(np.isfinite(hessian)):
        return fallback, None, "starts jittered around the mode (the Hessian there is not finite)"
    eigenvalues, vectors = np.linalg.eigh(hessian)
    magnitudes = np.abs(eigenvalues)
    floor = _EIGENVALUE_FLOOR * magnitudes.max()
    if floor == 0:
        return fallback, None, "starts jittered around the mode (the Hessian there is zero)"
    n_mended = int(np.sum(eigenvalues < floor))
    root = vectors / np.sqrt(np.maximum(magnitudes, floor))
    note = "starts drawn around the mode from its Laplace approximation in the unconstrained space"
    if n_mended:
        note += f" (Hessian not positive definite: {n_mended} of {center.size} eigenvalues mended)"
    return root, root @ root.T, note


def _hessian(flat_model: FlatModel, center: np.ndarray, arrays: Sequence[Any]) -> np.ndarray:
    """Exact Hessian of the potential by automatic differentiation, one column per call."""
    directions = np.eye(center.size, dtype=center.dtype)
    columns = [np.asarray(value_gradient_curvature(flat_model, center, e, arrays)[2]) for e in directions]
    hessian = np.stack(columns, axis=1).astype(np.float64)
    return (hessian + hessian.T) / 2


def _key_words(key: jax.Array) -> list[int]:
    """The integers inside a JAX random key, typed or raw."""
    words = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    return [int(word) for word in np.asarray(words).ravel()]
