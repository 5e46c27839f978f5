"""Does severity weighting do anything to a pretrained model? On posts with human severity labels and
doctors' plans, with the model of the profile `laptop`; docs/findings.md has the results. Three steps:

    python benchmarks/real_model.py prepare --posts ../shared/data/severity_posts.xlsx --folder FOLDER
    python benchmarks/real_model.py run --folder FOLDER --minutes 150
    python benchmarks/real_model.py report --folder FOLDER --table FILE.parquet

It is the pipeline itself, without DVC: two projects in FOLDER, of the same pairs, splits, models and
parameters. In `classifier` the probabilities are the severity classifier's, cross-fitted; in `labels`
they are the human labels, one-hot. `run` makes one fine-tuning and its evaluation after the other, what
matters most first, by the commands that `dvc repro` runs; stopped and started again it goes on. Two `run`s
at once share the cells (with OMP_NUM_THREADS=1 on two cores, faster than one with two threads). `report`
writes the page and metrics/summary.json of each project whose arm `weighting` is done, and with --table the
figures of each test row, by row id, with no text. Arms named placebo-1, -2, … are `strong` with its weights
permuted among the pairs. Each project has a uniform arm: the 900 training pairs keep the shares of
severities, and the sources differ in some, so the choice differs in a few pairs.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml
from severity_prepare import POSTS, read_posts

from pipeline import environment, paths
from pipeline.commands.profile import complete
from pipeline.errors import WaznError
from pipeline.evaluation.metrics import MEASURED
from pipeline.evaluation.reassurance import reassuring
from pipeline.evaluation.urgency import urgent
from pipeline.run_lock import run_lock

ROOT = Path(__file__).resolve().parents[1]
CLASSIFIER, LABELS = PROJECTS = "classifier", "labels"
MODEL, JUDGE, ENCODER = "gemma3-270m", "multilingual-e5-small", "tiny_bert"
SEEDS, PLACEBOS = (17, 18, 19), 5
ARMS = ("uniform", "weighting", "strong", *(f"placebo-{number}" for number in range(1, PLACEBOS + 1)))
TRAIN_ROWS, NEW_TOKENS = 900, 32


class Cell(NamedTuple):
    """One fine-tuning and its evaluation, or the evaluation of the base model."""

    project: str
    arm: str
    seed: int | None

    def commands(self) -> Iterator[tuple[Path, list[str]]]:
        """What each command of it leaves, in its project, and its words."""
        if self.seed is None:
            yield paths.evaluation_metrics(self.arm, MODEL, None), ["evaluate", MODEL, self.arm]
            return
        words = [MODEL, self.arm, "--seed", str(self.seed)]
        yield paths.training_metrics(self.arm, MODEL, self.seed), ["finetune", *words]
        yield paths.evaluation_metrics(self.arm, MODEL, self.seed), ["evaluate", *words]


def main() -> None:
    """Run one of the three steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("step", choices=("prepare", "run", "report"))
    parser.add_argument("--folder", type=lambda path: Path(path).resolve(), required=True)
    parser.add_argument(
        "--posts", type=lambda path: Path(path).resolve(), help="prepare: XLSX with Post, Plan and Severity"
    )
    parser.add_argument("--minutes", type=float, default=1e6, help="run: start nothing after these")
    parser.add_argument("--table", type=lambda path: Path(path).resolve(), help="report: also write this")
    options = parser.parse_args()
    if options.step == "prepare":
        prepare(options.posts, options.folder)
    elif options.step == "run":
        run(options.folder, options.minutes)
    else:
        report(options.folder, options.table)


def prepare(posts: Path, folder: Path) -> None:
    """Lay out both projects up to the scores, the base model and the stored references."""
    first = folder / CLASSIFIER
    table = read_posts(posts)
    for project in PROJECTS:
        data = folder / project / "data/own"
        data.mkdir(parents=True, exist_ok=True)
        table.to_csv(data / "posts.csv", index=False)
        text = yaml.safe_dump(parameters(project), allow_unicode=True)
        (folder / project / "params.yaml").write_text(text, encoding="utf-8")
    (first / "models/pretrained").mkdir(parents=True, exist_ok=True)
    python(first, "-m", "pipeline.base_models.e5")
    for words in (
        ["download"],
        ["normalise"],
        ["base_encoder", ENCODER],
        ["base_encoder", JUDGE],
        ["train_classifier"],
        ["score"],
        ["base_model", MODEL],
        ["embed_references"],
    ):
        command(first, words)
    other = folder / LABELS
    for name in ("data/raw", "data/normalised", "models/base", "models/classifier", "metrics"):
        shutil.copytree(first / name, other / name, copy_function=os.link, dirs_exist_ok=True)
    for words in (["score"], ["embed_references"]):
        command(other, words)


