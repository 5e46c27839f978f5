import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from raw import GOOD, TEXTS, setting, write_raw
from root import ROOT

from pipeline import paths
from pipeline.commands import inspect
from pipeline.config.training import ArmConfig
from pipeline.errors import WaznError
from pipeline.files import write_json, write_parquet
from pipeline.severities import PROBABILITIES, SEVERITIES
from pipeline.stages import normalise

BALANCED = ArmConfig(alpha=0.5, beta=1.0, gamma=1.5, renormalise=False)
SECRET = "لا اريد ان يقرا احد هذا"
BAD = [
    ("my head aches", GOOD),
    (SECRET, ""),
    ("نص اخر", ""),
    (TEXTS[0], GOOD),
    ("المريض يقول fever and chills", "123 ؟"),
]


@pytest.fixture
def project(tmp_path, monkeypatch, capsys):
    """A working folder with normalised data: 60 good pairs, and bad ones in a second source."""
    monkeypatch.chdir(tmp_path)
    labelled = [[(text, SEVERITIES[number % 3]) for number, text in enumerate(TEXTS)], [(SECRET, "")]]
    write_raw([[(text, GOOD) for text in TEXTS], BAD], labelled)
    normalise.run(setting())
    capsys.readouterr()
    return tmp_path


def write_scored():
    """Scored pairs: of the training split 10 non-critical, 20 neutral and 30 critical, of others few."""
    rows = ["train"] * 60 + ["valid"] * 2 + ["test"]
    severities = [0] * 10 + [1] * 20 + [2] * 30 + [0, 1, 2]
    table = pd.DataFrame({"split": rows, "severity": [SEVERITIES[number] for number in severities]})
    for number, name in enumerate(PROBABILITIES):
        table[name] = np.float32([severity == number for severity in severities])
    write_parquet(paths.SCORED, table)


@pytest.fixture
def shown(capsys):
    def show(weighting=BALANCED, text=False):
        inspect.run(weighting, text=text)
        return capsys.readouterr().out

    return show


def numbers(output, name, nth=0):
    """The numbers of the table's row of that name."""
    rows = [line.split(name)[1].split() for line in output.splitlines() if line.startswith(f"  {name} ")]
    return [float(value) for value in rows[nth]]


def test_rows_kept_and_reasons_are_shown_with_where_an_example_is(project, shown):
    output = shown()
    assert "pairs: 65 rows in, 60 kept\n" in output
    assert "labelled: 61 rows in, 60 kept\n" in output
    found = re.findall(r"^ +(\d+)  (\w+) +e\.g\. (\w+), line (\d+)$", output, re.MULTILINE)
    assert found == [
        ("2", "answer_empty", "b", "3"),
        ("1", "duplicate", "b", "5"),
        ("2", "question_not_arabic", "b", "2"),
        ("1", "unknown_label", "b", "2"),
    ]


def test_no_text_is_shown_unless_it_is_asked_for(project, shown):
    write_scored()
    assert not any("\u0600" <= character <= "\u06ff" for character in shown())
    assert "head aches" not in shown()


def test_with_text_the_first_example_of_each_reason_is_shown(project, shown):
    output = shown(text=True)
    lines = [line.strip() for line in output.splitlines()]
    assert (
        lines[lines.index(next(line for line in lines if "answer_empty" in line)) + 1]
        == f"question: {SECRET}"
    )
    assert "question: my head aches" in lines
    assert f"text: {SECRET}" in lines
    assert "نص اخر" not in output, "the second of its reason"
    assert not any(text in output for text in TEXTS[1:]), "what is kept is no example"
    assert [line for line in output.splitlines() if not line.startswith(" " * 13)] == shown().splitlines()


def test_languages_are_counted_of_every_raw_row(project, shown):
    others = [
        ("مجھے تین دن سے بخار ہے", GOOD),
        ("3andi so2al ya doctor", GOOD),
        ("\ufffd\ufffd\ufffd\ufffd\ufffd", GOOD),
    ]
    write_raw([[(text, GOOD) for text in TEXTS], BAD, others], [[(text, "neutral") for text in TEXTS]])
    output = shown()
    heads = [line for line in output.splitlines() if line.startswith("  language")]
    # The answers' empty ones have no letter.
    head, found = re.split(r" {2,}", heads[0].strip())[1:], numbers(output, "question")
    assert dict(zip(head, found, strict=True)) == {
        **{"Arabic": 63, "partly Arabic": 1, "other": 1, "no letters": 0},
        **{"Urdu": 1, "Arabizi": 1, "wrong encoding": 1},
    }
    found = dict(zip(head, numbers(output, "answer"), strict=True))
    assert found == {**dict.fromkeys(head, 0), "Arabic": 65, "no letters": 3}
    assert numbers(output, "text") == [60]


def test_what_meets_the_severities_unequally_is_said(project, shown):
    """Of 20 pairs of each severity, 18 critical ones have an answer in Latin letters."""
    answers = ["see a doctor" if number % 3 == 2 and number < 54 else GOOD for number in range(60)]
    labels = [(text, SEVERITIES[number % 3]) for number, text in enumerate(TEXTS)]
    write_raw([list(zip(TEXTS, answers, strict=True))], [labels, [(TEXTS[0], "critical")]])
    normalise.run(setting(split={"train": 1.0, "valid": 0.0, "test": 0.0}))
    output = shown()
    assert (
        "answer_not_arabic rejects the severities unequally, by more than chance: 0 non_critical, "
        "0 neutral, 18 critical\n" in output
    )
    assert "labelled 1 complaints more than once, 1 of them differently" in output
    assert "no classifier is right on more than 50.0% of their 2 rows" in output


