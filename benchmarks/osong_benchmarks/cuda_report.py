"""``python -m benchmarks cuda``: what the machine code of each CUDA kernel takes, without a device.

Each architecture is compiled in a process of its own. With ``--write`` the tables go into
``docs/cuda.md`` and the registers into ``cuda_registers.toml``. The tests fail on what `faults_of`
says.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from osong.errors import ResourceError
from osong.whole_files import write_whole
from osong_benchmarks.cuda_host import measure_host
from osong_benchmarks.cuda_model import DEVICES, Evaluation, Prediction, evaluation_of, predict
from osong_benchmarks.cuda_occupancy import LIMITS
from osong_benchmarks.cuda_sass import Usage
from osong_benchmarks.cuda_tables import (
    KernelReport,
    class_table,
    model_table,
    stage_table,
    usage_table,
)
from osong_benchmarks.cuda_weights import Place
from osong_benchmarks.results import provenance
from osong_benchmarks.tables import write_table

__all__ = [
    "ARCHITECTURES",
    "REGISTER_FILE",
    "KernelReport",
    "add_arguments",
    "compile_kernels",
    "faults_of",
    "main",
    "places_of",
    "predictions",
    "read_registers",
    "search_report",
    "write_registers",
]

ARCHITECTURES: Final = tuple(LIMITS)
"""A100, H100 and GH200, B200."""
REGISTER_FILE: Final = Path(__file__).with_name("cuda_registers.toml")
_REGISTER_JUMP: Final = 8
"""Registers are given to a thread by eights; less does not change what fits."""
_PACKAGES: Final = ("numba-cuda", "nvidia-nvvm", "nvidia-nvjitlink")
_SEARCH: Final = ("run_chains", "run_chains_by_table")
"""Names that the kernel of the search may have."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--only", nargs="+", metavar="KERNEL", default=[])
    parser.add_argument("--architectures", nargs="+", choices=ARCHITECTURES, default=ARCHITECTURES)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for PTX and SASS")
    parser.add_argument("--root", type=Path, default=Path(), help="of the checkout")


def main(args: argparse.Namespace) -> None:
    """Print the tables; write them where asked; exit with 1 if a kernel has a fault."""
    reports = [
        report
        for architecture in args.architectures
        for report in compile_kernels(architecture, only=args.only, keep=args.keep)
    ]
    texts = {"cuda-kernels": usage_table(reports), "cuda-instructions": class_table(reports)}
    texts |= _model_texts(reports)
    print("\n\n".join(texts.values()))
    if args.write:
        if args.only or tuple(args.architectures) != ARCHITECTURES:
            raise SystemExit("--write wants every kernel and every architecture")
        write_registers(reports)
        for name, text in texts.items():
            write_table(args.root / "docs" / "cuda.md", name, text, _note())
    faults = faults_of(reports, read_registers())
    print("\n".join(["", *faults]) if faults else "\nno faults")
    if faults:
        raise SystemExit(1)


def compile_kernels(
    architecture: str, *, only: Sequence[str] = (), keep: Path | None = None
) -> list[KernelReport]:
    """Return what every kernel takes on an architecture, compiled in a process of its own.

    Raises
    ------
    ResourceError
        If a kernel cannot be compiled.
    """
    options = ["--only", *only] if only else []
    options += ["--keep", str(keep)] if keep else []
    return [_report(architecture, row) for row in _rows(architecture, options)]


def places_of(architecture: str, kernel: str) -> list[Place]:
    """Return how many instructions of a kernel come from where in the source."""
    (row,) = _rows(architecture, ["--only", kernel, "--lines"])
    return [
        Place(tuple((file, line) for file, line in frames), kind, n_operations, count)
        for frames, kind, n_operations, count in row["places"]
    ]


def _rows(architecture: str, options: Sequence[str]) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "osong_benchmarks.cuda_offline", architecture, *options]
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise ResourceError(
            f"CUDA kernels could not be compiled for {architecture}:\n{done.stderr.strip()}"
        )
    return [json.loads(line) for line in done.stdout.splitlines()]


def search_report(reports: Sequence[KernelReport]) -> KernelReport:
    """Return the search's kernel.

    Raises
    ------
    ResourceError
        If it is not among them.
    """
    for report in reports:
        if report.name in _SEARCH:
            return report
    raise ResourceError(f"no kernel is called {' or '.join(_SEARCH)}")


