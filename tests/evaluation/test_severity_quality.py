import time
import tracemalloc
import warnings
from math import log

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
)

from pipeline.errors import WaznError
from pipeline.evaluation.severity_quality import (
    figures,
    majority,
    paired_difference,
    per_class,
    per_specialty,
    reliability,
)
from pipeline.severities import SEVERITIES

LABELS = ["non_critical", "neutral", "critical", "critical"]
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.2, 0.2, 0.6]])
ROUNDED = {"abs": 1e-6}


def drawn(rows, seed=1):
    """Calibrated probabilities: each row's label is drawn from them."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet([1, 1, 1], rows)
    truth = (probabilities.cumsum(axis=1) < random.random((rows, 1))).sum(axis=1).clip(max=2)
    return [SEVERITIES[index] for index in truth], truth, probabilities


def singles(labels):
    """Groups of one row each."""
    return [f"row-{number}" for number in range(len(labels))]


def values(found):
    return {name: interval["value"] for name, interval in found.items()}


def test_figures_are_those_counted_by_hand():
    found = values(figures(LABELS, PROBABILITIES, singles(LABELS), seed=1))
    assert found == pytest.approx(
        {
            "accuracy": 3 / 4,
            # Non-critical: precision 1/2, recall 1. Neutral: never guessed. Critical: both 1.
            "macro_f1": (2 / 3 + 0 + 1) / 3,
            "log_loss": -(log(0.7) + log(0.3) + log(0.8) + log(0.6)) / 4,
            "brier": (0.14 + 0.78 + 0.06 + 0.24) / 4,
            # Every row is alone in its bin: confidence 0.7, 0.5, 0.8, 0.6.
            "ece": (0.3 + 0.5 + 0.2 + 0.4) / 4,
        },
        **ROUNDED,
    )


def test_figures_agree_with_scikit_learn_on_random_rows():
    labels, truth, probabilities = drawn(200)
    found = values(figures(labels, probabilities, singles(labels), seed=1))
    guess = probabilities.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, guess), **ROUNDED)
    assert found["macro_f1"] == pytest.approx(f1_score(truth, guess, average="macro"), **ROUNDED)
    assert found["log_loss"] == pytest.approx(log_loss(truth, probabilities), **ROUNDED)
    # From 0 to 2 by default for more than two classes, as Brier has it.
    assert found["brier"] == pytest.approx(brier_score_loss(truth, probabilities), **ROUNDED)


def test_the_calibration_error_is_that_of_a_loop_over_its_bins():
    _, truth, probabilities = drawn(400)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    expected = 0.0
    for number in range(15):
        rows = (confidence >= number / 15) & (confidence < (number + 1) / 15)
        if rows.any():
            expected += rows.mean() * abs(right[rows].mean() - confidence[rows].mean())
    labels = [SEVERITIES[index] for index in truth]
    assert figures(labels, probabilities, singles(labels), seed=1)["ece"]["value"] == pytest.approx(
        expected, **ROUNDED
    )


def test_confidence_that_is_always_right_has_no_calibration_error():
    found = figures(LABELS, np.eye(3)[[0, 1, 2, 2]], singles(LABELS), seed=1)
    assert found["ece"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    # Four of four are no proof that the fifth is right: Wilson's interval begins at 4 / (4 + 1.96^2).
    assert found["accuracy"] == pytest.approx({"value": 1.0, "low": 0.510109, "high": 1.0}, abs=1e-6)


def test_a_label_of_probability_0_leaves_log_loss_finite():
    found = figures(["neutral"], np.array([[1.0, 0.0, 0.0]]), ["row"], seed=1)
    assert found["log_loss"]["value"] == pytest.approx(-log(np.finfo(float).eps), **ROUNDED)
    assert found["brier"]["value"] == pytest.approx(2.0)


def test_a_class_that_nobody_has_counts_as_0_in_macro_f1():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]])
    found = figures(["non_critical", "neutral"], probabilities, ["a", "b"], seed=1)
    assert found["macro_f1"]["value"] == pytest.approx(2 / 3, **ROUNDED)


@pytest.mark.slow
def test_intervals_are_those_of_resampling_row_by_row():
    labels, truth, probabilities = drawn(150)
    found = figures(labels, probabilities, singles(labels), seed=1)
    random = np.random.default_rng(99)
    guess, resampled = probabilities.argmax(axis=1), []
    losses = -np.log(probabilities[np.arange(150), truth])
    for _ in range(1000):
        rows = random.integers(0, 150, 150)
        f1 = f1_score(truth[rows], guess[rows], average="macro", labels=[0, 1, 2], zero_division=0)
        resampled.append((losses[rows].mean(), f1))
    for name, column in (("log_loss", 0), ("macro_f1", 1)):
        ends = np.quantile(np.array(resampled)[:, column], [0.025, 0.975])
        assert [found[name]["low"], found[name]["high"]] == pytest.approx(ends, abs=0.015)


def test_the_interval_of_accuracy_is_about_the_normal_one():
    labels, _, probabilities = drawn(600)
    found = figures(labels, probabilities, singles(labels), seed=1)["accuracy"]
    error = (found["value"] * (1 - found["value"]) / 600) ** 0.5
    assert [found["low"], found["high"]] == pytest.approx(
        [found["value"] - 1.96 * error, found["value"] + 1.96 * error], abs=0.006
    )


@pytest.mark.parametrize("seed", range(20))
def test_a_value_lies_in_its_interval(seed):
    labels, _, probabilities = drawn(60, seed)
    for name, interval in figures(labels, probabilities, singles(labels), seed, resamples=200).items():
        assert interval["low"] <= interval["value"] <= interval["high"], name


def test_the_calibration_error_of_class_shares_is_0_and_its_interval_begins_there():
    labels = ["critical"] * 5000 + ["neutral"] * 3000 + ["non_critical"] * 2000
    found = figures(labels, majority(labels, len(labels)), singles(labels), seed=1)["ece"]
    assert found["value"] == found["low"] == 0.0
    assert 0.0 < found["high"] < 0.01


def test_intervals_repeat_with_the_seed_and_differ_with_another():
    labels, _, probabilities = drawn(100)
    first, again, other = (figures(labels, probabilities, singles(labels), seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert values(first) == values(other)


def test_copies_of_rows_leave_every_interval_as_it_was_when_they_share_a_group():
    labels, _, probabilities = drawn(40)
    once = figures(labels, probabilities, singles(labels), seed=1)
    thrice = figures(labels * 3, np.tile(probabilities, (3, 1)), singles(labels) * 3, seed=1)
    for name, interval in once.items():
        assert thrice[name] == pytest.approx(interval, abs=1e-5), name
    flat = np.full((40, 3), 1 / 3)
    assert paired_difference(
        labels * 3, np.tile(probabilities, (3, 1)), np.tile(flat, (3, 1)), singles(labels) * 3
    ) == pytest.approx(paired_difference(labels, probabilities, flat, singles(labels)), abs=1e-5)


def test_one_group_says_nothing_of_others():
    labels, _, probabilities = drawn(30)
    found = paired_difference(labels, probabilities, np.full((30, 3), 1 / 3), ["same"] * 30)
    assert found["low"] < -30
    assert found["high"] > 30, "no verdict"


@pytest.mark.slow
@pytest.mark.parametrize("rows", [20, 100])
def test_intervals_of_accuracy_and_macro_f1_cover(rows):
    """Calibrated probabilities of known accuracy and F1: at least 93 % of 95 % intervals hold them."""
    _, truth, probabilities = drawn(400_000, seed=7)
    guess = probabilities.argmax(axis=1)
    true = {
        "accuracy": accuracy_score(truth, guess),
        "macro_f1": f1_score(truth, guess, average="macro"),
        "log_loss": log_loss(truth, probabilities),
        "brier": brier_score_loss(truth, probabilities),
    }
    held = dict.fromkeys(true, 0)
    for seed in range(600):
        labels, _, sample = drawn(rows, seed)
        found = figures(labels, sample, singles(labels), seed=1, resamples=2)
        for name, value in true.items():
            held[name] += found[name]["low"] <= value <= found[name]["high"]
    assert min(held.values()) >= 0.93 * 600, held


def test_single_precision_probabilities_do_not_warn_and_are_not_changed():
    probabilities = np.random.default_rng(2).dirichlet([1, 1, 1], 2000).astype("float32")
    before = probabilities.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures(["neutral"] * 2000, probabilities, singles(probabilities), seed=1)
    assert (probabilities == before).all()


def test_no_rows_end_in_one_sentence():
    with pytest.raises(WaznError, match=r"no labelled test complaints.*normalise\.split\.test"):
        figures([], np.zeros((0, 3)), [], seed=1)


def test_a_thousand_resamples_of_600_rows_take_less_than_a_second():
    labels, _, probabilities = drawn(600)
    start = time.perf_counter()
    figures(labels, probabilities, singles(labels), seed=1)
    assert time.perf_counter() - start < 1


def test_memory_of_resampling_does_not_grow_with_the_rows():
    labels, _, probabilities = drawn(100_000)
    tracemalloc.start()
    figures(labels, probabilities, singles(labels), seed=1, resamples=200)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6, "200 resamples of all rows at once take half a gigabyte"


def test_the_paired_difference_is_that_of_the_log_losses_and_its_sign_tells_the_better():
    labels, truth, probabilities = drawn(500)
    flat = np.full((500, 3), 1 / 3)
    found = paired_difference(labels, probabilities, flat, singles(labels))
    assert found["value"] == pytest.approx(log_loss(truth, probabilities) - log(3), **ROUNDED)
    assert found["low"] < found["value"] < found["high"] < 0
    mirrored = paired_difference(labels, flat, probabilities, singles(labels))
    assert [mirrored[end] for end in ("value", "low", "high")] == pytest.approx(
        [-found[end] for end in ("value", "high", "low")], **ROUNDED
    )


def test_pairing_cancels_what_makes_a_row_hard_for_both():
    labels, _, probabilities = drawn(500)
    slightly = 0.98 * probabilities + 0.02 / 3
    found = paired_difference(labels, slightly, probabilities, singles(labels))
    alone = figures(labels, probabilities, singles(labels), seed=1)["log_loss"]
    assert found["high"] - found["low"] < (alone["high"] - alone["low"]) / 4


def test_equal_probabilities_differ_by_nothing():
    found = paired_difference(LABELS, PROBABILITIES, PROBABILITIES.astype("float32"), singles(LABELS))
    assert found == pytest.approx({"value": 0, "low": 0, "high": 0}, **ROUNDED)


def test_precision_and_recall_of_each_class_are_scikit_learns():
    labels, truth, probabilities = drawn(300)
    guess = probabilities.argmax(axis=1)
    found = per_class(labels, probabilities)
    assert list(found) == list(SEVERITIES)
    precision = precision_score(truth, guess, average=None)
    recall = recall_score(truth, guess, average=None)
    for index, row in enumerate(found.values()):
        expected = {"precision": precision[index], "recall": recall[index], "rows": (truth == index).sum()}
        assert row == pytest.approx(expected, **ROUNDED)


def test_a_class_neither_there_nor_guessed_has_zeros_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = per_class(["neutral", "critical"], PROBABILITIES[[2, 2]])
    assert found["non_critical"] == {"precision": 0, "recall": 0, "rows": 0}
    assert found["neutral"] == {"precision": 0, "recall": 0, "rows": 1}
    assert found["critical"] == {"precision": 0.5, "recall": 1, "rows": 1}


def test_small_specialties_and_rows_without_one_are_pooled_at_the_end():
    specialties = ["b"] * 4 + ["a"] * 4 + ["c"] * 5 + ["d"] * 2 + [""] * 6
    labels = ["critical"] * len(specialties)
    probabilities = np.tile([0.1, 0.1, 0.8], (len(labels), 1))
    probabilities[:2] = [0.8, 0.1, 0.1]
    found = per_specialty(labels, probabilities, specialties, singles(labels), min_rows=4)
    assert {name: row["rows"] for name, row in found.items()} == {"c": 5, "a": 4, "b": 4, "other": 8}
    assert list(found) == ["c", "a", "b", "other"]
    assert [row["accuracy"]["value"] for row in found.values()] == [1, 1, 0.5, 1]


def test_the_interval_of_a_specialty_is_wilsons():
    # Wilson 1927 for 8 of 10: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n), z = 1.96.
    labels = ["critical"] * 8 + ["neutral"] * 2
    always = np.tile([0.1, 0.1, 0.8], (10, 1))
    found = per_specialty(labels, always, ["skin"] * 10, singles(labels), min_rows=1)
    assert found["skin"]["accuracy"] == pytest.approx(
        {"value": 0.8, "low": 0.49016, "high": 0.94332}, abs=1e-5
    )


def test_without_specialties_there_is_nothing_to_show():
    assert per_specialty(LABELS, PROBABILITIES, [""] * 4, singles(LABELS)) == {}


def test_majority_gives_every_row_the_class_shares():
    found = majority(["critical", "neutral", "critical", "critical"], 3)
    assert found.tolist() == [[0, 0.25, 0.75]] * 3


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
    accuracy = figures(labels, probabilities, singles(labels), seed=1)["accuracy"]["value"]
    assert np.average(found["accuracy"], weights=found["rows"]) == pytest.approx(accuracy)
