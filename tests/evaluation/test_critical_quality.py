"""Calibration of p_critical, and thresholds on it, against figures counted by hand and planted ones."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from pipeline.evaluation.critical_quality import (
    Judged,
    alarms,
    calibration,
    calibration_of_both,
    flagged,
    threshold,
)
from pipeline.severities import SEVERITIES

ROUNDED = {"abs": 1e-6}


def drawn(rows, seed, distortion=1.0):
    """p_critical, and labels that are drawn from it raised to `distortion`."""
    random = np.random.default_rng(seed)
    given = random.beta(1, 3, rows)
    return random.random(rows) < given**distortion, given


def judged(critical, classifier, linear=None, groups=None):
    """Rows with these values of p_critical; the others share the rest."""
    rows = len(critical)

    def probabilities(given):
        given = np.asarray(given, dtype=float)
        return np.column_stack([(1 - given) * 0.75, (1 - given) * 0.25, given])

    return Judged(
        ["critical" if label else SEVERITIES[number % 2] for number, label in enumerate(critical)],
        groups or [f"row-{number}" for number in range(rows)],
        probabilities(classifier),
        probabilities(classifier if linear is None else linear),
    )


def test_calibration_is_that_counted_by_hand():
    """Forty rows: two bins of twenty."""
    given = np.repeat([0.1, 0.6], 20)
    critical = np.isin(np.arange(40), [0, 1, 2, 3, *range(20, 30)])
    found = calibration(critical, given, np.arange(40), seed=1)
    assert (found["rows"], found["critical"]) == (40, 14)
    assert found["mean_probability"] == pytest.approx(0.35)
    assert found["share"]["value"] == pytest.approx(14 / 40)
    assert found["excess"]["value"] == pytest.approx(0, **ROUNDED)
    assert [(row["probability"], row["share"]["value"], row["rows"]) for row in found["bins"]] == [
        (0.1, 0.2, 20),
        (0.6, 0.5, 20),
    ]
    assert found["ece"]["value"] == pytest.approx(0.1)
    assert found["brier"]["value"] == pytest.approx(brier_score_loss(critical, given), **ROUNDED)


@pytest.mark.parametrize(("rows", "bins"), [(5, 1), (39, 1), (40, 2), (107, 5), (433, 10)])
def test_bins_have_equal_counts_of_at_least_twenty_rows_and_lose_none(rows, bins):
    critical, given = drawn(rows, seed=rows)
    found = calibration(critical, given, np.arange(rows), seed=1, resamples=20)["bins"]
    counts = [row["rows"] for row in found]
    assert len(found) == bins
    assert sum(counts) == rows
    assert max(counts) - min(counts) <= 1
    assert [row["probability"] for row in found] == sorted(row["probability"] for row in found)


def test_equal_probabilities_share_a_bin_whatever_the_order_of_the_rows():
    given = np.repeat([0.2, 0.5, 0.9], [50, 3, 47])
    critical = np.arange(100) % 3 == 0
    order = np.random.default_rng(1).permutation(100)
    one, other = (
        calibration(critical[rows], given[rows], np.arange(100), seed=1, resamples=20)["bins"]
        for rows in (np.arange(100), order)
    )
    assert one == other
    assert [row["rows"] for row in one] == [53, 47]


@pytest.mark.parametrize("seed", range(5))
def test_calibrated_rows_look_as_chance_would_have_it_and_distorted_ones_do_not(seed):
    for distortion, calibrated in ((1.0, True), (3.0, False)):
        critical, given = drawn(600, seed, distortion)
        found = calibration(critical, given, np.arange(600), seed=1)
        by_chance = found["ece_by_chance"]
        assert (found["ece"]["value"] <= by_chance["high"] + 0.01) == calibrated
        # Too many critical complaints are promised by the distorted ones.
        assert (found["excess"]["low"] > 0) == (not calibrated)
        for name in ("share", "excess", "brier", "ece"):
            assert found[name]["low"] <= found[name]["value"] <= found[name]["high"], name


@pytest.mark.slow
def test_intervals_of_calibration_in_the_large_and_of_brier_score_cover():
    expected = np.random.default_rng(0).beta(1, 3, 1_000_000)
    true = {"excess": 0.0, "brier": float((expected * (1 - expected)).mean()), "share": 0.25}
    for rows in (20, 107):
        held = dict.fromkeys(true, 0)
        for seed in range(600):
            found = calibration(*drawn(rows, seed), np.arange(rows), seed=1, resamples=2)
            for name, value in true.items():
                held[name] += found[name]["low"] <= value <= found[name]["high"]
        assert min(held.values()) >= 0.93 * 600, held


def test_both_sides_are_measured_on_the_same_rows_and_their_difference_is_paired():
    critical, given = drawn(300, seed=3)
    flat = np.full(300, critical.mean())
    found = calibration_of_both(judged(critical, given, flat), seed=1)
    sides = [found[name]["brier"]["value"] for name in ("classifier", "linear")]
    assert found["brier_minus_linear"]["value"] == pytest.approx(sides[0] - sides[1], abs=2e-6)
    assert found["brier_minus_linear"]["high"] < 0, "who knows more is better"
    same = calibration_of_both(judged(critical, given), seed=1)
    assert same["classifier"] == same["linear"]
    assert same["brier_minus_linear"] == {"value": 0, "low": 0, "high": 0}


# ---- thresholds ---------------------------------------------------------------------------------


@pytest.mark.parametrize("recall", [0.01, 0.5, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("rows", [1, 7, 10, 20, 105])
def test_no_larger_threshold_finds_as_many(rows, recall):
    given = np.random.default_rng(rows).random(rows)
    found = threshold(given, recall)
    assert (given >= found).mean() >= recall
    assert (given >= found + 2e-6).mean() < recall


def test_nine_of_ten_are_nine():
    assert threshold(np.arange(10) / 10, 0.9) == 0.1


def test_thresholds_are_chosen_on_the_one_and_measured_on_the_other_rows():
    chosen = judged([True] * 10 + [False] * 10, np.arange(20)[::-1] / 20)
    measured = judged([True, True, False, False], [0.9, 0.3, 0.6, 0.1], [0.3, 0.3, 0.9, 0.9])
    found = alarms(chosen, measured, 0.9, "folds")
    assert (found["recall"], found["chosen_on"]) == (0.9, "folds")
    assert (found["rows"], found["critical"]) == (20, 10)
    classifier, linear = found["classifier"], found["linear"]
    assert classifier["threshold"] == linear["threshold"] == pytest.approx(0.55, abs=2e-6)
    assert [classifier[name] for name in ("rows", "critical", "flagged", "found")] == [4, 2, 2, 1]
    assert [linear[name] for name in ("rows", "critical", "flagged", "found")] == [4, 2, 2, 0]
    for name in ("recall", "precision", "share_flagged"):
        assert classifier[name]["value"] == 0.5
    assert (linear["recall"]["value"], linear["precision"]["value"]) == (0, 0)


def test_labels_of_the_measured_rows_do_not_move_the_threshold():
    chosen = judged(*drawn(200, seed=1))
    critical, given = drawn(100, seed=2)
    one, other = (alarms(chosen, judged(rows, given), 0.9, "valid") for rows in (critical, ~critical))
    assert one["classifier"]["threshold"] == other["classifier"]["threshold"]
    assert one["classifier"]["recall"] != other["classifier"]["recall"]


def test_of_calibrated_rows_about_the_share_asked_for_is_found():
    found = alarms(judged(*drawn(4000, seed=1)), judged(*drawn(4000, seed=2)), 0.9, "folds")
    assert found["classifier"]["recall"]["value"] == pytest.approx(0.9, abs=0.03)


def test_without_a_critical_row_there_is_no_threshold():
    nobody = judged([False] * 5, [0.5] * 5)
    assert alarms(nobody, nobody, 0.9, "valid") is None


def test_without_a_critical_test_row_there_is_no_recall_and_without_a_flag_no_precision():
    chosen = judged([True, False], [0.8, 0.2])
    found = alarms(chosen, judged([False, False], [0.9, 0.1]), 0.9, "valid")["classifier"]
    assert found["recall"] is None
    assert found["precision"]["value"] == 0
    found = alarms(chosen, judged([True, False], [0.2, 0.1]), 0.9, "valid")["classifier"]
    assert found["precision"] is None
    assert found["recall"]["value"] == found["share_flagged"]["value"] == 0


def test_copies_of_a_complaint_make_no_interval_narrower():
    critical, given = np.array([True, True, False, False]), np.array([0.9, 0.2, 0.8, 0.1])
    once = flagged(critical, given, np.arange(4), 0.5)
    copies = flagged(np.tile(critical, 10), np.tile(given, 10), np.tile(np.arange(4), 10), 0.5)
    assert copies["flagged"] == 20
    for name in ("recall", "precision", "share_flagged"):
        assert copies[name] == once[name]
