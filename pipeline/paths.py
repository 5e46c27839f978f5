"""Where every stage puts what others read, relative to the project's folder."""

from pathlib import Path

SAMPLE = Path("data/sample/complaints.jsonl")
RAW_PAIRS = Path("data/raw/pairs.parquet")
RAW_LABELLED = Path("data/raw/labelled.parquet")
SOURCES = Path("data/raw/sources.json")
NORMALISED_PAIRS = Path("data/normalised/pairs.parquet")
NORMALISED_LABELLED = Path("data/normalised/labelled.parquet")
REJECTED = Path("data/normalised/rejected.parquet")
SCORED = Path("data/scored/pairs.parquet")
REFERENCES = Path("data/references")
CLASSIFIER = Path("models/classifier")

METRICS = Path("metrics")
DATA_METRICS = METRICS / "data.json"
CLASSIFIER_METRICS = METRICS / "classifier.json"
SEVERITY_METRICS = METRICS / "severity.json"
SUMMARY = METRICS / "summary.json"
PLOTS = METRICS / "plots"
PAGE = Path("report/index.html")

# Unfinished work of stages that can be killed; DVC does not see it.
CHECKPOINTS = Path(".checkpoints")

# What stands for arm and seed of a model as it was before fine-tuning.
BASE = "base"


def base_model(model: str) -> Path:
    """The folder of a model before fine-tuning, or of an encoder."""
    return Path("models/base") / model


def trained_model(arm: str, model: str, seed: int) -> Path:
    """The folder of a fine-tuned model: an adapter, or the whole model."""
    return Path("models") / arm / model / str(seed)


def training_metrics(arm: str, model: str, seed: int) -> Path:
    """The facts of a fine-tuning, JSON; `training_curves` has its curves."""
    return METRICS / "finetune" / arm / model / f"{seed}.json"


def training_curves(arm: str, model: str, seed: int) -> Path:
    """The folder with the curves of a fine-tuning, as DVCLive writes them."""
    return METRICS / "finetune" / arm / model / str(seed)


def generated(arm: str, model: str, seed: int | None) -> Path:
    """The answers of a model with what was measured of each, Parquet; seed None for the base model."""
    return Path("data/generated") / arm / model / f"{BASE if seed is None else seed}.parquet"


def evaluation_metrics(arm: str, model: str, seed: int | None) -> Path:
    """The means of an evaluation, JSON; seed None for the base model."""
    return METRICS / "evaluate" / arm / model / f"{BASE if seed is None else seed}.json"
