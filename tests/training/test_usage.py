"""The card's lines for tokenizers and bases of every kind; test_ten_models.py runs them."""

from pathlib import Path

import pytest
from tokenizers import processors
from transformers import AutoTokenizer, GenerationConfig

from pipeline.models.origin import Origin
from pipeline.models.prompt import encode_prompt
from pipeline.training.usage import usage

FOLDER = Path("models/weighting/m/17")
SETTINGS = GenerationConfig(do_sample=False, eos_token_id=[0, 1], pad_token_id=1, max_length=384)
LOCAL = Origin("models/base/m", None)


def lines_of(text):
    return text.split("```python\n")[1].split("```")[0]


def test_a_base_on_the_hub_is_loaded_at_its_commit(tokenizer):
    text = usage(FOLDER, Origin("owner/name", "8f6a2a9"), tokenizer, SETTINGS, method="lora")
    assert 'AutoModelForCausalLM.from_pretrained("owner/name", revision="8f6a2a9", dtype="float32")' in text
    assert "the base model comes from the Hub\n(`owner/name`, commit `8f6a2a9`)" in text
    assert "models/" not in text


def test_a_base_in_a_folder_is_found_from_the_card_and_what_to_do_elsewhere_is_told(tokenizer):
    text = usage(FOLDER, LOCAL, tokenizer, SETTINGS, method="lora")
    assert 'AutoModelForCausalLM.from_pretrained("../../../base/m", dtype="float32")' in text
    assert "On another machine, copy it\ntoo, and write its path in place of `../../../base/m`." in text
    assert "the folder `models/base/m`" in text


def test_a_whole_model_needs_neither_base_nor_peft(tokenizer):
    text = usage(FOLDER, LOCAL, tokenizer, SETTINGS, method="full")
    assert 'AutoModelForCausalLM.from_pretrained(".", dtype="float32")' in text
    assert "base" not in text
    assert "peft" not in text


def test_settings_are_told_by_name_and_id(tokenizer):
    text = usage(FOLDER, LOCAL, tokenizer, SETTINGS, method="full")
    assert "until `<|endoftext|>` (0), `<|pad|>` (1) or\n384 tokens of question and answer" in text


@pytest.mark.parametrize("closes", [False, True])
def test_a_prompt_stays_open_where_the_tokenizer_closes_every_text(closes, built):
    tokenizer = AutoTokenizer.from_pretrained(built("gpt2"))
    if closes:
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", tokenizer.eos_token_id)]
        )
    lines = lines_of(usage(FOLDER, LOCAL, tokenizer, SETTINGS, method="lora"))
    start, end = lines.index("question ="), lines.index("written =")
    given = {"tokenizer": tokenizer}
    exec(lines[start:end], given)
    assert given["tokens"].tolist() == [encode_prompt(tokenizer, given["question"])]
