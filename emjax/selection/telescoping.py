r"""The posterior of the number of components, by the telescoping sampler, for every family with conjugate draws.

The number of components :math:`K` and the number of those that hold data :math:`K_+` are different things, and both are
drawn. :math:`K` changes given the partition of the data alone, :math:`p(K \mid C)` in closed form, so that no jump
between spaces has to be tuned; its posterior is the mean of these, of less error than the share of draws.
`emjax.selection.sweep` has the sampler, `emjax.selection.number_priors` the priors.

Reference: Frühwirth-Schnatter, Malsiner-Walli and Grün, "Generalized mixtures of finite mixtures and telescoping
sampling", Bayesian Analysis 16, 2021.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from emjax.bayes.diagnostics import PosteriorStatus
from emjax.bayes.problem import Problem, prepare
from emjax.bayes.progress import Phase
from emjax.bounds import whole, written
from emjax.clock import stopwatch
from emjax.errors import ConfigError
from emjax.families.base import Family
from emjax.families.hierarchy import common_numbers, fixed_laws, hierarchical_prior
from emjax.families.moves import refuses_moves
from emjax.families.priors import WEIGHTS
from emjax.keys import KeyLike, as_key, kept_key, numpy_generator
from emjax.mixture import Mixture, MixtureParams, Prior
from emjax.progress import both, progress_line
from emjax.samples import Samples
from emjax.scope import computing
from emjax.selection.number_posterior import NumberPosterior, judge
from emjax.selection.number_priors import (
    DynamicWeights,
    NumberPrior,
    StaticWeights,
    StickBreaking,
    WeightPrior,
    as_number_prior,
    prior_of_clusters,
    uniform,
)
from emjax.selection.partition_prior import Given, Plan, State
from emjax.selection.sweep import advance

_CHUNK = 50
"""Draws of one call, so that a run can be interrupted between calls."""

_THINNING = (10, 40, 160)

_MOST_WORK = 4e9
"""No longer attempt is made that would compute more densities of a datum in a place: about a minute's."""

_MOST_LABELS = 20_000_000
"""Labels are kept where all draws have no more of them (80 MB)."""

_MOST_CLUSTERS = 10
"""Chains begin with half as many to so many clusters, as far as the prior allows."""

_LLOYD_STEPS = 5

_COMPONENTS_OF_DEFAULT = 3
"""For so many components a family's own default prior is taken where it has none of an unknown number."""


OnSweeps = Callable[[Phase, int, int], None]
"""Hears the phase, its sweeps that are done, and their number."""


