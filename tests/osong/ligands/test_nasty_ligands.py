"""Awkward and broken molecules end as a ligand or as a reason, never as anything else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rdkit import Chem, rdBase

from osong.errors import LigandError
from osong.ligands import STAGES, LigandOptions, PreparedLigand, prepare_ligand

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# One isomer and few conformers: what is tested is that nothing escapes, not how much is made.
QUICK = LigandOptions(
    max_stereoisomers=1, max_conformers=2, max_macrocycle_conformers=2, embed_timeout_s=10
)


def _ends_well(mol_or_smiles: Chem.Mol | str) -> bool:
    """Return whether it became ligands; anything but a reason otherwise fails the test."""
    failure: LigandError | None = None
    ligands: list[PreparedLigand] = []
    try:
        ligands = prepare_ligand(mol_or_smiles, options=QUICK)
    except LigandError as error:
        failure = error
    if failure is not None:
        assert failure.stage in STAGES
        assert str(failure).strip()
        assert "\n" not in str(failure)
        return False
    for ligand in ligands:
        assert np.isfinite(ligand.packed.coords).all()
        assert np.isfinite(ligand.packed.charge).all()
        assert ligand.mol().GetNumAtoms() == ligand.packed.n_atoms
        json.dumps(ligand.notes)
    return True


def test_handwritten_smiles(shared_data: Path) -> None:
    lines = (shared_data / "nasty" / "smiles" / "handwritten_smiles.tsv").read_text().splitlines()
    wrong = []
    for line in lines:
        if line.startswith("#") or line.count("\t") < 2:
            continue
        smiles, expect, why = line.split("\t")[:3]
        became = _ends_well(smiles.split()[0] if smiles.split() else "")
        if became != (expect == "keep") and expect != "odd":
            wrong.append((smiles, expect, why))
    assert not [entry for entry in wrong if entry[1] == "reject"]
    # What is kept by a chemist's judgement but fails here, fails with a reason.
    assert len(wrong) <= 12, wrong


def _molecules(folder: Path) -> Iterator[Chem.Mol]:
    for path in sorted(folder.iterdir()):
        if not path.stat().st_size:
            continue
        with rdBase.BlockLogs():
            if path.suffix == ".mol2":
                mols = [Chem.MolFromMol2File(str(path), sanitize=False, removeHs=False)]
            else:
                mols = list(Chem.SDMolSupplier(str(path), sanitize=False, removeHs=False))
        yield from (mol for mol in mols if mol is not None)


@pytest.mark.slow
def test_nasty_molecule_files(shared_data: Path) -> None:
    outcomes = [_ends_well(mol) for mol in _molecules(shared_data / "nasty" / "mol")]
    assert len(outcomes) > 150
    assert any(outcomes)
    assert not all(outcomes)
