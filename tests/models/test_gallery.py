"""The programs of `models/`: their densities against formulas of our own, their data against the published tables."""

import ast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers
from numpyro.contrib.funsor import config_enumerate, enum, log_density
from numpyro.infer import MCMC, NUTS, init_to_value
from program_oracles import ORACLES
from scipy import stats
from scipy.special import logsumexp
from shipped_programs import DATA, MODELS, PER_DATUM, PROGRAMS, REFUSED

import emjax

# NumPyro's distributions promote ranks; log probabilities of what cannot be are infinite.
pytestmark = pytest.mark.runs_numpyro


def abstract(name):
    """The sites of a program as far as their shapes go; nothing is compiled."""
    found = {}
    program = handlers.trace(handlers.seed(PROGRAMS[name]["model"], 0))
    jax.eval_shape(lambda: found.update(program.get_trace(**DATA[name])) or 0)
    return found


def is_in_plate(site, plate="datum"):
    return any(frame.name == plate for frame in site["cond_indep_stack"])


def log_joint(name, params, z):
    """What the sites of the plate say of each datum where the latent is z."""
    program = handlers.trace(handlers.substitute(PROGRAMS[name]["model"], {**params, "z": z}))
    sites = program.get_trace(**DATA[name]).values()
    return sum(site["fn"].log_prob(site["value"]) for site in sites if site["type"] == "sample" and is_in_plate(site))


def enumerated(name, params):
    """NumPyro's own log density, z summed out."""
    program = enum(config_enumerate(PROGRAMS[name]["model"]), first_available_dim=-2)
    return log_density(program, (), DATA[name], params)[0]


def test_every_program_has_an_oracle_or_is_the_one_that_is_refused():
    assert set(ORACLES) == set(PER_DATUM)
    assert len(PER_DATUM) >= 12


@pytest.mark.parametrize("name", PER_DATUM)
def test_densities_are_those_of_the_formulas(name):
    data, oracle = DATA[name], ORACLES[name]
    n = len(next(iter(data.values())))
    rng = np.random.default_rng(1)
    draws = [oracle.draw(rng, **data) for _ in range(3)]
    expected = np.array([oracle.rows(**data, **params) for params in draws])
    n_components = expected.shape[1]

    def everything(params):
        column = log_joint(name, params, jnp.arange(n_components)[:, None])
        full = [log_joint(name, params, jnp.full(n, k)) for k in range(n_components)]
        one = [log_joint(name, params, jnp.array([k])) for k in range(n_components)]
        return jnp.stack([column, jnp.stack(full), jnp.stack(one)]), enumerated(name, params)

    with jax.enable_x64(True):
        stacked = {site: np.stack([params[site] for params in draws]) for site in draws[0]}
        ours, total = (np.asarray(value) for value in jax.jit(jax.vmap(everything))(stacked))
    possible = np.isfinite(expected)
    for rows in np.moveaxis(ours, 1, 0):
        np.testing.assert_allclose(rows[possible], expected[possible], rtol=1e-10, atol=1e-10)
        assert (rows[~possible] < -500).all()  # zero, as far as doubles go, where a program may not say -inf
    likelihood = logsumexp(expected, axis=1).sum(axis=1)
    prior = [oracle.log_prior(**data, **params) for params in draws]
    np.testing.assert_allclose(total, likelihood + prior, rtol=1e-12, atol=1e-8)


