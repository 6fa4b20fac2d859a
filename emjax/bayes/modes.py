r"""The modes of a posterior, found by EM and polished by Newton, and the Laplace mixture over them.

EM's distinct optima under the sampler's prior are near the modes of the density that samplers move on, but not in them:
a mode depends on the parametrisation. Newton's method moves each into its mode :math:`u_m`, where

.. math::

    q(u) = \sum_m \pi_m N(u \mid u_m, \Sigma_m), \qquad \Sigma_m^{-1} = -\nabla^2 \log p(u_m \mid x), \qquad
    \pi_m \propto p(u_m \mid x) \, (2 \pi)^{p/2} \, |\Sigma_m|^{1/2}

approximates the posterior up to labels: every mode stands for its K! equal copies. Where the prior or labels of rows
tell components apart there are no copies, and every mode stands for itself alone. Pareto-smoothed importance sampling
from it (Vehtari, Simpson, Gelman, Yao and Gabry, Journal of Machine Learning Research 25, 2024) corrects the masses and
says by the shape k of its weights' tail how good the approximation is. The evidence follows from the mean weight.

References: Tierney and Kadane, Journal of the American Statistical Association 81, 1986; Gelman et al., "Bayesian Data
Analysis", 3rd edition, 2013, section 13.3, on mixtures over modes.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np
from jaxtyping import Float

from emjax.bayes.numbering import MOST_ENUMERATED, Numbering
from emjax.bayes.target import Evaluator, Target
from emjax.errors import FitError
from emjax.result import Optimum, Status

MOST_PARAMETERS = 400
"""With more parameters no information matrix is formed: its columns would cost more than an adapted warm-up."""

_FARTHEST_OBJECTIVE = 20.0
"""Optima further than this many nats below EM's best are not polished: their mass would be below 1e-8."""

_MOST_MODES = 50
"""Modes in other orders of components are looked for until there are so many: twice the orders of four components."""

_NEGLIGIBLE = 12.0
"""Modes whose Laplace mass is this many nats below the largest are left out."""

_NEWTON_STEPS = 50
_STEP_LENGTHS = 16
_CONVERGED = 1e-6
"""The Newton decrement, in posterior standard deviations, at which a mode is reached."""

_SAME = 0.1
"""Two modes closer than this many standard deviations are one."""

_FIRST_SCALE = 1e-2
"""The scale of the first differences, in the standard frame, before anything is known of the curvature."""

_EIGENVALUE_FLOOR = 1e-8

_PRIOR_DRAWS = 5.0
"""A covariance counts as so many draws for each parameter when it is estimated anew."""


@dataclasses.dataclass(frozen=True)
class Mode:
    """One mode of the posterior in the unconstrained space, up to labels where components are alike.

    Attributes
    ----------
    flat
        Where it is, ``(p,)``; see `Target`.
    log_density
        The target's value there.
    root
        ``(p, p)`` with ``root root'`` the covariance of its Laplace approximation.
    log_mass
        Logarithm of the mass of that approximation, not normalised.
    converged
        Whether Newton's method came to rest, at a positive definite information.
    optimum
        The optimum of EM that it grew from, with the parameters in data units; its ``count`` is 0 where it was taken in
        another order of the components than EM came to.
    """

    flat: np.ndarray
    log_density: float
    root: np.ndarray
    log_mass: float
    converged: bool
    optimum: Optimum