def predictions(reports: Sequence[KernelReport]) -> list[tuple[Prediction, Evaluation]]:
    """Return what the model says of each device whose architecture is among the reports."""
    found = []
    evaluations: dict[str, Evaluation] = {}
    for device in DEVICES:
        name = device.architecture
        of_device = [report for report in reports if report.architecture == name]
        if not any(report.name in _SEARCH for report in of_device):
            continue
        report = search_report(of_device)
        if name not in evaluations:
            evaluations[name] = evaluation_of(places_of(name, report.name))
        prediction = predict(device, evaluations[name], report.occupancy.n_warps)
        found.append((prediction, evaluations[name]))
    return found


def _model_texts(reports: Sequence[KernelReport]) -> dict[str, str]:
    found = predictions(reports)
    if not found:
        return {}
    return {
        "cuda-model": model_table([prediction for prediction, _ in found], measure_host()),
        "cuda-stages": stage_table([(each.device, evaluation) for each, evaluation in found]),
    }


def _report(architecture: str, row: dict[str, Any]) -> KernelReport:
    return KernelReport(
        name=row["name"],
        module=row["module"],
        architecture=architecture,
        threads_per_block=row["threads_per_block"],
        shared_bytes=row["static_shared_bytes"] + row["dynamic_shared_bytes"],
        n_wide_loads=row["n_wide_loads"],
        may_use_float64=row["may_use_float64"],
        usage=Usage(**row["usage"]),
        n_instructions=row["n_instructions"],
        counts=row["counts"],
        subroutines=row["subroutines"],
    )


def faults_of(
    reports: Sequence[KernelReport], recorded: Mapping[str, Mapping[str, int]]
) -> list[str]:
    """Return what is wrong with the kernels, one line each.

    ``recorded`` has the registers of each architecture and kernel as they were when last written.
    """
    return [fault for report in reports for fault in _faults_of_one(report, recorded)]


def _faults_of_one(report: KernelReport, recorded: Mapping[str, Mapping[str, int]]) -> list[str]:
    usage, counts = report.usage, report.counts
    found = []
    if usage.spill_store_bytes or usage.spill_load_bytes:
        found.append(f"spills {usage.spill_store_bytes} bytes of registers")
    elif usage.stack_bytes or counts["local"]:
        found.append(f"has {usage.stack_bytes} bytes of memory for each thread")
    if counts["generic"]:
        found.append(f"has {counts['generic']} accesses to memory of unknown kind")
    if not report.may_use_float64 and counts["fp64"]:
        found.append(f"has {counts['fp64']} float64 instructions")
    if not report.may_use_float64 and report.subroutines:
        found.append(f"calls {', '.join(report.subroutines)}")
    n_wide = counts["ldg128"] + counts["lds128"]
    if n_wide < report.n_wide_loads:
        found.append(f"has {n_wide} loads of 16 bytes, not {report.n_wide_loads}")
    if not report.occupancy.n_blocks:
        found.append(f"cannot be launched: too much {report.occupancy.limit}")
    known = recorded.get(report.architecture, {}).get(report.name)
    if known is None:
        found.append("is not on record: python -m benchmarks cuda --write")
    elif usage.registers > known + _REGISTER_JUMP:
        found.append(f"takes {usage.registers} registers, {known} before")
    return [f"{report.architecture} {report.name}: {fault}" for fault in found]


def read_registers(file: Path = REGISTER_FILE) -> dict[str, dict[str, int]]:
    """Return the registers on record, by architecture and kernel; none where there is no file."""
    if not file.exists():
        return {}
    return tomllib.loads(file.read_text(encoding="utf-8"))


def write_registers(reports: Sequence[KernelReport], file: Path = REGISTER_FILE) -> None:
    """Put the registers of all kernels on record."""
    lines = [
        "# Registers a thread, written by: python -m benchmarks cuda --write",
        "# The tests fail when a kernel takes more than eight beyond these.",
    ]
    for architecture in ARCHITECTURES:
        lines += ["", f"[{architecture}]"]
        lines += sorted(
            f'"{report.name}" = {report.usage.registers}'
            for report in reports
            if report.architecture == architecture
        )
    write_whole(file, "\n".join(lines) + "\n")


def _note() -> str:
    versions = ", ".join(filter(None, map(_version, _PACKAGES)))
    return f"Compiled without a device. {provenance(['cuda', '--write'])}; {versions}"


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""
