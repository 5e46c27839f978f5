"""Files that one stage reads of another's, checked before they are used.

Such a file may be cut off, damaged, edited by hand or left by an older version. Then the reader ends in
one sentence that names the file, what is wrong with it, and the command that makes it again.
"""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from pipeline.errors import WaznError
from pipeline.os_errors import refused, system_error
from pipeline.paths import CHECKPOINTS, RATINGS, maker


def missing(path: Path) -> WaznError:
    """The error for a file that an earlier stage should have written."""
    return WaznError(f"{path}: no such file; run `dvc repro`, which makes what a stage needs")


def damaged(path: Path, problem: str) -> WaznError:
    """The error for a file or folder of an earlier stage that is not as that stage writes it.

    Args:
        problem: what is wrong, as the middle of a sentence; never a text from the file.
    """
    if path.parts[:2] == ("models", "base") or path.parts[:1] == CHECKPOINTS.parts:
        # Its name does not tell the stage, or the stage would take it up again.
        remedy = f"remove {Path(*path.parts[:3])} and run `dvc repro`, which makes it again"
    elif path == RATINGS:
        remedy = "remove it and import the raters' files again by `wazn review import`"
    elif stage := maker(path):
        remedy = f"run `dvc repro --force --single-item {stage}`, which makes it again"
    else:
        remedy = "run `dvc repro` to make it again"
    return WaznError(f"{path}: {problem}; {remedy}")


def read_json(path: Path, shape: Any = Any) -> Any:
    """Read a JSON file that another stage wrote.

    Args:
        shape: a type for pydantic, such as `dict[str, list[Source]]`, which the values must have; they
            are returned as they are.

    Raises:
        WaznError: the file is missing, is not JSON, or has not this shape.
    """
    try:
        return read_values(path, shape)
    except UnusableJson as error:
        raise damaged(path, str(error)) from error


def read_values(path: Path, shape: Any) -> Any:
    """The values of a JSON file, whoever wrote it; see `read_json`.

    Raises:
        WaznError: the file is missing or cannot be read.
        UnusableJson: it is no JSON, or has not this shape.
    """
    with reading(path):
        content = path.read_bytes()
    return json_values(content, shape)


def read_csv(path: Path, columns: Mapping[str, type], separator: str = ",") -> pd.DataFrame:
    """Read a CSV file that another stage wrote.

    Args:
        columns: those that are read, and their types, of which `float` takes finite numbers only.

    Raises:
        WaznError: the file is missing, is not CSV, or lacks a column, a value or all rows.
    """
    try:
        with reading(path):
            table = pd.read_csv(path, sep=separator, encoding="utf-8", keep_default_na=False, dtype=str)
    except (ValueError, pd.errors.ParserError):
        raise damaged(path, "not readable as CSV") from None
    if lacking := [name for name in columns if name not in table]:
        raise damaged(path, f"it has no column '{lacking[0]}'")
    if table.empty:
        raise damaged(path, "it has no rows")
    for name, kind in columns.items():
        try:
            table[name] = table[name].map(kind)
        except ValueError:
            raise damaged(path, f"column '{name}' has a value that is no number") from None
        if kind is float and not table[name].map(math.isfinite).all():
            raise damaged(path, f"column '{name}' has a value that is not finite")
    return table[list(columns)]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what the system says to a read in the block into one sentence.

    Raises:
        WaznError: the file is missing, or the system refused to read it.
    """
    try:
        yield
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        # pyarrow calls a damaged file an OSError too, but without a number.
        if system_error(error) is None:
            raise
        raise refused(path, "read", error) from error


def checked_json(path: Path, content: bytes, shape: Any) -> Any:
    """The values of JSON that was read from `path`; see `read_json`."""
    try:
        return json_values(content, shape)
    except UnusableJson as error:
        raise damaged(path, str(error)) from error


class UnusableJson(ValueError):
    """What is wrong with JSON, as the middle of a sentence; never a text from it."""


def json_values(content: bytes, shape: Any) -> Any:
    """The values of JSON, wherever it comes from; see `read_json`.

    Raises:
        UnusableJson: it is no JSON, or has not this shape.
    """
    try:
        value = json.loads(content.decode("utf-8"), parse_constant=_no_number, parse_float=_finite)
    except RecursionError as error:
        raise UnusableJson("not valid JSON (nested too deeply)") from error
    except json.JSONDecodeError as error:
        raise UnusableJson(f"not valid JSON (line {error.lineno}: {error.msg})") from error
    except UnicodeDecodeError as error:
        raise UnusableJson("not valid JSON (not text in UTF-8)") from error
    except ValueError as error:
        raise UnusableJson(f"not valid JSON ({error})") from error
    return of_shape(value, shape)


def of_shape(value: Any, shape: Any) -> Any:
    """The value, which has a shape; see `read_json`.

    Raises:
        UnusableJson: it has not; the message names the first place.
    """
    try:
        TypeAdapter(shape).validate_python(value)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = " ".join(".".join(map(str, problem["loc"])).split())[:100] or "it"
        said = (
            "is missing" if problem["type"] == "missing" else problem["msg"][0].lower() + problem["msg"][1:]
        )
        raise UnusableJson(f"{place}: {said}") from None
    return value


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError("a number is too large")
    return number
