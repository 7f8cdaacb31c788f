"""`osong top`: the best molecules of a campaign, on the screen or as a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from osong.cli.campaign import CampaignArgument, hit_table, one_campaign
from osong.cli.terminal import console, plural
from osong.errors import InputError

if TYPE_CHECKING:
    from osong.campaigns import Campaign

__all__ = ["top"]

RankBy = Literal["energy", "cnn_score", "cnn_affinity", "cnn_vs"]


def top(
    path: CampaignArgument,
    n: Annotated[int, typer.Option("-n", min=1, metavar="N", help="How many molecules.")] = 20,
    poses: Annotated[int, typer.Option(min=1, metavar="N", help="Poses a molecule, for .sdf.")] = 1,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write a .csv, .sdf, .parquet or .smi file."
        ),
    ] = None,
    rank_by: Annotated[
        RankBy,
        typer.Option(
            help="energy, or what networks say of the molecules that `osong rescore` has seen."
        ),
    ] = "energy",
) -> None:
    """Show or write the best molecules of a campaign, finished or still running.

    `osong top run1 -n 50`

    `osong top run1 -n 1000 -o hits.sdf`

    `osong top run1 --rank-by cnn_vs`
    """
    from osong.campaigns import open_campaign

    folder = one_campaign(path)
    campaign = open_campaign(folder)
    out = console()
    if output is None:
        hits = campaign.top(n, rank_by=rank_by)
        out.print(hit_table(hits) if len(hits) else f"{folder}: no molecule has docked yet")
        _print_ranked(campaign, rank_by)
        return
    match output.name.lower().removesuffix(".gz").rpartition(".")[2]:
        case "csv":
            count = campaign.to_csv(output, n, rank_by=rank_by)
        case "parquet":
            count = campaign.to_parquet(output, n, rank_by=rank_by)
        case "smi" | "smiles":
            count = campaign.to_smiles(output, n, rank_by=rank_by)
        case "sdf":
            count = campaign.to_sdf(output, n, n_poses=poses, rank_by=rank_by)
        case _:
            raise InputError(f"{output}: hits are written as .csv, .sdf, .parquet or .smi")
    out.print(f"{plural(count, 'molecule')}: {output}", soft_wrap=True)
    _print_ranked(campaign, rank_by)


def _print_ranked(campaign: "Campaign", rank_by: RankBy) -> None:
    """Say so where networks rank some of the molecules only."""
    n_ranked = None if rank_by == "energy" else campaign.n_rescored()
    if n_ranked is None or n_ranked >= (n_docked := campaign.status().n_ok):
        return
    console().print(
        f"{n_ranked:,} of {plural(n_docked, 'molecule')} that docked are ranked: the others are "
        f"not rescored, or could not be; more: osong rescore {campaign.folder} --top {n_docked}",
        soft_wrap=True,
    )
