"""wazn finetune --dry-run: what fine-tuning would take, without doing it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from pipeline import paths
from pipeline.errors import WaznError
from pipeline.models.lora import add_lora
from pipeline.models.methods import count_trainable
from pipeline.models.microbatches import resolve
from pipeline.models.runtime import device, load_pretrained, load_tokenizer, torch_dtype
from pipeline.training.batching import optimiser_steps, split_across_ranks
from pipeline.training.dataset import load_data
from pipeline.training.objective import MAX_LOGITS

if TYPE_CHECKING:
    from pipeline.config.models import ModelEntry
    from pipeline.config.resources import TrainResources
    from pipeline.config.training import ArmConfig, TrainConfig

# Share of the rate of large matrix products that training reaches (benchmarks/finetune.py).
_EFFICIENCY = 0.5
# Values of a layer that its backward pass needs, per token and hidden unit: 34 bytes at 2 bytes a value
# (Korthikanti et al., arXiv:2205.05198, without the attention scores).
_ACTIVATIONS = 17
# Bytes of a 4-bit weight with its share of the doubly quantised scales (Dettmers et al., arXiv:2305.14314).
_NF4 = 0.516
_ROW = "{:<22} {:>8} {:>14} {:>8} {:>13} {:>10} {:>10}"


@dataclass(frozen=True)
class Work:
    """The tokens of a run.

    Attributes:
        steps: optimiser steps; tokens, answers: of all sequences, and of those the answers'.
        padded: tokens computed; largest: of the largest micro-batch.
    """

    steps: int
    tokens: int
    answers: int
    padded: int
    largest: int


@dataclass(frozen=True)
class Size:
    """The parameters of a model (all, outside embeddings, trained), its layers, width and vocabulary."""

    total: int
    body: int
    trained: int
    layers: int
    hidden: int
    vocabulary: int


def run(
    models: Mapping[str, "ModelEntry"],
    seeds: Sequence[int],
    *,
    arms: Mapping[str, "ArmConfig"],
    finetune: "TrainConfig",
    resources: "TrainResources",
) -> None:
    """Print steps, tokens, padding, trained parameters, memory and time of each model's fine-tuning.

    Time and memory are estimates for this machine, of one run (one arm, one seed) in one process.

    Raises:
        WaznError: the scored pairs are missing, or no model is there.
    """
    dtype = torch_dtype(finetune.dtype)
    rate = matrix_rate(dtype)
    trainings = len(models) * len(arms) * len(seeds)
    print(
        f"{trainings} fine-tunings: {len(models)} models x {len(arms)} arms ({', '.join(arms)}) x "
        f"{len(seeds)} seeds. One of them: {finetune.method}, {finetune.epochs} epochs, "
        f"{finetune.batch_size} pairs a step, on {device().type} in {str(dtype).removeprefix('torch.')} "
        f"({rate / 1e12:.2f} TFLOP/s measured, half of it assumed)\n"
    )
    print(_ROW.format("model", "steps", "tokens", "padding", "trained", "memory", "time"))
    errors = []
    for name, entry in models.items():
        folder = paths.base_model(name)
        try:
            tokenizer = load_tokenizer(folder)
            model_size = size(folder, finetune, entry)
        except WaznError as error:
            errors.append(str(error))
            print(f"{name:<22} {error}")
            continue
        data = load_data(tokenizer, finetune, next(iter(arms.values())))
        lengths = [(len(e.input_ids), len(e.input_ids) - e.prompt_length) for e in data.examples]
        run_work = work(lengths, finetune, resources, seeds[0])
        peak = memory(model_size, run_work, finetune, resources, dtype)
        seconds = operations(model_size, run_work, finetune, resources) / (rate * _EFFICIENCY)
        print(
            _ROW.format(
                name,
                f"{run_work.steps:,}",
                f"{run_work.tokens:,}",
                f"{1 - run_work.tokens / run_work.padded:.1%}",
                f"{model_size.trained:,}",
                f"{peak / 2**30:.1f} GiB",
                _duration(seconds),
            )
        )
    if len(errors) == len(models):
        raise WaznError(errors[0])


def work(
    lengths: list[tuple[int, int]], finetune: "TrainConfig", resources: "TrainResources", seed: int
) -> Work:
    """The tokens of a run over sequences of these lengths: all tokens, and of those the answer's."""
    tokens = [length for length, _ in lengths]
    max_tokens = resolve(resources.tokens_per_microbatch, "microbatch_tokens")
    padded, largest, steps = 0, 0, 0
    for epoch in range(finetune.epochs):
        for step in optimiser_steps(tokens, finetune.batch_size, finetune.length_window, seed, epoch):
            steps += 1
            for group in split_across_ranks(step, tokens, max_tokens, 1)[0]:
                computed = max(tokens[index] for index in group) * len(group)
                padded, largest = padded + computed, max(largest, computed)
    answers = sum(answer for _, answer in lengths)
    return Work(steps, finetune.epochs * sum(tokens), finetune.epochs * answers, padded, largest)


