"""Which column of a table holds the SMILES and which the name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from osong.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Column", "find_columns", "is_smiles_header", "normalise"]

Column = str | int
"""A column by its name, or by its position counted from 0."""

_SMILES: Final = (
    "smiles", "canonicalsmiles", "isomericsmiles", "cxsmiles", "smile", "smi", "isosmiles",
    "cansmiles", "canonicalsmi", "smilesstring", "structure", "mol", "molecule",
)  # fmt: skip
_NAMES: Final = (
    "name", "id", "title", "moleculename", "moleculeid", "compoundname", "compoundid", "molname",
    "molid", "ligandname", "ligandid", "ligand", "zincid", "chemblid", "moleculechemblid",
    "idnumber", "catalogid", "catalognumber", "vendorid", "enamineid", "cid", "code", "compound",
    "drugname", "identifier", "key", "molecule",
)  # fmt: skip


def normalise(text: str) -> str:
    """Return a column name without case, blanks and punctuation."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def is_smiles_header(cell: str) -> bool:
    """Tell whether a cell is the heading of a SMILES column, not a SMILES."""
    plain = normalise(cell)
    # No SMILES has the letter m or l alone, so no molecule is taken for a heading.
    return plain in _SMILES or (plain.endswith("smiles") and " " not in cell.strip())


def find_columns(
    header: Sequence[str],
    where: str,
    smiles_column: Column | None = None,
    name_column: Column | None = None,
) -> tuple[int, int | None]:
    """Return the positions of the SMILES column and of the name column (None: no names).

    Raises
    ------
    InputError
        Where a column that was asked for, or any column for the SMILES, is missing.
    """
    if smiles_column is not None:
        smiles = _position(header, where, smiles_column)
    else:
        usual = _usual(header, _SMILES)
        if usual is None:
            usual = next((i for i, cell in enumerate(header) if is_smiles_header(cell)), None)
        if usual is None:
            raise InputError(
                f"{where}: no column looks like SMILES; the columns are {_listed(header)}: name "
                "the right one with smiles_column (--smiles-column)"
            )
        smiles = usual
    if name_column is not None:
        return smiles, _position(header, where, name_column)
    return smiles, _usual(header, _NAMES, besides=smiles)


def _position(header: Sequence[str], where: str, column: Column) -> int:
    """Return the position of a column that the caller named or numbered."""
    if isinstance(column, int):
        if 0 <= column < len(header):
            return column
        raise InputError(
            f"{where}: there is no column {column}: {len(header)} columns, counted from 0, are "
            f"{_listed(header)}"
        )
    for i, cell in enumerate(header):
        if cell.strip() == column:
            return i
    for i, cell in enumerate(header):
        if normalise(cell) == normalise(column):
            return i
    raise InputError(f"{where}: there is no column '{column}'; the columns are {_listed(header)}")


def _usual(header: Sequence[str], names: tuple[str, ...], besides: int = -1) -> int | None:
    """Return the position of the first of the usual names that the header has."""
    plain = [normalise(cell) for cell in header]
    for name in names:
        if name in plain and plain.index(name) != besides:
            return plain.index(name)
    return None


def _listed(header: Sequence[str], most: int = 20) -> str:
    """Return the columns for a message."""
    shown = ", ".join(f"'{cell.strip()[:60]}'" for cell in header[:most])
    return shown + (f" and {len(header) - most} more" if len(header) > most else "")
