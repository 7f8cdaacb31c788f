"""Search chains: starts by the definition; of the rest, what must hold whatever is found."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from kernel_cases import (
    LANES,
    VINA,
    Case,
    far_pairs,
    make_receptor,
    make_rules,
    make_state,
    make_topology,
    type_tables,
)

from osong_kernels.arguments import ChainState, Field, LigandTopology
from osong_kernels.reference import search as reference

KEY = np.array([0x12345678, 0x9ABCDEF0], np.uint64)
LOW, HIGH = np.array([-3.5, -4.0, -3.0]), np.array([4.0, 3.5, 3.25])
SHAPES = {
    "flexible": ([-1, 0, 1, 0], [4, 2, 2, 3], 1),
    "rings": ([-1, 0], [5, 3], 3),
    "rigid": ([-1], [5], 1),
    "atom": ([-1], [1], 1),
}


@pytest.fixture(scope="module")
def pocket(backend: SimpleNamespace) -> Field:
    """The field inside a shell of receptor atoms, two kinds of ligand atom."""
    receptor = make_receptor(np.random.default_rng(1), 150, 6.5)
    shape, spacing = (21, 21, 18), 0.375
    origin = LOW.astype(np.float32)
    maps = np.zeros((2, *shape), np.float32)
    tables = [np.ascontiguousarray(table[:2]) for table in type_tables()]
    backend.build_maps(
        np.ascontiguousarray(receptor.xyz.T), receptor.atom_type, *tables, VINA, origin, spacing, 0,
        maps,
    )  # fmt: skip
    return Field(maps.reshape(-1), np.array(shape, np.int32), origin, spacing, 20.0)


def ligand(name: str) -> tuple[LigandTopology, Any]:
    rng = np.random.default_rng(2)
    parents, atoms, n_conformers = SHAPES[name]
    topology = make_topology(rng, parents, atoms, n_conformers, n_maps=2)
    return topology, far_pairs(rng, topology)


def search(
    backend: SimpleNamespace,
    field: Field,
    name: str = "flexible",
    calls: tuple[int, ...] = (400,),
    first_chain: int = 0,
    key: npt.NDArray[np.uint64] = KEY,
    max_iterations: int = 15,
) -> ChainState:
    topology, pairs = ligand(name)
    state = make_state(topology)
    backend.start_chains(topology, key, first_chain, LOW, HIGH, state)
    rules = make_rules(max_iterations=max_iterations)
    for n_ticks in calls:
        backend.run_chains(topology, pairs, field, VINA, rules, key, first_chain, n_ticks, state)
    return state


def assert_same(a: ChainState, b: ChainState) -> None:
    """Bytes of everything that is not a free slot of a pool."""
    filled = np.isfinite(a.pool_energy)
    for field in ChainState._fields:
        x, y = getattr(a, field), getattr(b, field)
        if field in ("pool_genotype", "pool_conformer", "pool_coords"):
            x, y = x[filled], y[filled]
        assert x.tobytes() == y.tobytes(), field


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("first_chain", [0, 5, 1_000_000])
def test_starts_agree_with_the_reference(
    backend: SimpleNamespace, name: str, first_chain: int
) -> None:
    topology, _ = ligand(name)
    state, expected = make_state(topology), make_state(topology)
    backend.start_chains(topology, KEY, first_chain, LOW, HIGH, state)
    reference.start_chains(topology, KEY, first_chain, LOW, HIGH, expected)
    np.testing.assert_allclose(state.trial, expected.trial, atol=1e-6)
    for field in ("local", "axis", "offset", "conformer", "current_conformer", "step"):
        np.testing.assert_array_equal(getattr(state, field), getattr(expected, field))
    assert np.isinf(state.pool_energy).all()


def test_starts_fill_the_box_and_all_rotations(backend: SimpleNamespace) -> None:
    topology, _ = ligand("flexible")
    genes = []
    for group in range(60):
        state = make_state(topology)
        backend.start_chains(topology, KEY, group * LANES, LOW, HIGH, state)
        genes.append(state.trial.T.copy())
    start = np.concatenate(genes).astype(np.float64)
    place_in_box = (start[:, :3] - LOW) / (HIGH - LOW)
    assert ((place_in_box >= 0.0) & (place_in_box <= 1.0)).all()
    # 960 draws: the mean of a uniform number is known to 0.0093, of a component to 0.016
    assert np.abs(place_in_box.mean(axis=0) - 0.5).max() < 0.04
    np.testing.assert_allclose(np.linalg.norm(start[:, 3:7], axis=1), 1.0, atol=1e-6)
    second_moment = start[:, 3:7].T @ start[:, 3:7] / len(start)
    np.testing.assert_allclose(second_moment, np.eye(4) / 4, atol=0.04)
    assert np.abs(start[:, 7:]).max() <= np.pi + 1e-6
    assert np.abs(start[:, 7:].mean(axis=0)).max() < 0.25


@pytest.mark.parametrize("name", SHAPES)
def test_pools_hold_distinct_minima_with_their_energies(
    backend: SimpleNamespace, pocket: Field, name: str
) -> None:
    state = search(backend, pocket, name)
    topology, pairs = ligand(name)
    genes = state.pool_genotype.shape[2]
    filled = np.isfinite(state.pool_energy)
    assert filled[:, 0].all()
    genotypes = state.pool_genotype[filled].reshape(-1, genes)
    conformers = state.pool_conformer[filled]
    assert set(conformers) <= set(range(len(topology.local)))
    case = Case(topology, pairs, pocket, genotypes, conformers, VINA, make_rules().limit)
    energy, _, coords = case.reference()
    np.testing.assert_allclose(state.pool_energy[filled], energy.sum(axis=1), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(state.pool_coords[filled], coords, atol=3e-5)
    np.testing.assert_allclose(np.linalg.norm(genotypes[:, 3:7], axis=1), 1.0, atol=1e-5)
    for lane in range(LANES):
        kept = state.pool_energy[lane][filled[lane]]
        assert (np.diff(kept) >= 0).all()
        assert filled[lane, : len(kept)].all()
        poses = state.pool_coords[lane, : len(kept)].astype(np.float64)
        rmsd = np.sqrt(((poses[:, None] - poses[None]) ** 2).sum(-1).mean(-1))
        assert (rmsd + 10.0 * np.eye(len(kept)) > make_rules().pool_rmsd - 1e-4).all()


def test_search_goes_downhill_and_stays_in_the_box(backend: SimpleNamespace, pocket: Field) -> None:
    topology, pairs = ligand("flexible")
    state = search(backend, pocket)
    start = make_state(topology)
    backend.start_chains(topology, KEY, 0, LOW, HIGH, start)
    genotypes, conformers = np.ascontiguousarray(start.trial.T), start.conformer.copy()
    before = Case(topology, pairs, pocket, genotypes, conformers).reference()[0].sum(axis=1)
    best = state.pool_energy[:, 0]
    assert (best < before).all()
    assert (best < 0.0).all()
    overhang = np.maximum(LOW - state.pool_coords[:, 0], state.pool_coords[:, 0] - HIGH)
    # the wall's kink holds atoms at the border; the lattice ends within half a step of the box
    assert overhang.max() < 0.375
    # a local optimisation from the very start finds its minimum: no lane is left behind
    assert (state.step > 5).all()


def test_minima_are_minima(backend: SimpleNamespace, pocket: Field) -> None:
    """Given iterations enough, no small step from a minimum gains much."""
    state = search(backend, pocket, calls=(1500,), max_iterations=200)
    topology, pairs = ligand("flexible")
    rng = np.random.default_rng(3)
    genotypes = state.pool_genotype[:, 0].astype(np.float64)
    before = state.pool_energy[:, 0]
    for _ in range(20):
        step = rng.normal(size=genotypes.shape)
        step[:, 3:7] = 0.0
        nudged = genotypes + 0.02 * step / np.linalg.norm(step, axis=1, keepdims=True)
        case = Case(topology, pairs, pocket, nudged.astype(np.float32), state.pool_conformer[:, 0])
        assert (case.reference()[0].sum(axis=1) > before - 0.05).all()


def test_twice_the_same_bytes(backend: SimpleNamespace, pocket: Field) -> None:
    assert_same(search(backend, pocket), search(backend, pocket))


@pytest.mark.parametrize("name", ["flexible", "rings"])
def test_ticks_may_be_cut_into_calls(backend: SimpleNamespace, pocket: Field, name: str) -> None:
    whole = search(backend, pocket, name, (300,))
    assert_same(whole, search(backend, pocket, name, (100, 0, 7, 193)))
    assert_same(whole, search(backend, pocket, name, (1,) * 300))


def test_searches_may_take_turns(backend: SimpleNamespace, pocket: Field) -> None:
    """Nothing of a search lives in a call's own memory, where another search would leave its."""
    topology, pairs = ligand("flexible")
    keys = [KEY, KEY + np.uint64(1)]
    states = [make_state(topology) for _ in keys]
    for key, state in zip(keys, states, strict=True):
        backend.start_chains(topology, key, 0, LOW, HIGH, state)
    for _ in range(100):
        for key, state in zip(keys, states, strict=True):
            backend.run_chains(topology, pairs, pocket, VINA, make_rules(), key, 0, 3, state)
    for key, state in zip(keys, states, strict=True):
        assert_same(search(backend, pocket, calls=(300,), key=key), state)


