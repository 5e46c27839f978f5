import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw import GOOD, TEXTS, made_up, metrics, read, setting, write_raw

from pipeline.data import normalisation
from pipeline.data.pairs import row_id
from pipeline.errors import WaznError
from pipeline.files import write_json
from pipeline.parquet_inputs import parquet_note
from pipeline.paths import RAW_PAIRS
from pipeline.severities import PROBABILITIES, SEVERITIES
from pipeline.stages import normalise

OUTPUTS = [
    *(f"data/normalised/{name}.parquet" for name in ("pairs", "labelled", "rejected")),
    "metrics/data.json",
]


BAD_PAIRS = [
    (("", GOOD), "question_empty"),
    (("my head aches", GOOD), "question_not_arabic"),
    (("صداع " * 90, GOOD), "question_too_long"),
    (("حمى", ""), "answer_empty"),
    (("حمى", GOOD, 0.9, 0.9, 0.9), "bad_probabilities"),
    (("حمى", GOOD, "كثير", "20%", 0.5), "bad_probabilities"),
    ((TEXTS[0] + "\u200f", "رَاجع الطبيب"), "duplicate"),
]
BAD_LABELLED = [
    (("سعال", "", "لا أدري"), "unknown_label"),
    ((TEXTS[1] + "ـ", "neutral", "متوسط"), "duplicate"),
]
PAIRS = [[(text, GOOD) for text in TEXTS], [row for row, _ in BAD_PAIRS]]
LABELLED = [
    [(text, SEVERITIES[number % 3]) for number, text in enumerate(TEXTS)],
    [row for row, _ in BAD_LABELLED],
]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A working folder with raw data of two sources each, the second of which is bad."""
    monkeypatch.chdir(tmp_path)
    write_raw(PAIRS, LABELLED)
    return tmp_path


@pytest.fixture
def normalised(project):
    normalise.run(setting())
    return project


# ---- tables -------------------------------------------------------------------------------------


def test_tables_have_the_columns_and_types_that_others_rely_on(normalised):
    strings = ("id", "question", "answer", "text", "specialty")
    origin = [("source", "string"), ("line", "int64")]
    expected = {
        "pairs": [
            *origin,
            *dict.fromkeys((*strings, "severity_human"), "string").items(),
            *((name, "float") for name in PROBABILITIES),
        ],
    }
    for dataset, columns in expected.items():
        schema = pq.read_schema(f"data/normalised/{dataset}.parquet")
        found = [(field.name, str(field.type)) for field in schema]
        assert found == [*columns, ("split", "string"), ("group", "string")]
        assert read(dataset)["id"].is_unique
        assert read(dataset)["source"].tolist() == ["a"] * len(TEXTS)
        assert read(dataset)["line"].tolist() == list(range(2, len(TEXTS) + 2))
        assert set(read(dataset)["split"]) == {"train", "valid", "test"}
        assert read(dataset)["group"].str.fullmatch("[0-9a-f]{16}").all()


def test_good_rows_are_kept_in_their_order_and_bad_ones_are_not(normalised):
    assert read("pairs")["question"].tolist() == TEXTS
    assert read("labelled")["text"].tolist() == TEXTS
    assert read("labelled")["severity"].tolist() == [severity for _, severity in LABELLED[0]]
    assert read("pairs")["id"].tolist() == [row_id(text, "راجع الطبيب") for text in TEXTS]


def test_rejected_rows_have_source_line_reason_and_the_row_as_it_came(normalised):
    rejected = read("rejected")
    assert list(rejected.columns) == ["dataset", "source", "line", "reason", "row"]
    assert rejected["dataset"].tolist() == ["pairs"] * 7 + ["labelled"] * 2
    assert rejected["source"].tolist() == ["b"] * 9
    assert rejected["line"].tolist() == [*range(2, 9), 2, 3]
    assert rejected["reason"].tolist() == [reason for _, reason in BAD_PAIRS + BAD_LABELLED]
    rows = [json.loads(row) for row in rejected["row"]]
    assert set(rows[0]) == {"question", "answer", "specialty", "label", "severity", *PROBABILITIES}
    assert [(row["question"], row["answer"]) for row in rows[:7]] == [row[:2] for row, _ in BAD_PAIRS]
    assert [row["p_neutral"] for row in rows[:4]] == [None] * 4
    assert [row["p_neutral"] for row in rows[4:6]] == ["0.9", "20%"]
    labels = [(row["text"], row["severity"], row["label"]) for row in rows[7:]]
    assert labels == [row for row, _ in BAD_LABELLED]


def test_every_row_is_kept_or_rejected_and_counted(normalised):
    found = metrics()
    rejected = read("rejected")
    assert list(found) == ["pairs", "labelled", "duplicates"]
    for dataset in ("pairs", "labelled"):
        counts, kept = found[dataset], read(dataset)
        lost = rejected[rejected["dataset"] == dataset]
        raw = pq.read_metadata(f"data/raw/{dataset}.parquet").num_rows
        assert counts["rows"] == raw == len(kept) + len(lost)
        assert counts["kept"] == len(kept) == sum(counts["splits"].values())
        assert counts["rejected"] == lost["reason"].value_counts().to_dict()
        assert list(counts["rejected"]) == sorted(counts["rejected"])
        assert counts["splits"] == kept["split"].value_counts().to_dict()
        assert [item["kept"] for item in counts["sources"]] == [60, 0]
        assert [item["rows"] for item in counts["sources"]] == [60, raw - 60]
    assert found["labelled"]["severity"] == dict.fromkeys(SEVERITIES, 20)


def test_a_file_that_serves_twice_is_counted_once_each_time(project):
    """Two answers to a question in one table: the file is listed with one column, then the other."""
    write_raw([PAIRS[0], [(TEXTS[0], "راحة"), *((text, "") for text in TEXTS[1:])]], LABELLED)
    sources = json.loads(Path("data/raw/sources.json").read_text(encoding="utf-8"))
    sources["pairs"][1]["source"] = "a"
    write_json(Path("data/raw/sources.json"), sources)
    normalise.run(setting())
    assert [item["kept"] for item in metrics()["pairs"]["sources"]] == [60, 1]


def test_provided_probabilities_are_kept_as_float32(project):
    shares = np.random.default_rng(2).dirichlet([1, 1, 1], len(TEXTS)).astype("float32")
    with_shares = [(text, GOOD, *row) for text, row in zip(TEXTS, shares.tolist(), strict=True)]
    without = [(text, "راحة") for text in TEXTS[:5]]
    write_raw([with_shares, without], LABELLED)
    normalise.run(setting())
    table = pq.read_table("data/normalised/pairs.parquet")
    for number, name in enumerate(PROBABILITIES):
        assert table[name].to_pylist() == [*shares[:, number].tolist(), *[None] * 5]


def test_what_was_done_is_noted_in_the_files(normalised):
    notes = [parquet_note(Path(f"data/normalised/{dataset}.parquet")) for dataset in ("pairs", "labelled")]
    assert set(notes[0]) == set(notes[1]) == {"rules", "labels"}
    assert notes[0]["labels"] == metrics()["labelled"]["labels"] == "human"
    rules = setting().rules_off.model_dump()
    rules["language_model"].append("tatweel")
    normalise.run(setting(rules_off=rules, seed=18))
    assert parquet_note(Path("data/normalised/labelled.parquet")) == notes[1], "not a rule of its text"
    rules["classifier"].append("tatweel")
    normalise.run(setting(rules_off=rules, seed=18))
    assert parquet_note(Path("data/normalised/labelled.parquet")) != notes[1]
    other = parquet_note(Path("data/normalised/pairs.parquet"))["rules"]
    assert len(other) == len(notes[0]["rules"]) == 64
    assert other != notes[0]["rules"]
    normalise.run(setting(seed=18))
    assert parquet_note(Path("data/normalised/pairs.parquet")) == notes[0], "of rules, not of the seed"


@pytest.mark.parametrize(("kept", "labels"), [(0, "human"), (1, "lexicon")])
def test_weak_labels_are_noted_if_one_is_kept(project, kept, labels):
    weak = [("صداع خفيف", "critical"), (TEXTS[0], "critical")][1 - kept :]
    write_raw(PAIRS, [LABELLED[0], weak], lexicon=True)
    normalise.run(setting())
    assert metrics()["labelled"]["labels"] == labels
    assert metrics()["labelled"]["sources"][1]["kept"] == kept
    assert parquet_note(Path("data/normalised/labelled.parquet"))["labels"] == labels


def labelled_severity():
    """Text to the severities of its kept rows."""
    table = read("labelled")
    return table.groupby("text", sort=False)["severity"].apply(list).to_dict()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_labels_of_people_win_over_those_of_the_lexicon(project, order):
    """In any order of the sources. Where people contradict each other, the lexicon decides nothing."""
    weak = [(text, "critical") for text in [*TEXTS, "صداع خفيف"]]
    human = [*LABELLED[0], (TEXTS[0], "neutral")]
    sources = [human, weak]
    write_raw(PAIRS, [sources[number] for number in order])
    described = json.loads(Path("data/raw/sources.json").read_text(encoding="utf-8"))
    described["labelled"][order.index(1)]["labels"] = "lexicon"
    write_json(Path("data/raw/sources.json"), described)
    normalise.run(setting())
    expected = {text: [severity] for text, severity in LABELLED[0][1:]}
    assert labelled_severity() == {**expected, "صداع خفيف": ["critical"]}
    reasons = read("rejected").query("dataset == 'labelled'")["reason"].value_counts().to_dict()
    assert reasons == {"duplicate": 60, "conflicting_label": 2}
    assert metrics()["labelled"]["labels"] == "lexicon"


def test_pairs_have_the_label_that_people_gave_the_same_complaint(project):
    """Their own first, then that of the labelled data; none of the lexicon's, none that is contradicted."""
    own = [
        (TEXTS[0], GOOD),
        (TEXTS[1], GOOD),
        (TEXTS[5] + "ـ", GOOD),
        ("صداع خفيف", GOOD),
        (TEXTS[7], GOOD),
    ]
    human = [(TEXTS[0], "neutral"), (TEXTS[5], "critical"), *[(TEXTS[7], s) for s in SEVERITIES]]
    others = [(text, "neutral") for text in made_up(60, seed=9)]
    write_raw([own], [[*human, *others], [("صداع خفيف", "critical")]], lexicon=True)
    table = pq.read_table("data/raw/pairs.parquet")
    labels = pa.array(["critical", "", None, None, None], pa.string())
    pq.write_table(table.set_column(table.column_names.index("severity"), "severity", labels), RAW_PAIRS)
    everything = {"train": 1.0, "valid": 0.0, "test": 0.0}
    for conflicting in ("reject", "soft"):
        normalise.run(setting(split=everything, conflicting_labels=conflicting))
        found = pq.read_table("data/normalised/pairs.parquet")["severity_human"].to_pylist()
        assert found == ["critical", None, "critical", None, None]
        assert metrics()["pairs"]["severity_human"] == {"non_critical": 0, "neutral": 0, "critical": 2}


