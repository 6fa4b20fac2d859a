r"""The evidence of a mixture, :math:`\log p(x) = \log \int p(x \mid \theta) \, p(\theta) \, d\theta`, in three ways.

`emjax.selection.bridge_sampling` and `emjax.selection.thames` read the draws; the importance weights that `sample`
leaves behind do not (`emjax.bayes.laplace`). Each has its own way to fail, so that their agreement says more than any
of their standard errors. All three count every order of the components: :math:`K!` copies where these are alike.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from emjax.bayes.posterior import Posterior
from emjax.bounds import one_of, whole
from emjax.errors import ConfigError
from emjax.keys import KeyLike, as_key, kept_key, numpy_generator
from emjax.scope import computing
from emjax.selection.bridge_sampling import bridge_sampling
from emjax.selection.chains_of import Chains, chains_of
from emjax.selection.thames import thames
from emjax.shown import Shown
from emjax.table import Table, of_estimate
from emjax.wording import fixed

METHODS = ("bridge", "thames", "importance")

_WITHIN = 3.0
"""Two estimates agree where they are at most so many of their joint standard errors apart."""

_LARGEST_ERROR = 0.5
"""An estimate with a larger standard error, in nats, is not to be trusted: its error is itself an estimate."""


@dataclasses.dataclass(frozen=True, repr=False)
class EvidenceEstimate(Shown):
    """The log evidence by one method.

    Attributes
    ----------
    method
        ``"bridge"``, ``"thames"`` or ``"importance"``.
    value, standard_error
        In nats; NaN where the method has no estimate. The error is that of the Monte-Carlo average, the draws'
        autocorrelation included.
    trusted
        Whether it may be read.
    note
        Why not; empty where it may.
    """

    method: str
    value: float
    standard_error: float
    trusted: bool
    note: str = ""


@dataclasses.dataclass(frozen=True, repr=False)
class Evidence(Shown):
    """The log evidence of a mixture, with what its estimates say of each other.

    Attributes
    ----------
    estimates
        One of each method, in the order asked for.
    agree
        Whether all estimates that can be trusted lie within three joint standard errors of each other; None where
        there are fewer than two of them.
    key
        The random key; the same one gives the same numbers.
    """

    estimates: tuple[EvidenceEstimate, ...]
    agree: bool | None
    key: Any = None

    @property
    def best(self) -> EvidenceEstimate | None:
        """The estimate with the smallest standard error among those that can be trusted, if they agree; else None."""
        trusted = [each for each in self.estimates if each.trusted]
        return None if self.agree is False or not trusted else min(trusted, key=lambda each: each.standard_error)

    @property
    def value(self) -> float:
        """The log evidence by the `best` estimate, in nats; NaN where there is none."""
        return math.nan if self.best is None else self.best.value

    @property
    def standard_error(self) -> float:
        """Its standard error, in nats."""
        return math.nan if self.best is None else self.best.standard_error

    @property
    def message(self) -> str:
        """Whether the methods agree, in one sentence."""
        trusted = [each for each in self.estimates if each.trusted]
        names = " and ".join(
            filter(None, (", ".join(n.method for n in trusted[:-1]), *(n.method for n in trusted[-1:])))
        )
        if self.agree is None:
            alone = f"Only {names} can be trusted" if trusted else "No estimate can be trusted"
            return f"{alone}, so nothing confirms it." if trusted else f"{alone}."
        values = [each.value for each in trusted]
        apart = fixed(max(values) - min(values), 2)
        if self.agree:
            return f"{names} agree: they are {apart} nats apart, within three joint standard errors."
        return f"{names} disagree: they are {apart} nats apart, more than three joint standard errors."

    @property
    def table(self) -> Table:
        """The estimates as a table, with `message` below."""
        rows = [
            (each.method, of_estimate(each.value, each.standard_error), "yes" if each.trusted else each.note)
            for each in self.estimates
        ]
        return Table(("method", "log evidence", "trusted"), rows, (self.message,), "Log evidence, in nats", "evidence")

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "value", self.value
        yield "standard_error", self.standard_error
        yield "agree", self.agree
        yield from ((each.method, each.value) for each in self.estimates)


def log_evidence(
    posterior: Posterior, *, methods: Sequence[str] = METHODS, key: KeyLike = None, n_points: int = 4000
) -> Evidence:
    """The log evidence of a sampled mixture, by several methods.

    Parameters
    ----------
    posterior
        What `emjax.sample` gives. At most 4000 of its draws are used.
    methods
        Some of ``"bridge"``, ``"thames"`` and ``"importance"``; all by default. The last costs nothing: `sample` has
        computed it (`PosteriorModes.log_evidence`).
    key
        A whole number or JAX random key; drawn where left out, and kept.
    n_points
        Points drawn by ``bridge`` from its proposal and by ``thames`` from its ellipsoid.

    Returns
    -------
    Evidence
        Of a posterior that has not converged no estimate is trusted.

    Raises
    ------
    ConfigError
        If a law of the prior does not integrate, a method is unknown, or the mixture is too large; in one line.

    References
    ----------
    See `emjax.selection.bridge_sampling` and `emjax.selection.thames`.
    """
    for method in methods:
        one_of("methods", method, METHODS)
    if not isinstance(posterior, Posterior):
        raise ConfigError(f"posterior is a {type(posterior).__name__}; give what emjax.sample returns")
    n_points, key = whole("draws", n_points, shown="n_points"), kept_key("emjax.selection.log_evidence", key)
    keys = jax.random.split(as_key(key), len(METHODS))
    with computing():
        chains = chains_of(posterior) if set(methods) - {"importance"} else None
        found = []
        for method in methods:
            rng = numpy_generator(keys[METHODS.index(method)])
            found.append(_estimate(method, posterior, chains, rng, n_points))
    return Evidence(tuple(found), _agree(found), key)


def _estimate(
    method: str, posterior: Posterior, chains: Chains | None, rng: np.random.Generator, n_points: int
) -> EvidenceEstimate:
    note = ""
    if method == "importance":
        modes = posterior.modes
        # Weights of a heavy tail converge more slowly than by the root (Vehtari et al. 2024, section 3).
        rate = min(0.5, 1.0 - modes.pareto_k) if modes.believable else 0.0
        value, error = modes.log_evidence, max(modes.importance_ess, 1.0) ** -rate
        if not modes.believable:
            note = f"Pareto k {modes.pareto_k:.2f} is above {modes.good_pareto_k:.2f}"
    else:
        assert chains is not None
        own = bridge_sampling if method == "bridge" else thames
        value, error = own(chains, rng, n_points)
        value += chains.constant
        if not posterior.converged:
            note = f"the posterior is {posterior.status.value}"
    if not math.isfinite(value) or not math.isfinite(error):
        value, error, note = math.nan, math.nan, note or _why_none(method, chains)
    elif error > _LARGEST_ERROR:
        note = note or f"the standard error is above {_LARGEST_ERROR}"
    return EvidenceEstimate(method, float(value), float(error), not note, note)


def _why_none(method: str, chains: Chains | None) -> str:
    if chains is not None and chains.target.n_alike > 1:
        return f"no estimate: {chains.target.n_alike} components that are alike are too many, or too few draws count"
    return "no estimate: too few draws count"


def _agree(found: Sequence[EvidenceEstimate]) -> bool | None:
    trusted = [each for each in found if each.trusted]
    if len(trusted) < 2:
        return None
    return all(
        abs(one.value - other.value) <= _WITHIN * math.hypot(one.standard_error, other.standard_error)
        for one, other in itertools.combinations(trusted, 2)
    )
