"""From the residues of a structure to a receptor: the order of the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from osong.errors import ReceptorError
from osong.receptor.chemistry import assign_chemistry
from osong.receptor.given_hydrogens import use_given_hydrogens
from osong.receptor.graph import heavy_atoms
from osong.receptor.hydrogens import place_hydrogens
from osong.receptor.model import Receptor
from osong.receptor.repair import add_missing_atoms, report_gaps
from osong.receptor.report import Change
from osong.receptor.residues import AMINO_ACIDS, STANDARD, WATERS
from osong.receptor.selection import remove_unwanted, replace_selenomethionine
from osong.receptor.titration import predict_pka
from osong.receptor.vina_types import vina_atom_types

if TYPE_CHECKING:
    import numpy.typing as npt

    from osong.receptor.graph import HeavyAtoms
    from osong.receptor.options import ReceptorOptions
    from osong.receptor.perception import AtomChemistry
    from osong.receptor.structure import Residue

    Hydrogens = list[list[tuple[str, npt.NDArray[np.float64]]]]

__all__ = ["prepare_receptor"]

_ENOUGH_HYDROGENS: Final = 0.8
_CLASH_ANGSTROM: Final = 2.1  # between heavy atoms; a short hydrogen bond has 2.4


def prepare_receptor(
    residues: list[Residue], options: ReceptorOptions, changes: list[Change]
) -> Receptor:
    """Return the receptor made of a structure's residues.

    Parameters
    ----------
    residues
        As read; changed in place.
    options
        What to keep and at which pH.
    changes
        Gets a line for everything that is done.

    Raises
    ------
    ReceptorError
        Nothing is left of the structure, or an atom cannot be typed.
    """
    replace_selenomethionine(residues, changes)
    residues = remove_unwanted(
        residues,
        changes,
        keep_waters=options.keep_waters,
        keep=options.keep,
        remove=options.remove,
    )
    if not any(residue.name not in WATERS for residue in residues):
        raise ReceptorError(
            "nothing is left of the structure but waters and additives; give a structure with "
            "a protein or nucleic acid, or keep=[...] (--keep) what was removed"
        )
    if not any(residue.name in STANDARD for residue in residues):
        text = "no amino acid or nucleotide in it: everything typed by geometry"
        changes.append(Change("no polymer", "", text))
    keeps_hydrogens = _keeps_hydrogens(residues, options, changes)
    report_gaps(residues, changes)
    add_missing_atoms(residues, changes)
    atoms = heavy_atoms(residues)
    _report_links(residues, atoms, changes)
    _report_clashes(residues, atoms, changes)
    if keeps_hydrogens:
        # The file says where the protons are; what the surroundings would suggest is not done.
        suggested: list[Change] = []
        chemistry = assign_chemistry(residues, atoms, {}, options.ph, suggested)
        changes.extend(change for change in suggested if change.kind != "protonation")
        chemistry, hydrogens = use_given_hydrogens(residues, atoms, chemistry, changes)
    else:
        pka = predict_pka(residues, changes)
        chemistry = assign_chemistry(residues, atoms, pka, options.ph, changes)
        hydrogens = [[] for _ in chemistry]
    for i, atom in enumerate(chemistry):
        if atom.n_hydrogens and not hydrogens[i]:
            positions = place_hydrogens(i, atoms, chemistry)
            names = _hydrogen_names(atoms.name[i], len(positions))
            hydrogens[i] = list(zip(names, positions, strict=True))
    return _assemble(residues, atoms, chemistry, hydrogens)


def _keeps_hydrogens(
    residues: list[Residue], options: ReceptorOptions, changes: list[Change]
) -> bool:
    """Return whether the file's hydrogens stay, and say what becomes of them."""
    amino = [r for r in residues if r.name in AMINO_ACIDS] or residues
    n_with = sum(1 for residue in amino if residue.hydrogens)
    total = sum(len(residue.hydrogens) for residue in residues)
    enough = n_with >= _ENOUGH_HYDROGENS * len(amino)
    if options.hydrogens == "keep" or (options.hydrogens == "auto" and enough):
        if total:
            text = (
                f"{total} in the file: polar ones kept as they are, pH not applied "
                "(hydrogens='replace', or --hydrogens replace, builds them anew)"
            )
            changes.append(Change("hydrogens", "", text))
        return bool(total)
    if total:
        why = "as asked" if options.hydrogens == "replace" else "too few residues had any"
        text = f"{total} of the file removed ({why}), polar ones built anew"
        changes.append(Change("hydrogens", "", text))
    else:
        text = f"polar hydrogens added at pH {options.ph:g}; those on carbon are not used"
        changes.append(Change("hydrogens", "", text))
    for residue in residues:
        residue.hydrogens = []
    return False


