"""Severity of training and test pairs, in the figures that `dvc repro` of the embedded default has left.

metrics/{severity,data}.json are in git, made from the sample by the parameters of params.yaml.
"""

import json

import pytest
from root import ROOT

from pipeline.config.params import load


@pytest.fixture(scope="module")
def splits():
    data = json.loads((ROOT / "metrics/data.json").read_text(encoding="utf-8"))
    assert [source["source"] for source in data["pairs"]["sources"]] == ["sample"]
    severity = json.loads((ROOT / "metrics/severity.json").read_text(encoding="utf-8"))
    assert severity["source"] == "classifier"
    assert severity["splits"]["train"]["rows"] == data["pairs"]["splits"]["train"]
    return severity["splits"]


def test_weights_of_training_pairs_spread_as_those_of_test_pairs(splits):
    """At most 15 % apart; by a classifier that has seen the labels 40 % (docs/severity.md)."""
    arm = load(ROOT / "params.yaml").arm_settings["weighting"]
    assert (arm.alpha, arm.beta, arm.gamma) == (0.5, 1.0, 1.5)
    # w = 1 + (p_critical - p_non_critical) / 2
    train, test = (0.5 * splits[split]["contrast_std"] for split in ("train", "test"))
    assert test > 0.1, "weights that do not spread agree always"
    assert abs(train - test) <= 0.15 * test


def test_training_labels_are_no_easier_to_guess_than_test_labels(splits):
    """By a classifier that has seen them their log-loss is less than a third of that of the test pairs."""
    assert splits["train"]["labelled"] == splits["train"]["rows"]
    assert splits["train"]["log_loss"] > 0.8 * splits["test"]["log_loss"]
