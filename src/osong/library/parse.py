"""`parse_record`: from a record to a molecule, or to a reason that a chemist understands."""

from __future__ import annotations

import logging
import re
import threading
import unicodedata
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from rdkit import Chem, rdBase

from osong.errors import LigandError
from osong.library.items import decode_molecule
from osong.library.mol2 import mol_from_mol2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from osong.library.record import Record
    from osong.ligands.prepared import PreparedLigand

__all__ = ["parse_record"]

_REMEDIES: Final = {
    "smiles": "correct the SMILES or take the line out",
    "sdf": "correct the record or write it anew with the program that made it",
    "mol2": "convert it to SDF, which states bond orders and charges outright",
    "pdbqt": "prepare it anew, or give the molecule as SDF or SMILES",
    "mol": "check the molecule with Chem.SanitizeMol",
    "none": "see RDKit's log for what it could not parse",
}


def parse_record(record: Record) -> Chem.Mol | PreparedLigand:
    """Return the molecule of a record, sanitised, with its name and SD properties.

    Hydrogens and coordinates of SDF, MOL2 and RDKit molecules stay as they are. A PDBQT record,
    whose text fixes types and torsions, comes back as a ligand ready to dock.

    Raises
    ------
    LigandError
        With stage ``"read"``, where the record cannot be parsed, has no atom, has coordinates
        that are no numbers, or is a query and not a molecule.
    """
    try:
        if record.format == "pdbqt":
            return _parse_pdbqt(record)
        with rdBase.BlockLogs():
            mol = _PARSERS[record.format](record.data)
        if mol is None:
            raise _UnreadableError(_why(record))
        _check(mol)
    except (_UnreadableError, ValueError, RuntimeError) as error:
        reason = _plain(str(error), 300) or type(error).__name__
        raise LigandError(
            f"{record.source}: '{_plain(record.name, 60)}' cannot be read: {reason}: "
            f"{_REMEDIES[record.format]}",
            stage="read",
        ) from error
    mol.SetProp("_Name", record.name)
    return mol


def _plain(text: str, length: int) -> str:
    """Return text for a message: on one line, printable, not endless."""
    text = "".join(c if c.isprintable() else " " for c in text)
    text = re.sub(r"\s+", " ", text).strip()
    return text if len(text) <= length else text[: length - 3] + "..."


class _UnreadableError(ValueError):
    """Why a record is no molecule, in words."""


def _parse_smiles(smiles: str) -> Chem.Mol | None:
    if not smiles:
        raise _UnreadableError("there is no SMILES")
    foreign = next((c for c in smiles.partition(" ")[0] if not "!" <= c <= "~"), None)
    if foreign is not None:
        raise _UnreadableError(f"SMILES has no character {foreign!a} ({_character(foreign)})")
    if ">" in smiles.partition(" ")[0]:
        raise _UnreadableError("this is a reaction, or SMILES with '>'")
    return Chem.MolFromSmiles(smiles)


def _character(character: str) -> str:
    return unicodedata.name(character, "no printable character").lower()


def _parse_sdf(text: str) -> Chem.Mol | None:
    if not text.strip():
        raise _UnreadableError("the record is empty")
    if text.count("\n") < 3:
        raise _UnreadableError("the record has fewer lines than any molecule")
    supplier = Chem.SDMolSupplier()
    supplier.SetData(f"{text}\n$$$$\n", sanitize=True, removeHs=False)
    return supplier[0] if len(supplier) else None


def _parse_none(_: str) -> Chem.Mol | None:
    raise _UnreadableError("None was given instead of a molecule")


def _parse_molecule(text: str) -> Chem.Mol:
    mol = decode_molecule(text)
    Chem.SanitizeMol(mol)  # who built it may not have
    return mol


_PARSERS: Final[dict[str, Callable[[str], Chem.Mol | None]]] = {
    "smiles": _parse_smiles,
    "sdf": _parse_sdf,
    "mol2": mol_from_mol2,
    "mol": _parse_molecule,
    "none": _parse_none,
}


def _parse_pdbqt(record: Record) -> PreparedLigand:
    from osong.ligands import pack_pdbqt

    return pack_pdbqt(record.data, name=record.name)


def _check(mol: Chem.Mol) -> None:
    """Refuse what parses but is no molecule to dock."""
    if mol.GetNumAtoms() == 0:
        raise _UnreadableError("there is no atom in it")
    for atom in mol.GetAtoms():
        if atom.HasQuery() and atom.GetAtomicNum() > 0:
            raise _UnreadableError(
                f"atom {atom.GetIdx() + 1} is a query ({atom.GetSmarts()}), not one element"
            )
    for bond in mol.GetBonds():
        if bond.HasQuery():
            i, j = bond.GetBeginAtomIdx() + 1, bond.GetEndAtomIdx() + 1
            raise _UnreadableError(
                f"the bond of atoms {i} and {j} is a query, without a bond order"
            )
    for conformer in mol.GetConformers():
        coords = conformer.GetPositions()
        if not (abs(coords) < _FARTHEST_ANGSTROM).all():  # false for NaN too
            raise _UnreadableError("a coordinate is not a number, or beyond all bounds")


_FARTHEST_ANGSTROM: Final = 1e5


def _why(record: Record) -> str:
    """Return RDKit's own reason for a record that it could not parse."""
    # RDKit cuts its messages at a byte, and Python's logging refuses half a character.
    data = record.data.encode("ascii", "replace").decode()
    with _rdkit_messages() as messages:
        mol: Any
        if record.format == "smiles":
            mol = Chem.MolFromSmiles(data, sanitize=False)
        elif record.format == "sdf":
            mol = Chem.MolFromMolBlock(data, sanitize=False, removeHs=False)
        else:
            mol = Chem.MolFromMol2Block(data, sanitize=False, removeHs=False)
        if mol is not None:
            messages.clear()
            try:
                Chem.SanitizeMol(mol)
            except ValueError as error:
                return str(error)
            _PARSERS[record.format](data)
    return _short(messages) or "RDKit cannot parse it and gives no reason"


def _short(messages: list[str]) -> str:
    """Return the first message that says something, without time stamp and repetition."""
    for message in messages:
        text = re.sub(r"^\[[\d:]+\]\s*", "", message.strip())
        text = re.sub(r"^(ERROR: |WARNING: |SMILES Parse Error: )+", "", text).partition("\n")[0]
        text = re.sub(r" (for input|while parsing): .*", "", text)
        if text:
            return text[:200]
    return ""


class _ListHandler(logging.Handler):
    """Append the messages of a logger to a list."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__()
        self.messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text of one message."""
        self.messages.append(record.getMessage())


_LOG_LOCK: Final = threading.Lock()


@contextmanager
def _rdkit_messages() -> Iterator[list[str]]:
    """Collect RDKit's log, which alone has the reason of a failed parse.

    The log is the process's: it goes back to standard error afterwards, RDKit's own default.
    (rdBase.CaptureErrorLog misses what MolFromMolBlock logs as warnings.)
    """
    messages: list[str] = []
    handler = _ListHandler(messages)
    logger = logging.getLogger("rdkit")
    with _LOG_LOCK:
        before, logger.handlers, level = logger.handlers, [handler], logger.level
        logger.setLevel(logging.INFO)
        rdBase.LogToPythonLogger()
        try:
            yield messages
        finally:
            rdBase.LogToCppStreams()
            logger.handlers = before
            logger.setLevel(level)
