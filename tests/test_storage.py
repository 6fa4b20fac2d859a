"""Results in one file come back to the last bit, and no other file makes anything but one line."""

import dataclasses
import errno
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
from bits import same
from imitation import imitated

import emjax
from emjax import atomic
from emjax.errors import ConfigError, DataError
from emjax.families import FAMILIES
from emjax.families.decomposed import STRUCTURES as DECOMPOSED
from emjax.metrics.side import rows_of
from emjax.verdict import DEFAULT_THRESHOLDS, Judgement, Verdict

ALL = list(
    dict.fromkeys(
        [*(family() for family in FAMILIES.values()), *map(emjax.Normal, ("tied", "diag", "spherical", *DECOMPOSED))]
    )
)
FITTED = (emjax.Normal(), emjax.StudentT(), emjax.Categorical())
"""They stand for all: with a structure, with a parameter that is estimated or not, with levels."""
X = np.random.default_rng(0).poisson(9.0, (40, 2)).astype(float)


def data_for(mixture: emjax.Mixture) -> np.ndarray:
    return {"binary": X % 2, "level": X % 3, "positive": X + 1.0}.get(mixture.family.support, X)


def fitted(family: Any = None, key: Any = 3, **options: Any) -> emjax.Fit:
    """A fit without acceleration: its program is half as large, and what is kept of a fit is the same."""
    mixture = emjax.Mixture(family or emjax.Normal(covariance="diag"), n_components=2, prior="default")
    return emjax.fit(
        mixture, data_for(mixture), key=key, **{"n_init": 2, "max_iter": 5, "accelerate": "none", **options}
    )


@pytest.fixture(scope="module")
def fit() -> emjax.Fit:
    return fitted()


@pytest.fixture(scope="module")
def comparison(fit: emjax.Fit) -> emjax.Comparison:
    with jax.numpy_rank_promotion("allow"):
        posterior, intervals = imitated(fit), fit.intervals(method="information")
        return emjax.Comparison(
            verdict=Verdict.EM_SUFFICIENT, reasons=("a reason",), rows=rows_of(fit, posterior, intervals, 0.9),
            invariants={"co_clustering": np.eye(2), "none": None, "nan": float("nan")}, diagnostics={}, cost={},
            level=0.9, thresholds=DEFAULT_THRESHOLDS, fit=fit, posterior=posterior, intervals=intervals,
            judgements={"em": Judgement(Verdict.EM_SUFFICIENT, ("a reason",))},
        )  # fmt: skip


@pytest.fixture
def saved(fit: emjax.Fit, tmp_path: Path) -> Path:
    return fit.save(tmp_path / "fit.npz")


# -- what is written comes back ------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ALL, ids=str)
def test_mixtures_of_every_family_are_given_back(fit, family, tmp_path):
    mixture = emjax.Mixture(family, n_components=2, prior="default")
    mixture = dataclasses.replace(mixture, prior=mixture.resolved_prior(data_for(mixture)))
    found = emjax.load(dataclasses.replace(fit, mixture=mixture).save(tmp_path / "fit.npz")).mixture
    assert found.family == mixture.family
    assert same(found, mixture) > 5


@pytest.mark.parametrize(
    "family", [pytest.param(one, marks=() if one in FITTED else pytest.mark.slow) for one in ALL], ids=str
)
def test_fits_of_every_family_are_given_back(family, tmp_path):
    fit = fitted(family)
    found = emjax.load(fit.save(tmp_path / "fit.npz"))
    assert same(found, fit) > 100
    assert (found.status, found.key, found.mixture.family) == (fit.status, 3, fit.mixture.family)
    again = found.save(tmp_path / "again.npz")
    assert again.read_bytes() == (tmp_path / "fit.npz").read_bytes(), "equal objects give equal files"


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f8", "<i4"])
def test_data_keys_and_priors_are_given_back_as_they_were(fit, order, dtype, tmp_path):
    data = np.asarray(X, dtype=dtype, order=order)
    prior = jax.tree.map(jax.numpy.asarray, fit.mixture.prior)
    odd = dataclasses.replace(
        fit, samples=dataclasses.replace(fit.samples, values=data), key=jax.random.key(7, impl="rbg"), rate=np.nan,
        log_prior=-0.0, mixture=dataclasses.replace(fit.mixture, prior=prior),
    )  # fmt: skip
    found = emjax.load(odd.save(tmp_path / "fit"))
    assert same(dataclasses.replace(found, mixture=fit.mixture), dataclasses.replace(odd, mixture=fit.mixture)) > 100
    assert found.data.flags.f_contiguous == (order == "F")
    assert found.data.flags.writeable
    assert str(found.log_prior) == "-0.0"
    for one, two in zip(jax.tree.leaves(found.mixture.prior), jax.tree.leaves(prior), strict=True):
        assert isinstance(one, np.ndarray)
        assert np.array_equal(one, two)