@pytest.mark.parametrize("name", ["flexible", "rings"])
def test_a_chain_does_not_depend_on_its_lane_or_its_group(
    backend: SimpleNamespace, pocket: Field, name: str
) -> None:
    one, other = (search(backend, pocket, name, first_chain=first) for first in (0, 5))
    for chain in range(5, LANES):
        assert one.step[chain] == other.step[chain - 5]
        for field in ("pool_energy", "pool_genotype", "pool_coords"):
            x, y = getattr(one, field)[chain], getattr(other, field)[chain - 5]
            kept = np.isfinite(one.pool_energy[chain])
            assert x[kept].tobytes() == y[kept].tobytes(), field
        assert one.current[:, chain].tobytes() == other.current[:, chain - 5].tobytes()


@pytest.mark.parametrize("word", [0, 1])
def test_another_key_gives_another_search(
    backend: SimpleNamespace, pocket: Field, word: int
) -> None:
    key = KEY.copy()
    key[word] += np.uint64(1)
    one, other = search(backend, pocket), search(backend, pocket, key=key)
    assert (one.pool_genotype[:, 0] != other.pool_genotype[:, 0]).any(axis=1).all()


def test_ring_conformers_are_all_tried(backend: SimpleNamespace, pocket: Field) -> None:
    state = search(backend, pocket, "rings", (3000,))
    tried = set(state.pool_conformer[np.isfinite(state.pool_energy)].tolist())
    assert tried == {0, 1, 2}


def test_a_field_of_nan_ends_without_poses(backend: SimpleNamespace, pocket: Field) -> None:
    broken = pocket._replace(maps=np.full_like(pocket.maps, np.nan))
    assert np.isinf(search(backend, broken, calls=(50,)).pool_energy).all()
