"""Choose what stays in the receptor: the ligand, waters and additives go, the rest is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.spatial import cKDTree

from osong.errors import ReceptorError
from osong.receptor.report import Change
from osong.receptor.residues import ADDITIVES, STANDARD, WATERS

if TYPE_CHECKING:
    import numpy.typing as npt

    from osong.receptor.structure import Residue

__all__ = ["find_ligand", "remove_overlapping", "remove_unwanted", "replace_selenomethionine"]

_SAME_PLACE_ANGSTROM: Final = 1.0


def find_ligand(residues: list[Residue], wanted: str) -> tuple[Residue, list[Residue]]:
    """Return the residue that defines the box, and its copies (same name, elsewhere).

    Parameters
    ----------
    residues
        The structure.
    wanted
        ``"STI"``, ``"A:STI"``, ``"A:STI:201"`` or ``"A:201"``.
    """
    parts = wanted.strip().split(":")
    names = {r.name for r in residues if r.name not in STANDARD and r.name not in WATERS}
    matches = [r for r in residues if _matches(r, parts)]
    if not matches:
        there = ", ".join(sorted(names)) or "none"
        raise ReceptorError(
            f"no ligand '{wanted}' in the structure; ligands and ions there: {there} "
            "(write a name, 'chain:name' or 'chain:name:number')"
        )
    first = matches[0]
    copies = [r for r in residues if r.name == first.name and r is not first]
    return first, copies if first.name not in STANDARD else []


def _matches(residue: Residue, parts: list[str]) -> bool:
    chain, name, number = residue.chain, residue.name, residue.number
    if len(parts) == 1:
        return parts[0].upper() in (name, residue.given_name)
    if len(parts) == 2:
        return parts[0] == chain and (parts[1].upper() == name or parts[1] == number)
    return parts[0] == chain and parts[1].upper() == name and parts[2] == number


def remove_overlapping(
    residues: list[Residue], coords: npt.NDArray[np.float64], changes: list[Change]
) -> list[Residue]:
    """Return the structure without residues that are the ligand itself: those at its place.

    Parameters
    ----------
    residues
        The structure.
    coords
        (n, 3) float64, angstrom, the ligand's heavy atoms.
    changes
        Gets a line for each that goes.
    """
    tree = cKDTree(coords)
    kept = []
    for residue in residues:
        distance, _ = tree.query(residue.coords)
        overlaps = float(np.mean(distance < _SAME_PLACE_ANGSTROM)) >= 0.5
        if overlaps and not residue.is_polymer:
            text = "lies where the ligand that defines the box lies"
            changes.append(Change("removed", residue.label, text))
        else:
            kept.append(residue)
    return kept


def remove_unwanted(
    residues: list[Residue],
    changes: list[Change],
    *,
    keep_waters: bool,
    keep: frozenset[str],
    remove: frozenset[str],
) -> list[Residue]:
    """Return the structure without waters, additives and what the caller names."""
    kept, n_waters = [], 0
    for residue in residues:
        name = residue.name
        if name in remove:
            changes.append(Change("removed", residue.label, "as asked"))
        elif name in WATERS and not (keep_waters or name in keep):
            n_waters += 1
        elif name in ADDITIVES and name not in keep:
            text = f"crystallisation additive ({ADDITIVES[name]})"
            changes.append(Change("removed", residue.label, text))
        else:
            kept.append(residue)
    if n_waters:
        changes.append(Change("removed", "", f"{n_waters} waters (keep_waters=True keeps them)"))
    return kept


def replace_selenomethionine(residues: list[Residue], changes: list[Change]) -> None:
    """Turn selenomethionine, grown for phasing, into the methionine it stands for."""
    for residue in residues:
        if residue.name != "MSE":
            continue
        changes.append(Change("replaced", residue.label, "selenomethionine made methionine"))
        residue.name, residue.is_polymer = "MET", True
        residue.atoms = {
            ("SD" if name == "SE" else name): (
                replace(atom, name="SD", element="S") if name == "SE" else atom
            )
            for name, atom in residue.atoms.items()
        }
