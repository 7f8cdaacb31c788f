"""Types and torsions are those of Meeko and Vina; pairs are the distances that torsions change."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from osong.atom_types import ATOM_TYPES
from osong.ligands import PackedLigand, pack_pose
from osong.ligands.atom_typing import type_atoms
from osong.ligands.torsions import active_torsions

if TYPE_CHECKING:
    from pathlib import Path


def _packed(smiles: str) -> PackedLigand:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=1) == 0
    return pack_pose(mol).packed


@pytest.mark.parametrize(
    ("smiles", "n_torsions", "torsion_count"),
    [
        ("c1ccccc1", 0, 0.0),
        ("CC", 0, 0.0),
        ("CCCC", 1, 1.0),
        ("CCO", 0, 0.5),  # the hydroxyl turns a hydrogen only
        ("CO", 0, 0.0),
        ("CC(=O)NC", 0, 0.0),  # amide, methyls
        ("CCN(C)C(C)=O", 2, 2.0),  # a tertiary amide with two faces turns
        ("CN(C)C(C)=O", 0, 0.0),
        ("CCC#CCC", 1, 1.0),  # the two bonds at the alkyne share one axis
        ("CCC#N", 0, 0.0),
        ("C[NH3+]", 0, 0.0),
        ("CC[NH3+]", 0, 0.5),
        ("c1ccccc1-c1ccccc1", 1, 1.0),
        ("FC(F)(F)CC", 1, 1.0),
        ("OCC1CCCCC1O", 1, 2.0),
    ],
)
def test_torsions(smiles: str, n_torsions: int, torsion_count: float) -> None:
    packed = _packed(smiles)
    assert packed.n_torsions == n_torsions
    assert packed.torsion_count == torsion_count


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("CCO", {"C_H": 1, "C_P": 1, "O_DA": 1}),
        ("c1ccncc1", {"C_H": 3, "C_P": 2, "N_A": 1}),
        ("c1cc[nH]c1", {"C_H": 2, "C_P": 2, "N_D": 1}),
        ("CC(=O)N(C)C", {"C_H": 1, "C_P": 3, "N_P": 1, "O_A": 1}),
        ("CN", {"C_P": 1, "N_DA": 1}),
        ("C[NH3+]", {"C_P": 1, "N_D": 1}),
        ("CS(C)=O", {"C_P": 2, "S_P": 1, "O_A": 1}),
        ("CC(F)(Cl)Br", {"C_H": 1, "C_P": 1, "F_H": 1, "Cl_H": 1, "Br_H": 1}),
        ("OB(O)c1ccccc1", {"O_DA": 2, "C_P": 1, "C_H": 6}),
        ("C[Si](C)(C)C", {"C_P": 4, "Si": 1}),
        ("C[Se]C", {"C_P": 2, "S_P": 1}),
    ],
)
def test_vina_types(smiles: str, expected: dict[str, int]) -> None:
    packed = _packed(smiles)
    assert (packed.atom_type[packed.n_scored :] == -1).all()
    found = Counter(ATOM_TYPES[k].name for k in packed.atom_type[: packed.n_scored])
    assert dict(found) == expected


FLEXIBLE = (
    "CC(C)C[C@H](NC(=O)c1ccccc1O)C(=O)NCCc1ccc(O)cc1",
    "OCC(O)CN1CCN(CC1)c1ccccc1C#CCCO",
    "CCOC(=O)C(Cc1ccccc1)(C(F)(F)F)S(=O)(=O)N",
    "NC(=[NH2+])NCCCC(C(=O)[O-])[NH3+]",
)


def _turned(packed: PackedLigand, rng: np.random.Generator) -> np.ndarray:
    """Turn every torsion by a random angle, the plain way: children first."""
    coords = packed.coords[0].astype(float)
    below = {s: {s} for s in range(len(packed.parent))}
    for s in range(len(packed.parent) - 1, 0, -1):
        below[int(packed.parent[s])] |= below[s]
    for s in range(1, len(packed.parent)):
        a, b = packed.axis_atoms[s]
        axis = (coords[b] - coords[a]) / np.linalg.norm(coords[b] - coords[a])
        angle = rng.uniform(0.5, 5.5)
        moving = np.isin(packed.segment, list(below[s]))
        v = coords[moving] - coords[b]
        coords[moving] = (
            v * np.cos(angle)
            + np.cross(axis, v) * np.sin(angle)
            + np.outer(v @ axis, axis) * (1 - np.cos(angle))
            + coords[b]
        )
    return coords


@pytest.mark.parametrize("smiles", FLEXIBLE)
def test_pairs_are_the_far_atoms_whose_distance_torsions_change(smiles: str) -> None:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMolecule(mol, randomSeed=7)
    ligand = pack_pose(mol)
    packed = ligand.packed
    rng = np.random.default_rng(3)
    n = packed.n_scored
    changes = np.zeros((n, n))
    at_rest = np.linalg.norm(packed.coords[0][:n, None] - packed.coords[0][None, :n], axis=-1)
    for _ in range(4):
        turned = _turned(packed, rng)[:n]
        distance = np.linalg.norm(turned[:, None] - turned[None], axis=-1)
        changes = np.maximum(changes, abs(distance - at_rest))
    bonds_apart = Chem.GetDistanceMatrix(ligand.mol())[np.ix_(
        packed.atom_index[:n], packed.atom_index[:n]
    )]  # fmt: skip
    expected = {
        (int(i), int(j)) for i, j in np.argwhere(np.triu((changes > 1e-3) & (bonds_apart > 3), 1))
    }
    listed = {(int(i), int(j)) for i, j in packed.pairs}
    # Atoms on one line with an alkyne's axis keep their distance although the rules cannot know.
    assert expected <= listed
    assert len(listed - expected) <= (12 if "#" in smiles else 0)
    turned = _turned(packed, rng)
    for bond in ligand.mol().GetBonds():
        ends = [int(np.flatnonzero(packed.atom_index == k)[0])
                for k in (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())]  # fmt: skip
        before, after = (
            np.linalg.norm(c[ends[0]] - c[ends[1]]) for c in (packed.coords[0], turned)
        )
        assert after == pytest.approx(before, abs=1e-4)


@pytest.mark.parametrize("smiles", FLEXIBLE)
def test_the_packed_arrays_hold_what_they_promise(smiles: str) -> None:
    packed = _packed(smiles)
    assert packed.parent[0] == -1
    assert all(packed.parent[s] < s for s in range(1, len(packed.parent)))
    for s in range(1, len(packed.parent)):
        inner, outer = packed.axis_atoms[s]
        assert packed.segment[inner] == packed.parent[s]
        assert packed.segment[outer] == s
        assert max(inner, outer) < packed.n_scored
    assert sorted(packed.atom_index.tolist()) == list(range(packed.n_atoms))
    assert (packed.pairs[:, 0] < packed.pairs[:, 1]).all()
    assert packed.pairs.max() < packed.n_scored
    assert (np.diff(packed.segment[: packed.n_scored]) >= 0).all()
    dtypes = {
        name: getattr(packed, name).dtype.name
        for name in ("coords", "atom_type", "charge", "segment", "parent", "axis_atoms", "pairs")
    }
    assert dtypes == {
        "coords": "float32", "atom_type": "int8", "charge": "float32", "segment": "int16",
        "parent": "int16", "axis_atoms": "int16", "pairs": "int16",
    }  # fmt: skip
    assert len(packed.key) == 16
    assert packed.charge.sum() == pytest.approx(
        Chem.GetFormalCharge(Chem.MolFromSmiles(smiles)), abs=0.05
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_types_and_torsions_are_those_of_meeko(shared_data: Path) -> None:
    meeko = pytest.importorskip("meeko")
    preparation = meeko.MoleculePreparation(rigid_macrocycles=True)
    lines = (shared_data / "library" / "chembl_drugs.smi").read_text().splitlines()
    compared = 0
    for smiles in Random(11).sample([line.split()[0] for line in lines if line.strip()], 150):
        mol = Chem.MolFromSmiles(smiles)
        if mol is None or "." in smiles:
            continue
        mol = Chem.AddHs(mol)
        conformer = Chem.Conformer(mol.GetNumAtoms())
        conformer.SetPositions(np.random.default_rng(1).uniform(size=(mol.GetNumAtoms(), 3)) * 9.0)
        mol.AddConformer(conformer)
        (setup,) = preparation.prepare(mol)
        ours = type_atoms(mol, Chem.GetAdjacencyMatrix(mol))
        theirs = [atom.atom_type for atom in setup.atoms]
        connections = setup.flexibility_model["rigid_body_connectivity"].values()
        assert list(ours.autodock) == theirs, smiles
        bonds = {tuple(sorted(bond)) for bond in connections}
        assert set(active_torsions(mol, ours.autodock)) == bonds, smiles
        compared += 1
    assert compared > 60