@dataclasses.dataclass(frozen=True)
class LaplaceMixture:
    """A normal mixture over the modes of a posterior; see the module.

    Attributes
    ----------
    target
        The density it approximates.
    modes
        The modes, the one of the largest Laplace mass first.
    complete
        Whether other orders of the components were looked at until there was no further mode among them.
    """

    target: Target
    modes: tuple[Mode, ...]
    complete: bool = True

    @functools.cached_property
    def weights(self) -> np.ndarray:
        """The Laplace masses of the modes, ``(n_modes,)``, adding up to one."""
        log_masses = np.array([mode.log_mass for mode in self.modes])
        masses = np.exp(log_masses - log_masses.max())
        return masses / masses.sum()

    @functools.cached_property
    def centers(self) -> np.ndarray:
        """The modes, ``(n_modes, p)``."""
        return np.stack([mode.flat for mode in self.modes])

    @functools.cached_property
    def roots(self) -> np.ndarray:
        """Square roots of the covariances, ``(n_modes, p, p)``."""
        return np.stack([mode.root for mode in self.modes])

    @functools.cached_property
    def inverse_roots(self) -> np.ndarray:
        """The inverses of `roots`."""
        return np.linalg.inv(self.roots)

    @functools.cached_property
    def log_normalizers(self) -> np.ndarray:
        """Log weight and log normalizing constant of each normal, ``(n_modes,)``."""
        p = self.centers.shape[1]
        log_det = np.linalg.slogdet(self.roots)[1]
        return np.log(self.weights) - log_det - 0.5 * p * np.log(2.0 * np.pi)

    @property
    def covariance(self) -> np.ndarray:
        """The covariance within modes, averaged over them, ``(p, p)``."""
        return np.einsum("m,mij,mkj->ik", self.weights, self.roots, self.roots)

    def refined(self, points: Float[np.ndarray, "n p"]) -> LaplaceMixture:
        """The mixture with weights, centres and covariances estimated from draws, shrunk towards what they were.

        Each draw, relabelled, belongs to the mode that it lies in; a mode with few draws changes little.
        """
        if not np.isfinite(points).all():
            return self
        points = self.relabelled(points)
        which = self.log_terms_of_one_copy(points).argmax(axis=1)
        p = points.shape[1]
        weight = _PRIOR_DRAWS * p
        found = []
        for i, mode in enumerate(self.modes):
            mine = points[which == i]
            mean = (mine.sum(axis=0) + p * mode.flat) / (len(mine) + p)
            centred = mine - mean
            covariance = (centred.T @ centred + weight * mode.root @ mode.root.T) / (len(mine) + weight)
            share = (len(mine) + 1.0) / (len(points) + len(self.modes))
            root = np.linalg.cholesky(covariance)
            found.append(dataclasses.replace(mode, flat=mean, root=root, log_mass=float(np.log(share))))
        return dataclasses.replace(self, modes=tuple(found))

    @functools.cached_property
    def numbering(self) -> Numbering:
        """The order of the components that the stored copies of the modes stand for."""
        return Numbering.make(self.target, self.weights, self.centers, self.roots)

    def numbered_alike(self) -> LaplaceMixture:
        """The mixture with the components of every mode in the order that suits the first mode best.

        Each mode comes in whatever order EM left it; an average of their covariances needs one.
        """
        if not 1 < self.target.n_alike <= MOST_ENUMERATED:
            return self
        first = dataclasses.replace(self, modes=self.modes[:1]).numbering
        orders = first.orders[first.order_of(self.target, self.centers)]
        permute = self.target.permute
        found = [
            dataclasses.replace(mode, flat=permute(mode.flat[None], order)[0], root=permute(mode.root.T, order).T)
            for mode, order in zip(self.modes, orders, strict=True)
        ]
        return dataclasses.replace(self, modes=tuple(found))

    def sample(self, rng: np.random.Generator, n_points: int) -> tuple[np.ndarray, np.ndarray]:
        """``n_points`` draws ``(n, p)`` and their modes ``(n,)``."""
        which = rng.choice(len(self.modes), size=n_points, p=self.weights)
        noise = rng.standard_normal((n_points, self.centers.shape[1]))
        return self.centers[which] + np.einsum("nij,nj->ni", self.roots[which], noise), which

    def log_terms(self, points: Float[np.ndarray, "n p"]) -> np.ndarray:
        """Log density of each mode's normal times its weight, summed over the copies of the mode, ``(n, n_modes)``.

        It is that of the symmetric mixture over all K! copies, times K!.
        """
        k = self.target.n_alike
        if k == 1:
            return self.log_terms_of_one_copy(points)
        if k > MOST_ENUMERATED:
            return self._log_terms(self.target.permute_to(points, self.centers) - self.centers[None])
        permuted = (self.target.permute(points, order) for order in itertools.permutations(range(k)))
        return functools.reduce(np.logaddexp, map(self.log_terms_of_one_copy, permuted))

    def relabelled(self, points: Float[np.ndarray, "n p"]) -> np.ndarray:
        """The points with the labels that suit the stored copies of the modes best; see `emjax.bayes.numbering`."""
        k = self.target.n_alike
        if k == 1:
            return points
        if k > MOST_ENUMERATED:
            moved = self.target.permute_to(points, self.centers)
            return moved[np.arange(len(points)), self._log_terms(moved - self.centers[None]).argmax(axis=1)]
        which = self.numbering.order_of(self.target, points)
        moved = points.copy()
        for i in np.unique(which[which > 0]):
            moved[which == i] = self.target.permute(points[which == i], self.numbering.orders[i])
        return moved

    def log_prob(self, points: Float[np.ndarray, "n p"]) -> np.ndarray:
        """Log density of the mixture over all copies of all modes, times K!, ``(n,)``."""
        return np.logaddexp.reduce(self.log_terms(points), axis=1)

    def log_terms_of_one_copy(self, points: Float[np.ndarray, "n p"]) -> np.ndarray:
        """The same as `log_terms`, of the one copy of each mode that is stored."""
        return self._log_terms(points[:, None, :] - self.centers[None])

    def _log_terms(self, centred: Float[np.ndarray, "n m p"]) -> np.ndarray:
        """Log density of each mode's normal times its weight, at points less the modes' centres."""
        whitened = np.einsum("mij,nmj->nmi", self.inverse_roots, centred)
        return self.log_normalizers[None, :] - 0.5 * np.einsum("nmi,nmi->nm", whitened, whitened)


