"""Records of Python objects: SMILES strings, molecules, and pairs of either with a name."""

from __future__ import annotations

import base64
from math import isnan
from typing import Any, Final

from rdkit import Chem

from osong.errors import InputError
from osong.library.record import Piece
from osong.library.smiles_lines import smiles_and_name

__all__ = ["decode_molecule", "encode_molecule", "item_piece"]

_EVERYTHING: Final = int(Chem.PropertyPickleOptions.AllProps) | int(
    Chem.PropertyPickleOptions.CoordsAsDouble
)


def item_piece(item: Any, number: int) -> tuple[str, Piece]:
    """Return the format and the piece of one item of an iterable.

    None (what RDKit's readers give for a record they cannot parse) and NaN are records that fail.

    Raises
    ------
    InputError
        Where the item is no molecule at all: the caller passed something else than a library.
    """
    name = ""
    molecule = item
    if isinstance(item, tuple | list) and len(item) == 2:
        molecule, name = item[0], "" if _is_missing(item[1]) else _storable(str(item[1])).strip()
    if _is_missing(molecule):
        return "none", Piece(str(number), name, "")
    if isinstance(molecule, str):
        smiles, own_name = smiles_and_name(_storable(molecule))
        return "smiles", Piece(str(number), name or own_name, smiles)
    if isinstance(molecule, Chem.Mol):
        if not name and molecule.HasProp("_Name"):
            name = _storable(molecule.GetProp("_Name")).strip()
        return "mol", Piece(str(number), name, encode_molecule(molecule))
    raise InputError(
        f"item {number} of the library is a {type(molecule).__name__}: items are SMILES strings, "
        "(SMILES, name) pairs, RDKit molecules or pathlib.Path files"
    )


def _is_missing(value: Any) -> bool:
    """Tell whether a value is None, or the NaN that pandas has for it."""
    return value is None or (isinstance(value, float) and isnan(value))


def _storable(text: str) -> str:
    """Return text without the halves of characters that no file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def encode_molecule(mol: Chem.Mol) -> str:
    """Return a molecule as text, with all its properties and conformers."""
    return base64.b64encode(mol.ToBinary(_EVERYTHING)).decode("ascii")


def decode_molecule(text: str) -> Chem.Mol:
    """Return the molecule that `encode_molecule` wrote."""
    # RDKit's binary format, no Python pickle; its stubs say that Mol takes a str.
    from_binary: Any = Chem.Mol
    return from_binary(base64.b64decode(text))
