"""One prompt for training and generation, whatever a tokenizer adds of its own."""

import copy

import pytest
import torch
from tokenizers.processors import TemplateProcessing

from pipeline.evaluation.generation import generate
from pipeline.models.budgets import Budget
from pipeline.models.prompt import ANSWER_CUE, encode, encode_prompt, prompt, scored_bytes

QUESTION, ANSWER = "عندي صداع منذ يومين", "خذ قسطا من الراحة."
KINDS = ("plain", "bos", "eos", "bos and eos")


@pytest.fixture(params=KINDS)
def any_tokenizer(request, tokenizer):
    """Tokenizers that put a start before what they encode, an end after it, both or neither."""
    changed = copy.deepcopy(tokenizer)
    changed.add_special_tokens({"bos_token": "<|start|>"})
    before = "<|start|> " if "bos" in request.param else ""
    after = " <|endoftext|>" if "eos" in request.param else ""
    names = ("<|start|>", "<|endoftext|>")
    changed.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{before}$A{after}",
        special_tokens=[(name, changed.convert_tokens_to_ids(name)) for name in names],
    )
    ids = changed(QUESTION)["input_ids"]
    assert (ids[0] == changed.bos_token_id) == ("bos" in request.param)
    assert (ids[-1] == changed.eos_token_id) == ("eos" in request.param)
    return changed


class Recorder:
    """Stands in for a model: notes what it is to continue, and ends at once."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, end):
        self.end, self.prompts = end, []

    def get_input_embeddings(self):
        return torch.nn.Embedding(1000, 1)

    def get_output_embeddings(self):
        return torch.nn.Linear(1, 1000)

    def generate(self, tokens, attention_mask, **_):
        self.prompts += [
            row[mask.bool()].tolist() for row, mask in zip(tokens, attention_mask, strict=True)
        ]
        return torch.nn.functional.pad(tokens, (0, 1), value=self.end)


def test_prompt_holds_question_then_cue():
    assert prompt(QUESTION) == f"\n{QUESTION}\n\n{ANSWER_CUE}\n"


def test_generation_starts_from_the_very_tokens_before_the_answer(any_tokenizer, pairs):
    """Trap 4: the notebooks' prompt at generation lacks the cue that training used."""
    recorder = Recorder(any_tokenizer.eos_token_id)
    for question, answer in pairs:
        example = encode(any_tokenizer, "a", question, answer, 1.0, max_length=500)
        recorder.prompts.clear()
        generate(
            recorder,
            any_tokenizer,
            [question],
            budget=Budget(4),
            max_length=500,
            max_new_tokens=1,
            max_new_words=None,
            name="test",
        )
        assert recorder.prompts == [list(example.input_ids[: example.prompt_length])]


def test_prompt_stays_open_and_keeps_its_start(any_tokenizer):
    tokens = encode_prompt(any_tokenizer, QUESTION)
    starts = any_tokenizer(QUESTION)["input_ids"][0] == any_tokenizer.bos_token_id
    assert any_tokenizer.eos_token_id not in tokens
    assert tokens.count(any_tokenizer.bos_token_id) == starts
    assert any_tokenizer.decode(tokens, skip_special_tokens=True) == prompt(QUESTION)


def test_answer_is_closed_by_one_end_of_text(any_tokenizer):
    example = encode(any_tokenizer, "a", QUESTION, ANSWER, 1.0, max_length=500)
    spoken = list(example.input_ids[example.prompt_length :])
    assert spoken[-1] == any_tokenizer.eos_token_id
    assert any_tokenizer.decode(spoken[:-1]) == ANSWER


def test_example_keeps_id_and_weight(tokenizer):
    example = encode(tokenizer, "row-7", QUESTION, ANSWER, 0.75, max_length=500)
    assert (example.id, example.weight) == ("row-7", 0.75)


def test_empty_answer_gives_none(any_tokenizer):
    assert encode(any_tokenizer, "a", QUESTION, "", 1.0, max_length=500) is None


@pytest.mark.parametrize("missing", [0, 1])
def test_prompt_that_leaves_no_answer_token_gives_none(missing, tokenizer):
    length = len(encode_prompt(tokenizer, QUESTION))
    assert encode(tokenizer, "a", QUESTION, ANSWER, 1.0, max_length=length - missing) is None


@pytest.mark.parametrize("room", [1, 2, 5])
def test_long_answer_is_cut_at_max_length_without_an_end(room, tokenizer):
    whole = encode(tokenizer, "a", QUESTION, ANSWER, 1.0, max_length=500)
    cut = encode(tokenizer, "a", QUESTION, ANSWER, 1.0, max_length=whole.prompt_length + room)
    assert list(cut.input_ids) == list(whole.input_ids[: whole.prompt_length + room])
    assert cut.prompt_length == whole.prompt_length
    assert tokenizer.eos_token_id not in cut.input_ids


def test_answer_that_just_fits_keeps_its_end(tokenizer):
    whole = encode(tokenizer, "a", QUESTION, ANSWER, 1.0, max_length=500)
    assert encode(tokenizer, "a", QUESTION, ANSWER, 1.0, max_length=len(whole.input_ids)) == whole


# ---- bytes of what is scored ------------------------------------------------------------------------


def test_bytes_of_a_whole_answer_are_its_own(any_tokenizer, pairs):
    """Also where it does not fit with its end: end-of-text has no bytes."""
    for question, answer in pairs:
        whole = encode(any_tokenizer, "a", question, answer, 1.0, max_length=500)
        bare = encode(any_tokenizer, "a", question, answer, 1.0, max_length=len(whole.input_ids) - 1)
        for example in (whole, bare):
            assert scored_bytes(any_tokenizer, example, answer) == len(answer.encode())


def test_bytes_of_a_cut_answer_are_those_of_its_tokens(tokenizer):
    """A letter of which one of two bytes is left has no bytes."""
    whole = encode(tokenizer, "a", QUESTION, ANSWER, 1.0, max_length=500)
    spoken = len(whole.input_ids) - whole.prompt_length - 1
    found = []
    for room in range(1, spoken + 1):
        cut = encode(tokenizer, "a", QUESTION, ANSWER, 1.0, max_length=whole.prompt_length + room)
        kept = tokenizer.decode(cut.input_ids[cut.prompt_length :]).rstrip("\ufffd")
        assert ANSWER.startswith(kept)
        found.append(scored_bytes(tokenizer, cut, ANSWER))
        assert found[-1] == len(kept.encode())
    assert found == sorted(found)
    assert found[0] == 0, "the first cut goes through a letter"
    assert found[-1] == len(ANSWER.encode())


def test_special_token_that_is_spelt_out_in_an_answer_has_its_bytes(tokenizer):
    answer = f"خذ {tokenizer.eos_token} قسطا"
    whole = encode(tokenizer, "a", QUESTION, answer, 1.0, max_length=500)
    cut = encode(tokenizer, "a", QUESTION, answer, 1.0, max_length=len(whole.input_ids) - 1)
    assert scored_bytes(tokenizer, whole, answer) == scored_bytes(tokenizer, cut, answer)
    assert scored_bytes(tokenizer, whole, answer) == len(answer.encode())
