"""python benchmarks/cross_fitting.py --posts ../shared/data/severity_posts.xlsx

What does cross-fitting change? On the sample, and on posts with human severity labels, the stages up to
train_classifier run with the parameters of the embedded default, and the labelled pairs get probabilities
from three sources: their labels, as one-hot probabilities (gold); the final classifier, which has seen the
labels of the training pairs (in-sample); and, as the pipeline has it, classifiers that have not
(cross-fitted). A test pair is scored by the final classifier in either case, so there the last two are one.

Prints three tables in Markdown: by source and split the weights of the arm `weighting` and how far the
probabilities agree with the labels; the classifier beside its linear reference, with the noise ceiling that
contradictory labels set; and p_critical of both, with what a threshold on it finds. Intervals are 95 %.
Some six minutes on 2 cores; on cores that others use too, OMP_NUM_THREADS=1 is quicker.
"""

import argparse
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import pandas as pd
import yaml

from pipeline import paths
from pipeline.classifier_shapes import ClassifierMetrics
from pipeline.config.params import Params, load
from pipeline.files import write_json
from pipeline.inputs import read_json
from pipeline.severities import PROBABILITIES, SEVERITIES
from pipeline.severity.weights import pair_weights, weight_spread
from pipeline.shapes import DataMetrics

ROOT = Path(__file__).resolve().parents[1]
LABELS = {"non_critical": "غير حرج", "neutral": "متوسط", "critical": "حرج"}
SIDES = ("classifier", "linear")
HEADS = (
    "| data | source | split | pairs | std of weights | effective sample | log-loss | accuracy "
    "| mean p_critical | critical |\n|---|---|---|---|---|---|---|---|---|---|",
    "| data | rows | classifier | linear reference | classifier − linear | accuracy, classifier "
    "| accuracy, linear | noise ceiling |\n|---|---|---|---|---|---|---|---|",
    "| data | rows | model | mean p_critical | critical | difference | ECE | ECE by chance | Brier score "
    "|\n|---|---|---|---|---|---|---|---|---|",
    "| data | model | threshold | recall | precision | flagged |\n|---|---|---|---|---|---|",
)


