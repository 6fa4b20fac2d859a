"""``python -m benchmarks.enumeration``: posteriors against the sum over all labellings of the data.

Every case is sampled with five keys by each method. A run is right where the probability that two data share a
component is within 0.03 of the exact one for every pair and the evidence within 0.1 nats; it says no where its status
is not ``converged``; it is wrong where it says neither.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from time import perf_counter

import jax
import numpy as np
from scipy import stats

import emjax
from benchmarks.labellings import enumerate_labellings

METHODS = ("auto", "nuts", "gibbs", "laplace")
N_KEYS = 5
MOST_OFF_TOGETHER = 0.03
MOST_OFF_EVIDENCE = 0.1


@dataclasses.dataclass(frozen=True)
class Case:
    """One mixture and its data ``(n, d)``."""

    name: str
    x: np.ndarray
    n_components: int
    family: emjax.Poisson | emjax.Normal
    concentration: float = 1.0

    @property
    def mixture(self) -> emjax.Mixture:
        """The mixture with the default prior of its components."""
        weights = emjax.laws.Dirichlet(np.full(self.n_components, self.concentration))
        prior = emjax.Mixture(self.family, self.n_components).default_prior(self.x).replace(weights=weights)
        return emjax.Mixture(self.family, self.n_components, prior)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How far one run is off, and what it says of itself."""

    case: str
    method: str
    key: int
    status: str
    together: float
    evidence: float
    pareto_k: float
    seconds: float

    @property
    def verdict(self) -> str:
        """``right``, ``no`` or ``wrong``."""
        if self.status != "converged":
            return "no"
        right = self.together <= MOST_OFF_TOGETHER and abs(self.evidence) <= MOST_OFF_EVIDENCE
        return "right" if right else "wrong"


