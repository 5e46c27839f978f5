"""Models from a folder."""

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipeline.base_models.fetch import fetch
from pipeline.errors import WaznError


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
