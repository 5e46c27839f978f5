"""OMP_NUM_THREADS=2 python benchmarks/estimate.py --folder models/base/gemma3-270m

What `wazn finetune --dry-run` promises, beside what the fine-tuning then takes: peak memory of the process
(on a GPU, of what torch allocates there) and time of the whole command. Both are commands of a small
project made of data/sample, each in a process of its own, with the parameters of the embedded default but
for --rows and --epochs. The models have the shapes of the paper's and random weights; on a CPU with few
layers, but all of their width and vocabulary. --folder adds a real model, as `base_model` writes it.
Aimed at: memory within 25 %, time within 30 %.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from pipeline import environment
from pipeline.severities import PROBABILITIES, SEVERITIES

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data/sample/complaints.jsonl"
UNITS = {"s": 1, "min": 60, "h": 3600}
ROW = "{:<24} {:>10} {:>10} {:>7} {:>10} {:>10} {:>7}"
# The command line of wazn, and the peak of its process as the last line.
COMMAND = """
import sys
from pipeline.__main__ import main
from pipeline.training.estimate import peak_memory
try:
    main()
finally:
    print(peak_memory())
"""
# For each shape: its configuration, layers on a CPU, and the modules that get an adapter.
SHAPES: dict[str, tuple[dict[str, Any], int, list[str]]] = {
    "gpt2-base": (
        {"model_type": "gpt2", "vocab_size": 64_000, "n_positions": 1024, "num_hidden_layers": 12},
        12,
        ["c_attn", "c_proj"],
    ),
    "qwen2_5-0_5b": (
        {
            "model_type": "qwen2",
            "vocab_size": 151_936,
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "tie_word_embeddings": True,
        },
        4,
        ["q_proj", "v_proj"],
    ),
    "bloomz-560m": (
        {
            "model_type": "bloom",
            "vocab_size": 250_880,
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
        },
        2,
        ["query_key_value"],
    ),
    "lfm2-350m": (
        {
            "model_type": "lfm2",
            "vocab_size": 65_536,
            "hidden_size": 1024,
            "block_ff_dim": 6656,
            "num_hidden_layers": 16,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "full_attn_idxs": [2, 5, 8, 10, 12, 14],
        },
        4,
        ["q_proj", "v_proj"],
    ),
}


@dataclass(frozen=True)
class Taken:
    """Peak memory in bytes, and seconds."""

    memory: float
    seconds: float


def main() -> None:
    """Promise and run every model, and print both with their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, help="of a real model, as base_model writes it")
    parser.add_argument("--models", nargs="*", default=list(SHAPES), choices=SHAPES, help="shapes")
    parser.add_argument(
        "--methods", nargs="+", default=["lora", "full"], help="full: of the first model only"
    )
    parser.add_argument("--rows", type=int, default=128, help="training pairs; a quarter for validation")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--targets", nargs="+", default=["q_proj", "v_proj"], help="of --folder's adapters")
    arguments = parser.parse_args()
    os.environ.update(environment.lacking() | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)})
    if arguments.folder is None:
        print("Without --folder no real model is measured.")
    print(ROW.format("", "promised", "taken", "ratio", "promised", "taken", "ratio"))
    with tempfile.TemporaryDirectory() as scratch:
        names = [*(["real"] if arguments.folder else []), *arguments.models]
        for number, name in enumerate(names):
            # In a process of its own: Linux takes the peak of the one that starts another for that one's.
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                project = Path(scratch) / name
                pool.submit(prepare, project, name, arguments).result()
            for method in arguments.methods if number == 0 else arguments.methods[:1]:
                set_method(project / "params.yaml", method)
                promised, taken = promise(project), take(project)
                figures = [
                    f"{promised.memory / 2**30:.2f} GiB",
                    f"{taken.memory / 2**30:.2f} GiB",
                    f"{promised.memory / taken.memory:.2f}",
                    f"{promised.seconds:.0f} s",
                    f"{taken.seconds:.0f} s",
                    f"{promised.seconds / taken.seconds:.2f}",
                ]
                print(ROW.format(f"{name}, {method}", *figures), flush=True)
            shutil.rmtree(project)


def prepare(project: Path, name: str, arguments: argparse.Namespace) -> None:
    """A project with one base model, called `model`, scored pairs and parameters."""
    base = project / "models/base/model"
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    rows = pd.DataFrame([json.loads(line) for line in lines]).sample(frac=1, random_state=17)
    if arguments.folder and name == "real":
        base.parent.mkdir(parents=True)
        base.symlink_to(arguments.folder.resolve())
        targets = arguments.targets
    else:
        targets = SHAPES[name][2]
        random_model(base, name, [*rows["question"], *rows["answer"]])
    valid = arguments.rows // 4
    rows = rows.head(arguments.rows + valid)
    rows["split"] = ["train"] * (len(rows) - valid) + ["valid"] * valid
    for severity, column in zip(SEVERITIES, PROBABILITIES, strict=True):
        rows[column] = (rows["severity"] == severity).astype("float32")
    (project / "data/scored").mkdir(parents=True)
    rows.to_parquet(project / "data/scored/pairs.parquet", index=False)
    params = yaml.safe_load((ROOT / "profiles/default.yaml").read_text(encoding="utf-8"))
    params["models"] = ["model"]
    params["finetune"]["epochs"] = arguments.epochs
    params["registry"]["model"] = {"title": name, "source": "path:model", "lora_targets": targets}
    (project / "params.yaml").write_text(yaml.safe_dump(params, allow_unicode=True), encoding="utf-8")


def random_model(base: Path, name: str, texts: list[str]) -> None:
    """A model of a shape with random weights, and a tokenizer trained on `texts`."""
    # Beside this file; here, so that the process that measures does not load all of it.
    import torch  # noqa: PLC0415
    from finetune import byte_level_bpe  # noqa: PLC0415
    from transformers import AutoConfig, AutoModelForCausalLM  # noqa: PLC0415

    tokenizer = byte_level_bpe(texts)
    shape, layers, _ = SHAPES[name]
    if not torch.cuda.is_available():
        shape = shape | {"num_hidden_layers": layers}
        if "full_attn_idxs" in shape:
            shape["full_attn_idxs"] = [index for index in shape["full_attn_idxs"] if index < layers]
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), tokenizer.eos_token_id)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(**shape, **ends)).save_pretrained(base)
    tokenizer.save_pretrained(base)
    (base / "source.json").write_text(json.dumps({"source": "path:model"}), encoding="utf-8")


def set_method(path: Path, method: str) -> None:
    """Write `finetune.method` into a parameter file."""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    values["finetune"]["method"] = method
    path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")


def promise(project: Path) -> Taken:
    """What the dry run prints."""
    out = command(project, "-m", "pipeline", "finetune", "--dry-run")
    row = next(line for line in out.splitlines() if line.startswith("model  ") and "GiB" in line)
    *_, memory, time_ = re.split(r" {2,}", row)
    number, unit = time_.split()
    return Taken(float(memory.split()[0]) * 2**30, float(number) * UNITS[unit])


def take(project: Path) -> Taken:
    """What the command takes."""
    start = time.perf_counter()
    out = command(project, "-c", COMMAND, "finetune", "model", "uniform")
    return Taken(float(out.splitlines()[-1]), time.perf_counter() - start)


def command(project: Path, *arguments: str) -> str:
    """What Python prints to stdout when it is started with `arguments` in `project`."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=project, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr[-2000:] + done.stdout[-500:])
    return done.stdout


if __name__ == "__main__":
    main()