def find_modes(evaluate: Evaluator, optima: tuple[Optimum, ...], starts: list[np.ndarray]) -> LaplaceMixture:
    """The Laplace mixture over the modes near EM's optima.

    Parameters
    ----------
    evaluate
        The target.
    optima, starts
        Distinct optima of EM under the same prior, EM's estimate first, and their points in the unconstrained space.

    Raises
    ------
    FitError
        If the density is not finite at any of them.
    """
    best = optima[0].objective
    modes: list[Mode] = []
    for optimum, start in zip(optima, starts, strict=True):
        # The first is EM's estimate, whatever its status: `sample` has refused those that are of no use.
        usable = optimum is optima[0] or (
            optimum.status in (Status.CONVERGED, Status.MAX_ITER) and optimum.objective > best - _FARTHEST_OBJECTIVE
        )
        if not (usable and np.isfinite(start).all()):
            continue
        mode = climb(evaluate, start, optimum)
        if mode is not None and not any(_same(evaluate.target, mode, other) for other in modes):
            modes.append(mode)
    if not modes:
        raise FitError(f"the posterior has no finite density at any of EM's {len(optima)} optima; use a proper prior")
    complete = _add_other_orders(evaluate, modes)
    # Newton may have come to rest nowhere, as where components can be exchanged freely: such points serve as starts
    # only where nothing better was found.
    kept = [mode for mode in modes if mode.converged] or modes
    kept.sort(key=lambda mode: -mode.log_mass)
    found = tuple(mode for mode in kept if mode.log_mass > kept[0].log_mass - _NEGLIGIBLE)
    return LaplaceMixture(evaluate.target, found, complete)


def _add_other_orders(evaluate: Evaluator, modes: list[Mode]) -> bool:
    """Add the modes that are reached by exchanging two components of a mode, and of those that are added in turn.

    Returns whether that came to an end before there were too many.

    Components that are told apart have further modes where labels or the prior say little, and EM may come to none of
    them: labels put all its starts into one order. Where all are alike there is nothing to add.
    """
    target, k = evaluate.target, evaluate.target.n_components
    if target.n_alike == k:
        return True
    orders = [np.where(np.arange(k) == i, j, np.where(np.arange(k) == j, i, np.arange(k))) for i, j in _pairs(k)]
    lowest = max(mode.log_density for mode in modes) - _FARTHEST_OBJECTIVE
    for mode in modes:
        moved = [target.permute(mode.flat[None], order)[0] for order in orders]
        values, _ = evaluate(np.stack(moved))
        for value, start, order in zip(values, moved, orders, strict=True):
            if not value > lowest or any(_distance(target, start, known) < 1.0 for known in modes):
                continue
            if len(modes) >= _MOST_MODES:
                return False
            found = climb(evaluate, start, _reordered(target, mode.optimum, order))
            if found is not None and not any(_same(target, found, known) for known in modes):
                modes.append(found)
    return True


