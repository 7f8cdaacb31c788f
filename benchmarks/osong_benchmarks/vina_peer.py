"""AutoDock Vina 1.2.7 (the PyPI package ``vina``), against which Osong's numbers are held."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from osong import Box
from osong.errors import MissingExtraError

__all__ = ["VinaScore", "vina_score", "vina_session"]


_COARSE_ANGSTROM = 1.0


@dataclass(frozen=True)
class VinaScore:
    """What ``vina.score()`` says of a pose, kcal/mol, not rounded to its three decimals."""

    total: float
    inter: float
    intra: float


def vina_session(receptor: Path, scoring: str = "vina", *, seed: int = 1) -> Any:
    """Return a Vina on one core with its receptor read; no box yet.

    Raises
    ------
    MissingExtraError
        If the package is not installed.
    """
    try:
        from vina import Vina
    except ImportError as error:
        raise MissingExtraError("vina", extra="peers", purpose="comparing with Vina") from error
    session = Vina(sf_name=scoring, cpu=1, seed=seed, verbosity=0)
    session.set_receptor(str(receptor))
    return session


def vina_score(receptor: Path, ligand_pdbqt: str, box: Box, scoring: str = "vina") -> VinaScore:
    """Score a ligand where it lies.

    Raises
    ------
    RuntimeError, TypeError
        What Vina raises where it cannot read a file or knows an atom's type not.
    """
    session = vina_session(receptor, scoring)
    session.set_ligand_from_string(ligand_pdbqt)
    # Vina sums over the receptor's atoms here and not over maps, but wants a box; coarse maps are
    # quick to make, and the scores are the same to the last digit.
    session.compute_vina_maps(list(box.center), list(box.size), spacing=_COARSE_ANGSTROM)
    energies = session._vina.score()
    return VinaScore(energies[0], energies[1], energies[5])
