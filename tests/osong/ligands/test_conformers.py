"""Conformers of one frame: aligned to the first one, and mixed segment by segment."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from rdkit import Chem
from scipy.spatial.transform import Rotation

from osong.ligands import LigandOptions, PreparedLigand, prepare_ligand
from osong.ligands.alignment import align_conformers, different_conformers
from osong.ligands.mixing import mix_conformers
from osong.ligands.packing import extended_segments

FLEXIBLE = ["CC(C)Cc1ccc(cc1)C(C)C(=O)NCCc1ccccc1", "CC1CCN(CC1)C(=O)C1CCOC1", "CCOCC(O)CNC(C)C"]
Float64 = npt.NDArray[np.float64]


def ligand_of(smiles: str) -> PreparedLigand:
    return prepare_ligand(smiles, options=LigandOptions(max_stereoisomers=1))[0]


def neighbours(ligand: PreparedLigand) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """Return who is bonded to each packed atom, and the bonds."""
    position = np.argsort(ligand.packed.atom_index)
    bonds = [
        (int(position[b.GetBeginAtomIdx()]), int(position[b.GetEndAtomIdx()]))
        for b in ligand.mol().GetBonds()
    ]
    around: list[list[int]] = [[] for _ in range(ligand.packed.n_atoms)]
    for i, j in bonds:
        around[i].append(j)
        around[j].append(i)
    return around, bonds


def angles(coords: Float64, around: list[list[int]]) -> Float64:
    """Return all bond angles, degrees."""
    found = []
    for centre, ends in enumerate(around):
        for i, k in combinations(ends, 2):
            u, v = coords[i] - coords[centre], coords[k] - coords[centre]
            found.append(u @ v / np.linalg.norm(u) / np.linalg.norm(v))
    return np.degrees(np.arccos(np.clip(found, -1.0, 1.0)))


def dihedrals(ligand: PreparedLigand, coords: Float64, around: list[list[int]]) -> Float64:
    """Return one torsion of each rotatable bond, radian."""
    found = []
    for near, far in ligand.packed.axis_atoms[1:]:
        i = next(a for a in around[near] if a != far)
        m = next(a for a in around[far] if a != near)
        b0, b1, b2 = coords[i] - coords[near], coords[far] - coords[near], coords[m] - coords[far]
        axis = b1 / np.linalg.norm(b1)
        v, w = b0 - (b0 @ axis) * axis, b2 - (b2 @ axis) * axis
        found.append(np.arctan2(np.cross(axis, v) @ w, v @ w))
    return np.array(found)


@pytest.mark.parametrize("smiles", [FLEXIBLE[0], FLEXIBLE[2]])
def test_conformers_share_torsions_and_place(smiles: str) -> None:
    ligand = ligand_of(smiles)
    around, _ = neighbours(ligand)
    coords = ligand.packed.coords.astype(np.float64)
    assert len(coords) > 1
    first = dihedrals(ligand, coords[0], around)
    root = coords[:, ligand.packed.segment == 0].mean(axis=1)
    for k in range(1, len(coords)):
        apart = np.angle(np.exp(1j * (dihedrals(ligand, coords[k], around) - first)))
        # What is left is how substituents lean; of two methyl groups that change places, more.
        assert np.degrees(np.median(np.abs(apart))) < 12.0
        assert np.linalg.norm(root[k] - root[0]) < 0.3


@pytest.mark.parametrize("smiles", FLEXIBLE)
def test_a_conformer_that_differs_in_torsions_alone_is_brought_back(smiles: str) -> None:
    packed = ligand_of(smiles).packed
    first = packed.coords[0].astype(np.float64)
    rng = np.random.default_rng(8)
    extended = extended_segments(packed.segment, tuple(packed.parent), packed.axis_atoms) > 0
    twisted = first.copy()
    for s in range(1, len(packed.parent)):
        near, far = packed.axis_atoms[s]
        beyond = np.isin(packed.segment, subtree(packed.parent, s))
        axis = (twisted[far] - twisted[near]) / np.linalg.norm(twisted[far] - twisted[near])
        turn = Rotation.from_rotvec(axis * rng.uniform(-3.0, 3.0))
        twisted[beyond] = turn.apply(twisted[beyond] - twisted[far]) + twisted[far]
    twisted = Rotation.random(rng=rng).apply(twisted) + 7.0
    aligned = align_conformers(
        np.stack([first, twisted]), extended, packed.parent, packed.axis_atoms
    )
    np.testing.assert_allclose(aligned[1], first, atol=1e-9)


def subtree(parent: npt.NDArray[np.int16], segment: int) -> list[int]:
    found = [segment]
    for child in range(segment + 1, len(parent)):
        if parent[child] in found:
            found.append(child)
    return found


def test_alignment_turns_bonds_and_nothing_else() -> None:
    ligand = ligand_of(FLEXIBLE[0])
    packed = ligand.packed
    around, bonds = neighbours(ligand)
    rng = np.random.default_rng(4)
    given = packed.coords.astype(np.float64) + rng.normal(scale=0.02, size=packed.coords.shape)
    quarter_turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    given[1:] = given[1:] @ quarter_turn + 5.0
    extended = extended_segments(packed.segment, tuple(packed.parent), packed.axis_atoms) > 0
    aligned = align_conformers(given, extended, packed.parent, packed.axis_atoms)
    np.testing.assert_array_equal(aligned[0], given[0])
    for before, after in zip(given, aligned, strict=True):
        np.testing.assert_allclose(angles(after, around), angles(before, around), atol=1e-6)
        for i, j in bonds:
            assert np.linalg.norm(after[i] - after[j]) == pytest.approx(
                np.linalg.norm(before[i] - before[j]), abs=1e-9
            )


@pytest.mark.parametrize("smiles", FLEXIBLE)
def test_mixed_conformers_keep_what_they_are_made_of(smiles: str) -> None:
    ligand = ligand_of(smiles)
    given = ligand.packed
    mixed = mix_conformers(given, 20)
    assert mixed.n_conformers == 20
    np.testing.assert_array_equal(mixed.coords[: given.n_conformers], given.coords)
    around, bonds = neighbours(ligand)
    for values in (
        lambda c: angles(c, around),
        lambda c: np.array([np.linalg.norm(c[i] - c[j]) for i, j in bonds]),
    ):
        known = np.array([values(c.astype(np.float64)) for c in given.coords])
        for coords in mixed.coords[given.n_conformers :].astype(np.float64):
            nearest = np.abs(known - values(coords)).min(axis=0)
            assert nearest.max() < 0.01
    new = mixed.coords[given.n_conformers :].reshape(20 - given.n_conformers, -1)
    assert len(np.unique(new.round(3), axis=0)) > 1


def test_mixing_depends_on_the_ligand_alone() -> None:
    packed = ligand_of(FLEXIBLE[0]).packed
    once, again = mix_conformers(packed, 16), mix_conformers(packed, 16)
    assert once.coords.tobytes() == again.coords.tobytes()
    assert (
        once.coords.tobytes() != mix_conformers(replace(packed, key=b"x" * 16), 16).coords.tobytes()
    )


@pytest.mark.parametrize("smiles", ["c1ccccc1", "C1C2CC3CC1CC(C2)C3"])
def test_nothing_is_mixed_where_there_is_one_segment_or_geometry(smiles: str) -> None:
    packed = ligand_of(smiles).packed
    assert mix_conformers(packed, 16) is packed


def test_handedness_survives() -> None:
    ligand = ligand_of("C[C@H](N)C(=O)N[C@@H](Cc1ccccc1)C(=O)O")
    mixed = mix_conformers(ligand.packed, 16)
    wanted = Chem.FindMolChiralCenters(ligand.mol(), useLegacyImplementation=False)
    assert len(wanted) == 2
    for coords in mixed.coords:
        mol = ligand.mol(coords)
        Chem.AssignStereochemistryFrom3D(mol)
        assert Chem.FindMolChiralCenters(mol, useLegacyImplementation=False) == wanted


def test_the_same_geometry_is_kept_once() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(5, 3))
    coords = np.stack([base, base + 0.01, base + 0.5, base + 0.505])
    np.testing.assert_array_equal(different_conformers(coords), coords[[0, 2]])
