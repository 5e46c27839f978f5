"""YAML is read as DVC reads it, and what DVC refuses is one sentence."""

import math
import string
import warnings

import hypothesis.strategies as st
import pytest
from dvc.utils.serialize import load_yaml
from hypothesis import example, given, settings

from pipeline.config.yaml_text import parse_yaml, read_text
from pipeline.errors import WaznError

SCALARS = [
    *(
        "017",
        "0o17",
        "0o18",
        "0x1F",
        "0b11",
        "08",
        "1_000",
        "+1",
        "-0",
        "1:30",
        "190:20:30",
        "12e03",
        "1e3",
    ),
    *(
        "1E-5",
        "2e-4",
        "1.",
        ".5",
        "1.0e-4",
        ".inf",
        "-.INF",
        ".nan",
        "1e999",
        "0.1",
        "6.02e+23",
        "--1",
        "1e",
    ),
    *(
        "yes",
        "no",
        "on",
        "off",
        "y",
        "n",
        "true",
        "True",
        "TRUE",
        "false",
        "null",
        "Null",
        "~",
        "''",
        "None",
    ),
    *("2001-01-01", "2001-12-14t21:59:43.10-05:00", "2001-1-1 1:1:1", "12:30", "2001-13-01", "2001-02-30"),
    *("!!str 1", "!!int '7'", "!!float 1", "!!bool yes", "!!binary aGk=", "!!set {a, b}", "!!omap [a: 1]"),
    *(
        "!!python/object/apply:os.system [id]",
        "!mine x",
        "! 1",
        "!!int x",
        "!!timestamp x",
        "!!null x",
        "=",
        "<<",
    ),
    *(
        "[1, 2",
        "{a: 1}",
        "{a: 1, a: 2}",
        "[a, [b]]",
        "*none",
        "&a 1",
        "'a",
        '"\\ud800"',
        '"\\x00"',
        "a: b",
        "a #b",
    ),
    *(
        "|\n  text\n  more",
        ">-\n  folded\n  text",
        "'a\n\n  b'",
        "\n  - 1\n  - 2",
        "\n- 1",
        "\n  b: 1\n  b: 2",
    ),
    *(
        "@x",
        "`x`",
        "%x",
        "\t1",
        "1\t",
        "1 \t# note",
        "\ufeffx",
        "x\u2028y",
        "x\x85y",
        "نص",
        "'%'",
        "?",
        "-",
        ": ",
    ),
    "9" * 5000,
]
DOCUMENTS = [
    *("", "\n", "# note\n", "---\n", "{}", "[]", "text", "1", "null", "~: 1", "1: 2", "true: 1", "[a]: 1"),
    *(
        "a: 1\r\nb: 2\r\n",
        "a: 1\rb: 2\r",
        "\ufeffa: 1\n",
        "---\na: 1\n...\n",
        "a: 1\n---\nb: 2\n",
        "a: 1\n...\nb\n",
    ),
    *(
        "%YAML 1.1\n---\na: 017\nb: yes\n",
        "%YAML 1.2\n---\na: 017\n",
        "%YAML 1.3\n---\na: 1\n",
        "%YAML 2.0\n---\na: 1\n",
    ),
    *(
        "%TAG ! tag:x,2000:\n---\na: !b 1\n",
        "a: &x 1\nb: &x 2\nc: *x\n",
        "a: &x {k: 1}\nb:\n  <<: *x\n  l: 2\n",
    ),
    *(
        "a: &x {k: 1}\nb:\n  <<: *x\n  <<: *x\n",
        "a: &x {k: 1}\nb:\n  <<: [*x, {k: 2, l: 3}]\n",
        "<<: {a: 1}\na: 2\n",
    ),
    *(
        "a: 1\na: 1\n",
        "a:\n  b: 1\n  'b': 2\n",
        "? {a: b}\n: 1\n",
        "? [a, b]\n: 1\n",
        ".nan: 1\n",
        "a: 1\n b: 2\n",
    ),
    *(
        "a:\n\t- 1\n",
        "a: b: c\n",
        "- a: 1\n  b: 2\n",
        "a: 1\n2001-01-01: 2\n",
        "a\n",
        "a: 1\n\x00",
        "a: \x07\n",
    ),
]


