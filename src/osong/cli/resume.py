"""`osong resume`: do what campaigns have left to do, here or on the nodes of a job."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from osong.cli.campaign import print_results, stopped_hint, write_outputs
from osong.cli.expand import expand_options
from osong.cli.options import Backend, WorkersOption
from osong.cli.pilot_options import PilotChoice
from osong.cli.terminal import console
from osong.errors import InputError

if TYPE_CHECKING:
    from osong.campaigns import Campaign

__all__ = ["resume"]


@expand_options
def resume(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="CAMPAIGN", help="A campaign folder, a folder of them, or a campaign file."
        ),
    ],
    runner: Annotated[
        Literal["local", "serial", "srun", "mpi", "slurm"],
        typer.Option(
            help="local: several processes; serial: one; srun: the nodes of this Slurm job; mpi: "
            "the ranks of this MPI job; slurm: submit jobs and watch."
        ),
    ] = "local",
    workers: WorkersOption = None,
    backend: Annotated[
        Backend | None,
        typer.Option(
            help="cuda: NVIDIA devices; auto: these where they can be used. By default what the "
            "campaign file says."
        ),
    ] = None,
    hits: Annotated[int, typer.Option(min=1, metavar="N", help="Hits to show at the end.")] = 20,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check every byte of what is finished first.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="No progress and no table: for batch jobs.")
    ] = False,
    *,
    pilot: PilotChoice,
) -> None:
    """Do what campaigns have left to do; what is finished is not done again.

    Several at once, on one machine or many, share the work. SIGUSR1 and SIGTERM end it in good
    order, with exit code 75 where work is left.

    `osong resume run1`

    `osong resume egfr.toml --runner slurm --site generic --nodes 4`

    `mpiexec -n 6 osong resume run1 --runner mpi`
    """
    from osong.campaigns import workflows

    flows = workflows()
    with flows.one_rank_speaks() if runner == "mpi" else contextlib.nullcontext():
        pilot.check(runner)
        if backend is not None and runner == "slurm":
            raise InputError("--backend: jobs go by the campaign file, [run] backend")
        folders = _folders(path, runner)
    if runner == "slurm":
        for folder in folders:
            flows.submit_and_watch(folder, pilot.site, pilot.nodes)
        return
    for folder in folders:
        campaign = flows.open_campaign(folder)
        options: dict[str, Any] = {"progress": False} if quiet else {}
        with stopped_hint(folder):
            campaign.resume(
                runner=runner,
                workers=workers,
                backend=backend,
                verify=verify,
                **pilot.options(),
                **options,
            )
        _tell(campaign, hits, quiet=quiet)


def _folders(path: Path, runner: str) -> list[Path]:
    """Return the folders of the campaigns; a campaign file's that are not there yet are made."""
    from osong.campaigns import workflows

    flows = workflows()
    if runner == "mpi":
        # Each rank would make them.
        return [flows.folder_of_ranks(path)]
    is_to_begin = runner == "slurm" or path.is_file()
    found: list[Path] = (flows.folders_to_submit if is_to_begin else flows.campaign_folders)(path)
    return found


def _tell(campaign: "Campaign", hits: int, *, quiet: bool) -> None:
    if quiet:
        write_outputs(campaign)
        console().print(str(campaign.status()), soft_wrap=True)
    else:
        print_results(campaign, hits)
