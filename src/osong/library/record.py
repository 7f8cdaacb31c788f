"""`Record`: one molecule of a library as it stands in its source, not yet parsed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["FORMATS", "Piece", "Record"]

FORMATS = ("smiles", "sdf", "mol2", "pdbqt", "mol", "none")
"""Values of `Record.format`: four text formats, RDKit's binary format, and no molecule."""


@dataclass(frozen=True, slots=True)
class Record:
    """One molecule of a library, before parsing.

    A record that cannot be parsed is still a record: every molecule that went into a library has
    one, so that the numbers of molecules in, done and failed add up.

    Attributes
    ----------
    index
        Position in the whole library, from 0, over all files; it identifies the molecule.
    name
        Name in the source; a name made from the source's name and the index where it has none.
        Names may repeat.
    source
        Where it came from: ``file:line`` (lines count from 1), with the record number for formats
        whose records span lines; the row for Parquet; the item for Python iterables.
    format
        One of `FORMATS`: what `data` is.
    data
        The record's text. A molecule given as an RDKit object is in RDKit's binary format, in
        base64, with all properties and double-precision coordinates.
    """

    index: int
    name: str
    source: str
    format: str
    data: str


class Piece(NamedTuple):
    """A record as a splitter finds it: where it begins, its name ("" for none) and its text."""

    position: str
    name: str
    data: str
