"""Where an active campaign has what, and how a round becomes a campaign of its own.

    features/          fingerprints of the library, packed bits
    active/            what was asked in each round, what came back, networks
    rounds/000/        a campaign folder for each round, over its molecules only
    pictures/          how it went

The folder around them has the campaign's settings, its target, and the library's records.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from osong.active.state import ActiveFolder
from osong.errors import CampaignError
from osong.library import is_prepared
from osong_workflows.file_tables import Outputs
from osong_workflows.folder import CampaignFolder, full_disk, names_in, write_atomically
from osong_workflows.outputs import read_wishes, store_wishes
from osong_workflows.part_files import opened_part
from osong_workflows.part_names import find_results, finished_shards
from osong_workflows.plan import make_plan, process_bytes, read_plan
from osong_workflows.prepared import PreparedReader
from osong_workflows.staging import pick_staged, read_staged, stage_library

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from osong.active.state import Round
    from osong.library import Record
    from osong_workflows.plan import Plan
    from osong_workflows.settings import CampaignSettings

__all__ = ["ActiveRounds", "Library", "is_docked", "rounds_of", "smiles_reader"]

_SETTINGS: Final = "active.json"


@dataclass(frozen=True)
class Library:
    """An active campaign's own copy of its library.

    Attributes
    ----------
    folder
        The campaign folder.
    plan
        Its plan.
    """

    folder: CampaignFolder
    plan: Plan

    def records(self) -> Iterator[Record]:
        """Yield all records."""
        return read_staged(self.folder.input, self.plan.input_files, 0, self.plan.n_records)

    def picked(self, rising: npt.NDArray[np.int64]) -> Iterator[Record]:
        """Yield the records of rising positions (n,), numbered anew from 0."""
        picked = pick_staged(self.folder.input, self.plan.input_files, rising)
        for number, record in enumerate(picked):
            yield type(record)(number, record.name, record.source, record.format, record.data)


@dataclass(frozen=True)
class ActiveRounds:
    """The rounds of an active campaign on disk.

    Attributes
    ----------
    folder
        The campaign folder around them.
    shared
        Folder of the library's fingerprints, where the campaign has none of its own.
    """

    folder: CampaignFolder
    shared: str | None = None

    @property
    def features(self) -> Path:
        """Fingerprints of the library."""
        return self.folder.path / "features" if self.shared is None else Path(self.shared)

    @property
    def pictures(self) -> Path:
        """How it went."""
        return self.folder.path / "pictures"

    @property
    def lock(self) -> Path:
        """Held by the process that trains and chooses."""
        return self.folder.path / "active.lock"

    @property
    def state(self) -> ActiveFolder:
        """What was asked and answered."""
        return ActiveFolder(self.folder.path / "active")

    @property
    def is_begun(self) -> bool:
        """Whether a first round may have been chosen."""
        return (self.state.folder / _SETTINGS).exists()

    def round_folder(self, number: int) -> CampaignFolder:
        """Return the campaign folder of a round, which need not be there."""
        return CampaignFolder(self.folder.path / "rounds" / f"{number:03d}")

    def rounds(self) -> list[Round]:
        """Return the rounds whose campaigns have begun, in order."""
        found = self.state.rounds() if self.is_begun else []
        return [one for one in found if self.round_folder(one.number).plan.exists()]

    def campaigns(self) -> list[CampaignFolder]:
        """Return the campaign folders of the rounds, in order, by name only; nothing is read."""
        numbers = range(len(names_in(self.folder.path / "rounds")))
        folders = [self.round_folder(number) for number in numbers]
        return [folder for folder in folders if folder.plan.exists()]

    def make_round(
        self, library: Library, settings: CampaignSettings, one: Round, *, workers: int
    ) -> CampaignFolder:
        """Make the campaign of a round, its molecules in the library's order, or find it made.

        Raises
        ------
        CampaignError
            Another request's campaign is there.
        ResourceError
            The disk is full.
        """
        folder = self.round_folder(one.number)
        with full_disk(self.folder.path):
            folder.path.mkdir(parents=True, exist_ok=True)
        with folder.locked():
            if not folder.plan.exists():
                own = settings.model_copy(update={"strategy": None})
                write_atomically(folder.settings, own.to_toml().encode())
                _copy_whole(self.folder.target, folder.target)
                wishes = read_wishes(self.folder).model_copy(update={"outputs": Outputs()})
                store_wishes(folder, wishes.model_copy(update={"file": ""}))
                staged = stage_library(library.picked(np.sort(one.index)), folder.input)
                folder.parts.mkdir(exist_ok=True)
                besides = process_bytes(0, rescores=bool(own.networks))
                grid_bytes = library.plan.memory_bytes_per_worker - besides
                make_plan(folder, own, staged, workers=workers, grid_bytes=grid_bytes)
        n_there = read_plan(folder).n_records
        if n_there != len(one.index):
            raise CampaignError(
                f"{folder.path}: has {n_there} molecules and round {one.number} asks for "
                f"{len(one.index)}: remove this folder, and the round is docked anew"
            )
        return folder

    def scores(self, one: Round) -> npt.NDArray[np.float64]:
        """Return the lowest energy of each molecule of a round that is docked, NaN of failed ones.

        (n,) float64, kcal/mol, in the order of the request.
        """
        folder = self.round_folder(one.number)
        energies = np.full(len(one.index), np.nan)
        for part in find_results(folder, read_plan(folder)).paths:
            with opened_part(part) as file:
                table = file.read(columns=["index", "energy"])
                values = table["energy"].to_numpy(zero_copy_only=False)
                energies[table["index"].to_numpy()] = values
        scores = np.empty(len(one.index))
        scores[np.argsort(one.index, kind="stable")] = energies
        return scores


def is_docked(folder: CampaignFolder) -> bool:
    """Return whether every molecule of a round has its row, in files that are joined."""
    plan = read_plan(folder)
    return len(finished_shards(folder, plan)) == plan.n_shards


def rounds_of(folder: CampaignFolder, settings: CampaignSettings) -> ActiveRounds:
    """Return the rounds of a campaign with a strategy."""
    assert settings.strategy is not None
    return ActiveRounds(folder, settings.strategy.features)


def smiles_reader(settings: CampaignSettings) -> Callable[[Record], str] | None:
    """Return what gives a molecule of a prepared library its SMILES; None for other libraries."""
    if not is_prepared(Path(settings.library)):
        return None
    reader = PreparedReader(settings.library)
    return lambda record: reader.read(record)[0].input_smiles


def _copy_whole(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.tmp")
    with full_disk(target.parent):
        shutil.copyfile(source, temporary)
        temporary.replace(target)
