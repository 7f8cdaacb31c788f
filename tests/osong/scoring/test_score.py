"""`osong.score`: sums, tables, invariances, and what it says to nonsense."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem
from rdkit.Geometry import Point3D

import osong
from osong.errors import InputError, LigandError
from osong.ligands import pack_pose
from osong.receptor import Receptor
from osong.scoring import scoring_function

TERMS = ("gauss1", "gauss2", "repulsion", "hydrophobic", "hydrogen_bond")


def receptor_of(coords: Any, types: list[int]) -> Receptor:
    n = len(types)
    text = np.array(["X"] * n)
    return Receptor(
        np.array(coords, np.float32).reshape(n, 3), np.array(types, np.int8),
        np.zeros(n, np.float32), text, text, text, text, text, text,
    )  # fmt: skip


def molecule(smiles: str = "CC(=O)Nc1ccc(OC)cc1") -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=11) == 0
    mol.SetProp("_Name", "phenacetin's cousin")
    return mol


def moved(mol: Chem.Mol, m: npt.NDArray[np.float64], shift: npt.NDArray[np.float64]) -> Chem.Mol:
    copy = Chem.Mol(mol)
    positions = copy.GetConformer().GetPositions() @ m.T + shift
    for i, (x, y, z) in enumerate(positions.tolist()):
        copy.GetConformer().SetAtomPosition(i, Point3D(x, y, z))
    return copy


@pytest.fixture(scope="module")
def mol() -> Chem.Mol:
    return molecule()


@pytest.fixture(scope="module")
def target() -> osong.Target:
    """Two hundred atoms of all types around the molecule, some clashing with it."""
    rng = np.random.default_rng(3)
    coords = rng.uniform(-9, 9, (200, 3))
    types = rng.integers(-1, 19, 200).tolist()
    return osong.Target(receptor_of(coords, types), osong.Box((0, 0, 0), (20, 20, 20)), "made up")


def test_methane_and_one_carbon_by_hand() -> None:
    methane = Chem.MolFromMolBlock(Chem.MolToMolBlock(molecule("C")), removeHs=False)
    centre = methane.GetConformer().GetPositions()[0]
    carbon = receptor_of(centre + np.array([3.9, 0.0, 0.0]), [0])
    target = osong.Target(carbon, osong.Box(tuple(centre), (10, 10, 10)))
    score = osong.score(target, methane)
    expected = -0.035579 * np.exp(-0.04) - 0.005156 * np.exp(-(1.45**2)) - 0.035069
    assert score.total == pytest.approx(expected, abs=1e-5)
    assert (score.intra, score.torsion_count, score.torsion_factor) == (0.0, 0.0, 1.0)
    assert score.terms["hydrophobic"] == pytest.approx(-0.035069, abs=1e-6)
    assert len(score.atoms) == 1


@pytest.mark.parametrize("scoring", ["vina", "vinardo"])
def test_parts_add_up(target: osong.Target, mol: Chem.Mol, scoring: str) -> None:
    score = osong.score(target, mol, scoring)
    assert set(score.terms) == {*TERMS, "cap"}
    assert sum(score.terms.values()) == pytest.approx(score.inter, abs=1e-9)
    assert score.total == pytest.approx(score.inter * score.torsion_factor, abs=1e-12)
    assert score.terms["cap"] < 0.0  # there are clashes, and a limit to what they cost
    assert score.scoring == scoring
    atoms = score.atoms
    assert atoms["energy"].sum() == pytest.approx(score.inter, abs=1e-9)
    for term in TERMS:
        assert atoms[term].sum() == pytest.approx(score.terms[term], abs=1e-9)
    assert atoms["atom"].tolist() == [a.GetIdx() for a in mol.GetAtoms() if a.GetAtomicNum() > 1]
    assert atoms["element"].tolist() == [a.GetSymbol() for a in mol.GetAtoms() if a.GetIdx() < 12]
    assert f"total={score.total:.3f}" in repr(score)


def test_moving_everything_changes_nothing(target: osong.Target, mol: Chem.Mol) -> None:
    before = osong.score(target, mol)
    m, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))
    m *= np.linalg.det(m)
    shift = np.array([12.0, -7.0, 3.5])
    coords = target.receptor.coords.astype(float) @ m.T + shift
    there = osong.Target(
        replace(target.receptor, coords=coords.astype(np.float32)),
        osong.Box(tuple(shift), (20, 20, 20)),
    )
    after = osong.score(there, moved(mol, m, shift))
    # float32 keeps coordinates of some 20 A to 1e-6 A
    assert after.inter == pytest.approx(before.inter, rel=1e-4)
    assert after.intra == pytest.approx(before.intra, abs=1e-4)
    for term in TERMS:
        assert after.terms[term] == pytest.approx(before.terms[term], rel=1e-4, abs=1e-4)


def test_order_of_receptor_atoms_does_not_matter(target: osong.Target, mol: Chem.Mol) -> None:
    order = np.random.default_rng(5).permutation(target.receptor.n_atoms)
    shuffled = receptor_of(target.receptor.coords[order], target.receptor.atom_type[order].tolist())
    there = osong.Target(shuffled, target.box)
    assert osong.score(there, mol).total == pytest.approx(osong.score(target, mol).total, abs=1e-9)


def test_order_of_ligand_atoms_does_not_matter(target: osong.Target, mol: Chem.Mol) -> None:
    order = np.random.default_rng(6).permutation(mol.GetNumAtoms()).tolist()
    other = Chem.RenumberAtoms(mol, order)
    one, two = osong.score(target, mol), osong.score(target, other)
    assert two.inter == pytest.approx(one.inter, abs=1e-6)
    assert two.intra == pytest.approx(one.intra, abs=1e-6)
    by_atom = two.atoms.set_index("atom")["energy"]
    for _, row in one.atoms.iterrows():
        assert by_atom[order.index(int(row["atom"]))] == pytest.approx(row["energy"], abs=1e-6)


def test_hydrogens_carry_no_energy(target: osong.Target, mol: Chem.Mol) -> None:
    """Those that the molecule lacks are added, so that types are right; positions do not count."""
    bare = Chem.RemoveHs(mol)
    assert osong.score(target, bare).inter == pytest.approx(
        osong.score(target, mol).inter, abs=1e-6
    )


def test_the_box_does_not_matter(target: osong.Target, mol: Chem.Mol) -> None:
    small = osong.Target(target.receptor, osong.Box((5, 5, 5), (1, 1, 1)))
    assert osong.score(small, mol).total == osong.score(target, mol).total


def test_far_away_is_zero(target: osong.Target, mol: Chem.Mol) -> None:
    far = moved(mol, np.eye(3), np.array([100.0, 0.0, 0.0]))
    score = osong.score(target, far)
    assert score.total == 0.0
    assert score.intra == pytest.approx(osong.score(target, mol).intra, abs=1e-4)


def test_coincident_atoms_score_below_the_cap(mol: Chem.Mol) -> None:
    positions = mol.GetConformer().GetPositions()[:12]
    target = osong.Target(receptor_of(positions, [0] * 12), osong.Box((0, 0, 0), (20, 20, 20)))
    score = osong.score(target, mol)
    assert np.isfinite(score.total)
    assert 0.0 < score.inter < 12 * 1000.0


def test_prepared_ligand_and_molecule_score_alike(target: osong.Target, mol: Chem.Mol) -> None:
    assert osong.score(target, pack_pose(mol)).total == osong.score(target, mol).total


@pytest.mark.parametrize(
    ("smiles", "count"),
    [
        ("C", 0.0),
        ("CC", 0.0),
        ("c1ccccc1", 0.0),
        ("CCCC", 1.0),
        ("CCc1ccccc1", 1.0),
        ("CC(=O)NC", 0.0),  # amide bonds are rigid
    ],
)
def test_torsion_counts(target: osong.Target, smiles: str, count: float) -> None:
    score = osong.score(target, molecule(smiles))
    assert score.torsion_count == count
    assert score.torsion_factor == scoring_function("vina").torsion_factor(count)


def test_no_coordinates(target: osong.Target) -> None:
    with pytest.raises(InputError, match=r"no coordinates.*osong\.dock"):
        osong.score(target, Chem.MolFromSmiles("CCO"))


def test_nan_coordinates(target: osong.Target, mol: Chem.Mol) -> None:
    broken = Chem.Mol(mol)
    broken.GetConformer().SetAtomPosition(2, Point3D(float("nan"), 0.0, 0.0))
    with pytest.raises(LigandError):
        osong.score(target, broken)


def test_two_molecules(target: osong.Target) -> None:
    salt = Chem.AddHs(Chem.MolFromSmiles("CC(=O)O.CN"))
    assert AllChem.EmbedMolecule(salt, randomSeed=1) == 0
    with pytest.raises(LigandError, match="more than one molecule"):
        osong.score(target, salt)


def test_unknown_scoring(target: osong.Target, mol: Chem.Mol) -> None:
    with pytest.raises(InputError, match="choose one of"):
        osong.score(target, mol, scoring="autodock")


def test_no_atoms(target: osong.Target) -> None:
    empty = Chem.Mol()
    empty.AddConformer(Chem.Conformer(0))
    with pytest.raises(LigandError):
        osong.score(target, empty)
