"""YAML that people write, read as DVC reads it."""

import re
import warnings
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from pipeline.errors import WaznError
from pipeline.os_errors import refused, system_error

# Values that a file may have once its anchors are written out; params.yaml has some five hundred.
MAX_VALUES = 100_000
# Brackets within brackets.
MAX_BRACKETS = 200


def read_text(path: Path) -> str:
    """The text of a parameter file.

    Raises:
        WaznError: it is missing, cannot be read, or is not text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise WaznError(
            f"{path}: no such file; run wazn in the project's folder, beside dvc.yaml"
        ) from None
    except OSError as error:
        raise refused(path, "read", system_error(error) or error) from error
    except ValueError as error:
        raise WaznError(f"{path}: not text in UTF-8; save it as UTF-8") from error


def parse_yaml(text: str, name: str) -> dict[str, Any]:
    """Keys and values of YAML, by the rules of YAML 1.2 and the parser that DVC calls.

    Raises:
        WaznError: it is not YAML with keys and values, a key is there twice, or its anchors repeat
            each other without end; names the line.
    """
    try:
        if _brackets(text) > MAX_BRACKETS:
            raise RecursionError
        with warnings.catch_warnings():
            # An anchor may be set anew.
            warnings.simplefilter("ignore")
            root = YAML(typ="safe").compose(text)
            if root is not None and _size(root, {}) > MAX_VALUES:
                raise WaznError(
                    f"{name}: not valid YAML (its anchors repeat each other to more than {MAX_VALUES} "
                    "values); write the values out"
                )
            values = YAML(typ="safe").load(text)
    except WaznError:
        raise
    except Exception as error:
        # Beside its own kinds the parser raises those of Python, for an impossible date say.
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or (str(error).splitlines() or [""])[0]
        if isinstance(error, RecursionError):
            problem = "nested too deeply"
        said = " ".join(str(problem or type(error).__name__).split())[:200]
        raise WaznError(f"{name}{where}: not valid YAML ({said})") from error
    if not isinstance(values, dict):
        found = "nothing" if values is None else f"a value of the type {type(values).__name__}"
        raise WaznError(f"{name}: expected keys and values, found {found}")
    return values


def _brackets(text: str) -> int:
    """Most brackets that are open at once, also where they are in a text or a comment.

    The time that the parser takes grows with their square.
    """
    depth = most = 0
    for bracket in re.findall(r"[\[{\]}]", text):
        depth += 1 if bracket in "[{" else -1
        most = max(most, depth)
    return most


def _size(node: Node, known: dict[int, float]) -> float:
    """Number of values below a node once its anchors are written out; infinite for one within itself.

    Args:
        known: those of nodes that were met before.
    """
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = float("inf")
    children: list[Node] = []
    if isinstance(node, MappingNode):
        children = [part for pair in node.value for part in pair]
    elif isinstance(node, SequenceNode):
        children = node.value
    known[id(node)] = 1 + sum(_size(child, known) for child in children)
    return known[id(node)]
