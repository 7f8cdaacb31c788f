"""How commands find a campaign and show its results."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from osong.cli.failures import Stopped
from osong.cli.terminal import console, make_table, number, plural, print_failures
from osong.errors import CampaignError, InputError

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from osong.campaigns import Campaign

__all__ = [
    "CampaignArgument",
    "hit_table",
    "is_campaign",
    "one_campaign",
    "print_results",
    "stopped_hint",
    "write_outputs",
]

_SETTINGS = "campaign.toml"
_MANY_MOLECULES = 100_000
_RANK_HEADINGS = {
    "energy_for_size": ">by size",
    "cnn_score": ">CNNscore",
    "cnn_affinity": ">CNNaffinity",
    "cnn_vs": ">CNN_VS",
}

CampaignArgument = Annotated[
    Path,
    typer.Argument(metavar="CAMPAIGN", help="A campaign folder, or a campaign file of one target."),
]


def one_campaign(path: Path) -> Path:
    """Return the folder of the one campaign that a user means.

    Raises
    ------
    InputError
        There are several.
    """
    from osong.campaigns import workflows

    folders: list[Path] = workflows().campaign_folders(path)
    if len(folders) > 1:
        named = ", ".join(map(str, folders[:3])) + ", ..." * (len(folders) > 3)
        raise InputError(f"{path}: has {len(folders):,} campaigns; give the folder of one: {named}")
    return folders[0]


def is_campaign(poses: Path) -> bool:
    """Return whether what is to be rescored is a campaign folder: else a file of poses, or several.

    Raises
    ------
    InputError
        It is neither.
    """
    if not poses.exists():
        raise InputError(f"{poses}: there is no such file of poses, nor such a campaign folder")
    if not poses.is_dir() or (poses / _SETTINGS).exists():
        return poses.is_dir()
    for above in poses.absolute().parents:
        if (above / _SETTINGS).exists():
            raise InputError(f"{poses}: is no campaign folder, but {above} is: give that")
    from osong.library.reader import library_files

    try:
        library_files(poses)
    except InputError:
        raise InputError(
            f"{poses}: is no campaign folder, and has no file of molecules to rescore"
        ) from None
    return False


@contextmanager
def stopped_hint(folder: Path) -> Iterator[None]:
    """Turn Ctrl-C into a word on how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        if not (folder / _SETTINGS).exists():
            raise Stopped("nothing had begun yet") from None
        raise Stopped(
            f"what is finished is kept in {folder}; go on with: osong resume {folder}"
        ) from None


def print_results(campaign: "Campaign", n_hits: int) -> None:
    """Write hits into the folder; print the table of hits and where everything is.

    Where a campaign file asked for outputs these are written, otherwise the poses of the hits that
    are shown.

    Raises
    ------
    CampaignError
        Not one molecule has docked.
    """
    out = console()
    hits = campaign.top(n_hits)
    if len(hits):
        out.print(hit_table(hits))
    out.print(str(campaign.status()), soft_wrap=True)
    _print_examples(campaign)
    if (pictures := campaign.folder / "pictures").is_dir():
        out.print(f"pictures of how it went: {pictures}", soft_wrap=True)
    if len(hits):
        if not write_outputs(campaign):
            poses = campaign.folder / "hits.sdf"
            campaign.to_sdf(poses, n_hits)
            out.print(f"poses of the {plural(len(hits), 'hit')}: {poses}", soft_wrap=True)
        out.print(f"more: osong top {campaign.folder} -n 100 -o hits.csv", soft_wrap=True)
        if networks := ", ".join(campaign.settings.networks):
            out.print(
                f"networks: {networks} scored the poses; hits by them: "
                f"osong top {campaign.folder} --rank-by cnn_vs",
                soft_wrap=True,
            )
    _refuse_nothing(campaign)


def write_outputs(campaign: "Campaign") -> bool:
    """Write what a campaign file asked for, and say so; return whether there is such a file."""
    from osong.campaigns import workflows

    flows = workflows()
    if not flows.read_wishes(campaign.folder).file:
        return False
    for path in flows.write_outputs(campaign, only_missing=True):
        console().print(f"output: {path}", soft_wrap=True)
    return True


def _refuse_nothing(campaign: "Campaign") -> None:
    """Turn a campaign without one docked molecule into an error that says what failed most."""
    status = campaign.status()
    if status.n_ok or not status.is_finished:
        return
    stage, count = max(status.failures.items(), key=lambda item: item[1])
    raise CampaignError(
        f"{campaign.folder}: none of {plural(status.n_records, 'molecule')} docked; "
        f"{count:,} failed at stage '{stage}': check the library, the box and the options"
    )


def hit_table(hits: "pd.DataFrame") -> "Table":
    """Return the hits as a table: what ranks them always, their SMILES where there is room."""
    of_rank = [name for name in _RANK_HEADINGS if name in hits]
    rows = [
        (
            str(hit["rank"]),
            str(hit["name"]),
            number(hit["energy"]),
            number(hit["ligand_efficiency"]),
            *(number(hit[name]) for name in of_rank),
            str(hit["smiles"]),
        )
        for hit in hits.to_dict("records")
    ]
    headings = [_RANK_HEADINGS[name] for name in of_rank]
    return make_table((">rank", "name", ">kcal/mol", ">per atom", *headings, "~SMILES"), rows)


def _print_examples(campaign: "Campaign") -> None:
    """Print how many molecules failed at each stage, with the first reason of each."""
    status = campaign.status()
    # The status line has the counts already; examples of a huge ledger are not worth reading it.
    if not status.n_failed or status.n_records > _MANY_MOLECULES:
        return
    ledger = campaign.ledger().select(["stage", "name", "reason"]).to_pylist()
    print_failures([(row["stage"], row["name"], row["reason"]) for row in ledger if row["stage"]])
