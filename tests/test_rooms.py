"""The folders of pipeline/ import each other one way only, so that each can be read by itself."""

import ast
from pathlib import Path

import pytest
from root import ROOT

from pipeline.code_hashes import PACKAGE, imported_modules

# From top to bottom: a folder imports what stands below it. "ground" is the files of pipeline/ itself.
ORDER = (
    "commands",
    "stages",
    "report",
    "evaluation",
    "training",
    "severity",
    "base_models",
    "models",
    "data",
    "text",
    "config",
    "ground",
)
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else "ground"


def arrows() -> set[tuple[str, str]]:
    """Who imports whom, between folders; what is imported for type checking only counts too."""
    return {
        (room(path), room(other))
        for path in MODULES
        # The command line stands above everything.
        if path.name != "__main__.py"
        for other in imported_modules(path, types=True)
        if other.name != "__init__.py" and room(path) != room(other)
    }


def test_every_folder_has_its_place():
    assert {room(path) for path in MODULES} == set(ORDER)


def test_imports_between_folders_run_down_only():
    up = sorted((one, other) for one, other in arrows() if ORDER.index(one) >= ORDER.index(other))
    assert up == []


def test_the_stages_know_nothing_of_each_other():
    stages = set((PACKAGE / "stages").glob("[!_]*.py"))
    for stage in stages:
        assert not (imported_modules(stage, types=True) & stages) - {stage}


def test_tables_are_read_without_the_rest_of_data():
    """data/tables/ reads files; what rows mean is decided above it."""
    tables = {path for path in MODULES if path.parent == PACKAGE / "data" / "tables"}
    rest = {path for path in MODULES if path.parent == PACKAGE / "data"}
    assert not {other for path in tables for other in imported_modules(path, types=True)} & rest


def test_the_design_page_shows_the_folders_in_this_order():
    text = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    places = [text.index(f"    {name}/" if name != "ground" else "    (ground)") for name in ORDER]
    assert places == sorted(places)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_can_be_read_at_one_sitting(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= (150 if room(path) == "stages" else 300)


def test_every_file_beside_the_code_is_named_by_the_module_that_reads_it():
    """Or the code hash of a stage would not change with it."""
    named = set()
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DATA_FILES":
                files = [
                    file for pattern in ast.literal_eval(node.value) for file in path.parent.glob(pattern)
                ]
                assert files, f"{path.name} names files that are not there"
                named |= set(files)
    beside = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert named == beside
