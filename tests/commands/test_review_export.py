"""wazn review export: who sees what, in which order, and that nothing tells whose an answer is."""

import contextlib
import csv
import io
import itertools
import json
import re
import zipfile
from collections import Counter
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from root import ROOT

from pipeline import paths
from pipeline.commands.review import design, export, sheets
from pipeline.commands.review.html import page
from pipeline.commands.review.workbook import workbook
from pipeline.config.params import load
from pipeline.errors import WaznError

MODEL, ARMS, SEEDS = "tiny_qwen2", ("uniform", "weighting", "mild"), (918273, 564738)
ROWS = {"critical": 30, "neutral": 30, "non_critical": 60}
HOSTILE = '=cmd|" /C calc"!A0 </script><script>alert(1)</script> \u202eevil\u202c \x07 \uffff'


@pytest.fixture(scope="module")
def params():
    return changed(load(ROOT / "params.yaml"))


def changed(params, **review):
    """The parameters with three arms, two seeds, and changes of the section `review`."""
    review = {"model": MODEL, "arms": list(ARMS), "reference": True, "rows": 60, "repeats": 10, **review}
    shares = params.review.shares
    if "shares" in review:
        review["shares"] = shares.model_copy(update=review["shares"])
    update = {"arms": list(ARMS), "seeds": list(SEEDS), "review": params.review.model_copy(update=review)}
    return params.model_copy(update=update)


def lay_out(
    folder, answer=lambda arm, seed, number: f"جواب {arm[::-1]} {seed % 1000} رقم {number}", group=None
):
    """Scored pairs, and the answers of each arm and training, that `answer` writes."""
    severities = [severity for severity, count in ROWS.items() for _ in range(count)]
    count = len(severities)
    ids = [f"pairid{number:04}" for number in range(count)]
    (folder / paths.SCORED).parent.mkdir(parents=True)
    pd.DataFrame(
        {
            **{"source": "own.csv", "line": range(count), "id": ids, "split": "test"},
            "group": [group(number) if group else f"group-{number}" for number in range(count)],
            "question": [f"شكوى رقم {number}" for number in range(count)],
            "answer": [f"رد الطبيب رقم {number}" for number in range(count)],
            "severity": severities,
            "severity_human": [
                severity if place % 2 else None for place, severity in enumerate(severities)
            ],
            **dict.fromkeys(("p_non_critical", "p_neutral", "p_critical"), 1 / 3),
        }
    ).to_parquet(folder / paths.SCORED)
    for arm, seed in itertools.product(ARMS, SEEDS):
        path = folder / paths.generated(arm, MODEL, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        texts = [answer(arm, seed, number) for number in range(count)]
        pd.DataFrame({"id": ids, "severity": severities, "generated": texts}).to_parquet(path)
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory, params):
    """The folder of a round."""
    folder = lay_out(tmp_path_factory.mktemp("review"))
    with contextlib.chdir(folder):
        export.run(params)
    [made] = (folder / paths.REVIEWS).iterdir()
    return made


@pytest.fixture(scope="module")
def key(exported):
    return json.loads((exported / "key.json").read_text(encoding="utf-8"))


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def of_page(path):
    """What a page knows."""
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="content">(.*?)</script>', text)[1])


def everything_in(path):
    """All texts of a file; of a workbook those of every member, names too."""
    if path.suffix != ".xlsx":
        return path.read_text(encoding="utf-8")
    with zipfile.ZipFile(path) as archive:
        return "\n".join(name + archive.read(name).decode("utf-8") for name in archive.namelist())


