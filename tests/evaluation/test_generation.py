"""Greedy answers: those of the argmax, however they are batched."""

import copy

import pytest
import torch

from pipeline.evaluation.generation import generate
from pipeline.training.prompt import encode_prompt

ARCHITECTURES = ("gpt2", "qwen2")


@pytest.fixture
def questions(pairs):
    return [question for question, _ in pairs]


def answers_of(model, tokenizer, questions, **changes):
    options = {"batch_size": 8, "max_length": 400, "max_new_tokens": 12, "name": "test", **changes}
    return generate(model, tokenizer, questions, **options)


def argmax_tokens(model, tokens, end, count):
    """The most likely token after `tokens`, again and again, without a cache or padding."""
    written = []
    with torch.no_grad():
        while len(written) < count and (not written or written[-1] != end):
            written.append(model(torch.tensor([[*tokens, *written]])).logits[0, -1].argmax().item())
    return written


def argmax_answer(model, tokenizer, question, count=12):
    written = argmax_tokens(model, encode_prompt(tokenizer, question), tokenizer.eos_token_id, count)
    return tokenizer.decode(written, skip_special_tokens=True).strip()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_answers_are_those_of_the_argmax_in_the_order_of_the_questions(
    architecture, batch_size, decoder, tokenizer, questions
):
    """Trap 5: nothing is sampled, so an answer can be had again."""
    model = decoder(architecture)
    expected = [argmax_answer(model, tokenizer, question) for question in questions]
    assert len(set(expected)) > len(questions) // 2, "answers too alike to tell their order"
    assert answers_of(model, tokenizer, questions, batch_size=batch_size) == expected


def ending_early(decoder, architecture, tokenizer, question):
    """A decoder whose greedy answer to `question` ends after a few tokens, and that answer."""
    model = decoder(architecture, tie_word_embeddings=False)
    end = tokenizer.eos_token_id
    written = argmax_tokens(model, encode_prompt(tokenizer, question), end, 12)
    last = next(n for n, token in enumerate(written) if n >= 3 and token not in written[:n])
    # Where it wrote this token, it writes end-of-text from now on.
    with torch.no_grad():
        rows = model.get_output_embeddings().weight
        rows[[end, written[last]]] = rows[[written[last], end]]
    return model, tokenizer.decode(written[:last], skip_special_tokens=True).strip()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("number", [0, 4])
def test_answer_stops_at_end_of_text_while_others_go_on(
    architecture, number, decoder, tokenizer, questions
):
    model, expected = ending_early(decoder, architecture, tokenizer, questions[number])
    answers = answers_of(model, tokenizer, questions)
    assert answers[number] == expected
    assert answers == [argmax_answer(model, tokenizer, question) for question in questions]
    assert len({len(encoded) for encoded in tokenizer(answers)["input_ids"]}) > 1


@pytest.mark.parametrize(
    "setting",
    [
        {"repetition_penalty": 5.0},
        {"num_beams": 4},
        {"no_repeat_ngram_size": 1},
        {"min_new_tokens": 11},
        {"do_sample": True, "temperature": 2.0},
        {"suppress_tokens": list(range(150))},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_generation_settings_that_a_model_brings_along_do_not_count(setting, decoder, tokenizer, questions):
    """Models of the Hub come with a generation_config.json; base and tuned are to be greedy alike."""
    model, _ = ending_early(decoder, "gpt2", tokenizer, questions[0])
    expected = answers_of(model, tokenizer, questions)
    model.generation_config.update(**setting)
    assert answers_of(model, tokenizer, questions) == expected


def test_tokenizer_without_padding_is_padded_with_end_of_text(decoder, tokenizer, questions):
    model, changed = decoder("gpt2"), copy.deepcopy(tokenizer)
    changed.pad_token = None
    assert changed.pad_token_id is None
    assert answers_of(model, changed, questions) == answers_of(model, tokenizer, questions)


@pytest.mark.parametrize("max_length", [10, 25])
def test_overlong_prompt_loses_its_beginning(max_length, decoder, tokenizer, questions):
    model = decoder("qwen2")
    prompt = encode_prompt(tokenizer, questions[1])
    assert len(prompt) > max_length
    written = argmax_tokens(model, prompt[-max_length:], tokenizer.eos_token_id, 12)
    expected = tokenizer.decode(written, skip_special_tokens=True).strip()
    assert answers_of(model, tokenizer, questions, max_length=max_length)[1] == expected


@pytest.mark.parametrize("count", [1, 5])
def test_answer_has_at_most_max_new_tokens(count, decoder, tokenizer, questions):
    model = decoder("gpt2")
    expected = [argmax_answer(model, tokenizer, question, count) for question in questions]
    assert answers_of(model, tokenizer, questions, max_new_tokens=count) == expected


def test_no_question_gives_no_answer(decoder, tokenizer):
    assert answers_of(decoder("gpt2"), tokenizer, []) == []
