"""What this machine says of itself: caches, GPUs, vectors, system, versions. Measures nothing."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import llvmlite.binding
import psutil

from osong_benchmarks.part import PartModel

__all__ = [
    "Cache",
    "Gpu",
    "caches",
    "gpus",
    "operating_system",
    "packages",
    "physical_cores",
    "read_gpus",
    "vector_features",
]

_CPU: Final = Path("/sys/devices/system/cpu/cpu0/cache")
_OS_RELEASE: Final = Path("/etc/os-release")
_PACKAGES: Final = (
    "osong", "numpy", "numba", "llvmlite", "rdkit", "scipy", "dask", "pyarrow", "vina", "rustina",
    "meeko",
)  # fmt: skip
_VECTOR_FEATURES: Final = re.compile(r"(sse4\.2|avx|avx2|avx512(f|bw|vl)|fma|neon|sve2?|vsx|v)$")
_NVIDIA_SECONDS: Final = 20
_SIZES: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class Cache(PartModel):
    """One cache of a core.

    Attributes
    ----------
    level
        1 is next to the core.
    kind
        ``"data"``, ``"instruction"`` or ``"unified"``.
    n_bytes
        Its size.
    n_sharing
        Logical processors that share it.
    """

    level: int
    kind: str
    n_bytes: int
    n_sharing: int


class Gpu(PartModel):
    """One GPU as its driver describes it."""

    name: str
    memory_bytes: int
    driver: str
    compute_capability: str


def caches(folder: Path = _CPU) -> tuple[Cache, ...]:
    """Return the caches of the first core; none where the system does not tell."""
    found = []
    for entry in sorted(folder.glob("index*")):
        size = re.fullmatch(r"(\d+)([KMG])", _text(entry / "size"))
        if size is None:
            continue
        found.append(
            Cache(
                level=int(_text(entry / "level")),
                kind=_text(entry / "type").lower(),
                n_bytes=int(size[1]) * _SIZES[size[2]],
                n_sharing=_count(_text(entry / "shared_cpu_list")),
            )
        )
    return tuple(found)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _count(ranges: str) -> int:
    """Return how many numbers a list of ranges names.

    >>> _count("0-3,8")
    5
    """
    n = 0
    for part in filter(None, ranges.split(",")):
        first, _, last = part.partition("-")
        n += int(last or first) - int(first) + 1
    return max(1, n)


def gpus() -> tuple[Gpu, ...]:
    """Return NVIDIA's GPUs of this machine; none where there is no driver or no GPU."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    fields = "name,memory.total,driver_version,compute_cap"
    try:
        done = subprocess.run(
            [command, f"--query-gpu={fields}", "--format=csv,noheader,nounits"],
            capture_output=True, text=True, timeout=_NVIDIA_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return read_gpus(done.stdout) if done.returncode == 0 else ()


def read_gpus(lines: str) -> tuple[Gpu, ...]:
    """Return GPUs from lines of ``nvidia-smi`` (name, MiB, driver, compute capability).

    >>> read_gpus("NVIDIA H100 80GB HBM3, 81559, 550.54.15, 9.0")[0].name
    'NVIDIA H100 80GB HBM3'
    """
    found = []
    for line in lines.splitlines():
        words = [word.strip() for word in line.split(",")]
        if len(words) == 4 and words[1].isdigit():
            name, mebibytes, driver, capability = words
            found.append(
                Gpu(
                    name=name,
                    memory_bytes=int(mebibytes) << 20,
                    driver=driver,
                    compute_capability=capability,
                )
            )
    return tuple(found)


def vector_features() -> tuple[str, ...]:
    """Return the vector extensions that LLVM finds on this processor."""
    features = llvmlite.binding.get_host_cpu_features()
    return tuple(sorted(f for f, has in features.items() if has and _VECTOR_FEATURES.match(f)))


def operating_system() -> str:
    """Return distribution and kernel."""
    name = ""
    for line in _text(_OS_RELEASE).splitlines():
        if line.startswith("PRETTY_NAME="):
            name = line.partition("=")[2].strip('"')
    kernel = f"{platform.system()} {platform.release()}"
    return f"{name}, {kernel}" if name else kernel


def packages() -> dict[str, str]:
    """Return the versions of what a result depends on, of those that are installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def physical_cores() -> int:
    """Return the cores of the whole machine, hyper-threads counted once."""
    return psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
