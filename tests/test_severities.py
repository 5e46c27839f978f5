import pytest

from pipeline.severities import SEVERITIES, severity_of

ARABIC = {"non_critical": "غير حرج", "neutral": "متوسط", "critical": "حرج"}


def test_severities_stand_in_the_order_of_the_probabilities():
    assert SEVERITIES == ("non_critical", "neutral", "critical")


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("pad", ["", " ", "\n", "\u00a0"])
def test_an_arabic_label_is_found_whatever_white_space_is_around_it(severity, pad):
    assert severity_of(pad + ARABIC[severity] + pad, ARABIC) == severity


def test_white_space_around_the_name_in_params_does_not_count_either():
    assert severity_of("حرج", {**ARABIC, "critical": " حرج "}) == "critical"


@pytest.mark.parametrize("label", ["", " ", "حر", "حرج جدا", "critical", "غيرحرج"])
def test_any_other_label_is_none(label):
    assert severity_of(label, ARABIC) == ""


@pytest.mark.parametrize("severity", SEVERITIES)
def test_numbers_serve_as_labels(severity):
    numbers = {name: str(number) for number, name in enumerate(SEVERITIES)}
    assert severity_of(str(SEVERITIES.index(severity)), numbers) == severity
