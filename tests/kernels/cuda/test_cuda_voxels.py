"""Atom densities on a device: against the definition, lists that overflow, poses apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from kernel_backends import Backend
from test_voxels import TOLERANCE, arguments, expected_grids, without_first

from osong_kernels.cuda.tiles import LISTED_AT_ONCE


@pytest.mark.parametrize(
    ("n", "spacing", "n_receptor", "sizes"),
    [
        (3, 0.9, 12, (3, 0, 2)),  # the last tiles are not full
        (2, 0.5, 2 * LISTED_AT_ONCE + 3, (4,)),  # more atoms than a list holds
        (4, 1.2, 0, (5,)),
        (2, 0.5, 6, (0,)),
        (1, 0.5, 3, (1,)),
    ],
)
def test_kernel_agrees_with_the_reference(
    backend: Backend, n: int, spacing: float, n_receptor: int, sizes: tuple[int, ...]
) -> None:
    args = arguments(3, n, spacing, n_receptor, sizes)
    backend.voxelise(*args)
    expected = expected_grids(args)
    assert expected.max() > 0.05
    # what a device's exponentials and roots are good to, atom by atom
    np.testing.assert_allclose(args[-1], expected, rtol=2e-6, atol=TOLERANCE)


def test_a_pose_depends_on_no_other(backend: Backend) -> None:
    whole = arguments(5, 3, 0.8, 10, sizes=(3, 4))
    backend.voxelise(*whole)
    last = without_first(whole)
    backend.voxelise(*last)
    np.testing.assert_array_equal(last[-1], whole[-1][1:])


def test_receptor_and_pose_may_share_a_channel(backend: Backend) -> None:
    """Whatever the order that channels come in, the sums are whole."""
    args = arguments(9, 3, 0.8, 8, sizes=(4,))
    args[1][:] = [3, 0, 2, 2, 1, 3, 0, 2]
    args[4][:] = [2, 0, 3, 0]
    backend.voxelise(*args)
    expected = expected_grids(args)
    assert ((expected > 0.0).sum(axis=(0, 2, 3, 4)) > 0).all()
    np.testing.assert_allclose(args[-1], expected, rtol=2e-6, atol=TOLERANCE)


def test_no_poses_are_no_launch(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device refuses a launch of no blocks."""
    launches: list[object] = []

    class Kernel:
        def __getitem__(self, blocks: object) -> Callable[..., None]:
            launches.append(blocks)
            return lambda *arguments: None

    monkeypatch.setattr("osong_kernels.cuda.voxels._fill_tiles", Kernel())
    args = arguments(3, 3, 0.9, 4, ())
    args[3:6] = [x[:0] for x in args[3:6]]
    backend.voxelise(*args)
    assert launches == []
