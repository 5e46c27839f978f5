import warnings
from math import log

import numpy as np
import pytest
from sklearn.metrics import f1_score

from pipeline.severity.labels import SEVERITIES
from pipeline.severity.quality import figures, linear_reference, majority, reliability

LABELS = ["non_critical", "neutral", "critical", "critical"]
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.2, 0.2, 0.6]])


def test_figures_are_those_counted_by_hand():
    found = figures(LABELS, PROBABILITIES)
    assert found["accuracy"] == pytest.approx(3 / 4)
    # Non-critical: precision 1/2, recall 1. Neutral: never guessed. Critical: both 1.
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert found["log_loss"] == pytest.approx(-(log(0.7) + log(0.3) + log(0.8) + log(0.6)) / 4)


def test_figures_agree_with_scikit_learn_on_random_rows():
    random = np.random.default_rng(1)
    probabilities = random.dirichlet([1, 1, 1], 200)
    truth = random.integers(0, 3, 200)
    found = figures([SEVERITIES[index] for index in truth], probabilities)
    assert found["accuracy"] == pytest.approx((probabilities.argmax(1) == truth).mean())
    assert found["macro_f1"] == pytest.approx(f1_score(truth, probabilities.argmax(1), average="macro"))
    assert found["log_loss"] == pytest.approx(-np.log(probabilities[np.arange(200), truth]).mean())


def test_a_class_that_nobody_has_counts_as_0_in_macro_f1():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]])
    assert figures(["non_critical", "neutral"], probabilities)["macro_f1"] == pytest.approx(2 / 3)


def test_single_precision_probabilities_do_not_warn_and_are_not_changed():
    probabilities = np.random.default_rng(2).dirichlet([1, 1, 1], 2000).astype("float32")
    before = probabilities.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures(["neutral"] * 2000, probabilities)
    assert (probabilities == before).all()


def test_majority_gives_every_row_the_class_shares():
    found = majority(["critical", "neutral", "critical", "critical"], 3)
    assert found.tolist() == [[0, 0.25, 0.75]] * 3


TRAINING = {
    "non_critical": ["سؤال عن فيتامين يومي", "هل فيتامين مفيد"],
    "neutral": ["سعال منذ اسبوع", "عندي سعال جاف"],
    "critical": ["ألم صدر حاد", "ضيق نفس وألم صدر"],
}
PROBES = ["فيتامين", "سعال", "ألم صدر"]


def trained(*severities):
    texts = [text for severity in severities for text in TRAINING[severity]]
    labels = [severity for severity in severities for _ in TRAINING[severity]]
    return linear_reference(texts, labels, PROBES)


def test_the_linear_reference_learns_and_its_columns_are_in_our_order():
    found = trained("critical", "neutral", "non_critical")
    assert found.shape == (3, 3)
    assert found.sum(axis=1) == pytest.approx([1, 1, 1])
    assert found.argmax(axis=1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("absent", SEVERITIES)
def test_a_class_absent_from_training_leaves_log_loss_finite(absent):
    found = trained(*(severity for severity in SEVERITIES if severity != absent))
    column = SEVERITIES.index(absent)
    assert (found[:, column] > 0).all()
    assert (found[:, column] < 1e-5).all()
    assert found.sum(axis=1) == pytest.approx([1, 1, 1])
    assert np.isfinite(figures([absent] * 3, found)["log_loss"])


def test_reliability_bins_by_confidence():
    probabilities = np.array(
        [[0.42, 0.30, 0.28], [0.48, 0.26, 0.26], [0.05, 0.05, 0.90], [0.0, 0.0, 1.0], [0.03, 0.95, 0.02]]
    )
    labels = ["non_critical", "critical", "critical", "critical", "neutral"]
    found = reliability(labels, probabilities)
    assert list(found.columns) == ["confidence", "accuracy", "rows"]
    assert found.to_numpy() == pytest.approx(
        np.array([[0.45, 0.5, 2], [(0.90 + 1.0 + 0.95) / 3, 1.0, 3]])
    ), "the bin of 0.4 to 0.5 and the last, to which confidence 1 belongs; no empty bin"


def test_reliability_loses_no_row_and_stands_in_order():
    random = np.random.default_rng(3)
    probabilities = random.dirichlet([1, 1, 1], 500)
    labels = [SEVERITIES[index] for index in random.integers(0, 3, 500)]
    found = reliability(labels, probabilities, bins=5)
    assert found["rows"].sum() == 500
    assert found["confidence"].is_monotonic_increasing
    accuracy = figures(labels, probabilities)["accuracy"]
    assert np.average(found["accuracy"], weights=found["rows"]) == pytest.approx(accuracy)
