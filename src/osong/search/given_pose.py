"""`PoseScorer`: poses that another program made, scored one after the other as they stand."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from osong.errors import LigandError
from osong.ligands.packed import PackedLigand
from osong.ligands.pose import pack_pose
from osong.ligands.prepared import PreparedLigand
from osong.receptor.target import Target, check_is_target
from osong.scoring.exact import ExactScorer
from osong.scoring.functions import scoring_function
from osong.search.pose import Pose
from osong.search.session import OUTSIDE_ANGSTROM

__all__ = ["PoseScorer"]

_REMEDY: Final = "give a file with poses (SDF, MOL2, PDBQT), or dock it: effort 'fast'"


class PoseScorer:
    """Scores poses in one target without moving them; no grid maps, no search.

    Parameters
    ----------
    target
        Receptor and box.
    scoring
        ``"vina"`` or ``"vinardo"``.
    """

    def __init__(self, target: Target, scoring: str = "vina") -> None:
        check_is_target(target)
        self._box = target.box
        self._function = scoring_function(scoring)
        self._exact = ExactScorer.of(target.receptor, self._function)
        # Loads and compiles what is needed just once.
        packed = _methanol().packed
        self._exact.energies(packed, packed.coords[0])

    def score(self, molecule: Chem.Mol | PreparedLigand, name: str = "") -> Pose:
        """Return the pose with its energies, which are those of ``osong.score``.

        Parameters
        ----------
        molecule
            With coordinates in the receptor's frame; missing hydrogens are added, nothing else is
            changed. Or a ligand of a PDBQT file, as Vina reads it.

        Raises
        ------
        LigandError
            It has no coordinates in space, its heavy atoms are not in the box, or it is not one
            molecule that can be scored.
        """
        if isinstance(molecule, PreparedLigand):
            ligand = molecule
        else:
            _check_space(molecule)
            ligand = pack_pose(molecule, name=name)
        packed = ligand.packed
        coords = packed.coords[0]
        self._check_inside(coords[: packed.n_scored])
        inter, intra = self._exact.energies(packed, coords)
        return Pose(
            # The pose's own intramolecular energy is its reference, so it cancels.
            energy=inter * self._function.torsion_factor(packed.torsion_count),
            inter=inter,
            intra=intra,
            genotype=_as_it_stands(packed),
            conformer=0,
            coords=coords,
            ligand=ligand,
            scoring=self._function.name,
        )

    def _check_inside(self, coords: npt.NDArray[np.float32]) -> None:
        """Check that heavy atoms are where those of docked poses may be."""
        distance = self._box.distance(coords)
        n_outside = int(np.count_nonzero(distance > OUTSIDE_ANGSTROM))
        if n_outside:
            raise LigandError(
                f"{n_outside} of {len(coords)} heavy atoms are outside the box, by up to "
                f"{distance.max():.1f} angstrom: choose a larger box, or move the poses into the "
                "receptor's frame",
                stage="score",
            )


def _check_space(mol: Chem.Mol) -> None:
    """Refuse what has no coordinates in space."""
    if not mol.GetNumConformers():
        raise LigandError(f"has no coordinates, so no pose to score: {_REMEDY}", stage="score")
    conformer = mol.GetConformer()
    if not conformer.Is3D() and not conformer.GetPositions()[:, 2].any():
        raise LigandError(
            f"is a drawing in two dimensions, so there is no pose to score: {_REMEDY}",
            stage="score",
        )


def _as_it_stands(packed: PackedLigand) -> npt.NDArray[np.float32]:
    """Return the genotype that moves nothing, (7 + n_torsions,) float32."""
    scored = packed.coords[0, : packed.n_scored]
    genotype = np.zeros(7 + packed.n_torsions, dtype=np.float32)
    genotype[:3] = scored[packed.segment[: packed.n_scored] == 0].mean(axis=0, dtype=np.float64)
    genotype[3] = 1.0
    return genotype


def _methanol() -> PreparedLigand:
    mol = Chem.MolFromSmiles("CO")
    conformer = Chem.Conformer(2)
    conformer.Set3D(True)
    conformer.SetPositions(np.array([[0.0, 0.0, 0.0], [1.4, 0.0, 0.0]]))
    mol.AddConformer(conformer)
    return pack_pose(mol)
