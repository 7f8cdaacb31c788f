"""What each heavy atom of a receptor is: AutoDock type and polar hydrogens.

Standard residues go by their atoms' names, with the protonation that pH and surroundings ask
for; everything else goes by geometry (:mod:`osong.receptor.perception`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from osong.receptor.perception import AtomChemistry, perceive_residue
from osong.receptor.report import Change
from osong.receptor.residues import (
    AMINO_ACIDS,
    NUCLEOTIDES,
    STANDARD,
    WATERS,
    donor_hydrogens,
    standard_ad_type,
)
from osong.receptor.titration import MODEL_PKA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osong.receptor.graph import HeavyAtoms
    from osong.receptor.structure import Residue

__all__ = ["assign_chemistry"]

_HYDROGEN_BOND_ANGSTROM: Final = 3.4
_NAMED_STATES: Final = {
    "HID": "HID",
    "HSD": "HID",
    "HIE": "HIE",
    "HSE": "HIE",
    "HIP": "HIP",
    "HSP": "HIP",
    "ASH": "ASH",
    "GLH": "GLH",
    "LYN": "LYN",
    "CYM": "CYM",
}
_PLANAR_DONORS: Final = frozenset(["N", "NE", "NH1", "NH2", "ND2", "NE2", "ND1", "NE1", "OH"])


@dataclass(frozen=True)
class _Context:
    residues: Sequence[Residue]
    atoms: HeavyAtoms
    pka: Mapping[int, float]
    ph: float
    changes: list[Change]


def assign_chemistry(
    residues: Sequence[Residue],
    atoms: HeavyAtoms,
    pka: Mapping[int, float],
    ph: float,
    changes: list[Change],
) -> list[AtomChemistry]:
    """Return type, polar hydrogens and shape of each heavy atom.

    Parameters
    ----------
    residues, atoms
        The structure and its table.
    pka
        pKa of titratable side chains, by index of the residue.
    ph
        Where they are titrated to.
    changes
        Gets a line for every state other than the usual one, and for every histidine.
    """
    context = _Context(residues, atoms, pka, ph, changes)
    out: list[AtomChemistry] = []
    start = 0
    for index, residue in enumerate(residues):
        rows = range(start, start + len(residue.atoms))
        start = rows.stop
        if residue.name in STANDARD:
            out.extend(_standard(index, rows, context))
        elif residue.name in WATERS:
            out.extend(_water(rows, atoms))
        else:
            out.extend(perceive_residue(residue, rows, atoms, changes))
    return out


def _water(rows: range, atoms: HeavyAtoms) -> list[AtomChemistry]:
    is_oxygen = [atoms.element[i] == "O" for i in rows]
    return [AtomChemistry("OA" if o else "C", 2 if o else 0, False) for o in is_oxygen]


def _standard(index: int, rows: range, context: _Context) -> list[AtomChemistry]:
    residue, atoms = context.residues[index], context.atoms
    hydrogens = dict(donor_hydrogens(residue.name))
    acceptors: set[str] = set()
    if residue.name in MODEL_PKA:
        hydrogens, acceptors = _titrate(index, rows, context)
    if residue.name in AMINO_ACIDS:
        hydrogens["N"] = _backbone_hydrogens(index, rows, context)
    elif residue.name in NUCLEOTIDES:
        hydrogens = hydrogens | _sugar_hydrogens(rows, atoms)
    usual = set(donor_hydrogens(residue.name)) | set(hydrogens)
    out = []
    for i in rows:
        name, element = atoms.name[i], atoms.element[i]
        n_hydrogens = hydrogens.get(name, 0)
        if name in usual and name != "N" and (atoms.outside(i) or _binds_metal(i, context)):
            n_hydrogens = max(0, n_hydrogens - 1)  # the bond has taken the place of a hydrogen
        ad_type = "NA" if name in acceptors else standard_ad_type(residue.name, name, element)
        planar = name in _PLANAR_DONORS if residue.name in AMINO_ACIDS else "'" not in name
        if name == "N" and n_hydrogens > 1:
            planar = False
        out.append(AtomChemistry(ad_type, n_hydrogens, planar))
    return out


def _binds_metal(i: int, context: _Context) -> bool:
    """Return whether a metal takes an atom's lone pair, so that it cannot be protonated."""
    return bool(context.atoms.near_metal[i]) and context.atoms.element[i] in ("N", "S")


def _backbone_hydrogens(index: int, rows: range, context: _Context) -> int:
    """Return hydrogens on the backbone nitrogen: an amide's, or a terminus's."""
    residue, atoms = context.residues[index], context.atoms
    nitrogen = next((i for i in rows if atoms.name[i] == "N"), None)
    if nitrogen is None:
        return 0
    is_proline = residue.name == "PRO"
    if atoms.outside(nitrogen):
        return 0 if is_proline else 1
    is_first = not any(
        r.chain == residue.chain and r.name in AMINO_ACIDS
        for r in context.residues[max(0, index - 3) : index]
    )
    if not is_first:
        return 0 if is_proline else 1  # after a gap: still an amide
    return 2 if is_proline else 3


