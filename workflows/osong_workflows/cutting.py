"""How a library is cut into chunks and shards: by arithmetic, whatever its size.

All shards have the same number of chunks. The last of a long campaign are finer, with fewer
molecules in a chunk, so that thousands of workers end at nearly the same time.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Final

__all__ = ["Cut", "choose_cut", "given_cut"]

_CHUNK_S: Final = 240.0
"""What a killed run loses of each core, and what a warning before a time limit has to cover."""
_MAX_CHUNK: Final = 4096
_CHUNKS_PER_WORKER: Final = 4
"""So many chunks for each worker of a small library: the last ones even out the load."""
_SHARDS: Final = 512
"""Shards, and so files, of a campaign that is not huge: enough for dozens of pilots to share, and
to end at nearly the same time."""
_SHARD_RECORDS: Final = 131_072
"""Molecules in a shard at most, and so in a file: 7,663 of these for 1e9."""
_FINE_SHARE: Final = 24
"""One shard of so many, the last ones, is cut more finely ..."""
_FINE_SPLIT: Final = 4
"""... into so many, of shorter chunks: an eighth more files, a quarter of the wait at the end."""


@dataclass(frozen=True)
class Cut:
    """Where chunks and shards begin and end.

    Attributes
    ----------
    n_records
        Molecules of the library.
    chunk_size
        Records in a chunk; the last one may have fewer.
    shard_chunks
        Chunks in a shard; the last one may have fewer.
    n_coarse
        Shards of chunks of that size; None for all.
    fine_size
        Records in a chunk of the shards after those.
    """

    n_records: int
    chunk_size: int
    shard_chunks: int
    n_coarse: int | None = None
    fine_size: int = 1

    @functools.cached_property
    def n_chunks(self) -> int:
        """How many chunks there are."""
        if self.n_coarse is None:
            return math.ceil(self.n_records / self.chunk_size)
        n_left = self.n_records - self.n_coarse * self.shard_chunks * self.chunk_size
        return self.n_coarse * self.shard_chunks + math.ceil(n_left / self.fine_size)

    @functools.cached_property
    def n_shards(self) -> int:
        """How many shards there are."""
        return math.ceil(self.n_chunks / self.shard_chunks)

    @property
    def fine_from(self) -> int:
        """Index of the first of the finer shards, which are begun after all others."""
        return self.n_shards if self.n_coarse is None else self.n_coarse

    def start(self, chunk: int) -> int:
        """Return the first record of a chunk; of the one after the last, how many there are."""
        n_coarse = chunk
        if self.n_coarse is not None:
            n_coarse = min(chunk, self.n_coarse * self.shard_chunks)
        start = n_coarse * self.chunk_size + (chunk - n_coarse) * self.fine_size
        return min(start, self.n_records)

    def chunks_of(self, shard: int) -> range:
        """Return the chunks of a shard."""
        first = shard * self.shard_chunks
        return range(first, min(first + self.shard_chunks, self.n_chunks))

    def shard_of(self, chunk: int) -> int:
        """Return the shard of a chunk."""
        return chunk // self.shard_chunks


def choose_cut(n_records: int, seconds_per_molecule: float, workers: int) -> Cut:
    """Return how a library is best cut.

    Chunks are work for every worker of a small library and minutes of work of a large one; shards
    are few enough to keep files few, and small enough to be shared out.

    Examples
    --------
    >>> choose_cut(100, 0.32, workers=2)
    Cut(n_records=100, chunk_size=13, shard_chunks=1, n_coarse=None, fine_size=1)
    >>> huge = choose_cut(1_000_000_000, 0.32, workers=10_000)
    >>> huge.chunk_size, huge.shard_chunks, huge.fine_size, huge.n_coarse, huge.n_shards
    (750, 174, 188, 7344, 8616)
    """
    even = math.ceil(n_records / (workers * _CHUNKS_PER_WORKER))
    minutes = min(max(1, int(_CHUNK_S / seconds_per_molecule)), _MAX_CHUNK)
    chunk_size = max(1, min(even, minutes))
    n_chunks = math.ceil(n_records / chunk_size)
    largest = max(1, _SHARD_RECORDS // chunk_size)
    shard_chunks = min(math.ceil(n_chunks / _SHARDS), largest)
    coarse = Cut(n_records, chunk_size, shard_chunks)
    n_fine = coarse.n_shards // _FINE_SHARE
    if not n_fine or chunk_size < 2 * _FINE_SPLIT:
        return coarse
    fine_size = math.ceil(chunk_size / _FINE_SPLIT)
    return Cut(n_records, chunk_size, shard_chunks, coarse.n_shards - n_fine, fine_size)


def given_cut(n_records: int, chunk_size: int, shard_chunks: int | None) -> Cut:
    """Return a cut into chunks of a given size, all of them, and shards of a given one."""
    n_chunks = math.ceil(n_records / chunk_size)
    return Cut(n_records, chunk_size, shard_chunks or math.ceil(n_chunks / _SHARDS))
