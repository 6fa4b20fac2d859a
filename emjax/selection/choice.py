"""Who says which number of components, and how sure: criteria of fits beside evidence, PSIS-LOO and the posterior.

Each asks another question. BIC and the evidence ask for the model that the data came from, ICL for groups, AIC and
PSIS-LOO for the density of new data; the posterior of the number asks with all numbers at once, and counts components
of the population or those that hold data. Where they agree nobody has to choose; where not, the table says who differs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from scipy.special import ndtr

from emjax.bayes.loo import pointwise_loo, psis_loo
from emjax.bayes.posterior import Posterior
from emjax.bayes.sample import sample
from emjax.bounds import called, one_of, written
from emjax.errors import ConfigError, EmjaxError
from emjax.families.hierarchy import fixed_laws
from emjax.keys import KeyLike, as_key, kept_key
from emjax.mixture import Mixture
from emjax.progress import both, progress_line
from emjax.result import Fit
from emjax.selection.evidence import Evidence, log_evidence
from emjax.selection.number_posterior import NumberPosterior
from emjax.selection.number_priors import NumberPrior, WeightPrior
from emjax.selection.selection import SHORT, Candidate, Selection, ranked
from emjax.selection.telescoping import telescope
from emjax.selection.votes import Choice, OfNumber, Vote
from emjax.wording import count, listed

_CRITERIA = ("bic", "aic", "icl")
_FEWEST = 2


def choose(
    selection: Selection,
    *,
    model: str | None = None,
    prior: Mapping[str, Any] | None = None,
    number: NumberPrior | int | Any = None,
    weights: WeightPrior | None = None,
    key: KeyLike = None,
    progress: bool = False,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> Choice:
    """Ask posteriors for the number of components that `emjax.select` asked criteria for, and put both in one table.

    Parameters
    ----------
    selection
        What `emjax.select` gives: its fits hold the data. Their numbers of components are those that are sampled.
    model
        Whose numbers of components, by its name in the selection; by default that of the best candidate.
    prior
        Laws of the components' parameters for all numbers alike, as `telescope` takes them. By default the family's own
        for each number, which follows it, and for the posterior of the number the one that `telescope` takes.
    number, weights
        Priors of the number of components and of the weights, as `telescope` takes them (``n_components``,
        ``weights``). Weights of a given number of components are uniform.
    key
        A whole number or JAX random key; drawn where left out, and kept.
    progress, on_progress
        A line that says how far it is; a function called with the posteriors done, their number, and what is next.

    Returns
    -------
    Choice
        The votes, and each number of components with its evidence and PSIS-LOO. A posterior that cannot be drawn or has
        not converged has no say, and says why.

    Raises
    ------
    ConfigError
        If there is no such model, or it has fewer than two numbers of components.
    """
    called("on_progress", on_progress)
    if not isinstance(selection, Selection):
        raise ConfigError(f"selection = {written(selection)} is not allowed; give what emjax.select returns")
    candidates, like = _candidates(selection, model)
    key = kept_key("emjax.selection.choose", key)
    keys = jax.random.split(as_key(key), 3)
    with progress_line(progress, "posteriors") as line:
        tell = both(line, on_progress, _in_words, "of numbers of components")
        found = []
        for place, each in enumerate(candidates):
            _told(tell, place, len(candidates) + 1, f"{count(each.n_components, 'component')}")
            found.append(_of_number(each, like, prior, keys[0], keys[1]))
        _told(tell, len(candidates), len(candidates) + 1, "their number")
        posterior, reason = _of_all(like, prior, number, weights, keys[2])
        _told(tell, len(candidates) + 1, len(candidates) + 1, "done")
    votes = [*_of_criteria(candidates), _of_evidence(found), _of_loo(found), *_of_posterior(posterior, reason)]
    return Choice(
        model=candidates[0].name,
        votes=tuple(votes),
        numbers=tuple(one for one, _ in found),
        number_posterior=posterior,
        criteria={SHORT[name]: _weights(candidates, name) for name in _CRITERIA},
        # A number that is random in the posterior of the number is fixed in those of given ones.
        same_prior=prior is not None and all(law is prior[site] for site, law in fixed_laws(prior).items()),
        key=key,
    )


def _in_words(done: int, total: int, what: str) -> str:
    return f"{done} of {total} posteriors, now that of {what}"


def _told(tell: Callable[..., None] | None, done: int, total: int, what: str) -> None:
    if tell is not None:
        tell(done, total, what)


def _candidates(selection: Selection, model: str | None) -> tuple[list[Candidate], Fit]:
    """The candidates of one model that can be sampled, by their numbers of components, and a fit of it.

    Among them are those that likelihood alone has too few data for (`Group.refuses`): a posterior has a prior.
    """
    names = list(dict.fromkeys(each.name for each in selection.candidates))
    if model is None:
        first = selection.ranked()
        if not first:
            raise ConfigError("no candidate of the selection can be trusted, so model= has to say which is meant")
        model = first[0].name
    one_of("model", model, names)
    own = sorted((each for each in selection.candidates if each.name == model), key=lambda each: each.n_components)
    fit = next((each.fit for each in own if each.fit is not None), None)
    found = [] if fit is None else [each for each in own if each.n_components <= fit.samples.counted.n_samples]
    if fit is None or len(found) < _FEWEST:
        raise ConfigError(f"{model} was fitted with {count(len(found), 'number')} of components; two are the fewest")
    return found, fit


_Sampled = tuple[OfNumber, np.ndarray | None]


def _of_number(
    each: Candidate, like: Fit, prior: Mapping[str, Any] | None, key: jax.Array, evidence_key: jax.Array
) -> _Sampled:
    """The evidence and PSIS-LOO of one number of components of the model of ``like``, and the latter of each datum."""
    laws: Any = "default" if prior is None else fixed_laws(prior)
    try:
        mixture = Mixture(like.mixture.family, each.n_components, prior=laws)
        posterior = sample(mixture, like.samples, key=key, init=each.fit if each.usable else None)
        evidence = log_evidence(posterior, key=evidence_key)
    except (EmjaxError, ValueError) as error:
        return OfNumber(each.n_components, None, None, str(error)), None
    return _described(each.n_components, posterior, evidence)


def _described(n_components: int, posterior: Posterior, evidence: Evidence) -> _Sampled:
    reason = "" if posterior.converged else posterior.message
    loo = psis_loo(posterior) if posterior.converged else None
    return OfNumber(n_components, evidence, loo, reason), pointwise_loo(posterior) if loo else None


def _of_all(
    like: Fit,
    prior: Mapping[str, Any] | None,
    number: Any,
    weights: WeightPrior | None,
    key: jax.Array,
) -> tuple[NumberPosterior | None, str]:
    """The posterior of the number, or why there is none."""
    try:
        found = telescope(like.mixture.family, like.samples, prior=prior, n_components=number, weights=weights, key=key)
    except (EmjaxError, ValueError) as error:
        return None, str(error)
    return found, ""


# -- votes


def _of_criteria(candidates: list[Candidate]) -> list[Vote]:
    """What BIC, AIC and ICL say: sure as the weights ``exp(-difference / 2)`` are (Burnham and Anderson 2002)."""
    votes = []
    for name in _CRITERIA:
        weights = _weights(candidates, name)
        if not weights:
            votes.append(Vote(SHORT[name], None, math.nan, "no fit can be trusted", "EM"))
            continue
        best = max(weights, key=lambda number: weights[number])
        left_out = [str(each.n_components) for each in candidates if each.n_components not in weights]
        note = f"without {listed(left_out)}" if left_out else ""
        votes.append(Vote(SHORT[name], best, weights[best], note, "EM"))
    return votes


def _weights(candidates: list[Candidate], name: str) -> dict[int, float]:
    """The weight of each number of components by a criterion; those that cannot be trusted have none."""
    order = ranked(candidates, name)
    values = np.array([each.value(name) for each in order])
    shares = np.exp(-0.5 * (values - values[:1]))
    return {each.n_components: float(share) for each, share in zip(order, shares / shares.sum(), strict=True)}


def _of_evidence(found: list[_Sampled]) -> Vote:
    """The number with the largest evidence; its probability, all numbers being equally likely before."""
    known = [one for one, _ in found if one.evidence is not None and math.isfinite(one.evidence.value)]
    if len(known) < _FEWEST:
        return Vote("evidence", None, math.nan, "fewer than two evidences can be trusted")
    values = np.array([one.log_evidence for one in known])
    errors = np.array([one.log_evidence_error for one in known])
    shares = np.exp(values - values.max())
    shares /= shares.sum()
    best = int(values.argmax())
    # d log share_b = d_b - sum_k share_k d_k
    slopes = np.where(np.arange(len(known)) == best, 1.0, 0.0) - shares
    error = float(shares[best] * math.sqrt(np.sum((slopes * errors) ** 2)))
    return Vote("evidence", known[best].n_components, float(shares[best]), _left_out(found, known), error=error)


def _of_loo(found: list[_Sampled]) -> Vote:
    """The number with the largest expected log predictive density; sure as the pairwise difference to the next is."""
    known = [(one, each) for one, each in found if one.loo is not None and each is not None]
    if len(known) < _FEWEST:
        return Vote("PSIS-LOO", None, math.nan, "fewer than two numbers of components have one")
    order = sorted(known, key=lambda pair: -float(pair[1].sum()))
    (best, first), (_, second) = order[:2]
    gaps = first - second
    error = float(np.std(gaps, ddof=1) * math.sqrt(gaps.size))
    sure = float(ndtr(gaps.sum() / error)) if error > 0 else math.nan
    high = [(one.n_components, int((one.loo or {}).get("n_pareto_k_high", 0))) for one, _ in known]
    rough = [f"{number} ({n_rows})" for number, n_rows in high if n_rows]
    notes = [_left_out(found, [one for one, _ in known]), f"rows of high Pareto k: {listed(rough)}" if rough else ""]
    return Vote("PSIS-LOO", best.n_components, sure, "; ".join(filter(None, notes)))


def _left_out(found: list[_Sampled], known: list[OfNumber]) -> str:
    missing = [str(one.n_components) for one, _ in found if one not in known]
    return f"without {listed(missing)}, of which none can be trusted" if missing else ""


def _of_posterior(posterior: NumberPosterior | None, reason: str) -> list[Vote]:
    """What the posterior of the number says, of all components and of those that hold data."""
    if posterior is None or not posterior.converged:
        why = reason if posterior is None else f"{posterior.status.value.replace('_', ' ')}; number_posterior says why"
        return [Vote("p(K)", None, math.nan, why), Vote("p(K+)", None, math.nan, why)]
    votes = []
    for name, shares, errors in (
        ("p(K)", posterior.p_components, posterior.p_components_error),
        ("p(K+)", posterior.p_clusters, posterior.p_clusters_error),
    ):
        if shares is None or errors is None:
            votes.append(Vote(name, None, math.nan, "a Dirichlet process has no number of components"))
            continue
        best = int(np.argmax(shares))
        note = "components that hold data" if name == "p(K+)" else posterior.number_prior.name
        votes.append(Vote(name, best + 1, float(shares[best]), note, error=float(errors[best])))
    return votes
