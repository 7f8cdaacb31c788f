"""The CUDA packages: what they ask of driver and device, what is missing, what installs them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Final

__all__ = [
    "NEEDED_BY",
    "NEWEST",
    "NO_NUMBA",
    "Needs",
    "needs",
    "packages_for",
    "packages_problem",
]


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


NEEDED_BY: Final = {
    # Drivers: docs.nvidia.com/deploy/cuda-compatibility, "Minor Version Compatibility", table 1.
    # Devices: nvidia.github.io/numba-cuda/user/installation.html, "Supported GPUs"; with CUDA 12 it
    # is Osong that asks for 7.0, whose warps have the barriers and shuffles that the kernels use.
    12: Needs((12, 0), "525", (7, 0)),
    13: Needs((13, 0), "580", (7, 5)),
}
NEWEST: Final = max(NEEDED_BY)
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
NO_NUMBA: Final = f"the package 'numba-cuda' is not installed: {_REMEDIES[NEWEST]}"


def needs() -> Needs:
    """Return what the installed CUDA packages ask of driver and device."""
    # Without them: what `pip install 'osong[cuda]'` would bring.
    return NEEDED_BY.get(_major(_version(_TOOLKIT)), NEEDED_BY[NEWEST])


def packages_problem() -> str:
    """Return what is missing of the packages that compile for a device; "" if nothing is."""
    if find_spec("numba_cuda") is None:
        return NO_NUMBA
    version = _version(_TOOLKIT)
    major = _major(version)
    if version and major not in NEEDED_BY:
        known = " and ".join(map(str, NEEDED_BY))
        return (
            f"the CUDA toolkit {version} is installed and Osong knows those of CUDA {known}: "
            f"{_REMEDIES[NEWEST]}"
        )
    wheels = (_TOOLKIT, *_COMPILERS.get(major, _COMPILERS[NEWEST]))
    missing = [name for name in wheels if not _version(name)]
    if not missing:
        return ""
    return (
        f"numba-cuda is installed without its CUDA toolkit ({', '.join(missing)}): "
        f"{_REMEDIES.get(major, _REMEDIES[NEWEST])}"
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


def packages_for(cuda: tuple[int, int]) -> str:
    """Return what installs the newest packages that a driver is good for; "" if none are."""
    major = max((m for m, wanted in NEEDED_BY.items() if wanted.cuda <= cuda), default=0)
    return _REMEDIES.get(major, "")
