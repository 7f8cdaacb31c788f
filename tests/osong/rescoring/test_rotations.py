"""The sets of rotations: proper, distinct, closed, and the same for grids as for coordinates."""

from __future__ import annotations

import numpy as np
import pytest

from osong.rescoring.rotations import ROTATION_COUNTS, rotations


def matrices(count: int) -> list[np.ndarray]:
    return [np.array(rotation.matrix) for rotation in rotations(count)]


@pytest.mark.parametrize("count", ROTATION_COUNTS)
def test_set_is_a_group_of_rotations(count: int) -> None:
    found = matrices(count)
    assert len({m.tobytes() for m in found}) == count
    assert np.array_equal(found[0], np.eye(3))
    for one in found:
        assert np.array_equal(one @ one.T, np.eye(3))
        assert round(np.linalg.det(one)) == 1
        for other in found:
            assert any(np.array_equal(one @ other, m) for m in found)


def test_sets_contain_one_another() -> None:
    everything = rotations(24)
    for count in ROTATION_COUNTS:
        assert rotations(count) == everything[:count]


def test_half_turns_are_the_set_of_four() -> None:
    assert [np.diag(m).tolist() for m in matrices(4)] == [
        [1, 1, 1],
        [1, -1, -1],
        [-1, 1, -1],
        [-1, -1, 1],
    ]


@pytest.mark.parametrize("count", [0, 2, 3, 25])
def test_other_counts(count: int) -> None:
    with pytest.raises(ValueError, match="have 1, 4, 12, 24 members"):
        rotations(count)


def test_grid_turns_as_coordinates_do() -> None:
    """A point's value is found where the matrix takes the point."""
    torch = pytest.importorskip("torch", reason="needs osong[ml]")
    from osong.rescoring.rescorer import _turned

    edge = 6
    centre = (edge - 1) / 2
    values = torch.zeros(1, 1, edge, edge, edge)
    point = np.array([0, 2, 5])
    values[0, 0, *point] = 1.0
    for rotation in rotations(24):
        place = np.array(rotation.matrix) @ (point - centre) + centre
        turned = _turned(values, rotation.axes, rotation.flips)
        assert turned[0, 0, *place.astype(int)] == 1.0
        assert turned.sum() == 1.0
