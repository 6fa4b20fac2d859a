"""The verdict from hand-made evidence: which of the four, and why in words."""

import dataclasses
import math
import re

import pytest

from emjax.verdict import DEFAULT_THRESHOLDS, Evidence, Limits, Thresholds, Verdict, decide

GOOD = Evidence(
    em_problem="",
    posterior_problem="",
    interval_problem="",
    trust=1.0,
    gap_to_rival=math.inf,
    second_mode=0.0,
    total_variation=0.01,
    co_clustering=0.005,
    worst={
        "difference_in_sd": (0.1, "mean[0, x]"),
        "mass_deficit": (0.01, "scale[1, x]"),
        "log_width_ratio": (math.log(1.1), "weights[0]"),
    },
)
MEASURES = [field.name for field in dataclasses.fields(Limits)]


def with_value(key, value):
    """The good evidence with one measure replaced."""
    if key in GOOD.worst:
        return dataclasses.replace(GOOD, worst={**GOOD.worst, key: (value, "mean[1, y]")})
    return dataclasses.replace(GOOD, **{key: value})


def limit_of(key, which):
    return getattr(getattr(DEFAULT_THRESHOLDS, which), key)


def test_everything_near_is_sufficient():
    verdict, reasons = decide(GOOD)
    assert verdict is Verdict.EM_SUFFICIENT
    assert verdict == "em_sufficient"
    assert len(reasons) == len(MEASURES)
    assert all("Within the limit" in reason for reason in reasons)


@pytest.mark.parametrize("key", MEASURES)
def test_each_measure_alone_moves_the_verdict(key):
    sufficient, with_intervals = limit_of(key, "sufficient"), limit_of(key, "with_intervals")
    assert decide(with_value(key, sufficient))[0] is Verdict.EM_SUFFICIENT
    between, reasons = decide(with_value(key, 0.5 * (sufficient + with_intervals)))
    assert between is Verdict.EM_WITH_INTERVALS
    assert "Over the limit" in reasons[0]
    assert not any("Over the limit" in reason for reason in reasons[1:])
    assert decide(with_value(key, with_intervals))[0] is Verdict.EM_WITH_INTERVALS
    beyond, reasons = decide(with_value(key, 1.01 * with_intervals))
    assert beyond is Verdict.MCMC_NEEDED
    assert "Over the limit" in reasons[0]


@pytest.mark.parametrize("key", MEASURES)
def test_a_number_that_is_missing_exceeds_every_limit(key):
    verdict, reasons = decide(with_value(key, math.nan))
    assert verdict is Verdict.MCMC_NEEDED
    assert reasons[0].endswith("could not be computed.")
    assert "nan" not in " ".join(reasons)


@pytest.mark.parametrize("field", ["em_problem", "posterior_problem"])
def test_a_side_that_cannot_be_trusted_gives_no_verdict(field):
    verdict, reasons = decide(dataclasses.replace(GOOD, **{field: "The chains disagree."}))
    assert verdict is Verdict.INCONCLUSIVE
    assert reasons == ("The chains disagree.",)


def test_both_sides_are_named_and_outrank_everything_else():
    bad = dataclasses.replace(GOOD, em_problem="One.", posterior_problem="Two.", trust=0.0, total_variation=1.0)
    assert decide(bad) == (Verdict.INCONCLUSIVE, ("One.", "Two."))


def test_intervals_that_cannot_be_computed_need_mcmc():
    verdict, reasons = decide(dataclasses.replace(GOOD, interval_problem="The information is singular."))
    assert verdict is Verdict.MCMC_NEEDED
    assert reasons[0] == "The information is singular."
    # Without standard errors no parameter can be compared, what labels do not touch still can.
    assert len(reasons) == 3


