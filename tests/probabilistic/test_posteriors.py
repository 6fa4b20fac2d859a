"""Posteriors of programs against known ones: posteriordb's under its own priors, and long runs of NumPyro alone."""

import json
import runpy
from pathlib import Path

import jax
import numpy as np
import pytest
from arviz_stats.base import array_stats
from numpyro.infer import MCMC, NUTS
from scipy import stats

import emjax

pytestmark = [pytest.mark.slow, pytest.mark.runs_numpyro]

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "tests" / "reference" / "posteriordb"
LEVELS = (0.05, 0.5, 0.95)


def sampled(name: str, data: object) -> dict[str, np.ndarray]:
    """Draws of each site by its name, ``(chain, draw, ...)``, of which enough are independent."""
    program = emjax.program(runpy.run_path(str(ROOT / "models" / f"{name}.py"))["model"])
    posterior = emjax.sample(program, data, key=1, method="hmc", draws=2000)
    assert posterior.converged
    assert posterior.diagnostics.min_ess_bulk > 1000
    family, shape = posterior.mixture.family, (posterior.diagnostics.n_chains, -1)
    sites = jax.vmap(family.sites_at)(posterior.params)
    return {site: np.asarray(value).reshape(*shape, *np.shape(value)[1:]) for site, value in sites.items()}


def summaries(draws: np.ndarray) -> dict[str, tuple[float, float]]:
    """Mean, sd and quantiles with their Monte-Carlo errors."""
    found = {kind: array_stats.mcse(draws, method=kind) for kind in ("mean", "sd")}
    values = {"mean": (draws.mean(), found["mean"]), "sd": (draws.std(ddof=1), found["sd"])}
    for level in LEVELS:
        values[f"{level}"] = (np.quantile(draws, level), array_stats.mcse(draws, method="quantile", prob=level))
    return values


def assert_same(ours: np.ndarray, theirs: dict[str, tuple[float, float]]) -> None:
    for kind, (value, error) in summaries(ours).items():
        if kind in theirs:
            expected, its_error = theirs[kind]
            assert abs(value - expected) <= 4 * np.hypot(error, its_error), kind


def test_low_dim_gauss_mix_of_posteriordb():
    draws = sampled("low_dim_gauss_mix", np.loadtxt(REFERENCE / "low_dim_gauss_mix.csv", skiprows=1))
    reference = json.loads((REFERENCE / "low_dim_gauss_mix.json").read_text())["parameters"]
    columns = {"theta": draws["theta"]}
    columns |= {f"{site}[{k + 1}]": draws[site][..., k] for site in ("mu", "sigma") for k in range(2)}
    for name, of_stan in reference.items():
        known = {kind: (of_stan[kind], of_stan[f"mcse_{kind}"]) for kind in ("mean", "sd")}
        for level, key in ((0.05, "q05"), (0.95, "q95")):
            # The reference has no error of its quantiles; these are nearly normal posteriors.
            error = np.sqrt(level * (1 - level) / of_stan["ess_bulk"]) / stats.norm.pdf(stats.norm.ppf(level))
            known[f"{level}"] = of_stan[key], error * of_stan["sd"]
        assert_same(columns[name], known)


def test_normal_2_of_posteriordb():
    y = np.loadtxt(REFERENCE / "normal_2.csv", skiprows=1)
    draws, left = sampled("normal_2", y), y < 0
    # Components are 20 scales apart, so that their labels are known and the laws exact.
    order = np.argsort(draws["mu"].mean(axis=(0, 1)))
    laws = [(draws["weights"][..., order[0]], stats.beta(1 + left.sum(), 1 + (~left).sum()))]
    for k, mine in zip(order, (left, ~left), strict=True):
        precision = mine.sum() + 0.01
        laws.append((draws["mu"][..., k], stats.norm(y[mine].sum() / precision, precision**-0.5)))
    for values, law in laws:
        known = {"mean": (law.mean(), 0.0), "sd": (law.std(), 0.0)}
        assert_same(values, known | {f"{level}": (law.ppf(level), 0.0) for level in LEVELS})


@pytest.mark.parametrize("name", ["capture_recapture_m0", "capture_recapture_mb"])
def test_capture_and_recapture_against_numpyro_s_enumeration(name: str):
    names = runpy.run_path(str(ROOT / "models" / f"{name}.py"))
    draws = sampled(name, names["data"]())
    with jax.enable_x64(True):
        chain = MCMC(
            NUTS(names["model"]),
            num_warmup=500,
            num_samples=5000,
            num_chains=4,
            chain_method="vectorized",
            progress_bar=False,
        )
        chain.run(jax.random.key(7), **names["data"]())
    for site, values in chain.get_samples(group_by_chain=True).items():
        if site in draws:
            assert_same(draws[site], summaries(np.asarray(values)))
    assert {"omega", "p"} <= set(draws)
