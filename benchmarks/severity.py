"""Does severity weighting do anything? On posts with human severity labels and doctors' plans, with the
tiny models of the embedded default and its parameters; docs/findings.md has the results. Three steps:

    python benchmarks/severity.py prepare --posts ../shared/data/severity_posts.xlsx --folder FOLDER
    python benchmarks/severity.py train --folder FOLDER --jobs 2
    python benchmarks/severity.py report --folder FOLDER

`prepare` runs the stages up to the scores and leaves in the folder what trainings need: token ids,
severities and base models, no text. `train` trains and measures each model with each condition and seed,
each in one thread of one of `--jobs` processes, on CPUs; about 40 s each. Stopped and started again, it
goes on. It needs torch, transformers, peft, accelerate, pandas, scipy and pydantic, so it runs where wazn
is not installed too (PYTHONPATH=.). `report` prints the tables in Markdown.

The probabilities come from the classifier, each pair's from the model of a fold that did not see it
(`cross-fitted`); from the classifier that was trained on the whole training split (`in-sample`); or from
the human labels, one-hot (`gold`). A placebo is an arm whose weights are permuted among the training pairs.
"""

import argparse
import io
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import chdir, redirect_stderr
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from pipeline.environment import lacking
from pipeline.models.budgets import Budget

# Workers are started with these; torch and its libraries read them as they load.
os.environ |= lacking() | {
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}

import pandas as pd
from severity_conditions import BASE, PLACEBO, REAL, UNIFORM, WITH_PLACEBOS, condition_weights

# Padded tokens that a process computes at once: it changes the results by rounding only.
TOKENS_PER_BATCH = 2048


class Job(NamedTuple):
    """One training, or a base model, whose seed is 0."""

    model: str
    condition: str
    seed: int

    def result(self, folder: Path) -> Path:
        """Where its NLLs are."""
        return folder / "results" / f"{self.model}+{self.condition}+{self.seed}.parquet"


