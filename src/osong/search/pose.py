"""`Pose`: one placement of a ligand, with its energies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from osong.ligands.prepared import PreparedLigand

__all__ = ["Pose"]


@dataclass(frozen=True, eq=False)
class Pose:
    """One placement of a ligand.

    Attributes
    ----------
    energy
        kcal/mol, as Vina reports it: (inter + intra - intra of the best pose) / (1 + w N), with
        the torsion count N. Lower is better.
    inter, intra
        kcal/mol: exact energy with the receptor and within the ligand, before scaling.
    genotype
        (7 + T,) float32: position (angstrom), unit quaternion, torsions (radian).
    conformer
        Which of the geometries of ``ligand``, those that were mixed for this effort included.
    coords
        (n_atoms, 3) float32, angstrom, in the order of the packed atoms, hydrogens included.
    ligand
        The prepared ligand that was docked.
    scoring
        Name of the scoring function.
    """

    energy: float
    inter: float
    intra: float
    genotype: npt.NDArray[np.float32]
    conformer: int
    coords: npt.NDArray[np.float32]
    ligand: PreparedLigand
    scoring: str

    @cached_property
    def mol(self) -> Chem.Mol:
        """RDKit molecule in this pose: bond orders, hydrogens, name and properties as they came.

        Properties ``osong_energy``, ``osong_inter``, ``osong_intra`` (kcal/mol) and
        ``osong_scoring`` go with it into an SDF file.
        """
        mol = self.ligand.mol(self.coords)
        mol.SetProp("osong_energy", f"{self.energy:.3f}")
        mol.SetProp("osong_inter", f"{self.inter:.3f}")
        mol.SetProp("osong_intra", f"{self.intra:.3f}")
        mol.SetProp("osong_scoring", self.scoring)
        return mol

    def __repr__(self) -> str:
        """Show what was placed and how well."""
        return f"Pose({self.ligand.name or self.ligand.input_smiles}: {self.energy:.2f} kcal/mol)"
