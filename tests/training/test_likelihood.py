"""Likelihood of the reference answers, from the model's own logits."""

import numpy as np
import pytest
import torch

from pipeline.evaluation.likelihood import mean_nll, score_answers


def nll_by_hand(model, example):
    tokens = torch.tensor(example.tokens)
    with torch.no_grad():
        found = model(tokens[None]).logits[0].log_softmax(dim=-1)
    answer = range(example.answer_start, len(tokens))
    return -sum(found[t - 1, tokens[t]].item() for t in answer), len(answer)


@pytest.mark.parametrize("architecture", ["gpt2", "qwen2"])
@pytest.mark.parametrize("max_tokens", [1, 200, 100_000])
def test_nll_is_the_sum_over_the_answers_tokens_in_the_order_given(
    architecture, max_tokens, decoder, examples
):
    """The weights of the examples differ, and do not count."""
    model = decoder(architecture, torch.float64)
    sums, counts = score_answers(model, examples, max_tokens)
    expected = [nll_by_hand(model, example) for example in examples]
    assert sums == pytest.approx([nll for nll, _ in expected], abs=1e-8)
    assert counts.tolist() == [count for _, count in expected]
    assert (sums.dtype, counts.dtype) == (np.float64, np.int64)


def test_nothing_is_left_to_differentiate(decoder, examples):
    model = decoder("gpt2")
    score_answers(model, examples, 500)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_mean_is_over_tokens_not_over_rows():
    found = mean_nll(
        np.array([2.0, 12.0, 9.0]), np.array([1, 3, 2]), ["critical", "critical", "non_critical"]
    )
    assert found == {
        "nll": 23.0 / 6,
        "nll_critical": 14.0 / 4,
        "nll_neutral": None,
        "nll_non_critical": 9.0 / 2,
    }


def test_every_severity_has_its_own_rows():
    found = mean_nll(np.array([1.0, 2.0, 3.0]), np.ones(3), ["neutral", "critical", "non_critical"])
    assert (found["nll_neutral"], found["nll_critical"], found["nll_non_critical"]) == (1.0, 2.0, 3.0)
