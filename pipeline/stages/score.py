"""python -m pipeline score

Give every pair the severity probabilities of its complaint: the classifier's, or those of the source.
Over several GPUs, or CPUs: WAZN_LAUNCH="accelerate launch --multi_gpu --num_processes 2"
"""

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from accelerate import PartialState

from pipeline import paths
from pipeline.code_hashes import code_hash
from pipeline.files import write_json
from pipeline.hashes import folder_digest
from pipeline.inputs import damaged
from pipeline.models.budgets import Budget
from pipeline.models.distributed import barrier, join_processes
from pipeline.models.runtime import deterministic, device, torch_dtype
from pipeline.severity.cross_fitting import CrossFitted
from pipeline.severity.scoring import Checkpoint, Shards, fill, fingerprint, write_scored

if TYPE_CHECKING:
    from pipeline.config.resources import ScoreResources
    from pipeline.config.severity import ScoreConfig, SeverityConfig

WORK = paths.CHECKPOINTS / "score"


def run(score: "ScoreConfig", severity: "SeverityConfig", resources: "ScoreResources") -> None:
    """Write data/scored/pairs.parquet, in the order of the normalised pairs, and metrics/severity.json.

    Raises:
        WaznError: the pairs or the classifier are missing or broken, a pair lacks the probabilities
            that its source should provide.
    """
    deterministic(0)
    # Over gloo, as the processes only wait for each other.
    processes = join_processes("gloo")
    if processes.is_main_process:
        _score_in_main_process(score, severity, resources, processes)
    elif severity.source == "classifier":
        barrier(processes)  # The main process has checked the inputs.
        shards, _, checkpoint = _prepared(score, resources)
        fill(shards, checkpoint, processes.process_index, processes.num_processes)
        barrier(processes)
    processes.destroy_process_group()


def _score_in_main_process(
    score: "ScoreConfig",
    severity: "SeverityConfig",
    resources: "ScoreResources",
    processes: PartialState,
) -> None:
    """Compute this process's part of the shards, and write the outputs."""
    checkpoint, fold_of, labels = None, None, None
    provenance: dict[str, object] = {"classifier": None, "temperature": None}
    if severity.source == "provided":
        shards = Shards(paths.NORMALISED_PAIRS)
    else:
        shards, classifier, checkpoint = _prepared(score, resources)
        labels, fold_of = classifier.final.labels, classifier.folds
        provenance = {
            "classifier": folder_digest(paths.CLASSIFIER),
            "temperature": classifier.final.temperature,
        }
        done = sum(number in checkpoint for number in range(shards.count))
        if done:
            print(f"{done} of {shards.count} shards are there from a run before")
        if shards.count < processes.num_processes:
            print(
                f"{processes.num_processes - shards.count} of {processes.num_processes} processes stay "
                f"idle, since there are {shards.count} shards of {shards.rows} rows"
            )
        barrier(processes)
        fill(shards, checkpoint, processes.process_index, processes.num_processes)
        barrier(processes)
    source = {"source": severity.source, "labels": labels, "sharpen": severity.sharpen}
    provenance |= {"rules": shards.rules, **source}
    measured = write_scored(paths.SCORED, shards, checkpoint, fold_of, provenance, severity.sharpen)
    write_json(paths.SEVERITY_METRICS, measured | source)
    _print_spread(measured["splits"], measured["splits_before_sharpening"])
    for folder in WORK.glob("*/"):
        shutil.rmtree(folder)


def _print_spread(
    splits: Mapping[str, Mapping[str, Any]], before: Mapping[str, Mapping[str, Any]] | None
) -> None:
    """Print how the probabilities spread in each split, and how well they agree with people's labels.

    Args:
        before: the same before they were sharpened; None where they were not.
    """
    for split, figures in splits.items():
        spread = f"standard deviation of p_critical - p_non_critical {figures['contrast_std']:.3f}"
        was = f", {before[split]['contrast_std']:.3f} before sharpening" if before else ""
        print(f"{split}: {figures['rows']} pairs, {spread}{was}")
        if figures["labelled"]:
            critical = f"mean p_critical {figures['p_critical']:.3f}, critical {figures['critical']:.3f}"
            of_them = f"{figures['labelled']} of them labelled by people"
            print(f"  {of_them}: log-loss {figures['log_loss']:.3f}, {critical}")


def _prepared(score: "ScoreConfig", resources: "ScoreResources") -> tuple[Shards, CrossFitted, Checkpoint]:
    shards = Shards(paths.NORMALISED_PAIRS)
    if (paths.CLASSIFIER / "config.json").is_file() and not (paths.CLASSIFIER / "severity.json").is_file():
        # An encoder without a head would be given a random one.
        raise damaged(paths.CLASSIFIER, "not a trained classifier (no severity.json)")
    classifier = CrossFitted(paths.CLASSIFIER, score.dtype)
    name = fingerprint(
        paths.NORMALISED_PAIRS,
        code_hash("score"),
        classifier=folder_digest(paths.CLASSIFIER),
        dtype=str(torch_dtype(score.dtype)),
        device=device().type,
    )
    budget = Budget.of(resources.tokens_per_batch, "scoring_tokens")
    return (
        shards,
        classifier,
        Checkpoint(WORK / name, lambda texts, groups: classifier.probabilities(texts, groups, budget)),
    )
