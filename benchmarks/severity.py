"""python benchmarks/severity.py --posts ../shared/data/severity_posts.xlsx

Does severity weighting do anything? On posts with human severity labels and doctors' plans, with the tiny
models of the embedded default and its parameters: base, uniform, mild, balanced (the arm `weighting`) and
strong with the classifier's probabilities, then balanced and strong with the human labels as one-hot
probabilities, the largest spread there can be. Each is trained with several seeds and measured by the NLL
per answer token on the test rows of each human severity.

Prints two tables in Markdown: the weights, and the NLL with its difference from uniform. Intervals are
95 % bootstrap intervals over test rows, a row with all its seeds; the standard deviation over seeds stands
beside them. About half an hour on 2 cores.
"""

import argparse
import importlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import pandas as pd
import yaml
from accelerate import PartialState

from pipeline.config.params import Params, load
from pipeline.models.prompt import encode_pairs
from pipeline.models.runtime import load_tokenizer, torch_dtype
from pipeline.models.trained import load_trained
from pipeline.severities import SEVERITIES
from pipeline.severity.weights import pair_weights, weight_spread
from pipeline.training.likelihood import score_answers
from pipeline.training.objective import AnswerLoss

ROOT = Path(__file__).resolve().parents[1]
SCORED = Path("data/scored/pairs.parquet")
LABELS = {"non_critical": "غير حرج", "neutral": "متوسط", "critical": "حرج"}
# Where the probabilities come from, and the arm of params.yaml; None for the base model.
CONDITIONS = {
    "base": None,
    "uniform": ("classifier", "uniform"),
    "mild": ("classifier", "mild"),
    "balanced": ("classifier", "weighting"),
    "strong": ("classifier", "strong"),
    "balanced, human labels": ("provided", "weighting"),
    "strong, human labels": ("provided", "strong"),
}
RESAMPLES = 2000


def main() -> None:
    """Prepare a project in a temporary folder, train every condition in it, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--posts", type=Path, required=True, help="XLSX with Post, Plan and Severity")
    parser.add_argument("--seeds", type=int, nargs="+", default=[17, 18, 19])
    parser.add_argument("--rows", type=int, help="only this many posts, for a trial")
    parser.add_argument("--keep", type=Path, help="write the NLL of every row and run to this CSV file")
    options = parser.parse_args()
    posts = options.posts.resolve()
    keep = options.keep.resolve() if options.keep else None
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        params = project(posts, options.rows)
        human = pd.read_parquet("data/provided.parquet").set_index("id")["severity"]
        measured = pd.concat(runs(params, options.seeds), ignore_index=True)
        measured["severity"] = measured["id"].map(human)
        if keep:
            measured.to_csv(keep, index=False)
        print_weights(params)
        print_nll(measured)


def project(posts: Path, rows: int | None) -> Params:
    """Run the stages up to the base models in the current folder; score with both sources of severity."""
    table = pd.read_excel(posts)[["Post", "Plan", "Severity"]].dropna()
    table = table.sample(rows or len(table), random_state=0)
    for name, label in LABELS.items():
        table[name] = (table["Severity"] == label).astype(float)
    Path("data/own").mkdir(parents=True)
    table.to_csv("data/own/posts.csv", index=False)
    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    columns = {name: name for name in LABELS}
    settings["download"] |= {
        "folder": "data/own",
        "pairs": [{"source": "posts.csv", "question": "Post", "answer": "Plan", "probabilities": columns}],
        "labelled": [{"source": "posts.csv", "text": "Post", "label": "Severity", "labels": LABELS}],
    }
    Path("params.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    params = load(Path("params.yaml"))
    stage("download").run(params.download)
    stage("normalise").run(params.normalise)
    for encoder in params.encoders:
        stage("base_encoder").run(encoder, base_encoder=params.base_encoder, entry=params.registry[encoder])
    stage("train_classifier").run(params.train_classifier)
    for model in params.models:
        stage("base_model").run(model, base_model=params.base_model, entry=params.registry[model])
    for source in ("provided", "classifier"):
        severity = params.severity.model_copy(update={"source": source})
        stage("score").run(params.score, severity, params.resources.score)
        shutil.copy(SCORED, f"data/{source}.parquet")
    return params


def stage(name: str) -> Any:
    """A module of pipeline/stages."""
    return importlib.import_module(f"pipeline.stages.{name}")


def runs(params: Params, seeds: list[int]) -> Iterator[pd.DataFrame]:
    """NLL of every test row by model, condition and seed."""
    for model in params.models:
        for condition, chosen in CONDITIONS.items():
            if chosen is None:
                yield measure(params, model, "base", None).assign(condition=condition, seed=0)
                continue
            source, arm = chosen
            shutil.copy(f"data/{source}.parquet", SCORED)
            for seed in seeds:
                stage("finetune").run(
                    model,
                    arm,
                    seed,
                    finetune=params.finetune,
                    entry=params.registry[model],
                    weights=params.arm_settings[arm],
                    resources=params.resources.finetune,
                )
                found = measure(params, model, arm, seed)
                yield found.assign(condition=condition, seed=seed)


def measure(params: Params, model: str, arm: str, seed: int | None) -> pd.DataFrame:
    """NLL of the test rows under one model."""
    base, evaluate = Path("models/base") / model, params.evaluate
    rows = pd.read_parquet("data/classifier.parquet").query("split == 'test'")
    examples, _ = encode_pairs(load_tokenizer(base), rows, [1.0] * len(rows), evaluate.max_length)
    decoder = load_trained(model, arm, seed, torch_dtype(evaluate.dtype), evaluate.max_length)
    sums, counts = score_answers(AnswerLoss(decoder), examples, 4096, PartialState(cpu=True))
    ids = [example.id for example in examples]
    return pd.DataFrame({"model": model, "id": ids, "nll": sums, "tokens": counts})


def print_weights(params: Params) -> None:
    """Mean, spread and effective sample size of the training pairs' weights."""
    print("| weights | mean | std | 1 % | 99 % | effective sample size |\n|---|---|---|---|---|---|")
    for condition, chosen in CONDITIONS.items():
        if chosen is None or condition == "uniform":
            continue
        source, arm = chosen
        scored = pd.read_parquet(f"data/{source}.parquet").query("split == 'train'")
        spread = weight_spread(pair_weights(scored, params.arm_settings[arm]))
        print(
            f"| {condition} | {spread['mean']:.3f} | {spread['std']:.3f} | {spread['q01']:.3f} | "
            f"{spread['q99']:.3f} | {spread['effective_share']:.1%} |"
        )
    print()


