"""The benchmark of posteriors: one prior and one judge for every package, and tables that say what is missing."""

import dataclasses
import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer.util import log_density as numpyro_log_density
from scipy.stats import invwishart, multivariate_normal

import emjax
from benchmarks import posterior
from benchmarks.client import PeerError
from benchmarks.report import write_between_marks
from benchmarks.samplers import SAMPLERS, numpyro_sampler, problems, pymc_sampler, tables
from benchmarks.samplers.base import Draws, Problem, Settings, default_prior
from benchmarks.samplers.process import Process, caches
from benchmarks.samplers.quantities import (
    deviation,
    effective,
    invariants,
    log_density,
    ordered,
    parameters,
    quantiles,
    read_reference,
)
from benchmarks.samplers.results import Results, Row

CORE = min(os.sched_getaffinity(0))
RNG = np.random.default_rng(7)
PAIR = Problem("pair", RNG.normal(size=(40, 2)) @ np.array([[1.0, 0.3], [0.0, 2.0]]) + 5.0, 3)
LINE = Problem("line", RNG.normal(size=(30, 1)) * 3.0, 2)


def _draws(chains: int = 2, draws: int = 50, k: int = 3, d: int = 2) -> Draws:
    rng = np.random.default_rng(11)
    root = np.tril(rng.normal(size=(chains, draws, k, d, d)), -1) + np.eye(d) * np.exp(
        0.2 * rng.normal(size=(chains, draws, k, d, 1))
    )
    return Draws(
        weights=rng.dirichlet(np.ones(k), size=(chains, draws)),
        mean=rng.normal(size=(chains, draws, k, d)) * 3.0 + 5.0,
        covariance=root @ np.swapaxes(root, -1, -2),
        warmup=10,
    )


# --- the same posterior for every package


@pytest.mark.parametrize("problem", [LINE, PAIR], ids=lambda problem: problem.name)
def test_the_prior_written_out_is_the_default_prior(problem: Problem):
    theirs = emjax.Mixture(emjax.Normal(), problem.n_components).default_prior(problem.x)
    mean, law = theirs["mean"], theirs["covariance"]
    ours = default_prior(problem.x, problem.n_components)
    np.testing.assert_allclose(ours.mean, mean.mean, rtol=1e-12)
    np.testing.assert_allclose(ours.scatter, law.scatter, rtol=1e-12)
    assert (ours.precision, ours.degrees_of_freedom) == (mean.precision, law.degrees_of_freedom)


@pytest.mark.runs_numpyro
@pytest.mark.parametrize("problem", [LINE, PAIR], ids=lambda problem: problem.name)
def test_plain_numpyro_has_the_density_of_emjax(problem: Problem):
    """Up to the Jacobian of a Cholesky factor, log 2^d + sum (d - i) log L_ii, i from 0."""
    k, d = problem.n_components, problem.x.shape[1]
    draws = _draws(1, 1, k, d)
    weights, mean, covariance = draws.weights[0, 0], draws.mean[0, 0], draws.covariance[0, 0]
    mixture = emjax.Mixture(emjax.Normal(), k)
    params, prior = mixture.params(weights=weights, mean=mean, covariance=covariance), mixture.default_prior(problem.x)
    values, jacobian, x = (
        {"weights": weights, "mean": mean[:, 0], "variance": covariance[:, 0, 0]},
        0.0,
        problem.x[:, 0],
    )
    if d > 1:
        root, x = np.linalg.cholesky(covariance), problem.x
        values = {"weights": weights, "mean": mean, "root": root}
        jacobian = k * d * np.log(2) + ((d - np.arange(d)) * np.log(np.diagonal(root, axis1=1, axis2=2))).sum()

    @jax.jit  # operation by operation, each would be compiled by itself
    def both(values: dict[str, jax.Array], x: jax.Array) -> tuple[jax.Array, jax.Array]:
        expected = mixture.log_prior(params, prior) + jnp.sum(mixture.likelihood.log_prob(params, x.reshape(-1, d)))
        return expected, numpyro_log_density(numpyro_sampler._model(problem), (x,), {}, values)[0]

    with jax.enable_x64(True):
        expected, found = both(values, x)
    assert float(found) == pytest.approx(float(expected) + jacobian, rel=1e-10)


