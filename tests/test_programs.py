"""A process that fits one shape after the other keeps no more compiled programs than its memory mappings allow."""

import functools
import subprocess
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import emjax
from emjax import programs
from emjax.em.many import fit_many
from emjax.uncertainty.many import intervals_many

MIXTURE = emjax.Mixture(emjax.Poisson(), 1)
KEY = jax.random.key(0)


def counts(n: int) -> np.ndarray:
    return np.random.default_rng(n).poisson(5.0, n).astype(float)


@functools.cache
def known() -> emjax.Fit:
    return emjax.fit(MIXTURE, counts(20), key=KEY, n_init=1, accelerate="none")


@pytest.fixture
def is_full(monkeypatch):
    """As if nearly all mappings were used, once a fit is there."""
    known()
    monkeypatch.setattr(programs, "_EVERY", 0)
    monkeypatch.setattr(programs, "mappings", lambda: 60_000)


@pytest.mark.parametrize(
    "call",
    [
        lambda: emjax.fit(MIXTURE, counts(20), key=KEY, n_init=1, accelerate="none"),
        lambda: fit_many(MIXTURE, [counts(20)], keys=[KEY]),
        lambda: known().intervals(method="information"),
        lambda: intervals_many([known()]),
        lambda: emjax.sample(MIXTURE, counts(20), key=KEY, chains=2, warmup=20, draws=20, method="laplace"),
    ],
    ids=["fit", "fit_many", "intervals", "intervals_many", "sample"],
)
def test_everything_that_compiles_makes_room_first(call, is_full, monkeypatch):
    cleared = []
    monkeypatch.setattr(jax, "clear_caches", lambda: cleared.append(True))
    # A collection takes a second each time, late in a long process.
    monkeypatch.setattr(programs, "gc", SimpleNamespace(collect=lambda: 0))
    call()
    assert cleared


def test_numbers_are_the_same_after_programs_went(is_full):
    before = known()
    assert programs.make_room()
    again = emjax.fit(MIXTURE, counts(20), key=KEY, n_init=1, accelerate="none")
    assert again.log_likelihood == before.log_likelihood
    assert again.compile_seconds > 0.0


def test_programs_stay_while_there_is_room(monkeypatch):
    monkeypatch.setattr(programs, "_EVERY", 0)
    monkeypatch.setattr(programs, "mappings", lambda: 1_000)
    assert not programs.make_room()


def test_programs_stay_where_mappings_are_not_counted(monkeypatch, tmp_path):
    monkeypatch.setattr(programs, "_EVERY", 0)
    monkeypatch.setattr(programs, "_MAPPINGS", tmp_path / "maps")
    monkeypatch.setattr(programs, "_ALLOWED", tmp_path / "max_map_count")
    assert not programs.make_room()


def test_mappings_are_counted_only_after_new_programs(monkeypatch):
    programs.make_room()
    monkeypatch.setattr(programs, "_counted_at", programs._compiled)
    monkeypatch.setattr(programs, "mappings", lambda: pytest.fail("nothing was compiled"))
    assert not programs.make_room()
    monkeypatch.setattr(programs, "_compiled", programs._compiled + programs._EVERY)
    monkeypatch.setattr(programs, "mappings", lambda: 10**9)
    assert programs.make_room()


def everything(n: int) -> None:
    """All that is done with data of ``n`` rows."""
    x, mixture = counts(n), emjax.Mixture(emjax.Poisson(), 2)
    fit = emjax.fit(mixture, x, key=KEY, n_init=2)
    fit.intervals(method="information")
    posterior = emjax.sample(mixture, x, key=KEY, init=fit, method="laplace", draws=50)
    posterior.labelled_draws()
    emjax.compare(fit, posterior, x)
    fit_many(mixture, [x], keys=[KEY], n_init=2)


@pytest.mark.slow
def test_data_of_about_one_size_share_their_programs():
    """For each further number of rows 17 programs were compiled, among them EM's and the intervals', the slowest."""
    everything(201)
    before = programs._compiled
    everything(207)
    assert programs._compiled == before


def test_rows_are_filled_up_to_few_numbers():
    sizes = np.arange(1, 5000)
    padded = np.array([programs.padded_rows(int(n)) for n in sizes])
    assert (padded >= sizes).all()
    assert (padded <= np.maximum(32, sizes * (1 + 1 / 16) + 1)).all()
    assert len(set(padded)) == 1 + 16 * 7 + 4
    assert programs.padded_rows(65) == 68
    assert programs.padded_rows(33, steps=1) == 64


def test_rows_that_fill_up_are_copies_of_the_last():
    rows = np.arange(66.0).reshape(33, 2)
    filled = programs.filled_up(rows)
    np.testing.assert_array_equal(filled, np.vstack([rows, rows[-1:]]))
    full = np.zeros((32, 1))
    assert programs.filled_up(full) is full


SHAPES = """
import resource
from pathlib import Path
import jax, numpy as np, emjax
from emjax import programs

for n_features in (1, 2):
    most = (0, 0)
    for n in range(40, 540):
        x = np.random.default_rng(n).normal(size=(n, n_features))
        emjax.fit(emjax.Mixture(emjax.Normal(), 2), x, key=jax.random.key(0), n_init=2).intervals(method="information")
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        most = tuple(map(max, most, (programs.mappings(), pages * resource.getpagesize())))
    print(*most)
"""


@pytest.mark.slow
@pytest.mark.skipif(not programs._MAPPINGS.exists(), reason="only Linux counts the mappings of a process")
def test_a_thousand_shapes_in_one_process_keep_its_mappings_and_its_memory_flat():
    """Before rows were filled up and programs went, such a process died of its 78th shape."""
    done = subprocess.run([sys.executable, "-c", SHAPES], capture_output=True, text=True, check=True)
    (first, first_bytes), (second, second_bytes) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert max(first, second) < 0.7 * 65_530
    assert second_bytes < 1.2 * first_bytes + 2**28