def test_what_goes_out_says_nothing_of_arm_model_training_severity_or_pair(exported, key):
    secrets = {
        *ARMS,
        MODEL,
        "tiny",
        "reference",
        "arm",
        *ROWS,
        "pairid",
        *map(str, SEEDS),
        "severity",
        "by_people",
    }
    files = sorted(path for path in exported.iterdir() if path.name != "key.json")
    raters = range(1, len(key["raters"]) + 1)
    assert [path.name for path in files] == [
        f"rater-{n}.{kind}" for n in raters for kind in ("html", "xlsx")
    ]
    for path in files:
        words = set(re.findall(r"[a-z0-9_]+", everything_in(path).lower()))
        assert not {word for word in words if word in secrets or word.startswith("pairid")}, path.name
    of_key = (exported / "key.json").read_text(encoding="utf-8")
    assert not [secret for secret in secrets - {"tiny"} if secret not in of_key]


def test_the_key_is_no_part_of_what_a_rater_gets_and_has_no_text_of_a_patient(exported, key):
    assert "شكوى" not in (exported / "key.json").read_text(encoding="utf-8")
    assert key["format"] == 1
    assert key["round"] == exported.name
    assert key["arms"] == [*ARMS, "reference"]
    assert key["scales"]["harm"] == ["none", "moderate", "severe"]
    assert key["scales"]["correct"] == [1, 2, 3, 4, 5]


def test_page_and_workbook_show_what_the_key_says(exported, key):
    scored = pd.read_parquet(exported.parents[2] / paths.SCORED).set_index("id")
    for rater, items in key["raters"].items():
        shown = of_page(exported / f"{rater}.html")
        assert (shown["round"], shown["rater"]) == (key["round"], rater)
        assert len(shown["items"]) == len(items) == 70
        sheet = openpyxl.load_workbook(exported / f"{rater}.xlsx")["ratings"]
        rows = sheet.iter_rows(min_row=3, values_only=True)
        for item, seen in zip(items, shown["items"], strict=True):
            row = scored.loc[item["id"]]
            assert seen["item"] == item["item"]
            assert seen["complaint"] == row["question"]
            assert item["severity"] == row["severity"]
            assert item["by_people"] == pd.notna(row["severity_human"])
            trainings = {of["seed"] for of in item["letters"].values()} - {None}
            assert len(trainings) == 1, "arms are compared within one training's seed"
            for (letter, of), cells in zip(item["letters"].items(), rows, strict=False):
                number = int(item["id"][-4:])
                written = f"جواب {of['arm'][::-1]} {(of['seed'] or 0) % 1000} رقم {number}"
                assert seen["answers"][letter] == (row["answer"] if of["arm"] == "reference" else written)
                assert cells[2:4] == (item["item"], letter)
                assert cells[5] == seen["answers"][letter]


def first_showings(items):
    return [item for item in items if item["repeat_of"] is None]


def test_letters_are_balanced_over_items_of_a_severity_and_over_repeats(key):
    for items in key["raters"].values():
        parts = [[item for item in items if item["repeat_of"]]]
        parts += [[item for item in first_showings(items) if item["severity"] == each] for each in ROWS]
        for part in parts:
            for arm in key["arms"]:
                counts = Counter(
                    letter for item in part for letter, of in item["letters"].items() if of["arm"] == arm
                )
                assert sorted(counts) == ["A", "B", "C", "D"]
                assert max(counts.values()) - min(counts.values()) <= 1


def test_a_letter_tells_nothing_of_the_next_item():
    """Over many items, one of three answers has the letter of the item before in a third of them."""
    answers = tuple(design.Answer(arm, 1, arm, "") for arm in ARMS)
    complaints = [design.Complaint(f"{n}", f"{n}", "critical", True, f"{n}", answers) for n in range(3000)]
    items = design.rater_items(complaints, 0, 17, "rater-1")
    letters = [next(letter for letter, of in item.letters.items() if of.arm == "mild") for item in items]
    again = sum(one == other for one, other in itertools.pairwise(letters))
    assert 900 < again < 1100
    orders = Counter("".join(of.arm[0] for of in item.letters.values()) for item in items)
    assert len(orders) == 6
    assert min(orders.values()) > 400


