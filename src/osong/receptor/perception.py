"""Types and polar hydrogens of cofactors and modified residues, from their geometry alone.

A crystal structure says where the heavy atoms of a cofactor are, not its bond orders. For a
receptor that is enough: what matters is which nitrogens and oxygens carry hydrogens, and bond
lengths, angles and planarity tell that at the resolution at which structures are refined.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from osong.errors import ReceptorError
from osong.receptor.elements import substitute_for_element
from osong.receptor.fragments import known_atoms
from osong.receptor.report import Change
from osong.receptor.vina_types import AD_TYPES

if TYPE_CHECKING:
    from osong.receptor.graph import HeavyAtoms
    from osong.receptor.structure import Residue

__all__ = ["AtomChemistry", "perceive_residue"]

_PLANE_ANGSTROM: Final = 0.12  # largest distance of a ring atom from its ring's plane
_PLANAR_SUM_DEGREES: Final = 352.0  # of the three angles at an atom; a tetrahedron has 328
_CARBONYL_ANGSTROM: Final = 1.30  # C=O 1.20 to 1.26, C-OH of a phenol or acid 1.32 to 1.38


@dataclass(frozen=True)
class AtomChemistry:
    """A heavy atom: AutoDock type, polar hydrogens it carries, and whether they lie in a plane."""

    ad_type: str
    n_hydrogens: int
    planar: bool


@dataclass(frozen=True)
class _Site:
    """One atom with what lies around it."""

    atoms: HeavyAtoms
    index: int
    rings: list[list[int]]

    @property
    def element(self) -> str:
        return self.atoms.element[self.index]

    @property
    def bound(self) -> list[int]:
        return self.atoms.neighbours[self.index]

    def distance(self, other: int) -> float:
        coords = self.atoms.coords
        return float(np.linalg.norm(coords[self.index] - coords[other]))

    def angle(self, left: int, right: int, at: int | None = None) -> float:
        coords = self.atoms.coords
        center = coords[self.index if at is None else at]
        u, v = coords[left] - center, coords[right] - center
        cosine = float(u @ v / (np.linalg.norm(u) * np.linalg.norm(v)))
        return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))

    def is_planar(self, index: int) -> bool:
        """Return whether an atom looks trigonal or linear rather than tetrahedral."""
        bound = self.atoms.neighbours[index]
        if len(bound) == 3:
            a, b, c = bound
            pairs = ((a, b), (b, c), (a, c))
            return sum(self.angle(i, j, index) for i, j in pairs) > _PLANAR_SUM_DEGREES
        if len(bound) == 2:
            in_ring = any(index in ring for ring in self.rings)
            return in_ring or self.angle(bound[0], bound[1], at=index) > 116.0
        return False


def perceive_residue(
    residue: Residue, rows: range, atoms: HeavyAtoms, changes: list[Change]
) -> list[AtomChemistry]:
    """Return the chemistry of each atom of a residue that no table knows.

    Parameters
    ----------
    residue
        The residue.
    rows
        Its rows in ``atoms``.
    atoms
        All heavy atoms.
    changes
        Gets a line for a cofactor kept, and for every substitute for an element.

    Raises
    ------
    ReceptorError
        An element has neither an AutoDock type nor a substitute.
    """
    mol = _bond_graph(rows, atoms)
    rings = _planar_rings(mol, rows, atoms)
    out = [_perceive(_Site(atoms, i, rings), residue, changes) for i in rows]
    for k, ad_type, n_hydrogens in known_atoms(mol):
        if not (atoms.near_metal[rows.start + k] or atoms.outside(rows.start + k)):
            out[k] = AtomChemistry(ad_type, n_hydrogens, True)
    if len(out) > 1:
        n_hydrogens = sum(atom.n_hydrogens for atom in out)
        text = f"kept; {n_hydrogens} polar hydrogens by geometry"
        changes.append(Change("cofactor", residue.label, text))
    elif out:
        changes.append(Change("ion", residue.label, f"kept as type {out[0].ad_type}"))
    return out


def _bond_graph(rows: range, atoms: HeavyAtoms) -> Chem.Mol:
    """Return the residue's heavy atoms joined by bonds of no particular order."""
    mol = Chem.RWMol()
    table = Chem.GetPeriodicTable()
    for i in rows:
        atom = Chem.Atom(table.GetAtomicNumber(atoms.element[i]))
        atom.SetNoImplicit(True)
        mol.AddAtom(atom)
    for i in rows:
        for j in atoms.neighbours[i]:
            if i < j and j in rows:
                mol.AddBond(i - rows.start, j - rows.start, Chem.BondType.SINGLE)
    mol.UpdatePropertyCache(strict=False)
    return mol.GetMol()


