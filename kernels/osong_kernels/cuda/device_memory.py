"""Bringing bundles of arrays to a device and back; in the simulator they stay where they are.

Each copy is waited for. The batches of a search copy beside one another: see ``staging``.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numba import cuda

from osong_kernels.cuda.compile import IS_SIMULATED

__all__ = ["bundle_to_device", "empty", "single_precision", "to_device", "to_host"]

B = TypeVar("B", bound=tuple[Any, ...])


def to_device(array: Any) -> Any:
    """Return an array in the device's memory."""
    return array if IS_SIMULATED else cuda.to_device(array)


def to_host(array: Any) -> Any:
    """Return an array of the device in the host's memory."""
    return array if IS_SIMULATED else array.copy_to_host()


def empty(shape: Any, dtype: Any) -> Any:
    """Return memory on the device that nobody has written."""
    return np.empty(shape, dtype) if IS_SIMULATED else cuda.device_array(shape, dtype)


def bundle_to_device(bundle: B) -> B:
    """Return a named tuple with its arrays in the device's memory."""
    return type(bundle)(*(to_device(x) if isinstance(x, np.ndarray) else x for x in bundle))


def single_precision(bundle: B) -> B:
    """Return a named tuple with its plain numbers in single precision."""
    values: list[Any] = [x if isinstance(x, np.ndarray) else np.float32(x) for x in bundle]
    return type(bundle)(*values)
