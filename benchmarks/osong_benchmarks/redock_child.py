"""One docking of one complex in a process of its own, so that CPU time is this docking's alone.

``python -m benchmarks.redock_child`` reads a job (JSON) from standard input and writes the result
as the last line of standard output.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from rdkit import Chem, rdBase

from osong import Box, DockingSession, LigandOptions, Target, prepare_ligand
from osong_benchmarks.vina_peer import vina_score, vina_session

__all__ = ["dock_with_osong", "dock_with_vina", "main", "rescore"]

T = TypeVar("T")
_WARM_UP_SMILES = "CC(C)Cc1ccc(cc1)C(C)C(=O)O"


def main() -> None:
    """Do the job on standard input."""
    job = json.load(sys.stdin)
    with rdBase.BlockLogs():
        programs = {"vina": dock_with_vina, "rescore": rescore}
        result = programs.get(job["program"], dock_with_osong)(job)
    print("\n" + json.dumps(result))


def cpu_seconds() -> float:
    """Return the CPU time of this process, its threads and its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _timed(into: dict[str, float], stage: str, work: Callable[[], T]) -> T:
    started = cpu_seconds()
    value = work()
    into[stage] = round(cpu_seconds() - started, 3)
    return value


def dock_with_osong(job: dict[str, Any]) -> dict[str, Any]:
    """Dock with Osong; kernels are compiled on another ligand before the clock starts."""
    cpu: dict[str, float] = {}
    box = Box(center=tuple(job["center"]), size=tuple(job["size"]))
    target = _timed(cpu, "read", lambda: Target.from_file(job["receptor"], box=box))
    mol = Chem.MolFromMolFile(job["start"], removeHs=False)
    options = LigandOptions(ph=None, keep_geometry=job["program"] == "osong same conformer")

    def new_session(effort: str) -> DockingSession:
        return DockingSession(
            target, scoring=job["scoring"], effort=effort, seed=job["seed"], threads=1
        )

    warm_up = prepare_ligand(_WARM_UP_SMILES)
    _timed(cpu, "warm_up", lambda: new_session("fast").dock(warm_up))
    ligands = _timed(cpu, "prepare", lambda: prepare_ligand(mol, options=options))
    session = new_session(job["effort"])
    types = {t for lig in ligands for t in lig.packed.atom_type[: lig.packed.n_scored].tolist()}
    _timed(cpu, "maps", lambda: session.maps.ensure(types))
    poses = _timed(cpu, "dock", lambda: session.dock(ligands))
    return {
        "cpu": cpu,
        "energies": [pose.energy for pose in poses],
        "mols": [Chem.MolToMolBlock(pose.mol) for pose in poses[: job["n_kept"]]],
        "n_variants": len(ligands),
        "n_conformers": max(ligand.packed.n_conformers for ligand in ligands),
        "n_torsions": ligands[0].packed.n_torsions,
        "torsion_count": ligands[0].packed.torsion_count,
    }


def dock_with_vina(job: dict[str, Any]) -> dict[str, Any]:
    """Dock with Vina; the ligand goes through Meeko, as Vina's authors recommend."""
    from meeko import MoleculePreparation, PDBQTMolecule, PDBQTWriterLegacy, RDKitMolCreate

    cpu: dict[str, float] = {}
    mol = Chem.MolFromMolFile(job["start"], removeHs=False)

    def prepare() -> str:
        setup = MoleculePreparation().prepare(mol)[0]
        text, is_ok, problem = PDBQTWriterLegacy.write_string(setup)
        if not is_ok:
            raise RuntimeError(f"Meeko: {problem}")
        return str(text)

    ligand = _timed(cpu, "prepare", prepare)
    session = _timed(
        cpu, "read", lambda: vina_session(Path(job["receptor"]), job["scoring"], seed=job["seed"])
    )
    session.set_ligand_from_string(ligand)
    _timed(cpu, "maps", lambda: session.compute_vina_maps(job["center"], job["size"]))
    _timed(cpu, "dock", lambda: session.dock(exhaustiveness=job["exhaustiveness"], n_poses=9))
    poses = PDBQTMolecule(session.poses(n_poses=9), skip_typing=True)
    (docked,) = RDKitMolCreate.from_pdbqt_mol(poses)
    n_kept = min(job["n_kept"], docked.GetNumConformers())
    return {
        "cpu": cpu,
        "energies": session.energies(n_poses=9)[:, 0].tolist(),
        "mols": [Chem.MolToMolBlock(docked, confId=k) for k in range(n_kept)],
        "n_torsions": ligand.count("ENDBRANCH"),
    }


def rescore(job: dict[str, Any]) -> dict[str, Any]:
    """Return what Vina says of a pose; here, because Vina keeps the memory of its sessions."""
    box = Box(center=tuple(job["center"]), size=tuple(job["size"]))
    return asdict(vina_score(Path(job["receptor"]), job["ligand"], box, job["scoring"]))


if __name__ == "__main__":
    main()
