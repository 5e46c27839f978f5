"""The teaching twin gives the trainer's adapter."""

import subprocess
import sys

import pytest
from commands import TEST, TRAIN, VALID, change, lay_out, run
from root import ROOT
from safetensors.torch import load_file

LOOP = ROOT / "examples" / "loop.py"


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["weighting", "uniform"])
def test_the_flat_loop_gives_the_adapter_of_the_trainer(arm, built, scored_table, tmp_path):
    folder = lay_out(tmp_path / "project", built, scored_table(TRAIN + VALID, TEST))
    change(folder, lora={"dropout": 0.0}, learning_rate=0.002)
    ended = run(folder, "finetune", "tiny_qwen2", arm)
    assert ended.code == 0, ended.err
    command = [sys.executable, str(LOOP), "tiny_qwen2", arm, "flat"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "step 12 of 12: loss" in done.stdout
    flat = load_file(folder / "flat" / "adapter_model.safetensors")
    ours = load_file(folder / f"models/{arm}/tiny_qwen2/17/adapter_model.safetensors")
    assert flat.keys() == ours.keys()
    for name, tensor in ours.items():
        assert (flat[name] - tensor).abs().max() < 1e-5, name
    assert max(tensor.abs().max() for name, tensor in ours.items() if "lora_B" in name) > 0.001


def test_it_is_short_and_flat():
    lines = LOOP.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 100
    assert not any(line.startswith(("def ", "class ")) for line in lines)
    assert "pipeline" not in LOOP.read_text(encoding="utf-8").split('"""')[2]
