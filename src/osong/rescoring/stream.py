"""Poses one after the other through GNINA's networks: a pose that fails is a row, not an end."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np
from rdkit import Chem

from osong.errors import InputError, LigandError
from osong.library.parse import parse_record
from osong.rescoring.fused import PoseFuser, docked_energy
from osong.rescoring.grids import N_POINTS, SPACING, GridMaker, PoseAtoms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from osong.library.record import Record
    from osong.receptor import Receptor
    from osong.rescoring.fused import DockedEnergy
    from osong.rescoring.rescorer import Rescorer

__all__ = ["CnnScore", "PoseRescorer", "RescoredRecord", "rescore_records"]

_AT_ONCE: Final = 256
"""Records in memory at a time; their grids are made in smaller batches."""
_REACH: Final = (N_POINTS - 1) * SPACING / 2
"""Angstrom from a grid's middle to its edge."""
_NO_RECEPTOR: Final = (
    "no atom of the receptor is near the pose: were both read from files of the same frame?"
)


@dataclass(frozen=True)
class CnnScore:
    """What the networks say of one pose.

    Attributes
    ----------
    score
        CNNscore, probability that the pose is within 2 angstrom of the true one.
    affinity
        CNNaffinity, pK.
    variance
        Of the affinity over networks and rotations, pK squared.
    fused
        Score of energy and networks, to be compared within one ligand (highest best); NaN where
        the energy is not known, or no weights were fitted.
    """

    score: float
    affinity: float
    variance: float
    fused: float = math.nan

    @property
    def vs(self) -> float:
        """CNN_VS, score times affinity, for ranking different ligands."""
        return self.score * self.affinity


@dataclass(frozen=True)
class RescoredRecord:
    """A record of a file with what became of it.

    Attributes
    ----------
    record
        As it stands in the file.
    mol
        Its molecule; None where it cannot be read.
    result
        The scores, or why there are none.
    """

    record: Record
    mol: Chem.Mol | None
    result: CnnScore | str


class PoseRescorer:
    """Scores poses in one receptor; a pose that cannot be scored gets a reason instead.

    Parameters
    ----------
    receptor
        With polar hydrogens.
    rescorer
        The networks.

    Attributes
    ----------
    fuser
        Joins energies and networks, and says why it did not.
    """

    def __init__(self, receptor: Receptor, rescorer: Rescorer) -> None:
        self.rescorer = rescorer
        self._maker = GridMaker(receptor, threads=rescorer.threads)
        self.fuser = PoseFuser(rescorer)
        self._coords = receptor.coords[receptor.is_scored]
        self._notes: dict[str, None] = dict.fromkeys(self._maker.notes)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided for odd elements, once each."""
        return tuple(self._notes)

    def score(
        self, mols: Sequence[Chem.Mol], energies: Sequence[DockedEnergy | str] | None = None
    ) -> list[CnnScore | str]:
        """Return scores of molecules with coordinates, or the reason why there are none.

        Parameters
        ----------
        energies
            What docking said of each, or why that is not known; None: as their data items say.
        """
        if energies is None:
            energies = [docked_energy(mol) for mol in mols]
        drawn = [self._drawn(mol) for mol in mols]
        good = [atoms for atoms in drawn if isinstance(atoms, PoseAtoms)]
        scores = (
            CnnScore(float(score), float(affinity), float(variance))
            for part in self.rescorer.iter_scores(self._maker, good)
            for score, affinity, variance in zip(
                part.score, part.affinity, part.variance, strict=True
            )
        )
        return [
            atoms if isinstance(atoms, str) else self._fused(next(scores), energy)
            for atoms, energy in zip(drawn, energies, strict=True)
        ]

    def _fused(self, said: CnnScore, docked: DockedEnergy | str) -> CnnScore:
        return replace(said, fused=self.fuser.fused(docked, said.score, said.affinity))

    def _drawn(self, mol: Chem.Mol) -> PoseAtoms | str:
        try:
            atoms = PoseAtoms.of(mol)
        except InputError as error:
            return str(error)
        # What nothing is near to has scores too, and they mean nothing.
        apart = np.abs(self._coords - atoms.center.astype(np.float32)).max(axis=1)
        if apart.min(initial=np.inf) > _REACH:
            return _NO_RECEPTOR
        self._notes.update(dict.fromkeys(atoms.notes))
        return atoms


def rescore_records(
    records: Iterable[Record], rescorer: PoseRescorer, *, n_at_once: int = _AT_ONCE
) -> Iterator[RescoredRecord]:
    """Yield every record with its scores or its failure, in order.

    Parameters
    ----------
    records
        Poses, such as ``osong.read_records("poses.sdf")``.
    n_at_once
        Records in memory at a time; on a CPU no score depends on it.
    """
    source = iter(records)
    while batch := list(islice(source, n_at_once)):
        read = [_read(record) for record in batch]
        results = iter(rescorer.score([mol for mol in read if isinstance(mol, Chem.Mol)]))
        for record, mol in zip(batch, read, strict=True):
            if isinstance(mol, str):
                yield RescoredRecord(record, None, mol)
            else:
                yield RescoredRecord(record, mol, next(results))


def _read(record: Record) -> Chem.Mol | str:
    try:
        parsed = parse_record(record)
    except LigandError as error:
        return str(error)
    return parsed if isinstance(parsed, Chem.Mol) else parsed.mol()
