"""Parts as files: their names, where they are, whether they are whole. The parts are the state.

A part's name holds the number and the key of its chunk or shard and the checksum of the file's own
bytes, so a part proves itself: no side file, no database. The part of a shard lies in ``parts/``;
while a shard of several chunks is under way, the parts of its chunks lie in a folder of their own.
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import json
import re
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from osong.errors import CampaignError, ResourceError
from osong_workflows.folder import full_disk, names_in
from osong_workflows.part_files import campaign_of
from osong_workflows.plan import Chunk, Shard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from osong_workflows.folder import CampaignFolder
    from osong_workflows.plan import Plan

__all__ = [
    "FinishedShards",
    "PartFooter",
    "Piece",
    "Results",
    "chunk_parts",
    "find_results",
    "finished_shards",
    "foreign_parts",
    "is_finished",
    "part_backends",
    "part_counts",
    "part_footer",
    "part_name",
    "part_place",
    "part_problem",
    "set_aside",
]

Piece: TypeAlias = Chunk | Shard
"""What a part can be the result of."""

_NAME: Final = re.compile(r"(\d{6,})-([0-9a-f]{16})-([0-9a-f]{32})\.parquet")


@dataclass(frozen=True)
class Result:
    """A part: its file, and the records that it is about."""

    path: Path
    piece: Piece


@dataclass(frozen=True)
class Results:
    """The parts of a campaign, finished or not, in the order of the library.

    Attributes
    ----------
    parts
        Sorted by their first record; no record is in two of them.
    """

    parts: tuple[Result, ...]

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [part.path for part in self.parts]

    @property
    def n_records(self) -> int:
        """Molecules that have a row."""
        return sum(part.piece.n_records for part in self.parts)

    def locate(self, index: int) -> Path | None:
        """Return the file that holds the row of a molecule, None where it is not done yet."""
        found = bisect.bisect_right(self.parts, index, key=lambda part: part.piece.start) - 1
        if found < 0:
            return None
        part = self.parts[found]
        return part.path if index < part.piece.start + part.piece.n_records else None


def find_results(folder: CampaignFolder, plan: Plan) -> Results:
    """Return the parts of finished shards, and of the finished chunks of the others.

    By name only; nothing is read.
    """
    whole = finished_shards(folder, plan)
    parts = [Result(path, plan.shard(index)) for index, path in whole.items()]
    if plan.shard_chunks > 1:
        for index in _shards_under_way(folder, plan):
            if index not in whole:
                loose = chunk_parts(folder, plan, plan.shard(index))
                parts += [Result(path, plan.chunk(chunk)) for chunk, path in loose.items()]
    return Results(tuple(sorted(parts, key=lambda part: part.piece.start)))


def finished_shards(folder: CampaignFolder, plan: Plan) -> dict[int, Path]:
    """Return the part of each finished shard, by name only."""
    place = folder.parts
    return {shard: place / name for shard, name in _shard_names(names_in(place), plan).items()}


def _shard_names(names: Iterable[str], plan: Plan) -> dict[int, str]:
    """Return the first name, in order, that is the part of each shard."""
    found: dict[int, str] = {}
    n_shards = plan.n_shards
    for name in sorted(names):
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        index = int(match[1])
        if index < n_shards and plan.shard(index).key[:16] == match[2]:
            # Two parts of one shard differ at most in what became of a molecule that one run
            # gave up for time; the first by name counts, always.
            found.setdefault(index, name)
    return found


class FinishedShards:
    """Which shards are finished, for those who look again and again: new names are examined.

    Parameters
    ----------
    folder, plan
        The campaign.
    """

    def __init__(self, folder: CampaignFolder, plan: Plan) -> None:
        self._place = folder.parts
        self._plan = plan
        self._names: set[str] = set()
        self._found: set[int] = set()

    def look(self) -> frozenset[int]:
        """Return the shards that have their part now, by name only."""
        names = {name for name in names_in(self._place) if name.endswith(".parquet")}
        if not self._names <= names:
            # A damaged part was set aside.
            self._names, self._found = set(), set()
        self._found.update(_shard_names(names - self._names, self._plan))
        self._names = names
        return frozenset(self._found)


def is_finished(folder: CampaignFolder, plan: Plan, index: int, who: str) -> bool:
    """Return whether a shard has its part, as the file system knows it and not as it remembers.

    NFS shows the names in a folder as they were up to a minute ago, unless this machine has changed
    something there.

    Parameters
    ----------
    folder, plan, index
        The campaign and the shard.
    who
        A pilot; in the name of the file that is made and removed.
    """
    probe = folder.parts / f".{index:06d}-{who}-{uuid.uuid4().hex[:8]}.tmp"
    with full_disk(folder.path):
        probe.touch(exist_ok=False)
        probe.unlink(missing_ok=True)
    prefix = f"{index:06d}-{plan.shard(index).key[:16]}-"
    return any(name.startswith(prefix) and _NAME.fullmatch(name) for name in names_in(folder.parts))


def chunk_parts(folder: CampaignFolder, plan: Plan, shard: Shard) -> dict[int, Path]:
    """Return the parts of a shard's chunks while it is not packed, by name only."""
    place = folder.shard_parts(shard.index)
    found: dict[int, Path] = {}
    for name in names_in(place):
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        index = int(match[1])
        if index in shard.chunks and plan.chunk(index).key[:16] == match[2]:
            found.setdefault(index, place / name)
    return found


