"""`osong worker`, which a pilot starts on each node; nobody needs to type it."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["worker"]


def worker(
    scheduler: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The pilot's scheduler file, in the campaign folder."),
    ],
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Molecules docked at a time; as many as this job has cores."
        ),
    ] = None,
    scratch: Annotated[
        str, typer.Option(metavar="DIR", help="A folder on a local disk, such as '$TMPDIR'.")
    ] = "",
    interface: Annotated[
        str, typer.Option(metavar="NAME", help="The network interface, such as ib0.")
    ] = "",
) -> None:
    """Dock for a pilot on another node until it ends.

    `osong worker --scheduler run1/run/scheduler-....json`
    """
    from osong.campaigns import workflows

    workflows().work(scheduler, n_threads=threads, scratch=scratch, interface=interface)
