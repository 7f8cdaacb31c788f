"""How stiff a molecule is: a model of its second derivatives, cheap and good enough.

Bonds are some hundred times as stiff as torsions. A minimiser that knows so from the start needs
20 steps where one that has to find out needs 100.

References
----------
T. H. Fischer, J. Almloef, J. Phys. Chem. 96, 9768 (1992), doi:10.1021/j100203a036, for the idea.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from threadpoolctl import ThreadpoolController

__all__ = ["Stiffness", "stiffness"]

# kcal/mol/A^2 or /rad^2: round numbers of the size of MMFF94's; only their ratios matter.
_BOND: Final = {1.0: 650.0, 1.5: 900.0, 2.0: 1400.0, 3.0: 2300.0}
_OTHER_BOND: Final = 650.0
_ANGLE: Final = 110.0
_ANGLE_WITH_HYDROGEN: Final = 80.0
_TORSION: Final = 5.0
_CONJUGATED_TORSION: Final = 20.0
_ANY_MOTION: Final = 5.0
"""kcal/mol/A^2 for every coordinate, so that none is free."""
_FLAT: Final = 0.05
"""Least squared sine, that straight angles have finite derivatives."""


@dataclass(frozen=True)
class Stiffness:
    """Bonds, angles and torsions of a molecule with their force constants.

    Attributes
    ----------
    bonds, angles, torsions
        (n, 2), (n, 3) and (n, 4) int64, atoms.
    constants
        (n,) float64, of all of them in that order.
    n_atoms
        Atoms, hydrogens included.
    """

    bonds: npt.NDArray[np.int64]
    angles: npt.NDArray[np.int64]
    torsions: npt.NDArray[np.int64]
    constants: npt.NDArray[np.float64]
    n_atoms: int

    def inverse(self, coords: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the inverse of the model's second derivatives, (3 n_atoms, 3 n_atoms) float64.

        Parameters
        ----------
        coords
            (n_atoms, 3) float64, angstrom.
        """
        gradients = [
            _of_bonds(coords, self.bonds),
            _of_angles(coords, self.angles),
            _of_torsions(coords, self.torsions),
        ]
        size = 3 * self.n_atoms
        hessian = np.zeros(size * size)
        start = 0
        for atoms, gradient in zip(
            (self.bonds, self.angles, self.torsions), gradients, strict=True
        ):
            width = 3 * atoms.shape[1]
            flat = gradient.reshape(-1, width)
            place = (3 * atoms[:, :, None] + np.arange(3)).reshape(-1, width)
            constants = self.constants[start : start + len(flat), None]
            start += len(flat)
            entries = (constants * flat)[:, :, None] * flat[:, None, :]
            index = place[:, :, None] * size + place[:, None, :]
            # Summed entry by entry: the last bits of a product depend on the threads of the BLAS.
            hessian += np.bincount(index.ravel(), entries.ravel(), minlength=size * size)
        matrix = hessian.reshape(size, size)
        matrix[np.diag_indices(size)] += _ANY_MOTION
        inverse = _invert_on_one_thread(matrix)
        # Another processor's BLAS rounds otherwise; after this rounding that hardly ever shows. It
        # stays positive definite: its smallest eigenvalue is above 0.0001.
        rounded: npt.NDArray[np.float64] = np.round(0.5 * (inverse + inverse.T), 6)
        return rounded


@cache
def _linear_algebra() -> ThreadpoolController:
    return ThreadpoolController()


_ONE_AT_A_TIME = threading.Lock()
"""The limit is the process's: of two that overlap, the one that ends last would leave it behind."""


def _invert_on_one_thread(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the inverse; more threads only spin at this size, for three times the CPU time.

    And its last bits would depend on their number.
    """
    with _ONE_AT_A_TIME, _linear_algebra().limit(limits=1, user_api="blas"):
        return np.linalg.inv(matrix).astype(np.float64)


def stiffness(mol: Chem.Mol) -> Stiffness:
    """Return the bonds, angles and torsions of a molecule with all its hydrogens."""
    around = [[n.GetIdx() for n in atom.GetNeighbors()] for atom in mol.GetAtoms()]
    is_hydrogen = [atom.GetAtomicNum() == 1 for atom in mol.GetAtoms()]
    bonds: list[tuple[int, ...]] = []
    torsions: list[tuple[int, ...]] = []
    of_bonds: list[float] = []
    of_torsions: list[float] = []
    for bond in mol.GetBonds():
        j, k = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        bonds.append((j, k))
        of_bonds.append(_BOND.get(bond.GetBondTypeAsDouble(), _OTHER_BOND))
        constant = _CONJUGATED_TORSION if bond.GetIsConjugated() else _TORSION
        ends = [(i, j, k, m) for i in around[j] for m in around[k] if i != k and m != j and i != m]
        torsions += ends
        of_torsions += [constant] * len(ends)
    angles = [(i, j, k) for j, ends in enumerate(around) for i, k in combinations(ends, 2)]
    of_angles = [
        _ANGLE_WITH_HYDROGEN if is_hydrogen[i] or is_hydrogen[k] else _ANGLE for i, _, k in angles
    ]
    return Stiffness(
        np.array(bonds, dtype=np.int64).reshape(-1, 2),
        np.array(angles, dtype=np.int64).reshape(-1, 3),
        np.array(torsions, dtype=np.int64).reshape(-1, 4),
        np.array(of_bonds + of_angles + of_torsions),
        mol.GetNumAtoms(),
    )


def _of_bonds(
    coords: npt.NDArray[np.float64], bonds: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the derivatives of the lengths, (n, 2, 3)."""
    unit = _unit(coords[bonds[:, 0]] - coords[bonds[:, 1]])[0]
    return np.stack([unit, -unit], axis=1)


def _of_angles(
    coords: npt.NDArray[np.float64], angles: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the derivatives of the angles, (n, 3, 3)."""
    u, length_u = _unit(coords[angles[:, 0]] - coords[angles[:, 1]])
    v, length_v = _unit(coords[angles[:, 2]] - coords[angles[:, 1]])
    cosine = (u * v).sum(axis=1, keepdims=True)
    sine = np.sqrt(np.maximum(1.0 - cosine * cosine, _FLAT))
    first = (cosine * u - v) / (sine * length_u)
    last = (cosine * v - u) / (sine * length_v)
    return np.stack([first, -first - last, last], axis=1)


def _of_torsions(
    coords: npt.NDArray[np.float64], torsions: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the derivatives of the torsions, (n, 4, 3)."""
    i, j, k, m = (coords[torsions[:, end]] for end in range(4))
    axis, length = _unit(j - k)
    normal_i, normal_m = np.cross(i - j, axis), np.cross(m - k, axis)
    square_i = np.maximum((normal_i * normal_i).sum(axis=1, keepdims=True), _FLAT)
    square_m = np.maximum((normal_m * normal_m).sum(axis=1, keepdims=True), _FLAT)
    first, last = -normal_i / square_i, normal_m / square_m
    along_i = ((i - j) * axis).sum(axis=1, keepdims=True) / length
    along_m = ((m - k) * axis).sum(axis=1, keepdims=True) / length
    second = -first - along_i * first - along_m * last
    return np.stack([first, second, -first - second - last, last], axis=1)


def _unit(
    vectors: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    length = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-3)
    return vectors / length, length
