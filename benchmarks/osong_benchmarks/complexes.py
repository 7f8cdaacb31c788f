"""The shared complexes: where their files are, and receptors that every program can read."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rdkit import Chem

from osong import Box, Target

__all__ = ["Complex", "in_shard", "read_complexes", "receptor_pdbqt"]

T = TypeVar("T")


@dataclass(frozen=True)
class Complex:
    """One complex with its crystal pose.

    Attributes
    ----------
    name
        Its folder.
    folder
        Where its files are.
    source
        The collection that it comes from ("adgpu42", "posebusters", ...).
    n_torsions
        Torsions as Meeko counts them.
    flags
        What is unusual about it; empty for most.
    """

    name: str
    folder: Path
    source: str
    n_torsions: int
    flags: tuple[str, ...]

    @property
    def box(self) -> Box:
        """The box that both programs search."""
        read = json.loads((self.folder / "box.json").read_text(encoding="utf-8"))
        return Box(center=tuple(read["center"]), size=tuple(read["size"]))

    @property
    def crystal(self) -> Chem.Mol:
        """The ligand as it lies in the crystal, hydrogens included."""
        return _read_mol(self.folder / "ligand.sdf")

    @property
    def start(self) -> Chem.Mol:
        """The same molecule in a conformer made from its graph, hydrogens included."""
        return _read_mol(self.folder / "start.sdf")

    @property
    def ligand_pdbqt(self) -> Path | None:
        """The crystal ligand as its collection gives it for docking, None for most."""
        path = self.folder / "ligand.pdbqt"
        return path if path.exists() else None


def _read_mol(path: Path) -> Chem.Mol:
    mol = Chem.MolFromMolFile(str(path), removeHs=False)
    if mol is None:
        raise ValueError(f"{path}: RDKit cannot read it")
    return mol


def read_complexes(data: Path, only: Sequence[str] = ()) -> list[Complex]:
    """Return the complexes in the order of the index, or only some, by name."""
    folder = data / "redock"
    with (folder / "index.tsv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    complexes = [
        Complex(
            name=row["id"],
            folder=folder / row["id"],
            source=row["set"],
            n_torsions=int(row["torsions_meeko"] or -1),
            flags=tuple(flag for flag in row["flags"].split(";") if flag),
        )
        for row in rows
    ]
    unknown = set(only) - {c.name for c in complexes}
    if unknown:
        raise ValueError(f"{folder}: no complex named {', '.join(sorted(unknown))}")
    return [c for c in complexes if not only or c.name in only]


def receptor_pdbqt(complex_: Complex, cache: Path) -> Path:
    """Return a PDBQT of the receptor, made once: unpacked, or prepared by Osong from a PDB."""
    path = cache / f"{complex_.name}.pdbqt"
    if path.exists():
        return path
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    packed = complex_.folder / "receptor.pdbqt.gz"
    if packed.exists():
        unfinished.write_bytes(gzip.decompress(packed.read_bytes()))
    else:
        target = Target.from_file(complex_.folder / "receptor.pdb.gz", box=complex_.box)
        target.to_pdbqt(unfinished)
    unfinished.rename(path)
    return path


def in_shard(items: Iterable[T], shard: str) -> list[T]:
    """Return every n-th item for ``shard`` "i/n" (i from 1), so that n processes share a run.

    >>> in_shard("abcde", "2/2")
    ['b', 'd']
    """
    number, _, total = shard.partition("/")
    if not (number.isdigit() and total.isdigit() and 1 <= int(number) <= int(total)):
        raise ValueError(f"--shard {shard}: give it as i/n with 1 <= i <= n, such as 1/2")
    return list(items)[int(number) - 1 :: int(total)]
