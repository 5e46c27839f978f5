import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.feature_extraction.text import CountVectorizer

from pipeline.config.params import load
from pipeline.data.duplicates import Sketches
from pipeline.data.pairs import normalise_labelled, normalise_pairs
from pipeline.data.splits import assign_splits
from pipeline.data.tables.readers import open_table
from pipeline.schemas import SPLITS
from pipeline.severities import PROBABILITIES, SEVERITIES
from pipeline.text.normalise import Normaliser, arabic_shares

ROOT = Path(__file__).resolve().parents[1]
ALL = Normaliser()


@pytest.fixture(scope="module")
def sample():
    table = open_table(ROOT / "data" / "sample" / "complaints.jsonl", "sample")
    return pd.concat(table.batches(table.columns))


def test_there_are_enough_pairs_and_specialties(sample):
    assert list(sample.columns) == ["id", "question", "answer", "severity", "specialty", "dialect"]
    assert len(sample) >= 400
    assert sample["specialty"].nunique() >= 20
    assert (sample != "").all(axis=None)


def test_ids_are_unique_and_name_the_specialty(sample):
    assert sample["id"].is_unique
    for row in sample.itertuples():
        assert re.fullmatch(re.escape(row.specialty) + r"-\d\d", row.id)


@pytest.mark.parametrize("column", ["question", "answer"])
def test_no_text_stands_twice_even_when_normalised(sample, column):
    repeated = [text for text, count in Counter(ALL(list(sample[column]))).items() if count > 1]
    assert repeated == []


@pytest.mark.parametrize("column", ["question", "answer"])
def test_no_text_is_nearly_a_copy_of_another(sample, column):
    """Jaccard similarity of the sets of character 5-grams, for every two rows."""
    grams = CountVectorizer(analyzer="char", ngram_range=(5, 5), binary=True, lowercase=False)
    sets = grams.fit_transform(ALL(list(sample[column]))).astype("int32")
    common = (sets @ sets.T).toarray()
    sizes = common.diagonal()
    similarity = common / (sizes[:, None] + sizes[None, :] - common)
    np.fill_diagonal(similarity, 0)
    first, second = np.unravel_index(similarity.argmax(), similarity.shape)
    assert similarity.max() < 0.5, f"{sample['id'].iloc[first]} and {sample['id'].iloc[second]}"


def test_severities_have_the_shares_of_real_posts(sample):
    assert set(sample["severity"]) == set(SEVERITIES)
    shares = sample["severity"].value_counts(normalize=True)
    wanted = {"non_critical": 0.46, "neutral": 0.30, "critical": 0.24}
    for severity, share in wanted.items():
        assert shares[severity] == pytest.approx(share, abs=0.05)


def test_all_five_dialects_are_there_in_number(sample):
    counts = sample["dialect"].value_counts()
    assert set(counts.index) == {"msa", "egyptian", "gulf", "levantine", "maghrebi"}
    assert counts.min() >= 40


@pytest.mark.parametrize(("column", "least"), [("question", 0.75), ("answer", 0.95)])
def test_texts_are_arabic(sample, column, least):
    shares = pd.Series(arabic_shares(list(sample[column])), index=sample.index)
    assert shares.min() >= least, sample["id"][shares.idxmin()]


@pytest.mark.parametrize(("column", "least", "most"), [("question", 40, 400), ("answer", 60, 400)])
def test_texts_are_neither_stubs_nor_essays(sample, column, least, most):
    lengths = sample[column].str.len()
    assert lengths.min() >= least, sample["id"][lengths.idxmin()]
    assert lengths.max() <= most, sample["id"][lengths.idxmax()]


def test_every_critical_answer_sends_to_emergency_care(sample):
    critical = sample[sample["severity"] == "critical"]
    silent = critical[~critical["answer"].str.contains("طوارئ|إسعاف|مستشفى")]
    assert silent["id"].tolist() == []


PERSONAL = {
    "phone number": r"\+[\d٠-٩]|[\d٠-٩]{5,}|[\d٠-٩]{2,}([ -]?[\d٠-٩]{2,}){2,}",
    "e-mail or account": r"@|\w\.com\b",
    "URL": r"https?:|www\.|\.(net|org|me)\b",
}


@pytest.mark.parametrize("kind", PERSONAL)
@pytest.mark.parametrize("column", ["question", "answer"])
def test_nothing_leads_to_a_person(sample, column, kind):
    found = sample[sample[column].str.contains(PERSONAL[kind].replace("(", "(?:"), regex=True)]
    assert found["id"].tolist() == []


NOISE = {
    "no hamza": r"\b(?:اعاني|الان|انا|ايام)\b",
    "Arabic-Indic digits": "[٠-٩]",
    "elongation": r"([\u0621-\u064a])\1\1",
    "emoji": "[\U0001f300-\U0001faff\u2600-\u27bf]",
    "marks": r"!!|؟؟",
}


def test_questions_are_as_noisy_as_real_posts(sample):
    noisy = {
        kind: sample["question"].map(lambda text, pattern=pattern: bool(re.search(pattern, text)))
        for kind, pattern in NOISE.items()
    }
    assert all(found.sum() >= 10 for found in noisy.values()), "every kind occurs"
    assert pd.DataFrame(noisy).any(axis=1).mean() >= 0.5


def test_answers_are_edited_prose(sample):
    for kind in ("no hamza", "elongation", "emoji", "marks"):
        found = sample[sample["answer"].map(lambda text, kind=kind: bool(re.search(NOISE[kind], text)))]
        assert found["id"].tolist() == [], kind


def test_rows_of_a_specialty_stand_together_and_are_numbered_in_order(sample):
    for before, after in pairwise(sample["id"]):
        if before.rsplit("-", 1)[0] == after.rsplit("-", 1)[0]:
            assert int(after[-2:]) == int(before[-2:]) + 1


def test_the_pipeline_takes_every_row_and_has_some_in_each_split(sample, tmp_path):
    normalise = load(ROOT / "params.yaml").normalise
    none = dict.fromkeys(PROBABILITIES, pa.nulls(len(sample), pa.string()))
    columns = {name: list(sample[name]) for name in ("question", "answer", "specialty", "severity")}
    columns |= {"source": ["sample"] * len(sample), "line": list(range(1, len(sample) + 1))}
    pairs = normalise_pairs(pa.table({**columns, **none}), normalise)
    assert set(pairs["reason"].to_pylist()) == {""}
    labelled = normalise_labelled(pa.table({**columns, "text": columns["question"]}), normalise)
    assert set(labelled["reason"].to_pylist()) == {""}
    keys = Sketches(tmp_path).add(labelled["text"].to_pylist())
    splits = assign_splits(keys, normalise.split.model_dump(), normalise.seed)
    assert set(splits) == set(range(len(SPLITS)))
