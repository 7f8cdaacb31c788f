"""Which line a key stands on: against a writer that knows, and `tomllib` for what there is."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osong.errors import InputError
from osong_workflows.toml_lines import TomlLines, read_toml

NAMES = st.sampled_from(["a", "b", "long-key_9", "dots.in it", "#no comment", '"', "ü", "[", "'='"])
PLAIN = [
    "1",
    "-2.5e3",
    "true",
    "1979-05-27 07:32:00",
    "inf",
    '"text # with ] and }, \\" and \\\\"',
    "'literal \\'",
    '""',
]
LONG = [
    '"""two\n= [lines] # no\n"""',
    '"""ends in quotes\\""" x"""""',
    "'''one\n[two]\n'''''",
    '"""\\\n   next"""',
    "''''quoted'\n'''",
]


def written(key: str) -> str:
    """A key as TOML wants it."""
    if key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key):
        return key
    return "'" + key + "'" if "'" not in key else '"' + key.replace('"', '\\"') + '"'


class Writer:
    """Writes TOML and notes on which line each path came to stand."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[tuple[str | int, ...], int] = {}

    def put(self, text: str) -> None:
        self.text += text

    def note(self, path: tuple[str | int, ...]) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def one_of(self, *choices: str) -> str:
        return self.draw(st.sampled_from(choices))

    def blank(self) -> str:
        return self.one_of("", " ", "\t ")

    def gap(self) -> str:
        """What may stand between the items of an array."""
        return self.one_of("", " ", "\n", "\n  # a ] comment\n\t")

    def value(self, path: tuple[str | int, ...], depth: int) -> None:
        kind = self.one_of("plain", "plain", "long", "array", "inline") if depth else "plain"
        if kind == "array":
            self.put("[" + self.gap())
            for i in range(self.draw(st.integers(0, 3))):
                self.note((*path, i))
                self.value((*path, i), depth - 1)
                self.put(self.gap() + "," + self.gap())
            self.put("]")
        elif kind == "inline":
            self.put("{" + self.blank())
            names = self.draw(st.lists(NAMES, max_size=3, unique=True))
            for i, name in enumerate(names):
                self.put("," if i else "")
                self.pair((*path, name), [name], depth - 1)
            self.put("}")
        else:
            self.put(self.one_of(*(LONG if kind == "long" else PLAIN)))

    def pair(self, path: tuple[str | int, ...], keys: list[str], depth: int) -> None:
        self.put(self.blank())
        for i in range(len(path) - len(keys) + 1, len(path) + 1):
            self.note(path[:i])
        dot = self.blank() + "." + self.blank()
        self.put(dot.join(map(written, keys)) + self.blank() + "=" + self.blank())
        self.value(path, depth)
        self.put(self.blank())

    def body(self, table: tuple[str | int, ...]) -> None:
        for name in self.draw(st.lists(NAMES, max_size=4, unique=True)):
            keys = [name, *self.draw(st.lists(NAMES, max_size=2))]
            self.pair((*table, *keys), keys, 2)
            self.put(self.one_of("\n", " # a comment = [\n", "\n\n  \n"))


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[tuple[str | int, ...], int]]:
    writer = Writer(draw)
    writer.put(draw(st.sampled_from(["", "# head\n\n"])))
    writer.body(())
    for number in range(draw(st.integers(0, 3))):
        top = f"table{number}"
        if draw(st.booleans()):
            writer.note((top,))
            writer.put(f"{writer.blank()}[{writer.blank()}{top} ] # heading\n")
            writer.body((top,))
            continue
        for i in range(draw(st.integers(1, 3))):
            writer.note((top,))
            writer.note((top, i))
            writer.put(f"[[{top}]]\n")
            writer.body((top, i))
            if draw(st.booleans()):
                writer.note((top, i, "inner tables"))
                writer.put(f"[{top} . 'inner tables']\n")
                writer.body((top, i, "inner tables"))
    return writer.text, writer.lines


def paths_of(value: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    """Every path within what `tomllib` read."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    found = {path} if path else set()
    return found.union(*(paths_of(inner, (*path, key)) for key, inner in items))


@given(documents(), st.booleans())
def test_every_path_has_its_line(
    document: tuple[str, dict[tuple[str | int, ...], int]], is_from_windows: bool
) -> None:
    text, lines = document
    if is_from_windows:
        text = text.replace("\n", "\r\n")
    scanned = TomlLines(text).paths
    assert scanned == lines
    assert set(scanned) == paths_of(tomllib.loads(text))


def test_what_is_missing_has_the_line_of_what_is_around_it() -> None:
    lines = TomlLines("\n[a.b]\nc = 1\n\n[a]\nd = 2\n")
    assert lines.of(("a", "b", "missing", 3)) == 2
    assert lines.of(("a", "missing")) == 5
    assert lines.of(("missing",)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a = 1\nb = EGFR\n", 'x.toml:2: invalid value; texts stand in quotes ("EGFR")'),
        (b"a = 1\na = 2\n", "x.toml:2: cannot overwrite a value; a key stands once"),
        (b"[a]\nb = 1\n[a]\nc = 2", "x.toml:3: cannot declare ('a',) twice; a table stands once"),
        (b"a = 1\n\nb\n", "x.toml:3: expected '=' after a key"),
        (b'a = """open\n\n', "x.toml:2: unterminated string; the closing quote is missing"),
        (b'a = "open\nb = 1\n', "x.toml:1: illegal character"),
        (b"a = [1,\n2\n", "x.toml:2: unclosed array; the closing bracket is missing"),
        (b"a = 'caf\xe9'\n", "x.toml:1: is no text in UTF-8 (byte 0xe9); save it as UTF-8"),
        (b'a = "C:\\data"\n', "a backslash is written twice"),
        (b"a = " + b"[" * 5000, "x.toml:1: lists within lists too deep"),
        (b"\x1f\x8b\x08", "x.toml:1: is no text in UTF-8"),
        (b"a = 1\n\x00\n", "x.toml:2: "),
    ],
)
def test_what_is_no_toml_is_named_with_its_line(text: bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_toml(text, "x.toml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_is_no_error() -> None:
    values, lines = read_toml(b"\xef\xbb\xbf# one\na = 1\n", "x.toml")
    assert values == {"a": 1}
    assert lines.of(("a",)) == 2
