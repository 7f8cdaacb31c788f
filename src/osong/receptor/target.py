"""`Target`: a receptor with its box, made from a file, by name, or loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from osong.box import Box
from osong.errors import BoxError, InputError
from osong.receptor.archive import is_archive, load_archive, save_archive
from osong.receptor.load import BoxRequest, load_receptor, receptor_options
from osong.receptor.named import named_names, named_receptor
from osong.receptor.pdbqt import read_pdbqt, receptor_to_pdbqt
from osong.receptor.report import PreparationReport
from osong.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from osong.receptor.model import Receptor

__all__ = ["Target", "check_is_target"]

_REACH_ANGSTROM: Final = 4.0
"""A ligand atom in the box and a receptor atom this far outside it can just touch."""


@dataclass(frozen=True, eq=False)
class Target:
    """A receptor with the box to search in.

    Attributes
    ----------
    receptor
        The prepared receptor.
    box
        Where to search.
    name
        What results call it.
    report
        Every change from the file to the receptor.
    """

    receptor: Receptor
    box: Box
    name: str = "target"
    report: PreparationReport = field(default_factory=lambda: PreparationReport(""))

    def __post_init__(self) -> None:
        """Check that the box reaches the receptor."""
        scored = self.receptor.coords[self.receptor.is_scored]
        if not len(scored):
            raise BoxError(f"{self.name}: the receptor has hydrogens only; give a whole structure")
        nearest = float(self.box.distance(scored).min())
        if nearest > _REACH_ANGSTROM:
            middle = ", ".join(f"{v:.1f}" for v in scored.mean(axis=0))
            raise BoxError(
                f"{self.name}: the box at {_round(self.box.center)} with edges "
                f"{_round(self.box.size)} misses the receptor by {nearest:.1f} A; the receptor's "
                f"middle is at ({middle}): correct the centre, or take the box from a ligand"
            )

    def __repr__(self) -> str:
        """Show what it is in one line; ``print(target.report)`` shows what was changed."""
        edges = " x ".join(f"{edge:g}" for edge in self.box.size)
        return (
            f"Target({self.name!r}, {self.receptor.n_atoms} atoms, box {edges} A at "
            f"{_round(self.box.center)}, {len(self.report)} changes)"
        )

    @classmethod
    def named(cls, name: str) -> Target:
        """Return one of the 58 receptors of the ``dockstring`` package with its box.

        Raises
        ------
        InputError
            There is none of that name; the message lists all.
        MissingExtraError
            The package is not installed.
        """
        spelt, path, box = named_receptor(name)
        receptor, changes = read_pdbqt(path)
        return cls(receptor, box, spelt, PreparationReport(f"dockstring:{spelt}", tuple(changes)))

    @staticmethod
    def names() -> list[str]:
        """Return the names that :meth:`named` knows."""
        return named_names()

    @cached_property
    def key(self) -> bytes:
        """16 bytes, a hash of exactly what affects scores: scored atoms, their types, the box."""
        scored = self.receptor.is_scored
        digest = blake2b(b"osong-target-1", digest_size=16)
        digest.update(np.ascontiguousarray(self.receptor.coords[scored], dtype="<f4").tobytes())
        digest.update(np.ascontiguousarray(self.receptor.atom_type[scored], dtype="i1").tobytes())
        digest.update(np.array([self.box.center, self.box.size], dtype="<f8").tobytes())
        return digest.digest()

    def save(self, path: str | Path) -> None:
        """Write the target to one file, whole or not at all; read it with :meth:`load`."""
        save_archive(Path(path), self.receptor, self.box, self.name, self.report)

    @classmethod
    def load(cls, path: str | Path) -> Target:
        """Return a target that :meth:`save` wrote."""
        return cls(*load_archive(Path(path)))

    def to_pdbqt(self, path: str | Path) -> None:
        """Write the receptor as rigid PDBQT for other programs (the box is not in it)."""
        write_whole(path, receptor_to_pdbqt(self.receptor, self.name))

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        box: Box | None = None,
        ligand: str | Path | None = None,
        residues: Iterable[str] | None = None,
        padding: float = 4.0,
        ph: float = 7.4,
        keep_waters: bool = False,
        hydrogens: Literal["auto", "keep", "replace"] = "auto",
        keep: Iterable[str] = (),
        remove: Iterable[str] = (),
        name: str | None = None,
    ) -> Target:
        """Read a receptor, make it ready, and say what was changed (``target.report``).

        Parameters
        ----------
        path
            PDB, mmCIF or PDBQT, plain or gzip; or a saved target. PDBQT is taken as it is, a
            structure is prepared.
        box, ligand, residues
            Where to search: a box; a ligand, as a file or as a residue of the structure
            (``"STI"``, ``"A:STI"`` or ``"A:STI:201"``); or residues (``["A:123", ...]``). With a
            box, a ligand may be given too: it is then only taken out of the structure.
        padding
            Angstrom around ligand or residues.
        ph
            pH of the protonation states.
        keep_waters
            Keep crystal waters.
        hydrogens
            Of the file: ``"keep"``, ``"replace"``, or ``"auto"``: keep if most residues have some.
        keep, remove
            Residue names to keep although they are additives, and to remove.
        name
            What results call the target; the file's name if not given.

        Raises
        ------
        ReceptorError
            The structure cannot be read or made ready.
        BoxError
            No box, or one that misses the receptor.
        MissingExtraError
            A package that preparation needs is not installed.
        """
        path = Path(path)
        if is_archive(path):
            return cls._from_archive(path, box, name)
        request = BoxRequest(box, ligand, None if residues is None else tuple(residues), padding)
        options = receptor_options(
            ph=ph, keep_waters=keep_waters, hydrogens=hydrogens, keep=keep, remove=remove
        )
        receptor, found, changes = load_receptor(path, request, options)
        report = PreparationReport(str(path), tuple(changes))
        return cls(receptor, found, name or _stem(path), report)

    @classmethod
    def _from_archive(cls, path: Path, box: Box | None, name: str | None) -> Target:
        """Return a saved target, with another box or name where one is given."""
        receptor, saved_box, saved_name, report = load_archive(path)
        return cls(receptor, box or saved_box, name or saved_name, report)


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rsplit(".", 1)[0]


def _round(values: tuple[float, float, float]) -> str:
    return "(" + ", ".join(f"{value:.1f}" for value in values) + ")"


def check_is_target(given: object) -> None:
    """Refuse what is no target, a file's path for instance.

    Raises
    ------
    InputError
        Naming the call that makes one.
    """
    if not isinstance(given, Target):
        raise InputError(
            f"target is a {type(given).__name__}, not an osong.Target: make one with "
            "osong.Target.from_file, or read a saved one with osong.Target.load"
        )
