"""What is measured of an outcome: aligned once, against closed forms and hand-made outcomes."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

import emjax
from emjax import datasets
from emjax.datasets.laws import normal_law, poisson_law
from emjax.datasets.shapes import Uniform
from emjax.experiments.config.data import SimulatedData
from emjax.experiments.work.data import make_replicate
from emjax.experiments.work.measures import COST, measure
from emjax.experiments.work.outcome import Outcome, ParameterEstimate, Replicate, Truth
from emjax.metrics import adjusted_rand
from emjax.naming import scalar_parameters

LABELLED = {"error", "covered", "interval_score"}
ASSIGNED = {"calibration_error", "brier"}


def drawn(law, n_samples=400, n_held=1000, seed=0):
    values, labels = law.sample(n_samples, np.random.default_rng(seed))
    held, _ = law.sample(n_held, np.random.default_rng(seed + 1))
    names = ("x",) if law.n_features == 1 else tuple(f"x{j}" for j in range(law.n_features))
    data = datasets.Dataset(values=values, feature_names=names, labels=labels)
    return Replicate(0, data, datasets.Dataset(values=held, feature_names=names), Truth.of(law))


def outcome_of(law, replicate, width=1.0, **changes):
    """A method that answers with a law; every interval reaches half a width to both sides."""
    named = {name: values for name, values in law.parameters.items() if name != "covariance"}
    parameters = tuple(
        ParameterEstimate(
            scalar.name,
            float(named[scalar.variable][scalar.index]),
            0.25 * width,
            float(named[scalar.variable][scalar.index]) - 0.5 * width,
            float(named[scalar.variable][scalar.index]) + 0.5 * width,
        )
        for scalar in scalar_parameters(named, replicate.data.feature_names)
    )
    whole = {
        "status": "converged",
        "trusted": True,
        "named": named,
        "parameters": parameters,
        "log_density": law.log_density,
        "responsibilities": law.responsibilities,
        "numbers": {"log_likelihood": -12.5, "pareto_k": math.nan},
        "compile_seconds": 1.0,
        "run_seconds": 2.0,
        "discrete": law.discrete,
        "moments": law.moments,
    }
    return Outcome(**{**whole, **changes})


def table_of(rows):
    assert not any(math.isnan(value) for _, _, value in rows)
    assert len({(quantity, parameter) for quantity, parameter, _ in rows}) == len(rows)
    return {(quantity, parameter): value for quantity, parameter, value in rows}


TWO = normal_law(weights=[0.4, 0.6], mean=[-2.0, 2.0], scale=[1.0, 0.5])
PLANE = normal_law(
    weights=[0.3, 0.7], mean=[[0.0, 0.0], [3.0, 1.0]], covariance=[[[1.0, 0.4], [0.4, 1.0]], [[0.5, 0.0], [0.0, 2.0]]]
)


def permuted(law, order):
    return normal_law(weights=law.weights[order], mean=law.mean[order], covariance=law.covariance[order])


@pytest.mark.parametrize("law", [TWO, PLANE], ids=["line", "plane"])
def test_the_truth_itself_in_another_order_has_no_error_at_all(law):
    replicate = drawn(law)
    found = table_of(measure(replicate, outcome_of(permuted(law, [1, 0]), replicate), 0.9))
    errors = {parameter: value for (quantity, parameter), value in found.items() if quantity == "error"}
    named = {name: values for name, values in law.parameters.items() if name != "covariance"}
    assert list(errors) == [scalar.name for scalar in scalar_parameters(named, replicate.data.feature_names)]
    assert max(abs(value) for value in errors.values()) < 1e-12
    assert found["estimate", "weights[1]"] == law.weights[1]
    assert all(value == 1.0 for (quantity, _), value in found.items() if quantity == "covered")
    for name in ("log_score_loss", "log_score_loss_se", "total_variation", "hellinger", "co_clustering_error"):
        assert found[name, ""] == pytest.approx(0.0, abs=1e-6), name
    best = replicate.truth.responsibilities(replicate.data.values)
    assert found["ari", ""] == adjusted_rand(best.argmax(axis=1), replicate.data.labels)
    assert found["brier", ""] < 0.2
    assert found["log_score", ""] == pytest.approx(law.log_density(replicate.holdout.values).mean())


def test_lower_levels_have_coverage_and_width_of_their_own():
    replicate = drawn(TWO)
    whole = outcome_of(TWO, replicate)
    at = [(each.estimate - 0.1, each.estimate + 0.1) for each in whole.parameters]
    at[2] = (at[2][0] + 0.15, at[2][1] + 0.15)  # beside the first mean
    parameters = [dataclasses.replace(each, lower_levels=((0.5, *ends), (0.975, *ends)))
                  for each, ends in zip(whole.parameters, at, strict=True)]  # fmt: skip
    found = table_of(measure(replicate, dataclasses.replace(whole, parameters=tuple(parameters)), 0.99))
    assert found["covered_50", "mean[1, x]"] == found["covered_97.5", "mean[1, x]"] == 1.0
    assert found["covered_50", "mean[0, x]"] == 0.0
    assert found["covered", "mean[0, x]"] == 1.0
    assert found["width_50", "mean[0, x]"] == pytest.approx(0.2)


def test_errors_coverage_and_width_of_a_shifted_estimate():
    shifted = normal_law(weights=[0.6, 0.4], mean=[2.3, -2.0], scale=[0.5, 1.7])
    replicate = drawn(TWO)
    found = table_of(measure(replicate, outcome_of(shifted, replicate), 0.9))
    assert found["error", "mean[1, x]"] == pytest.approx(0.3)
    assert found["error", "scale[0, x]"] == pytest.approx(0.7)
    assert found["covered", "mean[1, x]"] == 1.0
    assert found["covered", "scale[0, x]"] == 0.0
    assert found["width", "scale[0, x]"] == pytest.approx(1.0)
    assert found["se", "scale[0, x]"] == 0.25
    assert found["interval_score", "scale[0, x]"] == pytest.approx(1.0 + 2 / 0.1 * 0.2)
    assert found["log_score_loss", ""] > 4 * found["log_score_loss_se", ""]
    assert (found["trusted", ""], found["log_likelihood", ""]) == (1.0, -12.5)
    assert {name: found[name, ""] for name in COST} == {"compile_seconds": 1.0, "run_seconds": 2.0}
    assert ("pareto_k", "") not in found


def test_no_interval_is_neither_covered_nor_not():
    replicate = drawn(TWO)
    outcome = outcome_of(TWO, replicate)
    first = dataclasses.replace(outcome.parameters[0], lower=math.nan)
    second = dataclasses.replace(outcome.parameters[1], upper=math.inf, se=math.nan)
    parameters = (first, second, *outcome.parameters[2:])
    found = table_of(measure(replicate, dataclasses.replace(outcome, parameters=parameters), 0.9))
    for quantity in ("covered", "width", "interval_score"):
        assert sum(key[0] == quantity for key in found) == 4
    assert ("error", "weights[0]") in found
    assert ("se", "weights[1]") not in found


def test_total_variation_and_hellinger_have_the_closed_form_on_a_line():
    replicate = drawn(normal_law(weights=[1.0], mean=[0.0], scale=[2.0]))
    for distance in (0.02, 0.5, 3.0):
        estimate = normal_law(weights=[1.0], mean=[2.0 * distance], scale=[2.0])
        for named in (estimate.parameters, {}):  # with and without nodes about the estimate
            outcome = outcome_of(estimate, replicate, named=named, parameters=())
            found = table_of(measure(replicate, outcome, 0.9))
            exact = 2 * stats.norm.cdf(distance / 2) - 1, np.sqrt(1 - np.exp(-(distance**2) / 8))
            assert (found["total_variation", ""], found["hellinger", ""]) == pytest.approx(exact, abs=3e-4, rel=2e-3)


def test_a_narrow_component_and_a_uniform_truth_are_seen():
    # 1% of the estimate in a spike that the truth does not have: total variation 0.01.
    spike = normal_law(weights=[0.99, 0.01], mean=[0.0, 0.7], scale=[1.0, 1e-5])
    replicate = drawn(normal_law(weights=[1.0], mean=[0.0], scale=[1.0]))
    found = table_of(measure(replicate, outcome_of(spike, replicate, parameters=()), 0.9))
    assert found["total_variation", ""] == pytest.approx(0.01, rel=0.02)
    # The uniform on +-sqrt 3 against the normal: they cross where the normal density is 1 / (2 sqrt 3).
    box = normal_law(weights=[1.0], mean=[0.0], scale=[1.0], shape=Uniform())
    height, edge = 1 / (2 * np.sqrt(3)), np.sqrt(3)
    crossing = np.sqrt(-2 * np.log(height * np.sqrt(2 * np.pi)))
    exact = 2 * (stats.norm.cdf(crossing) - 0.5 - height * crossing) + 2 * stats.norm.sf(edge)
    replicate = drawn(box)
    plain = normal_law(weights=[1.0], mean=[0.0], scale=[1.0])
    found = table_of(measure(replicate, outcome_of(plain, replicate), 0.9))
    assert found["total_variation", ""] == pytest.approx(exact, abs=1e-3)


def test_distances_in_the_plane_have_the_closed_form():
    replicate = drawn(normal_law(weights=[1.0], mean=[[1.0, -1.0]], covariance=[[[2.0, 0.6], [0.6, 1.0]]]))
    for distance in (0.05, 0.2, 1.0, 4.0):
        gap = np.array([1.0, 0.5])
        gap *= distance / np.sqrt(gap @ np.linalg.solve(replicate.truth.named["covariance"][0], gap))
        estimate = normal_law(weights=[1.0], mean=[np.array([1.0, -1.0]) + gap], covariance=[[[2.0, 0.6], [0.6, 1.0]]])
        exact = 2 * stats.norm.cdf(distance / 2) - 1, np.sqrt(1 - np.exp(-(distance**2) / 8))
        for named in (estimate.parameters, {}):
            found = table_of(measure(replicate, outcome_of(estimate, replicate, named=named, parameters=()), 0.9))
            assert (found["total_variation", ""], found["hellinger", ""]) == pytest.approx(exact, rel=0.04)


def test_a_narrow_component_in_the_plane_is_seen():
    # The spike is alone where it is: total variation 0.05, affinity sqrt 0.95.
    replicate = drawn(normal_law(weights=[1.0], mean=[[0.0, 0.0]], scale=[[1.0, 1.0]]))
    spike = normal_law(weights=[0.95, 0.05], mean=[[0.0, 0.0], [0.5, 0.5]], scale=[[1.0, 1.0], [1e-4, 1e-4]])
    found = table_of(measure(replicate, outcome_of(spike, replicate, parameters=()), 0.9))
    assert found["total_variation", ""] == pytest.approx(0.05, rel=0.03)
    assert found["hellinger", ""] == pytest.approx(np.sqrt(1 - np.sqrt(0.95)), rel=0.03)


def test_counts_in_one_and_several_features():
    one, other = poisson_law(weights=[1.0], rate=[4.0]), poisson_law(weights=[1.0], rate=[9.0])
    replicate = drawn(one)
    found = table_of(measure(replicate, outcome_of(other, replicate), 0.9))
    counts = np.arange(100)
    exact = 0.5 * np.abs(stats.poisson(4).pmf(counts) - stats.poisson(9).pmf(counts)).sum()
    assert found["total_variation", ""] == pytest.approx(exact, abs=1e-9)
    assert found["error", "rate[0, x]"] == 5.0
    replicate = drawn(poisson_law(weights=[1.0], rate=[[4.0, 1.0]]))
    found = table_of(measure(replicate, outcome_of(poisson_law(weights=[1.0], rate=[[9.0, 1.0]]), replicate), 0.9))
    assert found["total_variation", ""] == pytest.approx(exact, abs=0.02)
    assert found["hellinger", ""] == pytest.approx(np.sqrt(1 - np.exp(-0.5)), abs=0.02)
    # A density against probabilities of counts: neither loss nor distance, and no parameter in common but the weights.
    plane = normal_law(weights=[1.0], mean=[[4.0, 1.0]], scale=[[2.0, 1.0]])
    found = table_of(measure(replicate, outcome_of(plane, replicate), 0.9))
    assert {"total_variation", "log_score_loss"}.isdisjoint(quantity for quantity, _ in found)
    assert [parameter for quantity, parameter in found if quantity == "error"] == ["weights[0]"]


def test_a_rate_of_positive_numbers_is_none_of_counts():
    # An exponential mixture has a rate, too, and its density is no probability of whole numbers.
    family, params = emjax.Exponential(), {"weights": [1.0], "rate": [[0.5]]}
    named = {name: np.asarray(value) for name, value in params.items()}
    answer = {
        "named": named,
        "parameters": (ParameterEstimate("weights[0]", 1.0), ParameterEstimate("rate[0, x]", 0.5)),
        "log_density": lambda x: np.where(x[:, 0] > 0, np.log(0.5) - 0.5 * x[:, 0], -np.inf),
        "discrete": family.discrete,
        "moments": (np.array([[2.0]]), np.array([[[4.0]]])),
    }
    replicate = drawn(normal_law(weights=[1.0], mean=[5.0], scale=[1.0]))
    found = table_of(measure(replicate, outcome_of(replicate.truth.law, replicate, **answer), 0.9))
    both = stats.norm(5.0, 1.0), stats.expon(scale=2.0)
    grid = np.linspace(-5.0, 60.0, 200_001)
    exact = 0.5 * np.abs(both[0].pdf(grid) - both[1].pdf(grid)).sum() * (grid[1] - grid[0])
    assert found["total_variation", ""] == pytest.approx(exact, abs=2e-3)
    replicate = drawn(poisson_law(weights=[1.0], rate=[4.0]))
    found = table_of(measure(replicate, outcome_of(replicate.truth.law, replicate, **answer), 0.9))
    assert {"total_variation", "log_score_loss"}.isdisjoint(quantity for quantity, _ in found)
    assert [parameter for quantity, parameter in found if quantity == "error"] == ["weights[0]"]


def test_another_number_of_components_has_the_invariant_quantities_only():
    three = normal_law(weights=[0.4, 0.3, 0.3], mean=[3.0, 1.0, -2.0], scale=[0.5, 0.5, 1.0])
    replicate = drawn(TWO)
    found = table_of(measure(replicate, outcome_of(three, replicate), 0.9))
    quantities = {quantity for quantity, _ in found}
    assert quantities.isdisjoint(LABELLED | ASSIGNED)
    assert {"estimate", "width", "ari", "co_clustering_error", "total_variation", "log_score_loss"} <= quantities
    # in ascending order of the first parameter, so that replicates can be compared
    assert [found["estimate", f"mean[{k}, x]"] for k in range(3)] == [-2.0, 1.0, 3.0]


def test_contaminated_rows_choose_no_labels_and_count_in_no_assignment():
    data = {"kind": "simulate", "weights": [0.4, 0.6], "mean": [-2.0, 2.0], "scale": [1.0, 0.5], "n_samples": 200}
    section = SimulatedData(**data, contamination={"share": 0.3, "spread": 50.0})
    replicate = make_replicate({"seed": 1, "data": section.model_dump(mode="json", exclude_none=True)}, 0)
    clean = replicate.data.labels >= 0
    seen = outcome_of(TWO, replicate)
    without = datasets.Dataset(
        values=replicate.data.values[clean], feature_names=("x",), labels=replicate.data.labels[clean]
    )
    assert measure(replicate, seen, 0.9) == measure(dataclasses.replace(replicate, data=without), seen, 0.9)


def test_known_groups_of_a_source_align_and_are_predicted():
    data = datasets.load("iris")
    mean = np.array([data.values[data.labels == name].mean(axis=0) for name in np.unique(data.labels)[[2, 0, 1]]])
    law = normal_law(weights=[1 / 3] * 3, mean=mean, scale=np.full(mean.shape, 0.4))
    replicate = Replicate(0, data)
    found = table_of(measure(replicate, outcome_of(law, replicate), 0.9))
    quantities = {quantity for quantity, _ in found}
    assert quantities.isdisjoint(LABELLED | {"total_variation", "log_score", "co_clustering_error"})
    assert found["ari", ""] > 0.7
    assert found["brier", ""] < 0.3
    first = data.feature_names[0]
    assert found["estimate", f"mean[0, {first}]"] == mean[1, 0]


def test_a_failed_outcome_is_counted_and_nothing_else():
    found = measure(drawn(TWO), Outcome(status="failed", message="no"), 0.9)
    assert found == [("trusted", "", 0.0)]


def test_what_a_method_without_labels_gives_is_measured():
    replicate = drawn(TWO)
    outcome = outcome_of(TWO, replicate, named={}, parameters=(), trusted=False, verdict="mcmc_needed")
    found = table_of(measure(replicate, outcome, 0.9))
    assert {"total_variation", "log_score_loss", "ari", "trusted"} <= {quantity for quantity, _ in found}
    assert found["verdict", "mcmc_needed"] == 1.0
    broken = outcome_of(TWO, replicate, responsibilities=lambda rows: np.full((len(rows), 2), np.nan))
    quantities = {quantity for quantity, _, _ in measure(replicate, broken, 0.9)}
    assert quantities.isdisjoint(LABELLED | ASSIGNED | {"ari", "co_clustering_error"})
    assert "total_variation" in quantities


def test_a_row_without_density_is_no_nan():
    replicate = drawn(TWO)
    found = table_of(
        measure(replicate, outcome_of(TWO, replicate, log_density=lambda x: np.full(len(x), -np.inf)), 0.9)
    )
    assert found["log_score", ""] == -math.inf
    assert found["log_score_loss", ""] == math.inf
    assert found["total_variation", ""] == pytest.approx(1.0, abs=1e-4)
    assert ("log_score_loss_se", "") not in found
