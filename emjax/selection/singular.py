r"""The singular BIC of the numbers of components of one family and structure.

BIC's penalty of half a logarithm of n for each parameter holds at regular points. Where a mixture of i components is
true with j of them alone, its evidence falls only as :math:`n^{-\lambda_{ij}}`, with a learning coefficient
:math:`\lambda_{ij}` below half the number of parameters (Watanabe, "Algebraic Geometry and Statistical Learning
Theory", 2009). The singular BIC averages over what j may be, each weighted by its own evidence (Drton and Plummer,
Journal of the Royal Statistical Society B 79, 2017): with the maxima :math:`\hat L_i` the numbers :math:`L_i \ge 0`
solve

.. math:: \sum_{j \le i} \bigl( L_i - \hat L_i\, n^{-\lambda_{ij}} \bigr) L_j = 0,

one quadratic equation after the other, and the criterion is :math:`-2 \log L_i`, which is BIC for the smallest model.

Coefficients of most mixtures are not known. As in that paper they are bounded from above, for a Dirichlet prior of the
weights with concentrations :math:`\varphi` and r parameters of each component:

.. math:: \lambda_{ij} \le \tfrac12 \min\bigl( j r + j - 1 + \varphi (i - j),\; i r + j - 1 \bigr).

The first says that superfluous components lose their weights, the second that they merge (Rousseau and Mengersen,
Journal of the Royal Statistical Society B 73, 2011). Parameters that components share are added to both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from emjax.bounds import not_negative
from emjax.selection.selection import Candidate, Selection

PHI = 1.0
"""The concentration of the weights: a uniform prior."""


def singular_bic(selection: Selection, *, phi: float = PHI) -> dict[str, dict[int, float]]:
    """The singular BIC of every family and structure of a sweep, the lower the better, as BIC.

    It is defined for numbers of components 1, 2, ... without a gap, and is left out from the first of them on whose
    fit cannot be trusted: its maximum enters all larger ones. Models of one family and structure are compared by it;
    numbers of two of them both approximate :math:`-2 \\log` of an evidence.

    Parameters
    ----------
    selection
        What `emjax.select` returned.
    phi
        The concentration of the weights' prior, 1 by default (uniform).

    Returns
    -------
    dict
        By the model's name a dictionary from the number of components to the criterion.

    Raises
    ------
    ConfigError
        If ``phi`` is no number from 0 to 1e140.
    """
    not_negative("phi", phi)
    found: dict[str, dict[int, float]] = {}
    for name in dict.fromkeys(each.name for each in selection.candidates):
        own = {each.n_components: each for each in selection.candidates if each.name == name}
        usable = _without_gap(own)
        if usable:
            found[name] = dict(zip(range(1, len(usable) + 1), _criteria(usable, phi), strict=True))
    return found


def _without_gap(candidates: Mapping[int, Candidate]) -> list[Candidate]:
    """The candidates of 1, 2, ... components, as far as they can be trusted."""
    usable = []
    for number in range(1, max(candidates) + 1):
        if number not in candidates or not candidates[number].usable:
            break
        usable.append(candidates[number])
    return usable


def _criteria(candidates: list[Candidate], phi: float) -> list[float]:
    fits = [each.fit for each in candidates if each.fit is not None]
    # Of one component no weight is free, so that two numbers of components tell the shared parameters from the others.
    numbers = [fit.n_parameters for fit in fits]
    own = numbers[1] - numbers[0] - 1 if len(numbers) > 1 else numbers[0]
    shared = numbers[0] - own
    log_likelihoods = [fit.log_likelihood for fit in fits]
    return [-2.0 * each for each in log_evidences(log_likelihoods, own, shared, fits[0].samples.total_weight, phi)]


def learning_coefficient(i: int, j: int, n_own: int, n_shared: int, phi: float) -> float:
    """The bound of that of i components where j are true."""
    emptied = j * n_own + j - 1 + phi * (i - j)
    merged = i * n_own + j - 1
    return 0.5 * (n_shared + min(emptied, merged))


def log_evidences(
    log_likelihoods: Sequence[float], n_own: int, n_shared: int, n_samples: float, phi: float
) -> list[float]:
    """``log L_i`` of 1, 2, ... components."""
    found: list[float] = []
    for i, value in enumerate(log_likelihoods, start=1):
        terms = [
            value - learning_coefficient(i, j, n_own, n_shared, phi) * math.log(n_samples) for j in range(1, i + 1)
        ]
        found.append(_root(terms, found))
    return found


def _root(terms: list[float], smaller: list[float]) -> float:
    """The positive root of the equation of one model, in logarithms: of the smaller ones they are known."""
    top = max([*terms, *smaller])
    own = [math.exp(term - top) for term in terms]
    others = [math.exp(value - top) for value in smaller]
    linear = sum(others) - own[-1]
    constant = -sum(a * b for a, b in zip(own, others, strict=False))
    # Of the two forms of a root that without cancellation.
    root = math.sqrt(linear * linear - 4.0 * constant)
    largest = (root - linear) / 2.0 if linear <= 0 else -2.0 * constant / (root + linear)
    return top + math.log(largest) if largest > 0 else -math.inf
