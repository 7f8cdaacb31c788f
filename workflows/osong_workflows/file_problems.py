"""What is wrong with a campaign file: one line a problem, with file, line, key and remedy."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, get_args

from pydantic import BaseModel

from osong.errors import InputError
from osong_workflows.file_tables import CampaignTables, TargetTable
from osong_workflows.toml_lines import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic import ValidationError

    from osong_workflows.toml_lines import KeyPath, TomlLines

__all__ = ["CampaignFileError", "Place", "non_finite", "problems_of", "tables_of"]

_ADD: Final = {
    "library": 'is missing; add a line such as library = "molecules.smi.gz"',
    "target": 'is missing; add [target] and below it name = "EGFR", or receptor and ligand_box',
}
_WANTED: Final = {
    "string_type": "should be a text, in quotes",
    "int_type": "should be a whole number",
    "float_type": "should be a number",
    "bool_type": "should be true or false, without quotes",
    "tuple_type": "should be a list, in brackets",
    "model_type": "should be a table: [{key}], and its keys below",
    "int_from_float": "should be a whole number",
}
_COLUMN: Final = "should be the name of a column, or its number from 0"
_SHOWN_CHARACTERS: Final = 40


class CampaignFileError(InputError):
    """A campaign file cannot be used; ``problems`` has a line for everything that is wrong."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        n_more = len(self.problems) - 1
        more = "" if n_more < 1 else f" (and {n_more} more problem{'' if n_more == 1 else 's'})"
        super().__init__(f"{self.problems[0]}{more}")

    def __reduce__(self) -> tuple[object, tuple[tuple[str, ...]]]:
        """Keep all problems across process borders."""
        return CampaignFileError, (self.problems,)


@dataclass(frozen=True)
class Place:
    """Where things stand in a campaign file.

    Attributes
    ----------
    name
        The file, as the user gave it.
    lines
        The lines of its keys.
    has_one_target
        Whether it has one table ``[target]`` rather than several ``[[target]]``.
    """

    name: str
    lines: TomlLines
    has_one_target: bool

    def line(self, path: KeyPath) -> int:
        """Return the line of a key; targets have positions, also where there is one only."""
        return self.lines.of(self._as_written(path))

    def knows(self, path: KeyPath) -> bool:
        """Return whether a key is in the file."""
        return self._as_written(path) in self.lines.paths

    def problem(self, path: KeyPath, what: str) -> str:
        """Return the line that says what is wrong with a key."""
        key = ".".join(str(part) for part in path if not isinstance(part, int))
        shown = printable(f"{key}: {what}" if key else what)
        return f"{self.name}:{self.line(path)}: {shown}"

    def error(self, path: KeyPath, what: str) -> CampaignFileError:
        """Return the error of one problem."""
        return CampaignFileError([self.problem(path, what)])

    def _as_written(self, path: KeyPath) -> KeyPath:
        if self.has_one_target and len(path) > 1 and path[:1] == ("target",):
            return ("target", *path[2:])
        return path


def problems_of(error: ValidationError, place: Place) -> list[str]:
    """Return a line for each thing that pydantic refuses, in the order of the file."""
    found: dict[KeyPath, str] = {}
    for problem in error.errors():
        path: KeyPath = tuple(problem["loc"])
        if problem["type"] == "too_short" and path == ("target",) and problem["input"]:
            continue  # there are some, with problems of their own
        while problem["type"] != "missing" and path and not place.knows(path):
            path = path[:-1]  # pydantic adds which of several types it tried
        found.setdefault(path, _what(problem, path))
    by_line = sorted(found.items(), key=lambda item: place.line(item[0]))
    return [place.problem(path, what) for path, what in by_line]


def non_finite(values: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield where numbers are infinite or none."""
    if isinstance(values, float) and not math.isfinite(values):
        yield path
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(values, dict):
        items = values.items()
    elif isinstance(values, list):
        items = enumerate(values)
    for key, value in items:
        yield from non_finite(value, (*path, key))


def _what(problem: Mapping[str, Any], path: KeyPath) -> str:
    """Return what is wrong, and the remedy."""
    kind, key = problem["type"], str(path[-1]) if path else ""
    if kind == "missing":
        return _ADD.get(key, "is missing")
    if kind == "extra_forbidden":
        return _unknown(path)
    if key in ("smiles_column", "name_column"):
        wanted = _COLUMN
    elif path == ("target",):
        wanted = "should be a table: [target], and its keys below"
    elif kind in _WANTED:
        wanted = _WANTED[kind].format(key=path[0] if path else "")
    else:
        wanted = str(problem["msg"]).removeprefix("Value error, ").replace("Input should", "should")
    return f"{wanted}, not {_shown(problem['input'])}"


def tables_of(model: type[BaseModel] = CampaignTables) -> dict[str, type[BaseModel]]:
    """Return the models of a campaign file's tables by their names."""
    found: dict[str, type[BaseModel]] = {"target": TargetTable}
    for name, field in model.model_fields.items():
        # A table that may be left out is a model or None.
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not TargetTable:
                found[name] = kind
    return found


def _unknown(path: KeyPath) -> str:
    """Return what to say of a key that nobody knows: where it belongs, or what it resembles."""
    key = str(path[-1])
    tables = tables_of()
    table = str(path[0]) if len(path) > 1 else ""
    known = tables.get(table, CampaignTables).model_fields
    homes = [f"[{name}]" for name, model in tables.items() if key in model.model_fields]
    if table and key in CampaignTables.model_fields:
        return f"belongs above all tables, not in [{table}]; move it to the top of the file"
    if homes:
        return f"belongs in {' or '.join(homes)}; move it there"
    close = get_close_matches(key.lower(), known, n=1, cutoff=0.6)
    # A key may resemble one of another table: it was meant for that, or for this one.
    if not close:
        close = [
            f"[{name}] {match}"
            for name, model in tables.items()
            for match in get_close_matches(key.lower(), model.model_fields, n=1, cutoff=0.8)
        ]
    where = f"in [{table}]" if table else "here"
    hint = f"did you mean {close[0]}? " if close else ""
    return f"is no key {where}; {hint}there are: {', '.join(sorted(known))}"


def _shown(value: object) -> str:
    """Return a value as TOML writes it, or how it begins."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."
