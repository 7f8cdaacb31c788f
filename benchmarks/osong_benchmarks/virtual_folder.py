"""A campaign folder for simulations: real files, counted; parts have their names and no bytes."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest import mock

from osong_workflows import feed
from osong_workflows.claims import Claim, Claims
from osong_workflows.folder import CampaignFolder
from osong_workflows.part_names import FinishedShards, chunk_parts
from osong_workflows.pilots import Clock
from osong_workflows.plan import Chunk, Plan, Shard

__all__ = ["VirtualFolder"]

_SUM: Final = "0" * 32
"""In the place of the checksum of a part's bytes."""


@dataclass
class VirtualFolder:
    """The folder with what was done to it.

    Attributes
    ----------
    folder, plan
        The campaign.
    clock
        The simulation's.
    view_s
        A pilot sees names as they were up to so many seconds ago: what listing a folder on a busy
        file system takes, or what a client's cache keeps.
    n_files, peak_files
        Files there are, and were at most.
    counts
        Calls by kind.
    """

    folder: CampaignFolder
    plan: Plan
    clock: Clock
    view_s: float
    n_files: int = 0
    peak_files: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    finished: set[int] = field(default_factory=set)
    _views: dict[str, tuple[float, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.seen = FinishedShards(self.folder, self.plan)
        for place in (self.folder.parts, self.folder.pilots, self.folder.claims):
            place.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Have feeds see this folder: names some seconds old, parts that hold nothing."""
        outer = self

        class Watched(Claims):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments)
                self._own: dict[int, int] = {}

            def generations(self) -> dict[int, int]:
                seen: dict[int, int] = outer.view("list claims", super().generations)
                # What a client did itself it knows.
                return seen | self._own

            def take(self, shard: int, generation: int = 1) -> Claim | None:
                claim = super().take(shard, generation)
                outer.counts["claim" if claim else "claim, another was faster"] += 1
                if claim:
                    outer.counts["claim, taken over"] += generation > 1
                    outer.add_files(1)
                    self._own[shard] = generation
                return claim

            def take_over(self, shard: int, generation: int) -> Claim | None:
                outer.counts["look at a holder"] += 1
                return super().take_over(shard, generation)

            def release(self, claim: Claim) -> None:
                before = list(outer.folder.claims.glob(f"{claim.shard:06d}.*"))
                super().release(claim)
                outer.add_files(-sum(not path.exists() for path in before))
                outer.counts["release"] += 1
                self._own.pop(claim.shard, None)

        class Listed:
            def __init__(self, *_: Any) -> None:
                pass

            def look(self) -> frozenset[int]:
                found: frozenset[int] = outer.view("list parts", outer.seen.look)
                return found

        with (
            mock.patch.object(feed, "Claims", Watched),
            mock.patch.object(feed, "FinishedShards", Listed),
            mock.patch.object(feed, "check_chunk_parts", _check_names),
        ):
            yield

    def view(self, kind: str, look: Any) -> Any:
        """Return what a listing shows: the last one where that is young enough."""
        self.counts[kind] += 1
        now = self.clock()
        when, seen = self._views.get(kind, (-1e9, None))
        if now - when > self.view_s:
            seen = look()
            self._views[kind] = (now, seen)
        return seen

    def add_files(self, n: int) -> None:
        """Count files that came or went."""
        self.n_files += n
        self.peak_files = max(self.peak_files, self.n_files)

    def add_chunk(self, chunk: Chunk) -> bool:
        """Put the part of a chunk there; False where it, or its shard's, was there before."""
        shard = self.plan.shard_of(chunk.index)
        if shard in self.finished:
            return False
        if self.plan.shard_chunks == 1:
            self.finished.add(shard)
            return self._add(self.folder.parts, chunk)
        place = self.folder.shard_parts(shard)
        place.mkdir(exist_ok=True)
        return self._add(place, chunk)

    def add_shard(self, shard: Shard) -> None:
        """Put the part of a shard there, and remove those of its chunks."""
        place = self.folder.shard_parts(shard.index)
        if shard.index not in self.finished:
            self.finished.add(shard.index)
            self._add(self.folder.parts, shard)
        if place.exists():
            n_parts = len(list(place.iterdir()))
            shutil.rmtree(place)
            self.add_files(-n_parts)

    @property
    def is_finished(self) -> bool:
        """Whether every shard has its part."""
        return len(self.finished) == self.plan.n_shards

    def _add(self, place: Path, piece: Chunk | Shard) -> bool:
        path = f"{place}/{piece.index:06d}-{piece.key[:16]}-{_SUM}.parquet"
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        self.add_files(1)
        return True


def _check_names(
    folder: CampaignFolder, plan: Plan, index: int
) -> tuple[dict[int, Path], tuple[tuple[str, str, str], ...]]:
    """Return a shard's parts by chunk; their bytes, which the real code checks, are none."""
    return chunk_parts(folder, plan, plan.shard(index)), ()
