"""Diagnostics on hand-made chains and against ArviZ's own functions; the ArviZ tree and its way to disk."""

import json

import arviz
import arviz_stats
import numpy as np
import pytest
import xarray as xr
from scipy import stats

from emjax.bayes.diagnostics import PosteriorStatus, Thresholds, assess
from emjax.bayes.tree import load_tree, save_tree, stored_draws, to_tree
from emjax.errors import DataError

CHAINS, DRAWS = 4, 1000
FEATURES = ("eruptions", "waiting")


def normal_chains(seed=0, shape=(CHAINS, DRAWS)):
    return np.random.default_rng(seed).normal(size=shape)


def dataset(**variables):
    """Variables (chain, draw), or (chain, draw, feature)."""
    return xr.Dataset(
        {name: (("chain", "draw", "feature")[: np.ndim(value)], value, {}) for name, value in variables.items()}
    )


def good_stats(shape=(CHAINS, DRAWS)):
    return dataset(diverging=np.zeros(shape, bool), energy=normal_chains(99, shape))


def random_walk(seed, step):
    """Energies that move little from draw to draw beside their spread."""
    return np.cumsum(step * normal_chains(seed), axis=1)


# --- numbers ------------------------------------------------------------------------------------------------


def test_numbers_are_arviz_own():
    autocorrelated = normal_chains(1)
    for draw in range(1, DRAWS):
        autocorrelated[:, draw] += 0.6 * autocorrelated[:, draw - 1]
    posterior = dataset(a=normal_chains(0) * 3 + 1, b=autocorrelated)
    energy = normal_chains(5)
    result = assess(posterior, dataset(energy=energy, diverging=np.zeros((CHAINS, DRAWS), bool)))
    assert [row.name for row in result.quantities] == ["a", "b"]
    for row in result.quantities:
        one = posterior[[row.name]]
        assert row.mean == pytest.approx(float(one[row.name].mean()), rel=1e-12)
        for value, expected in [
            (row.rhat, arviz_stats.rhat(one)),
            (row.ess_bulk, arviz_stats.ess(one, method="bulk")),
            (row.ess_tail, arviz_stats.ess(one, method="tail", prob=(0.05, 0.95))),
            (row.mcse_mean, arviz_stats.mcse(one, method="mean")),
            (row.mcse_sd, arviz_stats.mcse(one, method="sd")),
        ]:
            assert value == pytest.approx(float(expected[row.name]), rel=1e-10)
    expected_bfmi = np.mean(np.diff(energy, axis=1) ** 2, axis=1) / np.var(energy, axis=1, ddof=1)
    np.testing.assert_allclose(result.bfmi, expected_bfmi, rtol=1e-12)
    assert result.min_ess_bulk == result.quantities[1].ess_bulk
    assert result.min_ess_bulk_name == "b"


def test_a_single_chain_is_judged_by_its_halves():
    chain = normal_chains(2, (1, 2000))
    row = assess(dataset(a=chain), good_stats((1, 2000))).quantities[0]
    halves = chain.reshape(2, 1000)

    def rhat(values):
        scores = stats.norm.ppf((stats.rankdata(values) - 0.375) / (values.size + 0.25)).reshape(values.shape)
        within = scores.var(axis=1, ddof=1).mean()
        between = 1000 * scores.mean(axis=1).var(ddof=1)
        return np.sqrt((999 / 1000 * within + between / 1000) / within)

    assert row.rhat == pytest.approx(max(rhat(halves), rhat(np.abs(halves - np.median(halves)))), rel=1e-12)
    trend = chain + np.linspace(0, 3, 2000)
    assert assess(dataset(a=trend), good_stats((1, 2000))).status is PosteriorStatus.not_converged


def test_names_carry_labels_and_copies_are_equal():
    values = normal_chains(3, (CHAINS, DRAWS, 2, 2))
    values[..., 1] = values[..., 0]
    posterior = xr.Dataset(
        {
            "mean": (("chain", "draw", "mixture_component", "feature"), values),
            "z": (("draw", "chain"), values[0, :, :, 0].repeat(2, 1)),
        },
        coords={"feature": list(FEATURES)},
    )
    rows = {row.name: row for row in assess(posterior, good_stats()).quantities}
    assert list(rows)[:2] == ["mean[0, eruptions]", "mean[0, waiting]"]
    assert rows["mean[0, eruptions]"].ess_bulk == rows["mean[0, waiting]"].ess_bulk
    assert rows["mean[0, eruptions]"].ess_bulk != rows["mean[1, eruptions]"].ess_bulk
    assert "z" in rows


