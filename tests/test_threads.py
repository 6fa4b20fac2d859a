"""What several threads do with rows is what one does: the same bits in the same order, and the first error."""

import numpy as np
import pytest

import emjax
from emjax import threads
from emjax.em.blocks import make_blocks
from emjax.matrix import check_finite
from emjax.moments import Summary


@pytest.fixture(params=[1, 5])
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(threads, "usable_cores", lambda: request.param)
    return request.param


def test_results_are_in_the_order_of_the_items(cores: int):
    assert threads.in_threads(lambda item: item * item, range(50)) == [item * item for item in range(50)]


def test_an_error_reaches_the_caller(cores: int):
    def fails(item: int) -> None:
        if item == 7:
            raise KeyError(item)

    with pytest.raises(KeyError, match="7"):
        threads.in_threads(fails, range(20))


def test_pieces_are_all_rows_once():
    slices = threads.pieces(100_001, 16)
    assert len(slices) > 4
    assert np.concatenate([np.arange(100_001)[rows] for rows in slices]).tolist() == list(range(100_001))


def test_summaries_and_blocks_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90_000, 16)) * rng.uniform(0.1, 9.0, 16)
    x[::1000, 3] = np.nan
    weights = rng.uniform(0.5, 2.0, len(x))
    mixture = emjax.Mixture(emjax.Normal("diag"), 3)
    found = []
    for n_cores in (1, 4):
        monkeypatch.setattr(threads, "usable_cores", lambda n_cores=n_cores: n_cores)
        summary = Summary(x, weights)
        blocks = make_blocks(x, mixture, row_weights=weights)
        names = ("observed", "mean", "variance", "covariance", "minimum", "maximum")
        found.append([*(getattr(summary, name) for name in names), blocks.rows.y, blocks.rows.seen, blocks.weights])
    for one, several in zip(*found, strict=True):
        np.testing.assert_array_equal(one, several)
    # And blocks hold every row once, whatever wrote them.
    y, kept = found[1][6], found[1][8] > 0
    rows = np.moveaxis(y, 1, 2)[kept]
    order = np.lexsort(rows.T), np.lexsort(np.nan_to_num(x).T)
    np.testing.assert_array_equal(rows[order[0]], np.nan_to_num(x)[order[1]])


def test_a_number_that_is_none_is_found_in_any_piece(cores: int):
    x = np.zeros((90_000, 16))
    x[81_234, 5] = np.inf
    with pytest.raises(emjax.errors.DataError, match=r"row 81234 .*column 'x5'"):
        check_finite(x, [f"x{i}" for i in range(16)], "x")
