"""Greedy answers are those of the argmax, sampled ones those of sampling, however they are batched."""

import copy
import re

import pytest
import torch
from architectures import random_model
from conftest import PAIRS
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from pipeline.config.training import AdapterConfig
from pipeline.errors import WaznError
from pipeline.evaluation.generation import generate
from pipeline.evaluation.sampling import Sampler, row_keys
from pipeline.models.budgets import Budget
from pipeline.models.lora import add_lora
from pipeline.models.prompt import encode_prompt
from pipeline.models.runtime import float32_head

ARCHITECTURES = ("gpt2", "qwen2")
OF_THE_PAPER = ("gpt2", "bloom", "qwen2", "qwen3", "lfm2")


@pytest.fixture
def questions(pairs):
    return [question for question, _ in pairs]


def test_what_does_not_fit_is_answered_in_smaller_batches(decoder, tokenizer, questions, capsys):
    """The answers are the same, each question is answered once, and a line says what was done."""
    model = decoder("qwen2")
    expected = answers_of(model, tokenizer, questions)
    real, batches = model.generate, []

    def generate_on_a_small_gpu(tokens, **options):
        if len(tokens) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        batches.append(len(tokens))
        return real(tokens, **options)

    model.generate = generate_on_a_small_gpu
    budget = Budget(8, "questions", "resources.evaluate.batch_size")
    assert answers_of(model, tokenizer, questions, budget=budget) == expected
    assert sum(batches) == len(questions)
    assert capsys.readouterr().out.splitlines() == [
        f"out of memory with {size} questions at once; goes on with {size // 2} "
        "(resources.evaluate.batch_size sets it)"
        for size in (8, 4)
    ]


def test_logits_beyond_float16_are_one_sentence(decoder, tokenizer):
    model = decoder("qwen2", torch.float16)
    assert answers_of(model, tokenizer, ["سعال"])
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.fill_(6e4)
        model.model.layers[0].mlp.up_proj.weight.fill_(6e4)
    with pytest.raises(WaznError, match=r"beyond float16.*set evaluate\.dtype to float32"):
        answers_of(model, tokenizer, ["سعال"])


def written_by(model, tokenizer, questions, **changes):
    """Answers, each with whether a limit cut it off."""
    limits = {"max_length": 400, "max_new_tokens": 12, "max_new_words": None}
    return generate(
        model, tokenizer, questions, **{"budget": Budget(8), "name": "test", **limits, **changes}
    )


def answers_of(model, tokenizer, questions, **changes):
    return [answer.text for answer in written_by(model, tokenizer, questions, **changes)]


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
    assert answers_of(model, tokenizer, questions, budget=Budget(batch_size)) == expected


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
        keys = row_keys([ids[index] for index in order], 1) if decoding == "paper" else None
        chosen = [questions[index] for index in order]
        found = answers_of(model, tokenizer, chosen, budget=Budget(batch_size), keys=keys)
        return [found[order.index(index)] for index in range(len(questions))]

    forward, backward = list(range(20)), list(range(20))[::-1]
    expected = answers(1, forward)
    assert len(set(expected)) > 10, "answers too alike to tell"
    assert answers(16, forward) == expected
    assert answers(16, backward) == expected
    assert answers(3, backward) == expected


# ---- the paper's sampling -----------------------------------------------------------------------


def drawn(model, tokenizer, questions, seed=1):
    ids = [f"row-{number}" for number in range(len(questions))]
    return answers_of(model, tokenizer, questions, keys=row_keys(ids, seed))


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


# ---- where an answer ends -----------------------------------------------------------------------

TEXT = "خذ قسطا من الراحة\nواشرب الماء ثم راجع طبيبك بعد أسبوع"


