"""Greedy answers are those of the argmax, sampled ones those of sampling, however they are batched."""

import copy

import pytest
import torch
from architectures import random_model
from conftest import PAIRS
from scipy.stats import chisquare, kstest
from transformers import TemperatureLogitsWarper, TopKLogitsWarper

from pipeline.evaluation.generation import Sampler, generate, uniform_draws
from pipeline.models.prompt import encode_prompt

ARCHITECTURES = ("gpt2", "qwen2")
OF_THE_PAPER = ("gpt2", "bloom", "qwen2", "qwen3", "lfm2")


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


# ---- whatever the batch -------------------------------------------------------------------------


def many(count=20):
    """Questions of quite different lengths, none the same."""
    return [f"{PAIRS[number % len(PAIRS)][0]} {number} " * (1 + number % 4) for number in range(count)]


@pytest.mark.parametrize("decoding", ["greedy", "paper"])
@pytest.mark.parametrize("architecture", OF_THE_PAPER)
def test_batch_size_and_order_do_not_change_an_answer(architecture, decoding, tokenizer):
    model, questions = random_model(architecture, torch.float32), many()
    ids = [f"row-{number}" for number in range(len(questions))]

    def answers(batch_size, order):
        draws = uniform_draws([ids[index] for index in order], 12, seed=1) if decoding == "paper" else None
        chosen = [questions[index] for index in order]
        found = answers_of(model, tokenizer, chosen, batch_size=batch_size, draws=draws)
        return [found[order.index(index)] for index in range(len(questions))]

    forward, backward = list(range(20)), list(range(20))[::-1]
    expected = answers(1, forward)
    assert len(set(expected)) > 10, "answers too alike to tell"
    assert answers(16, forward) == expected
    assert answers(16, backward) == expected
    assert answers(3, backward) == expected


# ---- the paper's sampling -----------------------------------------------------------------------


def drawn(model, tokenizer, questions, seed=1, ids=None, count=12):
    ids = ids or [f"row-{number}" for number in range(len(questions))]
    draws = uniform_draws(ids, count, seed)
    return answers_of(model, tokenizer, questions, max_new_tokens=count, draws=draws)


def test_same_seed_same_answers_and_another_seed_others(decoder, tokenizer, questions):
    model = decoder("gpt2")
    first = drawn(model, tokenizer, questions)
    torch.manual_seed(99)
    assert drawn(model, tokenizer, questions) == first
    other = drawn(model, tokenizer, questions, seed=2)
    assert sum(a != b for a, b in zip(first, other, strict=True)) > 8
    assert first != answers_of(model, tokenizer, questions)


def test_rows_of_equal_questions_are_drawn_apart(decoder, tokenizer, questions):
    assert len(set(drawn(decoder("gpt2"), tokenizer, [questions[0]] * 10))) > 8


def test_a_rows_draws_depend_on_its_id_and_the_seed_alone():
    every = uniform_draws(["a", "b", "c"], 50, seed=7)
    assert torch.equal(uniform_draws(["c", "a"], 50, seed=7), every[[2, 0]])
    assert torch.equal(uniform_draws(["b"], 20, seed=7)[0], every[1, :20])
    assert not torch.equal(uniform_draws(["a"], 50, seed=8)[0], every[0])
    assert every.min() >= 0
    assert every.max() < 1


def test_draws_are_uniform():
    draws = uniform_draws([f"row-{number}" for number in range(2000)], 10, seed=3)
    for column in (draws[:, 0], draws[:, 9], draws.flatten()):
        assert kstest(column.numpy(), "uniform").pvalue > 0.001
    assert abs(torch.corrcoef(draws.T)[0, 1]) < 0.1


def chosen(scores, draws):
    """Which token `Sampler` leaves of each row's scores."""
    left = Sampler(draws[:, None], 5)(torch.zeros(len(draws), 5, dtype=torch.long), scores)
    assert torch.isfinite(left).sum(dim=1).eq(1).all()
    return left.argmax(dim=1)


def warped(logits):
    """Probabilities of what transformers samples from at temperature 0.7 with top-k 50."""
    scores = TemperatureLogitsWarper(0.7)(None, logits[None])
    return TopKLogitsWarper(50)(None, scores).softmax(dim=-1)[0].double()


@pytest.mark.parametrize("vocabulary", [4, 60])
def test_distribution_is_that_of_plain_sampling(vocabulary):
    torch.manual_seed(4)
    logits = torch.randn(vocabulary)
    expected = warped(logits)
    count = 20_000
    draws = uniform_draws([f"row-{number}" for number in range(count)], 1, seed=5)[:, 0]
    observed = torch.bincount(chosen(logits.expand(count, -1), draws), minlength=vocabulary)
    assert observed[expected == 0].eq(0).all()
    possible = expected > 0
    assert possible.sum() == min(vocabulary, 50)
    expected = expected[possible] / expected.sum() * count
    assert chisquare(observed[possible].numpy(), expected.numpy()).pvalue > 0.001


def test_draws_at_the_ends_of_the_unit_interval_give_a_likely_token():
    logits = torch.tensor([[0.0, 30.0, 0.0], [5.0, 0.0, -torch.inf]])
    for draw in (0.0, 1 - 2**-53):
        assert warped(logits[1])[chosen(logits, torch.full((2,), draw, dtype=torch.float64))[1]] > 0


def test_each_new_token_has_a_draw_of_its_own():
    logits = torch.zeros(1, 10)
    draws = torch.tensor([[0.05, 0.55, 0.95]], dtype=torch.float64)
    sampler = Sampler(draws, 4)
    found = [
        sampler(torch.zeros(1, 4 + step, dtype=torch.long), logits).argmax().item() for step in range(3)
    ]
    assert found == [0, 5, 9]
