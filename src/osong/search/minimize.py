"""`minimize`: move a pose to the nearest minimum of the exact energy."""

from __future__ import annotations

import numpy as np
from rdkit import Chem

from osong.atom_types import ATOM_TYPES
from osong.errors import BoxError, InputError
from osong.ligands.origin import check_is_molecule
from osong.ligands.pose import pack_pose
from osong.ligands.prepared import PreparedLigand
from osong.receptor.target import Target, check_is_target
from osong.scoring.exact import ExactScorer
from osong.scoring.functions import scoring_function
from osong.scoring.kernel_ligand import KernelLigand
from osong.search.chains import Minimum
from osong.search.pose import Pose
from osong.search.refine import place_packed, receptor_atoms, refine

__all__ = ["minimize"]


def minimize(target: Target, mol: Chem.Mol | PreparedLigand, scoring: str = "vina") -> Pose:
    """Move a pose downhill: position, orientation and torsions; rings and bonds stay as given.

    Parameters
    ----------
    target
        Receptor and box; the pose must lie in the box and does not leave it.
    mol
        RDKit molecule with a 3D conformer in the receptor's frame; missing hydrogens are added.
    scoring
        ``"vina"`` or ``"vinardo"``.

    Raises
    ------
    InputError
        If the molecule has no 3D conformer.
    BoxError
        If the pose does not lie in the box.
    LigandError
        If the molecule cannot be typed.
    """
    check_is_target(target)
    if not isinstance(mol, PreparedLigand):
        check_is_molecule(mol)
    if isinstance(mol, Chem.Mol) and mol.GetNumConformers() == 0:
        raise InputError(
            "this molecule has no coordinates, so there is no pose to minimise: dock it with "
            "osong.dock, or read it from a file with 3D coordinates"
        )
    ligand = mol if isinstance(mol, PreparedLigand) else pack_pose(mol)
    packed = ligand.packed
    heavy = packed.coords[0, : packed.n_scored]
    if not target.box.contains(heavy).all():
        raise BoxError(
            f"{int((~target.box.contains(heavy)).sum())} of {packed.n_scored} heavy atoms lie "
            "outside the box: take a box around the pose, e.g. osong.Box.around(mol)"
        )
    f = scoring_function(scoring)
    arrays = KernelLigand.from_packed(packed, f, np.zeros(len(ATOM_TYPES), np.int32))
    start = np.zeros(7 + packed.n_torsions, np.float32)
    start[:3] = arrays.pivots[0, 0]
    start[3] = 1.0
    minimum = Minimum(0.0, start, 0, heavy)
    genotypes, conformers = refine(
        [minimum], arrays, receptor_atoms(target.receptor, f), target.box, f
    )
    coords = place_packed(packed, arrays.pivots, genotypes, conformers)[0].astype(np.float32)
    inter, intra = ExactScorer.of(target.receptor, f).energies(packed, coords)
    return Pose(
        energy=inter * f.torsion_factor(packed.torsion_count),
        inter=inter,
        intra=intra,
        genotype=genotypes[0],
        conformer=0,
        coords=coords,
        ligand=ligand,
        scoring=f.name,
    )
