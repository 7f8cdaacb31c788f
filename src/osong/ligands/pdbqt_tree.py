"""The text of a ligand PDBQT: its atoms, its tree, its remarks; and the bonds that Vina sees."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NoReturn

import numpy as np
import numpy.typing as npt

from osong.errors import LigandError
from osong.ligands.atom_typing import VINA_ELEMENT

__all__ = ["PdbqtTree", "parse_pdbqt", "vina_bonds"]

_COVALENT_RADIUS: Final = {
    "H": 0.37, "C": 0.77, "N": 0.75, "O": 0.73, "P": 1.06, "S": 1.02, "F": 0.71, "Cl": 0.99,
    "Br": 1.14, "I": 1.33, "Si": 1.11, "At": 1.44, "Mg": 1.30, "Mn": 1.39, "Zn": 1.31, "Ca": 1.74,
    "Fe": 1.25, "Met": 1.75,
}  # fmt: skip
"""angstrom; Vina's own, which decide what it takes for bonded."""

_BOND_LENGTH_ALLOWANCE: Final = 1.1


@dataclass
class PdbqtTree:
    """Atoms and branches of a ligand as the file has them.

    Attributes
    ----------
    serial, autodock, charge, position, segment
        One entry an atom: number in the file, AutoDock type, charge, coordinates in angstrom, and
        the branch it stands in (0 is the root).
    parent, axis
        One entry a branch: its parent and the serials of its bond (in the parent, in the branch).
    remarks
        Text of the REMARK lines.
    """

    serial: list[int] = field(default_factory=list)
    autodock: list[str] = field(default_factory=list)
    charge: list[float] = field(default_factory=list)
    position: list[tuple[float, float, float]] = field(default_factory=list)
    segment: list[int] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    axis: list[tuple[int, int]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def axis_atoms(self) -> list[tuple[int, int]]:
        """Bonds of the branches as atom indices; (-1, -1) for the root."""
        index = {serial: k for k, serial in enumerate(self.serial)}
        return [(-1, -1), *((index[a], index[b]) for a, b in self.axis[1:])]


def parse_pdbqt(text: str) -> PdbqtTree:
    """Return the ligand of a PDBQT text, its first model where there are several.

    Raises
    ------
    LigandError
        At stage "read" with the line that is wrong, "type" for atoms that Vina does not know.
    """
    tree = PdbqtTree()
    open_branches: list[int] = []
    for number, line in enumerate(text.splitlines(), start=1):
        keyword = line[:6].split()[0] if line[:6].strip() else ""
        if keyword in ("ENDMDL", "END"):
            break
        if keyword == "REMARK":
            tree.remarks.append(line[6:].strip())
        elif keyword == "ROOT":
            if tree.parent:
                _fail(number, "a second ROOT")
            tree.parent.append(-1)
            tree.axis.append((-1, -1))
            open_branches.append(0)
        elif line.startswith("BRANCH"):
            _open_branch(tree, open_branches, line, number)
        elif line.startswith("ENDBRANCH"):
            if len(open_branches) < 2:
                _fail(number, "an ENDBRANCH without its BRANCH")
            open_branches.pop()
        elif line.startswith(("ATOM  ", "HETATM")):
            if not open_branches:
                _fail(number, "an atom before ROOT: a receptor, or no ligand")
            _read_atom(tree, open_branches[-1], line, number)
        elif line.startswith(("BEGIN_RES", "END_RES")):
            _fail(number, "a flexible residue, not a ligand")
    _check(tree, open_branches)
    return tree


def _fail(number: int, what: str) -> NoReturn:
    raise LigandError(f"PDBQT line {number}: {what}", stage="read")


def _open_branch(tree: PdbqtTree, open_branches: list[int], line: str, number: int) -> None:
    if not open_branches:
        _fail(number, "a BRANCH before ROOT")
    try:
        inner, outer = (int(word) for word in line[6:].split()[:2])
    except ValueError:
        _fail(number, "BRANCH without its two atom numbers")
    tree.parent.append(open_branches[-1])
    tree.axis.append((inner, outer))
    open_branches.append(len(tree.parent) - 1)


def _read_atom(tree: PdbqtTree, segment: int, line: str, number: int) -> None:
    try:
        serial = int(line[6:11])
        x, y, z = (float(line[start : start + 8]) for start in (30, 38, 46))
        charge = float(line[68:76].strip() or 0.0)
    except ValueError:
        _fail(number, "an atom whose number, coordinates or charge cannot be read")
    if not np.isfinite((x, y, z, charge)).all():
        _fail(number, "an atom whose coordinates or charge are not finite")
    autodock = line[77:79].strip()
    if autodock not in VINA_ELEMENT:
        raise LigandError(_unknown_type(autodock, number), stage="type")
    tree.serial.append(serial)
    tree.autodock.append(autodock)
    tree.charge.append(charge)
    tree.position.append((x, y, z))
    tree.segment.append(segment)


def _unknown_type(autodock: str, number: int) -> str:
    if autodock.startswith(("CG", "G")) and autodock[-1:].isdigit():
        return (
            f"PDBQT line {number}: type {autodock} marks a macrocycle cut open; "
            "write the ligand with rigid macrocycles, or give it as SDF or SMILES"
        )
    return f"PDBQT line {number}: {autodock!r} is no AutoDock atom type that Vina knows"


def _check(tree: PdbqtTree, open_branches: list[int]) -> None:
    if not tree.serial:
        raise LigandError("PDBQT without ROOT and atoms: no ligand", stage="read")
    if len(open_branches) > 1:
        raise LigandError("PDBQT ends within a BRANCH", stage="read")
    segment_of = dict(zip(tree.serial, tree.segment, strict=True))
    position_of = dict(zip(tree.serial, tree.position, strict=True))
    if len(segment_of) < len(tree.serial):
        raise LigandError("PDBQT uses an atom number twice", stage="read")
    for child in range(1, len(tree.parent)):
        inner, outer = tree.axis[child]
        if segment_of.get(inner) != tree.parent[child] or segment_of.get(outer) != child:
            raise LigandError(
                f"PDBQT: BRANCH {inner} {outer} does not join an atom of its parent to one of its "
                "own",
                stage="read",
            )
        if position_of[inner] == position_of[outer]:
            raise LigandError(
                f"PDBQT: the atoms of BRANCH {inner} {outer} lie at the same place", stage="read"
            )


def vina_bonds(
    autodock: list[str],
    positions: npt.NDArray[np.float64],
    is_fixed: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int32]:
    """Return the bonds that Vina finds by distance, (n_atoms, n_atoms) int32.

    Two atoms are bonded if their distance cannot change, it is below 1.1 times the sum of the
    covalent radii, and no third such atom lies closer to both.

    Parameters
    ----------
    autodock
        AutoDock types.
    positions
        (n_atoms, 3) float64, angstrom.
    is_fixed
        (n_atoms, n_atoms) bool: the distance stays when torsions turn.
    """
    radius = np.array([_COVALENT_RADIUS.get(ad) or _COVALENT_RADIUS[VINA_ELEMENT[ad]]
                       for ad in autodock])  # fmt: skip
    largest = _COVALENT_RADIUS["Ca"]
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    near = is_fixed & (distance < _BOND_LENGTH_ALLOWANCE * (radius[:, None] + largest))
    np.fill_diagonal(near, val=False)
    close = near & (distance < _BOND_LENGTH_ALLOWANCE * (radius[:, None] + radius[None, :]))
    bonds = np.zeros(distance.shape, dtype=np.int32)
    for i, j in np.argwhere(np.triu(close, k=1)).tolist():
        between = (
            near[i] & is_fixed[j] & (distance[i] < distance[i, j]) & (distance[j] < distance[i, j])
        )
        between[j] = False
        if not between.any():
            bonds[i, j] = bonds[j, i] = 1
    return bonds