def test_lengths_are_of_kept_rows(project, shown):
    output = shown()
    assert numbers(output, "question", nth=1) == [199, 199, 199]
    assert numbers(output, "answer", nth=1) == [len(GOOD)] * 3


def test_before_scoring_the_rest_is_shown_and_what_is_missing_said(project, shown):
    output = shown()
    assert numbers(output, "labelled") == [20, 20, 20]
    assert "Not scored yet, so no weights; run `dvc repro`." in output
    assert "weights  " not in output


def test_balance_weights_and_effective_sample_size_are_of_the_scored_pairs(project, shown):
    write_scored()
    output = shown()
    assert "Not scored" not in output
    assert numbers(output, "scored train") == [10, 20, 30]
    assert numbers(output, "scored valid") == [1, 1, 0]
    assert numbers(output, "scored test") == [0, 0, 1]
    weights = np.repeat([0.5, 1.0, 1.5], [10, 20, 30])
    expected = [weights.mean(), weights.std(), *np.quantile(weights, [0.01, 0.25, 0.5, 0.75, 0.99])]
    assert numbers(output, "train") == pytest.approx(expected, abs=5e-4)
    # (5 + 20 + 45)^2 / (2.5 + 20 + 67.5) = 54.4
    assert (
        "Effective sample size: 54 of 60 training pairs (90.7%), by alpha 0.5, beta 1, gamma 1.5." in output
    )


def test_sharpened_probabilities_show_how_the_weights_would_spread_without(project, shown):
    plain = np.random.default_rng(0).dirichlet([1, 1, 1], 40).astype("float32")
    squares = plain.astype("float64") ** 2
    sharp = squares / squares.sum(axis=1, keepdims=True)
    table = pd.DataFrame({"split": "train", "severity": "neutral"}, index=range(40))
    table = table.assign(**dict(zip(PROBABILITIES, sharp.astype("float32").T, strict=True)))
    write_parquet(paths.SCORED, table)
    assert "not sharpened" not in shown()
    note = {"wazn": json.dumps({"sharpen": 0.5})}
    pq.write_table(pq.read_table(paths.SCORED).replace_schema_metadata(note), paths.SCORED)
    output = shown()
    for name, values in (("train", sharp), ("not sharpened", plain)):
        weights = values @ [0.5, 1.0, 1.5]
        assert numbers(output, name)[:2] == pytest.approx([weights.mean(), weights.std()], abs=6e-4)


def test_equal_weights_have_the_effective_sample_size_of_all(project, shown):
    write_scored()
    output = shown(ArmConfig(alpha=1.0, beta=1.0, gamma=1.0, renormalise=False))
    assert "Effective sample size: 60 of 60 training pairs (100.0%)" in output


def test_renormalised_weights_have_the_mean_1_and_spread_alike(project, shown):
    write_scored()
    plain, renormalised = shown(), shown(BALANCED.model_copy(update={"renormalise": True}))
    expected = np.array(numbers(plain, "train")) / np.repeat([0.5, 1.0, 1.5], [10, 20, 30]).mean()
    assert numbers(renormalised, "train") == pytest.approx(expected, abs=1e-3)
    assert "54 of 60 training pairs (90.7%)" in renormalised


@pytest.mark.parametrize("scored", [False, True])
def test_weak_labels_are_called_so(project, shown, scored):
    if scored:
        write_scored()
    assert "weak" not in shown()
    data = json.loads(Path("metrics/data.json").read_text(encoding="utf-8"))
    data["labelled"]["labels"] = "lexicon"
    write_json(Path("metrics/data.json"), data)
    assert "The labels are weak" in shown()


@pytest.mark.parametrize(
    "path", ["metrics/data.json", "data/normalised/rejected.parquet", "data/raw/pairs.parquet"]
)
def test_without_normalised_data_it_is_said_what_to_run(project, path):
    Path(path).unlink()
    with pytest.raises(WaznError, match=rf"^{path}: no such file; run `dvc repro`"):
        inspect.run(BALANCED, text=False)


def test_damaged_data_are_one_sentence(project):
    Path("data/normalised/rejected.parquet").write_bytes(b"PAR1")
    with pytest.raises(WaznError, match=r"^data/normalised/rejected\.parquet: not readable as Parquet"):
        inspect.run(BALANCED, text=False)


def test_metrics_of_another_run_are_one_sentence(project):
    """As after a git checkout without a dvc checkout."""
    table = pd.read_parquet("data/normalised/rejected.parquet")
    write_parquet(Path("data/normalised/rejected.parquet"), table[table["reason"] != "duplicate"])
    with pytest.raises(WaznError, match=r"rejected\.parquet: no row is rejected as duplicate") as caught:
        inspect.run(BALANCED, text=True)
    assert "\n" not in str(caught.value)


def test_the_command_shows_it_with_the_weighting_of_the_parameters(project, shown):
    write_scored()
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    for arguments, text in (((), False), (("--text",), True)):
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", "inspect", *arguments],
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == shown(text=text)
