"""`osong prepare target` and `osong prepare library`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from osong.cli.expand import expand_options
from osong.cli.failures import Stopped
from osong.cli.inputs import library_path, prepare_record
from osong.cli.options import LigandChoice, TargetChoice
from osong.cli.terminal import console, error_console, one_line, plural, print_failures
from osong.errors import LigandError

if TYPE_CHECKING:
    from osong.library import PreparedMolecule, Record
    from osong.ligands import LigandOptions

__all__ = ["prepare_library", "prepare_target"]


@expand_options
def prepare_target(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The target file; NAME.osong if not given."
        ),
    ] = None,
    pdbqt: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the receptor as PDBQT, for other programs."),
    ] = None,
    *,
    choice: TargetChoice,
) -> None:
    """Make a receptor ready and print every change that was made.

    The target file holds receptor, box and report; every other command takes it as `--receptor`.

    `osong prepare target -r 1iep.cif.gz --ligand-box STI -o abl1.osong`
    """
    target = choice.load()
    path = output or Path(f"{target.name}.osong")
    target.save(path)
    out = console()
    out.print(str(target.report), soft_wrap=True)
    if pdbqt is not None:
        target.to_pdbqt(pdbqt)
        out.print(f"receptor for other programs: {pdbqt}", soft_wrap=True)
    center, size = (
        ", ".join(f"{value:.1f}" for value in values)
        for values in (target.box.center, target.box.size)
    )
    n_atoms = int(target.receptor.is_scored.sum())
    out.print(f"box: centre {center}; edges {size} A", soft_wrap=True)
    out.print(f"target: {path} ({plural(n_atoms, 'heavy atom')})", soft_wrap=True)


@expand_options
def prepare_library(
    library: Annotated[
        str, typer.Argument(metavar="LIBRARY", help="A file or folder of molecules, or `drugs`.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="New folder of Parquet shards."),
    ],
    *,
    choice: LigandChoice,
) -> None:
    """Make a library ready once, as Parquet shards: states, conformers, types and torsions.

    Every molecule has its rows: its ligands, or the stage and the reason of its failure. The same
    command again goes on where the last one stopped.

    `osong prepare library molecules.smi.gz -o prepared`
    """
    from osong.library import resume_index, write_prepared

    source = library_path(library)
    options = choice.options()
    start = resume_index(output)
    try:
        prepared = write_prepared(
            output,
            _prepared_molecules(source, options, start),
            options={"library": str(source), "ligands": options.model_dump(mode="json")},
            resume=start > 0,
        )
    except KeyboardInterrupt:
        raise Stopped("whole shards are kept; the same command goes on from there") from None
    out = console()
    if prepared.n_failed:
        _print_failed(output)
    out.print(
        f"{plural(prepared.n_molecules - prepared.n_failed, 'molecule')} of "
        f"{prepared.n_molecules:,} ready, as {plural(prepared.n_ligands, 'ligand')}: {output}",
        soft_wrap=True,
    )


def _prepared_molecules(
    source: Path, options: "LigandOptions", start: int
) -> "Iterator[PreparedMolecule]":
    """Yield what became of each molecule of a library, from one index on, under progress."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from osong.library import read_records

    screen = error_console()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("preparing")
        for record in read_records(source, start=start):
            bar.update(task, description=f"{plural(record.index, 'molecule')} prepared")
            yield _prepared(record, options)


def _prepared(record: "Record", options: "LigandOptions") -> "PreparedMolecule":
    """Return a molecule's ligands, or why there are none."""
    from osong.library import PreparedMolecule

    try:
        ligands = tuple(prepare_record(record, options))
    except LigandError as error:
        return PreparedMolecule(
            record.index, record.name, record.source, error=one_line(error), stage=error.stage
        )
    return PreparedMolecule(record.index, record.name, record.source, ligands)


def _print_failed(folder: Path) -> None:
    """Print the failures by stage, with the first of each as an example."""
    from osong.library import read_prepared

    failed = [molecule for molecule in read_prepared(folder) if molecule.stage]
    print_failures([(molecule.stage, molecule.name, molecule.error) for molecule in failed])
