"""Read a table of text from CSV, TSV, JSONL, XLSX or Parquet."""

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from pipeline.errors import WaznError


def read_table(path: Path) -> pd.DataFrame:
    """Read every column of the table at `path` as text; a missing value is the empty string.

    The index holds each row's line: its record number counted from the header as 1 in a table
    with a header (CSV, TSV, XLSX), its line in JSONL, its row number from 1 in Parquet.

    Raises:
        WaznError: no such file, an unknown ending, or content that is not of the format.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(sorted(_READERS))
        raise WaznError(f"{path}: cannot tell the format by its name; expected one of {known}")
    try:
        table = reader(path)
    except FileNotFoundError:
        raise WaznError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise WaznError(
            f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8 and try again"
        ) from error
    except pd.errors.EmptyDataError:
        raise WaznError(f"{path}: the file is empty; expected a header and rows") from None
    except WaznError:
        raise
    except Exception as error:
        # What a damaged file makes the libraries raise has no common kind (zlib, lxml, pyarrow, …),
        # and their messages may quote the text of a row: so any kind, and only its name is shown.
        raise WaznError(
            f"{path}: not readable as {path.suffix.lower()[1:].upper()} ({type(error).__name__})"
        ) from error
    if table.empty:
        raise WaznError(f"{path}: the table has no rows")
    return table


def _delimited(separator: str) -> Callable[[Path], pd.DataFrame]:
    def read(path: Path) -> pd.DataFrame:
        # index_col: without it, rows of one field more than the header would shift silently.
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            try:
                table = pd.read_csv(
                    path,
                    sep=separator,
                    dtype=str,
                    keep_default_na=False,
                    encoding="utf-8-sig",
                    index_col=False,
                )
            except (pd.errors.ParserError, pd.errors.ParserWarning):
                raise WaznError(
                    f"{path}: a row has more fields than the header; quote fields that hold the separator"
                ) from None
        return _numbered(table.fillna(""), first=2)

    return read


def _xlsx(path: Path) -> pd.DataFrame:
    table = pd.read_excel(path, dtype=str, keep_default_na=False, engine="openpyxl")
    return _numbered(table.fillna(""), first=2)


def _parquet(path: Path) -> pd.DataFrame:
    table = pd.read_parquet(path)
    return _numbered(table.apply(lambda column: column.map(_as_text)), first=1)


def _jsonl(path: Path) -> pd.DataFrame:
    rows, lines = [], []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                raise WaznError(f"{path}, line {number}: not valid JSON") from None
            if not isinstance(row, dict):
                raise WaznError(f"{path}, line {number}: expected a JSON object")
            rows.append({key: _as_text(value) for key, value in row.items()})
            lines.append(number)
    return pd.DataFrame(rows, index=lines, dtype=str).fillna("")


def _as_text(value: object) -> str:
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, float) and math.isnan(value):
        return ""
    # JSON can hold half of a surrogate pair, UTF-8 and so Parquet cannot.
    return str(value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _numbered(table: pd.DataFrame, first: int) -> pd.DataFrame:
    return table.set_axis(range(first, first + len(table)))


_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": _delimited(","),
    ".tsv": _delimited("\t"),
    ".jsonl": _jsonl,
    ".xlsx": _xlsx,
    ".parquet": _parquet,
}
