"""Where things of a batch stand in a device's memory: nothing is lost, nothing overlaps."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from kernel_cases import make_pairs, make_rules, make_state, make_topology

from osong_kernels.arguments import PairList
from osong_kernels.cuda.chain_state import chains_from_state, state_from_chains
from osong_kernels.cuda.layout import (
    FIRST_WORD,
    MAX_ATOMS,
    N_COLUMNS,
    N_RULES,
    POOL_SIZE,
    LigandInput,
    chain_words,
    pack_field,
    pack_ligands,
    pack_pairs,
    pool_words,
    warp_words,
)
from osong_kernels.cuda.place import Place, place_of

SIZES = [([-1], [1]), ([-1, 0, 1, 0], [4, 0, 2, 3]), ([-1, 0], [5, 3])]


def ligand(k: int, n_conformers: int = 2) -> LigandInput:
    rng = np.random.default_rng(k)
    parents, atoms = SIZES[k]
    topology = make_topology(rng, parents, atoms, n_conformers, n_maps=3)
    pairs = make_pairs(rng, sum(atoms), 0.7)
    kinds = rng.integers(0, 9, sum(atoms)).astype(np.int32)
    key = rng.integers(0, 2**32, 2).astype(np.uint64)
    return LigandInput(topology, pairs, make_rules(move=1.0 + k), key, 5 + k, 16 * k, kinds)


@pytest.mark.parametrize(("n_atoms", "share"), [(1, 1.0), (2, 1.0), (9, 0.6), (40, 1.0)])
def test_every_pair_is_packed_once_with_its_kind(n_atoms: int, share: float) -> None:
    pairs = make_pairs(np.random.default_rng(n_atoms), n_atoms, share)
    packed, r0 = pack_pairs(pairs)
    assert (packed.dtype, r0.dtype) == (np.uint32, np.float32)
    first = np.repeat(np.arange(n_atoms), np.diff(pairs.start))
    oily, bond = pairs.is_hydrophobic, pairs.is_hydrogen_bond
    expected = zip(first, pairs.second, oily + 2 * bond, pairs.r0, strict=True)
    found = zip(packed & 0x7FFF, packed >> 15 & 0x7FFF, packed >> 30, r0, strict=True)
    as_numbers = [
        sorted(tuple(float(x) for x in pair) for pair in each) for each in (found, expected)
    ]
    assert as_numbers[0] == as_numbers[1]


def test_pairs_of_the_last_atoms_fit() -> None:
    start = np.zeros(MAX_ATOMS + 1, np.int32)
    start[-2:] = 1
    one = np.ones(1, np.float32)
    pairs = PairList(start, np.array([MAX_ATOMS - 1], np.int32), one, one, one)
    packed = int(pack_pairs(pairs)[0][0])
    assert (packed & 0x7FFF, packed >> 15 & 0x7FFF, packed >> 30) == (
        MAX_ATOMS - 2,
        MAX_ATOMS - 1,
        3,
    )


def test_neighbours_in_the_list_rarely_share_an_atom() -> None:
    """Lanes that add to one atom at the same time wait for each other."""
    packed, _ = pack_pairs(make_pairs(np.random.default_rng(1), 30, 0.8))
    shared = [len(np.unique(packed[k : k + 8] & 0x7FFF)) for k in range(0, len(packed) - 8, 8)]
    assert np.mean(shared) > 6


@pytest.mark.parametrize("n_pairs_of_second", [0.0, 1.0])
def test_ligands_of_a_batch_can_be_found_again(n_pairs_of_second: float) -> None:
    ligands = [ligand(k, n_conformers=1 + k) for k in (1, 0, 2)]
    rng = np.random.default_rng(0)
    ligands[2] = ligands[2]._replace(pairs=make_pairs(rng, 8, n_pairs_of_second))
    arrays = pack_ligands(ligands, 32)
    rows = arrays.table.reshape(len(ligands), N_COLUMNS)
    for k, (row, one) in enumerate(zip(rows, ligands, strict=True)):
        n_atoms, n_segments, n_conformers, n_pairs, atom, local, segment, axis, dof, pair = row[:10]
        topology = one.topology
        assert topology.local.shape == (n_conformers, n_atoms, 3)
        assert len(topology.parent) == n_segments
        for name, first in (("local", local), ("axis", axis), ("offset", axis)):
            expected = getattr(topology, name).reshape(-1)
            assert (
                getattr(arrays, name)[first : first + len(expected)].tolist() == expected.tolist()
            )
        assert arrays.parent[segment : segment + n_segments].tolist() == topology.parent.tolist()
        start = arrays.segment_start[segment + k : segment + k + n_segments + 1]
        assert start.tolist() == topology.segment_start.tolist()
        of = np.repeat(np.arange(n_segments), np.diff(topology.segment_start))
        assert arrays.segment_of[atom : atom + n_atoms].tolist() == of.tolist()
        assert arrays.map_index[atom : atom + n_atoms].tolist() == topology.map_index.tolist()
        assert one.atom_type is not None
        assert arrays.atom_type[atom : atom + n_atoms].tolist() == one.atom_type.tolist()
        assert arrays.metric[dof : dof + 5 + n_segments].tolist() == topology.metric.tolist()
        packed, r0 = pack_pairs(one.pairs)
        assert n_pairs == len(packed)
        assert arrays.pair[pair : pair + n_pairs].tolist() == packed.tolist()
        assert arrays.pair_r0[pair : pair + n_pairs].tolist() == r0.tolist()
        assert row[10:].tolist() == [one.n_ticks, one.first_chain]
        rules = arrays.rules[N_RULES * k : N_RULES * (k + 1)]
        np.testing.assert_array_equal(rules, np.array(one.rules, np.float32))
        assert arrays.key[2 * k : 2 * k + 2].tolist() == one.key.tolist()
        assert np.diff(arrays.chain_start)[k] == 32 * chain_words(n_segments)
        assert np.diff(arrays.pool_start)[k] == 32 * pool_words(n_atoms, n_segments)


def test_no_array_is_empty() -> None:
    assert all(len(array) for array in pack_ligands([ligand(0)], 16))


def test_a_ligand_with_too_many_atoms_is_refused() -> None:
    small = ligand(0)
    local = np.zeros((1, MAX_ATOMS + 1, 3), np.float32)
    large = small._replace(topology=small.topology._replace(local=local))
    with pytest.raises(ValueError, match="more than 32767"):
        pack_ligands([large], 16)


@pytest.mark.parametrize("shape", [(2, 2, 2), (4, 3, 5)])
def test_two_quads_are_the_corners_of_a_cell(shape: tuple[int, int, int]) -> None:
    maps = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
    quads = pack_field(maps.reshape(-1), shape).reshape(2, *shape, 4)
    for m in range(2):
        for x, y, z in np.ndindex(*(n - 1 for n in shape)):
            corners = maps[m, x : x + 2, y : y + 2, z : z + 2].reshape(2, 4)
            np.testing.assert_array_equal(quads[m, x : x + 2, y, z], corners)
    assert np.isfinite(quads).all()


@pytest.mark.parametrize(("n_atoms", "n_segments"), [(1, 1), (30, 7), (200, 40)])
def test_parts_of_shared_memory_do_not_overlap(n_atoms: int, n_segments: int) -> None:
    place = getattr(place_of, "py_func", place_of)(100, n_atoms, n_segments)
    genes, dof = 6 + n_segments, 5 + n_segments
    sizes = Place(
        3 * n_atoms, 3 * n_atoms, 12 * n_segments, 6 * n_segments, genes, genes, dof, dof,
        dof * (dof + 1) // 2, 10, dof, dof, dof,
    )  # fmt: skip
    parts = sorted(zip(place, sizes, strict=True))
    assert parts[0][0] >= 100 + FIRST_WORD
    for (first, size), (after, _) in pairwise(parts):
        assert first + size <= after
    assert sum(parts[-1]) <= 100 + warp_words(n_atoms, n_segments)


def test_a_state_comes_back_as_it_went() -> None:
    rng, one = np.random.default_rng(3), ligand(1, n_conformers=3)
    state = make_state(one.topology)
    for name, array in state._asdict().items():
        whole = array.dtype == np.int32
        array[:] = rng.integers(0, 3, array.shape) if whole else rng.normal(size=array.shape)
        if name == "pool_energy":
            array[:, 5:] = np.inf
    back = make_state(one.topology)
    state_from_chains(chains_from_state(state), one.topology, back)
    for name, array in back._asdict().items():
        if name in ("local", "axis", "offset"):
            expected = np.moveaxis(getattr(one.topology, name)[state.conformer], 0, -1)
            np.testing.assert_array_equal(array, expected)
        else:
            np.testing.assert_array_equal(array, getattr(state, name))


def test_pools_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=f"on a device {POOL_SIZE}"):
        chains_from_state(make_state(ligand(0).topology, POOL_SIZE - 1))