def test_what_is_given_back_can_do_what_a_fit_can(fit, saved):
    found = emjax.load(str(saved))
    assert repr(found) == repr(fit)
    assert found.bic() == fit.bic()
    assert found.summary(parameters=True)._repr_html_() == fit.summary(parameters=True)._repr_html_()
    assert same(found.intervals(method="information"), fit.intervals(method="information")) > 20
    again = emjax.fit(found.mixture, found.data, key=found.key, n_init=2, max_iter=5, accelerate="none")
    assert same(again.params, fit.params) > 5


@pytest.mark.parametrize("data", [True, False])
def test_weights_labels_and_holes_are_data(fit, data, tmp_path):
    values, weights = np.where(X > 12, np.nan, X), np.linspace(0.0, 1.0, 40)
    labels = np.log(np.full((40, 2), 0.5))
    samples = dataclasses.replace(
        fit.samples, values=values, weights=weights, labels=labels, label_names=("one", "two")
    )
    path = dataclasses.replace(fit, samples=samples).save(tmp_path / "fit.npz", data=data)
    found = emjax.load(path).samples
    if data:
        assert same(found, samples) > 150
    assert (found.label_names, found.weights.shape, found.labels.shape) == (("one", "two"), (40,), (40, 2))
    for each in (values, weights, labels):
        assert (each.tobytes() in path.read_bytes()) == data


@pytest.mark.parametrize(
    "prior",
    [
        {"weights": emjax.laws.Dirichlet(2.0), "mean": emjax.laws.Normal(3.0, 4.0)},
        {"mean": emjax.laws.Normal(np.array([[1.0, 2.0], [3.0, 4.0]]), 2.0)},
    ],
    ids=["alike", "apart"],
)
def test_priors_of_laws_are_given_back(fit, prior, tmp_path):
    mixture = emjax.Mixture(emjax.Normal(covariance="diag"), 2, prior=prior)
    for one in (mixture, dataclasses.replace(mixture, prior=mixture.resolved_prior(X))):
        found = emjax.load(dataclasses.replace(fit, mixture=one).save(tmp_path / "fit.npz"))
        assert same(found.mixture.prior, one.prior) > 2
        assert found.mixture.resolved_prior(X).keys() == mixture.resolved_prior(X).keys()


@pytest.mark.parametrize(
    ("site", "given"),
    [
        ("mean", dist.StudentT(3.0, np.array([1.0, 2.0]), 4.0)),
        ("scale", dist.TruncatedNormal(0.0, 5.0, low=0.0)),
        ("scale", dist.HalfCauchy(2.0).expand([2]).to_event(1)),
    ],
    ids=lambda given: type(given).__name__,
)
def test_priors_of_numpyro_s_distributions_are_given_back(fit, site, given, tmp_path):
    mixture = emjax.Mixture(emjax.Normal(covariance="diag"), 2, prior={site: given})
    scaled = mixture.prior[site].rescaled(np.array([1.0, -1.0]), 2.0)
    resolved = mixture.resolved_prior(X)
    for prior in (mixture.prior, {site: scaled}, resolved):
        one = dataclasses.replace(fit, mixture=dataclasses.replace(mixture, prior=prior))
        found = emjax.load(one.save(tmp_path / "fit.npz")).mixture.prior[site]
        assert type(found) is type(prior[site])
        with jax.numpy_rank_promotion("allow"):
            assert np.array_equal(found.log_prob(X[:3]), prior[site].log_prob(X[:3]))


def test_numpy_reads_the_arrays_without_emjax(fit, saved):
    with np.load(saved, allow_pickle=False) as file:
        assert np.array_equal(file["params.weights"], fit.params.weights)
        assert np.array_equal(file["samples.values"], X)
        header = json.loads(file["emjax.json"])
    assert (header["format"], header["emjax"]) == (1, emjax.__version__)


@pytest.mark.parametrize("of", ["posterior", "comparison"])
def test_posteriors_and_comparisons_are_given_back(comparison, of, tmp_path):
    thing = getattr(comparison, of, comparison)
    path = thing.save(tmp_path / "thing.npz")
    found = emjax.load(path)
    assert same(found, thing) > 500
    with zipfile.ZipFile(path) as file:
        names = set(file.namelist())
    assert "sampled.nc" in names
    assert names & {"params.weights.npy", "posterior.params.weights.npy"} == set(), "draws lie in the tree alone"
    without = emjax.load(thing.save(tmp_path / "without.npz", data=False))
    sampled = getattr(without, "posterior", without).sampled
    assert "observed_data" not in sampled.children
    assert "posterior" in sampled.children
    assert "observed_data" in getattr(thing, "posterior", thing).sampled.children, "the object itself is untouched"


