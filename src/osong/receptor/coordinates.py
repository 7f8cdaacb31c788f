"""Coordinates of ligands and residues, to put a box around."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gemmi
import numpy as np
import numpy.typing as npt
from rdkit import Chem

from osong.errors import BoxError, ReceptorError
from osong.receptor.pdbqt import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    Coords = npt.NDArray[np.float64]

__all__ = ["ligand_coords", "residue_coords"]


def ligand_coords(ligand: Any) -> tuple[Coords, str]:
    """Return (n, 3) heavy-atom coordinates of a ligand, angstrom, and its name for messages."""
    if isinstance(ligand, (str, Path)):
        path = Path(ligand)
        return _checked(_from_file(path), str(path)), str(path)
    if isinstance(ligand, Chem.Mol):
        name = ligand.GetProp("_Name") if ligand.HasProp("_Name") else "the molecule"
        return _checked(_from_mol(ligand, name), name), name
    try:
        coords = np.asarray(ligand, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BoxError(
            "a ligand is a file, an RDKit molecule or (n, 3) coordinates, "
            f"got {type(ligand).__name__}"
        ) from error
    return _checked(coords, "coordinates"), "coordinates"


def _checked(coords: Coords, source: str) -> Coords:
    if coords.ndim != 2 or coords.shape[1:] != (3,) or not len(coords):
        raise BoxError(
            f"{source}: need (n, 3) coordinates of at least one atom, got {coords.shape}"
        )
    if not np.isfinite(coords).all():
        raise BoxError(f"{source}: some coordinates are not numbers; mend or remove those atoms")
    return coords


def _from_mol(mol: Chem.Mol, source: str) -> Coords:
    if not mol.GetNumConformers():
        raise BoxError(f"{source}: the molecule has no coordinates; embed it or give a file")
    heavy = [a.GetIdx() for a in mol.GetAtoms() if a.GetAtomicNum() > 1]
    positions = np.asarray(mol.GetConformer().GetPositions(), dtype=np.float64)
    return positions[heavy] if heavy else positions


def _from_file(path: Path) -> Coords:
    suffix = next((s for s in reversed(path.suffixes) if s.lower() != ".gz"), "").lower()
    try:
        text = read_text(path)
    except ReceptorError as error:
        raise BoxError(str(error)) from error
    if suffix in (".sdf", ".sd", ".mol"):
        return _from_molblock(text, path)
    if suffix == ".mol2":
        return _heavy(_mol2_atoms(text, path))
    if suffix in (".pdb", ".ent", ".pdbqt", ".cif", ".mmcif"):
        return _heavy(
            (atom.element.is_hydrogen, atom.pos.tolist())
            for _, _, atom in _structure_atoms(path, text)
        )
    raise BoxError(
        f"{path}: a ligand for the box must be SDF, MOL, MOL2, PDB, mmCIF or PDBQT, not '{suffix}'"
    )


def _from_molblock(text: str, path: Path) -> Coords:
    mol = Chem.MolFromMolBlock(
        text.split("$$$$", 1)[0], sanitize=False, removeHs=False, strictParsing=False
    )
    if mol is None or not mol.GetNumAtoms():
        raise BoxError(f"{path}: the first molecule cannot be read; check the file")
    return _from_mol(mol, str(path))


def _mol2_atoms(text: str, path: Path) -> Iterator[tuple[bool, list[float]]]:
    """Yield (is hydrogen, position) of each atom of the first molecule of a MOL2 file."""
    blocks = text.split("@<TRIPOS>ATOM", 1)
    if len(blocks) < 2:
        raise BoxError(f"{path}: no @<TRIPOS>ATOM block; check the file")
    for line in blocks[1].split("@<TRIPOS>", 1)[0].splitlines():
        fields = line.split()
        if len(fields) < 6:
            continue
        try:
            position = [float(field) for field in fields[2:5]]
        except ValueError as error:
            raise BoxError(f"{path}: an atom's coordinates cannot be read: {line}") from error
        yield fields[5].upper().partition(".")[0] in ("H", "D"), position


def _heavy(atoms: Iterator[tuple[bool, list[float]]]) -> Coords:
    """Return the positions of heavy atoms, or of all atoms where there are only hydrogens."""
    rows = list(atoms)
    heavy = [position for is_hydrogen, position in rows if not is_hydrogen]
    return np.array(heavy or [position for _, position in rows], dtype=np.float64)


def _structure_atoms(path: Path, text: str) -> Iterator[tuple[Any, Any, Any]]:
    """Yield (chain, residue, atom) of the first model of a PDB, mmCIF or PDBQT file."""
    is_cif = any(s.lower() in (".cif", ".mmcif") for s in path.suffixes)
    try:
        if is_cif:
            structure = gemmi.make_structure_from_block(gemmi.cif.read_string(text).sole_block())
        else:
            structure = gemmi.read_pdb_string(text)
    except (RuntimeError, ValueError) as error:
        raise BoxError(f"{path}: cannot be read as a structure ({error})") from error
    if not len(structure):
        raise BoxError(f"{path}: no atoms in the file")
    for chain in structure[0]:
        for residue in chain:
            for atom in residue:
                yield chain, residue, atom


def residue_coords(path: Path, residues: list[str]) -> Coords:
    """Return (n, 3) heavy-atom coordinates, angstrom, of residues written ``"A:123"``."""
    if not residues:
        raise BoxError("no residues given; write them as 'A:123' (chain, number, insertion code)")
    try:
        text = read_text(path)
    except ReceptorError as error:
        raise BoxError(str(error)) from error
    found: dict[str, list[list[float]]] = {}
    for chain, residue, atom in _structure_atoms(path, text):
        if not atom.element.is_hydrogen:
            key = f"{chain.name}:{residue.seqid}"
            found.setdefault(key, []).append(atom.pos.tolist())
    chains = sorted({key.split(":")[0] for key in found})
    rows: list[list[float]] = []
    for wanted in residues:
        key = wanted if ":" in wanted else f"{chains[0]}:{wanted}" if len(chains) == 1 else wanted
        if key not in found:
            raise BoxError(
                f"{path}: no residue '{wanted}'; write 'chain:number' (chains here: "
                f"{', '.join(chains) or 'none'})"
            )
        rows.extend(found[key])
    return _checked(np.array(rows, dtype=np.float64), str(path))
