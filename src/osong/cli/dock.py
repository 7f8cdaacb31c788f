"""`osong dock`: a few ligands, their poses as a file and a table."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from osong.cli.expand import expand_options
from osong.cli.inputs import prepare_record
from osong.cli.options import (
    Backend,
    Effort,
    LibraryChoice,
    LigandChoice,
    SearchChoice,
    TargetChoice,
)
from osong.cli.pose_files import check_output, write_poses
from osong.cli.terminal import console, error_console, make_table, number, one_line, plural
from osong.errors import InputError, LigandError, ResourceError

if TYPE_CHECKING:
    from osong.library import Record
    from osong.ligands import LigandOptions, PreparedLigand
    from osong.search import Pose
    from osong.search.many import Molecule

__all__ = ["dock"]

_NOTED = 10
"""Ligands whose notes are shown; those of a library are in its ledger."""


@expand_options
def dock(
    ligands: Annotated[
        list[str],
        typer.Argument(metavar="LIGAND...", help="Files of molecules, SMILES, or both."),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="Poses: .sdf, .sdf.gz or .pdbqt."),
    ] = Path("poses.sdf"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the output file where there is one.")
    ] = False,
    effort: Annotated[Effort, typer.Option(help="How long to search.")] = "balanced",
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Cores; all that there are by default.")
    ] = None,
    backend: Annotated[
        Backend,
        typer.Option(help="cuda: NVIDIA devices, which pay for hundreds of ligands."),
    ] = "cpu",
    *,
    reading: LibraryChoice,
    target: TargetChoice,
    ligand: LigandChoice,
    search: SearchChoice,
) -> None:
    """Dock a few ligands: poses go to a file, a table to the screen.

    `osong dock 'CC(=O)Oc1ccccc1C(=O)O' --target PTGS2`

    `osong dock ligands.sdf -r 1iep.pdb.gz --ligand-box STI -n 9 -o poses.sdf`

    `osong dock start.sdf -r receptor.pdbqt --center 15 53 16 --size 22 22 22`
    """
    from osong.backend import choose_backend
    from osong.machine import usable_cores
    from osong.search.many import dock_many

    check_output(output, overwrite)
    options = ligand.options()
    chosen = choose_backend(backend)
    if backend != "cpu":
        typer.echo(f"osong: {chosen}", err=True)
    records = list(_records(ligands, reading))
    found = dock_many(
        target.load(),
        (_prepared(record, options) for record in _with_progress(records)),
        chosen,
        scoring=search.scoring,
        effort=effort,
        n_poses=search.n_poses,
        seed=search.seed,
        threads=threads or usable_cores(),
        is_cpu_next=backend == "auto",
        tell=lambda line: typer.echo(f"osong: {line}", err=True),
    )
    docked: list[list[Pose]] = []
    n_failed = 0
    stopped: ResourceError | None = None
    try:
        for poses in found:
            if isinstance(poses, LigandError):
                n_failed += 1
                typer.echo(f"osong: not docked: {one_line(poses)}", err=True)
            else:
                docked.append(poses)
    except ResourceError as error:
        stopped = error
    if docked:
        write_poses([pose for poses in docked for pose in poses], output)
        _print_results(docked, output)
    if stopped is not None:
        raise stopped
    if n_failed:
        typer.echo(f"osong: {n_failed} of {plural(len(records), 'ligand')} not docked", err=True)
        raise typer.Exit(1)


def _prepared(record: "Record", options: "LigandOptions") -> "Molecule":
    try:
        return prepare_record(record, options)
    except LigandError as error:
        return error


def _records(ligands: list[str], reading: LibraryChoice) -> "Iterator[Record]":
    """Yield the records of files and of SMILES, in the order given."""
    from osong.library import read_records

    for text in ligands:
        path = Path(text)
        if text and path.exists():
            yield from read_records(path, **reading.reading())
        elif path.suffix[1:].isalpha() and not _is_smiles(text):
            raise InputError(f"{text}: there is no such file, and it is no SMILES; check the path")
        else:
            yield from read_records([(text, text)])


def _is_smiles(text: str) -> bool:
    """Tell a SMILES with a dot, such as the salt ``CCN.Cl``, from the name of a file."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(text, sanitize=False) is not None


def _with_progress(records: "list[Record]") -> "Iterator[Record]":
    """Yield records under a progress bar, which is only there on a terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    screen = error_console()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("docking", total=len(records))
        for record in records:
            bar.update(task, description=f"docking {record.name[:24]}")
            yield record
            bar.advance(task)


def _print_results(docked: "list[list[Pose]]", output: Path) -> None:
    """Print all poses of one ligand, or the best pose of each of several."""
    out = console()
    numbers = (">kcal/mol", ">inter", ">intra")
    if len(docked) == 1:
        columns = (">pose", *numbers, ">variant")
        rows = [
            (str(rank), *_energies(pose), str(pose.ligand.variant))
            for rank, pose in enumerate(docked[0], start=1)
        ]
    else:
        columns = ("ligand", *numbers, ">poses")
        rows = [
            (poses[0].ligand.name, *_energies(poses[0]), str(len(poses)))
            for poses in sorted(docked, key=lambda poses: poses[0].energy)
        ]
    out.print(make_table(columns, rows))
    _print_notes([poses[0].ligand for poses in docked])
    n_poses = sum(len(poses) for poses in docked)
    out.print(
        f"{plural(n_poses, 'pose')} of {plural(len(docked), 'ligand')}: {output}", soft_wrap=True
    )


def _print_notes(ligands: "list[PreparedLigand]") -> None:
    """Print what was done to ligands before they were docked, such as protonating them."""
    out = console()
    noted = [ligand for ligand in ligands if ligand.notes]
    for ligand in noted[:_NOTED]:
        out.print(f"{ligand.name}: {'; '.join(ligand.notes)}", soft_wrap=True)
    if len(noted) > _NOTED:
        out.print(f"and {plural(len(noted) - _NOTED, 'ligand')} more with notes", soft_wrap=True)


def _energies(pose: "Pose") -> tuple[str, str, str]:
    return number(pose.energy), number(pose.inter), number(pose.intra)
