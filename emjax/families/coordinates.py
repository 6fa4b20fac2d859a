r"""Parameters as one flat vector of free coordinates, and back: the one place that lays them out.

Each parameter stands in the free coordinates of its domain (`emjax.families.domains`), in the order of the names. How
weights :math:`w_1 \ldots w_K` stand beside them, a chart says:

``"ratios"``
    :math:`\log w_k - \log w_K` of all but the last, at the end. As many numbers as are free: densities are taken here.
``"logarithms"``
    :math:`\log w_k` of all, at the beginning. Here the steps of EM are told and extrapolated: beside a last weight of
    zero all ratios are infinite, and a weight of zero must not hide how the others move.
``None``
    Not at all, and what belongs to each component is a row: ``(K, q)``, or one row of everything where components
    share a parameter. Here the M-step moves components, which do not touch each other, by Newton's method.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from emjax.families.domains import REAL
from emjax.families.parameters import MixtureParams
from emjax.families.priors import WEIGHTS

Chart = Literal["ratios", "logarithms"] | None


@dataclasses.dataclass(frozen=True)
class Coordinates:
    """The coordinates of a mixture; hashable, a static argument of jitted functions.

    Attributes
    ----------
    family, n_components, n_features
        Of what mixture, and of how many features its data are.
    weights
        The chart of the weights; see the module.
    """

    family: Any
    n_components: int
    n_features: int
    weights: Chart = "ratios"

    # -- what stands where

    @functools.cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the free coordinates by name, in the order in which they stand in the vector."""
        k, lengths = self.n_components, self.family.lengths(self.n_features)
        own = {name: p.domain.free_shape(p.shape(k, lengths)) for name, p in sorted(self.family.parameters.items())}
        n_ratios, n_logs = (k - 1, k) if self.family.weighted else (0, 0)
        charts = {"ratios": {**own, WEIGHTS: (n_ratios,)}, "logarithms": {WEIGHTS: (n_logs,), **own}, None: own}
        return charts[self.weights]

    @property
    def n_parameters(self) -> int:
        """Length ``p`` of the flat vector; with log-ratios, the number of free parameters."""
        return sum(map(math.prod, self._shapes.values()))

    @functools.cached_property
    def places(self) -> dict[str, Int[np.ndarray, "..."]]:
        """Where in the flat vector the coordinates of each parameter stand, in their own shape."""
        return self._split(np.arange(self.n_parameters))

    @property
    def of_weights(self) -> slice:
        """Where the weights stand."""
        first, last = self._shapes[WEIGHTS][0], self.n_parameters
        return slice(0, first) if self.weights == "logarithms" else slice(last - first, last)

    @functools.cached_property
    def curved(self) -> Float[np.ndarray, " q"]:
        """1 where a coordinate of a row of components is not the number itself, else 0; without weights."""
        n_rows = 1 if self.family.joint else self.n_components
        return np.concatenate(
            [
                np.full(math.prod(shape) // n_rows, float(self.family.parameters[name].domain is not REAL))
                for name, shape in self._shapes.items()
            ]
        )

    @functools.cached_property
    def component_places(self) -> Int[np.ndarray, "K q"]:
        """The places of what belongs to each component; weights, and what all components share, are left out."""
        own = [self.places[name] for name, parameter in sorted(self.family.parameters.items()) if not parameter.shared]
        none = np.zeros((self.n_components, 0), int)
        return np.concatenate([none, *(each.reshape(self.n_components, -1) for each in own)], axis=1)

    # -- there and back, traceable

    def flat(self, params: Any) -> Float[Array, "*rows p"]:
        """The flat vector ``(p,)`` of parameters, or without weights the rows of their components."""
        free = {name: parameter.domain.to_free(params[name]) for name, parameter in self.family.declared}
        if self.weights is not None:
            logs = jnp.log(params[WEIGHTS])
            free[WEIGHTS] = self._ratios(logs)
            return jnp.concatenate([free[name].reshape(-1) for name in self._shapes])
        n_rows = 1 if self.family.joint else self.n_components
        return jnp.concatenate([free[name].reshape(n_rows, -1) for name in self._shapes], axis=1)

    def params(self, flat: Float[Array, "*rows p"]) -> MixtureParams:
        """The inverse of `flat`; without weights where there are none."""
        free = self._split(flat)
        own = {name: parameter.domain.from_free(free[name]) for name, parameter in self.family.declared}
        weights = {} if self.weights is None else {WEIGHTS: jax.nn.softmax(self.logits(flat))}
        return MixtureParams(self.family, {**weights, **own})

    def _split(self, flat: Any) -> dict[str, Any]:
        """The pieces of a flat vector, or of rows, by name."""
        n_rows = 1 if flat.ndim == 1 else len(flat)
        ends = np.cumsum([math.prod(shape) // n_rows for shape in self._shapes.values()])
        parts = _numpy(flat).split(flat, ends[:-1], axis=-1)
        return {name: part.reshape(shape) for (name, shape), part in zip(self._shapes.items(), parts, strict=True)}

    # -- linear maps of flat vectors ``(..., p)``, on the host or traced

    def logits(self, flat: Any) -> Any:
        """The logarithms of the weights ``(..., K)``, up to a constant."""
        own, xp = flat[..., self.of_weights], _numpy(flat)
        if not self.family.weighted:
            return xp.zeros((*flat.shape[:-1], self.n_components), flat.dtype)
        if self.weights == "logarithms":
            return own
        return xp.concatenate([own, xp.zeros_like(flat[..., :1])], axis=-1)

    def with_logits(self, flat: Any, logits: Any) -> Any:
        """The vectors with the weights that belong to ``logits (..., K)``."""
        own = self._ratios(logits)
        begin, end, _ = self.of_weights.indices(self.n_parameters)
        return _numpy(flat).concatenate([flat[..., :begin], own, flat[..., end:]], axis=-1)

    def _ratios(self, logs: Any) -> Any:
        """What of the weights' logarithms is in the vectors."""
        if not self.family.weighted:
            return logs[..., :0]
        return logs if self.weights == "logarithms" else logs[..., :-1] - logs[..., -1:]

    def permute(self, flat: Any, permutation: Any) -> Any:
        """The vectors of the same mixtures with component ``permutation[k]`` in place ``k``."""
        xp = _numpy(flat)
        order = xp.asarray(permutation)
        places = {name: xp.asarray(each) for name, each in self.places.items()}
        moved = {**places, **self.family.declared.permute(places, order)}
        source = xp.concatenate([moved[name].ravel() for name in self._shapes])
        return self.with_logits(flat[..., source], self.logits(flat)[..., order])


def _numpy(array: Any) -> Any:
    """NumPy for what lies on the host, `jax.numpy` for the rest."""
    return np if isinstance(array, np.ndarray) else jnp
