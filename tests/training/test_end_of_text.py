"""A base model that never learnt to end an answer is found before it is trained."""

import dataclasses
import math

import pytest
import torch
from accelerate import PartialState
from architectures import ARCHITECTURES, random_model

from pipeline.base_models import tiny
from pipeline.config.training import AdapterConfig
from pipeline.models.lora import add_lora
from pipeline.models.prompt import encode
from pipeline.models.runtime import deterministic, load_decoder, load_tokenizer
from pipeline.training.end_of_text import end_of_text_nll, end_of_text_warning
from pipeline.training.objective import AnswerLoss

ALONE = PartialState(cpu=True)


@pytest.fixture(scope="module", params=[True, False], ids=["closed", "never closed"])
def pretrained(request, minute_shape, pairs, tmp_path_factory):
    """A model pre-trained on texts that end-of-text closes, or never does; its answers; and which."""
    folder = tmp_path_factory.mktemp("pretrained")
    shape = minute_shape.model_copy(update={"steps": 100, "learning_rate": 0.01})
    deterministic(17)
    with pytest.MonkeyPatch.context() as patch:
        if not request.param:
            patch.setattr(tiny, "_closed", lambda text, _: text)
        tiny.build_tiny("gpt2", [text for pair in pairs for text in pair], shape, 17, folder)
    tokenizer = load_tokenizer(folder)
    encoded = [encode(tokenizer, str(row), *pair, 1.0, 400) for row, pair in enumerate(pairs)]
    return load_decoder(folder, torch.float32, 8), tokenizer, encoded, request.param


def test_an_end_that_pretraining_never_showed_is_warned_of(pretrained):
    model, tokenizer, examples, closed = pretrained
    nll = end_of_text_nll(model, examples, tokenizer.eos_token_id, 17, ALONE)
    said = end_of_text_warning(nll, len(tokenizer), tokenizer.eos_token, "lora")
    assert (nll < 2) == closed
    if closed:
        assert said is None
        return
    assert "end-of-text <|endoftext|>" in said
    assert f"{math.exp(-nll):.1e} (median), less than a tenth of 1 in 300" in said
    assert "method: lora the trained model may never stop either; use method: full" in said
    whole = end_of_text_warning(nll, len(tokenizer), tokenizer.eos_token, "full")
    assert whole.endswith("look at the share of answers that are cut off")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("adapted", [False, True], ids=["whole", "adapted"])
def test_it_is_the_median_of_the_models_own_likelihoods(architecture, adapted, examples):
    """Of the ten, by the model's own forward; an adapter that is not trained yet changes nothing."""
    model = random_model(architecture, torch.float32)
    end = examples[0].input_ids[-1]
    with torch.no_grad():
        own = [
            -model(torch.tensor([e.input_ids])).logits[0, -2].log_softmax(0)[end].item() for e in examples
        ]
    if adapted:
        target = {"gpt2": "c_attn", "bloom": "query_key_value"}.get(architecture, "q_proj")
        model = add_lora(model, [target], AdapterConfig(r=4, alpha=8.0, dropout=0.5)).train()
    found = end_of_text_nll(model, examples, end, 17, ALONE)
    assert found == pytest.approx(torch.tensor(own).quantile(0.5).item(), rel=1e-4)


def test_bfloat16_weights_give_about_the_same(examples):
    end = examples[0].input_ids[-1]
    rough = random_model("gpt2", torch.bfloat16)
    found = end_of_text_nll(rough, examples, end, 17, ALONE)
    assert "forward" not in vars(rough.lm_head), "its head is itself again"
    expected = end_of_text_nll(rough.float(), examples, end, 17, ALONE)
    assert found != expected
    assert found == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("pretrained", [True], indirect=True, ids=["closed"])
def test_a_row_that_was_overwritten_is_found_and_a_learnt_one_is_not(pretrained):
    """The same model, untied: end-of-text gets the row of what every state points away from."""
    model, tokenizer, examples, _ = pretrained
    end = tokenizer.eos_token_id
    with torch.no_grad():
        states = torch.cat([model.base_model(torch.tensor([e.input_ids]))[0][0] for e in examples])
        head = torch.nn.Linear(model.config.n_embd, len(tokenizer), bias=False)
        head.weight.copy_(model.lm_head.weight)
        head.weight[end] = -5 * states.mean(dim=0)
    learnt = end_of_text_nll(model, examples, end, 17, ALONE)
    original, model.lm_head = model.lm_head, head
    try:
        never = end_of_text_nll(model, examples, end, 17, ALONE)
    finally:
        model.lm_head = original
    assert learnt < math.log(len(tokenizer)) < math.log(10 * len(tokenizer)) < never


def test_answers_that_are_cut_off_do_not_count(examples):
    model, end = random_model("gpt2", torch.float32), examples[0].input_ids[-1]
    cut = [dataclasses.replace(e, input_ids=e.input_ids[:-1]) for e in examples]
    assert end_of_text_nll(model, cut, end, 17, ALONE) is None
    assert end_of_text_warning(None, 300, "</s>", "lora") is None
    found = end_of_text_nll(model, [*cut, examples[3]], end, 17, ALONE)
    assert found == pytest.approx(end_of_text_nll(model, [examples[3]], end, 17, ALONE))


def test_of_many_pairs_32_short_ones_are_read(examples, monkeypatch):
    model, end, read = random_model("gpt2", torch.float32), examples[0].input_ids[-1], []
    forward = AnswerLoss.forward

    def noted(self, batch, weight):
        read.extend(answer.nonzero().max().item() + 1 for answer in batch.completion_mask)
        return forward(self, batch, weight)

    monkeypatch.setattr(AnswerLoss, "forward", noted)
    values = [end_of_text_nll(model, examples * 40, end, seed, ALONE) for seed in (1, 1)]
    assert values[0] == values[1]
    assert len(read) == 2 * 32
    assert max(read) <= sorted(len(e.input_ids) for e in examples)[len(examples) // 2]
