"""Data sets of the Hub, which a server on this machine plays."""

import hashlib
import io
import json
import os
import subprocess
import sys

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from servers import content, serving, status

from pipeline.data.tables.parquet import Parquet

SHA = "0123456789abcdef0123456789abcdef01234567"
TRAP = b"import os\nos._exit(9)\n"
ROWS = {"train": [("صداع", "راحة"), ("حمى", None)], "test": [("سعال", "ماء")]}

# In a process of its own, as huggingface_hub reads its settings when it is imported.
OPEN = """
import json, sys
from pathlib import Path
import pandas as pd
from pipeline.data.tables.fetching import Patience
from pipeline.data.tables.sources import Limits, open_source
from pipeline.errors import WaznError
from pipeline.config.data import PairSource

for source in json.load(sys.stdin):
    try:
        source, _, configuration = source.partition(" ")
        entry = PairSource(source=source, configuration=configuration or None)
        limits = Limits(Path(), 1, Patience(1, 0))
        named = None if "chat" in source else "q", None if "chat" in source else "a"
        asked = dict(zip(["question", "answer"], named))
        with open_source("download.pairs.0", entry, asked, [], limits) as opened:
            rows = pd.concat(opened.batches())
        print(json.dumps([opened.provenance(len(rows)), rows.to_numpy().tolist()]))
    except WaznError as error:
        print(json.dumps(str(error)))
    except Exception as error:
        print(json.dumps(f"a traceback: {type(error).__name__}"))
"""


class Dataset:
    """What `datasets` and `huggingface_hub` ask of the Hub: a revision, its files, their bytes."""

    missing = staticmethod(content(b"{}", 404, **{"X-Error-Code": "EntryNotFound"}))

    def __init__(self, server, name, files, card=None):
        self.files = files | ({"README.md": card.encode()} if card else {})
        files = self.files
        base = f"/api/datasets/{name}"
        for revision in ("main", SHA):
            server.answers[f"{base}/revision/{revision}"] = self.info(name)
            server.answers[f"{base}/tree/{revision}"] = self.send_json([self.entry(f) for f in files])
            server.answers[f"{base}/tree/{revision}/data"] = self.missing
            server.answers[f"{base}/paths-info/{revision}"] = self.paths_info
            for file in (
                "README.md",
                ".huggingface.yaml",
                "dataset_infos.json",
                f"{name.split('/')[1]}.py",
            ):
                if file in files:
                    continue
                server.answers[f"/datasets/{name}/resolve/{revision}/{file}"] = self.missing
            for file in files:
                server.answers[f"/datasets/{name}/resolve/{revision}/{file}"] = self.file(file)

    def info(self, name):
        siblings = [{"rfilename": file} for file in self.files]
        return self.send_json({"id": name, "sha": SHA, "siblings": siblings, "tags": [], "private": False})

    def paths_info(self, handler):
        body = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
        self.send_json([self.entry(file) for file in self.files if file in body])(handler)

    def entry(self, file):
        data = self.files[file]
        return {"type": "file", "path": file, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}

    def file(self, file):
        return self.send(self.files[file])

    def send_json(self, value):
        return self.send(json.dumps(value).encode(), **{"Content-Type": "application/json"})

    def send(self, data, **headers):
        def answer(handler):
            handler.send_response(200)
            etag = f'"{hashlib.sha1(data).hexdigest()}"'
            described = {"Content-Length": str(len(data)), "ETag": etag, "X-Repo-Commit": SHA, **headers}
            for name, value in described.items():
                handler.send_header(name, value)
            handler.end_headers()
            if handler.command != "HEAD":
                handler.wfile.write(data)

        return answer


def csv_of(split):
    return pd.DataFrame(ROWS[split], columns=["q", "a"]).to_csv(index=False).encode()


def chat():
    turns = [{"role": "user", "content": "صداع"}, {"role": "assistant", "content": "راحة"}]
    buffer = io.BytesIO()
    pd.DataFrame({"messages": [turns, turns * 2]}).to_parquet(buffer)
    return buffer.getvalue()


