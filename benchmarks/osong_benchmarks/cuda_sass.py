"""What stands in the machine code of a kernel: instructions by class, and what the linker says.

SASS is what ``nvdisasm`` prints, one instruction a line. Counts are of the code as it lies there,
not of how often it runs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

__all__ = [
    "CLASSES",
    "Frames",
    "Instruction",
    "Usage",
    "class_of",
    "count_classes",
    "instructions_of",
    "operations_of",
    "static_shared_bytes",
    "subroutines_of",
    "usage_of",
]

CLASSES: Final = (
    "fp32", "fp64", "integer", "uniform", "mufu", "convert", "shuffle", "ldg32", "ldg64",
    "ldg128", "stg", "lds32", "lds64", "lds128", "sts", "constant", "atomic", "local", "generic",
    "barrier", "call", "control",
)  # fmt: skip
"""``local`` is memory of a thread's own (spilled registers, arrays); ``generic`` is a load or store
whose memory the compiler did not know; ``call`` calls a subroutine, such as the slow path of an
exact quotient."""

_INSTRUCTION: Final = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)(.*?);")
_LINE: Final = re.compile(r'//## File "([^"]*)", line (\d+)')
_SHARED: Final = re.compile(
    r"^(?:\.visible\s+)?\.shared\s+\.align\s+\d+\s+\.b8\s+\S+?\[(\d+)\]", re.MULTILINE
)
_REGISTERS: Final = re.compile(r"Used (\d+) registers")
_STACK: Final = re.compile(
    r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
)

_HARMLESS: Final = (".L_", "__cuda_sm70_")

_FP32: Final = {
    "FADD", "FADD2", "FADD32I", "FCHK", "FFMA", "FFMA2", "FFMA32I", "FMNMX", "FMNMX3", "FMUL",
    "FMUL2", "FMUL32I", "FSEL", "FSET", "FSETP", "FSWZADD",
}  # fmt: skip
_FP64: Final = {"DADD", "DFMA", "DMMA", "DMNMX", "DMUL", "DSET", "DSETP"}
_CONVERT: Final = {"F2F", "F2FP", "F2I", "F2IP", "FRND", "I2F", "I2FP", "I2I", "I2IP"}
_SHUFFLE: Final = {"MATCH", "REDUX", "SHFL", "VOTE"}
_BARRIER: Final = {"BAR", "DEPBAR", "MEMBAR", "WARPSYNC", "CCTL", "ERRBAR", "FENCE"}
_ATOMIC: Final = {"ATOM", "ATOMG", "ATOMS", "RED", "REDG", "REDS"}
_CONTROL: Final = {
    "BMOV", "BRA", "BREAK", "BRX", "BSSY", "BSYNC", "EXIT", "JMP", "JMX", "KILL", "NANOSLEEP",
    "RET", "RPCMOV", "YIELD", "WARPGROUP",
}  # fmt: skip
_MEMORY: Final = {"LDG": "ldg", "LDS": "lds"}
_ONE_CLASS: Final = {
    "MUFU": "mufu", "STG": "stg", "STS": "sts", "LDC": "constant", "LDL": "local", "STL": "local",
    "LD": "generic", "ST": "generic", "CALL": "call",
}  # fmt: skip
_SETS: Final = (
    (_FP32, "fp32"), (_FP64, "fp64"), (_CONVERT, "convert"), (_SHUFFLE, "shuffle"),
    (_BARRIER, "barrier"), (_ATOMIC, "atomic"), (_CONTROL, "control"),
)  # fmt: skip


Frames = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Instruction:
    """One machine instruction.

    Attributes
    ----------
    opcode
        With its modifiers: ``"LDG.E.128"``.
    operands
        As printed.
    frames
        Files and lines of the source it comes from, the innermost function first and then those it
        is inlined into; empty where the code has no line numbers.
    """

    opcode: str
    operands: str
    frames: Frames = ()


@dataclass(frozen=True)
class Usage:
    """What a kernel takes of a multiprocessor, as the linker says.

    Attributes
    ----------
    registers
        A thread.
    stack_bytes, spill_store_bytes, spill_load_bytes
        Of a thread's own memory: all of it, and what is written and read for want of registers.
    """

    registers: int
    stack_bytes: int
    spill_store_bytes: int
    spill_load_bytes: int


def instructions_of(sass: str) -> Iterator[Instruction]:
    """Yield the instructions of a disassembly; padding after the end is left out."""
    frames: list[tuple[str, int]] = []
    is_chain = False
    for text in sass.splitlines():
        if found := _LINE.search(text):
            # Before an instruction stands a chain of lines, from the innermost function outwards.
            outer = frames if is_chain else []
            frames, is_chain = [*outer, (found[1], int(found[2]))], True
        elif (found := _INSTRUCTION.match(text)) and found[1] != "NOP":
            is_chain = False
            yield Instruction(found[1], found[2].strip(), tuple(frames))


def class_of(instruction: Instruction) -> str:
    """Return the class of an instruction, one of `CLASSES`.

    >>> class_of(Instruction("LDG.E.128.CONSTANT", "R4, desc[UR4][R2.64]"))
    'ldg128'
    >>> class_of(Instruction("MUFU.RSQ64H", "R5, R3"))
    'fp64'
    """
    base, *modifiers = instruction.opcode.split(".")
    if base in _FP64 or _mentions_float64(base, modifiers):
        return "fp64"
    if base in _MEMORY:
        width = next((bits for bits in ("128", "64") if bits in modifiers), "32")
        return f"{_MEMORY[base]}{width}"
    if base in _ONE_CLASS:
        return _ONE_CLASS[base]
    for opcodes, name in _SETS:
        if base in opcodes:
            return name
    is_uniform = base.startswith("U") or base in {"R2UR", "S2UR", "LDCU"}
    return "uniform" if is_uniform else "integer"


def _mentions_float64(base: str, modifiers: Iterable[str]) -> bool:
    if base == "MUFU":
        return any(modifier.endswith("64H") for modifier in modifiers)
    return base in _CONVERT and "F64" in modifiers


def count_classes(instructions: Iterable[Instruction]) -> dict[str, int]:
    """Return how many instructions of each class there are, those of none included."""
    counts = Counter(class_of(instruction) for instruction in instructions)
    return {name: counts[name] for name in CLASSES}


def operations_of(instruction: Instruction) -> int:
    """Return the additions and multiplications of numbers that one lane does.

    >>> operations_of(Instruction("FFMA.FTZ", "R1, R2, R3, R4"))
    2
    """
    base = instruction.opcode.partition(".")[0]
    if base in {"FFMA2"}:
        return 4
    if base in {"FFMA", "FFMA32I", "DFMA", "FADD2", "FMUL2"}:
        return 2
    is_one = base in {"FADD", "FADD32I", "FMUL", "FMUL32I", "DADD", "DMUL", "MUFU"}
    return 1 if is_one else 0


def subroutines_of(instructions: Iterable[Instruction]) -> list[str]:
    """Return the names of the subroutines that are called, each once.

    Left out are jumps that are written as calls, and what brings the lanes of a warp together
    again, which runs only where they have parted.

    >>> subroutines_of([Instruction("CALL.ABS.NOINC", "`(__cuda_sm20_div_s64)")])
    ['__cuda_sm20_div_s64']
    """
    called = (each.operands for each in instructions if class_of(each) == "call")
    names = {operands.partition("`(")[2].rstrip(") ") or operands for operands in called}
    return sorted(name for name in names if not name.startswith(_HARMLESS))


def usage_of(log: str) -> Usage:
    """Return what the linker's log says of the only kernel in it.

    Raises
    ------
    ValueError
        If it does not say it once.
    """
    registers, stacks = _REGISTERS.findall(log), _STACK.findall(log)
    if len(registers) != 1 or len(stacks) != 1:
        raise ValueError(f"the linker's log tells of {len(registers)} kernels, not of one:\n{log}")
    stack, stores, loads = stacks[0]
    return Usage(int(registers[0]), int(stack), int(stores), int(loads))


def static_shared_bytes(ptx: str) -> int:
    """Return the bytes of shared memory that the kernel declares; what a launch adds is not in it.

    >>> static_shared_bytes(".visible .shared .align 4 .b8 rows[256];")
    256
    >>> static_shared_bytes(".extern .shared .align 4 .b8 of_the_launch[];")
    0
    """
    return sum(int(size) for size in _SHARED.findall(ptx))
