"""Which of many fingerprints are too similar to those that were picked before them.

Whole numbers only, so that the answer is that of the plain loop, bit for bit. Compiled as the
kernels are, but no entry of their contract: nothing on devices picks batches.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from osong_kernels.compile import inner, kernel, sources_hash

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["LANES", "bits_needed", "mark_similar", "pick_dissimilar"]

LANES: Final = 64
"""Leaders that are compared at a time, word by word, in vector code: 9 ns each. One by one, as far
as it takes to know, is 50 to 90 ns, though most are told apart by a part of their words."""


def bits_needed(most_similar: float, n_most: int) -> npt.NDArray[np.int32]:
    """Return how many bits two molecules share at least when they are too similar.

    Entry ``s`` is the smallest ``b`` for which ``b / max(s - b, 1)``, rounded as numbers of double
    precision are, exceeds `most_similar`; ``s`` is the bits of both, up to `n_most`. The quotient
    rises with ``b`` and rounding keeps order, so a comparison with the entry is one with it.
    """
    total = np.arange(n_most + 1, dtype=np.int64)
    low, high = np.zeros_like(total), total + 1  # too few; enough, or more than can be
    low -= 1
    while (high - low > 1).any():
        middle = (low + high) // 2
        is_enough = middle / np.maximum(total - middle, 1) > most_similar
        is_enough |= 2 * middle > total
        high = np.where(is_enough, middle, high)
        low = np.where(is_enough, low, middle)
    return high.astype(np.int32)


@inner
def _count(x: Any) -> Any:
    """Return how many bits of a word are set; LLVM makes one instruction of it."""
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (x * np.uint64(0x0101010101010101)) >> np.uint64(56)


@inner
def _last_in_tile(
    words: Any, i: Any, n_bits: Any, tile: Any, tile_n_bits: Any, needed: Any, both: Any
) -> Any:
    """Return the last lane of a tile to which a candidate is too similar, or -1."""
    for lane in range(LANES):
        both[lane] = 0
    for k in range(words.shape[1]):
        word = words[i, k]
        for lane in range(LANES):
            both[lane] += _count(word & tile[k, lane])
    last = -1
    for lane in range(LANES):
        if np.int64(both[lane]) >= needed[n_bits + tile_n_bits[lane]]:
            last = lane
    return last


@kernel
def mark_similar(
    words: Any,
    n_bits: Any,
    tiles: Any,
    tiles_n_bits: Any,
    begin: Any,
    end: Any,
    needed: Any,
    out: Any,
) -> None:
    """Fill ``out`` with the last of some leaders to which each candidate is too similar, or -1.

    ``words`` (n, n_words) uint64, ``n_bits`` (n,) int32: candidates and how many bits they have;
    ``tiles`` (n_tiles, n_words, LANES) uint64, ``tiles_n_bits`` (n_tiles, LANES) int32: leaders,
    one a lane, zeros where there is none; those of tiles ``begin`` to ``end`` (exclusive) count;
    ``needed`` int32 of `bits_needed`; ``out`` (n,) int64.
    """  # fmt: skip
    both = np.empty(LANES, np.uint64)
    for i in range(words.shape[0]):
        out[i] = -1
    for t in range(end - 1, begin - 1, -1):  # a tile stays in the cache for all candidates
        for i in range(words.shape[0]):
            if out[i] < 0:
                lane = _last_in_tile(
                    words, i, n_bits[i], tiles[t], tiles_n_bits[t], needed, both
                )  # fmt: skip
                if lane >= 0:
                    out[i] = LANES * t + lane


@kernel
def pick_dissimilar(
    words: Any,
    n_bits: Any,
    similar: Any,
    n_before: Any,
    n_most: Any,
    n_compared: Any,
    needed: Any,
    tiles: Any,
    tiles_n_bits: Any,
    out: Any,
) -> Any:
    """Pick candidates in order, append them to the leaders, and return how many leaders there are.

    A candidate is passed over while one of the ``n_compared`` last leaders is too similar:
    ``similar`` (n,) int64 of `mark_similar` knows of the first ``n_before``. Ends with ``n_most``
    leaders. ``out`` (n,) bool: which are picked; all others as in `mark_similar`.
    """  # fmt: skip
    both = np.empty(LANES, np.uint64)
    n_leaders: Any = np.int64(n_before)
    for i in range(words.shape[0]):
        out[i] = False
    for i in range(words.shape[0]):
        if n_leaders >= n_most:
            break
        last = np.int64(similar[i])
        for t in range(n_leaders // LANES, n_before // LANES - 1, -1):
            lane = _last_in_tile(words, i, n_bits[i], tiles[t], tiles_n_bits[t], needed, both)
            if lane >= 0:
                last = max(last, LANES * t + lane)
                break
        if last < max(n_leaders - n_compared, 0):
            t, lane = n_leaders // LANES, n_leaders % LANES
            for k in range(words.shape[1]):
                tiles[t, k, lane] = words[i, k]
            tiles_n_bits[t, lane] = n_bits[i]
            out[i] = True
            n_leaders += 1
    return n_leaders


# Cached machine code is taken while the kernels' sources are unchanged: this file counts, too.
_STAMP: Final = f"{sources_hash()}{blake2b(Path(__file__).read_bytes(), digest_size=8).hexdigest()}"
_kernels: tuple[Any, ...] = (mark_similar, pick_dissimilar)
for _dispatcher in _kernels:
    _dispatcher._cache._cache_file._source_stamp = _STAMP
