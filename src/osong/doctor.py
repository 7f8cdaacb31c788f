"""What this machine has, what is missing and the line that installs it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

from osong.backend import choose_backend, find_driver, needs
from osong.errors import InputError, MissingExtraError
from osong.machine import usable_cores, usable_memory
from osong.rescoring.weights import find_weights

__all__ = ["Finding", "examine"]

State = Literal["ok", "optional", "missing"]

_REQUIRED: Final = (
    "numpy",
    "numba",
    "rdkit",
    "gemmi",
    "scipy",
    "pyarrow",
    "pandas",
    "pydantic",
    "typer",
    "rich",
    "dask",
    "distributed",
    "dimorphite-dl",
    "loguru",
    "zstandard",
    "psutil",
    "threadpoolctl",
    "cryptography",
    "jinja2",
)
_OPTIONAL: Final = (
    ("pdbfixer", "pdbfixer", "receptor", "missing atoms of raw crystal structures"),
    ("propka", "propka", "receptor", "protonation of receptors at a pH"),
    ("dockstring", "dockstring", "dockstring", "receptors by name, such as EGFR"),
    ("duckdb", "duckdb", "duckdb", "SQL over results"),
    ("polars", "polars", "polars", "results as polars tables"),
    ("matplotlib", "matplotlib", "bench", "the page of a benchmark run"),
    ("bokeh", "bokeh", "dashboard", "Dask's dashboard"),
    ("numba-cuda", "numba_cuda", "cuda", "docking on NVIDIA devices"),
    ("torch", "torch", "ml", "rescoring with neural networks, active learning"),
)
_PROBE_SECONDS: Final = 10
_GIB: Final = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for.

    Attributes
    ----------
    topic
        What: ``"cores"``, ``"memory"``, a package's name, ...
    value
        What there is.
    state
        ``"ok"``; ``"optional"`` for what is not here and not needed; ``"missing"`` for what is.
    remedy
        The line that puts it right, or what to know; empty where nothing is to be done.
    """

    topic: str
    value: str
    state: State = "ok"
    remedy: str = ""


def examine() -> list[Finding]:
    """Return everything that matters for a run on this machine, most basic first."""
    return [
        *_software(),
        *_hardware(),
        *_disk(),
        *(_required(name) for name in _REQUIRED),
        *(_optional(*row) for row in _OPTIONAL),
        _network_weights(),
        *_gpu(),
        _mpi(),
        _slurm(),
    ]


