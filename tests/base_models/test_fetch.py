"""Models from a folder and from the Hub, which a server on this machine plays."""

import hashlib
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipeline.base_models.fetch import fetch
from pipeline.errors import WaznError

SHA = "0123456789abcdef0123456789abcdef01234567"

FETCH = """
import json, sys
from pathlib import Path
from pipeline.errors import WaznError
from pipeline.base_models.fetch import fetch

for source, folder in json.load(sys.stdin):
    try:
        fetch(source, Path(folder), Path(folder).parent, decoder=True)
        print(json.dumps(""))
    except WaznError as error:
        print(json.dumps(str(error)))
    except Exception as error:
        print(json.dumps(f"a traceback: {type(error).__name__}"))
"""


def names(folder):
    return {path.name for path in folder.iterdir()}


def pickled(folder, target):
    """A copy of the model in `folder` as old repositories are: a pickle, and a config without dtype.

    It is for want of a dtype that transformers looks into the weights before it loads them.
    """
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    assert config.pop("dtype") == "float32"
    (target / "config.json").write_text(json.dumps(config), encoding="utf-8")
    torch.save(load_file(target / "model.safetensors"), target / "pytorch_model.bin")
    (target / "model.safetensors").unlink()
    return target


# ---- path: --------------------------------------------------------------------------------------


@pytest.fixture
def local(built, tmp_path):
    """A folder as base_model.folder, with one model in it."""
    shutil.copytree(built("gpt2"), tmp_path / "local" / "mine")
    return tmp_path / "local"


@pytest.mark.parametrize("written", ["name", "path"])
def test_model_in_the_local_folder_is_copied(written, local, tmp_path):
    name = "mine" if written == "name" else str(local / "mine")
    folder = tmp_path / "out"
    fetch(f"path:{name}", folder, local, decoder=True)
    assert names(folder) == names(local / "mine")
    for file in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (folder / file).read_bytes() == (local / "mine" / file).read_bytes()
    assert json.loads((folder / "source.json").read_text(encoding="utf-8")) == {"source": f"path:{name}"}


@pytest.mark.parametrize(
    "unwanted", ["modeling_evil.py", "pytorch_model.bin", "training_args.bin", "run.sh", ".hidden.json"]
)
def test_only_weights_configuration_and_tokenizer_are_copied(unwanted, local, tmp_path):
    (local / "mine" / unwanted).write_text("print('never')", encoding="utf-8")
    fetch("path:mine", tmp_path / "out", local, decoder=True)
    assert unwanted not in names(tmp_path / "out")
    assert "model.safetensors" in names(tmp_path / "out")


@pytest.mark.parametrize("written", ["absolute", "relative", "link"])
def test_model_outside_the_local_folder_is_refused(written, built, local, tmp_path):
    outside = tmp_path / "outside"
    shutil.copytree(built("gpt2"), outside)
    (local / "link").symlink_to(outside)
    name = {"absolute": str(outside), "relative": "../outside", "link": "link"}[written]
    with pytest.raises(WaznError, match=f"path:{name}: lies outside {local}"):
        fetch(f"path:{name}", tmp_path / "out", local, decoder=True)
    assert not (tmp_path / "out").exists()


def test_missing_folder_is_named(local, tmp_path):
    with pytest.raises(WaznError, match=rf"path:theirs: no folder .*{local}"):
        fetch("path:theirs", tmp_path / "out", local, decoder=True)


def test_folder_without_weights_is_named(local, tmp_path):
    (local / "mine" / "model.safetensors").unlink()
    with pytest.raises(WaznError, match="path:mine: holds neither"):
        fetch("path:mine", tmp_path / "out", local, decoder=True)


@pytest.mark.parametrize("architecture", ["gpt2", "qwen2"])
def test_pickled_decoder_becomes_safetensors_of_equal_weights(architecture, built, tmp_path):
    pickled(built(architecture), tmp_path / "local" / "old")
    folder = tmp_path / "out"
    fetch("path:old", folder, tmp_path / "local", decoder=True)
    assert not [name for name in names(folder) if name.endswith((".bin", ".pt", ".py"))]
    found, expected = (load_file(f / "model.safetensors") for f in (folder, built(architecture)))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
        assert found[name].dtype == tensor.dtype
    model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
    assert model.config.model_type == architecture
    assert len(AutoTokenizer.from_pretrained(folder)) == model.config.vocab_size