def by_dvc(text, folder):
    """What DVC makes of a file with this text; None where it refuses it."""
    path = folder / "dvc.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load_yaml(str(path))
    except Exception:
        return None


def ours(text, folder):
    """What we make of it; None where it is refused, in one line that names the file."""
    path = folder / "ours.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        return parse_yaml(read_text(path), str(path))
    except WaznError as error:
        assert str(error).startswith(str(path))
        assert "\n" not in str(error)
        return None


def same(one, other):
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(a, b) and same(one[a], other[b]) for a, b in zip(one, other, strict=True)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return one == other


def agree(text, folder):
    expected, found = by_dvc(text, folder), ours(text, folder)
    if not isinstance(expected, dict) or not expected:
        # To DVC an empty file has no parameters; a list is no parameter file.
        assert not found
    else:
        assert same(found, expected)


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda text: ascii(text)[:24])
def test_value_is_what_dvc_reads(scalar, tmp_path):
    agree(f"key: {scalar}\n", tmp_path)
    agree(f"key: [{scalar}]\nother:\n  - {scalar}\n", tmp_path)


@pytest.mark.parametrize("text", DOCUMENTS, ids=lambda text: ascii(text)[:24])
def test_document_is_what_dvc_reads(text, tmp_path):
    agree(text, tmp_path)


PIECES = st.sampled_from(
    [*SCALARS[:-1], "a", "b", "\n", "\n  ", "\n- ", ": ", ", ", "[", "]", "{", "}", "&x ", "*x", "#"]
)


@settings(max_examples=300, deadline=None)
@given(
    text=st.lists(PIECES, max_size=12).map("".join) | st.text(string.printable + "ن\u200f\x85", max_size=40)
)
@example(text="a: !!timestamp 2001-99-99\n")
def test_whatever_stands_there_is_what_dvc_reads(tmp_path_factory, text):
    agree(text, tmp_path_factory.getbasetemp())


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 100_000 + "]" * 100_000,
        "a: " + "{a: " * 100_000,
        "".join(" " * depth + "a:\n" for depth in range(2000)),
        "- " * 1500,
    ],
    ids=["lists", "mappings", "keys", "items"],
)
def test_what_is_nested_too_deeply_is_one_sentence(text, tmp_path):
    assert ours(text, tmp_path) is None


def layers(count, layer):
    """A mapping, then ones that each repeat the one before nine times."""
    return "a0: &a0 {x: 1}\n" + "".join(
        f"a{number}: &a{number} {layer.format(', '.join([f'*a{number - 1}'] * 9))}\n"
        for number in range(1, count)
    )


@pytest.mark.parametrize(
    "text",
    [layers(30, "[{}]"), layers(9, "{{<<: [{}]}}"), "a: &a [*a]\n", "a: &a {b: *a}\n", "a: &a {<<: *a}\n"],
    ids=["lists", "merged keys", "itself", "itself as value", "itself merged"],
)
def test_anchors_that_repeat_each_other_are_refused_at_once(text):
    with pytest.raises(WaznError, match=r"^params\.yaml: not valid YAML \(its anchors repeat each other"):
        parse_yaml(text, "params.yaml")


def test_anchors_within_reason_are_read(tmp_path):
    agree(layers(4, "{{<<: [{}]}}"), tmp_path)


@pytest.mark.parametrize("name", ["none/params.yaml", "params.yaml"])
def test_file_that_cannot_be_there_says_where_to_run(name, tmp_path):
    (tmp_path / "none").touch()
    with pytest.raises(WaznError, match="project's folder"):
        read_text(tmp_path / name)


def test_file_whose_name_is_too_long_is_told_as_such(tmp_path):
    with pytest.raises(WaznError, match=r"could not be read \(File name too long\)"):
        read_text(tmp_path / ("p" * 300))
