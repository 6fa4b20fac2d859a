"""Every kind of drawn start: where it puts the components, that starts differ, and that no data break it."""

import dataclasses

import jax
import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering

import emjax
from emjax.catalogue import STARTS_OF_DATA
from emjax.em import init, seeding
from emjax.em.many import fit_many
from emjax.em.problem import prepare
from emjax.em.rows import Rows
from emjax.em.short_em import CANDIDATES
from emjax.moments import Summary

KEY = jax.random.key(0)
FULL = emjax.Mixture(emjax.Normal(), 2)
POISSON = emjax.Mixture(emjax.Poisson(), 3)

pytestmark = pytest.mark.usefixtures("x64")


def drawn(mixture: emjax.Mixture, z: np.ndarray, starts: str, *, n_init: int = 6, seed: int = 0) -> emjax.MixtureParams:
    params = init.drawn_starts(mixture, z, key=jax.random.key(seed), n_init=n_init, starts=starts)
    return jax.tree.map(np.asarray, params)


def means(params: emjax.MixtureParams) -> np.ndarray:
    return params["mean"] if "mean" in params else params["rate"]


def sets_of_means(params: emjax.MixtureParams) -> np.ndarray:
    """The means of each start in the order of their first feature."""
    found = means(params)
    return np.take_along_axis(found, np.argsort(found[..., :1], axis=1), axis=1)


@pytest.fixture(scope="module")
def z() -> np.ndarray:
    """Old Faithful, standardised."""
    x = np.asarray(emjax.datasets.load("faithful"))
    return (x - x.mean(axis=0)) / x.std(axis=0)


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    return np.random.default_rng(4).poisson([[1.0, 2.0], [5.0, 1.0], [9.0, 9.0]], size=(100, 3, 2)).reshape(-1, 2) * 1.0


@pytest.fixture(scope="module")
def stripes() -> np.ndarray:
    """Two long clusters side by side, far closer than they are long; the first 300 rows are one of them."""
    rng = np.random.default_rng(1)
    along, across = rng.normal(0, 3, (600, 1)), rng.normal(0, 0.05, (600, 1)) + np.repeat([-0.5, 0.5], 300)[:, None]
    x = np.hstack([along + across, along - across])
    return (x - x.mean(axis=0)) / x.std(axis=0)


@pytest.mark.parametrize("starts", STARTS_OF_DATA)
def test_starts_are_valid_differ_and_follow_from_the_key(z, counts, starts: str):
    for mixture, data in ((FULL, z), (POISSON, counts)):
        params = drawn(mixture, data, starts)
        k = mixture.n_components
        assert params.weights.shape == (6, k)
        assert means(params).shape == (6, k, 2)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
        np.testing.assert_allclose(params.weights.sum(axis=1), 1.0)
        assert params.weights.min() > 0
        again, other = drawn(mixture, data, starts), drawn(mixture, data, starts, seed=1)
        assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(again), strict=True))
        assert not np.array_equal(means(params), means(other))
        # Well separated data have few different clusterings, but never only one from six starts of a kind.
        assert len(np.unique(sets_of_means(params).round(6), axis=0)) > 1


@pytest.mark.parametrize("starts", STARTS_OF_DATA)
@pytest.mark.parametrize(
    "data",
    [
        np.repeat([[0.0, 1.0], [3.0, 1.0], [9.0, 2.0]], [20, 20, 4], axis=0),
        np.repeat([[0.0, 1.0], [3.0, 1.0]], [20, 24], axis=0),
        np.repeat([[0.0, 2.0], [1.0, 0.0]], [1, 43], axis=0),
        np.random.default_rng(0).poisson(3.0, (44, 2)) * [[1.0, 0.0]],
    ],
    ids=["three different rows", "two different rows", "one row apart", "a constant feature"],
)
def test_no_data_break_a_start(data: np.ndarray, starts: str):
    for mixture in (dataclasses.replace(FULL, n_components=3), POISSON):
        params = drawn(mixture, data, starts, n_init=3)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)), mixture.family.name
        different = len(np.unique(data, axis=0))
        if starts in ("mixed", "kmeans++", "random") and different >= 3:
            assert all(len(np.unique(each, axis=0)) == 3 for each in means(params))


