"""A model is never given more tokens than it reads, nor one that it has no row for."""

import json
import shutil

import pytest
import torch
from peft import PeftModel
from tokenizers import processors
from transformers import AutoTokenizer, GPT2LMHeadModel

from pipeline.errors import WaznError
from pipeline.evaluation.generation import generate
from pipeline.models.budgets import Budget
from pipeline.models.prompt import encode, encode_prompt
from pipeline.models.runtime import load_decoder, load_tokenizer
from pipeline.models.trained import add_adapter


def test_a_sequence_longer_than_the_context_is_refused_with_both_lengths(built):
    folder = built("gpt2")
    context = load_decoder(folder, torch.float32, 8).config.max_position_embeddings
    with pytest.raises(WaznError, match=rf"reads at most {context} tokens, {context + 1} are asked for"):
        load_decoder(folder, torch.float32, context + 1)


# ---- a model that the memory does not hold ----------------------------------------------------------


def full(*_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_a_model_that_the_memory_does_not_hold_is_not_called_damaged(built, monkeypatch):
    """Whoever followed that advice would remove it and fetch it again."""
    folder = built("gpt2")
    monkeypatch.setattr(GPT2LMHeadModel, "from_pretrained", full)
    with pytest.raises(WaznError, match=f"^{folder}: the memory does not hold this model .* larger GPU$"):
        load_decoder(folder, torch.float32, 8)


def test_an_adapter_that_cannot_be_merged_for_lack_of_memory_is_not_called_damaged(
    built, tmp_path, monkeypatch
):
    decoder = load_decoder(built("gpt2"), torch.float32, 8)
    (tmp_path / "adapter_model.safetensors").touch()
    monkeypatch.setattr(PeftModel, "from_pretrained", full)
    with pytest.raises(WaznError, match=f"^{tmp_path}: the memory does not hold this model"):
        add_adapter(decoder, tmp_path, merge=True)


# ---- ids beyond the rows of the embedding -----------------------------------------------------------

ROWS = 300


@pytest.fixture
def changed(built, tmp_path):
    """The folder of a model, whose tokenizer of as many tokens as the model has rows is changed."""

    def folder(change):
        path = tmp_path / "base"
        shutil.copytree(built("gpt2"), path)
        tokenizer = AutoTokenizer.from_pretrained(path)
        assert len(tokenizer) == ROWS
        change(tokenizer)
        tokenizer.save_pretrained(path)
        return path

    return folder


def test_end_of_text_without_a_row_is_one_sentence(changed):
    folder = changed(lambda tokenizer: tokenizer.add_special_tokens({"eos_token": "<|im_end|>"}))
    said = f"{folder}: its tokenizer's end-of-text has the id {ROWS}, .* embedding has {ROWS} rows"
    with pytest.raises(WaznError, match=said):
        load_tokenizer(folder)


def test_tokens_of_text_without_a_row_are_one_sentence(changed):
    """Added to a tokenizer and not to the model: a text with one would end in an IndexError."""
    folder = changed(lambda tokenizer: tokenizer.add_tokens(["صداع", "<think>"]))
    said = rf"tokens that the model lacks \(2, from id {ROWS} on; its embedding has {ROWS} rows\)"
    with pytest.raises(WaznError, match=said):
        load_tokenizer(folder)


def test_a_start_of_text_without_a_row_is_one_sentence(changed):
    """Special, so no text can spell it out; but it stands before every one."""

    def change(tokenizer):
        tokenizer.add_special_tokens({"bos_token": "<bos>"})
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", ROWS)]
        )

    with pytest.raises(WaznError, match=rf"tokens that the model lacks \(1, from id {ROWS} on"):
        load_tokenizer(changed(change))


@pytest.mark.parametrize(
    "named",
    [{"pad_token": "<pad>"}, {"bos_token": "<bos>"}, {"extra_special_tokens": ["<image>"]}],
    ids=str,
)
def test_other_special_tokens_without_a_row_never_reach_the_model(named, changed, pairs):
    """Padding is end-of-text then; spelt out in a text they are text."""
    folder = changed(lambda tokenizer: tokenizer.add_special_tokens(named))
    tokenizer, decoder = load_tokenizer(folder), load_decoder(folder, torch.float32, 8)
    assert len(tokenizer) == ROWS + 1 == len(decoder.get_input_embeddings().weight) + 1
    [name] = named.values()
    spelt = f"صداع {name if isinstance(name, str) else name[0]} شديد"
    assert max(encode_prompt(tokenizer, spelt)) < ROWS
    assert max(encode(tokenizer, "row", spelt, spelt, 1.0, 500).input_ids) < ROWS
    questions = [spelt, *(question for question, _ in pairs)]
    limits = {"max_length": 200, "max_new_tokens": 3, "max_new_words": None}
    assert len(generate(decoder, tokenizer, questions, budget=Budget(4), name="test", **limits)) == 11


def test_padding_without_a_row_in_the_configuration_is_one_sentence(built, tmp_path):
    folder = tmp_path / "base"
    shutil.copytree(built("qwen2"), folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": ROWS}), encoding="utf-8")
    with pytest.raises(WaznError, match=f"{folder}: transformers cannot load it .*adding_idx"):
        load_decoder(folder, torch.float32, 8)