def _software() -> list[Finding]:
    python = platform.python_version()
    enough = sys.version_info >= (3, 11)
    return [
        Finding("osong", metadata.version("osong")),
        Finding(
            "Python",
            f"{python} at {sys.executable}",
            "ok" if enough else "missing",
            "" if enough else "Osong needs Python 3.11 or newer",
        ),
        Finding("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
    ]


def _hardware() -> list[Finding]:
    import psutil

    cores, all_cores = usable_cores(), os.cpu_count() or 1
    note = "" if cores == all_cores else "affinity or a cgroup quota limits this process"
    usable, free = usable_memory() / _GIB, psutil.virtual_memory().available / _GIB
    return [
        Finding("CPU", f"{_cpu_name()}; {_vector_width()}"),
        Finding("cores", f"{cores} of {all_cores}", remedy=note),
        Finding("memory", f"{usable:.1f} GiB for this process, {free:.1f} GiB free now"),
    ]


def _cpu_info(field: str) -> str:
    """Return a field of the first processor in /proc/cpuinfo; empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((ln.partition(":")[2].strip() for ln in lines if ln.startswith(field)), "")


def _cpu_name() -> str:
    return _cpu_info("model name") or platform.processor() or platform.machine()


def _vector_width() -> str:
    """Return the widest vector instructions, and how many registers the 16 lanes take there."""
    flags = set(_cpu_info("flags").split())
    if "avx512f" in flags:
        return "AVX-512 (16 lanes in 1 register)"
    if "avx2" in flags:
        return "AVX2 (16 lanes in 2 registers)"
    if platform.machine() in ("aarch64", "arm64"):
        return "NEON (16 lanes in 4 registers)"
    return "no AVX2 (slow)"


def _disk() -> list[Finding]:
    free = shutil.disk_usage(Path.cwd()).free / _GIB
    little = free < 1
    cache = os.environ.get("NUMBA_CACHE_DIR", "beside the sources, or in the user's cache folder")
    return [
        Finding(
            "disk here",
            f"{free:.1f} GiB free in {Path.cwd()}",
            "missing" if little else "ok",
            "free some space or run elsewhere" if little else "",
        ),
        Finding("Numba cache", cache),
    ]


def _required(name: str) -> Finding:
    try:
        return Finding(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, "not installed", "missing", f"pip install {name}")


def _optional(name: str, module: str, extra: str, purpose: str) -> Finding:
    if find_spec(module) is None:
        return Finding(name, f"not installed ({purpose})", "optional", _pip_line(extra))
    return Finding(name, metadata.version(name))


def _network_weights() -> Finding:
    """Return whether the networks of the default ensemble are there, unharmed."""
    try:
        files = find_weights("default")
    except MissingExtraError:
        what = "not installed (rescoring with GNINA's networks)"
        return Finding("weights of networks", what, "optional", _pip_line("ml"))
    except InputError as error:
        what = "damaged (rescoring with GNINA's networks)"
        return Finding("weights of networks", what, "optional", str(error))
    version = metadata.version("gninatorch")
    return Finding(
        "weights of networks", f"gninatorch {version}, default ensemble of {len(files)} networks"
    )


def _pip_line(extra: str) -> str:
    """Return the command that adds an extra to the Python that runs this."""
    return f"{sys.executable} -m pip install '{_source()}[{extra}]'"


def _source() -> str:
    """Return what pip calls this Osong: the checkout that it was installed from, or its name."""
    origin = metadata.distribution("osong").read_text("direct_url.json")
    url = urlsplit(json.loads(origin)["url"] if origin else "")
    checkout = Path(url2pathname(url.path))
    return str(checkout) if url.scheme == "file" and checkout.is_dir() else "osong"


def _output(*command: str) -> str | None:
    """Return what a command printed; None where it is not there or failed."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _gpu() -> list[Finding]:
    """Return what there is of devices, what drives them, and where docking would run."""
    driver, wanted, backend = find_driver(), needs(), choose_backend()
    devices = "; ".join(map(str, driver.devices))
    least = ".".join(map(str, wanted.compute_capability))
    found = [
        Finding("GPU", devices, remedy=_bound_note(len(driver.devices)))
        if devices
        else Finding("GPU", "none that can be used", "optional", "not needed: runs on CPUs")
    ]
    if driver.cuda is not None:
        speaks, asked = (".".join(map(str, version)) for version in (driver.cuda, wanted.cuda))
        is_enough = driver.cuda >= wanted.cuda
        value = f"speaks CUDA {speaks}; needed: {asked} (release {wanted.driver}), devices {least}"
        remedy = "" if is_enough else f"update the NVIDIA driver to {wanted.driver} or newer"
        found.append(Finding("NVIDIA driver", value, "ok" if is_enough else "optional", remedy))
    state: State = "ok" if backend.name == "cuda" or not devices else "optional"
    return [*found, Finding("backend", f"{backend.name}: {backend.reason}", state)]


def _bound_note(n_visible: int) -> str:
    """Return whether Slurm keeps some of a job's GPUs from this process; "" if it does not."""
    on_node = os.environ.get("SLURM_GPUS_ON_NODE", "")
    if not on_node.isdigit() or int(on_node) <= n_visible:
        return ""
    return f"{n_visible} of the {on_node} that the job has here: others are for its other tasks"


def _mpi() -> Finding:
    launcher = _output("mpiexec", "--version")
    library = find_spec("mpi4py") is not None
    if launcher is None or not library:
        return Finding(
            "MPI",
            f"mpiexec: {'yes' if launcher is not None else 'no'}, "
            f"mpi4py: {'yes' if library else 'no'}",
            "optional",
            "not needed on one machine, nor for Slurm with srun"
            + ("" if library else f": {_pip_line('mpi')}"),
        )
    return Finding("MPI", f"mpi4py {metadata.version('mpi4py')}, {launcher.splitlines()[0]}")


def _slurm() -> Finding:
    found = _output("srun", "--version")
    if found is None:
        return Finding("Slurm", "no srun here", "optional", "not needed on one machine")
    job = os.environ.get("SLURM_JOB_ID")
    return Finding("Slurm", found + (f", in job {job}" if job else ", not in a job"))
