"""The prior that a run declares reaches EM: data with an atom can be fitted and compared from the command line."""

import json

import numpy as np
import pytest
import tomli_w

from emjax.experiments.config.reading import read_study
from emjax.experiments.config.schema import Study, resolved

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
    ("tree", "kinds"),
    [
        ({}, ["em", "auto"]),
        ({"prior": "default"}, ["map", "auto"]),
        ({"prior": {"concentration": 2.0}}, ["map", "auto"]),
        ({"file": "flat.py", "arguments": {}}, ["em", "auto"]),
        ({"file": "prior.py", "arguments": {}}, ["map", "auto"]),
        ({"file": "prior.py", "arguments": {}, "methods": [{"kind": "em"}]}, ["em"]),
        ({"prior": "default", "methods": [{"kind": "em"}]}, ["em"]),
    ],
)
def test_em_follows_a_prior_where_nobody_says_which_em_is_meant(tree, kinds, tmp_path):
    for name, prior in (("flat.py", None), ("prior.py", "default")):
        text = f"import emjax\ndef build():\n    return emjax.Mixture(emjax.Normal(), 2, {prior!r})\n"
        (tmp_path / name).write_text(text)
    methods = {"methods": tree.pop("methods")} if "methods" in tree else {}
    model = tree if "file" in tree else {"n_components": 2, **tree}
    path = tmp_path / "config.toml"
    path.write_text(tomli_w.dumps({"data": DATA, "model": model, **methods}))
    study = read_study(path)
    assert [method.kind for method in study.methods] == kinds
    assert Study.model_validate(resolved(study)).methods == study.methods, "written out"


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