def test_pickled_encoder_keeps_the_encoders_weights(built, tmp_path):
    pickled(built("modernbert"), tmp_path / "local" / "old")
    fetch("path:old", tmp_path / "out", tmp_path / "local", decoder=False)
    found = load_file(tmp_path / "out" / "model.safetensors")
    expected = load_file(built("modernbert") / "model.safetensors")
    assert any(".attn." in name for name in found)
    for name, tensor in found.items():
        assert torch.equal(expected[f"model.{name}"], tensor), name


class Touch:
    """Pickles to a call: whoever unpickles it without care makes a file."""

    def __init__(self, call, argument):
        self.call, self.argument = call, argument

    def __reduce__(self):
        return self.call, (self.argument,)


@pytest.mark.parametrize("how", ["system", "touch", "bare pickle"])
def test_malicious_pickle_is_refused_and_nothing_is_executed(how, built, tmp_path):
    proof = tmp_path / "executed"
    old = pickled(built("gpt2"), tmp_path / "local" / "old")
    weights = load_file(built("gpt2") / "model.safetensors")
    trap = Touch(Path.touch, proof) if how == "touch" else Touch(os.system, f"touch {proof}")
    if how == "bare pickle":
        (old / "pytorch_model.bin").write_bytes(pickle.dumps({**weights, "trap": trap}))
    else:
        torch.save({**weights, "trap": trap}, old / "pytorch_model.bin")
    with pytest.raises(WaznError, match="path:old: its pickled weights could not be read"):
        fetch("path:old", tmp_path / "out", tmp_path / "local", decoder=True)
    assert not proof.exists()
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_the_trap_of_the_test_above_does_spring(tmp_path):
    """Else it would pass whatever fetch did."""
    proof = tmp_path / "executed"
    pickle.loads(pickle.dumps(Touch(os.system, f"touch {proof}")))
    assert proof.exists()


# ---- hub: ---------------------------------------------------------------------------------------


