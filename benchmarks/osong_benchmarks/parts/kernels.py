"""Every kernel of the contract: its rate, its compile time, and how near the roof the search is.

Times are CPU seconds of one thread, the smallest of many calls.
"""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from osong.scoring.functions import VINA
from osong_benchmarks.cases import (
    LIGANDS,
    POCKET_EDGE,
    KernelCase,
    grid_build_s,
    kernel_function,
    make_case,
    with_poses,
)
from osong_benchmarks.kernel_child import time_in_child
from osong_benchmarks.operations import evaluation_costs
from osong_benchmarks.part import (
    Figure,
    Gap,
    Merit,
    Say,
    Section,
    Settings,
)
from osong_benchmarks.parts.kernel_figures import roofline_figure, stage_figure
from osong_benchmarks.parts.kernel_rows import (
    ONE_LIGAND,
    CompileRow,
    KernelsResult,
    LanesRow,
    LigandRow,
    RateRow,
    StageRow,
    WidthRow,
    evaluation_s,
    shares,
)
from osong_benchmarks.parts.kernel_tables import (
    compile_table,
    evaluation_table,
    kernel_table,
    lanes_table,
    widths_table,
)
from osong_benchmarks.roofs import measure_roofs
from osong_benchmarks.timing import smallest_call_s
from osong_kernels.arguments import PairTable
from osong_kernels.cpu.lanes import N_LANES

__all__ = ["KernelsResult", "merits", "run", "section"]

_SECONDS: Final = {"smallest": 0.02, "quick": 0.15, "full": 1.0}
"""How long every call is repeated."""
_OPTIMISER: Final = "optimiser and moves"
_WIDTHS: Final = {"AVX2": "x86-64-v3", "SSE4.2": "x86-64-v2"}
"""Instruction sets to compile for, and what LLVM calls a processor that has no more."""


def run(settings: Settings, say: Say) -> KernelsResult:
    """Time every kernel of the contract, by ligand."""
    names = list(LIGANDS)[:1] if settings.size == "smallest" else list(LIGANDS)
    edge, seconds = POCKET_EDGE[settings.size], _SECONDS[settings.size]
    gaps: list[Gap] = []
    ligands, rates, lanes, stages = [], [], [], []
    compiled: list[CompileRow] = []
    law: Literal["table", "formula"] = "formula"
    for name in names:
        say(f"{name.replace('_', ' ')}")
        case = make_case(name, edge)
        law = _pair_law(case)
        ligands.append(_ligand_row(case))
        rates += _rates(case, seconds, is_first=name == names[0])
        compiled = compiled or _first_calls(case, rates)
        lanes += _lanes(case, seconds)
        stages += _stages(case, ligands[-1], rates, seconds, gaps)
    gaps += [Gap(what=f"kernel {name}", reason="no call of it is known") for name in case.missing]
    if settings.size == "full":
        compiled = _compile_times(say)
        widths = _widths(names, edge, seconds, say, gaps)
    else:
        widths = []
        gaps += _left_for_full(compiled)
    say("what the processor can do")
    return KernelsResult(
        n_lanes=N_LANES,
        pair_law=law,
        box_angstrom=edge,
        grid_build_s=grid_build_s(edge),
        ligands=tuple(ligands),
        rates=tuple(rates),
        compile=tuple(compiled),
        lanes=tuple(lanes),
        stages=tuple(stages),
        widths=tuple(widths),
        roofs=measure_roofs(settings.size),
        gaps=tuple(gaps),
    )


def _ligand_row(case: KernelCase) -> LigandRow:
    return LigandRow(
        name=case.name,
        n_atoms=case.n_atoms,
        n_torsions=case.n_torsions,
        n_pairs=case.n_pairs,
        n_near_pairs=_near_pairs(case),
    )


def _pair_law(case: KernelCase) -> Literal["table", "formula"]:
    weights = case.calls["run_chains"].argument("weights")
    return "table" if isinstance(weights, PairTable) else "formula"


