"""The options that commands share: what to dock to, how ligands are made ready, how to search."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from osong.errors import InputError

if TYPE_CHECKING:
    from osong.ligands import LigandOptions
    from osong.receptor import Target

__all__ = [
    "Backend",
    "Effort",
    "LibraryChoice",
    "LigandChoice",
    "Runner",
    "Scoring",
    "ScreenEffort",
    "SearchChoice",
    "TargetChoice",
    "WorkersOption",
]


def _at_least_one(n: int | None) -> int | None:
    if n is not None and n < 1:
        raise InputError(f"--workers {n}: give a number of at least 1, or leave it out")
    return n


WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        "-j",
        callback=_at_least_one,
        metavar="N",
        help="Molecules at a time, a core each; as many as this job may use by default.",
    ),
]

Backend = Literal["auto", "cpu", "cuda"]
Effort = Literal["fast", "balanced", "thorough"]
ScreenEffort = Literal["score", "fast", "balanced", "thorough"]
Hydrogens = Literal["auto", "keep", "replace"]
Kind = Literal["smiles", "csv", "tsv", "parquet", "sdf", "mol2", "pdbqt"]
Scoring = Literal["vina", "vinardo"]
Runner = Literal["local", "serial"]

_TARGET = "Target: what to dock to, and where"
_LIBRARY = "Library: how its files are read"
_LIGANDS = "Ligands: how they are made ready"
_SEARCH = "Search"


@dataclass(frozen=True)
class TargetChoice:
    """The receptor and its box as they were asked for."""

    receptor: Annotated[
        Path | None,
        typer.Option(
            "--receptor",
            "-r",
            metavar="FILE",
            help="PDB, mmCIF or PDBQT file (also .gz), or a file of `osong prepare target`.",
            rich_help_panel=_TARGET,
        ),
    ] = None
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            metavar="NAME",
            help="A receptor with box by name, such as EGFR (needs osong[dockstring]).",
            rich_help_panel=_TARGET,
        ),
    ] = None
    ligand_box: Annotated[
        str | None,
        typer.Option(
            "--ligand-box",
            "-l",
            metavar="FILE|RESNAME",
            help="Box around this ligand: a file, or a residue name in the structure.",
            rich_help_panel=_TARGET,
        ),
    ] = None
    residues: Annotated[
        str | None,
        typer.Option(
            metavar="A:123,...",
            help="Box around these residues (chain:number).",
            rich_help_panel=_TARGET,
        ),
    ] = None
    padding: Annotated[
        float,
        typer.Option(
            metavar="A",
            help="Angstrom around the ligand or the residues.",
            rich_help_panel=_TARGET,
        ),
    ] = 4.0
    center: Annotated[
        tuple[float, float, float] | None,
        typer.Option(metavar="X Y Z", help="Centre of the box, angstrom.", rich_help_panel=_TARGET),
    ] = None
    size: Annotated[
        tuple[float, float, float] | None,
        typer.Option(
            metavar="A B C",
            help="Full edge lengths of the box, angstrom.",
            rich_help_panel=_TARGET,
        ),
    ] = None
    receptor_ph: Annotated[
        float,
        typer.Option(
            metavar="PH", help="pH of the receptor's protonation.", rich_help_panel=_TARGET
        ),
    ] = 7.4
    keep_waters: Annotated[
        bool,
        typer.Option(
            "--keep-waters", help="Keep the waters of the structure.", rich_help_panel=_TARGET
        ),
    ] = False
    hydrogens: Annotated[
        Hydrogens,
        typer.Option(
            help="Hydrogens of the structure; auto: keep them if most residues have some.",
            rich_help_panel=_TARGET,
        ),
    ] = "auto"
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="RESNAME,...",
            help="Keep these residues though they are additives.",
            rich_help_panel=_TARGET,
        ),
    ] = None
    remove: Annotated[
        str | None,
        typer.Option(
            metavar="RESNAME,...",
            help="Remove these residues from the structure.",
            rich_help_panel=_TARGET,
        ),
    ] = None

    def load(self) -> "Target":
        """Return the target that the options describe."""
        from osong.receptor.choose import TargetRequest, choose_target

        request = TargetRequest(
            receptor=self.receptor,
            name=self.target,
            ligand_box=self.ligand_box,
            residues=tuple(_words(self.residues)),
            padding=self.padding,
            center=self.center,
            size=self.size,
            ph=self.receptor_ph,
            keep_waters=self.keep_waters,
            hydrogens=self.hydrogens,
            keep=tuple(_words(self.keep)),
            remove=tuple(_words(self.remove)),
        )
        return choose_target(request, _option)


def _option(field: str) -> str:
    """Return how the command line writes a wish."""
    return "--target" if field == "name" else "--" + field.replace("_", "-")


def _words(text: str | None) -> list[str]:
    """Return the items of a list with commas or blanks; none where it was not given."""
    return text.replace(",", " ").split() if text else []


@dataclass(frozen=True)
class LibraryChoice:
    """How the files of a library are read, where their names and headers do not tell."""

    smiles_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|N",
            help="Column of the SMILES in a table: its name, or its number from 0.",
            rich_help_panel=_LIBRARY,
        ),
    ] = None
    name_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|N",
            help="Column of the names in a table, or data item of an SD file.",
            rich_help_panel=_LIBRARY,
        ),
    ] = None
    kind: Annotated[
        Kind | None,
        typer.Option(
            help="What the files are, whatever they are called.", rich_help_panel=_LIBRARY
        ),
    ] = None

    def reading(self) -> dict[str, Any]:
        """Return what was given, as options of ``osong.library.read_records``."""
        given = {
            "smiles_column": _column(self.smiles_column),
            "name_column": _column(self.name_column),
            "kind": self.kind,
        }
        return {name: value for name, value in given.items() if value is not None}


def _column(text: str | None) -> str | int | None:
    return int(text) if text is not None and text.isdecimal() else text


@dataclass(frozen=True)
class LigandChoice:
    """How ligands are made ready, as it was asked for."""

    ph: Annotated[
        str,
        typer.Option(
            metavar="PH|auto|none",
            help="pH of the protonation states; auto: 7.4 unless the file has hydrogens; "
            "none: as drawn.",
            rich_help_panel=_LIGANDS,
        ),
    ] = "auto"
    max_protomers: Annotated[
        int,
        typer.Option(metavar="N", help="Protonation states a molecule.", rich_help_panel=_LIGANDS),
    ] = 1
    max_stereoisomers: Annotated[
        int,
        typer.Option(metavar="N", help="Stereoisomers where unassigned.", rich_help_panel=_LIGANDS),
    ] = 4
    tautomers: Annotated[
        bool, typer.Option("--tautomers", help="Try tautomers too.", rich_help_panel=_LIGANDS)
    ] = False
    max_conformers: Annotated[
        int,
        typer.Option(metavar="N", help="Geometries of each state.", rich_help_panel=_LIGANDS),
    ] = 6
    embed_timeout_s: Annotated[
        int,
        typer.Option(
            metavar="S", help="Seconds for the conformers of a state.", rich_help_panel=_LIGANDS
        ),
    ] = 60
    keep_geometry: Annotated[
        bool,
        typer.Option(
            "--keep-geometry",
            help="Keep bond lengths, angles and rings of the input's coordinates.",
            rich_help_panel=_LIGANDS,
        ),
    ] = False

    def options(self) -> "LigandOptions":
        """Return the checked options."""
        from pydantic import ValidationError

        from osong.ligands import LigandOptions

        try:
            return LigandOptions(
                ph=self._ph(),
                max_protomers=self.max_protomers,
                max_stereoisomers=self.max_stereoisomers,
                tautomers=self.tautomers,
                max_conformers=self.max_conformers,
                embed_timeout_s=self.embed_timeout_s,
                keep_geometry=self.keep_geometry,
            )
        except ValidationError as error:
            first = error.errors()[0]
            option = "--" + str(first["loc"][0]).replace("_", "-")
            raise InputError(f"{option} {first['input']}: {first['msg']}") from error

    def _ph(self) -> float | Literal["auto"] | None:
        if self.ph == "auto":
            return "auto"
        if self.ph == "none":
            return None
        try:
            return float(self.ph)
        except ValueError:
            raise InputError(f"--ph {self.ph}: give a number, 'auto' or 'none'") from None


@dataclass(frozen=True)
class SearchChoice:
    """How to search, as it was asked for."""

    scoring: Annotated[Scoring, typer.Option(help="Scoring function.", rich_help_panel=_SEARCH)] = (
        "vina"
    )
    n_poses: Annotated[
        int,
        typer.Option(
            "--n-poses", "-n", min=1, metavar="N", help="Poses a ligand.", rich_help_panel=_SEARCH
        ),
    ] = 3
    seed: Annotated[
        int,
        typer.Option(
            metavar="N", help="The same seed gives the same poses.", rich_help_panel=_SEARCH
        ),
    ] = 0
