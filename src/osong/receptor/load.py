"""A receptor file and a wish for a box: the receptor, the box, and what was changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from osong.box import Box
from osong.errors import BoxError, InputError, ReceptorError
from osong.receptor.coordinates import ligand_coords
from osong.receptor.options import ReceptorOptions
from osong.receptor.pdbqt import read_pdbqt
from osong.receptor.prepare import prepare_receptor
from osong.receptor.report import Change
from osong.receptor.residues import ADDITIVES, STANDARD, WATERS
from osong.receptor.selection import find_ligand, remove_overlapping
from osong.receptor.structure import read_structure

if TYPE_CHECKING:
    from osong.receptor.model import Receptor
    from osong.receptor.structure import Residue

__all__ = ["BoxRequest", "load_receptor", "receptor_options"]

_LIGAND_SUFFIXES: Final = (".sdf", ".sd", ".mol", ".mol2", ".pdb", ".ent", ".pdbqt", ".cif")
_BOX_FLAGS: Final = "--center and --size, --ligand-box or --residues"
_NEAR_BOX_ANGSTROM: Final = 2.0


@dataclass(frozen=True)
class BoxRequest:
    """How the caller wants the box: itself, around a ligand, or around residues."""

    box: Box | None
    ligand: str | Path | None
    residues: tuple[str, ...] | None
    padding: float

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.residues is not None and (self.box is not None or self.ligand is not None):
            raise BoxError("give residues= alone, or box=, or ligand=: not several")

    @property
    def ligand_file(self) -> Path | None:
        """The ligand's file, None where it is a residue of the structure or not given."""
        if self.ligand is None:
            return None
        path = Path(self.ligand)
        suffixes = [s.lower() for s in path.suffixes if s.lower() != ".gz"]
        looks_like_file = bool(suffixes) and suffixes[-1] in _LIGAND_SUFFIXES
        return path if looks_like_file or path.is_file() else None


def receptor_options(**values: Any) -> ReceptorOptions:
    """Return the settings, or an error in one line."""
    try:
        return ReceptorOptions(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise InputError(f"receptor option {name}={first['input']!r}: {first['msg']}") from error


def load_receptor(
    path: Path, request: BoxRequest, options: ReceptorOptions
) -> tuple[Receptor, Box, list[Change]]:
    """Return a prepared receptor, its box, and every change, from a file of any kind.

    Raises
    ------
    ReceptorError, BoxError
        As :meth:`osong.Target.from_file` says.
    """
    is_pdbqt = any(suffix.lower() == ".pdbqt" for suffix in path.suffixes)
    if is_pdbqt:
        return _load_pdbqt(path, request)
    residues, changes = read_structure(path)
    try:
        box, residues = _find_box(path, residues, request, changes)
        _report_occupied_box(box, residues, request, changes)
        return prepare_receptor(residues, options, changes), box, changes
    except ReceptorError as error:
        if str(error).startswith(str(path)):
            raise
        raise ReceptorError(f"{path}: {error}") from error


def _load_pdbqt(path: Path, request: BoxRequest) -> tuple[Receptor, Box, list[Change]]:
    receptor, changes = read_pdbqt(path)
    if request.box is not None:
        return receptor, request.box, changes
    if request.residues is not None:
        return receptor, Box.from_residues(path, request.residues, request.padding), changes
    if request.ligand_file is not None:
        return receptor, Box.around(request.ligand_file, request.padding), changes
    if request.ligand is not None:
        raise BoxError(
            f"{path}: a PDBQT receptor is taken as it is, so '{request.ligand}' cannot be taken "
            "out of it; give box= or a ligand file, or prepare from PDB or mmCIF"
        )
    raise BoxError(
        f"{path}: no box; give box=, ligand= (a file) or residues=['A:123', ...] ({_BOX_FLAGS})"
    )


def _find_box(
    path: Path, residues: list[Residue], request: BoxRequest, changes: list[Change]
) -> tuple[Box, list[Residue]]:
    """Return the box, and the structure without the ligand that was named."""
    file = request.ligand_file
    if request.residues is not None:
        return Box.from_residues(path, request.residues, request.padding), residues
    if file is not None:
        coords, _ = ligand_coords(file)
        residues = remove_overlapping(residues, coords, changes)
        return request.box or Box.around(coords, request.padding), residues
    if request.ligand is not None:
        ligand, copies = find_ligand(residues, str(request.ligand))
        text = "the ligand that defines the box" if request.box is None else "the ligand"
        changes.append(Change("removed", ligand.label, text))
        changes.extend(Change("removed", c.label, "another copy of the ligand") for c in copies)
        gone = {id(residue) for residue in (ligand, *copies)}
        residues = [residue for residue in residues if id(residue) not in gone]
        return request.box or Box.around(ligand.coords, request.padding), residues
    if request.box is None:
        raise BoxError(
            f"{path}: no box; give box=, ligand= ({_ligand_names(residues)}) or "
            f"residues=['A:123', ...] ({_BOX_FLAGS})"
        )
    return request.box, residues


def _ligand_names(residues: list[Residue]) -> str:
    names = {
        f"{r.chain}:{r.name}:{r.number}"
        for r in residues
        if r.name not in STANDARD | WATERS | ADDITIVES.keys() and len(r.atoms) > 5
    }
    return "here: " + ", ".join(sorted(names)[:12]) if names else "a file"


def _report_occupied_box(
    box: Box, residues: list[Residue], request: BoxRequest, changes: list[Change]
) -> None:
    """Say when a het group fills the site: it may be the very ligand to be docked again."""
    if request.ligand is not None:
        return
    for residue in residues:
        is_group = residue.name not in STANDARD | WATERS | ADDITIVES.keys()
        in_a_chain = residue.has("N", "CA", "C") or residue.has("P", "C1'", "O3'")
        if (
            is_group
            and not in_a_chain
            and len(residue.atoms) > 5
            and bool(box.contains(residue.coords).any())
        ):
            text = (
                f"lies in the box and stays in the receptor; if it is the ligand, "
                f"give remove=['{residue.name}'] (--remove {residue.name})"
            )
            changes.append(Change("occupied box", residue.label, text))