def classes_of(names, numbers):
    """A Parquet file with a column of classes, as `datasets` writes it."""
    features = datasets.Features({"q": datasets.Value("string"), "a": datasets.ClassLabel(names=names)})
    rows = {"q": ["صداع"] * len(numbers), "a": numbers}
    buffer = io.BytesIO()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(buffer)
    return buffer.getvalue()


# A card that says which files make which configuration.
CARD = """---
configs:
- config_name: adults
  data_files: adults.csv
- config_name: children
  data_files: children.csv{more}
---
"""
CONFIGURED = {"adults.csv": csv_of("train"), "children.csv": csv_of("test")}


# A text that no output may have, in files that the library cannot read.
SECRET = "عندي مريم 0501234567"
DAMAGED = {"csv": f"q,a\n{SECRET},x\n{SECRET},x,y,z\n", "jsonl": f'{{"q": "x"}}\n{{"q": "{SECRET}\n'}


def parquet_of(split):
    buffer = io.BytesIO()
    pd.DataFrame(ROWS[split], columns=["q", "a"]).to_parquet(buffer)
    return buffer.getvalue()


SOURCES = (
    "hf:wazn/csv@main",
    f"hf:wazn/csv@{SHA}:train",
    "hf:wazn/parquet@main:test",
    "hf:wazn/script@main",
    "hf:wazn/csv@main:validation",
    "hf:wazn/csv@nowhere",
    "hf:wazn/unknown@main",
    "hf:wazn/broken@main",
    "hf:wazn/chat@main",
    "hf:wazn/classes@main",
    "hf:wazn/several@main",
    "hf:wazn/several@main children",
    "hf:wazn/several@main elders",
    "hf:wazn/default@main",
    "hf:wazn/csv@main children",
    *(f"hf:wazn/damaged{kind}@main" for kind in DAMAGED),
)


