"""Gemma 3 270M fine-tuned on real posts: what it learns, and that it comes out the same every time."""

import json
import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import PartialState
from commands import files_of
from real_project import FINETUNE, MODEL, SEED, TRAIN, VALID, begin, finetune, link, printed

from pipeline.evaluation.generation import generate
from pipeline.models.budgets import Budget
from pipeline.models.prompt import encode_pairs, encode_prompt, scored_bytes
from pipeline.models.runtime import load_tokenizer
from pipeline.models.trained import load_trained
from pipeline.training.likelihood import score_answers
from pipeline.training.objective import AnswerLoss

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
STEPS = TRAIN // FINETUNE["batch_size"]
ADAPTER = f"models/uniform/{MODEL}/{SEED}"
METRICS = f"metrics/finetune/uniform/{MODEL}/{SEED}.json"
# As the card asks.
QUESTION = "عندي صداع منذ يومين"


@pytest.fixture
def in_project(trained, monkeypatch):
    monkeypatch.chdir(trained.folder)


@pytest.fixture
def held_out(in_project):
    """The posts that are not trained on."""
    table = pd.read_parquet("data/scored/pairs.parquet")
    return table[table["split"] == "valid"]


@pytest.fixture
def tokenizer(in_project):
    return load_tokenizer(Path("models/base") / MODEL)


def loaded(seed):
    """The model after fine-tuning with this seed, or before it if None."""
    return load_trained(MODEL, "uniform", seed, torch.float32, FINETUNE["max_length"])


def test_plans_are_learnt_that_were_never_shown(held_out, tokenizer):
    """NLL of the plans of 48 posts after training on 64 others: with their own posts, and with others'.

    Before training it is 5.04 nats a token, 1.03 a byte; a token drawn at random would give 2.5 a byte, and
    norms that are off by one 3.5.
    """
    exchanged = held_out.assign(question=np.roll(held_out["question"], 1))
    own, other = (
        encode_pairs(tokenizer, pairs, [1.0] * VALID, FINETUNE["max_length"])[0]
        for pairs in (held_out, exchanged)
    )
    size = sum(scored_bytes(tokenizer, *each) for each in zip(own, held_out["answer"], strict=True))

    def nats(model, examples):
        return score_answers(AnswerLoss(model).eval(), examples, Budget(512), PartialState(cpu=True))

    base = loaded(None)
    before, tokens = nats(base, own)
    assert len(before) == VALID
    assert 0.9 < before.sum() / size < 1.15
    # Each plan by itself: what differs is the post.
    without_its_post, _ = nats(base, other)
    assert without_its_post.sum() / size > before.sum() / size + 0.02
    assert (without_its_post > before).mean() > 0.6
    after, _ = nats(loaded(SEED), own)
    assert after.sum() / tokens.sum() < before.sum() / tokens.sum() - 0.15
    assert (after < before).mean() > 0.9
    facts = json.loads(Path(METRICS).read_text(encoding="utf-8"))
    assert (facts["pairs"], facts["steps"], facts["valid"]["pairs"]) == (TRAIN, STEPS, VALID)
    assert facts["valid"]["nll"] == pytest.approx(after.sum() / tokens.sum(), abs=1e-3)


def test_greedy_answers_do_not_depend_on_the_batch(held_out, tokenizer):
    model = loaded(SEED)
    limits = {"max_length": FINETUNE["max_length"], "max_new_tokens": 24, "max_new_words": None}
    alone, together = (
        generate(
            model, tokenizer, held_out["question"].tolist()[:32], budget=Budget(size), name="test", **limits
        )
        for size in (1, 16)
    )
    assert alone == together
    assert len({answer.text for answer in alone}) > 16
    assert min(len(answer.text) for answer in alone) > 10


def test_killed_it_goes_on_and_gives_the_same_bytes(project, trained, tmp_path):
    folder = link(project, tmp_path / "project")
    killed = begin(folder, "uniform")
    deadline = time.monotonic() + 600
    while not list(folder.glob(".checkpoints/**/step-000000002-*.pt")):
        assert killed.poll() is None and time.monotonic() < deadline, "no checkpoint"
        time.sleep(0.05)
    killed.kill()
    killed.communicate()
    assert not (folder / ADAPTER).exists()
    went_on = re.fullmatch(
        rf"finetune {MODEL} uniform {SEED}: goes on after step (\d+) of {STEPS}, from a checkpoint\n",
        finetune(folder, "uniform"),
    )
    assert 2 <= int(went_on[1]) < STEPS
    results = ("models/uniform/**/*", "metrics/**/*")
    expected = files_of(trained.folder, *results)
    assert f"{ADAPTER}/adapter_model.safetensors" in expected
    assert files_of(folder, *results) == expected


def test_weights_of_one_are_plain_cross_entropy_bit_for_bit(project, trained, tmp_path):
    folder = link(project, tmp_path / "project")
    finetune(folder, "ones")
    name = "adapter_model.safetensors"
    ones = (folder / f"models/ones/{MODEL}/{SEED}" / name).read_bytes()
    assert ones == (trained.folder / ADAPTER / name).read_bytes()


def test_plain_peft_answers_alike_in_another_folder(trained, in_project, tokenizer, tmp_path):
    """With adapter and base model alone, by the lines of the card, as it says."""
    start = len(encode_prompt(tokenizer, QUESTION))
    limits = {"max_length": start, "max_new_tokens": FINETUNE["max_length"] - start, "max_new_words": None}
    [answer] = generate(loaded(SEED), tokenizer, [QUESTION], budget=Budget(1), name="test", **limits)
    assert len(answer.text) > 20
    alone = link(trained.folder / ADAPTER, tmp_path / "adapter")
    link(trained.folder / "models/base" / MODEL, tmp_path / "gemma")
    card = (alone / "README.md").read_text(encoding="utf-8")
    [lines] = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    relative = f"../../../base/{MODEL}"
    assert lines.count(relative) == 1 and QUESTION in lines
    assert printed(lines.replace(relative, "../gemma"), alone, project=False) == answer.text
