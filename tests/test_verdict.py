"""The verdict from hand-made evidence: which of the four, and why in words."""

import dataclasses
import math
import re

import pytest

from emjax.verdict import DEFAULT_THRESHOLDS, Evidence, Limits, Thresholds, Verdict, decide, judge, sentence_of

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


# --- what differs, and what helps -----------------------------------------------------------------------------

PARAMETERS = ("difference_in_sd", "mass_deficit", "log_width_ratio")


@pytest.mark.parametrize("key", MEASURES)
def test_intervals_are_a_remedy_for_parameters_alone(key):
    between = 0.5 * (limit_of(key, "sufficient") + limit_of(key, "with_intervals"))
    found = judge(with_value(key, between))
    assert (found.verdict, found.rules) == ("em_with_intervals", (key,))
    assert ("report its intervals" in found.sentence) == (key in PARAMETERS)
    assert found.reasons[1].startswith("What helps: ")
    assert ("report EM's intervals" in " ".join(found.reasons)) == (key in PARAMETERS)
    beyond = judge(with_value(key, 2 * limit_of(key, "with_intervals")))
    assert beyond.rules == (key,)
    assert beyond.sentence.startswith("Use MCMC: ")
    assert "report" not in " ".join(beyond.reasons)


def test_co_clustering_names_the_rows_and_its_own_remedy():
    found = judge(dataclasses.replace(with_value("co_clustering", 0.04), rows_apart=(31, 1000)))
    assert "assignments" in found.sentence
    assert "who shares a component with whom" in found.sentence
    assert found.reasons[1] == "31 of 1,000 rows change company by more than 2.0% on average."
    assert "averaged over the posterior's draws" in found.reasons[2]
    density = judge(with_value("total_variation", 0.05))
    assert "density" in density.sentence
    assert "assignments" not in density.sentence


def test_each_rule_has_a_sentence_of_its_own():
    bad = {
        "trust": dataclasses.replace(GOOD, trust=0.1),
        "second_mode": dataclasses.replace(GOOD, second_mode=0.3),
        "intervals": dataclasses.replace(GOOD, interval_problem="The information is singular."),
        **{key: with_value(key, 9.0) for key in ("total_variation", "co_clustering", "difference_in_sd")},
    }
    sentences = {}
    for rule, evidence in bad.items():
        found = judge(evidence)
        assert (found.verdict, found.rules) == ("mcmc_needed", (rule,))
        sentences[rule] = found.sentence
    assert len(set(sentences.values())) == len(bad)
    assert "cannot be told apart by either side" in sentences["trust"]
    assert "MCMC does not tell the components apart either" in " ".join(judge(bad["trust"]).reasons)


def test_both_subjects_are_named_where_both_differ():
    both = dataclasses.replace(with_value("difference_in_sd", 0.7), co_clustering=0.04)
    found = judge(both)
    assert found.rules == ("co_clustering", "difference_in_sd")
    assert "report its intervals" in found.sentence
    assert "who shares a component with whom" in found.sentence
    assert sum(reason.startswith("What helps") for reason in found.reasons) == 2


def test_intervals_that_are_doubted_are_not_recommended():
    doubt = "The intervals hold less than they claim."
    for key in PARAMETERS:
        between = 0.5 * (limit_of(key, "sufficient") + limit_of(key, "with_intervals"))
        found = judge(dataclasses.replace(with_value(key, between), interval_doubt=doubt))
        assert found.verdict == "mcmc_needed"
        assert found.reasons[0] == doubt
        assert found.rules == ("intervals", key)
    borne_out = judge(dataclasses.replace(GOOD, interval_doubt=doubt))
    assert borne_out.verdict == "em_sufficient"
    assert "the posterior bears them out" in borne_out.reasons[-1]
    others = judge(dataclasses.replace(with_value("co_clustering", 0.04), interval_doubt=doubt))
    assert others.verdict == "em_with_intervals"
    assert "intervals" not in others.sentence.split(":")[0]


def test_a_verdict_on_the_map_says_so():
    assert sentence_of(Verdict.EM_SUFFICIENT, judged="map").startswith("EM with the prior (MAP) is enough")
    assert sentence_of(Verdict.EM_SUFFICIENT) == Verdict.EM_SUFFICIENT.sentence
