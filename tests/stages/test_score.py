"""The stage `score` with a random BERT: the right numbers, resumed, alone or over processes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from root import ROOT
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from pipeline import paths
from pipeline.code_hashes import code_hash
from pipeline.config.params import load
from pipeline.config.resources import ScoreResources
from pipeline.config.severity import ScoreConfig, SeverityConfig
from pipeline.errors import WaznError
from pipeline.hashes import folder_digest
from pipeline.models.distributed import join_processes
from pipeline.severities import PROBABILITIES
from pipeline.severity import scoring
from pipeline.severity.classifier import Classifier
from pipeline.stages import score as stage

POSTS = ROOT / "../shared/data/severity_posts.xlsx"
CLASSIFIER = SeverityConfig(source="classifier", sharpen=1.0)
PROVIDED = SeverityConfig(source="provided", sharpen=1.0)
ROWS, TEMPERATURE = 60, 0.7


def settings(tokens_per_batch=64):
    """The sections `score`, `severity` and `resources.score`."""
    return {
        "score": ScoreConfig(dtype="auto"),
        "severity": CLASSIFIER,
        "resources": ScoreResources(tokens_per_batch=tokens_per_batch),
    }


def save_bert(folder, texts, vocabulary, **shape):
    """A random classifier; its weights are so large that probabilities differ between texts."""
    pieces = BertWordPieceTokenizer(strip_accents=False)
    pieces.train_from_iterator(texts, vocab_size=vocabulary, min_frequency=1, show_progress=False)
    BertTokenizer(vocab=pieces.get_vocab(), model_max_length=512).save_pretrained(folder)
    torch.manual_seed(11)
    config = BertConfig(vocab_size=vocabulary, initializer_range=0.3, num_labels=3, **shape)
    BertForSequenceClassification(config).save_pretrained(folder)


def save_settings(folder, max_length):
    """What the stage before says of the classifier."""
    said = {"temperature": TEMPERATURE, "ngram_weight": 0.0, "max_length": max_length, "labels": "lexicon"}
    (folder / "severity.json").write_text(json.dumps(said), encoding="utf-8")
    (folder / "folds.json").write_text(json.dumps({"count": 0, "fold_of": {}}), encoding="utf-8")


@pytest.fixture(scope="module")
def bert(pairs, tmp_path_factory):
    """Its folder."""
    folder = tmp_path_factory.mktemp("bert")
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    save_bert(folder, [text for pair in pairs for text in pair], 300, **shape)
    save_settings(folder, max_length=64)
    return folder


def write_pairs(texts, own=None, rules='{"rules": "abc"}'):
    """data/normalised/pairs.parquet in the present folder."""
    rows = len(texts)
    own = pa.nulls(rows, pa.float32()) if own is None else own
    columns = {name: texts for name in ("question", "answer", "text")}
    table = pa.table(
        {
            "source": ["own.csv"] * rows,
            "line": range(2, rows + 2),
            "id": [f"row-{row}" for row in range(rows)],
            **columns,
            "specialty": pa.nulls(rows, pa.string()),
            "severity_human": pa.nulls(rows, pa.string()),
            **dict.fromkeys(PROBABILITIES, own),
            "split": ["train"] * rows,
            "group": [f"{row:04x}" for row in range(rows)],
        }
    )
    paths.NORMALISED_PAIRS.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        table.replace_schema_metadata({"wazn": rules} if rules else None), paths.NORMALISED_PAIRS
    )


@pytest.fixture
def project(bert, pairs, tmp_path, monkeypatch):
    """The present folder, with pairs and a classifier whose files may be changed."""
    monkeypatch.chdir(tmp_path)
    paths.CLASSIFIER.mkdir(parents=True)
    # Three shards of the rows below.
    monkeypatch.setattr(scoring, "SHARD_ROWS", 25)
    for path in bert.iterdir():
        (paths.CLASSIFIER / path.name).write_bytes(path.read_bytes())
    words = [text for pair in pairs for text in pair]
    write_pairs([" ".join(words[row % 20 : row % 20 + 1 + row % 3]) for row in range(ROWS)])
    return tmp_path


def found():
    return np.column_stack([pq.read_table(paths.SCORED)[name].to_numpy() for name in PROBABILITIES])


def test_probabilities_are_the_classifiers_own_in_order_with_its_temperature(project, capfd):
    stage.run(**settings())
    texts = pq.read_table(paths.NORMALISED_PAIRS)["text"].to_pylist()
    classifier = Classifier(paths.CLASSIFIER)
    for text, row in zip(texts, found(), strict=True):
        with torch.no_grad():
            inputs = classifier.tokenizer(text, return_tensors="pt", truncation=True, max_length=64)
            logits = classifier.model(**inputs).logits[0]
        np.testing.assert_allclose(row, (logits / TEMPERATURE).softmax(dim=-1).numpy(), atol=1e-5)
    np.testing.assert_allclose(found().sum(axis=1), 1, atol=1e-6)
    assert len(np.unique(found().round(3), axis=0)) > ROWS // 4, "too alike to tell the order"
    assert list(stage.WORK.iterdir()) == []


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_size_of_a_shard_does_not_change_the_probabilities(rows, project, monkeypatch):
    stage.run(**settings())
    expected = found()
    monkeypatch.setattr(scoring, "SHARD_ROWS", rows)
    stage.run(**settings())
    np.testing.assert_allclose(found(), expected, atol=5e-6)


def test_a_pair_is_scored_by_the_model_of_its_fold_and_the_rest_by_the_final_one(project, bert):
    """The model of fold 1 has another temperature; that of fold 0 is the final one."""
    stage.run(**settings())
    final = found()
    for fold, temperature in enumerate((TEMPERATURE, 5.0)):
        folder = paths.CLASSIFIER / "folds" / str(fold)
        shutil.copytree(bert, folder)
        said = json.loads((folder / "severity.json").read_text(encoding="utf-8"))
        (folder / "severity.json").write_text(json.dumps({**said, "temperature": temperature}))
    fold_of = {f"{row:04x}": row % 2 for row in range(0, ROWS, 3)}
    (paths.CLASSIFIER / "folds.json").write_text(json.dumps({"count": 2, "fold_of": fold_of}))
    stage.run(**settings())
    folds = pq.read_table(paths.SCORED)["fold"].to_pylist()
    assert folds == [fold_of.get(f"{row:04x}") for row in range(ROWS)]
    changed = np.abs(found() - final).max(axis=1) > 1e-5
    assert changed.tolist() == [fold == 1 for fold in folds]


def test_metadata_and_metrics_say_where_the_probabilities_come_from(project):
    stage.run(**settings())
    said = json.loads(pq.read_schema(paths.SCORED).metadata[b"wazn"])
    assert len(said.pop("classifier")) == 64
    assert said == {
        "temperature": TEMPERATURE,
        "rules": "abc",
        "source": "classifier",
        "labels": "lexicon",
        "sharpen": 1.0,
    }
    metrics = json.loads(paths.SEVERITY_METRICS.read_text(encoding="utf-8"))
    assert (metrics["rows"], metrics["source"], metrics["labels"]) == (ROWS, "classifier", "lexicon")
    assert sum(metrics["share"].values()) == pytest.approx(1)
    assert (metrics["sharpen"], metrics["splits_before_sharpening"]) == (1.0, None)


@pytest.mark.parametrize("source", ["classifier", "provided"])
def test_sharpening_tells_how_the_probabilities_spread_before_and_after(source, project, capfd):
    own = pa.array(np.random.default_rng(0).uniform(0.1, 1, (5, 3)).astype("float32").tolist())
    if source == "provided":
        table = pq.read_table(paths.NORMALISED_PAIRS).slice(0, 5)
        for number, name in enumerate(PROBABILITIES):
            column = pa.array([row[number] for row in own.to_pylist()], pa.float32())
            table = table.set_column(table.column_names.index(name), name, column)
        pq.write_table(table, paths.NORMALISED_PAIRS)
    given = settings() | {"severity": SeverityConfig(source=source, sharpen=1.0)}
    stage.run(**given)
    plain, said = found(), capfd.readouterr().out
    assert "before sharpening" not in said
    stage.run(**given | {"severity": SeverityConfig(source=source, sharpen=0.5)})
    squares = plain.astype(np.float64) ** 2
    np.testing.assert_allclose(found(), squares / squares.sum(axis=1, keepdims=True), rtol=1e-5)
    before, after = ((table[:, 2].astype(np.float64) - table[:, 0]).std() for table in (plain, found()))
    shown = re.search(r"p_critical - p_non_critical (\S+), (\S+) before sharpening", capfd.readouterr().out)
    # Not as texts: the third decimal of a number half-way between two may fall to either side.
    assert list(map(float, shown.groups())) == pytest.approx([after, before], abs=6e-4)
    metrics = json.loads(paths.SEVERITY_METRICS.read_text(encoding="utf-8"))
    assert metrics["sharpen"] == 0.5
    assert metrics["splits"]["train"]["contrast_std"] == pytest.approx(after, abs=1e-5)
    assert metrics["splits_before_sharpening"]["train"]["contrast_std"] == pytest.approx(before, abs=1e-5)
    assert json.loads(pq.read_schema(paths.SCORED).metadata[b"wazn"])["sharpen"] == 0.5


def test_rules_that_the_pairs_do_not_tell_are_null(project):
    write_pairs(["صداع"], rules=None)
    stage.run(**settings())
    assert json.loads(pq.read_schema(paths.SCORED).metadata[b"wazn"])["rules"] is None


def test_provided_probabilities_need_no_classifier(project):
    for path in paths.CLASSIFIER.iterdir():
        path.unlink()
    write_pairs(["صداع"] * 5, own=pa.array([0.2] * 5, pa.float32()))
    stage.run(**settings() | {"severity": PROVIDED})
    np.testing.assert_allclose(found(), np.full((5, 3), 1 / 3), atol=1e-6)
    said = json.loads(pq.read_schema(paths.SCORED).metadata[b"wazn"])
    assert (said["source"], said["classifier"], said["temperature"]) == ("provided", None, None)
    assert json.loads(paths.SEVERITY_METRICS.read_text(encoding="utf-8"))["source"] == "provided"


def test_row_without_provided_probabilities_ends_the_stage_by_its_id(project):
    with pytest.raises(WaznError, match="row row-0 came without usable probabilities"):
        stage.run(**settings() | {"severity": PROVIDED})
    assert not paths.SCORED.exists()


class Killed(BaseException):
    """Stands for a kill in this process."""


def interrupted(monkeypatch, after, **changes):
    """Run the stage until so many shards are computed; then it ends as it would when killed."""
    calls, real = [], Classifier.probabilities

    def probabilities(self, texts, budget):
        if len(calls) == after:
            raise Killed
        calls.append(len(texts))
        return real(self, texts, budget)

    with monkeypatch.context() as patched:
        patched.setattr(Classifier, "probabilities", probabilities)
        try:
            stage.run(**settings(**changes))
        except Killed:
            assert len(calls) == after
        else:
            assert len(calls) < after, "not interrupted"
    return calls


def test_interrupted_run_continues_after_its_last_complete_shard(project, monkeypatch, capfd):
    stage.run(**settings())
    expected = paths.SCORED.read_bytes()
    paths.SCORED.unlink()
    interrupted(monkeypatch, after=2)
    assert not paths.SCORED.exists()
    capfd.readouterr()
    assert interrupted(monkeypatch, after=100) == [10]
    assert "2 of 3 shards are there from a run before" in capfd.readouterr().out
    assert paths.SCORED.read_bytes() == expected


@pytest.mark.parametrize("change", ["classifier", "pairs"])
def test_shards_of_another_result_are_not_used_and_go(change, project, monkeypatch):
    interrupted(monkeypatch, after=2)
    (stale,) = (path for path in stage.WORK.iterdir() if path.is_dir())
    if change == "classifier":
        settings_file = paths.CLASSIFIER / "severity.json"
        settings_file.write_text(settings_file.read_text().replace("0.7", "3.0"))
    else:
        texts = pq.read_table(paths.NORMALISED_PAIRS)["text"].to_pylist()
        write_pairs([text + " شديد" for text in texts])
    assert interrupted(monkeypatch, after=100) == [25, 25, 10]
    assert not stale.exists()


def test_another_number_of_tokens_at_once_keeps_the_shards(project, monkeypatch):
    """It changes speed and memory only."""
    interrupted(monkeypatch, after=2)
    assert interrupted(monkeypatch, after=100, tokens_per_batch=500) == [10]


class Processes(SimpleNamespace):
    """What accelerate says of three processes that never meet, of which this is the main one."""

    num_processes, process_index, is_main_process = 3, 0, True

    def wait_for_everyone(self):
        if self.ended:
            raise RuntimeError("Connection closed by peer")

    def destroy_process_group(self):
        pass


def test_idle_processes_are_spoken_of(project, monkeypatch, capfd):
    monkeypatch.setattr(stage, "join_processes", lambda _: Processes(ended=False))
    monkeypatch.setattr(scoring, "SHARD_ROWS", ROWS // 2)
    stage.run(**settings())
    assert "1 of 3 processes stay idle, since there are 2 shards" in capfd.readouterr().out
    assert len(found()) == ROWS


def test_process_that_ended_is_one_sentence_for_the_others(project, monkeypatch):
    monkeypatch.setattr(stage, "join_processes", lambda _: Processes(ended=True))
    with pytest.raises(WaznError, match="another process of this run has ended early"):
        stage.run(**settings())


def test_launcher_that_started_one_process_only_is_spoken_of(monkeypatch, capfd):
    """As `accelerate launch --cpu --num_processes 2` does."""
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join_processes().num_processes == 1
    assert "takes --multi_gpu as well" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("lost", "sentence"),
    [
        (paths.NORMALISED_PAIRS, "data/normalised/pairs.parquet: no such file"),
        (paths.CLASSIFIER / "config.json", "models/classifier: no model there"),
        (paths.CLASSIFIER / "model.safetensors", "models/classifier: transformers cannot load it"),
        (paths.CLASSIFIER / "severity.json", "models/classifier: not a trained classifier"),
    ],
)
def test_missing_input_is_one_sentence(lost, sentence, project):
    lost.unlink()
    with pytest.raises(WaznError, match=sentence):
        stage.run(**settings())
    assert not paths.SCORED.exists()


def test_cut_off_classifier_is_one_sentence(project):
    weights = paths.CLASSIFIER / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(WaznError, match="models/classifier: transformers cannot load it"):
        stage.run(**settings())


@pytest.mark.skipif(not POSTS.is_file(), reason="the real posts are not beside this checkout")
def test_at_most_five_percent_of_the_tokens_are_padding_on_the_real_posts(project, monkeypatch):
    """With the default parameters and a tokenizer that has learnt as many pieces from them."""
    params = load(ROOT / "params.yaml")
    posts = pd.read_excel(POSTS, usecols=["Post"])["Post"].dropna().astype(str).tolist()
    assert len(posts) > 2000
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    save_bert(paths.CLASSIFIER, posts, params.base_encoder.tiny.vocabulary, **shape)
    save_settings(paths.CLASSIFIER, params.train_classifier.max_length)
    write_pairs(posts)
    real = padded = 0

    def count(model, inputs, named):
        nonlocal real, padded
        real += int(named["attention_mask"].sum())
        padded += named["attention_mask"].numel()

    load_classifier = Classifier.__init__

    def counting(self, *arguments):
        load_classifier(self, *arguments)
        self.model.register_forward_pre_hook(count, with_kwargs=True)

    monkeypatch.setattr(Classifier, "__init__", counting)
    stage.run(params.score, CLASSIFIER, params.resources.score)
    assert real > 20 * len(posts)
    assert padded <= real / 0.95


def start(*command, **variables):
    """A command of the project, on one thread a process."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | variables
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


