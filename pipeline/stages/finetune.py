"""python -m pipeline finetune tiny_gpt2 weighting --seed 17

Fine-tune one base model with the weights of one arm.
Over several GPUs: WAZN_LAUNCH="accelerate launch --num_processes 4" (docs/training.md).
"""

import shutil
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING

import numpy as np

from pipeline import paths
from pipeline.code_hashes import code_hash
from pipeline.files import replacing_folder, write_json
from pipeline.models.distributed import join_processes
from pipeline.models.endings import greedy_settings
from pipeline.models.lora import decoder_of, save_trained
from pipeline.models.methods import count_trainable, load_trainable
from pipeline.models.origin import origin
from pipeline.models.runtime import deterministic, load_tokenizer, torch_dtype
from pipeline.parquet_inputs import parquet_note
from pipeline.severity.weights import warning, weight_spread
from pipeline.shapes import ScoredNote
from pipeline.training.card import UNIFORM, write_card
from pipeline.training.checkpoints import Checkpoints, fingerprint
from pipeline.training.curves import curves
from pipeline.training.dataset import TrainingData, load_data
from pipeline.training.dropout import checkpoint_activations
from pipeline.training.end_of_text import end_of_text_nll, end_of_text_warning
from pipeline.training.facts import training_facts
from pipeline.training.least_memory import check_memory
from pipeline.training.parallel import trained_state
from pipeline.training.steps import Step
from pipeline.training.trainer import train
from pipeline.training.usage import usage

if TYPE_CHECKING:
    from pipeline.config.models import ModelEntry
    from pipeline.config.resources import TrainResources
    from pipeline.config.training import ArmConfig, TrainConfig


def run(
    model: str,
    arm: str,
    seed: int,
    *,
    finetune: "TrainConfig",
    entry: "ModelEntry",
    weights: "ArmConfig",
    resources: "TrainResources",
) -> None:
    """Write models/<arm>/<model>/<seed>/ and, in metrics/finetune/<arm>/<model>/, <seed>.json and curves.

    The folder holds adapter (or whole model), tokenizer and card.

    Args:
        model: a model of the registry, whose entry is `entry`.
        arm: a name, whose settings are `weights`.
        seed: of adapters, order and dropout.

    Raises:
        WaznError: an input is missing or damaged, no pair is usable, the loss is not finite, or the disk
            refuses a file.
    """
    processes = join_processes()
    main = processes.is_main_process
    work = paths.CHECKPOINTS / "finetune" / arm / model / str(seed)
    deterministic(seed)
    base = paths.base_model(model)
    tokenizer = load_tokenizer(base)
    data = load_data(tokenizer, finetune, weights)
    spread = weight_spread(np.array([example.weight for example in data.examples]))
    dtype = torch_dtype(finetune.dtype)
    targets = entry.lora_targets or []
    if processes.num_processes == 1:
        check_memory(base, finetune, targets, dtype)
    trainable = load_trainable(base, finetune, targets, dtype, resources.attn_implementation)
    decoder = decoder_of(trainable)
    settings = greedy_settings(decoder, tokenizer, finetune.max_length)
    ending = end_of_text_nll(trainable, data.examples, tokenizer.eos_token_id, seed, processes)
    notes = [
        warning(spread) if arm != UNIFORM else None,
        end_of_text_warning(ending, decoder.config.vocab_size, tokenizer.eos_token, finetune.method),
    ]
    note = "; ".join(filter(None, notes)) or None
    if main:
        _print_notes(data, note)
    if resources.gradient_checkpointing:
        checkpoint_activations(trainable)
    key = fingerprint(base, seed, finetune, entry, weights, code_hash("finetune")) if main else ""
    steps = train(
        trainable,
        data.examples,
        finetune,
        resources,
        seed,
        name=f"finetune {model} {arm} {seed}",
        valid=data.valid,
        checkpoints=Checkpoints(work / key),
        dtype=dtype,
    )
    history: list[Step] = []
    log_to = curves(paths.training_curves(arm, model, seed)) if main else nullcontext(lambda _: None)
    # Closed whatever happens, so that the progress bar ends before anything is printed.
    with closing(steps), log_to as log:
        for step in steps:
            log(step)
            history.append(step)
    state = trained_state(trainable, None)["model"]
    if main:
        facts = {
            "arm": weights.model_dump(),
            "method": finetune.method,
            "trained_parameters": count_trainable(trainable),
            **training_facts(data, history, finetune),
            "weights": spread,
            "end_of_text_nll": ending,
            "warning": note,
        }
        folder, found_in = paths.trained_model(arm, model, seed), origin(base)
        with replacing_folder(folder) as temporary:
            save_trained(trainable, state, temporary, base=found_in, settings=settings)
            tokenizer.save_pretrained(temporary)
            write_card(
                temporary / "README.md",
                title=entry.title,
                base=entry.source,
                licence=entry.license,
                arm=arm,
                weights=weights.model_dump(),
                facts=facts,
                scored=parquet_note(paths.SCORED, ScoredNote),
                use=usage(folder, found_in, tokenizer, settings, method=finetune.method),
            )
        write_json(paths.training_metrics(arm, model, seed), facts)
        for checkpoints in work.glob("*/"):
            shutil.rmtree(checkpoints)
    processes.destroy_process_group()


def _print_notes(data: TrainingData, note: str | None) -> None:
    if data.left_out:
        print(
            f"{len(data.left_out)} of {len(data.left_out) + len(data.examples)} pairs have no answer token "
            f"within finetune.max_length and are left out: {', '.join(data.left_out)}"
        )
    if note:
        print(f"warning: {note}")
