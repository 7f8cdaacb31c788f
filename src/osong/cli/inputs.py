"""What stands for a library on the command line, and its molecules made ready."""

from pathlib import Path
from typing import TYPE_CHECKING

from osong.errors import InputError

if TYPE_CHECKING:
    from osong.library import Record
    from osong.ligands import LigandOptions, PreparedLigand

__all__ = ["library_path", "prepare_record"]


def library_path(text: str) -> Path:
    """Return the file or folder that a word means: a path, or `drugs` for those in the package."""
    path = Path(text)
    if text and path.exists():
        return path
    if text == "drugs":
        from osong.quickstart import DRUGS

        return DRUGS
    raise InputError(
        f"{text or 'the library'}: there is no such file or folder; give a file of molecules, "
        "or `drugs` for the approved drugs that come with Osong"
    )


def prepare_record(record: "Record", options: "LigandOptions") -> "list[PreparedLigand]":
    """Return the states of a record's molecule, ready to dock."""
    from rdkit import Chem

    from osong.library import parse_record
    from osong.ligands import prepare_ligand

    parsed = parse_record(record)
    if not isinstance(parsed, Chem.Mol):
        return [parsed]
    return prepare_ligand(parsed, name=record.name, options=options)
