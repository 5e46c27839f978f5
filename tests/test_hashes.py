import hashlib
import subprocess

import pytest

from pipeline.hashes import digest, folder_digest, json_digest, matches

CONTENT = "صداع\n".encode() * 300_000  # more than one block


@pytest.fixture
def path(tmp_path):
    (tmp_path / "f").write_bytes(CONTENT)
    return tmp_path / "f"


@pytest.mark.parametrize("kind", ["sha256", "md5", "sha1", "sha512"])
def test_a_hash_is_that_of_all_bytes(path, kind):
    assert digest(path, kind) == hashlib.new(kind, CONTENT).hexdigest()


def test_gitblob_is_what_git_says(path):
    done = subprocess.run(["git", "hash-object", path], check=True, capture_output=True, text=True)
    assert digest(path, "gitblob") == done.stdout.strip()


def test_a_hash_matches_its_own_kind_only(path):
    sha = hashlib.sha256(CONTENT).hexdigest()
    assert matches(path, f"sha256:{sha}")
    assert not matches(path, f"gitblob:{sha}")
    assert not matches(path, f"sha256:{sha[::-1]}")


def test_hash_of_a_folder_follows_names_and_contents(tmp_path):
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/a").write_text("1")
    seen = {folder_digest(folder)}
    (folder / "deep/a").write_text("2")
    seen.add(folder_digest(folder))
    (folder / "deep/a").rename(folder / "deep/b")
    seen.add(folder_digest(folder))
    assert len(seen) == 3


def test_hash_of_a_folder_does_not_depend_on_where_it_is_or_when_it_was_made(tmp_path):
    folders = [tmp_path / "one", tmp_path / "elsewhere"]
    for folder, names in zip(folders, ("ab", "ba"), strict=True):
        folder.mkdir()
        for name in names:
            (folder / name).write_text(name)
    assert folder_digest(folders[0]) == folder_digest(folders[1])


def test_hash_of_values_is_that_of_their_json_with_sorted_keys():
    expected = hashlib.sha256(b'[1, {"a": null, "b": 0.5}]').hexdigest()
    assert json_digest([1, {"b": 0.5, "a": None}]) == json_digest([1, {"a": None, "b": 0.5}]) == expected
    assert json_digest([1, {"a": None, "b": 0.25}]) != expected
