"""Read a structure file into residues: one model, one location and one name for each atom."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import gemmi
import numpy as np
import numpy.typing as npt

from osong.errors import ReceptorError
from osong.receptor.pdbqt import read_text
from osong.receptor.report import Change
from osong.receptor.residues import AMINO_ACIDS, RENAMED, STANDARD

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Atom", "Residue", "read_structure"]

_BACKBONE_NAMES: Final = {"OT1": "O", "OT2": "OXT", "O1": "O", "O2": "OXT", "OT": "OXT"}
_NUCLEOTIDE_NAMES: Final = {"O1P": "OP1", "O2P": "OP2", "C5M": "C7"}
_MANY_LOCATIONS_ANGSTROM: Final = 0.3


@dataclass(frozen=True)
class Atom:
    """One atom of a structure: name, element symbol, position in angstrom, occupancy."""

    name: str
    element: str
    position: npt.NDArray[np.float64]
    occupancy: float = 1.0


@dataclass
class Residue:
    """One residue under preparation: heavy atoms by name, and the hydrogens of the file.

    ``given_name`` is the name in the file, which may tell a protonation state (``HIE``).
    """

    name: str
    chain: str
    number: str
    atoms: dict[str, Atom]
    hydrogens: list[Atom] = field(default_factory=list)
    given_name: str = ""
    is_polymer: bool = False

    @property
    def label(self) -> str:
        """``chain:name number``, as reports say it."""
        return f"{self.chain}:{self.name} {self.number}" if self.chain else self.plain_label

    @property
    def plain_label(self) -> str:
        """``name number``."""
        return f"{self.name} {self.number}"

    @property
    def coords(self) -> npt.NDArray[np.float64]:
        """(n, 3) float64, angstrom, of the heavy atoms."""
        return np.array([atom.position for atom in self.atoms.values()]).reshape(-1, 3)

    def has(self, *names: str) -> bool:
        """Return whether all these atoms are there."""
        return all(name in self.atoms for name in names)


def read_structure(path: Path) -> tuple[list[Residue], list[Change]]:
    """Return the residues of a PDB or mmCIF file's first model, and what was chosen on the way.

    Raises
    ------
    ReceptorError
        The file is unreadable, damaged, or holds no macromolecular structure.
    """
    changes: list[Change] = []
    structure = _parse(path, read_text(path))
    if not len(structure) or not any(len(chain) for chain in structure[0]):
        raise ReceptorError(f"{path}: no atoms in it; give a PDB or mmCIF file with coordinates")
    if len(structure) > 1:
        changes.append(Change("model", "", f"first of {len(structure)} models used"))
    residues: list[Residue] = []
    for chain in structure[0]:
        for group in _by_number(chain):
            residue = _one_residue(chain.name, group, path, changes)
            if residue is not None:
                residues.append(residue)
    return residues, changes


def _parse(path: Path, text: str) -> Any:
    """Return the gemmi structure, whatever the file is called."""
    is_cif = re.search(r"^\s*data_", text[:20000], re.MULTILINE) and "ATOM  " not in text[:6]
    try:
        if not is_cif:
            _check_pdb_lines(path, text)
            return gemmi.read_pdb_string(text)
        document = gemmi.cif.read_string(text)
        block = next((b for b in document if b.find_values("_atom_site.id")), None)
        if block is None:
            raise ReceptorError(
                f"{path}: this CIF has no _atom_site coordinates of a macromolecule (a chemical "
                "component or reflection file?); give the structure's mmCIF"
            )
        return gemmi.make_structure_from_block(block)
    except (RuntimeError, ValueError, IndexError, UnicodeError) as error:
        if isinstance(error, ReceptorError):
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise ReceptorError(
            f"{path}: damaged or cut off ({reason}); fetch the file again"
        ) from error


def _check_pdb_lines(path: Path, text: str) -> None:
    """Refuse atoms whose line is cut off or whose coordinates are not numbers."""
    n_atoms = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith(("ATOM  ", "HETATM")):
            continue
        n_atoms += 1
        try:
            values = [float(line[i : i + 8]) for i in (30, 38, 46)]
        except ValueError as error:
            raise ReceptorError(
                f"{path}:{number}: the coordinates cannot be read (line cut off or columns "
                "shifted); mend the line or fetch the file again"
            ) from error
        if not all(map(math.isfinite, values)):
            raise ReceptorError(
                f"{path}:{number}: the coordinates are not numbers; mend or remove the atom"
            )
    if not n_atoms:
        raise ReceptorError(
            f"{path}: no ATOM or HETATM record; give a PDB, mmCIF or PDBQT file of a receptor"
        )


def _by_number(chain: Any) -> list[list[Any]]:
    """Return the residues of a chain, those of one number together (alternative residues)."""
    groups: list[list[Any]] = []
    for residue in chain:
        last = groups[-1][0] if groups else None
        alternates = any(atom.altloc != "\0" for atom in residue)
        if last is not None and alternates and str(last.seqid) == str(residue.seqid):
            groups[-1].append(residue)
        else:
            groups.append([residue])
    return groups


def _one_residue(chain: str, group: list[Any], path: Path, changes: list[Change]) -> Residue | None:
    """Return one residue with one location for each atom."""
    best = max(group, key=lambda r: np.mean([atom.occ for atom in r]) if len(r) else -1.0)
    given = best.name.strip().upper()
    name = RENAMED.get(given, given)
    residue = Residue(name, chain.strip(), str(best.seqid).strip(), {}, given_name=given)
    residue.is_polymer = name in STANDARD
    if len({r.name for r in group}) > 1:
        others = ", ".join(sorted({r.name for r in group} - {best.name}))
        text = f"also modelled as {others}: the more occupied {best.name} kept"
        changes.append(Change("alternate location", residue.label, text))
    kept, dropped = _choose_locations(best)
    if dropped:
        changes.append(Change("alternate location", residue.label, dropped))
    for raw in kept:
        atom = _atom(raw, name, path, residue.label)
        if atom is None:
            text = f"atom {raw.name} of no known element removed"
            changes.append(Change("removed", residue.label, text))
        elif atom.element in ("H", "D"):
            residue.hydrogens.append(Atom(atom.name, "H", atom.position, atom.occupancy))
        else:
            _add_atom(residue, atom, changes)
    deuterium = sum(1 for raw in kept if raw.element.name == "D")
    if deuterium:
        changes.append(Change("deuterium", residue.label, f"{deuterium} D treated as H"))
    zero = [atom.name for atom in residue.atoms.values() if atom.occupancy == 0.0]
    if zero:
        text = f"occupancy 0, position uncertain, kept: {' '.join(zero)}"
        changes.append(Change("zero occupancy", residue.label, text))
    return residue if residue.atoms else None


def _choose_locations(residue: Any) -> tuple[list[Any], str]:
    """Return one location of each atom: those of the location that is occupied most."""
    occupancy: dict[str, list[float]] = defaultdict(list)
    for atom in residue:
        if atom.altloc != "\0":
            occupancy[atom.altloc].append(atom.occ)
    if not occupancy:
        return list(residue), ""
    # Occupancies are given to two digits: sums are compared so, and ties go to the first letter.
    ranked = sorted(occupancy, key=lambda a: (-round(float(np.mean(occupancy[a])), 3), a))
    rank = {"\0": -1, **{altloc: i for i, altloc in enumerate(ranked)}}
    chosen: dict[str, Any] = {}
    plain: list[Any] = []
    for atom in residue:
        if atom.altloc == "\0":
            plain.append(atom)
        elif atom.name not in chosen or rank[atom.altloc] < rank[chosen[atom.name].altloc]:
            chosen[atom.name] = atom
    if len(occupancy) == 1 and len(chosen) == len(occupancy[ranked[0]]):
        return list(residue), ""
    best = ranked[0]
    text = (
        f"locations {', '.join(sorted(occupancy))}: {best} kept "
        f"(occupancy {float(np.mean(occupancy[best])):.2f})"
    )
    keep = {id(atom) for atom in (*plain, *chosen.values())}
    return [atom for atom in residue if id(atom) in keep], text


def _atom(raw: Any, residue_name: str, path: Path, label: str) -> Atom | None:
    """Return an atom with its standard name and a sure element, None where there is none."""
    position = np.array(raw.pos.tolist(), dtype=np.float64)
    if not np.isfinite(position).all():
        raise ReceptorError(
            f"{path}: {label} {raw.name}: the coordinates are not numbers; mend or remove the atom"
        )
    name, element = raw.name.strip(), raw.element.name
    if residue_name in AMINO_ACIDS:
        name = _BACKBONE_NAMES.get(name, name)
        if residue_name == "ILE" and name == "CD":
            name = "CD1"
    elif residue_name in STANDARD:
        name = _NUCLEOTIDE_NAMES.get(name, name).replace("*", "'")
    if residue_name in STANDARD and element not in ("Se", "D"):
        # Files without an element column: a standard residue's CA is no calcium.
        letter = name.lstrip("0123456789")[:1]
        element = letter if letter in ("C", "N", "O", "S", "P", "H") else element
    return None if element == "X" else Atom(name, element, position, float(raw.occ))


def _add_atom(residue: Residue, atom: Atom, changes: list[Change]) -> None:
    """Add an atom; of two with one name at one place the second goes."""
    if atom.name not in residue.atoms:
        residue.atoms[atom.name] = atom
        return
    distance = float(np.linalg.norm(residue.atoms[atom.name].position - atom.position))
    if distance < _MANY_LOCATIONS_ANGSTROM or residue.name in STANDARD:
        text = f"second atom named {atom.name} removed ({distance:.1f} A from the first)"
        changes.append(Change("removed", residue.label, text))
        return
    residue.atoms[f"{atom.name}#{len(residue.atoms)}"] = atom
