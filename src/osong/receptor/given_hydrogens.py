"""Hydrogens that a structure brings along: which atoms they belong to, what that makes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from osong.receptor.report import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from osong.receptor.graph import HeavyAtoms
    from osong.receptor.perception import AtomChemistry
    from osong.receptor.structure import Residue

    Hydrogens = list[list[tuple[str, npt.NDArray[np.float64]]]]

__all__ = ["use_given_hydrogens"]

_LONGEST_BOND_ANGSTROM: Final = 1.5
_POLAR: Final = ("N", "O", "S")


def use_given_hydrogens(
    residues: Sequence[Residue],
    atoms: HeavyAtoms,
    chemistry: list[AtomChemistry],
    changes: list[Change],
) -> tuple[list[AtomChemistry], Hydrogens]:
    """Return the chemistry that the file's hydrogens tell, and the polar ones with positions.

    A residue without any hydrogens keeps what was worked out for it.

    Parameters
    ----------
    residues, atoms, chemistry
        The structure, its table, and the chemistry as it would be without hydrogens.
    changes
        Gets a line for hydrogens bound to nothing.
    """
    out = list(chemistry)
    hydrogens: Hydrogens = [[] for _ in chemistry]
    start = 0
    for residue in residues:
        rows = range(start, start + len(residue.atoms))
        start = rows.stop
        if not residue.hydrogens:
            continue
        coords = atoms.coords[rows.start : rows.stop]
        for hydrogen in residue.hydrogens:
            distance = np.linalg.norm(coords - hydrogen.position, axis=1)
            nearest = int(np.argmin(distance))
            if distance[nearest] > _LONGEST_BOND_ANGSTROM:
                text = f"hydrogen {hydrogen.name} removed: bound to nothing"
                changes.append(Change("removed", residue.label, text))
            elif atoms.element[rows.start + nearest] in _POLAR:
                hydrogens[rows.start + nearest].append((hydrogen.name, hydrogen.position))
        for i in rows:
            out[i] = _with_count(out[i], len(hydrogens[i]), atoms, i)
    return out, hydrogens


def _with_count(atom: AtomChemistry, count: int, atoms: HeavyAtoms, i: int) -> AtomChemistry:
    """Return an atom with the hydrogens that the file gives it, and the type they imply."""
    ad_type = atom.ad_type
    if ad_type == "NA" and count:
        ad_type = "N"
    elif ad_type == "N" and not count and atom.n_hydrogens and len(atoms.neighbours[i]) == 2:
        # A ring or imine nitrogen that was expected to be a donor is an acceptor after all.
        ad_type = "N" if atoms.name[i] == "N" or atoms.near_metal[i] else "NA"
    return replace(atom, ad_type=ad_type, n_hydrogens=count)
