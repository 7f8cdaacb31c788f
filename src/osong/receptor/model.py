"""`Receptor`: a prepared protein as arrays, one row an atom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from osong.atom_types import ATOM_TYPES, UNSCORED
from osong.errors import ReceptorError

__all__ = ["Receptor"]


@dataclass(frozen=True, eq=False)
class Receptor:
    """A rigid receptor, ready to dock to.

    Attributes
    ----------
    coords
        (n_atoms, 3) float32, angstrom.
    atom_type
        (n_atoms,) int8, row of ``osong.atom_types.ATOM_TYPES``; ``UNSCORED`` for hydrogens.
    charge
        (n_atoms,) float32, elementary charge; Vina and Vinardo do not use it.
    element
        (n_atoms,) str, element symbol.
    ad_type
        (n_atoms,) str, AutoDock atom type.
    atom_name, residue_name, chain
        (n_atoms,) str, as in the structure.
    residue_number
        (n_atoms,) str, sequence number with its insertion code.
    """

    coords: npt.NDArray[np.float32]
    atom_type: npt.NDArray[np.int8]
    charge: npt.NDArray[np.float32]
    element: npt.NDArray[np.str_]
    ad_type: npt.NDArray[np.str_]
    atom_name: npt.NDArray[np.str_]
    residue_name: npt.NDArray[np.str_]
    chain: npt.NDArray[np.str_]
    residue_number: npt.NDArray[np.str_]

    def __post_init__(self) -> None:
        """Check shapes and numbers once, here at the edge."""
        if self.coords.shape != (self.n_atoms, 3) or self.n_atoms == 0:
            raise ReceptorError(
                f"receptor coordinates must be (n_atoms, 3) with at least one atom, "
                f"got {self.coords.shape} for {self.n_atoms} atoms"
            )
        for name in self.text_fields():
            if len(getattr(self, name)) != self.n_atoms:
                raise ReceptorError(f"receptor: {name} has another length than atom_type")
        if not ((self.atom_type >= UNSCORED) & (self.atom_type < len(ATOM_TYPES))).all():
            raise ReceptorError("receptor: an atom_type is no row of ATOM_TYPES; prepare it anew")
        if not np.isfinite(self.coords).all():
            bad = int(np.flatnonzero(~np.isfinite(self.coords).all(axis=1))[0])
            raise ReceptorError(
                f"receptor: coordinates of atom {bad + 1} ({self.label(bad)}) are not numbers; "
                "mend or remove that atom in the structure file"
            )

    @staticmethod
    def text_fields() -> tuple[str, ...]:
        """Return the names of the fields that hold text."""
        return ("element", "ad_type", "atom_name", "residue_name", "chain", "residue_number")

    @property
    def n_atoms(self) -> int:
        """Atoms, hydrogens included."""
        return len(self.atom_type)

    @property
    def is_scored(self) -> npt.NDArray[np.bool_]:
        """(n_atoms,) bool: which atoms carry energy."""
        return np.asarray(self.atom_type != UNSCORED)

    def label(self, index: int) -> str:
        """Return ``chain:name number atom`` of one atom, as a chemist would say it."""
        chain = f"{self.chain[index]}:" if self.chain[index] else ""
        residue = f"{self.residue_name[index]} {self.residue_number[index]}"
        return f"{chain}{residue} {self.atom_name[index]}"
