"""The severity classifier and its linear reference, judged on rows that neither was trained on."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.errors import WaznError
from pipeline.evaluation.severity_quality import figures, paired_difference
from pipeline.models.runtime import deterministic
from pipeline.paths import NORMALISED_LABELLED
from pipeline.severities import SEVERITIES
from pipeline.severity.classifier import Classifier
from pipeline.severity.folds import folds
from pipeline.severity.ngrams import linear_reference

if TYPE_CHECKING:
    from pipeline.config.severity import ClassifierConfig

# Padded tokens computed at once; and of how many inner folds one validates the training of a fold.
TOKENS, INNER_FOLDS = 8192, 8


def train_classifier(
    encoder: Path, parts: Mapping[str, pd.DataFrame], config: "ClassifierConfig"
) -> tuple[Classifier, int]:
    """Train a classifier on the encoder in a folder.

    Args:
        parts: labelled rows of `train` and `valid`.

    Returns:
        The classifier, and the epoch that was kept.

    Raises:
        WaznError: a severity has no training complaint.
    """
    absent = [severity for severity in SEVERITIES if severity not in set(parts["train"]["severity"])]
    if absent:
        raise WaznError(
            f"{NORMALISED_LABELLED}: its training split has no {' or '.join(absent)} complaint, and a "
            "classifier learns only what it sees; add labelled rows"
        )
    deterministic(config.seed)
    classifier = Classifier(encoder)
    epoch = classifier.train(
        {split: list(parts[split]["text"]) for split in ("train", "valid")},
        {split: list(parts[split]["severity"]) for split in ("train", "valid")},
        config,
    )
    return classifier, epoch


def reference_probabilities(parts: Mapping[str, pd.DataFrame], texts: list[str]) -> np.ndarray:
    """Probabilities of n texts by the linear reference, trained and calibrated on the same rows, (n, 3)."""
    train, valid = parts["train"], parts["valid"]
    return linear_reference(
        list(train["text"]), list(train["severity"]), list(valid["text"]), list(valid["severity"]), texts
    )


def cross_validate(
    labelled: pd.DataFrame, encoder: Path, config: "ClassifierConfig"
) -> dict[str, Any] | None:
    """Figures over all labelled rows, each judged by models that were trained without its fold.

    Near duplicates share a fold. The linear reference is trained and calibrated on the rows on which the
    classifier is. The encoder is the same for all folds: it has read the unlabelled text of the training
    split, some of which a fold tests on.

    Returns:
        `k`, `rows`, and the figures of both; None where `config.folds` is None.
    """
    k, seed = config.folds, config.seed
    if k is None:
        return None
    fold = folds(list(labelled["group"]), k, seed)
    classified, linear = np.empty((2, len(labelled), len(SEVERITIES)))
    for number in range(k):
        rest, test = labelled[fold != number], labelled[fold == number]
        inner = folds(list(rest["group"]), INNER_FOLDS, seed)
        parts = {"train": rest[inner > 0], "valid": rest[inner == 0]}
        print(f"fold {number + 1} of {k}")
        classifier, _ = train_classifier(encoder, parts, config)
        texts = list(test["text"])
        classified[fold == number] = classifier.probabilities(texts, TOKENS)
        linear[fold == number] = reference_probabilities(parts, texts)
    truth = list(labelled["severity"])
    return {
        "k": k,
        "rows": len(truth),
        "classifier": figures(truth, classified, seed),
        "linear": figures(truth, linear, seed),
        "log_loss_minus_linear": paired_difference(truth, classified, linear, seed),
    }
