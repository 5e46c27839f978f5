"""Raw data as the stage `download` writes it, of made-up complaints; and what `normalise` makes of it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config.data import NormaliseConfig
from pipeline.config.params import load
from pipeline.data.raw_tables import LABELLED_SCHEMA, PAIRS_SCHEMA
from pipeline.files import write_json
from pipeline.severities import PROBABILITIES

ROOT = Path(__file__).resolve().parents[1]
VALUES = load(ROOT / "params.yaml").normalise.model_dump()
LETTERS = np.array(list("بتثجحخدذرزسشصضطظعغفق"))
HALVES = {"train": 0.5, "valid": 0.25, "test": 0.25}
GOOD = "راجع الطبيب"


def setting(**changes):
    """The section `normalise` of params.yaml with some other values."""
    return NormaliseConfig.model_validate({**VALUES, "split": HALVES, "max_chars": 300, **changes})


def made_up(count, words=40, seed=1):
    """Complaints of random words of four letters, no two alike, that normalisation leaves as they are."""
    random = np.random.default_rng(seed)
    # No letter stands beside itself, so that none is taken for emphasis.
    halves = np.stack([random.choice(half, (count, words, 2)) for half in np.split(LETTERS, 2)], axis=-1)
    return [" ".join(map("".join, text.reshape(words, 4))) for text in halves]


def edited(text, place):
    """A near duplicate: one word of 40 is another, which leaves a Jaccard similarity of about 0.91."""
    words = text.split(" ")
    words[place % len(words)] = "كلمه"
    return " ".join(words)


TEXTS = made_up(60)


def write_raw(pairs, labelled, lexicon=False):
    """The raw tables, of sources named a, b, …: lists of rows.

    A pair is a question, an answer, and three probabilities if the source has them; a labelled row is a
    text, a severity, and its label if it is another word.
    """
    texts = {"pairs": ("question", "answer", *PROBABILITIES), "labelled": ("text", "severity", "label")}
    schemas = {"pairs": PAIRS_SCHEMA, "labelled": LABELLED_SCHEMA}
    for dataset, sources in (("pairs", pairs), ("labelled", labelled)):
        rows = [
            {
                "source": name,
                "line": line,
                "specialty": "",
                "label": "" if dataset == "pairs" else row[1],
                **{name: str(value) for name, value in zip(texts[dataset], row, strict=False)},
            }
            for name, source in zip("abc", sources, strict=False)
            for line, row in enumerate(source, start=2)
        ]
        Path("data/raw").mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist(rows, schemas[dataset])
        pq.write_table(table, f"data/raw/{dataset}.parquet", row_group_size=1000)
    provenance = {
        "pairs": [{"source": n, "rows": len(s)} for n, s in zip("abc", pairs, strict=False)],
        "labelled": [
            {"source": n, "rows": len(s), "labels": "lexicon" if lexicon and n == "b" else "human"}
            for n, s in zip("abc", labelled, strict=False)
        ],
    }
    write_json(Path("data/raw/sources.json"), provenance)


def read(name):
    """A table that normalise has written."""
    return pd.read_parquet(f"data/normalised/{name}.parquet")


def metrics():
    """metrics/data.json."""
    return json.loads(Path("metrics/data.json").read_text(encoding="utf-8"))