def test_the_inverse_wishart_by_bartletts_decomposition():
    rng, prior = np.random.default_rng(9), dataclasses.replace(default_prior(PAIR.x, 3), degrees_of_freedom=9.0)
    squares, rest = (
        rng.chisquare(prior.degrees_of_freedom - np.array([1, 0]), size=(100_000, 2)),
        rng.normal(size=(100_000, 1)),
    )
    found = pymc_sampler.covariances(prior, squares, rest)
    expected = invwishart(prior.degrees_of_freedom, prior.scatter)
    np.testing.assert_allclose(found.mean(axis=0), expected.mean(), rtol=0.02)
    np.testing.assert_allclose(found.var(axis=0), expected.var(), rtol=0.15)


def test_overlapping_data_are_those_of_the_reference():
    page = posterior.REFERENCES / "overlapping.csv"
    np.testing.assert_allclose(problems.overlapping().x[:, 0], np.loadtxt(page, skiprows=1), rtol=1e-12)


def test_many_data_have_the_means_they_were_drawn_from():
    x = problems.large(4000).x
    again = problems.large(4000).x
    np.testing.assert_array_equal(x, again)
    expected = 3.0 * (np.array([0.3, 0.3, 0.4]) @ np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.866]]))
    np.testing.assert_allclose(x.mean(axis=0), expected, atol=0.1)


# --- one judge


@pytest.mark.parametrize(("k", "d"), [(3, 2), (2, 1)])
def test_log_density_is_that_of_the_mixture(k: int, d: int):
    draws, x = _draws(k=k, d=d), np.random.default_rng(3).normal(size=(6, d)) + 5.0
    found = log_density(draws, x)
    assert found.shape == (2, 50, 6)
    for chain, draw in ((0, 0), (1, 49)):
        parts = [
            multivariate_normal(draws.mean[chain, draw, i], draws.covariance[chain, draw, i]).pdf(x) for i in range(k)
        ]
        np.testing.assert_allclose(found[chain, draw], np.log(draws.weights[chain, draw] @ parts), rtol=1e-10)


def test_order_moves_components_as_a_whole_and_leaves_the_mixture():
    draws = _draws()
    found = ordered(draws)
    assert (np.diff(found.mean[..., 0], axis=-1) >= 0).all()
    assert not np.array_equal(found.mean, draws.mean)
    np.testing.assert_allclose(log_density(found, PAIR.x), log_density(draws, PAIR.x), rtol=1e-12)
    before, after = invariants(draws, PAIR.x), invariants(found, PAIR.x)
    for name in before:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-9, err_msg=name)


def test_parameters_are_named_by_component_and_feature():
    draws = ordered(_draws())
    found = parameters(draws)
    assert len(found) == 3 * (1 + 2 + 2 + 1)
    np.testing.assert_allclose(found["mean[1, 0]"], draws.mean[..., 1, 0])
    np.testing.assert_allclose(found["scale[2, 1]"] ** 2, draws.covariance[..., 2, 1, 1])
    implied = found["correlation[0, 1, 0]"] * found["scale[0, 0]"] * found["scale[0, 1]"]
    np.testing.assert_allclose(implied, draws.covariance[..., 0, 1, 0])
    assert set(parameters(_draws(k=2, d=1))) == {f"{name}[{i}]" for name in ("weight", "mean", "scale") for i in (0, 1)}


def test_total_variance_is_that_of_the_first_feature():
    draws, x = _draws(1, 4), PAIR.x
    found = invariants(draws, x)["total_variance"][0, 2]
    weights, mean = draws.weights[0, 2], draws.mean[0, 2, :, 0]
    second = weights @ (draws.covariance[0, 2, :, 0, 0] + mean**2)
    assert found == pytest.approx(second - (weights @ mean) ** 2)


def test_effective_sizes_of_independent_sticky_and_parted_chains():
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(4, 1000))
    sticky = noise.copy()
    for i in range(1, 1000):
        sticky[:, i] = 0.9 * sticky[:, i - 1] + np.sqrt(1 - 0.81) * noise[:, i]
    assert 3000 < effective({"a": noise}).least < 5000
    found = effective({"a": noise, "b": sticky})
    assert found.worst == "b"
    assert 100 < found.least < 500  # 4000 (1 - 0.9) / (1 + 0.9) = 211
    assert effective({"a": noise}).rhat < 1.01
    assert effective({"a": noise + 3.0 * np.arange(4)[:, None]}).rhat > 1.5


