"""The options that commands share: what to dock to, how ligands are made ready, how to search."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from osong.errors import InputError

if TYPE_CHECKING:
    from osong.box import Box
    from osong.ligands import LigandOptions
    from osong.receptor import Target

__all__ = [
    "Effort",
    "LibraryChoice",
    "LigandChoice",
    "Runner",
    "Scoring",
    "SearchChoice",
    "TargetChoice",
    "WorkersOption",
]

WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        "-j",
        min=1,
        metavar="N",
        help="Molecules at a time, a core each; as many as this job may use by default.",
    ),
]

Effort = Literal["fast", "balanced", "thorough"]
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
        from osong.receptor import Target
        from osong.receptor.archive import is_archive

        if self.target is not None:
            if self.receptor is not None:
                raise InputError("give either --receptor FILE or --target NAME, not both")
            self._refuse_changes(self.target)
            return self._with_box(Target.named(self.target))
        if self.receptor is None:
            raise InputError(
                "nothing to dock to: give --receptor FILE (with --ligand-box, --residues or "
                "--center and --size), or --target NAME"
            )
        if not self.receptor.is_file():
            raise InputError(f"{self.receptor}: there is no such file; check --receptor")
        if ".pdbqt" in (suffix.lower() for suffix in self.receptor.suffixes):
            self._refuse_changes(str(self.receptor))
        if is_archive(self.receptor):
            self._refuse_changes(str(self.receptor))
            return self._with_box(Target.load(self.receptor))
        return Target.from_file(
            self.receptor,
            box=self._given_box(),
            ligand=self.ligand_box,
            residues=_words(self.residues) or None,
            padding=self.padding,
            ph=self.receptor_ph,
            keep_waters=self.keep_waters,
            hydrogens=self.hydrogens,
            keep=_words(self.keep),
            remove=_words(self.remove),
        )

    def _refuse_changes(self, receptor: str) -> None:
        """Refuse to change a receptor that is taken as it is, rather than not do it."""
        if self.hydrogens != "auto" or self.keep or self.remove:
            raise InputError(
                f"{receptor}: is ready and taken as it is; --hydrogens, --keep and --remove need "
                "the structure itself as --receptor FILE (PDB or mmCIF)"
            )

    def _given_box(self) -> "Box | None":
        from osong.box import Box

        if self.center is None and self.size is None:
            return None
        if self.center is None or self.size is None:
            missing = "--center X Y Z" if self.center is None else "--size A B C"
            raise InputError(f"a box needs both centre and size: add {missing}")
        return Box(center=self.center, size=self.size)

    def _with_box(self, target: "Target") -> "Target":
        """Return a target that has a box already, with another one where one was asked for."""
        from osong.box import Box

        box = self._given_box()
        asked = [box is not None, self.ligand_box is not None, self.residues is not None]
        if sum(asked) > 1:
            raise InputError("give one box: --ligand-box, --residues, or --center and --size")
        if self.ligand_box is not None:
            if not Path(self.ligand_box).is_file():
                raise InputError(
                    f"--ligand-box {self.ligand_box}: there is no such file, and a prepared "
                    "receptor holds no ligands; give a ligand file"
                )
            box = Box.around(self.ligand_box, self.padding)
        elif self.residues is not None:
            raise InputError(
                "--residues needs the structure itself: give it as --receptor FILE "
                "(PDB, mmCIF or PDBQT)"
            )
        return target if box is None else replace(target, box=box)


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
