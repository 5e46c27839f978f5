"""An adapter whose base is on the Hub, alone in another folder, in a process that knows nothing of wazn."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import paper_params
from root import ROOT
from safetensors.torch import load_file
from servers import content, serving

from pipeline.config.params import load
from pipeline.evaluation.generation import generate
from pipeline.files import write_json
from pipeline.models.budgets import Budget
from pipeline.models.prompt import encode_prompt
from pipeline.models.runtime import load_tokenizer
from pipeline.models.trained import load_trained
from pipeline.stages import finetune as finetune_stage

pytestmark = pytest.mark.slow
PARAMS = load(ROOT / "params.yaml")
SHA = "0123456789abcdef0123456789abcdef01234567"
FINETUNE = PARAMS.finetune.model_copy(
    update={"epochs": 1, "batch_size": 4, "dtype": "float32", "max_length": 192, "learning_rate": 0.02}
)
ENTRY = paper_params().registry["aragpt2-base"].model_copy(update={"source": "hub:wazn/good@main"})
QUESTION = "عندي صداع منذ يومين"
# What adapter_config.json alone leads to.
AUTO = """
from peft import AutoPeftModelForCausalLM
import torch
model = AutoPeftModelForCausalLM.from_pretrained(".").eval()
print(model(torch.tensor([[5, 17, 200, 42, 8]])).logits.double().sum().item())
"""


def elsewhere(lines, folder, server):
    """What Python prints of `lines`, run in `folder`, with `server` as the Hub and nothing cached."""
    unset = {"HF_HUB_OFFLINE", "HF_TOKEN", "HF_HUB_CACHE", "HUGGING_FACE_HUB_TOKEN", "PYTHONPATH"}
    kept = {k: v for k, v in os.environ.items() if k not in unset and not k.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", lines],
        env={**kept, "HF_ENDPOINT": server.url(""), "HF_HOME": str(folder / "hf")},
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.rstrip("\n")


@pytest.fixture(params=["safetensors", "pickle"])
def hub(request, built, tmp_path):
    """A server with the minute model as wazn/good, at one commit."""
    repository = tmp_path / "hub"
    shutil.copytree(built("gpt2"), repository)
    (repository / "source.json").unlink()
    if request.param == "pickle":
        torch.save(load_file(repository / "model.safetensors"), repository / "pytorch_model.bin")
        (repository / "model.safetensors").unlink()
    with serving() as server:
        for path in repository.iterdir():
            data = path.read_bytes()
            marks = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": SHA}
            server.answers[f"/wazn/good/resolve/{SHA}/{path.name}"] = content(data, **marks)
        yield server


def test_plain_peft_and_the_cards_lines_fetch_the_base_at_its_commit(
    hub, built, scored_table, tmp_path, monkeypatch
):
    project = tmp_path / "project"
    (project / "data/scored").mkdir(parents=True)
    scored_table(8, 0).to_parquet(project / "data/scored/pairs.parquet", index=False)
    shutil.copytree(built("gpt2"), project / "models/base/m")
    monkeypatch.chdir(project)
    write_json(Path("models/base/m/source.json"), {"source": ENTRY.source, "commit": SHA})
    finetune_stage.run(
        "m",
        "weighting",
        17,
        finetune=FINETUNE,
        entry=ENTRY,
        weights=PARAMS.arm_settings["weighting"],
        resources=PARAMS.resources.finetune,
    )
    decoder = load_trained("m", "weighting", 17, torch.float32, FINETUNE.max_length)
    tokenizer = load_tokenizer(Path("models/base/m"))
    with torch.no_grad():
        total = decoder(torch.tensor([[5, 17, 200, 42, 8]])).logits.double().sum().item()
    start = len(encode_prompt(tokenizer, QUESTION))
    limits = {"max_length": start, "max_new_tokens": FINETUNE.max_length - start, "max_new_words": None}
    [answer] = generate(decoder, tokenizer, [QUESTION], budget=Budget(1), name="test", **limits)

    alone = tmp_path / "elsewhere"
    shutil.move(project / "models/weighting/m/17", alone)
    shutil.rmtree(project)
    [lines] = re.findall(r"```python\n(.*?)```", (alone / "README.md").read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(alone)
    assert len(answer.text) > 20
    assert elsewhere(lines, alone, hub) == answer.text
    assert float(elsewhere(AUTO, alone, hub)) == pytest.approx(total, abs=1e-3)
    asked = {path.split("/resolve/")[1].split("/")[0] for path in hub.asked if "/resolve/" in path}
    assert asked == {SHA}
