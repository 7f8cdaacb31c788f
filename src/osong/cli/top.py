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

RankBy = Literal["energy", "energy_for_size", "cnn_score", "cnn_affinity", "cnn_vs"]
PoseBy = Literal["energy", "cnn_score", "fused"]


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
            help="energy, that corrected for size, or what networks say of the molecules that "
            "`osong rescore` has seen."
        ),
    ] = "energy",
    correct_size: Annotated[
        bool,
        typer.Option(
            "--correct-size",
            help="By energy / heavy atoms^(1/3), less in favour of large molecules: "
            "--rank-by energy_for_size.",
        ),
    ] = False,
    pose_by: Annotated[
        PoseBy | None,
        typer.Option(
            help="Which pose of a molecule comes first in an .sdf: fused is energy and networks "
            "together."
        ),
    ] = None,
) -> None:
    """Show or write the best molecules of a campaign, finished or still running.

    `osong top run1 -n 50`

    `osong top run1 -n 1000 -o hits.sdf`

    `osong top run1 --rank-by cnn_vs --pose-by fused -o hits.sdf`

    `osong top run1 --correct-size`
    """
    from osong.campaigns import open_campaign

    if correct_size:
        if rank_by not in ("energy", "energy_for_size"):
            raise InputError(f"--correct-size corrects energies, not {rank_by}: leave one out")
        rank_by = "energy_for_size"
    is_sdf = output is not None and _format(output) == "sdf"
    if pose_by is not None and not is_sdf:
        raise InputError("--pose-by orders the poses of an .sdf file: give -o hits.sdf too")
    folder = one_campaign(path)
    campaign = open_campaign(folder)
    out = console()
    if output is None:
        hits = campaign.top(n, rank_by=rank_by)
        out.print(hit_table(hits) if len(hits) else f"{folder}: no molecule has docked yet")
        _print_ranked(campaign, rank_by)
        return
    match _format(output):
        case "csv":
            count = campaign.to_csv(output, n, rank_by=rank_by)
        case "parquet":
            count = campaign.to_parquet(output, n, rank_by=rank_by)
        case "smi" | "smiles":
            count = campaign.to_smiles(output, n, rank_by=rank_by)
        case "sdf":
            count = campaign.to_sdf(output, n, n_poses=poses, rank_by=rank_by, pose_by=pose_by)
        case _:
            raise InputError(f"{output}: hits are written as .csv, .sdf, .parquet or .smi")
    out.print(f"{plural(count, 'molecule')}: {output}", soft_wrap=True)
    _print_ranked(campaign, rank_by)


def _format(output: Path) -> str:
    return output.name.lower().removesuffix(".gz").rpartition(".")[2]


def _print_ranked(campaign: "Campaign", rank_by: RankBy) -> None:
    """Say so where networks rank some of the molecules only."""
    n_ranked = campaign.n_rescored() if rank_by.startswith("cnn_") else None
    if n_ranked is None or n_ranked >= (n_docked := campaign.status().n_ok):
        return
    console().print(
        f"{n_ranked:,} of {plural(n_docked, 'molecule')} that docked are ranked: the others are "
        f"not rescored, or could not be; more: osong rescore {campaign.folder} --top {n_docked}",
        soft_wrap=True,
    )
