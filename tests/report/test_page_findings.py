import pytest
from pages import difference

from pipeline.report.findings import (
    by_severity,
    certainty,
    effect_sentences,
    headline,
    overview,
    probability,
    sign,
    signed,
)


def effect(value, half, p_holm=0.01, model="m", group="critical"):
    return difference(model, "nll", group, value, half, p_holm)


DOWN, UP, UNCLEAR = effect(-0.05, 0.02), effect(0.05, 0.02), effect(-0.01, 0.02, 0.4)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (DOWN, -1),
        (UP, 1),
        (effect(-0.05, 0.06), 0),  # the interval holds 0
        (effect(-0.05, 0.05), 0),  # it ends there
        (effect(-0.05, 0.02, 0.05), 0),  # p is not under 0.05
        (effect(-0.05, 0.02, None), -1),  # no p: the interval decides
        (effect(0.0, 0.0), 0),
    ],
)
def test_a_difference_is_shown_only_if_interval_and_p_agree(one, expected):
    assert sign(one) == expected


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ([], "No critical test complaint, so whether weighting helps them cannot be told."),
        ([UNCLEAR], "No effect of severity weighting on critical complaints can be shown."),
        ([UNCLEAR, UNCLEAR], "No effect of severity weighting on critical complaints can be shown."),
        ([DOWN], "Severity weighting lowers the loss on critical complaints."),
        ([UP], "Severity weighting raises the loss on critical complaints."),
        ([DOWN, DOWN], "Severity weighting lowers the loss on critical complaints for both models."),
        ([UP] * 3, "Severity weighting raises the loss on critical complaints for all 3 models."),
        (
            [DOWN, UNCLEAR, UNCLEAR],
            "Severity weighting lowers the loss on critical complaints for 1 of 3 models.",
        ),
        (
            [DOWN, UP, UNCLEAR],
            "Severity weighting lowers the loss on critical complaints for 1 of 3 models "
            "and raises it for 1.",
        ),
    ],
)
def test_the_headline_claims_no_more_than_is_shown(effects, expected):
    assert headline(effects, 3) == expected


@pytest.mark.parametrize("effects", [[DOWN], [UP, UP], [UNCLEAR]])
def test_one_training_tells_nothing(effects):
    assert headline(effects, 1) == "One training of each arm cannot tell whether severity weighting helps."


def test_few_models_are_told_one_by_one():
    titles = {"a": "Model A", "b": "Model B"}
    assert effect_sentences([{**DOWN, "model": "a"}, {**UNCLEAR, "model": "b"}], titles) == [
        "Model A: −0.050 nats per token (−0.070 to −0.030), lower.",
        "Model B: −0.010 nats per token (−0.030 to +0.010), no difference shown.",
    ]


def test_many_models_are_told_by_their_median():
    effects = [effect(value, 0.01, model=str(value)) for value in (-0.4, -0.1, -0.2, 0.3, -0.3)]
    assert effect_sentences(effects, {}) == [
        "Over 5 models the median difference is −0.200 nats per token; "
        "the differences go from −0.400 to +0.300."
    ]


def test_an_overview_counts_models_and_has_the_median():
    assert overview([DOWN, UP, UNCLEAR]) == {"lower": 1, "higher": 1, "unclear": 1, "median": -0.01}
    assert overview([]) is None


def test_for_whom_goes_by_severity():
    groups = {"critical": [DOWN, DOWN, UP], "neutral": [UNCLEAR] * 3, "non_critical": []}
    assert by_severity(groups) == (
        "Critical: lower for 2 of 3, higher for 1 of 3. No difference shown for neutral complaints."
    )
    assert by_severity({severity: [UNCLEAR] for severity in ("critical", "neutral", "non_critical")}) == (
        "No difference shown for critical, neutral and non-critical complaints."
    )
    assert by_severity({"non_critical": [UP]}) == "Non-critical: higher for 1 of 1."
    assert by_severity({}) == "No test complaint has a severity."


def test_how_sure_names_what_the_intervals_leave_out():
    assert "Holm-corrected over 10 models" in certainty(10, 1, 200)
    assert "Holm" not in certainty(1, 1, 200)
    assert "One training seed: the intervals do not cover chance in training." in certainty(1, 1, 200)
    assert "Means over 3 training seeds" in certainty(1, 3, 200)
    assert "Only 12 critical rows" in certainty(1, 1, 12)
    assert "Only" not in certainty(1, 1, 30)
    assert "Only" not in certainty(1, 1, 0)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(-0.0504, "−0.050"), (1.0, "+1.000"), (0.0, "+0.000"), (-0.0008, "−0.0008"), (0.005, "+0.005")],
)
def test_a_difference_has_a_true_sign_and_enough_digits(value, shown):
    assert signed(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (0.0002, "<0.001"), (0.001, "0.001"), (0.25, "0.250")]
)
def test_a_p_value_is_never_zero(value, shown):
    assert probability(value) == shown
