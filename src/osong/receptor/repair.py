"""Missing heavy atoms of standard residues, added by PDBFixer around the atoms that are there."""

from __future__ import annotations

import io
import itertools
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.spatial import cKDTree

from osong.errors import MissingExtraError, ReceptorError
from osong.receptor.relief import relieve_clashes
from osong.receptor.report import Change
from osong.receptor.residues import AMINO_ACIDS, STANDARD, expected_atoms
from osong.receptor.structure import Atom, Residue

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["add_missing_atoms", "report_gaps"]

_SURROUNDINGS_ANGSTROM: Final = 10.0
_PEPTIDE_ANGSTROM: Final = 2.0
_SEED: Final = 1


def report_gaps(residues: list[Residue], changes: list[Change]) -> None:
    """Say where a chain is broken; loops are not built."""
    for left, right in itertools.pairwise(residues):
        if left.chain != right.chain or not {left.name, right.name} <= AMINO_ACIDS.keys():
            continue
        if not (left.has("C") and right.has("N")):
            continue
        gap = float(np.linalg.norm(left.atoms["C"].position - right.atoms["N"].position))
        if gap > _PEPTIDE_ANGSTROM:
            text = f"no peptide bond to {right.plain_label} ({gap:.1f} A); nothing built in between"
            changes.append(Change("chain break", left.label, text))


def add_missing_atoms(residues: list[Residue], changes: list[Change]) -> None:
    """Add side-chain and backbone atoms that standard residues lack.

    Residues are completed one after the other, each with what lies within 10 A of it, on OpenMM's
    Reference platform with a fixed seed: the same file gives the same coordinates. All at once
    took 200 s for 75 residues; one by one it takes some 0.2 s each.
    """
    incomplete = {i: _missing(residue) for i, residue in enumerate(residues)}
    incomplete = {i: names for i, names in incomplete.items() if names}
    _check_backbone(residues)
    fixable: list[int] = []
    for i, names in incomplete.items():
        if residues[i].name in AMINO_ACIDS and residues[i].has("N", "CA", "C"):
            fixable.append(i)
        else:
            text = f"lacks {' '.join(names)}: not added (too little is there to build on)"
            changes.append(Change("missing atoms", residues[i].label, text))
    for i in fixable:
        new = [atom for atom in _run_pdbfixer(residues, i) if atom.name in incomplete[i]]
        residues[i].atoms |= {atom.name: atom for atom in new}
        residues[i].hydrogens = []  # they belonged to a residue cut short
        relieve_clashes(residues, i, {atom.name for atom in new})
        missing = [name for name in incomplete[i] if not residues[i].has(name)]
        if new:
            text = f"added {' '.join(atom.name for atom in new)}"
            changes.append(Change("missing atoms", residues[i].label, text))
        if missing:
            text = f"lacks {' '.join(missing)}: could not be added"
            changes.append(Change("missing atoms", residues[i].label, text))


def _missing(residue: Residue) -> list[str]:
    names = [name for name in expected_atoms(residue.name) if not residue.has(name)]
    if residue.name not in AMINO_ACIDS and not residue.has("P"):
        # The 5' end of a nucleic acid has no phosphate.
        names = [name for name in names if name not in ("P", "OP1", "OP2")]
    return names


def _check_backbone(residues: list[Residue]) -> None:
    amino = [r for r in residues if r.name in AMINO_ACIDS]
    traces = [r for r in amino if not r.has("N", "CA", "C")]
    if len(amino) >= 4 and len(traces) > 0.5 * len(amino):
        raise ReceptorError(
            f"{len(traces)} of {len(amino)} amino acids lack backbone atoms (a C-alpha trace?); "
            "give a structure with all atoms"
        )


def _import_pdbfixer() -> tuple[ModuleType, ModuleType]:
    try:
        import openmm
        import pdbfixer
    except ImportError as error:
        raise MissingExtraError(
            "pdbfixer", extra="receptor", purpose="adding missing atoms"
        ) from error
    return pdbfixer, openmm


def _run_pdbfixer(residues: list[Residue], index: int) -> list[Atom]:
    """Return the atoms of a residue as PDBFixer completes it."""
    pdbfixer, openmm = _import_pdbfixer()
    near = _surroundings(residues, index)
    reference = openmm.Platform.getPlatformByName("Reference")
    fixer = pdbfixer.PDBFixer(pdbfile=io.StringIO(_pdb_text(residues, near)), platform=reference)
    fixer.missingResidues = {}
    fixer.findMissingAtoms()
    fixer.missingTerminals = {}
    wanted = (_chain_letter(near.index(index)), str(near.index(index) % 9000 + 1))
    fixer.missingAtoms = {
        residue: atoms
        for residue, atoms in fixer.missingAtoms.items()
        if (residue.chain.id, residue.id) == wanted
    }
    fixer.addMissingAtoms(seed=_SEED)
    coords = np.array(fixer.positions.value_in_unit(openmm.unit.angstrom))
    return [
        Atom(atom.name, atom.element.symbol, np.round(coords[atom.index], 3))
        for atom in fixer.topology.atoms()
        if (atom.residue.chain.id, atom.residue.id) == wanted
    ]


def _surroundings(residues: list[Residue], index: int) -> list[int]:
    """Return the indices of standard residues near a residue, itself included, in file order."""
    broken = cKDTree(residues[index].coords)
    near = []
    for i, residue in enumerate(residues):
        if residue.name in STANDARD:
            distance, _ = broken.query(residue.coords)
            if i == index or distance.min() < _SURROUNDINGS_ANGSTROM:
                near.append(i)
    return near


def _chain_letter(position: int) -> str:
    """Return a chain letter for the n-th residue; 9,000 residues share one."""
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(position // 9000) % 26]


def _pdb_text(residues: list[Residue], indices: list[int]) -> str:
    """Return a PDB file of some residues, renumbered, with TER wherever the chain is broken."""
    lines: list[str] = []
    previous: Residue | None = None
    serial = 0
    for k, i in enumerate(indices):
        residue = residues[i]
        if previous is not None and not _are_joined(previous, residue):
            lines.append("TER")
        for atom in residue.atoms.values():
            serial += 1
            lines.append(pdb_line(serial, atom, residue.name, _chain_letter(k), k % 9000 + 1))
        previous = residue
    return "\n".join([*lines, "TER", "END", ""])


def pdb_line(serial: int, atom: Atom, residue_name: str, chain: str, number: int) -> str:
    """Return one ATOM record."""
    wide = len(atom.element) == 2 or len(atom.name) >= 4
    name = f"{atom.name[:4]:<4s}" if wide else f" {atom.name:<3s}"
    x, y, z = atom.position
    return (
        f"ATOM  {serial % 100000:5d} {name} {residue_name[:3]:>3s} {chain:1s}{number:4d}    "
        f"{x:8.3f}{y:8.3f}{z:8.3f}{1.0:6.2f}{0.0:6.2f}          {atom.element.upper():>2s}"
    )


def _are_joined(left: Residue, right: Residue) -> bool:
    for tail, head in (("C", "N"), ("O3'", "P")):
        if left.has(tail) and right.has(head):
            ends: Any = left.atoms[tail].position - right.atoms[head].position
            if float(np.linalg.norm(ends)) < _PEPTIDE_ANGSTROM:
                return True
    return False
