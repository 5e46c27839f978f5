"""python benchmarks/scale.py --rows 100000 1000000

Time and peak memory of every stage from download to scoring, with the embedded default's tiny classifier,
on synthetic pairs made of the sample's phrases: memory must stay flat and time grow linearly.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from pipeline import environment

ROOT = Path(__file__).resolve().parent.parent
STAGES = ["download", "normalise", "base_encoder", "train_classifier", "score"]


def phrases(column: str) -> list[str]:
    """The phrases between the sample's punctuation marks."""
    lines = (ROOT / "data/sample/complaints.jsonl").read_text(encoding="utf-8").splitlines()
    found = (part.strip() for line in lines for part in re.split("[.،؟!]", json.loads(line)[column]))
    return sorted({part for part in found if len(part) > 8})


def write_pairs(path: Path, rows: int) -> None:
    """A CSV of `rows` pairs of some 150 characters a side; one row in fifty copies an earlier question."""
    chance = random.Random(17)
    questions, answers = phrases("question"), phrases("answer")
    kept: list[str] = []
    with path.open("w", encoding="utf-8") as file:
        file.write("question,answer\n")
        for _ in range(rows):
            question = "، ".join(chance.choices(questions, k=5))
            if kept and chance.random() < 0.02:
                question = chance.choice(kept)
            elif len(kept) < 1000:
                kept.append(question)
            file.write(f"{question},{'. '.join(chance.choices(answers, k=4))}\n")


def prepare(folder: Path, rows: int) -> None:
    """A project folder with its own parameters and data."""
    write_pairs(folder / "pairs.csv", rows)
    (folder / "data").mkdir()
    (folder / "data/sample").symlink_to(ROOT / "data/sample")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["download"] |= {"folder": ".", "pairs": [{"source": "pairs.csv"}]}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, allow_unicode=True), encoding="utf-8")


def run(stage: str, folder: Path) -> tuple[float, float]:
    """Seconds and peak memory in MiB of one stage."""
    arguments = ["tiny_bert"] if stage == "base_encoder" else []
    variables = os.environ | environment.SETTINGS | {"PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", stage, *arguments],
        cwd=folder,
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{stage} failed; run it in {folder} to see why")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main() -> None:
    """Measure every stage at every size and print the ratio of the largest to the smallest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    rows = sorted(parser.parse_args().rows)
    measured: dict[int, dict[str, tuple[float, float]]] = {}
    for count in rows:
        with tempfile.TemporaryDirectory() as scratch:
            prepare(Path(scratch), count)
            measured[count] = {}
            for stage in STAGES:
                measured[count][stage] = run(stage, Path(scratch))
                seconds, peak = measured[count][stage]
                print(f"{count:>9} rows  {stage:<17}{seconds:8.1f} s {peak:8.0f} MiB", flush=True)
    small, large = rows[0], rows[-1]
    print(f"\n{large} rows against {small}: {large / small:g} times the rows")
    for stage in STAGES:
        (few, low), (many, high) = measured[small][stage], measured[large][stage]
        print(f"  {stage:<17} time x {many / few:5.2f}   peak memory x {high / low:4.2f} ({high:.0f} MiB)")


if __name__ == "__main__":
    main()
