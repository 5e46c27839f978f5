"""wazn pin: write commits of the Hub in place of branches and tags, which may move."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from pipeline.base_models.hub import Kind, look_up
from pipeline.config.yaml_text import parse_yaml, read_text
from pipeline.errors import WaznError
from pipeline.files import replacing

_SOURCE = re.compile(r"(hub|hf):([\w.-]+/[\w.-]+)@([\w./-]+)(:.+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_KINDS: dict[str, Kind] = {"hub": "model", "hf": "dataset"}


class _Place(NamedTuple):
    """A source with a branch or tag, and where its value stands in the text of the file."""

    source: str
    revision: str
    start: int
    end: int


def run(path: Path) -> None:
    """Replace the branches and tags of the registry's `hub:` models and of `hf:` data sets by commits.

    All else of the file stays as it is: layout, comments, and sources with a commit. The branch stays as a
    comment, where the line has none yet.

    Args:
        path: a complete parameter file, or a profile.

    Raises:
        WaznError: the file cannot be read, or a commit cannot be looked up; then nothing is written.
    """
    text = read_text(path)
    values = parse_yaml(text, str(path))
    places = list(_places(YAML(typ="safe").compose(text)))
    commits = {source: _commit(source) for source in dict.fromkeys(place.source for place in places)}
    pinned = _replace(text, places, commits)
    expected = {place.source: _at(place.source, place.revision, commits[place.source]) for place in places}
    if parse_yaml(pinned, str(path)) != _with_sources(values, expected):
        raise WaznError(f"{path}: write each source on one line with its key, as profiles/paper.yaml does")
    if not places:
        print(f"{path}: no source of the Hub has a branch or tag, so it stays as it is")
        return
    with replacing(path) as temporary:
        temporary.write_text(pinned, encoding="utf-8")
    for source, commit in commits.items():
        print(f"{source}: {commit}")
    print(f"{path}: {len(places)} sources pinned")


def _places(root: Node) -> Iterator[_Place]:
    """The sources of the registry and of `download` that have no commit."""
    download = _under(root, "download")
    tables = [node for key in ("pairs", "labelled") for node in _under(download, key).values()]
    seen = set()
    for entry in [*_under(root, "registry").values(), *tables]:
        node = _children(entry).get("source")
        if node is None:
            continue
        found = _SOURCE.fullmatch(str(node.value))
        # An anchor leads to one place twice.
        if found and not _COMMIT.fullmatch(found[3]) and node.start_mark.index not in seen:
            seen.add(node.start_mark.index)
            yield _Place(found[0], found[3], node.start_mark.index, node.end_mark.index)


def _under(node: Node | dict[str, Node], key: str) -> dict[str, Node]:
    children = node if isinstance(node, dict) else _children(node)
    return _children(children[key]) if key in children else {}


def _children(node: Node) -> dict[str, Node]:
    """The nodes below a node by their keys, or by their numbers."""
    if isinstance(node, MappingNode):
        return {str(key.value): value for key, value in node.value}
    return {str(n): value for n, value in enumerate(node.value)} if isinstance(node, SequenceNode) else {}


def _commit(source: str) -> str:
    """The commit of a source now.

    Raises:
        WaznError: it cannot be looked up.
    """
    scheme, name, revision, _ = _SOURCE.fullmatch(source).groups()  # type: ignore[union-attr]  # it has matched
    commit, called = look_up(source, name, revision, _KINDS[scheme])
    if not _COMMIT.fullmatch(commit):
        raise WaznError(f"{source}: what answers there names no commit, so it is no Hub; check HF_ENDPOINT")
    if called != name:
        print(f"{source}: is called {called} now; the old name leads there")
    return commit


def _at(source: str, revision: str, commit: str) -> str:
    return source.replace(f"@{revision}", f"@{commit}", 1)


def _replace(text: str, places: list[_Place], commits: dict[str, str]) -> str:
    """The text with commits; from its end on, so that places stay where they are."""
    for place in sorted(places, key=lambda place: place.start, reverse=True):
        before, value, after = text[: place.start], text[place.start : place.end], text[place.end :]
        line, newline, rest = after.partition("\n")
        if not line.strip():
            line = f"  # {place.revision}"
        text = before + _at(value, place.revision, commits[place.source]) + line + newline + rest
    return text


def _with_sources(values: Any, pinned: dict[str, str], key: str = "") -> Any:
    """The values with other sources."""
    if isinstance(values, dict):
        return {key: _with_sources(value, pinned, key) for key, value in values.items()}
    if isinstance(values, list):
        return [_with_sources(value, pinned) for value in values]
    return pinned.get(values, values) if key == "source" and isinstance(values, str) else values
