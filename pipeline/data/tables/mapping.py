"""From a table's rows to rows with wazn's columns: joined columns, and dialogues as several rows."""

from collections import Counter
from collections.abc import Iterator, Sequence

import pandas as pd

from pipeline.data.tables.columns import Columns
from pipeline.data.tables.dialogues import exchanges
from pipeline.data.tables.names import shown_columns
from pipeline.data.tables.table import Table, batched
from pipeline.errors import WaznError

_SHARED = 0.1


def mapped_batches(table: Table, columns: Columns, ours: Sequence[str]) -> Iterator[pd.DataFrame]:
    """The rows of a table in batches, with the columns `ours` as text; the index holds their lines.

    A dialogue gives a row for each exchange; where `text` is wanted, one row with its first question.
    Where a column is made of several, their texts are joined by a blank line. Left out are those that
    are empty, and one that stands before another and that a tenth of such rows or more (of the first
    batch) have: it is a direction to a model ("answer as a physician"), and no complaint.

    Raises:
        WaznError: as `Table.batches`; or a cell is no dialogue where one is expected.
    """
    if columns.messages is not None:
        yield from _dialogues(table, columns, ours)
        return
    theirs = list(dict.fromkeys(name for names in columns.parts.values() for name in names))
    shared = {
        name: texts for names in columns.parts.values() for name, texts in _shared(table, names).items()
    }
    for batch in table.batches(theirs):
        texts = {name: _joined(batch, columns.parts[name], shared) for name in ours}
        yield pd.DataFrame(texts, index=batch.index, dtype="str")


def _dialogues(table: Table, columns: Columns, ours: Sequence[str]) -> Iterator[pd.DataFrame]:
    messages = str(columns.messages)
    others = [name for name in ours if name in columns.parts]
    theirs = [columns.parts[name][0] for name in others]

    def rows() -> Iterator[tuple[int, list[str]]]:
        for line, (dialogue, *cells) in table.cells([messages, *theirs]):
            try:
                found = exchanges(dialogue)
            except ValueError:
                [shown] = shown_columns([messages], [messages])
                raise WaznError(
                    f"{table.name}, row {line}, column '{shown}': expected a dialogue, that is turns with "
                    "a `role` (user, assistant or system) and `content`, or `from` and `value`"
                ) from None
            texts = [table.text(cell, line, name) for cell, name in zip(cells, theirs, strict=True)]
            if "text" in ours:
                yield line, [next((question for question, _ in found if question), ""), *texts]
            else:
                for question, answer in found:
                    yield line, [question, answer, *texts]

    first = ["text"] if "text" in ours else ["question", "answer"]
    for batch in batched(rows(), [*first, *others]):
        yield batch[list(ours)]


def _shared(table: Table, names: Sequence[str]) -> dict[str, frozenset[str]]:
    """For each column but the last, the texts that many rows have in which the last is not empty."""
    if len(names) == 1:
        return {}
    batch = next(table.batches(names))
    batch = batch[batch[names[-1]].str.strip() != ""]
    found = {}
    for name in names[:-1]:
        counts = Counter(batch[name])
        least = max(2.0, _SHARED * len(batch))
        found[name] = frozenset(text for text, rows in counts.items() if rows >= least)
    return found


def _joined(batch: pd.DataFrame, names: Sequence[str], shared: dict[str, frozenset[str]]) -> list[str]:
    if len(names) == 1:
        return batch[names[0]].tolist()
    result = []
    for texts in zip(*(batch[name] for name in names), strict=True):
        kept = [
            text
            for name, text in zip(names, texts, strict=True)
            if text.strip() and not (texts[-1].strip() and text in shared.get(name, ()))
        ]
        result.append("\n\n".join(kept))
    return result
