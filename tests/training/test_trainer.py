"""The training loop: how a step is cut must not matter, and only what is to be trained may move."""

import dataclasses
import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest
import torch
from architectures import ARCHITECTURES, random_model
from equation import assert_close, paper_loss
from runs import CONFIG, RESOURCES, SEED, settings, trainable, trained, weights
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainingArguments

from pipeline.config.training import ArmConfig
from pipeline.errors import WaznError
from pipeline.severities import PROBABILITIES
from pipeline.severity.weights import pair_weights
from pipeline.training.batching import optimiser_steps, split_across_ranks
from pipeline.training.checkpoints import Checkpoints
from pipeline.training.dataset import Validation
from pipeline.training.trainer import train


def steps_of(examples, **changes):
    """The sequences of every step of a run."""
    config, _, seed = settings(**changes)
    lengths = [len(example.input_ids) for example in examples]
    return [
        step
        for epoch in range(config.epochs)
        for step in optimiser_steps(lengths, config.batch_size, config.length_window, seed, epoch)
    ]


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


# ---- the loss and its steps -----------------------------------------------------------------------


def twenty(examples, architecture, **changes):
    """A model after 20 steps, and these.

    At the paper's rate: where a gradient is 0 but for rounding, AdamW makes steps of up to it.
    """
    return trained(examples, trainable(architecture), 20, epochs=7, learning_rate=2e-4, **changes)


@pytest.fixture(scope="module")
def whole(examples):
    """An adapter after 20 steps of one micro-batch each, and these steps; made once."""
    made = {}

    def of(architecture, mean):
        if (architecture, mean) not in made:
            made[architecture, mean] = twenty(examples, architecture, loss_reduction=mean)
        return made[architecture, mean]

    return of


@pytest.mark.parametrize("tokens", [1, 150])
@pytest.mark.parametrize(
    ("architecture", "mean"), [*((name, "sequence") for name in ARCHITECTURES), ("gpt2", "token")]
)
def test_how_a_step_is_cut_does_not_change_the_adapter(architecture, mean, tokens, whole, examples):
    """Trap 3: the mean of each micro-batch, summed or averaged, is not the mean of the step."""
    expected, expected_steps = whole(architecture, mean)
    found, steps = twenty(examples, architecture, loss_reduction=mean, tokens_per_microbatch=tokens)
    assert len(steps) == 20
    assert [s.loss for s in steps] == pytest.approx([s.loss for s in expected_steps], rel=1e-5)
    assert_close(weights(found), weights(expected), atol=1e-6)


@pytest.mark.parametrize("mean", ["sequence", "token"])
def test_first_step_has_the_loss_of_the_papers_equation(mean, examples):
    """Over all pairs of the step, N = 8, in micro-batches of one pair and many."""
    changes = {"batch_size": 8, "loss_reduction": mean, "epochs": 1}
    first, rest = steps_of(examples, **changes)
    assert {len(first), len(rest)} == {8, 2}
    with torch.no_grad():
        expected = paper_loss(random_model("gpt2", torch.float32), [examples[i] for i in first], mean)
    _, [step] = trained(examples, steps=1, tokens_per_microbatch=200, **changes)
    assert step.loss == pytest.approx(expected.item(), rel=1e-5)
    assert step.mean_weight == pytest.approx(np.mean([examples[i].weight for i in first]))
    assert step.tokens == sum(len(examples[i].input_ids) for i in first)