def print_nll(measured: pd.DataFrame) -> None:
    """NLL per answer token by model, condition and human severity, and what it differs from uniform by."""
    print("| model | condition | severity | rows | NLL | less uniform (95 % interval) | std over seeds |")
    print("|---|---|---|---|---|---|---|")
    for model, of_model in measured.groupby("model", sort=False):
        for severity in (*reversed(SEVERITIES), "all"):
            rows = of_model if severity == "all" else of_model[of_model["severity"] == severity]
            tables = {name: of_seeds(part) for name, part in rows.groupby("condition", sort=False)}
            for condition, (nll, tokens) in tables.items():
                shown = f"{ratio(nll, tokens).mean():.4f}"
                line = f"| {model} | {condition} | {severity} | {len(tokens)} | {shown} | "
                if condition == "uniform":
                    print(line + f"| {ratio(nll, tokens).std(ddof=1):.4f} |")
                    continue
                low, high, middle, deviation = difference(nll, tables["uniform"][0], tokens)
                print(line + f"{middle:+.4f} ({low:+.4f} to {high:+.4f}) | {deviation:.4f} |")


def of_seeds(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The NLL by row and seed, (n, seeds); the answer tokens by row, (n,)."""
    table = rows.pivot(index="id", columns="seed", values="nll").sort_index()
    tokens = rows.drop_duplicates("id").set_index("id")["tokens"].loc[table.index]
    return table.to_numpy(), tokens.to_numpy()


def ratio(nll: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """NLL per answer token of each seed, (seeds,)."""
    return np.asarray(nll.sum(axis=0) / tokens.sum())


def difference(nll: np.ndarray, other: np.ndarray, tokens: np.ndarray) -> tuple[float, ...]:
    """Interval, mean and spread over seeds of the difference in NLL per answer token, paired by row."""
    apart = nll - other  # a base model has one seed, which stands beside each of the others'
    generator = np.random.default_rng(0)
    drawn = generator.integers(0, len(tokens), (RESAMPLES, len(tokens)))
    resampled = apart.mean(axis=1)[drawn].sum(axis=1) / tokens[drawn].sum(axis=1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    by_seed = apart.sum(axis=0) / tokens.sum()
    return low, high, by_seed.mean(), by_seed.std(ddof=1) if len(by_seed) > 1 else 0.0


if __name__ == "__main__":
    main()