def telescope(
    family: Family,
    x: Any,
    *,
    prior: Mapping[str, Any] | None = None,
    n_components: NumberPrior | int | Any = None,
    weights: WeightPrior | None = None,
    chains: int = 8,
    warmup: int = 2000,
    draws: int = 1000,
    thin: int | None = None,
    key: KeyLike = None,
    progress: bool = False,
    on_progress: OnSweeps | None = None,
) -> NumberPosterior:
    """Draw the number of components, and all that goes with it, from their posterior.

    Parameters
    ----------
    family
        The component family, such as ``emjax.Normal("diag")`` or `emjax.Poisson`.
    x
        The data ``(n_samples, n_features)``; all cells observed.
    prior
        Laws of the components' parameters, as of `emjax.Mixture` but without ``weights``; one number of a law may be
        random and common to all components, ``emjax.laws.InverseGamma(2.0, emjax.laws.Gamma(0.2, 10.0))`` (see
        `emjax.families.hierarchy`). Laws have to be conjugate; means of normals may be `emjax.laws.Normal`, too. By
        default the one of `hierarchical_prior` there for normals with variances or covariances and for counts, and
        else the family's own for three components: ``prior_note`` says which.
    n_components
        The prior of their number: `uniform` on 1 to 30 (default), `beta_negative_binomial`, `geometric`, `fixed`
        or a whole number, or probabilities of 1, 2, ... components.
    weights
        `StaticWeights` (default, with concentration 1), `DynamicWeights` or `StickBreaking`. With ``n_components``
        fixed and ``StaticWeights(0.01)`` it is a sparse finite mixture. A Dirichlet process takes ``n_components`` as
        the number of sticks, and by default 50.
    chains, warmup, draws, thin
        Chains, sweeps of each that are thrown away, draws that are kept, and sweeps from one draw to the next. Without
        ``thin`` these are 10, and where chains do not agree yet or have too few effective draws, 40 and then 160, as
        far as that is about a minute's work: the draws before are then thrown away, too.
    key
        A whole number or JAX random key. Left out, a number is drawn, and ``NumberPosterior.key`` keeps it.
    progress, on_progress
        A line that says how far the chains are; a function that is called with the phase (``"warmup"``, ``"draws"``),
        its sweeps done and their number; draws begin anew where an attempt is followed by a longer one.

    Returns
    -------
    NumberPosterior
        With a status: chains may disagree, or a prior may have been cut off too early.

    Raises
    ------
    DataError, ConfigError, ValueError
        If the data cannot be used, a law is neither conjugate nor proper, tells components apart, or a setting is out
        of range; in one line.
    """
    key = kept_key("emjax.selection.telescope", key)
    weights = StaticWeights(1.0) if weights is None else weights
    number = _number(n_components, weights)
    chains, warmup, draws = whole("chains", chains), whole("warmup", warmup), whole("draws", draws)
    thins = _THINNING if thin is None else (whole("iterations", thin, shown="thin"),)
    if draws < _CHUNK:
        raise ConfigError(f"draws = {draws} is not allowed; {_CHUNK} of each chain are the fewest that can be judged")
    with computing(), stopwatch() as clock, progress_line(progress, "telescoping") as line:
        tell = both(line, on_progress, _in_words, "starts")
        mixture, samples, laws, note = _declared(family, x, prior, number)
        problem = prepare(mixture, samples)
        _check(problem)
        found = _drawn(_Asked(problem, laws, number, weights, chains, warmup, draws, thins), as_key(key), tell)
    return NumberPosterior(
        **found,
        samples=samples,
        number_prior=number,
        weight_prior=weights,
        prior_note=note,
        compile_seconds=clock.compile_seconds,
        run_seconds=clock.run_seconds,
        key=key,
    )


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What is drawn: the laws are as they were given, those of the problem have every number at a value."""

    problem: Problem
    laws: Mapping[str, Any]
    number: NumberPrior
    weights: WeightPrior
    chains: int
    warmup: int
    draws: int
    thins: tuple[int, ...]


def _in_words(phase: Phase, done: int, total: int) -> str:
    return f"{'warm-up' if phase == 'warmup' else phase}, {done:,} of {total:,} sweeps"


def _drawn(asked: _Asked, key: jax.Array, tell: OnSweeps | None) -> dict[str, Any]:
    """The fields of a `NumberPosterior` that chains decide."""
    problem, number, weights = asked.problem, asked.number, asked.weights
    n_samples = len(problem.z.repeated or problem.z)
    keeps_labels = asked.chains * asked.draws * n_samples <= _MOST_LABELS
    plan = Plan(problem.mixture.likelihood, type(weights), n_samples, _CHUNK, keeps_labels)
    framed = _laws_of_one(problem.frame_prior)
    given = Given(
        features=np.asarray(_features(problem))[:, :n_samples],
        laws=framed,
        common=common_numbers(asked.laws, framed),
        log_number=number.log_probabilities,
        concentration=weights.concentration if weights.random else None,
    )
    start_key, chain_key = jax.random.split(key)
    rng = numpy_generator(start_key)
    state = _starts(plan, problem, given, weights, rng, asked.chains)
    run = _Run(plan, jax.random.split(chain_key, asked.chains), state, jax.device_put(given), tell)
    run.sweep(asked.warmup)
    per_sweep = asked.chains * asked.draws * plan.most * n_samples
    for thin, longer in zip(asked.thins, (*asked.thins[1:], None), strict=True):
        found = run.draw(asked.draws, thin)
        judged = judge(found, number, weights)
        good = judged.status not in (PosteriorStatus.not_converged, PosteriorStatus.too_few_draws)
        if good or longer is None or longer * per_sweep > _MOST_WORK:
            break
    params = _in_data_units(plan.mixture, found["state"].params, problem.frame)
    return {
        **judged.fields,
        "mixture": problem.mixture,
        "prior_components": None if isinstance(weights, StickBreaking) else number.probabilities,
        "prior_clusters": prior_of_clusters(number, weights, n_samples),
        "n_components": found["number"],
        "n_clusters": found["n_held"],
        "params": jax.tree.map(np.asarray, params),
        "in_use": found["state"].in_use,
        "counts": found["counts"].astype(int),
        "labels": found.get("labels"),
        "common": {each.site: own for each, own in zip(given.common, found["state"].common, strict=True)},
        "concentration": found["state"].concentration,
        "n_sweeps": thin * asked.draws,
    }


def _laws_of_one(prior: Prior) -> dict[str, Any]:
    """The laws without an axis of components, which are alike: a split has three of them, not as many as places."""
    return {
        site: law if prior.parameter(site).shared else law.of_one(len(prior.shape(site)))
        for site, law in prior.components.items()
    }


def _number(given: Any, weights: WeightPrior) -> NumberPrior:
    if not isinstance(weights, StaticWeights | DynamicWeights | StickBreaking):
        kinds = "StaticWeights, DynamicWeights or StickBreaking"
        raise ConfigError(f"weights = {written(weights)} is not allowed; give {kinds}")
    if given is None:
        return as_number_prior(50) if isinstance(weights, StickBreaking) else uniform()
    number = as_number_prior(given)
    if isinstance(weights, StickBreaking) and number.probabilities[-1] < 1.0:
        raise ConfigError(
            f"a Dirichlet process has no prior of the number of components; n_components is its number of sticks, "
            f"such as {number.most}"
        )
    return number


def _declared(
    family: Family, x: Any, prior: Mapping[str, Any] | None, number: NumberPrior
) -> tuple[Mixture, Samples, Mapping[str, Any], str]:
    """The mixture of as many places as there may be components, the data, the laws as given, and a sentence on them."""
    if not isinstance(family, Family):
        raise ConfigError(f"family = {written(family)} is not allowed; give a family such as emjax.Poisson()")
    if prior is not None and (not isinstance(prior, Mapping) or WEIGHTS in prior):
        raise ConfigError("prior is a mapping from parameters to laws; the weights have theirs by weights=")
    bare = Mixture(family, number.most)
    samples = bare.samples(x)
    family.check(samples)
    bare = bare.resolved(samples)
    own = hierarchical_prior(bare.family, samples.values)
    if prior is not None:
        laws, note = dict(prior), "The prior is the one that was given."
    elif own is not None:
        laws, note = own, "No prior was given: a hierarchical one scaled by the data, see emjax.families.hierarchy."
    else:
        laws = bare.family.default_prior(samples.summary, _COMPONENTS_OF_DEFAULT)
        note = f"No prior was given: the family's own for {_COMPONENTS_OF_DEFAULT} components, scaled by the data."
    mixture = dataclasses.replace(bare, prior=fixed_laws(laws))
    return mixture, samples, laws, note


def _check(problem: Problem) -> None:
    """Refuse what the sampler does not do, in one line."""
    family, prior = problem.mixture.family, problem.frame_prior
    if problem.mixture.family.own_program() is not None or not family.weighted:
        raise ConfigError("a program has its own weights; declare the mixture with a family")
    why = refuses_moves(family, prior.components)
    if why:
        raise ConfigError(f"{why}: the number of components is drawn for conjugate laws")
    if not prior.exchangeable:
        raise ConfigError("the prior tells components apart, and components of an unknown number have to be alike")
    if problem.samples.has_holes:
        raise ConfigError("cells are missing, and the number of components is drawn for complete rows; leave them out")
    if not family.natural:
        raise ConfigError(f"{family.name} has no sufficient statistics, so that its number of components is not drawn")
    if problem.z.repeated is None:
        raise ConfigError("a label is drawn for each row, so weights have to be whole numbers")


def _features(problem: Problem) -> Any:
    rows = problem.z.repeated
    assert rows is not None
    known = jax.tree.map(jnp.asarray, rows.astype(np.dtype(float)).observations)
    return problem.mixture.family.sufficient_statistics(known)


def _starts(
    plan: Plan, problem: Problem, given: Given, weights: WeightPrior, rng: np.random.Generator, chains: int
) -> State:
    """Chains that begin with many clusters: sweeps lead two into one far sooner than one into two."""
    family, z = problem.mixture.family, problem.z[:]
    states = []
    most = min(_MOST_CLUSTERS, plan.most, len(z))
    for chain in range(chains):
        labels = _clustered(family.place(z), most - chain % (most // 2 + 1), rng)
        sizes = np.bincount(labels)
        n_held = len(sizes)
        of_all = family.pooled(problem.summary, plan.most)
        pooled = problem.mixture.assembled(sizes / len(z), family.pooled(problem.summary, n_held))
        means = np.stack([z[labels == k].mean(axis=0) for k in range(n_held)])
        own = family.at_clusters(pooled, z, labels, means)
        # Places without data are where all the data are, until the first sweep draws them.
        values = {
            name: own[name] if parameter.shared else np.concatenate([own[name], of_all[name][n_held:]])
            for name, parameter in family.parameters.items()
        }
        weights_of_all = np.pad(sizes / len(z), (0, plan.most - n_held))
        first = tuple(each.first for each in given.common)
        params = problem.mixture.assembled(weights_of_all, values)
        states.append(State(params, weights_of_all > 0, first, np.asarray(weights.first)))
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *states)


def _clustered(points: np.ndarray, n_clusters: int, rng: np.random.Generator) -> np.ndarray:
    """Some steps of k-means from rows drawn at random: the cluster of each row, from 0 without gaps."""
    centers = points[rng.choice(len(points), n_clusters, replace=False)]
    labels = np.zeros(len(points), int)
    for _ in range(_LLOYD_STEPS):
        labels = np.stack([((points - center) ** 2).sum(axis=1) for center in centers]).argmin(axis=0)
        centers = np.stack([points[labels == k].mean(axis=0) for k in np.unique(labels)])
    return np.unique(labels, return_inverse=True)[1].reshape(-1)


class _Run:
    """Chains and how far they are; one program serves the warm-up and all draws."""

    def __init__(self, plan: Plan, keys: jax.Array, state: State, given: Given, tell: OnSweeps | None) -> None:
        self.plan, self.keys, self.state, self.given, self.done = plan, keys, state, given, 0
        self.tell = tell

    def _advance(self, phase: Phase, thins: Sequence[int]) -> Iterator[dict[str, Any]]:
        """One call after the other: sweeps are numbered, so that how they are cut changes no number."""
        begin, total = self.done, self.plan.draws * sum(thins)
        for thin in thins:
            self.state, found = advance(self.plan, self.keys, self.state, self.done, thin, self.given)
            self.done += self.plan.draws * thin
            yield jax.tree.map(np.asarray, found)
            if self.tell is not None:
                self.tell(phase, self.done - begin, total)

    def sweep(self, n_sweeps: int) -> None:
        """So many sweeps, rounded up, of which nothing is kept."""
        left = -(-n_sweeps // self.plan.draws)
        for _ in self._advance("warmup", [min(_THINNING[0], left - done) for done in range(0, left, _THINNING[0])]):
            pass

    def draw(self, n_draws: int, thin: int) -> dict[str, Any]:
        """So many draws of each chain on the host, ``(chain, draw, ...)``."""
        calls = list(self._advance("draws", [thin] * -(-n_draws // self.plan.draws)))
        joined: dict[str, Any] = jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1)[:, :n_draws], *calls)
        return joined


@jax.jit(static_argnums=0)
def _in_data_units(mixture: Mixture, params: MixtureParams, frame: Any) -> MixtureParams:
    return jax.vmap(jax.vmap(lambda one: mixture.from_frame(one, frame)))(params)
