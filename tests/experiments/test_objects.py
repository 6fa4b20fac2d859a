"""How objects show themselves: short in text, with a picture in a notebook, and never a number without its status."""

import dataclasses
import enum
import html
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from imitation import imitated
from matplotlib.figure import Figure
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture
from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky

import emjax
from emjax import plots
from emjax.bayes.diagnostics import PosteriorStatus
from emjax.datasets.dataset import Dataset
from emjax.errors import ConfigError
from emjax.experiments import make_plan, open_run, open_study
from emjax.experiments.archive.documents import posterior_rows
from emjax.experiments.config.schema import Study
from emjax.families import FAMILIES
from emjax.metrics.side import rows_of
from emjax.report.drawing.classification import discriminants, scene
from emjax.report.drawing.view import as_view
from emjax.result import Fit, Optimum, Status
from emjax.samples import Samples
from emjax.selection.selection import Candidate, Selection
from emjax.verdict import DEFAULT_THRESHOLDS, Judgement, Verdict

SHORT = 1000
FOLDERS = Path(__file__).parents[1] / "reference" / "folders"
HOSTILE = '<script>alert("$x$")</script>' + " long" * 100


@pytest.fixture(scope="module")
def comparison() -> emjax.Comparison:
    x = emjax.datasets.load("faithful")
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 2), x, key=jax.random.key(0), n_init=2)
    posterior, intervals = imitated(fit), fit.intervals(method="information")
    verdict = Judgement(Verdict.EM_SUFFICIENT, ("a reason", "another"))
    return emjax.Comparison(
        verdict=verdict.verdict, reasons=verdict.reasons, rows=rows_of(fit, posterior, intervals, 0.9), invariants={},
        diagnostics={}, cost={}, level=0.9, thresholds=DEFAULT_THRESHOLDS, fit=fit, posterior=posterior,
        intervals=intervals, judgements={"em": verdict},
    )  # fmt: skip


@pytest.fixture(scope="module")
def fit(comparison) -> Fit:
    return comparison.fit


@pytest.fixture(scope="module")
def study():
    return open_study(FOLDERS / "study")


def invented(n_components: int, n_features: int, n_samples: int = 120, **fields: Any) -> Fit:
    """A fit that nobody fitted, with parameters from a seed and unpleasant names."""
    rng = np.random.default_rng(n_components)
    mixture = emjax.Mixture(emjax.Normal(), n_components)
    factor = rng.normal(size=(n_components, n_features, 2 * n_features)) / np.sqrt(2 * n_features)
    mean = rng.normal(scale=4.0, size=(n_components, n_features))
    params = mixture.params(mean=mean, covariance=factor @ np.swapaxes(factor, 1, 2))
    labels = rng.integers(n_components, size=n_samples)
    best = Optimum(params, -321.5, -321.5, Status.CONVERGED, 3, np.full(n_components, n_samples / n_components), False)
    given = {
        "mixture": mixture, "params": params, "log_likelihood": -321.5, "log_prior": 0.0, "status": Status.CONVERGED,
        "n_iter": 2, "trace": np.array([-400.0, -322.0, -321.5]), "optima": (best,) * 100, "rate": 0.5,
        "space": "maximum likelihood", "compile_seconds": 1.0, "run_seconds": 1.0,
        "samples": Samples(
            values=mean[labels] + rng.normal(size=(n_samples, n_features)),
            feature_names=tuple(f"{HOSTILE} {i}" for i in range(n_features)),
        ),
    }  # fmt: skip
    return Fit(**{**given, **fields})


@pytest.fixture(scope="module")
def large() -> Fit:
    return invented(50, 200)


def reachable(thing: Any, seen: dict[int, Any]) -> Iterator[Any]:
    """An object of emjax and all that its fields, its items and its enumerations hold."""
    if id(thing) in seen:
        return
    seen[id(thing)] = thing
    if type(thing).__module__.startswith("emjax") and not isinstance(thing, enum.Enum):
        yield thing
    if dataclasses.is_dataclass(thing):
        held = [getattr(thing, field.name) for field in dataclasses.fields(thing)]
    elif isinstance(thing, tuple | list):
        held = list(thing[:40])
    elif hasattr(type(thing), "model_fields"):
        held = [getattr(thing, name) for name in type(thing).model_fields]
    else:
        held = list(thing.values())[:40] if isinstance(thing, dict) else []
    for one in held:
        yield from reachable(one, seen)