def cases() -> Iterator[Case]:
    """All cases: counts and measurements, small and large, in one cluster and in two, K = 2 and 3."""
    for n in (6, 12):
        for k in (2, 3):
            for rate in (3.0, 30.0, 1e3, 1e5, 1e6):
                for n_clusters in (1, 2):
                    random = np.random.default_rng([n, k, int(rate), n_clusters])
                    # Two clusters lie six standard deviations apart.
                    rates = np.where(np.arange(n) < n // 2, rate, rate + (n_clusters - 1) * 6.0 * np.sqrt(rate))
                    x = random.poisson(rates).astype(float)[:, None]
                    yield Case(f"poisson {rate:g} n={n} K={k} clusters={n_clusters}", x, k, emjax.Poisson())
            for scale in (1.0, 1e4):
                for d in (1, 2):
                    for n_clusters in (1, 2):
                        random = np.random.default_rng([n, k, int(scale), d, n_clusters])
                        shifts = np.where(np.arange(n) < n // 2, 0.0, (n_clusters - 1) * 6.0)
                        x = scale * (random.normal(size=(n, d)) + shifts[:, None])
                        yield Case(f"normal {scale:g} d={d} n={n} K={k} clusters={n_clusters}", x, k, emjax.Normal())
    for concentration in (0.5, 4.0):
        for rate in (30.0, 1e5):
            x = np.random.default_rng([12, int(rate)]).poisson(rate, (12, 1)).astype(float)
            yield Case(
                f"poisson {rate:g} n=12 K=2 concentration={concentration:g}", x, 2, emjax.Poisson(), concentration
            )


def run(case: Case, method: str, key: int) -> Outcome:
    """One run, beside the exact answer."""
    mixture = case.mixture
    exact = enumerate_labellings(case.x, mixture.prior.concentration, mixture.prior.components)  # type: ignore[union-attr]
    begin = perf_counter()
    try:
        posterior = emjax.sample(mixture, case.x, key=jax.random.key(key), method=method)  # type: ignore[arg-type]
    except emjax.FitError:
        nan = float("nan")
        return Outcome(case.name, method, key, "no fit", nan, nan, nan, perf_counter() - begin)
    seconds = perf_counter() - begin
    shares = np.exp(_log_responsibilities(case, posterior))
    together = np.einsum("snk,smk->nm", shares, shares) / len(shares)
    off = ~np.eye(len(case.x), dtype=bool)
    return Outcome(
        case=case.name,
        method=method,
        key=key,
        status=posterior.status.value,
        together=float(np.abs(together - exact.together)[off].max()),
        evidence=posterior.modes.log_evidence - exact.log_evidence,
        pareto_k=posterior.modes.pareto_k,
        seconds=seconds,
    )


def _log_responsibilities(case: Case, posterior: emjax.Posterior) -> np.ndarray:
    """``log p(z_n = k | x_n)`` at each draw, ``(draw, n, K)``, by SciPy's and NumPy's densities."""
    drawn = {name: np.concatenate(value.values) for name, value in posterior.sampled["posterior"].data_vars.items()}
    if isinstance(case.family, emjax.Poisson):
        densities = stats.poisson.logpmf(case.x[None, :, None, :], drawn["rate"][:, None]).sum(axis=-1)
    else:
        root = np.linalg.cholesky(drawn["covariance"])
        y = np.linalg.solve(root, np.swapaxes(case.x[None, None] - drawn["mean"][:, :, None], 2, 3))
        log_det = np.log(np.diagonal(root, axis1=2, axis2=3)).sum(axis=2)
        densities = np.swapaxes(-0.5 * (y**2).sum(axis=2) - log_det[:, :, None], 1, 2)
    joint = densities + np.log(drawn["weights"])[:, None, :]
    return np.asarray(joint - np.logaddexp.reduce(joint, axis=2)[:, :, None])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything that was asked for, print each run that is wrong and a table; the status is 0 if none is."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.enumeration", description=__doc__)
    parser.add_argument("--methods", nargs="+", default=["auto"], choices=(*METHODS, "hmc"), help="default: auto")
    parser.add_argument("--keys", type=int, default=N_KEYS, help=f"keys of each case (default {N_KEYS})")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--every", type=int, default=1, help="each so-manieth case")
    parser.add_argument("--verbose", action="store_true", help="print every run")
    options = parser.parse_args(arguments)
    chosen = [case for case in cases() if options.only in case.name][:: options.every]
    outcomes = []
    for method in options.methods:
        for case in chosen:
            for key in range(options.keys):
                outcome = run(case, method, key)
                outcomes.append(outcome)
                if options.verbose or outcome.verdict == "wrong":
                    print(
                        f"{outcome.verdict:5s} {method:7s} {case.name:45s} key {key}: {outcome.status:14s} together "
                        f"off {outcome.together:.3f}, evidence off {outcome.evidence:+.3f}, k {outcome.pareto_k:.2f}, "
                        f"{outcome.seconds:.1f} s",
                        flush=True,
                    )
    print(table(outcomes))
    return int(any(outcome.verdict == "wrong" for outcome in outcomes))


def table(outcomes: Sequence[Outcome]) -> str:
    """How many runs of each method were right, said no and were wrong, and how far off the right ones were."""
    lines = [
        "| method | cases x keys | right | says no | wrong | worst pair | worst evidence |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for method in dict.fromkeys(outcome.method for outcome in outcomes):
        mine = [outcome for outcome in outcomes if outcome.method == method]
        counts = [sum(outcome.verdict == verdict for outcome in mine) for verdict in ("right", "no", "wrong")]
        said = [outcome for outcome in mine if outcome.verdict != "no"]
        worst = max((one.together for one in said), default=float("nan"))
        nats = max((abs(one.evidence) for one in said), default=float("nan"))
        names = {one.case for one in mine}
        size = f"{len(names)} x {len(mine) // len(names)}"
        lines.append(f"| `{method}` | {size} | {counts[0]} | {counts[1]} | {counts[2]} | {worst:.3f} | {nats:.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