def _near_pairs(case: KernelCase) -> float:
    """Return how many own pairs are within the cutoff in any lane, in the mean over lane vectors.

    Of the poses that fill whole vectors; fewer than one vector's are taken as they are.
    """
    call = case.calls["pose_energy"]
    arguments = call.fresh()
    kernel_function(call.kernel)(*arguments)
    n_lanes = min(N_LANES, len(arguments[-1]))
    n_vectors = max(1, len(arguments[-1]) // N_LANES)
    coords = arguments[-1][: n_vectors * n_lanes]
    pairs, cutoff = call.argument("pairs"), VINA.weights.cutoff
    first = np.repeat(np.arange(case.n_atoms), np.diff(pairs.start))
    distance = np.linalg.norm(coords[:, first] - coords[:, pairs.second], axis=2)
    in_reach = (distance < cutoff).reshape(n_vectors, n_lanes, distance.shape[1]).any(axis=1)
    return float(in_reach.sum(axis=1).mean())


def _first_calls(case: KernelCase, rates: list[RateRow]) -> list[CompileRow]:
    """Return what the first calls took beyond the later ones: compiled or loaded, as it came."""
    rows = []
    for rate in rates:
        function: Any = kernel_function(case.calls[rate.kernel].kernel)
        more = max(0.0, case.calls[rate.kernel].first_s - rate.seconds)
        is_loaded = sum(function.stats.cache_hits.values()) > 0
        which = {"load_s": more} if is_loaded else {"compile_s": more}
        rows.append(CompileRow(kernel=rate.kernel, **which))
    return rows


def _rates(case: KernelCase, seconds: float, *, is_first: bool) -> list[RateRow]:
    return [
        RateRow(
            kernel=name,
            ligand=case.name,
            unit=call.unit,
            work=call.work,
            seconds=smallest_call_s(call, seconds),
        )
        for name, call in case.calls.items()
        if is_first or name not in ONE_LIGAND
    ]


def _lanes(case: KernelCase, seconds: float) -> list[LanesRow]:
    """Return the time of one pose where less than a whole lane vector is in use."""
    call = case.calls["pose_energy"]
    return [
        LanesRow(
            ligand=case.name,
            n_lanes=n,
            seconds=smallest_call_s(with_poses(call, n), 0.2 * seconds) / n,
        )
        for n in (1, 2, 4, 8, N_LANES)
    ]


def _stages(
    case: KernelCase, ligand: LigandRow, rates: list[RateRow], seconds: float, gaps: list[Gap]
) -> list[StageRow]:
    try:
        from osong_benchmarks.stages import UnknownArgumentError, stage_seconds
    except ImportError as error:
        gaps.append(Gap(what="stages of an evaluation", reason=f"the helpers moved: {error}"))
        return []
    try:
        taken = stage_seconds(case, 0.3 * seconds)
    except UnknownArgumentError as error:
        gaps.append(Gap(what="stages of an evaluation", reason=f"unknown argument: {error}"))
        return []
    costs = evaluation_costs(
        ligand.n_atoms, ligand.n_torsions, ligand.n_pairs, ligand.n_near_pairs,
        by_table=_pair_law(case) == "table",
    )  # fmt: skip
    rows = [
        StageRow(
            ligand=case.name,
            stage=stage,
            seconds=stage_s,
            flops=costs[stage].flops,
            bytes=costs[stage].bytes,
        )
        for stage, stage_s in taken.items()
    ]
    whole = next(r for r in rates if (r.kernel, r.ligand) == ("run_chains", case.name))
    rest = 1.0 / whole.rate - sum(taken.values())
    return [*rows, StageRow(ligand=case.name, stage=_OPTIMISER, seconds=max(rest, 0.0))]


def _left_for_full(compiled: list[CompileRow]) -> list[Gap]:
    gaps = [Gap(what="narrower instruction sets", reason="compiles everything anew: size full")]
    if any(row.compile_s is None for row in compiled):
        reason = "the machine code came from the cache: size full compiles everything anew"
        gaps.append(Gap(what="compile times", reason=reason))
    return gaps


def _compile_times(say: Say) -> list[CompileRow]:
    """Return compile and load times in new processes with an empty and then a full cache."""
    with tempfile.TemporaryDirectory() as folder:
        edge, ligand = POCKET_EDGE["smallest"], list(LIGANDS)[:1]
        say("compiling with an empty cache")
        compiled = time_in_child(Path(folder), edge, ligand).first_s
        say("loading from the cache")
        loaded = time_in_child(Path(folder), edge, ligand).first_s
    return [
        CompileRow(kernel=name, compile_s=compiled[name], load_s=loaded[name]) for name in compiled
    ]


def _widths(
    names: list[str], edge: float, seconds: float, say: Say, gaps: list[Gap]
) -> list[WidthRow]:
    """Return the time of an evaluation for narrower instruction sets, beside this machine's own."""
    if platform.machine() not in ("x86_64", "AMD64"):
        reason = f"{platform.machine()} has one width"
        gaps.append(Gap(what="narrower instruction sets", reason=reason))
        return []
    rows = []
    for label, cpu in {"as it is": "", **_WIDTHS}.items():
        say(f"compiled for {label if cpu else 'this processor'}")
        environment = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""} if cpu else {}
        with tempfile.TemporaryDirectory() as folder:
            times = time_in_child(Path(folder), edge, names, **environment)
        rows += [
            WidthRow(instruction_set=label, ligand=ligand, seconds=taken)
            for ligand, taken in times.evaluation_s.items()
        ]
    return rows


