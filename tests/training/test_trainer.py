"""The training loop: how a step is cut must not matter, and only the adapter may move."""

import dataclasses
import itertools
import math
import re

import pytest
import torch

from pipeline.errors import WaznError
from pipeline.training.batching import optimiser_steps
from pipeline.training.lora import add_lora
from pipeline.training.trainer import Recipe, train

TARGETS = {"gpt2": ["c_attn", "c_proj"], "qwen2": ["q_proj", "v_proj"]}
RECIPE = Recipe(
    epochs=4,
    batch_size=4,
    tokens_per_microbatch=100_000,
    learning_rate=0.002,
    warmup=0.0,
    max_grad_norm=1.0,
    seed=17,
)


def adapted(decoder, architecture="gpt2", dropout=0.0):
    model = decoder(architecture)
    torch.manual_seed(3)
    return add_lora(model, TARGETS[architecture], r=4, alpha=8.0, dropout=dropout)


def adapter(model):
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


def trained(decoder, examples, architecture="gpt2", dropout=0.0, steps=None, **changes):
    model = adapted(decoder, architecture, dropout)
    run = train(model, examples, dataclasses.replace(RECIPE, **changes), name="test")
    return model, list(itertools.islice(run, steps))


@pytest.mark.parametrize("architecture", TARGETS)
@pytest.mark.parametrize("tokens", [1, 150, 300])
def test_how_a_step_is_cut_does_not_change_the_adapter(architecture, tokens, decoder, examples):
    """Trap 3: the mean of each micro-batch, summed or averaged, is not the mean of the step."""
    whole, whole_steps = trained(decoder, examples, architecture, steps=10)
    cut, cut_steps = trained(decoder, examples, architecture, steps=10, tokens_per_microbatch=tokens)
    assert len(whole_steps) == 10
    assert [s.loss for s in cut_steps] == pytest.approx([s.loss for s in whole_steps], rel=1e-5)
    for name, parameter in adapter(whole).items():
        torch.testing.assert_close(adapter(cut)[name], parameter, rtol=0, atol=1e-6, msg=name)


def test_first_step_has_the_loss_of_the_papers_equation(decoder, examples):
    """Over all pairs of the step, N = 8, in micro-batches of one pair and many."""
    [indices, rest] = optimiser_steps(len(examples), 8, RECIPE.seed, 0)
    assert (len(indices), len(rest)) == (8, 2)
    model, expected = decoder("gpt2"), 0.0
    for index in indices:
        example = examples[index]
        tokens = torch.tensor(example.tokens)
        with torch.no_grad():
            logits = model(tokens[None]).logits[0, example.answer_start - 1 : -1]
        nll = torch.nn.functional.cross_entropy(logits, tokens[example.answer_start :])
        expected += example.weight * nll.item() / len(indices)
    _, [step] = trained(decoder, examples, steps=1, batch_size=8, tokens_per_microbatch=200)
    assert step.loss == pytest.approx(expected, rel=1e-5)


def test_training_is_adamw_on_the_papers_loss(decoder, examples):
    """Beside a loop as a textbook has it: whole steps, no schedule but the linear one."""
    found, _ = trained(decoder, examples, tokens_per_microbatch=200, max_grad_norm=0.5)
    model = adapted(decoder)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, weight_decay=0.0)
    steps = [s for e in range(4) for s in optimiser_steps(len(examples), 4, RECIPE.seed, e)]
    for number, indices in enumerate(steps):
        loss = 0.0
        for example in (examples[index] for index in indices):
            tokens = torch.tensor(example.tokens)
            logits = model(input_ids=tokens[None]).logits[0, example.answer_start - 1 : -1]
            nll = torch.nn.functional.cross_entropy(logits, tokens[example.answer_start :])
            loss = loss + example.weight * nll / len(indices)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.5)
        optimiser.param_groups[0]["lr"] = RECIPE.learning_rate * (1 - number / len(steps))
        optimiser.step()
    for name, parameter in adapter(model).items():
        torch.testing.assert_close(adapter(found)[name], parameter, rtol=0, atol=1e-5, msg=name)


