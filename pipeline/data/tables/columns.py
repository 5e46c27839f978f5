"""Which column of a table is which, by the names that params.yaml gives or by their usual names.

docs/data.md lists the usual names; a test compares.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.data.tables.names import USUAL_COLUMNS, alike, folded, listed, shown_columns
from pipeline.errors import WaznError

_OF_DIALOGUES = ("question", "answer", "text")
_INSTRUCTIONS = ("instruction", "input")

Asked = Mapping[str, str | Sequence[str] | None]


@dataclass(frozen=True)
class Columns:
    """Which column of a table holds what.

    Attributes:
        parts: wazn's column to the table's own, of which there may be several to join.
        messages: the column with dialogues, which `question` and `answer`, or `text`, are taken from.
    """

    parts: Mapping[str, tuple[str, ...]]
    messages: str | None = None

    def mapped(self, asked: Asked) -> dict[str, str]:
        """For provenance: wazn's columns, in the order of `asked`, and what each is made of."""
        columns = {ours: " + ".join(shown_columns(parts, parts)) for ours, parts in self.parts.items()}
        if self.messages is not None:
            [messages] = shown_columns([self.messages], [self.messages])
            columns |= {ours: messages for ours in asked if ours in _OF_DIALOGUES}
        return {ours: columns[ours] for ours in asked if ours in columns}


def choose_columns(
    columns: Sequence[str],
    asked: Asked,
    messages: str | None,
    optional: Sequence[str],
    key: str,
    name: str,
) -> Columns:
    """Which column of a table holds what, in pairs, instruction data and chat data.

    Dialogues are taken where params.yaml names their column; or where it names neither question nor
    answer, a usual name gives not both, and a column has a usual name of dialogues. Where `instruction`
    or `input` would be the question, and the table has both, the question is both.

    Args:
        columns: those of the table.
        asked: what is looked for, and the columns' names if params.yaml gives them.
        messages: the name of the column with dialogues if params.yaml gives it.
        optional: which may be absent where params.yaml does not name them.
        key: where the source stands in params.yaml, for messages.
        name: what messages call the table.

    Raises:
        WaznError: see `find_columns`.
    """
    single = {ours: given for ours, given in asked.items() if given is None or isinstance(given, str)}
    of_dialogues = [ours for ours in asked if ours in _OF_DIALOGUES]
    unnamed = all(asked[ours] is None for ours in of_dialogues)
    column = None
    if messages is not None:
        column = find_columns(columns, {"messages": messages}, [], key, name)["messages"]
    elif unnamed and not all(_usual(columns, ours, key, name) for ours in of_dialogues):
        column = _usual(columns, "messages", key, name)
    if column is not None:
        single = {ours: given for ours, given in single.items() if ours not in _OF_DIALOGUES}
    found = find_columns(columns, single, optional, key, name)
    parts: dict[str, tuple[str, ...]] = {ours: (theirs,) for ours, theirs in found.items()}
    for ours, given in asked.items():
        if column is None and given is not None and not isinstance(given, str):
            each = [find_columns(columns, {ours: part}, [], key, name)[ours] for part in given]
            parts[ours] = tuple(dict.fromkeys(each))
        elif given is None and ours in parts and folded(parts[ours][0]) in _INSTRUCTIONS:
            both = find_columns(columns, dict.fromkeys(_INSTRUCTIONS), _INSTRUCTIONS, key, name)
            if len(both) == len(_INSTRUCTIONS):
                parts[ours] = tuple(both.values())
    return Columns(parts, column)


def find_columns(
    columns: Sequence[str],
    asked: Mapping[str, str | None],
    optional: Sequence[str],
    key: str,
    name: str,
) -> dict[str, str]:
    """Which column of a table holds what.

    Args:
        columns: those of the table.
        asked: what is looked for, and the column's name if params.yaml gives it.
        optional: which of these may be absent where params.yaml does not name them.
        key: where the source stands in params.yaml, for messages.
        name: what messages call the table.

    Returns:
        What is looked for, in the order of `asked`, to the table's column.

    Raises:
        WaznError: a column is not there, or nothing with a usual name is, or a name is that of several
            columns; the columns are listed, by their numbers where their names may be texts.
    """
    mapped: dict[str, str] = {}
    for ours, given in asked.items():
        if given is None:
            column = _usual(columns, ours, key, name)
        else:
            column = _alone(alike(columns, given), columns, _named(key, ours), name)
        if column is not None:
            mapped[ours] = column
        elif given is not None or ours not in optional:
            missing = (
                f"no column '{given}' ({_named(key, ours)})" if given else f"no column known as {ours}"
            )
            advice = "" if given else f"; name it in {_named(key, ours)}"
            there = shown_columns(columns, filter(None, asked.values()))
            unknown = all(shown.startswith("column ") for shown in there)
            header = "; if the first row is no header, add one" if unknown else ""
            raise WaznError(f"{name}: {missing}{advice}{header}; the columns are: {listed(there)}")
    return mapped


def _usual(columns: Sequence[str], ours: str, key: str, name: str) -> str | None:
    """The column with the first of the usual names that there is."""
    keys = [folded(column) for column in columns]
    for usual in map(folded, USUAL_COLUMNS.get(ours, (ours,))):
        found = [column for column, key in zip(columns, keys, strict=True) if key == usual]
        if found:
            return _alone(found, columns, _named(key, ours), name)
    return None


def _alone(found: Sequence[str], columns: Sequence[str], named: str, name: str) -> str | None:
    if len(found) > 1:
        numbers = " and ".join(str(columns.index(column) + 1) for column in found)
        raise WaznError(
            f"{name}: the names of columns {numbers} differ only in spelling; rename one, or give the "
            f"exact name in {named}"
        )
    return found[0] if found else None


def _named(key: str, ours: str) -> str:
    """Where params.yaml names a column."""
    return f"{key}.{ours.replace('p_', 'probabilities.', 1) if ours.startswith('p_') else ours}"
