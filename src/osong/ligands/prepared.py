"""`PreparedLigand`: a molecule ready to dock, and the way back to an RDKit molecule."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rdkit import Chem

if TYPE_CHECKING:
    from osong.ligands.packed import PackedLigand

__all__ = ["PreparedLigand", "ligand_key", "mol_from_explicit_smiles"]


@dataclass(frozen=True, eq=False)
class PreparedLigand:
    """One state (protomer, stereoisomer, tautomer) of a molecule, ready to dock.

    Attributes
    ----------
    name
        As it came in.
    smiles
        SMILES with every hydrogen written as an atom; its atom order is that of the molecule.
    input_smiles
        Canonical SMILES of the molecule as it came in.
    variant
        Number of this state among those of its molecule, from 0.
    notes
        What was changed or decided on the way, for the chemist.
    packed
        The arrays that the kernels take.
    properties
        Properties of the molecule as they came in (names and values of SDF fields).
    source_index
        Where the geometry was given: index of each atom in the molecule as given, -1 for atoms
        that were added. Empty otherwise.
    """

    name: str
    smiles: str
    input_smiles: str
    variant: int
    notes: tuple[str, ...]
    packed: PackedLigand
    properties: tuple[tuple[str, str], ...] = ()
    source_index: tuple[int, ...] = ()

    def mol(self, coords: npt.NDArray[np.floating] | None = None) -> Chem.Mol:
        """Return the molecule with all hydrogens, bond orders, name, properties, one conformer.

        Parameters
        ----------
        coords
            (n_atoms, 3), angstrom, in the order of the packed atoms; the first conformer
            where left out (for a packed pose, the pose).
        """
        mol = mol_from_explicit_smiles(self.smiles)
        packed_coords = self.packed.coords[0] if coords is None else np.asarray(coords)
        positions = np.empty((self.packed.n_atoms, 3), dtype=np.float64)
        positions[self.packed.atom_index] = packed_coords
        conformer = Chem.Conformer(len(positions))
        conformer.Set3D(True)
        conformer.SetPositions(positions)
        mol.AddConformer(conformer)
        mol.SetProp("_Name", self.name)
        for key, value in self.properties:
            mol.SetProp(key, value)
        return mol


def mol_from_explicit_smiles(smiles: str) -> Chem.Mol:
    """Return the molecule of a SMILES in its atom order, hydrogens kept as atoms."""
    parameters = Chem.SmilesParserParams()
    parameters.removeHs = False
    mol = Chem.MolFromSmiles(smiles, parameters)
    if mol is None:
        # Molecules of PDBQT files without bond orders can have valences that RDKit rejects.
        parameters.sanitize = False
        mol = Chem.MolFromSmiles(smiles, parameters)
    return mol


def ligand_key(smiles: str, coords: npt.NDArray[np.floating] | None = None) -> bytes:
    """Return 16 bytes that depend on the molecule, and on its geometry where that was given.

    Parameters
    ----------
    smiles
        Canonical and isomeric.
    coords
        (n, 3), angstrom; the order of the rows does not matter.
    """
    digest = blake2b(smiles.encode(), digest_size=16)
    if coords is not None:
        # To the thousandth of an angstrom, what every file format keeps.
        rounded = np.round(np.asarray(coords, dtype=np.float64) * 1000.0).astype("<i8")
        digest.update(b"\0" + rounded[np.lexsort(rounded.T)].tobytes())
    return digest.digest()
