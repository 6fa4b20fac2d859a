"""Points that are drawn in ranges, and several sources at once."""

import numpy as np
import pytest

from emjax.errors import ConfigError
from emjax.experiments import make_plan, read_study

CONFIG = """
seed = 3
[data]
kind = "simulate"
weights = [0.4, 0.6]
mean = [[0.0], [4.0]]
scale = [[1.0], [1.0]]
[model]
n_components = 2
[[methods]]
kind = "em"
[sweep]
points = 16
[sweep.ranges]
data.n_samples = [100, 10000, "log"]
data.overlap = [0.01, 0.21]
"""


@pytest.fixture
def cells_of(tmp_path):
    def cells(*changes, text=CONFIG):
        (tmp_path / "config.toml").write_text(text)
        return [dict(cell.settings) for cell in make_plan(read_study(tmp_path / "config.toml", changes)).cells]

    return cells


def test_a_latin_hypercube_has_one_point_in_each_stretch_of_every_range(cells_of):
    cells = cells_of()
    assert cells == cells_of()
    assert cells != cells_of("seed=4")
    sizes, overlaps = ([cell[key] for cell in cells] for key in ("data.n_samples", "data.overlap"))
    assert all(isinstance(size, int) for size in sizes)
    for shares in (np.log(np.array(sizes) / 100) / np.log(100), (np.array(overlaps) - 0.01) / 0.2):
        assert sorted(np.floor(16 * np.clip(shares, 0, 0.999)).astype(int)) == list(range(16))


def test_random_points_stay_where_they_are_when_there_are_more(cells_of):
    few, more = (cells_of("sweep.design=random", f"sweep.points={n}") for n in (4, 9))
    assert (len(few), len(more)) == (4, 9)
    assert more[:4] == few


def test_points_are_crossed_with_the_other_settings(cells_of):
    cells = cells_of("sweep.grid.model.n_components=[2, 3]")
    assert len(cells) == 32
    assert cells[0].keys() == {"model.n_components", "data.n_samples", "data.overlap"}
    # Whole numbers of a short range leave fewer points than were asked for.
    assert len(cells_of("sweep.ranges={'model.n_components' = [1, 3]}", "sweep.design=random")) == 3


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("sweep.ranges.data.overlap=[0.2]", r"write \[low, high\] with low < high"),
        ("sweep.ranges.data.overlap=[0.2, 0.1]", r"write \[low, high\] with low < high"),
        ("sweep.ranges.data.overlap=[0, 1, 'log']", "has to begin above 0"),
        ("sweep.grid.data.overlap=[0.1]", r"is in sweep\.grid and in sweep\.ranges: leave one out"),
        ("sweep.points=200000", "points = 200000 is not allowed"),
        ("sweep.ranges.data.overlap=[0.5, 2.0]", "overlap"),
        ("sweep.design=sobol", "use one of latin_hypercube, random"),
    ],
)
def test_what_is_no_range_is_refused(cells_of, change, problem):
    with pytest.raises(ConfigError, match=problem):
        cells_of(change)


def test_bundled_stands_for_all_data_sets_that_the_model_takes(tmp_path, cells_of):
    text = '[data]\nsource = "faithful"\n[model]\nn_components = 2\n[[methods]]\nkind = "sklearn"\n'
    text += '[sweep]\ngrid."data.source" = ["faithful", "bundled"]\n'
    everything = [cell["data.source"] for cell in cells_of(text=text)]
    assert everything[0] == "faithful"
    assert {"galaxies", "iris", "acidity"} <= set(everything)
    counts = text.replace('kind = "sklearn"', 'kind = "em"').replace("n_components", 'family = "poisson"\nn_components')
    (tmp_path / "config.toml").write_text(counts.replace('["faithful", "bundled"]', '["bundled"]'))
    plan = make_plan(read_study(tmp_path / "config.toml"))
    assert {job.spec["data"]["source"] for job in plan.jobs} == {"carcinoma", "deaths"}
