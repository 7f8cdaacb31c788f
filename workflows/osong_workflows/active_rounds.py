"""Where an active campaign has what, and how a round becomes a campaign of its own.

    features/          fingerprints of the library, packed bits
    active/            what was asked in each round, what came back, networks
    rounds/000/        a campaign folder for each round, over its molecules only
    pictures/          how it went

The folder around them has the campaign's settings, its target, and the library's records.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from osong.active.state import ActiveFolder
from osong.errors import CampaignError
from osong_workflows.file_tables import Outputs
from osong_workflows.folder import CampaignFolder, full_disk, write_atomically
from osong_workflows.outputs import read_wishes, store_wishes
from osong_workflows.part_files import opened_part
from osong_workflows.part_names import find_results, finished_shards
from osong_workflows.plan import make_plan, process_bytes, read_plan
from osong_workflows.prepared import PREPARED, PreparedReader
from osong_workflows.staging import pick_staged, read_staged, stage_library

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from osong.active import FeatureStore
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

    @property
    def unread(self) -> Path:
        """Which molecules have no fingerprint, and why; kept here, whatever becomes of those."""
        return self.state.folder / "unread.parquet"

    def campaigns(self) -> list[CampaignFolder]:
        """Return the campaign folders of what was asked for, by name only; some may be gone."""
        return [self.round_folder(number) for number in range(self.state.n_rounds)]

    def keep_unread(self, store: FeatureStore) -> None:
        """Write down which molecules have no fingerprint, once."""
        if self.unread.exists():
            return
        rows = sorted(store.failures())
        table = pa.table(
            {
                "index": pa.array([index for index, _ in rows], pa.int64()),
                "reason": pa.array([reason for _, reason in rows], pa.string()),
            }
        )
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
        with full_disk(self.folder.path):
            self.unread.parent.mkdir(exist_ok=True)
        write_atomically(self.unread, sink.getvalue().to_pybytes())

    def unread_reasons(self) -> dict[int, str]:
        """Return why molecules have no fingerprint, by position in the library, rising.

        Raises
        ------
        CampaignError
            The file is damaged.
        """
        if not self.unread.exists():
            return {}
        try:
            table = pq.read_table(self.unread, page_checksum_verification=True)
        except (OSError, pa.ArrowException) as error:
            raise CampaignError(
                f"{self.unread}: is damaged ({error}): remove it, then run: osong resume "
                f"{self.folder.path}"
            ) from error
        return dict(zip(table["index"].to_pylist(), table["reason"].to_pylist(), strict=True))

    def make_round(
        self, library: Library, settings: CampaignSettings, one: Round, *, workers: int
    ) -> CampaignFolder:
        """Make the campaign of a round, its molecules in the library's order, or find it made.

        Raises
        ------
        CampaignError
            The campaign of another request is there.
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
                write_atomically(folder.target, self.folder.target.read_bytes())
                wishes = read_wishes(self.folder).model_copy(update={"outputs": Outputs()})
                own_wishes = {"file": "", "library": _picks_digest(one)}
                store_wishes(folder, wishes.model_copy(update=own_wishes))
                staged = stage_library(library.picked(np.sort(one.index)), folder.input)
                folder.parts.mkdir(exist_ok=True)
                besides = process_bytes(0, rescores=bool(own.networks))
                grid_bytes = library.plan.memory_bytes_per_worker - besides
                make_plan(folder, own, staged, workers=workers, grid_bytes=grid_bytes)
        self.check_round(one)
        return folder

    def check_round(self, one: Round) -> None:
        """Check that the campaign of a round has the molecules that were asked for, no others.

        Raises
        ------
        CampaignError
            It has others; the message names both files.
        """
        folder = self.round_folder(one.number)
        if read_wishes(folder).library != _picks_digest(one):
            request = self.state.round_folder(one.number) / "request.parquet"
            raise CampaignError(
                f"{folder.path}: docks other molecules than {request} asks for: restore that file, "
                "or remove this folder, and the round is docked anew"
            )

    def scores(self, one: Round) -> npt.NDArray[np.float64]:
        """Return the lowest energy of each molecule of a round that is docked, NaN of failed ones.

        (n,) float64, kcal/mol, in the order of the request.
        """
        self.check_round(one)
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
    if not folder.plan.exists():
        return False
    plan = read_plan(folder)
    return len(finished_shards(folder, plan)) == plan.n_shards


def rounds_of(folder: CampaignFolder, settings: CampaignSettings) -> ActiveRounds:
    """Return the rounds of a campaign with a strategy."""
    assert settings.strategy is not None
    return ActiveRounds(folder, settings.strategy.features)


def smiles_reader(library: Library, settings: CampaignSettings) -> Callable[[Record], str] | None:
    """Return what gives the molecule of a record its SMILES; None where the record has it."""
    if next(library.records()).format != PREPARED:
        return None
    reader = PreparedReader(settings.library)
    return lambda record: reader.read(record)[0].input_smiles


def _picks_digest(one: Round) -> str:
    """Return what tells the molecules of a round from others, in hexadecimal."""
    picks = np.sort(one.index).astype("<i8").tobytes()
    return blake2b(picks, digest_size=16, person=b"osong-picks").hexdigest()