def foreign_parts(folder: CampaignFolder, plan: Plan) -> list[Path]:
    """Return the parts that lie in the folder and are of another campaign, by name only."""
    shards = range(plan.n_shards)
    found = _foreign(folder.parts, {i: plan.shard(i).key for i in shards})
    for name in names_in(folder.parts):
        if name.isdecimal():
            index = int(name)
            chunks = plan.shard(index).chunks if index in shards else ()
            keys = {chunk: plan.chunk(chunk).key for chunk in chunks}
            found += _foreign(folder.parts / name, keys)
    return found


def _foreign(place: Path, keys: dict[int, str]) -> list[Path]:
    """Return the parts in a folder whose names have none of the keys of its pieces."""
    found = []
    for name in names_in(place):
        match = _NAME.fullmatch(name)
        if match and keys.get(int(match[1]), "")[:16] != match[2]:
            found.append(place / name)
    return found


def part_place(folder: CampaignFolder, plan: Plan, piece: Piece) -> Path:
    """Return the folder that a part belongs to."""
    if isinstance(piece, Shard) or plan.shard_chunks == 1:
        return folder.parts
    return folder.shard_parts(plan.shard_of(piece.index))


def part_name(piece: Piece, written: Path) -> str:
    """Return the name of a part whose bytes are in a file."""
    return f"{piece.index:06d}-{piece.key[:16]}-{_checksum(written)}.parquet"


class PartFooter(NamedTuple):
    """What a part says of its molecules.

    Attributes
    ----------
    n_ok
        Molecules with poses.
    failures
        Those without, by stage.
    backends
        Those with, by who docked them: "cpu" or "cuda".
    """

    n_ok: int
    failures: Counter[str]
    backends: Counter[str]


def part_footer(part: Path) -> PartFooter:
    """Return the counts of a part.

    Raises
    ------
    CampaignError
        The footer cannot be read.
    """
    try:
        metadata = pq.read_metadata(part).metadata or {}
        n_ok = int(metadata[b"osong.ok"])
        failures = Counter(json.loads(metadata[b"osong.failed"]))
        # Parts without this were made when there was no other backend.
        backends = json.loads(metadata.get(b"osong.backends", b'{"cpu": %d}' % n_ok))
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise CampaignError(
            f"{part}: the part is damaged ({error}); run: osong resume {campaign_of(part)} --verify"
        ) from error
    return PartFooter(n_ok, failures, Counter(backends))


def part_counts(part: Path) -> tuple[int, Counter[str]]:
    """Return how many molecules are ok, and how many failed at each stage, from a part's footer.

    Raises
    ------
    CampaignError
        The footer cannot be read.
    """
    footer = part_footer(part)
    return footer.n_ok, footer.failures


def part_backends(part: Path) -> Counter[str]:
    """Return how many molecules of a part were docked by "cpu" and by "cuda", from its footer.

    Raises
    ------
    CampaignError
        The footer cannot be read.
    """
    return part_footer(part).backends


def part_problem(part: Path, piece: Piece) -> str | None:
    """Return what is wrong with a part, or None: checksum, counts and the molecules' numbers.

    Raises
    ------
    ResourceError
        It cannot be read now, which says nothing about what is in it.
    """
    with _readable(part):
        return _damage(part, piece)


def _damage(part: Path, piece: Piece) -> str | None:
    match = _NAME.fullmatch(part.name)
    if match is None or _checksum(part) != match[3]:
        return "its bytes are not those that were written"
    try:
        n_ok, failures = part_counts(part)
        if n_ok + failures.total() != piece.n_records:
            return f"it has {n_ok + failures.total()} molecules instead of {piece.n_records}"
        with pq.ParquetFile(part) as file:
            if (file.metadata.metadata or {}).get(b"osong.key", b"").decode() != piece.key:
                return "it is of another campaign or of another piece of this one"
            index = file.read(columns=["index"], use_threads=False)["index"].to_pylist()
    except (OSError, pa.ArrowException, CampaignError) as error:
        cause = error.__cause__ if isinstance(error, CampaignError) else error
        if isinstance(cause, OSError) and cause.errno:
            # Arrow's own complaints about a file's content have no number of the system.
            raise cause from error
        return f"it cannot be read ({error})"
    if index != list(range(piece.start, piece.start + piece.n_records)):
        return "its molecules are not those of its chunk"
    return None


@contextlib.contextmanager
def _readable(part: Path) -> Iterator[None]:
    """Keep errors of the file system apart from damage: a bad moment is none."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ResourceError(
            f"{part}: cannot be read now ({error.strerror or error}); it is left as it is: see to "
            "the file system or the limits of this process, then run the same command again"
        ) from error


def set_aside(folder: CampaignFolder, part: Path) -> Path | None:
    """Move a damaged part out of the way; return where it is now, None if it is there no more.

    Another pilot may have found the same damage, or have packed and removed the part, meanwhile.
    """
    with full_disk(folder.path):
        folder.damaged.mkdir(exist_ok=True)
        try:
            return part.rename(folder.damaged / part.name)
        except FileNotFoundError:
            return None


def _shards_under_way(folder: CampaignFolder, plan: Plan) -> Iterator[int]:
    for name in names_in(folder.parts):
        if name.isdecimal() and int(name) < plan.n_shards:
            yield int(name)


def _checksum(path: Path) -> str:
    """Return the file's blake2b (16 bytes) in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
