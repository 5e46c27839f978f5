import math

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.metrics import COLUMNS, COMPARED, METRICS, terms, values

NAMES = list(METRICS)
ROWS = pd.DataFrame(
    {
        "bertscore_precision": [0.2, 0.4, 0.9],
        "bertscore_recall": [0.1, 0.4, 0.7],
        "bertscore_f1": [0.3, 0.5, 0.7],
        "chrf": [10.0, 20.0, 60.0],
        "rouge_l": [0.0, 0.5, 1.0],
        "nll_sum": [30.0, 2.0, 1.0],
        "answer_tokens": [10, 2, 10],
        "words": [3, 0, 9],
        "repetition": [0.0, 0.0, 0.6],
        "empty": [0, 1, 0],
        "urgent_reference": [1, 1, 0],
        "urgent_answer": [0, 1, 1],
    }
)
SINGLE = {
    "bertscore_precision": 0.2,
    "bertscore_recall": 0.1,
    "bertscore_f1": 0.3,
    "chrf": 10.0,
    "rouge_l": 0.0,
    "nll": 3.0,
    "perplexity": math.exp(3.0),
    "words": 3.0,
    "repetition": 0.0,
    "empty": 0.0,
    "urgency_recall": 0.0,
}


def measured(rows, names=NAMES):
    numerators, denominators = terms(rows, names)
    found = values(numerators.sum(axis=0), denominators.sum(axis=0), names)
    return dict(zip(names, found.tolist(), strict=True))


def test_every_metric_is_its_ratio_of_sums():
    assert measured(ROWS) == pytest.approx(
        {
            "bertscore_precision": 0.5,
            "bertscore_recall": 0.4,
            "bertscore_f1": 0.5,
            "chrf": 30.0,
            "rouge_l": 0.5,
            "nll": 33 / 22,
            "perplexity": math.exp(1.5),
            "words": 4.0,
            "repetition": 0.2,
            "empty": 1 / 3,
            "urgency_recall": 0.5,
        }
    )


def test_an_urgent_answer_to_a_reference_that_is_not_changes_no_recall():
    assert measured(ROWS.assign(urgent_answer=[0, 1, 0]))["urgency_recall"] == 0.5


def test_recall_without_urgent_references_is_not_a_number():
    found = measured(ROWS.assign(urgent_reference=0))
    assert math.isnan(found.pop("urgency_recall"))
    assert not any(map(math.isnan, found.values()))


def test_a_single_row_is_measured():
    assert measured(ROWS.head(1)) == pytest.approx(SINGLE)


def test_no_rows_measure_nothing():
    assert all(map(math.isnan, measured(ROWS.head(0)).values()))


def test_metrics_come_in_the_order_of_their_names():
    found = measured(ROWS, ["words", "nll"])
    assert found == pytest.approx({"words": 4.0, "nll": 1.5})


def test_values_take_any_leading_axes():
    numerators, denominators = terms(ROWS, NAMES)
    sums = np.stack([numerators.sum(axis=0), 2 * numerators.sum(axis=0)])
    found = values(sums, denominators.sum(axis=0), NAMES)
    assert found.shape == (2, len(NAMES))
    assert found[1, NAMES.index("nll")] == pytest.approx(3.0)
    assert found[1, NAMES.index("perplexity")] == pytest.approx(math.exp(3.0))


def test_the_columns_are_those_of_the_table():
    assert set(COLUMNS) == set(ROWS.columns)


def test_all_but_the_perplexity_are_compared():
    assert set(NAMES) - set(COMPARED) == {"perplexity"}


@pytest.mark.parametrize("name", ["nll", "perplexity", "repetition", "empty"])
def test_less_is_better_of_what_is_a_fault(name):
    assert METRICS[name].better == "lower"
