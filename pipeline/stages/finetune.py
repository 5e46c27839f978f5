"""python -m pipeline finetune tiny_gpt2 weighting --seed 17

Fine-tune one base model, with plain cross-entropy (uniform) or severity-aware (weighting).
Over several GPUs: WAZN_LAUNCH="accelerate launch --num_processes 4" (docs/training.md).
"""

import hashlib
import json
import shutil
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import peft
import torch
import transformers

from pipeline.errors import WaznError
from pipeline.files import parquet_note, read_parquet, replacing_folder, write_json
from pipeline.hashes import digest, folder_digest
from pipeline.models import methods
from pipeline.models.distributed import exclusively, join_processes
from pipeline.models.lora import save_trained
from pipeline.models.prompt import Example, encode_pairs
from pipeline.models.runtime import deterministic, load_tokenizer, torch_dtype
from pipeline.severity.weights import pair_weights, warning, weight_spread
from pipeline.training.card import write_card
from pipeline.training.checkpoints import Checkpoints
from pipeline.training.curves import curves
from pipeline.training.parallel import trained_state
from pipeline.training.trainer import Recipe, Step, Validation, train

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from pipeline.config.params import Finetune, Model, Weights

SCORED = Path("data/scored/pairs.parquet")
CHECKPOINTS = Path(".checkpoints/finetune")


@dataclass(frozen=True)
class Data:
    """What a run is trained and evaluated on.

    Attributes:
        examples: training pairs, in the order of the scored table.
        valid: validation pairs; None where there are none.
        left_out: ids of training pairs of which no answer token fits.
    """

    examples: list[Example]
    valid: Validation | None
    left_out: list[str]


def run(
    model: str, loss: str, seed: int, *, finetune: "Finetune", entry: "Model", weights: "Weights"
) -> None:
    """Write models/<loss>/<model>/<seed>/ and, in metrics/finetune/<loss>/<model>/, <seed>.json and curves.

    The folder holds adapter (or whole model), tokenizer and card.

    Args:
        model: a model of the registry.
        loss: `uniform` or `weighting`, whose `weights` are given.
        seed: of adapters, order and dropout.

    Raises:
        WaznError: an input is missing, no pair is usable, the loss is not finite, the disk refuses a
            file, or another process runs this stage.
    """
    here = join_processes()
    place = CHECKPOINTS / loss / model / str(seed)
    name = f"{model} {loss} {seed}"
    with exclusively(place, f"fine-tuning {name}") if here.is_main_process else nullcontext():
        _run(model, loss, seed, finetune, entry, weights, main=here.is_main_process)
        if here.is_main_process:
            for unfinished in place.iterdir():
                if unfinished.is_dir():
                    shutil.rmtree(unfinished)
    here.destroy_process_group()


