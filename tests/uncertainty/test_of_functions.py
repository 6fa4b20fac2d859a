"""Intervals of functions of the parameters: the delta method on what the parameters' own intervals say."""

import jax.numpy as jnp
import numpy as np
import pytest

import emjax
from emjax.uncertainty import resampling

RNG = np.random.default_rng(4)
# As many rows as in neighbouring files, which share the programs.
X = np.r_[RNG.normal(-1.0, 1.0, 86), RNG.normal(3.0, 1.5, 58)]


@pytest.fixture(scope="module")
def fit() -> emjax.Fit:
    return emjax.fit(emjax.Mixture(emjax.Normal(), 2), X, key=0, tol=1e-10, n_init=4, accelerate="none")


@pytest.mark.parametrize("method", ["information", "sandwich"])
def test_functions_have_the_delta_method_s_errors(fit: emjax.Fit, method: str):
    whole = fit.intervals(method=method)
    names = [row.name for row in whole.rows]

    def variance(gradient: dict[str, float]) -> float:
        vector = np.array([gradient.get(name, 0.0) for name in names])
        return float(vector @ whole.covariance @ vector)

    found = fit.intervals(
        level=0.8,
        method=method,
        of={
            "gap": lambda params: params.mean[1, 0] - params.mean[0, 0],
            "snr": lambda params: params.mean[:, 0] / params.scale[:, 0],
        },
    )
    means, scales = fit.params.mean[:, 0], fit.params.scale[:, 0]
    assert [row.name for row in found.rows] == ["gap", "snr[0]", "snr[1]"]
    assert found["gap"].estimate == pytest.approx(means[1] - means[0], rel=1e-12)
    assert found["gap"].se == pytest.approx(np.sqrt(variance({"mean[0, x]": -1.0, "mean[1, x]": 1.0})), rel=1e-9)
    slopes = {"mean[1, x]": 1.0 / scales[1], "scale[1, x]": -means[1] / scales[1] ** 2}
    assert found["snr[1]"].se == pytest.approx(np.sqrt(variance(slopes)), rel=1e-9)
    # 80% of a normal law lie within 1.2816 deviations.
    assert found["gap"].upper - found["gap"].estimate == pytest.approx(1.2815515655 * found["gap"].se, rel=1e-9)
    assert found.to_frame()["component"].isna().all()


def test_a_parameter_s_own_function_has_its_interval(fit: emjax.Fit):
    def mean_of_first(params):
        return params.mean[0, 0]

    own, found = (
        fit.intervals(method="information")["mean[0, x]"],
        fit.intervals(method="information", of=mean_of_first)["mean_of_first"],
    )
    assert (found.estimate, found.se, found.lower, found.upper) == pytest.approx(
        (own.estimate, own.se, own.lower, own.upper), rel=1e-9
    )


@pytest.mark.parametrize(
    ("of", "message"),
    [
        (lambda params: np.log(params.weights), "write it with jax.numpy"),
        ("mean", "must be a function"),
        ({}, "must be a function"),
        ({"a": 1.0}, "must be a function"),
        (lambda params: None, "of: 'of' returns None at the estimate: return a number"),
        ({"name": lambda params: "a"}, "of: 'name' returns 'a' at"),
        ({"pair": lambda params: {"a": params.weights[0]}}, "of: 'pair' returns {'a'"),
        ({"z": lambda params: params.weights[0] + 1j}, "of: 'z' returns "),
        ({"nothing": lambda params: params.weights[:0]}, "of: 'nothing' returns "),
        ({"larger": lambda params: params.weights[0] > 0.5}, "of: 'larger' returns "),
    ],
)
def test_what_is_no_function_is_refused_in_one_line(fit: emjax.Fit, of: object, message: str):
    with pytest.raises(TypeError, match=message) as raised:
        fit.intervals(method="information", of=of)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("method", ["bootstrap", "weighted"])
def test_what_does_not_work_is_refused_before_any_replicate(
    fit: emjax.Fit, monkeypatch: pytest.MonkeyPatch, method: str
):
    monkeypatch.setattr(resampling, "refit", lambda *_, **__: pytest.fail("replicates were fitted"))
    for of, message in [
        (lambda params: np.log(params.weights), "write it with jax.numpy"),
        (lambda params: 1.0 if params.weights[0] > 0.5 else 0.0, "write it with jax.numpy"),
        (lambda params: None, "of: 'of' returns None at the estimate"),
    ]:
        with pytest.raises(TypeError, match=message) as raised:
            fit.intervals(method=method, of=of)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("method", ["information", "profile", "jackknife"])
def test_what_is_not_finite_at_the_estimate_is_refused_and_not_called_ok(fit: emjax.Fit, method: str):
    with pytest.raises(ValueError, match="of: 'log' is nan at the estimate: only what is finite has an interval"):
        fit.intervals(method=method, of={"log": lambda params: jnp.log(params.mean[0, 0])})


def test_what_cannot_move_but_for_rounding_leaves_a_profile_as_good_as_it_is():
    fit = emjax.fit(emjax.Mixture(emjax.Poisson(), 1), np.tile([3.0, 5.0, 2.0, 6.0], 15), key=0, n_init=1)
    found = fit.intervals(
        method="profile",
        of={
            "both": lambda params: jnp.stack(
                [jnp.exp(jnp.log(params.rate[0, 0])) / params.rate[0, 0], params.rate[0, 0]]
            )
        },
    )
    assert found.status.value == "ok"
    assert (found["both[0]"].lower, found["both[0]"].upper) == pytest.approx((1.0, 1.0), abs=1e-12)
    assert found["both[1]"].lower < found["both[1]"].estimate < found["both[1]"].upper


@pytest.mark.slow
def test_nor_do_the_ones_of_a_matrix_of_correlations():
    x = np.random.default_rng(0).normal(size=(80, 2))
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 1), x, key=0, n_init=1)
    found = fit.intervals(method="profile", of={"correlation": lambda params: params.correlation[0]})
    assert found.status.value == "ok"
    assert (found["correlation[0, 0]"].lower, found["correlation[1, 1]"].upper) == pytest.approx((1.0, 1.0), abs=1e-12)
    assert found["correlation[0, 1]"].lower < found["correlation[0, 1]"].estimate < found["correlation[0, 1]"].upper


@pytest.mark.parametrize("method", ["information", "profile", "bootstrap"])
def test_where_there_is_no_optimum_the_functions_stand_there_without_an_end(method: str):
    early = emjax.fit(emjax.Mixture(emjax.Normal(), 2), X, key=0, n_init=1, max_iter=1, accelerate="none")
    found = early.intervals(method=method, of={"gap": lambda params: params.mean[1, 0] - params.mean[0, 0]})
    assert found.status.withheld
    assert [row.name for row in found.rows] == ["gap"]
    assert found["gap"].estimate == pytest.approx(early.params.mean[1, 0] - early.params.mean[0, 0])
    assert np.isnan(found["gap"].se)
