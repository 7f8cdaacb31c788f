"""Every CUDA kernel's machine code, compiled without a device, has none of the known faults."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from osong_benchmarks.cuda_occupancy import LIMITS, occupancy_of
from osong_benchmarks.cuda_report import (
    ARCHITECTURES,
    KernelReport,
    compile_kernels,
    faults_of,
    read_registers,
    write_registers,
)
from osong_benchmarks.cuda_sass import (
    CLASSES,
    Instruction,
    Usage,
    class_of,
    count_classes,
    instructions_of,
    usage_of,
)

GOOD = KernelReport(
    name="k", module="m", architecture="sm_90", threads_per_block=128, shared_bytes=0,
    n_wide_loads=1, may_use_float64=False, usage=Usage(40, 0, 0, 0), n_instructions=10,
    counts=dict.fromkeys(CLASSES, 0) | {"ldg128": 1}, subroutines=[],
)  # fmt: skip
RECORDED = {"sm_90": {"k": 40}}


@pytest.fixture
def tools() -> None:
    """What compiles and disassembles."""
    for module in ("numba_cuda", "cuda.bindings.nvjitlink"):
        if not _is_installed(module):
            pytest.skip("needs osong[cuda]")
    from cuda.pathfinder import find_nvidia_binary_utility

    if find_nvidia_binary_utility("nvdisasm") is None:
        pytest.skip("needs nvdisasm, of osong[dev]")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_machine_code_of_every_kernel_has_no_fault(architecture: str) -> None:
    reports = compile_kernels(architecture)
    assert {"build_maps", "pick_distinct"} <= {report.name for report in reports}
    assert faults_of(reports, read_registers()) == []


@pytest.mark.usefixtures("tools")
def test_kernels_that_are_bad_on_purpose_are_found() -> None:
    from numba import cuda, float32, types

    from osong_benchmarks.cuda_offline import compile_offline
    from osong_kernels.cuda.compile import IS_SIMULATED, Offline, kernel

    if IS_SIMULATED:
        pytest.skip("the simulator compiles nothing")

    @kernel
    def has_own_array(x: Any, k: Any) -> None:
        own = cuda.local.array(64, float32)
        for i in range(64):
            own[i] = x[i]
        own[int(x[1])] = x[2]
        x[0] = own[k]

    @kernel
    def has_float64(x: Any, k: Any) -> None:
        x[0] = np.float32(x[0] * 0.1 + k)

    @kernel
    def divides_64_bits(x: Any, k: Any) -> None:
        x[k // (k + 3)] = x[0]

    counts = {}
    for function in (has_own_array, has_float64, divides_64_bits):
        name = function.py_func.__name__
        declared = Offline(name, function, (types.float32[::1], types.int64), 32)
        compiled = compile_offline("here", declared, "sm_90")
        counts[name] = count_classes(instructions_of(compiled.sass))
        assert compiled.usage.spill_store_bytes == 0
        assert (compiled.usage.stack_bytes > 0) == (name == "has_own_array")
    assert counts["has_own_array"]["local"] > 0
    assert counts["has_float64"]["fp64"] > 0
    assert counts["has_float64"]["local"] == 0
    assert counts["divides_64_bits"]["call"] > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"usage": Usage(40, 8, 8, 16)}, "spills 8 bytes"),
        ({"usage": Usage(40, 256, 0, 0)}, "256 bytes of memory for each thread"),
        ({"counts": GOOD.counts | {"local": 2}}, "memory for each thread"),
        ({"counts": GOOD.counts | {"generic": 3}}, "3 accesses to memory of unknown kind"),
        ({"counts": GOOD.counts | {"fp64": 1}}, "1 float64"),
        ({"subroutines": ["__cuda_sm20_div_s64"]}, "calls __cuda_sm20_div_s64"),
        ({"counts": GOOD.counts | {"ldg128": 0}}, "0 loads of 16 bytes, not 1"),
        ({"shared_bytes": 1 << 20}, "cannot be launched: too much shared memory"),
        ({"usage": Usage(49, 0, 0, 0)}, "49 registers, 40 before"),
        ({"name": "other"}, "is not on record"),
    ],
)
def test_each_fault_is_told(change: dict[str, Any], words: str) -> None:
    assert faults_of([GOOD], RECORDED) == []
    (fault,) = faults_of([replace(GOOD, **change)], RECORDED)
    assert words in fault


def test_float64_and_subroutines_are_no_fault_where_float64_is_allowed() -> None:
    counts = dict(GOOD.counts) | {"fp64": 7}
    exact = replace(GOOD, counts=counts, subroutines=["s"], may_use_float64=True)
    assert faults_of([exact], RECORDED) == []


def test_registers_may_vary_by_what_changes_nothing() -> None:
    assert faults_of([replace(GOOD, usage=Usage(48, 0, 0, 0))], RECORDED) == []


def test_registers_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "registers.toml"
    assert read_registers(file) == {}
    other = replace(GOOD, name="k, with pairs", architecture="sm_80", usage=Usage(32, 0, 0, 0))
    write_registers([GOOD, other], file)
    kept = {"sm_80": {"k, with pairs": 32}, "sm_90": {"k": 40}, "sm_100": {}}
    assert read_registers(file) == kept


@pytest.mark.parametrize(
    ("opcode", "expected"),
    [
        ("FFMA.FTZ", "fp32"), ("DFMA", "fp64"), ("F2F.F64.F32", "fp64"), ("I2F.F64", "fp64"),
        ("F2I.FTZ.TRUNC.NTZ", "convert"), ("MUFU.EX2", "mufu"), ("MUFU.RCP64H", "fp64"),
        ("LDG.E", "ldg32"), ("LDG.E.64.CONSTANT", "ldg64"), ("LDG.E.128", "ldg128"),
        ("LDS.128", "lds128"), ("LDS", "lds32"), ("LDL", "local"), ("STL.64", "local"),
        ("LD.E", "generic"), ("SHFL.BFLY", "shuffle"), ("ATOMS.ADD", "atomic"),
        ("ULDC.64", "uniform"), ("UIADD3", "uniform"), ("IADD3", "integer"), ("RED.E", "atomic"),
        ("BRA", "control"), ("BAR.SYNC.DEFER_BLOCKING", "barrier"), ("CALL.REL.NOINC", "call"),
    ],
)  # fmt: skip
def test_classes(opcode: str, expected: str) -> None:
    assert class_of(Instruction(opcode, "")) == expected


def test_disassembly_is_read_with_predicates_and_lines_and_without_padding() -> None:
    text = """\
        .target sm_90
	//## File "/a/energy.py", line 12
        /*0000*/                   LDC R1, c[0x0][0x28] ;
