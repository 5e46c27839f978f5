"""`wazn download` against a server on this machine that misbehaves in every way that servers do."""

import copy
import gzip
import hashlib
import io
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
import yaml
from servers import content, cut, redirect, serving, stall, status

from pipeline import environment
from pipeline.__main__ import main
from pipeline.data.tables import fetching

ROOT = Path(__file__).resolve().parents[2]
VALUES = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
TABLE = "question,answer\nصداع,راحة\nحمى,ماء\n".encode()


@pytest.fixture(scope="module")
def server():
    with serving() as found:
        yield found


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """`wazn download` of one source of pairs: its exit code and what it wrote to standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(fetching, "PAUSE_S", 0.01)
    monkeypatch.setattr(sys, "argv", ["wazn", "download"])
    for name, value in environment.SETTINGS.items():  # else the command line would start a new process
        monkeypatch.setenv(name, value)

    def run(pair):
        write_params(tmp_path, pair)
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().err

    return run


def write_params(folder, pair):
    values = copy.deepcopy(VALUES)
    limits = {"max_unpacked_mb": 1, "timeout_s": 0.5, "retries": 1}
    values["download"].update(limits, folder="data/own", pairs=[pair], labelled=[{"source": "lexicon"}])
    (folder / "data" / "own").mkdir(parents=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")


def zipped(name, data):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


def workbook_with_a_formula():
    book = openpyxl.Workbook()
    for row in (["question", "answer"], ["صداع", '=CONCATENATE("a","b")']):
        book.active.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


PACKED = gzip.compress(TABLE, mtime=0)
OTHER_HASH = f"md5:{'0' * 32}"
GOOD = {
    "redirect": redirect("/whole"),
    "500 then success": [status(500), content(TABLE)],
    "cut then success": [cut(TABLE * 900), content(TABLE)],
    "stall then success": [stall(0.8), content(TABLE)],
    "gzip": content(PACKED),
}
WRONG_LENGTH = {"Content-Length": str(len(TABLE) + 1), "Connection": "close"}
BAD = {
    "404": (status(404), "not found (HTTP status 404)"),
    "always 500": (status(500), "HTTP status 500), tried 2 times"),
    "stall": (stall(0.8), "silent for 0.5 s, tried 2 times"),
    "always cut": (cut(TABLE * 900), "cut before the file was complete, tried 2 times"),
    "wrong length": (content(TABLE, **WRONG_LENGTH), "cut before the file was complete, tried 2 times"),
    "wrong hash": (content(TABLE), f"has not the hash {OTHER_HASH}"),
    "HTML": (content(b"<!DOCTYPE html><p>Sign in"), "an HTML page instead of a table"),
    "zip bomb": (content(zipped("t.csv", bytes(2 << 20))), "expands to more than 1 MB"),
    "gzip bomb": (content(gzip.compress(bytes(2 << 20))), "expands to more than 1 MB"),
    "zip member ../x": (content(zipped("../x", TABLE)), "leads out of it"),
    "formula": (content(workbook_with_a_formula()), "row 2: a formula without its value"),
    "empty": (content(b""), "the file is empty"),
    "missing column": (content(TABLE.replace(b"answer", b"n")), "no column known as answer"),
}
NOT_WHOLE = ("404", "always 500", "stall", "always cut", "wrong length", "wrong hash")


@pytest.mark.parametrize("case", GOOD)
def test_what_a_server_does_in_the_end_is_what_counts(tmp_path, server, command, case):
    path = f"/good{list(GOOD).index(case)}"
    server.answers |= {"/whole": content(TABLE), path: GOOD[case]}
    data = PACKED if case == "gzip" else TABLE
    code, errors = command(
        {"source": server.url(path), "hash": f"sha256:{hashlib.sha256(data).hexdigest()}"}
    )
    assert code == 0, errors
    table = pd.read_parquet("data/raw/pairs.parquet")
    assert table["question"].tolist() == ["صداع", "حمى"]
    assert [kept.read_bytes() for kept in Path(".downloads").iterdir()] == [data]


def nothing_left(folder):
    """Whether there is no data, and of fetched files a whole one at most."""
    lock = {".checkpoints", "download", "lock"}
    made = {entry.name for entry in folder.rglob("*")} - {"data", "own", "params.yaml", ".downloads"} - lock
    return not [name for name in made if not re.fullmatch(r"[0-9a-f]{12}-bad\d+", name)]


@pytest.mark.parametrize("case", BAD)
def test_what_goes_wrong_is_one_sentence_and_leaves_nothing(tmp_path, server, command, case):
    path = f"/bad{list(BAD).index(case)}"
    server.answers[path], expected = BAD[case]
    pair = {"source": server.url(path), **({"hash": OTHER_HASH} if case == "wrong hash" else {})}
    code, errors = command(pair)
    assert code == 2, errors
    [sentence] = errors.splitlines()
    assert expected in sentence
    assert server.url(path) in sentence
    assert "صداع" not in sentence
    assert nothing_left(tmp_path)
    if case in NOT_WHOLE:
        assert list(Path(".downloads").iterdir()) == []


def test_the_command_ends_with_code_2_and_one_line(tmp_path, server):
    server.answers["/bad404"] = status(404)
    write_params(tmp_path, {"source": server.url("/bad404")})
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "download"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"wazn: {server.url('/bad404')}: not found")
    assert len(done.stderr.splitlines()) == 1
    assert nothing_left(tmp_path)
