"""Options of a process that works at a campaign as one of many."""

import shlex
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from osong.errors import InputError

__all__ = ["PilotChoice"]

_PILOT = "In a batch job"
_NODES = "Workers on other nodes (--runner srun)"
_SLURM = "Submitting (--runner slurm)"


@dataclass(frozen=True)
class PilotChoice:
    """How a pilot behaves, and how its workers are started, as it was asked for."""

    grace: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="S",
            help="After SIGUSR1, seconds for what is under way.",
            rich_help_panel=_PILOT,
        ),
    ] = 240.0
    lease: Annotated[
        float,
        typer.Option(
            min=1,
            metavar="S",
            help="Seconds without a sign of life after which another pilot is taken for dead.",
            rich_help_panel=_PILOT,
        ),
    ] = 120.0
    scratch: Annotated[
        str,
        typer.Option(
            metavar="FOLDER",
            help="A local disk, for parts on their way to the campaign folder; '$TMPDIR' is that "
            "of each node.",
            rich_help_panel=_PILOT,
        ),
    ] = ""
    osong_command: Annotated[
        str,
        typer.Option(metavar="WORDS", help="What starts Osong on a node.", rich_help_panel=_NODES),
    ] = ""
    srun_flags: Annotated[
        str, typer.Option(metavar="WORDS", help="More words for srun.", rich_help_panel=_NODES)
    ] = ""
    interface: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Network interface, such as ib0; the one that other nodes reach by default.",
            rich_help_panel=_NODES,
        ),
    ] = ""
    dashboard: Annotated[
        bool,
        typer.Option(
            "--dashboard",
            help="Dask's dashboard, on this machine's loopback only.",
            rich_help_panel=_NODES,
        ),
    ] = False
    site: Annotated[
        str,
        typer.Option("--site", metavar="NAME", help="The cluster.", rich_help_panel=_SLURM),
    ] = ""
    nodes: Annotated[
        int | None,
        typer.Option("--nodes", min=1, metavar="N", help="Nodes in all.", rich_help_panel=_SLURM),
    ] = None

    def check(self, runner: str) -> None:
        """Refuse what the runner does not heed.

        Raises
        ------
        InputError
            There is something.
        """
        given = {
            "--osong-command": (self.osong_command, ("srun",)),
            "--srun-flags": (self.srun_flags, ("srun",)),
            "--interface": (self.interface, ("srun", "mpi")),
            "--dashboard": (self.dashboard, ("srun",)),
            "--site": (self.site, ("slurm",)),
            "--nodes": (self.nodes, ("slurm",)),
        }
        for option, (value, runners) in given.items():
            if value and runner not in runners:
                raise InputError(f"{option} goes with --runner {' or '.join(runners)}")

    def options(self) -> dict[str, Any]:
        """Return what was given, as options of ``Campaign.resume``."""
        from osong.campaigns import workflows

        flows = workflows()
        return {
            "scratch": self.scratch,
            "pilot": flows.PilotOptions(
                # Six signs of life in a lease: one that is late does no harm.
                beat_s=min(20.0, self.lease / 6),
                lease_s=self.lease,
                grace_s=self.grace,
                heeds_signals=True,
            ),
            "launch": flows.LaunchOptions(
                osong=tuple(shlex.split(self.osong_command)),
                srun_flags=tuple(shlex.split(self.srun_flags)),
                interface=self.interface,
                dashboard=self.dashboard,
            ),
        }
