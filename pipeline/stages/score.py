"""python -m pipeline score

Give every pair the severity probabilities of its complaint: the classifier's, or those of the source.
Over several GPUs, or CPUs: accelerate launch --multi_gpu --num_processes 2 -m pipeline score
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from accelerate import PartialState

from pipeline.errors import WaznError
from pipeline.files import write_json
from pipeline.hashes import folder_digest
from pipeline.models.distributed import exclusively, join_processes, together
from pipeline.models.runtime import deterministic, device, torch_dtype
from pipeline.severity.classifier import Classifier
from pipeline.severity.scoring import Checkpoint, Shards, fill, fingerprint, write_scored

if TYPE_CHECKING:
    from pipeline.config.params import Score, Severity

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
    # They exchange nothing but signs of life.
    here = join_processes("gloo")
    if here.is_main_process:
        with exclusively(CHECKPOINTS, "scoring"):
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
        provenance = {"classifier": folder_digest(CLASSIFIER), "temperature": classifier.temperature}
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
        classifier=folder_digest(CLASSIFIER),
        shard_rows=score.shard_rows,
        tokens_per_batch=score.tokens_per_batch,
        dtype=str(torch_dtype(score.dtype)),
        device=device().type,
    )
    checkpoint = Checkpoint(
        CHECKPOINTS / name, lambda texts: classifier.probabilities(texts, score.tokens_per_batch)
    )
    return shards, classifier, checkpoint