@pytest.mark.parametrize("starts", STARTS_OF_DATA)
def test_fewer_points_than_features_and_as_few_as_components(starts: str):
    few = np.random.default_rng(2).normal(size=(3, 5))
    params = drawn(dataclasses.replace(FULL, n_components=3), few, starts, n_init=3)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_all_but_the_random_responsibilities_start_wide(z):
    covariance = np.cov(z, rowvar=False, bias=True)
    for starts in ("mixed", "kmeans++", "random", "hierarchical"):
        params = drawn(FULL, z, starts, n_init=2)  # so few mixed starts are all wide
        np.testing.assert_allclose(params["covariance"], np.broadcast_to(covariance, (2, 2, 2, 2)), rtol=1e-12)
        np.testing.assert_array_equal(params.weights, 0.5)


def clusters(n_features: int, sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Clear clusters of these sizes, each with its own covariance, and their labels."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    roots = rng.normal(size=(len(sizes), n_features, n_features)) / np.sqrt(n_features)
    noise = np.einsum("nij,nj->ni", roots[labels], rng.normal(size=(len(labels), n_features)))
    return noise + 30.0 * rng.normal(size=(len(sizes), n_features))[labels], labels


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
def test_three_in_ten_of_the_mixed_starts_are_the_m_step_of_clusters(structure: str):
    x, labels = clusters(2, (40, 60))
    params = drawn(emjax.Mixture(emjax.Normal(covariance=structure), 2), x, "mixed", n_init=20)
    site = "variance" if structure in ("diag", "spherical") else "covariance"
    scatter = np.stack([np.cov(x[labels == j], rowvar=False, bias=True) * np.sum(labels == j) for j in range(2)])
    within = scatter.sum(axis=0) / 100 + 1e-3 * np.cov(x, rowvar=False, bias=True)
    if structure in ("diag", "spherical"):
        scatter, within = np.diagonal(scatter, axis1=1, axis2=2), np.diagonal(within)
    if structure == "spherical":
        scatter, within = scatter.mean(axis=1), within.mean()
    # So many rows are worth what clusters have within them: parameters of one covariance, by feature.
    prior = {"full": 1.5, "diag": 1.0, "spherical": 0.5, "tied": 0.0}[structure]
    counts = np.array([40.0, 60.0]).reshape(2, *[1] * (scatter.ndim - 1))
    expected = within if structure == "tied" else (scatter + prior * within) / (counts + prior)
    for i in range(3):  # k-means on unscaled data, a tree, k-means on standardised data
        order = np.argsort(params.weights[i])
        np.testing.assert_allclose(params.weights[i][order], [41 / 102, 61 / 102])
        means = [x[labels == j].mean(axis=0) for j in range(2)]
        np.testing.assert_allclose(params.mean[i][order], means, rtol=1e-9)
        dispersion = params[site][i]
        np.testing.assert_allclose(dispersion if structure == "tied" else dispersion[order], expected, rtol=1e-9)
    wide = drawn(emjax.Mixture(emjax.Normal(covariance=structure), 2), x, "random", n_init=1)[site]
    narrow = [not np.allclose(each, wide[0]) for each in params[site]]
    assert narrow == [True] * 6 + [False] * 14


def test_clusters_that_the_scales_of_features_hide_are_seen_on_unscaled_data():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 60)
    x = np.hstack([100.0 * labels[:, None] + rng.normal(0, 10, (120, 1)), rng.uniform(-1, 1, (120, 12))])
    frame = emjax.Normal().frame(Summary(x))
    z = Rows(x, frame, np.dtype(float))
    found = drawn(FULL, z, "mixed", n_init=20)
    expected = np.stack([frame.apply(x[labels == j].mean(axis=0)[None])[0] for j in (0, 1)])
    np.testing.assert_allclose(sets_of_means(found)[0], expected, atol=1e-9)


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
def test_clusters_of_few_rows_or_of_equal_ones_have_a_dispersion(structure: str):
    family, rng = emjax.Normal(covariance=structure), np.random.default_rng(0)
    few = rng.normal(size=(6, 20)), np.array([0, 0, 0, 0, 0, 1])
    equal = np.repeat(rng.normal(size=(2, 3)), 5, axis=0), np.repeat([0, 1], 5)
    for x, labels in (few, equal):
        pooled = family.pooled(Summary(x), 3)[family.structure.site]
        dispersion = family.structure.of_clusters(x, labels, pooled, 3)
        covariance = family.structure.covariance(dispersion, 3, x.shape[1])
        assert np.linalg.eigvalsh(covariance).min() > 1e-5
        assert dispersion.shape == family.structure.shape(3, x.shape[1])


