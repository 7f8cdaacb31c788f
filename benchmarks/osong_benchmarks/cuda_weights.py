"""How often each machine instruction of a kernel runs, worked out from the source it comes from.

An instruction's line numbers tell the function it stands in, the calls that brought it there and
the loops around each of them. How often a loop runs is what its range says for a ligand of a given
shape; a loop over things that the lanes share runs once for each 32 of them, and where lanes run
differently often the longest counts. Compilers write the body of a short loop several times over:
how many times is told by its loads and stores, whose number a line of source gives away.
"""

from __future__ import annotations

import ast
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np

from osong_benchmarks.cuda_sass import Frames

__all__ = ["Place", "Rules", "Shape", "function_at", "weigh"]

_LANES: Final = 32
_THREADS: Final = 128
_ACCESSES: Final = {"peek", "poke"}
"""Functions of the kernels that read or write one element of an array."""
_NOT_TOLD: Final = (NameError, TypeError, AttributeError, ValueError, SyntaxError)
"""What working out a range raises where it has names of which nothing is known."""
_MEMORY: Final = {
    "ldg32", "ldg64", "ldg128", "stg", "lds32", "lds64", "lds128", "sts", "atomic", "local",
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Instructions of one class from one place of the source.

    Attributes
    ----------
    frames
        The place; see `cuda_sass.Instruction`.
    kind
        Class of the instructions.
    n_operations
        On numbers, that each does.
    count
        How many there are.
    """

    frames: Frames
    kind: str
    n_operations: int
    count: int


@dataclass(frozen=True)
class Shape:
    """A ligand's size, as the kernels see it: heavy atoms, segments (torsions and one), pairs."""

    n_atoms: int
    n_segments: int
    n_pairs: int

    @property
    def names(self) -> dict[str, Any]:
        """What the names in the kernels' ranges stand for."""
        n_dof = 5 + self.n_segments
        ligand = SimpleNamespace(
            n_atoms=self.n_atoms, n_segments=self.n_segments, n_pairs=self.n_pairs, n_conformers=16
        )
        return {
            "np": np, "LANES": _LANES, "lane": 0, "lane_index": lambda: 0, "ligand": ligand,
            "n_atoms": self.n_atoms, "n_segments": self.n_segments, "n_pairs": self.n_pairs,
            "n_dof": n_dof, "n_genes": n_dof + 1, "n_hessian": n_dof * (n_dof + 1) // 2,
            "thread_index": lambda: 0, "block_threads": lambda: _THREADS, "POOL_SIZE": 8,
            "at": lambda index: index, "abs": abs, "min": min, "max": max,
        }  # fmt: skip


@dataclass(frozen=True)
class Rules:
    """What the source does not tell.

    Attributes
    ----------
    frequencies
        How often a function is called where it is called, by its name; 1 if not named.
    trips
        How often a loop runs that cannot be worked out, by its function and its variable; without
        a variable where it is a ``while`` that does not count.
    unit
        A word of what a loop runs over: one turn of it is the unit, such as one evaluation.
    turns
        Turns of that loop in one launch; what stands outside of it counts so much less.
    names
        What other names in the ranges stand for.
    """

    unit: str
    turns: float
    names: Mapping[str, Any] = field(default_factory=dict)
    frequencies: Mapping[str, float] = field(default_factory=dict)
    trips: Mapping[tuple[str, str], float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Loop:
    """A loop of the source: its lines, its variable, what it runs over as the text of a range."""

    first: int
    last: int
    variable: str
    iterator: str


@dataclass(frozen=True)
class _Function:
    name: str
    first: int
    last: int
    loops: tuple[_Loop, ...]


@cache
def _functions(file: str) -> tuple[_Function, ...]:
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            loops = [_loop(each, node) for each in ast.walk(node)]
            present = tuple(each for each in loops if each is not None)
            found.append(_Function(node.name, node.lineno, node.end_lineno or 0, present))
    return tuple(found)


def _loop(node: ast.AST, function: ast.FunctionDef) -> _Loop | None:
    if isinstance(node, ast.For):
        variable, iterator = ast.unparse(node.target), ast.unparse(node.iter)
    elif isinstance(node, ast.While):
        variable, iterator = _counted(node, function)
    else:
        return None
    return _Loop(node.lineno, node.end_lineno or 0, variable, iterator)


def _counted(node: ast.While, function: ast.FunctionDef) -> tuple[str, str]:
    """Return the variable and the range of ``while i < n``, where the body adds to i."""
    test = node.test
    if not (isinstance(test, ast.Compare) and isinstance(test.left, ast.Name)):
        return "", f"while {ast.unparse(test)}"
    name, end = test.left.id, ast.unparse(test.comparators[0])
    set_before = [each for each in _values_of(name, function) if each.lineno < node.lineno]
    steps = [
        ast.unparse(inner.right)
        for each in _values_of(name, node)
        for inner in ast.walk(each)
        if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Add)
    ]
    if not (set_before and steps and isinstance(test.ops[0], ast.Lt)):
        return name, f"while {ast.unparse(test)}"
    start = ast.unparse(max(set_before, key=lambda each: each.lineno))
    return name, f"range({start}, {end}, {steps[-1]})"


def _values_of(name: str, node: ast.AST) -> list[ast.expr]:
    """Return what is assigned to a name; sums where something is added to it."""
    found: list[ast.expr] = []
    for each in ast.walk(node):
        if isinstance(each, ast.Assign):
            pairs = [pair for target in each.targets for pair in _matched(target, each.value)]
        elif isinstance(each, ast.AugAssign):
            total = ast.BinOp(each.target, each.op, each.value, lineno=each.lineno)
            pairs = [(each.target, total)]
        else:
            continue
        found += [value for target, value in pairs if ast.unparse(target) == name]
    return found


def _matched(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    """Return each name that is assigned to with its value."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return list(zip(target.elts, value.elts, strict=True))
    return [(target, value)]


@cache
def _subscripts(file: str) -> Counter[int]:
    """Return how many elements of arrays each line reads or writes."""
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    counts: Counter[int] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Constant):
            counts[node.lineno] += 1
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _ACCESSES:
            counts[node.lineno] += 1
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Subscript):
            counts[node.target.lineno] += 1
    return counts


def function_at(file: str, line: int) -> str:
    """Return the name of the function around a line; empty where there is none."""
    function = _function_at(file, line)
    return function.name if function else ""


@cache
def _function_at(file: str, line: int) -> _Function | None:
    around = [each for each in _functions(file) if each.first <= line <= each.last]
    return max(around, key=lambda each: each.first, default=None)


@cache
def _loops_at(file: str, line: int) -> tuple[_Loop, ...]:
    """Return the loops around a line in its function, outermost first; their first lines not."""
    function = _function_at(file, line)
    loops = function.loops if function else ()
    inside = [each for each in loops if each.first <= line <= each.last]
    return tuple(sorted(inside, key=lambda each: each.first))


def weigh(places: Sequence[Place], shape: Shape, rules: Rules) -> list[float]:
    """Return how often each place's instructions run in one unit.

    Raises
    ------
    LookupError
        If a loop runs over what cannot be worked out: it belongs into ``rules.trips``.
    """
    copies = _copies(places)
    weights, unknown = [], set()
    for place in places:
        try:
            weights.append(_weight(place.frames, shape, rules, copies))
        except LookupError as error:
            unknown.add(str(error))
    if unknown:
        raise LookupError("how often do these loops run? " + "; ".join(sorted(unknown)))
    return weights


def _weight(
    frames: Frames, shape: Shape, rules: Rules, copies: Mapping[tuple[Frames, int], float]
) -> float:
    weight, is_in_unit = 1.0, False
    for depth, (file, line) in enumerate(frames):
        function = _function_at(file, line)
        if function is None:
            continue
        weight *= rules.frequencies.get(function.name, 1.0)
        around: list[_Loop] = []
        for loop in _loops_at(file, line):
            if rules.unit in loop.iterator:
                is_in_unit = True
                continue
            trips = _trips(function.name, loop, around, shape, rules)
            weight *= trips / copies.get((frames[depth + 1 :], loop.first), 1.0)
            around.append(loop)
    return weight if is_in_unit else weight / rules.turns


def _trips(
    function: str, loop: _Loop, around: Sequence[_Loop], shape: Shape, rules: Rules
) -> float:
    """Return how often a loop runs; for the variables of loops around it, the worst."""
    names = {**rules.names, **shape.names}
    highest = max((_last_of(each, names) for each in around[-1:]), default=0)
    longest = 0
    for k in range(highest + 1):
        try:
            run = eval(loop.iterator, {}, names | {each.variable: k for each in around})
        except _NOT_TOLD:
            told = rules.trips.get((function, loop.variable))
            if told is None:
                raise LookupError(f"{function}: {loop.iterator}") from None
            return told
        longest = max(longest, len(run))
    return float(longest)


def _last_of(loop: _Loop, names: Mapping[str, Any]) -> int:
    """Return the largest value of a loop's variable over all lanes."""
    try:
        run = eval(loop.iterator, {}, dict(names))
    except _NOT_TOLD:
        return 0
    return run.stop - 1 if isinstance(run, range) else 0


def _copies(places: Sequence[Place]) -> dict[tuple[Frames, int], float]:
    """Return how many times the body of each loop was written, by where it is inlined and line."""
    direct: dict[tuple[Frames, int], Counter[tuple[str, int]]] = defaultdict(Counter)
    for place in places:
        if place.kind not in _MEMORY or not place.frames:
            continue
        (file, line), outer = place.frames[0], place.frames[1:]
        loops = _loops_at(file, line)
        if loops and line > loops[-1].first:
            direct[outer, loops[-1].first][file, line] += place.count
    found = {}
    for key, counts in direct.items():
        ratios = [
            count / _subscripts(file)[line]
            for (file, line), count in counts.items()
            if _subscripts(file)[line]
        ]
        found[key] = max(1.0, math.floor(max(ratios, default=1.0)))
    return found
