"""The severity classifier and its linear reference, judged on rows that neither was trained on."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import transformers

from pipeline.code_hashes import code_hash
from pipeline.errors import WaznError
from pipeline.evaluation.critical_quality import Judged
from pipeline.evaluation.severity_quality import figures, paired_difference
from pipeline.files import replacing_folder, write_json
from pipeline.hashes import folder_digest, json_digest
from pipeline.inputs import read_json
from pipeline.models.budgets import Budget
from pipeline.models.runtime import deterministic
from pipeline.paths import CHECKPOINTS, NORMALISED_LABELLED
from pipeline.severities import SEVERITIES
from pipeline.severity.calibration import fit_temperature, softmax
from pipeline.severity.classifier import Classifier
from pipeline.severity.folds import folds
from pipeline.severity.ngrams import NgramModel, linear_reference
from pipeline.shapes import TrainedNote

if TYPE_CHECKING:
    from pipeline.config.severity import ClassifierConfig

# What is kept of trainings until the stage has ended.
WORK, EPOCH = CHECKPOINTS / "train_classifier", "epoch.json"
# Padded tokens computed at once; and of how many inner folds one validates the training of a fold.
TOKENS, INNER_FOLDS = 8192, 8


def train_classifier(
    encoder: Path, parts: Mapping[str, pd.DataFrame], config: "ClassifierConfig"
) -> tuple[Classifier, int]:
    """Train a classifier on the encoder in a folder, or take what a killed run of the same has left.

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
    texts = {split: list(parts[split]["text"]) for split in ("train", "valid")}
    labels = {split: list(parts[split]["severity"]) for split in ("train", "valid")}
    work = WORK / _fingerprint(encoder, texts, labels, config)
    trained = work / "trained"
    if trained.is_dir():
        print("this classifier was trained before the run was interrupted")
    else:
        deterministic(config.seed)
        classifier = Classifier(encoder)
        epoch = classifier.train(texts, labels, config, work / "epochs")
        with replacing_folder(trained) as folder:
            classifier.save(folder)
            write_json(folder / EPOCH, {"epoch": epoch})
        shutil.rmtree(work / "epochs", ignore_errors=True)
    # As loaded, in either case, so that what is saved in the end is the same to the byte.
    return Classifier(trained), int(read_json(trained / EPOCH, TrainedNote)["epoch"])


def _fingerprint(
    encoder: Path,
    texts: Mapping[str, list[str]],
    labels: Mapping[str, list[str]],
    config: "ClassifierConfig",
) -> str:
    """SHA-256 over all that decides a trained classifier, so that none of another training is taken up."""
    # How many folds there are decides which rows a training has, and they are in it already.
    settings = config.model_dump(exclude={"folds"})
    versions = [torch.__version__, transformers.__version__]
    parts = [folder_digest(encoder), texts, labels, settings, code_hash("train_classifier"), versions]
    return json_digest(parts)


def reference_probabilities(parts: Mapping[str, pd.DataFrame], texts: list[str]) -> np.ndarray:
    """Probabilities of n texts by the linear reference, trained and calibrated on the same rows, (n, 3)."""
    train, valid = parts["train"], parts["valid"]
    return linear_reference(
        list(train["text"]), list(train["severity"]), list(valid["text"]), list(valid["severity"]), texts
    )


def judge_validation(classifier: Classifier, parts: Mapping[str, pd.DataFrame]) -> Judged:
    """The validation rows, judged by models that were trained on the training rows only.

    The n-gram models of the classifier and of the reference learn from the validation rows in the end, so
    here one that has not stands for both. What was fitted on the validation rows is the number of epochs,
    and the temperature and n-gram weight of each side.
    """
    train, valid = parts["train"], parts["valid"]
    texts, truth = list(valid["text"]), list(valid["severity"])
    ngrams = NgramModel.fit(list(train["text"]), list(train["severity"])).log_probabilities(texts)
    pool = (
        classifier.logits(texts, Budget(TOKENS)) / classifier.temperature + classifier.ngram_weight * ngrams
    )
    linear = softmax(ngrams, fit_temperature(ngrams, truth))
    return Judged(truth, list(valid["group"]), softmax(pool, 1.0), linear)


@dataclass(frozen=True)
class CrossFit:
    """A classifier for each fold of labelled complaints, trained on the others.

    Attributes:
        models: that of fold 0, 1, …; none without folds.
        fold_of: group of like complaints to its fold.
        figures: `k`, `rows`, and the figures of the classifiers and of the linear reference, each row
            judged by a model that did not see its fold; None without folds.
        judged: the rows so judged; None without folds.
    """

    models: list[Classifier]
    fold_of: dict[str, int]
    figures: dict[str, Any] | None
    judged: Judged | None


def cross_fit(labelled: pd.DataFrame, encoder: Path, config: "ClassifierConfig") -> CrossFit:
    """Train a classifier for each of `config.folds` folds, on the rows of the others.

    Near duplicates share a fold. Of the rows on which a fold is trained, an eighth validates the training.
    The linear reference is trained and calibrated on the same rows. The encoder is the same for all folds:
    it has read the unlabelled text of the training split, some of which a fold judges.

    Args:
        labelled: rows that the final classifier was trained or calibrated on.

    Raises:
        WaznError: there are fewer groups than folds, or a fold's training rows lack a severity.
    """
    k, seed = config.folds, config.seed
    if k is None:
        return CrossFit([], {}, None, None)
    groups = list(labelled["group"])
    fold = folds(groups, k, seed)
    models = []
    classified, linear = np.empty((2, len(labelled), len(SEVERITIES)))
    for number in range(k):
        rest, judged = labelled[fold != number], labelled[fold == number]
        inner = folds(list(rest["group"]), INNER_FOLDS, seed)
        parts = {"train": rest[inner > 0], "valid": rest[inner == 0]}
        print(f"fold {number + 1} of {k}")
        model, _ = train_classifier(encoder, parts, config)
        texts = list(judged["text"])
        classified[fold == number] = model.probabilities(texts, Budget(TOKENS))
        linear[fold == number] = reference_probabilities(parts, texts)
        models.append(model)
    truth = list(labelled["severity"])
    measured = {
        "k": k,
        "rows": len(truth),
        "classifier": figures(truth, classified, groups, seed),
        "linear": figures(truth, linear, groups, seed),
        "log_loss_minus_linear": paired_difference(truth, classified, linear, groups),
    }
    fold_of = dict(zip(groups, fold.tolist(), strict=True))
    return CrossFit(models, fold_of, measured, Judged(truth, groups, classified, linear))