class Scripted(GPT2LMHeadModel):
    """Writes one text after a prompt, whatever its weights are."""

    def script(self, tokens, prompt_length):
        self.tokens, self.prompt_length, self.steps = tokens, prompt_length, 0
        return self

    def forward(self, input_ids, past_key_values=None, **options):
        self.steps += 1
        found = super().forward(input_ids, past_key_values=past_key_values, **options)
        written = found.past_key_values.get_seq_length() - self.prompt_length
        found.logits[:, -1] = -50.0
        found.logits[:, -1, self.tokens[written]] = 50.0
        return found


def bytes_alone():
    """A tokenizer that cuts every word into its bytes."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        [], BpeTrainer(special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>")


def scripted(tokenizer, text):
    """A model that answers `text` to the question "صداع"."""
    shape = {"n_embd": 8, "n_layer": 1, "n_head": 1, "n_positions": 512, "vocab_size": len(tokenizer)}
    script = [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    return Scripted(GPT2Config(**shape)).eval().script(script, len(encode_prompt(tokenizer, "صداع")))


def test_budget_of_words_ends_answers_alike_whatever_the_tokenizer(tokenizer):
    """Each tokenizer stops right after the word that is too many has begun."""
    coarse, fine = tokenizer, bytes_alone()
    pieces = [len(each(TEXT)["input_ids"]) for each in (coarse, fine)]
    assert pieces[0] < 0.8 * pieces[1]
    for most in (1, 3, 4, 9):
        expected = TEXT[: re.match(rf"(\s*\S+){{{most}}}", TEXT).end()]
        for each, whole in zip((coarse, fine), pieces, strict=True):
            model = scripted(each, TEXT)
            found = written_by(model, each, ["صداع"], max_new_tokens=300, max_new_words=most)
            assert found == [(expected, True)]
            assert model.steps < whole
    cut = [
        written_by(scripted(each, TEXT), each, ["صداع"], max_new_tokens=15)[0].text
        for each in (coarse, fine)
    ]
    assert cut[1] != cut[0], "a budget of tokens favours one tokenizer"


@pytest.mark.parametrize("most", [len(TEXT.split()), 50])
def test_answer_with_no_more_words_than_its_budget_is_whole(most, tokenizer):
    """Words are counted as white space parts them; white space after the last one starts no word."""
    for each in (tokenizer, bytes_alone()):
        model = scripted(each, TEXT + " \n\u2003")
        found = written_by(model, each, ["صداع"], max_new_tokens=300, max_new_words=most)
        assert found == [(TEXT, False)]


def test_tokens_stay_the_upper_bound_of_words(tokenizer):
    model = scripted(tokenizer, TEXT)
    [found] = written_by(model, tokenizer, ["صداع"], max_new_tokens=5, max_new_words=9)
    assert found == (tokenizer.decode(tokenizer(TEXT)["input_ids"][:5]).strip(), True)


def test_answer_is_cut_off_where_the_model_wrote_no_end(decoder, tokenizer, questions):
    model, _ = ending_early(decoder, "gpt2", tokenizer, questions[0])
    found = written_by(model, tokenizer, questions)
    for answer, question in zip(found, questions, strict=True):
        tokens = argmax_tokens(model, encode_prompt(tokenizer, question), tokenizer.eos_token_id, 12)
        assert answer.cut_off == (tokens[-1] != tokenizer.eos_token_id)
    assert {answer.cut_off for answer in found} == {True, False}


@pytest.mark.parametrize("end_is_padding", [False, True])
def test_budget_of_words_does_not_depend_on_the_batch(end_is_padding, decoder, tokenizer):
    """Also where what fills up a row that is over looks as if the model had ended it."""
    model, _ = ending_early(decoder, "qwen2", tokenizer, many()[0])
    if end_is_padding:
        tokenizer = copy.deepcopy(tokenizer)
        tokenizer.pad_token = tokenizer.eos_token
    alone = written_by(model, tokenizer, many(), max_new_words=3, budget=Budget(1), max_new_tokens=20)
    assert (
        written_by(model, tokenizer, many(), max_new_words=3, budget=Budget(7), max_new_tokens=20) == alone
    )
    free = written_by(model, tokenizer, many(), budget=Budget(7), max_new_tokens=20)
    for limited, whole in zip(alone, free, strict=True):
        longer = len(whole.text.split()) > 3
        assert limited.text.split() == whole.text.split()[:3]
        assert limited.cut_off == (longer or whole.cut_off)
    assert {len(answer.text.split()) for answer in alone} == {1, 2, 3}


# ---- number types -------------------------------------------------------------------------------


def logits_seen(monkeypatch, model, tokenizer, questions):
    """The scores of each step that the search is given, and the answers."""
    seen = []

    def noted(_, input_ids, scores):
        seen.append(scores.clone())
        return scores.argmax(dim=-1)[:, None].eq(torch.arange(scores.shape[-1])).float()

    monkeypatch.setattr(Sampler, "__call__", noted)
    keys = row_keys([str(number) for number in range(len(questions))], 1)
    answers_of(model, tokenizer, questions, keys=keys, max_new_tokens=2)
    return seen


@pytest.mark.parametrize("architecture", ["gpt2", "qwen2", "lfm2", "gemma2", "phi", "cohere"])
def test_logits_are_those_of_a_float32_head(architecture, tokenizer, monkeypatch):
    """Tied heads, a head of its own with bias, and models that scale or soft-cap behind the head."""
    model = half_model(architecture, len(tokenizer))
    [first, *_] = logits_seen(monkeypatch, model, tokenizer, ["صداع"])
    assert all(parameter.dtype == torch.bfloat16 for parameter in model.parameters())
    tokens = torch.tensor([encode_prompt(tokenizer, "صداع")])
    with torch.no_grad():
        hidden = model.base_model(tokens).last_hidden_state[:, -1]
        assert hidden.dtype == torch.bfloat16
        rounded = model(tokens).logits[:, -1]
        head = model.get_output_embeddings()
        bias = None if head.bias is None else head.bias.float()
        expected = torch.nn.functional.linear(hidden.float(), head.weight.float(), bias)
    if architecture == "gemma2":
        expected = 30.0 * torch.tanh(expected / 30.0)
    if architecture == "cohere":
        expected = 0.0625 * expected
    assert rounded.dtype == torch.bfloat16, "the model's own head is used again afterwards"
    torch.testing.assert_close(first, expected, rtol=1e-6, atol=1e-5)
    assert (rounded.float() - expected).abs().max() > 1e-4


def half_model(architecture, vocabulary):
    """A minute model in bfloat16 whose logits are not small."""
    if architecture in OF_THE_PAPER:
        return random_model(architecture, torch.bfloat16, vocabulary=vocabulary)
    shape = {"vocab_size": vocabulary, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    shape |= {"num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 16, "initializer_range": 0.5}
    shape |= {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, **shape))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model.to(torch.bfloat16).eval()


def test_head_with_an_adapter_is_in_float32_and_keeps_the_adapter(tokenizer):
    model = random_model("qwen2", torch.bfloat16, vocabulary=len(tokenizer), tie_word_embeddings=False)
    model = add_lora(model, ["lm_head"], AdapterConfig(r=4, alpha=8.0, dropout=0.0))
    model = model.get_base_model().eval()
    head = model.get_output_embeddings()
    with torch.no_grad():
        head.lora_B["default"].weight.normal_()
        tokens = torch.tensor([[5, 17, 200]])
        hidden = model.base_model(tokens).last_hidden_state.float()
        expected = hidden @ head.base_layer.weight.float().T
        expected += 2.0 * hidden @ head.lora_A["default"].weight.T @ head.lora_B["default"].weight.T
        with float32_head(model):
            found = model(tokens).logits
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    assert model(tokens).logits.dtype == torch.bfloat16


def test_head_is_the_models_own_again_after_an_error():
    model = random_model("gpt2", torch.bfloat16)
    with pytest.raises(KeyboardInterrupt), float32_head(model):
        raise KeyboardInterrupt
    assert "forward" not in vars(model.get_output_embeddings())
