"""`osong rescore`: GNINA's networks on poses, of a file or of a campaign's best molecules."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from osong.cli.campaign import is_campaign
from osong.cli.expand import expand_options
from osong.cli.failures import Stopped
from osong.cli.network_options import NetworkChoice, print_networks
from osong.cli.options import LibraryChoice, TargetChoice
from osong.cli.terminal import console, error_console, make_table, number, one_line, plural
from osong.errors import InputError

if TYPE_CHECKING:
    from osong.library import Record
    from osong.receptor import Target
    from osong.rescoring.stream import RescoredRecord

__all__ = ["rescore"]

_SHOWN = 20
"""Poses in the table on the screen; all are in the file."""
_REASONS = 10


@expand_options
def rescore(
    poses: Annotated[
        Path,
        typer.Argument(metavar="POSES|CAMPAIGN", help="A file of poses, or a campaign folder."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help=".sdf, .sdf.gz, .csv or .parquet; rescored.sdf by default. A campaign has its "
            "own: rescored.parquet.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the output file where there is one.")
    ] = False,
    top: Annotated[
        int, typer.Option(min=1, metavar="N", help="Of a campaign: molecules, best energy first.")
    ] = 1000,
    *,
    networks: NetworkChoice,
    target: TargetChoice,
    reading: LibraryChoice,
) -> None:
    """Rescore poses with GNINA's neural networks: is the pose right, how strong does it bind.

    `osong rescore poses.sdf --receptor receptor.pdb --out rescored.sdf`

    `osong rescore poses.sdf --target EGFR --out rescored.csv --models fast --weights gnina_1.3`

    `osong rescore run1 --top 1000`, then `osong top run1 --rank-by cnn_vs`
    """
    if is_campaign(poses):
        if out is not None or overwrite:
            raise InputError(
                f"{poses}: a campaign is rescored in its own folder, without --out; write hits "
                f"with: osong top {poses} --rank-by cnn_vs -o hits.sdf"
            )
        _rescore_campaign(poses, top, networks, target)
        return
    _rescore_file(poses, out or Path("rescored.sdf"), overwrite, networks, target, reading)


def _rescore_file(
    poses: Path,
    out: Path,
    overwrite: bool,
    networks: NetworkChoice,
    choice: TargetChoice,
    reading: LibraryChoice,
) -> None:
    from osong.library import count_records, read_records
    from osong.rescoring.files import check_output, write_rescored
    from osong.rescoring.stream import PoseRescorer, rescore_records

    check_output(out, overwrite=overwrite)
    if out.absolute() == poses.absolute():
        raise InputError(f"{out}: these are the poses themselves; give another --out")
    rescorer = networks.load()
    target = _target(poses, choice, reading)
    scorer = PoseRescorer(target.receptor, rescorer)
    seen = _Seen()
    records = seen.until_damage(read_records(poses, **reading.reading()))

    def describe() -> dict[str, Any]:
        return {
            **rescorer.describe(),
            **scorer.fuser.describe(),
            "target": target.name,
            "target_key": target.key.hex(),
            "notes": sorted(scorer.notes),
            "n_in": seen.n_in,
            "n_ok": seen.n_ok,
            "n_failed": seen.n_failed,
        }

    with _bar(lambda: count_records(poses, **reading.reading())) as step:
        rows = seen.counted(rescore_records(records, scorer), step)
        written = write_rescored(rows, out, describe)
    seen.print(written, scorer.notes)
    print_networks(rescorer)
    for reason, n_poses in scorer.fuser.without.items():
        console().print(f"no fused score of {plural(n_poses, 'pose')}: {reason}", soft_wrap=True)
    if seen.damage is not None:
        raise seen.damage
    if seen.n_failed:
        raise typer.Exit(1)


def _rescore_campaign(
    folder: Path, top: int, networks: NetworkChoice, choice: TargetChoice
) -> None:
    from osong.campaigns import open_campaign

    if choice != TargetChoice():
        raise InputError(
            f"{folder}: a campaign has its own target; leave out --receptor, --target and the like"
        )
    campaign = open_campaign(folder)
    rescorer = networks.load()
    try:
        with _bar(lambda: min(top, campaign.status().n_ok)) as step:
            done = campaign.rescore(top, rescorer=rescorer, step=step)
    except KeyboardInterrupt:
        raise Stopped(
            "all is kept but the molecules at work; the same command goes on from there"
        ) from None
    out = console()
    for note in done.notes:
        out.print(f"note: {note}", soft_wrap=True)
    for name, reason in done.failures:
        typer.echo(f"osong: not rescored: {name}: {reason}", err=True)
    if done.aside is not None:
        out.print(f"{plural(done.n_aside, 'row')} of other networks put aside: {done.aside}")
    kept = f" ({done.n_kept:,} were there already)" if done.n_kept else ""
    out.print(
        f"{plural(done.n_in, 'molecule')} in = {done.n_ok:,} ok + {done.n_failed:,} failed{kept}: "
        f"{done.path}",
        soft_wrap=True,
    )
    print_networks(rescorer)
    out.print(f"hits: osong top {folder} --rank-by cnn_vs", soft_wrap=True)


@dataclass
class _Seen:
    """What went through: counts, the first rows for the screen, the first failures."""

    n_in: int = 0
    n_ok: int = 0
    n_failed: int = 0
    shown: "list[RescoredRecord]" = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    damage: InputError | None = None

    def until_damage(self, records: "Iterable[Record]") -> "Iterator[Record]":
        """Yield records; where a file ends early, what was read before is not lost."""
        n_read = 0
        try:
            for record in records:
                n_read += 1
                yield record
        except InputError as error:
            if not n_read:
                raise
            self.damage = error

    def counted(
        self, rows: "Iterable[RescoredRecord]", step: Callable[[int], None]
    ) -> "Iterator[RescoredRecord]":
        """Yield rows, and keep what is told about them at the end."""
        for row in rows:
            self.n_in += 1
            if isinstance(row.result, str):
                self.n_failed += 1
                if len(self.failures) < _REASONS:
                    self.failures.append(f"{row.record.name}: {row.result}")
            else:
                self.n_ok += 1
                if len(self.shown) < _SHOWN:
                    self.shown.append(row)
            yield row
            step(1)

    def print(self, written: list[Path], notes: tuple[str, ...]) -> None:
        """Print the first scores, failures, counts and files."""
        out = console()
        if self.shown:
            out.print(make_table(("name", *_HEADINGS), [_cells(row) for row in self.shown]))
        if self.n_ok > len(self.shown):
            rest = self.n_ok - len(self.shown)
            out.print(f"and {plural(rest, 'pose')} more in the file", soft_wrap=True)
        for note in notes:
            out.print(f"note: {note}", soft_wrap=True)
        for failure in self.failures:
            typer.echo(f"osong: not rescored: {' '.join(failure.split())}", err=True)
        if self.n_failed > len(self.failures):
            rest = self.n_failed - len(self.failures)
            typer.echo(f"osong: and {plural(rest, 'failure')} more in the file", err=True)
        files = " and ".join(map(str, written))
        out.print(
            f"{plural(self.n_in, 'pose')} in = {self.n_ok:,} ok + {self.n_failed:,} failed: "
            f"{files}",
            soft_wrap=True,
        )


_HEADINGS = (">CNNscore", ">CNNaffinity", ">CNN_VS", ">variance", ">fused")


def _cells(row: "RescoredRecord") -> tuple[str, ...]:
    score = row.result
    if isinstance(score, str):
        raise TypeError("a failure has no numbers")
    values = (score.score, score.affinity, score.vs, score.variance, score.fused)
    return (row.record.name, *(number(value, 3) for value in values))


def _target(poses: Path, choice: TargetChoice, reading: LibraryChoice) -> "Target":
    """Return the target; where no box was asked for, the poses say where the ligand lies."""
    if choice.target is not None and choice.receptor is None and Path(choice.target).is_file():
        choice = replace(choice, receptor=Path(choice.target), target=None)
    has_box = choice.ligand_box or choice.residues or choice.center or choice.size
    if has_box or choice.receptor is None or _has_box(choice.receptor):
        return choice.load()
    import tempfile

    from osong.library import write_sdf

    first = _first_pose(poses, reading)
    # The crystal's own ligand, which must not be in the receptor, goes by its place.
    with tempfile.TemporaryDirectory() as folder:
        ligand = Path(folder) / "first_pose.sdf"
        write_sdf([first], ligand)
        target = replace(choice, ligand_box=str(ligand)).load()
    for change in target.report.changes:
        if change.kind == "removed" and "ligand" in change.text:
            typer.echo(
                f"osong: receptor without {change.residue}, which lies where the first pose lies",
                err=True,
            )
    return target


def _has_box(receptor: Path) -> bool:
    """Return whether a file is a saved target, or not there (which is told elsewhere)."""
    from osong.receptor.archive import is_archive

    return not receptor.is_file() or is_archive(receptor)


def _first_pose(poses: Path, reading: LibraryChoice) -> Any:
    """Return the first molecule that can be read and has coordinates."""
    from rdkit import Chem

    from osong.errors import LigandError
    from osong.library import parse_record, read_records

    why = "it holds none"
    for record in read_records(poses, **reading.reading()):
        try:
            parsed = parse_record(record)
        except LigandError as error:
            why = one_line(error)
            continue
        mol = parsed if isinstance(parsed, Chem.Mol) else parsed.mol()
        if mol.GetNumConformers() and mol.GetConformer().Is3D():
            return mol
        why = f"{record.name}: no coordinates in space; dock it first (osong dock)"
    raise InputError(f"{poses}: no pose in it can be rescored; the last one: {why}")


@contextmanager
def _bar(count: Callable[[], int]) -> Iterator[Callable[[int], None]]:
    """Give what moves a progress bar, which is only there on a terminal.

    Parameters
    ----------
    count
        Returns how many steps there are; called where there is a bar.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    screen = error_console()
    if not screen.is_terminal:
        yield lambda _: None
        return
    columns = (
        TextColumn("rescoring"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("rescoring", total=count())
        yield lambda n: bar.advance(task, n)