def _planar_rings(mol: Chem.Mol, rows: range, atoms: HeavyAtoms) -> list[list[int]]:
    """Return the rings of five to seven atoms that are flat."""
    flat = []
    for ring in Chem.GetSymmSSSR(mol):
        members = [rows.start + k for k in ring]
        if not 5 <= len(members) <= 7 or any(len(atoms.neighbours[k]) > 3 for k in members):
            continue
        if _flatness(atoms.coords[members]) < _PLANE_ANGSTROM:
            flat.append(members)
    return flat


def _flatness(coords: npt.NDArray[np.float64]) -> float:
    """Return the largest distance, angstrom, of (n, 3) points from their best plane."""
    centred = coords - coords.mean(axis=0)
    normal = np.linalg.svd(centred)[2][2]
    return float(np.abs(centred @ normal).max())


def _perceive(site: _Site, residue: Residue, changes: list[Change]) -> AtomChemistry:
    element = site.element
    if element == "C":
        in_ring = any(site.index in ring for ring in site.rings)
        return AtomChemistry("A" if in_ring else "C", 0, True)
    if element == "N":
        return _nitrogen(site)
    if element == "O":
        return _oxygen(site)
    if element == "S":
        return _sulfur(site)
    if element in AD_TYPES:
        return AtomChemistry(element, 0, False)
    ad_type, reason = substitute_for_element(element)
    name = site.atoms.name[site.index]
    if ad_type is None:
        raise ReceptorError(
            f"{residue.label} {name}: no atom type for element {element}; remove the residue "
            f"(remove=['{residue.name}'], --remove {residue.name}) or replace the atom"
        )
    changes.append(Change("substituted", residue.label, f"{name}: {reason}"))
    return AtomChemistry(ad_type, 0, False)


def _oxygen(site: _Site) -> AtomChemistry:
    """Carbonyl, carboxylate, ether and phosphate carry no hydrogen; hydroxyl carries one."""
    if len(site.bound) != 1:
        return AtomChemistry("OA", 0, False)
    (partner,) = site.bound
    element = site.atoms.element[partner]
    distance = site.distance(partner)
    if site.atoms.near_metal[site.index]:
        return AtomChemistry("OA", 0, False)
    if element == "C":
        siblings = [
            j
            for j in site.atoms.neighbours[partner]
            if j != site.index
            and site.atoms.element[j] == "O"
            and len(site.atoms.neighbours[j]) == 1
        ]
        planar = site.is_planar(partner)
        if planar and (siblings or distance < _CARBONYL_ANGSTROM):
            return AtomChemistry("OA", 0, True)
        has_nitrogen = "N" in _elements_at(site, partner)
        is_carbonyl = distance < (_CARBONYL_ANGSTROM if has_nitrogen else 1.27)
        return AtomChemistry("OA", 0 if is_carbonyl else 1, planar)
    if element == "N":
        return AtomChemistry("OA", 1 if distance > 1.36 else 0, False)
    return AtomChemistry("OA", 1 if element in ("B", "Si") else 0, False)


def _elements_at(site: _Site, index: int) -> list[str]:
    return [site.atoms.element[j] for j in site.atoms.neighbours[index]]


