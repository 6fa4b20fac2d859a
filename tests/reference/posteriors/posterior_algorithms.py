"""Three algorithms for one posterior, and the ascent to its modes; make.py says what each is for."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import Any

import numpy as np
from posterior_cases import Case
from posterior_model import (
    LOG_TWO_PI,
    Conjugate,
    Draws,
    Model,
    anchor_rows,
    conjugate,
    describe,
    draw_labels,
    draw_parameters,
    log_density,
    log_joint,
    log_marginal,
    stack,
)
from scipy.special import gammaln, multigammaln

KERNELS = ((1.0, 0.5), (0.5, 0.3), (0.25, 0.19))
"""Exponents of the likelihood in the conjugate posteriors that jumps are proposed from, and their shares; the rest of
the share is the prior's, which bounds the weights."""

# --- tempered data augmentation -------------------------------------------------------------------------------------


def starting_labels(rng: np.random.Generator, model: Model, chain: int) -> np.ndarray:
    """One-hot ``(K, n)``: of k-means, of a random partition, or of a draw of the prior, by turns."""
    n, k = len(model.x), model.n_components
    if chain % 3 == 0:
        labels = k_means(rng, model.x, k)
    elif chain % 3 == 1:
        labels = rng.choice(k, size=n, p=rng.dirichlet(np.ones(k)))
    else:
        nothing = np.zeros((k, model.features.shape[1]))
        return draw_labels(rng, log_joint(draw_parameters(rng, conjugate(model, nothing)), model.features))
    return (labels[None, :] == np.arange(k)[:, None]).astype(float)


def k_means(rng: np.random.Generator, x: np.ndarray, k: int) -> np.ndarray:
    """Labels of Lloyd's algorithm from random points."""
    centres = x[rng.choice(len(x), size=k, replace=False)]
    for _ in range(20):
        labels = ((x[:, None, :] - centres[None, :, :]) ** 2).sum(axis=-1).argmin(axis=1)
        centres = np.stack([x[labels == j].mean(axis=0) if (labels == j).any() else centres[j] for j in range(k)])
    return labels


def starting_statistics(rng: np.random.Generator, model: Model, chains: int) -> np.ndarray:
    """The statistics of the starting labels of all chains, ``(chains, K, p)``."""
    return np.stack([starting_labels(rng, model, chain) for chain in range(chains)]) @ model.features


@dataclasses.dataclass
class Run:
    """Quantities ``(chain, sweep)`` of the first rung, its labels' statistics, and how often states moved."""

    quantities: dict[str, np.ndarray]
    statistics: np.ndarray
    exchange_rates: np.ndarray
    jumps_accepted: float


def run(model: Model, case: Case, sweeps: int, seed: int, proposal: Proposal | None = None) -> Run:
    """Tempered data augmentation of all chains and rungs side by side, with jumps if there is a proposal."""
    rng = np.random.default_rng(seed)
    rungs, n_rungs = case.rungs, len(case.betas)
    beta, excess = rungs[0][:, None, None], (rungs[1] - rungs[0])[:, None, None]
    statistics = np.repeat(starting_statistics(rng, model, case.chains)[:, None], n_rungs, axis=1)
    weight = None if proposal is None else Weight(model, prior(model), proposal)
    rows = anchor_rows(model.x)
    kept, states, exchanged, jumped = [], [], np.zeros(n_rungs - 1), 0.0
    for sweep in range(case.warmup + sweeps):
        draws = draw_parameters(rng, conjugate(model, statistics, rungs))
        joint = log_joint(draws, model.features)
        first, first_joint = draws.at(np.s_[:, 0]), joint[:, 0]  # views: a jump writes into the state
        if weight is not None:
            jumped += jump(rng, weight, first, first_joint)
        statistics = draw_labels(rng, beta * joint + excess * draws.log_weights[..., None]) @ model.features
        if sweep >= case.warmup:
            kept.append(describe(first, first_joint, rows, model.shift, ordered=case.ordered))
            states.append(statistics[:, 0].copy())
        if n_rungs > 1:
            exchanged += exchange(rng, model, statistics, rungs, sweep % 2)
    total = case.warmup + sweeps
    return Run(stack(kept), np.stack(states, axis=1), exchanged / (0.5 * total), jumped / total)


