"""Student t components by the textbook's ECM: normal ones of which every datum has a weight of its own.

Peel and McLachlan, Statistics and Computing 10, 2000: with ``u = (df + d) / (df + distance)`` at the present
parameters, means and scale matrices are weighted by ``u``, the latter divided by the number of data; and ``df`` is the
root of ``log(df / 2) + 1 - digamma(df / 2) + mean(E[log u] - u)``.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import scipy.optimize
import scipy.stats
from scipy.special import digamma

import emjax
from tests.contracts.oracles.base import Values
from tests.contracts.oracles.normal import NormalOracle


@dataclasses.dataclass(frozen=True)
class StudentOracle(NormalOracle):
    """``values["df"]`` is ``(K,)``, or one number where components share it; left out where it is fixed."""

    df: float | None = None
    tied_df: bool = False
    has_scikit_learn = False

    @property
    def setting(self) -> str:
        tails = "fixed" if self.df is not None else "tied" if self.tied_df else "own"
        return f"{self.covariance}-{tails}"

    def stands_for_another(self, d: int) -> bool:
        """Fixed degrees of freedom are those of the estimate without their step, which has a test of its own."""
        return self.df is not None

    def _df(self, values: Values) -> np.ndarray:
        return np.broadcast_to(self.df if self.df is not None else values["df"], len(values["mean"]))

    def _with_df(self, values: Values, df: Any) -> Values:
        return values if self.df is not None else {**values, "df": df}

    def random(self, rng: np.random.Generator, k: int, d: int) -> Values:
        df = rng.uniform(4.2, 5.0, size=() if self.tied_df else k)
        return self._with_df(super().random(rng, k, d), df)

    def start(self, rng: np.random.Generator, x: np.ndarray, k: int) -> Values:
        values = super().start(rng, x, k)
        return self._with_df(values, rng.uniform(2.0, 20.0, size=() if self.tied_df else k))

    def draw(self, rng: np.random.Generator, values: Values, labels: np.ndarray) -> np.ndarray:
        df, centred = self._df(values)[labels], {**values, "mean": 0.0 * values["mean"]}
        noise = super().draw(rng, centred, labels) / np.sqrt(rng.chisquare(df) / df)[:, None]
        return values["mean"][labels] + noise

    def log_density(self, values: Values, x: np.ndarray) -> np.ndarray:
        triples = zip(values["mean"], self.matrices(values), self._df(values), strict=True)
        return np.array([scipy.stats.multivariate_t(*three).logpdf(x).reshape(len(x)) for three in triples])

    def moments(self, values: Values) -> tuple[np.ndarray, np.ndarray]:
        df = self._df(values)
        return values["mean"], self.matrices(values) * (df / (df - 2.0))[:, None, None]

    def step(self, x: np.ndarray, responsibilities: np.ndarray, numbers: Values | None, values: Values) -> Values:
        n, d = x.shape
        df, matrices = self._df(values), self.matrices(values)
        u, log_u = np.zeros_like(responsibilities), np.zeros_like(responsibilities)
        for k, (mean, matrix) in enumerate(zip(values["mean"], matrices, strict=True)):
            for row in range(n):
                distance = (x[row] - mean) @ np.linalg.solve(matrix, x[row] - mean)
                u[row, k] = (df[k] + d) / (df[k] + distance)
                log_u[row, k] = digamma((df[k] + d) / 2.0) - np.log((df[k] + distance) / 2.0)
        counts = responsibilities.sum(axis=0)
        found = self._weighted(x, responsibilities, u, numbers)
        if self.df is not None:
            return found
        sums = (responsibilities * (log_u - u)).sum(axis=0)
        if self.tied_df:
            return {**found, "df": np.array(_best_df(counts.sum(), sums.sum(), numbers))}
        return {**found, "df": np.array([_best_df(*pair, numbers) for pair in zip(counts, sums, strict=True)])}

    def _weighted(self, x: np.ndarray, responsibilities: np.ndarray, u: np.ndarray, numbers: Values | None) -> Values:
        """The normal M-step with weights: the covariances of the weighted data, divided by the number of all."""
        mass, counts = (responsibilities * u).sum(axis=0), responsibilities.sum(axis=0)
        normal = self.maximize(x, responsibilities * u, numbers)
        d, k = x.shape[1], len(mass)
        if numbers is None:
            more, per = 0.0, 0.0
        else:
            more = {"full": d + 2, "diag": 3, "spherical": d + 2, "tied": d + 1 + k}[self.covariance]
            per = float(numbers["degrees_of_freedom"]) + more
        factor = d if self.covariance == "spherical" else 1
        before, after = (factor * each + per for each in (mass, counts))
        if self.covariance == "tied":
            before, after = mass.sum() + per, counts.sum() + per
        ratio = np.asarray(before / after)
        covariance = normal["covariance"] * ratio.reshape(ratio.shape + (1,) * (normal["covariance"].ndim - ratio.ndim))
        return {"mean": normal["mean"], "covariance": covariance}

    def log_prior(self, values: Values, numbers: Values) -> float:
        total = super().log_prior(values, numbers)
        if self.df is not None:
            return total
        law = scipy.stats.gamma(numbers["df_shape"], scale=1.0 / numbers["df_rate"])
        return total + np.sum(law.logpdf(np.asarray(values["df"])))

    def default_prior(self, x: np.ndarray, k: int) -> Values:
        own = {} if self.df is not None else {"df_shape": 2.0, "df_rate": 0.1}
        return {**super().default_prior(x, k), **own}

    def other_prior(self, rng: np.random.Generator, numbers: Values) -> Values:
        own = {} if self.df is not None else {"df_shape": np.asarray(3.0), "df_rate": np.asarray(0.4)}
        return {**super().other_prior(rng, numbers), **own}

    def named(self, values: Values) -> Values:
        return self._with_df(super().named(values), self._df(values))

    def derived(self, values: Values) -> Values:
        return {**super().derived(values), "df": self._df(values)}

    def free(self, values: Values, d: int) -> list[Any]:
        return [*super().free(values, d), *([] if self.df is not None else [values["df"]])]

    def moved(self, values: Values, scale: float, shift: float) -> Values:
        return self._with_df(super().moved(values, scale, shift), values.get("df"))

    def values(self, params: emjax.MixtureParams) -> Values:
        return self._with_df(super().values(params), None if self.df is not None else params["df"])

    def numbers(self, prior: emjax.Prior) -> Values:
        own = {} if self.df is not None else {"df_shape": prior["df"].shape, "df_rate": prior["df"].rate}
        return {**super().numbers(prior), **{name: np.asarray(value) for name, value in own.items()}}

    def with_numbers(self, prior: emjax.Prior, alpha: np.ndarray, **numbers: Any) -> emjax.Prior:
        of = {**self.numbers(prior), **numbers}
        found = super().with_numbers(prior, alpha, **numbers)
        if self.df is not None:
            return found
        return found.replace(df=emjax.laws.Gamma(of["df_shape"], of["df_rate"]))


def _best_df(n: float, total: float, numbers: Values | None) -> float:
    """The degrees of freedom where the expected log-likelihood, with the prior, is largest; a root in their log."""

    def slope(log_df: float) -> float:
        df = np.exp(log_df)
        found = n * (np.log(df / 2.0) + 1.0 - digamma(df / 2.0)) / 2.0 + total / 2.0
        if numbers is not None:
            found += (numbers["df_shape"] - 1.0) / df - numbers["df_rate"]
        return found

    return float(np.exp(scipy.optimize.brentq(slope, np.log(0.1), np.log(900.0), xtol=1e-15, rtol=1e-15, maxiter=500)))
