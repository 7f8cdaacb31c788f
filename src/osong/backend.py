"""Where docking runs: on CPUs or on NVIDIA devices, chosen with a reason.

`choose_backend` answers; ``osong doctor`` shows what it went by. The driver is asked in a process
of its own: on a broken node it may hang, or crash.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from typing import Any, Final, Literal, TypeAlias, get_args

from osong.errors import InputError, MissingExtraError, ResourceError

__all__ = [
    "BACKENDS",
    "Backend",
    "BackendName",
    "Device",
    "Driver",
    "Needs",
    "check_backend",
    "choose_backend",
    "driver_problem",
    "find_driver",
    "needs",
]

BackendName: TypeAlias = Literal["auto", "cpu", "cuda"]
BACKENDS: Final[tuple[str, ...]] = get_args(BackendName)

_LIBRARY: Final = "libcuda.so.1"
_PROBE_S: Final = 60.0
"""Eight devices without a persistence daemon take the driver some ten seconds."""
_KILL_S: Final = 5.0
"""A process that is stuck in the driver may outlive its end."""
_NO_DEVICE: Final = 100
"""CUDA_ERROR_NO_DEVICE: there is a driver, and nothing for it to drive, or nothing visible."""
_SIMULATOR: Final = "NUMBA_ENABLE_CUDASIM"
_SIMULATED_BYTES: Final = 2**30
_CONTEXT_BYTES: Final = 512 * 2**20
"""Of a device, for each process that uses it, before it asks for anything: an H100's context and
what a driver keeps beside it. An estimate; where it is too low, smaller batches mend that."""


@dataclass(frozen=True)
class Needs:
    """What a CUDA toolkit asks of driver and device.

    Attributes
    ----------
    cuda
        CUDA version that the driver has to speak.
    driver
        First driver release that does.
    compute_capability
        Lowest that it compiles for.
    """

    cuda: tuple[int, int]
    driver: str
    compute_capability: tuple[int, int]


_NEEDS: Final = {
    # Drivers: docs.nvidia.com/deploy/cuda-compatibility, "Minor Version Compatibility", table 1.
    # Devices: nvidia.github.io/numba-cuda/user/installation.html, "Supported GPUs"; with CUDA 12 it
    # is Osong that asks for 7.0, whose warps have the barriers and shuffles that the kernels use.
    12: Needs((12, 0), "525", (7, 0)),
    13: Needs((13, 0), "580", (7, 5)),
}
_NEWEST: Final = max(_NEEDS)
_TOOLKIT: Final = "cuda-toolkit"
_COMPILERS: Final = {
    12: ("nvidia-cuda-nvcc-cu12", "nvidia-nvjitlink-cu12"),  # the first brings NVVM
    13: ("nvidia-nvvm", "nvidia-nvjitlink"),
}
"""Distributions that numba-cuda compiles with, by the toolkit's major version."""
_REMEDIES: Final = {
    12: "pip install 'numba-cuda[cu12]'",
    13: "pip install 'osong[cuda]'",
}
_SEE_DRIVER: Final = "see with nvidia-smi whether the driver works and restart the node if not"
_NO_NUMBA: Final = f"the package 'numba-cuda' is not installed: {_REMEDIES[_NEWEST]}"


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


@dataclass(frozen=True)
class Backend:
    """Where docking runs.

    Attributes
    ----------
    name
        ``"cpu"`` or ``"cuda"``.
    reason
        Why, in half a line.
    devices
        Which devices, for ``"cuda"``.
    """

    name: Literal["cpu", "cuda"]
    reason: str
    devices: tuple[Device, ...] = ()

    def __str__(self) -> str:
        """Return what is told once at the start of a run."""
        return f"backend {self.name}: {self.reason}"


