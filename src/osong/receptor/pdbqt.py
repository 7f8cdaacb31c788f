"""Rigid receptors as PDBQT: read what other programs wrote, write what they read."""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from osong.errors import ReceptorError
from osong.receptor.elements import canonical_ad_type
from osong.receptor.model import Receptor
from osong.receptor.report import Change
from osong.receptor.vina_types import AD_TYPES, vina_atom_types

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_pdbqt", "read_text", "receptor_to_pdbqt"]

_LIGAND_TAGS: Final = ("ROOT", "BRANCH", "TORSDOF", "BEGIN_RES")


@dataclass(frozen=True)
class _Row:
    coords: tuple[float, float, float]
    charge: float
    ad_type: str
    atom_name: str
    residue_name: str
    chain: str
    residue_number: str


def read_text(path: Path) -> str:
    """Return the text of a file, unpacked where it is gzip.

    Raises
    ------
    ReceptorError
        The file is missing, unreadable, empty, damaged or not text.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ReceptorError(
            f"{path}: cannot be read ({error.strerror}); check the path and its permissions"
        ) from error
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ReceptorError(
                f"{path}: the gzip data are damaged or cut off ({error}); fetch the file again"
            ) from error
    if not data.strip():
        raise ReceptorError(f"{path}: the file is empty; give a PDB, mmCIF or PDBQT file")
    if b"\x00" in data[:4096]:
        raise ReceptorError(f"{path}: not a text file; give a PDB, mmCIF or PDBQT file")
    return data.decode("utf-8", errors="replace")


def read_pdbqt(path: Path) -> tuple[Receptor, list[Change]]:
    """Return the receptor of a PDBQT file (plain or gzip) and what was changed in reading it.

    Raises
    ------
    ReceptorError
        The file is unreadable, not a rigid receptor, or has no hydrogens.
    """
    changes: list[Change] = []
    rows: list[_Row] = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.startswith(("ATOM  ", "HETATM")):
            row = _parse_atom(line, f"{path}:{number}", changes)
            if row is not None:
                rows.append(row)
        elif line.startswith(_LIGAND_TAGS):
            raise ReceptorError(
                f"{path}:{number}: '{line.split()[0]}' belongs to a ligand or to flexible side "
                "chains; give the rigid receptor's PDBQT"
            )
        elif line.startswith("ENDMDL"):
            changes.append(Change("model", "", "only the first model is used"))
            break
    if not rows:
        raise ReceptorError(f"{path}: no ATOM or HETATM record; give a receptor as PDBQT")
    _check_hydrogens(rows, path)
    return _to_receptor(rows), changes


def _parse_atom(line: str, where: str, changes: list[Change]) -> _Row | None:
    """Return one atom, or None for a dummy that is left out."""
    raw = line[77:].split()[0] if line[77:].strip() else ""
    if not raw:
        raise ReceptorError(
            f"{where}: no AutoDock type in columns 78-79: the line is cut off or the file is a "
            "plain PDB; name that file .pdb and it will be prepared"
        )
    try:
        coords = (float(line[30:38]), float(line[38:46]), float(line[46:54]))
        charge = float(line[70:76]) if line[70:76].strip() else 0.0
    except ValueError as error:
        raise ReceptorError(f"{where}: a number cannot be read ({error}); mend the line") from error
    if not all(map(math.isfinite, coords)):
        raise ReceptorError(f"{where}: the coordinates are not numbers; mend or remove the atom")
    chain, number = line[21:22].strip(), line[22:27].strip()
    name, residue = line[12:16].strip(), line[17:21].strip()
    ad_type, reason = canonical_ad_type(raw)
    if reason:
        kind = "substituted" if ad_type else "removed"
        label = f"{chain}:{residue} {number}" if chain else f"{residue} {number}"
        changes.append(Change(kind, label, f"{name}: {reason}"))
        if ad_type is None:
            return None
    if ad_type is None:
        raise ReceptorError(f"{where}: '{raw}' is no AutoDock atom type; correct columns 78-79")
    if not math.isfinite(charge):
        charge = 0.0
    return _Row(coords, charge, ad_type, name, residue, chain, number)


def _check_hydrogens(rows: list[_Row], path: Path) -> None:
    """Refuse a receptor whose hydrogen-bond donors cannot be told."""
    elements = {AD_TYPES[row.ad_type][0] for row in rows}
    if "H" not in elements and elements & {"N", "O"}:
        raise ReceptorError(
            f"{path}: the receptor has no hydrogens, so its hydrogen-bond donors are unknown; "
            "give the PDB or mmCIF file (hydrogens are added then) or a PDBQT with polar hydrogens"
        )


def _to_receptor(rows: list[_Row]) -> Receptor:
    coords = np.array([row.coords for row in rows], dtype=np.float64)
    ad_type = np.array([row.ad_type for row in rows])
    return Receptor(
        coords=coords.astype(np.float32),
        atom_type=vina_atom_types(coords, ad_type),
        charge=np.array([row.charge for row in rows], dtype=np.float32),
        element=np.array([AD_TYPES[row.ad_type][0] for row in rows]),
        ad_type=ad_type,
        atom_name=np.array([row.atom_name for row in rows]),
        residue_name=np.array([row.residue_name for row in rows]),
        chain=np.array([row.chain for row in rows]),
        residue_number=np.array([row.residue_number for row in rows]),
    )


def receptor_to_pdbqt(receptor: Receptor, title: str = "") -> str:
    """Return a rigid receptor as PDBQT text that AutoDock Vina reads.

    Chain names longer than one letter are cut to their first, residue numbers over four digits
    to their last four, as the format's columns ask.
    """
    lines = [f"REMARK  receptor {title}".rstrip(), "REMARK  prepared by Osong"]
    for i, (x, y, z) in enumerate(receptor.coords.tolist()):
        if max(x, y, z) >= 9999.9995 or min(x, y, z) <= -999.9995:
            raise ReceptorError(
                f"atom {receptor.label(i)} lies at ({x:.1f}, {y:.1f}, {z:.1f}), outside what PDBQT "
                "columns can hold; move the structure nearer to the origin"
            )
        number = str(receptor.residue_number[i])
        digits, code = (number, "") if number[-1:].isdigit() else (number[:-1], number[-1:])
        name = str(receptor.atom_name[i])[:4]
        name = name if len(name) == 4 else f" {name:<3s}"
        lines.append(
            f"ATOM  {(i + 1) % 100000:5d} {name} {receptor.residue_name[i][:3]:>3s} "
            f"{receptor.chain[i][:1]:1s}{digits[-4:]:>4s}{code:1s}   "
            f"{x:8.3f}{y:8.3f}{z:8.3f}{1.0:6.2f}{0.0:6.2f}    "
            f"{float(receptor.charge[i]):6.3f} {receptor.ad_type[i]:<2s}"
        )
    return "\n".join([*lines, "TER", ""])
