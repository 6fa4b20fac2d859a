"""What the reasons say of the prior's effect."""

from types import SimpleNamespace

from emjax.metrics import prior
from emjax.uncertainty.results import IntervalStatus


def test_rough_standard_errors_do_not_measure_the_prior_s_effect():
    # Of latent classes with a probability of zero it was 49,977.51 of them.
    row = SimpleNamespace(name="probability[0]", em=1e-12, map=0.02, se=4e-7)
    given = SimpleNamespace(rows=(row,), intervals=SimpleNamespace(status=IntervalStatus.ROUGH))
    effect = {"parameter": "probability[0]", "em_to_map": 0.28, "map_to_posterior": 1.2}
    assert "moves probability[0] by 0.28 posterior sd" in prior._shift(given, effect)
    assert "without standard errors that hold" in prior._shift(given, None)