def parameters(project: str) -> Any:
    """The profile `laptop` with these data and arms."""
    with chdir(ROOT):
        values, default = (yaml.safe_load(complete(profile)) for profile in ("laptop", "default"))
    values["download"] |= POSTS
    for arm in ARMS[-PLACEBOS:]:
        values[arm] = values["strong"] | {"permute": int(arm.rpartition("-")[2])}
    values |= {"models": [MODEL], "encoders": [ENCODER, JUDGE], "seeds": list(SEEDS)}
    values["arms"] = list(ARMS)
    values["severity"]["source"] = "classifier" if project == CLASSIFIER else "provided"
    values["train_classifier"] = default["train_classifier"] | {"encoder": ENCODER}
    values["finetune"] |= {"epochs": 1, "train_rows": TRAIN_ROWS, "valid_rows": 100}
    values["evaluate"] |= {"max_new_tokens": NEW_TOKENS, "valid_rows": 100}
    values["report"]["primary"] = {"arm": "strong", "metric": "nll", "group": "critical"}
    return values


def python(project: Path, *words: str) -> None:
    """Run Python with these words in a project; its progress goes to the terminal. End where it fails."""
    given = os.environ | environment.lacking() | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    if subprocess.run([sys.executable, *words], cwd=project, env=given, check=False).returncode:
        sys.exit(f"{project.name}: {' '.join(words)} failed")


def command(project: Path, words: list[str]) -> None:
    """Run a stage."""
    python(project, "-m", "pipeline", *words)


def cells() -> Iterator[Cell]:
    """All that can be done, what matters most first."""
    yield Cell(CLASSIFIER, paths.BASE, None)
    for seed in SEEDS:
        yield Cell(CLASSIFIER, "uniform", seed)
        yield Cell(LABELS, "uniform", seed)
        yield Cell(LABELS, "strong", seed)
        yield Cell(CLASSIFIER, "strong", seed)
        yield Cell(CLASSIFIER, "weighting", seed)
    for project in PROJECTS:
        yield from (Cell(project, arm, seed) for seed in SEEDS for arm in ARMS[-PLACEBOS:])
    yield from (Cell(LABELS, "weighting", seed) for seed in SEEDS)


def run(folder: Path, minutes: float) -> None:
    """Do what is not yet done and no other `run` is at, until the time is up."""
    start = time.monotonic()
    for cell in cells():
        project, began = folder / cell.project, time.monotonic()
        name = f"{cell.project}-{cell.arm}-{cell.seed}"
        with suppress(WaznError), run_lock(folder / "running" / name, name):
            waiting = [words for result, words in cell.commands() if not (project / result).is_file()]
            if waiting and began - start > 60 * minutes:
                sys.exit(f"the time is up before {name}")
            for words in waiting:
                command(project, words)
            if waiting:
                print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)


def report(folder: Path, table: Path | None) -> None:
    """Write the table of all rows, and the page of each project over the arms that have every seed."""
    rows = []
    for name in PROJECTS:
        project = folder / name
        if name != CLASSIFIER:
            copy_base(folder / CLASSIFIER, project)
        evaluated = {arm: [seed for seed in SEEDS if is_done(project, arm, seed)] for arm in ARMS}
        whole = [arm for arm, seeds in evaluated.items() if len(seeds) == len(SEEDS)]
        if {"uniform", "weighting"} <= set(whole):
            file = project / "report.yaml"
            file.write_text(
                yaml.safe_dump(parameters(name) | {"arms": whole}, allow_unicode=True), encoding="utf-8"
            )
            for stage in ("review", "report"):
                command(project, [stage, "--params", file.name])
            print(f"{name}: {project / paths.PAGE}")
        # The base model, which no probability enters, has one table.
        first = [Cell(name, paths.BASE, None)] if name == CLASSIFIER else []
        for cell in first + [Cell(name, arm, seed) for arm in ARMS for seed in evaluated[arm]]:
            of_cell = figures(folder, cell)
            rows.append(of_cell.assign(probabilities=name, arm=cell.arm, seed=cell.seed or 0))
    if table:
        pd.concat(rows, ignore_index=True).to_parquet(table, index=False)


def is_done(project: Path, arm: str, seed: int) -> bool:
    """Whether a run is evaluated."""
    return (project / paths.evaluation_metrics(arm, MODEL, seed)).is_file()


def figures(folder: Path, cell: Cell) -> pd.DataFrame:
    """What was measured of each test row, its human label and its group of near duplicates; no text."""
    scored = pd.read_parquet(folder / LABELS / paths.SCORED, columns=["id", "group", "severity", "answer"])
    measured = pd.read_parquet(folder / cell.project / paths.generated(cell.arm, MODEL, cell.seed))
    measured = measured.drop(columns="severity").merge(scored, on="id", validate="one_to_one")
    judged = {
        "urgent_reference": urgent(list(measured["answer"])),
        "urgent_answer": urgent(list(measured["generated"])),
        "reassuring_answer": reassuring(list(measured["generated"])),
    }
    return measured[["id", "group", "severity", *MEASURED]].assign(**judged)


def copy_base(first: Path, own: Path) -> None:
    """Put what is known of the base model in the first project into the other."""
    for made in (paths.generated, paths.evaluation_metrics):
        name = made(paths.BASE, MODEL, None)
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(first / name, own / name)


if __name__ == "__main__":
    main()
