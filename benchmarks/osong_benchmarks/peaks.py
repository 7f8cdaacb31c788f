"""What this machine can do at best: arithmetic, streams and random loads, with Osong's own vectors.

Loops are compiled as the kernels are and use their lane vectors, so a peak is what a kernel could
reach and not what a data sheet says. How to know that a number is sound:

- arithmetic: `clock_hz` times the operations a cycle of the core (32 float32 operations on Zen 2 to
  4 and on Intel cores with AVX2, 64 on Intel servers with two AVX-512 units and on Zen 5). Another
  share than 95 to 100 % of that means a busy machine or vectors that LLVM split.
- reading from L1: 32 to 128 bytes a cycle; every further level is slower; memory slowest.
- triad on all cores: at most the channels' peak (DDR5-4800: 38 GB/s each), usually 70 to 90 % of it
  at three transfers an element (a store that first loads its line moves a third more).
- random loads: at most two or three a cycle; from L2 and L3 fewer, as their latency is hidden only
  as far as the core keeps misses in flight.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

from osong_kernels.cpu.lane_memory import gather_pairs, load, store
from osong_kernels.cpu.lanes import N_LANES, broadcast

__all__ = [
    "best_rate",
    "clock_hz",
    "fma_peak",
    "gather_rate",
    "read_bandwidth",
    "triad_bandwidth",
    "vector_bits",
]

_jit: Final = numba.njit(nogil=True, error_model="numpy")
_FACTOR: Final = np.float32(0.999)
_SUMMAND: Final = np.float32(0.001)
_FEW: Final = 1000
_CACHE_LINE: Final = 64
_SECONDS_OF_THREADS: Final = 0.1


@_jit
def _six_chains(n: int, x: Any, y: Any, out: Any) -> None:
    """Run six chains of lane multiply-adds: with two 256-bit halves each, all 16 AVX2 registers."""
    factor, summand = broadcast(x), broadcast(y)
    a, b, c = broadcast(x), broadcast(y), broadcast(x + y)
    d, e, f = broadcast(x - y), broadcast(x * y), broadcast(x + x)
    for _ in range(n):
        a = a * factor + summand
        b = b * factor + summand
        c = c * factor + summand
        d = d * factor + summand
        e = e * factor + summand
        f = f * factor + summand
    store(out, (0,), a + b + c + d + e + f)


@_jit
def _twelve_chains(n: int, x: Any, y: Any, out: Any) -> None:
    """Run twelve: enough for two 512-bit units with a latency of four or five cycles."""
    factor, summand = broadcast(x), broadcast(y)
    a, b, c = broadcast(x), broadcast(y), broadcast(x + y)
    d, e, f = broadcast(x - y), broadcast(x * y), broadcast(x + x)
    g, h, i = broadcast(y + y), broadcast(y - x), broadcast(x * x)
    j, k, m = broadcast(y * y), broadcast(x * x * y), broadcast(x * y * y)
    for _ in range(n):
        a = a * factor + summand
        b = b * factor + summand
        c = c * factor + summand
        d = d * factor + summand
        e = e * factor + summand
        f = f * factor + summand
        g = g * factor + summand
        h = h * factor + summand
        i = i * factor + summand
        j = j * factor + summand
        k = k * factor + summand
        m = m * factor + summand
    store(out, (0,), a + b + c + d + e + f)
    store(out, (1,), g + h + i + j + k + m)


@_jit
def _dependent_chain(n: int, start: Any) -> Any:
    """Run ``n`` times a rotation and an exclusive-or, each of which waits for the one before."""
    x = np.uint64(start)
    one, rest = np.uint64(1), np.uint64(63)
    for i in range(n):
        x = ((x << one) | (x >> rest)) ^ np.uint64(i)
    return x


@_jit
def _read(table: Any, n_passes: int, out: Any) -> None:
    """Sum a table (n, L) with n a multiple of 8, again and again, in eight sums of lanes."""
    a, b, c, d = broadcast(0.0), broadcast(0.0), broadcast(0.0), broadcast(0.0)
    e, f, g, h = broadcast(0.0), broadcast(0.0), broadcast(0.0), broadcast(0.0)
    for _ in range(n_passes):
        for k in range(0, len(table), 8):
            a = a + load(table, (k,))
            b = b + load(table, (k + 1,))
            c = c + load(table, (k + 2,))
            d = d + load(table, (k + 3,))
            e = e + load(table, (k + 4,))
            f = f + load(table, (k + 5,))
            g = g + load(table, (k + 6,))
            h = h + load(table, (k + 7,))
    store(out, (0,), a + b + c + d + e + f + g + h)


@_jit
def _triad(a: Any, b: Any, c: Any, factor: float) -> None:
    for k in range(len(a)):
        a[k] = b[k] + factor * c[k]


@_jit
def _gather(table: Any, indices: Any, shifts: Any, out: Any) -> None:
    """Sum pairs of neighbours at ``indices`` (n, L) plus each of ``shifts``, as a field lookup."""
    low, high = broadcast(0.0), broadcast(0.0)
    for s in range(len(shifts)):
        shift = shifts[s]
        for k in range(len(indices)):
            first, second = gather_pairs(table, shift, load(indices, (k,)))
            low = low + first
            high = high + second
    store(out, (0,), low)
    store(out, (1,), high)


def best_rate(function: Callable[[int], None], seconds: float) -> float:
    """Return the highest rate, calls of the inner loop a second, that five runs reached.

    Parameters
    ----------
    function
        Runs its inner loop so many times.
    seconds
        About how long one run lasts.

    Notes
    -----
    In CPU time of this thread: others on the machine do not count.
    """

    def shortest(n: int, n_runs: int) -> float:
        times = []
        for _ in range(n_runs):
            started = time.thread_time()
            function(n)
            times.append(time.thread_time() - started)
        return min(times)

    function(1)
    n = 1
    # Two runs: one alone may be long only because something else came between.
    while (elapsed := shortest(n, 2)) < 0.25 * seconds:
        n *= 4 if elapsed < 0.05 * seconds else 2
    n = max(1, round(n * seconds / elapsed))
    return n / shortest(n, 5)


def _rate_together(tasks: Sequence[Callable[[int], None]], seconds: float) -> float:
    """Return the sum of the rates of tasks that run at the same time, by the clock.

    How often each runs its loop follows from the first one alone, in CPU time: by the clock the
    start of threads on a busy machine would be taken for work.
    """
    alone = best_rate(tasks[0], seconds)
    if len(tasks) == 1:
        return alone
    n = max(1, round(alone * max(seconds, _SECONDS_OF_THREADS)))
    shortest = min(_in_threads([partial(task, n) for task in tasks]) for _ in range(5))
    return n * len(tasks) / shortest


def clock_hz(seconds: float = 0.1) -> float:
    """Return cycles a second, from a chain of operations that takes two cycles a step.

    A rotation by one and an exclusive-or take one cycle each on x86 cores of today, and neither can
    begin before the other has ended. (Additions would not do: LLVM turns them into ``lea`` with
    three operands, which takes one to three.)
    """
    return 2.0 * _FEW * best_rate(lambda n: _dependent_chain(_FEW * n, 1), seconds)


def fma_peak(seconds: float = 0.1, n_threads: int = 1) -> float:
    """Return float32 operations a second (a multiply-add is two), on one or several cores."""
    return max(_fma_rate(_six_chains, 6, seconds, n_threads),
               _fma_rate(_twelve_chains, 12, seconds, n_threads))  # fmt: skip


def _fma_rate(chains: Any, n_chains: int, seconds: float, n_threads: int) -> float:
    outs = np.zeros((n_threads, 2, N_LANES), np.float32)

    def run(n: int, out: Any) -> None:
        chains(_FEW * n, _FACTOR, _SUMMAND, out)

    tasks = [partial(run, out=out) for out in outs]
    return 2.0 * n_chains * N_LANES * _FEW * _rate_together(tasks, seconds)


def read_bandwidth(n_bytes: int, seconds: float = 0.1) -> float:
    """Return bytes a second that one core reads from a table of this size, again and again."""
    n = max(8, n_bytes // (4 * N_LANES) // 8 * 8)
    table = _aligned_table(n)
    out = np.zeros((1, N_LANES), np.float32)
    return table.nbytes * best_rate(lambda passes: _read(table, passes, out), seconds)


def _aligned_table(n: int) -> npt.NDArray[np.float32]:
    """Return ones, (n, L), that begin with a cache line: a load across two counts twice in L1."""
    numbers = np.ones((n + 1) * N_LANES, np.float32)
    first = -numbers.ctypes.data % _CACHE_LINE // numbers.itemsize
    return numbers[first : first + n * N_LANES].reshape(n, N_LANES)


def triad_bandwidth(n_bytes: int, seconds: float = 0.1, n_threads: int = 1) -> float:
    """Return bytes a second of ``a = b + s * c`` in float64 over arrays of ``n_bytes`` in all.

    Three transfers an element are counted, as STREAM does. Each thread has arrays of its own, which
    it filled itself, so that they lie in its own part of the memory.
    """
    n = max(1, n_bytes // (3 * 8 * n_threads))
    arrays: list[Any] = [None] * n_threads

    def fill(k: int) -> None:
        arrays[k] = (np.zeros(n), np.ones(n), np.full(n, 2.0))

    def run(passes: int, k: int) -> None:
        for _ in range(passes):
            _triad(*arrays[k], 3.0)

    _in_threads([partial(fill, k) for k in range(n_threads)])
    tasks = [partial(run, k=k) for k in range(n_threads)]
    return 3.0 * 8.0 * n * _rate_together(tasks, seconds)


def gather_rate(n_bytes: int, seconds: float = 0.1) -> float:
    """Return 8-byte loads a second that one core makes at random places of a table of this size.

    The loads are those of the field lookup: sixteen lanes, a pair of neighbours each. Places are
    fixed random ones, moved as a whole between passes, so that the table is used throughout while
    the list of places stays in L1.
    """
    n = max(256, n_bytes // 4)
    random = np.random.default_rng(0)
    table = np.ones(n, np.float32)
    indices = random.integers(0, n // 2, (256, N_LANES)).astype(np.int32)
    out = np.zeros((2, N_LANES), np.float32)
    shifts = random.integers(0, n // 2 - 1, 1 << 16)

    def run(passes: int) -> None:
        for start in range(0, passes, len(shifts)):
            _gather(table, indices, shifts[: min(len(shifts), passes - start)], out)

    return indices.size * best_rate(run, seconds)


def vector_bits() -> int:
    """Return the width of the registers in which lane vectors are computed here."""
    out = np.zeros((2, N_LANES), np.float32)
    _six_chains(1, _FACTOR, _SUMMAND, out)
    return _widest_register("".join(_six_chains.inspect_asm().values()))


def _widest_register(assembly: str) -> int:
    """Return the width in bits of the widest vector register that assembly names.

    >>> _widest_register("vfmadd213ps %ymm1, %ymm2, %ymm3"), _widest_register("fmla v0.4s, v1.4s")
    (256, 128)
    """
    for name, bits in (("zmm", 512), ("ymm", 256)):
        if re.search(rf"\b{name}\d", assembly):
            return bits
    return 128


def _in_threads(tasks: Sequence[Callable[[], None]]) -> float:
    """Run tasks at the same time, each in a thread of its own; return the seconds by the clock."""
    ready = threading.Barrier(len(tasks) + 1)

    def run(task: Callable[[], None]) -> None:
        ready.wait()
        task()

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started