def test_every_object_has_a_short_repr(comparison, large, study):
    x = Dataset(np.zeros((3, 200)), large.feature_names, name=HOSTILE)
    with_prior = dataclasses.replace(large.mixture, prior=large.mixture.default_prior(large.data))
    named = dataclasses.replace(large, mixture=with_prior)
    posterior = dataclasses.replace(comparison.posterior, map_fit=named, mixture=named.mixture, method=HOSTILE)
    roots = [comparison, posterior, named, x, study, make_plan(study.study), study.progress]
    roots += [comparison.fit.summary(parameters=True), open_run(FOLDERS / "fit")]
    roots += [kind() for kind in FAMILIES.values()]
    roots += [
        comparison.posterior.labelled_draws(),
        Study.model_validate({"data": {"source": HOSTILE}, "model": {"n_components": 2}}),
    ]
    candidate = Candidate(HOSTILE, large.mixture.family, 2, large, HOSTILE, {"bic": 1.0})
    roots.append(Selection((candidate,) * 40, "bic", key=0))
    seen: dict[int, Any] = {}
    found = [one for root in roots for one in reachable(root, seen)]
    long = {type(one).__name__: len(repr(one)) for one in found if len(repr(one)) >= SHORT}
    assert long == {}
    met = {cls.__name__ for one in found for cls in type(one).__mro__}
    public = {name for name in emjax.__all__ if inspect.isclass(getattr(emjax, name))}
    exempt = {name for name in public if issubclass(getattr(emjax, name), Exception | enum.Enum)}
    assert public - exempt - met == set()


def test_a_repr_says_what_a_person_wants_to_know(fit, comparison, study):
    known = "Normal(covariance='full'), n_components=2"
    assert repr(fit) == f"Fit({known}, n_samples=272, status=converged, log_likelihood=-1130.26)"
    assert repr(comparison.posterior).startswith(f"Posterior({known}, method='nuts', status=converged, n_chains=4")
    assert repr(comparison).startswith(f"Comparison(verdict={comparison.verdict.value}, judged='em'")
    assert repr(comparison.intervals).startswith("Intervals(level=0.9, method='information', status=ok")
    assert repr(study).endswith("progress='8 of 8 jobs done')")


@pytest.mark.parametrize("family", [emjax.Poisson(), emjax.Normal(), emjax.Normal(covariance="diag")], ids=str)
@pytest.mark.parametrize("prior", [None, "default"])
def test_the_repr_of_a_declaration_is_one(family, prior):
    mixture = emjax.Mixture(family, n_components=3, prior=prior)
    assert eval(repr(mixture), {name: getattr(emjax, name) for name in ("Mixture", "Normal", "Poisson")}) == mixture
    given = "" if prior is None else ", prior='default'"
    assert repr(mixture) == f"Mixture({family!r}, n_components=3{given})"


def test_a_number_is_never_shown_without_its_status(fit):
    spurious = dataclasses.replace(fit.optima[0], spurious=True)
    for bad, word in (
        (dataclasses.replace(fit, status=Status.MAX_ITER), "max_iter"),
        (dataclasses.replace(fit, optima=(spurious,)), "converged, spurious"),
    ):
        assert f"status={word}, log_likelihood" in repr(bad)
        text = str(bad.summary())
        assert text.index(f"status: {word}") < text.index("log-likelihood")
        assert bad.message.split()[0] in text
        assert bad.message.split(";")[0] in bad._repr_html_()
        assert word.split()[-1] in bad.plot("classification").legends[0].get_texts()[-1].get_text()
    assert "spurious" in repr(spurious)


def test_objects_can_be_printed_while_they_are_traced(fit):
    texts = []

    @jax.jit
    def traced(params, prior):
        texts.extend([repr(params), repr(prior)])
        return params.weights

    traced(fit.params, fit.mixture.default_prior(fit.data))
    assert texts[0].startswith("MixtureParams(weights=float32[2], mean=float32[2, 2]")
    assert texts[1].startswith("Prior(weights=Dirichlet(concentration=float32[2])")