def _report_links(residues: list[Residue], atoms: HeavyAtoms, changes: list[Change]) -> None:
    """Name covalent bonds between residues other than those of the chain."""
    for i, name in enumerate(atoms.name):
        for j in atoms.outside(i):
            if j < i or (name, atoms.name[j]) in (("C", "N"), ("O3'", "P")):
                continue
            left, right = residues[int(atoms.residue[i])], residues[int(atoms.residue[j])]
            is_disulfide = atoms.element[i] == atoms.element[j] == "S"
            kind = "disulfide" if is_disulfide else "covalent link"
            text = f"{name} bonded to {right.label} {atoms.name[j]}"
            changes.append(Change(kind, left.label, text))


def _report_clashes(residues: list[Residue], atoms: HeavyAtoms, changes: list[Change]) -> None:
    """Name residues that lie closer together than atoms can."""
    seen: set[tuple[int, int]] = set()
    for i, j in sorted(atoms.tree.query_pairs(_CLASH_ANGSTROM)):
        left, right = sorted((int(atoms.residue[i]), int(atoms.residue[j])))
        is_metal_contact = bool(atoms.near_metal[i] or atoms.near_metal[j])
        joined = any(int(atoms.residue[k]) == int(atoms.residue[j]) for k in atoms.outside(i))
        near_link = any(atoms.outside(k) for k in (i, j)) or joined
        if left == right or is_metal_contact or near_link or (left, right) in seen:
            continue
        seen.add((left, right))
        distance = float(np.linalg.norm(atoms.coords[i] - atoms.coords[j]))
        text = (
            f"{atoms.name[i]} only {distance:.1f} A from {residues[right].label} "
            f"{atoms.name[j]}; both kept"
        )
        changes.append(Change("clash", residues[left].label, text))


def _hydrogen_names(parent: str, count: int) -> list[str]:
    stem = "H" + parent.partition("#")[0][1:]
    return [stem] if count == 1 else [f"{stem}{k + 1}" for k in range(count)]


def _assemble(
    residues: list[Residue],
    atoms: HeavyAtoms,
    chemistry: list[AtomChemistry],
    hydrogens: Hydrogens,
) -> Receptor:
    """Return the arrays: each heavy atom followed by its polar hydrogens."""
    coords: list[npt.NDArray[np.float64]] = []
    rows: list[tuple[str, str, str, str, str, str]] = []
    for i, atom in enumerate(chemistry):
        residue = residues[int(atoms.residue[i])]
        where = (residue.name, residue.chain, residue.number)
        coords.append(atoms.coords[i])
        name = atoms.name[i].partition("#")[0]
        rows.append((atoms.element[i], atom.ad_type, name, *where))
        for hydrogen_name, position in hydrogens[i]:
            coords.append(position)
            rows.append(("H", "HD", hydrogen_name, *where))
    # Three decimals, as PDBQT holds: what is written out is exactly what is docked to.
    xyz: npt.NDArray[np.float64] = np.array(coords, dtype=np.float64).round(3)
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Receptor(
        coords=xyz.astype(np.float32),
        atom_type=vina_atom_types(xyz, columns[1]),
        charge=np.zeros(len(rows), dtype=np.float32),
        element=columns[0],
        ad_type=columns[1],
        atom_name=columns[2],
        residue_name=columns[3],
        chain=columns[4],
        residue_number=columns[5],
    )
