"""Exports in other hands: transformers alone, `transformers serve`, PEFT with a base model of the Hub."""

import importlib.util
import json
import os
import re
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch
from architectures import KEYS, hub_folder, random_model
from commands import finetune, lay_out, paper_params, start
from hub_server import SHA, Hub, Repository, elsewhere
from root import ROOT
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipeline import paths
from pipeline.commands.export import export
from pipeline.commands.exporting.folder import write
from pipeline.config.params import load
from pipeline.evaluation.generation import generate
from pipeline.files import write_json
from pipeline.models.budgets import Budget
from pipeline.models.runtime import load_tokenizer
from pipeline.models.trained import load_trained
from pipeline.stages import finetune as finetune_stage
from pipeline.text.normalise import Normaliser

pytestmark = pytest.mark.slow
EVALUATE = load(ROOT / "params.yaml").evaluate
MODEL, ARM, SEED = "tiny_qwen2", "weighting", 17
# Where packages are found; that of wazn itself is left out.
PATH = os.environ.get("PYTHONPATH", "")
SERVING = ("fastapi", "uvicorn", "openai")
RAW = ["عندي صُداعٌ   شديـــد منذ أسبوع", "ألم حاد في الصدر مع ضيق في التنفس", "سعال خفيف!!"]

# The first model of each architecture of the paper's.
FIRST = {architecture: key for key, architecture in reversed(KEYS.items())}
SAYING = """
import contextlib, io, json, sys
out = io.StringIO()
with contextlib.redirect_stdout(out):
    exec(json.load(sys.stdin))
print(json.dumps(out.getvalue()))
"""


@pytest.fixture
def project(built, decoder, scored_table, tmp_path, monkeypatch):
    """The present folder, with a minute model whose base is on the Hub, fine-tuned."""
    folder = lay_out(tmp_path / "project", built, scored_table(14, 11))
    shutil.copytree(ROOT / "metrics", folder / "metrics")
    monkeypatch.chdir(folder)
    base = paths.base_model(MODEL)
    decoder("qwen2").save_pretrained(base)
    shutil.copytree(base, tmp_path / "hub")
    (tmp_path / "hub" / "source.json").unlink()
    write_json(base / "source.json", {"source": "hub:owner/base@main", "commit": SHA})
    finetune(MODEL, ARM, SEED)
    return tmp_path


def asked(questions, model=MODEL, settings=EVALUATE):
    """What `wazn ask` answers."""
    answers = generate(
        load_trained(model, ARM, SEED, torch.float32, settings.max_length + settings.max_new_tokens),
        load_tokenizer(paths.base_model(model)),
        questions,
        budget=Budget(1),
        max_length=settings.max_length,
        max_new_tokens=settings.max_new_tokens,
        max_new_words=None,
        name="test",
    )
    return [answer.text for answer in answers]


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        return json.load(answer)


def test_transformers_serve_answers_as_wazn_ask_does(project, tmp_path):
    if missing := [name for name in SERVING if importlib.util.find_spec(name) is None]:
        pytest.skip(f"transformers serve needs {', '.join(missing)}")
    questions = Normaliser(load(Path("params.yaml")).normalise.rules_off.language_model)(RAW)
    expected = asked(questions)
    assert len(set(expected)) == len(RAW)
    export(MODEL, ARM, folder=tmp_path / "served")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "transformers.cli.transformers",
        "serve",
        "--port",
        str(port),
        "--device",
        "cpu",
    ]
    server = start(tmp_path / "served", *command, HF_HUB_OFFLINE="1", PYTHONPATH=PATH)
    try:
        url, end = f"http://localhost:{port}/v1/chat/completions", time.monotonic() + 120
        while True:
            try:
                said = [served(url, tmp_path / "served", question) for question in questions]
                break
            except urllib.error.URLError:
                assert server.poll() is None, server.communicate()[1][-3000:]
                assert time.monotonic() < end
                time.sleep(0.5)
    finally:
        server.kill()
        server.communicate()
    assert said == expected


def served(url, folder, question):
    body = {"model": str(folder), "max_tokens": 64, "messages": [{"role": "user", "content": question}]}
    return post(url, body)["choices"][0]["message"]["content"].strip()


def test_an_adapter_and_its_cards_lines_answer_alone(project, tmp_path, monkeypatch):
    export(MODEL, ARM, adapter=True, folder=tmp_path / "alone")
    card = (tmp_path / "alone" / "README.md").read_text("utf-8")
    [lines] = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    [question] = re.findall(r'"content": "(.*?)"', lines)
    [expected] = asked([question])
    shutil.rmtree(tmp_path / "project")
    hub = Hub({"owner/base": Repository(tmp_path / "hub")})
    monkeypatch.chdir(tmp_path / "alone")
    with hub.running():
        [said], _ = elsewhere(SAYING, lines, tmp_path / "home", hub.url)
    assert said.strip() == expected
    assert {path.split("/")[3] for path in hub.asked if "/resolve/" in path} == {SHA}


@pytest.mark.parametrize("architecture", FIRST)
def test_every_architecture_answers_alone_as_wazn_ask_does(
    architecture, scored_table, tmp_path, monkeypatch, pairs
):
    key, params = FIRST[architecture], paper_params()
    evaluate = params.evaluate.model_copy(update={"max_length": 192, "max_new_tokens": 24})
    monkeypatch.chdir(tmp_path)
    # The paper's tokenizer, and weights whose answers wander.
    hub_folder(key, paths.base_model(key))
    random_model(architecture, torch.float32).save_pretrained(paths.base_model(key))
    write_json(paths.base_model(key) / "source.json", {"source": "path:local"})
    shutil.copytree(ROOT / "metrics", "metrics")
    Path("data/scored").mkdir(parents=True)
    scored_table(8, 4).to_parquet("data/scored/pairs.parquet", index=False)
    finetune_stage.run(
        key,
        ARM,
        SEED,
        finetune=params.finetune.model_copy(
            update={"epochs": 1, "max_length": 192, "dtype": "float32", "train_rows": None}
        ),
        entry=params.registry[key],
        weights=params.arm_settings[ARM],
        resources=params.resources.finetune,
    )
    questions = [question for question, _ in pairs]
    expected = asked(questions, key, evaluate)
    write(Path("out"), params.model_copy(update={"evaluate": evaluate}), key, ARM, SEED, "float32")
    shutil.rmtree("models")
    tokenizer = AutoTokenizer.from_pretrained("out")
    model = AutoModelForCausalLM.from_pretrained("out").eval()
    assert [_answer(model, tokenizer, question) for question in questions] == expected
    assert len(set(expected)) > 3, "they tell the complaints apart"


def _answer(model, tokenizer, question):
    tokens = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    [written] = model.generate(**tokens)
    text = tokenizer.decode(
        written[tokens["input_ids"].shape[1] :],
        skip_special_tokens=True,
        clean_up_tokenization_spaces=False,
    )
    return text.strip()
