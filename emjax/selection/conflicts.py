r"""Where the evidence of given numbers of components and the posterior of the number cannot both be read, and why.

The evidence compares the numbers that were sampled and no others; the posterior of the number has all that its prior
allows. Under one prior of the parameters :math:`p(K \mid x) \propto p(K) \, p(x \mid K)`, so that the two can differ
by the prior of the number, by priors of the parameters that differ, or by what one of them has not found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from emjax.selection.number_posterior import NumberPosterior
from emjax.wording import listed, percent
from emjax.wording import number as in_words

_MOST = 0.5
"""Of p(K+): with more outside, the numbers that were sampled are not those that the posterior is about."""

_WITHIN = 3.0
"""Joint standard errors."""

_HARDLY = 10.0
"""Data that change the odds by no more than this leave them to the prior."""


def conflicts(
    evidence: Mapping[int, tuple[float, float]], posterior: NumberPosterior | None, *, same_prior: bool
) -> tuple[str, ...]:
    """What cannot be read together, with the likeliest reason, a sentence each; nothing where nothing is known.

    ``evidence`` has the log evidence and its standard error, in nats, of each number that was sampled; NaN where none
    can be trusted.
    """
    known = {number: own for number, own in evidence.items() if math.isfinite(own[0])}
    if posterior is None or not posterior.converged or len(known) < 2:
        return ()
    best = max(known, key=lambda number: known[number][0])
    tried = sorted(evidence)
    outside = 1.0 - _inside(posterior.p_clusters, tried)
    if outside > _MOST:
        highest = int(np.argmax(posterior.p_clusters)) + 1
        return (
            f"{percent(outside)} of p(K+), which is highest at {highest}, lies outside the numbers that were tried "
            f"({_written(tried)}), of which the evidence prefers {best}: {_why_outside(posterior, tried)}.",
        )
    return _within(known, best, posterior, same_prior=same_prior)


def _inside(shares: np.ndarray, tried: Sequence[int]) -> float:
    return float(sum(shares[number - 1] for number in tried if number <= len(shares)))


def _written(tried: Sequence[int]) -> str:
    if len(tried) > 2 and list(tried) == list(range(tried[0], tried[-1] + 1)):
        return f"{tried[0]} to {tried[-1]}"
    return listed([str(number) for number in tried], len(tried))


def _why_outside(posterior: NumberPosterior, tried: Sequence[int]) -> str:
    """By how much the data change the odds of other numbers, which the prior of the number gives."""
    prior, shares, name = posterior.prior_components, posterior.p_components, posterior.number_prior.name
    if prior is None or shares is None:
        return "a Dirichlet process has more of them the more data there are; try larger numbers"
    before, after = _inside(prior, tried), _inside(shares, tried)
    if before <= 0.0:
        return f"the prior of the number, {name}, allows none of these; give number= another"
    odds = (1.0 - before) / before
    factor = (1.0 - after) / (after * odds) if after > 0.0 and odds > 0.0 else math.inf
    if factor <= _HARDLY:
        return (
            f"its prior of the number, {name}, has {percent(1.0 - before)} there, and the data hardly speak against "
            "it; give number= one that expects fewer, or try these too"
        )
    times = f"{in_words(factor, 2)} times" if math.isfinite(factor) else "beyond all that was drawn"
    return (
        f"under its prior of the parameters the data raise their odds {times}, so the best of the few is not the best "
        "of all; try these too, or give prior= for the parameters"
    )


def _within(
    known: Mapping[int, tuple[float, float]], best: int, posterior: NumberPosterior, *, same_prior: bool
) -> tuple[str, ...]:
    """The same where both know the numbers that they prefer."""
    shares, errors, prior = posterior.p_components, posterior.p_components_error, posterior.prior_components
    if shares is None or errors is None or prior is None:
        return ()
    other = int(np.argmax(shares)) + 1
    if other == best or other not in known or best > len(shares):
        return ()
    (high, high_error), (low, low_error) = known[best], known[other]
    i, j = best - 1, other - 1
    nats = high - low
    if nats <= _WITHIN * math.hypot(high_error, low_error) or shares[j] - shares[i] <= _WITHIN * math.hypot(
        errors[i], errors[j]
    ):
        return ()
    if not same_prior:
        why = "they have different priors of the parameters; give prior= for one"
    elif prior[j] > prior[i] * math.exp(nats):
        why = f"the prior of the number, {posterior.number_prior.name}, outweighs it"
    else:
        why = "the priors are the same, so one of them has not found all; take more draws"
    return (f"The evidence prefers {best} and p(K) {other}, both beyond their errors: {why}.",)