def test_raters_see_the_same_complaints_in_orders_of_their_own(key):
    one, two, *_ = key["raters"].values()
    ids = [[item["id"] for item in first_showings(items)] for items in (one, two)]
    assert set(ids[0]) == set(ids[1])
    assert sum(first == second for first, second in zip(*ids, strict=True)) < 10
    assert not {item["item"] for item in one} & {item["item"] for item in two}
    letters = [{item["id"]: item["letters"] for item in first_showings(items)} for items in (one, two)]
    same = sum(letters[0][row_id] == letters[1][row_id] for row_id in letters[0])
    assert same < 15, "letters too are drawn for each rater"
    trainings = [
        {row_id: {of["arm"]: of["seed"] for of in each.values()} for row_id, each in of_rater.items()}
        for of_rater in letters
    ]
    assert trainings[0] == trainings[1], "but both judge the same answers"
    drawn = Counter(each["uniform"] for each in trainings[0].values())
    assert set(drawn) == set(SEEDS)


def test_neither_place_nor_name_tells_the_severity(key):
    for items in key["raters"].values():
        places = [
            place for place, item in enumerate(first_showings(items)) if item["severity"] == "critical"
        ]
        # 30 of 60 places: their mean has a standard deviation of 2.2.
        assert abs(sum(places) / len(places) - 29.5) < 9
        assert all(re.fullmatch(r"q\d{5}", item["item"]) for item in items)
        assert len({item["item"] for item in items}) == len(items)


def test_repeats_come_long_after_the_first(key):
    for items in key["raters"].values():
        places = {item["item"]: place for place, item in enumerate(items)}
        repeats = [item for item in items if item["repeat_of"]]
        assert len(repeats) == 10
        for item in repeats:
            first = items[places[item["repeat_of"]]]
            assert first["id"] == item["id"]
            assert first["repeat_of"] is None
            assert places[item["item"]] - places[first["item"]] > 15
        assert sum(item["letters"] == items[places[item["repeat_of"]]]["letters"] for item in repeats) < 6


def test_the_shares_are_those_of_params(key):
    counts = Counter(item["severity"] for item in first_showings(key["raters"]["rater-1"]))
    assert counts == {"critical": 30, "neutral": 15, "non_critical": 15}


@pytest.mark.parametrize(
    ("rows", "shares", "expected"),
    [
        (50, {"critical": 0.8, "neutral": 0.1, "non_critical": 0.1}, (30, 15, 5)),
        (7, {"critical": 0.5, "neutral": 0.25, "non_critical": 0.25}, (3, 2, 2)),
        (115, {"critical": 0.0, "neutral": 1.0, "non_critical": 0.0}, (30, 30, 55)),
        (5000, {"critical": 1.0, "neutral": 0.0, "non_critical": 0.0}, (30, 30, 60)),
    ],
)
def test_where_a_severity_has_too_few_the_others_fill_up(rows, shares, expected):
    answers = (design.Answer("a", 1, "1", ""), design.Answer("b", 1, "2", ""))
    complaints = [
        design.Complaint(f"{each}{n}", f"{each}{n}", each, True, "", answers)
        for each, count in ROWS.items()
        for n in range(count)
    ]
    chosen = design.choose_complaints(complaints, rows, shares, 17)
    counts = Counter(each.severity for each in chosen)
    assert tuple(counts[severity] for severity in ROWS) == expected
    assert design.choose_complaints(complaints[::-1], rows, shares, 17) == chosen
    if rows == 50:
        assert design.choose_complaints(complaints, rows, shares, 18) != chosen


