"""The figures of the kernels: where an evaluation's time goes, and how far the roof is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osong_benchmarks.part import Figure
from osong_benchmarks.report.style import MUTED, SERIES, new_figure, to_svg

if TYPE_CHECKING:
    from osong_benchmarks.parts.kernel_rows import KernelsResult

__all__ = ["roofline_figure", "stage_figure"]

_MARKERS = "osD^vP*X"


def stage_figure(result: KernelsResult) -> Figure:
    """Return bars of microseconds an evaluation, one a ligand, split into stages."""
    figure, axes = new_figure(6.4, 1.2 + 0.55 * len(result.ligands))
    ligands = [row.name for row in result.ligands]
    stages = list(dict.fromkeys(row.stage for row in result.stages))
    microseconds = {(row.ligand, row.stage): 1e6 * row.seconds for row in result.stages}
    left = [0.0] * len(ligands)
    for k, stage in enumerate(stages):
        widths = [microseconds.get((ligand, stage), 0.0) for ligand in ligands]
        axes.barh(range(len(ligands)), widths, left=left, height=0.6, color=SERIES[k], label=stage)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for k, total in enumerate(left):
        axes.annotate(f"{total:.2f}", (total, k), xytext=(4, 0), textcoords="offset points",
                      va="center", color=MUTED)  # fmt: skip
    axes.set_yticks(range(len(ligands)), [name.replace("_", " ") for name in ligands])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.12)
    axes.set_xlabel("microseconds an evaluation, one core")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(stages), frameon=False)
    caption = (
        "Where one evaluation of energy and gradient goes, by heavy atoms of the ligand. The "
        "stages are timed by themselves with their numbers in the nearest cache; the optimiser and "
        "the moves are what the search takes beyond them."
    )
    return Figure(to_svg(figure), caption)


def roofline_figure(result: KernelsResult) -> Figure:
    """Return the roofline of one core, with the stages of each ligand and whole evaluations."""
    roofs = result.roofs
    figure, axes = new_figure(6.4, 5.2)
    points = _points(result)
    intensities = [intensity for intensity, _, _, _ in points]
    low, high = 0.4 * min(intensities), 3.0 * max(intensities)
    peak = roofs.peak_gflops
    for k, (name, bandwidth) in enumerate(roofs.read_gbytes_per_s.items()):
        ridge = max(low, peak / bandwidth)
        xs = [low, ridge] if ridge < high else [low, high]
        ys = [min(peak, bandwidth * x) for x in xs]
        style = ("-", "--", "-.", ":")[k % 4]
        label = f"{name}, {bandwidth:,.0f} GB/s"
        axes.plot(xs, ys, color=MUTED, lw=1.2, ls=style, label=label)
    axes.axhline(peak, color=MUTED, lw=1.6)
    axes.annotate(f"multiply-adds, {peak:,.0f} GFLOP/s", (high, peak), xytext=(-4, 4),
                  textcoords="offset points", ha="right", color=MUTED)  # fmt: skip
    ligands = [row.name for row in result.ligands]
    stages = list(dict.fromkeys(stage for _, _, _, stage in points))
    for intensity, gflops, ligand, stage in points:
        is_first = ligand == ligands[0]
        axes.plot([intensity], [gflops], color=SERIES[stages.index(stage)], ls="none",
                  marker=_MARKERS[ligands.index(ligand) % len(_MARKERS)],
                  label=stage if is_first else None)  # fmt: skip
    for k, ligand in enumerate(ligands):
        axes.plot([], [], color=MUTED, ls="none", marker=_MARKERS[k % len(_MARKERS)],
                  label=ligand.replace("_", " "))  # fmt: skip
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(None, 2.2 * peak))
    axes.set_xlabel("operations a byte read or written (counted model)")
    axes.set_ylabel("GFLOP/s, one core")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, frameon=False)
    caption = (
        "Roofline of one core as measured here: the level line is the peak of float32 multiply-"
        "adds, the slopes are reading from each level of memory. Points are stages of an "
        "evaluation and whole evaluations of the search; operations are those of the formulae, "
        "bytes are traffic with the first-level cache."
    )
    return Figure(to_svg(figure), caption)


def _points(result: KernelsResult) -> list[tuple[float, float, str, str]]:
    """Return intensity, GFLOP/s, ligand and stage of every point."""
    points = []
    for ligand in result.ligands:
        rows = [row for row in result.stages if row.ligand == ligand.name]
        flops = sum(row.flops or 0.0 for row in rows)
        n_bytes = sum(row.bytes or 0.0 for row in rows)
        seconds = sum(row.seconds for row in rows)
        for row in rows:
            if row.flops and row.bytes:
                rate = 1e-9 * row.flops / row.seconds
                points.append((row.flops / row.bytes, rate, ligand.name, row.stage))
        points.append((flops / n_bytes, 1e-9 * flops / seconds, ligand.name, "whole evaluation"))
    return points