def test_a_move_gives_one_cluster_up_and_makes_another():
    x, labels = clusters(2, (30, 30, 40))
    log_joint = np.where(np.eye(3, dtype=bool)[labels], 0.0, -50.0)
    divided = 0
    for seed in range(20):
        moved = seeding.moved_labels(np.random.default_rng(seed), x, log_joint)
        assert moved.shape == labels.shape
        assert set(moved) <= {0, 1, 2}
        divided += len({*zip(labels, moved, strict=True)}) > 3
    # One cluster is divided, or another grown from a point; a move may also make anew what it gave up.
    assert divided >= 15


def test_the_smaller_a_component_the_sooner_it_is_given_up():
    x, labels = clusters(2, (5, 40, 40))
    log_joint = np.where(np.eye(3, dtype=bool)[labels], 0.0, -50.0)
    first = [seeding.moved_labels(np.random.default_rng(seed), x, log_joint)[:5] for seed in range(200)]
    given_up = np.mean([(each != 0).all() for each in first])
    # Were each as likely, less than a third: what is made anew may be where it was.
    assert given_up > 0.4


def test_further_batches_draw_other_starts(z):
    batches = [init.drawn_starts(FULL, z, key=KEY, n_init=4, starts="mixed", batch=batch).mean for batch in range(3)]
    assert not np.array_equal(batches[0], batches[1])
    assert not np.array_equal(batches[1], batches[2])


def test_random_points_are_different_rows(counts):
    rows = {tuple(row) for row in counts}
    for start in means(drawn(POISSON, counts + 1.0, "random", n_init=20)):
        assert {tuple(row - 1.0) for row in start} <= rows
        assert len(np.unique(start, axis=0)) == 3


def test_k_means_takes_standardised_and_sphered_data_in_turn(stripes):
    centre = np.array([stripes[:300].mean(axis=0), stripes[300:].mean(axis=0)])
    apart = [
        np.abs(start[:, None] - centre[None]).max(axis=-1).min(axis=1).max()
        for start in sets_of_means(drawn(FULL, stripes, "kmeans++", n_init=20))
    ]
    found = np.asarray(apart) < 0.02
    # Side by side, the clusters are seen on sphered data only; k-means on the others cuts them across.
    assert not found[0::2].any()
    assert found[1::2].mean() > 0.5
    # Without correlations the model is not the same after a rotation, and k-means never sees rotated data.
    diag = emjax.Mixture(emjax.Normal(covariance="diag"), 2)
    assert np.abs(np.diff(sets_of_means(drawn(diag, stripes, "kmeans++")), axis=1)).min() > 1.0


def test_coordinates(z, stripes, counts):
    y = seeding.coordinates(emjax.Normal(), stripes, sphered=True)
    np.testing.assert_allclose(np.cov(y, rowvar=False, bias=True), np.eye(2), atol=1e-9)
    assert seeding.coordinates(emjax.Normal(), np.hstack([z, z @ [[1.0], [2.0]]]), sphered=True).shape == (272, 2)
    np.testing.assert_array_equal(seeding.coordinates(emjax.Normal(), z, sphered=False), z)
    np.testing.assert_array_equal(seeding.coordinates(emjax.Normal(), z[:, :1], sphered=True), z[:, :1])
    np.testing.assert_array_equal(seeding.coordinates(emjax.Poisson(), counts, sphered=True), np.sqrt(counts))


def test_k_means_keeps_the_centres_of_clear_clusters():
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0], [50.0, 50.0]])
    x = np.concatenate([rng.normal(centre, 1.0, (50, 2)) for centre in centres])
    for seed in range(20):
        found = seeding.kmeans_centres(np.random.default_rng(seed), x, x, 4)
        expected = x.reshape(4, 50, 2).mean(axis=1)
        np.testing.assert_allclose(found[np.lexsort(found.round(-1).T)], expected[np.lexsort(expected.round(-1).T)])


