"""The prior that a run declares reaches EM: data with an atom can be fitted and compared from the command line."""

import json

import numpy as np
import pytest

from emjax.experiments.config.single import Config

DATA = {"source": "faithful"}


@pytest.fixture
def atom(tmp_path):
    """Forty equal values, where the likelihood has no bound, and eighty others."""
    values = np.concatenate([np.zeros(40), np.random.default_rng(1).normal(3.0, 1.0, 80)])
    path = tmp_path / "atom.csv"
    path.write_text("x\n" + "\n".join(f"{value:.4f}" for value in values) + "\n")
    return path


def run(emjax_command, *arguments):
    """The exit code and the document of a command."""
    result = emjax_command(*map(str, arguments), "--json", "--quiet")
    return result.code, json.loads(result.out)


@pytest.mark.parametrize(
    ("task", "model", "em", "expected"),
    [
        ("fit", {}, {}, "none"),
        ("fit", {"prior": "default"}, {}, "default"),
        ("compare", {}, {}, "none"),
        ("compare", {"prior": "default"}, {}, "default"),
        ("compare", {"prior": {"concentration": 2.0}}, {}, "default"),
        ("compare", {"prior": "default"}, {"prior": "none"}, "none"),
        ("sample", {}, {}, "default"),
    ],
)
def test_the_prior_of_em_is_the_one_that_is_declared(task, model, em, expected):
    config = Config.model_validate({"task": task, "data": DATA, "model": {"n_components": 2, **model}, "em": em})
    assert config.em_prior == expected
    again = Config.model_validate(config.resolved())
    assert again.em_prior == expected
    assert again.prior == config.prior


@pytest.mark.slow
def test_an_atom_is_fitted_with_a_prior(atom, tmp_path, emjax_command):
    code, document = run(emjax_command, "fit", atom, "-k", 2, "--n-init", 4, "--out", tmp_path / "mle")
    assert (code, document["status"], document["prior"]) == (3, "degenerate", "none")
    arguments = ("fit", atom, "-k", 2, "--n-init", 4, "--set", "model.prior=default", "--out", tmp_path / "map")
    code, document = run(emjax_command, *arguments)
    assert (code, document["status"], document["prior"]) == (0, "converged", "default")
    assert document["intervals"]["status"] == "ok"


@pytest.mark.slow
@pytest.mark.parametrize("prior", [(), ("--prior", "default")])
def test_an_atom_is_compared_with_and_without_asking_for_the_prior(prior, atom, tmp_path, emjax_command):
    code, document = run(emjax_command, "compare", atom, "-k", 2, *prior, "--n-init", 4, "--out", tmp_path / "out")
    assert code == 0
    assert document["verdict"] in ("em_sufficient", "em_with_intervals")
    found = document["diagnostics"]["em"]
    assert (found["status"], found["prior"]) == ("converged", "default")
    assert found["judgement"]["judged"] == ("em" if prior else "map")
    em = json.loads((tmp_path / "out" / "em.json").read_text())
    assert (em["mle"] is None) == bool(prior)
    assert em["map"]["status"] == "converged"
    assert prior or em["mle"]["status"] == "degenerate"
    assert any("prior, not the algorithm" in reason for reason in document["reasons"]) != bool(prior)