def test_the_change_point_is_one_latent_for_all_data():
    y = DATA[REFUSED]["y"]
    assert not is_in_plate(abstract(REFUSED)["z"])
    early, late = 3.0, 0.9
    before, after = (np.append(0, np.cumsum(stats.poisson.logpmf(y, rate))) for rate in (early, late))
    terms = before[:-1] + after[-1] - after[:-1] - np.log(len(y))
    expected = logsumexp(terms) + stats.gamma.logpdf([early, late], 2).sum()
    with jax.enable_x64(True):
        total = jax.jit(lambda params: enumerated(REFUSED, params))({"early": early, "late": late})
    assert float(total) == pytest.approx(expected, rel=1e-12)
    # The 41st year, 1891, is the likeliest last one at the old rate: the published mode.
    assert int(np.argmax(terms)) == 41


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_programs_keep_to_what_the_readme_says_of_them(name):
    data, sites = DATA[name], {k: s for k, s in abstract(name).items() if s["type"] == "sample"}
    latent = {k: s for k, s in sites.items() if not s["is_observed"]}
    ((observed, site),) = [(k, s) for k, s in sites.items() if s["is_observed"]]
    assert [k for k, s in latent.items() if s["fn"].support.is_discrete] == ["z"]
    assert sites["z"]["infer"] == {"enumerate": "parallel"}
    assert site["value"] is data[observed]
    assert [(frame.name, frame.size) for frame in site["cond_indep_stack"]] == [("datum", len(data[observed]))]
    assert {len(value) for value in data.values()} == {len(data[observed])}
    # Parameters stand outside of the plate: there are none of one datum alone.
    assert [k for k, s in latent.items() if is_in_plate(s)] == ["z"] * (name != REFUSED)


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_new_data_can_be_drawn_from_what_is_observed(name):
    def drawn():
        sites = handlers.trace(handlers.seed(PROGRAMS[name]["model"], 0)).get_trace(**DATA[name])
        (site,) = [s for s in sites.values() if s["type"] == "sample" and s["is_observed"]]
        return site["fn"].sample(jax.random.key(1))

    observed = DATA[name]["x" if name == "normal_mixture" else "y"]
    assert jax.eval_shape(drawn).shape == observed.shape


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_files_stand_alone_and_say_what_they_are_for(name):
    text = (MODELS / f"{name}.py").read_text(encoding="utf-8")
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = [alias.name for node in imports for alias in node.names if isinstance(node, ast.Import)]
    modules += [node.module for node in imports if isinstance(node, ast.ImportFrom)]
    assert {module.split(".")[0] for module in modules} <= {"jax", "numpy", "numpyro"}
    assert len(text.splitlines()) <= 90
    assert all(word in PROGRAMS[name]["__doc__"] for word in ("**Story.**", "**Question.**"))
    readme = (MODELS / "README.md").read_text(encoding="utf-8")
    assert f"**`{name}.py`: " in readme
    (row,) = [line for line in readme.splitlines() if line.startswith(f"| `{name}.py` |")]
    latent = [k for k, s in abstract(name).items() if s["type"] == "sample" and not s["is_observed"]]
    assert all(f"`{site}" in row for site in set(latent) - {"z"})
    for argument, value in DATA[name].items():
        assert f"`{argument} {value.shape}`" in row
    picture = MODELS / "images" / f"{name}.png"
    assert picture.exists() == (f"(images/{name}.png)" in readme) == (name != REFUSED)
    assert name == REFUSED or 5_000 < picture.stat().st_size <= 40_000


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_the_seed_draws_simulated_data_and_no_others(name):
    data, again, other = DATA[name], PROGRAMS[name]["data"](seed=0), PROGRAMS[name]["data"](seed=1)
    assert list(data) == list(again)
    for key, value in data.items():
        np.testing.assert_array_equal(value, again[key])
        assert np.isfinite(value).all()
    simulated = name in ("covariates_of_weights", "low_dim_gauss_mix", "mixture_of_regressions", "normal_2")
    assert np.array_equal(data["y" if "y" in data else "x"], other["y" if "y" in other else "x"]) != simulated


def test_data_are_the_published_ones():
    bundled = {
        "normal_mixture": ("x", "faithful"),
        "hierarchical_scales": ("y", "acidity"),
        "poisson_mixture": ("y", "deaths"),
        "rater_agreement": ("y", "carcinoma"),
    }
    for name, (argument, known) in bundled.items():
        expected = np.asarray(emjax.datasets.load(known))
        np.testing.assert_array_equal(DATA[name][argument].reshape(expected.shape), expected)
    lamb, coal = DATA["zero_inflated_counts"]["y"], DATA["change_point"]["y"]
    assert (len(lamb), round(lamb.mean(), 3), round(lamb.var(ddof=1), 3)) == (240, 0.358, 0.658)
    assert (len(coal), coal.sum()) == (112, 191)
    histories = [DATA[name]["y"] for name in ("capture_recapture_m0", "capture_recapture_mb")]
    assert [(len(y), y.any(axis=1).sum()) for y in histories] == [(237, 87), (318, 168)]