def open_elsewhere(sources, folder, port):
    unset = {"HF_HUB_OFFLINE", "HF_TOKEN", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "HUGGING_FACE_HUB_TOKEN"}
    kept = {k: v for k, v in os.environ.items() if k not in unset and not k.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-c", OPEN],
        input=json.dumps(sources),
        env={**kept, "HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(folder / "hf")},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert not any(part in done.stdout + done.stderr for part in SECRET.split()[1:])
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """What opening each of SOURCES gave: provenance and rows, or a sentence."""
    with serving() as server:
        Dataset(server, "wazn/csv", {"train.csv": csv_of("train"), "test.csv": csv_of("test")})
        data = {f"{split}-00000-of-00001.parquet": parquet_of(split) for split in ROWS}
        Dataset(server, "wazn/parquet", data)
        Dataset(server, "wazn/script", {"script.py": TRAP, "train.csv": csv_of("train")})
        Dataset(server, "wazn/chat", {"train.parquet": chat()})
        Dataset(server, "wazn/classes", {"train.parquet": classes_of(["بسيط", "حرج"], [1, 0, -1])})
        Dataset(server, "wazn/several", CONFIGURED, CARD.format(more=""))
        Dataset(server, "wazn/default", CONFIGURED, CARD.format(more="\n  default: true"))
        for kind, text in DAMAGED.items():
            Dataset(server, f"wazn/damaged{kind}", {f"train.{kind}": text.encode()})
        server.answers["/api/datasets/wazn/broken/revision/main"] = status(500)
        results = open_elsewhere(SOURCES, tmp_path_factory.mktemp("hub"), server.port)
    return dict(zip(SOURCES, results, strict=True))


def test_all_splits_follow_each_other_and_the_commit_is_noted(hub):
    source = "hf:wazn/csv@main"
    provenance, rows = hub[source]
    assert provenance == {
        "source": source,
        "commit": SHA,
        "records": 3,
        "rows": 3,
        "columns": ["q", "a"],
        "mapped": {"question": "q", "answer": "a"},
    }
    assert rows == [[source, 1, "صداع", "راحة"], [source, 2, "حمى", ""], [source, 3, "سعال", "ماء"]]


def test_a_split_is_read_alone(hub):
    _, rows = hub[f"hf:wazn/csv@{SHA}:train"]
    assert [row[1:] for row in rows] == [[1, "صداع", "راحة"], [2, "حمى", ""]]
    _, rows = hub["hf:wazn/parquet@main:test"]
    assert [row[1:] for row in rows] == [[1, "سعال", "ماء"]]


def test_dialogues_are_read_as_pairs(hub):
    provenance, rows = hub["hf:wazn/chat@main"]
    assert [row[1:] for row in rows] == [[1, "صداع", "راحة"], [2, "صداع", "راحة"], [2, "صداع", "راحة"]]
    assert (provenance["records"], provenance["rows"]) == (2, 3)


def test_classes_are_called_by_their_names(hub, tmp_path):
    _, rows = hub["hf:wazn/classes@main"]
    assert [row[3] for row in rows] == ["حرج", "بسيط", ""]
    path = tmp_path / "classes.parquet"
    path.write_bytes(classes_of(["بسيط", "حرج"], [1, 0, -1]))
    assert list(Parquet(path, "classes", 1).rows([1])) == [(1, ("حرج",)), (2, ("بسيط",)), (3, (None,))]


@pytest.mark.parametrize("metadata", [b"no JSON", b"[]", b'{"info": null}', b'{"info": {"features": []}}'])
def test_a_file_that_says_nothing_of_classes_keeps_its_numbers(tmp_path, metadata):
    table = pa.table({"a": [1, 0]}).replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, tmp_path / "t.parquet")
    assert list(Parquet(tmp_path / "t.parquet", "t", 1).rows([0])) == [(1, (1,)), (2, (0,))]


def test_a_configuration_is_chosen_by_name_or_by_default(hub):
    provenance, rows = hub["hf:wazn/several@main children"]
    assert provenance["source"] == "hf:wazn/several@main#children"
    assert [row[2:] for row in rows] == [["سعال", "ماء"]]
    _, rows = hub["hf:wazn/default@main"]
    assert [row[2:] for row in rows] == [["سعال", "ماء"]]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("several@main", "several configurations; set `configuration` to one of: adults, children"),
        (
            "several@main elders",
            "no configuration 'elders'; set `configuration` to one of: adults, children",
        ),
        ("csv@main children", "no configuration 'children'; set `configuration` to one of: default"),
    ],
)
def test_a_configuration_that_is_not_clear_is_one_sentence(hub, source, sentence):
    assert hub[f"hf:wazn/{source}"] == f"hf:wazn/{source.partition(' ')[0]}: {sentence}"


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_the_library_says_of_a_damaged_file_is_not_shown(hub, kind):
    """That no other output has the text is checked where the process ends."""
    assert "could not be fetched" in hub[f"hf:wazn/damaged{kind}@main"]


def test_a_missing_split_lists_those_there_are(hub):
    assert hub["hf:wazn/csv@main:validation"].endswith("no split 'validation'; it has train, test")


@pytest.mark.parametrize("source", ["hf:wazn/csv@nowhere", "hf:wazn/unknown@main", "hf:wazn/broken@main"])
def test_what_cannot_be_had_is_one_sentence(hub, source):
    sentence = hub[source]
    assert sentence.startswith(f"{source}: could not be fetched")
    assert "\n" not in sentence


def test_code_of_a_data_set_is_never_run(hub):
    """The trap would have ended the process, and every source after it would be missing."""
    assert hub["hf:wazn/script@main"].startswith("hf:wazn/script@main: could not be fetched")
    assert len(hub) == len(SOURCES)


def test_a_hub_that_is_down_is_one_sentence(tmp_path):
    with serving() as gone:
        port = gone.port
    [sentence] = open_elsewhere(["hf:wazn/csv@main"], tmp_path, port)
    assert sentence.startswith("hf:wazn/csv@main: could not be fetched")
