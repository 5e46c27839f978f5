"""GGUF files of installed distributions, which the tests lay out as an installer does."""

import hashlib
import json

import pytest
import torch
from gguf_files import refusal

from pipeline.base_models.gguf import convert
from pipeline.models.runtime import load_decoder

SOURCE = "gguf:minute-gguf==1.0/minute.gguf"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs distributions into a folder of the import path; importing one would end the tests."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))

    def install(name, files, version="1.0", requires=()):
        package = name.replace("-", "_")
        files = {f"{package}/__init__.py": b"raise SystemExit('imported')"} | {
            f"{package}/data/{file}": content for file, content in files.items()
        }
        information = f"{package}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"
        metadata += "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
        record = "".join(
            f"{file},,\n" for file in [*files, f"{information}/METADATA", f"{information}/RECORD"]
        )
        files |= {f"{information}/METADATA": metadata.encode(), f"{information}/RECORD": record.encode()}
        for file, content in files.items():
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            (site / file).write_bytes(content)
        return site / package / "data"

    return install


@pytest.fixture
def content(good):
    return good.read_bytes()


def sums(content):
    return f"{'0' * 64}  other.gguf\n{hashlib.sha256(content).hexdigest()} *minute.gguf\n".encode()


def parts(content, count=3):
    size = -(-len(content) // count)
    return {
        f"minute.gguf.part{number:02}": content[number * size : (number + 1) * size]
        for number in range(count)
    }


@pytest.mark.parametrize("split", ["whole", "in parts", "in parts of others"])
def test_a_file_of_an_installed_distribution_is_converted(split, installed, content, local, tmp_path):
    if split == "whole":
        installed("minute-gguf", {"minute.gguf": content, "SHA256SUMS": sums(content)})
    elif split == "in parts":
        installed("minute-gguf", parts(content) | {"SHA256SUMS": sums(content)})
    else:
        needs = ["minute-gguf-a==1.0", "minute-gguf-b (==1.0)", "numpy>=1", 'absent==3; extra == "more"']
        installed("minute-gguf", {"SHA256SUMS": sums(content)}, requires=needs)
        first, second, third = parts(content).items()
        # Who has which part says nothing of their order.
        installed("minute-gguf-a", dict([second]))
        installed("minute-gguf-b", dict([third, first]))
    convert(SOURCE, tmp_path / "out", local, decoder=True)
    note = json.loads((tmp_path / "out" / "source.json").read_text(encoding="utf-8"))
    assert (note["source"], note["sha256"]) == (SOURCE, hashlib.sha256(content).hexdigest())
    assert load_decoder(tmp_path / "out", torch.float32, 512).config.model_type == "qwen2"


def test_more_than_ten_parts_are_joined_in_the_order_of_their_numbers(installed, content, local, tmp_path):
    installed("minute-gguf", parts(content, 12))
    convert(SOURCE, tmp_path / "out", local, decoder=True)
    note = json.loads((tmp_path / "out" / "source.json").read_text(encoding="utf-8"))
    assert note["sha256"] == hashlib.sha256(content).hexdigest()


def nothing(install, content):
    pass


def other_version(install, content):
    install("minute-gguf", {"minute.gguf": content}, version="1.1")


def another_file(install, content):
    install("minute-gguf", {"large.gguf": content})


def requirement_missing(install, content):
    install("minute-gguf", {}, requires=["minute-gguf-a==1.0"])


def requirement_of_other_version(install, content):
    install("minute-gguf", {}, requires=["minute-gguf-a==1.0"])
    install("minute-gguf-a", parts(content), version="2.0")


def gap(install, content):
    install("minute-gguf", {name: part for name, part in parts(content).items() if "01" not in name})


def without_first(install, content):
    install("minute-gguf", {name: part for name, part in parts(content).items() if "00" not in name})


def twice(install, content):
    install("minute-gguf", parts(content), requires=["minute-gguf-a"])
    install("minute-gguf-a", dict(list(parts(content).items())[:1]))


def without_last(install, content):
    install("minute-gguf", dict(list(parts(content).items())[:2]))


def another_checksum(install, content):
    install("minute-gguf", {"minute.gguf": content, "SHA256SUMS": sums(content + b"\0")})


def deleted(install, content):
    (install("minute-gguf", {"minute.gguf": content}) / "minute.gguf").unlink()


def unrecorded(install, content):
    folder = install("minute-gguf", {})
    folder.mkdir()
    (folder / "minute.gguf").write_bytes(content)


BAD_INSTALLATIONS = {
    nothing: "the package minute-gguf is not installed; run `pip install minute-gguf==1.0`",
    other_version: "minute-gguf 1.1 is installed, 1.0 is asked for",
    another_file: "no file of this name in minute-gguf, nor in what it requires",
    unrecorded: "no file of this name in minute-gguf, nor in what it requires",
    requirement_missing: "the package minute-gguf-a is not installed; run `pip install minute-gguf==1.0`",
    requirement_of_other_version: "minute-gguf-a 2.0 is installed, 1.0 is asked for",
    gap: "of its parts part 01 is not installed",
    without_first: "of its parts part 00 is not installed",
    twice: "of its parts one is there twice",
    without_last: "is cut off",
    another_checksum: "differs from the SHA-256 that minute-gguf 1.0 names for it",
    deleted: "minute_gguf/data/minute.gguf of minute-gguf was installed and is gone",
}


@pytest.mark.parametrize("bad", BAD_INSTALLATIONS, ids=lambda bad: bad.__name__)
def test_an_installation_without_the_file_is_one_sentence(bad, installed, content, local, tmp_path):
    bad(installed, content)
    assert BAD_INSTALLATIONS[bad] in refusal(SOURCE, tmp_path / "base" / "out", local)
