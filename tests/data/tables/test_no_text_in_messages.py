"""What a patient wrote is in no message, log, warning or traceback, whatever is wrong with a file.

Every format is tried with a marked text in every place that can hold one, damaged in many ways, and with
parameters that do not fit it.
"""

import contextlib
import csv
import gzip
import io
import json
import random
import sqlite3
import traceback
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.data import LabelledSource, PairSource
from pipeline.data.raw_tables import open_labelled, open_pairs, rows_of
from pipeline.data.tables.fetching import Patience
from pipeline.data.tables.sources import Limits
from pipeline.errors import WaznError

MARK, PHONE = "زهرورة", "0509876543"
TEXT = f"أنا {MARK} هاتفي {PHONE}"
SHORT = (MARK, f"{MARK} علي", PHONE, f"{PHONE[:3]}-{PHONE[3:]}", f"{MARK}@x.example")
LABELS = {"non_critical": "1", "neutral": "2", "critical": "3"}

HEADERS = {
    "none": [TEXT, TEXT + "!", "x"],
    "none, short": [*SHORT],
    "none, twice": [MARK, MARK, PHONE],
    "question only": ["question", MARK, PHONE],
    "two spellings": ["question", "Question", MARK],
    "usual": ["question", "answer", "severity"],
    "labelled": ["text", MARK, "label"],
    "dialogues": ["messages", MARK, "severity"],
}
ROWS = [[TEXT, MARK, PHONE, f"{MARK} 2", TEXT], [MARK, TEXT, MARK, PHONE, "2"], [PHONE, "", TEXT, "", ""]]
VALUES = {
    "text": TEXT,
    "list": [TEXT, MARK],
    "object": {MARK: TEXT},
    "bytes": TEXT.encode("cp1256"),
    "turns": [{"role": MARK, "content": TEXT}],
    "turn": [{"role": "user", "content": {MARK: TEXT}}],
}


def cells_of(header):
    return [row[: len(header)] for row in ROWS]


def objects(header, value=TEXT):
    rows = [dict(zip(header, row, strict=True)) for row in cells_of(header)]
    return [*rows, {**rows[0], header[0]: value}]


def delimited(header, separator=",", codec="utf-8"):
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator).writerows([header, *cells_of(header)])
    return text.getvalue().encode(codec, "replace")


def broken_csv():
    lines = [f'"{TEXT}', f"{TEXT},{MARK},{PHONE},{MARK}", f'{MARK},"{TEXT}"x', f'\\"{TEXT}\\",{MARK}', MARK]
    for header in ("question,answer", TEXT):
        for line in lines:
            yield f"{header}\n{MARK},{TEXT}\n{line}\n{PHONE},{MARK}\n".encode()
    yield f"question,answer\n{MARK},{TEXT}\n".encode() + TEXT.encode("cp1256") + b",\xff\xfe\n"


def json_files(header, value):
    rows = objects(header, value)
    text = json.dumps(rows, ensure_ascii=False, default=str)
    yield from (text, text[:-9], text.replace("}, {", "},, {"), text.replace("}, {", "}\n{"))
    yield "\n".join(json.dumps(row, ensure_ascii=False, default=str) for row in rows)
    yield json.dumps({MARK: rows, TEXT: rows}, ensure_ascii=False, default=str)
    yield json.dumps({MARK: TEXT, "rows": [TEXT, PHONE]}, ensure_ascii=False)
    yield f'{{"question": "{MARK}"}}\n{{"{MARK}": "{TEXT}", "{MARK}": "{TEXT}"}}\n{TEXT}\n'
    yield f'[{{"question": "{MARK}"}}, "{TEXT}"]'
    yield f'{{"question": "{MARK}"}}\n["{TEXT}"]\n'