@pytest.mark.parametrize("mean", ["sequence", "token"])
@pytest.mark.parametrize(("method", "name"), [("lora", "adamw"), ("lora", "adafactor"), ("full", "adamw")])
def test_training_is_the_optimiser_on_the_papers_loss(method, name, mean, examples):
    """Beside a loop as a textbook has it: whole steps, no schedule but the linear one."""
    # In float64, as AdamW makes whole steps of gradients that are 0 but for rounding.
    found, model = (trainable(method=method, dtype=torch.float64) for _ in range(2))
    changes = {"optimiser": name, "loss_reduction": mean, "weight_decay": 0.1, "max_grad_norm": 0.5}
    _, steps = trained(examples, found, tokens_per_microbatch=200, **changes)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    kind = {"adamw": torch.optim.AdamW, "adafactor": torch.optim.Adafactor}[name]
    optimiser = kind(parameters, lr=CONFIG.learning_rate, weight_decay=0.1)
    norms = []
    for number, indices in enumerate(steps_of(examples)):
        loss = paper_loss(model, [examples[index] for index in indices], mean)
        optimiser.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, 0.5).item())
        optimiser.param_groups[0]["lr"] = CONFIG.learning_rate * (1 - number / 12)
        optimiser.step()
    assert max(norms) > 0.5, "nothing to clip"
    assert [step.gradient_norm for step in steps] == pytest.approx(norms, rel=1e-4)
    assert_close(weights(found), weights(model), atol=1e-5)


class InOrder(Trainer):
    """The Trainer of transformers, that takes its rows as they come."""

    def _get_train_sampler(self, *_):
        return SequentialSampler(self.train_dataset)


def with_completion_labels(rows):
    """Padded, with -100 at prompt and padding: what transformers leaves out of a loss."""
    longest = max(len(row["tokens"]) for row in rows)
    tokens, mask = torch.zeros(2, len(rows), longest, dtype=torch.long)
    labels = torch.full_like(tokens, -100)
    for number, row in enumerate(rows):
        part = torch.tensor(row["tokens"])
        tokens[number, : len(part)], mask[number, : len(part)] = part, 1
        labels[number, row["start"] : len(part)] = part[row["start"] :]
    return {"input_ids": tokens, "attention_mask": mask, "labels": labels}


def test_mean_over_tokens_is_what_the_trainer_of_transformers_does(examples, tmp_path):
    """Its rows 4 at a time, accumulated over 2; all else as ours."""
    even = [dataclasses.replace(example, weight=1.0) for example in (*examples, *examples[:6])]
    changes = {
        "epochs": 5,
        "batch_size": 8,
        "loss_reduction": "token",
        "warmup_ratio": 0.3,
        "max_grad_norm": 0.5,
    }
    ours, steps = trained(even, tokens_per_microbatch=200, **changes)
    assert len(steps) == 10
    order = [even[index] for step in steps_of(even, **changes) for index in step]
    model = trainable()
    log = InOrder(
        model=model,
        args=TrainingArguments(
            output_dir=str(tmp_path),
            num_train_epochs=1,
            per_device_train_batch_size=4,
            gradient_accumulation_steps=2,
            optim="adamw_torch",
            learning_rate=CONFIG.learning_rate,
            weight_decay=0.0,
            lr_scheduler_type="linear",
            warmup_steps=3,
            max_grad_norm=0.5,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            remove_unused_columns=False,
        ),
        train_dataset=[{"tokens": list(e.input_ids), "start": e.prompt_length} for e in order],
        data_collator=with_completion_labels,
    )
    log.train()
    theirs = [entry for entry in log.state.log_history if "grad_norm" in entry]
    assert [step.loss for step in steps] == pytest.approx([e["loss"] for e in theirs], rel=1e-4)
    assert [step.learning_rate for step in steps] == pytest.approx([e["learning_rate"] for e in theirs])
    assert_close(weights(ours), weights(model), atol=1e-6)


def test_weights_1_1_1_give_what_uniform_gives_to_the_last_bit(examples):
    logits = torch.randn(len(examples), 3, generator=torch.Generator().manual_seed(0))
    table = pd.DataFrame(logits.softmax(dim=1).numpy(), columns=list(PROBABILITIES))
    found = pair_weights(table, ArmConfig(alpha=1.0, beta=1.0, gamma=1.0, renormalise=False))
    weighted = [dataclasses.replace(e, weight=float(w)) for e, w in zip(examples, found, strict=True)]
    uniform = [dataclasses.replace(e, weight=1.0) for e in examples]
    (one, one_steps), (other, other_steps) = trained(weighted), trained(uniform)
    assert one_steps == other_steps
    assert_equal(weights(one), weights(other))


