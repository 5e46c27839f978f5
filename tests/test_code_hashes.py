"""The hash of a stage's code changes where what runs can change, and only there."""

import importlib
import shutil
import subprocess
import sys

import pytest
from root import ROOT

STAGES = ("base_encoder", "base_model", "download", "embed_references", "evaluate", "finetune")
STAGES += ("normalise", "report", "review", "score", "train_classifier")


class Package:
    """A copy of the package, to change at will."""

    def __init__(self, folder):
        self.folder = folder
        shutil.copytree(
            ROOT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__")
        )

    def hashes(self):
        code = (
            "from pipeline.code_hashes import *\nfor stage in stage_names(): print(stage, code_hash(stage))"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True)
        return dict(line.split() for line in done.stdout.splitlines())

    def change(self, name, old, new):
        path = self.folder / "pipeline" / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def changed(self, name, old, new):
        """The stages whose hash another text of a file changes."""
        before = self.hashes()
        self.change(name, old, new)
        after = self.hashes()
        return {stage for stage in before if before[stage] != after[stage]}


@pytest.fixture
def package(tmp_path):
    return Package(tmp_path)


def test_every_stage_but_code_has_a_hash(package):
    hashes = package.hashes()
    assert tuple(hashes) == STAGES
    assert len(set(hashes.values())) == len(STAGES)
    assert all(len(digest) == 64 for digest in hashes.values())


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("errors.py", "class WaznError", "# A comment.\nclass WaznError"),
        ("errors.py", "Bad input:", "Bad input, that is:"),
        pytest.param(
            *("errors.py", "class WaznError(Exception):\n", "class WaznError(\n    Exception\n):\n"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("severities.py", '"""The three severities', '"""Our three severities'), marks=pytest.mark.slow
        ),
        pytest.param(
            "config/base.py",
            "Positive = Annotated[int, Field(gt=0, lt=2**63)]",
            "Positive = Annotated[int, Field(gt=1)]",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["comment", "docstring", "layout", "docstring of a module", "schema"],
)
def test_what_changes_no_result_changes_no_hash(package, name, old, new):
    assert package.changed(name, old, new) == set()


def test_a_line_of_the_errors_changes_every_hash(package):
    assert package.changed(
        "errors.py", "class WaznError(Exception):", "class WaznError(ValueError):"
    ) == set(STAGES)


def test_a_line_of_the_loss_changes_finetune_and_evaluate_alone(package):
    path = package.folder / "pipeline/training/loss.py"
    before = package.hashes()
    path.write_text(path.read_text(encoding="utf-8") + "\nA_LINE = 1\n", encoding="utf-8")
    after = package.hashes()
    assert {stage for stage in STAGES if before[stage] != after[stage]} == {"evaluate", "finetune"}


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("report/page.css", {"report"}),
        pytest.param("report/page.html", {"report"}, marks=pytest.mark.slow),
        pytest.param("report/review.html", {"report"}, marks=pytest.mark.slow),
        pytest.param("report/plots/bars.json", {"report"}, marks=pytest.mark.slow),
        pytest.param("evaluation/urgency.yaml", {"report", "review"}, marks=pytest.mark.slow),
        pytest.param("severity/lexicon.yaml", {"download"}, marks=pytest.mark.slow),
        ("data/formulas.yaml", {"normalise"}),
    ],
)
def test_a_file_beside_the_code_counts_for_the_stages_that_read_it(package, name, stages):
    before = package.hashes()
    path = package.folder / "pipeline" / name
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    after = package.hashes()
    assert {stage for stage in STAGES if before[stage] != after[stage]} == stages


def test_a_module_that_is_imported_within_a_function_counts(package):
    path = package.folder / "pipeline/stages/score.py"
    path.write_text(
        path.read_text(encoding="utf-8") + "\n\ndef late():\n    import pipeline.commands.code\n",
        encoding="utf-8",
    )
    before = package.hashes()
    package.change("commands/code.py", "print(code_hash(stage))", "print(stage)")
    after = package.hashes()
    assert {stage for stage in STAGES if before[stage] != after[stage]} == {"score"}


def test_the_hash_is_that_of_every_version_of_python(package):
    """ast.dump gives other text under 3.13; ours must not, or every stage would rerun there."""
    others = [path for version in ("3.12", "3.13") if (path := shutil.which(f"python{version}"))]
    ours, code = package.hashes(), "from pipeline.code_hashes import *; print(code_hash('report'))"
    tried = 0
    for python in others:
        done = subprocess.run(
            [python, "-c", code], cwd=package.folder, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            tried += 1
            assert done.stdout.strip() == ours["report"]
    if not tried:
        pytest.skip("no other version of Python on this machine")


def test_the_stage_writes_what_dvc_reads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    importlib.import_module("pipeline.stages.code").run()
    lines = (tmp_path / "code.yaml").read_text(encoding="utf-8").splitlines()
    assert [line.split(": ")[0] for line in lines] == list(STAGES)


def test_wazn_code_lists_what_a_hash_covers(capsys):
    importlib.import_module("pipeline.commands.code").run("finetune")
    *files, digest = capsys.readouterr().out.splitlines()
    assert "pipeline/training/loss.py" in files
    assert "pipeline/report/page.py" not in files
    assert files == sorted(files)
    assert digest == importlib.import_module("pipeline.code_hashes").code_hash("finetune")
