"""What the page says of the classifier beside what was measured."""

import pytest
from pages import calibration, interval

from pipeline.report.classifier import (
    calibration_error,
    calibration_in_the_large,
    comparison,
    linear_is_as_good,
)


@pytest.mark.parametrize(
    ("low", "high", "sentence"),
    [
        (-0.01, 0.02, "cannot tell it from TF-IDF"),
        (0.001, 0.02, "TF-IDF with logistic regression is better"),
    ],
)
def test_the_reference_is_called_better_only_where_the_interval_leaves_out_0(low, high, sentence):
    assert sentence in linear_is_as_good(interval(0.01, low, high))


def test_a_difference_that_includes_0_is_said_to_be_perhaps_chance():
    assert "may be chance alone" in comparison(interval(-0.067, -0.134, 0.001))
    assert "all of it lower" in comparison(interval(-0.067, -0.134, -0.001))


@pytest.mark.parametrize(
    ("mean", "verdict"), [(0.149, "too low"), (0.25, "no difference is shown"), (0.4, "too high")]
)
def test_mean_p_critical_stands_beside_the_share_with_a_verdict_of_the_interval(mean, verdict):
    told = calibration_in_the_large(calibration(107, 27, mean))
    assert f"{verdict} (" in told
    assert f"mean p_critical is {mean:.3f}" in told
    assert "0.252 (27 of 107)" in told


def test_the_calibration_error_stands_beside_that_of_chance():
    found = calibration(107, 27, 0.2)
    assert calibration_error(found).startswith("0.116 (0.066 to 0.176), more than what calibrated")
    found["ece"] = interval(0.06, 0.01, 0.1)
    assert ", within what calibrated" in calibration_error(found)
