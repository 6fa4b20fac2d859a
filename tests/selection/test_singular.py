"""The singular BIC: its equation, its bounds, and the galaxies."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import brentq

import emjax
from emjax.selection.selection import Candidate, Selection
from emjax.selection.singular import learning_coefficient, log_evidences, singular_bic

# Maxima of the galaxies' likelihood by emjax, normal mixtures of 1 to 6 components with unequal variances.
GALAXIES = [-240.337891, -220.057973, -203.179228, -197.453764, -195.969658, -194.801155]


def test_coefficients_by_hand():
    # Of a univariate normal two parameters a component: true with as many, half of 3 i - 1.
    assert learning_coefficient(3, 3, 2, 0, 1.0) == 4.0
    # One superfluous component costs half a parameter by its weight, or one where it merges and the weight is free.
    assert learning_coefficient(2, 1, 2, 0, 1.0) == 1.5
    assert learning_coefficient(2, 1, 2, 0, 9.0) == 2.0
    assert learning_coefficient(2, 1, 1, 1, 1.0) == 1.5


def test_the_equation_holds():
    # By bisection of the definition, one number of components after the other.
    found = [-2.0 * each for each in log_evidences(GALAXIES, 2, 0, 82, 1.0)]
    solved: list[float] = []
    for i, value in enumerate(GALAXIES, start=1):
        terms = [value - learning_coefficient(i, j, 2, 0, 1.0) * math.log(82) for j in range(1, i + 1)]
        if i == 1:
            solved.append(terms[0])
            continue
        top = max(*terms, *solved)

        def equation(log, terms=terms, top=top):
            own = math.exp(log - top)
            parts = [(own - math.exp(t - top)) * math.exp(s - top) for t, s in zip(terms[:-1], solved, strict=True)]
            return sum(parts) + (own - math.exp(terms[-1] - top)) * own

        solved.append(brentq(equation, top - 100, top + 5, xtol=1e-12))
    np.testing.assert_allclose(found, [-2.0 * each for each in solved], atol=1e-6)
    # The smallest is BIC; more components are penalised less.
    bic = [-2.0 * value + (3 * k - 1) * math.log(82) for k, value in enumerate(GALAXIES, start=1)]
    assert found[0] == pytest.approx(bic[0])
    assert all(a <= b + 1e-9 for a, b in zip(found, bic, strict=True))
    # Of the galaxies BIC takes three components, the singular one four (Drton and Plummer's example of the difference).
    assert (np.argmin(bic) + 1, np.argmin(found) + 1) == (3, 4)


def fitted(k, log_likelihood, *, converged=True):
    """What the criterion reads of a fit of k components with two parameters each."""
    samples = SimpleNamespace(total_weight=82.0)
    known = {"n_parameters": 3 * k - 1, "log_likelihood": log_likelihood, "samples": samples}
    return SimpleNamespace(converged=converged, spurious=False, **known)


def test_it_is_left_out_from_the_first_gap_on():
    family = emjax.Normal()
    fits = [fitted(1, GALAXIES[0]), fitted(2, GALAXIES[1]), fitted(3, GALAXIES[2], converged=False), fitted(4, -197.0)]
    ours = [Candidate("a", family, k, fit) for k, fit in enumerate(fits, start=1)]
    found = singular_bic(Selection((*ours, Candidate("b", family, 2, fits[1]), Candidate("c", family, 1, None)), "bic"))
    expected = [-2.0 * each for each in log_evidences(GALAXIES[:2], 2, 0, 82.0, 1.0)]
    assert found == {"a": pytest.approx(dict(enumerate(expected, start=1)))}
    with pytest.raises(emjax.ConfigError, match="phi = -1"):
        singular_bic(Selection(tuple(ours), "bic"), phi=-1.0)
