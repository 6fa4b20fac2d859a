r"""Ten more covariance structures: those whose components share volume, proportions or axes of their ellipsoids.

With the eigenvalues and eigenvectors of a covariance matrix it is

.. math:: \Sigma_k = \lambda_k D_k A_k D_k', \qquad |A_k| = 1,

of ``volume`` :math:`\lambda_k = |\Sigma_k|^{1/d}`, ``shape`` :math:`A_k` (diagonal) and ``orientation`` :math:`D_k`.
The three letters of a structure's name say of each whether it is equal (E) for all components, varies (V), or is the
identity (I): VEV has ellipsoids of one shape, each with a volume and axes of its own (Banfield and Raftery, Biometrics
49, 1993). Of the fourteen that there are, VVV is called full here, EEE tied, VVI diag and VII spherical.

The M-step minimises :math:`\sum_k n_k \log |\Sigma_k| + \mathrm{tr}(\Sigma_k^{-1} W_k)` for scatter matrices
:math:`W_k`. Most minimisers have a closed form (Celeux and Govaert, Pattern Recognition 28, 1995). Those of VEI, VEE
and VEV, whose volumes and shapes wait for each other, and the common axes of EVE and VVE, which are Flury's common
principal components (Journal of the American Statistical Association 79, 1984), do not. There an M-step goes one round
down from where the last one was, and EM, which only needs that (Dempster, Laird and Rubin, section 3), goes on.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.families.arrays import AnyArray
from emjax.families.domains import POSITIVE_SQUARE
from emjax.families.law import Law
from emjax.families.laws import InverseGamma, LogRatios, UniformRotations
from emjax.families.linalg import product
from emjax.families.matrices import Full
from emjax.families.parameters import Parameter, Unit, Values
from emjax.families.rotations import PROPORTIONS, ROTATIONS, continued, upright
from emjax.families.structure import CovarianceStructure
from emjax.families.variances import Diag
from emjax.moments import Summary
from emjax.scope import computing

_ROUNDS = 10
"""Of `estimate` where there is nothing to go on from. Matrices that are of the structure take one or two."""

_FEWEST_ROWS = 16
"""Components of the program that finds parameters on the host."""

_SHAPE_SCALE = 1.5
"""Of the log-ratios of the variances along the axes in the default prior: of two axes one is up to 4 times as long as
the other with probability 0.8."""

_LENGTHS = (1.0, 0.5, 0.25, 0.0625, 0.0)
"""Shares of a Newton step, of which the best is taken: none, where all go up."""


@dataclasses.dataclass(frozen=True)
class Decomposed(CovarianceStructure):
    """What the ten share, on top of the geometry of matrices or of variances; the fields are the letters of a name."""

    volume: str
    shape_letter: str
    orientation: str

    common_scale: ClassVar[bool] = True

    @property
    def shared(self) -> bool:
        return self.volume == "E" and self.shape_letter != "V"

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        found = {"volume": Parameter(POSITIVE_SQUARE, (), Unit.VARIANCE, shared=self.volume == "E")}
        if self.shape_letter != "I":
            found["shape"] = Parameter(PROPORTIONS, ("feature",), shared=self.shape_letter == "E")
        if self.orientation != "I":
            found["orientation"] = Parameter(ROTATIONS, ("feature", "feature"), shared=self.orientation == "E")
        return found

    def points_without_bound(self, n_features: int) -> int:
        if self.shape_letter == "V":
            return n_features if self.has_correlation else 1
        return 1 if self.volume == "V" else 0

    def default_laws(self, summary: Summary, n_components: int) -> dict[str, Law]:
        d, variances = summary.n_features, np.diag(summary.covariance)
        correlation = summary.covariance / np.sqrt(np.outer(variances, variances))
        # The variances alone where features determine each other: an ellipsoid without volume scales nothing.
        shape, turned = np.linalg.eigvalsh(correlation), self.orientation != "I"
        spread = np.exp(np.mean(np.log(variances)) + (np.mean(np.log(shape)) if turned and shape.min() > 1e-8 else 0.0))
        own: dict[str, Law] = {
            "volume": InverseGamma(np.asarray(1.5), np.asarray(0.5 * spread / n_components ** (2 / d))),
            "shape": LogRatios(np.asarray(_SHAPE_SCALE)),
            "orientation": UniformRotations(),
        }
        return {name: own[name] for name in self.parameters}

    def nearest(self, covariance: np.ndarray) -> np.ndarray:
        own = super().nearest(covariance)  # type: ignore[safe-super]
        means = np.zeros((len(covariance), covariance.shape[-1]))
        return np.asarray(self.of({**self.values(own), "mean": means}))

    # -- there and back

    def variances(self, params: Any) -> Any:
        """Those along the axes ``(..., K, d)``; NumPy in, NumPy out."""
        k, d = params["mean"].shape[-2:]
        volume = params["volume"]
        leading = volume.shape if self.volume == "E" else volume.shape[:-1]
        xp = np if isinstance(volume, np.ndarray | np.generic) else jnp
        found = xp.reshape(volume, (*leading, -1, 1)) * np.ones((k, d), volume.dtype)[(None,) * len(leading)]
        if self.shape_letter == "I":
            return found
        with np.errstate(over="ignore", invalid="ignore"):  # of a component that has collapsed
            return found * xp.reshape(params["shape"], (*leading, -1, d))

    def values(self, dispersion: AnyArray) -> Values:
        if not isinstance(dispersion, np.ndarray):
            return _nearest_values(self, dispersion, jnp.ones(dispersion.shape[0], dispersion.dtype))
        k = len(dispersion)
        # On the host one compiled program serves all numbers of components: the others have no data.
        rest = max(_FEWEST_ROWS, 1 << (k - 1).bit_length()) - k
        padded = np.pad(dispersion, ((0, rest), *((0, 0),) * (dispersion.ndim - 1)))
        with computing():  # float32 would lose what the matrices have
            found = _nearest_values(self, padded, np.pad(np.ones(k, dispersion.dtype), (0, rest)))
        shared = {name for name, one in self.parameters.items() if one.shared}
        return {name: np.asarray(each) if name in shared else np.asarray(each)[:k] for name, each in found.items()}

    def begun(self, scatter: Array) -> Values:
        """Parameters from which `estimate` starts where there are none."""
        k, d = scatter.shape[:2]
        own = {
            "volume": jnp.ones((k,), scatter.dtype),
            "shape": jnp.ones((k, d), scatter.dtype),
            "orientation": jnp.broadcast_to(jnp.eye(d, dtype=scatter.dtype), (k, d, d)),
        }
        if self.orientation != "I":
            _, axes = _eigen(scatter)
            pooled = _eigen(jnp.sum(scatter, axis=0, keepdims=True))[1]
            own["orientation"] = upright(axes if self.orientation == "V" else jnp.broadcast_to(pooled, axes.shape))
        return {name: own[name][0] if one.shared else own[name] for name, one in self.parameters.items()}

    def estimate(self, scatter: Array, counts: Float[Array, " K"], before: Any) -> Values:
        """The minimiser of ``sum_k n_k log |S_k| + tr(S_k^-1 W_k)``, or nearer to it than the parameters ``before``."""
        if self.orientation == "I":
            return self._scaled(scatter, counts, before)
        if self.orientation == "V":
            sums, axes = _eigen(scatter)
        else:
            axes = self._common(scatter, counts, before)
            sums = _along(axes[None], scatter)
        return {**self._scaled(sums, counts, before), "orientation": continued(axes, before["orientation"])}

    def _scaled(self, sums: Float[Array, "K d"], counts: Float[Array, " K"], before: Any) -> Values:
        """Volumes and shapes, given the sums of squares along the axes."""
        both = self.volume + self.shape_letter
        if both != "VE":
            found = _SCALES[both](sums, counts)
            return {name: each for name, each in zip(("volume", "shape"), found, strict=True) if each is not None}
        volume = _volumes(sums, counts, before["shape"])
        shape = _split(jnp.sum(sums * _inverse(volume)[:, None], axis=0))[1]
        return {"volume": _volumes(sums, counts, shape), "shape": shape}

    def _common(self, scatter: Float[Array, "K d d"], counts: Float[Array, " K"], before: Any) -> Float[Array, "d d"]:
        """The axes that all components have."""
        axes = before["orientation"]
        if self.shape_letter == "V":
            return _common_axes(scatter, counts, axes, equal_volume=self.volume == "E")
        volume = _volumes(_along(axes[None], scatter), counts, before["shape"])
        return _eigen(jnp.sum(scatter * _inverse(volume)[:, None, None], axis=0))[1]


@functools.partial(jax.jit, static_argnums=0)
def _nearest_values(structure: Decomposed, dispersion: Array, counts: Float[Array, " K"]) -> Values:
    begin = structure.begun(dispersion)
    return jax.lax.fori_loop(0, _ROUNDS, lambda _, found: structure.estimate(dispersion, counts, found), begin)


class DecomposedMatrices(Decomposed, Full):
    """Ellipsoids that are turned."""

    def of(self, params: Any) -> Any:
        axes, variances = params["orientation"], self.variances(params)
        if self.orientation == "E":
            axes = axes[..., None, :, :]
            axes = axes * np.ones((variances.shape[-2], 1, 1), variances.dtype)[(None,) * (axes.ndim - 3)]
        with np.errstate(over="ignore", invalid="ignore"):
            return product(axes * variances[..., None, :], axes.swapaxes(-1, -2))


class DecomposedVariances(Decomposed, Diag):
    """Ellipsoids along the features."""

    def of(self, params: Any) -> Any:
        return self.variances(params)


STRUCTURES: dict[str, CovarianceStructure] = {
    **{"".join(each): DecomposedVariances(*each) for each in map(tuple, ("EII", "EEI", "VEI", "EVI"))},
    **{"".join(each): DecomposedMatrices(*each) for each in map(tuple, ("VEE", "EVE", "VVE", "EEV", "VEV", "EVV"))},
}
"""The ten, by name."""


# -- volumes and shapes, given the sums of squares along the axes ``(K, d)``: minimisers of
# sum_k n_k d log v_k + sum_kj s_kj / (v_k a_kj)


def _all_equal(sums: Float[Array, "K d"], counts: Float[Array, " K"]) -> tuple[Array, Array]:
    return _split(jnp.sum(sums, axis=0) / jnp.sum(counts))


def _equal_spheres(sums: Float[Array, "K d"], counts: Float[Array, " K"]) -> tuple[Array, None]:
    return jnp.sum(sums) / (jnp.sum(counts) * sums.shape[1]), None


def _own_shapes(sums: Float[Array, "K d"], counts: Float[Array, " K"]) -> tuple[Array, Array]:
    geometric, shape = _split(jnp.where(counts[:, None] > 0, sums, 1.0))
    return jnp.sum(jnp.where(counts > 0, geometric, 0.0)) / jnp.sum(counts), shape


def _volumes(sums: Float[Array, "K d"], counts: Float[Array, " K"], shape: Float[Array, " d"]) -> Float[Array, " K"]:
    """The best ones for a shape that all have."""
    return jnp.sum(sums / shape[None], axis=1) / (sums.shape[1] * _held(counts))


def _all_own(sums: Float[Array, "K d"], counts: Float[Array, " K"]) -> tuple[Array, Array]:
    volume, shape = _split(jnp.where(counts[:, None] > 0, sums, 1.0))
    return jnp.where(counts > 0, volume, 0.0) / _held(counts), shape


_SCALES = {"EE": _all_equal, "EI": _equal_spheres, "EV": _own_shapes, "VV": _all_own}
"""By the letters of volume and shape."""


def _split(variances: Float[Array, "*s d"]) -> tuple[Float[Array, "*s"], Float[Array, "*s d"]]:
    """Geometric means, and what is left."""
    logs = jnp.log(variances)
    middle = jnp.mean(logs, axis=-1)
    return jnp.exp(middle), jnp.exp(logs - middle[..., None])


# -- axes


def _eigen(matrices: Float[Array, "*s d d"]) -> tuple[Float[Array, "*s d"], Float[Array, "*s d d"]]:
    """Eigenvalues, the largest first, and eigenvectors in columns."""
    if matrices.shape[-1] == 2:  # LAPACK takes longer to be called than this takes
        a, b, c = matrices[..., 0, 0], matrices[..., 1, 0], matrices[..., 1, 1]
        half, middle = 0.5 * (a - c), 0.5 * (a + c)
        largest = middle + jnp.hypot(half, b)
        least = jnp.where(largest > 0, (a * c - b * b) / jnp.where(largest > 0, largest, 1.0), 0.0)
        angle = 0.5 * jnp.arctan2(b, half)
        cosine, sine = jnp.cos(angle), jnp.sin(angle)
        rows = [jnp.stack([cosine, -sine], axis=-1), jnp.stack([sine, cosine], axis=-1)]
        return jnp.stack([largest, least], axis=-1), jnp.stack(rows, axis=-2)
    values, vectors = jnp.linalg.eigh(matrices)
    return values[..., ::-1], vectors[..., ::-1]


def _along(axes: Float[Array, "k d d"], scatter: Float[Array, "K d d"]) -> Float[Array, "K d"]:
    """The diagonals of ``D' W D``."""
    return jnp.sum(axes * product(scatter, jnp.broadcast_to(axes, scatter.shape)), axis=-2)


