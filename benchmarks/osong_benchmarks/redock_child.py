"""One docking of one complex in a process of its own, so that CPU time is this docking's alone.

``python -m osong_benchmarks.redock_child`` reads a job (JSON) from standard input and writes the
result as the last line of standard output. Imports and what happens once a process (compilation,
tables) are over before a clock starts: each program first prepares another ligand, and Osong docks
it too.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rdkit import Chem, rdBase

from osong import (
    Box,
    DockingSession,
    LigandOptions,
    Target,
    pack_pose,
    pdbqt_string,
    prepare_ligand,
    score,
)
from osong.scoring.map_cache import forget_maps
from osong_benchmarks.child import WARM_UP_SMILES
from osong_benchmarks.cpu_clock import timed
from osong_benchmarks.meeko_ligand import docked_mols, embedded, meeko_pdbqt
from osong_benchmarks.rustina_peer import rustina_dock, rustina_module
from osong_benchmarks.vina_peer import vina_score, vina_session

__all__ = ["Job", "dock_with_osong", "dock_with_rustina", "dock_with_vina", "main", "rescore"]

_MARGIN_ANGSTROM = 4.0


@dataclass(frozen=True)
class Job:
    """What to dock.

    Attributes
    ----------
    engine
        "osong", "vina" or "rustina".
    options
        The program's settings; ``scoring`` is always among them.
    receptor, start
        PDBQT of the receptor; the ligand with hydrogens in the conformer to start from.
    center, size
        Of the box, angstrom.
    seed
        Of the search.
    n_kept
        Poses whose coordinates come back.
    """

    engine: str
    options: dict[str, Any]
    receptor: str
    start: str
    center: tuple[float, float, float]
    size: tuple[float, float, float]
    seed: int
    n_kept: int

    @property
    def box(self) -> Box:
        """The box that every program searches."""
        return self.wider(0.0)

    def wider(self, margin: float) -> Box:
        """Return the box with a margin on every side, angstrom."""
        (x, y, z), (a, b, c) = self.center, self.size
        return Box(center=(x, y, z), size=(a + 2 * margin, b + 2 * margin, c + 2 * margin))

    @property
    def mol(self) -> Chem.Mol:
        """The ligand to start from."""
        return Chem.MolFromMolFile(self.start, removeHs=False)


def main() -> None:
    """Do the job on standard input."""
    job = Job(**json.load(sys.stdin))
    dock = {"osong": dock_with_osong, "vina": dock_with_vina, "rustina": dock_with_rustina}
    with rdBase.BlockLogs():
        result = dock[job.engine](job)
        mols = result.pop("poses")[: job.n_kept]
        result |= rescore(job, mols[0])
    result["mols"] = [Chem.MolToMolBlock(mol) for mol in mols]
    result["version"] = _version(job.engine)
    print("\n" + json.dumps(result), flush=True)


def dock_with_osong(job: Job) -> dict[str, Any]:
    """Dock with Osong; kernels are compiled on another ligand before the clock starts."""
    cpu: dict[str, float] = {}
    target = timed(cpu, "read", lambda: Target.from_file(job.receptor, box=job.box))
    options = LigandOptions(ph=None, keep_geometry=job.options.get("is_same_conformer", False))

    def new_session(effort: str) -> DockingSession:
        scoring = job.options["scoring"]
        return DockingSession(target, scoring=scoring, effort=effort, seed=job.seed, threads=1)

    def warm_up() -> None:
        session = new_session(job.options["effort"])
        for smiles in WARM_UP_SMILES:
            session.dock(prepare_ligand(embedded(smiles), options=options))

    timed(cpu, "warm_up", warm_up)
    forget_maps()  # the warm-up built them for the same target
    mol = job.mol
    ligands = timed(cpu, "prepare", lambda: prepare_ligand(mol, options=options))
    session = new_session(job.options["effort"])
    types = {t for lig in ligands for t in lig.packed.atom_type[: lig.packed.n_scored].tolist()}
    timed(cpu, "maps", lambda: session.maps.ensure(types))
    poses = timed(cpu, "dock", lambda: session.dock(ligands))
    return {
        "cpu": cpu,
        "energies": [pose.energy for pose in poses],
        "poses": [pose.mol for pose in poses],
        "n_variants": len(ligands),
        "n_conformers": max(ligand.packed.n_conformers for ligand in ligands),
        "n_torsions": ligands[0].packed.n_torsions,
    }


def dock_with_vina(job: Job) -> dict[str, Any]:
    """Dock with Vina; the ligand goes through Meeko."""
    cpu: dict[str, float] = {}
    timed(cpu, "warm_up", _warm_up_meeko)
    mol = job.mol
    ligand = timed(cpu, "prepare", lambda: meeko_pdbqt(mol))
    scoring = job.options["scoring"]
    session = timed(cpu, "read", lambda: vina_session(Path(job.receptor), scoring, seed=job.seed))
    session.set_ligand_from_string(ligand)
    timed(cpu, "maps", lambda: session.compute_vina_maps(list(job.center), list(job.size)))
    exhaustiveness = job.options["exhaustiveness"]
    timed(cpu, "dock", lambda: session.dock(exhaustiveness=exhaustiveness, n_poses=9))
    return {
        "cpu": cpu,
        "energies": session.energies(n_poses=9)[:, 0].tolist(),
        "poses": docked_mols(session.poses(n_poses=9)),
        "n_torsions": ligand.count("ENDBRANCH"),
    }


def dock_with_rustina(job: Job) -> dict[str, Any]:
    """Dock with Rustina; reading the receptor and making the grids are inside its docking."""
    rustina_module()
    cpu: dict[str, float] = {}
    timed(cpu, "warm_up", _warm_up_meeko)
    mol = job.mol
    ligand = timed(cpu, "prepare", lambda: meeko_pdbqt(mol))
    poses = timed(
        cpu,
        "dock",
        lambda: rustina_dock(Path(job.receptor), ligand, job.box, seed=job.seed, **job.options),
    )
    return {
        "cpu": cpu,
        "energies": [pose.energy for pose in poses],
        "poses": [docked_mols(pose.pdbqt)[0] for pose in poses],
        "n_torsions": ligand.count("ENDBRANCH"),
    }


def _warm_up_meeko() -> None:
    for smiles in WARM_UP_SMILES:
        meeko_pdbqt(embedded(smiles))


def rescore(job: Job, mol: Chem.Mol) -> dict[str, Any]:
    """Return what one program with one typing and torsion count says of any program's pose.

    That is Vina, or Osong where Vina is not installed (they agree to 0.02 kcal/mol). The box is
    made wider: an atom that leans on the wall is no reason to refuse a pose.
    """
    pose = pack_pose(mol)
    box = job.wider(_MARGIN_ANGSTROM)
    if find_spec("vina"):
        found = asdict(vina_score(Path(job.receptor), pdbqt_string(pose), box))
        return {"rescored": found, "rescored_by": "vina"}
    own = score(Target.from_file(job.receptor, box=box), pose)
    found = {"total": own.total, "inter": own.inter, "intra": own.intra}
    return {"rescored": found, "rescored_by": "osong"}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main()
