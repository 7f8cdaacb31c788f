"""`osong prepare target` and `osong prepare library`."""

from pathlib import Path
from typing import Annotated

import typer

from osong.cli.expand import expand_options
from osong.cli.failures import Stopped
from osong.cli.inputs import library_path
from osong.cli.options import LibraryChoice, LigandChoice, TargetChoice, WorkersOption
from osong.cli.terminal import console, plural, print_failures

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
    workers: WorkersOption = None,
    timeout: Annotated[
        float, typer.Option(metavar="S", help="Seconds after which a molecule is given up.")
    ] = 600.0,
    *,
    reading: LibraryChoice,
    choice: LigandChoice,
) -> None:
    """Make a library ready once, as Parquet shards: states, conformers, types and torsions.

    Every molecule has its rows: its ligands, or the stage and the reason of its failure. The same
    command again goes on where the last one stopped.

    `osong prepare library molecules.smi.gz -o prepared`
    """
    from osong.campaigns import prepare_library as run

    source = library_path(library)
    try:
        prepared = run(
            source,
            output,
            options=choice.options(),
            workers=workers,
            molecule_timeout_s=timeout,
            **reading.reading(),
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


def _print_failed(folder: Path) -> None:
    """Print the failures by stage, with the first of each as an example."""
    from osong.library import read_prepared

    failed = [molecule for molecule in read_prepared(folder) if molecule.stage]
    print_failures([(molecule.stage, molecule.name, molecule.error) for molecule in failed])
