"""The memory planner against devices from 4 GiB up: nothing left out, nothing too large."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osong.search.memory import (
    MAX_LIGANDS,
    LigandCost,
    LigandShape,
    SearchSize,
    ligand_cost,
    plan_batches,
)

GIB = 2**30
FAST = SearchSize(n_chains=128, n_refined=12)
THOROUGH = SearchSize(n_chains=1536, n_refined=32)
DRUG = LigandShape(n_torsions=6, n_atoms=28, n_pairs=250, n_conformers=16)

shapes = st.builds(
    LigandShape,
    n_torsions=st.integers(0, 120),
    n_atoms=st.integers(1, 1500),
    n_pairs=st.integers(0, 200_000),
    n_conformers=st.integers(1, 32),
)


@given(
    ligands=st.lists(shapes, max_size=30),
    copies=st.integers(1, 8),
    free=st.integers(4 * GIB, 192 * GIB),
    target=st.integers(0, 6 * GIB),
    size=st.sampled_from([FAST, THOROUGH]),
    shared_limit=st.sampled_from([48 * 1024, 99 * 1024, 227 * 1024]),
)
def test_each_ligand_is_in_one_batch_that_fits_or_is_named(
    ligands: list[LigandShape],
    copies: int,
    free: int,
    target: int,
    size: SearchSize,
    shared_limit: int,
) -> None:
    ligands = ligands * copies
    plan = plan_batches(
        ligands, free_bytes=free, target_bytes=target, size=size, shared_limit=shared_limit
    )
    placed = [k for batch in plan.batches for k in batch.ligands]
    missed = [misfit.ligand for misfit in plan.misfits]
    assert sorted(placed + missed) == list(range(len(ligands)))
    costs = [ligand_cost(shape, size) for shape in ligands]
    for batch in plan.batches:
        assert 0 < len(batch.ligands) <= MAX_LIGANDS
        assert batch.n_bytes == sum(costs[k].device_bytes for k in batch.ligands)
        assert batch.n_bytes + target < free
        assert batch.shared_bytes == max(costs[k].shared_bytes for k in batch.ligands)
        assert batch.shared_bytes <= shared_limit
    for misfit in plan.misfits:
        alone = costs[misfit.ligand]
        assert alone.shared_bytes > shared_limit or alone.device_bytes + target > 0.85 * free
        assert "needs" in misfit.reason


@given(st.lists(shapes, min_size=1, max_size=30), st.integers(0, 5))
def test_the_plan_is_that_of_the_ligands_whatever_their_order(
    ligands: list[LigandShape], turn: int
) -> None:
    def shapes_of(order: list[LigandShape]) -> list[list[LigandShape]]:
        plan = plan_batches(order, free_bytes=4 * GIB, target_bytes=0, size=FAST)
        return [[order[k] for k in batch.ligands] for batch in plan.batches]

    turned = ligands[turn:] + ligands[:turn]
    assert shapes_of(turned) == shapes_of(ligands)


@pytest.mark.parametrize("free", [4, 8, 16, 24, 40, 80, 96, 141])
def test_drug_like_ligands_fill_every_device(free: int) -> None:
    """A batch of `fast` on the smallest device is still many more chains than it can advance."""
    ligands = [DRUG] * 3000
    plan = plan_batches(ligands, free_bytes=free * GIB, target_bytes=GIB // 4, size=FAST)
    assert not plan.misfits
    sizes = [len(batch.ligands) for batch in plan.batches]
    assert sum(sizes) == 3000
    assert min(sizes) * FAST.n_chains >= 20_000
    assert max(sizes) - min(sizes) <= len(sizes), "no batch of a few ligands is left over"


def test_ligands_of_like_shape_are_together_and_the_largest_first() -> None:
    large = LigandShape(30, 90, 3000, 16)
    plan = plan_batches(
        [DRUG, large] * 100, free_bytes=4 * GIB, target_bytes=0, size=FAST, max_ligands=50
    )
    kinds = [{k % 2 for k in batch.ligands} for batch in plan.batches]
    assert kinds == [{1}, {1}, {0}, {0}]


def test_a_target_that_fills_the_device_leaves_all_to_the_cpu() -> None:
    plan = plan_batches([DRUG] * 3, free_bytes=4 * GIB, target_bytes=5 * GIB, size=FAST)
    assert not plan.batches
    assert [misfit.ligand for misfit in plan.misfits] == [0, 1, 2]
    assert "0 MiB are free beside the target" in plan.misfits[0].reason


def test_a_huge_ligand_is_named_and_the_others_go_on() -> None:
    """No limit on torsions or atoms: what is too large for shared memory is for the CPU."""
    huge = LigandShape(400, 2000, 10**6, 1)
    plan = plan_batches([DRUG, huge, DRUG], free_bytes=80 * GIB, target_bytes=0, size=FAST)
    assert [batch.ligands for batch in plan.batches] == [(2, 0)]
    (misfit,) = plan.misfits
    assert misfit.ligand == 1
    assert "KiB of shared memory and the device has 48 KiB" in misfit.reason


def test_another_layout_brings_its_own_costs() -> None:
    plan = plan_batches(
        [DRUG] * 4,
        free_bytes=4 * GIB,
        target_bytes=0,
        size=FAST,
        cost_of=lambda shape, size: LigandCost(2 * GIB, 0),
    )
    assert [len(batch.ligands) for batch in plan.batches] == [1, 1, 1, 1]


def test_no_ligands_no_batches() -> None:
    plan = plan_batches([], free_bytes=4 * GIB, target_bytes=0, size=FAST)
    assert plan.batches == plan.misfits == ()


@pytest.mark.skipif(find_spec("numba_cuda") is None, reason="numba-cuda is not installed")
@pytest.mark.parametrize("shape", [DRUG, LigandShape(0, 1, 0, 1), LigandShape(40, 120, 5000, 32)])
def test_the_costs_cover_the_layout(shape: LigandShape) -> None:
    from osong_kernels.arguments import LigandTopology, PairList, SearchRules
    from osong_kernels.cuda.layout import (
        LigandInput,
        chain_words,
        pack_ligands,
        pool_words,
        warp_words,
    )
    from osong_kernels.cuda.refine import refine_words

    n, n_segments, n_conformers = shape.n_atoms, 1 + shape.n_torsions, shape.n_conformers
    starts = np.linspace(0, n, n_segments + 1).astype(np.int32)
    topology = LigandTopology(
        segment_start=starts,
        parent=np.arange(-1, n_segments - 1, dtype=np.int32),
        local=np.zeros((n_conformers, n, 3), np.float32),
        axis=np.zeros((n_conformers, n_segments, 3), np.float32),
        offset=np.zeros((n_conformers, n_segments, 3), np.float32),
        map_index=np.zeros(n, np.int32),
        metric=np.zeros(5 + n_segments, np.float32),
    )
    each = np.full(n, shape.n_pairs // n)
    each[: shape.n_pairs % n] += 1
    ones = np.ones(shape.n_pairs, np.float32)
    pairs = PairList(
        start=np.concatenate([[0], np.cumsum(each)]).astype(np.int32),
        second=np.zeros(shape.n_pairs, np.int32),
        r0=ones,
        is_hydrophobic=ones,
        is_hydrogen_bond=ones,
    )
    rules = SearchRules(1.2, 10.0, 50, 2e-3, 3, 20.0, 2.0, 1.0, 1.0)
    ligand = LigandInput(topology, pairs, rules, np.zeros(2, np.uint64), 100)
    packed = sum(array.nbytes for array in pack_ligands([ligand], FAST.n_chains))
    chains = FAST.n_chains * 4 * chain_words(n_segments)
    pools = FAST.n_chains * 4 * pool_words(n, n_segments)
    cost = ligand_cost(shape, FAST)
    assert packed + chains + pools <= cost.device_bytes <= 1.6 * (packed + chains + pools) + 50_000
    assert cost.shared_bytes == 4 * refine_words(n, n_segments) > 4 * warp_words(n, n_segments)
