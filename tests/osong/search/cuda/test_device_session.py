"""Docking many molecules on a device: each has its poses, or says why it has none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from kernel_backends import IS_SIMULATED

from osong.box import Box
from osong.errors import LigandError
from osong.ligands.prepare import prepare_ligand
from osong.ligands.prepared import PreparedLigand
from osong.receptor.target import Target
from osong.search import device_session
from osong.search.chains import search_rules
from osong.search.device_session import DeviceSession
from osong.search.effort import EFFORTS, Effort
from osong.search.memory import LigandShape, Misfit, SearchSize, ligand_cost
from osong.search.pose import Pose
from osong.search.session import DockingSession
from osong_benchmarks.cases import made_target
from osong_kernels.cuda.layout import HEAD, LigandInput, pack_ligands
from osong_kernels.cuda.refine import list_words, refine_words

N_CHAINS = 2
SMILES = ["C", "CCO"]


class FewTicks(Effort):
    """An effort of one round, long enough for some local optimisations of tiny molecules."""

    def ticks(self, n_torsions: int, n_atoms: int) -> int:
        return 24


@pytest.fixture(scope="module", autouse=True)
def tiny_search() -> Iterator[None]:
    """Two chains, so that the simulator comes to an end; on a device as many as ever."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EFFORTS, "tiny", FewTicks("tiny", 1, 1, 1, 1, 3, 2))
        patch.setitem(EFFORTS, "wide", FewTicks("wide", 1, 1, 1, 1, 60, 2))
        if IS_SIMULATED:
            patch.setattr(device_session, "_GROUP", N_CHAINS)
            patch.setattr(device_session, "MAX_TICKS", 20)
        yield


@pytest.fixture(scope="module")
def target() -> Target:
    return made_target(12.0)


@pytest.fixture(scope="module")
def molecules() -> list[list[PreparedLigand]]:
    return [prepare_ligand(smiles) for smiles in SMILES]


@pytest.fixture(scope="module")
def found(target: Target, molecules: list[list[PreparedLigand]]) -> list[list[Pose]]:
    """What a device finds for the molecules."""
    docked = DeviceSession(target, effort="tiny").dock_many(molecules)
    assert all(isinstance(poses, list) for poses in docked)
    return docked  # type: ignore[return-value]


def test_poses_are_among_those_of_the_cpu(
    target: Target, molecules: list[list[PreparedLigand]], found: list[list[Pose]]
) -> None:
    """The CPU has the same chains, and more."""
    cpu = DockingSession(target, effort="wide", n_poses=60)
    for variants, poses in zip(molecules, found, strict=True):
        expected = cpu.dock(variants)
        assert poses
        assert expected[0].energy - 0.05 < poses[0].energy < 0.0
        inter = np.array([pose.inter for pose in expected])
        assert np.abs(inter - poses[0].inter).min() < 0.1
        assert [pose.energy for pose in poses] == sorted(pose.energy for pose in poses)
        assert all(target.box.distance(pose.coords).max() < 2.0 for pose in poses)


def test_a_molecule_does_not_depend_on_the_others(
    target: Target, molecules: list[list[PreparedLigand]], found: list[list[Pose]]
) -> None:
    session = DeviceSession(target, effort="tiny")
    other_way = session.dock_many([*molecules[::-1], []])
    assert isinstance(other_way.pop(), LigandError)  # no variants
    for one, other in zip(found, other_way[::-1], strict=True):
        assert isinstance(other, list)
        assert [p.energy for p in one] == [p.energy for p in other]
        assert all((p.coords == q.coords).all() for p, q in zip(one, other, strict=True))


def test_atoms_of_another_type_may_come_in_a_later_batch(
    target: Target, molecules: list[list[PreparedLigand]], found: list[list[Pose]]
) -> None:
    session = DeviceSession(target, effort="tiny")
    for variants, expected in zip(molecules, found, strict=True):
        (poses,) = session.dock_many([variants])
        assert isinstance(poses, list)
        assert [p.energy for p in poses] == [p.energy for p in expected]


def test_a_damaged_molecule_is_an_error_of_its_own(
    target: Target, molecules: list[list[PreparedLigand]]
) -> None:
    (source,) = molecules[0]
    bad = replace(source, packed=replace(source.packed, atom_type=source.packed.atom_type + 99))
    ready = DeviceSession(target, effort="tiny").ready([[bad], molecules[1]])
    assert isinstance(ready.answers[0], LigandError)
    assert "prepare it anew" in str(ready.answers[0])
    assert [job.molecule for job in ready.jobs] == [1]


def test_without_room_there_are_only_misfits(
    target: Target, molecules: list[list[PreparedLigand]]
) -> None:
    session = DeviceSession(target, effort="tiny", memory_bytes=150 * 2**20)
    docked = session.dock_many(molecules)
    assert all(isinstance(each, Misfit) for each in docked)
    assert all("MiB" in each.reason for each in docked if isinstance(each, Misfit))


def test_a_molecule_that_does_not_fit_in_the_box_is_an_error_of_its_own(
    target: Target, molecules: list[list[PreparedLigand]]
) -> None:
    crushed = Target(target.receptor, Box((0.0, 0.0, -12.0), (1.0, 1.0, 1.0)), "too small")
    docked = DeviceSession(crushed, effort="tiny").dock_many([prepare_ligand("CC(C)C"), []])
    assert all(isinstance(each, LigandError) for each in docked)
    assert "inside the box" in str(docked[0])


def test_nothing_to_dock(target: Target) -> None:
    assert DeviceSession(target, effort="tiny").dock_many([]) == []


@pytest.mark.parametrize("smiles", ["C", "CCCCCCCC", "c1ccccc1CCN1CCCCC1"])
def test_cost_covers_what_a_batch_allocates(target: Target, smiles: str) -> None:
    host = DockingSession(target, effort="tiny")
    (source,) = prepare_ligand(smiles)[:1]
    ligand, arrays = host.arrays_of(source)
    topology = arrays.topology
    n_conformers, n_atoms, _ = topology.local.shape
    n_segments = len(topology.parent)
    packed = pack_ligands(
        [LigandInput(topology, arrays.pairs, search_rules(arrays), host.key_of(ligand), 1, 0)], 32
    )
    n_receptor = len(host.receptor.atom_type)
    shape = LigandShape(n_segments - 1, n_atoms, len(arrays.pairs.second), n_conformers)
    cost = ligand_cost(shape, SearchSize(32, n_refined=12, n_receptor=n_receptor))
    state = 4 * int(packed.chain_start[-1] + packed.pool_start[-1])
    lists = 4 * 12 * list_words(n_receptor)
    allocated = sum(array.nbytes for array in packed) + state + lists
    assert allocated <= cost.device_bytes < 1.2 * allocated + 4096
    # the simulator's sums take place in shared memory too
    assert cost.shared_bytes == 4 * (refine_words(n_atoms, n_segments) - HEAD)