def main() -> None:
    """Run one of the three steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("step", choices=("prepare", "train", "report"))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument(
        "--posts", type=lambda path: Path(path).resolve(), help="prepare: XLSX with Post, Plan and Severity"
    )
    parser.add_argument("--rows", type=int, help="prepare: only this many posts, for a trial")
    parser.add_argument("--jobs", type=int, default=2, help="train: processes")
    parser.add_argument("--minutes", type=float, default=1e6, help="train: stop after these")
    parser.add_argument("--families", nargs="+", help="train: only these, as tiny_gpt2:17")
    parser.add_argument("--arms", nargs="+", help="train: only these conditions")
    parser.add_argument("--seeds", type=int, nargs="+", default=[17, 18, 19, 20, 21])
    parser.add_argument("--placebos", type=int, default=19, help="train: of each arm that has some")
    options = parser.parse_args()
    folder = options.folder.resolve()
    if options.step == "prepare":
        from severity_prepare import prepare  # noqa: PLC0415

        with tempfile.TemporaryDirectory() as project, chdir(project):
            prepare(options.posts, options.rows, folder)
    elif options.step == "train":
        jobs = [job for job in ordered(settings(folder).models, options) if is_chosen(job, options)]
        sys.exit(train_all(jobs, folder, options.jobs, options.minutes))
    else:
        from severity_report import print_report  # noqa: PLC0415

        print_report(folder, settings(folder))


def settings(folder: Path) -> Any:
    """What `keep` has written; keys are attributes, as of the sections of params.yaml."""
    text = (folder / "settings.json").read_text(encoding="utf-8")
    return json.loads(text, object_hook=lambda keys: SimpleNamespace(**keys))


def ordered(models: Sequence[str], options: argparse.Namespace) -> Iterator[Job]:
    """All that can be done, what matters most first."""
    yield from (Job(model, BASE, 0) for model in models)
    yield from (Job(model, name, seed) for seed in options.seeds for name in REAL for model in models)
    for name in WITH_PLACEBOS:
        for number in range(1, options.placebos + 1):
            condition = f"{name}{PLACEBO}{number}"
            yield from (Job(model, condition, seed) for seed in options.seeds for model in models)


def is_chosen(job: Job, options: argparse.Namespace) -> bool:
    """Whether the options name it. A family has one model and seed; its results are compared by pairs."""
    family = f"{job.model}:{job.seed}"
    return job.condition in (options.arms or [job.condition]) and (
        job.condition == BASE or family in (options.families or [family])
    )


def train_all(jobs: Sequence[Job], folder: Path, processes: int, minutes: float) -> int:
    """Do what is not yet done, until the time is up; return 1 if a job failed, else 0."""
    start, failed = time.monotonic(), 0
    waiting = [job for job in jobs if not job.result(folder).is_file()]
    print(f"{len(jobs) - len(waiting)} of {len(jobs)} are there; {processes} processes", flush=True)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        results = pool.imap_unordered(train_one, [(job, folder) for job in waiting])
        for number in range(1, len(waiting) + 1):
            since = time.monotonic() - start
            try:
                job, seconds = results.next(max(0.0, 60 * minutes - since))
            except multiprocessing.TimeoutError:
                print(f"the time is up; {len(waiting) - number + 1} are left", flush=True)
                break
            except Exception as error:
                failed += 1
                print(f"failed: {type(error).__name__}: {error}", flush=True)
                continue
            done = f"{number} of {len(waiting)} after {time.monotonic() - start:.0f} s"
            print(f"{done}: {job.model}, {job.condition}, seed {job.seed} ({seconds:.0f} s)", flush=True)
    return int(failed > 0)


def train_one(task: tuple[Job, Path]) -> tuple[Job, float]:
    """Train one model and measure it, in memory; write the NLL of each test pair."""
    import torch  # noqa: PLC0415
    from accelerate import PartialState  # noqa: PLC0415

    from pipeline.files import write_parquet  # noqa: PLC0415
    from pipeline.models.methods import load_trainable  # noqa: PLC0415
    from pipeline.models.runtime import deterministic, load_decoder  # noqa: PLC0415
    from pipeline.training.likelihood import score_answers  # noqa: PLC0415
    from pipeline.training.objective import AnswerLoss  # noqa: PLC0415
    from pipeline.training.trainer import train  # noqa: PLC0415

    job, folder = task
    start = time.monotonic()
    torch.set_num_threads(1)
    deterministic(job.seed)
    given, base = settings(folder), folder / job.model
    if job.condition == BASE:
        model: Any = load_decoder(base, torch.float32, given.finetune.max_length)
    else:
        targets = getattr(given.lora_targets, job.model)
        model = load_trainable(base, given.finetune, targets, torch.float32)
        examples = encoded(job, folder, "train", given.arms)
        given.resources.tokens_per_microbatch = TOKENS_PER_BATCH
        # Its progress bar would stand among those of the other processes.
        with redirect_stderr(io.StringIO()):
            for _ in train(model, examples, given.finetune, given.resources, job.seed, name=str(job)):
                pass
    measured = encoded(job, folder, "test", given.arms)
    sums, counts = score_answers(
        AnswerLoss(model), measured, Budget(TOKENS_PER_BATCH), PartialState(cpu=True)
    )
    ids = [example.id for example in measured]
    table = pd.DataFrame({**job._asdict(), "id": ids, "nll_sum": sums, "answer_tokens": counts})
    job.result(folder).parent.mkdir(exist_ok=True)
    write_parquet(job.result(folder), table)
    return job, time.monotonic() - start


def encoded(job: Job, folder: Path, split: str, arms: Any) -> list[Any]:
    """The pairs of a split as token ids, with the weights of the condition where they are trained on."""
    from pipeline.models.prompt import Example  # noqa: PLC0415

    tokens = pd.read_parquet(folder / f"{job.model}.parquet")
    rows = tokens.merge(pd.read_parquet(folder / "pairs.parquet"), on="id", validate="1:1")
    rows = rows[rows["split"] == split]
    weights = condition_weights(rows, job.condition if split == "train" else UNIFORM, arms)
    columns = (rows["id"], rows["input_ids"], rows["prompt_length"], weights.tolist())
    return [
        Example(id_, ids.tolist(), length, weight)
        for id_, ids, length, weight in zip(*columns, strict=True)
    ]


if __name__ == "__main__":
    main()
