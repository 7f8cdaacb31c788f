"""Local minimisation of a pose, and its score on the grid."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

import osong
from osong.receptor.model import Receptor
from osong.receptor.report import PreparationReport
from osong.search import minimize


@pytest.fixture
def target() -> osong.Target:
    """Return a shell of carbon and oxygen atoms around an empty box."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(120, 3))
    coords = 6.0 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    n = len(coords)
    types = np.where(np.arange(n) % 3 == 0, 8, 0).astype(np.int8)  # O_A and C_H
    text = np.array(["X"] * n)
    receptor = Receptor(coords.astype(np.float32), types, np.zeros(n, np.float32), *([text] * 6))
    box = osong.Box(center=(0.0, 0.0, 0.0), size=(9.0, 9.0, 9.0))
    return osong.Target(
        receptor=receptor, box=box, name="shell", report=PreparationReport(source="shell")
    )


@pytest.fixture
def ethanolamine() -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles("NCCO"))
    assert AllChem.EmbedMolecule(mol, randomSeed=7) == 0
    return mol


def test_goes_downhill_and_stays_in_the_box(target: osong.Target, ethanolamine: Chem.Mol) -> None:
    before = osong.score(target, ethanolamine)
    pose = minimize(target, ethanolamine)
    assert pose.inter + pose.intra < before.inter + before.intra - 0.01
    heavy = pose.coords[: pose.ligand.packed.n_scored]
    assert target.box.contains(heavy).all()


def test_minimum_is_a_fixed_point(target: osong.Target, ethanolamine: Chem.Mol) -> None:
    pose = minimize(target, ethanolamine)
    again = minimize(target, pose.mol)
    assert again.inter + again.intra == pytest.approx(pose.inter + pose.intra, abs=2e-3)


def test_reported_energy_is_that_of_the_score(target: osong.Target, ethanolamine: Chem.Mol) -> None:
    pose = minimize(target, ethanolamine, scoring="vinardo")
    score = osong.score(target, pose.mol, scoring="vinardo")
    assert pose.energy == pytest.approx(score.total, abs=1e-4)


def test_bond_lengths_stay(target: osong.Target, ethanolamine: Chem.Mol) -> None:
    pose = minimize(target, ethanolamine)
    before = Chem.Get3DDistanceMatrix(pose.ligand.mol())
    after = Chem.Get3DDistanceMatrix(pose.mol)
    bonded = Chem.GetAdjacencyMatrix(pose.mol).astype(bool)
    assert np.abs(before - after)[bonded].max() < 1e-4


def test_no_coordinates_is_an_error(target: osong.Target) -> None:
    with pytest.raises(osong.InputError, match=r"dock it with osong\.dock"):
        minimize(target, Chem.MolFromSmiles("NCCO"))


def test_pose_outside_the_box_is_an_error(target: osong.Target, ethanolamine: Chem.Mol) -> None:
    conformer = ethanolamine.GetConformer()
    conformer.SetPositions(conformer.GetPositions() + 20.0)
    with pytest.raises(osong.BoxError, match=r"osong\.Box\.around"):
        minimize(target, ethanolamine)


def test_grid_score_is_near_the_exact_one(target: osong.Target, ethanolamine: Chem.Mol) -> None:
    mol = minimize(target, ethanolamine).mol
    exact = osong.score(target, mol)
    grid = osong.score(target, mol, method="grid")
    assert grid.inter == pytest.approx(exact.inter, abs=0.5)
    assert grid.inter != exact.inter
    assert grid.atoms["energy"].sum() == pytest.approx(grid.inter)
    assert list(grid.atoms["atom"]) == list(exact.atoms["atom"])
    assert np.abs(grid.atoms["energy"] - exact.atoms["energy"]).max() < 0.3


def test_unknown_method_is_an_error(target: osong.Target, ethanolamine: Chem.Mol) -> None:
    with pytest.raises(osong.InputError, match="'exact' or 'grid'"):
        osong.score(target, ethanolamine, method="magic")