def _run(
    model: str,
    loss: str,
    seed: int,
    finetune: "Finetune",
    entry: "Model",
    weights: "Weights",
    *,
    main: bool,
) -> None:
    base, metrics = Path("models/base") / model, Path("metrics/finetune") / loss / model
    deterministic(seed)
    tokenizer = load_tokenizer(base)
    data = load_data(tokenizer, finetune, weights)
    spread = weight_spread(pd.Series([example.weight for example in data.examples]).to_numpy())
    said = warning(spread) if loss == "weighting" else None
    if main:
        _tell(data, said)
    dtype = torch_dtype(finetune.dtype)
    trained = methods.load_trainable(
        base,
        finetune.method,
        targets=entry.lora_targets or [],
        lora=finetune.lora.model_dump(),
        dtype=dtype,
        tokens=finetune.max_length,
        gradient_checkpointing=finetune.gradient_checkpointing,
    )
    checkpoints = Checkpoints(
        CHECKPOINTS / loss / model / str(seed) / fingerprint(base, seed, finetune, entry, weights)
        if main
        else CHECKPOINTS,
        finetune.checkpoint_every,
    )
    steps = train(
        trained,
        data.examples,
        recipe(finetune, seed),
        name=f"finetune {model} {loss} {seed}",
        valid=data.valid,
        checkpoints=checkpoints,
        dtype=dtype,
    )
    last: Step | None = None
    evaluated: list[Step] = []
    # Closed whatever happens, so that its bar ends before anything is said.
    with closing(steps), curves(metrics / str(seed)) if main else nullcontext(lambda _: None) as log:
        for last in steps:
            log(last)
            evaluated += [last] if last.valid else []
    state = trained_state(trained, None)["model"]
    if not main:
        return
    kept = min(evaluated, key=_valid_nll) if evaluated and finetune.keep == "best" else last
    assert kept is not None
    facts = {
        "method": finetune.method,
        "trained_parameters": methods.count_trainable(trained),
        "pairs": len(data.examples),
        "left_out": data.left_out,
        "tokens": sum(len(example.tokens) for example in data.examples),
        "steps": last.number if last else 0,
        "kept_step": kept.number,
        "weights": spread,
        "warning": said,
        "valid": {"pairs": len(data.valid.examples) if data.valid else 0, **(kept.valid or {})},
    }
    place = Path("models") / loss / model / str(seed)
    with replacing_folder(place) as folder:
        save_trained(trained, state, folder)
        tokenizer.save_pretrained(folder)
        write_card(
            folder / "README.md",
            folder=place,
            title=entry.title,
            base=entry.source,
            loss=loss,
            weights=weights.model_dump(),
            facts=facts,
            scored=parquet_note(SCORED),
        )
    write_json(metrics / f"{seed}.json", facts)


def recipe(finetune: "Finetune", seed: int) -> Recipe:
    """What the training loop needs of the stage's parameters."""
    named = {name: getattr(finetune, name) for name in Recipe.__dataclass_fields__ if name != "seed"}
    return Recipe(**named, seed=seed)


def _valid_nll(step: Step) -> float:
    assert step.valid is not None
    assert step.valid["nll"] is not None
    return step.valid["nll"]


def _tell(data: Data, said: str | None) -> None:
    if data.left_out:
        print(
            f"{len(data.left_out)} of {len(data.left_out) + len(data.examples)} pairs have no answer token "
            f"within finetune.max_length and are left out: {', '.join(data.left_out)}"
        )
    if said:
        print(f"warning: {said}")


def load_data(tokenizer: "PreTrainedTokenizerBase", finetune: "Finetune", weights: "Weights") -> Data:
    """Training and validation pairs as token ids, those for training with their weights.

    Raises:
        WaznError: the scored pairs are missing, or none of them fits.
    """
    scored = read_parquet(SCORED)
    rows = scored[scored["split"] == "train"].head(finetune.train_rows or len(scored))
    examples, left_out = encode_pairs(
        tokenizer, rows, pair_weights(rows, **weights.model_dump()).tolist(), finetune.max_length
    )
    if not examples:
        raise WaznError(f"{SCORED}: no training pair fits into finetune.max_length = {finetune.max_length}")
    rows = scored[scored["split"] == "valid"].head(finetune.valid_rows or len(scored))
    valid, unusable = encode_pairs(tokenizer, rows, [1.0] * len(rows), finetune.max_length)
    severities = rows.loc[~rows["id"].isin(unusable), "severity"].tolist()
    return Data(examples, Validation(valid, severities) if valid else None, left_out)


def fingerprint(base: Path, seed: int, finetune: "Finetune", entry: "Model", weights: "Weights") -> str:
    """SHA-256 over all that determines the trained weights, so that no checkpoint of another run is used.

    That is the data, the base model, the parameters, the code that trains, and the libraries under it.
    """
    code = [Path(__file__), *sorted(Path(methods.__file__).parent.glob("*.py"))]
    parts: list[Any] = [
        digest(SCORED, "sha256"),
        folder_digest(base),
        finetune.model_dump(),
        seed,
        entry.lora_targets,
        weights.model_dump(),
        [digest(path, "sha256") for path in code],
        [module.__version__ for module in (torch, transformers, peft)],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
