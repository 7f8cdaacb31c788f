"""Picking poses that differ on a device: against the definition."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_backends import Backend

from osong_kernels.reference.distinct import pick_distinct as reference


@pytest.mark.parametrize(("n_poses", "n_wanted"), [(12, 12), (12, 3), (1, 1), (0, 3), (3, 0)])
@pytest.mark.parametrize("min_rmsd", [0.0, 1.3, 100.0])
def test_kernel_agrees_with_the_reference(
    backend: Backend, n_poses: int, n_wanted: int, min_rmsd: float
) -> None:
    rng = np.random.default_rng(n_poses)
    coords = rng.normal(size=(n_poses, 4, 3)).astype(np.float32)
    order = rng.permutation(n_poses).astype(np.int64)
    chosen, expected = (np.full(n_wanted, -1, np.int64) for _ in range(2))
    n = backend.pick_distinct(coords, order, min_rmsd, chosen)
    assert n == reference(coords, order, min_rmsd, expected)
    np.testing.assert_array_equal(chosen[:n], expected[:n])


def test_some_are_picked_and_some_are_not() -> None:
    """The case above asks something."""
    coords = np.random.default_rng(12).normal(size=(12, 4, 3)).astype(np.float32)
    n = reference(coords, np.arange(12), 1.3, np.empty(12, np.int64))
    assert 2 < n < 12


def test_order_may_leave_poses_out(backend: Backend) -> None:
    coords = np.zeros((4, 2, 3), np.float32)
    coords[2] += 1.0  # sqrt(3) from the others
    chosen = np.full(4, -1, np.int64)
    n = backend.pick_distinct(coords, np.array([1, 0, 2], np.int64), 1.0, chosen)
    assert n == 2
    assert chosen[:2].tolist() == [1, 2]


@pytest.mark.parametrize("n_atoms", [1, 9])
def test_every_atom_and_axis_counts(backend: Backend, n_atoms: int) -> None:
    """Nine atoms are more numbers than a simulated warp has lanes, one atom fewer."""
    poses = np.zeros((1 + 3 * n_atoms, n_atoms, 3), np.float32)
    for k in range(3 * n_atoms):
        poses[1 + k].reshape(-1)[k] = 2.0
    order = np.arange(len(poses), dtype=np.int64)
    just_below = 2.0 / np.sqrt(n_atoms) * 0.999
    chosen = np.empty(len(poses), np.int64)
    assert backend.pick_distinct(poses[:4], order[:4], just_below, chosen[:4]) == 4
    for k in range(3 * n_atoms):
        pair = np.ascontiguousarray(poses[[0, 1 + k]])
        assert backend.pick_distinct(pair, order[:2], just_below, chosen[:2]) == 2
        assert backend.pick_distinct(pair, order[:2], just_below * 1.002, chosen[:2]) == 1