def test_a_text_with_different_labels_is_rejected_or_kept_as_a_soft_label(project):
    repeated = [
        (TEXTS[0], "critical"),
        (TEXTS[0], "critical"),
        (TEXTS[1], "neutral"),
        (TEXTS[2], "neutral"),
    ]
    write_raw(PAIRS, [LABELLED[0], repeated])
    normalise.run(setting())
    assert [TEXTS[0] in labelled_severity(), TEXTS[2] in labelled_severity()] == [False, False]
    assert labelled_severity()[TEXTS[1]] == ["neutral"]
    assert metrics()["labelled"]["rejected"] == {"conflicting_label": 5, "duplicate": 1}
    # 3 + 2 + 2 rows; the most frequent label is right on 2 + 2 + 1 of them.
    ceiling = {"texts": 3, "rows": 7, "contradicted": 2, "best_accuracy": pytest.approx(5 / 7, abs=1e-6)}
    assert metrics()["labelled"]["contradictions"] == ceiling
    normalise.run(setting(conflicting_labels="soft"))
    assert labelled_severity()[TEXTS[0]] == ["non_critical", "critical", "critical"]
    assert labelled_severity()[TEXTS[2]] == ["critical", "neutral"]
    assert labelled_severity()[TEXTS[1]] == ["neutral"]
    assert metrics()["labelled"]["rejected"] == {"duplicate": 1}
    assert metrics()["labelled"]["contradictions"] == ceiling
    kept = read("labelled")
    assert kept.groupby("text")["split"].nunique().max() == 1


