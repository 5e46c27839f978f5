"""Whatever happened to a file between two stages, the next one ends in one line that names it."""

import json
import shutil
from pathlib import Path

import commands
import numpy as np
import pages
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import raw
from root import ROOT

from pipeline.config.params import load
from pipeline.data.raw_tables import LABELLED_SCHEMA, PAIRS_SCHEMA
from pipeline.data.rejections import REJECTED_SCHEMA
from pipeline.evaluation.metrics import MEASURED
from pipeline.files import write_json
from pipeline.report.summary import SUMMARY_METRICS
from pipeline.severities import PROBABILITIES, SEVERITIES

pytestmark = pytest.mark.slow
PARAMS = load(ROOT / "params.yaml")
MODEL, SEED = PARAMS.models[0], PARAMS.seeds[0]
GENERATED = f"data/generated/uniform/{MODEL}/{SEED}.parquet"
CURVE = f"metrics/finetune/uniform/{MODEL}/{SEED}/plots/metrics/train/loss.tsv"
# File to the command that reads it. Those that load a model first are slow.
JSON = {
    "data/raw/sources.json": ("normalise",),
    "metrics/data.json": ("inspect",),
    "metrics/summary.json": ("table",),
    "metrics/classifier.json": ("report",),
    "metrics/severity.json": ("report",),
    "metrics/review.json": ("report",),
    f"metrics/evaluate/base/{MODEL}/base.json": ("report",),
}
PARQUET = {
    "data/raw/pairs.parquet": ("normalise",),
    "data/raw/labelled.parquet": ("normalise",),
    "data/normalised/rejected.parquet": ("inspect",),
    "data/normalised/pairs.parquet": ("inspect",),
    "data/scored/pairs.parquet": ("report",),
    GENERATED: ("report",),
}
CSV = {
    CURVE: ("report",),
    "metrics/plots/confusion.csv": ("report",),
    "metrics/plots/reliability.csv": ("report",),
}


def put(folder, name, table):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        pd.DataFrame(table).to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A project in which every stage has run, of made-up data; no model is there."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copy(ROOT / "params.yaml", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        raw.write_raw(
            [[(text, raw.GOOD) for text in raw.TEXTS]], [[(text, "critical") for text in raw.TEXTS]]
        )
    rows = 12
    severities = np.resize(list(SEVERITIES), rows)
    pairs = {
        "source": ["own.csv"] * rows,
        "line": list(range(2, rows + 2)),
        "id": [f"row-{row}" for row in range(rows)],
        "group": [f"row-{row}" for row in range(rows)],
        "question": ["سؤال"] * rows,
        "answer": ["راجع الطبيب"] * rows,
        "text": ["سؤال"] * rows,
        "split": ["test"] * 6 + ["train"] * 6,
        "specialty": [""] * rows,
        "severity_human": pa.nulls(rows, pa.string()),
    }
    normalised = pa.table(pairs)
    put(folder, "data/normalised/pairs.parquet", normalised)
    put(folder, "data/normalised/labelled.parquet", normalised.select(["text"]))
    rejected = {"dataset": ["pairs"], "source": ["own.csv"], "line": [7], "reason": ["question_empty"]}
    rejected = pa.table({**rejected, "row": ['{"question": ""}']}, schema=REJECTED_SCHEMA)
    put(folder, "data/normalised/rejected.parquet", rejected)
    probabilities = {name: pa.array([1 / 3] * rows, pa.float32()) for name in PROBABILITIES}
    put(folder, "data/scored/pairs.parquet", pa.table({**pairs, "severity": severities, **probabilities}))
    figures = {name: [0.5] * 6 for name in MEASURED}
    answers = {"id": pairs["id"][:6], "severity": severities[:6], "generated": ["راجع"] * 6}
    for model in PARAMS.models:
        for arm in ("base", *PARAMS.arms):
            for seed in ["base"] if arm == "base" else PARAMS.seeds:
                put(
                    folder, f"data/generated/{arm}/{model}/{seed}.parquet", pa.table({**answers, **figures})
                )
                if arm != "base":
                    curve = f"metrics/finetune/{arm}/{model}/{seed}/plots/metrics/train/loss.tsv"
                    put(folder, curve, {"step": [1, 2], "loss": [4.0, 2.0]})
                    write_json(folder / f"metrics/finetune/{arm}/{model}/{seed}.json", pages.facts())
                write_json(folder / f"metrics/evaluate/{arm}/{model}/{seed}.json", pages.evaluation())
    put(folder, "metrics/plots/confusion.csv", {"actual": ["neutral"], "predicted": ["critical"]})
    reliability = {"confidence": [0.4], "accuracy": [0.5], "rows": [9]}
    put(folder, "metrics/plots/reliability.csv", reliability)
    data = pages.data()
    data["labelled"]["rejected"] = {}
    write_json(folder / "metrics/data.json", data)
    write_json(folder / "metrics/classifier.json", pages.classifier())
    write_json(folder / "metrics/severity.json", pages.severity())
    write_json(folder / "metrics/review.json", pages.review())
    summary = {MODEL: {arm: dict.fromkeys(SUMMARY_METRICS, 0.5) for arm in ("base", *PARAMS.arms)}}
    write_json(folder / "metrics/summary.json", summary)
    return folder


