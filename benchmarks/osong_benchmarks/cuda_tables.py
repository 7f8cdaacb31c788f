"""The tables of ``docs/cuda.md``: what kernels take, and what that predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from osong_benchmarks.cuda_host import HostCosts
from osong_benchmarks.cuda_model import (
    DRUG_LIKE,
    Device,
    Evaluation,
    Prediction,
    host_rates,
)
from osong_benchmarks.cuda_occupancy import Occupancy, occupancy_of
from osong_benchmarks.cuda_sass import Usage
from osong_benchmarks.tables import markdown_table

__all__ = ["KernelReport", "class_table", "model_table", "stage_table", "usage_table"]

_SHOWN: Final = "sm_90"


@dataclass(frozen=True)
class KernelReport:
    """A kernel as machine code of one architecture.

    Attributes
    ----------
    name, module, architecture
        What it is.
    threads_per_block, shared_bytes
        Of a launch; shared memory that the code declares and that the launch adds.
    n_wide_loads, may_use_float64
        What its declaration wants and allows.
    usage
        Registers and memory of a thread.
    n_instructions, counts
        In all, and of each class of `cuda_sass.CLASSES`.
    subroutines
        That it calls, such as those for 64-bit division.
    """

    name: str
    module: str
    architecture: str
    threads_per_block: int
    shared_bytes: int
    n_wide_loads: int
    may_use_float64: bool
    usage: Usage
    n_instructions: int
    counts: Mapping[str, int]
    subroutines: Sequence[str]

    @property
    def occupancy(self) -> Occupancy:
        """How much of it a multiprocessor holds."""
        return occupancy_of(
            self.architecture,
            threads_per_block=self.threads_per_block,
            registers=self.usage.registers,
            shared_bytes=self.shared_bytes,
        )


def usage_table(reports: Sequence[KernelReport]) -> str:
    """Return registers, memory and occupancy of every kernel."""
    rows = []
    for name in dict.fromkeys(report.name for report in reports):
        of_name = [report for report in reports if report.name == name]
        first = of_name[0]
        rows.append(
            [
                name,
                first.threads_per_block,
                f"{first.shared_bytes:,}",
                _each([report.usage.registers for report in of_name]),
                _each([f"{report.occupancy.fraction:.0%}" for report in of_name]),
                _each([report.occupancy.limit for report in of_name]),
                _each([report.usage.stack_bytes for report in of_name]),
                _each([report.usage.spill_store_bytes for report in of_name]),
            ]
        )
    header = [
        "kernel", "threads a block", "shared bytes a block", "registers", "occupancy", "limit",
        "stack bytes", "spilled bytes",
    ]  # fmt: skip
    shown = _each(list(dict.fromkeys(report.architecture for report in reports)))
    return f"For {shown}; one number where all agree:\n\n{markdown_table(header, rows)}"


def _each(values: Sequence[object]) -> str:
    texts = [str(value) for value in values]
    return texts[0] if len(set(texts)) == 1 else " / ".join(texts)


def class_table(reports: Sequence[KernelReport]) -> str:
    """Return the instructions of every kernel by class, for one architecture."""
    present = [report.architecture for report in reports]
    shown = _SHOWN if _SHOWN in present else present[0]
    header = [
        "kernel", "instructions", "FP32", "FP64", "integer", "uniform", "MUFU", "conversions",
        "LDG 4 / 8 / 16", "STG", "LDS 4 / 8 / 16", "STS", "shuffles, votes", "atomics", "local",
    ]  # fmt: skip
    rows = [_class_row(report) for report in reports if report.architecture == shown]
    return f"Instructions as they lie in the code, {shown}:\n\n{markdown_table(header, rows)}"


def _class_row(report: KernelReport) -> list[object]:
    n = report.counts
    return [
        report.name, report.n_instructions, n["fp32"], n["fp64"], n["integer"], n["uniform"],
        n["mufu"], n["convert"], f"{n['ldg32']} / {n['ldg64']} / {n['ldg128']}", n["stg"],
        f"{n['lds32']} / {n['lds64']} / {n['lds128']}", n["sts"], n["shuffle"], n["atomic"],
        n["local"],
    ]  # fmt: skip


def model_table(predictions: Sequence[Prediction], costs: HostCosts) -> str:
    """Return what the model predicts for each device, and the host's part, which is measured."""
    header = [
        "PREDICTION", "million evaluations/s", "bound by", "ligands/s searched",
        "host cores a device", "ligands/s they prepare and finish",
        "ligands/s a process brings to a device", "ligands/s in all, from SMILES",
        "of a prepared library",
    ]  # fmt: skip
    measured = (
        f"The host's part is measured, means of {costs.n_molecules} drugs, one core: "
        f"{costs.prepare:.0f} ms a molecule to prepare, {costs.feed:.1f} ms to bring to a device "
        f"({costs.feed_prepared:.1f} ms of a prepared library), {costs.finish:.1f} ms to finish."
    )
    rows = [_model_row(each, costs) for each in predictions]
    return f"{markdown_table(header, rows)}\n\n{measured}"


def _model_row(prediction: Prediction, costs: HostCosts) -> list[object]:
    device = prediction.device
    low, high = prediction.ligands
    host = host_rates(costs, device.host_cores)
    smiles = min(host.prepared, host.fed)
    prepared = min(host.finished, host.fed_prepared)
    return [
        device.name,
        _range(prediction.cautious / 1e6, prediction.roof / 1e6),
        _each([prediction.cautious_bound, prediction.roof_bound]),
        _range(low, high),
        f"{device.host_cores} ({device.host})",
        f"{host.prepared:,.0f}",
        f"{host.fed:,.0f}",
        _range(min(low, smiles), min(high, smiles)),
        _range(min(low, prepared), min(high, prepared)),
    ]


def _range(low: float, high: float) -> str:
    texts = f"{low:,.0f}", f"{high:,.0f}"
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)


def stage_table(evaluations: Sequence[tuple[Device, Evaluation]]) -> str:
    """Return what an evaluation takes, by what it is for and by class, for each architecture."""
    by_name: Mapping[str, Evaluation] = {
        device.architecture: evaluation for device, evaluation in evaluations
    }
    first = next(iter(by_name.values()))
    stages = sorted(first.stages, key=lambda name: -first.stages[name])
    rows: list[list[object]] = [
        [stage, *(round(each.stages.get(stage, 0.0)) for each in by_name.values())]
        for stage in stages
        if first.stages[stage] >= 0.5
    ]
    rows.append(["all", *(round(each.total) for each in by_name.values())])
    kinds = sorted(first.instructions, key=lambda name: -first.instructions[name])
    of_kinds = [
        [kind, *(round(each.instructions.get(kind, 0.0)) for each in by_name.values())]
        for kind in kinds
        if first.instructions[kind] >= 0.5
    ]
    n_atoms, n_torsions = DRUG_LIKE.n_atoms, DRUG_LIKE.n_segments - 1
    title = (
        "PREDICTION: instructions of a warp in one evaluation of energy and gradient, ligand of "
        f"{n_atoms} heavy atoms, {n_torsions} torsions and {DRUG_LIKE.n_pairs} own pairs"
    )
    return "\n\n".join(
        [
            f"{title}:",
            markdown_table(["function", *by_name], rows),
            markdown_table(["class", *by_name], of_kinds),
        ]
    )
