"""What is wrong with an option is said in one line by every public function, and keys are what people take for keys.

The type checker of the tests would answer first, so the table is walked by a process of its own that has none.
"""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest

import emjax
from emjax.em.many import fit_many
from emjax.keys import as_key

WHOLE, NUMBER, SHARE = "give a whole number from", "give a number from 0", "it must lie between 0 and 1"
KEY = "no random key; give a whole number from 0 to 4,294,967,295, or jax.random.key(number)"

# Function, option, value, and what the line has to say besides the option's name.
TABLE = (
    *(("fit", name, value, WHOLE) for name in ("n_init", "max_iter", "log_every") for value in (2.5, "many", True, -1)),
    *(("fit", name, value, NUMBER) for name in ("tol", "ridge") for value in ("small", None, float("nan"))),
    ("fit", "init", "kmeans", "starts='kmeans++'"),
    ("fit", "init", "hierachical", "starts='hierarchical'"),
    ("fit", "init", "?", "'mixed', 'kmeans++', 'random'"),
    ("fit", "init", {}, "give parameters, a fit, means"),
    ("fit", "init", object, "give parameters, a fit, means"),
    ("fit", "init", [], "an empty list"),
    ("fit", "init", 5, "neither means (2, 1) nor responsibilities (40, 2)"),
    ("fit", "starts", "k-means", "did you mean 'kmeans++'?"),
    ("fit", "starts", 3, "'short_em'"),
    ("fit", "criterion", "likelihood", "did you mean 'log_likelihood'?"),
    ("fit", "accelerate", None, "'anderson'"),
    ("fit", "dtype", float, "'float32'"),
    ("fit", "throw", "no", "give True or False"),
    ("fit", "on_progress", 3, "give a function"),
    *((door, "progress", "yes", "give True or False") for door in ("fit", "sample", "compare")),
    *((door, "key", value, KEY) for door in ("fit", "sample", "compare") for value in ("zero", 1.5, True, [1])),
    *((door, "key", -1, WHOLE) for door in ("fit", "sample", "compare")),
    ("sample", "method", "hcm", "did you mean 'hmc'?"),
    *(("sample", name, value, WHOLE) for name in ("chains", "warmup", "draws") for value in (2.5, "many", False)),
    ("sample", "target_accept_prob", "high", SHARE),
    ("sample", "pseudo_rows", 1.0, "pseudo_rows is for bootstrap"),
    ("sample", "dtype", "f32", "'float32'"),
    ("sample", "init", "kmeans", "starts='kmeans++'"),
    ("sample", "on_progress", "yes", "give a function"),
    ("sample", "on_decision", 1, "give a function"),
    ("compare", "level", "90%", SHARE),
    ("compare", "loo", "no", "give True or False"),
    ("compare", "thresholds", 0.5, "give a Thresholds"),
    ("fit_many", "n_init", 2.5, WHOLE),
    ("fit_many", "starts", "kmeans", "did you mean 'kmeans++'?"),
    ("fit_many", "keys", "zero", KEY),
    ("fit_many", "keys", [1.5], "keys[0] = 1.5 is no random key"),
    ("fit_many", "keys", [0, 1], "1 data sets need as many keys"),
    ("intervals", "level", "90%", SHARE),
    ("intervals", "method", "info", "did you mean 'information'?"),
    ("optima_table", "most", 2.5, WHOLE),
    ("fit.sample", "n", 2.5, WHOLE),
    ("fit.sample", "key", None, KEY),
    ("Normal", "covariance", "diagonal", "did you mean 'diag'?"),
    ("Mixture", "n_components", 2.5, WHOLE),
    ("Mixture", "family", "normal", "emjax.Normal()"),
    ("Mixture", "prior", "defualt", "'default'"),
)  # fmt: skip


