"""python benchmarks/lexicon.py --posts ../shared/data/severity_posts.xlsx

How far do the lexicon's weak labels agree with people? On real posts with human severity labels: accuracy,
macro F1, Cohen's kappa, and precision and recall of `critical` with 95 % bootstrap intervals, beside the
share of critical posts, which is the precision of a lexicon that knows nothing.

Words and bounds of the lexicon were written with a look at one half of the posts, which a hash of the text
chooses. The other half was not read. Prints a table in Markdown, and the texts labelled in a second.
"""

import argparse
import hashlib
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score, precision_score, recall_score

from pipeline.severities import SEVERITIES
from pipeline.severity.lexicon import label

LABELS = {"غير حرج": "non_critical", "متوسط": "neutral", "حرج": "critical"}
RESAMPLES = 1000


def main() -> None:
    """Label the posts, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--posts", type=Path, required=True, help="XLSX with Post and Severity")
    table = pd.read_excel(parser.parse_args().posts)[["Post", "Severity"]].dropna()
    posts, people = table["Post"].astype(str).tolist(), table["Severity"].map(LABELS).to_numpy()
    start = time.perf_counter()
    found = np.array(label(posts))
    seconds = time.perf_counter() - start
    read = np.array([int(hashlib.sha256(post.encode()).hexdigest(), 16) % 2 == 0 for post in posts])
    print("| posts | rows | critical | accuracy | macro F1 | kappa | precision | recall |")
    print("|---|---|---|---|---|---|---|---|")
    for name, rows in (("read", read), ("not read", ~read), ("all", read | ~read)):
        print(f"| {name} | {rows.sum()} | {line(people[rows], found[rows])} |")
    print(f"\n{len(posts) / seconds:,.0f} texts a second")


def line(people: np.ndarray, found: np.ndarray) -> str:
    """The measures of n labels beside those of people."""
    whole = [
        np.mean(people == "critical"),
        accuracy_score(people, found),
        f1_score(people, found, average="macro"),
        cohen_kappa_score(people, found, labels=SEVERITIES),
    ]
    random = np.random.default_rng(0)
    draws = random.integers(0, len(people), (RESAMPLES, len(people)))
    shown = [f"{value:.3f}" for value in whole]
    for score in (precision_score, recall_score):
        middle, *drawn = (
            score(people[rows] == "critical", found[rows] == "critical")
            for rows in (np.arange(len(people)), *draws)
        )
        low, high = np.quantile(drawn, [0.025, 0.975])
        shown.append(f"{middle:.3f} ({low:.3f} to {high:.3f})")
    return " | ".join(shown)


if __name__ == "__main__":
    main()
