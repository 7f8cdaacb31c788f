"""`PackedLigand`: one ligand, ready to dock, as the arrays that the kernels take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["PackedLigand"]


@dataclass(frozen=True)
class PackedLigand:
    """Rigid segments joined by rotatable bonds, in one or more conformers.

    Atoms with energy (heavy atoms) come first, ``n_scored`` of them, then the hydrogens, which
    only ride along so that a pose can be written whole. Segment 0 is the root; a segment's parent
    precedes it. In the reference geometry every torsion is zero; coordinates stand where the
    conformer has them, so a packed pose is still in its receptor's frame.

    Attributes
    ----------
    key
        16 bytes, a hash of the ligand itself (canonical isomeric SMILES with charges, and the
        geometry where that was given): random numbers are drawn by it, so a ligand's result
        depends on no other ligand.
    coords
        (n_conformers, n_atoms, 3) float32, angstrom: reference geometries. They differ in rings and
        bond angles; roots are superposed and torsions are those of the first, so that a genotype
        means nearly the same pose with each.
    atom_type
        (n_atoms,) int8, row of ``osong.atom_types.ATOM_TYPES``; ``UNSCORED`` for hydrogens.
    charge
        (n_atoms,) float32, elementary charge (Gasteiger).
    segment
        (n_atoms,) int16, segment of each atom.
    parent
        (n_segments,) int16, parent of each segment; -1 for the root.
    axis_atoms
        (n_segments, 2) int16, the rotatable bond that joins a segment to its parent: (atom in
        the parent, atom in the segment); (-1, -1) for the root.
    pairs
        (n_pairs, 2) int16, scored atoms more than three bonds apart whose distance can change.
    torsion_count
        Vina's own count for the entropy term: every active rotatable bond counts one half for
        each of its two atoms that has more than one heavy neighbour at the other end. It also
        counts rotors that move hydrogens only (OH, NH2), which have no segment of their own.
    atom_index
        (n_atoms,) int16, position of each packed atom in the molecule (hydrogens included) that
        the ligand was packed from.
    """

    key: bytes
    coords: npt.NDArray[np.float32]
    atom_type: npt.NDArray[np.int8]
    charge: npt.NDArray[np.float32]
    segment: npt.NDArray[np.int16]
    parent: npt.NDArray[np.int16]
    axis_atoms: npt.NDArray[np.int16]
    pairs: npt.NDArray[np.int16]
    torsion_count: float
    atom_index: npt.NDArray[np.int16]
    n_scored: int

    @property
    def n_atoms(self) -> int:
        """Atoms, hydrogens included."""
        return len(self.atom_type)

    @property
    def n_torsions(self) -> int:
        """Rotatable bonds that the search turns."""
        return len(self.parent) - 1

    @property
    def n_conformers(self) -> int:
        """Geometries to choose from."""
        return len(self.coords)
