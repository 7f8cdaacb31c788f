"""A quasi-Newton minimiser that starts from a model of the second derivatives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from rdkit.ForceField.rdForceField import ForceField

__all__ = ["Descent"]

_LONGEST_MOVE: Final = 0.5
"""angstrom, of any coordinate in one step."""
_SMALLEST_STEP: Final = 1e-3
_ENOUGH: Final = 1e-4
"""Share of the decrease that the slope promises (Armijo's rule)."""
_MEAN_FORCE: Final = 0.3
"""kcal/mol/A, root mean square, at which a geometry counts as relaxed."""


class Descent:
    """BFGS on one conformer of a force field; it can stop and go on.

    Attributes
    ----------
    position
        (3 n_atoms,) float64, angstrom.
    energy
        kcal/mol.
    is_done
        Whether the forces are small, or no step goes down any more.
    """

    def __init__(
        self,
        field: ForceField,
        position: npt.NDArray[np.float64],
        inverse: npt.NDArray[np.float64],
    ) -> None:
        self.position = position
        self.energy = float(field.CalcEnergy(position.tolist()))
        self.is_done = not np.isfinite(self.energy)
        self._field = field
        self._gradient = np.array(field.CalcGrad(position.tolist()))
        self._inverse = inverse

    def run(self, n_steps: int) -> None:
        """Take up to so many steps."""
        for _ in range(n_steps):
            if self.is_done:
                return
            self._step()

    def _step(self) -> None:
        # einsum, not @: the last bits of BLAS products depend on its threads.
        move = -np.einsum("ij,j", self._inverse, self._gradient)
        move *= min(1.0, _LONGEST_MOVE / max(float(np.abs(move).max()), 1e-12))
        slope = float((move * self._gradient).sum())
        found = self._search(move, slope) if slope < 0.0 else None
        if found is None:
            self.is_done = True
            return
        position, energy = found
        gradient = np.array(self._field.CalcGrad(position.tolist()))
        self._learn(position - self.position, gradient - self._gradient)
        self.position, self.energy, self._gradient = position, energy, gradient
        self.is_done = not float(np.sqrt((gradient * gradient).mean())) > _MEAN_FORCE

    def _search(
        self, move: npt.NDArray[np.float64], slope: float
    ) -> tuple[npt.NDArray[np.float64], float] | None:
        """Return a point further down along the move and its energy."""
        step = 1.0
        while step > _SMALLEST_STEP:
            position = self.position + step * move
            energy = float(self._field.CalcEnergy(position.tolist()))
            rise = energy - self.energy - step * slope
            if energy <= self.energy + _ENOUGH * step * slope:
                return position, energy
            # The lowest point of the parabola through both energies and the slope.
            best = -0.5 * slope * step * step / rise if np.isfinite(rise) else 0.0
            step = min(max(best, 0.1 * step), 0.5 * step)
        return None

    def _learn(self, moved: npt.NDArray[np.float64], change: npt.NDArray[np.float64]) -> None:
        """Bring the inverse up to what this step told (BFGS)."""
        curvature = float((moved * change).sum())
        if not curvature > 1e-8:
            return
        mapped = np.einsum("ij,j", self._inverse, change)
        along = moved / curvature
        cross = np.outer(mapped, along)
        self._inverse -= cross + cross.T
        self._inverse += np.outer((1.0 + float((change * mapped).sum()) / curvature) * moved, along)