# --- statuses -----------------------------------------------------------------------------------------------


def test_independent_normals_have_converged():
    result = assess(dataset(a=normal_chains(0)), good_stats())
    assert result.status is PosteriorStatus.converged
    assert result.reasons == ()
    assert result.max_rhat < 1.01
    assert result.min_ess_bulk > 3000
    assert (result.n_divergent, result.n_chains, result.n_draws) == (0, CHAINS, DRAWS)


def shifted():
    chains = normal_chains(0)
    chains[2] += 1.0
    return chains


def wider():
    """Equal means, one chain with another scale: only the folded R-hat sees it."""
    chains = normal_chains(0)
    chains[1] *= 4
    return chains


def with_value(value):
    chains = normal_chains(0)
    chains[1, 17] = value
    return chains


def stuck():
    return np.broadcast_to(np.arange(4.0)[:, None], (CHAINS, DRAWS)).copy()


@pytest.mark.parametrize(
    ("chains", "status", "reason"),
    [
        (shifted(), PosteriorStatus.not_converged, "R-hat of bad"),
        (wider(), PosteriorStatus.not_converged, "R-hat of bad"),
        (stuck(), PosteriorStatus.not_converged, "R-hat of bad is inf"),
        (with_value(np.nan), PosteriorStatus.nonfinite, "NaN or infinity in bad"),
        (with_value(np.inf), PosteriorStatus.nonfinite, "NaN or infinity in bad"),
        (np.full((CHAINS, DRAWS), np.nan), PosteriorStatus.nonfinite, "NaN or infinity in bad"),
    ],
)
def test_bad_chains_are_named(chains, status, reason):
    result = assess(dataset(fine=normal_chains(7), bad=chains), good_stats())
    assert result.status is status
    assert result.reasons[0].startswith(reason)


def test_too_few_draws():
    few = normal_chains(0, (CHAINS, 80))
    result = assess(dataset(a=few), good_stats((CHAINS, 80)), Thresholds(max_rhat=1.1))
    assert result.status is PosteriorStatus.too_few_draws
    assert "effective sample size of a" in result.reasons[0]
    tiny = assess(dataset(a=few[:, :3]), good_stats((CHAINS, 3)))
    assert tiny.status is PosteriorStatus.too_few_draws
    assert "agree" not in tiny.status.message  # nobody knows
    assert "1 draw per chain" in assess(dataset(a=few[:, :1]), good_stats((CHAINS, 1))).reasons[0]


def test_the_tail_counts_too():
    """Independent signs with a slowly moving size: the bulk mixes well, the tails do not."""
    log_size = normal_chains(4)
    for draw in range(1, DRAWS):
        log_size[:, draw] = 0.98 * log_size[:, draw - 1] + 0.2 * log_size[:, draw]
    result = assess(dataset(a=normal_chains(0) * np.exp(log_size)), good_stats(), Thresholds(max_rhat=2.0))
    assert result.min_ess_tail < 400 < result.min_ess_bulk
    assert result.status is PosteriorStatus.too_few_draws