def refusals() -> list[str]:
    """The text of the ValueError of each line of the table; whatever else is raised ends the process."""
    x = np.concatenate([np.arange(20.0), 50.0 + np.arange(20.0)])
    mixture = emjax.Mixture(emjax.Normal(), 2)
    # Options are looked at before what they are options of.
    fit, posterior = object.__new__(emjax.Fit), object.__new__(emjax.Posterior)
    doors = {
        "fit": lambda **option: emjax.fit(mixture, x, **{"key": 0, **option}),
        "sample": lambda **option: emjax.sample(mixture, x, **{"key": 0, **option}),
        "compare": lambda **option: emjax.compare(fit, posterior, x, **option),
        "fit_many": lambda **option: fit_many(mixture, [x], **option),
        "intervals": fit.intervals,
        "optima_table": fit.optima_table,
        "fit.sample": lambda **option: fit.sample(**{"key": 0, "n": 3, **option}),
        "Normal": emjax.Normal,
        "Mixture": lambda **option: emjax.Mixture(**{"family": emjax.Normal(), "n_components": 2, **option}),
    }
    found = []
    for door, option, value, _ in TABLE:
        try:
            doors[door](**{option: value})
            found.append("nothing was raised")
        except ValueError as error:
            found.append(str(error))
    return found


@pytest.fixture(scope="module")
def answers() -> list[str]:
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_option_is_refused_in_one_line_that_names_what_is_allowed(answers: list[str]):
    wrong = [
        (line, answer)
        for line, answer in zip(TABLE, answers, strict=True)
        if not (line[3] in answer and line[1] in answer and answer.isprintable() and len(answer) < 250)
    ]
    assert wrong == []


X = np.concatenate([np.random.default_rng(0).normal(size=60), np.random.default_rng(1).normal(5.0, 1.0, size=40)])
MIXTURE = emjax.Mixture(emjax.Normal(), 2)


def trace_of(key) -> np.ndarray:
    return emjax.fit(MIXTURE, X, key=key, n_init=2, max_iter=20).trace


def test_a_whole_number_is_the_key_that_jax_makes_of_it():
    expected = trace_of(jax.random.key(7))
    for key in (7, np.int64(7), np.array(7), jax.random.PRNGKey(7), np.asarray(jax.random.PRNGKey(7))):
        np.testing.assert_array_equal(trace_of(key), expected)
    assert not np.array_equal(trace_of(8), expected)
    with jax.default_prng_impl("rbg"):
        np.testing.assert_array_equal(jax.random.key_data(as_key(7)), jax.random.key_data(jax.random.key(7)))


def test_a_key_that_is_left_out_is_drawn_and_kept():
    first, second = (emjax.fit(MIXTURE, X, n_init=2, max_iter=20) for _ in range(2))
    assert isinstance(first.key, int)
    assert first.key != second.key
    np.testing.assert_array_equal(trace_of(first.key), first.trace)
    given = jax.random.key(3)
    assert emjax.fit(MIXTURE, X, key=given, n_init=2, max_iter=20).key is given
    data = emjax.datasets.simulate.poisson_mixture(weights=[0.5, 0.5], rate=[1, 9], n_samples=20)
    seed = int(data.source.split()[-1])
    same = emjax.datasets.simulate.poisson_mixture(weights=[0.5, 0.5], rate=[1, 9], n_samples=20, seed=seed)
    np.testing.assert_array_equal(data.values, same.values)


def test_several_keys_are_no_key():
    for keys in (jax.random.split(jax.random.key(0), 3), np.zeros((3, 2), np.uint32), np.zeros(3, np.uint32)):
        with pytest.raises(emjax.ConfigError, match=r"holds 3 keys|has the shape"):
            as_key(keys)


def test_one_key_is_split_over_many_data_sets():
    first, second = fit_many(MIXTURE, [X, X[::-1]], keys=5, n_init=2, max_iter=20)
    np.testing.assert_array_equal(jax.random.key_data(second.key), jax.random.key_data(jax.random.split(as_key(5))[1]))
    one, _ = fit_many(MIXTURE, [X, X], keys=[first.key, 9], n_init=2, max_iter=20)
    np.testing.assert_array_equal(one.trace, first.trace)


def test_draws_take_numbers_and_traced_keys():
    params = MIXTURE.params(mean=[[0.0], [5.0]], scale=[[1.0], [1.0]])
    draw = lambda key: MIXTURE.sample(params, key, 4)[0]  # noqa: E731
    np.testing.assert_array_equal(draw(3), draw(jax.random.key(3)))
    several = jax.vmap(draw)(jax.random.split(jax.random.key(3), 2))
    old_style = jax.vmap(draw)(jax.random.split(jax.random.PRNGKey(3), 2))
    np.testing.assert_array_equal(several, old_style)


if __name__ == "__main__":
    print(json.dumps(refusals()))
