"""`osong explain`: why a pose scores as it does, by term and by atom."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from osong.cli.expand import expand_options
from osong.cli.options import Scoring, TargetChoice
from osong.cli.terminal import console, make_table, number, one_line, plural
from osong.errors import InputError, LigandError

if TYPE_CHECKING:
    from rich.table import Table

    from osong.receptor import Target
    from osong.scoring import Score

__all__ = ["explain"]

_SHORT = {"repulsion": "repuls.", "hydrophobic": "hydroph.", "hydrogen_bond": "H-bond"}


@expand_options
def explain(
    poses: Annotated[
        Path, typer.Argument(metavar="POSES", help="SDF, MOL2 or PDBQT file with 3D coordinates.")
    ],
    pose: Annotated[
        int | None,
        typer.Option("--pose", "-p", min=1, metavar="N", help="Only the Nth of the file."),
    ] = None,
    atoms: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Atoms to show, those that matter most first."),
    ] = 12,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="All atoms of all poses, as CSV."),
    ] = None,
    scoring: Annotated[Scoring, typer.Option(help="Scoring function.")] = "vina",
    *,
    target: TargetChoice,
) -> None:
    """Say why a pose scores as it does: by term and by atom, without moving it.

    `osong explain poses.sdf --target EGFR --pose 1`

    `osong explain crystal_ligand.sdf -r receptor.pdbqt --ligand-box crystal_ligand.sdf`
    """
    if not poses.is_file():
        raise InputError(f"{poses}: there is no such file; give poses as SDF, MOL2 or PDBQT")
    scores, n_failed = _scores(poses, pose, target.load(), scoring)
    if output is not None and scores:
        _write_atoms(scores, output)
    if len(scores) == 1:
        _print_one(*scores[0], n_atoms=atoms)
    elif scores:
        _print_many(scores)
    if n_failed:
        raise typer.Exit(1)


def _scores(
    path: Path, pose: int | None, target: "Target", scoring: Scoring
) -> "tuple[list[tuple[str, Score]], int]":
    """Return the named scores of a file's poses, and how many could not be scored."""
    from osong.library import parse_record, read_records
    from osong.scoring import score

    start, stop = (0, None) if pose is None else (pose - 1, pose)
    scores: list[tuple[str, Score]] = []
    n_failed = 0
    for record in read_records(path, start=start, stop=stop):
        try:
            scores.append((record.name, score(target, parse_record(record), scoring=scoring)))
        except (LigandError, InputError) as error:
            n_failed += 1
            typer.echo(f"osong: not scored: {record.source}: {one_line(error)}", err=True)
    if not scores and not n_failed:
        raise InputError(f"{path}: there is no pose {pose}; the file has fewer")
    return scores, n_failed


def _print_one(name: str, score: "Score", n_atoms: int) -> None:
    """Print terms and atoms of one pose."""
    out = console()
    out.print(f"{name}: {number(score.total)} kcal/mol ({score.scoring})", soft_wrap=True)
    terms = [
        (term.replace("_", " "), number(energy, 3))
        for term, energy in score.terms.items()
        if term != "cap" or number(abs(energy), 3) != number(0.0, 3)
    ]
    rotors = f"x {score.torsion_factor:.3f} for {score.torsion_count:g} rotors"
    rows = [
        *terms,
        (),
        ("together", number(score.inter, 3)),
        (rotors, number(score.total, 3)),
        (),
        ("within the ligand (not counted)", number(score.intra, 3)),
    ]
    out.print(make_table(("between ligand and receptor", ">kcal/mol"), rows))
    if n_atoms:
        out.print(_atom_table(score, n_atoms))


def _atom_table(score: "Score", n_atoms: int) -> "Table":
    """Return the atoms that matter most: attracted most or repelled most, best first."""
    atoms = score.atoms
    terms = [name for name in score.terms if name in atoms.columns]
    matter = atoms.loc[atoms["energy"].abs().nlargest(n_atoms).index].sort_values("energy")
    title = f"{len(matter)} of {plural(len(atoms), 'heavy atom')}"
    rows = [
        (
            f"{row['element']}{int(row['atom']) + 1}",
            str(row["type"]),
            *(number(float(row[term]), 3) for term in ("energy", *terms)),
        )
        for row in matter.to_dict("records")
    ]
    return make_table(("atom", "type", ">kcal/mol", *_headings(terms)), rows, title)


def _print_many(scores: "list[tuple[str, Score]]") -> None:
    """Print a row a pose."""
    terms = [t for t in scores[0][1].terms if t != "cap"]
    rows = []
    for index, (name, score) in enumerate(scores, start=1):
        values = (score.total, score.inter, score.intra, *(score.terms[t] for t in terms))
        rows.append((str(index), name, *(number(value) for value in values)))
    out = console()
    headings = (">#", "name", ">kcal/mol", ">inter", ">intra", *_headings(terms))
    out.print(make_table(headings, rows))
    out.print("One pose by its atoms: --pose N", soft_wrap=True)


def _headings(terms: "Sequence[str]") -> list[str]:
    """Return the headings of columns of terms, short enough for a terminal."""
    return [">" + _SHORT.get(term, term) for term in terms]


def _write_atoms(scores: "list[tuple[str, Score]]", path: Path) -> None:
    """Write every atom of every pose."""
    import pandas as pd

    from osong.whole_files import write_whole

    tables = [
        score.atoms.assign(pose=index, name=name)
        for index, (name, score) in enumerate(scores, start=1)
    ]
    columns = ["pose", "name", *scores[0][1].atoms.columns]
    write_whole(path, pd.concat(tables, ignore_index=True)[columns].to_csv(index=False))
