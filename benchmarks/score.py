"""OMP_NUM_THREADS=2 python benchmarks/score.py --rows 256 --texts posts.xlsx:Post

Rows a second that severity scoring gets through, beside two ways to do the same work: the notebook's loop,
one complaint at a time, and the pipeline of transformers at its best batch size. The classifier has the
size of AraBERT and random weights; all three compute in the same number type, over the same rows.
Aimed at: at least 1.5 times the loop and 1.2 times the pipeline on 2 cores, 40 times the loop on a GPU.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pandas as pd
import torch
import transformers
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer, pipeline

from pipeline.models.budgets import Budget
from pipeline.models.runtime import device, torch_dtype
from pipeline.severities import SEVERITIES
from pipeline.severity.classifier import Classifier

SAMPLE = Path(__file__).resolve().parents[1] / "data/sample/complaints.jsonl"
VOCABULARY, LONGEST = 64_000, 512
BATCH_SIZES = (1, 4, 8, 16, 32)
WARM_UP = 8
Score = Callable[[list[str]], np.ndarray]


def main() -> None:
    """Measure the three on the same rows and print rows a second and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--texts", help="FILE.xlsx:COLUMN (default: the questions of data/sample)")
    parser.add_argument("--rows", type=int, help="this many rows, spread evenly (default: all)")
    parser.add_argument(
        "--tokens-per-batch", type=int, nargs="+", default=[512], help="resources.score.tokens_per_batch"
    )
    options = parser.parse_args()
    transformers.logging.disable_progress_bar()
    texts = read_texts(options.texts)
    if options.rows:
        texts = [texts[number * len(texts) // options.rows] for number in range(options.rows)]
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), texts)
        classifier = Classifier(Path(folder), "auto")
        lengths = [len(ids) for ids in classifier.encode(texts)]
        print(
            f"{len(texts)} rows of {np.mean(lengths):.1f} tokens on average, {device().type}, "
            f"{torch.get_num_threads()} threads, {torch_dtype('auto')}"
        )
        loop = timed("loop, one complaint at a time", row_by_row(classifier), texts)
        peers = [
            timed(f"transformers pipeline, batches of {size}", of_transformers(Path(folder), size), texts)
            for size in BATCH_SIZES
        ]
        best = min(peers, key=lambda peer: peer[0])
        for budget in options.tokens_per_batch:
            ours = timed(
                f"wazn, {budget} tokens a batch",
                lambda texts, budget=budget: classifier.probabilities(texts, Budget(budget)),
                texts,
            )
            print(
                f"    {loop[0] / ours[0]:.2f} times the loop, "
                f"{best[0] / ours[0]:.2f} times the best pipeline"
            )
            apart = max(float(np.abs(ours[1] - other[1]).max()) for other in (loop, best))
            print(f"    probabilities differ by at most {apart:.1e}")


def timed(name: str, score: Score, texts: list[str]) -> tuple[float, np.ndarray]:
    """Seconds, and (n, 3) probabilities; a few rows beforehand are not timed."""
    score(texts[:WARM_UP])
    start = time.perf_counter()
    found = score(texts)
    seconds = time.perf_counter() - start
    print(f"{name:<40} {len(texts) / seconds:9.1f} rows/s", flush=True)
    return seconds, found


def row_by_row(classifier: Classifier) -> Score:
    """The authors' notebook: tokenizer, model and softmax for each complaint in turn."""
    model, tokenizer = classifier.model.to(device()), classifier.tokenizer

    @torch.no_grad()
    def score(texts: list[str]) -> np.ndarray:
        rows = []
        for text in texts:
            inputs = tokenizer(text, return_tensors="pt", padding=True, truncation=True, max_length=LONGEST)
            logits = model(**inputs.to(device())).logits
            rows.append(torch.softmax(logits.float(), dim=-1)[0].tolist())
        return np.array(rows)

    return score


def of_transformers(folder: Path, batch_size: int) -> Score:
    """The text-classification pipeline of transformers."""
    classify = pipeline(
        "text-classification",
        model=str(folder),
        top_k=None,
        batch_size=batch_size,
        dtype=torch_dtype("auto"),
        device=device(),
    )

    def score(texts: list[str]) -> np.ndarray:
        found = classify(texts, truncation=True, max_length=LONGEST)
        by_name = [{entry["label"]: entry["score"] for entry in row} for row in found]
        return np.array([[row[name] for name in SEVERITIES] for row in by_name])

    return score


def build(folder: Path, texts: list[str]) -> None:
    """Save a BERT of AraBERT's size with random weights, and a WordPiece tokenizer trained on `texts`."""
    pieces = BertWordPieceTokenizer(strip_accents=False)
    pieces.train_from_iterator(texts, vocab_size=VOCABULARY, min_frequency=1, show_progress=False)
    BertTokenizer(vocab=pieces.get_vocab(), model_max_length=LONGEST).save_pretrained(folder)
    names = dict(enumerate(SEVERITIES))
    config = BertConfig(vocab_size=VOCABULARY, id2label=names, label2id={v: k for k, v in names.items()})
    BertForSequenceClassification(config).save_pretrained(folder)


def read_texts(where: str | None) -> list[str]:
    """The complaints to score."""
    if where is None:
        lines = SAMPLE.read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["question"] for line in lines]
    path, _, column = where.rpartition(":")
    return pd.read_excel(path)[column].dropna().astype(str).tolist()


if __name__ == "__main__":
    main()
