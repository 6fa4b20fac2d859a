"""Laws of parameters in a config: what is written there is what Python would be given."""

import json

import jax
import numpy as np
import pytest

import emjax
from emjax import laws
from emjax.errors import ConfigError
from emjax.experiments.config.mixtures import mixture_for, resolved_model
from emjax.experiments.config.reading import read_study
from emjax.experiments.config.schema import Study, resolved

X = emjax.datasets.load("faithful")


def declared(**model):
    return Study.model_validate({"data": {"source": "faithful"}, "model": {"n_components": 2, **model}})


def same(one, other):
    return one.keys() == other.keys() and all(
        type(one[site]) is type(other[site])
        and all(np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (one[site], other[site])), strict=True))
        for site in one
    )


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (
            {
                "prior": {
                    "mean": {"law": "normal", "mean": [3, 70], "scale": 10},
                    "weights": {"law": "dirichlet", "concentration": 2},
                }
            },
            {"mean": laws.Normal([3.0, 70.0], 10.0), "weights": laws.Dirichlet(2.0)},
        ),
        (
            {
                "covariance": "diag",
                "prior": {
                    "variance": {"law": "inverse_gamma", "shape": 2, "scale": [1.0, 50.0]},
                    "mean": {"law": "normal", "mean": [[2, 55], [4, 80]], "scale": [[1, 10], [1, 10]]},
                },
            },
            {
                "variance": laws.InverseGamma(2.0, [1.0, 50.0]),
                "mean": laws.Normal([[2.0, 55.0], [4.0, 80.0]], [[1.0, 10.0], [1.0, 10.0]]),
            },
        ),
        (
            {
                "prior": {
                    "scale": {"law": "half_normal", "scale": 20},
                    "correlation": {"law": "lkj", "concentration": 2},
                }
            },
            {"scale": laws.HalfNormal(20.0), "correlation": laws.LKJ(2.0)},
        ),
        (
            {"family": "gamma", "prior": {"shape": {"law": "log_normal", "mean": 1, "scale": 0.5}}},
            {"shape": laws.LogNormal(1.0, 0.5)},
        ),
        (
            {"family": "student_t", "prior": {"df": {"law": "gamma", "shape": 2, "rate": 0.1}}},
            {"df": laws.Gamma(2.0, 0.1)},
        ),
    ],
)
def test_the_prior_is_that_of_python(model, given):
    config = declared(**model)
    tree = resolved_model(config.model)
    found = mixture_for(tree, X, with_prior=True)
    python = emjax.Mixture(found.family.declared_as, 2, prior=given)
    assert same(found.prior, python.resolved_prior(X))
    # What is written beside the results is read back as it is.
    assert Study.model_validate(json.loads(json.dumps(resolved(config)))).model == declared(**tree).model


def test_what_no_law_is_given_for_keeps_its_numbers():
    tree = resolved_model(declared(prior={"scatter": 0.5, "mean": {"law": "normal", "mean": 0, "scale": 100.0}}).model)
    prior = mixture_for(tree, X, with_prior=True).prior
    default = emjax.Mixture(emjax.Normal(), 2, "default").default_prior(X)
    assert isinstance(prior["mean"], laws.Normal)
    np.testing.assert_array_equal(prior["covariance"].scatter, 0.5 * default["covariance"].scatter)


@pytest.mark.parametrize(
    ("prior", "expected"),
    [
        ({"mean": {"law": "norml", "mean": 0, "scale": 1}}, "model.prior.mean.law = 'norml' is not allowed"),
        ({"mean": {"law": "norml", "mean": 0, "scale": 1}}, "did you mean 'normal'?"),
        (
            {"mean": {"law": "normal", "mean": 0, "scales": 1}},
            "unknown key 'scales' for law 'normal'; did you mean 'scale'",
        ),
        ({"mean": {"law": "normal", "mean": 0}}, "scale is missing: law 'normal' takes mean, scale"),
        ({"mean": {"mean": 0, "scale": 1}}, "model.prior.mean.law is missing"),
        ({"mean": {"law": "normal", "mean": "a", "scale": 1}}, "model.prior.mean.mean"),
        ({"mean": {"law": "normal", "mean": True, "scale": 1}}, "model.prior.mean.mean"),
        ({"maen": {"law": "normal", "mean": 0, "scale": 1}}, "did you mean 'mean'?"),
        ({"rate": {"law": "gamma", "shape": 1, "rate": 1}}, "family 'normal' has no parameter 'rate'"),
        ({"mean": 3.0}, "model.prior.mean = 3.0"),
        ({"scater": 3.0}, "did you mean 'scatter'?"),
        ({"weights": {"law": "dirichlet", "concentration": 1}, "concentration": 2.0}, "leave one of them out"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path, prior, expected):
    path = tmp_path / "config.toml"
    lines = ["[data]", 'source = "faithful"', "[model]", "n_components = 2"]
    for name, value in prior.items():
        if isinstance(value, dict):
            lines += [f"[model.prior.{name}]", *(f"{key} = {json.dumps(one)}" for key, one in value.items())]
        else:
            lines += [f"prior.{name} = {value}"]
    numbers = [line for line in lines if line.startswith("prior.")]
    path.write_text("\n".join([*lines[:4], *numbers, *(line for line in lines[4:] if line not in numbers)]) + "\n")
    with pytest.raises(ConfigError) as refused:
        read_study(path)
    message = str(refused.value)
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("prior", "expected"),
    [
        ({"covariance": {"law": "gamma", "shape": 1, "rate": 1}}, "no law of what covariance is made of"),
        ({"scale": {"law": "dirichlet", "concentration": 1}}, "no law of what scale is made of"),
        ({"mean": {"law": "normal", "mean": [0, 1, 2], "scale": 1}}, "do not fit mean"),
    ],
)
def test_a_law_that_does_not_fit_the_data_is_refused(prior, expected):
    with pytest.raises(ConfigError, match=expected):
        mixture_for(resolved_model(declared(prior=prior).model), X, with_prior=True)


@pytest.mark.usefixtures("no_page")
def test_a_run_is_that_of_python_to_the_last_bit(tmp_path, emjax_command):
    path = tmp_path / "config.toml"
    path.write_text(
        'seed = 5\n[data]\nsource = "faithful"\n[model]\nn_components = 2\n[[methods]]\nkind = "map"\nn_init = 2\n'
        'accelerate = "none"\nintervals = "none"\n[model.prior.mean]\nlaw = "normal"\nmean = [3, 70]\nscale = 10\n'
    )
    result = emjax_command("run", str(path), "--out", str(tmp_path / "run"), "--json", "--quiet")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    mixture = emjax.Mixture(emjax.Normal(), 2, prior={"mean": laws.Normal([3.0, 70.0], 10.0)})
    again = emjax.fit(mixture, X, key=jax.random.fold_in(jax.random.key(5), 0), n_init=2, accelerate="none")
    assert document["log_likelihood"] == again.log_likelihood
    np.testing.assert_array_equal(document["params"]["mean"], again.params.mean)