def jump(rng: np.random.Generator, weight: Weight, draws: Draws, joint: np.ndarray) -> float:
    """Independence Metropolis with labels summed out, in place; the share of chains that jumped."""
    other = weight.proposal.draw(rng, len(joint))
    other_joint = log_joint(other, weight.model.features)
    moved = np.log(rng.random(len(joint))) < weight.log(other, other_joint) - weight.log(draws, joint)
    joint[moved] = other_joint[moved]
    for name in (field.name for field in dataclasses.fields(draws)):
        getattr(draws, name)[moved] = getattr(other, name)[moved]
    return float(moved.mean())


def exchange(
    rng: np.random.Generator, model: Model, statistics: np.ndarray, rungs: np.ndarray, parity: int
) -> np.ndarray:
    """Exchange labels of neighbouring rungs in place; the share of chains that did, for each pair ``(rungs - 1,)``.

    Parameters are drawn afresh given labels in the next sweep, so they are integrated out here.
    """
    upper = np.arange(parity, rungs.shape[1] - 1, 2)
    lower = upper + 1
    stay = log_marginal(conjugate(model, statistics, rungs))
    down = log_marginal(conjugate(model, statistics[:, upper], rungs[:, lower]))
    up = log_marginal(conjugate(model, statistics[:, lower], rungs[:, upper]))
    accepted = np.log(rng.random(down.shape)) < down + up - stay[:, upper] - stay[:, lower]
    chain, pair = np.nonzero(accepted)
    high, low = upper[pair], lower[pair]
    statistics[chain, high], statistics[chain, low] = statistics[chain, low], statistics[chain, high]
    rates = np.zeros(rungs.shape[1] - 1)
    rates[upper] = accepted.mean(axis=0)
    return rates


# --- jumps ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Proposal:
    """A mixture of conjugate posteriors, each symmetrised over labels: members ``(S, K, ...)`` and their shares."""

    members: Conjugate
    shares: np.ndarray

    def draw(self, rng: np.random.Generator, size: int) -> Draws:
        """Parameters with labels as the member has them: nothing that follows depends on labels."""
        return draw_parameters(rng, self.members.at(rng.choice(len(self.shares), p=self.shares, size=size)))

    def log_density(self, draws: Draws) -> np.ndarray:
        """In the space of (weights, means, covariances), for draws ``(N, K, ...)``; shape ``(N,)``."""
        (n, k), size = draws.log_weights.shape, len(self.shares)
        pairs = (self._terms(draws).reshape(n * k, -1) @ self._coefficients).reshape(n, k, k, size)
        orders = list(itertools.permutations(range(k)))
        terms = np.stack([sum(pairs[:, j, order[j]] for j in range(k)) for order in orders])
        terms += self._constants - np.log(len(orders))
        top = terms.max(axis=(0, 2))
        return np.asarray(top + np.log(np.exp(terms - top[:, None]).sum(axis=(0, 2))))

    @functools.cached_property
    def _constants(self) -> np.ndarray:
        """What a member adds, whatever the order of its components: its share, and a part of the Dirichlet's."""
        return np.log(self.shares) + gammaln(self.members.concentration.sum(axis=-1))

    @staticmethod
    def _terms(draws: Draws) -> np.ndarray:
        """What a log density is linear in: ``1, log w, log |L|, L, L mu, mu' L mu`` with L the precision."""
        precision = np.swapaxes(draws.inverse, -1, -2) @ draws.inverse
        linear = (precision @ draws.mean[..., None])[..., 0]
        log_det = 2 * np.linalg.slogdet(draws.inverse)[1]
        scalars = np.stack([np.ones_like(log_det), draws.log_weights, log_det], axis=-1)
        quadratic = (linear * draws.mean).sum(axis=-1)[..., None]
        return np.concatenate([scalars, precision.reshape(*log_det.shape, -1), linear, quadratic], axis=-1)

    @functools.cached_property
    def _coefficients(self) -> np.ndarray:
        """The coefficients of those terms ``(terms, K * S)``, for each component of each member."""
        given, d = self.members, self.members.mean.shape[-1]
        log_det = 2 * np.log(np.diagonal(given.root, axis1=-2, axis2=-1)).sum(axis=-1)
        half, precision = 0.5 * given.degrees, given.precision[..., None]
        constant = 0.5 * d * (np.log(given.precision) - LOG_TWO_PI) - gammaln(given.concentration)
        constant += half * (log_det - d * np.log(2.0)) - multigammaln(half, d)
        scalars = np.stack([constant, given.concentration - 1, half + 0.5 * d + 1], axis=-1)
        outer = given.mean[..., :, None] * given.mean[..., None, :]
        scatter = given.root @ np.swapaxes(given.root, -1, -2) + precision[..., None] * outer
        flat = -0.5 * scatter.reshape(*half.shape, d * d)
        together = np.concatenate([scalars, flat, precision * given.mean, -0.5 * precision], axis=-1)
        return np.ascontiguousarray(together.transpose(2, 1, 0)).reshape(together.shape[2], -1)


