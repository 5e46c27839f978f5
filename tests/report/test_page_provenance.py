import re
import subprocess

from pipeline.report import provenance


def git(*arguments):
    subprocess.run(
        ["git", "-c", "user.name=n", "-c", "user.email=e", *arguments], check=True, capture_output=True
    )


def test_the_commit_is_named_and_so_are_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.commit() == ""
    git("init", "-q")
    (tmp_path / "params.yaml").write_text("a: 1\n")
    git("add", "params.yaml")
    git("commit", "-q", "-m", "first")
    head = provenance.commit()
    assert re.fullmatch("[0-9a-f]{40}", head)
    (tmp_path / "other").write_text("not in git\n")
    assert provenance.commit() == head
    (tmp_path / "params.yaml").write_text("a: 2\n")
    assert provenance.commit() == f"{head}, with uncommitted changes"


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() == ""


def test_versions_name_what_computes():
    found = provenance.versions()
    assert {"Python", "torch", "transformers", "bert-score", "sacrebleu"} <= set(found)
    assert all(re.match(r"\d+\.\d+", number) for number in found.values())