def _sugar_hydrogens(rows: range, atoms: HeavyAtoms) -> dict[str, int]:
    """Return hydrogens on the hydroxyls of a nucleotide: those that no phosphate has taken."""
    hydrogens = {}
    for i in rows:
        if atoms.name[i] in ("O2'", "O3'", "O5'"):
            hydrogens[atoms.name[i]] = 1 if len(atoms.neighbours[i]) == 1 else 0
    return hydrogens


def _titrate(index: int, rows: range, context: _Context) -> tuple[dict[str, int], set[str]]:
    """Return hydrogens of a titratable side chain, and which of its nitrogens accept."""
    residue, atoms = context.residues[index], context.atoms
    row = {atoms.name[i]: i for i in rows}
    named = _NAMED_STATES.get(residue.given_name, "")
    value = context.pka.get(index, MODEL_PKA[residue.name])
    is_protonated = value > context.ph
    why = f"named {named} in the file" if named else f"pKa {value:.1f} at pH {context.ph:g}"
    if residue.name == "HIS":
        return _histidine(residue, row, named, is_protonated, why, context)
    if residue.name in ("ASP", "GLU"):
        if not (named or is_protonated):
            return {}, set()
        names = ("OD2", "OD1") if residue.name == "ASP" else ("OE2", "OE1")
        present = [name for name in names if name in row]
        if not present or any(atoms.near_metal[row[name]] for name in present):
            return {}, set()
        oxygen = max(present, key=lambda name: _acceptors_near(row[name], context))
        _report(context, residue, f"protonated on {oxygen} ({why})")
        return {oxygen: 1}, set()
    return _base_or_thiol(residue, row, named, is_protonated, why, context)


def _base_or_thiol(
    residue: Residue,
    row: dict[str, int],
    named: str,
    is_protonated: bool,
    why: str,
    context: _Context,
) -> tuple[dict[str, int], set[str]]:
    """Return hydrogens of a lysine, cysteine or tyrosine side chain."""
    atom, count = {"LYS": ("NZ", 3), "CYS": ("SG", 1), "TYR": ("OH", 1)}[residue.name]
    if atom not in row or (context.atoms.outside(row[atom]) and residue.name == "CYS"):
        return {}, set()  # a disulfide or another covalent bond
    if context.atoms.near_metal[row[atom]] and residue.name == "CYS":
        _report(context, residue, "deprotonated: it binds a metal")
        return {}, set()
    if named in ("LYN", "CYM") or not is_protonated:
        _report(context, residue, f"deprotonated ({why})")
        is_lysine = residue.name == "LYS"
        return ({atom: 2}, {atom}) if is_lysine else ({}, set())
    return {atom: count}, set()


def _histidine(
    residue: Residue,
    row: dict[str, int],
    named: str,
    is_protonated: bool,
    why: str,
    context: _Context,
) -> tuple[dict[str, int], set[str]]:
    """Return hydrogens of a histidine and the nitrogen that accepts: by metal, pKa, neighbours."""
    present = [name for name in ("ND1", "NE2") if name in row]
    metal = [n for n in present if context.atoms.near_metal[row[n]]]
    free = [n for n in present if n not in metal]
    if metal:
        _report(context, residue, f"{' and '.join(metal)} binds a metal, hydrogen on the other")
        return dict.fromkeys(free, 1), set(metal)
    if named == "HIP" or (is_protonated and not named):
        _report(context, residue, f"protonated on both nitrogens ({why})")
        return dict.fromkeys(free, 1), set()
    if named:
        keep = "ND1" if named == "HID" else "NE2"
        _report(context, residue, f"hydrogen on {keep} ({why})")
    else:
        scores = {n: _acceptors_near(row[n], context) for n in present}
        keep = "ND1" if scores.get("ND1", 0.0) > scores.get("NE2", 0.0) else "NE2"
        _report(context, residue, f"hydrogen on {keep} ({why}; by hydrogen bonds around)")
    return {keep: 1}, {n for n in present if n != keep}


def _acceptors_near(i: int, context: _Context) -> float:
    """Return how much the surroundings of an atom ask for a hydrogen: acceptors minus donors."""
    atoms, total = context.atoms, 0.0
    for j in sorted(atoms.tree.query_ball_point(atoms.coords[i], _HYDROGEN_BOND_ANGSTROM)):
        if atoms.residue[j] == atoms.residue[i] or atoms.element[j] not in ("N", "O"):
            continue
        residue = context.residues[int(atoms.residue[j])]
        weight = (
            _HYDROGEN_BOND_ANGSTROM + 0.6 - float(np.linalg.norm(atoms.coords[j] - atoms.coords[i]))
        )
        if atoms.element[j] == "N":
            is_donor = residue.name in AMINO_ACIDS and residue.name != "HIS"
            total -= weight if is_donor else 0.0
        elif atoms.name[j] not in ("OG", "OG1", "OH") and residue.name not in WATERS:
            total += weight  # hydroxyls and waters adapt to either
    return total


def _report(context: _Context, residue: Residue, text: str) -> None:
    context.changes.append(Change("protonation", residue.label, text))
