"""A model whose files are damaged ends the stage that loads it in one line."""

import json
import shutil

import commands
import numpy as np
import pytest
import torch
from commands import TEST, TRAIN, VALID
from safetensors.numpy import load_file, save_file
from transformers import GenerationConfig

from pipeline.config.training import AdapterConfig
from pipeline.models.lora import add_lora, save_trained
from pipeline.models.origin import Origin
from pipeline.models.runtime import load_decoder
from pipeline.severity import cross_fitting
from pipeline.severity.classifier import Classifier
from pipeline.severity.ngrams import NgramModel

pytestmark = pytest.mark.slow
BASE, ADAPTER = "models/base/tiny_qwen2", "models/weighting/tiny_qwen2/17"
CLASSIFIER = "models/classifier"
ASK = ("ask", "صداع", "--model", "tiny_qwen2")
FINETUNE = ("finetune", "tiny_qwen2", "mild")
READERS = {
    f"{BASE}/config.json": (ASK, BASE),
    f"{BASE}/tokenizer.json": (FINETUNE, BASE),
    f"{BASE}/tokenizer_config.json": (FINETUNE, BASE),
    f"{BASE}/model.safetensors": (ASK, BASE),
    f"{ADAPTER}/adapter_config.json": (ASK, ADAPTER),
    f"{ADAPTER}/adapter_model.safetensors": (ASK, ADAPTER),
    f"{CLASSIFIER}/config.json": (("score",), CLASSIFIER),
    f"{CLASSIFIER}/tokenizer.json": (("score",), CLASSIFIER),
    f"{CLASSIFIER}/model.safetensors": (("score",), CLASSIFIER),
    f"{CLASSIFIER}/severity.json": (("score",), f"{CLASSIFIER}/severity.json"),
    f"{CLASSIFIER}/ngrams.safetensors": (("score",), f"{CLASSIFIER}/ngrams.safetensors"),
    f"{CLASSIFIER}/folds.json": (("score",), f"{CLASSIFIER}/folds.json"),
}
DEEP = b'{"a": ' + b"[" * 100_000
RUINS = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "zeros": lambda content: b"\0" * len(content),
    "pointer of Git LFS": lambda content: (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    ),
}
JSON_RUINS = {"list": b"[]", "nothing": b"null", "no keys": b"{}", "numbers": b'{"a": NaN}', "deep": DEEP}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, built, scored_table):
    """A project with a minute model, an adapter on it, a classifier and pairs to score."""
    folder = commands.lay_out(tmp_path_factory.mktemp("whole"), built, scored_table(TRAIN + VALID, TEST))
    model = load_decoder(folder / BASE, torch.float32, 16)
    adapted = add_lora(model, ["q_proj"], AdapterConfig(r=2, alpha=4.0, dropout=0.0))
    (folder / ADAPTER).mkdir(parents=True)
    state = {name: p.detach() for name, p in adapted.named_parameters() if p.requires_grad}
    settings = GenerationConfig(eos_token_id=[0])
    save_trained(adapted, state, folder / ADAPTER, base=Origin(BASE, None), settings=settings)
    shutil.copytree(built("modernbert"), folder / CLASSIFIER)
    classifier = Classifier(folder / CLASSIFIER)
    classifier.ngrams = NgramModel.fit(
        ["صداع خفيف", "حمى", "نزيف"], ["non_critical", "neutral", "critical"]
    )
    classifier.ngram_weight, classifier.max_length = 0.5, 64
    cross_fitting.save(folder / CLASSIFIER, classifier, [], {})
    scored = scored_table(TRAIN, TEST)
    (folder / "data/normalised").mkdir()
    normalised = scored.assign(text=scored["question"], group=scored["id"]).drop(columns="severity")
    normalised.to_parquet(folder / "data/normalised/pairs.parquet", index=False)
    return folder


@pytest.fixture
def project(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "project")


def refused(project, name):
    command, named = READERS[name]
    before = without_locks(project)
    ended = commands.run(project, *command)
    assert ended.code == 2, ended.err
    assert "Traceback" not in ended.err
    # `ask` goes on without a classifier, and says so, before it opens a model.
    *notes, line = [line for line in ended.err.splitlines() if line.startswith("wazn: ")]
    assert len(notes) == (command == ASK), ended.err
    assert line.startswith(f"wazn: {named}"), line
    assert without_locks(project) == before
    return line


def without_locks(project):
    return {path: content for path, content in commands.files_of(project).items() if "/lock" not in path}


@pytest.mark.parametrize("command", [ASK, ("score",)], ids=["ask", "score"])
def test_commands_run_where_nothing_is_damaged(command, project):
    ended = commands.run(project, *command)
    assert ended.code == 0, ended.err


@pytest.mark.parametrize("ruin", RUINS)
@pytest.mark.parametrize("name", READERS)
def test_file_of_a_model_that_is_ruined(name, ruin, project):
    path = project / name
    path.write_bytes(RUINS[ruin](path.read_bytes()))
    assert "dvc repro" in refused(project, name)


@pytest.mark.parametrize("ruin", JSON_RUINS)
@pytest.mark.parametrize("name", [name for name in READERS if name.endswith(".json")])
def test_json_of_a_model_with_other_content(name, ruin, project):
    if name.endswith("tokenizer_config.json") and ruin in ("no keys", "numbers"):
        pytest.skip("a tokenizer does without")
    (project / name).write_bytes(JSON_RUINS[ruin])
    assert "dvc repro" in refused(project, name)


@pytest.mark.parametrize("value", [0, -1.0, "1", None, [1]], ids=str)
def test_settings_of_the_classifier_are_checked(value, project):
    path = project / CLASSIFIER / "severity.json"
    for key in ("temperature", "max_length"):
        settings = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**settings, key: value}), encoding="utf-8")
        assert f"severity.json: {key}: " in refused(project, f"{CLASSIFIER}/severity.json")
        path.write_text(json.dumps(settings), encoding="utf-8")


def test_tensors_of_other_shapes_are_refused(project):
    path = project / CLASSIFIER / "ngrams.safetensors"
    tensors = load_file(path)
    for name in tensors:
        save_file({**tensors, name: np.zeros((2, 2), dtype=np.float32)}, path)
        assert "other shapes" in refused(project, f"{CLASSIFIER}/ngrams.safetensors")
