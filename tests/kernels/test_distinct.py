"""Picking poses that differ: kernel against the definition."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from osong_kernels.reference.distinct import pick_distinct as reference


@pytest.mark.parametrize(("n_poses", "n_wanted"), [(60, 100), (60, 5), (1, 1), (0, 3), (8, 0)])
@pytest.mark.parametrize("min_rmsd", [0.0, 1.0, 1.6, 100.0])
def test_kernel_agrees_with_the_reference(
    backend: SimpleNamespace, n_poses: int, n_wanted: int, min_rmsd: float
) -> None:
    rng = np.random.default_rng(n_poses)
    coords = rng.normal(size=(n_poses, 4, 3)).astype(np.float32)
    order = rng.permutation(n_poses).astype(np.int64)
    chosen, expected = (np.full(n_wanted, -1, np.int64) for _ in range(2))
    n = backend.pick_distinct(coords, order, min_rmsd, chosen)
    assert n == reference(coords, order, min_rmsd, expected)
    np.testing.assert_array_equal(chosen[:n], expected[:n])


def test_the_first_of_equals_is_picked(backend: SimpleNamespace) -> None:
    coords = np.zeros((4, 2, 3), np.float32)
    coords[2] += 1.0  # sqrt(3) from the others
    chosen = np.empty(4, np.int64)
    n = backend.pick_distinct(coords, np.array([1, 0, 2, 3], np.int64), 1.0, chosen)
    assert chosen[:n].tolist() == [1, 2]
