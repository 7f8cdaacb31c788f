"""The tables of the kernels."""

from __future__ import annotations

from osong_benchmarks.part import Table
from osong_benchmarks.parts.kernel_rows import (
    ONE_LIGAND,
    KernelsResult,
    evaluation_s,
    gflops,
    shares,
)

__all__ = ["compile_table", "evaluation_table", "kernel_table", "lanes_table", "widths_table"]


def evaluation_table(result: KernelsResult) -> Table:
    """Return time and speed of an evaluation, by ligand."""
    evaluation, speed, of_peak = evaluation_s(result), gflops(result), shares(result)
    rows: list[list[str | float]] = [
        [
            row.name.replace("_", " "),
            row.n_torsions,
            row.n_pairs,
            f"{1e6 * evaluation[row.name]:.3f}",
            f"{1e-6 / evaluation[row.name]:.2f}",
            f"{speed[row.name]:.1f}" if row.name in speed else "not measured",
            f"{100 * of_peak[row.name]:.0f} %" if row.name in of_peak else "not measured",
        ]
        for row in result.ligands
    ]
    return Table(
        ["ligand", "torsions", "own pairs", "us an evaluation", "million a second", "GFLOP/s",
         "of the peak"],
        rows,
        "Evaluations of energy and gradient during the search (run_chains), one core. Operations "
        "are those of the formulae, not of the machine code",
    )  # fmt: skip


def kernel_table(result: KernelsResult) -> Table:
    """Return the rate of every kernel."""
    rows = [
        [
            row.kernel,
            row.ligand.replace("_", " ") if row.kernel not in ONE_LIGAND else "any",
            f"{row.rate:,.0f}",
            f"{row.unit}/s",
            f"{1e3 * row.seconds:.3f}",
        ]
        for row in sorted(result.rates, key=lambda row: row.kernel)
    ]
    return Table(
        ["kernel", "ligand", "rate", "unit", "ms a call"],
        rows,
        f"Every kernel of the contract, one core. Six maps of a box of {result.box_angstrom:g} A "
        f"take {result.grid_build_s:.3f} s; points are those of all maps",
    )


def lanes_table(result: KernelsResult) -> Table:
    """Return the time of a pose by lanes in use."""
    counts = sorted({row.n_lanes for row in result.lanes})
    rows = [
        [
            ligand.name.replace("_", " "),
            *(f"{1e6 * row.seconds:.3f}" for row in result.lanes if row.ligand == ligand.name),
        ]
        for ligand in result.ligands
    ]
    header = ["ligand", *(f"{n} lane{'s' if n > 1 else ''}" for n in counts)]
    caption = "Microseconds a pose (pose_energy, the call itself included) by lanes in use"
    return Table(header, rows, caption)


def widths_table(result: KernelsResult) -> Table:
    """Return the time of an evaluation by instruction set."""
    sets = list(dict.fromkeys(row.instruction_set for row in result.widths))
    seconds = {(row.instruction_set, row.ligand): row.seconds for row in result.widths}
    rows = [
        [
            ligand.name.replace("_", " "),
            *(f"{1e6 * seconds[name, ligand.name]:.3f}" for name in sets),
        ]
        for ligand in result.ligands
    ]
    caption = "Microseconds an evaluation when compiled for other instruction sets"
    return Table(["ligand", *sets], rows, caption)


def compile_table(result: KernelsResult) -> Table:
    """Return what first calls take longer."""

    def shown(value: float | None) -> str:
        return "not measured" if value is None else f"{value:.2f}"

    rows = [[row.kernel, shown(row.compile_s), shown(row.load_s)] for row in result.compile]
    return Table(
        ["kernel", "compiled, CPU s", "loaded from the cache, CPU s"],
        rows,
        "What a kernel's first call takes beyond the later ones. Compiling happens once an "
        "installation, loading once a process",
    )
