from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from osong_benchmarks.complexes import Complex, in_shard
from osong_benchmarks.pose_distance import heavy_atom_rmsd
from osong_benchmarks.redock import choose
from osong_benchmarks.redock_summary import accuracy_table, energy_table, speed_table


def embedded(smiles: str) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=7) == 0
    return mol


def moved(mol: Chem.Mol, shift: list[float]) -> Chem.Mol:
    copy = Chem.Mol(mol)
    copy.GetConformer().SetPositions(copy.GetConformer().GetPositions() + np.array(shift))
    return copy


def test_rmsd_moves_nothing() -> None:
    mol = embedded("CCOc1ccccc1")
    assert heavy_atom_rmsd(moved(mol, [3.0, 4.0, 0.0]), mol) == pytest.approx(5.0, abs=1e-4)


def test_rmsd_knows_symmetry() -> None:
    mol = embedded("FC(F)(F)c1ccc(O)cc1")
    ring = list(mol.GetSubstructMatch(Chem.MolFromSmarts("FC(F)(F)c1ccccc1")))
    turned = Chem.Mol(mol)
    positions = turned.GetConformer().GetPositions()
    f1, f2, f3 = ring[0], ring[2], ring[3]
    positions[[f1, f2, f3]] = positions[[f2, f3, f1]]
    turned.GetConformer().SetPositions(positions)
    assert heavy_atom_rmsd(turned, mol) == pytest.approx(0.0, abs=1e-4)


def test_rmsd_with_other_protonation() -> None:
    neutral = embedded("OC(=O)CCc1c[nH]cn1")
    charged = Chem.AddHs(Chem.MolFromSmiles("[O-]C(=O)CCc1c[nH+]c[nH]1"))
    match = neutral.GetSubstructMatch(Chem.MolFromSmarts("OC(=O)CCc1cncn1"))
    same = charged.GetSubstructMatch(Chem.MolFromSmarts("OC(=O)CCc1cncn1"))
    positions = np.zeros((charged.GetNumAtoms(), 3))
    positions[list(same)] = neutral.GetConformer().GetPositions()[list(match)]
    conformer = Chem.Conformer(charged.GetNumAtoms())
    conformer.SetPositions(positions + np.array([0.0, 0.0, 1.5]))
    charged.AddConformer(conformer)
    assert heavy_atom_rmsd(charged, neutral) == pytest.approx(1.5, abs=1e-4)


def test_rmsd_refuses_another_molecule() -> None:
    with pytest.raises(ValueError, match="not the same molecule"):
        heavy_atom_rmsd(embedded("CCO"), embedded("CCN"))


def test_the_rule_of_the_set() -> None:
    def one(name: str, source: str, torsions: int = 3, *flags: str) -> Complex:
        return Complex(name, Path(name), source, torsions, flags)

    everything = [
        one("p1", "posebusters"),
        one("a1", "adgpu42", 20, "very_flexible"),
        one("p2", "posebusters", 13),
        one("p3", "posebusters", 4, "fragment"),
        one("r1", "rawpdb"),
        one("p4", "posebusters", 12),
        one("a2", "adgpu42"),
        one("a3", "adgpu42", 5, "fragment"),
    ]
    assert [c.name for c in choose(everything, 64)] == ["a2", "a3", "p1", "p4"]
    assert [c.name for c in choose(everything, 3)] == ["a2", "a3", "p1"]


def test_shards_are_a_partition() -> None:
    items = list(range(11))
    shards = [in_shard(items, f"{k}/3") for k in (1, 2, 3)]
    assert sorted(item for shard in shards for item in shard) == items
    for wrong in ("0/3", "4/3", "1", "a/b"):
        with pytest.raises(ValueError, match="--shard"):
            in_shard(items, wrong)


def row(name: str, program: str, rmsd: float, energy: float, dock_s: float) -> dict[str, Any]:
    return {
        "complex": name,
        "program": program,
        "rmsd": [rmsd, 1.0],
        "energies": [energy],
        "rescored": {"total": energy, "inter": energy * 1.2, "intra": -0.5},
        "cpu": {"prepare": 0.5, "maps": 0.5, "dock": dock_s},
        "n_conformers": 1 if name == "a" else 3,
    }


ROWS = [
    row("a", "osong", 0.5, -8.0, 0.5),
    row("a", "vina", 2.5, -7.0, 9.5),
    row("b", "osong", 3.0, -6.0, 1.5),
    row("b", "vina", 1.0, -6.5, 19.5),
    row("c", "osong", 0.1, -9.0, 1.0),  # Vina has not docked it yet
]


def test_accuracy_counts_shared_complexes_only() -> None:
    lines = accuracy_table(ROWS).splitlines()
    assert lines[2].startswith("| osong | 50 % (1 of 2) |")
    assert lines[3].startswith("| vina | 50 % (1 of 2) |")
    assert "100 % (2 of 2)" in lines[2]


def test_energies_are_compared_pair_by_pair() -> None:
    lines = energy_table(ROWS).splitlines()
    assert lines[2].startswith("| osong | all | 50 % (1 of 2) | 50 % (1 of 2) |")
    assert lines[3].startswith("| osong | with one ring conformer | 100 % (1 of 1) |")


def test_speed_is_of_totals_and_of_medians() -> None:
    lines = speed_table(ROWS).splitlines()
    # Docking: Vina 9.5 and 19.5 s, Osong 0.5 and 1.5 s; maps and preparation add 0.5 s each.
    assert "| 14.5 | 16.0 | 10.0 | 10.0 | 7.8 | 7.6 |" in lines[2]