# -- notebooks ---------------------------------------------------------------------------------------------


def test_a_notebook_shows_a_picture_and_few_rows(comparison, study):
    for thing in (comparison.fit, comparison.posterior, comparison, comparison.intervals, study):
        page = thing._repr_html_()
        assert page.count('<img alt="') == page.count("data:image/svg+xml;base64,") == 1, type(thing)
        assert "max-height:320px" in page
        assert 1 < page.count("<tr>") <= 13
        assert "http" not in page
        assert 96 * thing.plot(width=4.4).get_size_inches()[1] < 450
    assert "tree" not in vars(comparison.posterior), "predictive draws are for those who ask for them"


def test_a_notebook_shows_text_where_nothing_can_be_drawn(comparison):
    nothing = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), comparison.fit.params)
    failed = dataclasses.replace(comparison.fit, params=nothing, log_likelihood=np.nan, status=Status.NONFINITE)
    page = failed._repr_html_()
    assert "<img" not in page
    assert html.escape(Status.NONFINITE.message) in page
    assert "nan" not in page
    assert "no counts" in str(failed.summary())
    page = invented(50, 8)._repr_html_()
    assert page.count("<img") == 1
    assert "<script" not in page
    assert "mean[&lt;script&gt;" in page
    assert len(page) < 300_000


def test_a_notebook_shows_what_is_wrong_where_nothing_can_be_read(study, monkeypatch):
    def damaged(self):
        raise ConfigError("rows.parquet: damaged")

    monkeypatch.setattr(type(study), "_card", damaged)
    monkeypatch.setattr(type(study), "_figures", damaged)
    page = study._repr_html_()
    assert "<img" not in page
    assert "rows.parquet: damaged" in page
    assert html.escape(repr(study)) in page


def test_a_posterior_that_has_not_converged_shows_no_numbers(comparison):
    posterior = comparison.posterior
    assert "weights[0]" in posterior._repr_html_()
    bad = dataclasses.replace(posterior.diagnostics, status=PosteriorStatus.not_converged)
    page = dataclasses.replace(posterior, diagnostics=bad)._repr_html_()
    assert "<table" not in page
    assert PosteriorStatus.not_converged.message in page
    loose = dataclasses.replace(posterior, alignment=dataclasses.replace(posterior.alignment, trust=0.1))
    page = loose._repr_html_()
    assert "weights[0]" not in page
    assert "lp" in page


# -- what scikit-learn's and mclust's users expect ---------------------------------------------------------


@pytest.fixture(scope="module")
def peer(fit) -> GaussianMixture:
    """scikit-learn with the same parameters."""
    found = GaussianMixture(2)
    found.weights_, found.means_ = fit.params.weights, fit.params.mean
    found.covariances_ = fit.params.covariance
    found.precisions_cholesky_ = _compute_precision_cholesky(found.covariances_, "full")
    return found


def test_methods_are_those_of_scikit_learn(fit, peer):
    x = np.asarray(emjax.datasets.load("faithful"))
    np.testing.assert_array_equal(fit.predict(), peer.predict(x))
    np.testing.assert_allclose(fit.predict_proba(), peer.predict_proba(x), atol=1e-10)
    np.testing.assert_allclose(fit.score_samples(), peer.score_samples(x), rtol=1e-10)
    for name in ("score", "aic", "bic"):
        assert getattr(fit, name)() == pytest.approx(getattr(peer, name)(x), rel=1e-12), name
        assert getattr(fit, name)(x[:50]) == pytest.approx(getattr(peer, name)(x[:50]), rel=1e-12), name
    np.testing.assert_array_equal(fit.predict(x[:7]), fit.predict()[:7])


def test_the_icl_is_the_completed_likelihood_with_the_penalty_of_the_bic(fit):
    params, labels = fit.params, fit.predict()
    laws = [multivariate_normal(m, c) for m, c in zip(params.mean, params.covariance, strict=True)]
    completed = sum(np.log(params.weights[k]) + laws[k].logpdf(row) for row, k in zip(fit.data, labels, strict=True))
    assert fit.icl() == pytest.approx(-2 * completed + 11 * np.log(272), rel=1e-10)
    assert fit.icl() > fit.bic()


