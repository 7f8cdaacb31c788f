"""Some molecules docked into one target by one program, in a process of its own.

``python -m osong_benchmarks.screen_child`` reads a job (JSON) from standard input and writes CPU
seconds by stage as the last line of standard output. What happens once a process is over before the
clock starts; grid maps are made once for all molecules, and have a stage of their own.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rdkit import Chem, rdBase

from osong import Box, DockingSession, LigandOptions, Target, prepare_ligand
from osong.scoring.map_cache import forget_maps
from osong_benchmarks.child import WARM_UP_SMILES
from osong_benchmarks.cpu_clock import timed
from osong_benchmarks.meeko_ligand import embedded, meeko_pdbqt
from osong_benchmarks.rustina_peer import rustina_module, rustina_screen
from osong_benchmarks.vina_peer import vina_session

__all__ = ["ScreenJob", "main"]


@dataclass(frozen=True)
class ScreenJob:
    """What to dock.

    Attributes
    ----------
    engine
        "osong", "vina" or "rustina".
    options
        The program's settings.
    receptor
        PDBQT of the receptor.
    center, size
        Of the box, angstrom.
    smiles
        One state of each molecule.
    mols
        The same as MDL blocks with hydrogens, in the conformer that Osong made.
    seed
        Of the search.
    """

    engine: str
    options: dict[str, Any]
    receptor: str
    center: tuple[float, float, float]
    size: tuple[float, float, float]
    smiles: tuple[str, ...]
    mols: tuple[str, ...]
    seed: int

    @property
    def box(self) -> Box:
        """Where to search."""
        (x, y, z), (a, b, c) = self.center, self.size
        return Box(center=(x, y, z), size=(a, b, c))


def main() -> None:
    """Do the job on standard input."""
    job = ScreenJob(**json.load(sys.stdin))
    screen = {"osong": _with_osong, "vina": _with_vina, "rustina": _with_rustina}
    with rdBase.BlockLogs():
        cpu = screen[job.engine](job)
    print("\n" + json.dumps(cpu), flush=True)


def _with_osong(job: ScreenJob) -> dict[str, float]:
    """Prepare from the state's SMILES (no other states: peers dock one), then dock."""
    cpu: dict[str, float] = {}
    target = Target.from_file(job.receptor, box=job.box)
    options = LigandOptions(ph=None, max_stereoisomers=1)
    scoring, effort = job.options["scoring"], job.options["effort"]

    def new_session(effort: str) -> DockingSession:
        return DockingSession(target, scoring=scoring, effort=effort, seed=job.seed, threads=1)

    for smiles in WARM_UP_SMILES:
        new_session(effort).dock(prepare_ligand(smiles, options=options))
    forget_maps()  # the warm-up built them for the same target
    session = new_session(effort)
    for smiles in job.smiles:
        ligands = timed(cpu, "prepare", partial(prepare_ligand, smiles, options=options))
        types = {t for x in ligands for t in x.packed.atom_type[: x.packed.n_scored].tolist()}
        timed(cpu, "maps", partial(session.maps.ensure, types))
        timed(cpu, "dock", partial(session.dock, ligands))
    return cpu


def _peer_ligands(job: ScreenJob, cpu: dict[str, float]) -> list[str]:
    """Return PDBQTs of Osong's conformers; what RDKit takes for one of its own counts as well."""
    for smiles in WARM_UP_SMILES:
        meeko_pdbqt(embedded(smiles))
    ligands = []
    for smiles, block in zip(job.smiles, job.mols, strict=True):
        mol = Chem.MolFromMolBlock(block, removeHs=False)
        timed(cpu, "prepare", partial(embedded, smiles))
        ligands.append(timed(cpu, "prepare", partial(meeko_pdbqt, mol)))
    return ligands


def _with_vina(job: ScreenJob) -> dict[str, float]:
    cpu: dict[str, float] = {}
    ligands = _peer_ligands(job, cpu)
    session = vina_session(Path(job.receptor), job.options["scoring"], seed=job.seed)
    timed(cpu, "maps", lambda: session.compute_vina_maps(list(job.center), list(job.size)))
    exhaustiveness = job.options["exhaustiveness"]
    for ligand in ligands:
        session.set_ligand_from_string(ligand)
        timed(cpu, "dock", lambda: session.dock(exhaustiveness=exhaustiveness, n_poses=3))
    return cpu


def _with_rustina(job: ScreenJob) -> dict[str, float]:
    """Dock all at once, so that grids are shared; a batch of none takes the time of the grids."""
    rustina_module()
    cpu: dict[str, float] = {}
    ligands = _peer_ligands(job, cpu)

    def screen(chosen: list[str]) -> Any:
        return rustina_screen(Path(job.receptor), chosen, job.box, seed=job.seed, **job.options)

    timed(cpu, "maps", lambda: screen([]))
    timed(cpu, "dock", lambda: screen(ligands))
    cpu["dock"] = max(0.0, cpu["dock"] - cpu["maps"])
    return cpu


if __name__ == "__main__":
    main()
