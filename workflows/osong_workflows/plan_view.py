"""The plan of a campaign as people read it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from osong.cli.terminal import make_table
from osong_workflows.amounts import counted, duration
from osong_workflows.refusals import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType
    from rich.table import Table

    from osong_workflows.estimate import CampaignEstimate, TargetEstimate

__all__ = ["plan_view"]

_COLUMNS = (
    "~target",
    "~box, A",
    ">molecules",
    ">chunks",
    ">shards",
    ">files",
    ">disk",
    ">memory a worker",
    ">core hours",
)


def plan_view(plan: CampaignEstimate) -> Iterator[RenderableType]:
    """Yield what to print: what was asked, what it costs, how long it takes, what was assumed."""
    yield (
        f"{Path(plan.file).name}: {_molecules(plan)} of {Path(plan.library).name}, effort "
        f"{plan.effort}, scoring {plan.scoring}"
    )
    yield _table(plan)
    yield f"a molecule: {_time(plan)}"
    yield (
        f"on {plan.where}, {counted(plan.workers, 'worker')}: about "
        f"{duration(plan.wall_hours * 3600)}; a chunk about {duration(plan.chunk_seconds)}"
    )
    yield f"results: {_folders(plan)}"
    for note in plan.notes:
        yield f"note: {note}"


def _molecules(plan: CampaignEstimate) -> str:
    n_molecules = plan.targets[0].n_molecules
    if plan.is_exact:
        return counted(n_molecules, "molecule")
    # Three digits: more would look as if they were counted.
    digits = 10 ** max(0, len(str(n_molecules)) - 3)
    return f"about {round(n_molecules / digits) * digits:,} molecules (estimated)"


def _table(plan: CampaignEstimate) -> Table:
    rows = [_row(target) for target in plan.targets]
    if len(rows) > 1:
        total = (
            "in all",
            "",
            f"{plan.n_dockings:,}",
            f"{plan.n_chunks:,}",
            f"{plan.n_shards:,}",
            f"{plan.n_files:,}",
            size(plan.disk_bytes),
            "",
            _hours(plan.core_hours),
        )
        rows += [(), total]
    return make_table(_COLUMNS, rows)


def _row(target: TargetEstimate) -> tuple[str, ...]:
    return (
        target.label,
        " x ".join(f"{edge:.0f}" for edge in target.box_size),
        f"{target.n_molecules:,}",
        f"{target.n_chunks:,}",
        f"{target.n_shards:,}",
        f"{target.n_files:,}",
        size(target.disk_bytes),
        size(target.memory_bytes_per_worker),
        _hours(target.core_hours),
    )


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 99.5 else f"{hours:.2g}"


def _time(plan: CampaignEstimate) -> str:
    time = plan.time
    seconds = f"{time.seconds:.2g} s of one core"
    if not time.n_measured:
        return (
            f"{seconds}, as measured on the machine of docs/performance.md; --sample 50 measures "
            "it here"
        )
    failed = f", {time.n_failed} of them failed" if time.n_failed else ""
    spread = f" +- {time.uncertainty:.1g} s" if time.uncertainty else ""
    return f"{seconds}{spread}, measured here on {counted(time.n_measured, 'molecule')}{failed}"


def _folders(plan: CampaignEstimate) -> str:
    if len(plan.targets) == 1:
        return plan.targets[0].folder
    labels = ", ".join(target.label for target in plan.targets)
    return f"{Path(plan.targets[0].folder).parent} ({labels})"
