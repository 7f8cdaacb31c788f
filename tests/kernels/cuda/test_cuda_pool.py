"""A chain's pool of minima on a device, one minimum after the other: against plain rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from kernel_cases import make_rules, make_topology
from numba import cuda, types

from osong_kernels.cuda.compile import kernel
from osong_kernels.cuda.device_memory import bundle_to_device, to_device, to_host
from osong_kernels.cuda.layout import POOL_SIZE, LigandInput, pack_ligands, pool_words, warp_words
from osong_kernels.cuda.place import ligand_of, place_of
from osong_kernels.cuda.pool import EMPTY, remember
from osong_kernels.cuda.search import no_pairs
from osong_kernels.cuda.warp import LANES, lane_index, warp_sync

LIMIT = 1.0
Entry = tuple[float, int, npt.NDArray[np.float32]]


@kernel
def remember_all(
    arrays: Any, limit2: Any, energies: Any, genotypes: Any, coords: Any, pools: Any
) -> None:
    """Offer minima, one after the other, to the pool at the tenth number of ``pools``."""
    shared = cuda.shared.array(0, types.float32)
    ligand = ligand_of(arrays, 0)
    place = place_of(0, ligand.n_atoms, ligand.n_segments)
    for n in range(len(energies)):
        k = lane_index()
        while k < ligand.n_segments + 6:
            shared[place.base + k] = genotypes[n, k]
            k += LANES
        k = lane_index()
        while k < 3 * ligand.n_atoms:
            shared[place.coords + k] = coords[n, k]
            k += LANES
        warp_sync()
        remember(pools, 10, energies[n], n, limit2, ligand, shared, place)
        warp_sync()


def kept(energies: Any, coords: Any) -> list[Entry]:
    """Return what a pool holds that was offered some minima."""
    pool: list[Entry] = []
    for n, (energy, place) in enumerate(zip(energies, coords, strict=True)):
        if not np.isfinite(energy):
            continue
        if len(pool) == POOL_SIZE and energy >= pool[-1][0]:
            continue
        same = [((other - place) ** 2).sum() * 3 <= LIMIT**2 * len(place) for _, _, other in pool]
        if any(is_same and entry[0] <= energy for is_same, entry in zip(same, pool, strict=True)):
            continue
        pool = [entry for is_same, entry in zip(same, pool, strict=True) if not is_same]
        better = sum(entry[0] <= energy for entry in pool)
        pool.insert(better, (float(energy), n, place))
        del pool[POOL_SIZE:]
    return pool


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("parents", "atoms"), [([-1], [1]), ([-1, 0, 1], [4, 3, 5])])
def test_pool_holds_what_the_rules_say(seed: int, parents: list[int], atoms: list[int]) -> None:
    """Offers from some places that overlap: a new one may be the same as several old ones."""
    rng = np.random.default_rng(seed)
    topology = make_topology(rng, parents, atoms)
    n, n_atoms, n_segments = 60, sum(atoms), len(parents)
    n_genes = 6 + n_segments
    shift = rng.choice([0.0, 0.8, 1.6, 4.0, 7.0], (n, 3)) * [1, 1, 0]
    coords = np.repeat(shift, n_atoms, axis=0).reshape(n, 3 * n_atoms).astype(np.float32)
    genotypes = rng.normal(size=(n, n_genes)).astype(np.float32)
    # falling, so that later ones are kept too; some twice
    energies = (rng.integers(-20, 20, n) - np.arange(n) // 4).astype(np.float32)
    energies[rng.choice(n, 9, replace=False)] = np.repeat([np.nan, np.inf, -np.inf], 3)
    ligand = LigandInput(topology, no_pairs(topology), make_rules(), np.zeros(2, np.uint64), 0)
    pools = np.full(10 + pool_words(n_atoms, n_segments) + 5, -7.0, np.float32)
    pools[10 : 10 + POOL_SIZE] = EMPTY
    held = to_device(pools)
    remember_all[1, LANES, 0, 4 * warp_words(n_atoms, n_segments)](
        bundle_to_device(pack_ligands([ligand], 1)), np.float32(LIMIT**2), to_device(energies),
        to_device(genotypes), to_device(coords), held,
    )  # fmt: skip
    found = to_host(held)
    expected = kept(energies, coords)
    assert len(expected) > 3
    energy, conformer, genes, places = np.split(
        found[10:-5], np.cumsum([POOL_SIZE, POOL_SIZE, POOL_SIZE * n_genes])
    )
    m = len(expected)
    assert energy[:m].tolist() == [entry[0] for entry in expected]
    assert (energy[m:] >= EMPTY).all()
    numbers = [entry[1] for entry in expected]
    assert conformer[:m].tolist() == numbers
    np.testing.assert_array_equal(genes.reshape(POOL_SIZE, -1)[:m], genotypes[numbers])
    np.testing.assert_array_equal(places.reshape(POOL_SIZE, -1)[:m], coords[numbers])
    assert (found[:10] == -7.0).all()
    assert (found[-5:] == -7.0).all()
