"""What a fine-tuning takes, found by computing a small part of it: nothing is modelled, nothing is written.

The process that measures starts as a run does, then computes a sample of the run's micro-batches, spread
evenly over their sizes. Time is extended to all of them by their padded tokens. Memory is the peak of the
process, so each model needs a fresh one.
"""

import copy
import hashlib
import re
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate import PartialState

from pipeline.code_hashes import code_hash
from pipeline.errors import WaznError
from pipeline.models.budgets import lacks_memory
from pipeline.models.methods import count_trainable, load_trainable
from pipeline.models.microbatches import padded_tokens
from pipeline.models.runtime import deterministic, device, load_tokenizer, torch_dtype
from pipeline.training.batching import split_across_ranks
from pipeline.training.checkpoints import fingerprint
from pipeline.training.dataset import Validation, load_data
from pipeline.training.dropout import checkpoint_activations
from pipeline.training.end_of_text import end_of_text_nll
from pipeline.training.fitting import try_largest
from pipeline.training.least_memory import check_memory
from pipeline.training.steps import Run

if TYPE_CHECKING:
    from pipeline.config.models import ModelEntry
    from pipeline.config.resources import TrainResources
    from pipeline.config.training import ArmConfig, TrainConfig

# Micro-batches are measured until so many seconds have passed, but at least and at most so many.
_SECONDS = 10.0
_LEAST, _MOST = 8, 64


@dataclass(frozen=True)
class Work:
    """The micro-batches of a run.

    Attributes:
        steps: optimiser steps; tokens: of all sequences, without padding.
        groups: the sequences of every micro-batch; computed: their padded tokens, (M,).
    """

    steps: int
    tokens: int
    groups: list[list[int]]
    computed: np.ndarray


@dataclass(frozen=True)
class Estimate:
    """What a run takes.

    Attributes:
        steps, tokens: see `Work`; padding: share of the computed tokens.
        trained: parameters that are trained.
        memory: bytes at the peak: of the process, or on a GPU of what torch allocates there.
        seconds: from the start of the command to its end.
    """

    steps: int
    tokens: int
    padding: float
    trained: int
    memory: int
    seconds: float


def estimate(
    base: Path,
    seed: int,
    finetune: "TrainConfig",
    entry: "ModelEntry",
    arm: "ArmConfig",
    resources: "TrainResources",
    started: float,
) -> Estimate:
    """Measure what fine-tuning the model in `base` takes, in one process on this machine.

    Args:
        seed: of order and dropout.
        started: when the process that measures was started, in seconds as `time.time` gives them.

    Raises:
        WaznError: what a run raises before its first step, or the GPU's memory does not hold it.
    """
    deterministic(seed)
    tokenizer = load_tokenizer(base)
    data = load_data(tokenizer, finetune, arm)
    dtype = torch_dtype(finetune.dtype)
    check_memory(base, finetune, entry.lora_targets or [], dtype)
    with _memory_of_gpu(base):
        attention = resources.attn_implementation
        model = load_trainable(base, finetune, entry.lora_targets or [], dtype, attention)
        processes = PartialState(cpu=not torch.cuda.is_available())
        end_of_text_nll(model, data.examples, tokenizer.eos_token_id, seed, processes)
        if resources.gradient_checkpointing:
            checkpoint_activations(model)
        fingerprint(base, seed, finetune, entry, arm, code_hash("finetune"))  # reads the whole model
        # With this learning rate no weight changes, so that no loss can become infinite.
        still = finetune.model_copy(update={"learning_rate": 0.0})
        run = _TimedRun(model, data.examples, still, resources, seed, str(base), dtype)
        if device().type == "cuda":
            try_largest(run)  # so that what follows is cut as it will be
        todo = work(run)
        starting = time.time() - started
        first, backward, step = run.measure(todo)
        evaluation = run.measure_evaluation(data.valid) if data.valid else 0.0
        saving = run.measure_saving(resources.checkpoint_every)
        evaluations = min(todo.steps, int(np.ceil(finetune.epochs / finetune.evaluate_every - 1e-9)))
        return Estimate(
            todo.steps,
            todo.tokens,
            1 - todo.tokens / float(todo.computed.sum()),
            count_trainable(model),
            peak_memory(),
            starting + first + backward + step * todo.steps + evaluation * evaluations + saving,
        )


@contextmanager
def _memory_of_gpu(base: Path) -> Iterator[None]:
    """Turn the lack of a GPU's memory into a sentence.

    Raises:
        WaznError: the memory does not hold what the block computes.
    """
    try:
        yield
        return
    except RuntimeError as error:
        if not lacks_memory(error):
            raise
    raise WaznError(
        f"{base}: the GPU has too little memory; lower tokens_per_microbatch in resources.finetune, or set "
        "gradient_checkpointing there to true"
    )