def choose_backend(
    wanted: str = "auto",
    *,
    rank: int = 0,
    n_ranks: int = 1,
    find: Callable[[], Driver] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Backend:
    """Return where to dock.

    Parameters
    ----------
    wanted
        ``"cpu"``, ``"cuda"``, or ``"auto"``: CUDA where all that it needs is here.
    rank, n_ranks
        Which of the processes of this job on this node this is. They share the visible devices
        out, unless Slurm has shown to each its own already.
    find
        Asks the driver; for tests.
    environment
        For what Slurm says.

    Raises
    ------
    InputError
        There is no such backend.
    MissingExtraError
        CUDA was asked for, and its packages are missing.
    ResourceError
        CUDA was asked for and cannot work; one line says why and what to do.
    """
    check_backend(wanted)
    if wanted == "cpu":
        return Backend("cpu", "as asked for")
    if environment.get(_SIMULATOR, "") == "1":
        return _simulated(wanted)
    driver = (find or find_driver)()
    problem = driver_problem(driver)
    if problem and wanted == "auto":
        return Backend("cpu", problem)
    if problem == _NO_NUMBA:
        raise MissingExtraError("numba-cuda", extra="cuda", purpose="backend cuda")
    if problem:
        remedy = _remedy(driver)
        first = f"{remedy}, " if remedy else ""
        raise ResourceError(
            f"backend cuda: {problem}; {first}or dock on CPUs with backend auto or cpu"
        )
    devices = _share(driver.devices, rank, n_ranks, environment)
    return Backend("cuda", "; ".join(map(str, devices)), devices)


def check_backend(name: str) -> None:
    """Check a backend's name.

    Raises
    ------
    InputError
        There is none of that name.
    """
    if name not in BACKENDS:
        raise InputError(f"backend {name!r} is unknown: choose one of {', '.join(BACKENDS)}")


def driver_problem(driver: Driver) -> str:
    """Return why CUDA cannot be used here and what would mend that, on one line; "" if it can."""
    if driver.problem:
        return driver.problem
    wanted, lacking = needs(), _packages_problem()
    if driver.cuda is not None and driver.cuda < wanted.cuda:
        if lacking and wanted == _NEEDS[_NEWEST]:
            return _too_old_for_extra(driver.cuda)
        older = _older_packages(driver.cuda)
        return (
            f"the NVIDIA driver speaks CUDA {_dotted(driver.cuda)} and the installed packages need "
            f"{_dotted(wanted.cuda)}: update the driver to {wanted.driver} or newer"
            + (f", or {older}" if older else "")
        )
    if not driver.devices:
        return "no NVIDIA device is visible here (CUDA_VISIBLE_DEVICES, or the job's GPUs)"
    if not _usable(driver.devices):
        return (
            f"the NVIDIA devices here have compute capability {_dotted(_best(driver.devices))} and "
            f"Osong needs {_dotted(wanted.compute_capability)} or more"
        )
    return lacking


def _remedy(driver: Driver) -> str:
    """Return what helps where the problem's own line does not tell."""
    if driver.problem:
        return driver.remedy
    if not driver.devices:
        return "ask the job for a GPU or set CUDA_VISIBLE_DEVICES"
    return "" if _usable(driver.devices) else "use a newer device"


def _packages_problem() -> str:
    """Return what is missing of the packages that compile for a device; "" if nothing is."""
    if find_spec("numba_cuda") is None:
        return _NO_NUMBA
    version = _version(_TOOLKIT)
    major = _major(version)
    if version and major not in _NEEDS:
        known = " and ".join(map(str, _NEEDS))
        return (
            f"the CUDA toolkit {version} is installed and Osong knows those of CUDA {known}: "
            f"{_REMEDIES[_NEWEST]}"
        )
    wheels = (_TOOLKIT, *_COMPILERS.get(major, _COMPILERS[_NEWEST]))
    missing = [name for name in wheels if not _version(name)]
    if not missing:
        return ""
    return (
        f"numba-cuda is installed without its CUDA toolkit ({', '.join(missing)}): "
        f"{_REMEDIES.get(major, _REMEDIES[_NEWEST])}"
    )


def _version(distribution: str) -> str:
    """Return the version of what is installed; "" if it is not."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _major(version: str) -> int:
    text = version.partition(".")[0]
    return int(text) if text.isdecimal() else 0


def needs() -> Needs:
    """Return what the installed CUDA packages ask of driver and device."""
    # Without them: what `pip install 'osong[cuda]'` would bring.
    return _NEEDS.get(_major(_version(_TOOLKIT)), _NEEDS[_NEWEST])


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
            remedy=f"install the NVIDIA driver {_NEEDS[_NEWEST].driver} or newer",
        )
    command = [sys.executable, "-P", "-m", "osong.backend"]
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


def _simulated(wanted: str) -> Backend:
    """Return the backend where Numba simulates a device: for tests, thousands of times slower."""
    if wanted == "auto":
        return Backend("cpu", f"{_SIMULATOR} is set: a simulated device is for tests only")
    device = Device(0, "Numba's simulator", _SIMULATED_BYTES, (9, 0))
    return Backend("cuda", str(device), (device,))


def _usable(devices: Sequence[Device]) -> tuple[Device, ...]:
    """Return the devices that code can be compiled for."""
    least = needs().compute_capability
    return tuple(device for device in devices if device.compute_capability >= least)


def _share(
    visible: Sequence[Device], rank: int, n_ranks: int, environment: Mapping[str, str]
) -> tuple[Device, ...]:
    """Return the devices of one of several processes; one device serves several if need be."""
    devices = _usable(visible)
    on_node = environment.get("SLURM_GPUS_ON_NODE", "")
    # Slurm counts all that the job has here, whatever we think of them.
    n_on_node = int(on_node) if on_node.isdigit() else 0
    if n_ranks > 1 and len(visible) < n_on_node:
        # Each process is shown some. Which ones the others are shown nobody says: as if evenly.
        n_sharers = math.ceil(n_ranks * len(visible) / n_on_node)
        return tuple(replace(device, n_sharers=n_sharers) for device in devices)
    if n_ranks <= len(devices):
        return devices[rank::n_ranks]
    position = rank % len(devices)
    n_sharers = len(range(position, n_ranks, len(devices)))
    return (replace(devices[position], n_sharers=n_sharers),)


def _best(devices: Sequence[Device]) -> tuple[int, int]:
    return max(device.compute_capability for device in devices)


def _older_packages(cuda: tuple[int, int]) -> str:
    """Return what installs the newest packages that a driver is good for; "" if none are."""
    major = max((m for m, wanted in _NEEDS.items() if wanted.cuda <= cuda), default=0)
    return _REMEDIES.get(major, "")


def _too_old_for_extra(cuda: tuple[int, int]) -> str:
    """Return what to do where nothing is installed and the driver is too old for the extra."""
    wanted, older = _NEEDS[_NEWEST], _older_packages(cuda)
    remedy = f"for this driver: {older}" if older else "update the driver"
    return f"osong[cuda] needs CUDA {_NEWEST} (driver {wanted.driver} or newer); {remedy}"


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


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
