"""Poses of the shared complexes, docked once, for what ranks them: with their distances."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rdkit import Chem

from osong import Target
from osong.errors import OsongError
from osong.ligands import LigandOptions, prepare_ligand
from osong.search.session import DockingSession
from osong.whole_files import write_whole
from osong_benchmarks.complexes import Complex, read_complexes, receptor_pdbqt
from osong_benchmarks.pose_distance import heavy_atom_rmsd

__all__ = [
    "DockedComplex",
    "clusters_of",
    "dock_complexes",
    "folder_of",
    "poses_of",
    "read_docked",
]

N_POSES: Final = 20
"""More than are reported: those that another score would put first are among them."""
_ROW: Final = "poses.json"
_POSES: Final = "poses.sdf"


@dataclass(frozen=True)
class DockedComplex:
    """What docking found of one complex.

    Attributes
    ----------
    name, source
        Its folder and its collection.
    cluster
        Complexes of like proteins have the same.
    scoring, effort
        As docked.
    n_heavy
        Heavy atoms of the ligand.
    energy
        (n_poses,) kcal/mol, best first.
    rmsd
        (n_poses,) angstrom, to the crystal, heavy atoms, symmetry-corrected.
    problem
        Why there are no poses; "" where there are.
    """

    name: str
    source: str
    cluster: str
    scoring: str
    effort: str
    n_heavy: int
    energy: tuple[float, ...]
    rmsd: tuple[float, ...]
    problem: str = ""


def clusters_of(data: Path) -> dict[str, str]:
    """Return the cluster of proteins that each complex belongs to."""
    with (data / "redock" / "index.tsv").open(encoding="utf-8") as handle:
        return {row["id"]: row["protein_cluster"] for row in csv.DictReader(handle, delimiter="\t")}


def dock_complexes(
    data: Path,
    out: Path,
    *,
    scoring: str,
    effort: str,
    names: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> None:
    """Dock what has no poses yet; a complex that cannot be docked is a row with its reason.

    Parameters
    ----------
    data
        The shared data.
    out
        Folder of the poses: one folder a complex.
    names
        Some complexes only.
    """
    clusters = clusters_of(data)
    for complex_ in read_complexes(data, names):
        folder = _folder(out, complex_.name, scoring, effort)
        if (folder / _ROW).exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        row, mols = _dock(complex_, clusters[complex_.name], out, scoring, effort)
        with Chem.SDWriter(str(folder / _POSES)) as writer:
            for mol in mols:
                writer.write(mol)
        write_whole(folder / _ROW, json.dumps(asdict(row)))
        best = min(row.rmsd, default=float("nan"))
        first = row.rmsd[0] if row.rmsd else float("nan")
        say(f"{row.name}: {len(mols)} poses, first {first:.1f} A, best {best:.1f} A {row.problem}")


def read_docked(out: Path, scoring: str, effort: str) -> Iterator[DockedComplex]:
    """Yield all that was docked, by name."""
    for path in sorted(out.glob(f"{scoring}_{effort}/*/{_ROW}")):
        row = json.loads(path.read_text(encoding="utf-8"))
        yield DockedComplex(**row | {"energy": tuple(row["energy"]), "rmsd": tuple(row["rmsd"])})


def poses_of(out: Path, docked: DockedComplex) -> list[Chem.Mol]:
    """Return the poses of a complex, hydrogens included, best energy first."""
    path = folder_of(out, docked) / _POSES
    mols = list(Chem.SDMolSupplier(str(path), removeHs=False))
    if len(mols) != len(docked.energy) or None in mols:
        raise ValueError(f"{path}: its poses cannot be read; remove the folder to dock again")
    return mols


def folder_of(out: Path, docked: DockedComplex) -> Path:
    """Return where the poses of a complex are."""
    return _folder(out, docked.name, docked.scoring, docked.effort)


def _folder(out: Path, name: str, scoring: str, effort: str) -> Path:
    return out / f"{scoring}_{effort}" / name


def _dock(
    complex_: Complex, cluster: str, out: Path, scoring: str, effort: str
) -> tuple[DockedComplex, list[Chem.Mol]]:
    """Return what became of a complex, and its poses."""
    try:
        target = Target.from_file(receptor_pdbqt(complex_, out / "receptors"), box=complex_.box)
        # The graph's own geometry, not the crystal's; states as the collection gives them.
        ligands = prepare_ligand(complex_.start, options=LigandOptions(ph=None))
        session = DockingSession(target, scoring=scoring, effort=effort, n_poses=N_POSES)
        poses = session.dock(ligands)
    except OsongError as error:
        problem = " ".join(str(error).split())
        row = DockedComplex(
            complex_.name, complex_.source, cluster, scoring, effort, 0, (), (), problem
        )
        return row, []
    crystal = complex_.crystal
    mols = [pose.mol for pose in poses]
    row = DockedComplex(
        name=complex_.name,
        source=complex_.source,
        cluster=cluster,
        scoring=scoring,
        effort=effort,
        n_heavy=poses[0].ligand.packed.n_scored,
        energy=tuple(round(float(pose.energy), 4) for pose in poses),
        rmsd=tuple(round(heavy_atom_rmsd(mol, crystal), 3) for mol in mols),
    )
    return row, mols
