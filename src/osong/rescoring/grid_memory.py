"""Memory for grids where the networks run: of the host, or of torch on a device, as tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from osong.errors import InputError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

__all__ = ["GRID_SHAPE", "as_tensor", "check_grids", "room_for"]

GRID_SHAPE: Final = (28, 48, 48, 48)
"""Channels and points of a pose's grid: 14 of the receptor, 14 of the ligand."""


def room_for(source: object, n_poses: int, device: torch.device) -> Any:
    """Return memory (n_poses, 28, 48, 48, 48) float32: the device's where ``source`` can fill that.

    Otherwise, and where the device has no room for it, an array of the host.
    """
    import torch

    shape = (n_poses, *GRID_SHAPE)
    if device.type == "cuda" and getattr(source, "can_fill_devices", False):
        try:
            return torch.empty(shape, dtype=torch.float32, device=device)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()  # grids of the host come in batches that may become smaller
    return np.empty(shape, dtype=np.float32)


def check_grids(grids: NDArray[np.float32] | torch.Tensor) -> None:
    """Check that grids are (n, 28, 48, 48, 48) float32.

    Raises
    ------
    InputError
        If they are not.
    """
    if grids.ndim != 5 or tuple(grids.shape[1:]) != GRID_SHAPE:
        raise InputError(f"grids have shape {tuple(grids.shape)}; wanted (n, 28, 48, 48, 48)")
    if str(grids.dtype).removeprefix("torch.") != "float32":
        raise InputError(f"grids are {grids.dtype}; wanted float32")


def as_tensor(grids: Any) -> torch.Tensor:
    """Return grids as a tensor where they are, without a copy where they may be written."""
    import torch

    if isinstance(grids, torch.Tensor):
        return grids
    is_ready = grids.flags.writeable and grids.flags.c_contiguous
    return torch.from_numpy(grids if is_ready else grids.copy())