def test_without_the_data_what_needs_them_says_so(fit, tmp_path):
    path = fit.save(tmp_path / "fit.npz", data=False)
    found = emjax.load(path)
    assert X.tobytes() not in path.read_bytes()
    assert np.array_equal(found.predict(X), fit.predict())
    assert same(found.params, fit.params) > 5
    for needs in (
        found.predict,
        found.summary,
        found.intervals,
        found.plot,
        found.bic,
        lambda: found.to_frame(level=0.9),
    ):
        with pytest.raises(DataError, match=r"^the fit was saved without its data: give x, or save it with data=True$"):
            needs()
    with jax.numpy_rank_promotion("allow"), pytest.raises(DataError, match="without its data"):
        emjax.compare(fit, dataclasses.replace(imitated(fit), map_fit=found), X)
    assert "<table" in found._repr_html_()
    again = emjax.load(found.save(tmp_path / "again.npz"))
    assert same(again.optima, fit.optima) > 10
    assert (again.n_samples, again.feature_names, again.data.shape) == (40, ("x0", "x1"), (40, 2))
    for look in (len, np.asarray, lambda data: data[0], lambda data: data.mean()):
        with pytest.raises(DataError, match="without its data"):
            look(again.data)
    with pytest.raises(ConfigError, match="data = 'no' is not allowed; give True or False"):
        fit.save(tmp_path / "fit.npz", data="no")


# -- families of the user's own -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Counts(emjax.Poisson):
    """A family of the user's own."""

    name: ClassVar[str] = "counts"
    unit: str = "events"


class Bare(emjax.Poisson):
    """One that keeps more than its fields say."""

    def __init__(self, function: Callable[[float], float]) -> None:
        object.__setattr__(self, "function", function)


def test_a_family_of_ones_own_needs_its_class(tmp_path):
    fit = fitted(Counts(unit="deaths"))
    path = fit.save(tmp_path / "fit.npz")
    for families in ((), [emjax.Poisson]):
        with pytest.raises(ConfigError, match=r"fit\.npz: is made of Counts, no part of emjax: .*=\[Counts\]\)$"):
            emjax.load(path, families=families)
    for families in ([Counts], Counts):
        found = emjax.load(path, families=families)
        assert type(found.mixture.family) is Counts
        assert same(found, fit) > 100

    other = dataclasses.make_dataclass("Counts", ["size"])
    with pytest.raises(ConfigError, match="damaged"):
        emjax.load(path, families=[other])


def test_what_cannot_be_kept_is_refused_before_anything_is_written(fit, tmp_path):
    for family in (Bare(abs), dataclasses.make_dataclass("Odd", ["f"], bases=(emjax.Poisson,), frozen=True)(abs)):
        odd = dataclasses.replace(fit, mixture=emjax.Mixture(family, 2))
        with pytest.raises(ConfigError, match=r"fit\.npz: not written, for the object holds .*(Bare|function)"):
            odd.save(tmp_path / "fit.npz")
    moved = dist.TransformedDistribution(dist.Normal(0.0, 1.0), dist.transforms.ExpTransform())
    odd = dataclasses.replace(fit, mixture=dataclasses.replace(fit.mixture, prior={"scale": moved}))
    with pytest.raises(ConfigError, match=r"TransformedDistribution in mixture\.prior\.scale\."):
        odd.save(tmp_path / "fit.npz")
    with pytest.raises(ConfigError, match="holds an array of the type object"):
        dataclasses.replace(fit, trace=np.array([None])).save(tmp_path / "fit.npz")
    twice = emjax.Mixture(Counts(), 2, prior=None), dataclasses.make_dataclass("Counts", [])()
    with pytest.raises(ConfigError, match=r"holds test_storage\.Counts: .*each of another name$"):
        dataclasses.replace(fit, mixture=twice[0], key=twice[1]).save(tmp_path / "fit.npz")
    assert list(tmp_path.iterdir()) == []


# -- files that are none --------------------------------------------------------------------------------------