def test_the_first_tree_is_wards(z):
    y = seeding.coordinates(emjax.Normal(), z, sphered=True)
    labels = AgglomerativeClustering(4, linkage="ward").fit_predict(y)
    expected = np.stack([z[labels == j].mean(axis=0) for j in range(4)])
    for seed in range(2):
        params = drawn(emjax.Mixture(emjax.Normal(), 4), z, "hierarchical", n_init=1, seed=seed)
        np.testing.assert_allclose(sets_of_means(params)[0], expected[np.argsort(expected[:, 0])], rtol=1e-9)


def test_rows_outside_the_tree_join_the_nearest_mean():
    rng = np.random.default_rng(0)
    y = np.concatenate([rng.normal(centre, 1.0, (2000, 2)) for centre in (0.0, 30.0)])
    for n_rows in (seeding.tree_rows(4000, 2, first=True), seeding.tree_rows(4000, 2, first=False), 100):
        labels = seeding.tree_labels(np.random.default_rng(0), y, 2, n_rows)
        assert len(set(labels[:2000])) == len(set(labels[2000:])) == 1
        assert labels[0] != labels[-1]


def test_a_short_run_is_ten_iterations_and_the_best_of_five_is_taken(z):
    start = drawn(FULL, z, "short_em", n_init=1)
    points = init._random_means(seeding.generator(KEY), z, 2, CANDIDATES)
    base = np.cov(z, rowvar=False, bias=True)
    ends = [
        emjax.fit(FULL, z, key=KEY, init=FULL.params(mean=mean, covariance=[base, base]), max_iter=10, tol=0.0)
        for mean in points
    ]
    best = max(ends, key=lambda end: end.log_likelihood)
    found = jax.tree.map(lambda leaf: leaf[0], start)
    order = np.argsort(found.mean[:, 0]), np.argsort(best.params.mean[:, 0])
    np.testing.assert_allclose(found.weights[order[0]], best.params.weights[order[1]], rtol=1e-9)
    np.testing.assert_allclose(found.mean[order[0]], best.params.mean[order[1]], rtol=1e-8)


def test_runs_that_collapse_are_no_starts():
    x = np.concatenate([np.full(30, 0.0), np.linspace(5.0, 9.0, 14)])[:, None]
    params = drawn(FULL, x, "short_em", n_init=4)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    assert params["covariance"].min() > 1e-3


@pytest.mark.parametrize("n", [900, 1000])
def test_an_m_step_and_a_covariance_do_not_depend_on_how_many_rows_fit(monkeypatch, n: int):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(n, 2)) @ [[1.0, 0.5], [0.0, 1.0]]
    shares = rng.dirichlet([1.0, 2.0], n).T
    base, whole = init.pooled_start(FULL, z), init._m_step(FULL, init.pooled_start(FULL, z), z, shares, None)
    monkeypatch.setattr(init, "_ROWS", 128)
    monkeypatch.setattr(init, "_FEWEST_ROWS", 64)
    pieces = init._m_step(FULL, base, z, shares, None)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(pieces), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    np.testing.assert_allclose(init.pooled_start(FULL, z)["covariance"], base["covariance"], rtol=1e-12)
    np.testing.assert_allclose(base["covariance"][0], np.cov(z, rowvar=False, bias=True), rtol=1e-12)


def test_starts_are_made_from_few_rows_and_fewer_of_wide_data():
    assert init._most_rows(FULL, np.empty((10, 1))) == 10_000
    wide = init._most_rows(emjax.Mixture(emjax.Normal(), 32), np.empty((10, 64)))
    assert 1_000 <= wide <= 2**22 / (32 * 64)
    rows = np.arange(50_000)[:, None] * 1.0
    sample = seeding.subsample(np.random.default_rng(0), rows, 100)
    assert len(np.unique(sample)) == 100
    np.testing.assert_array_equal(seeding.subsample(np.random.default_rng(0), rows, 50_000), rows)


