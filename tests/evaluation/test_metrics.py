import math

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.metrics import COMPARED, JUDGED, MEASURED, METRICS, terms, with_terms

ROWS = pd.DataFrame(
    {
        "severity": ["critical", "critical", "neutral"],
        "bertscore_precision": [0.2, 0.4, 0.9],
        "bertscore_recall": [0.1, 0.4, 0.7],
        "bertscore_f1": [0.3, 0.5, 0.7],
        "chrf": [10.0, 20.0, 60.0],
        "rouge_l": [0.0, 0.5, 1.0],
        "nll_sum": [30.0, 2.0, 1.0],
        "answer_tokens": [10, 2, 10],
        "answer_bytes": [40, 6, 20],
        "words": [3, 0, 9],
        "repetition": [0.0, 0.0, 0.6],
        "empty": [0, 1, 0],
        "cut_off": [1, 0, 1],
        "urgent_reference": [1, 1, 0],
        "urgent_answer": [0, 1, 1],
        "reassuring_answer": [1, 0, 0],
    }
)
VALUES = {
    "bertscore_precision": 0.5,
    "bertscore_recall": 0.4,
    "bertscore_f1": 0.5,
    "chrf": 30.0,
    "rouge_l": 0.5,
    "nll": 33 / 22,
    "perplexity": 33 / 22,  # before the exponential
    "bits_per_byte": 33 / 66 / math.log(2),
    "words": 4.0,
    "repetition": 0.2,
    "empty": 1 / 3,
    "cut_off": 2 / 3,
    # One of two alarms that are due is given, one is given that is not.
    "urgency_recall": 1 / 2,
    "urgency_precision": 1 / 2,
    "urgency_f1": 1 / 2,
    "needless_alarms": 1.0,
    # One of two critical rows is told that nothing is wrong.
    "dangerous_reassurance": 1 / 2,
}


def ratios(rows, names=tuple(METRICS)):
    above, below = terms(with_terms(rows), names)
    with np.errstate(invalid="ignore"):
        return dict(zip(names, (above.sum(axis=0) / below.sum(axis=0)).tolist(), strict=True))


def test_every_metric_is_its_ratio_of_sums():
    assert ratios(ROWS) == pytest.approx(VALUES)


def test_metrics_come_in_the_order_of_their_names():
    assert ratios(ROWS, ("words", "nll")) == pytest.approx({"words": 4.0, "nll": 1.5})


@pytest.mark.parametrize(
    ("answers", "recall", "precision", "f1", "needless"),
    [
        ([1, 1, 1, 1], 1.0, 0.25, 0.4, 1.0),  # always alarms: recall alone would call it perfect
        ([0, 0, 0, 0], 0.0, None, 0.0, 0.0),  # never does
        ([1, 0, 0, 0], 1.0, 1.0, 1.0, 0.0),  # copies the reference
        ([0, 1, 0, 0], 0.0, 0.0, 0.0, 1 / 3),  # the wrong one
    ],
)
def test_alarms_cannot_be_gamed(answers, recall, precision, f1, needless):
    """One of four references says to seek urgent care."""
    rows = pd.concat([ROWS.head(1)] * 4, ignore_index=True)
    rows = rows.assign(urgent_reference=[1, 0, 0, 0], urgent_answer=answers)
    found = ratios(rows)
    names = ("urgency_recall", "urgency_precision", "urgency_f1", "needless_alarms")
    expected = (recall, math.nan if precision is None else precision, f1, needless)
    assert [found[name] for name in names] == pytest.approx(expected, nan_ok=True)


def test_reassurance_is_dangerous_on_critical_rows_only():
    assert ratios(ROWS.assign(reassuring_answer=[0, 0, 1]))["dangerous_reassurance"] == 0.0


def test_bits_per_byte_do_not_depend_on_how_a_tokenizer_cuts():
    """Half as many tokens of twice the NLL: the same text, as likely."""
    other = ROWS.assign(answer_tokens=[5, 1, 5])
    assert ratios(other)["nll"] == pytest.approx(2 * ratios(ROWS)["nll"])
    assert ratios(other)["bits_per_byte"] == ratios(ROWS)["bits_per_byte"]


def test_the_columns_are_those_of_the_table():
    assert {*MEASURED, *JUDGED, "severity"} == set(ROWS.columns)


def test_all_but_the_perplexity_are_compared():
    assert set(METRICS) - set(COMPARED) == {"perplexity"}


@pytest.mark.parametrize(
    "name",
    [
        "nll",
        "bits_per_byte",
        "perplexity",
        "repetition",
        "empty",
        "cut_off",
        "needless_alarms",
        "dangerous_reassurance",
    ],
)
def test_less_is_better_of_what_is_a_fault(name):
    assert METRICS[name].better == "lower"
