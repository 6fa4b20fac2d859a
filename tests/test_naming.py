"""The printed names of single numbers."""

import numpy as np
import pytest

from emjax.naming import parameter_frame, scalar_parameters

NAMED = {
    "weights": np.arange(2.0),
    "mean": np.arange(6.0).reshape(2, 3),
    "correlation": np.arange(18.0).reshape(2, 3, 3),
}
FEATURES = ("a", "b", "c")


def test_names_in_the_order_of_the_arrays():
    names = [parameter.name for parameter in scalar_parameters(NAMED, FEATURES)]
    assert names[:2] == ["weights[0]", "weights[1]"]
    assert names[2:8] == ["mean[0, a]", "mean[0, b]", "mean[0, c]", "mean[1, a]", "mean[1, b]", "mean[1, c]"]
    pairs = ["a, b", "a, c", "b, c"]
    assert names[8:] == [f"correlation[{k}, {pair}]" for k in (0, 1) for pair in pairs]


def test_place_leads_to_the_number_and_each_pair_is_listed_once():
    for parameter in scalar_parameters(NAMED, FEATURES):
        array = NAMED[parameter.variable]
        assert array[parameter.index] == array[tuple(parameter.index)]
        labels = parameter.name[len(parameter.variable) + 1 : -1].split(", ")
        assert int(labels[0]) == parameter.index[0]
        if parameter.variable == "correlation":
            assert parameter.index[1] > parameter.index[2]
            assert labels[1:] == [FEATURES[parameter.index[2]], FEATURES[parameter.index[1]]]
        if parameter.variable == "mean":
            assert labels[1] == FEATURES[parameter.index[1]]
    places = [(p.variable, p.index) for p in scalar_parameters(NAMED, FEATURES)]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("feature", ["<script>", "a, b", "µ"])
def test_feature_names_are_kept_as_they_are(feature):
    (name,) = (p.name for p in scalar_parameters({"rate": np.ones((1, 1))}, [feature]))
    assert name == f"rate[0, {feature}]"


def test_nothing_named_gives_nothing():
    assert scalar_parameters({}, FEATURES) == ()


def test_a_frame_has_a_row_per_number_with_its_variable_component_and_feature():
    parameters = scalar_parameters(NAMED, FEATURES)
    frame = parameter_frame(parameters, {"estimate": [float(NAMED[p.variable][p.index]) for p in parameters]})
    assert list(frame) == ["parameter", "variable", "component", "feature", "estimate"]
    assert frame["parameter"].tolist() == [parameter.name for parameter in parameters]
    rows = frame.set_index("parameter")
    columns = ["variable", "component", "feature", "estimate"]
    assert rows.loc["weights[1]", columns].tolist() == ["weights", 1, None, 1.0]
    assert rows.loc["mean[1, c]", columns].tolist() == ["mean", 1, "c", 5.0]
    assert rows.loc["correlation[1, a, c]", columns].tolist() == ["correlation", 1, "a, c", 15.0]
    wide = frame[frame.variable == "mean"].pivot(index="component", columns="feature", values="estimate")
    assert np.array_equal(wide, NAMED["mean"])
