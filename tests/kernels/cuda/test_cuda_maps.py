"""Grid maps on a device: against the definition, planes apart, maps alone, lists that overflow."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_backends import Backend
from kernel_cases import VINA, VINARDO
from test_maps import arguments, is_near_cutoff

from osong_kernels.cuda.tiles import LISTED_AT_ONCE
from osong_kernels.physics.pair_terms import PairWeights
from osong_kernels.reference.maps import build_maps as reference_maps


@pytest.mark.parametrize(
    ("shape", "n_atoms", "weights", "spacing"),
    [
        ((4, 3, 3, 5), 12, VINA, 0.375),  # the last tiles are not full
        ((2, 2, 2, 3), 12, VINARDO, 0.375),
        ((1, 2, 2, 12), 20, VINA, 1.3),  # wider than the reach of an atom
        ((1, 1, 2, 2), 2 * LISTED_AT_ONCE + 5, VINA, 0.375),  # more atoms than a list holds
        ((2, 2, 3, 4), 1, VINA, 0.5),
        ((1, 2, 1, 3), 0, VINA, 0.375),
    ],
)
def test_kernel_agrees_with_the_reference(
    backend: Backend,
    shape: tuple[int, int, int, int],
    n_atoms: int,
    weights: PairWeights,
    spacing: float,
) -> None:
    args = arguments(5, shape, n_atoms, weights, spacing)
    backend.build_maps(*args)
    expected = np.full(shape, np.nan)
    reference_maps(*args[:-1], expected)
    assert n_atoms == 0 or (expected != 0.0).any()
    clear = ~is_near_cutoff(args)
    assert clear.mean() > 0.9
    difference = np.abs(args[-1] - expected)[:, clear]
    assert (difference <= 2e-6 * (n_atoms + np.abs(expected[:, clear]))).all()


def test_atoms_out_of_reach_leave_zero(backend: Backend) -> None:
    args = arguments(5, (1, 2, 2, 3), 10)
    args[0] += np.float32(30.0)
    backend.build_maps(*args)
    assert (args[-1] == 0.0).all()


def test_planes_can_be_filled_apart(backend: Backend) -> None:
    whole = arguments(6, (2, 5, 2, 3), 20)
    backend.build_maps(*whole)
    for first, last in ((0, 3), (3, 5)):
        part = [*whole[:-2], first, np.full((2, last - first, 2, 3), np.nan, np.float32)]
        backend.build_maps(*part)
        np.testing.assert_array_equal(part[-1], whole[-1][:, first:last])


def test_maps_are_independent_of_each_other(backend: Backend) -> None:
    """One map built alone has the same bytes as among others: they are built when needed."""
    together = arguments(7, (3, 2, 2, 3), 20)
    backend.build_maps(*together)
    for m in range(3):
        tables = [np.ascontiguousarray(table[m : m + 1]) for table in together[2:5]]
        one = np.full((1, 2, 2, 3), np.nan, np.float32)
        backend.build_maps(*together[:2], *tables, *together[5:-1], one)
        np.testing.assert_array_equal(one[0], together[-1][m])


def test_float64_maps_are_filled_too(backend: Backend) -> None:
    args = arguments(8, (1, 2, 2, 3), 8)
    backend.build_maps(*args)
    wide = np.full(args[-1].shape, np.nan)
    backend.build_maps(*args[:-1], wide)
    np.testing.assert_array_equal(wide, args[-1])
