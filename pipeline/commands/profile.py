"""wazn profile paper: write the complete params.yaml of a profile."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config.messages import nearest
from pipeline.config.params import check
from pipeline.config.yaml_text import parse_yaml, read_text
from pipeline.errors import WaznError
from pipeline.files import replacing

FOLDER = Path("profiles")
# Complete and commented; every other profile holds what differs from it.
DEFAULT = "default"
_KEY = re.compile(r"( *)([\w-]+):(.*)")


def run(name: str, target: Path, keep_changes: bool = False) -> None:
    """Write the parameter file of a profile to `target`, and name the licences of its models.

    Args:
        target: what is there is replaced.
        keep_changes: refuse to replace a file that is not as one of the profiles is written.

    Raises:
        WaznError: there is no such profile, its values are not allowed, or the file has other changes.
    """
    text = complete(name)
    if keep_changes and _is_changed(target):
        raise WaznError(
            f"{target}: has changes of your own, so it stays as it is; `dvc repro` runs it, and "
            f"`wazn profile {name}` replaces it"
        )
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"{target}: profile {name}; `dvc repro` runs what it changes")
    params = check(parse_yaml(text, str(target)), str(target))
    for model in (*params.models, *params.encoders):
        entry = params.registry[model]
        if entry.license:
            print(f"{entry.title} ({entry.source}): licence {entry.license}")


def names() -> list[str]:
    """The profiles that there are."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def complete(name: str) -> str:
    """The text of the default profile with the values of profile `name` in it; its comments stay.

    Mappings are merged key by key; a list or a single value takes the place of the default's.

    Raises:
        WaznError: as `run`.
    """
    known = names()
    if name not in known:
        raise WaznError(
            f"no profile '{name}' in {FOLDER}/{nearest(name, known)}; it has {', '.join(known)}"
        )
    path = FOLDER / f"{name}.yaml"
    text, values = _read(FOLDER / f"{DEFAULT}.yaml")
    if name == DEFAULT:
        check(values, str(path))
        return text
    changes, changed = _read(path)
    values = _merge_values(values, changed)
    check(values, str(path))
    sections = _parse(text.splitlines())
    _merge(sections, _parse(changes.splitlines()))
    text = "\n".join(line for section in sections for line in section.lines()) + "\n"
    if _safe_values(text) != values:
        raise WaznError(
            f"{path}: write it as profiles/default.yaml is: keys without quotes, each on a line of its own "
            "and indented by two spaces, values on the same line or as a list below, no anchors"
        )
    return text


def _is_changed(path: Path) -> bool:
    """Whether a file is there that is not the text of a profile."""
    if not path.exists():
        return False
    text = read_text(path)
    for name in names():
        # A profile with a mistake has written no file.
        with suppress(WaznError):
            if text == complete(name):
                return False
    return True


@dataclass
class _Entry:
    """A key of a block-style YAML mapping, as lines of text.

    Attributes:
        comments: the comments and blank lines before it.
        head: the line of the key, with its value if that stands on the same line.
        body: the lines of a list below it; entries: the keys of a mapping below it.
    """

    key: str
    comments: list[str]
    head: str
    body: list[str] = field(default_factory=list)
    entries: "list[_Entry]" = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        yield from (*self.comments, self.head, *self.body)
        for entry in self.entries:
            yield from entry.lines()


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    text = read_text(path)
    return text, parse_yaml(text, str(path))


def _safe_values(text: str) -> dict[str, Any] | None:
    """The values of merged text; None where the merge has broken it."""
    try:
        return parse_yaml(text, "")
    except WaznError:
        return None


def _merge_values(values: Any, changes: Any) -> Any:
    """What the text must say once `changes` are merged into it."""
    if not (isinstance(values, dict) and isinstance(changes, dict)):
        return changes
    return values | {key: _merge_values(values.get(key), change) for key, change in changes.items()}


def _parse(lines: Sequence[str]) -> list[_Entry]:
    """The keys of the mapping that `lines` hold; all of them are indented alike."""
    keys = [match for line in lines if (match := _KEY.fullmatch(line))]
    indent = min((len(match[1]) for match in keys), default=0)
    entries: list[_Entry] = []
    waiting: list[str] = []
    for line in lines:
        match = _KEY.fullmatch(line)
        deeper = len(line) - len(line.lstrip()) > indent
        if match and len(match[1]) == indent:
            entries.append(_Entry(match[2], waiting, line))
            waiting = []
        elif line.strip() and deeper and entries:
            # Blank lines and comments that stood between belong to what goes on.
            entries[-1].body += [*waiting, line]
            waiting = []
        else:
            waiting.append(line)
    for entry in entries:
        first = next((line.strip() for line in entry.body if not line.lstrip().startswith("#")), "- ")
        if not first.startswith("-"):
            entry.entries, entry.body = _parse(entry.body), []
    return entries


def _merge(entries: list[_Entry], changes: Sequence[_Entry]) -> None:
    for change in changes:
        entry = next((entry for entry in entries if entry.key == change.key), None)
        if entry is None:
            entries.append(change)
        elif entry.entries and change.entries:
            _merge(entry.entries, change.entries)
        else:
            entry.head, entry.body, entry.entries = change.head, change.body, change.entries
