"""Which acids and bases of the protein carry a proton at a pH, by PROPKA's pKa values."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING, Any, Final

from osong.errors import MissingExtraError
from osong.receptor.report import Change
from osong.receptor.residues import AMINO_ACIDS
from osong.receptor.structure import Residue
from osong.receptor.vina_types import METALS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osong.receptor.structure import Atom

__all__ = ["MODEL_PKA", "predict_pka"]

MODEL_PKA: Final = {"ASP": 3.8, "GLU": 4.5, "HIS": 6.5, "CYS": 9.0, "LYS": 10.5, "TYR": 10.0}
"""pKa of each side chain in water (Olsson et al. 2011, doi:10.1021/ct100578z)."""

_RESIDUES_PER_CHAIN: Final = 9000
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def predict_pka(residues: Sequence[Residue], changes: list[Change]) -> dict[int, float]:
    """Return the pKa of each titratable side chain, by index of its residue.

    Where PROPKA cannot handle the structure the values of free amino acids in water are used
    and the report says so.
    """
    titratable = [i for i, residue in enumerate(residues) if residue.name in MODEL_PKA]
    if not titratable:
        return {}
    model = {i: MODEL_PKA[residues[i].name] for i in titratable}
    try:
        found = _run_propka(residues)
    # PROPKA raises what its arithmetic meets in structures that it did not expect.
    except (ValueError, KeyError, IndexError, AttributeError, TypeError, ArithmeticError) as error:
        text = f"PROPKA failed ({type(error).__name__}: {error}); pKa of free amino acids used"
        changes.append(Change("protonation", "", text))
        return model
    return model | {i: pka for i, pka in found.items() if i in model}


def _run_propka(residues: Sequence[Residue]) -> dict[int, float]:
    try:
        from propka.input import read_molecule_file, read_parameter_file
        from propka.lib import loadOptions
        from propka.molecular_container import MolecularContainer
        from propka.parameters import Parameters
    except ImportError as error:
        raise MissingExtraError(
            "propka", extra="receptor", purpose="protonation at a pH"
        ) from error
    log = logging.getLogger("propka")
    level = log.level
    log.setLevel(logging.CRITICAL)  # it comments on every atom that it does not know
    try:
        options = loadOptions(["--quiet", "--log-level", "CRITICAL", "receptor.pdb"])
        parameters = read_parameter_file(options.parameters, Parameters())
        stream = io.StringIO(_pdb_text(residues))
        container = MolecularContainer(parameters, options)
        container = read_molecule_file("receptor.pdb", container, stream=stream)
        container.calculate_pka()
    finally:
        log.setLevel(level)
    return _side_chain_pka(container, residues)


def _side_chain_pka(container: Any, residues: Sequence[Residue]) -> dict[int, float]:
    found: dict[int, float] = {}
    for group in container.conformations["AVR"].groups:
        if group.residue_type not in ("ASP", "GLU", "HIS", "CYS", "LYS", "TYR"):
            continue
        block = _LETTERS.index(group.atom.chain_id)
        index = block * _RESIDUES_PER_CHAIN + group.atom.res_num - 1
        if residues[index].name == group.residue_type:
            found[index] = float(group.pka_value)
    return found


def _pdb_text(residues: Sequence[Residue]) -> str:
    """Return the amino acids and metal ions as PDB, numbered by index from 1."""
    from osong.receptor.repair import pdb_line

    lines: list[str] = []
    serial, chain = 0, ""
    for index, residue in enumerate(residues):
        is_metal = {a.element for a in residue.atoms.values()} <= set(METALS)
        if residue.name not in AMINO_ACIDS and not is_metal:
            continue
        if chain and residue.chain != chain:
            lines.append("TER")
        chain = residue.chain
        letter = _LETTERS[(index // _RESIDUES_PER_CHAIN) % 26]
        number = index % _RESIDUES_PER_CHAIN + 1
        for atom in _known_atoms(residue).values():
            serial += 1
            line = pdb_line(serial, atom, residue.name, letter, number)
            lines.append(line.replace("ATOM  ", "HETATM", 1) if is_metal else line)
    return "\n".join([*lines, "TER", "END", ""])


def _known_atoms(residue: Residue) -> Mapping[str, Atom]:
    if residue.name not in AMINO_ACIDS:
        return residue.atoms
    known = {*AMINO_ACIDS[residue.name], "OXT"}
    return {name: atom for name, atom in residue.atoms.items() if name in known}
