"""The tables of a campaign file: their keys, what each may be, and what holds without it."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, field_validator

from osong.ligands.options import LigandOptions
from osong_workflows.settings import DEFAULT_MODELS
from osong_workflows.strategy import ActiveStrategy

__all__ = [
    "Budget",
    "CampaignTables",
    "LigandTable",
    "OutputKind",
    "Outputs",
    "ReadingTable",
    "RunTable",
    "SearchTable",
    "TargetTable",
    "n_bytes",
]

_NONE: Final = "none"
"""How None stands in TOML, which has no word for it."""
_UNITS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGTP]?)(i?)B", re.IGNORECASE)
_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

OutputKind: TypeAlias = Literal["sdf", "csv", "parquet", "smiles"]


def n_bytes(value: object) -> object:
    """Return the bytes of a size with its unit.

    Examples
    --------
    >>> n_bytes("50 GB"), n_bytes("1.5GiB"), n_bytes("2 kB")
    (50000000000, 1610612736, 2000)

    Raises
    ------
    ValueError
        It is no such size.
    """
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or not (size := Decimal(found[1])):
        raise ValueError('should be a size with its unit, such as "50 GB" or "512 MiB"')
    return int(size * (1024 if found[3] else 1000) ** _UNITS[found[2].lower()])


def _words(value: object) -> object:
    """Return a list of words where one text has them all, as on the command line."""
    if isinstance(value, str):
        return tuple(value.replace(",", " ").split())
    return tuple(value) if isinstance(value, list) else value


def _three(value: object) -> object:
    """Check three numbers; what pydantic says of lists that are too short helps nobody."""
    items = tuple(value) if isinstance(value, list) else ()
    if len(items) != 3 or not all(type(item) in (int, float) for item in items):
        raise ValueError("should be three numbers, in angstrom, such as [1.5, 20.0, -3.0]")
    return items


Size = Annotated[int, BeforeValidator(n_bytes), PlainSerializer(lambda size: f"{size} B")]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Vector = Annotated[tuple[float, float, float], BeforeValidator(_three)]


class _Table(BaseModel):
    """A table: frozen, refuses keys that it does not know, turns no type into another."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TargetTable(_Table):
    """What to dock to: as ``osong.receptor.choose.TargetRequest``.

    Attributes
    ----------
    receptor
        PDB, mmCIF or PDBQT file, or a file of ``osong prepare target``.
    name
        A receptor that comes with its box, by name.
    label
        What results and, with several targets, folders are called.
    ligand_box, residues, padding, center, size
        Where to search; angstrom.
    ph, keep_waters, hydrogens, keep, remove
        How a structure is made ready.
    """

    receptor: str | None = None
    name: str | None = None
    label: str | None = None
    ligand_box: str | None = None
    residues: Words = ()
    padding: float = Field(default=4.0, ge=0)
    center: Vector | None = None
    size: Vector | None = None
    ph: float = Field(default=7.4, ge=0, le=14)
    keep_waters: bool = False
    hydrogens: Literal["auto", "keep", "replace"] = "auto"
    keep: Words = ()
    remove: Words = ()

    @field_validator("label")
    @classmethod
    def _is_safe(cls, label: str | None) -> str | None:
        """Check that a label can be the name of a folder, and of that folder only."""
        if label is not None and not _LABEL.fullmatch(label):
            raise ValueError(
                "should be up to 64 letters, digits, '.', '_' and '-', the first a letter or digit"
            )
        return label

    @field_validator("size")
    @classmethod
    def _is_positive(cls, size: tuple[float, float, float] | None) -> Any:
        if size is not None and min(size) <= 0:
            raise ValueError("should have edges longer than 0 angstrom")
        return size


class SearchTable(_Table):
    """How to search: as for ``osong.screen``."""

    rescore: Literal["gnina"] | None = None
    rescore_models: str = DEFAULT_MODELS
    effort: Literal["score", "fast", "balanced", "thorough"] = "fast"
    scoring: Literal["vina", "vinardo"] = "vina"
    n_poses: int = Field(default=3, ge=1, le=1000)
    seed: int = Field(default=0, ge=0, lt=2**63)


class LigandTable(LigandOptions):
    """How molecules are made ready: ``osong.ligands.LigandOptions``; TOML has no None."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @field_validator("ph", mode="before")
    @classmethod
    def _is_ph(cls, value: object) -> object:
        if value == _NONE:
            return None
        if value == "auto" or (isinstance(value, int | float) and not isinstance(value, bool)):
            return value
        raise ValueError(f'should be a number, "auto" or "{_NONE}"')


class ReadingTable(_Table):
    """How the library's files are read, where their names and headers do not tell."""

    smiles_column: str | int | None = None
    name_column: str | int | None = None
    kind: Literal["smiles", "csv", "tsv", "parquet", "sdf", "mol2", "pdbqt"] | None = None

    def given(self) -> dict[str, str | int]:
        """Return what was said, as options of ``osong.library.read_records``."""
        return self.model_dump(exclude_none=True)


class Budget(_Table):
    """What the campaign may take; it changes no result, but for molecules that are given up.

    Attributes
    ----------
    core_hours
        Of all targets together.
    disk
        Bytes of all campaign folders together.
    memory_per_worker
        Bytes that the docking of one molecule may take.
    molecule_timeout_s
        Seconds after which a molecule is given up.
    """

    core_hours: float | None = Field(default=None, gt=0)
    disk: Size | None = None
    memory_per_worker: Size | None = None
    molecule_timeout_s: float = Field(default=600.0, gt=0)


class RunTable(_Table):
    """Where it runs; energies of one backend and the other differ by rounding.

    Attributes
    ----------
    backend
        "cpu", "cuda" (NVIDIA devices, or an error where they cannot be used), or "auto".
    """

    backend: Literal["auto", "cpu", "cuda"] = "auto"


class Outputs(_Table):
    """What is written when a campaign is finished.

    Attributes
    ----------
    hits
        How many molecules, best first.
    n_poses
        Poses of each in the SD file.
    files
        Which files.
    """

    hits: int = Field(default=1000, ge=1)
    n_poses: int = Field(default=1, ge=1, le=1000)
    files: tuple[OutputKind, ...] = ("sdf", "csv")


class CampaignTables(_Table):
    """A campaign file as it is written.

    Attributes
    ----------
    library
        A file or folder of molecules, or a prepared library.
    out
        The folder for results.
    target
        What to dock to, one or several.
    strategy
        Which molecules are docked; all, if there is none.
    """

    library: str
    out: str | None = None
    target: tuple[TargetTable, ...] = Field(min_length=1)
    strategy: ActiveStrategy | None = None
    search: SearchTable = SearchTable()
    ligands: LigandTable = LigandTable()
    reading: ReadingTable = ReadingTable()
    run: RunTable = RunTable()
    budget: Budget = Budget()
    outputs: Outputs = Outputs()
