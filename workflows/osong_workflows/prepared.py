"""Prepared libraries in campaigns: by reference, since a copy would be as large as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from osong.errors import CampaignError, InputError, LigandError
from osong.library import PreparedMolecule, Record, open_prepared, read_prepared

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from osong.ligands import PreparedLigand

__all__ = ["PREPARED", "PreparedReader", "prepared_records"]

PREPARED: Final = "prepared"
"""Format of a record whose data are "hash of the library:position of the molecule"."""


def prepared_records(folder: Path) -> Iterator[Record]:
    """Yield a record for every molecule of a prepared library, failed ones included."""
    content_hash = open_prepared(folder).content_hash
    for position, molecule in enumerate(read_prepared(folder)):
        data = f"{content_hash}:{position}"
        yield Record(position, molecule.name, molecule.source, PREPARED, data)


class PreparedReader:
    """Finds molecules of a prepared library; fast where they are asked for in order.

    Parameters
    ----------
    folder
        The library.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._checked_hash = ""
        self._molecules: Iterator[PreparedMolecule] = iter(())
        self._next_position = -1

    def read(self, record: Record) -> Sequence[PreparedLigand]:
        """Return the ligands of a record's molecule.

        Raises
        ------
        LigandError
            The molecule failed when the library was prepared.
        CampaignError
            The library is gone, or is another one now.
        """
        content_hash, _, position = record.data.rpartition(":")
        self._check(content_hash)
        molecule = self._molecule(int(position))
        if not molecule.ligands:
            raise LigandError(molecule.error, stage=molecule.stage)
        return molecule.ligands

    def _check(self, content_hash: str) -> None:
        if content_hash == self._checked_hash:
            return
        try:
            found = open_prepared(self._folder).content_hash
        except InputError as error:
            raise CampaignError(f"{error}; the campaign needs the library it began with") from error
        if found != content_hash:
            raise CampaignError(
                f"{self._folder}: is not the prepared library that the campaign began with; put "
                "that one back, or start another campaign"
            )
        self._checked_hash = content_hash

    def _molecule(self, position: int) -> PreparedMolecule:
        if position != self._next_position:
            self._molecules = read_prepared(self._folder, position)
        self._next_position = position + 1
        try:
            return next(self._molecules)
        except InputError as error:
            self._next_position = -1
            # A shard is at fault, not the molecule: a row that says so could never be mended.
            raise CampaignError(f"{error}; the campaign needs the library it began with") from error
