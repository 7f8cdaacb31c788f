"""How many operations and bytes one evaluation of energy and gradient takes, by a counted model.

Counted are the additions, subtractions, multiplications and divisions of the formulae in
``osong_kernels.physics`` as they stand, exponentials and sines by their polynomials; comparisons,
selections, table look-ups and roundings are not. ``tests/benchmarks/test_kernels_part.py`` counts
the formulae again and fails when they have changed.

Bytes are what a kernel must at least read and write of lane arrays and maps, float32, were nothing
kept in registers from one atom, pair or bond to the next: traffic with the first-level cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["Cost", "evaluation_costs"]

EXPONENTIAL: Final = 13
"""Scaling, remainder, a polynomial of degree 5, and the power of two."""
SINE_COSINE: Final = 32
"""Reduction to half a turn (6), polynomials of degree 9 and 10 (19), signs (7)."""
INVERSE_ROOT: Final = 9
"""Two of Newton's steps, each of four operations, and the halving."""

DISTANCE: Final = 8
"""Three differences and a squared length."""
PAIR_FORMULA: Final = 69
"""``pair_energy``, its exponentials and its root included; the cap of a clash is not."""
PAIR_TABLE: Final = 25
"""``table_energy``, its root included."""
PAIR_FORCE: Final = 10
"""Force vector, added to one atom and taken from the other, and the energy's sum."""
LATTICE_CELL: Final = 4
"""One coordinate: scaled, its place in the cell, its overhang."""
TRILINEAR: Final = 43
FIELD_REST: Final = 13
"""Slopes to angstrom (3), walls (3 magnitudes) and sums."""
PLACE_ATOM: Final = 18
"""A rotation (15) and a shift."""
SUM_ATOM: Final = 18
"""Arm (3), force (3), torque (12)."""
ROOT_FRAME: Final = 39
"""The matrix of a quaternion."""
AXIS_MATRIX: Final = 34
TORSION: Final = 18 + SINE_COSINE + AXIS_MATRIX + 45 + 41
"""Pivot (18), matrix of the turn and its product (45); back: axis (15), torsion's slope (5), force
and torque handed to the parent (21)."""

_FLOAT: Final = 4


@dataclass(frozen=True)
class Cost:
    """What one evaluation takes.

    Attributes
    ----------
    flops
        Operations on numbers.
    bytes
        Read and written.
    """

    flops: float
    bytes: float

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.flops / self.bytes


def evaluation_costs(
    n_atoms: int, n_torsions: int, n_pairs: int, n_near_pairs: float, *, by_table: bool
) -> dict[str, Cost]:
    """Return the cost of the stages of one evaluation of one pose.

    ``n_near_pairs`` of ``n_pairs`` are within the cutoff; of the others the distance is found.
    ``by_table``: pair energies come from the table of cubics, not from the formula.
    """
    pair = PAIR_TABLE if by_table else PAIR_FORMULA
    pair_flops = n_pairs * DISTANCE + n_near_pairs * (pair + PAIR_FORCE)
    kinematics = n_atoms * (PLACE_ATOM + SUM_ATOM) + ROOT_FRAME + n_torsions * TORSION
    return {
        "kinematics": Cost(
            kinematics,
            # atom: local 3, coordinates 3 written and 3 read, forces 3; bond: two frames of 12
            # twice, axis 3 twice, offset 3, wrenches 6 read, 12 written
            _FLOAT * (n_atoms * 12 + 7 + 12 + n_torsions * (48 + 9 + 18)),
        ),
        "field": Cost(
            n_atoms * (3 * LATTICE_CELL + TRILINEAR + FIELD_REST),
            # coordinates 3, eight corners, forces 3
            _FLOAT * n_atoms * 14,
        ),
        "pairs": Cost(
            pair_flops,
            # the other atom's coordinates, and its forces read and written
            _FLOAT * (n_pairs * 3 + n_near_pairs * 6 + n_atoms * 9),
        ),
    }
