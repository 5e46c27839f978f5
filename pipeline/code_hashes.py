"""One hash for each stage, over the code that its result depends on.

A stage depends on the modules that it imports, directly or not, and on the data files that these name in
`DATA_FILES`. Of a module the syntax tree counts, without docstrings and comments, so that a hash changes
only where what runs changes. What stands under `if TYPE_CHECKING:` is not imported and does not count.
"""

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent
STAGES = PACKAGE / "stages"


def stage_names() -> list[str]:
    """The stages that have a module, without `code`, which computes these hashes."""
    return sorted(path.stem for path in STAGES.glob("*.py") if path.stem not in ("__init__", "code"))


def stage_files(stage: str) -> list[Path]:
    """The files of this package that the hash of a stage covers, in the order of their names.

    An empty module holds nothing that could change a result, and is left out.
    """
    return _covered_files(STAGES / f"{stage}.py")


def code_hash(stage: str) -> str:
    """SHA-256 over names and content of `stage_files`, in hexadecimal digits."""
    return module_hash(STAGES / f"{stage}.py")


def module_hash(module: Path) -> str:
    """As `code_hash`, for what a module of this package depends on."""
    state = hashlib.sha256()
    for path in _covered_files(module):
        content = _tree(path) if path.suffix == ".py" else path.read_bytes()
        state.update(f"{path.relative_to(PACKAGE).as_posix()}\0{len(content)}\0".encode() + content)
    return state.hexdigest()


def imported_modules(path: Path, *, types: bool = False) -> set[Path]:
    """The modules of this package that the module at `path` imports itself.

    Args:
        types: whether what is imported for type checking only counts too.
    """
    tree = _parsed(path) if types else _without_types(_parsed(path))
    return {file for name in _imported_names(tree) for file in _module_files(name)}


def _covered_files(module: Path) -> list[Path]:
    return sorted(path for path in _reachable(module) if path.stat().st_size)


def _reachable(module: Path) -> set[Path]:
    reached: set[Path] = set()
    waiting = [module]
    while waiting:
        path = waiting.pop()
        if path in reached:
            continue
        reached.add(path)
        if path.suffix == ".py":
            waiting += [*imported_modules(path), *_data_files(path)]
    return reached


def _imported_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module_files(name: str) -> Iterator[Path]:
    """The files that importing `name` runs: those of its packages, and its own or that of its module."""
    first, *parts = name.split(".")
    if first != PACKAGE.name:
        return
    for end in range(len(parts) + 1):
        stem = PACKAGE.joinpath(*parts[:end])
        yield from (path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file())


def _data_files(path: Path) -> Iterator[Path]:
    """The files that a module names in `DATA_FILES`, by patterns relative to its folder."""
    for node in _parsed(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DATA_FILES":
            for pattern in ast.literal_eval(node.value):
                yield from path.parent.glob(pattern)


@functools.cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _without_types(tree: ast.Module) -> ast.Module:
    body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    ]
    return ast.Module(body, [])


@functools.cache
def _tree(path: Path) -> bytes:
    return "".join(_dump(_without_types(_parsed(path)))).encode()


def _dump(node: object) -> Iterator[str]:
    """A syntax tree as text, the same under every version of Python: ast.dump differs between them."""
    if isinstance(node, ast.AST):
        yield f"{type(node).__name__}("
        for name, value in ast.iter_fields(node):
            # Versions differ in fields that are empty.
            if value is not None and value != []:
                yield f"{name}="
                yield from _dump(value)
        yield ")"
    elif isinstance(node, list):
        # A string that stands as a statement is a docstring, or explains the value before it.
        yield "["
        for item in node:
            if not (
                isinstance(item, ast.Expr)
                and isinstance(item.value, ast.Constant)
                and isinstance(item.value.value, str)
            ):
                yield from _dump(item)
        yield "]"
    else:
        yield f"{node!r},"
