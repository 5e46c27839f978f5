"""python -m pipeline score

Give every pair the severity probabilities of its complaint: the classifier's, or those of the source.
Over several GPUs, or CPUs: accelerate launch --multi_gpu --num_processes 2 -m pipeline score
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate import PartialState
from filelock import FileLock, Timeout
from transformers.utils.logging import disable_progress_bar

from pipeline.errors import WaznError
from pipeline.files import replacing, write_json
from pipeline.severity.classifier import Classifier
from pipeline.severity.scoring import Checkpoint, Shards, fill, fingerprint, folder_hash, write_scored
from pipeline.training.runtime import deterministic, device, torch_dtype

if TYPE_CHECKING:
    from pipeline.params import Score, Severity

PAIRS = Path("data/normalised/pairs.parquet")
CLASSIFIER = Path("models/classifier")
SCORED = Path("data/scored/pairs.parquet")
METRICS = Path("metrics/severity.json")
CHECKPOINTS = Path(".checkpoints/score")


def run(score: "Score", severity: "Severity") -> None:
    """Write data/scored/pairs.parquet, in the order of the normalised pairs, and metrics/severity.json.

    Raises:
        WaznError: the pairs or the classifier are missing or broken, a pair lacks the probabilities
            that its source should provide, or another process runs this stage.
    """
    deterministic(0)
    here = join_processes()
    if here.is_main_process:
        with exclusively(CHECKPOINTS):
            _lead(score, severity, here)
    elif severity.source == "classifier":
        together(here)  # The main process has found everything in place.
        shards, _, checkpoint = _prepared(score)
        fill(shards, checkpoint, here.process_index, here.num_processes)
        together(here)
    here.destroy_process_group()


def _lead(score: "Score", severity: "Severity", here: PartialState) -> None:
    """What the main process does: its share of the shards, and all that is told or written in the end."""
    checkpoint, labels = None, None
    provenance: dict[str, object] = {"classifier": None, "temperature": None}
    if severity.source == "provided":
        shards = Shards(PAIRS, score.shard_rows)
    else:
        shards, classifier, checkpoint = _prepared(score)
        labels = classifier.labels
        provenance = {"classifier": folder_hash(CLASSIFIER), "temperature": classifier.temperature}
        done = sum(number in checkpoint for number in range(shards.count))
        if done:
            print(f"{done} of {shards.count} shards are there from a run before")
        if shards.count < here.num_processes:
            print(
                f"{here.num_processes - shards.count} of {here.num_processes} processes stay idle, since "
                f"there are {shards.count} shards; lower score.shard_rows to keep them busy"
            )
        together(here)
        fill(shards, checkpoint, here.process_index, here.num_processes)
        together(here)
    said = {"source": severity.source, "labels": labels}
    provenance |= {"rules": shards.rules, **said}
    write_json(METRICS, write_scored(SCORED, shards, checkpoint, provenance) | said)
    for folder in CHECKPOINTS.iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)


def _prepared(score: "Score") -> tuple[Shards, Classifier, Checkpoint]:
    shards = Shards(PAIRS, score.shard_rows)
    classifier = Classifier(CLASSIFIER, score.dtype)
    if not (CLASSIFIER / "severity.json").is_file():
        # An encoder without a head would be given a random one.
        raise WaznError(
            f"{CLASSIFIER}: not a trained classifier (no severity.json); run `dvc repro`, which trains one"
        )
    name = fingerprint(
        PAIRS,
        classifier=folder_hash(CLASSIFIER),
        shard_rows=score.shard_rows,
        tokens_per_batch=score.tokens_per_batch,
        dtype=str(torch_dtype(score.dtype)),
        device=device().type,
    )
    checkpoint = Checkpoint(
        CHECKPOINTS / name, lambda texts: classifier.probabilities(texts, score.tokens_per_batch)
    )
    return shards, classifier, checkpoint


def join_processes() -> PartialState:
    """This process and those that `accelerate launch` (or torchrun) started with it; alone without one.

    Each computes on a GPU of its own where there are GPUs. They exchange nothing but signs of life, so gloo
    does, and there is no bound on how long one waits for another: the launcher ends all when one fails.
    """
    # torchrun's mark; accelerate would take nccl on GPUs, and cannot be told so for a process alone.
    options = {"backend": "gloo"} if "LOCAL_RANK" in os.environ else {}
    here = PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=30), **options)
    if here.num_processes == 1 and "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ:
        print(
            "accelerate has started one process only: for several on CPUs (or on one GPU) it takes "
            "--multi_gpu as well, and no --cpu"
        )
    if not here.is_main_process:
        disable_progress_bar()
    return here


def together(here: PartialState) -> None:
    """Wait until every process is here.

    Raises:
        WaznError: one of them has ended.
    """
    try:
        here.wait_for_everyone()
    except RuntimeError as error:
        raise WaznError("another process of this run has ended early; its own message says why") from error


@contextmanager
def exclusively(folder: Path) -> Iterator[None]:
    """Keep other runs of the stage away: DVC, when killed, leaves its command alive.

    Raises:
        WaznError: a run holds `folder` already.
    """
    lock, holder = FileLock(folder / "lock"), folder / "lock.pid"
    try:
        lock.acquire(blocking=False)
    except Timeout:
        process = f"process {holder.read_text()}" if holder.is_file() else "another process"
        raise WaznError(
            f"{folder}: {process} is scoring already; wait for it or end it, then run the stage again"
        ) from None
    try:
        with replacing(holder) as temporary:
            temporary.write_text(str(os.getpid()))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