def merits(result: KernelsResult) -> dict[str, Merit]:
    """Return rates of the kernels, by ligand where that is the point."""
    found: dict[str, Merit] = {}
    for row in result.rates:
        if row.kernel == "run_chains":
            found[f"kernels.evaluation.{row.ligand}"] = Merit(
                value=1e6 / row.rate, unit="us", is_higher_better=False
            )
    typical = result.ligands[min(1, len(result.ligands) - 1)].name
    for row in result.rates:
        if row.kernel != "run_chains" and (row.ligand == typical or row.kernel in ONE_LIGAND):
            found[f"kernels.{row.kernel}"] = Merit(
                value=row.rate, unit=f"{row.unit}/s", is_higher_better=True, tolerance=0.15
            )
    share = shares(result).get(typical)
    if share is not None:
        found[f"kernels.peak_share.{typical}"] = Merit(
            value=share, unit="of peak", is_higher_better=True
        )
    found["kernels.grid_build"] = Merit(
        value=result.grid_build_s, unit="s", is_higher_better=False, tolerance=0.15
    )
    for name in ("compile_s", "load_s"):
        values = [getattr(row, name) for row in result.compile]
        if None not in values:
            found[f"kernels.{name}"] = Merit(
                value=sum(values), unit="s", is_higher_better=False, tolerance=0.2
            )
    return found


def section(result: KernelsResult) -> Section:
    """Show rates, the stages of an evaluation, and the roofline."""
    figures: list[Figure] = []
    if result.stages:
        figures.append(stage_figure(result))
        figures.append(roofline_figure(result))
    tables = [evaluation_table(result), kernel_table(result)]
    if len(result.ligands) > 0:
        tables.append(lanes_table(result))
    if result.widths:
        tables.append(widths_table(result))
    tables.append(compile_table(result))
    evaluation = evaluation_s(result)
    fastest, slowest = (f"{1e6 * pick(evaluation.values()):.2f}" for pick in (min, max))
    summary = (
        f"One evaluation of energy and gradient takes {fastest} to {slowest} microseconds of one "
        f"core, from the smallest ligand to the largest; {result.n_lanes} chains advance together."
    )
    return Section("Kernels", summary, figures, tables, result.gaps)