def size(folder: Path, finetune: "TrainConfig", entry: "ModelEntry") -> Size:
    """The size of a model and of its trained part, from its configuration; no weights are loaded.

    Raises:
        WaznError: it is missing, or has no such modules as are to be adapted.
    """
    config: Any = load_pretrained(AutoConfig, folder)
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    embeddings = {id(p): p for m in _ends(model) for p in m.parameters()}
    total = sum(parameter.numel() for parameter in model.parameters())
    body = total - sum(parameter.numel() for parameter in embeddings.values())
    model.name_or_path = str(folder)
    with torch.device("meta"):
        trained: Any = (
            model if finetune.method == "full" else add_lora(model, entry.lora_targets or [], finetune.lora)
        )
    return Size(
        total,
        body,
        count_trainable(trained),
        config.num_hidden_layers,
        config.hidden_size,
        config.vocab_size,
    )


def _ends(model: PreTrainedModel) -> list[torch.nn.Module]:
    return [model.get_input_embeddings(), model.get_output_embeddings()]


def operations(size: Size, work: Work, finetune: "TrainConfig", resources: "TrainResources") -> float:
    """Floating-point operations of a run's matrix products, attention's left out.

    Two a weight and token forward, two for the gradient of the activations, two for that of the weights
    where they are trained, and two to compute the activations anew where they are not kept.
    """
    full = 2 * (finetune.method == "full")
    body = 4 + full + 2 * resources.gradient_checkpointing
    head = size.vocabulary * size.hidden * (4 + full)
    return float(body * size.body * work.padded + head * work.answers)


def memory(
    size: Size, work: Work, finetune: "TrainConfig", resources: "TrainResources", dtype: torch.dtype
) -> float:
    """Bytes at the peak: weights, gradients, optimiser, activations of the largest micro-batch, logits."""
    full = finetune.method == "full"
    frozen = {"lora": dtype.itemsize, "qlora": _NF4, "full": 4}[finetune.method]
    # Of a quantised model only the body is; what PEFT leaves out of it becomes float32.
    weights = frozen * size.body + (size.total - size.body) * (4 if finetune.method == "qlora" else frozen)
    states = 4 + (8 if finetune.optimiser == "adamw" else 0) + (0 if full else 4)
    kept = _ACTIVATIONS + size.layers if resources.gradient_checkpointing else _ACTIVATIONS * size.layers
    activations = kept * work.largest * size.hidden * dtype.itemsize
    return (
        weights
        + states * size.trained
        + activations
        + 2 * 4 * min(MAX_LOGITS, work.largest * size.vocabulary)
    )


def matrix_rate(dtype: torch.dtype, width: int = 2048, seconds: float = 0.3) -> float:
    """Floating-point operations a second of large matrix products on this machine's device."""
    a, b = (torch.randn(width, width, dtype=dtype, device=device()) for _ in range(2))
    rates: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(rates) < 3:
        start = time.perf_counter()
        torch.mm(a, b)[0, 0].item()  # waits for a GPU
        rates.append(2 * width**3 / (time.perf_counter() - start))
    return float(np.max(rates))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
