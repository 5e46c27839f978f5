"""python -m pipeline train_classifier

Train the severity classifier, calibrate it, and measure it beside two references.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.errors import WaznError
from pipeline.evaluation.severity_quality import (
    Interval,
    figures,
    folds,
    linear_reference,
    majority,
    paired_difference,
    per_class,
    per_specialty,
    reliability,
)
from pipeline.files import parquet_note, read_parquet, write_csv, write_json
from pipeline.models.runtime import deterministic
from pipeline.severities import SEVERITIES
from pipeline.severity.calibration import fit_temperature, softmax
from pipeline.severity.classifier import Classifier, Recipe

if TYPE_CHECKING:
    from pipeline.config.params import TrainClassifier

LABELLED = Path("data/normalised/labelled.parquet")
SPLITS = ("train", "valid", "test")
# Padded tokens computed at once, and how many folds a validation split of a fold is one of.
TOKENS, INNER = 8192, 8


def run(train_classifier: "TrainClassifier") -> None:
    """Write models/classifier/, metrics/classifier.json and the two plots' CSV files.

    Beside the classifier stand its encoder alone, with a temperature of its own; the encoder as it is,
    without one; and the two references, trained on the training split.

    Raises:
        WaznError: the labelled data or the encoder is missing, a severity has no training complaint,
            or a split has no complaint.
    """
    labelled = read_parquet(LABELLED)
    seed, encoder = train_classifier.seed, Path("models/base") / train_classifier.encoder
    recipe = Recipe(**train_classifier.model_dump(exclude={"encoder", "folds", "seed"}))
    parts = {split: labelled[labelled["split"] == split] for split in SPLITS}
    check(parts["train"]["severity"])
    for split, use in (("valid", "calibrated"), ("test", "measured")):
        if parts[split].empty:
            raise WaznError(
                f"{LABELLED}: no complaint in its {split} split, on which the classifier is {use}; "
                f"give normalise.split.{split} a share, or more labelled rows"
            )
    print(f"training the severity classifier on {len(parts['train'])} complaints")
    classifier, epoch = trained(encoder, parts, recipe, seed)
    classifier.labels = parquet_note(LABELLED)["labels"]
    classifier.save(Path("models/classifier"))

    texts, truth = list(parts["test"]["text"]), list(parts["test"]["severity"])
    logits = classifier.logits(texts, TOKENS)
    found = classifier.calibrated(texts, logits)
    valid = parts["valid"]
    alone = fit_temperature(classifier.logits(list(valid["text"]), TOKENS), list(valid["severity"]))
    train = parts["train"]
    linear = linear_reference(list(train["text"]), list(train["severity"]), texts, seed=seed)
    measured: dict[str, Any] = {
        "classifier": figures(truth, found, seed),
        "encoder_alone": figures(truth, softmax(logits, alone), seed),
        "uncalibrated": figures(truth, softmax(logits, 1.0), seed),
        "linear": figures(truth, linear, seed),
        "majority": figures(truth, majority(list(train["severity"]), len(texts)), seed),
    }
    difference = paired_difference(truth, found, linear, seed)
    cross_validated = cross_validate(labelled, encoder, recipe, train_classifier.folds, seed)
    write_json(
        Path("metrics/classifier.json"),
        {
            "encoder": train_classifier.encoder,
            "labels": classifier.labels,
            "rows": {split: len(table) for split, table in parts.items()},
            "epochs": epoch,
            "temperature": round(classifier.temperature, 6),
            "ngram_weight": round(classifier.ngram_weight, 6),
            "beats_linear": difference["value"] < 0,
            **measured,
            "log_loss_minus_linear": difference,
            "per_class": per_class(truth, found),
            "per_specialty": per_specialty(truth, found, list(parts["test"]["specialty"])),
            "folds": cross_validated,
        },
    )
    guesses = [SEVERITIES[index] for index in found.argmax(axis=1)]
    write_csv(Path("metrics/plots/confusion.csv"), pd.DataFrame({"actual": truth, "predicted": guesses}))
    write_csv(Path("metrics/plots/reliability.csv"), reliability(truth, found))
    say(measured, difference, classifier.labels)


def trained(
    encoder: Path, parts: Mapping[str, pd.DataFrame], recipe: Recipe, seed: int
) -> tuple[Classifier, int]:
    """A classifier on top of the encoder, and the epoch that was kept."""
    deterministic(seed)
    classifier = Classifier(encoder)
    epoch = classifier.train(
        {split: list(parts[split]["text"]) for split in ("train", "valid")},
        {split: list(parts[split]["severity"]) for split in ("train", "valid")},
        recipe,
        seed,
    )
    return classifier, epoch


def cross_validate(
    labelled: pd.DataFrame, encoder: Path, recipe: Recipe, k: int | None, seed: int
) -> dict[str, Any] | None:
    """Figures over all labelled rows, each judged by models trained without its fold.

    Near duplicates share a fold. The linear reference is trained on the very rows that the classifier is
    trained or validated on. The encoder is the same for all folds: it has read the unlabelled text of the
    training split, some of which a fold tests on.
    """
    if k is None:
        return None
    fold = folds(list(labelled["group"]), k, seed)
    found, linear = np.empty((2, len(labelled), len(SEVERITIES)))
    for number in range(k):
        rest, test = labelled[fold != number], labelled[fold == number]
        inner = folds(list(rest["group"]), INNER, seed)
        parts = {"train": rest[inner > 0], "valid": rest[inner == 0]}
        check(parts["train"]["severity"])
        print(f"fold {number + 1} of {k}")
        classifier, _ = trained(encoder, parts, recipe, seed)
        texts = list(test["text"])
        found[fold == number] = classifier.probabilities(texts, TOKENS)
        linear[fold == number] = linear_reference(
            list(rest["text"]), list(rest["severity"]), texts, seed=seed
        )
    truth = list(labelled["severity"])
    return {
        "k": k,
        "rows": len(truth),
        "classifier": figures(truth, found, seed),
        "linear": figures(truth, linear, seed),
        "log_loss_minus_linear": paired_difference(truth, found, linear, seed),
    }


def check(severities: pd.Series) -> None:
    """Refuse training data that lacks a severity: a classifier learns only what it sees."""
    absent = [severity for severity in SEVERITIES if severity not in set(severities)]
    if absent:
        raise WaznError(
            f"{LABELLED}: its training split has no {' or '.join(absent)} complaint, and a classifier "
            "learns only what it sees; add labelled rows"
        )


def say(measured: Mapping[str, Any], difference: Interval, labels: str) -> None:
    """Print the figures, and plainly where the classifier is no better than the linear reference."""
    for name, values in measured.items():
        print(f"{name:>12}", ", ".join(f"{key} {value['value']:.3f}" for key, value in values.items()))
    low, high = difference["low"], difference["high"]
    verdict = "beats" if difference["value"] < 0 else "DOES NOT BEAT"
    print(
        f"The classifier {verdict} the linear reference on log-loss: {difference['value']:+.3f} nats "
        f"(95 % interval {low:+.3f} to {high:+.3f})."
    )
    if labels == "lexicon":
        print("Its labels are weak: they come from a list of symptom terms, not from people.")
