"""Likelihood of the reference answers, from the model's own logits."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import PartialState
from architectures import ARCHITECTURES, random_model
from equation import answer_nlls
from small_devices import holding

from pipeline.models.budgets import Budget
from pipeline.training.likelihood import mean_nll, score_answers
from pipeline.training.objective import AnswerLoss


@pytest.fixture(scope="module")
def here():
    return PartialState(cpu=True)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("max_tokens", [1, 200, 100_000])
def test_nll_is_the_sum_over_the_answers_tokens_in_the_order_given(
    architecture, max_tokens, examples, here
):
    """The weights of the examples differ, and do not count."""
    model = random_model(architecture)
    sums, counts = score_answers(AnswerLoss(model), examples, Budget(max_tokens), here)
    with torch.no_grad():
        expected = [answer_nlls(model, example) for example in examples]
    # Bloom's softmax is in float32 whatever its type.
    atol = 1e-5 if architecture == "bloom" else 1e-8
    assert sums == pytest.approx([sum(nll).item() for nll in expected], abs=atol)
    assert counts.tolist() == [len(nll) for nll in expected]
    assert (sums.dtype, counts.dtype) == (np.float64, np.int64)


@pytest.mark.parametrize("count", [1, 2, 10])
def test_shares_of_processes_add_up(count, examples, here, monkeypatch):
    """Three processes one after another, also where one has nothing to do."""
    model = AnswerLoss(random_model("gpt2"))
    whole, counts = score_answers(model, examples[:count], Budget(100), here)
    # What the processes would add up is added up here.
    monkeypatch.setattr("pipeline.training.likelihood.all_reduce_sum", lambda values, _: values)
    parts = []
    for rank in range(3):
        one = SimpleNamespace(num_processes=3, process_index=rank, device=here.device)
        part, same = score_answers(model, examples[:count], Budget(100), one)
        assert same.tolist() == counts.tolist()
        parts.append(part)
    assert (np.count_nonzero(parts, axis=0) == 1).all(), "computed by none or by several"
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-12)


def test_what_does_not_fit_is_scored_in_smaller_batches(examples, here, capsys):
    model, budget = random_model("gpt2"), Budget(100_000, "tokens", "resources.evaluate.batch_size")
    whole, _ = score_answers(AnswerLoss(model), examples, budget, here)
    with holding(model.base_model, 150) as sizes:
        found, _ = score_answers(AnswerLoss(model), examples, budget, here)
    assert max(sizes) > 150 >= budget.size
    np.testing.assert_allclose(found, whole, rtol=1e-10)
    assert capsys.readouterr().out.startswith("out of memory with ")


def test_nothing_is_left_to_differentiate(examples, here):
    model = random_model("gpt2")
    score_answers(AnswerLoss(model), examples, Budget(500), here)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_progress_is_shown_where_it_has_a_name(examples, here, capsys):
    """In training it has none: a bar at each validation would break up that of the steps."""
    model = AnswerLoss(random_model("gpt2"))
    plain, _ = score_answers(model, examples, Budget(200), here)
    assert capsys.readouterr().err == ""
    shown, _ = score_answers(model, examples, Budget(200), here, progress="likelihood of gpt2")
    assert shown.tolist() == plain.tolist()
    assert (
        f"likelihood of gpt2: 100%|██████████| {len(examples)}/{len(examples)}" in capsys.readouterr().err
    )


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
