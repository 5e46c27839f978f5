"""wazn push: an export goes to the Hub, private, and only where licences let it."""

import json

import pytest
from commands import files_of
from hub_server import TOKEN, Hub, Repository, elsewhere

from pipeline.commands.exporting.sharing import forbidding, head_licence, unclear
from pipeline.commands.exporting.upload import upload
from pipeline.errors import WaznError

SCRIPT = """
import contextlib, json, sys
from pathlib import Path
from pipeline.commands.exporting.upload import upload
from pipeline.errors import WaznError

for folder, repository, options in json.load(sys.stdin):
    said = "done"
    with contextlib.redirect_stdout(sys.stderr):
        try:
            upload(Path(folder), repository, **options)
        except WaznError as error:
            said = str(error)
    print(json.dumps(said))
"""
PRIVATE = {"public": False, "licences_read": False}
PUBLIC = PRIVATE | {"public": True}
CARD = "---\nlanguage: ar\ntags:\n- medical\n---\n# A card\n"


@pytest.fixture
def folder(tmp_path):
    """An export whose licences are known."""
    return written(tmp_path / "export", {"base model hub:a/b@main": "Apache-2.0", "data sample": "MIT"})


def written(folder, licences):
    folder.mkdir()
    note = {"model": "m", "arm": "weighting", "licences": licences}
    for name, content in {"wazn.json": json.dumps(note), "README.md": CARD, "config.json": "{}"}.items():
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"weights" * 100)
    return folder


def pushed(hub, tmp_path, *asked, token=TOKEN):
    """What is said of each upload, all in one process; the local Hub has no Xet."""
    given = [(str(folder), repository, options) for folder, repository, options in asked]
    variables = {"HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1"}
    said, _ = elsewhere(SCRIPT, given, tmp_path / "home", hub.url, **variables)
    return said


@pytest.mark.slow
def test_it_uploads_everything_private_and_updates_what_is_there(folder, tmp_path):
    hub = Hub(made=tmp_path / "made")
    with hub.running():
        assert pushed(hub, tmp_path, (folder, "me/model", PRIVATE)) == ["done"]
        repository = hub.repositories["me/model"]
        assert repository.private
        assert files_of(repository.folder) == files_of(folder)
        (folder / "model.safetensors").unlink()
        (folder / "adapter_model.safetensors").write_bytes(b"adapter")
        (repository.folder / "notes.txt").write_text("somebody's own")
        assert pushed(hub, tmp_path, (folder, "me/model", PRIVATE)) == ["done"]
        assert files_of(repository.folder) == files_of(folder) | {"notes.txt": b"somebody's own"}


@pytest.mark.slow
def test_what_the_hub_refuses_is_one_sentence(folder, tmp_path):
    hub = Hub(made=tmp_path / "made")
    hub.repositories["me/seen"] = Repository(tmp_path / "seen")
    (tmp_path / "seen").mkdir()
    with hub.running():
        said = pushed(
            hub,
            tmp_path,
            (folder, "others/model", PRIVATE),
            (folder, "me/seen", PRIVATE),
            (folder, "a/b/c", PRIVATE),
            (folder, "me/public", PUBLIC),
        )
        [nobody] = pushed(hub, tmp_path, (folder, "me/model", PRIVATE), token="hf_another")
    assert said[0].startswith("others/model: you may not write there; set HF_TOKEN")
    assert said[1].startswith("me/seen: is there and public; add --public")
    assert files_of(tmp_path / "seen") == {}
    assert said[2] == "a/b/c: no repository can have this name; write owner/name"
    assert said[3] == "done"
    assert not hub.repositories["me/public"].private
    assert nobody.startswith("me/model: the Hub does not know who you are; set HF_TOKEN")
    [gone] = pushed(hub, tmp_path, (folder, "me/model", PRIVATE))
    assert gone.startswith(f"me/model: could not be uploaded to {hub.url} (")


@pytest.mark.parametrize(
    ("licences", "options", "sentence"),
    [
        ({"data t.csv": "CC BY-NC-ND 4.0"}, {}, r"licences forbid it: data t.csv \(CC BY-NC-ND 4.0\)"),
        ({"data t.csv": "cc-by-nd-4.0"}, {"licences_read": True}, "licences forbid it"),
        ({"data t.csv": "No redistribution"}, {"licences_read": True}, "licences forbid it"),
        ({"data t.csv": None}, {}, r"data t.csv \(no licence named\); read them.*add --licences-read"),
        (
            {"base model x": "Some Terms", "data y": "MIT"},
            {},
            r"allow passing it on: base model x \(Some Terms\); read",
        ),
        # As far as the Hub, which a test must not ask.
        ({"data t.csv": None}, {"licences_read": True}, "HF_HUB_OFFLINE is set, so nothing is uploaded"),
        ({"data t.csv": "Apache-2.0"}, {}, "HF_HUB_OFFLINE is set, so nothing is uploaded"),
    ],
)
def test_a_licence_that_forbids_it_or_is_not_known_stops_it(licences, options, sentence, tmp_path):
    with pytest.raises(WaznError, match=sentence):
        upload(written(tmp_path / "export", licences), "me/model", **PRIVATE | options)


@pytest.mark.parametrize("note", [None, "[", "{}", '{"model": 1}'])
def test_what_is_no_export_is_not_uploaded(note, tmp_path):
    if note is not None:
        (tmp_path / "wazn.json").write_text(note)
    with pytest.raises(
        WaznError, match=r"no export of wazn there|wazn\.json: is damaged; write the folder again"
    ):
        upload(tmp_path, "me/model", **PRIVATE)


def test_licences_are_told_apart():
    known = ["Apache-2.0", "mit", "CC-BY-SA-4.0", "bigscience-bloom-rail-1.0"]
    assert unclear(dict(enumerate(known))) == []
    for text in ("LFM Open License v1.0", "Gemma Terms of Use (ai.google.dev/gemma/terms)", "CC BY"):
        assert unclear({"it": text}) == [f"it ({text})"]
        assert forbidding({"it": text}) == []


def test_the_heads_licence_is_the_base_models_or_that_of_all_data():
    assert head_licence({"base model x": "MIT", "data y": "CC0-1.0"}) == "MIT"
    assert head_licence({"base model x": None, "data y": "CC0-1.0"}) is None
    assert head_licence({"data y": "CC0-1.0", "data z": "CC0-1.0"}) == "CC0-1.0"
    assert head_licence({"data y": "CC0-1.0", "data z": None}) is None
