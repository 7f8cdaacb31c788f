"""How many warps of a kernel a multiprocessor holds: the rules of each compute capability.

References
----------
NVIDIA, CUDA C++ Programming Guide, version 13, table "Technical Specifications per Compute
Capability"; registers are given to warps in units of 256, shared memory to blocks in units of 128
bytes, with 1 KiB of it kept by the system for each block from 8.0 on (CUDA Occupancy Calculator).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["LIMITS", "Limits", "Occupancy", "occupancy_of"]

_WARP: Final = 32
_REGISTER_UNIT: Final = 256
_SHARED_UNIT: Final = 128
_SHARED_OF_SYSTEM: Final = 1024
_KIB: Final = 1024


@dataclass(frozen=True)
class Limits:
    """What a multiprocessor has.

    Attributes
    ----------
    n_warps, n_blocks
        At once.
    n_registers
        32 bits each.
    shared_bytes
        For all blocks.
    shared_bytes_a_block
        For one that asks for it.
    """

    n_warps: int
    n_blocks: int
    n_registers: int
    shared_bytes: int
    shared_bytes_a_block: int


LIMITS: Final = {
    "sm_80": Limits(64, 32, 65536, 164 * _KIB, 163 * _KIB),
    "sm_90": Limits(64, 32, 65536, 228 * _KIB, 227 * _KIB),
    "sm_100": Limits(64, 32, 65536, 228 * _KIB, 227 * _KIB),
}
"""By architecture."""


@dataclass(frozen=True)
class Occupancy:
    """What of a kernel is on a multiprocessor at once.

    Attributes
    ----------
    n_blocks, n_warps
        That many.
    fraction
        Of the warps there could be.
    limit
        What there is no more of: ``"registers"``, ``"shared memory"``, ``"warps"`` or ``"blocks"``.
    """

    n_blocks: int
    n_warps: int
    fraction: float
    limit: str


def occupancy_of(
    architecture: str, *, threads_per_block: int, registers: int, shared_bytes: int
) -> Occupancy:
    """Return how much of a kernel fits on a multiprocessor; nothing if it cannot be launched.

    >>> occupancy_of("sm_90", threads_per_block=128, registers=64, shared_bytes=0)
    Occupancy(n_blocks=8, n_warps=32, fraction=0.5, limit='registers')
    """
    limits = LIMITS[architecture]
    n_warps = -(-threads_per_block // _WARP)
    registers_a_warp = _round_up(max(registers, 1) * _WARP, _REGISTER_UNIT)
    shared_a_block = _round_up(shared_bytes + _SHARED_OF_SYSTEM, _SHARED_UNIT)
    if shared_bytes > limits.shared_bytes_a_block:
        return Occupancy(0, 0, 0.0, "shared memory")
    fitting = {
        "registers": limits.n_registers // registers_a_warp // n_warps,
        "shared memory": limits.shared_bytes // shared_a_block,
        "warps": limits.n_warps // n_warps,
        "blocks": limits.n_blocks,
    }
    limit = min(fitting, key=lambda name: fitting[name])
    n_blocks = fitting[limit]
    return Occupancy(n_blocks, n_blocks * n_warps, n_blocks * n_warps / limits.n_warps, limit)


def _round_up(amount: int, unit: int) -> int:
    return -(-amount // unit) * unit