def test_without_repeated_texts_no_ceiling_is_claimed(normalised):
    assert metrics()["labelled"]["contradictions"]["best_accuracy"] == 1.0
    write_raw(PAIRS[:1], LABELLED[:1])
    normalise.run(setting())
    nothing = {"texts": 0, "rows": 0, "contradicted": 0, "best_accuracy": None}
    assert metrics()["labelled"]["contradictions"] == nothing


@pytest.mark.parametrize("source", ["label", "probabilities"])
@pytest.mark.parametrize(("latin", "unequal"), [((3, 3, 3), False), ((0, 0, 18), True)])
def test_rejections_are_counted_by_severity_and_compared(project, source, latin, unequal):
    """Of 20 pairs of each severity some have an answer in Latin letters."""
    pairs = []
    for number, text in enumerate(TEXTS):
        severity, place = number % 3, number // 3
        answer = "see a doctor" if place < latin[severity] else GOOD
        shares = [0.0, 0.0, 0.0]
        shares[severity] = 1.0
        pairs.append((text, answer, *(shares if source == "probabilities" else ())))
    labelled = LABELLED[0] if source == "label" else [(text, "critical") for text in made_up(60, seed=9)]
    write_raw([pairs], [labelled])
    normalise.run(setting(split={"train": 1.0, "valid": 0.0, "test": 0.0}))
    found = metrics()["pairs"]["rejected_by_severity"]
    totals = dict.fromkeys(SEVERITIES, 20)
    assert found["rows"] == {**totals, "unknown": 0}
    by = dict(zip(SEVERITIES, latin, strict=True))
    # With three rejected of each, the expected count is below 5, and no test is made.
    expected = {**by, "unknown": 0, "unequal": unequal or None}
    assert found["reasons"] == {"answer_not_arabic": expected}


