"""The loss against the paper's equation, written down one sequence and one token at a time."""

import dataclasses

import pytest
import torch

from pipeline.training.batching import Batch, collate
from pipeline.training.loss import answer_nll, weighted_loss

ARCHITECTURES = ("gpt2", "qwen2")


def paper_loss(model, examples, weights):
    """L = (1/N) sum_i w_i (1/L_i) sum_t -log P(y_t | y_<t, X), without padding or batches."""
    total = 0.0
    for example, weight in zip(examples, weights, strict=True):
        tokens = torch.tensor(example.tokens)
        logits = model(tokens[None]).logits[0]
        answer = range(example.answer_start, len(tokens))
        nll = [-logits[t - 1].log_softmax(dim=0)[tokens[t]] for t in answer]
        total = total + weight * sum(nll) / len(answer)
    return total / len(examples)


def our_loss(model, batch, weights=None):
    nll, lengths = answer_nll(model, batch)
    return weighted_loss(nll, lengths, batch.weights if weights is None else weights, len(batch.tokens))


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same_gradients(found, expected, factor=1.0, atol=1e-10):
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], factor * gradient, rtol=1e-10, atol=atol, msg=name)


def padded(batch, columns, token):
    """The batch with `columns` more columns of padding, all padding written as `token`."""
    tokens = torch.nn.functional.pad(batch.tokens, (0, columns))
    mask = torch.nn.functional.pad(batch.mask, (0, columns))
    answers = torch.nn.functional.pad(batch.answers, (0, columns))
    return Batch(tokens.where(mask.bool(), token), mask, answers, batch.weights)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_loss_and_every_gradient_equal_the_papers_equation(architecture, decoder, examples):
    model = decoder(architecture, torch.float64)
    expected = paper_loss(model, examples, [example.weight for example in examples])
    expected_gradients = gradients(model, expected)
    found = our_loss(model, collate(examples))
    assert found.item() == pytest.approx(expected.item(), abs=1e-10)
    assert_same_gradients(gradients(model, found), expected_gradients)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_weights_one_is_plain_cross_entropy(architecture, decoder, examples):
    model = decoder(architecture, torch.float64)
    plain = 0.0
    for example in examples:
        labels = torch.tensor([example.tokens])
        logits = model(labels).logits[0, example.answer_start - 1 : -1]
        plain += torch.nn.functional.cross_entropy(logits, labels[0, example.answer_start :])
    found = our_loss(model, collate(examples), torch.ones(len(examples)))
    assert found.item() == pytest.approx(plain.item() / len(examples), abs=1e-10)


@pytest.mark.parametrize("factor", [0.25, 3.0])
def test_scaling_all_weights_scales_loss_and_gradient(factor, decoder, examples):
    # GPT-2, as Qwen2 computes its norms in float32 whatever its dtype.
    model, batch = decoder("gpt2", torch.float64), collate(examples)
    loss, scaled = our_loss(model, batch), our_loss(model, batch, factor * batch.weights)
    assert scaled.item() == pytest.approx(factor * loss.item(), rel=1e-12)
    assert_same_gradients(gradients(model, scaled), gradients(model, loss), factor)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("padding", ["zero", "pad", "eos"])
def test_amount_and_id_of_padding_do_not_matter(architecture, padding, decoder, examples, tokenizer):
    model = decoder(architecture, torch.float64)
    batch = collate(examples)
    token = {"zero": 0, "pad": tokenizer.pad_token_id, "eos": tokenizer.eos_token_id}[padding]
    nll, lengths = answer_nll(model, batch)
    found, found_lengths = answer_nll(model, padded(batch, 17, token))
    torch.testing.assert_close(found, nll, rtol=0, atol=1e-10)
    assert found_lengths.tolist() == lengths.tolist()


def test_padding_that_is_end_of_text_is_no_label_but_the_closing_one_is(decoder, examples, tokenizer):
    """Trap 1: the notebooks' padding is end-of-text, and all of it is in their loss."""
    end = tokenizer.eos_token_id
    model = decoder("gpt2", torch.float64, pad_token_id=end)
    batch = padded(collate(examples), 9, end)
    nll, lengths = answer_nll(model, batch)
    assert lengths.tolist() == [len(e.tokens) - e.answer_start for e in examples]
    assert all(example.tokens[-1] == end for example in examples)
    reference = [paper_loss(model, [example], [1.0]).item() for example in examples]
    assert (nll / lengths).tolist() == pytest.approx(reference, abs=1e-10)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_only_positions_that_predict_an_answer_token_are_projected(architecture, decoder, examples):
    """Trap 1: neither prompt nor padding can be in a loss for which no logits are computed."""
    model, batch = decoder(architecture), collate(examples)
    projected = []
    model.get_output_embeddings().register_forward_hook(
        lambda _, inputs, output: projected.append(output.reshape(-1, output.shape[-1]).shape[0])
    )
    answer_nll(model, batch)
    assert projected == [sum(len(e.tokens) - e.answer_start for e in examples)]


def test_weights_of_rows_do_not_mix():
    """Trap 2: weights of shape (B, 1, 1) against a loss of (B, T) mix rows from B = 2 on."""
    nll, lengths = torch.tensor([6.0, 20.0]), torch.tensor([3, 5])
    assert weighted_loss(nll, lengths, torch.tensor([0.5, 1.5]), 2).item() == (0.5 * 2 + 1.5 * 4) / 2
    assert weighted_loss(nll, lengths, torch.tensor([1.5, 0.5]), 2).item() == (1.5 * 2 + 0.5 * 4) / 2


def test_weighted_loss_is_a_scalar_over_the_pairs_of_the_whole_step():
    loss = weighted_loss(torch.tensor([6.0, 20.0]), torch.tensor([3, 5]), torch.ones(2), 8)
    assert loss.shape == ()
    assert loss.item() == (2 + 4) / 8


def test_row_of_weight_zero_leaves_no_trace_in_the_gradient(decoder, examples):
    """Trap 2, through the model."""
    model = decoder("gpt2", torch.float64)
    kept, silenced = examples[1], dataclasses.replace(examples[2], weight=0.0)
    found = gradients(model, our_loss(model, collate([kept, silenced])))
    alone = gradients(model, our_loss(model, collate([kept])))
    assert_same_gradients(found, alone, factor=0.5)


def test_order_of_rows_does_not_matter(decoder, examples):
    model = decoder("gpt2", torch.float64)
    loss, turned = our_loss(model, collate(examples)), our_loss(model, collate(examples[::-1]))
    assert turned.item() == pytest.approx(loss.item(), abs=1e-10)


def test_bfloat16_model_gives_a_float32_loss(decoder, examples):
    exact, _ = answer_nll(decoder("gpt2"), collate(examples))
    rough, _ = answer_nll(decoder("gpt2", torch.bfloat16), collate(examples))
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.1, atol=0.0)