def main() -> None:
    """Run the stages on each data set in a temporary folder, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--posts", type=Path, help="XLSX with Post, Plan and Severity; else the sample only"
    )
    posts = parser.parse_args().posts
    tables: list[list[str]] = [[] for _ in HEADS]
    for name, path in {"sample": None, "posts": posts and posts.resolve()}.items():
        if name == "posts" and not path:
            continue
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            # What the stages print is for who watches; the tables are for who reads.
            with redirect_stdout(sys.stderr):
                params = prepare(path)
                sources = {"cross-fitted": score(params)}
                # Without folds every pair is scored by the final classifier.
                write_json(paths.CLASSIFIER / "folds.json", {"count": 0, "fold_of": {}})
                sources = {"in-sample": score(params)} | sources
            found = read_json(paths.CLASSIFIER_METRICS, ClassifierMetrics)
            tables[0] += ablation(name, sources, params)
            tables[1] += comparison(name, found)
            tables[2] += calibration(name, found)
            tables[3] += alarms(name, found)
    for head, lines in zip(HEADS, tables, strict=True):
        print("\n".join([head, *lines]), end="\n\n")


def prepare(posts: Path | None) -> Params:
    """Run the stages up to train_classifier in the current folder.

    Args:
        posts: the workbook; None for the sample.
    """
    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    shutil.copytree(ROOT / "data/sample", "data/sample")
    if posts:
        Path("data/own").mkdir(parents=True)
        table = pd.read_excel(posts)[["Post", "Plan", "Severity"]].dropna()
        table.to_csv("data/own/posts.csv", index=False)
        settings["download"] |= {
            "folder": "data/own",
            "pairs": [{"source": "posts.csv", "question": "Post", "answer": "Plan"}],
            "labelled": [{"source": "posts.csv", "text": "Post", "label": "Severity", "labels": LABELS}],
        }
    Path("params.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    params = load(Path("params.yaml"))
    encoder = params.train_classifier.encoder
    stage("download").run(params.download)
    stage("normalise").run(params.normalise)
    stage("base_encoder").run(encoder, base_encoder=params.base_encoder, entry=params.registry[encoder])
    stage("train_classifier").run(
        params.train_classifier, encoder_entry=params.registry[params.train_classifier.encoder]
    )
    return params


def score(params: Params) -> pd.DataFrame:
    """The pairs that people labelled, as `score` leaves them."""
    stage("score").run(params.score, params.severity, params.resources.score)
    table = pd.read_parquet(paths.SCORED)
    return table[table["severity_human"].notna()]


def stage(name: str) -> Any:
    """A module of pipeline/stages."""
    return importlib.import_module(f"pipeline.stages.{name}")


def ablation(name: str, sources: dict[str, pd.DataFrame], params: Params) -> Iterator[str]:
    """Weights, and agreement with the labels, by source and split."""
    own = next(iter(sources.values()))
    truth = own["severity_human"].map(SEVERITIES.index).to_numpy()
    one_hot = dict(zip(PROBABILITIES, np.eye(len(SEVERITIES))[truth].T, strict=True))
    arm = params.arm_settings["weighting"]
    for source, table in {"gold": own.assign(**one_hot), **sources}.items():
        for split in ("train", "test"):
            rows = (table["split"] == split).to_numpy()
            given, labels = table.loc[rows, list(PROBABILITIES)].to_numpy(dtype="float64"), truth[rows]
            spread = weight_spread(pair_weights(table[rows], arm))
            losses = 0.0 - np.log(given[np.arange(len(labels)), labels])
            yield (
                f"| {name} | {source} | {split} | {len(labels)} | {spread['std']:.3f} "
                f"| {spread['effective_share']:.1%} | {losses.mean():.3f} "
                f"| {(given.argmax(axis=1) == labels).mean():.3f} | {given[:, -1].mean():.3f} "
                f"| {(labels == len(SEVERITIES) - 1).mean():.3f} |"
            )


def comparison(name: str, found: Any) -> Iterator[str]:
    """The classifier beside the linear reference, on the test rows and over the folds."""
    contradictions = read_json(paths.DATA_METRICS, DataMetrics)["labelled"]["contradictions"]
    best = contradictions["best_accuracy"]
    ceiling = "no text is labelled twice"
    if best is not None:
        ceiling = f"{best:.3f} ({contradictions['rows']} rows of {contradictions['texts']} texts)"
    for rows, measured in rows_measured(found["rows"]["test"], found, found["folds"]):
        losses, accuracies = ([measured[side][key] for side in SIDES] for key in ("log_loss", "accuracy"))
        yield (
            f"| {name} | {rows} | {losses[0]['value']:.3f} | {losses[1]['value']:.3f} "
            f"| {ends(measured['log_loss_minus_linear'], '+.3f')} | {ends(accuracies[0])} "
            f"| {ends(accuracies[1])} | {ceiling} |"
        )


def calibration(name: str, found: Any) -> Iterator[str]:
    """p_critical of both, on the test rows and over the folds."""
    critical = found["critical"]
    for rows, measured in rows_measured(found["rows"]["test"], critical["test"], critical["folds"]):
        for side in SIDES:
            of_side = measured[side]
            yield (
                f"| {name} | {rows} | {side} | {of_side['mean_probability']:.3f} "
                f"| {of_side['share']['value']:.3f} | {ends(of_side['excess'], '+.3f')} "
                f"| {ends(of_side['ece'])} | {ends(of_side['ece_by_chance'])} | {ends(of_side['brier'])} |"
            )


def alarms(name: str, found: Any) -> Iterator[str]:
    """What the thresholds of both find on the test rows."""
    for side in SIDES:
        of_side = found["critical"]["alarms"][side]
        caught = f"{of_side['found']} of {of_side['critical']}: {ends(of_side['recall'])}"
        flags = f"{of_side['flagged']} of {of_side['rows']}: {ends(of_side['share_flagged'])}"
        yield (
            f"| {name} | {side} | {of_side['threshold']:.3f} | {caught} | {ends(of_side['precision'])} "
            f"| {flags} |"
        )


def rows_measured(test: int, on_test: Any, over_folds: Any) -> Iterator[tuple[str, Any]]:
    """The test rows and, where there are folds, those of the folds."""
    yield f"{test} test", on_test
    if over_folds:
        yield "folds", over_folds


def ends(figure: Any, form: str = ".3f") -> str:
    """A figure and its interval."""
    low, high = format(figure["low"], form), format(figure["high"], form)
    return f"{figure['value']:{form}} ({low} to {high})"


if __name__ == "__main__":
    main()
