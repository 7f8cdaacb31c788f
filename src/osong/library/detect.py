"""Which format a file has: by its content first, then by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rdkit import Chem, rdBase

from osong.errors import InputError
from osong.library.columns import is_smiles_header
from osong.library.smiles_lines import smiles_and_name
from osong.library.streams import decode, peek, strip_compression
from osong.library.tables import table_delimiter

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["KINDS", "SUFFIXES", "FileKind", "detect_kind"]

KINDS: Final = ("smiles", "csv", "tsv", "parquet", "sdf", "mol2", "pdbqt")

SUFFIXES: Final = {
    ".smi": "smiles", ".ism": "smiles", ".smiles": "smiles", ".can": "smiles",
    ".cxsmiles": "smiles", ".txt": "smiles", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv",
    ".parquet": "parquet", ".pq": "parquet", ".sdf": "sdf", ".sd": "sdf", ".mol": "sdf",
    ".mdl": "sdf", ".mol2": "mol2", ".pdbqt": "pdbqt",
}  # fmt: skip
"""Kind of file by suffix (after the suffix of a compression)."""

_STRANGERS: Final = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP or Excel file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file"),
    (b"BZh", "a bzip2 file inside another compression"),
    (b"\x89HDF", "an HDF5 file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
)
_SNIFFED_LINES: Final = 20


@dataclass(frozen=True)
class FileKind:
    """How to split a file: one of `KINDS`, and the delimiter of a table."""

    kind: str
    delimiter: str = ""


def detect_kind(path: Path, kind: str | None = None) -> FileKind:
    """Return what kind of file `path` is.

    What its first 64 KB show unmistakably wins over the suffix, so that an SD file named ``.smi``
    or a CSV file named ``.txt`` is read as what it is. `kind` overrules both.

    Raises
    ------
    InputError
        Where neither the content nor the name tells.
    """
    if kind is not None and kind not in KINDS:
        raise InputError(f"unknown file kind '{kind}': choose one of {', '.join(KINDS)}")
    start = peek(path)
    if kind is None:
        for magic, what in _STRANGERS:
            if start.startswith(magic):
                raise InputError(
                    f"{path}: this is {what}, no file of molecules: save it as CSV, SMILES or SDF"
                )
    named = SUFFIXES.get(strip_compression(path).suffix.lower())
    kind = kind or _kind_of_content(start) or named
    if kind == "parquet":
        return FileKind("parquet")
    head = _head_lines(start)
    header = next((line for line in head if line.strip()), "")
    if kind in ("csv", "tsv"):
        return FileKind("table", _delimiter(head) or ("\t" if kind == "tsv" else ","))
    if kind == "smiles" and named in (None, "smiles") and _needs_columns(header):
        return FileKind("table", table_delimiter(header) or "")
    if kind is None and any(_is_smiles(line) for line in head):
        kind = "smiles"
    if kind is None:
        raise InputError(
            f"{path}: cannot tell what this file is: give it one of the suffixes "
            f"{', '.join(sorted(SUFFIXES))} (.gz, .zst or .bz2 may follow), or give kind= "
            "(--kind)"
        )
    return FileKind(kind)


def _kind_of_content(start: bytes) -> str | None:
    """Return the kind that the first bytes show beyond doubt."""
    if start.startswith(b"PAR1"):
        return "parquet"
    lines = start.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    if any(line.startswith(b"@<TRIPOS>") for line in lines):
        return "mol2"
    if any(line.startswith((b"M  END", b"M  V30 BEGIN CTAB")) for line in lines):
        return "sdf"
    keywords = {line.strip() for line in lines}
    if b"ROOT" in keywords and (b"ENDROOT" in keywords or b"TORSDOF" in start):
        return "pdbqt"
    return None


def _head_lines(start: bytes) -> list[str]:
    """Return the first lines, without those that the sniffed bytes may have cut."""
    text = decode(start).lstrip("\ufeff")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:_SNIFFED_LINES]


def _delimiter(head: list[str]) -> str | None:
    """Return the delimiter of the first line that is a table's header."""
    return next((found for found in map(table_delimiter, head) if found), None)


def _needs_columns(header: str) -> bool:
    """Tell whether a SMILES file has a header whose columns must be told apart.

    "SMILES, tab, name" is a header too, but then lines with a blank instead are read as well.
    """
    delimiter = table_delimiter(header)
    cells = header.split(delimiter) if delimiter else []
    is_plain = delimiter == "\t" and len(cells) == 2 and is_smiles_header(cells[0])
    return delimiter is not None and not is_plain


def _is_smiles(line: str) -> bool:
    smiles, _ = smiles_and_name(line)
    with rdBase.BlockLogs():
        return len(smiles) > 1 and Chem.MolFromSmiles(smiles, sanitize=False) is not None
