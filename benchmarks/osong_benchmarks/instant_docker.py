"""A docker that answers at once with poses of real size: what is left is a campaign's own cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from osong.errors import LigandError
from osong.ligands import prepare_ligand
from osong.search import Pose
from osong_workflows.outcome import DockedMolecule, DockedPose
from osong_workflows.plain_poses import docked_molecule

if TYPE_CHECKING:
    from osong.library import Record
    from osong.ligands import PreparedLigand
    from osong_workflows.outcome import Docker
    from osong_workflows.settings import CampaignSettings

__all__ = ["SMILES", "build", "fake_energies"]

SMILES: Final = (
    "CC(C)Cc1ccc(cc1)C(C)C(=O)NCCN1CCOCC1",
    "COc1ccc2nc(S(=O)Cc3ncc(C)c(OC)c3C)[nH]c2c1",
    "CN1CCN(Cc2ccc(cc2)C(=O)Nc2ccc(C)c(Nc3nccc(n3)-c3cccnc3)c2)CC1",
    "O=C(NCc1ccc(F)cc1)c1cc2c(cc1O)OCCO2",
    "CC(=O)Nc1ccc(OCC(O)CN2CCC(CC2)c2ccccc2)cc1",
)
"""Drug-like molecules: 20 to 37 heavy atoms, 45 atoms with hydrogens in the middle."""
_FAILS_EVERY: Final = 100


def build(_target_path: str, settings: CampaignSettings) -> Docker:
    """Prepare the molecules once, and return what gives any record the poses of one of them."""
    made = [_made(prepare_ligand(smiles)[0], settings.n_poses) for smiles in SMILES]

    def dock_record(record: Record) -> DockedMolecule:
        if record.index % _FAILS_EVERY == _FAILS_EVERY - 1:
            raise LigandError("made to fail, as one molecule of a hundred does", stage="embed")
        molecule = made[record.index % len(made)]
        # Other coordinates for each, as Zstandard would make one molecule of equal ones.
        rng = np.random.default_rng(record.index)
        poses = tuple(_moved(pose, rng) for pose in molecule.poses)
        return DockedMolecule(
            poses=poses,
            n_variants=1,
            notes=molecule.notes,
            smiles=molecule.smiles,
            n_heavy=molecule.n_heavy,
        )

    return dock_record


def fake_energies(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return energies (n,) float64 as a screen has them, kcal/mol."""
    return rng.normal(-6.5, 1.2, n).astype(np.float32).astype(np.float64)


def _made(ligand: PreparedLigand, n_poses: int) -> DockedMolecule:
    packed = ligand.packed
    pose = Pose(
        energy=-6.5, inter=-7.9, intra=-0.4, genotype=np.zeros(7 + packed.n_torsions, np.float32),
        conformer=0, coords=packed.coords[0], ligand=ligand, scoring="vina",
    )  # fmt: skip
    return docked_molecule([pose] * n_poses, [ligand])


def _moved(pose: DockedPose, rng: np.random.Generator) -> DockedPose:
    (energy,) = fake_energies(rng, 1)
    return DockedPose(
        energy=float(energy),
        inter=float(1.2 * energy),
        intra=pose.intra,
        variant=0,
        conformer=pose.conformer,
        genotype=rng.normal(size=len(pose.genotype)).astype(np.float32),
        smiles=pose.smiles,
        coords=rng.uniform(-15, 15, pose.coords.shape).astype(np.float32),
    )
