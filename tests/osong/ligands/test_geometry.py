"""What embedding is made of: hydrogens off and on, stiffness, descent."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers
from threadpoolctl import threadpool_info

from osong.errors import LigandError
from osong.ligands.bare import strip_hydrogens
from osong.ligands.clean_up import clean_up
from osong.ligands.descent import Descent
from osong.ligands.stiffness import Stiffness, stiffness

if TYPE_CHECKING:
    from collections.abc import Callable

MOLECULES = ("CC1CCN(CC1)C(=O)Nc1ccc(O)cc1", "C[C@H](N)C(=O)O", "CC#N", "[2H]C([2H])Cl", "O")


def _with_hydrogens(smiles: str) -> Chem.Mol:
    """Return the molecule with hydrogens between the heavy atoms, as preparation has them."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    parameters = Chem.SmilesParserParams()
    parameters.removeHs = False
    return Chem.MolFromSmiles(Chem.MolToSmiles(mol, canonical=False), parameters)


@pytest.mark.parametrize("smiles", MOLECULES)
def test_hydrogens_come_back_to_the_atoms_that_they_left(smiles: str) -> None:
    mol = _with_hydrogens(smiles)
    bare = strip_hydrogens(mol)
    embedded = Chem.Mol(bare.mol)
    assert len(list(rdDistGeom.EmbedMultipleConfs(embedded, 2, randomSeed=1))) == 2
    coords = bare.complete(embedded)
    assert coords.shape == (2, mol.GetNumAtoms(), 3)
    ends = np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds()])
    lengths = np.linalg.norm(coords[:, ends[:, 0]] - coords[:, ends[:, 1]], axis=-1)
    assert lengths.min() > 0.8
    assert lengths.max() < 2.0
    np.testing.assert_array_equal(coords[1, bare.index], embedded.GetConformers()[1].GetPositions())


def _length(x: np.ndarray) -> float:
    return float(np.linalg.norm(x[0] - x[1]))


def _angle(x: np.ndarray) -> float:
    u, v = x[0] - x[1], x[2] - x[1]
    return math.acos(u @ v / np.linalg.norm(u) / np.linalg.norm(v))


def _torsion(x: np.ndarray) -> float:
    axis = (x[2] - x[1]) / np.linalg.norm(x[2] - x[1])
    u, v = x[0] - x[1], x[3] - x[2]
    u, v = u - (u @ axis) * axis, v - (v @ axis) * axis
    return math.atan2(np.cross(axis, u) @ v, u @ v)


@pytest.mark.parametrize(
    ("function", "n", "field"), [(_length, 2, "bonds"), (_angle, 3, "angles"),
                                 (_torsion, 4, "torsions")]
)  # fmt: skip
def test_stiffness_follows_the_derivatives_of_its_coordinates(
    function: Callable[[np.ndarray], float], n: int, field: str
) -> None:
    coords = np.random.default_rng(3).normal(size=(4, 3)) * 1.5
    gradient = np.zeros((4, 3))
    for k in np.ndindex(n, 3):
        moved = np.zeros((4, 3))
        moved[k] = 1e-6
        gradient[k] = (function(coords + moved) - function(coords - moved)) / 2e-6
    none = {width: np.empty((0, width), dtype=np.int64) for width in (2, 3, 4)}
    atoms = {"bonds": none[2], "angles": none[3], "torsions": none[4]}
    atoms[field] = np.arange(n)[None]
    model = Stiffness(**atoms, constants=np.array([100.0]), n_atoms=4)
    row = gradient.ravel()
    wanted = np.linalg.inv(100.0 * np.outer(row, row) + 5.0 * np.eye(12))
    np.testing.assert_allclose(model.inverse(coords), wanted, atol=1e-6)


def _strained(smiles: str) -> tuple[Chem.Mol, np.ndarray]:
    mol = _with_hydrogens(smiles)
    bare = strip_hydrogens(mol)
    embedded = Chem.Mol(bare.mol)
    rdDistGeom.EmbedMolecule(embedded, randomSeed=7)
    return mol, bare.complete(embedded)


def _energy(mol: Chem.Mol, positions: np.ndarray, iterations: int = 0) -> float:
    work = Chem.Mol(mol)
    conformer = Chem.Conformer(len(positions))
    conformer.SetPositions(positions)
    work.AddConformer(conformer)
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(work, mmffVariant="MMFF94s")
    properties.SetMMFFEleTerm(False)
    field = rdForceFieldHelpers.MMFFGetMoleculeForceField(work, properties)
    field.Initialize()
    if iterations:
        field.Minimize(maxIts=iterations)
    return float(field.CalcEnergy())


@pytest.mark.parametrize("smiles", MOLECULES[:2])
def test_twenty_steps_go_as_far_as_fifty_of_rdkit(smiles: str) -> None:
    mol, coords = _strained(smiles)
    relaxed, energies = clean_up(mol, coords, 8.0, time.monotonic() + 60.0)
    assert energies[0] == pytest.approx(_energy(mol, relaxed[0]), abs=1e-6)
    assert energies[0] < _energy(mol, coords[0]) - 5.0
    assert energies[0] <= _energy(mol, coords[0], iterations=50) + 0.5


def test_descent_goes_on_where_it_stopped() -> None:
    mol, coords = _strained(MOLECULES[0])
    conformer = Chem.Conformer(mol.GetNumAtoms())
    conformer.SetPositions(coords[0])
    mol.AddConformer(conformer)
    field = rdForceFieldHelpers.UFFGetMoleculeForceField(mol)
    field.Initialize()
    model = stiffness(mol)
    whole = Descent(field, coords[0].ravel(), model.inverse(coords[0]))
    parts = Descent(field, coords[0].ravel(), model.inverse(coords[0]))
    whole.run(12)
    parts.run(5)
    half_way = parts.energy
    parts.run(7)
    assert parts.energy < half_way
    np.testing.assert_array_equal(whole.position, parts.position)


@pytest.mark.parametrize("size", [1, 1000])
def test_clean_up_keeps_the_time_limit(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("osong.ligands.clean_up._MOST_ATOMS", size)
    mol, coords = _strained(MOLECULES[0])
    with pytest.raises(LigandError, match="embed_timeout_s") as caught:
        clean_up(mol, coords, 8.0, time.monotonic() - 1.0)
    assert caught.value.stage == "embed"


def test_large_molecules_are_relaxed_by_rdkit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("osong.ligands.clean_up._MOST_ATOMS", 1)
    mol, coords = _strained(MOLECULES[0])
    relaxed, energies = clean_up(mol, coords, 8.0, time.monotonic() + 60.0)
    assert energies[0] == pytest.approx(_energy(mol, relaxed[0]), abs=1e-6)
    assert energies[0] < _energy(mol, coords[0]) - 5.0


def test_threads_leave_the_linear_algebra_as_it_was() -> None:
    """The limit of one thread is the process's own: two that overlap must not leave it behind."""
    mol = Chem.AddHs(Chem.MolFromSmiles("CCOC(=O)c1ccccc1"))
    coords = np.random.default_rng(1).normal(scale=3.0, size=(mol.GetNumAtoms(), 3))
    model = stiffness(mol)

    def threads_of_blas() -> list[int]:
        return [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]

    before = threads_of_blas()
    with ThreadPoolExecutor(8) as pool:
        inverses = list(pool.map(lambda _: model.inverse(coords), range(64)))
    assert threads_of_blas() == before
    assert len({inverse.tobytes() for inverse in inverses}) == 1
