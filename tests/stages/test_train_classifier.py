"""train_classifier in a project of its own: what it writes, measures and says, and what it refuses."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from root import ROOT

from pipeline import paths
from pipeline.config.models import ModelEntry
from pipeline.config.severity import ClassifierConfig
from pipeline.errors import WaznError
from pipeline.evaluation import cross_validation
from pipeline.evaluation.critical_quality import Judged, alarms, calibration_of_both
from pipeline.evaluation.severity_quality import figures, majority, paired_difference
from pipeline.models.budgets import Budget
from pipeline.severities import SEVERITIES
from pipeline.severity.calibration import fit_temperature, softmax
from pipeline.severity.classifier import Classifier
from pipeline.severity.cross_fitting import FINAL, CrossFitted
from pipeline.severity.ngrams import NgramModel, linear_reference
from pipeline.stages import train_classifier as stage

SETTINGS = ClassifierConfig(
    encoder="minute",
    epochs=2,
    patience=2,
    batch_size=8,
    learning_rate=0.005,
    class_weights=True,
    word_dropout=0.1,
    ngrams=True,
    max_length=32,
    folds=None,
    critical_recall=0.9,
    seed=17,
)
ENTRY = ModelEntry(title="Minute", source="path:minute", lora_targets=None, license="MIT")
QUICK = {"ngrams": False, "epochs": 1}
WORDS = {
    "non_critical": ("حكة", "خفيف", "الجلد", "الفراولة", "سعال"),
    "neutral": ("صداع", "دوخة", "الوقوف", "القهوة", "الركبة"),
    "critical": ("نزيف", "شديد", "الصدر", "التنفس", "حاد"),
}
COMMON = ("عندي", "منذ", "يومين", "طفلي", "بعد", "الأكل")
ROWS = {"train": 45, "valid": 15, "test": 30}
FIGURES = ["accuracy", "macro_f1", "log_loss", "brier", "ece"]
MEASURED = ["classifier", "encoder_alone", "uncalibrated", "linear", "majority"]


def labelled_table():
    """Complaints of mixed words, of which some share a group; one in six has a label drawn by chance."""
    chance, rows = random.Random(5), []
    for split, count in ROWS.items():
        for number in range(count):
            own = SEVERITIES[number % 3]
            text = chance.sample(COMMON, 3) + chance.sample(WORDS[own], 2)
            severity = chance.choice(SEVERITIES) if number % 6 == 5 else own
            rows.append((" ".join(text), severity, "skin" if number % 3 else "", split))
    table = pd.DataFrame(rows, columns=["text", "severity", "specialty", "split"])
    table.insert(0, "id", [f"row-{number}" for number in range(len(table))])
    return table.assign(group=[f"group-{number // 2}" for number in range(len(table))])


def write(table, labels="human"):
    """data/normalised/labelled.parquet in the present folder."""
    paths.NORMALISED_LABELLED.parent.mkdir(parents=True, exist_ok=True)
    written = pa.Table.from_pandas(table, preserve_index=False)
    note = {"wazn": json.dumps({"labels": labels})}
    pq.write_table(written.replace_schema_metadata(note), paths.NORMALISED_LABELLED)


def lay_out(folder, built):
    shutil.copytree(built("modernbert"), folder / "models" / "base" / "minute")
    return folder


def run(**changes):
    """The stage in the present folder, and its JSON."""
    stage.run(SETTINGS.model_copy(update=changes), encoder_entry=ENTRY)
    return json.loads(Path("metrics/classifier.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def labelled():
    return labelled_table()


@pytest.fixture(scope="module")
def project(built, labelled, tmp_path_factory):
    """A project in which the stage has run."""
    folder = lay_out(tmp_path_factory.mktemp("project"), built)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write(labelled)
        run()
    return folder


@pytest.fixture(scope="module")
def measured(project):
    return json.loads((project / "metrics" / "classifier.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def saved(project):
    """The classifier that was written."""
    return Classifier(project / "models" / "classifier")


@pytest.fixture
def fresh(built, labelled, tmp_path, monkeypatch):
    """A project in which nothing has run, and which the test stands in."""
    monkeypatch.chdir(lay_out(tmp_path / "fresh", built))
    write(labelled)
    return tmp_path / "fresh"


def part(labelled, split):
    rows = labelled[labelled["split"] == split]
    return list(rows["text"]), list(rows["severity"])


def groups_of(labelled, split):
    return list(labelled["group"][labelled["split"] == split])


# ---- what it writes -----------------------------------------------------------------------------


def test_json_has_every_figure_with_its_interval(measured):
    assert list(measured) == [
        *("encoder", "labels", "rows", "epochs", "temperature", "ngram_weight", "beats_linear"),
        *MEASURED,
        *("log_loss_minus_linear", "per_class", "per_specialty", "folds", "critical"),
    ]
    assert (measured["encoder"], measured["labels"], measured["rows"]) == ("minute", "human", ROWS)
    assert 1 <= measured["epochs"] <= SETTINGS.epochs
    for name in MEASURED:
        assert list(measured[name]) == FIGURES
        for figure in measured[name].values():
            assert figure["low"] <= figure["value"] <= figure["high"]
    assert sum(row["rows"] for row in measured["per_class"].values()) == ROWS["test"]
    assert set(measured["per_specialty"]) == {"skin", "other"}
    assert measured["folds"] is None
    assert list(measured["critical"]) == ["test", "folds", "alarms"]
    assert measured["critical"]["folds"] is None


def test_figures_are_those_of_the_classifier_that_was_saved(measured, saved, labelled):
    texts, truth = part(labelled, "test")
    found = saved.probabilities(texts, Budget(1000))
    assert measured["classifier"] == approximately(figures(truth, found, groups_of(labelled, "test"), 17))
    assert measured["temperature"] == pytest.approx(saved.temperature, abs=1e-6)
    assert measured["ngram_weight"] == pytest.approx(saved.ngram_weight, abs=1e-6)
    assert saved.ngram_weight > 0, "else nothing tells the blend from the encoder alone"


def test_beside_it_stand_its_encoder_alone_and_the_references_of_the_training_split(
    measured, saved, labelled
):
    texts, truth = part(labelled, "test")
    (train, train_truth), (valid, valid_truth) = part(labelled, "train"), part(labelled, "valid")
    logits = saved.logits(texts, Budget(1000))
    alone, groups = (
        fit_temperature(saved.logits(valid, Budget(1000)), valid_truth),
        groups_of(labelled, "test"),
    )
    linear = linear_reference(train, train_truth, valid, valid_truth, texts)
    expected = {
        "encoder_alone": softmax(logits, alone),
        "uncalibrated": softmax(logits, 1.0),
        "linear": linear,
        "majority": majority(train_truth, len(texts)),
    }
    for name, probabilities in expected.items():
        assert measured[name] == approximately(figures(truth, probabilities, groups, 17)), name
    difference = paired_difference(truth, saved.probabilities(texts, Budget(1000)), linear, groups)
    assert measured["log_loss_minus_linear"] == pytest.approx(difference, abs=1e-5)
    assert measured["beats_linear"] == (difference["high"] < 0)


def test_p_critical_is_measured_alike_on_both_sides_with_thresholds_of_unseen_validation_rows(
    measured, saved, labelled
):
    """The n-gram models learn from the validation rows in the end, so others choose the thresholds."""
    (train, train_truth), (valid, valid_truth) = part(labelled, "train"), part(labelled, "valid")
    texts, truth = part(labelled, "test")
    linear = linear_reference(train, train_truth, valid, valid_truth, texts)
    test = Judged(truth, groups_of(labelled, "test"), saved.probabilities(texts, Budget(1000)), linear)
    ngrams = NgramModel.fit(train, train_truth).log_probabilities(valid)
    pool = saved.logits(valid, Budget(1000)) / saved.temperature + saved.ngram_weight * ngrams
    chosen_on = Judged(
        valid_truth,
        groups_of(labelled, "valid"),
        softmax(pool, 1.0),
        softmax(ngrams, fit_temperature(ngrams, valid_truth)),
    )
    assert nearly(measured["critical"]["test"]) == nearly(calibration_of_both(test, 17))
    assert nearly(measured["critical"]["alarms"]) == nearly(alarms(chosen_on, test, 0.9, "valid"))
    assert measured["critical"]["alarms"]["critical"] == valid_truth.count("critical")


def nearly(values):
    """JSON with its numbers rounded to four decimals."""
    return json.loads(json.dumps(values), parse_float=lambda number: round(float(number), 4))


def approximately(values):
    return {name: pytest.approx(interval, abs=1e-5) for name, interval in values.items()}


def test_plots_count_every_test_row(project, saved, labelled):
    texts, truth = part(labelled, "test")
    confusion = pd.read_csv(project / "metrics" / "plots" / "confusion.csv")
    guesses = [SEVERITIES[index] for index in saved.probabilities(texts, Budget(1000)).argmax(axis=1)]
    assert confusion["actual"].tolist() == truth
    assert confusion["predicted"].tolist() == guesses
    reliability = pd.read_csv(project / "metrics" / "plots" / "reliability.csv")
    assert list(reliability.columns) == ["confidence", "accuracy", "rows"]
    assert reliability["rows"].sum() == ROWS["test"]


@pytest.mark.slow
def test_running_again_writes_the_same_bytes(fresh, project):
    np.random.seed(1)  # a random state that somebody else sets is no part of the result
    run()
    written = [path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file()]
    made = [path for path in written if "base" not in path.parts and "data" not in path.parts]
    assert len(made) > 6
    for path in made:
        assert (fresh / path).read_bytes() == (project / path).read_bytes(), path


@pytest.mark.slow
def test_test_rows_change_nothing_of_the_classifier(fresh, project, labelled):
    turned = labelled["severity"].replace({"critical": "neutral", "neutral": "critical"})
    write(labelled.assign(severity=labelled["severity"].mask(labelled["split"] == "test", turned)))
    run()
    for name in ("model.safetensors", "ngrams.safetensors", "severity.json"):
        path = Path("models/classifier") / name
        assert path.read_bytes() == (project / path).read_bytes(), name


def test_without_ngrams_the_classifier_is_its_encoder_alone(fresh):
    found = run(**QUICK)
    assert found["ngram_weight"] == 0
    assert found["classifier"] == found["encoder_alone"]
    assert not Path("models/classifier/ngrams.safetensors").exists()


# ---- what it says -------------------------------------------------------------------------------


def test_weak_labels_are_said(fresh, labelled, capsys):
    write(labelled, labels="lexicon")
    assert run(**QUICK)["labels"] == "lexicon"
    assert "Its labels are weak" in capsys.readouterr().out
    assert Classifier(Path("models/classifier")).labels == "lexicon"


def test_without_critical_complaints_outside_training_no_threshold_is_made_up(fresh, labelled, capsys):
    write(labelled[(labelled["split"] == "train") | (labelled["severity"] != "critical")])
    critical = run(**QUICK)["critical"]
    assert critical["alarms"] is None
    assert critical["test"]["classifier"]["critical"] == 0
    printed = capsys.readouterr().out
    assert "No complaint outside the test split is critical" in printed
    assert "critical 0.000" in printed


@pytest.mark.parametrize(
    ("changes", "verdict", "beats"),
    [
        ({"ngrams": True, "epochs": 1}, "CANNOT BE TOLD FROM", False),
        ({"ngrams": False, "epochs": 1, "learning_rate": 1e-9}, "does worse than", False),
    ],
)
def test_whether_it_beats_the_linear_reference_is_printed_plainly(changes, verdict, beats, fresh, capsys):
    """Blended with the reference it cannot be told from it; an encoder that learns nothing is worse."""
    found = run(**changes)
    printed = capsys.readouterr().out
    difference = found["log_loss_minus_linear"]
    assert found["beats_linear"] is beats
    assert (difference["low"] > 0) == (verdict == "does worse than")
    assert f"The classifier {verdict} the linear reference on log-loss: " in printed
    assert f"{difference['value']:+.3f} nats" in printed
    assert "weak" not in printed
    for side in ("classifier", "linear"):
        alarm = found["critical"]["alarms"][side]
        assert f"{side}, 30 test complaints: mean p_critical " in printed
        assert (
            f"{side}, flagging p_critical from {alarm['threshold']:.3f}, which finds 90% of the " in printed
        )
        assert f"finds {alarm['found']} of {alarm['critical']} critical test complaints" in printed
    assert not any(word in printed for words in WORDS.values() for word in words), "no patient's text"


# ---- folds --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folded(built, labelled, tmp_path_factory):
    """The JSON of a run with three folds, and the ids that each training was given and judged."""
    trainings, references = [], []
    identify = dict(zip(labelled["text"], labelled["id"], strict=True))

    def trained(encoder, parts, config):
        given = {split: list(rows["id"]) for split, rows in parts.items()}
        classifier, epoch = honest(encoder, parts, config)
        probabilities = classifier.probabilities

        def judged(texts, tokens):
            given["judged"] = [identify[text] for text in texts]
            return probabilities(texts, tokens)

        classifier.probabilities = judged
        trainings.append(given)
        return classifier, epoch

    def linear(parts, texts):
        references.append({name: set(parts[name]["id"]) for name in ("train", "valid")})
        return reference(parts, texts)

    honest, reference = cross_validation.train_classifier, cross_validation.reference_probabilities
    assert labelled["text"].is_unique
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(lay_out(tmp_path_factory.mktemp("folded"), built))
        patch.setattr(cross_validation, "train_classifier", trained)
        patch.setattr(cross_validation, "reference_probabilities", linear)
        write(labelled)
        return run(folds=3, **QUICK), trainings[1:], references


def test_every_row_is_judged_once_by_a_model_that_saw_nothing_of_its_group(folded, labelled):
    _, trainings, references = folded
    group = dict(zip(labelled["id"], labelled["group"], strict=True))
    learnt = labelled[labelled["split"] != "test"]
    assert sorted(row for given in trainings for row in given["judged"]) == sorted(learnt["id"])
    assert len(trainings) == len(references) == 3
    for given, linear in zip(trainings, references, strict=True):
        apart = [{group[row] for row in given[name]} for name in ("train", "valid", "judged")]
        assert all(apart)
        assert len(set.union(*apart)) == sum(map(len, apart)), "no group is in two of them"
        assert linear == {name: set(given[name]) for name in linear}, "the reference learns from the same"


@pytest.mark.slow
def test_pairs_whose_complaint_was_learnt_are_scored_by_the_model_of_their_fold(fresh, labelled):
    """What is saved gives the probabilities by which the folds were judged."""
    measured = run(folds=3, **QUICK)
    fitted = CrossFitted(paths.CLASSIFIER)
    learnt = labelled[labelled["split"] != "test"]
    groups = list(labelled["group"])
    folds = fitted.folds(groups)
    assert set(folds[labelled["split"] == "test"]) <= {FINAL} | set(fitted.folds(list(learnt["group"])))
    assert set(fitted.folds(list(learnt["group"])).tolist()) == {0, 1, 2}
    assert fitted.folds(["another"]).tolist() == [FINAL]
    found = fitted.probabilities(list(learnt["text"]), list(learnt["group"]), Budget(512))
    learnt_groups = list(learnt["group"])
    expected = figures(list(learnt["severity"]), found, learnt_groups, SETTINGS.seed)
    for name in FIGURES:
        assert measured["folds"]["classifier"][name]["value"] == pytest.approx(
            expected[name]["value"], abs=1e-5
        )
    final = fitted.probabilities(list(learnt["text"]), ["another"] * len(learnt), Budget(512))
    np.testing.assert_allclose(
        final, Classifier(paths.CLASSIFIER).probabilities(list(learnt["text"]), Budget(512)), atol=1e-6
    )
    assert np.abs(final - found).max() > 0.01, "models of their own"


def test_without_folds_there_is_the_final_model_only(fresh, labelled):
    run(**QUICK)
    fitted = CrossFitted(paths.CLASSIFIER)
    assert set(fitted.folds(list(labelled["group"])).tolist()) == {FINAL}


def test_figures_over_folds_stand_beside_those_of_the_test_split(folded, measured, labelled):
    found, _, _ = folded
    assert list(found["folds"]) == ["k", "rows", "classifier", "linear", "log_loss_minus_linear"]
    assert (found["folds"]["k"], found["folds"]["rows"]) == (3, ROWS["train"] + ROWS["valid"])
    for name in ("classifier", "linear"):
        assert list(found["folds"][name]) == FIGURES
        assert found["folds"][name]["accuracy"]["value"] > 0.5, "rows and probabilities are in one order"
    assert found["linear"] == measured["linear"], "folds leave the test split's figures alone"
    critical, learnt = found["critical"], labelled[labelled["split"] != "test"]
    assert critical["folds"]["classifier"]["rows"] == critical["alarms"]["rows"] == len(learnt)
    assert critical["alarms"]["critical"] == (learnt["severity"] == "critical").sum()
    assert critical["alarms"]["chosen_on"] == "folds"
    for name in ("classifier", "linear"):
        assert critical["alarms"][name]["rows"] == ROWS["test"], "chosen on the folds, measured on test"


# ---- what it refuses ----------------------------------------------------------------------------


def refused(match, **changes):
    with pytest.raises(WaznError, match=match) as caught:
        run(**changes)
    assert "\n" not in str(caught.value)
    assert not Path("metrics/classifier.json").exists()


@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_severity_without_training_complaint_is_one_sentence(severity, fresh, labelled):
    there = (labelled["split"] != "train") | (labelled["severity"] != severity)
    write(labelled[there])
    refused(rf"^data/normalised/labelled.parquet: its training split has no {severity} complaint")


def test_all_absent_severities_are_named(fresh, labelled):
    write(labelled[labelled["severity"] == "neutral"])
    refused("has no non_critical or critical complaint")


def test_a_fold_without_a_severity_is_one_sentence(fresh, labelled):
    few = labelled[(labelled["severity"] != "critical") | (labelled["split"] == "train")]
    one_group = few["group"].mask(few["severity"] == "critical", "group-of-all-critical")
    write(few.assign(group=one_group))
    refused("has no critical complaint", folds=2, **QUICK)


@pytest.mark.slow
def test_more_folds_than_groups_are_refused(fresh):
    refused(r"^train_classifier.folds: 99 folds need", folds=99, **QUICK)


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_split_without_complaint_is_one_sentence_before_anything_is_trained(
    split, fresh, labelled, monkeypatch
):
    monkeypatch.setattr(cross_validation, "train_classifier", None)
    write(labelled[labelled["split"] != split])
    refused(rf"^data/normalised/labelled.parquet: no complaint in its {split} split.*split.{split} a share")


@pytest.mark.parametrize("missing", ["data/normalised/labelled.parquet", "models/base/minute"])
def test_missing_input_is_named(missing, fresh):
    path = fresh / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    refused(rf"^{missing}: no .*dvc repro")


# ---- the card -----------------------------------------------------------------------------------


def test_card_says_what_it_is_from_what_and_how_good(fresh):
    found = run(**QUICK)
    loss, linear = (found[name]["log_loss"]["value"] for name in ("classifier", "linear"))
    text = " ".join((fresh / "models/classifier/README.md").read_text(encoding="utf-8").split())
    for part in (
        "Research software. Not a medical device.",
        "license: mit",
        f"`path:minute`, fine-tuned on {found['rows']['train']} complaints that people labelled.",
        f"| log-loss | {loss:.3f} | {linear:.3f} |",
        "The base model is licensed under MIT",
    ):
        assert part in text


# ---- what is killed -----------------------------------------------------------------------------

STAGE = """
import json, sys
from pipeline.config.models import ModelEntry
from pipeline.config.severity import ClassifierConfig
from pipeline.stages import train_classifier
train_classifier.run(
    ClassifierConfig.model_validate(json.loads(sys.argv[1])),
    encoder_entry=ModelEntry(title="Minute", source="path:minute", lora_targets=None, license="MIT"),
)
"""


def start(folder, config):
    """The stage as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", STAGE, config.model_dump_json()],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def outputs(folder):
    paths = [*(folder / "models/classifier").rglob("*"), *(folder / "metrics").rglob("*")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.is_file()}


def complete(folder):
    """Checkpoints and trainings that are complete so far."""
    work = folder / ".checkpoints" / "train_classifier"
    return {str(path) for pattern in ("*/epochs/*.sha256", "*/trained") for path in work.glob(pattern)}


@pytest.mark.slow
def test_killed_again_and_again_it_gets_done_with_the_same_bytes(built, fresh, labelled, tmp_path):
    config = SETTINGS.model_copy(update={"epochs": 6, "patience": 6, "folds": 2})
    whole = shutil.copytree(fresh, tmp_path / "whole")
    assert start(whole, config).wait() == 0
    expected, chance, said = outputs(whole), random.Random(3), ""
    assert len(expected) > 6
    for _ in range(5):
        process, before = start(fresh, config), complete(fresh)
        # As on a busy machine: each try gets one epoch further, or little more.
        while process.poll() is None and complete(fresh) <= before:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        said += process.communicate()[0]
        assert outputs(fresh) in ({}, expected), "all or nothing"
    process = start(fresh, config)
    said += process.communicate()[0]
    assert process.returncode == 0
    assert outputs(fresh) == expected
    assert "goes on after step" in said
    assert complete(fresh) == set(), "what was kept is removed at the end"
