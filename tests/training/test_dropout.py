"""Dropout follows the pair: how a step is cut, and what is computed twice, must not change the result."""

import pytest
import torch
from architectures import random_model
from equation import assert_close
from runs import TARGETS, random_examples, settings, trainable, weights
from torch import nn
from torch.nn import functional

from pipeline.config.training import AdapterConfig
from pipeline.models.lora import add_lora
from pipeline.training import objective
from pipeline.training.dropout import PairDropout, checkpoint_activations
from pipeline.training.trainer import train

KINDS = {
    "LoRA 0.05": lambda: trainable("gpt2", "lora", dropout=0.05),
    "LoRA 0.05, Qwen2": lambda: trainable("qwen2", "lora", dropout=0.05),
    "GPT-2's own 0.1, all weights": lambda: trainable("gpt2", "full", dropout=0.1),
    "LoRA 0.05 and GPT-2's own 0.1": lambda: add_lora(
        random_model("gpt2", torch.float32, resid_pdrop=0.1, embd_pdrop=0.1, attn_pdrop=0.1),
        TARGETS["gpt2"],
        AdapterConfig(r=4, alpha=8.0, dropout=0.05),
    ),
    "LoRA 0.3, on an lm_head of its own too": lambda: add_lora(
        random_model("qwen2", torch.float32, tie_word_embeddings=False),
        ["q_proj", "lm_head"],
        AdapterConfig(r=4, alpha=8.0, dropout=0.3),
    ),
    "Bloom's own 0.1, which is no module": lambda: trainable(
        "bloom", "full", hidden_dropout=0.1, attention_dropout=0.1
    ),
}


def trained(kind, tokens, checkpointing=False, seed=17):
    """The weights after eight steps of four pairs."""
    torch.manual_seed(3)
    model = KINDS[kind]()
    if checkpointing:
        checkpoint_activations(model)
    changes = {"learning_rate": 2e-4, "tokens_per_microbatch": tokens, "epochs": 2, "seed": seed}
    steps = list(train(model, random_examples(16), *settings(**changes), name="test"))
    assert len(steps) == 8
    # The bias of the keys has a gradient that is 0 but for rounding, of which AdamW makes whole steps.
    without = ("c_attn.bias", "query_key_value.bias")
    return {name: tensor for name, tensor in weights(model).items() if not name.endswith(without)}


@pytest.fixture(scope="module")
def at_once():
    """What training with a step at once gives; made once."""
    made = {}

    def of(kind):
        if kind not in made:
            made[kind] = trained(kind, 100_000)
        return made[kind]

    return of


@pytest.mark.parametrize("tokens", [1, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_how_a_step_is_cut_does_not_change_the_masks(kind, tokens, at_once):
    assert_close(trained(kind, tokens), at_once(kind), atol=1e-6)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "Bloom" not in kind])
def test_activations_computed_again_have_the_same_masks(kind, at_once):
    assert_close(trained(kind, 100, checkpointing=True), at_once(kind), atol=1e-6)


def test_how_the_answers_are_cut_into_chunks_does_not_change_the_masks(at_once, monkeypatch):
    kind = next(kind for kind in KINDS if "lm_head" in kind)
    expected = at_once(kind)
    monkeypatch.setattr(objective, "MAX_LOGITS", 7 * 384)
    assert_close(trained(kind, 100_000), expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_dropout_and_it_follows_the_seed(kind, at_once):
    """Else the tests above would see nothing."""
    other, same = trained(kind, 100_000, seed=18), at_once(kind)
    assert max((other[name] - tensor).abs().max() for name, tensor in same.items()) > 1e-4


def test_a_share_of_values_is_dropped_and_the_rest_scaled():
    values = torch.ones(2, 500, 8)
    with PairDropout([1, 2]):
        dropped = nn.Dropout(0.25)(values)
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    for row in dropped:
        assert (row == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert not torch.equal(dropped[0] == 0, dropped[1] == 0)


def test_a_pair_has_its_mask_wherever_it_stands_and_whatever_the_padding():
    with PairDropout([7, 8]):
        one = functional.dropout(torch.ones(2, 9, 4), 0.5)
    with PairDropout([8, 7]):
        other = functional.dropout(torch.ones(2, 12, 4), 0.5)
    assert torch.equal(one[0, :5], other[1, :5])
    assert torch.equal(one[1, :9], other[0, :9])


def test_each_place_in_the_model_has_a_mask_of_its_own():
    with PairDropout([7]):
        first, second = (functional.dropout(torch.ones(1, 50, 4), 0.5) for _ in range(2))
    assert not torch.equal(first, second)


def test_outside_training_nothing_is_dropped():
    values = torch.ones(1, 5, 4)
    with PairDropout([7]):
        assert torch.equal(nn.Dropout(0.5).eval()(values), values)
        assert torch.equal(functional.dropout(values, 0.0), values)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("mask", [None, "bool", "float"])
def test_attention_is_that_of_torch_but_for_the_dropped_probabilities(causal, mask):
    """With a dropout so small that nothing is dropped, both must agree."""
    if causal and mask:
        return
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, heads, 6, 8) for heads in (4, 2, 2))
    allowed = torch.ones(6, 6, dtype=torch.bool).tril()
    attn_mask = {None: None, "bool": allowed, "float": torch.zeros(6, 6).masked_fill(~allowed, -1e9)}[mask]
    options = {"attn_mask": attn_mask, "is_causal": causal, "scale": 0.3, "enable_gqa": True}
    expected = functional.scaled_dot_product_attention(query, key, value, **options)
    with PairDropout([1, 2]):
        ours = functional.scaled_dot_product_attention(query, key, value, dropout_p=1e-12, **options)
    torch.testing.assert_close(ours, expected)


def test_a_shape_that_is_none_of_a_batch_is_refused():
    with PairDropout([1, 2]), pytest.raises(ValueError, match="batch of 2 pairs"):
        functional.dropout(torch.ones(3, 6, 4), 0.5)
