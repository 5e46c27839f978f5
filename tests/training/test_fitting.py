"""Training where memory is short or numbers are: the same run, cut smaller or scaled."""

import functools
import itertools

import pytest
import torch
from equation import assert_close
from runs import settings, trainable, trained, weights
from small_devices import holding

from pipeline.errors import WaznError
from pipeline.models.lora import decoder_of
from pipeline.training.checkpoints import Checkpoints
from pipeline.training.dataset import Validation
from pipeline.training.fitting import try_largest
from pipeline.training.optimisation import state_bytes
from pipeline.training.steps import Run
from pipeline.training.trainer import train


def equal(found, expected):
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) for name in found
    )


# ---- memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lora", "full"])
def test_step_that_does_not_fit_is_computed_again_in_halves(method, examples, capsys):
    """Bit for bit the run that had the smaller budget from the start, with dropout and validation."""
    model = trainable("gpt2", method, dropout=0.2)
    valid = Validation(examples[6:], ["critical"] * 4)
    with holding(decoder_of(model).base_model, 150) as sizes:
        trained(examples, model, more={"valid": valid}, tokens_per_microbatch=100_000)
    said = capsys.readouterr().out.splitlines()
    assert said
    assert all(line.startswith("out of memory with ") for line in said)
    budget = int(said[-1].split("goes on with ")[1].split()[0])
    assert budget <= 150 < max(sizes)
    assert sum(size > 150 for size in sizes) == len(said), "what did not fit was tried again"
    expected = trainable("gpt2", method, dropout=0.2)
    trained(examples, expected, more={"valid": valid}, tokens_per_microbatch=budget)
    assert equal(weights(model), weights(expected))


def test_lack_in_the_middle_of_a_step_leaves_no_trace(examples):
    """In the backward pass of a second micro-batch, when a part of the gradient is there."""
    calls = itertools.count()

    def full(gradient):
        if next(calls) == 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return gradient

    model = trainable()
    next(p for p in model.parameters() if p.requires_grad).register_hook(full)
    _, steps = trained(examples, model, tokens_per_microbatch=150)
    whole, whole_steps = trained(examples, tokens_per_microbatch=150)
    assert next(calls) > 6
    assert [step.loss for step in steps] == pytest.approx([step.loss for step in whole_steps], rel=1e-5)
    assert_close(weights(model), weights(whole), atol=1e-6)


def test_sequence_that_does_not_fit_is_one_sentence_and_checkpoints_stay(examples, tmp_path):
    model = trainable()
    run = train(
        model, examples, *settings(checkpoint_every=1), name="test", checkpoints=Checkpoints(tmp_path)
    )
    list(itertools.islice(run, 2))
    with (
        holding(decoder_of(model).base_model, 3),
        pytest.raises(
            WaznError, match=r"single sequence .*gradient_checkpointing is true, lower .* What was compl"
        ),
    ):
        list(run)
    assert len(Checkpoints(tmp_path).latest()["history"]) == 2


def test_largest_micro_batch_is_tried_before_the_first_step(examples, monkeypatch, capsys):
    """As on a GPU; what it computes is no part of the run."""
    monkeypatch.setattr("pipeline.training.trainer.device", lambda: torch.device("cuda"))
    model = trainable(dropout=0.2)
    with holding(decoder_of(model).base_model, 150) as sizes:
        steps = train(model, examples, *settings(tokens_per_microbatch=100_000), name="test")
        next(steps)
        tried = capsys.readouterr().out.splitlines()
        list(steps)
    assert sizes[0] == max(sizes) > 150
    assert capsys.readouterr().out == "", "something did not fit later on"
    budget = int(tried[-1].split("goes on with ")[1].split()[0])
    expected, _ = trained(examples, trainable(dropout=0.2), tokens_per_microbatch=budget)
    assert equal(weights(model), weights(expected))