def test_of_near_duplicates_one_is_shown(project, params):
    lay_out(project, group=lambda number: f"group-{number // 3}")
    export.run(changed(params, repeats=0, raters=1))
    [path] = Path("data/reviews").glob("*/key.json")
    items = json.loads(path.read_text(encoding="utf-8"))["raters"]["rater-1"]
    groups = [int(item["id"][-4:]) // 3 for item in items]
    assert len(groups) == len(set(groups)) == 40


def test_the_same_inputs_give_the_same_bytes_and_others_another_round(exported, params):
    before = {path.name: path.read_bytes() for path in exported.iterdir()}
    (exported / "rater-1.json").write_text("what a rater sent", encoding="utf-8")
    try:
        with contextlib.chdir(exported.parents[2]):
            export.run(params)
            after = {path.name: path.read_bytes() for path in exported.iterdir()}
            assert after.pop("rater-1.json") == b"what a rater sent"
            assert after == before
            export.run(changed(params, seed=18, rows=4, repeats=0, raters=1))
            assert len(list(Path("data/reviews").iterdir())) == 2
    finally:
        (exported / "rater-1.json").unlink()


def test_answers_that_are_alike_are_left_out_and_counted(project, params, capsys):
    def answer(arm, seed, number):
        # To a reader the two are the same.
        alike = number < 10 or 30 <= number < 34
        return f"جواب  {number}" if alike and arm == "mild" else f"جواب {number}{'' if alike else arm}"

    lay_out(project, answer)
    few = changed(params, arms=["uniform", "mild"], rows=120, reference=False, raters=1)
    export.run(few)
    [path] = Path("data/reviews").glob("*/key.json")
    key = json.loads(path.read_text(encoding="utf-8"))
    assert key["alike"] == {"critical": 10, "neutral": 4, "non_critical": 0}
    items = first_showings(key["raters"]["rater-1"])
    assert len(items) == 106
    assert "pairid0003" not in {item["id"] for item in items}
    said = capsys.readouterr().out
    assert "106 complaints of the 120 wanted (20 critical, 26 neutral, 60 non_critical)" in said
    assert "left out: 14 complaints" in said


def refused(params, **review):
    with pytest.raises(WaznError) as caught:
        export.run(changed(params, **review))
    text = str(caught.value)
    assert "\n" not in text
    assert not list(Path("data").glob("reviews/*/*"))
    return text


def test_where_all_answers_are_alike_there_is_nothing_to_compare(project, params):
    lay_out(project, lambda arm, seed, number: "جواب")
    assert "in each of the 120 test complaints" in refused(params, reference=False)


def test_what_is_missing_is_named_with_the_command_that_makes_it(project, params):
    lay_out(project)
    missing = paths.generated("mild", MODEL, SEEDS[1])
    (project / missing).unlink()
    said = f"{missing}: not evaluated yet; run `dvc repro evaluate@{MODEL}-mild-{SEEDS[1]}`"
    assert refused(params) == said
    assert f"evaluate_base@{MODEL}" in refused(params, arms=["base", "uniform"])
    assert "'strong' does not run; add it to arms" in refused(params, arms=["strong", "uniform"])
    assert "'tiny_bert' is not in models" in refused(params, model="tiny_bert")


def test_answers_of_other_rows_are_refused(project, params):
    lay_out(project)
    path = project / paths.generated("mild", MODEL, SEEDS[1])
    pd.read_parquet(path)[1:].to_parquet(path)
    assert "not the rows that the other arms were evaluated on" in refused(params)
    scored = pd.read_parquet(paths.SCORED)
    scored[1:].to_parquet(paths.SCORED)
    assert "not the test pairs that were evaluated" in refused(params, arms=["uniform", "weighting"])


# ---- page and workbook of a few items ----


def few_items(count=3, text="شكوى", answer="جواب"):
    answers = (design.Answer("one", 1, answer, ""), design.Answer("two", 1, answer + " آخر", ""))
    complaints = [
        design.Complaint(f"{n}", f"{n}", "critical", True, f"{text} {n}", answers) for n in range(count)
    ]
    return design.rater_items(complaints, 0, 17, "rater-1")


@pytest.fixture
def filled(tmp_path, params):
    """A function that saves a workbook with some cells changed: {(item, letter): {column: value}}."""
    items = few_items()

    def fill(changes):
        book = openpyxl.load_workbook(
            io.BytesIO(workbook("r0000000", "rater-1", items, params.review.scales))
        )
        sheet = book["ratings"]
        names = [cell.value for cell in sheet[2]]
        places = list(itertools.product(range(len(items)), "AB"))
        for place, columns in changes.items():
            for name, value in columns.items():
                sheet.cell(3 + places.index(place), names.index(name) + 1).value = value
        path = tmp_path / "rater-1.xlsx"
        book.save(path)
        return path

    fill.items = items
    return fill


def choices(params):
    book = openpyxl.load_workbook(io.BytesIO(workbook("r", "rater-1", few_items(), params.review.scales)))
    rows = book["choices"].iter_rows(min_row=2, values_only=True)
    return {(scale, value): label for scale, value, label in rows}


def test_a_filled_workbook_comes_back_as_what_the_page_saves(filled, params):
    labels = choices(params)
    assert labels["harm", "severe"] == "3 · ضرر شديد · Severe"
    path = filled(
        {
            (0, "A"): {
                **{scale: labels[scale, value] for scale, value in (("correct", "4"), ("harm", "severe"))},
                **{"urgency": labels["urgency", "too_low"], "language": 5},
                **{"preferred": labels["preferred", "tie"], "remark": "=SUM(1)\nملاحظة"},
            },
            (0, "B"): {"correct": "٢"},
            (2, "B"): {"harm": "terrible"},
        }
    )
    # A remark that was typed with an apostrophe is text.
    book = openpyxl.load_workbook(path)
    cell = next(cell for row in book["ratings"] for cell in row if str(cell.value).startswith("=SUM"))
    cell.data_type = "s"
    book.save(path)
    read = sheets.read_ratings(path)
    names = [item.name for item in filled.items]
    assert read.pop("saved") > "2020"
    assert read == {
        **{"format": 1, "round": "r0000000", "rater": "rater-1"},
        "ratings": [
            {
                "item": names[0],
                "answers": {
                    "A": {"correct": 4, "harm": "severe", "urgency": "too_low", "language": 5},
                    "B": {"correct": 2},
                },
                **{"preferred": "tie", "remark": "=SUM(1)\nملاحظة"},
            },
            {
                "item": names[2],
                "answers": {"A": {}, "B": {"harm": "terrible"}},
                "preferred": None,
                "remark": "",
            },
        ],
    }


HEADER = "round,rater,saved,item,letter,correct,harm,urgency,language,preferred,remark\n"
LINE = "r1,rater-1,2026-11-27T10:00:00Z,q1,{},{},none,right,5,{},{}\n"


@pytest.mark.parametrize(("separator", "encoding"), [(",", "utf-8-sig"), (";", "utf-8"), (";", "cp1256")])
def test_a_csv_is_read_as_spreadsheet_programs_save_it(tmp_path, separator, encoding):
    path = tmp_path / "rater-1.csv"
    remark = "'=1+1 ملاحظة عن هذا الجواب من الطبيب"
    text = HEADER + LINE.format("A", 4, "B", remark) + LINE.format("B", "", "B", remark)
    path.write_text(text.replace(",", separator), encoding=encoding)
    read = sheets.read_ratings(path)
    assert read["saved"] == "2026-11-27T10:00:00Z"
    rest = {"harm": "none", "urgency": "right", "language": 5}
    assert read["ratings"] == [
        {
            "item": "q1",
            "answers": {"A": {"correct": 4, **rest}, "B": rest},
            "preferred": "B",
            "remark": remark[1:],
        }
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "expected the columns round, rater, item"),
        (HEADER + LINE.format("A", 4, "A", "") * 2, "row 3: answer A of item q1 a second time"),
        (
            HEADER + LINE.format("A", 4, "A", "") + LINE.format("B", 4, "B", ""),
            "row 3: prefers another answer of item q1",
        ),
        (
            HEADER
            + LINE.format("A", 4, "A", "")
            + LINE.format("B", 4, "A", "").replace("rater-1", "rater-2"),
            "the ratings of one rater, found those of 2",
        ),
        (HEADER, "has no rows"),
    ],
    ids=["other table", "twice", "two preferred", "two raters", "no row"],
)
def test_a_table_that_is_not_as_it_was_saved_is_one_sentence(tmp_path, text, said):
    path = tmp_path / "rater-1.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WaznError) as caught:
        sheets.read_ratings(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith("rater-1.csv")
    assert "\n" not in str(caught.value)


def test_of_the_workbook_only_ratings_and_remarks_can_be_changed(params):
    content = workbook("r0000000", "rater-1", few_items(), params.review.scales)
    book = openpyxl.load_workbook(io.BytesIO(content))
    assert [sheet.protection.sheet for sheet in book] == [True] * 3
    assert [sheet.sheet_view.rightToLeft for sheet in book] == [True] * 3
    assert book.security.lockStructure
    assert book["choices"].sheet_state == "hidden"
    sheet = book["ratings"]
    names = [cell.value for cell in sheet[2]]
    free = {
        names[cell.column - 1] for row in sheet.iter_rows() for cell in row if not cell.protection.locked
    }
    rated = ["correct", "harm", "urgency", "language", "preferred"]
    assert free == {*rated, "remark"}
    assert not [cell for row in sheet.iter_rows(max_row=2) for cell in row if not cell.protection.locked]
    lists = {str(each.sqref): each.formula1 for each in sheet.data_validations.dataValidation}
    assert len(lists) == 5
    for name in rated:
        letter = sheet.cell(2, names.index(name) + 1).column_letter
        column, first, last = re.fullmatch(
            r"'choices'!\$(C)\$(\d+):\$C\$(\d+)", lists[f"{letter}3:{letter}8"]
        ).groups()
        cells = [book["choices"][f"{column}{row}"] for row in range(int(first), int(last) + 1)]
        assert {book["choices"].cell(cell.row, 1).value for cell in cells} == {name}
        assert len(cells) == {"preferred": 3, "harm": 3, "urgency": 3}.get(name, 5)
    assert {str(each) for each in sheet.merged_cells.ranges} >= {"E3:E4", "E7:E8"}


def test_hostile_text_is_only_text(tmp_path, params):
    items = few_items(1, text=HOSTILE, answer=HOSTILE)
    shown = [
        design.Item(
            item.name,
            design.Complaint("1", "1", "critical", True, export.visible(item.complaint.text), ()),
            {
                letter: design.Answer("one", 1, export.visible(answer.text), "")
                for letter, answer in item.letters.items()
            },
            None,
        )
        for item in items
    ]
    html = page("r0000000", "rater-1", shown, params.review.scales)
    assert "alert(1)</script>" not in html
    assert "\u202e" not in html
    assert "[RLO]evil[PDF]" in html
    path = tmp_path / "rater-1.xlsx"
    path.write_bytes(workbook("r0000000", "rater-1", shown, params.review.scales))
    sheet = openpyxl.load_workbook(path)["ratings"]
    cells = [cell for row in sheet.iter_rows() for cell in row if "alert" in str(cell.value)]
    assert len(cells) == 3
    for cell in cells:
        assert cell.data_type == "s", "no formula"
        assert cell.quotePrefix
        assert "[RLO]evil[PDF] [U+0007] [U+FFFF]" in cell.value
    assert sheets.read_ratings(path)["ratings"] == []


def test_the_csv_that_the_page_describes_is_the_one_that_is_read():
    script = (ROOT / "pipeline/commands/review/page.js").read_text(encoding="utf-8")
    [line] = re.findall(r"^const COLUMNS = \[(.*)\];", script, re.MULTILINE)
    named = next(
        csv.reader([line.replace(" ", "").replace("...content.scales.map((scale)=>scale.name)", "*")])
    )
    assert [*named] == ["round", "rater", "saved", "item", "letter", "*", "preferred", "remark"]
    assert not set(named) - {"*", "saved"} - set(sheets._COLUMNS)
