"""On which line of a TOML text each key stands, so that an error can name it.

``tomllib`` reads the values and says whether the text is TOML at all; it does not say where a value
stood. This scanner does, for text that ``tomllib`` has accepted.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from typing import Any, Final, TypeAlias

from osong.errors import InputError

__all__ = ["KeyPath", "TomlLines", "printable", "read_toml"]

KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys from the top down; positions, from 0, within arrays."""

_BLANK: Final = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_SPACE: Final = re.compile(r"[ \t]*")
_KEY: Final = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""")
_STRING: Final = re.compile(
    # A multi-line string may end in up to five quotes: two are its own.
    r'''"""(?:\\.|[^\\])*?"""(?:"{0,2})|"(?:\\.|[^"\\\n])*"'''
    r"""|\'\'\'.*?\'\'\'(?:\'{0,2})|'[^'\n]*'""",
    re.DOTALL,
)
_BARE_VALUE: Final = re.compile(r"[^,\]}#\n]+")
_AT_LINE: Final = re.compile(r"^(?P<what>.*) \(at line (?P<line>\d+), column \d+\)$", re.DOTALL)
_REMEDIES: Final = (
    ("Invalid value", 'texts stand in quotes ("EGFR"), true and false do not'),
    ("Cannot overwrite", "a key stands once in its table"),
    ("Cannot declare", "a table stands once; several targets are written [[target]] each"),
    ("Cannot mutate", "a table in braces cannot be added to"),
    ("Duplicate inline", "a key stands once in its table"),
    ("Expected '=' after a key", "a line is: key = value, or a heading: [table]"),
    ("Expected newline", "one key = value a line; texts stand in quotes"),
    ("Invalid statement", "a line is: key = value, or a heading: [table]"),
    ("Unterminated string", "the closing quote is missing"),
    ("Unclosed array", "the closing bracket is missing"),
    ("Unclosed inline table", "the closing brace is missing"),
    ("Illegal character", "the closing quote is missing, or a character that texts cannot hold"),
    ("Unescaped '\\'", "within double quotes a backslash is written twice; or use single quotes"),
)
"""By how the message of ``tomllib`` begins."""


def read_toml(data: bytes, name: str) -> tuple[dict[str, Any], TomlLines]:
    """Return the values of a TOML text and the lines of its keys.

    Parameters
    ----------
    data
        The text, as it lies on the disk.
    name
        What messages call it.

    Raises
    ------
    InputError
        It is no TOML; one line names the place and the remedy.
    """
    try:
        # Editors of one system begin a text with a mark that TOML does not know.
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{name}:{line}: is no text in UTF-8 (byte {data[error.start]:#04x}); save it as UTF-8"
        ) from error
    try:
        return tomllib.loads(text), TomlLines(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name}:{_syntax_problem(error, text)}") from error
    except RecursionError as error:
        raise InputError(
            f"{name}:1: lists within lists too deep to be meant; see the file"
        ) from error


def _syntax_problem(error: tomllib.TOMLDecodeError, text: str) -> str:
    """Return "line: what is wrong: the line itself" of what tomllib says."""
    lines = text.removesuffix("\n").split("\n")
    found = _AT_LINE.match(str(error))
    if found is None:
        what, line = str(error).removesuffix(" (at end of document)"), len(lines)
    else:
        what, line = found["what"], int(found["line"])
    written = lines[line - 1].strip() if line <= len(lines) else ""
    shown = f": {written[:80]}" if written else ""
    remedy = next((remedy for begin, remedy in _REMEDIES if what.startswith(begin)), "mend it")
    return printable(f"{line}: {what[:1].lower()}{what[1:]}; {remedy}{shown}")


def printable(text: str) -> str:
    """Return a text on one line, without characters that could play tricks on a terminal."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


class TomlLines:
    r"""The line of every key and array item of a TOML text, from 1.

    Parameters
    ----------
    text
        What ``tomllib.loads`` has accepted.

    Examples
    --------
    >>> lines = TomlLines('a = 1\n[b]\nc.d = [2,\n 3]\n[[e]]\nf = 4\n')
    >>> lines.of(("b", "c", "d", 1)), lines.of(("e", 0, "f")), lines.of(("b", "unknown"))
    (4, 6, 2)
    """

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._begins = [0, *(found.end() for found in re.finditer("\n", self._text))]
        self._lines: dict[KeyPath, int] = {}
        self._n_tables: dict[KeyPath, int] = {}
        self._scan()

    def of(self, path: KeyPath) -> int:
        """Return the line of a key, or of the nearest thing around it that is in the text."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    @property
    def paths(self) -> dict[KeyPath, int]:
        """The line of each path."""
        return dict(self._lines)

    def _scan(self) -> None:
        table: KeyPath = ()
        while self._skip(_BLANK):
            if self._text.startswith("[[", self._at):
                table = self._array_header()
            elif self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _array_header(self) -> KeyPath:
        """Read ``[[a.b]]``; return the path of the new item."""
        line = self._line()
        self._at += 2
        *above, last = self._keys()
        self._at += 2
        path = (*self._table(above, line), last)
        index = self._n_tables.get(path, 0)
        self._n_tables[path] = index + 1
        self._note(path, line)
        return self._note((*path, index), line)

    def _header(self) -> KeyPath:
        """Read ``[a.b]``; return the path of the table."""
        line = self._line()
        self._at += 1
        keys = self._keys()
        self._at += 1
        path = self._table(keys, line)
        self._lines[path] = line  # not that of a table within it that came before
        return path

    def _table(self, keys: list[str], line: int) -> KeyPath:
        """Return the path that a header's keys mean: of an array of tables, its last item."""
        path: KeyPath = ()
        for key in keys:
            path = self._note((*path, key), line)
            if path in self._n_tables:
                path = (*path, self._n_tables[path] - 1)
        return path

    def _pair(self, table: KeyPath) -> None:
        """Read ``a.b = value``."""
        line = self._line()
        path = table
        for key in self._keys():
            path = self._note((*path, key), line)
        self._at += 1
        self._skip(_SPACE)
        self._value(path)

    def _keys(self) -> list[str]:
        """Read keys with dots between them, and the blanks around them."""
        keys = []
        while True:
            self._skip(_SPACE)
            found = self._take(_KEY)
            keys.append(found if found[0] not in "\"'" else next(iter(tomllib.loads(f"{found}=0"))))
            self._skip(_SPACE)
            if self._text[self._at] != ".":
                return keys
            self._at += 1

    def _value(self, path: KeyPath) -> None:
        begin = self._text[self._at]
        if begin == "[":
            self._array(path)
        elif begin == "{":
            self._inline_table(path)
        elif begin in "\"'":
            self._take(_STRING)
        else:
            self._take(_BARE_VALUE)

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        while self._skip(_BLANK) and self._text[self._at] != "]":
            self._value(self._note((*path, index), self._line()))
            index += 1
            self._skip_comma()
        self._at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        while self._skip(_BLANK) and self._text[self._at] != "}":
            self._pair(path)
            self._skip_comma()
        self._at += 1

    def _skip_comma(self) -> None:
        self._skip(_BLANK)
        self._at += self._text.startswith(",", self._at)

    def _note(self, path: KeyPath, line: int) -> KeyPath:
        """Keep the first line of a path; return the path."""
        self._lines.setdefault(path, line)
        return path

    def _line(self) -> int:
        return bisect_right(self._begins, self._at)

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        """Skip what matches; return whether there is more."""
        self._take(pattern)
        return self._at < len(self._text)

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise AssertionError(f"line {self._line()} is TOML that this scanner does not know")
        self._at = found.end()
        return found[0]
