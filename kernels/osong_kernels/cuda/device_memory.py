"""Bringing bundles of arrays to a device and back; in the simulator they stay where they are.

Each copy is waited for. The batches of a search copy beside one another: see ``staging``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
from numba import cuda

from osong_kernels.cuda.compile import IS_SIMULATED

__all__ = ["bundle_to_device", "empty", "lent", "single_precision", "to_device", "to_host"]

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


@contextmanager
def lent(array: Any, device: int) -> Iterator[Any]:
    """Yield memory that belongs to another library for kernels to fill; nothing is copied.

    ``array`` has ``__cuda_array_interface__`` and lies on the device of that number. Whatever runs
    there is waited for before and behind, since libraries have streams of their own.
    """
    with cuda.gpus[device]:
        cuda.synchronize()
        if IS_SIMULATED:  # memory of the host, at the same entry of the interface
            yield np.asarray(SimpleNamespace(__array_interface__=array.__cuda_array_interface__))
        else:
            yield cuda.as_cuda_array(array)
        cuda.synchronize()


def bundle_to_device(bundle: B) -> B:
    """Return a named tuple with its arrays in the device's memory."""
    return type(bundle)(*(to_device(x) if isinstance(x, np.ndarray) else x for x in bundle))


def single_precision(bundle: B) -> B:
    """Return a named tuple with its plain numbers in single precision."""
    values: list[Any] = [x if isinstance(x, np.ndarray) else np.float32(x) for x in bundle]
    return type(bundle)(*values)