def test_what_does_not_move_or_is_not_finite_never_passes():
    noise = np.random.default_rng(6).normal(size=(2, 100))
    broken = noise.copy()
    broken[0, 3] = np.nan
    for bad in (np.ones((2, 100)), broken):
        found = effective({"a": noise, "b": bad})
        assert found.worst == "b"
        assert np.isnan(found.least)
        assert not found.least >= tables.ENOUGH


def test_quantiles_have_their_standard_errors():
    draws = np.random.default_rng(8).normal(size=(4, 2000))
    (value, error) = quantiles({"a": draws})["a"]["quantiles"]["0.5"]
    assert abs(value) < 4 * error
    assert error == pytest.approx(np.sqrt(np.pi / 2 / 8000), rel=0.3)


def test_deviation_is_in_standard_errors_of_both():
    found = {"a": {"quantiles": {"0.05": [1.0, 3.0], "0.5": [2.0, 0.3]}}, "b": {"quantiles": {"0.5": [9.0, 1.0]}}}
    reference = {"a": {"quantiles": {"0.05": [2.0, 4.0], "0.5": [1.0, 0.4]}}, "c": {"quantiles": {"0.5": [0.0, 1.0]}}}
    assert deviation(found, reference) == (pytest.approx(2.0), "a at 0.5")
    reference["a"]["quantiles"]["0.05"][0] = float("nan")
    assert np.isnan(deviation(found, reference)[0])
    with pytest.raises(ValueError, match="none of these quantities"):
        deviation({"b": found["b"]}, reference)


def test_a_reference_may_be_missing(tmp_path: Path):
    assert read_reference(tmp_path / "none.json") is None
    page = tmp_path / "one.json"
    page.write_text(json.dumps({"case": "one", "quantities": {"a": {"quantiles": {}}}}))
    assert read_reference(page) == {"a": {"quantiles": {}}}


# --- processes


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_package_says_whether_it_is_there(name: str):
    about = SAMPLERS[name]()
    if about.missing():
        assert name == "pymc"
        assert about.missing().startswith("not installed: ")
    else:
        assert about.version().startswith(about.modules[0] + " ")


def test_a_process_answers_with_its_seconds_and_its_errors(tmp_path: Path):
    found = caches(tmp_path / "a", tmp_path / "fonts", keep_programs=False)
    assert "JAX_COMPILATION_CACHE_DIR" not in found
    assert "JAX_COMPILATION_CACHE_DIR" in caches(tmp_path / "a", tmp_path / "fonts", keep_programs=True)
    with Process("emjax", CORE, found) as process:
        about, cpu = process.ask("describe")
        assert about["missing"] == ""
        assert cpu > 0
        with pytest.raises(PeerError, match="AttributeError"):
            process.ask("sample", 0)


class _Stub:
    """A process that answers at once with independent draws."""

    def __init__(self, name: str, core: int, caches: dict[str, str]) -> None:
        self.name, self.core, self.settings = name, core, Settings()

    def ask(self, method: str, *arguments: object, timeout: float = 0.0) -> object:
        if method == "load":
            self.problem, self.settings = arguments
            return (2.0, 1.0), 5.0
        if method != "sample":
            return None, 5.0
        if self.settings.method == "hmc":
            raise PeerError("ValueError: method='hmc' is not one of 'nuts'")
        d = self.problem.x.shape[1]
        notes = {"method": "nuts", "status": "converged"} if self.name == "emjax" else {}
        draws = dataclasses.replace(_draws(4, 60, self.problem.n_components, d), notes=notes)
        seconds = 0.1 if self.name == "emjax" else 2.0
        return (draws, 2 * seconds, seconds), 6.0

    def __enter__(self) -> "_Stub":
        return self

    def __exit__(self, *_: object) -> None:
        return None


