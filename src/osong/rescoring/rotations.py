"""The fixed sets of rotations over which scores are averaged.

The networks are not invariant to rotation: GNINA averages over random ones (``--cnn_rotation``).
Here they are rotations of the cube, which map the grid's points onto one another exactly, so that
the grid is made once and its values are moved, not interpolated. Each set is a group: a complex
turned by any member of the set gives the same average.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product
from typing import Final

__all__ = ["ROTATION_COUNTS", "Rotation", "rotations"]


@dataclass(frozen=True)
class Rotation:
    """A rotation of the cube about its centre.

    Attributes
    ----------
    axes
        The old axis that becomes x, y and z.
    flips
        Whether the new x, y and z then change their sign.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    @property
    def matrix(self) -> tuple[tuple[int, ...], ...]:
        """Rows of the rotation matrix, for coordinates relative to the centre."""
        return tuple(
            tuple((-1 if flip else 1) if column == axis else 0 for column in range(3))
            for axis, flip in zip(self.axes, self.flips, strict=True)
        )


def _is_even(axes: tuple[int, int, int]) -> bool:
    return axes in {(0, 1, 2), (1, 2, 0), (2, 0, 1)}


def _all() -> tuple[Rotation, ...]:
    """Return the 24 rotations: identity, the half turns about the axes, thirds, the others."""
    found = [
        Rotation((axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2]))
        for axes in permutations((0, 1, 2))
        for flips in product((False, True), repeat=3)
        if _is_even((axes[0], axes[1], axes[2])) == (sum(flips) % 2 == 0)
    ]
    return tuple(sorted(found, key=lambda r: (not _is_even(r.axes), r.axes, r.flips)))


_ROTATIONS: Final = _all()
ROTATION_COUNTS: Final = (1, 4, 12, 24)
"""Sizes of the sets: nothing turned; the half turns about x, y and z too; with the third turns
about the cube's diagonals, the rotations of the tetrahedron; all of the cube."""


def rotations(count: int) -> tuple[Rotation, ...]:
    """Return the set of ``count`` rotations (1, 4, 12 or 24), the identity first.

    Raises
    ------
    ValueError
        For another count.
    """
    if count not in ROTATION_COUNTS:
        wanted = ", ".join(map(str, ROTATION_COUNTS))
        raise ValueError(f"rotations is {count!r}; sets of rotations have {wanted} members")
    return _ROTATIONS[:count]
