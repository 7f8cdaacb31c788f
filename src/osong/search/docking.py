"""`dock`: a molecule into a target, poses out."""

from __future__ import annotations

from rdkit import Chem

from osong.backend import choose_backend
from osong.errors import LigandError
from osong.ligands.options import LigandOptions
from osong.ligands.prepare import prepare_ligand
from osong.receptor.target import Target
from osong.search.many import dock_many
from osong.search.pose import Pose

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
    backend: str = "cpu",
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
    backend
        ``"cpu"``, ``"cuda"`` (an NVIDIA device), or ``"auto"``. A device pays for many molecules
        (``osong.screen``); for one it takes longer to start than the CPU to dock.

    Raises
    ------
    LigandError
        If the molecule cannot be prepared or no pose fits into the box.
    """
    ligands = prepare_ligand(mol_or_smiles, options=options or LigandOptions())
    (found,) = dock_many(
        target,
        [ligands],
        choose_backend(backend),
        threads=threads,
        is_cpu_next=backend == "auto",
        scoring=scoring,
        effort=effort,
        n_poses=n_poses,
        seed=seed,
    )
    if isinstance(found, LigandError):
        raise found
    return found
