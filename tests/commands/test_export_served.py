"""An export behind `transformers serve`, asked by OpenAI's protocol; an adapter with the Hub's base."""

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
from commands import lay_out, start
from hub_server import SHA, Hub, Repository, elsewhere
from root import ROOT

from pipeline import paths
from pipeline.commands.export import export
from pipeline.config.params import load
from pipeline.evaluation.generation import generate
from pipeline.files import write_json
from pipeline.models.budgets import Budget
from pipeline.models.runtime import load_tokenizer
from pipeline.models.trained import load_trained
from pipeline.stages import finetune as finetune_stage
from pipeline.text.normalise import Normaliser

pytestmark = pytest.mark.slow
MODEL, ARM, SEED = "tiny_qwen2", "weighting", 17
# Where packages are found; that of wazn itself is left out.
PATH = os.environ.get("PYTHONPATH", "")
SERVING = ("fastapi", "uvicorn", "openai")
RAW = ["عندي صُداعٌ   شديـــد منذ أسبوع", "ألم حاد في الصدر مع ضيق في التنفس", "سعال خفيف!!"]

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
    values = load(Path("params.yaml"))
    finetune_stage.run(
        MODEL,
        ARM,
        SEED,
        finetune=values.finetune,
        entry=values.registry[MODEL],
        weights=values.arm_settings[ARM],
        resources=values.resources.finetune,
    )
    return tmp_path


def asked(questions):
    """What `wazn ask` answers."""
    settings = load(Path("params.yaml")).evaluate
    answers = generate(
        load_trained(MODEL, ARM, SEED, torch.float32, settings.max_length + settings.max_new_tokens),
        load_tokenizer(paths.base_model(MODEL)),
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
