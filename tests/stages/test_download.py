import copy
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.commands import profile
from pipeline.config.data import DownloadConfig
from pipeline.config.params import load
from pipeline.errors import WaznError
from pipeline.severity import lexicon
from pipeline.stages import download

ROOT = Path(__file__).resolve().parents[2]
VALUES = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
ARABIC = {"non_critical": "غير حرج", "neutral": "متوسط", "critical": "حرج"}
SHARES = {"p_non_critical": "غير حرج", "p_neutral": "متوسط", "p_critical": "حرج"}
COMPLAINTS = [f"أعاني من صداع {number}" for number in range(60)]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A working folder with two tables of pairs and two of labelled complaints, columns of their own."""
    monkeypatch.chdir(tmp_path)
    folder = Path("data/own")
    folder.mkdir(parents=True)
    first = pd.DataFrame({"المريض": COMPLAINTS, "الطبيب": "رَاجع الطبيب", "عيادة": "أعصاب"})
    for number, name in enumerate(SHARES.values()):
        first[name] = [f"{value:.3f}" for value in np.linspace(0, 0.3, 60) + number / 10]
    first.loc[1, "حرج"] = "كثير"
    first.loc[2, "حرج"] = None
    first.to_csv(folder / "first.csv", index=False)
    second = pd.DataFrame({"q_body": [COMPLAINTS[0], "حمى"], "a_body": ["اشرب ماء", None], "note": "x"})
    second.to_json(folder / "second.jsonl", orient="records", lines=True, force_ascii=False)
    names = ["غير حرج", " متوسط ", "حرج"]
    rows = [(text, names[number % 3], "باطنية") for number, text in enumerate(COMPLAINTS)]
    rows += [("سعال", "لا أدري", ""), ("زكام", None, "")]
    pd.DataFrame(rows, columns=["المنشور", "الخطورة", "Type"]).to_excel(folder / "third.xlsx", index=False)
    fourth = pd.DataFrame({"t": ["ألم حاد", *COMPLAINTS[1:4]], "s": [3.0, 2.0, 3.0, 1.0]})
    fourth.to_parquet(folder / "fourth.parquet")
    return tmp_path


FIRST = {
    "source": "first.csv",
    "question": "المريض",
    "answer": "الطبيب",
    "specialty": "عيادة",
    "probabilities": {name.removeprefix("p_"): column for name, column in SHARES.items()},
}
SECOND = {"source": "second.jsonl"}
THIRD = {"source": "third.xlsx"}
FOURTH = {
    "source": "fourth.parquet",
    "text": "t",
    "label": "s",
    "labels": {"non_critical": "1", "neutral": "2", "critical": "3"},
}
LEXICON = {"source": "lexicon"}


def sources(pairs=(FIRST, SECOND), labelled=(THIRD, FOURTH), **changes):
    limits = {"max_unpacked_mb": 1, "timeout_s": 0.5, "retries": 1}
    values = {"folder": "data/own", **limits, "pairs": list(pairs), "labelled": list(labelled)}
    return DownloadConfig.model_validate({**values, **changes})


def read(name):
    return pd.read_parquet(f"data/raw/{name}.parquet")


def provenance():
    return json.loads(Path("data/raw/sources.json").read_text(encoding="utf-8"))


@pytest.fixture
def downloaded(project):
    download.run(sources())
    return project


def test_tables_have_the_columns_and_types_that_others_rely_on(downloaded):
    text = dict.fromkeys(("question", "answer", "specialty", "label", "severity"), "string")
    shares = dict.fromkeys(SHARES, "string")
    schema = pq.read_schema("data/raw/pairs.parquet")
    assert {f.name: str(f.type) for f in schema} == {"source": "string", "line": "int64", **text, **shares}
    schema = pq.read_schema("data/raw/labelled.parquet")
    text = dict.fromkeys(("text", "label", "severity", "specialty"), "string")
    assert {f.name: str(f.type) for f in schema} == {"source": "string", "line": "int64", **text}


def test_sources_follow_each_other_with_their_lines(downloaded):
    pairs = read("pairs")
    assert pairs["source"].tolist() == ["first.csv"] * 60 + ["second.jsonl"] * 2
    assert pairs["line"].tolist() == [*range(2, 62), 1, 2]
    assert pairs["answer"].tolist()[-2:] == ["اشرب ماء", ""]
    assert pairs["specialty"].tolist() == ["أعصاب"] * 60 + [""] * 2


def test_text_is_kept_as_it_came(downloaded):
    assert read("pairs")["question"].tolist()[:60] == COMPLAINTS
    assert set(read("pairs")["answer"].head(60)) == {"رَاجع الطبيب"}


def test_probabilities_are_kept_as_they_came_and_null_where_there_are_none(downloaded):
    table = pq.read_table("data/raw/pairs.parquet")
    shares = table["p_neutral"].to_pylist()
    assert shares[:60] == [f"{value:.3f}" for value in np.linspace(0, 0.3, 60) + 0.1]
    assert shares[60:] == [None, None]
    assert table["p_critical"].to_pylist()[:3] == ["0.200", "كثير", ""]
    assert table["p_critical"].to_pylist()[60:] == [None, None]


def test_labels_become_severities_and_unknown_ones_nothing(downloaded):
    labelled = read("labelled")
    assert labelled["severity"].tolist()[:3] == ["non_critical", "neutral", "critical"]
    assert labelled["label"].tolist()[:3] == ["غير حرج", " متوسط ", "حرج"]
    assert labelled["severity"].tolist()[-6:] == ["", "", "critical", "neutral", "critical", "non_critical"]
    assert labelled["label"].tolist()[-6:-4] == ["لا أدري", ""]
    assert labelled["specialty"].tolist() == ["باطنية"] * 60 + [""] * 6


def test_it_is_said_where_the_rows_came_from(downloaded):
    found = provenance()
    assert list(found) == ["pairs", "labelled"]
    assert found["pairs"][1] == {
        "source": "second.jsonl",
        "sha256": hashlib.sha256(Path("data/own/second.jsonl").read_bytes()).hexdigest(),
        "records": 2,
        "rows": 2,
        "columns": ["q_body", "a_body", "note"],
        "mapped": {"question": "q_body", "answer": "a_body"},
    }
    assert found["pairs"][0]["mapped"]["p_critical"] == "حرج"
    assert [item["labels"] for item in found["labelled"]] == ["human", "human"]
    assert [item["rows"] for item in found["labelled"]] == [62, 4]


def test_counts_are_printed_and_no_text(project, capsys):
    download.run(sources())
    printed = capsys.readouterr().out
    assert "pairs: 60 rows from first.csv" in printed
    assert "labelled: 4 rows from fourth.parquet" in printed
    assert "صداع" not in printed


def test_running_again_writes_the_same_bytes(downloaded):
    before = {path.name: path.read_bytes() for path in Path("data/raw").iterdir()}
    assert set(before) == {"pairs.parquet", "labelled.parquet", "sources.json"}
    download.run(sources())
    assert {path.name: path.read_bytes() for path in Path("data/raw").iterdir()} == before


def test_many_rows_are_written_in_row_groups(project):
    pd.DataFrame({"question": COMPLAINTS * 700, "answer": "راحة"}).to_csv("data/own/many.csv", index=False)
    download.run(sources(pairs=[{"source": "many.csv"}]))
    file = pq.ParquetFile("data/raw/pairs.parquet")
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [20000, 20000, 2000]
    assert read("pairs")["question"].tolist() == COMPLAINTS * 700
    assert read("pairs")["line"].tolist() == list(range(2, 42002))


# ---- weak labels --------------------------------------------------------------------------------


def test_without_labels_the_lexicon_labels_the_pairs_questions(project):
    download.run(sources(labelled=[THIRD, LEXICON]))
    pairs, labelled = read("pairs"), read("labelled")
    weak = labelled[62:].reset_index(drop=True)
    assert weak["text"].tolist() == pairs["question"].tolist()
    assert weak["line"].tolist() == pairs["line"].tolist()
    assert weak["specialty"].tolist() == pairs["specialty"].tolist()
    assert weak["source"].tolist() == [f"lexicon:{source}" for source in pairs["source"]]
    assert weak["severity"].tolist() == lexicon.label(pairs["question"].tolist())
    assert [item["labels"] for item in provenance()["labelled"]] == ["human", "lexicon"]
    assert provenance()["labelled"][1]["rows"] == 62


@pytest.mark.parametrize("extra", [{"text": "q"}, {"hash": f"md5:{'0' * 32}"}])
def test_the_lexicon_takes_no_other_key(extra):
    with pytest.raises(ValueError, match="takes no other key"):
        sources(labelled=[{**LEXICON, **extra}])


def test_the_lexicon_is_no_source_of_pairs():
    with pytest.raises(ValueError, match="a source of `labelled` only"):
        sources(pairs=[LEXICON])


# ---- what is wrong ------------------------------------------------------------------------------


def refused(**changes):
    with pytest.raises(WaznError) as caught:
        download.run(sources(**changes))
    assert not Path("data/raw").exists(), "all or nothing"
    assert "صداع" not in str(caught.value)
    return str(caught.value)


def test_a_bad_second_source_is_named_and_nothing_is_written(project):
    assert "download.pairs.1.source" in refused(pairs=[FIRST, {"source": "none.csv"}])
    text = refused(pairs=[FIRST, {**SECOND, "answer": "الرد"}])
    assert "download.pairs.1.answer" in text
    assert "q_body, a_body, note" in text


def test_a_bad_row_far_down_leaves_nothing_behind(project):
    with Path("data/own/first.csv").open("a", encoding="utf-8") as file:
        file.write("a,b,c,d,e,f,g\n")
    assert "first.csv, line 62" in refused()


def test_a_named_column_of_probabilities_has_to_be_there(project):
    shares = {**FIRST["probabilities"], "neutral": "وسط"}
    assert "'وسط' (download.pairs.0.probabilities.neutral)" in refused(
        pairs=[{**FIRST, "probabilities": shares}]
    )


def test_a_table_with_none_of_the_labels_is_refused_and_shows_what_it_has(project):
    text = refused(labelled=[{**FOURTH, "labels": ARABIC}])
    assert "fourth.parquet" in text
    assert "download.labelled.0.labels" in text
    assert text.endswith("it has 3.0, 2 values that are long or stand in one row only")


def test_labels_of_no_usual_name_have_to_be_named(project):
    text = refused(labelled=[{key: value for key, value in FOURTH.items() if key != "labels"}])
    assert "no label that is known; name the three in download.labelled.0.labels; it has 3.0, 2 v" in text


def test_a_severity_of_several_labels_is_named_by_a_list_and_numbers_are_labels(project):
    table = pd.DataFrame({"text": COMPLAINTS[:6], "triage": ["1", "2.0", "٣", "4", "5", "6"]})
    table.to_csv("data/own/triage.csv", index=False)
    labels = {"critical": [1, 2], "neutral": 3, "non_critical": ["4", 5.0]}
    download.run(sources(labelled=[{"source": "triage.csv", "labels": labels}]))
    expected = ["critical"] * 2 + ["neutral"] + ["non_critical"] * 2 + [""]
    assert read("labelled")["severity"].tolist() == expected
    assert read("labelled")["label"].tolist() == ["1", "2.0", "٣", "4", "5", "6"]


def test_pairs_may_have_labels_of_their_own(project):
    table = pd.DataFrame({"q": COMPLAINTS[:6], "a": "راحة", "s": ["1", "2", "3", "3", "9", ""]})
    table.to_csv("data/own/both.csv", index=False)
    labels = {"critical": 1, "neutral": 2, "non_critical": 3}
    source = {"source": "both.csv", "question": "q", "answer": "a", "label": "s", "labels": labels}
    download.run(sources(pairs=[source, SECOND]))
    expected = ["critical", "neutral", "non_critical", "non_critical", "", "", None, None]
    found = pq.read_table("data/raw/pairs.parquet")
    assert found["severity"].to_pylist() == expected
    assert found["label"].to_pylist() == ["1", "2", "3", "3", "9", "", None, None]


def test_labels_of_pairs_have_to_occur(project):
    pd.DataFrame({"q": COMPLAINTS[:2], "a": "راحة", "s": ["1", "2"]}).to_csv(
        "data/own/both.csv", index=False
    )
    labels = {"critical": 1, "neutral": 7, "non_critical": 2}
    source = {"source": "both.csv", "question": "q", "answer": "a", "label": "s", "labels": labels}
    assert "has no row with a label of download.pairs.0.labels.neutral" in refused(pairs=[source])


def test_labels_of_pairs_are_those_of_a_column():
    with pytest.raises(ValueError, match="name it as label"):
        sources(pairs=[{**SECOND, "labels": ARABIC}])


def test_a_severity_that_never_occurs_is_named(project):
    labels = {**FOURTH["labels"], "neutral": "medium"}
    text = refused(labelled=[{**FOURTH, "labels": labels}])
    assert "no row with a label of download.labelled.0.labels.neutral" in text


def test_one_column_for_two_things_is_refused(project):
    text = refused(labelled=[{**FOURTH, "label": "t"}])
    assert "download.labelled.0: column 't' is named as text and as label" in text
    shares = {**FIRST["probabilities"], "neutral": "حرج"}
    text = refused(pairs=[{**FIRST, "probabilities": shares}])
    assert "column 'حرج' is named as p_neutral and as p_critical" in text


def test_two_labels_for_one_severity_are_not_guessed_at(project):
    table = pd.DataFrame({"text": COMPLAINTS[:4], "label": ["low", "medium", "high", "critical"]})
    table.to_csv("data/own/four.csv", index=False)
    assert "both usually mean critical" in refused(labelled=[{"source": "four.csv"}])


@pytest.mark.parametrize("labels", [ARABIC, None])
def test_a_complaint_column_taken_for_the_label_shows_no_complaint(project, labels):
    text = refused(labelled=[{**THIRD, "label": "المنشور", "labels": labels}])
    assert "third.xlsx" in text
    assert "it looks like no label" in text


# ---- the paper's profile ------------------------------------------------------------------------


@pytest.fixture
def paper(tmp_path, monkeypatch):
    """params.yaml as `wazn profile paper` writes it."""
    monkeypatch.chdir(ROOT)
    profile.run("paper", tmp_path / "paper.yaml")
    return tmp_path / "paper.yaml"


def test_the_paper_pins_every_file_by_commit_and_hash(paper):
    download_section = load(paper).download
    for entry in (*download_section.pairs, *download_section.labelled):
        assert re.match(r"https://raw\.githubusercontent\.com/[\w-]+/[\w-]+/[0-9a-f]{40}/", entry.source)
        assert re.fullmatch(r"gitblob:[0-9a-f]{40}", entry.hash)
    assert all(entry.probabilities for entry in download_section.pairs)


def test_the_papers_commented_alternative_is_maqa_and_valid(paper, tmp_path):
    """As a user would: the two sources commented out, the alternative uncommented."""
    text = paper.read_text(encoding="utf-8")
    section = text[text.index("  pairs:\n") : text.index("  # Complaints with a severity label")]
    kept = [line for line in section.splitlines() if re.match(r"  pairs:|    # ( |- source)", line)]
    changed = [re.sub(r"^    # ", "    ", line) for line in kept]
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(section, "\n".join(changed) + "\n"), encoding="utf-8")
    [entry] = load(path).download.pairs
    assert entry.source == "doi:10.7910/DVN/Y2JBEZ"
    assert (entry.file, entry.question, entry.answer) == ("ds5b.csv", "q_body", "a_body")
    assert entry.specialty == "category"
    assert entry.probabilities is None


# ---- what params.yaml may say -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"source": "http://example.org/t.csv"}, "begins with https://"),
        ({"source": "hf:owner/name"}, "hf:<owner>/<name>@<revision>"),
        ({"source": "doi:10.1"}, "doi:10.7910/DVN/Y2JBEZ"),
        ({"hash": "sha256:12"}, "sha256:, md5: or gitblob:"),
        ({"source": "hf:owner/name@main", "file": "t.csv"}, "pinned by its revision"),
        ({"qestion": "q"}, "the nearest known one is download.pairs.0.question"),
        (
            {"probabilities": {"non_critical": "a", "neutral": "b", "critcal": "c"}},
            "the nearest known one is download.pairs.0.probabilities.critical",
        ),
    ],
)
def test_a_malformed_source_is_one_sentence(tmp_path, change, expected):
    values = copy.deepcopy(VALUES)
    values["download"]["pairs"][0] |= change
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    with pytest.raises(WaznError) as caught:
        load(path)
    assert "download.pairs.0" in str(caught.value)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
