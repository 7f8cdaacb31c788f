"""`dock`: a molecule into a target, poses out."""

from __future__ import annotations

from rdkit import Chem

from osong.ligands.options import LigandOptions
from osong.ligands.prepare import prepare_ligand
from osong.receptor.target import Target
from osong.search.pose import Pose
from osong.search.session import DockingSession

__all__ = ["dock"]


def dock(
    target: Target,
    mol_or_smiles: Chem.Mol | str,
    effort: str = "balanced",
    scoring: str = "vina",
    n_poses: int = 9,
    seed: int = 0,
    threads: int = 1,
    options: LigandOptions | None = None,
) -> list[Pose]:
    """Dock one molecule; return distinct poses, best first.

    Parameters
    ----------
    target
        Receptor and box.
    mol_or_smiles
        RDKit molecule or SMILES. A molecule with explicit hydrogens keeps its protonation state;
        conformers are built anew from the graph unless ``options`` says otherwise.
    effort
        ``"fast"``, ``"balanced"`` or ``"thorough"``.
    scoring
        ``"vina"`` or ``"vinardo"``.
    n_poses
        Most poses to return.
    seed
        Same molecule, target and seed: same poses, bit for bit.
    threads
        Threads to use; the result does not depend on it.
    options
        How the molecule is prepared.

    Raises
    ------
    LigandError
        If the molecule cannot be prepared or no pose fits into the box.
    """
    ligands = prepare_ligand(mol_or_smiles, options=options or LigandOptions())
    session = DockingSession(
        target, scoring=scoring, effort=effort, n_poses=n_poses, seed=seed, threads=threads
    )
    return session.dock(ligands)