def work(run: Run) -> Work:
    """The micro-batches of a run, in one process."""
    steps = list(run.steps())
    groups = [
        group for step in steps for group in split_across_ranks(step, run.lengths, run.budget.size, 1)[0]
    ]
    computed = np.array([padded_tokens(group, run.lengths) for group in groups])
    return Work(len(steps), run.config.epochs * sum(run.lengths), groups, computed)


class _TimedRun(Run):
    """A run that notes how long the micro-batches of a step take."""

    backward_seconds = 0.0

    def _backward(self, number: int, indices: Sequence[int], token_weight: np.ndarray) -> np.ndarray:
        start = time.perf_counter()
        nll = super()._backward(number, indices, token_weight)  # on the CPU, so it has waited for a GPU
        self.backward_seconds = time.perf_counter() - start
        return nll

    def measure(self, todo: Work) -> tuple[float, float, float]:
        """Seconds that the first step takes longer, of all micro-batches, and of a step beside them.

        Each of the sample is made a step of its own. The largest comes first, twice, for the peak of memory
        and to warm up. The others are new shapes to matrix libraries, as most are in a run.
        """
        by_size = np.argsort(todo.computed, kind="stable")
        tokens, backward, beside, warming = 0, 0.0, [], []
        end = time.perf_counter() + _SECONDS
        order = [len(by_size) - 1] * 2
        order += [int(place * len(by_size)) for place in _evenly(min(_MOST, len(by_size)))]
        for number, place in enumerate(order, start=1):
            if number > 2 + _LEAST and time.perf_counter() > end:
                break
            chosen = int(by_size[place])
            start = time.perf_counter()
            self.step(number, todo.groups[chosen])
            _wait()
            seconds = time.perf_counter() - start
            if number <= 2:
                warming.append(seconds)
            else:
                tokens += int(todo.computed[chosen])
                backward += self.backward_seconds
                beside.append(seconds - self.backward_seconds)
        # Gradients and the optimiser's states are made in the first.
        first = max(0.0, warming[0] - warming[1])
        return first, backward / tokens * float(todo.computed.sum()), float(np.median(beside))

    def measure_evaluation(self, valid: Validation) -> float:
        """Seconds of an evaluation on the validation pairs."""
        lengths = [len(example.input_ids) for example in valid.examples]
        groups = split_across_ranks(range(len(lengths)), lengths, self.budget.size, 1)[0]
        chosen = [int(place * len(groups)) for place in _evenly(min(_LEAST, len(groups)))]
        indices = [index for number in chosen for index in groups[number]]
        part = Validation(
            [valid.examples[index] for index in indices], [valid.severities[index] for index in indices]
        )
        self.evaluate(replace(part, examples=part.examples[:1], severities=part.severities[:1]), 0)
        start = time.perf_counter()
        self.evaluate(part, 0)
        seconds = time.perf_counter() - start
        shares = [
            sum(padded_tokens(groups[number], lengths) for number in numbers)
            for numbers in (chosen, range(len(groups)))
        ]
        return seconds * shares[1] / shares[0]

    def measure_saving(self, every: int) -> float:
        """Seconds of packing and hashing the checkpoints; what the disk takes is left out."""
        if self.config.checkpoint_selection == "best":
            self.best = copy.deepcopy(self.state(with_optimiser=False))
        checkpoints = (self.total_steps - 1) // every
        if not checkpoints:
            return 0.0
        start = time.perf_counter()
        torch.save(self.state(with_optimiser=True), _Hash())  # type: ignore[arg-type]  # it writes only
        return checkpoints * (time.perf_counter() - start)


class _Hash:
    """A file whose bytes are hashed and forgotten."""

    def __init__(self) -> None:
        self._state = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._state.update(data)
        return len(data)

    def flush(self) -> None:
        pass


def _evenly(count: int) -> Iterator[float]:
    """Numbers from 0 to 1 that are spread evenly, wherever one stops: van der Corput's sequence."""
    for number in range(1, count + 1):
        yield int(f"{number:b}"[::-1], 2) / (1 << number.bit_length())


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_memory() -> int:
    """Bytes that this process has held at most, or on a GPU that torch has allocated there."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if not status.is_file():  # a Mac, where it is in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Under Linux `getrusage` may give the peak of the process that started this one.
    return int(re.findall(r"^VmHWM:\s*(\d+) kB$", status.read_text(), re.MULTILINE)[0]) * 1024