def test_the_whole_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(posterior, "Process", _Stub)
    monkeypatch.setattr(posterior, "REFERENCES", tmp_path)
    monkeypatch.setattr(problems, "large", lambda n: PAIR)
    monkeypatch.setattr(SAMPLERS["pymc"], "missing", lambda self: "not installed: pymc")
    page, numbers = tmp_path / "page.md", tmp_path / "numbers.json"
    begin, end = tables.MARKS
    page.write_text(f"# Title\n\n{begin}\nold\n{end}\nafter\n")
    options = ["--methods", "nuts,hmc", "--peers", "emjax,numpyro,pymc", "--repeats", "2"]
    status = posterior.main([*options, "--out", str(page), "--json", str(numbers)])
    assert status == 1  # a method of emjax is not there
    text = page.read_text()
    assert text.split(begin)[1].split(end)[0].strip() == capsys.readouterr().out.strip()
    assert text.startswith("# Title")
    assert text.endswith("after\n")
    assert str(tmp_path) not in text
    assert "- emjax, hmc: ValueError: method='hmc' is not one of 'nuts'" in text
    assert "- PyMC + nutpie (caches cold): not installed: pymc" in text
    rows = json.loads(numbers.read_text())["rows"]
    assert {row["part"] for row in rows} == set(posterior.PARTS)
    compiled = [row for row in rows if row["part"] == "compiled" and not row["reason"]]
    assert [row["package"] for row in compiled] == ["emjax", "numpyro"]
    assert all(len(row["cpu"]) == len(row["ess"]) == 2 for row in compiled)
    assert compiled[0]["deviation"] == 0.0  # the same draws
    line = next(line for line in text.splitlines() if line.startswith("| emjax, nuts | 4 × (10 + 60) | 0.100"))
    assert [cell.strip() for cell in line.split("|")[-4:-1]] == ["20.0×", "–", "0.0"]


def test_nothing_of_a_row_without_enough_draws_is_a_ratio():
    fast = Row("cold", "p", "emjax", "nuts", "emjax, nuts", caches="cold", size="4 × 10", wall=[1.0], cpu=[1.0])
    fast.ess, fast.rhat = [399.0], 1.0
    slow = dataclasses.replace(fast, package="numpyro", method="", title="NumPyro", wall=[9.0], cpu=[8.0], ess=[2000.0])
    page = tables.as_markdown(Results({}, rows=[fast, slow]))
    assert "| emjax, nuts | cold | 4 × 10 | 1.00 | 1.00 | 399 (too few) | 1.000 | – | – |" in page
    fast.ess = [401.0]
    page = tables.as_markdown(Results({}, rows=[fast, slow]))
    assert "| emjax, nuts | cold | 4 × 10 | 1.00 | 1.00 | 401 | 1.000 | 8.0× | – |" in page


def test_seconds_to_an_effective_size_scale_what_is_not_compilation():
    row = Row("large", "p", "emjax", "nuts", "emjax", cpu=[2.0, 2.0], first_cpu=[5.0], ess=[800.0, 800.0])
    assert row.seconds_to(400.0) == pytest.approx(1.0)
    assert row.first_seconds_to(400.0) == pytest.approx(4.0)
    assert row.ess_per_second == pytest.approx(400.0)
    assert Row("large", "p", "emjax", "nuts", "emjax").ess_per_second is None


def test_a_posterior_that_is_not_believed_says_so_below_its_table():
    row = Row("hard", "galaxies", "emjax", "auto", "emjax, auto", cpu=[1.0], bulk=30.0, tail=20.0, rhat=1.2)
    row.notes = {"method": "nuts", "status": "not_converged", "message": "The chains disagree."}
    page = tables.as_markdown(Results({}, rows=[row]))
    assert "| galaxies | auto | nuts | not_converged | 1.00 |" in page
    assert "20 (too few)" in page
    assert "- emjax, auto, galaxies: The chains disagree." in page


def test_a_page_without_marks_is_refused(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="lacks the marks"):
        write_between_marks(page, "new", tables.MARKS)


@pytest.mark.parametrize("option", [["--only", "warm"], ["--peers", "nobody"], ["--methods", ","]])
def test_unknown_names_are_refused(option: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        posterior.main(option)
    assert "is none of" in capsys.readouterr().err
