"""Small structures that the tests of receptors are made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rdkit import Chem
from rdkit.Chem import AllChem


def _atom_lines(mol: Chem.Mol) -> list[str]:
    block = Chem.MolToPDBBlock(mol, flavor=4 | 8)
    return [line for line in block.splitlines() if line.startswith(("ATOM", "HETATM"))]


@pytest.fixture(scope="session")
def peptide_lines() -> Callable[[str], list[str]]:
    """Return the heavy-atom PDB lines of a peptide in chain A, numbered from 1."""

    def build(sequence: str) -> list[str]:
        mol = Chem.AddHs(Chem.MolFromSequence(sequence))
        assert AllChem.EmbedMolecule(mol, randomSeed=7, useRandomCoords=True) == 0
        AllChem.MMFFOptimizeMolecule(mol, maxIters=300)  # embedding alone leaves bonds off by 0.2 A
        return _atom_lines(Chem.RemoveHs(mol))

    return build


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes lines to a file and returns its path."""

    def to_file(lines: list[str], name: str = "structure.pdb") -> Path:
        path = tmp_path / name
        path.write_text("\n".join([*lines, "END", ""]))
        return path

    return to_file