.L_x_1:
	//## File "/a/pairs.py", line 3 inlined at "/a/energy.py", line 14
	//## File "/a/energy.py", line 14
        /*0010*/              @!P0 FMUL.FTZ R10, R10, 0.25 ;
        /*0020*/              @UP1 BRA `(.L_x_1) ;
        /*0030*/                   NOP;
"""
    found = list(instructions_of(text))
    assert [each.opcode for each in found] == ["LDC", "FMUL.FTZ", "BRA"]
    inlined = (("/a/pairs.py", 3), ("/a/energy.py", 14))
    assert [each.frames for each in found] == [(("/a/energy.py", 12),), inlined, inlined]
    assert found[1].operands == "R10, R10, 0.25"


def test_the_linker_must_tell_of_one_kernel() -> None:
    stack = "ptxas . 16 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads"
    log = f"{stack}\nptxas info : Used 29 registers, used 1 barriers"
    assert usage_of(log) == Usage(29, 16, 8, 4)
    with pytest.raises(ValueError, match="of 0 kernels"):
        usage_of("nothing")
    with pytest.raises(ValueError, match="of 2 kernels"):
        usage_of(f"{log}\n{log}")


# Known results of NVIDIA's occupancy calculator.
@pytest.mark.parametrize(
    ("architecture", "threads", "registers", "shared", "n_warps", "limit"),
    [
        ("sm_80", 256, 32, 0, 64, "registers"),
        ("sm_80", 256, 128, 0, 16, "registers"),
        ("sm_80", 32, 32, 0, 32, "blocks"),
        ("sm_90", 1024, 33, 0, 32, "registers"),
        ("sm_90", 128, 32, 48 * 1024, 16, "shared memory"),
        ("sm_80", 128, 32, 48 * 1024, 12, "shared memory"),
        ("sm_90", 64, 16, 0, 64, "warps"),
    ],
)
def test_occupancy(
    architecture: str, threads: int, registers: int, shared: int, n_warps: int, limit: str
) -> None:
    found = occupancy_of(
        architecture, threads_per_block=threads, registers=registers, shared_bytes=shared
    )
    assert (found.n_warps, found.limit) == (n_warps, limit)
    assert found.fraction == n_warps / LIMITS[architecture].n_warps