def test_two_classes_explain_the_students_as_well_as_goodman_found():
    y = DATA["latent_class"]["y"]
    weights = np.array([0.279, 0.721])
    universal = np.array([[0.993, 0.940, 0.927, 0.769], [0.714, 0.330, 0.354, 0.132]])
    log_likelihood = logsumexp(ORACLES["latent_class"].rows(y, weights, 1 - universal), axis=0).sum()
    counts = np.unique(y, axis=0, return_counts=True)[1]
    assert 2 * ((counts * np.log(counts / 216)).sum() - log_likelihood) == pytest.approx(2.72, abs=0.005)


def test_known_labels_give_the_posterior_of_normal_2():
    """Up to the constant: what the program says and what conjugate laws say of the parameters differ by one number."""
    y = DATA["normal_2"]["y"]
    left = y < 0
    counts, sums = np.array([left.sum(), (~left).sum()]), np.array([y[left].sum(), y[~left].sum()])
    laws = stats.norm(sums / (counts + 0.01), 1 / np.sqrt(counts + 0.01))
    rng = np.random.default_rng(0)
    weights, mu = rng.dirichlet(1 + counts, 4), laws.rvs((4, 2), random_state=rng)
    conjugate = np.array([stats.dirichlet.logpdf(w, 1 + counts) for w in weights]) + laws.logpdf(mu).sum(axis=1)
    with jax.enable_x64(True):
        program = jax.jit(jax.vmap(lambda params: enumerated("normal_2", params)))({"weights": weights, "mu": mu})
    assert np.ptp(conjugate) > 0.5
    np.testing.assert_allclose(np.asarray(program) - conjugate, float(program[0]) - conjugate[0], rtol=1e-10)


def sampled(name, start, draws=400):
    """Draws of NumPyro's NUTS on a program whose latent it sums out."""

    @jax.jit
    def run(key):
        kernel = NUTS(
            PROGRAMS[name]["model"],
            init_strategy=init_to_value(values={site: jnp.array(value) for site, value in start.items()}),
        )
        mcmc = MCMC(kernel, num_warmup=300, num_samples=draws, progress_bar=False)
        mcmc.run(key, **DATA[name])
        return mcmc.get_samples()

    with jax.enable_x64(True):
        return {site: np.asarray(value) for site, value in run(jax.random.key(0)).items()}


RECOVERED = {
    "mixture_of_regressions": (
        {"intercept": [1.5, 0.5], "slope": [0.2, 0.8]},
        {"weights": [0.7, 0.3], "intercept": [2, 0], "slope": [0, 1], "scale": [0.05, 0.15]},
        {"weights": 0.05, "intercept": 0.15, "slope": 0.07, "scale": 0.02},
    ),
    "capture_recapture_mb": ({}, {"omega": 200 / 318, "p": 0.3, "c": 0.4}, {"omega": 0.05, "p": 0.03, "c": 0.04}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(RECOVERED))
def test_nuts_on_the_enumerated_program_finds_what_the_data_were_made_from(name):
    start, truth, widest = RECOVERED[name]
    draws = sampled(name, start)
    assert set(draws) == set(truth)
    for site, expected in truth.items():
        mean, sd = draws[site].mean(axis=0), draws[site].std(axis=0, ddof=1)
        assert (abs(mean - expected) < 4 * sd).all(), (site, mean, sd)
        assert (sd < widest[site]).all(), (site, sd)


@pytest.mark.parametrize("name", ["capture_recapture_m0", "capture_recapture_mb", "zero_inflated_counts"])
def test_second_derivatives_are_finite_where_a_label_is_impossible(name):
    """Standard errors and Newton steps need them, and a probability of zero that is computed has none."""
    params = ORACLES[name].draw(np.random.default_rng(2), **DATA[name])
    n_components = len(ORACLES[name].rows(**DATA[name], **params))

    def expected(params):
        rows = log_joint(name, params, jnp.arange(n_components)[:, None])
        weights = jax.lax.stop_gradient(jax.nn.softmax(rows, axis=0))
        return jnp.where(weights > 0, weights * rows, 0.0).sum()

    with jax.enable_x64(True):
        hessian = jax.jit(jax.hessian(expected))(params)
    assert all(np.isfinite(block).all() for block in jax.tree.leaves(hessian))