def test_the_summary_is_that_of_mclust(fit):
    summary = fit.summary()
    assert (summary.n_samples, summary.n_parameters, summary.counts.tolist()) == (272, 11, [97, 175])
    assert summary.log_likelihood == pytest.approx(-1130.26396, abs=1e-5)
    text = str(summary)
    assert "-1130.264       272  11  2322.192" in text
    assert "mclust's sign: BIC -2322.192" in text
    assert "mean" not in text
    assert repr(summary) == text
    assert "<td" in summary._repr_html_()
    lines = str(fit.summary(parameters=True)).splitlines()
    assert max(map(len, lines)) <= 80
    found = [line.split() for line in lines[lines.index("variance") + 2 :][:2]]
    np.testing.assert_allclose(
        [[float(value) for value in row[1:]] for row in found],
        [np.diag(c) for c in fit.params.covariance],
        rtol=1e-3,
    )


def test_a_summary_shows_correlations_and_the_prior(fit):
    text = str(fit.summary(parameters=True))
    lines = text.splitlines()
    place = lines.index("correlation")
    assert lines[place + 1].split("  ")[-1] == "eruptions, waiting"
    deviations = fit.params.scale
    covariances = fit.params.covariance
    for k in range(2):
        expected = covariances[k, 0, 1] / deviations[k].prod()
        assert float(lines[place + 2 + k].split()[-1]) == pytest.approx(expected, rel=1e-3)
    assert "prior" not in text

    prior = dataclasses.replace(fit.mixture, prior=fit.mixture.default_prior(fit.data))
    under = dataclasses.replace(fit, mixture=prior, log_prior=-12.3456, space="(weights, mean, covariance)")
    text = str(under.summary())
    assert "prior: log density -12.346, and the estimate is the mode in the space\n(weights, mean, covariance)" in text
    assert text.index("status: converged") < text.index("-12.346")
    assert "-12.346" in under.summary()._repr_html_()
    assert max(map(len, text.splitlines())) <= 80


def test_a_frame_of_a_fit_has_its_estimates_and_its_status(fit):
    frame = fit.to_frame()
    assert list(frame) == ["parameter", "variable", "component", "feature", "estimate"]
    rows = frame.set_index("parameter")["estimate"]
    assert rows["mean[1, waiting]"] == fit.params.mean[1, 1]
    assert rows["weights[0]"] == fit.params.weights[0]
    assert len(frame) == 12
    assert frame.attrs == {"status": "converged"}
    found = fit.intervals(0.8)
    frame = fit.to_frame(level=0.8)
    assert frame.equals(found.to_frame())
    assert frame.attrs == {"status": "converged", "intervals": "ok", "level": 0.8}
    assert list(frame)[4:] == ["estimate", "standard_error", "lower", "upper"]
    row = found["mean[1, waiting]"]
    assert frame.set_index("parameter").loc[row.name].tolist()[3:] == [row.estimate, row.se, row.lower, row.upper]
    stopped = dataclasses.replace(fit, status=Status.MAX_ITER)
    assert stopped.to_frame().attrs["status"] == "max_iter"
    with pytest.raises(ConfigError, match="must lie between 0 and 1"):
        fit.to_frame(level=95.0)


def test_a_frame_of_a_posterior_has_its_draws_and_their_diagnostics(comparison):
    posterior = comparison.posterior
    frame = posterior.to_frame(level=0.5)
    assert list(frame)[:4] == list(comparison.fit.to_frame())[:4]
    assert list(frame)[4:] == ["mean", "sd", "lower", "upper", "ess", "rhat"]
    assert frame["parameter"].tolist() == comparison.fit.to_frame()["parameter"].tolist()
    draws = posterior.sampled["posterior"]["mean"].values[..., 1, 1]
    known = next(one for one in posterior.diagnostics.quantities if one.name == "mean[1, waiting]")
    expected = [draws.mean(), draws.std(ddof=1), *np.quantile(draws, [0.25, 0.75])]
    row = frame.set_index("parameter").loc["mean[1, waiting]"]
    assert row.tolist()[3:] == [*expected, min(known.ess_bulk, known.ess_tail), known.rhat]
    trust = posterior.alignment.trust
    assert frame.attrs == {"level": 0.5, "status": posterior.status.value, "label_trust": trust}
    assert list(posterior_rows(posterior, 0.5)[0]) == ["name", "mean", "sd", "lower", "upper", "ess", "r_hat"]
    with pytest.raises(ConfigError, match="must lie between 0 and 1"):
        posterior.to_frame(level=90)


