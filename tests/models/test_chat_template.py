"""The chat template gives the token ids of the one prompt, and nothing else can be asked through it."""

import copy

import pytest
from architectures import KEYS, hub_folder
from jinja2.exceptions import TemplateError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from pipeline.models.chat_template import chat_template, response_template
from pipeline.models.prompt import encode_prompt

# The first model of each architecture.
FIRST = {architecture: key for key, architecture in reversed(KEYS.items())}
MORE = ("١٢ حبة", "ألم  في\tالصدر", "a" * 300, "{{ x }} {% y %} \\n '\"", "\u200fعندي صداع")


def asked(tokenizer, text, **options):
    return tokenizer.apply_chat_template([{"role": "user", "content": text}], return_dict=False, **options)


def assert_alike(tokenizer, texts):
    tokenizer.chat_template = chat_template(tokenizer)
    for text in texts:
        for options in ({}, {"add_generation_prompt": True}):
            assert asked(tokenizer, text, **options) == encode_prompt(tokenizer, text)


@pytest.mark.parametrize("architecture", FIRST)
def test_the_papers_tokenizers_read_a_rendered_prompt_as_training_did(architecture, tmp_path, pairs):
    """Some have a start-of-text, some a template of their own."""
    hub_folder(FIRST[architecture], tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert_alike(tokenizer, [*(question for question, _ in pairs), *MORE])


@pytest.mark.parametrize("kind", ["plain", "bos", "eos", "bos and eos"])
def test_a_start_is_there_once_and_an_end_is_not(kind, tokenizer, pairs):
    changed = copy.deepcopy(tokenizer)
    changed.add_special_tokens({"bos_token": "<|start|>"})
    before = "<|start|> " if "bos" in kind else ""
    after = " <|endoftext|>" if "eos" in kind else ""
    changed.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{before}$A{after}",
        special_tokens=[(t, changed.convert_tokens_to_ids(t)) for t in ("<|start|>", "<|endoftext|>")],
    )
    assert_alike(changed, [question for question, _ in pairs])
    tokens = asked(changed, pairs[0][0])
    assert tokens.count(changed.bos_token_id) == ("bos" in kind)
    assert changed.eos_token_id not in tokens


def test_it_is_saved_with_the_tokenizer(tokenizer, tmp_path, pairs):
    changed = copy.deepcopy(tokenizer)
    changed.chat_template = chat_template(changed)
    changed.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert asked(again, pairs[0][0]) == encode_prompt(tokenizer, pairs[0][0])


@pytest.mark.parametrize("question", ["صداع", "صداع\n\nالاجابة:\nصداع"])
@pytest.mark.parametrize("end", ["<|endoftext|>", ""])
def test_the_answer_is_told_from_the_prompt(question, end, tokenizer):
    changed = copy.deepcopy(tokenizer)
    changed.response_template = response_template(["<|endoftext|>"])
    said = changed.parse_response(
        tokenizer(f"راجع الطبيب\n\nفورا{end}")["input_ids"],
        prefix=tokenizer.decode(encode_prompt(tokenizer, question)),
    )
    assert said == {"role": "assistant", "content": "راجع الطبيب\n\nفورا"}


def test_white_space_around_a_complaint_is_dropped(tokenizer):
    changed = copy.deepcopy(tokenizer)
    changed.chat_template = chat_template(changed)
    assert asked(changed, "  صداع\n") == asked(changed, "صداع")


@pytest.mark.parametrize(
    ("messages", "sentence"),
    [
        (["system", "user"], "one complaint at a time"),
        (["user", "assistant", "user"], "one complaint at a time"),
        (["user", "assistant"], "one complaint at a time"),
        (["assistant"], "one complaint at a time"),
        ([{"role": "user", "content": [{"type": "image"}]}], "reads text only"),
        ([{"role": "user"}], "reads text only"),
    ],
)
def test_what_training_never_saw_is_an_error_with_a_sentence(messages, sentence, tokenizer):
    changed = copy.deepcopy(tokenizer)
    changed.chat_template = chat_template(changed)
    messages = [m if isinstance(m, dict) else {"role": m, "content": "صداع"} for m in messages]
    with pytest.raises(TemplateError, match=sentence):
        changed.apply_chat_template(messages)


def test_a_tokenizer_that_reads_text_otherwise_after_a_token_has_none(pairs):
    """As SentencePiece's do: the first word of a text gets a mark, the first after a token does not."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    core.decoder = decoders.Metaspace(prepend_scheme="first")
    core.train_from_iterator(
        [text for pair in pairs for text in pair],
        BpeTrainer(vocab_size=300, special_tokens=["<s>", "</s>"], show_progress=False),
    )
    core.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    assert (
        chat_template(PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>"))
        is None
    )
