"""What blocks that fill a tile of a lattice share: the list of atoms in reach, in shared memory."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import cuda, types

from osong_kernels.cuda.compile import IS_SIMULATED, device, inlined
from osong_kernels.cuda.elementary import maximum
from osong_kernels.cuda.warp import LANES

__all__ = ["LISTED_AT_ONCE", "outside", "shared_list"]

# Atoms that are listed at once; where more are in reach, they are added in several goes.
LISTED_AT_ONCE: Final = 2 * LANES if IS_SIMULATED else 512
_LIST_LENGTH: Final = 4 * LISTED_AT_ONCE
_ZERO: Final = np.float32(0.0)

if IS_SIMULATED:
    from numba.cuda.simulator.kernel import _get_kernel_context as _context

    def shared_list() -> Any:
        """Return shared memory for the listed atoms, four numbers each."""
        return _context().shared.array(_LIST_LENGTH, types.float32)

else:

    @inlined
    def shared_list() -> Any:
        """Return shared memory for the listed atoms, four numbers each."""
        return cuda.shared.array(_LIST_LENGTH, types.float32, alignment=16)


@device
def outside(x: Any, low: Any, length: Any) -> Any:
    """Return how far a coordinate is from an interval."""
    return maximum(maximum(low - x, x - (low + length)), _ZERO)