def test_weights_matter(examples):
    flat = [dataclasses.replace(example, weight=1.0) for example in examples]
    weighted, uniform = weights(trained(examples)[0]), weights(trained(flat)[0])
    assert max((weighted[name] - uniform[name]).abs().max() for name in weighted) > 1e-4


def test_smaller_last_step_is_averaged_over_its_own_pairs(examples):
    """The same pair ten times over: each step of an unmoved model has that pair's loss."""
    same = [dataclasses.replace(examples[3], weight=1.0)] * 10
    _, steps = trained(same, epochs=1, learning_rate=1e-12)
    assert [step.loss for step in steps] == pytest.approx([steps[0].loss] * 3, rel=1e-5)


# ---- what moves, what repeats ---------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_adapter_moves_and_the_base_does_not(architecture, examples):
    base = random_model(architecture, torch.float32).state_dict()
    model = trainable(architecture)
    before = weights(model)
    trained(examples, model, epochs=1)
    after = model.state_dict()
    names = {name.removeprefix("base_model.model.").replace(".base_layer", ""): name for name in after}
    assert base.keys() <= names.keys()
    for name, tensor in base.items():
        assert torch.equal(after[names[name]], tensor), name
    assert any("lora_B" in name for name in before)
    for name, parameter in weights(model).items():
        assert not torch.equal(parameter, before[name]), name


def test_full_training_moves_every_weight(examples):
    model = trainable("qwen2", "full")
    before = weights(model)
    trained(examples, model, epochs=1)
    assert before.keys() == dict(model.named_parameters()).keys()
    for name, parameter in weights(model).items():
        assert not torch.equal(parameter, before[name]), name


@pytest.mark.parametrize("architecture", ["gpt2", "qwen2"])
def test_two_runs_are_equal_to_the_last_bit(architecture, examples):
    runs = []
    for noise in (1, 2):
        model = trainable(architecture, dropout=0.2)
        torch.manual_seed(noise)  # what was drawn before a run is no part of it
        runs.append((trained(examples, model)[1], weights(model)))
    (first_steps, first), (second_steps, second) = runs
    assert first_steps == second_steps
    assert_equal(second, first)


def test_another_seed_gives_another_run(examples):
    _, steps = trained(examples)
    _, others = trained(examples, seed=18)
    assert [step.loss for step in others] != [step.loss for step in steps]


def test_dropout_is_drawn_anew_at_every_step(examples):
    model = trainable("gpt2", "full", dropout=0.2)
    _, steps = trained([examples[0]], model, batch_size=1, learning_rate=1e-12)
    assert len({round(step.loss, 4) for step in steps}) == len(steps)


@pytest.mark.parametrize("architecture", ["gpt2", "qwen2"])
def test_loss_falls_on_a_few_repeated_pairs(architecture, examples):
    _, steps = trained(examples[:4], trainable(architecture), epochs=30, learning_rate=0.01)
    assert steps[-1].loss < 0.8 * steps[0].loss


def test_model_is_left_in_evaluation_mode(examples):
    model, _ = trained(examples, trainable(dropout=0.2), epochs=1)
    assert not any(module.training for module in model.modules())


# ---- schedule -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "batch_size", "epochs", "number"), [(10, 4, 2, 6), (8, 4, 3, 6), (3, 8, 2, 2), (1, 1, 1, 1)]
)
def test_number_of_steps(count, batch_size, epochs, number, examples):
    _, steps = trained(examples[:count], batch_size=batch_size, epochs=epochs)
    assert [step.number for step in steps] == list(range(1, number + 1))
    assert [step.epoch for step in steps] == pytest.approx(
        [epochs * n / number for n in range(1, number + 1)]
    )