def workbook(header, *titles):
    book = openpyxl.Workbook()
    for title in titles or ("Sheet",):
        sheet = book.create_sheet(title)
        for row in [header, *cells_of(header), ["=A1", f'=CONCAT("{MARK}","{PHONE}")']]:
            sheet.append(row)
    del book["Sheet"]
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def parquet(header, value):
    rows = objects(header, value)[-1:] if not isinstance(value, str) else objects(header)
    table = pa.table({name: [row[name] for row in rows] for name in dict.fromkeys(header)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def database(folder, header, *tables):
    path = folder / "made"
    path.unlink(missing_ok=True)
    lower = [name.lower() for name in header]
    columns = [f"{name} {n}" if lower[n] in lower[:n] else name for n, name in enumerate(header)]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for table in tables:
            pd.DataFrame(cells_of(header), columns=columns).to_sql(table, connection, index=False)
        cells = [TEXT.encode("cp1256"), *header[1:]]
        connection.execute(f"INSERT INTO [{tables[0]}] VALUES ({', '.join('?' * len(cells))})", cells)
        connection.execute("CREATE VIEW broken AS SELECT * FROM gone")
        connection.commit()
    return path.read_bytes()


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def made(kind, folder):
    """Files of a kind, with the marked text in many places."""
    for number, header in enumerate(HEADERS.values()):
        values = list(VALUES.values())
        if kind == "delimited":
            yield from (delimited(header, separator) for separator in ",;\t|")
            yield from (delimited(header, codec=codec) for codec in ("cp1256", "utf-16", "iso8859-6"))
        elif kind == "json":
            for value in (values[number % 6], values[(number + 3) % 6]):
                yield from (text.encode() for text in json_files(header, value))
        elif kind == "xlsx":
            yield workbook(header, "S")
            yield workbook(header, "S", f"{MARK} {PHONE}")
        elif kind == "parquet":
            yield from (parquet(header, value) for value in values)
        elif kind == "sqlite":
            yield database(folder, header, "t")
            yield database(folder, header, "t", TEXT)
        elif kind == "archive":
            data = delimited(header)
            yield gzip.compress(data)
            yield zipped(**{f"{TEXT}.csv": data})
            yield zipped(**{f"{TEXT}.csv": data, "b.csv": data})
            yield zipped(**{f"../{TEXT}.csv": data})
            yield zipped(**{"t.zip": zipped(**{f"{TEXT}.csv": data})})
    if kind == "delimited":
        yield from broken_csv()


def damaged(data, chance):
    """The file, cut off and with bytes changed."""
    yield data
    yield data[: chance.randrange(1, len(data))]
    changed = bytearray(data)
    for _ in range(1 + len(data) // 300):
        changed[chance.randrange(len(data))] = chance.randrange(256)
    yield bytes(changed)


PAIRS = (
    {},
    {"question": "q", "answer": "a"},
    {"answer": "question"},
    {"table": "other"},
    {"file": "*.tsv"},
)
CHATS = ({"messages": "messages"}, {"messages": "m"}, {"question": ["question", "title"]})
LABELLED = ({}, {"label": "severity", "labels": LABELS}, {"text": "question", "label": "answer"})


def outcome(labelled, keys):
    """What reading the file says, with every cause; without an error, the provenance."""
    entry, opener = (LabelledSource, open_labelled) if labelled else (PairSource, open_pairs)
    entry = entry(source="t", **keys)
    try:
        with opener("download.pairs.0", entry, Limits(Path(), 1, Patience(1, 0))) as source:
            batches = rows_of("download.labelled.0", entry, source)
            rows = sum(len(batch) for batch in batches)
            return "", json.dumps(source.provenance(rows), ensure_ascii=False)
    except WaznError as error:
        return str(error), "".join(traceback.format_exception(error, chain=True))


@pytest.mark.parametrize("kind", ["delimited", "json", "xlsx", "parquet", "sqlite", "archive"])
def test_no_marked_text_comes_out(kind, tmp_path, monkeypatch, capfd, caplog, recwarn):
    monkeypatch.chdir(tmp_path)
    caplog.set_level(0)
    chance = random.Random(0)
    sentences = set()
    for data in made(kind, tmp_path):
        for variant in damaged(data, chance):
            Path("t").write_bytes(variant)
            keys = [(False, chance.choice([*PAIRS, *CHATS])), (True, chance.choice(LABELLED)), (False, {})]
            for labelled, entry in keys:
                sentence, said = outcome(labelled, entry)
                for secret in (MARK, PHONE, *SHORT):
                    assert secret not in said, (entry, sentence.replace(secret, "…"))
                assert "\n" not in sentence
                sentences.add("".join(filter(str.isalpha, sentence)))
    printed = capfd.readouterr()
    logged = [record.getMessage() for record in caplog.records] + [
        str(each.message) for each in recwarn.list
    ]
    for said in (printed.out, printed.err, *logged):
        assert MARK not in said
        assert PHONE not in said
    assert len(sentences) > 8, "many paths were taken"
