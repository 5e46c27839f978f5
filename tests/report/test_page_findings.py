import pytest
from pages import difference

from pipeline.config.evaluation import PrimaryConfig
from pipeline.config.training import ArmConfig
from pipeline.evaluation.metrics import COMPARED
from pipeline.report.findings import (
    by_severity,
    certainty,
    effect_sentences,
    endpoint,
    overview,
    placebo_sentence,
    probability,
    sign,
    signed,
)
from pipeline.report.headline import headline

PRIMARY = PrimaryConfig(arm="weighting", metric="nll", group="critical")
BALANCED = ArmConfig(alpha=0.5, beta=1.0, gamma=1.5, renormalise=False)


def effect(value, half, p=0.01, model="m", group="critical"):
    return difference(model, "nll", group, value, half, p)


DOWN, UP, UNCLEAR = effect(-0.05, 0.02), effect(0.05, 0.02), effect(-0.01, 0.02, 0.4)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (DOWN, -1),
        (UP, 1),
        (effect(-0.05, 0.02, 0.05), 0),  # p is not under 0.05
        (effect(-0.05, 0.02, None), 0),  # one training has no p
        (effect(0.0, 0.0, 1.0), 0),
    ],
)
def test_a_difference_is_shown_only_if_its_p_says_so(one, expected):
    assert sign(one) == expected


def head(effects, seeds=3, primary=PRIMARY, arm=BALANCED, placebos=None):
    return headline(effects, seeds, primary, arm, placebos or {})


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        (
            [],
            "There are no critical complaints in the test split, so whether severity weighting helps "
            "cannot be told.",
        ),
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
    assert head(effects) == expected


@pytest.mark.parametrize("effects", [[DOWN], [UP, UP], [UNCLEAR]])
def test_one_training_tells_nothing(effects):
    assert head(effects, 1) == "One training of each arm cannot tell whether severity weighting helps."


@pytest.mark.parametrize(
    ("count", "p", "claims"), [(19, 0.35, False), (19, 0.05, True), (3, 1.0, True), (99, 0.06, False)]
)
def test_what_placebos_do_too_is_not_claimed(count, p, claims):
    """Fewer than 19 placebos cannot tell, so they do not decide."""
    sentence = head([DOWN], placebos={"m": {"p": p, "count": count}})
    assert ("no more than its placebos do" not in sentence) == claims
    assert sentence.startswith(
        "Severity weighting lowers the loss" if claims else "Severity weighting changes the loss"
    )


def test_the_headline_names_the_endpoint_and_the_arm():
    primary = PrimaryConfig(arm="strong", metric="needless_alarms", group="all")
    assert endpoint(primary) == "Needless alarms on all complaints"
    assert head([DOWN], primary=primary) == "The arm strong lowers Needless alarms on all complaints."
    permuted = BALANCED.model_copy(update={"permute": 1})
    assert head([DOWN], arm=permuted).startswith("The placebo weighting lowers the loss")


def test_every_compared_metric_may_be_the_primary_endpoint_and_no_other():
    allowed = PrimaryConfig.model_fields["metric"].annotation.__args__
    assert sorted(allowed) == sorted(COMPARED)


@pytest.mark.parametrize(
    ("count", "values", "expected"),
    [
        (1, [1.0], "A has 1 placebo, so p cannot be below 0.500; 19 are needed for 0.05."),
        (18, [0.06], "A has 18 placebos, so p cannot be below 0.053; 19 are needed for 0.05."),
        (19, [0.05], "A stands out among its 19 placebos for 1 of 1 model."),
        (19, [0.05, 0.5], "A stands out among its 19 placebos for 1 of 2 models."),
        (20, [0.06, 0.5], "A does not stand out among its 20 placebos."),
    ],
)
def test_placebos_say_what_their_number_can_show(count, values, expected):
    assert placebo_sentence("A", count, values) == expected


def test_few_models_are_told_one_by_one():
    titles = {"a": "Model A", "b": "Model B"}
    assert effect_sentences([{**DOWN, "model": "a"}, {**UNCLEAR, "model": "b"}], titles, "nll", 3) == [
        "Model A: −0.050 nats per token (−0.070 to −0.030), lower.",
        "Model B: −0.010 nats per token (−0.030 to +0.010), no difference shown.",
    ]


def test_many_models_are_told_by_their_median():
    effects = [effect(value, 0.01, model=str(value)) for value in (-0.4, -0.1, -0.2, 0.3, -0.3)]
    assert effect_sentences(effects, {}, "nll", 3) == [
        "Over 5 models the median difference is −0.200 nats per token; "
        "the differences go from −0.400 to +0.300."
    ]


def test_an_overview_counts_models_and_has_the_median():
    assert overview([DOWN, UP, UNCLEAR]) == {"lower": 1, "higher": 1, "unclear": 1, "median": -0.01}
    assert overview([]) is None


def test_for_whom_goes_by_severity():
    groups = {"critical": [DOWN, DOWN, UP], "neutral": [UNCLEAR] * 3, "non_critical": []}
    assert by_severity(groups, 3) == (
        "Critical: lower for 2 of 3, higher for 1 of 3. No difference shown for neutral complaints."
    )
    assert by_severity(
        {severity: [UNCLEAR] for severity in ("critical", "neutral", "non_critical")}, 3
    ) == ("No difference shown for critical, neutral and non-critical complaints.")
    assert by_severity({"non_critical": [UP]}, 3) == "Non-critical: higher for 1 of 1."
    assert by_severity(groups, 1) == "One training of each arm cannot tell."
    assert by_severity({}, 3) == "No test complaint has a severity."


def test_one_training_is_neither_lower_nor_higher():
    assert effect_sentences([DOWN], {"m": "M"}, "nll", 1) == [
        "M: −0.050 nats per token (−0.070 to −0.030)."
    ]


def test_an_effect_on_one_row_has_no_interval():
    one = {**DOWN, "low": None, "high": None, "p_adjusted": None}
    assert effect_sentences([one], {"m": "M"}, "chrf", 1) == ["M: −0.050."]


def test_how_sure_names_what_the_intervals_leave_out():
    assert "corrected over 10 models (Holm)" in certainty(10, 3, 200, "critical", False)
    assert "Holm" not in certainty(1, 3, 200, "critical", False)
    assert "chance in training is not covered, so nothing is called shown" in certainty(
        1, 1, 200, "all", False
    )
    assert "over 3 training seeds and the test rows" in certainty(1, 3, 200, "critical", False)
    caveat = "No placebo ran, so a difference from CE need not be due to severity."
    assert caveat in certainty(1, 3, 200, "critical", False)
    assert caveat not in certainty(1, 3, 200, "critical", True)
    assert caveat not in certainty(1, 1, 200, "critical", False), "nothing is called shown"
    assert "all else is exploratory" in certainty(1, 3, 200, "critical", False)
    assert "Only 12 rows of non-critical complaints: expect wide intervals." in certainty(
        1, 1, 12, "non_critical", False
    )
    assert "Only" not in certainty(1, 1, 30, "critical", False)
    assert "Only" not in certainty(1, 1, 0, "critical", False)


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