def test_a_difference_that_chance_explains_is_called_none(project):
    answers = ["see a doctor" if number < 24 else GOOD for number in range(60)]
    write_raw([list(zip(TEXTS, answers, strict=True))], LABELLED[:1])
    normalise.run(setting(split={"train": 1.0, "valid": 0.0, "test": 0.0}))
    found = metrics()["pairs"]["rejected_by_severity"]["reasons"]["answer_not_arabic"]
    assert found == {**dict.fromkeys(SEVERITIES, 8), "unknown": 0, "unequal": False}


def test_placeholders_of_kept_rows_are_counted_and_nothing_private_is_kept(project):
    private = [
        (made_up(1, seed=50)[0] + " راسلوني على someone@example.org", "راجع www.example.org"),
        (made_up(1, seed=51)[0] + " جوالي 0501234567 او +966501234568", GOOD),
        ("fever, write to other@example.org", GOOD),
    ]
    write_raw([PAIRS[0], private], [*LABELLED[:1], [(private[0][0], "critical")]])
    normalise.run(setting())
    found = metrics()
    assert found["pairs"]["placeholders"] == {"link": 1, "email": 1, "phone": 2, "id": 0, "name": 0}
    assert found["labelled"]["placeholders"] == {"link": 0, "email": 1, "phone": 0, "id": 0, "name": 0}
    kept = read("pairs")
    everything = " ".join(kept[["question", "answer", "text"]].to_numpy().ravel())
    assert "@" not in everything
    assert "example" not in everything
    assert "50123456" not in everything


def test_counts_are_printed_and_no_text(project, capsys):
    normalise.run(setting())
    printed = capsys.readouterr().out
    assert "pairs: 67 rows, 60 kept, rejected {'answer_empty': 1" in printed
    assert "labelled: 62 rows, 60 kept" in printed
    assert not any("ا" <= character <= "ي" for character in printed)


