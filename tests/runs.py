"""Training runs that several tests, and the processes that they start, do alike."""

import itertools
from pathlib import Path

import numpy as np
import torch
from architectures import random_model

from pipeline.config.params import load
from pipeline.config.training import AdapterConfig
from pipeline.models.lora import add_lora
from pipeline.models.prompt import Example
from pipeline.training.trainer import train

TARGETS = {
    "gpt2": ["c_attn", "c_proj"],
    "bloom": ["query_key_value"],
    "qwen2": ["q_proj", "v_proj"],
    "qwen3": ["q_proj", "v_proj"],
    "lfm2": ["q_proj", "v_proj"],
}
ROOT = Path(__file__).resolve().parents[1]
CONFIG = load(ROOT / "params.yaml").finetune.model_copy(
    update={
        "epochs": 4,
        "batch_size": 4,
        "length_window": 2,
        "loss_reduction": "sequence",
        "optimiser": "adamw",
        "learning_rate": 0.002,
        "weight_decay": 0.0,
        "lr_scheduler": "linear",
        "warmup_ratio": 0.0,
        "max_grad_norm": 1.0,
        "evaluate_every": 1.0,
        "checkpoint_selection": "last",
    }
)
RESOURCES = load(ROOT / "params.yaml").resources.finetune.model_copy(
    update={"tokens_per_microbatch": 100_000, "checkpoint_every": 50}
)
SEED = 17


def random_examples(count, seed=1):
    """Examples of 12 to 40 random tokens."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(12, 41, count).tolist()
    return [
        Example(
            f"row-{number}",
            generator.integers(1, 300, length).tolist(),
            int(generator.integers(1, length - 2)),
            float(generator.uniform(0.5, 1.5)),
        )
        for number, length in enumerate(lengths)
    ]


def trainable(architecture="gpt2", method="lora", dropout=0.0, dtype=torch.float32, **changes):
    """A fresh random model, the same at every call: with adapters, or all of it trained."""
    if architecture == "gpt2" and method == "full":
        changes |= dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
    model = random_model(architecture, dtype, **changes)
    torch.manual_seed(3)
    if method == "full":
        return model
    return add_lora(model, TARGETS[architecture], AdapterConfig(r=4, alpha=8.0, dropout=dropout))


def weights(model):
    """What is trained, as it is now."""
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def settings(**changes):
    """CONFIG and RESOURCES with changes, and the seed."""
    resources = {name: changes.pop(name) for name in RESOURCES.model_dump() if name in changes}
    seed = changes.pop("seed", SEED)
    assert changes.keys() <= CONFIG.model_dump().keys()
    return CONFIG.model_copy(update=changes), RESOURCES.model_copy(update=resources), seed


def trained(examples, model=None, steps=None, more=None, **changes):
    """A model after so many steps (all if None), and these.

    `more` is for `train`, `changes` are for `settings`.
    """
    model = model or trainable()
    run = train(model, examples, *settings(**changes), name="test", **(more or {}))
    return model, list(itertools.islice(run, steps))