@pytest.fixture
def project(whole, tmp_path, monkeypatch):
    """A copy; the tests run where it is not."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(whole, tmp_path / "project")


def contents(project):
    """Every file with its bytes, but for locks."""
    return {
        path: content for path, content in commands.files_of(project).items() if not path.endswith("/lock")
    }


def refused(project, command, name):
    """The one line with which a command refuses the file `name`; nothing is written."""
    before = contents(project)
    ended = commands.run(project, *command)
    assert ended.code == 2, ended.err
    assert "Traceback" not in ended.err
    assert ended.err.count("\n") == 1, ended.err
    assert f"{name}: " in ended.err
    assert contents(project) == before
    return ended.err


@pytest.mark.parametrize("command", ["inspect", "table", "report"])
def test_commands_run_where_nothing_is_damaged(command, project):
    ended = commands.run(project, command)
    assert ended.code == 0, ended.err


RUINS = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "start lost": lambda content: content[10:],
    "zeros": lambda content: b"\0" * len(content),
    "a page of a server": lambda content: b"<!DOCTYPE html>\n<title>502</title>\n",
    "pointer of Git LFS": lambda content: (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    ),
    "conflict of git": lambda content: b"<<<<<<< HEAD\n" + content + b"=======\n>>>>>>> other\n",
    "UTF-16": lambda content: content.decode("latin-1").encode("utf-16"),
}


@pytest.mark.parametrize("ruin", RUINS)
@pytest.mark.parametrize("name", [*JSON, *PARQUET, *CSV])
def test_file_that_is_ruined(name, ruin, project):
    path = project / name
    path.write_bytes(RUINS[ruin](path.read_bytes()))
    text = refused(project, {**JSON, **PARQUET, **CSV}[name], name)
    assert "dvc repro" in text


@pytest.mark.parametrize("name", [*JSON, *PARQUET, *CSV])
def test_file_that_is_gone_or_a_folder(name, project):
    path, command = project / name, {**JSON, **PARQUET, **CSV}[name]
    path.unlink()
    if command != ("table",):  # It says so and shows the rest.
        assert "no such file; run `dvc repro`" in refused(project, command, name)
    path.mkdir()
    (path / "something").touch()
    if command != ("table",):
        assert "could not be read (Is a directory)" in refused(project, command, name)


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "null",
        "1",
        '"text"',
        "{}",
        "NaN",
        '{"a": Infinity}',
        "[" * 50_000,
        '{"pairs": {}}',
        "9" * 5000,
    ],
    ids=lambda text: text[:8],
)
@pytest.mark.parametrize("name", JSON)
def test_json_of_another_shape(name, content, project):
    if (name, content) in (("metrics/summary.json", "{}"), ("metrics/summary.json", '{"pairs": {}}')):
        pytest.skip("this is a summary in which no model has results")
    (project / name).write_text(content, encoding="utf-8")
    assert "--force --single-item" in refused(project, JSON[name], name)


def every_place(value, path=()):
    """The way to every value in a JSON value."""
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        yield (*path, key)
        yield from every_place(child, (*path, key))


@pytest.mark.parametrize("change", ["gone", "null", "list", "mapping", "text"])
@pytest.mark.parametrize("name", JSON)
def test_any_key_that_is_gone_or_of_another_type_is_no_traceback(name, change, project):
    """It may do no harm: then the command runs."""
    content = json.loads((project / name).read_text(encoding="utf-8"))
    places = list(every_place(content))
    chosen = np.random.default_rng(3).permutation(len(places))[:6]
    for place in (places[index] for index in chosen):
        changed = json.loads(json.dumps(content))
        *way, last = place
        parent = changed
        for key in way:
            parent = parent[key]
        if change == "gone":
            del parent[last]
        else:
            parent[last] = {"null": None, "list": [1], "mapping": {"a": 1}, "text": "MARK"}[change]
        write_json(project / name, changed)
        ended = commands.run(project, *JSON[name])
        assert "Traceback" not in ended.err, (place, ended.err)
        assert ended.code in (0, 2), (place, ended.err)
        if ended.code == 2:
            assert f"{name}: " in ended.err
            assert ended.err.count("\n") == 1


def tables(table, column):
    """A table with its column ruined in several ways."""
    place, rows = table.column_names.index(column), len(table)
    is_text = pa.types.is_string(table[column].type)
    other = pa.array([1] * rows) if is_text else pa.array(["x"] * rows)
    holes = pa.array([*table[column].to_pylist()[:-1], None], table[column].type)
    yield "gone", table.drop_columns(column)
    yield "of another type", table.set_column(place, column, other)
    yield "of lists", table.set_column(place, column, pa.array([[1]] * rows))
    yield "with a hole", table.set_column(place, column, holes)
    yield "twice", table.append_column(column, table[column])


# Columns without which a reader cannot do, and in which it expects no holes.
READ = {
    "data/raw/pairs.parquet": [field.name for field in PAIRS_SCHEMA if not field.nullable],
    "data/raw/labelled.parquet": [field.name for field in LABELLED_SCHEMA if not field.nullable],
    "data/normalised/rejected.parquet": REJECTED_SCHEMA.names,
    "data/normalised/pairs.parquet": ["question", "answer"],
    "data/scored/pairs.parquet": ["id", "source", "line", "question", "split", "severity", *PROBABILITIES],
    GENERATED: ["id", "severity", "generated", "nll_sum", "answer_tokens", "words"],
}


@pytest.mark.parametrize(("name", "column"), [(name, column) for name in READ for column in READ[name]])
def test_parquet_with_a_column_that_is_not_as_it_should_be(name, column, project):
    table = pq.read_table(project / name)
    for ruin, ruined in tables(table, column):
        pq.write_table(ruined, project / name)
        text = refused(project, PARQUET[name], name)
        assert f"'{column}'" in text, ruin
        assert "--force --single-item" in text


@pytest.mark.parametrize("name", ["data/scored/pairs.parquet", GENERATED])
def test_parquet_without_rows(name, project):
    pq.write_table(pq.read_table(project / name).slice(0, 0), project / name)
    assert "it has no rows" in refused(project, PARQUET[name], name)


def test_answers_to_other_rows_and_pairs_with_one_id(project):
    table = pq.read_table(project / GENERATED)
    renamed = table.set_column(0, "id", pa.array([f"other-{row}" for row in range(len(table))]))
    for model in PARAMS.models:
        for path in Path(project / "data/generated").glob(f"*/{model}/*.parquet"):
            pq.write_table(renamed, path)
    assert "not rows of data/scored/pairs.parquet" in refused(
        project, ("report",), f"base/{MODEL}/base.parquet"
    )
    scored = pq.read_table(project / "data/scored/pairs.parquet")
    same = scored.set_column(scored.column_names.index("id"), "id", pa.array(["one"] * len(scored)))
    pq.write_table(same, project / "data/scored/pairs.parquet")
    assert "the same id" in refused(project, ("report",), "data/scored/pairs.parquet")


@pytest.mark.parametrize("name", CSV)
def test_csv_with_a_column_gone_or_words_for_numbers(name, project):
    path = project / name
    separator = "\t" if path.suffix == ".tsv" else ","
    table = pd.read_csv(path, sep=separator)
    for column in table:
        table.drop(columns=column).to_csv(path, sep=separator, index=False)
        refused(project, CSV[name], name)
        if name != "metrics/plots/confusion.csv":
            table.assign(**{column: "MARK"}).to_csv(path, sep=separator, index=False)
            assert "MARK" not in refused(project, CSV[name], name)


def test_sources_that_do_not_count_the_rows_of_the_tables(project):
    for rows in (0, 59, 61, 10**15):
        content = json.loads((project / "data/raw/sources.json").read_text(encoding="utf-8"))
        content["pairs"][0]["rows"] = rows
        write_json(project / "data/raw/sources.json", content)
        assert "data/raw/pairs.parquet" in refused(project, ("normalise",), "data/raw/sources.json")


def test_source_on_the_hub_has_a_commit_in_place_of_a_hash(project):
    """And a source of an older version may have neither."""
    path = project / "metrics/data.json"
    for pin in ({"commit": "ab" * 20}, {}):
        content = json.loads(path.read_text(encoding="utf-8"))
        [source] = content["pairs"]["sources"]
        content["pairs"]["sources"] = [{key: source[key] for key in ("source", "rows", "kept")} | pin]
        write_json(path, content)
        assert commands.run(project, "report").code == 0
        page = (project / "report/index.html").read_text(encoding="utf-8")
        assert all(commit in page for commit in pin.values())