def rewritten(path: Path, change: Callable[[dict[str, Any]], Any] | None = None, **members: bytes | None) -> Path:
    """The file with another header, or other members, as somebody would write it who means harm."""
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    if change is not None:
        header = json.loads(content["emjax.json"])
        content["emjax.json"] = json.dumps(change(header) or header).encode()
    content.update(members)
    with zipfile.ZipFile(path, "w") as file:
        for name, written in content.items():
            if written is not None:
                file.writestr(name, written)
    return path


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def assert_refused(path: Path, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        emjax.load(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert text.isprintable()
    assert len(text) < 400


def test_other_files_are_refused(saved, tmp_path):
    none = r"is no file that save\(\) of emjax wrote"
    assert_refused(tmp_path / "nothing.npz", "cannot be read: No such file or directory$")
    assert_refused(tmp_path, "cannot be read: it is a folder; emjax.open_run opens the folder of a run$")
    os.mkfifo(tmp_path / "pipe")
    assert_refused(tmp_path / "pipe", "it is not a regular file")
    for name, content in {"empty": b"", "text": b"a,b\n1,2\n", "numpy": npy(X)}.items():
        (tmp_path / name).write_bytes(content)
        assert_refused(tmp_path / name, none)
    np.savez(tmp_path / "other.npz", x=X)
    assert_refused(tmp_path / "other.npz", none)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_file_that_is_cut_short_is_refused(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    assert_refused(saved, "damaged")


def test_changed_bytes_are_refused(saved):
    content = saved.read_bytes()
    place = content.index(X.tobytes()[:16]) + 7
    saved.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    assert_refused(saved, r"damaged.*Bad CRC-32")


def test_a_file_of_a_newer_emjax_says_so(saved):
    newer = rewritten(saved, lambda header: {**header, "format": 2, "emjax": "7.0", "more": 1}, extra=b"?")
    assert_refused(newer, r"written by another emjax, 7\.0 \(format 2; this one knows 1\)")


@pytest.mark.parametrize(
    "thing",
    [
        7, "Fit", [], {}, {"dict": {}},
        {"type": "os.system", "fields": {}},
        {"type": "__main__.app", "fields": {}},
        {"type": "experiments.config.Study", "fields": {}},
        {"type": "families..Normal", "fields": {}},
        {"type": "families.nowhere.Normal", "fields": {}},
        {"type": "families.base.Family", "fields": {}},
        {"type": "families.normal.np", "fields": {}},
        {"type": "result.Optimum", "fields": {}},
        {"type": "result.Fit", "fields": {"x": 1}},
        {"type": "own.Fit", "fields": {}},
        {"distribution": "Delta", "arguments": {"v": 1.0}}, {"distribution": "kl", "arguments": {}},
        {"distribution": "Uniform", "arguments": {"low": {"dict": {}}}},
        {"distribution": "Normal", "arguments": {}},
        {"enum": "result.Fit", "value": 1}, {"enum": "result.Status", "value": {}},
        {"stowed": "nowhere"}, {"left_out": "nowhere"}, {"same": 0}, {"float": "one"},
        {"array": "AAAA", "dtype": "O", "shape": [1]},
        {"random_key": [1], "kind": "os"},
    ],
    ids=str,
)  # fmt: skip
def test_what_somebody_has_written_makes_nothing_else(saved, thing, only_reading):
    rewritten(saved, lambda header: {**header, "object": thing})
    with only_reading():
        assert_refused(saved, "damaged, or not as emjax wrote it: ")


def test_members_that_would_fill_the_memory_or_run_something_are_refused(saved, tmp_path, only_reading):
    shape = npy(np.zeros(3)).replace(b"(3,)", b"(99,)")
    pickled = io.BytesIO()
    np.save(pickled, np.array([Path()], dtype=object), allow_pickle=True)
    for content in (shape, pickled.getvalue(), b"", b"\x93NUMPY\x01\x00"):
        rewritten(saved, **{"samples.values.npy": content})
        with only_reading():
            assert_refused(saved, "damaged")
    for header in (b"{", b"[" * 100_000, b"[]", b'{"format": 1}', b'{"format": 1, "object": 1, "own": 3}'):
        assert_refused(rewritten(saved, **{"emjax.json": header}), "damaged")
    packed = tmp_path / "packed.npz"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("emjax.json", " " * 10_000_000)
    assert_refused(packed, "its members are packed")


# -- writing --------------------------------------------------------------------------------------------------


def test_places_that_cannot_be_written_are_one_line(fit, saved, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"it is a folder; give the name of a file, such as fit\.npz$"):
        fit.save(tmp_path)
    with pytest.raises(ConfigError, match=r"nowhere: cannot be used: No such file or directory.*nothing was written$"):
        fit.save(tmp_path / "nowhere" / "fit.npz")
    before = saved.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "sync", full)
    with pytest.raises(ConfigError, match="no space left"):
        dataclasses.replace(fit, n_iter=7).save(saved)
    assert saved.read_bytes() == before
    assert list(tmp_path.iterdir()) == [saved]
    monkeypatch.undo()
    assert emjax.load(dataclasses.replace(fit, n_iter=7).save(saved)).n_iter == 7


def test_results_are_equal_to_themselves_alone(fit: emjax.Fit, comparison: emjax.Comparison):
    # Field by field arrays would be asked whether they are true, and none of these could be the key of a mapping.
    for one in (fit, fit.optima[0], fit.summary(), fit.intervals(method="information"), comparison):
        other = dataclasses.replace(one)
        assert one != other
        assert {one: 1, other: 2}[one] == 1