@pytest.mark.parametrize("warmup", [0.0, 0.25, 0.04])
@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_learning_rate_rises_then_follows_its_schedule(schedule, warmup, examples):
    total, rising = 12, round(12 * warmup)

    def share(step):
        if step < rising:
            return step / rising
        done = (step - rising) / (total - rising)
        return {"linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2, "constant": 1.0}[schedule]

    _, steps = trained(examples[:3], batch_size=1, epochs=4, lr_scheduler=schedule, warmup_ratio=warmup)
    expected = [0.002 * share(step) for step in range(total)]
    assert [step.learning_rate for step in steps] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert max(expected) == 0.002


# ---- validation -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def valid(examples):
    return Validation(examples[6:], ["critical", "neutral", "critical", "critical"])


def by_hand(model, valid):
    """NLL per answer token of the validation pairs as the model is now."""
    even = [dataclasses.replace(example, weight=1.0) for example in valid.examples]
    training = model.training
    with torch.no_grad():
        found = paper_loss(model.eval(), even, "token").item()
    model.train(training)
    return found


def test_validation_is_the_likelihood_in_evaluation_mode(examples, valid):
    model = trainable(dropout=0.3)
    for step in train(model, examples[:6], CONFIG, RESOURCES, SEED, name="test", valid=valid):
        if step.valid:
            assert step.valid["nll"] == pytest.approx(by_hand(model, valid), rel=1e-5)
            assert step.valid["nll_non_critical"] is None
            assert step.valid["nll_critical"] != step.valid["nll_neutral"]


def test_validation_leaves_training_as_it_is(examples, valid):
    plain, _ = trained(examples[:6], trainable(dropout=0.3))
    watched, _ = trained(examples[:6], trainable(dropout=0.3), more={"valid": valid}, evaluate_every=0.5)
    assert_equal(weights(watched), weights(plain))


@pytest.mark.parametrize(
    ("every", "numbers"),
    [
        (1.0, [3, 6, 9, 12]),
        (0.5, [2, 3, 5, 6, 8, 9, 11, 12]),
        (1 / 3, list(range(1, 13))),
        (0.1, list(range(1, 13))),
        (1.5, [5, 9, 12]),
        (3.0, [9, 12]),
        (5.0, [12]),
    ],
)
def test_validation_comes_as_often_as_asked(every, numbers, examples, valid):
    """Three steps an epoch; after each that reaches or passes a multiple, and after the last."""
    _, steps = trained(examples[:3], batch_size=1, more={"valid": valid}, evaluate_every=every)
    assert [step.number for step in steps if step.valid] == numbers


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("keep", ["last", "best"])
def test_weights_kept_are_those_asked_for(keep, method, examples, valid):
    """The rate is so high that validation turns worse before the end."""
    model, seen, nll = trainable("gpt2", method), {}, {}
    changed = settings(checkpoint_selection=keep, learning_rate=0.02, lr_scheduler="constant", epochs=8)
    for step in train(model, examples[:6], *changed, name="test", valid=valid):
        if step.valid:
            seen[step.number], nll[step.number] = weights(model), step.valid["nll"]
    best, last = min(nll, key=nll.get), max(nll)
    assert best < last, "the best is the last"
    assert_equal(weights(model), seen[{"last": last, "best": best}[keep]])


# ---- what is not finite ---------------------------------------------------------------------------


def diverged(model, examples, folder, number):
    """The rows that a run names when it stops at step `number`, with all as the step before left it."""
    run = train(
        model,
        examples,
        *settings(warmup_ratio=0.25, checkpoint_every=1),
        name="test",
        checkpoints=Checkpoints(folder),
    )
    assert len(list(itertools.islice(run, number - 1))) == number - 1
    before = weights(model)
    with pytest.raises(WaznError, match=rf"step {number}\b") as caught:
        next(run)
    assert_equal(weights(model), before)
    assert all(tensor.isfinite().all() for tensor in before.values())
    kept = Checkpoints(folder).latest()
    assert [step["number"] for step in kept["history"]] == list(range(1, number))
    assert re.search(rf"learning rate {0.002 * (number - 1) / 3:g}\b", str(caught.value))
    return re.findall(r"row-\d+", str(caught.value))


@pytest.mark.parametrize("tokens", [1, 100_000])
@pytest.mark.parametrize("cause", ["weight is nan", "weight is inf", "its states overflow"])
def test_loss_that_is_not_finite_names_step_row_and_rate(cause, tokens, examples, tmp_path, monkeypatch):
    monkeypatch.setattr("runs.RESOURCES", settings(tokens_per_microbatch=tokens)[1])
    row = steps_of(examples)[2][1]
    model, spoilt = trainable("qwen2", tie_word_embeddings=False), list(examples)
    if "weight" in cause:
        spoilt[row] = dataclasses.replace(examples[row], weight=float(cause.rpartition(" ")[2]))
    else:
        model.get_input_embeddings().weight.data[350] = math.inf  # no other row has this token
        spoilt[row] = dataclasses.replace(examples[row], input_ids=[350, *examples[row].input_ids[1:]])
    assert diverged(model, spoilt, tmp_path, 3) == [f"row-{row}"]


def test_gradient_that_is_not_finite_names_step_rows_and_rate(examples, tmp_path):
    """While the loss is: then it may be any row of the step."""
    model, microbatches = trainable(), itertools.count()
    lengths = [len(example.input_ids) for example in examples]
    [first] = split_across_ranks(steps_of(examples)[0], lengths, RESOURCES.tokens_per_microbatch, 1)

    def overflow(gradient):
        return gradient * math.inf if next(microbatches) == len(first) else gradient

    next(iter(p for p in model.parameters() if p.requires_grad)).register_hook(overflow)
    rows = steps_of(examples)[1]
    assert diverged(model, examples, tmp_path, 2) == [f"row-{row}" for row in rows]


def test_validation_that_is_not_finite_names_its_rows(examples):
    spoilt = dataclasses.replace(examples[7], input_ids=[350, *examples[7].input_ids[1:]])
    valid = Validation([examples[6], spoilt, examples[8]], ["critical"] * 3)
    model = trainable("qwen2", tie_word_embeddings=False)
    model.get_input_embeddings().weight.data[350] = math.inf  # no other row has this token
    with pytest.raises(WaznError, match=r"validation rows row-7 is not finite after step 3\b"):
        trained(examples[:3], model, more={"valid": valid}, batch_size=1)


# ---- taken up again -------------------------------------------------------------------------------


@pytest.mark.parametrize("best", [None, "first", "later"])
@pytest.mark.parametrize("optimiser", ["adamw", "adafactor"])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_run_taken_up_again_gives_the_same_to_the_last_bit(
    method, optimiser, best, examples, tmp_path, monkeypatch, capsys
):
    """Stopped again and again, at checkpoints, after and before them; with dropout.

    Better weights come after the last checkpoint; or, with likelihoods turned round, those of the first
    evaluation stay the best, and only a checkpoint holds them.
    """
    changes = {
        "optimiser": optimiser,
        "checkpoint_selection": "best" if best else "last",
        "learning_rate": 0.01,
        "checkpoint_every": 3,
    }
    changes |= {"lr_scheduler": "cosine", "warmup_ratio": 0.3, "epochs": 5, "weight_decay": 0.1}
    valid = Validation(examples[:6], ["critical"] * 6)
    if best == "first":
        monkeypatch.setattr(
            "pipeline.training.steps.mean_nll", lambda sums, *_: {"nll": -float(sums.sum())}
        )

    def start(steps, checkpoints):
        model = trainable("gpt2", method, dropout=0.1)
        more = {"valid": valid, "checkpoints": checkpoints}
        return trained(examples[:6], model, steps, more, **changes)

    expected, expected_steps = start(None, None)
    assert len(expected_steps) == 10
    evaluated = {step.valid["nll"]: step.number for step in expected_steps if step.valid}
    assert best is None or {"first": 2, "later": 10}[best] == evaluated[min(evaluated)]
    checkpoints = Checkpoints(tmp_path)
    for stop in (1, 3, 5, 8):
        _, steps = start(stop, checkpoints)
        assert steps == expected_steps[:stop]
    capsys.readouterr()
    found, steps = start(None, checkpoints)
    assert "test: goes on after step 6 of 10" in capsys.readouterr().out
    assert steps == expected_steps
    assert_equal(weights(found), weights(expected))
