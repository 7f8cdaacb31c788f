"""Compiles every CUDA kernel without a device: ``python -m osong_benchmarks.cuda_offline sm_90``.

One architecture a process, as a program has one on a device. The way is that of a launch: Numba
makes PTX, nvJitLink makes machine code of it, with the kernel's own options; only the loading is
left out. Prints one JSON object a kernel.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from unittest import mock

from osong.errors import MissingExtraError
from osong_benchmarks.cuda_sass import (
    Usage,
    class_of,
    count_classes,
    instructions_of,
    operations_of,
    static_shared_bytes,
    subroutines_of,
    usage_of,
)

__all__ = ["Compiled", "compile_offline", "disassemble", "offline_kernels"]

_PACKAGE: Final = "osong_kernels.cuda"


@dataclass(frozen=True)
class Compiled:
    """A kernel as machine code.

    Attributes
    ----------
    name, module
        Of the kernel.
    ptx
        What Numba made.
    sass
        What the linker made, disassembled.
    usage
        Registers and memory of a thread.
    shared_bytes
        That the code declares.
    """

    name: str
    module: str
    ptx: str
    sass: str
    usage: Usage
    shared_bytes: int


def offline_kernels() -> Iterator[tuple[str, Any]]:
    """Yield the module and declaration of every kernel, module by module.

    A declaration is an ``osong_kernels.cuda.compile.Offline``.
    """
    package = importlib.import_module(_PACKAGE)
    for found in sorted(pkgutil.iter_modules(package.__path__), key=lambda each: each.name):
        module = importlib.import_module(f"{_PACKAGE}.{found.name}")
        for declared in getattr(module, "OFFLINE", ()):
            yield found.name, declared


def compile_offline(
    module: str, declared: Any, architecture: str, *, with_lines: bool = False
) -> Compiled:
    """Return the machine code of a kernel for an architecture such as ``"sm_90"``."""
    options = declared.kernel.targetoptions
    capability = _capability(architecture)
    with _pretended_device(capability):
        from numba import cuda

        ptx, _ = cuda.compile(
            declared.kernel.py_func,
            declared.signature,
            cc=capability,
            device=False,
            abi="numba",
            output="ptx",
            fastmath=options.get("fastmath", False),
            lineinfo=with_lines,
            launch_bounds=options.get("launch_bounds"),
        )
    flags = [f"-arch={architecture}", "-verbose", "-Xptxas=-v"]
    if options.get("max_registers"):
        flags.append(f"-maxrregcount={options['max_registers']}")
    if with_lines:
        flags.append("-lineinfo")
    binary, log = _link(ptx, declared.name, flags)
    sass = disassemble(binary, with_lines=with_lines)
    return Compiled(declared.name, module, ptx, sass, usage_of(log), static_shared_bytes(ptx))


def disassemble(binary: bytes, *, with_lines: bool = False) -> str:
    """Return the machine code of a linked kernel as text.

    Raises
    ------
    MissingExtraError
        If ``nvdisasm`` is not here.
    """
    from cuda.pathfinder import find_nvidia_binary_utility

    program = find_nvidia_binary_utility("nvdisasm")
    if program is None:
        raise MissingExtraError(
            "nvidia-cuda-nvdisasm", extra="dev", purpose="looking at kernels' machine code"
        )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(binary)
        command = [program, "-c", *(["-gi"] if with_lines else []), str(file)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _capability(architecture: str) -> tuple[int, int]:
    number = int(architecture.removeprefix("sm_"))
    return number // 10, number % 10


@contextmanager
def _pretended_device(capability: tuple[int, int]) -> Iterator[None]:
    """Let Numba believe in a device, whose compute capability it asks for to compile helpers."""
    device = SimpleNamespace(compute_capability=capability)
    with mock.patch("numba.cuda.dispatcher.get_current_device", return_value=device):
        yield


def _link(ptx: str, name: str, flags: list[str]) -> tuple[bytes, str]:
    """Return machine code and the linker's log."""
    from cuda.bindings import nvjitlink

    handle = nvjitlink.create(len(flags), flags)
    try:
        code = ptx.encode()
        nvjitlink.add_data(handle, nvjitlink.InputType.PTX, code, len(code), name)
        nvjitlink.complete(handle)
        binary = bytearray(nvjitlink.get_linked_cubin_size(handle))
        nvjitlink.get_linked_cubin(handle, binary)
        log = bytearray(nvjitlink.get_info_log_size(handle))
        nvjitlink.get_info_log(handle, log)
    finally:
        nvjitlink.destroy(handle)
    return bytes(binary), log.decode(errors="replace")


def _row(compiled: Compiled, declared: Any) -> dict[str, Any]:
    instructions = list(instructions_of(compiled.sass))
    return {
        "name": compiled.name,
        "module": compiled.module,
        "threads_per_block": declared.threads_per_block,
        "dynamic_shared_bytes": declared.dynamic_shared_bytes,
        "static_shared_bytes": compiled.shared_bytes,
        "n_wide_loads": declared.n_wide_loads,
        "may_use_float64": declared.may_use_float64,
        "usage": asdict(compiled.usage),
        "n_instructions": len(instructions),
        "n_operations": sum(map(operations_of, instructions)),
        "counts": count_classes(instructions),
        "subroutines": subroutines_of(instructions),
    }


def _lines(compiled: Compiled) -> dict[str, Any]:
    """Return how many instructions of each class come from each place of the source."""
    found = Counter(
        (each.frames, class_of(each), operations_of(each))
        for each in instructions_of(compiled.sass)
    )
    return {
        "name": compiled.name,
        "usage": asdict(compiled.usage),
        "places": [[*key, count] for key, count in found.items()],
    }


def _let_helpers_keep_lines() -> None:
    """Compile kernels and all they call with line numbers, which changes no instruction."""
    from numba import cuda

    cuda.jit = partial(cuda.jit, lineinfo=True)


def main() -> None:
    """Compile every kernel, or those named, for one architecture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("architecture", metavar="sm_NN")
    parser.add_argument("--only", nargs="+", metavar="KERNEL", default=[])
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for PTX and SASS")
    parser.add_argument("--lines", action="store_true", help="print places of the source instead")
    args = parser.parse_args()
    if args.lines:
        _let_helpers_keep_lines()
    for module, declared in offline_kernels():
        if args.only and declared.name not in args.only:
            continue
        compiled = compile_offline(module, declared, args.architecture, with_lines=args.lines)
        if args.keep:
            args.keep.mkdir(parents=True, exist_ok=True)
            stem = args.keep / f"{compiled.name}.{args.architecture}"
            stem.with_name(f"{stem.name}.ptx").write_text(compiled.ptx, encoding="utf-8")
            stem.with_name(f"{stem.name}.sass").write_text(compiled.sass, encoding="utf-8")
        row = _lines(compiled) if args.lines else _row(compiled, declared)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
