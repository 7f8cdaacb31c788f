"""The plan of a campaign as people read it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from osong.cli.terminal import make_table
from osong_workflows.amounts import counted, duration, speed
from osong_workflows.refusals import hours, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType
    from rich.table import Table

    from osong_workflows.device_estimate import DeviceEstimate
    from osong_workflows.estimate import CampaignEstimate, TargetEstimate

__all__ = ["plan_view"]

_COLUMNS = (">molecules", ">chunks", ">files", ">disk", ">memory", ">core hours")


def plan_view(plan: CampaignEstimate) -> Iterator[RenderableType]:
    """Yield what to print: what was asked, what it costs, how long it takes, what was assumed."""
    yield (
        f"{Path(plan.file).name}: {_molecules(plan)} of {Path(plan.library).name}, effort "
        f"{plan.effort}, scoring {plan.scoring}"
    )
    yield _table(plan) if len(plan.targets) > 1 else _list(plan.targets[0])
    yield f"a molecule: {_time(plan)}"
    alone = " without GPUs" if plan.devices is not None else ""
    yield (
        f"on {plan.where}, {counted(plan.workers, 'worker')}{alone}: about "
        f"{duration(plan.wall_hours * 3600)}; a chunk about {duration(plan.chunk_seconds)}"
    )
    if plan.devices is not None:
        yield _devices(plan.devices)
    yield f"results: {_folders(plan)}"
    for note in plan.notes:
        yield f"note: {note}"


def _molecules(plan: CampaignEstimate) -> str:
    n_docked = plan.targets[0].n_molecules
    docked = "" if n_docked == plan.n_library else f", {_rounded(n_docked):,} of them docked"
    if plan.is_exact:
        return counted(plan.n_library, "molecule") + docked
    return f"about {_rounded(plan.n_library):,} molecules (estimated){docked}"


def _rounded(count: int) -> int:
    """Return an estimate with three digits: more would look as if it were counted."""
    return round(count, min(0, 3 - len(str(count))))


def _list(target: TargetEstimate) -> str:
    """Return the numbers of one target, one a line."""
    edges = " x ".join(f"{edge:.0f}" for edge in target.box_size)
    values = {
        "target": f"{target.target}, box {edges} A",
        "chunks": f"{target.n_chunks:,} of {counted(target.chunk_size, 'molecule')}, in "
        f"{counted(target.n_shards, 'shard')}",
        "files": f"{target.n_files:,}",
        "disk": size(target.disk_bytes),
        "memory": f"{size(target.memory_bytes_per_worker)} a worker",
        "core hours": hours(target.core_hours),
    }
    return "\n".join(f"  {name:<12}{value}" for name, value in values.items())


def _table(plan: CampaignEstimate) -> Table:
    """Return the numbers of several targets, one a row, and their sums."""
    about = (lambda count: f"{count:,}") if plan.is_exact else (lambda n: f"~{_rounded(n):,}")
    rows = [
        (
            target.label,
            about(target.n_molecules),
            about(target.n_chunks),
            about(target.n_files),
            size(target.disk_bytes),
            size(target.memory_bytes_per_worker),
            hours(target.core_hours),
        )
        for target in plan.targets
    ]
    total = (
        "in all",
        about(plan.n_dockings),
        about(plan.n_chunks),
        about(plan.n_files),
        size(plan.disk_bytes),
        "",
        hours(plan.core_hours),
    )
    return make_table(("~target", *_COLUMNS), [*rows, (), total])


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


def _devices(devices: DeviceEstimate) -> str:
    """Return what GPUs would change, with what of it was measured and what was not."""
    quick, slow = (duration(value * 3600) for value in devices.wall_hours)
    least, most = map(_rate, devices.searched_per_s)
    return (
        f"with {counted(devices.n_devices, 'GPU')} and {counted(devices.cores, 'core')} beside: "
        f"about {quick if quick == slow else f'{quick} to {slow}'} (PREDICTION: no GPU was "
        f"measured), {hours(devices.core_hours)} core hours\n"
        f"  the cores: {devices.core_seconds:.2g} s a molecule, before and after its search, which "
        f"is enough for {speed(devices.needed_per_s)} on each GPU\n"
        f"  a GPU: {least} to {most}/s (PREDICTION: {devices.device or 'A100 to H100'}, "
        f"docs/cuda.md); what bounds: {devices.bound}"
    )


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second >= 9.95 else f"{per_second:.2g}"


def _folders(plan: CampaignEstimate) -> str:
    if len(plan.targets) == 1:
        return plan.targets[0].folder
    labels = ", ".join(target.label for target in plan.targets)
    return f"{Path(plan.targets[0].folder).parent} ({labels})"
