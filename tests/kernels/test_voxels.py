"""Atom densities on lattices: kernel against the definition, poses apart, invariance."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_backends import Backend

from osong_kernels.cpu.voxels import voxelise as cpu_voxelise
from osong_kernels.physics.atom_density import REACH, atom_density, gaussian, tail
from osong_kernels.physics.rotation import matrix_from_quaternion
from osong_kernels.reference.voxels import voxelise as reference_voxelise

N_CHANNELS = 4
MIDDLE = np.array([31.0, -7.5, 64.25], np.float32)
TOLERANCE = 2e-6
"""Float32 coordinates of some ten angstrom, slopes of up to one an angstrom."""


def arguments(
    seed: int, n: int, spacing: float, n_receptor: int = 20, sizes: tuple[int, ...] = (5, 3)
) -> list[Any]:
    """Return the arguments of ``voxelise``; the last, ``grids``, is NaN."""
    rng = np.random.default_rng(seed)
    edge = 0.5 * (n - 1) * spacing + 2.5  # some atoms reach into the lattice, some do not

    def atoms(number: int, spread: float) -> list[Any]:
        return [
            (MIDDLE + rng.uniform(-spread, spread, (number, 3))).astype(np.float32),
            rng.integers(-1, N_CHANNELS + 1, number).astype(np.int32),
            rng.choice([1.2, 1.7, 1.9, 2.2], number).astype(np.float32),
        ]

    quaternions = rng.normal(size=(len(sizes), 4))
    quaternions /= np.linalg.norm(quaternions, axis=1)[:, None]
    return [
        *atoms(n_receptor, edge),
        *atoms(sum(sizes), 0.7 * edge),
        np.cumsum([0, *sizes]).astype(np.int64),
        (MIDDLE + rng.uniform(-0.5, 0.5, (len(sizes), 3))).astype(np.float32),
        quaternions.astype(np.float32),
        spacing,
        np.full((len(sizes), N_CHANNELS, n, n, n), np.nan, np.float32),
    ]


def expected_grids(args: list[Any]) -> npt.NDArray[np.float64]:
    out = np.full(args[-1].shape, np.nan)
    reference_voxelise(*args[:-1], out)
    return out


@pytest.mark.parametrize(
    ("n", "spacing", "n_receptor", "sizes"),
    [
        (16, 0.5, 20, (5, 3)),
        (17, 0.5, 20, (5, 0, 3)),
        (21, 0.25, 20, (4,)),  # an atom reaches farther than sixteen points of a row
        (5, 0.7, 30, (5, 3)),  # rows shorter than a vector
        (1, 0.5, 8, (2,)),
        (18, 1.5, 40, (6,)),  # points wider apart than an atom's radius
        (16, 0.5, 0, (4, 2)),
        (16, 0.5, 12, (0,)),
    ],
)
def test_kernel_agrees_with_the_reference(
    backend: Backend, n: int, spacing: float, n_receptor: int, sizes: tuple[int, ...]
) -> None:
    args = arguments(3, n, spacing, n_receptor, sizes)
    backend.voxelise(*args)
    expected = expected_grids(args)
    assert n == 1 or expected.max() > 0.1
    np.testing.assert_allclose(args[-1], expected, rtol=0, atol=TOLERANCE)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(2, 19),
    spacing=st.floats(0.2, 1.5),
    sizes=st.lists(st.integers(0, 4), min_size=1, max_size=3),
)
def test_any_lattice(seed: int, n: int, spacing: float, sizes: list[int]) -> None:
    args = arguments(seed, n, spacing, 6, tuple(sizes))
    cpu_voxelise(*args)
    np.testing.assert_allclose(args[-1], expected_grids(args), rtol=0, atol=TOLERANCE)


def test_a_pose_depends_on_no_other(backend: Backend) -> None:
    whole = arguments(5, 16, 0.5, sizes=(4, 6, 2))
    backend.voxelise(*whole)
    start = whole[6]
    for p in range(3):
        own = slice(start[p], start[p + 1])
        alone = [
            *whole[:3],
            *(np.ascontiguousarray(x[own]) for x in whole[3:6]),
            np.array([0, start[p + 1] - start[p]]),
            *(np.ascontiguousarray(x[p : p + 1]) for x in whole[7:9]),
            whole[9],
            np.full_like(whole[-1][:1], np.nan),
        ]
        backend.voxelise(*alone)
        np.testing.assert_array_equal(alone[-1][0], whole[-1][p])


def without_first(whole: list[Any]) -> list[Any]:
    """Return the arguments of all poses but the first, with empty grids and all atoms."""
    return [
        *whole[:6],
        np.ascontiguousarray(whole[6][1:]),
        *(np.ascontiguousarray(x[1:]) for x in whole[7:9]),
        whole[9],
        np.full_like(whole[-1][1:], np.nan),
    ]


def test_some_poses_of_longer_arrays(backend: Backend) -> None:
    """Threads share the poses: starts need not begin at zero."""
    whole = arguments(5, 16, 0.5, sizes=(4, 6, 2))
    backend.voxelise(*whole)
    part = without_first(whole)
    backend.voxelise(*part)
    np.testing.assert_array_equal(part[-1], whole[-1][1:])


def test_a_channel_depends_on_no_other(backend: Backend) -> None:
    whole = arguments(6, 16, 0.5)
    backend.voxelise(*whole)
    for c in range(N_CHANNELS):
        one = [*whole[:-1], np.full_like(whole[-1], np.nan)]
        one[1], one[4] = (np.where(x == c, x, -1).astype(np.int32) for x in (whole[1], whole[4]))
        backend.voxelise(*one)
        np.testing.assert_array_equal(one[-1][:, c], whole[-1][:, c])
        assert (np.delete(one[-1], c, axis=1) == 0.0).all()


def test_turning_the_atoms_is_turning_the_frame(backend: Backend) -> None:
    args = arguments(7, 16, 0.5, sizes=(6,))
    turned = arguments(7, 16, 0.5, sizes=(6,))
    matrix = np.array(matrix_from_quaternion(*args[8][0].astype(float))).reshape(3, 3)
    center = args[7][0].astype(float)
    for k in (0, 3):
        turned[k] = ((args[k] - center) @ matrix.T + center).astype(np.float32)
    turned[8] = np.array([[1, 0, 0, 0]], np.float32)
    backend.voxelise(*args)
    backend.voxelise(*turned)
    assert args[-1].max() > 0.5
    np.testing.assert_allclose(args[-1], turned[-1], rtol=0, atol=2e-5)


def test_a_quarter_turn_is_a_turned_grid(backend: Backend) -> None:
    """About z, x becomes y: the direction of a rotation is that of its matrix."""
    args = arguments(8, 16, 0.5, sizes=(6,))
    args[8] = np.array([[1, 0, 0, 0]], np.float32)
    backend.voxelise(*args)
    turned = [*args[:-1], np.full_like(args[-1], np.nan)]
    turned[8] = np.array([[0.5**0.5, 0, 0, 0.5**0.5]], np.float32)
    backend.voxelise(*turned)
    expected = np.rot90(args[-1], 1, axes=(2, 3))
    np.testing.assert_allclose(turned[-1], expected, rtol=0, atol=2e-5)


def test_an_atom_on_a_point(backend: Backend) -> None:
    """One atom on the middle point: one there, exp(-2) at its radius, zero from 1.5 radii on."""
    coords = MIDDLE[None].copy()
    args: list[Any] = [
        np.zeros((0, 3), np.float32), np.zeros(0, np.int32), np.zeros(0, np.float32),
        coords, np.array([1], np.int32), np.array([2.0], np.float32), np.array([0, 1]),
        coords, np.array([[1, 0, 0, 0]], np.float32), 0.5, np.full((1, 2, 17, 17, 17), np.nan,
        np.float32),
    ]  # fmt: skip
    backend.voxelise(*args)
    assert (args[-1][0, 0] == 0.0).all()
    row = args[-1][0, 1, 8, 8]
    np.testing.assert_allclose(row[[8, 4, 12]], [1.0, np.exp(-2.0), np.exp(-2.0)], atol=1e-6)
    assert (row[[0, 1, 2, 14, 15, 16]] == 0.0).all()
    assert (row[3:14] > 0.0).all()


@pytest.mark.parametrize("radius", [1.2, 1.9, 2.3])
def test_the_two_parts_of_an_atom_meet(radius: float) -> None:
    inverse = 1.0 / radius
    assert gaussian(radius**2, inverse) == pytest.approx(tail(radius, inverse))
    step = 1e-6
    slopes = [
        (gaussian((radius + step) ** 2, inverse) - gaussian((radius - step) ** 2, inverse)),
        (tail(radius + step, inverse) - tail(radius - step, inverse)),
    ]
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-4)
    assert atom_density(0.0, radius) == 1.0
    assert tail(REACH * radius, inverse) == pytest.approx(0.0)
    assert atom_density(4.0 * radius**2, radius) == 0.0
