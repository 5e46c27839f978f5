"""python -m pipeline train_classifier

Train the severity classifier, calibrate it, and measure it beside two references. Killed and run again,
it goes on after the last epoch, or the last fold, that was complete, and gives the same bytes.
"""

import shutil
from typing import TYPE_CHECKING

import pandas as pd

from pipeline import paths
from pipeline.errors import WaznError
from pipeline.evaluation import cross_validation
from pipeline.evaluation.classifier_lines import critical_lines, quality_lines
from pipeline.evaluation.critical_quality import Judged, alarms, calibration_of_both
from pipeline.evaluation.cross_validation import (
    TOKENS,
    cross_fit,
    judge_validation,
    reference_probabilities,
)
from pipeline.evaluation.severity_quality import (
    figures,
    majority,
    paired_difference,
    per_class,
    per_specialty,
    reliability,
)
from pipeline.files import replacing_folder, write_csv, write_json
from pipeline.models.budgets import Budget
from pipeline.parquet_inputs import parquet_note, read_parquet
from pipeline.schemas import LABELLED, SPLITS
from pipeline.severities import SEVERITIES
from pipeline.severity import cross_fitting
from pipeline.severity.calibration import fit_temperature, softmax
from pipeline.severity.card import write_card
from pipeline.shapes import LabelledNote

if TYPE_CHECKING:
    from pipeline.config.models import ModelEntry
    from pipeline.config.severity import ClassifierConfig


def run(train_classifier: "ClassifierConfig", *, encoder_entry: "ModelEntry") -> None:
    """Write models/classifier/, metrics/classifier.json and the two plots' CSV files.

    Beside the classifier stand its encoder alone, with a temperature of its own; the encoder without a
    temperature; the linear reference, trained and calibrated on the same rows; and the class shares.

    Args:
        encoder_entry: of the encoder, in the registry.

    Raises:
        WaznError: the labelled data or the encoder is missing, a severity has no training complaint,
            or a split has no complaint.
    """
    config = train_classifier
    labelled = read_parquet(paths.NORMALISED_LABELLED, LABELLED)
    note = parquet_note(paths.NORMALISED_LABELLED, LabelledNote)
    parts = {split: labelled[labelled["split"] == split] for split in SPLITS}
    for split, use in (("valid", "calibrated"), ("test", "measured")):
        if parts[split].empty:
            raise WaznError(
                f"{paths.NORMALISED_LABELLED}: no complaint in its {split} split, on which the classifier "
                f"is {use}; give normalise.split.{split} a share, or more labelled rows"
            )
    print(f"training the severity classifier on {len(parts['train'])} complaints")
    encoder = paths.base_model(config.encoder)
    classifier, epoch = cross_validation.train_classifier(encoder, parts, config)
    classifier.labels = note["labels"]
    texts, truth = list(parts["test"]["text"]), list(parts["test"]["severity"])
    groups, seed = list(parts["test"]["group"]), config.seed
    logits = classifier.logits(texts, Budget(TOKENS))
    probabilities = classifier.calibrated(texts, logits)
    valid_logits = classifier.logits(list(parts["valid"]["text"]), Budget(TOKENS))
    own_temperature = fit_temperature(valid_logits, list(parts["valid"]["severity"]))
    linear = reference_probabilities(parts, texts)
    given = {
        "classifier": probabilities,
        "encoder_alone": softmax(logits, own_temperature),
        "uncalibrated": softmax(logits, 1.0),
        "linear": linear,
        "majority": majority(list(parts["train"]["severity"]), len(texts)),
    }
    measured = {name: figures(truth, values, groups, seed) for name, values in given.items()}
    difference = paired_difference(truth, probabilities, linear, groups)
    fitted = cross_fit(pd.concat([parts["train"], parts["valid"]]), encoder, config)
    test, folds = Judged(truth, groups, probabilities, linear), fitted.judged
    # Chosen on rows that neither side was trained on, and that are not the test rows.
    chosen_on = folds or judge_validation(classifier, parts)
    critical = {
        "test": calibration_of_both(test, seed),
        "folds": calibration_of_both(folds, seed) if folds else None,
        "alarms": alarms(chosen_on, test, config.critical_recall, "folds" if folds else "valid"),
    }
    specialties = list(parts["test"]["specialty"])
    metrics = {
        "encoder": config.encoder,
        "labels": classifier.labels,
        "rows": {split: len(table) for split, table in parts.items()},
        "epochs": epoch,
        "temperature": round(classifier.temperature, 6),
        "ngram_weight": round(classifier.ngram_weight, 6),
        "beats_linear": difference["high"] < 0,
        **measured,
        "log_loss_minus_linear": difference,
        "per_class": per_class(truth, probabilities),
        "per_specialty": per_specialty(truth, probabilities, specialties, groups),
        "folds": fitted.figures,
        "critical": critical,
    }
    guesses = [SEVERITIES[index] for index in probabilities.argmax(axis=1)]
    confusion = pd.DataFrame({"actual": truth, "predicted": guesses})
    # All outputs at the end, so that none is of another run than the others.
    with replacing_folder(paths.CLASSIFIER) as folder:
        cross_fitting.save(folder, classifier, fitted.models, fitted.fold_of)
        write_card(folder, encoder_entry, metrics)
    write_csv(paths.PLOTS / "confusion.csv", confusion)
    write_csv(paths.PLOTS / "reliability.csv", reliability(truth, probabilities))
    write_json(paths.CLASSIFIER_METRICS, metrics)
    for kept in cross_validation.WORK.glob("*/"):
        shutil.rmtree(kept, ignore_errors=True)
    for line in (*quality_lines(measured, difference, classifier.labels), *critical_lines(critical)):
        print(line)
