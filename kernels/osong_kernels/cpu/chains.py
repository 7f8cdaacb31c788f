"""Setting up one lane of a `ChainState`."""

from __future__ import annotations

from typing import Any

from osong_kernels.compile import inner
from osong_kernels.cpu.minimise import ALPHA, BASE_ENERGY, DESCENT, DONE, ITERATION, TRIALS

__all__ = ["restart", "set_conformer"]


@inner
def restart(state: Any, lane: Any) -> None:
    """Begin a local optimisation at the trial point of one lane.

    What the last one left in ``direction``, ``base_gradient`` and ``hessian`` is overwritten, not
    used, when the first energy comes (see ``minimise``).
    """
    state.scalars[BASE_ENERGY, lane] = 0.0
    state.scalars[ALPHA, lane] = 0.0
    state.scalars[DESCENT, lane] = 0.0
    state.scalars[ITERATION, lane] = -1.0
    state.scalars[TRIALS, lane] = 0.0
    state.scalars[DONE, lane] = 0.0


@inner
def set_conformer(state: Any, topology: Any, lane: Any, conformer: Any) -> None:
    """Give one lane the geometry of a conformer."""
    state.conformer[lane] = conformer
    for i in range(topology.local.shape[1]):
        for k in range(3):
            state.local[i, k, lane] = topology.local[conformer, i, k]
    for s in range(topology.axis.shape[1]):
        for k in range(3):
            state.axis[s, k, lane] = topology.axis[conformer, s, k]
            state.offset[s, k, lane] = topology.offset[conformer, s, k]
