"""Vina's pairs at rings of three and four atoms, which it finds by a walk of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from osong import Box
from osong.ligands import pack_pdbqt, pack_pose, pdbqt_string
from osong.ligands.vina_neighbours import neighbours
from osong.receptor import Target
from osong.scoring import score

RECEPTOR = """\
ATOM      1  N   ALA A   1      -9.000   0.000   0.000  1.00  0.00    -0.300 N
ATOM      2  HN  ALA A   1      -9.500   0.800   0.000  1.00  0.00     0.200 HD
ATOM      3  C   ALA A   1       9.000   0.000   0.000  1.00  0.00     0.100 C
TER
"""
SMALL_RINGS = [
    "OC(=O)C1CN(c2ccccc2C)C1",  # azetidine with two substituents: pairs three bonds apart count
    "CCOC1CC(C(=O)NCC)C1",
    "CCC1(CO)CC1CCN",
    "CC(C)OC1CC2(C1)CCN2CC",
    "CCN1CC2(C1)COC2CO",
    "O=C(CC1CC1)NCC1CCCC1",
]


def ring(n: int) -> np.ndarray:
    bonded = np.zeros((n, n), np.int32)
    for k in range(n):
        bonded[k, (k + 1) % n] = bonded[(k + 1) % n, k] = 1
    return bonded


def test_without_small_rings_neighbours_are_three_bonds_away() -> None:
    near = neighbours(ring(9), np.zeros((9, 3)), np.arange(9))
    distance = np.abs(np.arange(9)[:, None] - np.arange(9)[None])
    assert (near == (np.minimum(distance, 9 - distance) <= 3)).all()


def test_a_square_hides_what_hangs_on_its_corner() -> None:
    bonded = np.zeros((7, 7), np.int32)
    for i, j in ((0, 1), (1, 2), (2, 3), (3, 0), (2, 4), (4, 5), (0, 6)):
        bonded[i, j] = bonded[j, i] = 1
    near = neighbours(bonded, np.zeros((7, 3)), np.arange(7))
    # 1-2-4-5 is three bonds, but Vina comes to 2 by way of 0 and 3 first and stops there.
    assert not near[1, 5]
    assert near[0, 4]


def test_the_longest_side_of_a_triangle_is_no_bond() -> None:
    bonded = np.zeros((5, 5), np.int32)
    for i, j in ((0, 1), (1, 2), (2, 0), (2, 3), (3, 4)):
        bonded[i, j] = bonded[j, i] = 1
    long_02 = np.array([[0.0, 0, 0], [0.7, 0.1, 0], [1.5, 0, 0], [3, 0, 0], [4.5, 0, 0]])
    assert not neighbours(bonded, long_02, np.arange(5))[0, 4]
    long_01 = np.array([[0.0, 0, 0], [1.5, 0, 0], [0.7, 0.1, 0], [3, 0, 0], [4.5, 0, 0]])
    assert neighbours(bonded, long_01, np.arange(5))[0, 4]


@pytest.mark.parametrize("scoring", ["vina", "vinardo"])
@pytest.mark.parametrize("smiles", SMALL_RINGS)
def test_intramolecular_energy_is_vinas(smiles: str, scoring: str, tmp_path: Path) -> None:
    vina = pytest.importorskip("vina")
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=3) == 0
    positions = mol.GetConformer().GetPositions()
    mol.GetConformer().SetPositions(positions - positions.mean(axis=0))
    ligand = pack_pose(mol)
    text = pdbqt_string(ligand)
    receptor = tmp_path / "receptor.pdbqt"
    receptor.write_text(RECEPTOR)
    engine = vina.Vina(sf_name=scoring, cpu=1, seed=1, verbosity=0)
    engine.set_receptor(str(receptor))
    engine.set_ligand_from_string(text)
    engine.compute_vina_maps([0.0, 0.0, 0.0], [24.0, 24.0, 24.0], spacing=1.0)
    wanted = engine.score()[5]
    target = Target.from_file(receptor, box=Box((0.0, 0.0, 0.0), (24.0, 24.0, 24.0)))
    # Vina reads its pair terms from a table; the pairs at stake here are worth 0.1 and more.
    assert score(target, ligand, scoring).intra == pytest.approx(wanted, abs=0.02)
    assert score(target, pack_pdbqt(text), scoring).intra == pytest.approx(wanted, abs=0.02)