def _sulfur(site: _Site) -> AtomChemistry:
    """Thiols carry a hydrogen; thioethers accept; sulfates and sulfonamides do neither."""
    if len(site.bound) >= 3:
        return AtomChemistry("S", 0, False)
    if len(site.bound) != 1 or site.atoms.near_metal[site.index]:
        return AtomChemistry("SA" if site.bound else "S", 0, False)
    is_thiol = site.atoms.element[site.bound[0]] == "C" and site.distance(site.bound[0]) > 1.74
    return AtomChemistry("SA", 1 if is_thiol else 0, False)


def _nitrogen(site: _Site) -> AtomChemistry:
    bound = site.bound
    if site.atoms.near_metal[site.index]:
        return AtomChemistry("N", 0, True)  # its lone pair is taken
    if len(bound) == 1:
        return _terminal_nitrogen(site, bound[0])
    if len(bound) == 2:
        return _nitrogen_of_two(site, bound[0], bound[1])
    if len(bound) == 3:
        in_ring = any(site.index in ring for ring in site.rings)
        flat = in_ring or site.is_planar(site.index) or _is_conjugated(site)
        return AtomChemistry("N", 0 if flat else 1, flat)
    return AtomChemistry("N", 0, False)


def _terminal_nitrogen(site: _Site, partner: int) -> AtomChemistry:
    """Nitrile or azide, amide or aniline (NH2), ammonium (NH3)."""
    distance = site.distance(partner)
    if distance < 1.22:
        return AtomChemistry("NA", 0, True)
    is_amide = _is_amide_carbon(site, partner)
    if site.atoms.element[partner] != "C" or is_amide or site.is_planar(partner):
        return AtomChemistry("N", 2, True)
    return AtomChemistry("N", 3, False)


def _nitrogen_of_two(site: _Site, left: int, right: int) -> AtomChemistry:
    """Ring nitrogen with or without hydrogen, imine, amide or ammonium (NH2)."""
    angle = site.angle(left, right)
    ring = min((r for r in site.rings if site.index in r), key=len, default=None)
    if ring is not None:
        # The angle at a ring nitrogen widens by some four degrees with a hydrogen on it.
        has_hydrogen = angle > (106.3 if len(ring) == 5 else 120.5)
        return AtomChemistry("N" if has_hydrogen else "NA", int(has_hydrogen), True)
    if angle > 160.0:
        return AtomChemistry("N", 0, True)
    lengths = {j: site.distance(j) for j in (left, right)}
    carbon = [lengths[j] for j in (left, right) if site.atoms.element[j] == "C"]
    if any(_is_amide_carbon(site, j) for j in (left, right)):
        return AtomChemistry("N", 1, True)
    if carbon and min(carbon) < 1.30:
        return AtomChemistry("NA", 0, True)
    if _is_conjugated(site):
        return AtomChemistry("N", 1, True)
    return AtomChemistry("N", 2, False)


def _is_amide_carbon(site: _Site, index: int) -> bool:
    """Return whether an atom is a carbon with a carbonyl oxygen, by its bond or its shape."""
    atoms = site.atoms
    if atoms.element[index] != "C" or len(atoms.neighbours[index]) != 3:
        return False
    for j in atoms.neighbours[index]:
        if atoms.element[j] == "O" and len(atoms.neighbours[j]) == 1:
            distance = float(np.linalg.norm(atoms.coords[index] - atoms.coords[j]))
            return distance < _CARBONYL_ANGSTROM or site.is_planar(index)
    return False


def _is_conjugated(site: _Site) -> bool:
    """Return whether a nitrogen's lone pair is shared: beside C=X, an aromatic ring, S or P."""
    for j in site.bound:
        element = site.atoms.element[j]
        if element in ("S", "P", "N", "B"):
            return True
        if element == "C" and _is_amide_carbon(site, j):
            return True
        if element == "C" and site.distance(j) < 1.42 and site.is_planar(j):
            return True
    return False
