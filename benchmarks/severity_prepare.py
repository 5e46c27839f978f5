"""The first step of severity.py: the stages up to the scores, and what trainings need of them."""

import importlib
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml

from pipeline import paths
from pipeline.config.params import load
from pipeline.files import write_json, write_parquet
from pipeline.models.budgets import Budget
from pipeline.models.prompt import encode_pairs
from pipeline.models.runtime import load_decoder, load_tokenizer
from pipeline.severities import PROBABILITIES
from pipeline.severity.cross_fitting import CrossFitted

ROOT = Path(__file__).resolve().parents[1]
LABELS = {"non_critical": "غير حرج", "neutral": "متوسط", "critical": "حرج"}
# What `download` says of them, once they lie in data/own/posts.csv.
POSTS = {
    "folder": "data/own",
    "pairs": [
        {
            "source": "posts.csv",
            "question": "Post",
            "answer": "Plan",
            "probabilities": {name: name for name in LABELS},
        }
    ],
    "labelled": [{"source": "posts.csv", "text": "Post", "label": "Severity", "labels": LABELS}],
}
BATCH_TOKENS = 4096


def read_posts(path: Path) -> pd.DataFrame:
    """The posts with a plan, and their human severity one-hot."""
    table = pd.read_excel(path)[["Post", "Plan", "Severity"]].dropna()
    return table.assign(
        **{name: (table["Severity"] == label).astype(float) for name, label in LABELS.items()}
    )


def prepare(posts: Path, rows: int | None, folder: Path) -> None:
    """Run the stages up to the scores in the current folder, and keep what trainings need."""

    table = read_posts(posts)
    Path("data/own").mkdir(parents=True)
    table.sample(rows or len(table), random_state=0).to_csv("data/own/posts.csv", index=False)
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["download"] |= POSTS
    Path("params.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    params = load(Path("params.yaml"))
    stage("download").run(params.download)
    stage("normalise").run(params.normalise)
    for encoder in params.encoders:
        stage("base_encoder").run(encoder, base_encoder=params.base_encoder, entry=params.registry[encoder])
    stage("train_classifier").run(
        params.train_classifier, encoder_entry=params.registry[params.train_classifier.encoder]
    )
    for model in params.models:
        stage("base_model").run(model, base_model=params.base_model, entry=params.registry[model])
    keep(params, folder)


def keep(params: Any, folder: Path) -> None:
    """Write the settings, the probabilities of every source, the token ids and the base models."""

    normalised = pd.read_parquet(paths.NORMALISED_PAIRS)
    scored = {}
    for source in ("classifier", "provided"):
        severity = params.severity.model_copy(update={"source": source})
        stage("score").run(params.score, severity, params.resources.score)
        scored[source] = pd.read_parquet(paths.SCORED)
    final = CrossFitted(paths.CLASSIFIER).final
    given = {
        "cross-fitted": scored["classifier"][list(PROBABILITIES)].to_numpy(),
        "in-sample": final.probabilities(list(normalised["text"]), Budget(BATCH_TOKENS)),
        "gold": scored["provided"][list(PROBABILITIES)].to_numpy(),
    }
    pairs = scored["provided"]
    kept = pairs[["id", "split", "severity"]].assign(group=normalised["group"].to_numpy())
    for source, probabilities in given.items():
        for name, column in zip(PROBABILITIES, probabilities.T, strict=True):
            kept[f"{source} {name}"] = column
    folder.mkdir(parents=True, exist_ok=True)
    write_parquet(folder / "pairs.parquet", kept)
    for model in params.models:
        base = paths.base_model(model)
        examples, _ = encode_pairs(
            load_tokenizer(base), pairs, [1.0] * len(pairs), params.finetune.max_length
        )
        columns = ("id", "input_ids", "prompt_length")
        tokens = [{name: getattr(example, name) for name in columns} for example in examples]
        write_parquet(folder / f"{model}.parquet", pd.DataFrame(tokens))
        decoder = load_decoder(base, torch.float32, params.finetune.max_length)
        decoder.save_pretrained(folder / model)
    arms = {name: arm.model_dump() for name, arm in params.arm_settings.items()}
    write_json(
        folder / "settings.json",
        {
            "models": params.models,
            "titles": {model: params.registry[model].title for model in params.models},
            "lora_targets": {model: params.registry[model].lora_targets for model in params.models},
            "finetune": params.finetune.model_dump(),
            "resources": params.resources.finetune.model_dump(),
            "arms": arms,
        },
    )


def stage(name: str) -> Any:
    """A module of pipeline/stages."""
    return importlib.import_module(f"pipeline.stages.{name}")
