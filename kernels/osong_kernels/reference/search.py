"""Random starts of search chains: the definition, in float64 and plain loops.

How chains go on from there is defined by its properties (see ``contract``), not by a reference.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from osong_kernels.arguments import ChainState, LigandTopology
from osong_kernels.physics.random import philox, uniform

__all__ = ["start_chains"]

_START = 0
_CURRENT_ENERGY = 1
_ITERATION = 4
_NOTHING_YET = 1e30


def _draw(
    key: npt.NDArray[np.uint64], chain: int, step: int, purpose: int, block: int
) -> list[float]:
    """Return four uniform numbers of a chain's step."""
    counter = (np.uint64(c) for c in (chain, step, purpose, block))
    return [uniform(word) for word in philox(key[0], key[1], *counter)]


def start_chains(
    topology: LigandTopology,
    key: npt.NDArray[np.uint64],
    first_chain: int,
    low: npt.NDArray[np.float64],
    high: npt.NDArray[np.float64],
    state: ChainState,
) -> None:
    """Put every chain at a random place in the box; see ``cpu.search``."""
    for lane in range(state.trial.shape[1]):
        chain = first_chain + lane
        conformer = chain % len(topology.local)
        state.conformer[lane] = state.current_conformer[lane] = conformer
        state.local[:, :, lane] = topology.local[conformer]
        state.axis[:, :, lane] = topology.axis[conformer]
        state.offset[:, :, lane] = topology.offset[conformer]
        position = _draw(key, chain, 0, _START, 0)[:3]
        state.trial[:3, lane] = low + (high - low) * position
        state.trial[3:7, lane] = _uniform_quaternion(*_draw(key, chain, 0, _START, 1)[:3])
        for k in range(7, len(state.trial)):
            state.trial[k, lane] = 2.0 * math.pi * (_draw(key, chain, 0, _START, k)[0] - 0.5)
    state.step[:] = 0
    state.scalars[_CURRENT_ENERGY] = _NOTHING_YET
    state.scalars[_ITERATION] = -1.0
    state.pool_energy[:] = np.inf


def _uniform_quaternion(u0: float, u1: float, u2: float) -> tuple[float, float, float, float]:
    """Return a rotation drawn uniformly (Shoemake 1992, Graphics Gems III, 124-132)."""
    a, b = math.sqrt(1.0 - u0), math.sqrt(u0)
    return (
        b * math.cos(2.0 * math.pi * u2),
        a * math.sin(2.0 * math.pi * u1),
        a * math.cos(2.0 * math.pi * u1),
        b * math.sin(2.0 * math.pi * u2),
    )