def test_squared_deviations_count_too():
    """Independent normals whose size moves in long spells: means and tails mix, the standard deviation does not."""
    size = np.repeat(np.exp(0.35 * np.random.default_rng(7).standard_normal((CHAINS, DRAWS // 50))), 50, axis=1)
    result = assess(dataset(a=normal_chains(0) * size), good_stats(), Thresholds(max_rhat=2.0, min_ess=1000.0))
    assert result.min_ess_sd < 1000 < result.min_ess_bulk
    assert result.min_ess_sd_name == "a"
    assert result.status is PosteriorStatus.too_few_draws
    good = assess(dataset(a=normal_chains(0)), good_stats())
    assert good.suffices(400.0)
    assert not good.suffices(1e6)


@pytest.mark.parametrize(("n_divergent", "status"), [(40, "converged"), (41, "divergent")])
def test_divergences_up_to_one_percent_are_reported_only(n_divergent, status):
    diverging = np.zeros((CHAINS, DRAWS), bool)
    diverging[0, :n_divergent] = True
    result = assess(dataset(a=normal_chains(0)), dataset(diverging=diverging, energy=normal_chains(1)))
    assert result.status == status
    assert result.n_divergent == n_divergent
    assert result.divergent_share == n_divergent / 4000


def test_slow_energy_of_one_chain_is_named():
    energy = normal_chains(1)
    energy[3] = random_walk(2, 0.1)[3]
    result = assess(dataset(a=normal_chains(0)), dataset(energy=energy))
    assert result.status is PosteriorStatus.low_energy
    assert result.reasons[0].startswith("E-BFMI of chain 3")
    assert result.bfmi[3] < 0.3 < min(result.bfmi[:3])


def test_energy_that_is_nan_or_constant_never_passes():
    energy = normal_chains(1)
    energy[0, 0] = np.nan
    assert assess(dataset(a=normal_chains(0)), dataset(energy=energy)).status is PosteriorStatus.nonfinite
    energy[0] = 5.0
    assert assess(dataset(a=normal_chains(0)), dataset(energy=energy)).status is PosteriorStatus.low_energy


def test_a_fixed_parameter_is_marked_and_not_judged():
    result = assess(dataset(a=normal_chains(0), fixed=np.full((CHAINS, DRAWS), 2.0)), good_stats())
    assert result.status is PosteriorStatus.converged
    fixed = result.quantities[1]
    assert fixed.constant
    assert (fixed.mean, fixed.sd) == (2.0, 0.0)
    assert np.isnan(fixed.rhat)
    assert result.max_rhat_name == "a"


@pytest.mark.parametrize("variables", [{"fixed": np.full((CHAINS, DRAWS), 2.0)}, {}])
def test_chains_in_which_nothing_varies_have_not_converged(variables):
    empty = xr.Dataset(coords={"chain": np.arange(CHAINS), "draw": np.arange(DRAWS)})
    result = assess(empty.merge(dataset(**variables)), good_stats())
    assert result.status is PosteriorStatus.not_converged


def test_the_gravest_problem_names_the_status_and_all_are_told():
    statistics = dataset(diverging=np.ones((CHAINS, DRAWS), bool), energy=random_walk(2, 0.1))
    result = assess(dataset(a=shifted()), statistics)
    assert result.status is PosteriorStatus.not_converged
    told = " ".join(result.reasons)
    assert all(word in told for word in ("R-hat", "diverged", "E-BFMI", "effective sample size"))


def test_every_status_has_a_sentence():
    messages = {status.message for status in PosteriorStatus}
    assert len(messages) == len(PosteriorStatus)
    for message in messages:
        assert message.endswith(".")
        assert "\n" not in message


def test_to_dict_is_strict_json():
    result = assess(dataset(a=stuck(), fixed=np.full((CHAINS, DRAWS), 2.0)), good_stats())
    loaded = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert loaded["status"] == "not_converged"
    assert loaded["quantities"][0]["rhat"] is None
    assert loaded["thresholds"]["max_rhat"] == 1.01


# --- the tree -----------------------------------------------------------------------------------------------


def make_tree(n_kept=DRAWS):
    generator = np.random.default_rng(0)
    n_samples, shape = 12, (CHAINS, DRAWS)
    posterior = {
        "weights": generator.dirichlet([3.0, 3.0, 3.0], size=shape),
        "mean": generator.normal(size=(*shape, 3, 2)),
        "covariance": generator.normal(size=(*shape, 3, 2, 2)),
        "other": generator.normal(size=(*shape, 5)),
        "level": generator.normal(size=shape),
    }
    statistics = {"lp": normal_chains(1), "energy": normal_chains(2), "diverging": np.zeros(shape, bool)}
    log_likelihood = -2.0 + 0.1 * generator.normal(size=(CHAINS, n_kept, n_samples))
    observed = generator.normal(size=(n_samples, 2))
    return to_tree(posterior, statistics, log_likelihood, observed, FEATURES, {"seed": 3, "family": "normal"})


def test_dimensions_and_coordinates():
    tree = make_tree()
    posterior = tree["posterior"]
    assert posterior["weights"].dims == ("chain", "draw", "mixture_component")
    assert posterior["mean"].dims == ("chain", "draw", "mixture_component", "feature")
    assert posterior["covariance"].dims == ("chain", "draw", "mixture_component", "feature", "feature_bis")
    assert posterior["other"].dims == ("chain", "draw", "other_dim_0")
    assert posterior["level"].dims == ("chain", "draw")
    assert posterior["feature"].values.tolist() == list(FEATURES)
    assert posterior["feature_bis"].values.tolist() == list(FEATURES)
    assert tree["observed_data"]["x"].dims == ("row", "feature")
    assert tree["log_likelihood"]["x"].dims == ("chain", "draw", "row")
    assert tree.attrs["seed"] == 3
    assert tree["posterior"].attrs["inference_library"] == "emjax"


def test_of_correlations_the_pairs_are_stored_and_come_back_as_matrices():
    names, shape = ("a", "b", "c"), (CHAINS, DRAWS, 2)
    values = np.random.default_rng(0).uniform(-0.3, 0.3, size=(*shape, 3, 3))
    lower = np.tril(values, -1)
    correlation = lower + np.swapaxes(lower, -1, -2) + np.eye(3)
    correlation[0, 0, 0, 1, 0] = correlation[0, 0, 0, 0, 1] = np.nan
    group = to_tree(
        {"weights": np.full(shape, 0.5), "correlation": correlation, "covariance": 2.0 * correlation},
        {}, None, None, names, library="numpyro",
    )["posterior"]  # fmt: skip
    assert group["correlation"].dims == ("chain", "draw", "mixture_component", "pair")
    assert group["pair"].values.tolist() == ["a, b", "a, c", "b, c"]
    assert group.attrs["inference_library"] == "numpyro"
    drawn = stored_draws(group)
    np.testing.assert_array_equal(drawn["correlation"], correlation)
    np.testing.assert_array_equal(drawn["covariance"], 2.0 * correlation)


@pytest.mark.parametrize(
    ("levels", "labels", "names"),
    [
        ((("no", "yes"), ("no", "yes")), ["no", "yes"], None),
        ((("no", "yes"), ("a", "b", "c")), [0, 1, 2], [["no", "yes", ""], ["a", "b", "c"]]),
    ],
)
def test_probabilities_of_levels_have_the_levels_names(levels, labels, names, tmp_path):
    probability = np.broadcast_to(np.eye(len(labels))[:2] + 0.0, (CHAINS, DRAWS, 2, 2, len(labels)))
    tree = to_tree(
        {"weights": np.full((CHAINS, DRAWS, 2), 0.5), "probability": probability},
        {}, None, None, ("first", "second"), levels=levels,
    )  # fmt: skip
    save_tree(tree, tmp_path / "posterior.nc")
    group = load_tree(tmp_path / "posterior.nc")["posterior"]
    assert group["probability"].dims == ("chain", "draw", "mixture_component", "feature", "level")
    assert group["level"].values.tolist() == labels
    assert ("level_name" in group.coords) == (names is not None)
    assert names is None or group["level_name"].values.tolist() == names
    np.testing.assert_array_equal(stored_draws(group)["probability"], probability)


def test_round_trip(tmp_path):
    tree = make_tree()
    save_tree(tree, tmp_path / "posterior.nc")
    loaded = load_tree(tmp_path / "posterior.nc")
    assert set(loaded.children) == {"posterior", "sample_stats", "log_likelihood", "observed_data"}
    for group in tree.children:
        xr.testing.assert_equal(loaded[group].to_dataset(), tree[group].to_dataset())
    assert loaded["sample_stats"]["diverging"].dtype == bool
    assert loaded.attrs["family"] == "normal"
    # The file is closed: it can be written again.
    save_tree(loaded, tmp_path / "posterior.nc")


def test_arviz_reads_it(tmp_path):
    save_tree(make_tree(), tmp_path / "posterior.nc")
    tree = arviz.from_netcdf(tmp_path / "posterior.nc")
    table = arviz.summary(tree, var_names=["weights", "mean"])
    assert list(table.index)[:2] == ["weights[0]", "weights[1]"]
    assert "mean[0, eruptions]" in table.index


@pytest.mark.parametrize("n_kept", [DRAWS, 250])
def test_loo_works_on_all_and_on_thinned_draws(n_kept):
    tree = make_tree(n_kept)
    np.testing.assert_array_equal(tree["log_likelihood"]["draw"], np.arange(0, DRAWS, DRAWS // n_kept))
    elpd = arviz_stats.loo(tree)
    # Log densities N(-2, 0.1²) give, per datum, -log E[exp(-l)] = -2 - 0.1² / 2.
    assert elpd.elpd == pytest.approx(12 * -2.005, abs=12 * 0.02)
    assert np.all(elpd.pareto_k < 0.7)


def test_wrong_shapes_and_files_are_one_line_errors(tmp_path):
    chains = normal_chains(0)
    with pytest.raises(DataError, match="must lead with"):
        to_tree({"a": chains}, {"lp": chains[:2]}, None, None, FEATURES)
    with pytest.raises(DataError, match="log_likelihood"):
        to_tree({"a": chains}, {}, chains, None, FEATURES)
    with pytest.raises(DataError, match="no variable"):
        to_tree({}, {}, None, None, FEATURES)
    with pytest.raises(DataError, match="no such file"):
        load_tree(tmp_path / "missing.nc")
    (tmp_path / "text.nc").write_text("not a posterior")
    with pytest.raises(DataError, match="not a NetCDF-4 file"):
        load_tree(tmp_path / "text.nc")
