"""Where docking runs: on CPUs or on NVIDIA devices, chosen with a reason.

`choose_backend` answers; ``osong doctor`` shows what it went by. Processes of one job share the
devices of a node out.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, get_args

from osong.cuda_packages import (
    NEEDED_BY,
    NEWEST,
    NO_NUMBA,
    Needs,
    needs,
    packages_for,
    packages_problem,
)
from osong.driver import Device, Driver, find_driver
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

_SIMULATOR: Final = "NUMBA_ENABLE_CUDASIM"
_SIMULATED_BYTES: Final = 2**30


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
    if problem == NO_NUMBA:
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
    wanted, lacking = needs(), packages_problem()
    if driver.cuda is not None and driver.cuda < wanted.cuda:
        if lacking and wanted == NEEDED_BY[NEWEST]:
            return _too_old_for_extra(driver.cuda)
        older = packages_for(driver.cuda)
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


def _too_old_for_extra(cuda: tuple[int, int]) -> str:
    """Return what to do where nothing is installed and the driver is too old for the extra."""
    wanted, older = NEEDED_BY[NEWEST], packages_for(cuda)
    remedy = f"for this driver: {older}" if older else "update the driver"
    return f"osong[cuda] needs CUDA {NEWEST} (driver {wanted.driver} or newer); {remedy}"


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