@pytest.mark.parametrize("optimiser", ["adamw", "adafactor"])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_memory_for_the_optimisers_states_is_held_free(method, optimiser, examples, monkeypatch):
    """By arithmetic, which is what the optimiser then takes, but for its counts of steps."""
    run = Run(trainable("qwen2", method), examples, *settings(optimiser=optimiser), "test", torch.float32)
    kept, real = [], torch.empty
    monkeypatch.setattr(torch, "empty", lambda *size, **more: kept.append(size) or real(*size, **more))
    try_largest(run)
    monkeypatch.undo()
    assert (state_bytes(optimiser, run.trained),) in kept
    run.step(1, range(4))
    taken = sum(
        tensor.nbytes
        for state in run.optimiser.state.values()
        for name, tensor in state.items()
        if name != "step"
    )
    assert state_bytes(optimiser, run.trained) == taken


# ---- float16 --------------------------------------------------------------------------------------

HALF = {"dtype": torch.float16}


def scaled_by(monkeypatch, scale, interval=2000):
    made = functools.partial(torch.amp.GradScaler, init_scale=scale, growth_interval=interval)
    monkeypatch.setattr(torch.amp, "GradScaler", made)


def half(examples, steps=None, more=None, **changes):
    model = trainable("qwen2", dtype=torch.float16, dropout=0.1)
    return trained(examples, model, steps, HALF | (more or {}), **changes)


def test_small_gradients_survive_float16(examples, monkeypatch):
    """Those of a pair among ten thousand tokens float16 rounds to 0, unless they are scaled."""
    few = [type(e)(**vars(e) | {"weight": e.weight * 1e-5}) for e in examples[:4]]

    def gradient(dtype, scale):
        scaled_by(monkeypatch, scale)
        model = trainable("qwen2", dtype=dtype)
        run = Run(model, few, *settings(max_grad_norm=1e9), "test", dtype)
        run._gradients(1, range(4), torch.tensor([e.weight / 40 for e in few]).numpy())
        found = torch.cat([parameter.grad.flatten() for parameter in run.trained])
        monkeypatch.undo()
        return found

    exact = gradient(torch.float32, 1.0)
    error = {
        scale: (gradient(torch.float16, scale) - exact).norm() / exact.norm() for scale in (1.0, 2.0**16)
    }
    assert error[2.0**16] < 0.02
    assert error[1.0] > 0.2


def test_step_that_overflows_is_computed_again_with_half_the_scale(examples, monkeypatch, capsys):
    scaled_by(monkeypatch, 2.0**14)
    expected, expected_steps = half(examples)
    capsys.readouterr()
    monkeypatch.undo()
    scaled_by(monkeypatch, 2.0**30)
    found, steps = half(examples)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == (
        "test: a gradient of step 1 is beyond float16 with the loss times 1.07374e+09; computed again with "
        "5.36871e+08"
    )
    assert len(said) < 16
    assert len(steps) == len(expected_steps)
    losses = [[step.loss for step in each] for each in (steps, expected_steps)]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)
    assert_close(weights(found), weights(expected), atol=0.01)


def test_gradient_that_no_scale_saves_ends_in_the_sentence(examples, tmp_path):
    model = trainable("qwen2", dtype=torch.float16)
    next(p for p in model.parameters() if p.requires_grad).register_hook(
        lambda gradient: gradient * torch.inf
    )
    with pytest.raises(WaznError, match=r"not finite at step 1 .*; set finetune\.dtype to float32, lower "):
        trained(examples, model, more=HALF)


def test_run_in_float16_taken_up_again_gives_the_same_to_the_last_bit(examples, monkeypatch, tmp_path):
    """The scale has fallen and risen again by then, and is part of the checkpoint."""
    scaled_by(monkeypatch, 2.0**24, interval=3)
    expected, expected_steps = half(examples)
    checkpoints = Checkpoints(tmp_path)
    more = {"checkpoints": checkpoints}
    half(examples, 8, more, checkpoint_every=5)
    kept = checkpoints.latest()["scaler"]
    assert kept["scale"] not in (2.0**16, 2.0**24)
    assert kept["_growth_tracker"] > 0
    found, steps = half(examples, None, more, checkpoint_every=5)
    assert steps == expected_steps
    assert equal(weights(found), weights(expected))
