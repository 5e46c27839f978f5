"""python -m pipeline train_classifier

Train the severity classifier and measure it beside two references.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.errors import WaznError
from pipeline.files import read_parquet, write_csv, write_json
from pipeline.severity.classifier import Classifier
from pipeline.severity.labels import SEVERITIES
from pipeline.severity.quality import figures, linear_reference, majority, reliability
from pipeline.training.runtime import deterministic

if TYPE_CHECKING:
    from pipeline.params import TrainClassifier

LABELLED = Path("data/normalised/labelled.parquet")


def run(train_classifier: "TrainClassifier") -> None:
    """Write models/classifier/, metrics/classifier.json and the two plots' CSV files.

    Raises:
        WaznError: the labelled data or the encoder is missing.
    """
    labelled = read_parquet(LABELLED)
    by_split = {split: labelled[labelled["split"] == split] for split in ("train", "valid", "test")}
    texts = {split: list(table["text"]) for split, table in by_split.items()}
    labels = {split: list(table["severity"]) for split, table in by_split.items()}
    if len(set(labels["train"])) < len(SEVERITIES):
        raise WaznError(
            f"{LABELLED}: its training split has no {' or '.join(set(SEVERITIES) - set(labels['train']))} "
            "complaint, and a classifier learns only what it sees; add labelled rows"
        )
    deterministic(train_classifier.seed)
    print(f"training the severity classifier on {len(texts['train'])} complaints")
    classifier = Classifier(Path("models/base") / train_classifier.encoder)
    classifier.train(texts, labels, **train_classifier.model_dump(exclude={"encoder"}))
    classifier.save(Path("models/classifier"))

    found = classifier.probabilities(
        texts["test"], train_classifier.batch_size, train_classifier.max_length
    )
    references = {
        "classifier": found,
        "linear": linear_reference(texts["train"], labels["train"], texts["test"]),
        "majority": majority(labels["train"], len(texts["test"])),
    }
    measured = {name: figures(labels["test"], values) for name, values in references.items()}
    write_json(
        Path("metrics/classifier.json"),
        {"encoder": train_classifier.encoder, "test_rows": len(texts["test"]), **measured},
    )
    guesses = [SEVERITIES[index] for index in found.argmax(axis=1)]
    write_csv(
        Path("metrics/plots/confusion.csv"),
        pd.DataFrame({"actual": labels["test"], "predicted": guesses}),
    )
    write_csv(Path("metrics/plots/reliability.csv"), reliability(labels["test"], found))
    for name, values in measured.items():
        print(name, ", ".join(f"{key} {value:.3f}" for key, value in values.items()))