class Hub(BaseHTTPRequestHandler):
    """What huggingface_hub asks of the Hub: a revision, its files, each file's head and bytes."""

    protocol_version = "HTTP/1.1"
    repositories: ClassVar[dict[str, Path]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.answer(body=True)

    def do_HEAD(self):
        self.answer(body=False)

    def log_message(self, *_):
        pass

    def answer(self, body):
        path = urlsplit(self.path).path.strip("/")
        self.asked.append(f"{self.command} {path}")
        parts = path.removeprefix("api/models/").split("/")
        repository, rest = "/".join(parts[:2]), parts[2:]
        if repository == "wazn/broken":
            return self.send(500, b"")
        if repository not in self.repositories:
            return self.send(
                401 if repository == "wazn/private" else 404, b"{}", {"X-Error-Code": "RepoNotFound"}
            )
        folder = self.repositories[repository]
        if rest[0] in ("revision", "tree") and rest[1] not in ("main", SHA):
            return self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        if rest[0] == "revision":
            files = [{"rfilename": name} for name in sorted(names(folder))]
            return self.send_json({"id": repository, "sha": SHA, "siblings": files})
        if rest[0] == "tree":
            return self.send_json([self.entry(folder / name) for name in sorted(names(folder))])
        if repository == "wazn/gated":
            return self.send(403, b"{}", {"X-Error-Code": "GatedRepo"})
        content = (folder / rest[2]).read_bytes()
        if repository == "wazn/cut" and body:
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        digest = hashlib.sha1(content).hexdigest()
        return self.send(200, content, {"ETag": f'"{digest}"', "X-Repo-Commit": SHA}, body)

    @staticmethod
    def entry(path):
        content = path.read_bytes()
        return {
            "type": "file",
            "path": path.name,
            "size": len(content),
            "oid": hashlib.sha1(content).hexdigest(),
        }

    def send_json(self, value):
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def send(self, code, content, headers=None, body=True):
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body and self.command == "GET":
            self.wfile.write(content)


def fetch_elsewhere(sources, folder, port):
    """Fetch in a process of its own, as huggingface_hub reads its settings when it is imported.

    Returns:
        For each source the sentence that it failed with, or "".
    """
    unset = {"HF_HUB_OFFLINE", "HF_TOKEN", "HF_HUB_CACHE", "HUGGING_FACE_HUB_TOKEN"}
    kept = {k: v for k, v in os.environ.items() if k not in unset and not k.lower().endswith("_proxy")}
    settings = {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(folder / "hf")}
    done = subprocess.run(
        [sys.executable, "-c", FETCH],
        input=json.dumps([[source, str(folder / str(n))] for n, source in enumerate(sources)]),
        env={**kept, **settings},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


HUB_SOURCES = (
    "hub:wazn/good@main",
    f"hub:wazn/good@{SHA}",
    "hub:wazn/pickled@main",
    "hub:wazn/unknown@main",
    "hub:wazn/private@main",
    f"hub:wazn/private@{SHA}",
    "hub:wazn/gated@main",
    "hub:wazn/good@nowhere",
    "hub:wazn/broken@main",
    "hub:wazn/cut@main",
    "hub:wazn/no--name@main",
)


@pytest.fixture(scope="module")
def hub(built, tmp_path_factory):
    """What fetching each of HUB_SOURCES gave: its folder and its sentence; and what was asked."""
    root = tmp_path_factory.mktemp("hub")
    good = root / "repositories" / "good"
    shutil.copytree(built("gpt2"), good)
    (good / "modeling_evil.py").write_text("raise SystemExit", encoding="utf-8")
    (good / "pytorch_model.bin").write_bytes(b"many gigabytes")
    Hub.repositories = {
        "wazn/good": good,
        "wazn/gated": good,
        "wazn/cut": good,
        "wazn/pickled": pickled(built("qwen2"), root / "repositories" / "pickled"),
    }
    Hub.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        sentences = fetch_elsewhere(HUB_SOURCES, root, server.server_port)
    finally:
        server.shutdown()
        server.server_close()
    results = {
        source: (root / str(number), sentence)
        for number, (source, sentence) in enumerate(zip(HUB_SOURCES, sentences, strict=True))
    }
    return results, list(Hub.asked), server.server_port


@pytest.mark.parametrize("revision", ["main", SHA])
def test_model_of_the_hub_is_copied_and_its_commit_noted(revision, hub, built):
    source = f"hub:wazn/good@{revision}"
    folder, sentence = hub[0][source]
    assert sentence == ""
    for file in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (folder / file).read_bytes() == (built("gpt2") / file).read_bytes()
        assert not (folder / file).is_symlink()
    noted = json.loads((folder / "source.json").read_text(encoding="utf-8"))
    assert noted == {"source": source, "commit": SHA}


def test_neither_code_nor_pickles_beside_safetensors_are_downloaded(hub):
    results, asked, _ = hub
    assert not [request for request in asked if request.endswith(".py")]
    assert not [request for request in asked if "wazn/good/" in request and request.endswith(".bin")]
    folder, _ = results["hub:wazn/good@main"]
    assert names(folder) == names(Hub.repositories["wazn/good"]) - {"modeling_evil.py", "pytorch_model.bin"}


def test_pickled_model_of_the_hub_becomes_safetensors(hub, built):
    folder, sentence = hub[0]["hub:wazn/pickled@main"]
    assert sentence == ""
    found, expected = (load_file(f / "model.safetensors") for f in (folder, built("qwen2")))
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert "pytorch_model.bin" not in names(folder)


@pytest.mark.parametrize(
    "source",
    ["hub:wazn/unknown@main", "hub:wazn/private@main", f"hub:wazn/private@{SHA}", "hub:wazn/gated@main"],
)
def test_unknown_or_private_model_is_one_sentence(source, hub):
    folder, sentence = hub[0][source]
    name = source.partition("@")[0]
    assert sentence.startswith(f"{name}: no such model")
    assert "\n" not in sentence
    assert not folder.exists()


@pytest.mark.parametrize("source", ["hub:wazn/good@nowhere", "hub:wazn/broken@main", "hub:wazn/cut@main"])
def test_unknown_revision_or_failing_hub_is_one_sentence(source, hub):
    folder, sentence = hub[0][source]
    assert sentence.startswith(f"{source}: could not be fetched")
    assert "\n" not in sentence
    assert not folder.exists()


def test_name_that_no_repository_can_have_is_one_sentence(hub):
    _, sentence = hub[0]["hub:wazn/no--name@main"]
    assert sentence.startswith("hub:wazn/no--name")
    assert "\n" not in sentence


@pytest.mark.slow
def test_hub_that_is_down_is_one_sentence(hub, tmp_path):
    closed = hub[2]
    [sentence] = fetch_elsewhere(["hub:wazn/good@main"], tmp_path, closed)
    assert sentence.startswith("hub:wazn/good@main: could not be fetched")
    assert "\n" not in sentence
    assert not (tmp_path / "0").exists()