def test_a_summary_of_one_feature_has_no_pairs():
    text = str(invented(2, 1).summary(parameters=True))
    assert "correlation" not in text
    assert "variance" in text


def test_a_summary_is_bounded():
    text = str(invented(50, 8).summary(parameters=True))
    assert len(text.splitlines()) < 90
    assert max(map(len, text.splitlines())) <= 80
    assert "… and 38 more components and 3 more features" in text


# -- plots -------------------------------------------------------------------------------------------------


def test_every_object_draws_what_it_says_it_can(comparison, study):
    # The reports' own tests draw the rest of them.
    for thing, drawn in ((comparison.fit, 1), (comparison.posterior, 0), (comparison.intervals, 1), (study, 2)):
        kinds = thing._figures()
        assert len(kinds) >= max(drawn, 1)
        for kind in list(kinds)[:drawn]:
            figure = thing.plot(kind, width=4.4)
            assert isinstance(figure, Figure), kind
            assert figure.axes, kind
        with pytest.raises(ValueError, match=f"kind='pie' is not one of '{next(iter(kinds))}'"):
            thing.plot("pie")


def test_the_table_of_figures_names_public_functions_alone():
    for figures in plots.FIGURES.values():
        for name, draw in figures.items():
            assert getattr(plots, name) is draw
            assert name in plots.__all__
    shown = {name for figures in plots.FIGURES.values() for name in figures}
    # One figure is of several objects together, and so of none.
    assert shown == set(plots.__all__) - {"FIGURES", "interval_methods"}


def test_a_fit_of_maximum_likelihood_has_no_prior_to_check():
    fit = invented(2, 1)
    with pytest.raises(ValueError, match="of maximum likelihood, so it has no prior"):
        fit.plot("prior_predictive")
    with pytest.raises(ValueError, match="x goes with a mixture alone"):
        plots.prior_predictive(fit, fit.data)


def points_of(figure: Figure) -> list[tuple[int, np.ndarray]]:
    """Per scatter of the first panel how many points it has, and their sizes."""
    return [
        (len(drawn.get_offsets()), drawn.get_sizes()) for drawn in figure.axes[0].collections if len(drawn.get_sizes())
    ]


@pytest.mark.parametrize(("n_features", "n_panels"), [(1, 1), (3, 3), (6, 1)])
def test_classification_fits_the_number_of_features(n_features, n_panels):
    fit = invented(3, n_features)
    figure = plots.classification(fit)
    assert len(figure.axes) == n_panels
    counts = np.bincount(fit.predict(), minlength=3)
    assert sorted(n for n, _ in points_of(figure)) == sorted(counts)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [f"{k}: {n}" for k, n in enumerate(counts)]


def test_the_less_certain_is_drawn_larger(fit):
    drawn = np.sort(np.concatenate([sizes for _, sizes in points_of(plots.uncertainty(fit))]))
    unsure = np.sort(1 - fit.predict_proba().max(axis=1))
    np.testing.assert_allclose(drawn, 5 + 55 * 2 * unsure, rtol=1e-9)
    assert drawn[-1] > 2 * drawn[0]


def test_discriminants_of_two_components_are_those_of_fisher():
    fit = invented(2, 6)
    mean, covariance = fit.params.mean, fit.params.covariance
    within = covariance.mean(axis=0)
    direction = np.linalg.solve(within, mean[1] - mean[0])
    found = discriminants(fit.params.weights, mean, covariance)
    assert found.shape == (6, 1)
    assert found[:, 0] @ within @ found[:, 0] == pytest.approx(1.0)
    assert abs(found[:, 0] @ direction) == pytest.approx(np.linalg.norm(found) * np.linalg.norm(direction))
    shown = scene(as_view(fit), 7.0)
    assert shown.names == ("discriminant 1 of 6 features",)
    np.testing.assert_allclose(shown.points, fit.data @ found)