def test_running_again_writes_the_same_bytes(normalised):
    before = {path: Path(path).read_bytes() for path in OUTPUTS}
    normalise.run(setting())
    assert {path: Path(path).read_bytes() for path in OUTPUTS} == before


def test_rows_are_the_same_however_they_are_cut_into_batches(normalised, monkeypatch):
    before = [pq.read_table(path) for path in OUTPUTS[:3]], metrics()
    monkeypatch.setattr(normalisation, "BATCH", 7)
    normalise.run(setting())
    found = [pq.read_table(path) for path in OUTPUTS[:3]], metrics()
    # Equal NaN are in the rejected rows as text.
    assert all(one.equals(other) for one, other in zip(found[0], before[0], strict=True))
    assert found[1] == before[1]


def test_nothing_rejected_still_gives_the_table(project):
    write_raw(PAIRS[:1], LABELLED[:1])
    normalise.run(setting())
    assert list(read("rejected").columns) == ["dataset", "source", "line", "reason", "row"]
    assert len(read("rejected")) == 0
    assert metrics()["pairs"]["rejected"] == {}


# ---- what is wrong ------------------------------------------------------------------------------


def leftovers():
    """What a run leaves beside its outputs."""
    scratch = Path(".checkpoints/normalise/scratch")
    return [*Path().rglob("*.part"), *([scratch] if scratch.exists() else [])]


def test_nothing_stays_in_the_way_after_success(normalised):
    assert leftovers() == []
    assert sorted(map(str, Path("data/normalised").iterdir())) == sorted(OUTPUTS[:3])


def test_nothing_stays_in_the_way_after_an_error(project, monkeypatch):
    def fail(*_arguments):
        raise RuntimeError("half-way")

    monkeypatch.setattr(normalisation, "rejected_rows", fail)
    with pytest.raises(RuntimeError, match="half-way"):
        normalise.run(setting())
    assert leftovers() == []
    assert not any(Path(path).exists() for path in OUTPUTS), "all or nothing"


def test_what_a_killed_run_left_does_not_matter(project):
    scratch = Path(".checkpoints/normalise/scratch")
    scratch.mkdir(parents=True)
    for name in ("sketches", "band-0", "pairs.parquet"):
        (scratch / name).write_bytes(b"left over" * 100)
    normalise.run(setting())
    assert len(read("pairs")) == 60
    assert leftovers() == []


@pytest.mark.parametrize("name", ["sources.json", "pairs.parquet", "labelled.parquet"])
def test_without_raw_data_it_is_said_what_to_run(project, name):
    Path("data/raw", name).unlink()
    with pytest.raises(WaznError, match=rf"^data/raw/{name}: no such file; run `dvc repro`"):
        normalise.run(setting())
    assert leftovers() == []


def test_damaged_raw_data_is_one_sentence(project):
    content = Path("data/raw/labelled.parquet").read_bytes()
    Path("data/raw/labelled.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(WaznError, match=r"^data/raw/labelled\.parquet: not readable as Parquet"):
        normalise.run(setting())
    assert leftovers() == []


@pytest.mark.parametrize(("pairs", "labelled"), [([[]], LABELLED), (PAIRS, [[]]), ([BAD_PAIRS[:0]], [[]])])
def test_no_row_is_said_so(project, pairs, labelled):
    write_raw(pairs, labelled)
    with pytest.raises(WaznError, match=r"none of its 0 usable rows falls into the train split"):
        normalise.run(setting())


def test_a_split_that_nothing_falls_into_is_named_and_nothing_is_written(project):
    with pytest.raises(
        WaznError, match=r"^data/raw/pairs\.parquet: none of its 60 .* the valid split"
    ) as caught:
        normalise.run(setting(split={"train": 0.9998, "valid": 0.0001, "test": 0.0001}))
    assert "'duplicate': 1" in str(caught.value)
    assert not any(Path(path).exists() for path in OUTPUTS)
    assert leftovers() == []


def test_a_split_of_share_0_may_be_empty(project):
    normalise.run(setting(split={"train": 0.5, "valid": 0.0, "test": 0.5}))
    assert set(read("pairs")["split"]) == {"train", "test"}
    assert metrics()["pairs"]["splits"]["valid"] == 0
