"""Chains on a device: the CPU's to rounding, and what must hold of each by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernel_backends import IS_SIMULATED
from kernel_cases import VINA, Case, make_receptor, make_rules, make_state, type_tables
from test_search_chains import HIGH, KEY, LOW, SHAPES, ligand

from osong_kernels.arguments import ChainState, Field
from osong_kernels.cpu import search as cpu
from osong_kernels.cpu.maps import build_maps
from osong_kernels.cpu.minimise import BASE_ENERGY, CURRENT_ENERGY, ITERATION
from osong_kernels.cuda import search as cuda
from osong_kernels.physics.pair_table import tabulate_pairs
from osong_kernels.reference import search as reference

N_CHAINS = 4 if IS_SIMULATED else 16
# Local optimisations that end after a few ticks, so that a test sees some of them.
SHORT = make_rules(max_iterations=2)


@pytest.fixture(scope="module")
def pocket() -> Field:
    """The field inside a shell of receptor atoms, two kinds of ligand atom."""
    receptor = make_receptor(np.random.default_rng(1), 150, 6.5)
    origin, shape = LOW.astype(np.float32), (21, 21, 18)
    maps = np.zeros((2, *shape), np.float32)
    tables = [np.ascontiguousarray(table[:2]) for table in type_tables()]
    build_maps(
        np.ascontiguousarray(receptor.xyz.T), receptor.atom_type, *tables, VINA, origin, 0.375, 0,
        maps,
    )  # fmt: skip
    return Field(maps.reshape(-1), np.array(shape, np.int32), origin, 0.375, 20.0)


def first_chains(state: ChainState, n: int) -> ChainState:
    """Return the state of the first chains alone: a device takes any number of them."""
    parts = {
        name: array[:n] if name.startswith("pool") else array[..., :n]
        for name, array in state._asdict().items()
    }
    return ChainState(**{name: part.copy() for name, part in parts.items()})


def started(name: str, first_chain: int = 0) -> ChainState:
    """Return sixteen chains at their first places, by the CPU."""
    state = make_state(ligand(name)[0])
    cpu.start_chains(ligand(name)[0], KEY, first_chain, LOW, HIGH, state)
    return state


def search(
    field: Field, name: str, calls: tuple[int, ...], n_chains: int = 2, first_chain: int = 0
) -> ChainState:
    """Return chains that the device has advanced."""
    topology, pairs = ligand(name)
    state = first_chains(started(name, first_chain), n_chains)
    for n_ticks in calls:
        cuda.run_chains(topology, pairs, field, VINA, SHORT, KEY, first_chain, n_ticks, state)
    return state


def assert_same(a: ChainState, b: ChainState) -> None:
    """Bytes of everything that is not a free place of a pool."""
    filled = np.isfinite(a.pool_energy)
    for field in ChainState._fields:
        x, y = getattr(a, field), getattr(b, field)
        if field in ("pool_genotype", "pool_conformer", "pool_coords"):
            x, y = x[filled], y[filled]
        assert x.tobytes() == y.tobytes(), field


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("first_chain", [0, 1_000_003])
def test_chains_start_where_those_of_the_cpu_do(name: str, first_chain: int) -> None:
    topology, _ = ligand(name)
    state, expected = make_state(topology), make_state(topology)
    cuda.start_chains(topology, KEY, first_chain, LOW, HIGH, state)
    reference.start_chains(topology, KEY, first_chain, LOW, HIGH, expected)
    np.testing.assert_allclose(state.trial, expected.trial, atol=1e-5)
    for field in ("local", "axis", "offset", "conformer", "current_conformer", "step"):
        np.testing.assert_array_equal(getattr(state, field), getattr(expected, field))
    assert np.isinf(state.pool_energy).all()
    assert (state.scalars[ITERATION] == -1.0).all()
    assert (state.scalars[CURRENT_ENERGY] == np.float32(1e30)).all()


@pytest.mark.parametrize(
    ("name", "is_tabulated"),
    [("flexible", True), ("rings", False), ("rigid", True), ("atom", True)],
)
def test_chains_go_where_those_of_the_cpu_go(pocket: Field, name: str, is_tabulated: bool) -> None:
    """For some ticks: then roundings have grown, and chains part."""
    topology, pairs = ligand(name)
    law: Any = tabulate_pairs(VINA, SHORT.limit) if is_tabulated else VINA
    expected = started(name)
    found = first_chains(expected, N_CHAINS)
    for n_ticks in (1, 2, 6):
        for run, state in ((cpu.run_chains, expected), (cuda.run_chains, found)):
            run(topology, pairs, pocket, law, SHORT, KEY, 0, n_ticks, state)
        same = first_chains(expected, N_CHAINS)
        close = np.ones(N_CHAINS, bool)
        for field in ("trial", "base", "current"):
            # where chains have not been yet stands what stood there before
            one, other = getattr(found, field), getattr(same, field)
            close &= np.isclose(one, other, 2e-3, 2e-3, equal_nan=True).all(axis=0)
        energies = np.abs(found.scalars[BASE_ENERGY] - same.scalars[BASE_ENERGY])
        close &= energies < 1e-3 * (1.0 + np.abs(same.scalars[BASE_ENERGY]))
        for field in ("conformer", "current_conformer", "step"):
            close &= getattr(found, field) == getattr(same, field)
        close &= np.isclose(found.pool_energy[:, 0], same.pool_energy[:, 0], rtol=1e-3, atol=1e-3)
        assert close.sum() >= N_CHAINS - (0 if n_ticks < 3 else 1), f"after {n_ticks}: {close}"
    assert (found.step > 0).any()


def test_what_is_no_number_is_no_minimum(pocket: Field) -> None:
    """Of a field with a hole in it: chains that come there go on, and keep nothing of it."""
    maps = pocket.maps.reshape(2, -1).copy()
    maps[:, : maps.shape[1] // 2] = np.nan
    state = search(pocket._replace(maps=maps.reshape(-1)), "atom", (1, 25), n_chains=N_CHAINS)
    for part in (state.base, state.current, state.trial, state.scalars):
        assert np.isfinite(part).all()
    middle = pocket.origin[0] + pocket.spacing * (pocket.shape[0] // 2)
    assert (started("atom").trial[0, :N_CHAINS] < middle).any()
    filled = state.pool_energy < np.inf
    assert filled.any()
    assert np.isfinite(state.pool_energy[filled]).all()
    assert np.isfinite(state.pool_genotype[filled]).all()
    topology, pairs = ligand("atom")
    genotypes, conformers = state.pool_genotype[filled], state.pool_conformer[filled]
    case = Case(topology, pairs, pocket, genotypes, conformers, VINA, SHORT.limit)
    energy = case.reference()[0].sum(axis=1)
    np.testing.assert_allclose(state.pool_energy[filled], energy, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["flexible", "rings", "atom"])
def test_pools_hold_distinct_minima_with_their_energies(pocket: Field, name: str) -> None:
    state = search(pocket, name, (14,), n_chains=3)
    topology, pairs = ligand(name)
    filled = np.isfinite(state.pool_energy)
    assert filled[:, 0].all()
    assert filled.sum() > 3
    genotypes, conformers = state.pool_genotype[filled], state.pool_conformer[filled]
    assert set(conformers) <= set(range(len(topology.local)))
    case = Case(topology, pairs, pocket, genotypes, conformers, VINA, SHORT.limit)
    energy, _, coords = case.reference()
    np.testing.assert_allclose(state.pool_energy[filled], energy.sum(axis=1), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(state.pool_coords[filled], coords, atol=3e-5)
    np.testing.assert_allclose(np.linalg.norm(genotypes[:, 3:7], axis=1), 1.0, atol=1e-5)
    for chain in range(3):
        kept = state.pool_energy[chain][filled[chain]]
        assert (np.diff(kept) >= 0).all()
        assert filled[chain, : len(kept)].all()
        poses = state.pool_coords[chain, : len(kept)].astype(np.float64)
        rmsd = np.sqrt(((poses[:, None] - poses[None]) ** 2).sum(-1).mean(-1))
        assert (rmsd + 10.0 * np.eye(len(kept)) > SHORT.pool_rmsd - 1e-4).all()


@pytest.mark.parametrize("name", ["flexible", "rings"])
def test_same_bytes_again_in_several_calls_and_among_other_chains(pocket: Field, name: str) -> None:
    whole = search(pocket, name, (9,))
    assert_same(whole, search(pocket, name, (4, 0, 1, 4)))
    alone = search(pocket, name, (9,), n_chains=1)
    assert_same(first_chains(whole, 1), alone)
    assert_same(alone, search(pocket, name, (9,), n_chains=1))
    # a chain's number decides its random numbers, not its place among others
    later = search(pocket, name, (9,), n_chains=1, first_chain=1)
    assert later.base.tobytes() == np.ascontiguousarray(whole.base[:, 1:]).tobytes()
    assert later.pool_energy.tobytes() == whole.pool_energy[1:].tobytes()
    assert later.base.tobytes() != alone.base.tobytes()
