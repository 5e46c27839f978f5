"""A project that fine-tunes Gemma 3 270M on short posts of real patients, and processes in it."""

import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from commands import start
from real_models import GEMMA_SOURCE
from root import ROOT

POSTS = ROOT.parent / "shared" / "data" / "severity_posts.xlsx"
MODEL, SEED = "gemma3-270m", 17
TRAIN, VALID = 64, 48
FINETUNE = {
    "epochs": 1,
    "batch_size": 4,
    "learning_rate": 0.0002,
    "lr_scheduler": "linear",
    "max_length": 128,
    "dtype": "float32",
}
ENTRY = {
    "title": "Gemma 3 270M",
    "source": GEMMA_SOURCE,
    "lora_targets": ["q_proj", "v_proj"],
    "license": "Gemma Terms of Use (ai.google.dev/gemma/terms)",
}


def posts(count):
    """So many short posts with their plans, drawn with a fixed seed; no two have one text in common."""
    if not POSTS.is_file():
        pytest.skip("the released posts are not beside this checkout")
    texts = pd.read_excel(POSTS, usecols=["Post", "Plan"]).dropna().astype(str)
    texts = texts.apply(lambda column: column.str.split().str.join(" "))
    lengths = texts.map(len)
    short = texts[((lengths >= 30) & (lengths <= 120)).all(axis=1)]
    return short.drop_duplicates("Post").drop_duplicates("Plan").sample(count, random_state=SEED)


def lay_out(folder, base, table):
    """Make `folder` a project with the model in `base` and posts; `table` has all their other columns."""
    texts = posts(TRAIN + VALID)
    table["question"], table["answer"] = texts["Post"].to_numpy(), texts["Plan"].to_numpy()
    table.loc[TRAIN:, "split"] = "valid"
    (folder / "data" / "scored").mkdir(parents=True)
    table.to_parquet(folder / "data" / "scored" / "pairs.parquet", index=False)
    link(base, folder / "models" / "base" / MODEL)
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values |= {"models": [MODEL], "arms": ["uniform", "weighting", "ones"], "ones": values["uniform"]}
    values["registry"][MODEL] = ENTRY
    values["finetune"] |= FINETUNE
    values["resources"]["finetune"]["checkpoint_every"] = 2
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def link(source, target):
    """Copy a folder without copying what its files hold: both have the same files."""
    return shutil.copytree(source, target, copy_function=os.link)


def begin(folder, arm):
    """Start fine-tuning with the weights of an arm."""
    return start(folder, sys.executable, "-m", "pipeline", "finetune", MODEL, arm, "--seed", str(SEED))


def finetune(folder, arm):
    """Fine-tune with the weights of an arm; what is printed."""
    process = begin(folder, arm)
    out, err = process.communicate(timeout=800)
    assert process.returncode == 0, err[-3000:]
    return out


def printed(lines, folder, *arguments, project=True):
    """What Python prints of `lines`, run in `folder`; without `project`, `pipeline` cannot be imported."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", lines, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT) if project else ""},
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.rstrip("\n")