def test_old_keys_are_keys_too():
    old, new = jax.random.PRNGKey(3), jax.random.key(3)
    assert seeding.generator(old).random() == seeding.generator(new).random()


def test_float32_starts_are_float32(z):
    with jax.enable_x64(False):
        for starts in STARTS_OF_DATA:
            params = drawn(FULL, z.astype(np.float32), starts, n_init=2)
            assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype("float32")}, starts


def test_fit_takes_every_kind(z):
    for starts in STARTS_OF_DATA:
        fit = emjax.fit(FULL, z, key=KEY, n_init=6, starts=starts)
        assert fit.converged
        assert sum(optimum.count for optimum in fit.optima) == 6


def test_starts_are_draws_of_the_prior_in_the_units_of_the_frame(z):
    laws = {
        "weights": emjax.laws.Dirichlet([2.0, 6.0]),
        "mean": emjax.laws.Normal([[10.0, 20.0], [30.0, 40.0]], [1.0, 2.0]),
        "scale": emjax.laws.LogNormal(1.0, 0.5),
    }
    x = 5.0 + 2.0 * z
    mixture = emjax.Mixture(emjax.Normal(covariance="diag"), 2, prior=laws)
    problem = prepare(mixture, mixture.samples(x), "float64", drawn=True, n_starts=1)
    options = {"key": KEY, "n_init": 4000, "starts": "prior_draws", "prior": problem.frame_prior}
    starts = problem.mixture.from_frame(init.drawn_starts(problem.likelihood, problem.z, **options), problem.frame)
    errors = 4.0 / np.sqrt(4000)
    np.testing.assert_allclose(starts.weights.mean(axis=0), [0.25, 0.75], atol=errors * 0.15)
    np.testing.assert_allclose(starts["mean"].mean(axis=0), [[10.0, 20.0], [30.0, 40.0]], atol=errors * 2.0)
    np.testing.assert_allclose(starts["mean"].std(axis=0), [[1.0, 2.0], [1.0, 2.0]], rtol=errors)
    np.testing.assert_allclose(0.5 * np.log(starts["variance"]).mean(axis=0), np.ones((2, 2)), atol=errors * 0.5)
    again, other = (
        init.drawn_starts(problem.likelihood, problem.z, **options | {"key": key}) for key in (KEY, jax.random.key(1))
    )
    np.testing.assert_array_equal(again.weights, starts.weights)
    assert not np.isin(other.weights, starts.weights).any()


def test_a_draw_without_a_weight_gives_its_place_to_random_points(counts):
    mixture = dataclasses.replace(POISSON, prior={"weights": emjax.laws.Dirichlet([1e-4] * 3)})
    prior = mixture.resolved_prior(counts)
    assert prior.draws(KEY, 6).weights.min() <= np.finfo(float).tiny  # NumPyro has no zeros
    starts = init.drawn_starts(POISSON, counts, key=KEY, n_init=6, starts="prior_draws", prior=prior)
    assert starts.weights.min() > 0
    assert np.isin(starts["rate"], counts).all(axis=(1, 2)).any()


def test_starts_from_a_prior_that_is_none_or_improper_are_refused(z):
    with pytest.raises(emjax.ConfigError, match=r"^starts = 'prior_draws' needs a prior, and the model has none: give"):
        emjax.fit(FULL, z, key=0, starts="prior_draws")
    flat = dataclasses.replace(FULL, prior={"mean": emjax.laws.Flat()})
    with pytest.raises(emjax.ConfigError, match=r"^starts = 'prior_draws' cannot be drawn: prior.'mean'. is Flat"):
        emjax.fit(flat, z, key=0, starts="prior_draws")


@pytest.mark.slow
def test_data_sets_together_are_fitted_from_the_same_draws_of_the_prior(counts):
    mixture = dataclasses.replace(POISSON, prior="default")
    alone = emjax.fit(mixture, counts, key=KEY, n_init=6, starts="prior_draws")
    (together,) = fit_many(mixture, [counts], keys=[KEY], n_init=6, starts="prior_draws")
    assert alone.converged
    np.testing.assert_allclose(together.params["rate"], alone.params["rate"], rtol=1e-6)
    assert [one.count for one in together.optima] == [one.count for one in alone.optima]