def test_smaller_last_step_is_averaged_over_its_own_pairs(decoder, examples):
    """The same pair ten times over: each step of an unmoved model has that pair's loss."""
    same = [dataclasses.replace(examples[3], weight=1.0)] * 10
    _, steps = trained(decoder, same, epochs=1, learning_rate=1e-12)
    assert [step.loss for step in steps] == pytest.approx([steps[0].loss] * 3, rel=1e-5)


@pytest.mark.parametrize("architecture", TARGETS)
def test_two_runs_are_equal_to_the_last_bit(architecture, decoder, examples):
    runs = []
    for noise in (1, 2):
        model = adapted(decoder, architecture, dropout=0.2)
        torch.manual_seed(noise)  # what was drawn before a run is no part of it
        runs.append((list(train(model, examples, RECIPE, name="test")), adapter(model)))
    (first_steps, first), (second_steps, second) = runs
    assert first_steps == second_steps
    for name, parameter in first.items():
        assert torch.equal(second[name], parameter), name


def test_another_seed_gives_another_run(decoder, examples):
    _, steps = trained(decoder, examples)
    _, others = trained(decoder, examples, seed=18)
    assert [step.loss for step in others] != [step.loss for step in steps]


@pytest.mark.parametrize("architecture", TARGETS)
def test_adapter_moves_and_the_base_does_not(architecture, decoder, examples):
    base = decoder(architecture).state_dict()
    before = adapter(adapted(decoder, architecture))
    model, _ = trained(decoder, examples, architecture)
    after = model.state_dict()
    names = {name.removeprefix("base_model.model.").replace(".base_layer", ""): name for name in after}
    assert base.keys() <= names.keys()
    for name, tensor in base.items():
        assert torch.equal(after[names[name]], tensor), name
    for name, parameter in adapter(model).items():
        assert not torch.equal(parameter, before[name]), name


def test_weights_matter(decoder, examples):
    flat = [dataclasses.replace(example, weight=1.0) for example in examples]
    weighted, _ = trained(decoder, examples)
    uniform, _ = trained(decoder, flat)
    assert any(not torch.equal(p, adapter(uniform)[name]) for name, p in adapter(weighted).items())


@pytest.mark.parametrize("architecture", TARGETS)
def test_loss_falls_on_a_few_repeated_pairs(architecture, decoder, examples):
    _, steps = trained(decoder, examples[:4], architecture, epochs=30, learning_rate=0.01)
    assert steps[-1].loss < 0.8 * steps[0].loss


def test_model_is_left_in_evaluation_mode(decoder, examples):
    model, _ = trained(decoder, examples, epochs=1, dropout=0.2)
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("weight", [math.nan, math.inf])
def test_loss_that_is_not_finite_names_the_step_and_its_rows(weight, decoder, examples):
    spoilt = [*examples[:6], dataclasses.replace(examples[6], weight=weight), *examples[7:]]
    model = adapted(decoder)
    expected = optimiser_steps(len(examples), RECIPE.batch_size, RECIPE.seed, 0)
    number, rows = next((n, step) for n, step in enumerate(expected, start=1) if 6 in step)
    with pytest.raises(WaznError, match=rf"step {number}\b") as caught:
        list(train(model, spoilt, RECIPE, name="test"))
    named = re.findall(r"row-\d+", str(caught.value))
    assert sorted(named) == sorted(examples[index].id for index in rows)
    assert all(parameter.isfinite().all() for parameter in adapter(model).values())


@pytest.mark.parametrize(
    ("count", "batch_size", "epochs", "number"), [(10, 4, 2, 6), (8, 4, 3, 6), (3, 8, 2, 2), (1, 1, 1, 1)]
)
def test_number_of_steps(count, batch_size, epochs, number, decoder, examples):
    _, steps = trained(decoder, examples[:count], batch_size=batch_size, epochs=epochs)
    assert [step.number for step in steps] == list(range(1, number + 1))
    assert steps[-1].epoch == epochs


@pytest.mark.parametrize("warmup", [0.0, 0.25])
def test_learning_rate_rises_then_falls_linearly_to_zero(warmup, decoder, examples):
    total, rising = 12, round(12 * warmup)
    _, steps = trained(decoder, examples, epochs=4, warmup=warmup)
    expected = [
        0.002 * (step / rising if step < rising else (total - step) / (total - rising))
        for step in range(total)
    ]
    assert [step.learning_rate for step in steps] == pytest.approx(expected, rel=1e-9)
    assert max(expected) == 0.002
