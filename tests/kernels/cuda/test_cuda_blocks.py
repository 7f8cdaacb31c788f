"""What warps and blocks do together, and loads of four numbers, in kernels of these tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import cuda, types

from osong_kernels.cuda.blocks import MAX_WARPS, block_any, block_place
from osong_kernels.cuda.compile import IS_SIMULATED, exact_formula, exact_kernel, inlined, kernel
from osong_kernels.cuda.elementary import is_number
from osong_kernels.cuda.memory import load_four
from osong_kernels.cuda.shared import load_shared, store_shared
from osong_kernels.cuda.warp import LANES, thread_index, warp_max, warp_min, warp_sum
from osong_kernels.physics.rotation import quaternion_from_rotation_vector

N_THREADS = LANES if IS_SIMULATED else 3 * LANES

if IS_SIMULATED:
    from numba.cuda.simulator.kernel import _get_kernel_context as context

    def shared_eight() -> Any:
        return context().shared.array(8, types.float32)

else:

    @inlined
    def shared_eight() -> Any:
        return cuda.shared.array(8, types.float32, alignment=16)


@kernel
def place_flags(flags: Any, places: Any, totals: Any, any_of_all: Any) -> None:
    counts = cuda.shared.array(MAX_WARPS, types.int32)
    i = thread_index()
    places[i], totals[i] = block_place(flags[i], counts)
    any_of_all[i] = block_any(flags[i])


@kernel
def reduce_warp(values: Any, found: Any) -> None:
    scratch = cuda.shared.array(LANES, types.float32)
    i = thread_index()
    found[0, i] = warp_sum(values[i], scratch)
    found[1, i] = warp_max(values[i], scratch)
    found[2, i] = warp_min(values[i], scratch)


@kernel
def pass_through_shared(numbers: Any, found: Any) -> None:
    passed = shared_eight()
    i = thread_index()
    if i < 2:
        a, b, c, d = load_four(numbers, 4 * i)
        store_shared(passed, 4 * i, d, c, b, a)
    cuda.syncthreads()
    if i < 2:
        found[i, 0], found[i, 1], found[i, 2], found[i, 3] = load_shared(passed, 4 - 4 * i)


quaternion = exact_formula(quaternion_from_rotation_vector)


@exact_kernel
def rotate(vector: Any, found: Any) -> None:
    found[0], found[1], found[2], found[3] = quaternion(vector[0], vector[1], vector[2])


@kernel
def tell_numbers(values: Any, found: Any) -> None:
    i = thread_index()
    found[i] = is_number(values[i])


def test_numbers_are_told_from_what_is_none() -> None:
    values = np.array([0.0, -1e-40, 3.4e38, -3.4e38, np.nan, -np.nan, np.inf, -np.inf], np.float32)
    found = np.zeros(8, np.bool_)
    tell_numbers[1, 8](values, found)
    np.testing.assert_array_equal(found, np.isfinite(values))


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_places_are_in_the_order_of_threads(share: float) -> None:
    flags = np.random.default_rng(3).random(N_THREADS) < share
    places, totals = np.full(N_THREADS, -1, np.int32), np.full(N_THREADS, -1, np.int32)
    any_of_all = np.zeros(N_THREADS, np.bool_)
    place_flags[1, N_THREADS](flags, places, totals, any_of_all)
    np.testing.assert_array_equal(places, np.cumsum(flags) - flags)
    assert (totals == flags.sum()).all()
    assert (any_of_all == flags.any()).all()


def test_warps_agree() -> None:
    values = np.random.default_rng(4).normal(size=LANES).astype(np.float32)
    found = np.zeros((3, LANES), np.float32)
    reduce_warp[1, LANES](values, found)
    np.testing.assert_allclose(found[0], values.sum(dtype=np.float64), rtol=0.0, atol=1e-5)
    assert (found[0] == found[0, 0]).all()
    assert (found[1] == values.max()).all()
    assert (found[2] == values.min()).all()


def test_four_numbers_at_once() -> None:
    numbers = np.arange(8, dtype=np.float32)
    found = np.zeros((2, 4), np.float32)
    pass_through_shared[1, LANES](numbers, found)
    assert found.tolist() == [[7.0, 6.0, 5.0, 4.0], [3.0, 2.0, 1.0, 0.0]]


def test_exact_formulae_are_in_float64() -> None:
    vector = np.array([0.3, -0.7, 1.1])
    found = np.zeros(4)
    rotate[1, 1](vector, found)
    expected = quaternion_from_rotation_vector(*vector.tolist())
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-15)