def _pairs(k: int) -> list[tuple[int, int]]:
    return list(itertools.combinations(range(k), 2))


def _reordered(target: Target, optimum: Optimum, order: np.ndarray) -> Optimum:
    """An optimum with its components in another order, which no start of EM has reached."""
    params = target.likelihood.permute(optimum.params, order)
    return dataclasses.replace(optimum, params=params, count=0, effective_counts=optimum.effective_counts[order])


def climb(evaluate: Evaluator, start: np.ndarray, optimum: Optimum) -> Mode | None:
    """Newton's method from a start to a mode of the target; None where the start has no finite density.

    Where the information is not positive definite its eigenvalues are replaced by their absolute values, so that every
    step goes uphill; sixteen step lengths are tried.
    """
    point = start
    (value,), (gradient,) = evaluate(point[None])
    if not (np.isfinite(value) and np.isfinite(gradient).all()):
        return None
    root = _FIRST_SCALE * np.eye(point.size)
    if point.size > MOST_PARAMETERS:
        return Mode(point, float(value), 10.0 * root, float(value), False, optimum)
    lengths = 2.0 ** -np.arange(_STEP_LENGTHS)
    converged = False
    for _ in range(_NEWTON_STEPS):
        root, definite = _refined_root(evaluate, point, root)
        step = root @ (root.T @ gradient)
        if np.linalg.norm(root.T @ gradient) < _CONVERGED:
            converged = definite
            break
        values, gradients = evaluate(point + lengths[:, None] * step)
        usable = np.isfinite(values) & np.isfinite(gradients).all(axis=1)
        chosen = int(np.argmax(np.where(usable, values, -np.inf)))
        if not (usable[chosen] and values[chosen] > value):
            # No step goes up: what is left is rounding.
            converged = definite and bool(np.linalg.norm(root.T @ gradient) < 1e3 * _CONVERGED)
            break
        point, value, gradient = point + lengths[chosen] * step, values[chosen], gradients[chosen]
    log_mass = value + 0.5 * point.size * np.log(2.0 * np.pi) + np.linalg.slogdet(root)[1]
    return Mode(point, float(value), root, float(log_mass), converged, optimum)


def _refined_root(evaluate: Evaluator, point: np.ndarray, root: np.ndarray) -> tuple[np.ndarray, bool]:
    """A square root of the inverse information, from one for the differences; and whether the latter is definite."""
    scaled = -evaluate.hessian(point, root)
    if not np.isfinite(scaled).all():
        return root, False
    eigenvalues, vectors = np.linalg.eigh(scaled)
    floor = _EIGENVALUE_FLOOR * np.abs(eigenvalues).max()
    if floor == 0.0:
        return root, False
    if np.abs(eigenvalues).min() <= floor:
        # Rates of large counts and their weights differ too much in scale for one decomposition: units of their own.
        diagonal = np.abs(np.diagonal(scaled))
        units = 1.0 / np.sqrt(np.maximum(diagonal, _EIGENVALUE_FLOOR**3 * diagonal.max()))
        eigenvalues, vectors = np.linalg.eigh(units[:, None] * scaled * units[None, :])
        root, floor = root * units[None, :], _EIGENVALUE_FLOOR * np.abs(eigenvalues).max()
    return root @ (vectors / np.sqrt(np.maximum(np.abs(eigenvalues), floor))), bool(eigenvalues[0] > floor)


def _same(target: Target, one: Mode, other: Mode) -> bool:
    """Whether two modes are one, up to labels where components are alike."""
    return _distance(target, one.flat, other) < _SAME


def _distance(target: Target, point: np.ndarray, mode: Mode) -> float:
    """How many standard deviations of a mode a point lies from it, in the order that is nearest where any will do."""
    moved = target.permute_to(point[None], mode.flat[None])[0, 0]
    return float(np.linalg.norm(np.linalg.solve(mode.root, moved - mode.flat)))
