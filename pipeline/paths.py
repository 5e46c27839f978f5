"""Where every stage puts what others read, relative to the project's folder."""

import re
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
REVIEW_METRICS = METRICS / "review.json"
PLOTS = METRICS / "plots"
PAGE = Path("report/index.html")
# A folder for each round of physicians' ratings, and the ratings of all of them; it comes from people.
REVIEWS = Path("data/reviews")
RATINGS = REVIEWS / "ratings.parquet"

# Unfinished work of stages that can be killed; DVC does not see it.
CHECKPOINTS = Path(".checkpoints")

# What stands for arm and seed of a model as it was before fine-tuning.
BASE = "base"
# What stands in an arm's place for the physician's own answer.
REFERENCE = "reference"


def review_key(review_round: str) -> Path:
    """The key of a round of reviews: which answer stands under which letter."""
    return REVIEWS / review_round / "key.json"


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


# Which stage makes what, as `dvc repro` takes its name. A base model is made by one of two stages, and its
# path does not tell which, so it has none.
_MAKERS = {
    r"data/raw/.+": "download",
    r"data/normalised/.+|metrics/data\.json": "normalise",
    r"models/classifier.*|metrics/(classifier\.json|plots/(confusion|reliability).csv)": "train_classifier",
    r"data/scored/.+|metrics/severity\.json": "score",
    r"models/base/.+": "",
    r"(?:models|metrics/finetune)/([^/]+)/([^/]+)/(\d+).*": r"finetune@\2-\1-\3",
    r"data/references/.+": "embed_references",
    rf"(?:data/generated|metrics/evaluate)/{BASE}/([^/]+)/.+": r"evaluate_base@\1",
    r"(?:data/generated|metrics/evaluate)/([^/]+)/([^/]+)/(\d+)\..+": r"evaluate@\2-\1-\3",
    r"metrics/review\.json": "review",
    r"metrics/.+|report/.+": "report",
}


def maker(path: Path) -> str:
    """The stage that makes a file or folder, as `dvc repro` takes its name; empty where none is known."""
    for pattern, stage in _MAKERS.items():
        if match := re.fullmatch(pattern, path.as_posix()):
            return match.expand(stage)
    return ""