@pytest.mark.parametrize(
    ("trust", "verdict"), [(0.5, "em_sufficient"), (0.49, "mcmc_needed"), (math.nan, "mcmc_needed")]
)
def test_labels_that_are_not_identified_need_mcmc(trust, verdict):
    found, reasons = decide(dataclasses.replace(GOOD, trust=trust))
    assert found == verdict
    if verdict == "mcmc_needed":
        assert "alignment trust" in reasons[0]
        assert not any("mean[" in reason or "scale[" in reason for reason in reasons)


@pytest.mark.parametrize(("gap", "verdict"), [(3.0, "em_sufficient"), (2.9, "mcmc_needed"), (0.0, "mcmc_needed")])
def test_a_rival_optimum_needs_mcmc(gap, verdict):
    found, reasons = decide(dataclasses.replace(GOOD, gap_to_rival=gap))
    assert found == verdict
    assert (f"{gap:.2f} nats" in reasons[0]) == (verdict == "mcmc_needed")


@pytest.mark.parametrize(("share", "verdict"), [(0.049, "em_sufficient"), (0.05, "mcmc_needed"), (0.23, "mcmc_needed")])
def test_a_second_mode_with_its_share_of_the_posterior_needs_mcmc(share, verdict):
    found, reasons = decide(dataclasses.replace(GOOD, second_mode=share))
    assert found == verdict
    said = f"EM's point estimate leaves out a mode with {share:.0%} of the posterior."
    assert (reasons[0] == said) == (verdict == "mcmc_needed")
    assert decide(dataclasses.replace(GOOD, second_mode=share), Thresholds(mode_mass=0.5))[0] == "em_sufficient"


def test_a_share_that_is_not_a_number_is_no_reassurance():
    found, reasons = decide(dataclasses.replace(GOOD, second_mode=math.nan))
    assert found == "mcmc_needed"
    assert reasons[0].endswith("could not be computed.")


def test_a_gap_that_is_not_a_number_is_no_reassurance():
    assert decide(dataclasses.replace(GOOD, gap_to_rival=math.nan))[0] is Verdict.MCMC_NEEDED


def test_reasons_are_sentences_with_the_numbers_the_parameter_and_the_limit():
    _, reasons = decide(with_value("difference_in_sd", 0.7321))
    assert reasons[0] == (
        "EM's estimate lies 0.73 sd from the posterior mean where they differ most, mean[1, y]. "
        "Over the limit of 0.40 sd."
    )
    _, reasons = decide(with_value("total_variation", 0.0512))
    assert "5.1%" in reasons[0]
    assert "3.0%" in reasons[0]
    _, reasons = decide(with_value("log_width_ratio", -math.log(0.5)))
    assert "a factor 2.00" in reasons[0]
    assert "a factor 1.60" in reasons[0]
    for reason in reasons:
        assert re.match(r"[A-Z]", reason)
        assert reason.endswith(".")
        assert "\n" not in reason


def test_an_interval_with_more_mass_than_it_claims_is_no_fault():
    verdict, reasons = decide(with_value("mass_deficit", -0.07))
    assert verdict is Verdict.EM_SUFFICIENT
    assert "EM's intervals hold at least the posterior mass that they claim." in reasons


def test_thresholds_can_be_given():
    strict = Thresholds(sufficient=Limits(0.001, 0.02, 0.4, 0.06, 0.2))
    assert decide(GOOD, strict)[0] is Verdict.EM_WITH_INTERVALS
    assert decide(dataclasses.replace(GOOD, gap_to_rival=2.0), Thresholds(rival_gap=1.0))[0] is Verdict.EM_SUFFICIENT


def test_default_limits_are_ordered():
    for key in MEASURES:
        assert 0 < limit_of(key, "sufficient") < limit_of(key, "with_intervals")


def test_every_verdict_is_a_string_with_a_sentence():
    assert [str(v) for v in Verdict] == ["em_sufficient", "em_with_intervals", "mcmc_needed", "inconclusive"]
    assert len({v.sentence for v in Verdict}) == 4
    assert all(v.sentence.endswith(".") for v in Verdict)
