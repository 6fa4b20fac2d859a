r"""The criteria by which mixtures of one data set are compared, of numbers alone: every formula in one place.

All have scikit-learn's sign, **the lower the better**: :math:`-2 \log L` plus a penalty. mclust prints BIC and ICL with
the opposite sign, the higher the better. With :math:`p` free parameters, :math:`n` data and responsibilities
:math:`t_{nk}`:

``aic``
    :math:`-2 \log L + 2 p`. Akaike, IEEE Transactions on Automatic Control 19, 1974.
``aicc``
    :math:`\mathrm{AIC} + 2 p (p + 1) / (n - p - 1)`. Hurvich and Tsai, Biometrika 76, 1989.
``bic``
    :math:`-2 \log L + p \log n`. Schwarz, Annals of Statistics 6, 1978.
``icl``
    :math:`\mathrm{BIC} - 2 \sum_n \log \max_k t_{nk}`. Biernacki, Celeux and Govaert, IEEE Transactions on Pattern
    Analysis and Machine Intelligence 22, 2000, section 4.
``nec``
    :math:`-\sum_{nk} t_{nk} \log t_{nk} / (\log L - \log L_1)`, with the likelihood :math:`L_1` of a single component,
    and one for that. Celeux and Soromenho, Journal of Classification 13, 1996; Biernacki, Celeux and Govaert, Pattern
    Recognition Letters 20, 1999, for the one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

CRITERIA: dict[str, str] = {
    "bic": "BIC: the evidence of a model, to the leading orders in n",
    "aic": "AIC: the density of new data; takes too many components for a count of groups",
    "aicc": "AICc: the same where data are few for their parameters",
    "icl": "ICL: the evidence of a clustering: overlap counts against it",
    "nec": "NEC: overlap against what components add to the likelihood; above 1 a single one is better",
}
"""The criteria by name, and what each is for; the lower the better."""


def aic(log_likelihood: float, n_parameters: int) -> float:
    """Akaike's information criterion."""
    return -2.0 * log_likelihood + 2.0 * n_parameters


def aicc(log_likelihood: float, n_parameters: int, n_samples: float) -> float:
    """The same corrected for few data; NaN unless there are at least two more data than parameters."""
    left = n_samples - n_parameters - 1.0
    if left <= 0:
        return math.nan
    return aic(log_likelihood, n_parameters) + 2.0 * n_parameters * (n_parameters + 1.0) / left


def bic(log_likelihood: float, n_parameters: int, n_samples: float) -> float:
    """The Bayesian information criterion; ``n_samples`` is the sum of the weights where rows have some."""
    return -2.0 * log_likelihood + float(n_parameters * np.log(n_samples))


def icl(bic: float, responsibilities: Any, weights: Any = None) -> float:
    """The integrated completed likelihood, from BIC and responsibilities ``(n_samples, n_components)``."""
    return bic - 2.0 * total(np.log(responsibilities.max(axis=1)), weights)


def entropy(responsibilities: Any, weights: Any = None) -> float:
    """How much components overlap: the entropy of the responsibilities, summed over the data, in nats."""
    shares = np.where(responsibilities > 0, responsibilities, 1.0)
    return -total((shares * np.log(shares)).sum(axis=1), weights)


def nec(entropy: float, gain: float, n_components: int) -> float:
    """The normalised entropy criterion, of the gain in log-likelihood over a single component; NaN where it is none."""
    if n_components == 1:
        return 1.0
    return entropy / gain if gain > 0 else math.nan


def total(values: Any, weights: Any = None) -> float:
    """The sum of a number of each row, as often as the row counts."""
    return float(values.sum() if weights is None else weights @ values)
