"""The search of a batch on a device: each ligand by itself, whatever it is searched beside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from kernel_backends import IS_SIMULATED
from kernel_cases import (
    RADII,
    VINA,
    make_field,
    make_pairs,
    make_receptor,
    make_rules,
    make_topology,
)

from osong_kernels.cuda import staging
from osong_kernels.cuda.batch import BatchRules, DeviceTarget, Refined, search_batch
from osong_kernels.cuda.device_memory import bundle_to_device, single_precision, to_device
from osong_kernels.cuda.layout import LigandInput
from osong_kernels.cuda.receptor import pack_receptor
from osong_kernels.cuda.search import device_field
from osong_kernels.physics.pair_table import tabulate_pairs
from osong_kernels.reference.exact import exact_pose_energy

LOW, HIGH = np.full(3, -3.0, np.float32), np.full(3, 3.0, np.float32)
WALL = 20.0
RULES = BatchRules(
    n_chains=3, max_rounds=2, patience=2, n_refined=3, refine_ticks=4, pool_rmsd=1.0, gain=0.02,
    n_elite=lambda done: 2,
)  # fmt: skip
REFINING = make_rules(limit=1000.0, tolerance=1e-4, max_iterations=50)
RECEPTOR = make_receptor(np.random.default_rng(4), 40, 5.0)


@pytest.fixture(scope="module")
def target() -> DeviceTarget:
    field = make_field(np.random.default_rng(5), (17, 17, 17), 2)._replace(origin=LOW)
    mild = field._replace(maps=np.minimum(field.maps, 1.0))
    return DeviceTarget(
        device_field(mild),
        bundle_to_device(single_precision(tabulate_pairs(VINA, 10.0))),
        bundle_to_device(pack_receptor(RECEPTOR, LOW, HIGH, WALL)),
        single_precision(VINA),
        to_device(LOW),
        to_device(HIGH),
    )


def ligand(seed: int, parents: list[int], atoms: list[int], n_ticks: int) -> LigandInput:
    rng = np.random.default_rng(seed)
    topology = make_topology(rng, parents, atoms, n_conformers=2, n_maps=2)
    kinds = rng.integers(0, len(RADII), sum(atoms)).astype(np.int32)
    key = np.array([seed, 7], np.uint64)
    pairs = make_pairs(rng, sum(atoms), 0.5)
    return LigandInput(topology, pairs, make_rules(max_iterations=2), key, n_ticks, 0, kinds)


ATOM = ligand(1, [-1], [1], 6)
SMALL = ligand(2, [-1, 0], [3, 2], 6)
IDLE = ligand(3, [-1, 0, 0], [2, 2, 2], 0)


def search(
    target: DeviceTarget, ligands: list[LigandInput], rules: BatchRules = RULES
) -> list[Refined]:
    return search_batch(ligands, [REFINING] * len(ligands), target, rules)


def assert_same(a: Refined, b: Refined) -> None:
    assert a.genotypes.tobytes() == b.genotypes.tobytes()
    assert a.conformers.tobytes() == b.conformers.tobytes()


def test_a_ligand_does_not_depend_on_the_others_of_its_batch(target: DeviceTarget) -> None:
    """Nor on its place; a ligand that has found nothing is among them."""
    one = search(target, [ATOM, SMALL, IDLE])
    other = search(target, [SMALL, IDLE, ATOM])
    for k, place in enumerate([2, 0, 1]):
        assert_same(one[k], other[place])
    assert_same(search(target, [ATOM])[0], one[0])
    assert len(one[2].genotypes) == len(one[2].conformers) == 0
    for found, of in zip(one, (ATOM, SMALL, IDLE), strict=True):
        n, n_genes = found.genotypes.shape
        assert n_genes == 6 + len(of.topology.parent)
        assert n == len(found.conformers) <= RULES.n_refined
        assert set(found.conformers.tolist()) <= {0, 1}
        assert np.isfinite(found.genotypes).all()
    assert len(one[1].genotypes) > 1


def test_refinement_makes_poses_better(target: DeviceTarget) -> None:
    raw, refined = (
        search(target, [ATOM], replace(RULES, refine_ticks=n, max_rounds=1))[0] for n in (1, 12)
    )
    assert_energies_fall(raw, refined)


def assert_energies_fall(raw: Refined, refined: Refined) -> None:
    before, after = (
        [
            exact_pose_energy(
                ATOM.topology, ATOM.pairs, ATOM.atom_type, RECEPTOR, VINA, 1000.0,
                LOW.astype(float), HIGH.astype(float), WALL, genotype.astype(np.float64),
                int(conformer),
            )[0]
            for genotype, conformer in zip(found.genotypes, found.conformers, strict=True)
        ]
        for found in (raw, refined)
    )  # fmt: skip
    assert len(before) == len(after) > 0
    assert all(b <= a + 1e-3 for a, b in zip(before, after, strict=True))
    assert min(after) < min(before)


def test_a_ligand_in_vain_ends_early(target: DeviceTarget) -> None:
    """No round after the first gains so much: with little patience the second is the last."""
    patient, hasty, short = (
        search(target, [SMALL], replace(RULES, gain=1e9, **changes))[0]
        for changes in (
            {"patience": 9, "max_rounds": 5},
            {"patience": 1, "max_rounds": 5},
            {"patience": 9, "max_rounds": 2},
        )
    )
    assert_same(hasty, short)
    assert patient.genotypes.tobytes() != short.genotypes.tobytes()


class HeldArray(np.ndarray[Any, Any]):
    """A host's array that is copied to and from as a device's is."""

    def copy_to_device(self, source: Any, stream: Any) -> None:
        assert source.dtype == self.dtype
        assert source.shape == self.shape
        self[...] = source

    def copy_to_host(self, target: Any, stream: Any) -> None:
        assert target.dtype == self.dtype
        target[...] = self


@pytest.mark.skipif(not IS_SIMULATED, reason="a device's own copies are in all other tests")
def test_a_batch_is_the_same_through_page_locked_memory(
    target: DeviceTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In rooms so small that they are used over and over."""
    monkeypatch.setattr(staging, "_SMALLEST_ROOM", 64)
    monkeypatch.setattr(staging, "LARGEST_ROOM", 2048)
    driver = staging.Driver(
        lambda n: np.full(n, 255, np.uint8),
        lambda shape, dtype: np.full(shape, 113, dtype).view(HeldArray),
        (),
    )
    rooms = staging.Rooms()

    @contextmanager
    def pretended(stream: Any) -> Iterator[staging.Copies]:
        copies = staging.Copies(SimpleNamespace(synchronize=lambda: None), driver, rooms)
        yield copies
        copies.close()

    rules = replace(RULES, patience=1, max_rounds=3)  # some leave early
    expected = search(target, [ATOM, SMALL, IDLE], rules)
    monkeypatch.setattr("osong_kernels.cuda.batch.copies_through", pretended)
    for found, same in zip(search(target, [ATOM, SMALL, IDLE], rules), expected, strict=True):
        assert_same(found, same)
    assert len(rooms._free) == 1