LAUNCH = ("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0")


@pytest.fixture
def params_file(project):
    """params.yaml as the command line reads it, and pairs for fifteen shards."""
    texts = pq.read_table(paths.NORMALISED_PAIRS)["text"].to_pylist()
    write_pairs((texts * 250)[:14_500])
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["resources"]["score"] = {"tokens_per_batch": 2048}
    params["severity"]["source"] = "classifier"
    Path("params.yaml").write_text(yaml.safe_dump(params, allow_unicode=True), encoding="utf-8")


@pytest.mark.slow
def test_two_processes_give_the_file_of_one(params_file):
    alone = start("pipeline", "score")
    assert alone.wait(120) == 0, alone.stderr.read()
    expected, probabilities = pq.read_table(paths.SCORED), found()
    paths.SCORED.unlink()
    both = start(*LAUNCH, "-m", "pipeline", "score")
    assert both.wait(240) == 0, both.stderr.read()
    scored = pq.read_table(paths.SCORED)
    assert scored.schema.equals(expected.schema, check_metadata=True)
    assert scored.drop_columns(list(PROBABILITIES)).equals(expected.drop_columns(list(PROBABILITIES)))
    np.testing.assert_allclose(found(), probabilities, atol=1e-5)


@pytest.mark.slow
def test_processes_end_when_one_of_them_fails(params_file):
    """A folder stands where process 1 would put its first shard, so that it alone fails."""
    alone = start("pipeline", "score")
    assert alone.wait(120) == 0, alone.stderr.read()
    paths.SCORED.unlink()
    name = stage.fingerprint(
        paths.NORMALISED_PAIRS,
        code_hash("score"),
        classifier=folder_digest(paths.CLASSIFIER),
        dtype="torch.float32",
        device=stage.device().type,
    )
    (stage.WORK / name / "000001.parquet").mkdir(parents=True)
    both = start(*LAUNCH, "-m", "pipeline", "score")
    assert both.wait(120) != 0
    said = both.stderr.read()
    assert "000001.parquet: could not be written" in said
    assert re.search(r"Root Cause.*\n(.*\n)*? *rank +: 1 ", said), "not the other process"
    assert not paths.SCORED.exists()


@pytest.mark.slow
def test_killed_command_continues_and_gives_the_same_bytes(params_file):
    whole = start("pipeline", "score")
    assert whole.wait(120) == 0, whole.stderr.read()
    expected = paths.SCORED.read_bytes()
    paths.SCORED.unlink()
    for shards in (1, 6, 13):
        run = start("pipeline", "score")
        while len(list(stage.WORK.glob("*/[0-9]*.parquet"))) < shards and run.poll() is None:
            time.sleep(0.001)
        run.send_signal(signal.SIGKILL)
        run.wait()
        assert not paths.SCORED.exists()
    last = start("pipeline", "score")
    assert last.wait(120) == 0, last.stderr.read()
    assert "of 15 shards are there from a run before" in last.stdout.read()
    assert paths.SCORED.read_bytes() == expected
