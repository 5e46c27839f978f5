"""python -m accelerate.commands.launch --multi_gpu --num_processes 2 two_processes.py FOLDER JOB …

What test_parallel.py starts: train as each JOB (JSON) says, one after another in the same processes, and
leave in FOLDER what came of it, of every process.
"""

import json
import sys
from contextlib import nullcontext
from pathlib import Path

import torch
from runs import random_examples, settings, trainable, trained
from small_devices import holding

from pipeline.config.training import AdapterConfig
from pipeline.errors import WaznError
from pipeline.models.distributed import join_processes
from pipeline.models.lora import decoder_of
from pipeline.models.methods import load_trainable
from pipeline.training import trainer
from pipeline.training.checkpoints import Checkpoints
from pipeline.training.dataset import Validation
from pipeline.training.dropout import checkpoint_activations
from pipeline.training.parallel import trained_state


def made(
    architecture="gpt2",
    method="lora",
    base=None,
    dtype="float32",
    gradient_checkpointing=False,
    dropout=0.0,
):
    """A model of tests/runs.py, or one in the folder `base`."""
    if base is None:
        return trainable(architecture, method, dropout, dtype=getattr(torch, dtype))
    torch.manual_seed(3)
    lora = AdapterConfig(r=4, alpha=8.0, dropout=dropout)
    config, _, _ = settings(method=method, lora=lora, max_length=50)
    model = load_trainable(Path(base), config, ["q_proj", "v_proj"], getattr(torch, dtype))
    if gradient_checkpointing:
        checkpoint_activations(model)
    return model


def run(
    model=None,
    stop=None,
    every=5,
    folder=None,
    spoilt=None,
    valid=0,
    dtype="float32",
    holds=None,
    **changes,
):
    """Train as a job says; also what test_parallel.py does alone, to compare.

    Args:
        model: arguments of `made`.
        stop: steps after which to stop; every, folder: of checkpoints; spoilt: a row whose weight is nan.
        valid: validation pairs; dtype: of computation; changes: of the recipe.
        holds: tokens that the memory holds; then the largest micro-batch is tried first, as on a GPU.

    Returns:
        The trained weights (in the main process), and the steps.
    """
    examples = random_examples(13)
    if spoilt is not None:
        examples[spoilt] = type(examples[spoilt])(**vars(examples[spoilt]) | {"weight": float("nan")})
    more = {"dtype": getattr(torch, dtype)}
    if folder:
        more["checkpoints"] = Checkpoints(Path(folder))
        changes["checkpoint_every"] = every
    if valid:
        more["valid"] = Validation(random_examples(valid, seed=2), ["critical", "neutral"] * (valid // 2))
    trainee = made(**(model or {}))
    if holds:
        trainer.device = lambda: torch.device("cuda")
    with holding(decoder_of(trainee).base_model, holds) if holds else nullcontext():
        found, steps = trained(examples, trainee, stop, more, **changes)
    return trained_state(found, None)["model"], steps


def main():
    """Do the jobs."""
    here = join_processes()
    folder, *jobs = sys.argv[1:]
    for job in map(json.loads, jobs):
        name, error, state, steps = job.pop("name"), None, {}, []
        try:
            state, steps = run(**job)
        except WaznError as caught:
            error = str(caught)
        said = {"processes": here.num_processes, "error": error, "steps": [vars(step) for step in steps]}
        torch.save(said | {"state": state}, Path(folder) / f"{name}-{here.process_index}.pt")
    here.destroy_process_group()


if __name__ == "__main__":
    main()