def prior(model: Model) -> Proposal:
    """The prior, as a mixture of one member."""
    nothing = np.zeros((1, model.n_components, model.features.shape[1]))
    return Proposal(conjugate(model, nothing), np.ones(1))


def build_proposal(rng: np.random.Generator, model: Model, statistics: np.ndarray, labellings: int) -> Proposal:
    """Conjugate posteriors of some of the labellings ``(chain, sweep, K, p)``, in each width of `KERNELS`."""
    pool = statistics.reshape(-1, *statistics.shape[2:])
    pool = pool[rng.choice(len(pool), size=labellings, replace=False)]
    exponents = np.repeat([beta for beta, _ in KERNELS], labellings)
    shares = np.repeat([share / labellings for _, share in KERNELS], labellings)
    exponents, shares = np.append(exponents, 0.0), np.append(shares, 1.0 - shares.sum())
    members = np.concatenate([np.tile(pool, (len(KERNELS), 1, 1)), pool[:1]])
    return Proposal(conjugate(model, members, np.stack([exponents, exponents])), shares)


@dataclasses.dataclass(frozen=True)
class Weight:
    """Prior times likelihood over a proposal."""

    model: Model
    prior: Proposal
    proposal: Proposal

    def log(self, draws: Draws, joint: np.ndarray) -> np.ndarray:
        """Its logarithm, ``(N,)``, for parameters and what `log_joint` makes of them."""
        log_posterior = self.prior.log_density(draws) + log_density(joint).sum(axis=-1)
        return log_posterior - self.proposal.log_density(draws)


def importance(model: Model, case: Case, proposal: Proposal, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The third algorithm: quantities ``(draw,)`` and the logarithms of their weights."""
    rng = np.random.default_rng(seed)
    weight = Weight(model, prior(model), proposal)
    rows, found, weights = anchor_rows(model.x), [], []
    for _ in range(case.importance_draws // 250):
        draws = proposal.draw(rng, 250)
        joint = log_joint(draws, model.features)
        weights.append(weight.log(draws, joint))
        found.append(describe(draws, joint, rows, model.shift, ordered=case.ordered))
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}, np.concatenate(weights)


# --- modes ---------------------------------------------------------------------------------------------------------


def ascend(model: Model, statistics: np.ndarray, iterations: int = 1500) -> list[dict[str, Any]]:
    """Modes of the density in (weights, means, covariances) by EM from labellings ``(N, K, p)``, and their shares."""
    for _ in range(iterations):
        given = conjugate(model, statistics)
        d = given.mean.shape[-1]
        weights = np.maximum(given.concentration - 1, 1e-12)
        root = given.root / np.sqrt(given.degrees + d + 2)[..., None, None]
        top = Draws(np.log(weights / weights.sum(axis=-1, keepdims=True)), given.mean, root, np.linalg.inv(root))
        joint = log_joint(top, model.features)
        statistics = np.exp(joint - log_density(joint)[..., None, :]) @ model.features
    height = prior(model).log_density(top) + log_density(joint).sum(axis=-1)
    modes: list[dict[str, Any]] = []
    for one in np.argsort(-height):
        near = [mode for mode in modes if abs(mode["log_posterior"] - height[one]) < 0.01]
        if near:
            near[0]["share"] += 1 / len(height)
            continue
        order = np.argsort(given.mean[one, :, 0])
        modes.append(
            {
                "log_posterior": height[one],
                "log_likelihood": log_density(joint[one]).sum(),
                "weights": np.exp(top.log_weights[one, order]).tolist(),
                "means": (given.mean[one, order] + model.shift).tolist(),
                "share": 1 / len(height),
            }
        )
    return modes
