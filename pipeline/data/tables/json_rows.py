"""Tables as JSON: an object a line, or lists of objects or of columns in one file."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.data.tables.dialogues import is_dialogue
from pipeline.errors import WaznError

_BLANK = re.compile(r"[\s\ufeff]*")


class JsonLines:
    """One JSON object a line; the columns are the keys of all of them, so it is read twice."""

    def __init__(self, path: Path, name: str, encoding: str) -> None:
        self._path, self._name, self._encoding = path, name, encoding
        keys: dict[str, None] = {}
        for _, row in self._objects():
            keys.update(dict.fromkeys(row))
        self.columns = list(keys)

    def records(self) -> int:
        """The number of lines that are not blank."""
        with self._path.open(encoding=self._encoding) as file:
            return sum(_BLANK.fullmatch(line) is None for line in file)

    def rows(self, indices: Sequence[int]) -> Iterator[tuple[int, list[object]]]:
        """Each row's line in the file, and its values of the keys at `indices`.

        Raises:
            WaznError: a line is no JSON object.
        """
        keys = [self.columns[index] for index in indices]
        for number, row in self._objects():
            yield number, [row.get(key) for key in keys]

    def _objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        with self._path.open(encoding=self._encoding) as file:
            for number, line in enumerate(file, start=1):
                # Files that were put one after the other have a mark within.
                text = line.strip().strip("\ufeff")
                if not text:
                    continue
                where = f"{self._name}, line {number}"
                try:
                    row = _loads(text)
                except _Repeated:
                    raise WaznError(
                        f"{where}: a key stands twice in one object; keep one of them"
                    ) from None
                except RecursionError:
                    raise WaznError(f"{where}: nested too deeply for a table") from None
                except ValueError:
                    raise WaznError(f"{where}: not valid JSON; expected one object a line") from None
                if not isinstance(row, dict):
                    raise WaznError(f"{where}: expected a JSON object")
                yield number, row


class JsonList:
    """A list of JSON objects, which is held in memory."""

    def __init__(self, name: str, objects: Sequence[object]) -> None:
        """Take the items of the list.

        Raises:
            WaznError: one is no object; there is at least one object.
        """
        self._objects: list[dict[str, Any]] = []
        for number, row in enumerate(objects, start=1):
            if not isinstance(row, dict):
                raise WaznError(f"{name}, row {number}: expected a JSON object, as the other rows are")
            self._objects.append(row)
        self.columns = list(dict.fromkeys(key for row in self._objects for key in row))

    def records(self) -> int:
        """The number of objects."""
        return len(self._objects)

    def rows(self, indices: Sequence[int]) -> Iterator[tuple[int, list[object]]]:
        """Each row's number from 1, and its values of the keys at `indices`."""
        keys = [self.columns[index] for index in indices]
        for number, row in enumerate(self._objects, start=1):
            yield number, [row.get(key) for key in keys]


def json_lists(path: Path, name: str, encoding: str) -> dict[str, list[Any]]:
    """The lists in a JSON file that have objects in them, by their keys; "" for the whole file.

    A file of one list or of several objects one after the other is one list. So is a table that pandas
    writes by column, by row or as `split`, and the only object where it is a row: it has a dialogue, or a
    value that is neither list nor object.

    Raises:
        WaznError: the file is not valid JSON, or has no such list.
    """
    try:
        found = _lists(_values(path.read_text(encoding=encoding)))
    except _Repeated:
        raise WaznError(f"{name}: a key stands twice in one of its objects; keep one of them") from None
    except json.JSONDecodeError as error:
        raise WaznError(f"{name}, line {error.lineno}: not valid JSON") from None
    except RecursionError:
        raise WaznError(f"{name}: JSON that is nested too deeply for a table") from None
    if not found:
        raise WaznError(
            f"{name}: expected a list of JSON objects, an object with one, or an object whose values are "
            "columns of one length, found none"
        )
    return found


def _lists(values: list[Any]) -> dict[str, list[Any]]:
    if len(values) > 1:
        return _of_objects({"": values})
    [value] = values
    if not isinstance(value, dict):
        return _of_objects({"": value})
    if any(map(is_dialogue, value.values())):
        return {"": values}
    if lists := _of_objects(value):
        return lists
    rows = _rows_of_columns(value)
    if rows is None and any(not isinstance(part, list | dict) for part in value.values()):
        rows = values
    return {"": rows} if rows else {}


def _of_objects(lists: dict[str, Any]) -> dict[str, list[Any]]:
    """Those that are lists with an object in them."""
    return {
        key: rows
        for key, rows in lists.items()
        if isinstance(rows, list) and any(isinstance(row, dict) for row in rows)
    }


def _rows_of_columns(table: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The rows of a table as pandas' `to_json` and `to_dict` write it; None where it is no such table.

    The forms are `columns` (column, row, value), `index` (row, column, value; where the rows are
    numbered), `list` (column, values) and `split` (`columns`, `index` and `data`).
    """
    parts = list(table.values())
    if table.keys() >= {"columns", "data"} and table.keys() <= {"columns", "data", "index"}:
        return _split_rows(table["columns"], table["data"])
    if parts and all(isinstance(part, dict) and part.keys() == parts[0].keys() for part in parts):
        if all(map(str.isdecimal, table)) and not all(map(str.isdecimal, parts[0])):
            return parts
        return [{column: table[column][row] for column in table} for row in parts[0]]
    if parts and all(isinstance(part, list) and len(part) == len(parts[0]) for part in parts):
        return [dict(zip(table, row, strict=True)) for row in zip(*parts, strict=True)]
    return None


def _split_rows(names: object, data: object) -> list[dict[str, Any]] | None:
    if not isinstance(names, list) or not isinstance(data, list):
        return None
    if len(set(map(str, names))) < len(names):
        raise _Repeated
    if any(not isinstance(row, list) or len(row) != len(names) for row in data):
        return None
    return [dict(zip(map(str, names), row, strict=True)) for row in data]


class _Repeated(ValueError):
    """A key stands twice in one object, so that one of its values would be lost."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise _Repeated
    return row


def _constant(name: str) -> str | None:
    return None if name == "NaN" else name


# Numbers stay as they are written: 38.50 is no 38.5.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=str, parse_int=str, parse_constant=_constant
)


def _loads(text: str) -> Any:
    return _DECODER.decode(text)


def _values(text: str) -> list[Any]:
    """The JSON values in a text, one after the other; at least one."""
    values: list[Any] = []
    position = _end_of_blank(text, 0)
    while position < len(text) or not values:
        value, position = _DECODER.raw_decode(text, position)
        values.append(value)
        position = _end_of_blank(text, position)
    return values


def _end_of_blank(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position
