"""Which files of ours a module imports, found by reading the code."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def imported_files(module: Path) -> set[Path]:
    """Every file of pipeline/ that `module` imports, directly or not, and itself, relative to ROOT.

    What stands under `if TYPE_CHECKING:` is not imported when the code runs. Empty `__init__.py`
    files hold nothing that could change a result.
    """
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for name in _imports(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            waiting += _files(name)
    return {path for path in found if (ROOT / path).stat().st_size}


def _imports(tree: ast.AST) -> list[str]:
    names: list[str] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        names += _imports(node)
    return names


def _files(name: str) -> list[Path]:
    """The files that importing `name` runs: its own, or its module's if it is a name in one."""
    parts = name.split(".")
    if parts[0] != "pipeline":
        return []
    files = []
    for end in range(1, len(parts) + 1):
        stem = Path(*parts[:end])
        candidates = (stem.with_suffix(".py"), stem / "__init__.py")
        files += [candidate for candidate in candidates if (ROOT / candidate).is_file()]
    return files
