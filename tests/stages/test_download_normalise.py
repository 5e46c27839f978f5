import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import WaznError
from pipeline.params import (
    Download,
    LabelledSource,
    LabelNames,
    Normalise,
    PairSource,
    Rules,
    RuleSets,
    Split,
)
from pipeline.stages import download, normalise
from pipeline.text.normalise import RULES

ARABIC = LabelNames(non_critical="غير حرج", neutral="متوسط", critical="حرج")
ENGLISH = LabelNames(non_critical="low", neutral="mid", critical="high")
ALL = Rules(**dict.fromkeys(RULES, True))
LIGHT = ALL.model_copy(update={"alef": False, "ya": False, "ta_marbuta": False})
SETTINGS = Normalise(
    rules=RuleSets(classifier=ALL, question=LIGHT, answer=LIGHT),
    min_arabic=0.6,
    max_chars=200,
    split=Split(train=0.5, valid=0.25, test=0.25),
    seed=17,
)
LETTERS = "بتثجحخدذرزسشصضطظعغفق"
COMPLAINTS = [f"أعاني من صداع {first}{second}" for first in LETTERS[:6] for second in LETTERS[:10]]
BAD = {
    "": "question_empty",
    "my head aches": "question_not_arabic",
    "صداع " * 60: "question_too_long",
    COMPLAINTS[0] + "\u200f": "duplicate",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A working folder with two tables of pairs and two of labelled complaints, columns of their own."""
    monkeypatch.chdir(tmp_path)
    folder = Path("data/own")
    folder.mkdir(parents=True)
    answer = "رَاجع الطبيب"
    first = pd.DataFrame({"الشكوى": [*COMPLAINTS, *BAD], "الرد": answer})
    first.to_csv(folder / "first.csv", index=False)
    second = pd.DataFrame({"q_body": [COMPLAINTS[0], "حمى"], "a_body": ["اشرب ماء", None], "note": "x"})
    second.to_json(folder / "second.jsonl", orient="records", lines=True, force_ascii=False)
    names = [ARABIC.non_critical, f" {ARABIC.neutral} ", ARABIC.critical]
    labels = [names[number % 3] for number in range(len(COMPLAINTS))]
    rows = [*zip(COMPLAINTS, labels, strict=True), ("سعال", "لا أدري"), ("زكام", None)]
    pd.DataFrame(rows, columns=["المنشور", "الخطورة"]).to_excel(folder / "third.xlsx", index=False)
    fourth = pd.DataFrame({"t": ["ألم حاد", COMPLAINTS[1]], "s": ["high", "low"]})
    fourth.to_parquet(folder / "fourth.parquet")
    return tmp_path


def sources(**changes):
    values = {
        "folder": "data/own",
        "pairs": [
            PairSource(source="first.csv", question="الشكوى", answer="الرد"),
            PairSource(source="second.jsonl", question="q_body", answer="a_body"),
        ],
        "labelled": [
            LabelledSource(source="third.xlsx", text="المنشور", label="الخطورة", labels=ARABIC),
            LabelledSource(source="fourth.parquet", text="t", label="s", labels=ENGLISH),
        ],
    }
    return Download(**{**values, **changes})


@pytest.fixture
def downloaded(project):
    download.run(sources())
    return project


@pytest.fixture
def normalised(downloaded):
    normalise.run(SETTINGS)
    return downloaded


def read(name):
    return pd.read_parquet(f"data/{name}.parquet")


def test_download_puts_sources_one_after_the_other_with_their_lines(downloaded):
    pairs = read("raw/pairs")
    assert list(pairs.columns) == ["source", "line", "question", "answer"]
    count = len(COMPLAINTS) + len(BAD)
    assert pairs["source"].tolist() == ["first.csv"] * count + ["second.jsonl"] * 2
    assert pairs["line"].tolist() == [*range(2, count + 2), 1, 2]
    assert pairs["answer"].tolist()[-2:] == ["اشرب ماء", ""]


def test_download_keeps_the_text_as_it_came(downloaded):
    pairs = read("raw/pairs")
    assert pairs["question"].tolist()[: len(COMPLAINTS)] == COMPLAINTS
    assert set(pairs["answer"].head(5)) == {"رَاجع الطبيب"}


def test_download_translates_labels_and_keeps_the_original(downloaded):
    labelled = read("raw/labelled")
    assert list(labelled.columns) == ["source", "line", "text", "label", "severity"]
    assert labelled["severity"].tolist()[:3] == ["non_critical", "neutral", "critical"]
    assert labelled["severity"].tolist()[-4:] == ["", "", "critical", "non_critical"]
    assert labelled["label"].tolist()[-4:] == ["لا أدري", "", "high", "low"]


def test_download_says_where_the_rows_came_from(downloaded):
    found = json.loads(Path("data/raw/sources.json").read_text(encoding="utf-8"))
    assert list(found) == ["pairs", "labelled"]
    assert [item["source"] for item in found["labelled"]] == ["third.xlsx", "fourth.parquet"]
    assert found["pairs"][1] == {
        "source": "second.jsonl",
        "sha256": hashlib.sha256(Path("data/own/second.jsonl").read_bytes()).hexdigest(),
        "rows": 2,
        "columns": ["q_body", "a_body", "note"],
    }


def test_download_prints_counts_and_no_text(project, capsys):
    download.run(sources())
    printed = capsys.readouterr().out
    assert f"pairs: {len(COMPLAINTS) + len(BAD)} rows from first.csv" in printed
    assert "صداع" not in printed


def refused(**changes):
    with pytest.raises(WaznError) as caught:
        download.run(sources(**changes))
    assert not Path("data/raw").exists(), "all or nothing"
    return str(caught.value)


def test_a_bad_second_source_is_named_and_nothing_is_written(project):
    good = sources().pairs[0]
    missing = PairSource(source="none.csv", question="q", answer="a")
    assert "download.pairs.1.source" in refused(pairs=[good, missing])
    column = PairSource(source="second.jsonl", question="q_body", answer="الرد")
    text = refused(pairs=[good, column])
    assert "download.pairs.1.answer" in text
    assert "q_body, a_body, note" in text


def test_a_table_with_none_of_the_labels_is_refused_and_shows_what_it_has(project):
    wrong = sources().labelled[1].model_copy(update={"labels": ARABIC})
    text = refused(labelled=[wrong])
    assert "fourth.parquet" in text
    assert "download.labelled.0.labels" in text
    assert "high" in text
    assert "low" in text


def test_a_complaint_column_taken_for_the_label_shows_no_complaint(project):
    wrong = sources().labelled[0].model_copy(update={"label": "المنشور"})
    text = refused(labelled=[wrong])
    assert "third.xlsx" in text
    assert "صداع" not in text


def test_normalised_tables_have_the_columns_that_others_rely_on(normalised):
    pairs, labelled = read("normalised/pairs"), read("normalised/labelled")
    assert list(pairs.columns) == ["id", "question", "answer", "text", "split"]
    assert list(labelled.columns) == ["id", "text", "severity", "split"]
    for table in (pairs, labelled):
        assert table["id"].is_unique
        assert set(table["split"]) == {"train", "valid", "test"}
        assert all(pd.api.types.is_string_dtype(table[column]) for column in table.columns)
    assert set(labelled["severity"]) == {"non_critical", "neutral", "critical"}


def test_pairs_are_normalised_by_their_own_rules(normalised):
    first = read("normalised/pairs").iloc[0]
    assert first["question"] == COMPLAINTS[0]
    assert first["text"] == COMPLAINTS[0].replace("أ", "ا")
    assert first["answer"] == "راجع الطبيب"


def test_rejected_holds_the_original_row_with_where_and_why(normalised):
    rejected = read("normalised/rejected")
    assert list(rejected.columns) == ["dataset", "source", "line", "reason", "row"]
    found = rejected[rejected["dataset"] == "pairs"]
    start = len(COMPLAINTS) + 2
    assert found["reason"].tolist() == [*BAD.values(), "answer_empty"]
    assert found["line"].tolist() == [start, start + 1, start + 2, start + 3, 2]
    assert found["source"].tolist() == ["first.csv"] * 4 + ["second.jsonl"]
    assert [json.loads(row) for row in found["row"]] == [
        *({"question": question, "answer": "رَاجع الطبيب"} for question in BAD),
        {"question": "حمى", "answer": ""},
    ]
    found = rejected[rejected["dataset"] == "labelled"]
    assert found["reason"].tolist() == ["unknown_label", "unknown_label", "duplicate"]
    rows = [json.loads(row) for row in found["row"]]
    assert [(row["text"], row["label"]) for row in rows[:2]] == [("سعال", "لا أدري"), ("زكام", "")]


def test_metrics_account_for_every_row(normalised):
    metrics = json.loads(Path("metrics/data.json").read_text(encoding="utf-8"))
    rejected = read("normalised/rejected")
    assert list(metrics) == ["pairs", "labelled"]
    for dataset, counts in metrics.items():
        kept = read(f"normalised/{dataset}")
        lost = rejected[rejected["dataset"] == dataset]
        assert counts["rows"] == len(read(f"raw/{dataset}")) == len(kept) + len(lost)
        assert counts["kept"] == len(kept) == sum(counts["splits"].values())
        assert counts["rejected"] == lost["reason"].value_counts().to_dict()
        assert sum(item["rows"] for item in counts["sources"]) == counts["rows"]
        assert sum(item["kept"] for item in counts["sources"]) == counts["kept"]
        assert counts["splits"] == kept["split"].value_counts().to_dict()
    severities = read("normalised/labelled")["severity"].value_counts().to_dict()
    assert metrics["labelled"]["severity"] == severities
    second = metrics["pairs"]["sources"][1]
    assert (second["source"], second["rows"], second["kept"]) == ("second.jsonl", 2, 1)


def test_a_file_that_serves_twice_is_counted_once_each_time(project):
    """Two answers to a question in one table: the file is listed with one column, then the other."""
    table = pd.DataFrame({"q": COMPLAINTS, "first": "راحة", "second": ["اشرب ماء", *[""] * 59]})
    table.to_csv("data/own/twice.csv", index=False)
    pairs = [PairSource(source="twice.csv", question="q", answer=answer) for answer in ("first", "second")]
    download.run(sources(pairs=pairs))
    normalise.run(SETTINGS)
    counts = json.loads(Path("metrics/data.json").read_text(encoding="utf-8"))["pairs"]
    assert counts["rows"] == 120
    assert [item["kept"] for item in counts["sources"]] == [60, 1]


def test_a_complaint_is_in_one_split_wherever_it_stands(normalised):
    pairs = read("normalised/pairs").groupby("text")["split"].agg(set)
    labelled = read("normalised/labelled").set_index("text")["split"]
    both = pairs.index.intersection(labelled.index)
    assert len(both) == len(COMPLAINTS)
    assert all(pairs[text] == {labelled[text]} for text in both)


def test_running_again_writes_the_same_bytes(normalised):
    paths = [*Path("data/raw").iterdir(), *Path("data/normalised").iterdir(), Path("metrics/data.json")]
    before = {path: path.read_bytes() for path in paths}
    assert len(before) == 7
    download.run(sources())
    normalise.run(SETTINGS)
    assert {path: path.read_bytes() for path in paths} == before


def test_nothing_rejected_still_gives_the_table(project):
    pair = PairSource(source="good.csv", question="q", answer="a")
    pd.DataFrame({"q": COMPLAINTS, "a": "راحة"}).to_csv("data/own/good.csv", index=False)
    label = LabelledSource(source="labels.csv", text="q", label="s", labels=ENGLISH)
    pd.DataFrame({"q": COMPLAINTS, "s": "mid"}).to_csv("data/own/labels.csv", index=False)
    download.run(sources(pairs=[pair], labelled=[label]))
    normalise.run(SETTINGS)
    rejected = read("normalised/rejected")
    assert list(rejected.columns) == ["dataset", "source", "line", "reason", "row"]
    assert len(rejected) == 0
    metrics = json.loads(Path("metrics/data.json").read_text(encoding="utf-8"))
    assert metrics["labelled"]["severity"] == {"non_critical": 0, "neutral": len(COMPLAINTS), "critical": 0}


def test_normalise_prints_counts_and_no_text(downloaded, capsys):
    capsys.readouterr()
    normalise.run(SETTINGS)
    printed = capsys.readouterr().out
    assert f"pairs: {len(COMPLAINTS) + len(BAD) + 2} rows" in printed
    assert "صداع" not in printed


def test_normalise_without_raw_data_says_what_to_run(project):
    with pytest.raises(WaznError, match=r"^data/raw/\w+\.\w+: no such file; run `dvc repro`"):
        normalise.run(SETTINGS)


def test_a_split_that_nothing_falls_into_is_named_and_nothing_is_written(downloaded):
    tiny = SETTINGS.model_copy(update={"split": Split(train=0.9999, valid=0.00005, test=0.00005)})
    with pytest.raises(WaznError, match=r"data/raw/pairs\.parquet.* the valid split"):
        normalise.run(tiny)
    assert not Path("data/normalised").exists()
    assert not Path("metrics").exists()


def test_a_split_of_share_0_may_be_empty(downloaded):
    normalise.run(SETTINGS.model_copy(update={"split": Split(train=0.5, valid=0.0, test=0.5)}))
    assert set(read("normalised/pairs")["split"]) == {"train", "test"}
