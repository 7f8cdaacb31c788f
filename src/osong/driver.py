"""What the NVIDIA driver of this machine says, asked by a process of its own.

On a broken node it may hang, or crash.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Final

from osong.cuda_packages import NEEDED_BY, NEWEST

__all__ = ["Device", "Driver", "find_driver"]

_LIBRARY: Final = "libcuda.so.1"
_PROBE_S: Final = 60.0
"""Eight devices without a persistence daemon take the driver some ten seconds."""
_KILL_S: Final = 5.0
"""A process that is stuck in the driver may outlive its end."""
_NO_DEVICE: Final = 100
"""CUDA_ERROR_NO_DEVICE: there is a driver, and nothing for it to drive, or nothing visible."""
_CONTEXT_BYTES: Final = 512 * 2**20
"""Of a device, for each process that uses it, before it asks for anything: an H100's context and
what a driver keeps beside it. An estimate; where it is too low, smaller batches mend that."""
_SEE_DRIVER: Final = "see with nvidia-smi whether the driver works and restart the node if not"


@dataclass(frozen=True)
class Device:
    """One NVIDIA device.

    Attributes
    ----------
    index
        Its number among those that ``CUDA_VISIBLE_DEVICES`` leaves visible.
    name
        As the driver calls it.
    memory_bytes
        In all, free or not.
    compute_capability
        Major and minor number.
    n_sharers
        Processes of this job that use it, this one among them.
    """

    index: int
    name: str
    memory_bytes: int
    compute_capability: tuple[int, int]
    n_sharers: int = 1

    @property
    def share_bytes(self) -> int | None:
        """What this process may fill of the memory; None where all that is free is its own.

        A share of the whole, not of what is free: that would be the less the later one asks, and
        the first would leave nothing to the others.
        """
        if self.n_sharers == 1:
            return None
        return max(0, self.memory_bytes // self.n_sharers - _CONTEXT_BYTES)

    def __str__(self) -> str:
        """Return one line for people."""
        major, minor = self.compute_capability
        shared = f", shared by {self.n_sharers} processes" if self.n_sharers > 1 else ""
        return (
            f"{self.index}: {self.name}, {self.memory_bytes / 2**30:.0f} GiB, compute capability "
            f"{major}.{minor}{shared}"
        )


@dataclass(frozen=True)
class Driver:
    """What the CUDA driver of this machine says.

    Attributes
    ----------
    cuda
        Newest CUDA version that it speaks; None where there is no driver, or none that answers.
    devices
        That this process may see.
    problem
        Why there is no answer; "" where there is one.
    remedy
        What would help; for those who ask for CUDA.
    """

    cuda: tuple[int, int] | None = None
    devices: tuple[Device, ...] = ()
    problem: str = ""
    remedy: str = ""


def find_driver() -> Driver:
    """Ask the CUDA driver of this machine what there is; never longer than a minute.

    Asked once: this process and those that it starts see the same devices.
    """
    return _find_driver(os.environ.get("CUDA_VISIBLE_DEVICES", ""))


@functools.lru_cache(maxsize=1)
def _find_driver(visible: str) -> Driver:
    """Ask the driver, given what `CUDA_VISIBLE_DEVICES` leaves visible."""
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError:
        return Driver(
            problem=f"no NVIDIA driver here ({_LIBRARY} is not found)",
            remedy=f"install the NVIDIA driver {NEEDED_BY[NEWEST].driver} or newer",
        )
    command = [sys.executable, "-P", "-m", "osong.driver"]
    path = os.pathsep.join(filter(None, sys.path))
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
        )
    except OSError as error:
        problem = f"the NVIDIA driver could not be asked ({error.strerror or error})"
        return Driver(problem=problem, remedy=_SEE_DRIVER)
    try:
        text, _ = process.communicate(timeout=_PROBE_S)
    except subprocess.TimeoutExpired:
        _end(process)
        problem = f"the NVIDIA driver did not answer within {_PROBE_S:.0f} s"
        return Driver(problem=problem, remedy=_SEE_DRIVER)
    except BaseException:
        _end(process)
        raise
    return _read_answer(process.returncode, text)


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a process; one that hangs in the driver is left behind, not waited for."""
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_KILL_S)
    if process.stdout is not None:
        process.stdout.close()


def _read_answer(code: int, text: str) -> Driver:
    """Return what the process that asked the driver has found."""
    try:
        answer: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError:
        problem = f"the NVIDIA driver ended the process that asked it (code {code})"
        return Driver(problem=problem, remedy=_SEE_DRIVER)
    devices = tuple(
        Device(index, name, n_bytes, (major, minor))
        for index, (name, n_bytes, major, minor) in enumerate(answer["devices"])
    )
    cuda = answer["cuda"]
    version = None if cuda is None else (cuda // 1000, cuda % 1000 // 10)
    return Driver(version, devices, answer["problem"], _SEE_DRIVER if answer["problem"] else "")


def _ask() -> dict[str, Any]:
    """Ask the driver, in this process, what there is; makes no context on any device."""
    cuda = ctypes.CDLL(_LIBRARY)
    version = ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(version))
    answer: dict[str, Any] = {"cuda": version.value or None, "devices": [], "problem": ""}
    code = cuda.cuInit(0)
    count = ctypes.c_int()
    if code == 0:
        code = cuda.cuDeviceGetCount(ctypes.byref(count))
    if code not in (0, _NO_DEVICE):
        text = ctypes.c_char_p()
        cuda.cuGetErrorString(code, ctypes.byref(text))
        why = (text.value or b"unknown error").decode(errors="replace")
        answer["problem"] = f"the NVIDIA driver does not work: {why} (error {code})"
        return answer
    for index in range(count.value):
        answer["devices"].append(_describe(cuda, index))
    return answer


def _describe(cuda: Any, index: int) -> tuple[str, int, int, int]:
    """Return name, memory and compute capability of a device."""
    device = ctypes.c_int()
    cuda.cuDeviceGet(ctypes.byref(device), index)
    name = ctypes.create_string_buffer(256)
    cuda.cuDeviceGetName(name, len(name), device)
    n_bytes = ctypes.c_size_t()
    cuda.cuDeviceTotalMem_v2(ctypes.byref(n_bytes), device)
    numbers = []
    for attribute in (75, 76):  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
        value = ctypes.c_int()
        cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        numbers.append(value.value)
    return name.value.decode(errors="replace"), n_bytes.value, numbers[0], numbers[1]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_ask()))
