"""Which ends of starts are one optimum: not by objective alone, and however components are numbered."""

import dataclasses

import jax
import numpy as np
import pytest

import emjax
from emjax.em.restarts import End, are_same
from emjax.result import Status

KEY = jax.random.key(0)
NORMAL = emjax.Mixture(emjax.Normal(), 2)


def end(weights, mean, scale=1.0, objective=-100.0, status=Status.CONVERGED, rounding=0.0) -> End:
    """The end of a start on 100 points, in the standard frame."""
    weights, mean = np.asarray(weights, dtype=float), np.asarray(mean, dtype=float)
    scale = np.broadcast_to(np.asarray(scale, dtype=float), mean.shape)
    places = np.stack([mean, scale], axis=1)
    return End(status, False, objective, 100.0, rounding, places, weights)


def same_optimum(a: End, b: End) -> bool:
    return bool(are_same(a, [b])[0])


BASE = end([0.3, 0.7], [-1.0, 1.0])


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (end([0.3, 0.7], [-1.0, 1.0], objective=-100.0 + 1e-6), True),
        (end([0.3, 0.7], [-1.0, 1.0], objective=-100.0 + 1e-4), False),
        (end([0.7, 0.3], [1.0, -1.0]), True),
        (end([0.7, 0.3], [-1.0, 1.0]), False),  # the mirror image
        (end([0.3, 0.7], [-1.0, 1.1]), False),
        (end([0.3, 0.7], [-1.0, 1.0], [1.0, 0.9]), False),
        (end([0.3, 0.2, 0.5], [-1.0, 1.0, 1.0]), True),  # one component in two parts
        (end([0.3, 0.2, 0.5], [-1.0, 1.0, 2.0]), False),
        (end([0.3, 0.7, 0.0], [-1.0, 1.0, 5.0]), True),  # a component that no point belongs to
        (end([0.3, 0.7], [-1.0, 1.0], status=Status.MAX_ITER), False),
        (end([0.3, 0.7], [-1.0, 1.0], objective=-100.0 + 1e-4, rounding=1e-3), True),
    ],
)
def test_same_optimum(other: End, same: bool):
    assert same_optimum(BASE, other) is same
    assert same_optimum(other, BASE) is same


def test_collapses_are_told_apart_by_where_not_by_how_far():
    def collapsed(place: float, objective: float) -> End:
        return end([0.01, 0.99], [place, 0.0], [1e-5, 1.0], objective, Status.DEGENERATE)

    assert same_optimum(collapsed(2.0, -80.0), collapsed(2.0, -70.0))
    assert not same_optimum(collapsed(2.0, -80.0), collapsed(1.0, -80.0))


def test_numbers_that_are_not_finite_are_never_the_same():
    lost = end([0.3, 0.7], [-1.0, 1.0], objective=float("nan"), status=Status.NONFINITE)
    assert not same_optimum(lost, lost)


def test_optima_that_mirror_each_other_are_both_listed():
    cluster = np.random.default_rng(0).normal(0, 0.5, 30)
    cluster -= cluster.mean()
    x = np.concatenate([cluster - 6, cluster, -cluster, 6 - cluster])
    fit = emjax.fit(NORMAL, x, key=KEY, n_init=20)
    best = [o for o in fit.optima if abs(o.log_likelihood - fit.log_likelihood) < 1e-6]
    assert len(best) == 2
    np.testing.assert_allclose(best[0].params.mean, -best[1].params.mean[::-1], atol=1e-4)
    np.testing.assert_allclose(best[0].params.weights, best[1].params.weights[::-1], atol=1e-5)


def test_collapses_on_one_point_are_one_entry():
    x = np.concatenate([np.full(60, 1.0), np.random.default_rng(2).normal(8.0, 1.0, 60)])
    fit = emjax.fit(NORMAL, x, key=KEY, n_init=20)
    collapsed = [o for o in fit.optima if o.status is Status.DEGENERATE]
    assert sum(o.count for o in fit.optima) == 20
    # One entry for each place and division of the weights, not one for each start.
    assert max(o.count for o in collapsed) > 1
    assert dataclasses.replace(fit.optima[0], count=0).objective == fit.objective


def test_an_optimum_is_one_in_float32_too():
    x = np.asarray(emjax.datasets.load("faithful"))
    fits = [emjax.fit(NORMAL, x, key=KEY, n_init=20, dtype=dtype) for dtype in ("float64", "float32")]
    assert [[o.count for o in fit.optima] for fit in fits] == [[20], [20]]


def test_the_optima_as_a_table():
    x = emjax.datasets.load("galaxies")
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 4), x, key=jax.random.key(0), n_init=20)
    table = fit.optima_table()
    lines = table.splitlines()
    assert lines[0] == f"20 starts, {len(fit.optima)} distinct end points"
    assert len(lines) == 2 + len(fit.optima)
    assert all(len(line) <= 80 for line in lines)
    assert lines[2].startswith("*")
    assert f"{fit.log_likelihood:.4f}" in lines[2]
    for line, optimum in zip(lines[2:], fit.optima, strict=True):
        assert optimum.kind in line.split()
        assert str(optimum.count) in line.split()
    assert fit.optima_table(most=1).splitlines()[-1] == f"  and {len(fit.optima) - 1} more"
