"""``osong.rescore``: poses and a target in, a table of what GNINA's networks say out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
from rdkit import Chem

from osong.errors import InputError
from osong.ligands.prepared import PreparedLigand
from osong.receptor import Target
from osong.rescoring.fused import DockedEnergy, PoseFuser, docked_energy
from osong.rescoring.grids import GridMaker, PoseAtoms
from osong.rescoring.rescorer import Rescorer
from osong.search.pose import Pose

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PoseLike", "rescore"]

PoseLike: TypeAlias = Pose | PreparedLigand | Chem.Mol


def rescore(
    poses: PoseLike | Iterable[PoseLike],
    target: Target,
    *,
    models: str | Sequence[str] = "default",
    rotations: int = 1,
    device: str = "auto",
    dtype: str = "auto",
    threads: int = 1,
    memory_bytes: int | None = None,
    weights: str | Path | None = None,
    rescorer: Rescorer | None = None,
) -> pd.DataFrame:
    """Return the pose probability and the affinity that GNINA's networks predict for each pose.

    Parameters
    ----------
    poses
        What ``osong.dock`` returned, RDKit molecules with coordinates in the receptor's frame, or
        packed poses; one or many, of any ligands.
    target
        The receptor they lie in.
    models
        Names of networks or ensembles as GNINA has them: ``"default"`` (GNINA 1.0's five),
        ``"crossdock_default2018"``, ``"dense_ensemble"``, ...; ``"all"`` is what ``weights`` holds.
    rotations
        Scores are averaged over 1, 4, 12 or 24 fixed rotations.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
    dtype
        ``"float32"``, ``"bfloat16"``, or ``"auto"``, which is float32.
    threads
        Cores to use; no score depends on it.
    memory_bytes
        What grids and networks may take; by default half of what is free.
    weights
        A folder of weights of your own: state dicts, or TorchScript such as GNINA 1.3's.
    rescorer
        Made before, to load networks once for many calls; the options above are then not looked at.

    Returns
    -------
    pandas.DataFrame
        A row for each pose, in order: ``name``, ``cnn_score`` (probability that the pose is
        within 2 angstrom of the true one), ``cnn_affinity`` (pK), ``cnn_vs`` (their product, for
        ranking ligands), ``cnn_variance`` (of the affinity over networks and rotations),
        ``fused`` (energy and networks in one score, highest best, to be compared within one
        ligand; NaN where the energy is not known or no weights were fitted). Its
        ``attrs["rescoring"]`` says which networks, their SHA-256 and licence, what was decided
        for odd elements, the weights of ``fused``, and why poses have none.

    Raises
    ------
    MissingExtraError
        If torch or gninatorch is not installed: ``pip install 'osong[ml]'``.
    InputError
        If a pose has no coordinates, or weights cannot be used.

    Examples
    --------
    >>> poses = osong.dock(target, "CCO")  # doctest: +SKIP
    >>> osong.rescore(poses, target).sort_values("cnn_score")  # doctest: +SKIP
    """
    if not isinstance(target, Target):
        raise InputError(f"target is a {type(target).__name__}; wanted osong.Target")
    given = [poses] if isinstance(poses, Pose | PreparedLigand | Chem.Mol) else list(poses)
    molecules = [_molecule(pose) for pose in given]
    ready = rescorer or Rescorer(
        models, rotations, device, dtype, memory_bytes, threads, weights=weights
    )
    fuser = PoseFuser(ready)
    maker = GridMaker(target.receptor, threads=ready.threads)
    drawn = [PoseAtoms.of(mol) for mol in molecules]
    parts = list(ready.iter_scores(maker, drawn))
    columns = {
        "cnn_score": [part.score for part in parts],
        "cnn_affinity": [part.affinity for part in parts],
        "cnn_vs": [part.vs for part in parts],
        "cnn_variance": [part.variance for part in parts],
    }
    values = {key: np.concatenate([np.zeros(0), *parts]) for key, parts in columns.items()}
    energies = [_energy(pose) for pose in given]
    said = zip(energies, values["cnn_score"], values["cnn_affinity"], strict=True)
    values["fused"] = np.array([fuser.fused(*pose) for pose in said], np.float64)
    names = pd.Series([_name(mol) for mol in molecules], dtype=object)
    table = pd.DataFrame({"name": names, **values})
    notes = dict.fromkeys([*maker.notes, *(note for pose in drawn for note in pose.notes)])
    table.attrs["rescoring"] = {
        **ready.describe(),
        **fuser.describe(),
        "notes": list(notes),
    }
    return table


def _molecule(pose: PoseLike) -> Chem.Mol:
    if isinstance(pose, Pose):
        return pose.ligand.mol(pose.coords)
    if isinstance(pose, PreparedLigand):
        return pose.mol()
    if isinstance(pose, Chem.Mol):
        return pose
    raise InputError(f"a pose is a {type(pose).__name__}; wanted osong.Pose or an RDKit molecule")


def _energy(pose: PoseLike) -> DockedEnergy | str:
    """Return what docking said of a pose, or why that is not known."""
    if isinstance(pose, Pose):
        return DockedEnergy(float(pose.energy), pose.scoring)
    return docked_energy(pose if isinstance(pose, Chem.Mol) else Chem.Mol())


def _name(mol: Chem.Mol) -> str:
    return str(mol.GetProp("_Name")) if mol.HasProp("_Name") else ""
