"""Rustina 0.9 (the PyPI package ``rustina``), against which Osong's numbers are held.

It reads PDBQT alone and makes its grids inside each call, so that their time cannot be told from
that of docking. Its neural network is always off here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from osong import Box
from osong.errors import MissingExtraError

__all__ = ["RustinaPose", "rustina_dock", "rustina_module", "rustina_screen"]


@dataclass(frozen=True)
class RustinaPose:
    """A pose: its energy as Rustina reports it, kcal/mol, and its PDBQT."""

    energy: float
    pdbqt: str


def rustina_module() -> Any:
    """Return the package.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import rustina
    except ImportError as error:
        raise MissingExtraError(
            "rustina", extra="peers", purpose="comparing with Rustina"
        ) from error
    return rustina


def rustina_dock(
    receptor: Path, ligand_pdbqt: str, box: Box, *, seed: int = 1, **options: Any
) -> list[RustinaPose]:
    """Dock one ligand on one thread; return poses, best first.

    Parameters
    ----------
    receptor
        PDBQT file.
    ligand_pdbqt
        Text of the ligand as Meeko writes it.
    box
        Where to search.
    seed
        Of the search.
    options
        Rustina's own: ``scoring``, ``runs``, ``search_mode``.
    """
    poses = rustina_module().dock(
        str(receptor), ligand_pdbqt, *box.center, *box.size,
        seed=seed, threads=1, skip_cnn=True, num_modes=9, **options,
    )  # fmt: skip
    return [RustinaPose(pose["affinity"], pose["pdbqt"]) for pose in poses]


def rustina_screen(
    receptor: Path, ligand_pdbqts: Sequence[str], box: Box, *, seed: int = 1, **options: Any
) -> list[RustinaPose | None]:
    """Dock many ligands on one thread with grids made once; None for those that failed."""
    found = rustina_module().screen(
        str(receptor), list(ligand_pdbqts), *box.center, *box.size,
        seed=seed, threads=1, skip_cnn=True, **options,
    )  # fmt: skip
    return [
        None if row.get("error") else RustinaPose(row["affinity"], row["pdbqt"]) for row in found
    ]
