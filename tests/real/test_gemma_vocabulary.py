"""The vocabulary of Gemma 3 270M: 262,144 rows that embedding and lm_head share, and what has no row."""

from pathlib import Path

import pytest
import torch
from real_project import FINETUNE, MODEL, SEED, link, posts, printed
from safetensors.torch import load_file
from transformers import AutoTokenizer

from pipeline import paths
from pipeline.config.params import load
from pipeline.errors import WaznError
from pipeline.evaluation.generation import generate
from pipeline.models.budgets import Budget
from pipeline.models.methods import load_trainable
from pipeline.models.runtime import load_decoder, load_tokenizer
from pipeline.models.trained import add_adapter
from pipeline.stages import finetune as stage
from pipeline.training.objective import MAX_LOGITS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROWS, WIDTH = 262_144, 640


def finetune(targets=None, **changes):
    """Run the stage in the present folder."""
    params = load(Path("params.yaml"))
    entry = params.registry[MODEL]
    stage.run(
        MODEL,
        "uniform",
        SEED,
        finetune=params.finetune.model_copy(update=changes),
        entry=entry.model_copy(update={"lora_targets": targets or entry.lora_targets}),
        weights=params.arm_settings["uniform"],
        resources=params.resources.finetune,
    )


@pytest.fixture
def changed(project, tmp_path, monkeypatch):
    """Go to a copy of the project; the folder of its model, whose files are to be replaced, not changed."""
    monkeypatch.chdir(link(project, tmp_path / "project"))
    return paths.base_model(MODEL)


def replace_tokenizer(folder, **special):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens(special)
    for path in folder.glob("tokenizer*"):
        path.unlink()
    tokenizer.save_pretrained(folder)


# ---- adapters on embedding and lm_head --------------------------------------------------------------


@pytest.mark.parametrize("target", ["embed_tokens", "lm_head"])
def test_an_adapter_on_either_end_of_the_tied_matrix_is_refused(target, project, monkeypatch):
    monkeypatch.chdir(project)
    config = load(Path("params.yaml")).finetune
    said = f"lora_targets names '{target}', but input embedding and lm_head of this model are one matrix"
    with pytest.raises(WaznError, match=said):
        load_trainable(paths.base_model(MODEL), config, ["q_proj", target], torch.float32)


def test_untied_both_ends_take_adapters_and_merged_is_unmerged(changed):
    """Gemma multiplies what it looks up by the square root of its width; so must an adapter there."""
    model = load_decoder(changed, torch.float32, FINETUNE["max_length"])
    model.lm_head = torch.nn.Linear(WIDTH, ROWS, bias=False)
    model.lm_head.weight = torch.nn.Parameter(model.get_input_embeddings().weight.detach().clone())
    model.config.tie_word_embeddings = False
    for name in ("model.safetensors", "config.json", "generation_config.json"):
        (changed / name).unlink()
    model.save_pretrained(changed)
    ids = torch.tensor([load_tokenizer(changed)("عندي صداع منذ يومين")["input_ids"]])
    with torch.no_grad():
        base = model(ids).logits
    del model
    targets = ["embed_tokens", "lm_head"]
    lora = load(Path("params.yaml")).finetune.lora
    finetune(targets, train_rows=8, valid_rows=4, learning_rate=0.002)

    folder = paths.trained_model("uniform", MODEL, SEED)
    state = load_file(folder / "adapter_model.safetensors")
    assert len(state) == 4
    for target in targets:
        grown = [tensor for name, tensor in state.items() if target in name and tensor.any()]
        assert len(grown) == 2, f"the adapter on {target} has not moved from zero"
    largest = max(tensor.numel() for tensor in state.values())
    assert largest == lora.r * ROWS, "the frozen matrix is saved too"
    logits = []
    for merge in (True, False):
        decoder = load_decoder(changed, torch.float32, FINETUNE["max_length"])
        with torch.no_grad():
            logits.append(add_adapter(decoder, folder, merge=merge)(ids).logits)
    torch.testing.assert_close(*logits, rtol=1e-3, atol=5e-3)
    assert (logits[0] - base).abs().mean() > 0.1


# ---- tokens without a row, and one that was never shown ---------------------------------------------


def test_padding_beyond_the_embedding_never_reaches_it(changed):
    questions = posts(4)["Post"].tolist()
    decoder, own = load_decoder(changed, torch.float32, 8), load_tokenizer(changed)
    replace_tokenizer(changed, pad_token="<padding>")
    tokenizer = load_tokenizer(changed)
    assert (own.pad_token_id, tokenizer.pad_token_id) == (0, ROWS)
    assert len(decoder.get_input_embeddings().weight) == ROWS
    limits = {"max_length": 128, "max_new_tokens": 8, "max_new_words": None}
    answers, expected = (
        generate(decoder, each, questions, budget=Budget(4), name="test", **limits)
        for each in (tokenizer, own)
    )
    assert answers == expected


class TrainingBeginsError(Exception):
    """Raised where the first step would be made."""


def test_the_end_of_another_models_tokenizer_is_warned_of_before_training(changed, monkeypatch, capsys):
    """`<end_of_turn>` closes the turns of the chat model that was made of this one, which never saw it."""

    def no_training(*_, **__):
        raise TrainingBeginsError

    monkeypatch.setattr(stage, "train", no_training)
    replace_tokenizer(changed, eos_token="<end_of_turn>")
    with pytest.raises(TrainingBeginsError):
        finetune()
    said = capsys.readouterr().out
    assert said.startswith(
        "warning: after a whole answer the base model gives its end-of-text <end_of_turn>"
    )
    assert "less than a tenth of 1 in 262,144: it seems never to have learnt to write it" in said


def test_its_own_end_is_not_warned_of(trained):
    """It ends documents with `<eos>`, if seldom this early: a probability of some 1 in 1,200."""
    assert trained.out == ""


# ---- memory ---------------------------------------------------------------------------------------

MEASURE = """
import re
import sys
from pathlib import Path

import torch

from pipeline.config.training import AdapterConfig
from pipeline.models.lora import add_lora
from pipeline.models.runtime import load_decoder
from pipeline.training.batching import Batch
from pipeline.training.objective import AnswerLoss

folder, method, *counts = sys.argv[1:]
tokens = torch.arange(1000, 1512)[None]
model = load_decoder(Path(folder), torch.float32, 512)
if method == "lora":
    model = add_lora(model, ["q_proj", "v_proj"], AdapterConfig(r=16, alpha=32.0, dropout=0.0))
for parameter in model.parameters():
    parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
loss_of = AnswerLoss(model, in_place=True).train()
for count in map(int, counts):
    answer = torch.arange(512)[None] >= 512 - count
    loss_of(Batch(tokens, answer), torch.ones(1))[0].backward()
    print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.parametrize("method", ["lora", "full"])
def test_logits_of_a_long_answer_never_exist_at_once(method, gemma, tmp_path):
    """Of 511 tokens they would take 536 MB, and as much for each tensor that is computed of them.

    Measured with the allocator as it is. `python -m pipeline` has it keep what is freed, in pieces that a
    buffer of a chunk may not fit into, so that its peak lies higher.
    """
    chunk, buffer = MAX_LOGITS // ROWS, MAX_LOGITS * 4
    assert (chunk, buffer) == (128, 134_217_728)
    peaks = printed(MEASURE, tmp_path, gemma, method, 1, chunk, 511).split()
    one, whole_chunk, long = (int(peak) * 1024 for peak in peaks)
    assert buffer < whole_chunk - one < 2.5 * buffer
    assert long - whole_chunk < 0.25 * buffer