def _common_axes(
    scatter: Float[Array, "K d d"], counts: Float[Array, " K"], before: Float[Array, "d d"], *, equal_volume: bool
) -> Float[Array, "d d"]:
    """Of EVE and VVE: one sweep of rotations in the planes of two axes each, which go down by Newton's method.

    Volumes and shapes at given axes have closed forms; put into what is minimised, they leave the sum of
    ``n_k log prod_j s_kj`` or, where volumes are equal, ``n log sum_k (prod_j s_kj)^(1 / d)``, with the sums of
    squares ``s`` along the axes.
    """
    d = scatter.shape[-1]
    held = (counts > 0)[:, None]
    first, second = np.triu_indices(d, 1)

    def turned(i: Any, axes: Float[Array, "d d"]) -> Float[Array, "d d"]:
        one, other = jnp.asarray(first)[i], jnp.asarray(second)[i]
        along = product(scatter, jnp.broadcast_to(axes, scatter.shape))
        logs = jnp.log(jnp.where(held, jnp.sum(axes[None] * along, axis=-2), 1.0))
        rest = jnp.sum(logs, axis=1) - logs[:, one] - logs[:, other]
        a, b, c = (
            jnp.sum(axes[:, k][None] * along[:, :, j], axis=-1) for k, j in ((one, one), (other, one), (other, other))
        )

        def objective(angle: Float[Array, ""]) -> Float[Array, ""]:
            cosine, sine = jnp.cos(angle), jnp.sin(angle)
            cross = 2.0 * cosine * sine * b
            pair = (cosine**2 * a + sine**2 * c + cross) * (sine**2 * a + cosine**2 * c - cross)
            total = rest + jnp.log(jnp.where(held[:, 0], pair, 1.0))
            if equal_volume:
                return d * jnp.sum(counts) * jnp.log(jnp.sum(jnp.where(held[:, 0], jnp.exp(total / d), 0.0)))
            return jnp.sum(counts * total)

        def slope(angle: Float[Array, ""]) -> Float[Array, ""]:
            return jax.jvp(objective, (angle,), (jnp.ones_like(angle),))[1]

        none = jnp.zeros((), scatter.dtype)
        gradient, curvature = jax.jvp(slope, (none,), (jnp.ones_like(none),))
        curvature = jnp.abs(curvature)
        step = jnp.where(curvature > 0, -gradient / jnp.where(curvature > 0, curvature, 1.0), 0.0)
        angles = jnp.clip(step, -0.25 * np.pi, 0.25 * np.pi) * jnp.asarray(_LENGTHS, scatter.dtype)
        values = jax.vmap(objective)(angles)
        angle = angles[jnp.argmin(jnp.where(jnp.isfinite(values), values, jnp.inf))]
        cosine, sine = jnp.cos(angle), jnp.sin(angle)
        left, right = axes[:, one], axes[:, other]
        moved = axes.at[:, one].set(cosine * left + sine * right)
        return moved.at[:, other].set(cosine * right - sine * left)

    return jax.lax.fori_loop(0, len(first), turned, before) if d > 2 else turned(0, before) if d == 2 else before


def _held(counts: Float[Array, " K"]) -> Float[Array, " K"]:
    return jnp.maximum(counts, jnp.finfo(counts.dtype).tiny)


def _inverse(volume: Float[Array, " K"]) -> Float[Array, " K"]:
    """``1 / v``, zero for a component without data."""
    return jnp.where(volume > 0, 1.0 / jnp.where(volume > 0, volume, 1.0), 0.0)
