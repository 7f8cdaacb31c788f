"""`osong submit`: a campaign as jobs of Slurm."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from osong.cli.terminal import console, error_console, plural

if TYPE_CHECKING:
    from typing import Any

__all__ = ["SiteOption", "submit"]

SiteOption = Annotated[
    str,
    typer.Option(
        "--site",
        "-s",
        metavar="NAME",
        envvar="OSONG_SITE",
        help="The cluster: a profile of ~/.config/osong/sites, one of Osong's, or a TOML file.",
    ),
]


def submit(
    campaign: Annotated[
        Path, typer.Argument(metavar="CAMPAIGN", help="A campaign folder, or a campaign file.")
    ],
    site: SiteOption = "",
    nodes: Annotated[
        int | None,
        typer.Option(
            "--nodes", "-N", min=1, metavar="N", help="Nodes in all; those of one pilot by default."
        ),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(
            "--time", "-t", metavar="T", help="Limit of a job, such as 12:00:00; the site's else."
        ),
    ] = None,
    partition: Annotated[
        str | None, typer.Option("--partition", "-p", metavar="P", help="In place of the site's.")
    ] = None,
    account: Annotated[
        str | None, typer.Option("--account", "-A", metavar="A", help="In place of the site's.")
    ] = None,
    qos: Annotated[
        str | None, typer.Option("--qos", "-q", metavar="Q", help="In place of the site's.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print scripts and commands; write and submit nothing."),
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Watch the campaign until it is finished.")
    ] = False,
) -> None:
    """Submit a campaign to Slurm; jobs come back by themselves until all molecules are done.

    The same command again, while jobs wait or run, adds nodes.

    `osong submit egfr.toml --site generic --nodes 4`

    `osong submit run1 --site lumi --account project_465000001 --nodes 64 --dry-run`
    """
    from osong.campaigns import workflows

    flows = workflows()
    profile = flows.load_site(site, time_limit=time, partition=partition, account=account, qos=qos)
    if not profile.tested:
        error_console().print(
            f"site {profile.name} is untested: its profile was written from public documentation; "
            "look at --dry-run first",
            style="yellow",
        )
    # Small libraries are cut into chunks for all cores that will be there.
    cores = (nodes or profile.nodes_per_pilot) * (profile.cores_per_node or 1)
    folders = flows.folders_to_submit(
        campaign, is_rehearsal=dry_run, workers=cores if cores > 1 else None, site=profile
    )
    for folder in folders:
        note = flows.device_note(folder, profile)
        if note:
            error_console().print(f"{folder}: {note}", soft_wrap=True)
        if dry_run:
            batches = flows.render(folder, profile, nodes)
            typer.echo("\n".join(f"{batch}\n" for batch in batches), nl=False)
            if not batches:
                _say_finished(folder)
        else:
            _submit(flows, folder, profile, nodes)
    if watch and not dry_run:
        flows.watch_campaigns(folders)


def _say_finished(folder: Path) -> None:
    console().print(f"{folder}: is finished, nothing is left to submit", soft_wrap=True)


def _submit(flows: "Any", folder: Path, profile: "Any", nodes: int | None) -> None:
    """Submit one campaign and say so."""
    out = console()
    done = flows.submit(folder, profile, nodes)
    if done is None:
        _say_finished(folder)
        return
    pilots = f"{plural(done.n_pilots, 'pilot')} of {plural(done.nodes_each, 'node')}"
    out.print(
        f"{folder}: submitted {pilots} for {profile.time_limit} as job {done.pilots}; job "
        f"{done.finish} comes after them",
        soft_wrap=True,
    )
    out.print(f"see: osong status {folder}; stop: osong cancel {folder}", soft_wrap=True)
