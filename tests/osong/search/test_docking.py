"""`osong.dock` and `DockingSession` on a real pocket: same bytes, sound poses, clear errors."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem, rdMolAlign

import osong
from osong.errors import InputError, LigandError, ResourceError
from osong.ligands import LigandOptions, PreparedLigand, prepare_ligand
from osong.scoring import score_pose, scoring_function
from osong.search import EFFORTS, DockingSession, Pose

LIGAND = "COc1cc2ncnc(Nc3cccc(Cl)c3)c2cc1OC"  # binds to the hinge of EGFR as erlotinib does
WALL_TOLERANCE = 0.1
"""How far, in angstrom, the wall of 20 kcal/mol/A lets a pressed atom out of the box."""


@pytest.fixture(scope="module")
def pocket(egfr: osong.Target) -> osong.Target:
    """EGFR with a box of 16 A: maps in a second."""
    return osong.Target(egfr.receptor, osong.Box(egfr.box.center, (16.0, 16.0, 16.0)), "pocket")


@pytest.fixture(scope="module")
def ligands() -> list[PreparedLigand]:
    return prepare_ligand(LIGAND, name="quinazoline")


@pytest.fixture(scope="module")
def session(pocket: osong.Target) -> DockingSession:
    return DockingSession(pocket, effort="fast")


@pytest.fixture(scope="module")
def poses(session: DockingSession, ligands: list[PreparedLigand]) -> list[Pose]:
    return session.dock(ligands)


def as_bytes(poses: list[Pose]) -> list[tuple[object, ...]]:
    return [
        (p.energy, p.inter, p.intra, p.conformer, p.ligand.variant, p.genotype.tobytes(),
         p.coords.tobytes())
        for p in poses
    ]  # fmt: skip


def assert_sound(target: osong.Target, poses: list[Pose], n_poses: int = 9) -> None:
    """What holds for the poses of any molecule."""
    assert 0 < len(poses) <= n_poses
    energies = [pose.energy for pose in poses]
    assert energies == sorted(energies)
    for pose in poses:
        packed = pose.ligand.packed
        assert pose.coords.shape == (packed.n_atoms, 3)
        assert np.isfinite(pose.coords).all()
        assert target.box.distance(pose.coords[: packed.n_scored]).max() < WALL_TOLERANCE
        exact = score_pose(target, pose.ligand, pose.coords, scoring_function(pose.scoring))
        assert exact.inter == pytest.approx(pose.inter, abs=1e-3)
        assert exact.intra == pytest.approx(pose.intra, abs=1e-3)


def test_poses_are_sound(pocket: osong.Target, poses: list[Pose]) -> None:
    assert_sound(pocket, poses)
    assert poses[0].energy < -5.0
    assert poses[-1].energy <= poses[0].energy + 3.0


def test_poses_are_distinct(poses: list[Pose]) -> None:
    assert len(poses) > 1
    mols = [Chem.RemoveHs(pose.mol) for pose in poses]
    for i, one in enumerate(mols):
        for other in mols[:i]:
            assert rdMolAlign.CalcRMS(Chem.Mol(one), other) > 0.99


def test_energy_is_relative_to_the_best_pose(poses: list[Pose]) -> None:
    factor = scoring_function("vina").torsion_factor(poses[0].ligand.packed.torsion_count)
    for pose in poses:
        expected = (pose.inter + pose.intra - poses[0].intra) * factor
        assert pose.energy == pytest.approx(expected, abs=1e-9)


def test_molecules_of_poses_are_chemistry(poses: list[Pose]) -> None:
    given = Chem.MolFromSmiles(LIGAND)
    for pose in poses:
        mol = pose.mol
        assert mol.GetProp("_Name") == "quinazoline"
        assert Chem.CanonSmiles(Chem.MolToSmiles(Chem.RemoveHs(mol))) == Chem.CanonSmiles(
            pose.ligand.input_smiles
        )
        assert Chem.MolToSmiles(Chem.RemoveHs(mol)) == Chem.MolToSmiles(given)
        assert mol.GetNumAtoms() == Chem.AddHs(given).GetNumAtoms()
        assert float(mol.GetProp("osong_energy")) == pytest.approx(pose.energy, abs=1e-3)
        assert mol.GetProp("osong_scoring") == "vina"
        assert mol.GetConformer().Is3D()
        lengths = AllChem.Get3DDistanceMatrix(mol)
        for bond in mol.GetBonds():
            assert 0.9 < lengths[bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()] < 1.9


def test_pose_scored_as_a_molecule_gives_its_energy(
    pocket: osong.Target, poses: list[Pose]
) -> None:
    score = osong.score(pocket, poses[0].mol)
    assert score.inter == pytest.approx(poses[0].inter, abs=1e-3)
    assert score.total == pytest.approx(poses[0].energy, abs=1e-3)


def test_twice_the_same_bytes(
    session: DockingSession, ligands: list[PreparedLigand], poses: list[Pose]
) -> None:
    assert as_bytes(session.dock(ligands)) == as_bytes(poses)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_and_history_do_not_matter(
    pocket: osong.Target, ligands: list[PreparedLigand], poses: list[Pose], threads: int
) -> None:
    """A new session with other maps built before, and with threads: the same bytes."""
    other = DockingSession(pocket, effort="fast", threads=threads)
    other.dock(prepare_ligand("CCS(=O)(=O)Cl"))
    assert as_bytes(other.dock(ligands)) == as_bytes(poses)


def test_threads_do_not_matter_where_there_are_groups(pocket: osong.Target) -> None:
    one, two = (
        osong.dock(pocket, "Oc1ccccc1", effort="balanced", threads=threads) for threads in (1, 2)
    )
    assert as_bytes(one) == as_bytes(two)


def test_another_seed_another_search(
    pocket: osong.Target, ligands: list[PreparedLigand], poses: list[Pose]
) -> None:
    other = DockingSession(pocket, effort="fast", seed=1).dock(ligands)
    assert as_bytes(other) != as_bytes(poses)
    assert other[0].energy == pytest.approx(poses[0].energy, abs=2.0)


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64 - 1])
def test_any_integer_is_a_seed(pocket: osong.Target, seed: int) -> None:
    assert_sound(pocket, osong.dock(pocket, "CCO", effort="fast", seed=seed))


@pytest.mark.parametrize("n_poses", [1, 3])
def test_n_poses(
    pocket: osong.Target, ligands: list[PreparedLigand], poses: list[Pose], n_poses: int
) -> None:
    few = DockingSession(pocket, effort="fast", n_poses=n_poses).dock(ligands)
    assert as_bytes(few) == as_bytes(poses[:n_poses])


def test_vinardo(pocket: osong.Target) -> None:
    poses = osong.dock(pocket, LIGAND, effort="fast", scoring="vinardo", n_poses=2)
    assert_sound(pocket, poses, 2)
    assert poses[0].scoring == "vinardo"


@pytest.mark.parametrize("smiles", ["C", "O", "CC", "C1CCCCC1", "C#N"])
def test_small_molecules(pocket: osong.Target, smiles: str) -> None:
    poses = osong.dock(pocket, smiles, effort="fast")
    assert_sound(pocket, poses)
    assert Chem.MolToSmiles(Chem.RemoveHs(poses[0].mol)) == Chem.CanonSmiles(smiles)
    assert poses[0].energy < 0.0


def test_variants_compete(pocket: osong.Target) -> None:
    """Unassigned stereochemistry: both isomers are docked, the best poses of either are listed."""
    ligands = prepare_ligand("CC(O)c1ccc(Cl)cc1", options=LigandOptions(max_stereoisomers=4))
    assert len(ligands) == 2
    session = DockingSession(pocket, effort="fast")
    both, alone = session.dock(ligands), [session.dock([ligand]) for ligand in ligands]
    assert_sound(pocket, both)
    assert both[0].energy == min(poses[0].energy for poses in alone)
    assert {pose.ligand.variant for pose in both} <= {0, 1}
    assert as_bytes(both[:1]) in [as_bytes(poses[:1]) for poses in alone]


def test_ring_conformers(pocket: osong.Target) -> None:
    ligands = prepare_ligand("OC1CCN(Cc2ccccc2)CC1")
    assert ligands[0].packed.n_conformers > 1
    poses = DockingSession(pocket, effort="fast").dock(ligands)
    assert_sound(pocket, poses)
    assert all(0 <= p.conformer < p.ligand.packed.n_conformers for p in poses)


def test_name_does_not_change_the_result(
    session: DockingSession, ligands: list[PreparedLigand], poses: list[Pose]
) -> None:
    renamed = [replace(ligand, name="something else") for ligand in ligands]
    assert as_bytes(session.dock(renamed)) == as_bytes(poses)


def test_ligand_too_large_for_the_box(egfr: osong.Target) -> None:
    tight = osong.Target(egfr.receptor, osong.Box(egfr.box.center, (3.0, 3.0, 3.0)), "tight")
    with pytest.raises(LigandError, match="box") as caught:
        osong.dock(tight, LIGAND, effort="fast")
    assert caught.value.stage == "dock"


def test_box_too_large_for_memory(egfr: osong.Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: SimpleNamespace(available=2**24, total=2**40)
    )
    huge = osong.Target(egfr.receptor, osong.Box(egfr.box.center, (90.0, 90.0, 90.0)), "huge")
    with pytest.raises(ResourceError, match=r"90 x 90 x 90 A need .* GiB"):
        osong.dock(huge, "CCO", effort="fast")


def test_box_without_receptor_atoms_in_reach_costs_nothing(egfr: osong.Target) -> None:
    """A corner of the box may be empty: energies there are zero, not an error."""
    coords = egfr.receptor.coords[egfr.receptor.is_scored]
    corner = coords[np.argmax(coords[:, 0])] + np.array([6.0, 0.0, 0.0])
    aside = osong.Target(egfr.receptor, osong.Box(tuple(corner), (8.0, 8.0, 8.0)), "aside")
    assert_sound(aside, osong.dock(aside, "C", effort="fast"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"effort": "heroic"}, "choose one of fast, balanced, thorough"),
        ({"scoring": "ad4"}, "choose one of vina, vinardo"),
        ({"n_poses": 0}, "n_poses"),
        ({"threads": 0}, "threads"),
    ],
)
def test_nonsense_arguments(
    pocket: osong.Target, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        osong.dock(pocket, "CCO", **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("smiles", ["", "not a molecule", "c1ccc1cc"])
def test_nonsense_molecules(pocket: osong.Target, smiles: str) -> None:
    with pytest.raises(LigandError):
        osong.dock(pocket, smiles, effort="fast")


def test_efforts_grow() -> None:
    fast, balanced, thorough = (EFFORTS[name] for name in ("fast", "balanced", "thorough"))
    assert fast.n_groups <= balanced.n_groups <= thorough.n_groups
    assert fast.max_rounds <= balanced.max_rounds <= thorough.max_rounds
    assert balanced.ticks(5, 20) < balanced.ticks(6, 20) < balanced.ticks(6, 40)
